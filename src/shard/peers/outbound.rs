//! All other shards, and what waits for one of them: held and stalled requests, and work that is left to later turns.
//!
//! Invariants: unconfirmed deliveries never exceed the window; a message is only sent when its window has room, so that
//! no lane overflows.

use crate::model::{Position, SessionId, ShardId};
use crate::shard::Windows;
use crate::shard::peers::giving_back::GivingBack;
use crate::shard::peers::held_requests::{Blocker, GroupTurn, HeldRequest, Waiting};
use crate::shard::peers::peer_shard::PeerShard;
use crate::shard::peers::stalled::Stalled;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::table::outstanding::Unfinished;

pub(in crate::shard) struct Outbound {
    me: ShardId,
    windows: Windows,
    peers: Vec<PeerShard>,
    waiting: Waiting,
    /// Held requests may continue: the last input has continued as many as one input may.
    has_put_off: bool,
    /// Some shard is to be sent deliveries again, or what it has lost. Kept, so that no turn visits all shards.
    is_resending: bool,
    /// Somebody may wait for room in a window of requests. Kept, so that no turn visits all shards.
    has_stalled: bool,
}

impl Outbound {
    pub fn new(me: ShardId, shards: u16, windows: Windows, seed: u64) -> Self {
        let peers = (0..shards).map(|_| PeerShard::default()).collect();
        let waiting = Waiting::new(seed, shards);
        Self { me, windows, peers, waiting, has_put_off: false, is_resending: false, has_stalled: false }
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

    /// Lets this wait for room in the window of requests to the shard.
    pub fn stall(&mut self, to: ShardId, stalled: Stalled) {
        self.peer(to).stalled.push(stalled);
        self.has_stalled = true;
    }

    /// A shard with room and stalled commands.
    #[inline]
    pub fn first_unstallable(&self) -> Option<ShardId> {
        if !self.has_stalled {
            return None;
        }
        let unstallable = |peer: &PeerShard| !peer.stalled.is_empty() && peer.may_request(self.windows);
        self.peers.iter().position(unstallable).map(|at| ShardId(at as u16))
    }

    /// Takes the first that waits for the shard, which is tried again until `stalled_tried`.
    pub fn take_stalled(&mut self, to: ShardId) -> Option<Stalled> {
        self.peer(to).stalled.take_first()
    }

    pub fn stalled_tried(&mut self, to: ShardId) {
        self.peer(to).stalled.tried();
        self.note_unstalled();
    }

    /// Drops the stalled command of a session that is gone.
    pub fn forget_stalled(&mut self, session: SessionId) {
        if !self.has_stalled {
            return;
        }
        for peer in &mut self.peers {
            peer.stalled.forget(session);
        }
        self.note_unstalled();
    }

    fn note_unstalled(&mut self) {
        self.has_stalled = self.peers.iter().any(|peer| !peer.stalled.is_empty());
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
