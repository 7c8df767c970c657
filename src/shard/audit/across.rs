//! Compares shards with each other: the deliveries between them, and the order of each conversation.
//!
//! Owned by an audit. The logs end where they agree, so a received delivery is in its source's log.

use crate::log::{Delivery, Record, Segments, Thread, Unread};
use crate::model::{Conversation, Entry, Position, Seq, ShardId};
use crate::shard::audit::examined::Examined;
use crate::shard::audit::findings::{Findings, Promise, Violation};
use crate::shard::audit::unread::{ConversationWalk, OrderBreach};
use crate::shard::rows::index::ConversationIndex;
use crate::shard::rows::packed_row::ConversationFields;
use crate::shard::table::fingerprint::Fingerprint;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Checks that every delivery was received or is still unconfirmed.
pub(in crate::shard) fn deliveries<S: Segments>(shards: &[Examined<'_, S>], findings: &mut Findings) {
    for from in shards {
        for to in shards.iter().filter(|to| to.me != from.me) {
            between(from, to, findings);
        }
    }
}

fn between<S: Segments>(from: &Examined<'_, S>, to: &Examined<'_, S>, findings: &mut Findings) {
    let peer = &from.state.peers.outbound.peers()[usize::from(to.me.0)];
    let taken = to.state.peers.outbound.peers()[usize::from(from.me.0)].taken();
    let newest = peer.next_number() - 1;
    if taken > newest {
        let position = to.lanes[usize::from(from.me.0)].taken_at;
        let why = format!("delivery {taken} of shard {} was received, but that shard has sent only {newest}", from.me);
        break_delivery(findings, to.me, position, taken, why);
    }
    let confirmed = peer.unconfirmed_deliveries().next().map_or(newest, |unconfirmed| unconfirmed.number - 1);
    if confirmed > taken {
        let position = from.lanes[usize::from(to.me.0)].confirmed_at;
        let why =
            format!("deliveries to shard {} are confirmed up to {confirmed}, but it has received only {taken}", to.me);
        break_delivery(findings, from.me, position, taken + 1, why);
    }
    for unconfirmed in peer.unconfirmed_deliveries() {
        findings.tally.under_way += u64::from(unconfirmed.number > taken);
        let delivery = Delivery { target: to.me, number: unconfirmed.number };
        let is_there = matches!(
            from.view().read(unconfirmed.record),
            Ok(Record::Posted { deliveries, .. }) if deliveries.contains(&delivery)
        );
        if !is_there {
            let why = format!("delivery {} to shard {} is unconfirmed, but not in the log", unconfirmed.number, to.me);
            break_delivery(findings, from.me, unconfirmed.record, unconfirmed.number, why);
        }
    }
}

fn break_delivery(findings: &mut Findings, shard: ShardId, position: Position, seq: u64, why: String) {
    let promise = Promise::Delivery;
    findings.add(Violation { promise, shard, position, user: None, conversation: None, seq, why });
}

/// The shards that have a conversation, and its row there.
type Holders = SmallVec<[(usize, ConversationIndex); 2]>;

/// Checks that every shard has a conversation's messages in the order of its owner.
pub(in crate::shard) fn orders<S: Segments>(
    shards: &[Examined<'_, S>],
    findings: &mut Findings,
    advance: &dyn Fn(u64),
) {
    let mut holders: HashMap<Fingerprint, Holders, FixedState> = HashMap::with_hasher(FixedState::with_seed(0));
    for (shard, examined) in shards.iter().enumerate() {
        for (at, row) in examined.state.rows() {
            let conversation_key = examined.state.identity.fingerprints.of_conversation(&row.conversation);
            holders.entry(conversation_key).or_default().push((shard, at));
        }
    }
    for held in holders.into_values() {
        advance(held.len() as u64);
        if is_wanted(shards, &held, findings) {
            findings.tally.conversations += 1;
            compare(shards, &held, findings);
        }
    }
}

fn is_wanted<S>(shards: &[Examined<'_, S>], held: &Holders, findings: &Findings) -> bool {
    let Some(only) = findings.only() else { return true };
    held.iter().any(|(shard, at)| {
        let state = &shards[*shard].state;
        state.tables.inboxes.find(only).is_some_and(|place| state.seat_of(place, *at).is_some())
    })
}

/// One shard's walk back through a conversation.
struct WalkHead<'a, S> {
    shard: &'a Examined<'a, S>,
    row: ConversationFields,
    walk: ConversationWalk<'a, S>,
    next: Option<Entry>,
    is_owner: bool,
}

impl<S: Segments> WalkHead<'_, S> {
    fn step(&mut self) -> Result<(), Unread> {
        self.next = self.walk.next()?;
        Ok(())
    }

    fn seq(&self) -> Seq {
        self.next.as_ref().map_or(Seq(0), |entry| entry.seq)
    }

    /// Whether the log records this place as missing for good.
    fn is_missing(&self, at: Seq) -> bool {
        let conversation_key = self.shard.state.identity.fingerprints.of_conversation(&self.row.conversation);
        self.shard.missing_between(conversation_key, at.0, at.0) > 0
    }

    fn break_at(&self, findings: &mut Findings, seq: Seq, position: Position, why: String) {
        let breach = OrderBreach { promise: Promise::Order, seq, position, why };
        self.shard.break_order(findings, &self.row, breach);
    }

    /// The position of the next message.
    fn position(&self) -> Position {
        let Some(entry) = &self.next else { return self.row.tail.last };
        let thread = Thread::Conversation(&self.row.conversation);
        let found = self.row.tail.find_message(self.shard.view(), thread, entry.message.id);
        found.ok().flatten().map_or(Position::NONE, |(position, _)| position)
    }
}

/// Compares all shards' messages of one conversation, place by place from the newest back.
fn compare<S: Segments>(shards: &[Examined<'_, S>], held: &Holders, findings: &mut Findings) {
    if held.len() < 2 {
        return expect_owner(shards, held, findings);
    }
    let mut heads: SmallVec<[WalkHead<'_, S>; 2]> = SmallVec::new();
    for (shard, at) in held {
        let shard = &shards[*shard];
        let row = shard.state.tables.conversations.at(*at).unpacked(&shard.state.tables.inboxes);
        let is_owner = shard.state.identity.placement.owner_of_conversation(&row.conversation) == shard.me;
        let walk = ConversationWalk::new(shard.view(), &row);
        heads.push(WalkHead { shard, row, walk, next: None, is_owner });
    }
    heads.sort_unstable_by_key(|head| !head.is_owner);
    for head in &mut heads {
        if let Err(why) = head.step() {
            return head.shard.break_walk(findings, &head.row, why);
        }
    }
    loop {
        let top = heads.iter().map(WalkHead::seq).max().unwrap_or_default();
        if top == Seq(0) {
            return;
        }
        compare_place(&heads, top, findings);
        for head in heads.iter_mut().filter(|head| head.seq() == top) {
            if let Err(why) = head.step() {
                return head.shard.break_walk(findings, &head.row, why);
            }
        }
    }
}

/// Checks that the conversation's owner has it: only the owner can begin a conversation.
fn expect_owner<S: Segments>(shards: &[Examined<'_, S>], held: &Holders, findings: &mut Findings) {
    for (shard, at) in held {
        let shard = &shards[*shard];
        let row = shard.state.tables.conversations.at(*at).unpacked(&shard.state.tables.inboxes);
        let owner = shard.state.identity.placement.owner_of_conversation(&row.conversation);
        let is_lost = shards.get(usize::from(owner.0)).is_some_and(Examined::is_whole);
        if owner != shard.me && is_lost && row.tail.seq > Seq(0) {
            let why = format!("shard {owner} owns the conversation, but does not have it");
            let (seq, position) = (row.tail.seq, row.tail.last);
            shard.break_order(findings, &row, OrderBreach { promise: Promise::Order, seq, position, why });
        }
    }
}

/// Compares the shards' messages at one place. If the owner has the place, it comes first.
fn compare_place<S: Segments>(heads: &[WalkHead<'_, S>], top: Seq, findings: &mut Findings) {
    let mut here = heads.iter().filter(|head| head.seq() == top);
    let Some((first, entry)) = here.next().and_then(|head| Some((head, head.next.as_ref()?))) else { return };
    let (given, by) = (entry.message.id, first.shard.me);
    for head in here {
        findings.tally.compared += 1;
        let Some(found) = head.next.as_ref().map(|entry| entry.message.id) else { continue };
        if found != given {
            let why = format!("place {top} is message {found} here and message {given} on shard {by}");
            head.break_at(findings, top, head.position(), why);
        }
    }
    for head in heads.iter().filter(|head| head.seq() < top) {
        if head.is_owner && lacks(head, top) {
            let why =
                format!("message {given} has place {top}, which its owner, shard {}, did not assign", head.shard.me);
            first.break_at(findings, top, first.position(), why);
        } else if !head.is_owner && first.is_owner && is_gap(head, first, top) {
            let why = format!("place {top}, message {given}, is missing");
            head.break_at(findings, top, head.position(), why);
        }
    }
}

/// Whether the owner should have the place and lacks it: it has everything that retention has not dropped.
fn lacks<S: Segments>(owner: &WalkHead<'_, S>, top: Seq) -> bool {
    let is_left = owner.shard.is_whole() || owner.next.is_some() || top > owner.row.tail.seq;
    is_left && !owner.is_missing(top)
}

/// Whether the shard should have the place and lacks it. The two shards of a pair have all of its messages; a shard has
/// those of a group only while it has members. A place after the shard's newest one is still under way. If deliveries
/// were recorded as lost for good, it is unknown to which conversations they belonged.
fn is_gap<S: Segments>(head: &WalkHead<'_, S>, owner: &WalkHead<'_, S>, top: Seq) -> bool {
    if head.shard.lanes[usize::from(owner.shard.me.0)].forgone > 0 {
        return false;
    }
    let is_pair = matches!(head.row.conversation, Conversation::Pair(..));
    let is_left = head.shard.is_whole() || head.next.is_some();
    is_pair && top <= head.row.tail.seq && is_left && !head.is_missing(top)
}
