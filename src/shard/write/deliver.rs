//! Messages from other shards: requests, deliveries, and the confirmations that keep both flowing.

use crate::log::{ReadMode, Record, RecordRef, Storage};
use crate::model::{Message, Position, Seq, SessionId, ShardId};
use crate::shard::core::context::Ctx;
use crate::shard::core::deferred::DeferredEffect;
use crate::shard::peers::greeting::{Greeting, Resent};
use crate::shard::peers::peer_shard::DeliveryOrder;
use crate::shard::{Effect, Shard, ShardMessage};
use std::sync::Arc;

/// Deliveries that one turn sends to a shard again, and those that are read before the turn's work is looked at.
const RESENT_A_TURN_MAX: usize = 512;
const RESENT_A_STEP: usize = 16;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn arrived(&mut self, ctx: &mut Ctx<'_>, from: ShardId, shard_message: ShardMessage) {
        match shard_message {
            ShardMessage::Request(request) => self.on_request(ctx, from, request),
            ShardMessage::Answered { key, reply } => self.answered(ctx, from, key, reply),
            ShardMessage::Transient { message } => self.push_transient(&message, None, ctx.effects),
            ShardMessage::Typing { notice } => self.on_typing(ctx, notice),
            ShardMessage::IsKnown { user, pair } => self.answer_known(from, &user, pair, ctx.effects),
            ShardMessage::AskAdmission { group, users } => self.answer_admission(ctx, from, group, &users),
            ShardMessage::Admission { refusal } => self.on_admission(ctx, refusal),
            ShardMessage::Known { pair, standing } => self.on_known(ctx, pair, standing),
            ShardMessage::AskPresence(question) => self.on_presence_query(from, &question, ctx.effects),
            ShardMessage::TellPresence { number, seen } => self.on_presence(from, number, seen, ctx.effects),
            ShardMessage::PresenceNews { states } => self.on_presence_changes(from, &states, ctx.effects),
            ShardMessage::Unwatch { users } => self.on_unwatch(from, &users, ctx.effects),
            ShardMessage::Hide { pairs } => self.on_hidden(from, &pairs, ctx.effects),
            ShardMessage::Ack(word) => self.on_presence_ack(from, word, ctx.effects),
            ShardMessage::Deliver { number, message } => self.on_delivery(ctx, (from, number), message),
            ShardMessage::Confirm { through } => {
                self.confirmed(from, through);
                self.continue_replaying(from, ctx.effects);
            }
            ShardMessage::Hello { taken, newest } => {
                self.state.peers.outbound.peer(from).on_hello(Greeting { taken, newest })
            }
            ShardMessage::GiveBack { after } => self.give_back(from, after, ctx.effects),
            ShardMessage::GivenBack(given) => self.given_back(from, *given),
            ShardMessage::Forgone { through } => self.forgo(from, through, ctx.effects),
            ShardMessage::NoRoom => self.state.peers.outbound.peer(from).ran_out_of_room(),
            ShardMessage::ResendAfter { through } => {
                self.state.peers.outbound.peer(from).has_room_again();
                self.state.peers.outbound.rewind(from, through);
                self.continue_replaying(from, ctx.effects);
            }
            ShardMessage::FanningOut { groups } => self.on_fan_out_load(from, &groups),
            ShardMessage::FannedOut { groups } => self.on_fanned_out(from, &groups, ctx.effects),
            ShardMessage::Replayed => self.state.peers.outbound.peer(from).has_replayed(),
        }
    }

    /// A delivery for inboxes of this shard: accepted once, in order, or ignored.
    fn on_delivery(&mut self, ctx: &mut Ctx<'_>, (from, number): (ShardId, u64), message: Arc<Message>) {
        match self.state.peers.outbound.peer(from).classify(number) {
            DeliveryOrder::Next => {}
            DeliveryOrder::PastHole => {
                self.meters.stats.ignored += 1;
                return self.state.peers.outbound.peer(from).know_of(number);
            }
            DeliveryOrder::Repeated => {
                self.meters.stats.ignored += 1;
                return self.confirm_again(from, ctx.effects);
            }
        }
        let (links, sides) = self.state.links_of(&message);
        let record = RecordRef::Delivered { source: from, number, message: &message, links: &links };
        let record_bytes = record.encoded_bytes();
        if !self.log.journal.has_room(record_bytes) {
            self.meters.stats.ignored += 1;
            let is_full = !self.log.journal.awaits_room(record_bytes);
            if self.state.peers.outbound.peer(from).miss(number, record_bytes) && is_full {
                ctx.effects.push(Effect::forward(from, ShardMessage::NoRoom));
            }
            return;
        }
        let position = self.append(record, record_bytes);
        self.meters.stats.taken += 1;
        self.state.peers.outbound.peer(from).take(number);
        let (_, told) = self.state.apply_message(position, &message, &links);
        if sides.author.is_none() {
            self.note_begun(ctx.now, told, &message);
        }
        let origin = self.complete_with(from, position, &message, crate::shard::write::commit::author_seq(&links));
        self.defer_pushes(position, told, &message, &links, origin);
        self.log.pending.defer(position, DeferredEffect::Confirm { to: from, through: number });
    }

    /// Replies to the senders on this shard. Returns the first of their sessions.
    fn complete_with(
        &mut self,
        from: ShardId,
        record: Position,
        message: &Arc<Message>,
        author_seq: Option<Seq>,
    ) -> Option<SessionId> {
        let author_seq = author_seq.filter(|_| message.fact.is_none())?;
        let key = self.state.identity.fingerprints.of_client_message(&message.author, &message.client_message_id);
        let conversation_key = self.state.identity.fingerprints.of_conversation(&message.conversation);
        let pending = self.complete(from, key, Some(conversation_key))?;
        let origin = pending.origin();
        for waiter in pending.waiters {
            self.defer_sent(record, waiter, message, author_seq);
        }
        origin
    }

    /// The delivery is a duplicate: our earlier confirmation was lost or is late, so it is sent again.
    fn confirm_again(&mut self, from: ShardId, effects: &mut Vec<Effect>) {
        let through = self.state.peers.outbound.peer(from).taken();
        if self.log.newest_record < self.log.acknowledged {
            effects.push(Effect::forward(from, ShardMessage::Confirm { through }));
        } else {
            self.log.pending.defer(self.log.newest_record, DeferredEffect::Confirm { to: from, through });
        }
    }

    pub(in crate::shard) fn confirmed(&mut self, from: ShardId, through: u64) {
        let peer = self.state.peers.outbound.peer(from);
        if let Some(oldest) = peer.confirmed(through) {
            peer.track_logged(through, oldest);
            self.log_confirmation(from);
        }
    }

    /// Logs how far a shard has confirmed. Without room in the log the next tick tries again; after a restart the shard
    /// confirms again.
    pub(in crate::shard) fn log_confirmation(&mut self, from: ShardId) {
        let Some((through, oldest)) = self.state.peers.outbound.peer(from).unlogged() else { return };
        let record = Record::Confirmed { target: from, through };
        if self.log.journal.has_room(record.encoded_bytes()) {
            let position = self.log.journal.append_lazily(&record);
            self.state.peers.outbound.peer(from).logged();
            self.state.has_confirmed(oldest, position);
        }
    }

    pub(in crate::shard) fn log_confirmations(&mut self) {
        self.state.peers.outbound.others().for_each(|from| self.log_confirmation(from));
    }

    /// Sends unconfirmed deliveries from before the start, or those that were requested again, as far as the window
    /// allows.
    pub(in crate::shard) fn continue_replaying(&mut self, to: ShardId, effects: &mut Vec<Effect>) {
        let window = self.state.peers.outbound.deliveries_max();
        for _part in 0..RESENT_A_TURN_MAX / RESENT_A_STEP {
            let resent = self.state.peers.outbound.peer(to).resend(window, RESENT_A_STEP);
            if resent.is_empty() || !self.forward_again(to, resent, effects) || self.has_done_its_share() {
                break;
            }
        }
        if self.state.peers.outbound.peer(to).has_been_replayed() {
            effects.push(Effect::forward(to, ShardMessage::Replayed));
        }
        self.state.peers.outbound.note_resent();
    }

    /// Whether all could be read. What follows a hole waits behind it; nothing wrong is sent.
    fn forward_again(&mut self, to: ShardId, resent: Vec<Resent>, effects: &mut Vec<Effect>) -> bool {
        for resent in resent {
            let shard_message = match resent {
                Resent::Forgone(through) => ShardMessage::Forgone { through },
                Resent::Delivery(unconfirmed) => {
                    match self.log.journal.view(ReadMode::Unbounded).read(unconfirmed.record) {
                        Ok(Record::Posted { message, .. }) => {
                            ShardMessage::Deliver { number: unconfirmed.number, message }
                        }
                        // The record was sound when the log was opened.
                        _ => {
                            self.meters.stats.unreadable += 1;
                            return false;
                        }
                    }
                }
            };
            effects.push(Effect::forward(to, shard_message));
        }
        true
    }

    /// To every shard that is to be sent more of this.
    pub(in crate::shard) fn continue_resending(&mut self, effects: &mut Vec<Effect>) {
        for to in self.state.peers.outbound.others() {
            self.continue_replaying(to, effects);
        }
    }

    /// Skips deliveries that will never arrive, so that later ones can be accepted.
    fn forgo(&mut self, from: ShardId, through: u64, effects: &mut Vec<Effect>) {
        let taken = self.state.peers.outbound.peer(from).taken();
        if through <= taken {
            return self.confirm_again(from, effects);
        }
        let record = Record::Forgone { source: from, through };
        let record_bytes = record.encoded_bytes();
        if !self.log.journal.has_room(record_bytes) {
            self.state.peers.outbound.peer(from).miss(through, record_bytes);
            return;
        }
        let position = self.append(&record, record_bytes);
        self.meters.stats.forgone += through - taken;
        self.state.peers.outbound.peer(from).take(through);
        self.log.pending.defer(position, DeferredEffect::Confirm { to: from, through });
    }

    /// Requests deliveries again that had no room in the log, once there is room.
    pub(in crate::shard) fn ask_again(&mut self, effects: &mut Vec<Effect>) {
        for to in self.state.peers.outbound.others() {
            let journal = &self.log.journal;
            let peer = self.state.peers.outbound.peer(to);
            if peer.ask_again(|record_bytes| journal.has_room(record_bytes)) {
                let through = peer.taken();
                effects.push(Effect::forward(to, ShardMessage::ResendAfter { through }));
            }
        }
    }
}
