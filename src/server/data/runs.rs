//! `runs.toml`: the runs of a data directory, and the end of every shard's log when each run began
//! (docs/decisions/0012).
//!
//! Written by each start before any log gets a record of the new run. Invariants: a run's number is above those of all
//! earlier runs and never given twice; so a log whose newest run is number n, and which ends before every later run
//! began, is what this directory's log was during run n, or a beginning of it. The last line is the CRC of all lines
//! before it.

use crate::log::LogEnd;
use crate::model::{Millis, Position, ShardId};
use crate::server::StartError;
use crate::server::base::error::{DiskError, FileFault};
use crate::server::base::files;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

pub(in crate::server) const RUNS_FILE: &str = "runs.toml";
const CRC_KEY: &str = "crc = ";
/// Older ones are forgotten: with 64 shards the file has 2 MB then.
const RUNS_MAX: usize = 1_000;

/// The runs of a data directory, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runs {
    format: u32,
    /// How many runs before these are not listed any more.
    forgotten: u64,
    #[serde(default)]
    runs: Vec<ListedRun>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListedRun {
    number: u64,
    /// For each shard: when its log was made, and the segment and the offset at which it ended.
    ends: Vec<(u64, u32, u32)>,
}

impl Default for Runs {
    fn default() -> Self {
        Self { format: Self::FORMAT, forgotten: 0, runs: Vec::new() }
    }
}

/// Why a log does not belong to the history of its data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It goes on in a run where the directory's log had ended before a later run began.
    Parted,
    /// Its newest run is none of this directory's.
    Unlisted,
    /// It is another log than the one that was there.
    Foreign,
    /// It ends before all listed runs, and older ones are not listed any more.
    Forgotten,
}

impl Misfit {
    /// Follows "the log in that directory".
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Parted => {
                "holds what the shard's log had lost when a later run began, so the logs of the shards contradict each \
                 other"
            }
            Self::Unlisted => "was written by a run that runs.toml does not list",
            Self::Foreign => "is another log than the one that was there in the last run",
            Self::Forgotten => "is older than all runs that runs.toml lists, so nothing shows that it fits the others",
        }
    }
}

impl Runs {
    const FORMAT: u32 = 1;

    /// The first shard whose log is neither what the last run, whatever has cut it short, can have left, nor an older
    /// copy of that. `found[n]` is shard n's. Logs of one run fit each other, whatever was listed since.
    pub fn misfit(&self, found: &[LogEnd]) -> Option<(ShardId, Misfit)> {
        let is_excused = are_of_one_run(found);
        self.misfits_with_list(found).find(|(_, misfit)| !is_excused || *misfit == Misfit::Foreign)
    }

    fn misfits_with_list(&self, found: &[LogEnd]) -> impl Iterator<Item = (ShardId, Misfit)> {
        (0..).zip(found).filter_map(|(shard, end)| Some((ShardId(shard), self.misfit_of(shard.into(), end)?)))
    }

    fn misfit_of(&self, shard: usize, found: &LogEnd) -> Option<Misfit> {
        if found.is_new() {
            return None;
        }
        let ends = self.runs.iter().rev().filter_map(|run| Some((run.number, run.end_of(shard)?)));
        for (later, (number, (log, end))) in ends.enumerate() {
            if log != found.log {
                // The shard's directory was created again with the run after this one, so it has no older records.
                return (later == 0).then_some(Misfit::Foreign);
            }
            if end < found.position {
                return (number != found.epoch).then(|| self.misfit_in(found.epoch));
            }
        }
        (self.forgotten > 0).then_some(Misfit::Forgotten)
    }

    fn misfit_in(&self, epoch: u64) -> Misfit {
        let is_listed = self.runs.iter().any(|run| run.number == epoch);
        if is_listed { Misfit::Parted } else { Misfit::Unlisted }
    }

    /// Lists a run that begins on these logs. Its number is above all others by `step` and one: where a directory and
    /// its restored backup go on apart, `step`, which is random, keeps them from giving one number to two runs.
    pub fn begin(&mut self, found: &[LogEnd], step: u32) -> u64 {
        let listed = self.runs.iter().map(|run| run.number);
        let newest = listed.chain(found.iter().map(|end| end.epoch)).max().unwrap_or_default();
        let number = newest.saturating_add(1).saturating_add(step.into());
        if self.misfits_with_list(found).next().is_some() {
            // The logs are of another time than the list: what it says of the time between is not theirs.
            self.forgotten += self.runs.len() as u64;
            self.runs.clear();
        }
        let ends = found.iter().map(|end| (end.log.0, end.position.segment(), end.position.offset())).collect();
        self.runs.push(ListedRun { number, ends });
        if self.runs.len() > RUNS_MAX {
            self.runs.remove(0);
            self.forgotten += 1;
        }
        number
    }

    /// The runs of a data directory of so many shards; none where no start has listed any.
    pub(in crate::server) fn load(data_dir: &Path, shards: usize) -> Result<Self, StartError> {
        let path = data_dir.join(RUNS_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, shards).map_err(|source| DiskError::File { path, source }.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(StartError::disk("read", &path, error)),
        }
    }

    pub(in crate::server) fn store(&self, data_dir: &Path) -> Result<(), StartError> {
        let path = data_dir.join(RUNS_FILE);
        let text = match self.text() {
            Ok(text) => text,
            Err(source) => return Err(DiskError::File { path, source }.into()),
        };
        files::write_atomically(&path, text.as_bytes(), 0o600).map_err(|error| StartError::disk("write", &path, error))
    }

    fn text(&self) -> Result<String, FileFault> {
        // TOML's integers have a sign.
        let is_small = |number: u64| i64::try_from(number).is_ok();
        let has_small = |run: &ListedRun| is_small(run.number) && run.ends.iter().all(|(made, ..)| is_small(*made));
        if !self.runs.iter().all(has_small) {
            return Err(FileFault::Unfit("cannot hold a number that one of the logs names"));
        }
        let body = toml::to_string(self).expect("numbers with a sign always encode");
        let crc = crc32c::crc32c(body.as_bytes());
        Ok(format!("{body}{CRC_KEY}{crc}\n"))
    }

    fn parse(text: &str, shards: usize) -> Result<Self, FileFault> {
        let (body, crc) = text.rsplit_once(CRC_KEY).ok_or(FileFault::Unfit("has no CRC: it is damaged"))?;
        if crc != format!("{}\n", crc32c::crc32c(body.as_bytes())) {
            return Err(FileFault::Unfit("is damaged: its CRC is another one"));
        }
        let runs: Self = toml::from_str(body)?;
        if runs.format != Self::FORMAT {
            return Err(FileFault::Version { found: runs.format, known: Self::FORMAT, program: "server" });
        }
        if runs.runs.iter().any(|run| run.ends.len() != shards) {
            return Err(FileFault::Unfit("is of a directory with another number of shards"));
        }
        Ok(runs)
    }
}

/// Whether all logs that have a record have the same newest run: then they are what one process has written.
fn are_of_one_run(found: &[LogEnd]) -> bool {
    let mut epochs = found.iter().filter(|end| !end.is_new()).map(|end| end.epoch);
    let first = epochs.next();
    epochs.all(|epoch| Some(epoch) == first)
}

impl ListedRun {
    fn end_of(&self, shard: usize) -> Option<(Millis, Position)> {
        let (made, segment, offset) = *self.ends.get(shard)?;
        Some((Millis(made), Position::new(segment, offset)))
    }
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
