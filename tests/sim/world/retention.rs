//! Old segments are dropped: how much a run keeps, and how it grows old while parcels are stuck.

use crate::client::Phase;
use crate::client::speech::SHORT_S;
use crate::world::clocks::SET_A_LITTLE_MS;
use crate::world::{Core, World};
use mushan::log::{Record, inspect};
use mushan::model::ShardId;
use mushan::shard::Upkeep;
use std::collections::BTreeSet;

pub const HOUR_MS: u64 = 3_600_000;
/// Longer than it takes to collect everything.
const AT_HAND_MS: u64 = 60_000;

/// What retention keeps in a run; a run itself takes seconds, unless it ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    Everything,
    /// In segments that hold whole large groups.
    EverythingLarge,
    Hours(u64),
    Segments(u64),
}

impl Retention {
    /// Small ones where they are to be dropped: they hold a few messages each.
    pub fn segment_bytes(self) -> u32 {
        match self {
            Self::Everything => 16 << 10,
            Self::EverythingLarge => 1 << 20,
            Self::Hours(_) | Self::Segments(_) => 4 << 10,
        }
    }

    /// So long nothing is dropped: a repetition may need it.
    pub fn kept_ms(self) -> u64 {
        match self {
            Self::Hours(hours) => hours * HOUR_MS,
            _ => HOUR_MS,
        }
    }

    pub fn upkeep(self) -> Upkeep {
        let upkeep = Upkeep { checkpoint_bytes: u64::from(self.segment_bytes()), ..Upkeep::default() };
        match self {
            Self::Everything | Self::EverythingLarge => upkeep,
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
        // The id that is used for another message may belong to that one when hours have passed.
        if self.ledger.misuses > 0 {
            return;
        }
        for (pipe, client) in self.pipes.iter_mut().zip(&mut self.clients) {
            self.ledger.is_left_open(client.outstanding());
            pipe.to_server.clear();
            pipe.client_closed = true;
            client.disconnected();
        }
        let given_up = self.operator.backend.gives_up();
        self.ledger.is_left_open(given_up.into_iter());
        self.ledger.age();
        self.ledger.count("times that hours passed");
        self.set_right_before_it_is_believed();
        let hours_ms = self.chance.between(2, 5) as u64 * HOUR_MS;
        // Before two windows are over, the server knows of a repetition by reading what was said first.
        let minutes_ms = HOUR_MS + self.chance.below(HOUR_MS as usize * 5 / 6) as u64;
        let passed_ms = if self.chance.one_in(2) { minutes_ms } else { hours_ms };
        self.pass(passed_ms);
        let chores = self.chance.below(24);
        (0..chores).for_each(|_| self.do_chores());
    }

    /// What a core does once in a second, and what its disk has to do for it.
    pub fn do_chores(&mut self) {
        self.tick();
        (0..3).for_each(|_| self.finish_sync());
    }

    /// Until what is left behind has ended: messages past their time, and streams. These end with their author's
    /// session; a crash ends no session, and what it left open ends by being silent.
    pub fn outlast(&mut self) {
        let is_silence_needed = self.crashes > 0;
        for at in (0..self.clients.len()).filter(|_| !is_silence_needed) {
            if self.clients[at].phase != Phase::Offline {
                self.hang_up(at);
            }
        }
        let passed_ms = if is_silence_needed { self.scale.limits.stream_idle_ms } else { 2 * SHORT_S * 1_000 };
        // A clock that was a little ahead has dated messages that are over later.
        let ahead_ms = if self.clocks.times_set > 0 { SET_A_LITTLE_MS } else { 0 };
        self.pass(passed_ms + ahead_ms);
        self.calm();
        self.tick();
        self.calm();
    }

    /// A clock that was ahead may have dated a message so that it is over while everything is collected: then it is over
    /// before.
    pub fn pass_ends_at_hand(&mut self) {
        let mut ends = BTreeSet::new();
        for (at, core) in self.cores.iter().enumerate() {
            let visit = |_, record: Record| {
                let Some((message, _)) = record.message() else { return };
                let expire_s = message.annotations.as_ref().map_or(0, |annotations| annotations.expire_s);
                ends.extend((expire_s > 0).then(|| message.server_time.0 + 1_000 * u64::from(expire_s)));
            };
            inspect(core.turn.shard().journal().storage(), ShardId(at as u16), visit).expect("a log is read");
        }
        loop {
            let now_ms = self.now.wall.0;
            let at_hand = ends.range(now_ms + 1..now_ms + AT_HAND_MS).next_back();
            let Some(last_ms) = at_hand.filter(|_| !self.clocks.stands_still) else { return };
            self.pass(last_ms - now_ms);
            self.calm();
        }
    }

    pub fn note_entries_without_body(&mut self) {
        for (at, core) in self.cores.iter().enumerate() {
            let journal = core.turn.shard().journal();
            let (first, newest) = (journal.segments().start, &mut self.ledger.without_body);
            let visit = |_, record: Record| {
                let Record::Fanned { of, links } = record else { return };
                for member in links.iter().filter(|_| of.segment() < first) {
                    let seq = newest.entry(member.user.to_string()).or_default();
                    *seq = member.link.seq.0.max(*seq);
                }
            };
            inspect(journal.storage(), ShardId(at as u16), visit).expect("a log is read");
        }
    }

    /// Segments dropped since the last start.
    pub fn dropped_so_far(&self) -> u64 {
        self.cores.iter().map(|core| core.turn.shard().stats().dropped_segments).sum()
    }

    /// From now on one core's parcels do not arrive, mostly those of one that has messages on their way to members or to
    /// other cores, and for long; or all do.
    pub fn freeze(&mut self) {
        let is_fanning = |core: &Core| core.turn.shard().fanning_out() > 0;
        let is_owing = |core: &Core| core.turn.shard().unfinished().deliveries > 0;
        let is_busy = if self.chance.one_in(2) { is_fanning } else { is_owing };
        let busy: Vec<usize> = (0..self.cores.len()).filter(|at| is_busy(&self.cores[*at])).collect();
        self.frozen = match self.frozen {
            None if busy.is_empty() || self.chance.one_in(4) => Some(self.chance.below(self.cores.len())),
            None => Some(*self.chance.pick(&busy)),
            Some(core) => Some(core).filter(|_| !self.chance.one_in(6)),
        };
    }
}
