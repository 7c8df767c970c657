//! The purpose of a submission, packed into the 64 bits that the kernel returns with its completion.

use crate::server::turn::LinkKey;

/// A socket's index in the table, and the generation of the sockets at that index: a completion for a closed socket is
/// never taken for one of its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketIndex {
    pub key: LinkKey,
    pub generation: SocketGeneration,
}

/// Counts the sockets at one index, modulo 2^24.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SocketGeneration(u32);

impl SocketGeneration {
    const MASK: u32 = (1 << 24) - 1;

    pub fn next(self) -> Self {
        Self((self.0 + 1) & Self::MASK)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Accept,
    CancelAccept,
    Receive(SocketIndex),
    CancelReceive(SocketIndex),
    Send(SocketIndex),
    Sync,
    Wake,
    CancelAll,
}

impl Operation {
    /// Kind in the top 8 bits, generation in the next 24, link key in the low 32.
    pub fn pack(self) -> u64 {
        let (kind, place) = match self {
            Self::Accept => (0, None),
            Self::CancelAccept => (1, None),
            Self::Receive(place) => (2, Some(place)),
            Self::CancelReceive(place) => (3, Some(place)),
            Self::Send(place) => (4, Some(place)),
            Self::Sync => (5, None),
            Self::Wake => (6, None),
            Self::CancelAll => (7, None),
        };
        let operand =
            place.map_or(0, |place: SocketIndex| u64::from(place.generation.0) << 32 | u64::from(place.key.0));
        kind << 56 | operand
    }

    /// The inverse of `pack`. The kernel returns the value unchanged.
    pub fn unpack(packed: u64) -> Self {
        let place = SocketIndex {
            key: LinkKey(packed as u32),
            generation: SocketGeneration((packed >> 32) as u32 & SocketGeneration::MASK),
        };
        match packed >> 56 {
            0 => Self::Accept,
            1 => Self::CancelAccept,
            2 => Self::Receive(place),
            3 => Self::CancelReceive(place),
            4 => Self::Send(place),
            5 => Self::Sync,
            6 => Self::Wake,
            7 => Self::CancelAll,
            kind => unreachable!("operation kind {kind} was never submitted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_comes_back_as_it_went() {
        let mut generation = SocketGeneration(SocketGeneration::MASK - 1);
        for key in [0, 1, 0x00ff_ffff, u32::MAX] {
            let place = SocketIndex { key: LinkKey(key), generation };
            for operation in [
                Operation::Accept,
                Operation::CancelAccept,
                Operation::Receive(place),
                Operation::CancelReceive(place),
                Operation::Send(place),
                Operation::Sync,
                Operation::Wake,
                Operation::CancelAll,
            ] {
                assert_eq!(Operation::unpack(operation.pack()), operation);
            }
            generation = generation.next();
        }
        assert_eq!(generation, SocketGeneration(2), "it wraps at 24 bits");
    }
}
