//! After a start: restores what one shard's log has lost and another still has, before any session opens
//! (docs/decisions/0012).
//!
//! Each shard reports how many deliveries of another it has received, and how many it knows the other to have made. An
//! owner whose log has lost its end gets the lost messages back from the receivers, and orders them again by their ids;
//! then each shard receives what it lacks. Invariants: the number of a delivery stands for one message for ever; no new
//! message is ordered before all that remain of the old ones; losses for good are recorded, and counted.

#[cfg(test)]
pub(super) mod tests;

use crate::log::{Delivery, LogScan, ReadMode, Record, RecordRef, Storage};
use crate::model::{
    Conversation, ConversationSeq, Fact, GroupChange, Message, MessageId, Moment, Seq, ShardId, Sizing,
    UnsequencedMessage,
};
use crate::shard::core::context::Ctx;
use crate::shard::peers::giving_back::{GivenPart, GivingBack};
use crate::shard::peers::greeting::Unconfirmed;
use crate::shard::rows::conversation::{ConversationTable, takes_place};
use crate::shard::rows::index::ConversationIndex;
use crate::shard::work::healing::{HealStage, Healing, LostDeliveries, Return};
use crate::shard::{Effect, ExternalEffect, GivenBack, Shard, ShardMessage};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The most deliveries in one `GivenBack` message, and the bytes of content after which it ends.
const GIVEN_AT_ONCE_MAX: usize = 256;
const GIVEN_BYTES_MAX: usize = 1 << 20;
/// Conversations that one turn looks at.
const ROWS_REACHED_AT_ONCE_MAX: u32 = 4_096;

impl<S: Storage> Shard<S> {
    /// Continues as far as possible with what the other shards have reported.
    pub(in crate::shard) fn heal(&mut self, ctx: &mut Ctx<'_>) {
        let Some(mut healing) = self.healing.take() else { return };
        if healing.stage == HealStage::Greeting && self.state.peers.outbound.is_greeted() {
            healing.stage = if self.has_loss() { HealStage::Renewing } else { HealStage::Returning };
            healing.returns = self.expected_returns();
            if healing.stage == HealStage::Renewing {
                ctx.effects.push(Effect::External(ExternalEffect::RenewInboxEpoch));
            }
        }
        if healing.stage == HealStage::Returning && self.on_returns(ctx, &mut healing) {
            healing.stage = HealStage::Settling;
        }
        if healing.stage == HealStage::Settling && self.log.newest_record < self.log.acknowledged {
            healing.stage = HealStage::Searching;
            healing.lost = self.lost_deliveries();
            for to in self.state.peers.outbound.others() {
                if healing.lost.iter().all(|lost| lost.by != to) {
                    self.begin_replay(to, ctx.effects);
                }
            }
        }
        if healing.stage == HealStage::Searching && self.on_lost(ctx, &mut healing) {
            return;
        }
        self.healing = Some(healing);
    }

    /// The epoch is durable before anything is restored: after that the next start would find no loss and not change
    /// it.
    pub(in crate::shard) fn inbox_epoch_renewed(&mut self) {
        if let Some(healing) = self.healing.as_mut().filter(|healing| healing.stage == HealStage::Renewing) {
            healing.stage = HealStage::Returning;
        }
    }

    /// Whether this log has lost deliveries that others received, or others have lost deliveries that they confirmed.
    fn has_loss(&mut self) -> bool {
        self.state.peers.outbound.others().any(|other| {
            let peer = self.state.peers.outbound.peer(other);
            let taken = peer.greeting().map_or(0, |greeting| greeting.taken);
            taken > peer.newest() || peer.lost_by_it(taken).is_some()
        })
    }

    fn expected_returns(&mut self) -> BTreeMap<ShardId, Return> {
        let mut returns = BTreeMap::new();
        for from in self.state.peers.outbound.others() {
            let peer = self.state.peers.outbound.peer(from);
            if peer.greeting().is_some_and(|greeting| greeting.taken > peer.newest()) {
                returns.insert(from, Return::default());
            }
        }
        returns
    }

    /// Whether all returned messages have been ordered again.
    fn on_returns(&mut self, ctx: &mut Ctx<'_>, healing: &mut Healing) -> bool {
        healing.has_put_off = false;
        for taken in 0..self.state.peers.outbound.held_per_input_max() {
            if taken > 0 && self.has_done_its_share() {
                break;
            }
            if !self.has_heads(healing, ctx.effects) {
                return false;
            }
            let Some((message, numbers)) = healing.next() else {
                return self.reach(healing) && self.dissolve_unmade(ctx.now);
            };
            if !self.order_again(healing, message, &numbers) {
                // The log has no room; the next tick tries again.
                return false;
            }
            for Delivery { target, .. } in numbers {
                healing.returns.get_mut(&target).and_then(|it| it.given.pop_front());
            }
        }
        healing.has_put_off = true;
        false
    }

    /// Whether the next message of each shard that has more is here. Shards without more are finished.
    fn has_heads(&mut self, healing: &mut Healing, effects: &mut Vec<Effect>) -> bool {
        let mut is_missing = false;
        for (from, it) in healing.returns.iter_mut().filter(|(_, it)| it.given.is_empty() && !it.is_over) {
            is_missing = true;
            if !std::mem::replace(&mut it.is_asked, true) {
                let after = self.state.peers.outbound.peer(*from).newest();
                effects.push(Effect::forward(*from, ShardMessage::GiveBack { after }));
            }
        }
        if is_missing {
            return false;
        }
        let is_done = |(from, it): (&ShardId, &Return)| it.given.is_empty().then_some(*from);
        let done: SmallVec<[ShardId; 2]> = healing.returns.iter().filter_map(is_done).collect();
        for from in done {
            healing.returns.remove(&from);
            let taken = self.state.peers.outbound.peer(from).greeting().map_or(0, |greeting| greeting.taken);
            self.use_up(from, taken);
        }
        true
    }

    /// Notes that the shard has received our deliveries up to this number, whether or not our log has them.
    fn use_up(&mut self, by: ShardId, through: u64) {
        let end = self.log.journal.end();
        let peer = self.state.peers.outbound.peer(by);
        if peer.use_up(through) {
            peer.track_logged(through, end);
            self.log_confirmation(by);
        }
    }

    /// Gives a message its former place, and delivers it again to its recipients. Returns whether the log had room.
    fn order_again(&mut self, healing: &mut Healing, message: Arc<Message>, numbers: &[Delivery]) -> bool {
        let seq = message.conversation_seq;
        let has_place = takes_place(message.fact.as_deref());
        let newest =
            self.state.find_row(&message.conversation).map(|at| self.state.tables.conversations.at(at).tail.seq().0);
        let newest = ConversationSeq(newest.unwrap_or_default());
        let is_ours = self.settings.placement.owner_of_conversation(&message.conversation) == self.settings.me;
        if !is_ours || has_place && seq <= newest {
            // Logs that say so contradict each other: this log's contents stay unchanged.
            numbers.iter().for_each(|it| self.use_up(it.target, it.number));
            self.meters.stats.contradictions += 1;
            return true;
        }
        // A message without a place of its own shows how far the conversation had got: those places are not assigned
        // again.
        let reached = ConversationSeq(seq.0 - u64::from(has_place));
        if !self.may_fan_out(&message.conversation, &[]) || !self.skip_places(&message.conversation, reached) {
            return false;
        }
        let deliveries = self.deliveries_again(healing, &message, numbers);
        let is_taken = self.post_again(message, deliveries);
        self.meters.stats.given_back += u64::from(is_taken);
        is_taken
    }

    /// Appends the message. Returns whether the log had room.
    fn post_again(&mut self, message: Arc<Message>, deliveries: SmallVec<[Delivery; 2]>) -> bool {
        let (links, _) = self.state.links_of(&message);
        let record = RecordRef::Posted { message: &message, deliveries: &deliveries, links: &links };
        let record_bytes = record.encoded_bytes();
        if !self.log.journal.has_room(record_bytes) {
            return false;
        }
        let position = self.append(record, record_bytes);
        self.state.apply_order(&message);
        self.state.apply_message(position, &message, &links);
        for Delivery { target, number } in deliveries {
            self.state.peers.outbound.peer(target).track(number, position, message.held_bytes());
        }
        true
    }

    /// The deliveries of the restored message. Shards that returned it have it under its old numbers. Other recipients
    /// get new numbers, except shards that have more to return: a message that they did not return before it was not
    /// for them.
    fn deliveries_again(
        &mut self,
        healing: &Healing,
        message: &Message,
        numbers: &[Delivery],
    ) -> SmallVec<[Delivery; 2]> {
        let mut deliveries: SmallVec<[Delivery; 2]> = numbers.iter().copied().collect();
        for target in self.targets_of(&message.conversation, message.fact.as_deref()) {
            if !healing.returns.contains_key(&target) {
                deliveries.push(Delivery { target, number: self.state.peers.outbound.peer(target).next_number() });
            }
        }
        deliveries.sort_unstable_by_key(|it| it.target);
        deliveries
    }

    /// Dissolves groups whose members are unknown, also for users with a seat there. Only a group's first changes can
    /// be lost in that way, because the shards of its first members had them. Returns whether the log had room.
    fn dissolve_unmade(&mut self, now: Moment) -> bool {
        while let Some((conversation, author)) = self.state.groups.unmade.first() {
            let fact = Fact::Group(GroupChange::Dissolved);
            let mut message = UnsequencedMessage::of_fact(now.wall, conversation.clone(), author.clone(), fact);
            let row = self.state.find_row(conversation);
            let newest = row.map(|at| self.state.tables.conversations.at(at).tail.seq().0);
            let seq = ConversationSeq(newest.unwrap_or_default() + 1);
            let date = self.date_in(now.wall, row);
            message.place(self.state.tables.conversations.next_id(date), seq, date);
            let message = message.share();
            let others = self.state.peers.outbound.others();
            let number = |target| Delivery { target, number: self.state.peers.outbound.peer(target).next_number() };
            let deliveries = others.map(number).collect();
            if !self.may_fan_out(&message.conversation, &[]) || !self.post_again(message, deliveries) {
                return false;
            }
        }
        true
    }

    /// Records that all missing places of a conversation up to this one are missing for good. Returns whether the log
    /// had room.
    fn skip_places(&mut self, conversation: &Conversation, through: ConversationSeq) -> bool {
        let at = self.state.find_row(conversation);
        let newest = at.map_or(0, |at| self.state.tables.conversations.at(at).tail.seq().0);
        if through.0 <= newest {
            return true;
        }
        let record = Record::Conversation { conversation: conversation.clone(), seq: through, message: MessageId(0) };
        let record_bytes = record.encoded_bytes();
        if !self.log.journal.has_room(record_bytes) {
            return false;
        }
        self.append(&record, record_bytes);
        self.meters.stats.missing_places += through.0 - newest;
        let at = self.state.row_of(conversation);
        self.state.tables.conversations.at_mut(at).tail.skip_to(Seq(through.0));
        self.state.note_skipped(conversation);
        true
    }

    /// Makes conversations continue after all places that any shard knows of. Returns whether the log had room.
    fn reach(&mut self, healing: &mut Healing) -> bool {
        while let Some((conversation, seq)) = healing.reached.last() {
            let is_ours = self.settings.placement.owner_of_conversation(conversation) == self.settings.me;
            if is_ours && !self.skip_places(conversation, *seq) {
                return false;
            }
            healing.reached.pop();
        }
        true
    }

    /// Takes one part of the deliveries that this shard's log has lost.
    pub(in crate::shard) fn given_back(&mut self, from: ShardId, given: GivenBack) {
        let Some(it) = self.healing.as_mut().and_then(|healing| healing.returns.get_mut(&from)) else { return };
        it.given.extend(given.deliveries);
        it.is_asked = false;
        it.is_over = !given.has_more;
        let Some(healing) = &mut self.healing else { return };
        healing.reached.extend(given.reached);
        let newest = MessageId(given.ids_below.0.saturating_sub(1));
        let record = Record::Issued { message: newest };
        let record_bytes = record.encoded_bytes();
        if newest > self.state.tables.conversations.newest_message() && self.log.journal.has_room(record_bytes) {
            self.append(&record, record_bytes);
            self.state.tables.conversations.skip_ids_to(newest);
        }
    }

    /// Another shard has lost its deliveries to this one with numbers above `after`, and asks for a part of them.
    pub(in crate::shard) fn give_back(&mut self, to: ShardId, after: u64, effects: &mut Vec<Effect>) {
        let newest_segment = self.log.journal.end().segment();
        let giving = self.state.peers.outbound.peer(to).giving.take();
        let begun = || GivingBack {
            scan: LogScan::new(after, newest_segment),
            next_row: 0,
            part: GivenPart::default(),
            is_asked: true,
        };
        let giving = GivingBack { is_asked: true, ..giving.unwrap_or_else(begun) };
        self.state.peers.outbound.give_back(to, giving);
        self.continue_giving(to, effects);
    }

    pub(in crate::shard) fn continue_giving_back(&mut self, effects: &mut Vec<Effect>) {
        self.state.peers.outbound.others().for_each(|to| self.continue_giving(to, effects));
    }

    /// Continues to collect the part for which the other shard waits.
    fn continue_giving(&mut self, to: ShardId, effects: &mut Vec<Effect>) {
        let giving = &mut self.state.peers.outbound.peer(to).giving;
        let Some(mut giving) = giving.take_if(|giving| giving.is_asked) else { return };
        let is_ended = self.reach_some(to, &mut giving) && self.give_some(to, &mut giving);
        let has_more = !is_ended;
        let is_full = giving.part.deliveries.len() >= GIVEN_AT_ONCE_MAX || giving.part.bytes >= GIVEN_BYTES_MAX;
        if is_ended || is_full {
            let GivenPart { deliveries, reached, .. } = std::mem::take(&mut giving.part);
            let newest = self.state.segments.times.newest_of(self.log.journal.end().segment()).unwrap_or_default();
            let ids_below = ConversationTable::first_id_of(newest.plus(1));
            let given = GivenBack { deliveries, reached, ids_below, has_more };
            effects.push(Effect::forward(to, ShardMessage::GivenBack(Box::new(given))));
            giving.is_asked = false;
        }
        if has_more {
            self.state.peers.outbound.give_back(to, giving);
        }
        self.state.peers.outbound.note_resent();
    }

    /// Reads until the part is full. Returns whether the end of the log is reached.
    fn give_some(&self, to: ShardId, giving: &mut GivingBack) -> bool {
        let number_of = |record: &Record| match record {
            Record::Delivered { source, number, .. } if *source == to => Some(*number),
            _ => None,
        };
        let view = self.log.journal.view(ReadMode::Unbounded);
        let part = &mut giving.part;
        giving.scan.go_on(
            view,
            number_of,
            || self.has_done_its_share(),
            |number, _, record| {
                if let Some((message, _)) = record.message() {
                    part.bytes += Sizing::Verbatim.entry_bytes(message);
                    part.deliveries.push((number, message.clone()));
                }
                part.deliveries.len() >= GIVEN_AT_ONCE_MAX || part.bytes >= GIVEN_BYTES_MAX
            },
        )
    }

    /// Collects the newest seqs of that shard's conversations whose newest message retention has dropped here: its log
    /// may have lost these messages, and no log can return them. Returns whether all conversations have been examined.
    fn reach_some(&self, owner: ShardId, giving: &mut GivingBack) -> bool {
        let (view, placement) = (self.log.journal.view(ReadMode::None), self.settings.placement);
        let rows = self.state.tables.conversations.len() as u32;
        let through = rows.min(giving.next_row.saturating_add(ROWS_REACHED_AT_ONCE_MAX));
        self.state.rows_visited.count((through - giving.next_row) as usize);
        for at in (giving.next_row..through).map(ConversationIndex) {
            let tail = self.state.tables.conversations.at(at).tail.tail();
            if tail.seq == Seq(0) || !view.is_gone(tail.last) {
                continue;
            }
            let conversation = self.state.conversation_at(at);
            if placement.owner_of_conversation(&conversation) == owner {
                giving.part.reached.push((conversation, ConversationSeq(tail.seq.0)));
            }
        }
        giving.next_row = through;
        through == rows
    }

    /// The searches for deliveries that are confirmed in this log and that other shards have lost.
    fn lost_deliveries(&mut self) -> VecDeque<LostDeliveries> {
        let newest_segment = self.log.journal.end().segment();
        let mut all = VecDeque::new();
        for by in self.state.peers.outbound.others() {
            let peer = self.state.peers.outbound.peer(by);
            let taken = peer.greeting().map_or(0, |greeting| greeting.taken);
            if let Some((first, last)) = peer.lost_by_it(taken) {
                let scan = LogScan::new(first - 1, newest_segment);
                all.push_back(LostDeliveries { by, first, last, scan, found: Vec::new() });
            }
        }
        all
    }

    /// One turn's share of the search for deliveries that others have lost, which are sent to them when found. Returns
    /// whether the search is complete.
    fn on_lost(&mut self, ctx: &mut Ctx<'_>, healing: &mut Healing) -> bool {
        healing.has_put_off = false;
        while let Some(lost) = healing.lost.front_mut() {
            let is_ended = self.search_lost(lost);
            if !is_ended && self.has_done_its_share() {
                healing.has_put_off = true;
                return false;
            }
            let Some(LostDeliveries { by, found, .. }) = healing.lost.pop_front() else { break };
            self.meters.stats.redelivered += found.len() as u64;
            self.state.peers.outbound.peer(by).track_again(found.into_iter());
            self.begin_replay(by, ctx.effects);
        }
        true
    }

    /// Returns whether the log has ended or all are found.
    fn search_lost(&self, lost: &mut LostDeliveries) -> bool {
        let LostDeliveries { by, first, last, scan, found } = lost;
        let number_of = |record: &Record| match record {
            Record::Posted { deliveries, .. } => deliveries.iter().find(|it| it.target == *by).map(|it| it.number),
            _ => None,
        };
        let mut is_past = false;
        let view = self.log.journal.view(ReadMode::Unbounded);
        let is_ended = scan.go_on(
            view,
            number_of,
            || self.has_done_its_share(),
            |number, record, _| {
                is_past = number > *last;
                if (*first..=*last).contains(&number) {
                    found.push(Unconfirmed { number, record, bytes: 0 });
                }
                is_past
            },
        );
        is_ended || is_past
    }

    /// Sends the missing deliveries to that shard.
    fn begin_replay(&mut self, to: ShardId, effects: &mut Vec<Effect>) {
        let taken = self.state.peers.outbound.peer(to).greeting().map_or(0, |greeting| greeting.taken);
        self.confirmed(to, taken);
        self.state.peers.outbound.begin_replay(to, taken);
        self.continue_replaying(to, effects);
    }
}
