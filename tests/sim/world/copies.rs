//! Copies of one shard's disk that are put back later, and the list of runs that tells those that fit from those that
//! do not: a copy is accepted exactly if the log of its shard has never been shorter at the beginning of a later run.

use crate::world::{Disk, World};
use mushan::log::{LogEnd, MemoryStorage, inspect};
use mushan::model::ShardId;
use mushan::server::{Misfit, Runs};

/// So many are remembered.
const LOST_COPIES_MAX: usize = 8;

#[derive(Default)]
pub struct Copies {
    pub runs: Runs,
    /// A shard's disk as it was at some time.
    pub kept: Option<(usize, Disk)>,
    /// Ends of disks that hold what their shard's disk has lost since.
    lost: Vec<(usize, LogEnd)>,
    /// The same, and no run has begun since.
    being_lost: Vec<(usize, LogEnd)>,
    pub refused: u64,
}

pub fn end_of(disk: &MemoryStorage, at: usize) -> LogEnd {
    inspect(disk, ShardId(at as u16), |_, _| {}).expect("a log that is written is read").log_end()
}

impl Copies {
    /// A copy that holds what its shard's disk has lost is not put back: what is written from now on takes the same
    /// places. `before` are the ends of the disks before the crash.
    pub fn note_losses(&mut self, before: &[LogEnd], disks: &[Disk]) {
        let now: Vec<LogEnd> = (0..).zip(disks).map(|(at, (disk, _))| end_of(disk, at)).collect();
        let is_lost = |(at, end): &(usize, LogEnd)| end.position > now[*at].position;
        self.being_lost.extend((0..).zip(before.iter().copied()).filter(is_lost));
        let kept = self.kept.as_ref().map(|(at, (copy, _))| (*at, end_of(copy, *at)));
        if let Some(lost) = kept.filter(is_lost) {
            self.kept = None;
            self.being_lost.push(lost);
        }
    }

    /// A run begins on these logs. Its number.
    pub fn begin_run(&mut self, found: &[LogEnd]) -> u64 {
        let with = |at: usize, end: LogEnd| {
            let mut found = found.to_vec();
            found[at] = end;
            self.runs.misfit(&found)
        };
        assert_eq!(self.runs.misfit(found), None, "what a crash leaves fits");
        let kept = self.kept.as_ref().map(|(at, (copy, _))| (*at, end_of(copy, *at)));
        for (at, end) in kept.into_iter().chain(self.being_lost.iter().copied()) {
            assert_eq!(with(at, end), None, "an older copy, or what no run has begun without, fits: {end:?}");
        }
        for (at, end) in &self.lost {
            // Where the others have lost as much, all are what one run has written, and do not contradict each other.
            let is_of_its_run = |(other, log): (usize, &LogEnd)| other == *at || log.is_new() || log.epoch == end.epoch;
            let is_excused = found.iter().enumerate().all(is_of_its_run);
            let is_right = match with(*at, *end) {
                // The shard's log has been made anew.
                Some((shard, Misfit::Foreign)) => shard.0 as usize == *at,
                Some((shard, _)) => shard.0 as usize == *at && !is_excused,
                None => is_excused,
            };
            assert!(is_right, "a copy that holds what was lost does not fit: {end:?} {found:?}");
        }
        self.refused += self.lost.len() as u64;
        self.lost.append(&mut self.being_lost);
        let surplus = self.lost.len().saturating_sub(LOST_COPIES_MAX);
        self.lost.drain(..surplus);
        // Chance has no part in it: a step of 0 keeps seeds as they are.
        self.runs.begin(found, 0)
    }
}

impl World {
    /// All cores start, on logs that were found like this.
    pub fn begin_run(&mut self, found: &[LogEnd]) {
        let run = self.copies.begin_run(found);
        for at in 0..self.cores.len() {
            self.cores[at].turn.number_run(run);
            self.cores[at].turn.start(self.now);
            self.carry_out(at);
        }
    }

    /// Keeps a copy of a shard's disk, to be put back at some time.
    pub fn keep_copy(&mut self) {
        if self.copies.kept.is_some() {
            return;
        }
        let at = self.chance.below(self.cores.len());
        let core = &self.cores[at];
        let disk = core.turn.shard().journal().storage().clone();
        self.copies.kept = Some((at, (disk, core.checkpoints.clone())));
    }
}
