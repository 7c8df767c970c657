//! Old segments are dropped: how much a run keeps, and how it grows old while parcels are stuck.

use super::world::World;
use mushan::shard::Upkeep;

pub const HOUR_MS: u64 = 3_600_000;

/// What retention keeps in a run; a run itself takes seconds, unless it ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    Everything,
    Hours(u64),
    Segments(u64),
}

impl Retention {
    /// Small ones where they are to be dropped: they hold a few messages each.
    pub fn segment_bytes(self) -> u32 {
        if self == Self::Everything { 16 << 10 } else { 4 << 10 }
    }

    pub fn upkeep(self) -> Upkeep {
        let upkeep = Upkeep { checkpoint_bytes: u64::from(self.segment_bytes()), ..Upkeep::default() };
        match self {
            Self::Everything => upkeep,
            Self::Hours(hours) => Upkeep { retention_ms: hours * HOUR_MS, ..upkeep },
            Self::Segments(segments) => {
                Upkeep { retention_bytes: segments * u64::from(self.segment_bytes()), ..upkeep }
            }
        }
    }
}

impl World {
    /// Hours pass, and chores are done, while what is under way between shards stays where it is. Nobody is connected:
    /// what a client says again after that is a message of its own.
    pub fn age(&mut self) {
        for (pipe, client) in self.pipes.iter_mut().zip(&mut self.clients) {
            self.ledger.is_left_open(client.outstanding());
            pipe.to_server.clear();
            pipe.client_closed = true;
            client.disconnected();
        }
        self.ledger.age();
        self.now = self.now.plus(self.chance.between(2, 5) as u64 * HOUR_MS);
        for _ in 0..self.chance.below(24) {
            self.tick();
            (0..3).for_each(|_| self.finish_sync());
        }
    }

    /// From now on one core's parcels do not arrive, or all do.
    pub fn freeze(&mut self) {
        self.frozen = match self.frozen {
            None => Some(self.chance.below(self.cores.len())),
            Some(_) => None,
        };
    }

    pub fn dropped_segments(&self) -> u64 {
        self.dropped + self.cores.iter().map(|core| core.turn.shard().stats().dropped_segments).sum::<u64>()
    }
}
