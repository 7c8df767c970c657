//! One shard's log, read for an audit.

use crate::log::{Inspection, OpenError, ReadMode, Segments, View, inspect};
use crate::model::{Position, ShardId};
use crate::shard::audit::findings::Findings;
use crate::shard::audit::lanes::{Gaps, PeerDeliveries};
use crate::shard::audit::log::Ledger;
use crate::shard::replay::checkpoint::UsableCheckpoint;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::{ShardSettings, State};

/// One shard's log, read up to one position.
pub struct Examined<'a, S> {
    pub(in crate::shard) me: ShardId,
    log: &'a S,
    end: Position,
    pub(in crate::shard) state: State,
    /// Deliveries from and to each shard.
    pub(in crate::shard) lanes: Vec<PeerDeliveries>,
    /// Ranges of conversations that a rewrite has recorded as missing.
    gaps: Gaps,
}

impl<'a, S: Segments> Examined<'a, S> {
    /// Reads a shard's records before `end`, and rebuilds its state from the first usable one of `checkpoints` (newest
    /// first) and the records after it. The checkpoints end before `end`.
    ///
    /// # Errors
    ///
    /// The log cannot be read up to there.
    pub fn read<C: AsRef<[u8]>>(
        settings: &ShardSettings,
        log: &'a S,
        checkpoints: &[C],
        end: Position,
        findings: &mut Findings,
    ) -> Result<Self, OpenError> {
        let mut found = UsableCheckpoint::among(settings, checkpoints)?;
        found.resume(log)?;
        let UsableCheckpoint { base, mut state, .. } = found;
        let first = log.segments().start;
        if base.is_none() && first > 1 {
            return Err(OpenError::BeginningMissing { segment: first });
        }
        let base = base.map_or(Position::NONE, |base| base.end);
        let mut ledger = Ledger::new(settings, log, findings);
        let inspected = inspect(log, settings.me, |position, record| {
            if position >= end {
                return;
            }
            ledger.take(position, &record);
            if position >= base {
                state.replay(position, record, settings.me);
            }
        })?;
        let Inspection { end: found, damage, .. } = inspected;
        if let Some(damage) = damage.filter(|_| found < end) {
            return Err(OpenError::Damaged(damage));
        }
        if found < base {
            return Err(OpenError::Shortened { end: base });
        }
        ledger.compare(&state);
        let (lanes, gaps) = ledger.close();
        Ok(Self { me: settings.me, log, end, state, lanes, gaps })
    }

    pub(in crate::shard) fn view(&self) -> View<'a, S> {
        View::new(self.log, self.end, ReadMode::Unbounded)
    }

    /// Whether retention has dropped nothing.
    pub(in crate::shard) fn is_whole(&self) -> bool {
        self.log.segments().start <= 1
    }

    /// The number of these places that the log records as missing for good.
    pub(in crate::shard) fn missing_between(&self, conversation_key: Fingerprint, from: u64, through: u64) -> u64 {
        let gaps = self.gaps.get(&conversation_key).into_iter().flatten();
        gaps.map(|(first, last)| (last.min(&through) + 1).saturating_sub(*first.max(&from))).sum()
    }
}
