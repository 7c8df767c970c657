//! What a shard keeps of another one: requests and deliveries to it and from it, and how far each side has got.
//!
//! Owned by `Outbound`. Invariants: a peer accepts our deliveries in the order of their numbers, each once; numbers are
//! never used twice.

use crate::log::record::bytes::{Put, Reader};
use crate::model::Position;
use crate::shard::Windows;
use crate::shard::peers::giving_back::GivingBack;
use crate::shard::peers::greeting::{Greeting, Resent, Unconfirmed};
use crate::shard::peers::stalled::StalledLine;
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
    pub(super) requests: usize,
    request_bytes: usize,
    /// Requests that found the window full.
    pub(super) stalled: StalledLine,
    /// The number of the newest delivery to it.
    newest: u64,
    /// Deliveries to it that it has not confirmed, ascending.
    pub(super) unconfirmed: VecDeque<Unconfirmed>,
    unconfirmed_bytes: usize,
    /// The unconfirmed deliveries up to this number are durable and may be sent.
    released: u64,
    /// The unconfirmed deliveries up to this number are sent. Below `released` only while more is sent again than the
    /// window holds.
    sent: u64,
    /// The number up to which it has confirmed, if the log does not say so yet, and the oldest record that is still
    /// needed until then.
    pub(super) unlogged: Option<(u64, Position)>,
    /// The number of the newest of its deliveries that we have accepted.
    taken: u64,
    /// The number of the newest of its deliveries that has arrived, accepted or not.
    newest_known: u64,
    /// Set when one of its deliveries found no room for its record of this many bytes: it must be sent again.
    missed_bytes: Option<usize>,
    /// It has no room for our deliveries.
    pub(super) is_full: bool,
    /// The number of the newest of its deliveries that is durable here and not confirmed yet.
    confirmation: Option<u64>,
    /// The search for its lost deliveries, which are returned to it.
    pub giving: Option<GivingBack>,
    /// Its view after the start of the deliveries between the two.
    pub(super) greeting: Option<Greeting>,
    pub(super) replayed: bool,
    /// It is still to be told that all deliveries from before the start were sent.
    pub(super) awaits_replay: bool,
}

impl PeerShard {
    pub(super) fn may_request(&self, windows: Windows) -> bool {
        self.requests < windows.requests_max && self.request_bytes < windows.bytes_max
    }

    pub(super) fn may_deliver(&self, windows: Windows) -> bool {
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
    pub(super) fn begin_replay(&mut self, taken: u64) {
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
    pub(super) fn rewind(&mut self, through: u64) {
        self.sent = self.sent.min(through);
    }

    /// Whether to send `Replayed` now; true once.
    pub fn has_been_replayed(&mut self) -> bool {
        self.sent >= self.released && std::mem::take(&mut self.awaits_replay)
    }

    /// Whether `resend` has something to send in this window.
    pub(super) fn may_resend(&self, window: usize) -> bool {
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

#[cfg(test)]
#[path = "peer_shard_tests.rs"]
mod tests;
