//! A connection's descriptor and the operations in flight on it. The turn interprets the bytes.
//!
//! Owned by one reactor's table. Invariants: at most one receive and one send are in flight; the descriptor is closed
//! or handed over only when neither is; bytes reach the turn in the order in which they arrived.

use crate::model::ShardId;
use crate::model::Steady;
use crate::server::base::descriptors::Descriptor;
use crate::server::peer::client::PeerAddress;
use crate::server::ring::operation::{SocketGeneration, SocketIndex};
use crate::server::turn::LinkKey;

/// The number of parts of the socket table. A sweep examines one part, so that no turn examines all sockets.
pub(in crate::server) const SWEEP_PARTS: usize = 4;

/// Whether the peer has authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerIdentity {
    /// Not authenticated; counted among its origin's half-open connections if the origin has a bound.
    Stranger(Option<PeerAddress>),
    /// Not authenticated; it owes a PROXY header, and counts among those of its proxy that do.
    Unannounced(PeerAddress),
    Known,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    Idle,
    Armed,
    Cancelling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketPhase {
    Open,
    /// Moves to the shard that owns its user, as soon as no operation is in flight.
    Departing(ShardId),
    /// Writes what is queued, then waits for the peer to close too: closing at once could destroy the last bytes on
    /// their way.
    Ending(SocketEnd),
}

/// The progress of a socket's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketEnd {
    /// The peer had not authenticated, and the socket counts among those that linger.
    pub is_lingering: bool,
    /// The write side is shut down (FIN): nothing more is written.
    pub is_write_shut: bool,
}

/// The state of the peer, and whether the turn has been told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    Talking,
    /// The peer has shut down its write side; it may still read.
    Silent(PeerNews),
    /// Nothing can be written to the peer any more.
    Gone(PeerNews),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerNews {
    Untold,
    Told,
}

impl PeerState {
    pub fn is_talking(self) -> bool {
        self == Self::Talking
    }

    pub fn is_gone(self) -> bool {
        matches!(self, Self::Gone(_))
    }

    /// The peer has shut down its write side.
    pub fn fall_silent(&mut self) {
        if self.is_talking() {
            *self = Self::Silent(PeerNews::Untold);
        }
    }

    /// Nothing can be written to the peer any more. A turn that already knows that the peer is silent is not told
    /// again.
    pub fn lose(&mut self) {
        *self = match *self {
            Self::Talking => Self::Gone(PeerNews::Untold),
            Self::Silent(news) | Self::Gone(news) => Self::Gone(news),
        };
    }

    /// Whether the turn is to be told now; true once for each change.
    pub fn take_news(&mut self) -> bool {
        match self {
            Self::Talking => false,
            Self::Silent(news) | Self::Gone(news) => std::mem::replace(news, PeerNews::Told) == PeerNews::Untold,
        }
    }
}

pub struct Socket {
    pub descriptor: Descriptor,
    pub place: SocketIndex,
    pub standing: PeerIdentity,
    pub phase: SocketPhase,
    pub peer: PeerState,
    pub receiving: Receiving,
    /// The send in flight: when the peer last took bytes.
    pub sending: Option<Steady>,
    /// What `Outboxes` has noted of it.
    pub noted_bytes: u64,
    /// Bytes received beyond a turn's budget and not fed yet.
    pub waiting: Vec<u8>,
    /// Bytes that were fed in turn `fed_turn`.
    pub fed_bytes: usize,
    pub fed_turn: u64,
    /// Listed among the sockets to be driven, and among those with waiting bytes.
    pub is_touched: bool,
    pub is_backlogged: bool,
}

impl Socket {
    fn new(descriptor: Descriptor, place: SocketIndex, standing: PeerIdentity) -> Self {
        Self {
            descriptor,
            place,
            standing,
            phase: SocketPhase::Open,
            peer: PeerState::Talking,
            receiving: Receiving::Idle,
            sending: None,
            noted_bytes: 0,
            waiting: Vec::new(),
            fed_bytes: 0,
            fed_turn: 0,
            is_touched: false,
            is_backlogged: false,
        }
    }

    pub fn is_lingering(&self) -> bool {
        matches!(self.phase, SocketPhase::Ending(SocketEnd { is_lingering: true, .. }))
    }

    pub fn is_quiet(&self) -> bool {
        self.receiving == Receiving::Idle && self.sending.is_none()
    }
}

/// All sockets of a shard, by link key.
#[derive(Default)]
pub struct Sockets {
    slots: Vec<SocketSlot>,
    count: usize,
    cursor: usize,
}

#[derive(Default)]
struct SocketSlot {
    generation: SocketGeneration,
    socket: Option<Socket>,
}

impl Sockets {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn insert(&mut self, key: LinkKey, descriptor: Descriptor, standing: PeerIdentity) {
        let index = key.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, SocketSlot::default);
        }
        let slot = &mut self.slots[index];
        assert!(slot.socket.is_none(), "a link key is reused only after its socket is gone");
        slot.generation = slot.generation.next();
        slot.socket = Some(Socket::new(descriptor, SocketIndex { key, generation: slot.generation }, standing));
        self.count += 1;
    }

    pub fn of(&mut self, key: LinkKey) -> Option<&mut Socket> {
        self.slots.get_mut(key.0 as usize)?.socket.as_mut()
    }

    /// The socket of an operation, unless it is gone.
    pub fn at(&mut self, place: SocketIndex) -> Option<&mut Socket> {
        self.of(place.key).filter(|socket| socket.place == place)
    }

    pub fn remove(&mut self, key: LinkKey) -> Socket {
        let socket = self.slots[key.0 as usize].socket.take().expect("removed once");
        assert!(socket.is_quiet(), "nothing is in flight on a socket that is closed or handed over");
        self.count -= 1;
        socket
    }

    /// The next part of the table, `1 / parts` of it; each call returns the part after the previous one.
    pub fn next_part(&mut self, parts: usize) -> impl Iterator<Item = &mut Socket> {
        let length = self.slots.len().div_ceil(parts);
        let start = if self.cursor < self.slots.len() { self.cursor } else { 0 };
        let end = (start + length).min(self.slots.len());
        self.cursor = end;
        self.slots[start..end].iter_mut().filter_map(|slot| slot.socket.as_mut())
    }

    pub fn all(&mut self) -> impl Iterator<Item = &mut Socket> {
        self.slots.iter_mut().filter_map(|slot| slot.socket.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> Descriptor {
        std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null").expect("there")).into()
    }

    #[test]
    fn a_late_completion_is_not_taken_for_the_successors() {
        let mut sockets = Sockets::default();
        sockets.insert(LinkKey(3), descriptor(), PeerIdentity::Known);
        let old = sockets.of(LinkKey(3)).expect("inserted").place;
        sockets.remove(LinkKey(3));
        assert!(sockets.at(old).is_none() && sockets.is_empty());
        sockets.insert(LinkKey(3), descriptor(), PeerIdentity::Known);
        assert!(sockets.at(old).is_none());
        assert_ne!(sockets.of(LinkKey(3)).expect("inserted").place, old);
    }

    #[test]
    fn every_socket_is_swept_in_so_many_parts() {
        let mut sockets = Sockets::default();
        for key in 0..25 {
            sockets.insert(LinkKey(key), descriptor(), PeerIdentity::Known);
        }
        let mut swept: Vec<u32> = Vec::new();
        for _part in 0..10 {
            swept.extend(sockets.next_part(10).map(|socket| socket.place.key.0));
        }
        swept.sort_unstable();
        swept.dedup();
        assert_eq!(swept.len(), 25);
    }

    #[test]
    fn the_turn_is_told_once_of_a_peer_however_it_goes() {
        let mut peer = PeerState::Talking;
        assert!(!peer.take_news(), "there is nothing to tell");
        peer.fall_silent();
        assert!(peer == PeerState::Silent(PeerNews::Untold) && peer.take_news() && !peer.take_news());
        peer.fall_silent();
        peer.lose();
        assert!(peer.is_gone() && !peer.take_news(), "who knows that it is silent is told no second time");
        let mut lost = PeerState::Talking;
        lost.lose();
        lost.fall_silent();
        assert!(lost.is_gone() && lost.take_news() && !lost.take_news());
    }
}
