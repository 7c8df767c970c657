//! The state between this shard and each other one: windows, delivery numbers, unconfirmed deliveries, held requests.
//!
//! Invariants: a peer accepts our deliveries in the order of their numbers, each once; unconfirmed deliveries never
//! exceed the window; a message is only sent when its window has room, so that no lane overflows.

use crate::log::record::bytes::{Put, Reader};
use crate::model::{Position, SessionId, ShardId};
use crate::shard::Windows;
use crate::shard::peers::giving_back::GivingBack;
use crate::shard::peers::greeting::{Greeting, Resent, Unconfirmed};
use crate::shard::peers::held_requests::{Blocker, GroupTurn, HeldRequest, Waiting};
use crate::shard::peers::stalled::StalledLine;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::table::outstanding::Unfinished;
use std::collections::VecDeque;

/// The place of an arrived delivery in the sequence of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum DeliveryOrder {
    /// The next one.
    Next,
    /// Accepted before.
    Repeated,
    /// An earlier one is missing; this one will be sent again.
    PastHole,
}

/// The state between this shard and another one, or itself: sends to its own conversations are counted in the same way.
#[derive(Debug, Default)]
pub(in crate::shard) struct PeerShard {
    /// Requests to it that it has not answered.
    requests: usize,
    request_bytes: usize,
    /// Requests that found the window full.
    pub stalled: StalledLine,
    /// The number of the newest delivery to it.
    newest: u64,
    /// Deliveries to it that it has not confirmed, ascending.
    unconfirmed: VecDeque<Unconfirmed>,
    unconfirmed_bytes: usize,
    /// The unconfirmed deliveries up to this number are durable and may be sent.
    released: u64,
    /// The unconfirmed deliveries up to this number are sent. Below `released` only while more is sent again than the
    /// window holds.
    sent: u64,
    /// The number up to which it has confirmed, if the log does not say so yet, and the oldest record that is still
    /// needed until then.
    unlogged: Option<(u64, Position)>,
    /// The number of the newest of its deliveries that we have accepted.
    taken: u64,
    /// The number of the newest of its deliveries that has arrived, accepted or not.
    newest_known: u64,
    /// Set when one of its deliveries found no room for its record of this many bytes: it must be sent again.
    missed_bytes: Option<usize>,
    /// It has no room for our deliveries.
    is_full: bool,
    /// The number of the newest of its deliveries that is durable here and not confirmed yet.
    confirmation: Option<u64>,
    /// The search for its lost deliveries, which are returned to it.
    pub giving: Option<GivingBack>,
    /// Its view after the start of the deliveries between the two.
    greeting: Option<Greeting>,
    replayed: bool,
    /// It is still to be told that all deliveries from before the start were sent.
    awaits_replay: bool,
}

pub(in crate::shard) struct Outbound {
    me: ShardId,
    windows: Windows,
    peers: Vec<PeerShard>,
    waiting: Waiting,
    /// Held requests may continue: the last input has continued as many as one input may.
    has_put_off: bool,
    /// Some shard is to be sent deliveries again, or what it has lost. Kept, so that no turn visits all shards.
    is_resending: bool,
}

impl PeerShard {
    fn may_request(&self, windows: Windows) -> bool {
        self.requests < windows.requests_max && self.request_bytes < windows.bytes_max
    }

    fn may_deliver(&self, windows: Windows) -> bool {
        self.unconfirmed.len() < windows.deliveries_max && self.unconfirmed_bytes < windows.bytes_max
    }

    pub fn request_sent(&mut self, bytes: usize) {
        self.requests += 1;
        self.request_bytes += bytes;
    }

    pub fn request_answered(&mut self, bytes: usize) {
        self.request_bytes =
            self.request_bytes.checked_sub(bytes).expect("a request has as many bytes when it is answered");
        self.requests = self.requests.checked_sub(1).expect("an answer belongs to a request");
    }

    pub fn next_number(&self) -> u64 {
        self.newest + 1
    }

    /// Adds a delivery to the peer whose record is in our log.
    pub fn track(&mut self, number: u64, record: Position, bytes: usize) {
        self.newest = number;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.unconfirmed_bytes += bytes as usize;
        self.unconfirmed.push_back(Unconfirmed { number, record, bytes });
    }

    /// Notes that the `number`-th delivery is durable. Returns whether to send it now: not while older ones wait for
    /// the window.
    pub fn release(&mut self, number: u64) -> bool {
        let is_next = !self.is_being_replayed();
        self.released = self.released.max(number);
        if is_next {
            self.sent = self.released;
        }
        is_next
    }

    /// Notes that the peer has all deliveries up to `through`. Returns the oldest record that they needed, if any was
    /// unconfirmed.
    pub fn confirmed(&mut self, through: u64) -> Option<Position> {
        self.is_full = false;
        let oldest = self.unconfirmed.front().filter(|delivery| delivery.number <= through)?.record;
        while let Some(delivery) = self.unconfirmed.pop_front_if(|delivery| delivery.number <= through) {
            self.unconfirmed_bytes -= delivery.bytes as usize;
        }
        Some(oldest)
    }

    /// Notes that the log does not say yet that deliveries up to `through` are confirmed, so records from `oldest` on
    /// are still needed.
    pub fn track_logged(&mut self, through: u64, oldest: Position) {
        let oldest = self.unlogged.map_or(oldest, |(_, known)| known.min(oldest));
        self.unlogged = Some((through, oldest));
    }

    pub fn unlogged(&self) -> Option<(u64, Position)> {
        self.unlogged
    }

    pub fn logged(&mut self) {
        self.unlogged = None;
    }

    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Marks the numbers up to this one as used, whatever our log has of them. Returns whether any was not.
    pub fn use_up(&mut self, through: u64) -> bool {
        let is_news = self.newest < through;
        self.newest = self.newest.max(through);
        is_news
    }

    pub fn on_hello(&mut self, greeting: Greeting) {
        self.greeting = Some(greeting);
    }

    pub fn greeting(&self) -> Option<Greeting> {
        self.greeting
    }

    /// The deliveries that our log considers confirmed and the peer has lost: the first and the last number.
    pub fn lost_by_it(&self, taken: u64) -> Option<(u64, u64)> {
        let confirmed = self.unconfirmed.front().map_or(self.newest, |delivery| delivery.number - 1);
        (taken < confirmed).then_some((taken + 1, confirmed))
    }

    /// Adds lost deliveries that our log still has, ascending; they are older than all unconfirmed ones.
    pub fn track_again(&mut self, lost: impl DoubleEndedIterator<Item = Unconfirmed>) {
        for delivery in lost.rev() {
            self.unconfirmed_bytes += delivery.bytes as usize;
            self.unconfirmed.push_front(delivery);
        }
    }

    /// Begins to send everything after `taken` again, as the window allows, and then `Replayed`.
    fn begin_replay(&mut self, taken: u64) {
        self.released = self.newest;
        self.sent = taken;
        self.awaits_replay = true;
    }

    /// The next `count` deliveries to send again, fewer if `window` would otherwise be exceeded.
    pub fn resend(&mut self, window: usize, count: usize) -> Vec<Resent> {
        let mut resent = Vec::new();
        if self.sent >= self.released {
            return resent;
        }
        let first = self.unconfirmed.partition_point(|delivery| delivery.number <= self.sent);
        let room = window.saturating_sub(first).min(count);
        for delivery in self.unconfirmed.iter().skip(first).take_while(|delivery| delivery.number <= self.released) {
            if resent.len() >= room {
                return resent;
            }
            if delivery.number > self.sent + 1 {
                resent.push(Resent::Forgone(delivery.number - 1));
            }
            resent.push(Resent::Delivery(*delivery));
            self.sent = delivery.number;
        }
        if self.sent < self.released {
            resent.push(Resent::Forgone(self.released));
            self.sent = self.released;
        }
        resent
    }

    /// Goes back: the peer requests everything after `through` again.
    fn rewind(&mut self, through: u64) {
        self.sent = self.sent.min(through);
    }

    /// Whether to send `Replayed` now; true once.
    pub fn has_been_replayed(&mut self) -> bool {
        self.sent >= self.released && std::mem::take(&mut self.awaits_replay)
    }

    /// Whether `resend` has something to send in this window.
    fn may_resend(&self, window: usize) -> bool {
        self.is_being_replayed() && self.unconfirmed.partition_point(|it| it.number <= self.sent) < window
    }

    /// Whether deliveries remain to be sent again that the window had no room for.
    pub fn is_being_replayed(&self) -> bool {
        self.sent < self.released
    }

    /// Deliveries that the peer has not confirmed, ascending.
    pub fn unconfirmed_deliveries(&self) -> impl Iterator<Item = Unconfirmed> + '_ {
        self.unconfirmed.iter().copied()
    }

    /// For a checkpoint: the peer's state that follows from the log.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.newest);
        out.put_u64(self.taken);
        out.put_u32(u32::try_from(self.unconfirmed.len()).expect("deliveries are bounded by their window"));
        for Unconfirmed { number, record, .. } in &self.unconfirmed {
            out.put_u64(*number);
            out.put_u64(record.0);
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (newest, taken) = (reader.u64()?, reader.u64()?);
        let mut unconfirmed = VecDeque::new();
        for _owed in 0..reader.u32()? {
            let (number, record) = (reader.u64()?, Position(reader.u64()?));
            unconfirmed.push_back(Unconfirmed { number, record, bytes: 0 });
        }
        Some(Self { newest, taken, unconfirmed, ..Self::default() })
    }

    pub fn classify(&self, number: u64) -> DeliveryOrder {
        if number <= self.taken {
            DeliveryOrder::Repeated
        } else if number == self.taken + 1 {
            DeliveryOrder::Next
        } else {
            DeliveryOrder::PastHole
        }
    }

    pub fn take(&mut self, number: u64) {
        self.taken = number;
        self.missed_bytes = None;
    }

    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Notes a delivery without room for its record. Returns whether to tell the peer: once, until it sends again.
    pub fn miss(&mut self, number: u64, record_bytes: usize) -> bool {
        self.know_of(number);
        self.missed_bytes.replace(record_bytes).is_none()
    }

    /// Notes that the peer has made a delivery with this number.
    pub fn know_of(&mut self, number: u64) {
        self.newest_known = self.newest_known.max(number);
    }

    /// Whether the peer has sent deliveries that we could not accept. One of them may answer a request that a client
    /// repeats.
    pub fn is_ahead(&self) -> bool {
        self.taken < self.newest_known
    }

    /// Notes that the peer has no room for our next delivery.
    pub fn ran_out_of_room(&mut self) {
        self.is_full = true;
    }

    /// Notes that the peer has room again.
    pub fn has_room_again(&mut self) {
        self.is_full = false;
    }

    /// Whether to request missed deliveries again, now that there may be room; true once for each miss.
    pub fn ask_again(&mut self, has_room: impl FnOnce(usize) -> bool) -> bool {
        let may_ask = self.missed_bytes.is_some_and(has_room);
        if may_ask {
            self.missed_bytes = None;
        }
        may_ask
    }

    pub fn queue_confirmation(&mut self, through: u64) {
        self.confirmation = Some(through);
    }

    pub fn due_confirmation(&mut self) -> Option<u64> {
        self.confirmation.take()
    }

    pub fn has_replayed(&mut self) {
        self.replayed = true;
    }
}

impl Outbound {
    pub fn new(me: ShardId, shards: u16, windows: Windows, seed: u64) -> Self {
        let peers = (0..shards).map(|_| PeerShard::default()).collect();
        let waiting = Waiting::new(seed, shards);
        Self { me, windows, peers, waiting, has_put_off: false, is_resending: false }
    }

    /// Sets the state of each shard from a checkpoint, in order.
    pub fn restore(&mut self, peers: Vec<PeerShard>) {
        self.peers = peers;
    }

    pub fn peers(&self) -> &[PeerShard] {
        &self.peers
    }

    /// The records of unconfirmed deliveries.
    pub fn unconfirmed(&self) -> impl Iterator<Item = Position> + '_ {
        self.peers.iter().flat_map(|peer| peer.unconfirmed.iter().map(|delivery| delivery.record))
    }

    /// The oldest record of an unconfirmed delivery, or of one whose confirmation is not in the log: its segment must
    /// be kept.
    pub fn oldest_unconfirmed(&self) -> Option<Position> {
        let unlogged = self.peers.iter().filter_map(|peer| peer.unlogged.map(|(_, oldest)| oldest));
        self.peers
            .iter()
            .filter_map(|peer| peer.unconfirmed.front().map(|delivery| delivery.record))
            .chain(unlogged)
            .min()
    }

    pub fn peer(&mut self, shard: ShardId) -> &mut PeerShard {
        &mut self.peers[usize::from(shard.0)]
    }

    /// Every shard but this one.
    pub fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let (me, shards) = (self.me, self.peers.len() as u16);
        (0..shards).map(ShardId).filter(move |shard| *shard != me)
    }

    /// Whether there is room for a request, and nobody waits for it who asked earlier.
    pub fn may_request(&self, to: ShardId) -> bool {
        self.has_room_for_request(to) && !self.peers[usize::from(to.0)].stalled.is_before()
    }

    /// Whether there is room, whoever waits for it: for what no send of its author can be behind, and what may have
    /// waited for a disk before and would have to begin again.
    pub fn has_room_for_request(&self, to: ShardId) -> bool {
        self.peers[usize::from(to.0)].may_request(self.windows)
    }

    pub fn may_deliver(&self, to: ShardId) -> bool {
        self.peers[usize::from(to.0)].may_deliver(self.windows)
    }

    /// Whether the window of deliveries to this shard is full. It opens when the shard confirms.
    pub fn is_full(&self, to: ShardId) -> bool {
        self.peers[usize::from(to.0)].is_full
    }

    /// Holds a request after those of its conversation. All shards' windows of requests bound the number.
    pub fn hold(&mut self, held: HeldRequest, blocker: Blocker) {
        self.waiting.hold(held, blocker);
        self.expect_bounded();
    }

    /// Holds a request before those of its conversation.
    pub fn hold_first(&mut self, held: HeldRequest) {
        self.waiting.hold_first(held);
        self.expect_bounded();
    }

    fn expect_bounded(&self) {
        assert!(
            self.waiting.len() <= self.windows.requests_max * self.peers.len(),
            "requests are bounded by their windows"
        );
    }

    /// Whether a request of this conversation waits.
    pub fn is_holding(&self, conversation_key: Fingerprint) -> bool {
        self.waiting.has(conversation_key)
    }

    /// The next held request that may be tried; the caller then calls `stay` or `go_on`.
    pub fn next_held(&mut self) -> Option<(GroupTurn, HeldRequest)> {
        let (peers, windows) = (&self.peers, self.windows);
        let may_go = |blocker| match blocker {
            Blocker::Target(to) => {
                let peer: &PeerShard = &peers[usize::from(to.0)];
                peer.may_deliver(windows) || peer.is_full
            }
            Blocker::Room => true,
        };
        self.waiting.next_turn(may_go)
    }

    pub fn stay(&mut self, turn: &GroupTurn, first: HeldRequest, blocker: Blocker) {
        self.waiting.stay(turn, first, blocker);
    }

    pub fn go_on(&mut self, turn: &GroupTurn) {
        self.waiting.go_on(turn);
    }

    #[inline]
    pub fn has_held(&self) -> bool {
        self.waiting.len() > 0
    }

    /// The most held requests that one input continues.
    pub fn held_per_input_max(&self) -> usize {
        self.windows.held_per_input_max
    }

    /// Whether to continue held requests in the next turn, without another event.
    pub fn has_put_off(&self) -> bool {
        self.has_put_off
    }

    pub fn begin_taking_held(&mut self) {
        self.has_put_off = false;
    }

    pub fn put_off_held(&mut self) {
        self.has_put_off = true;
    }

    /// A shard with room and stalled commands.
    pub fn first_unstallable(&self) -> Option<ShardId> {
        let unstallable = |peer: &PeerShard| !peer.stalled.is_empty() && peer.may_request(self.windows);
        self.peers.iter().position(unstallable).map(|at| ShardId(at as u16))
    }

    /// Drops the stalled command of a session that is gone.
    pub fn forget_stalled(&mut self, session: SessionId) {
        for peer in &mut self.peers {
            peer.stalled.forget(session);
        }
    }

    /// Begins to send everything after `taken` again.
    pub fn begin_replay(&mut self, to: ShardId, taken: u64) {
        self.peer(to).begin_replay(taken);
        self.is_resending = true;
    }

    /// Goes back: the shard requests everything after `through` again.
    pub fn rewind(&mut self, to: ShardId, through: u64) {
        self.peer(to).rewind(through);
        self.is_resending = true;
    }

    /// Begins or continues the search for what the shard has lost.
    pub fn give_back(&mut self, to: ShardId, giving: GivingBack) {
        self.peer(to).giving = Some(giving);
        self.is_resending = true;
    }

    /// To be called after a part was sent again.
    pub fn note_resent(&mut self) {
        self.is_resending = self.peers.iter().any(|peer| peer.giving.is_some() || peer.is_being_replayed());
    }

    /// Whether more may be sent to some shard again, or one waits for what it has lost.
    #[inline]
    pub fn is_resending(&self) -> bool {
        let waits = |peer: &PeerShard| peer.giving.as_ref().is_some_and(|giving| giving.is_asked);
        let may_resend = |peer: &PeerShard| waits(peer) || peer.may_resend(self.windows.deliveries_max);
        self.is_resending && self.peers.iter().any(may_resend)
    }

    pub fn deliveries_max(&self) -> usize {
        self.windows.deliveries_max
    }

    /// Whether every other shard has sent its greeting.
    pub fn is_greeted(&self) -> bool {
        self.others().all(|shard| self.peers[usize::from(shard.0)].greeting.is_some())
    }

    /// Whether all deliveries from before the start were sent, in both directions with every other shard.
    pub fn is_replayed(&self) -> bool {
        let is_replayed = |peer: &PeerShard| peer.replayed && !peer.awaits_replay;
        self.others().all(|shard| is_replayed(&self.peers[usize::from(shard.0)]))
    }

    pub fn unfinished(&self) -> Unfinished {
        let sum = |of: fn(&PeerShard) -> usize| self.peers.iter().map(of).sum();
        Unfinished {
            requests: sum(|peer| peer.requests),
            deliveries: sum(|peer| peer.unconfirmed.len()),
            to_full_shards: sum(|peer| if peer.is_full { peer.unconfirmed.len() } else { 0 }),
            ..Unfinished::default()
        }
    }

    pub fn is_settled(&self) -> bool {
        self.waiting.len() == 0 && self.peers.iter().all(|peer| peer.requests == 0 && peer.unconfirmed.is_empty())
    }
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
