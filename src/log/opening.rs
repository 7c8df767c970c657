//! Opens a log: replays the longest valid prefix. The bytes after it are either a torn tail, which is cut, or proof
//! that acknowledged data is damaged; then the log is refused.
//!
//! Invariants: one pass over the records; nothing is written before the whole log has been judged; a refused log is
//! left as it is.

use super::checkpoint::Base;
use super::segment::{FIRST_SEGMENT, FORMAT_VERSION, FORMAT_VERSION_OLDEST, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::{Damage, Journal, LogEnd, Meter, Record, SegmentStatus, Segments, Storage, StorageError};
use crate::log::record::body::{self, DurabilityMark, KIND_MARK, KIND_START, MARK_BODY_BYTES, START_BODY_BYTES};
use crate::log::record::bytes::Reader;
use crate::log::record::envelope::{ALIGNMENT_BYTES, RecordEnvelope};
use crate::model::{Millis, Position, ShardId};
use std::ops::Range;

/// The reason why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Acknowledged data cannot be read back.
    #[error("acknowledged data is damaged: {0}")]
    Damaged(#[source] Damage),
    /// A segment has a format version that this server does not read.
    #[error("segment {segment} has format version {version}, this server reads version {supported}")]
    Version {
        /// The segment's number.
        segment: u32,
        /// The version found.
        version: u16,
        /// The newest version that this server reads.
        supported: u16,
    },
    /// A checkpoint has a format version that this server does not read.
    #[error("a checkpoint has format version {version}, this server reads version {supported}")]
    CheckpointVersion {
        /// The version found.
        version: u16,
        /// The version that this server reads.
        supported: u16,
    },
    /// A whole record has a kind that this server does not know.
    #[error("segment {} has a record of unknown kind {kind} at offset {}: a newer server's", .position.segment(), .position.offset())]
    UnknownKind {
        /// The position of the record.
        position: Position,
        /// The kind found.
        kind: u8,
    },
    /// A segment belongs to another shard.
    #[error("segment {segment} belongs to shard {found}, not to shard {expected}")]
    OtherShard {
        /// The segment's number.
        segment: u32,
        /// The shard in its header.
        found: ShardId,
        /// The shard that is being opened.
        expected: ShardId,
    },
    /// A file is not the segment that was written under its number, or is incomplete.
    #[error("segment {segment} is not the segment that was written under this number, or not all of it")]
    OtherSegment {
        /// The segment's number.
        segment: u32,
    },
    /// Older segments are gone, and no checkpoint has their contents.
    #[error("the log begins with segment {segment}, and no checkpoint has the contents of the segments before it")]
    BeginningMissing {
        /// The first segment found.
        segment: u32,
    },
    /// A checkpoint proves that the log was longer.
    #[error("a checkpoint proves that the log reached segment {} offset {}, and the log ends before that", .end.segment(), .end.offset())]
    Shortened {
        /// The end that the checkpoint proves.
        end: Position,
    },
    /// The device does not deliver a segment.
    #[error("the disk cannot read segment {segment}")]
    Unreadable {
        /// The segment's number.
        segment: u32,
    },
    /// The device or the file system failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl OpenError {
    /// Whether the data is sound and another version of this program must read it: then there is nothing to repair.
    pub fn is_of_another_version(&self) -> bool {
        matches!(self, Self::Version { .. } | Self::CheckpointVersion { .. } | Self::UnknownKind { .. })
    }
}

/// What opening a log found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedLog {
    /// The end of the log as it was found.
    pub found: LogEnd,
    /// The number of the log's run that begins now, from 1, unless another one is given to it.
    pub epoch: u64,
    /// Records since the log was created.
    pub records: u64,
    /// Bytes of a torn tail, which was never acknowledged: they were not zero and are now.
    pub cut_bytes: u64,
}

/// The contents of a log, as far as reading shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The end of the last record of the longest valid prefix.
    pub end: Position,
    /// The wall-clock time of the log's creation; `None` in a log without a valid header.
    pub log: Option<Millis>,
    /// The number of the log's last run.
    pub epoch: u64,
    /// Records of the longest valid prefix.
    pub records: u64,
    /// Bytes after `end` that are not zero.
    pub tail_bytes: u64,
    /// Set if a record after `end` proves that bytes are missing: then the tail is not a torn one but a rest of
    /// acknowledged data.
    pub damage: Option<Damage>,
}

impl Inspection {
    /// The end of the log, as an opening would find it.
    pub fn log_end(&self) -> LogEnd {
        LogEnd { log: self.log.unwrap_or_default(), epoch: self.epoch, position: self.end }
    }
}

/// Reads a whole log without changing it, and passes every record of the longest valid prefix to `visit`, in order.
///
/// # Errors
///
/// The log is of another version or shard, or cannot be read.
pub fn inspect<S: Segments>(
    log: &S,
    shard: ShardId,
    visit: impl FnMut(Position, Record),
) -> Result<Inspection, OpenError> {
    let prefix = Prefix::scan(log, shard, None, visit)?;
    prefix.inspection(log)
}

/// Reads from `base` (or from the beginning) to the end of segment `through`, which is not written any more, and
/// returns the base there. Changes nothing.
///
/// # Errors
///
/// The log is damaged before that end.
pub fn survey<S: Segments>(
    log: &S,
    shard: ShardId,
    base: Option<&Base>,
    through: u32,
    visit: impl FnMut(Position, Record),
) -> Result<Base, OpenError> {
    expect_beginning(log, base)?;
    let prefix = Prefix::scan(&Through { log, through }, shard, base, visit)?;
    let Prefix { end, last, chain, epoch, log: Some(log), records, .. } = prefix else {
        return Err(OpenError::Damaged(Damage { position: prefix.end }));
    };
    if end.segment() != through {
        return Err(OpenError::Damaged(Damage { position: end }));
    }
    Ok(Base { end, last, chain, epoch, log, records })
}

/// Checks that the log has the record that `base` names as the last one before it. Changes nothing.
///
/// # Errors
///
/// The record is not there, so the log has lost what the checkpoint proves.
pub fn expect_base<S: Segments>(log: &S, shard: ShardId, base: &Base) -> Result<(), OpenError> {
    Prefix::behind(base, log, shard).map(|_| ())
}

/// Checks that the log begins with its first segment, or that a checkpoint has what retention dropped.
///
/// # Errors
///
/// `OpenError::BeginningMissing`.
pub fn expect_beginning<S: Segments>(log: &S, base: Option<&Base>) -> Result<(), OpenError> {
    let segments = log.segments();
    if base.is_none() && !segments.is_empty() && segments.start != FIRST_SEGMENT {
        return Err(OpenError::BeginningMissing { segment: segments.start });
    }
    Ok(())
}

/// A log as it was when segment `through` was its last.
struct Through<'a, S> {
    log: &'a S,
    through: u32,
}

impl<S: Segments> Segments for Through<'_, S> {
    fn segments(&self) -> Range<u32> {
        let Range { start, end } = self.log.segments();
        start..end.min(self.through.saturating_add(1))
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        self.log.bytes(segment)
    }

    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        self.log.is_readable(segment, bytes)
    }
}

impl<S: Storage> Journal<S> {
    /// As `open_idle`, and begins the next run at once.
    pub fn open(
        storage: S,
        shard: ShardId,
        now: Millis,
        base: Option<&Base>,
        replay: impl FnMut(Position, Record),
    ) -> Result<(Self, OpenedLog), OpenError> {
        let (mut journal, opened) = Self::open_idle(storage, shard, now, base, replay)?;
        journal.begin_run();
        Ok((journal, opened))
    }

    /// Opens a log, gives every record of the longest valid prefix, from `base` on, to `replay` in order, and cuts the
    /// torn tail. An empty storage with a spare becomes a new log. Afterwards all that was replayed is durable. No
    /// record is appended before the `Start` of the next run, which `begin_run` appends.
    ///
    /// After an error, forget what `replay` was given.
    pub(crate) fn open_idle(
        mut storage: S,
        shard: ShardId,
        now: Millis,
        base: Option<&Base>,
        replay: impl FnMut(Position, Record),
    ) -> Result<(Self, OpenedLog), OpenError> {
        expect_beginning(&storage, base)?;
        let prefix = Prefix::scan(&storage, shard, base, replay)?;
        let Inspection { tail_bytes: cut_bytes, damage, .. } = prefix.inspection(&storage)?;
        if let Some(damage) = damage {
            return Err(OpenError::Damaged(damage));
        }
        storage.secure(SegmentStatus {
            marked_durable: prefix.marked_durable,
            end: prefix.end,
            torn_bytes: cut_bytes,
        })?;
        let (is_new, epoch) = (prefix.log.is_none(), prefix.epoch.saturating_add(1));
        let mut journal = Self {
            storage,
            shard,
            log: prefix.log.unwrap_or(now),
            epoch,
            end: prefix.end,
            durable: prefix.end,
            said: prefix.end,
            marked_durable: Position::NONE,
            chain: prefix.chain,
            is_awaited: false,
            pending_start: Some(Record::Start { epoch, time: now }),
            meter: Meter::default(),
        };
        if is_new {
            journal.begin_log()?;
        }
        let found = LogEnd { log: journal.log, epoch: prefix.epoch, position: journal.end };
        Ok((journal, OpenedLog { found, epoch, records: prefix.records, cut_bytes }))
    }

    fn begin_log(&mut self) -> Result<(), StorageError> {
        if self.storage.segments().is_empty() {
            if self.storage.spare_bytes().is_none() {
                return Err(StorageError::NoSegment);
            }
            self.storage.take_spare();
        }
        let first = self.storage.segments().start;
        if self.storage.bytes(first).len() < SEGMENT_HEADER_BYTES {
            return Err(StorageError::SegmentTooSmall);
        }
        self.durable = Position::new(first, 0);
        self.begin_segment(first);
        Ok(())
    }
}

/// The longest valid prefix of a log.
pub(super) struct Prefix {
    pub(super) end: Position,
    /// Its last record; `Position::NONE` while there is none.
    last: Position,
    /// The CRC of its last record.
    pub(super) chain: u32,
    /// When the log was made; `None` where even the first header is not valid.
    pub(super) log: Option<Millis>,
    epoch: u64,
    pub(super) records: u64,
    /// Everything before this is durable: its writer had it synced before it said so.
    marked_durable: Position,
}

impl Prefix {
    /// Reads records as long as each follows from the one before. What is not a valid record ends a segment; the next
    /// segment continues the log only if its header names the last record's CRC, so nothing can be missing between.
    fn scan<S: Segments>(
        storage: &S,
        shard: ShardId,
        base: Option<&Base>,
        mut replay: impl FnMut(Position, Record),
    ) -> Result<Self, OpenError> {
        let segments = storage.segments();
        let mut prefix = match base {
            Some(base) => {
                let mut prefix = Self::behind(base, storage, shard)?;
                // A power cut may have taken the header of the next segment: then the log went on in this one.
                prefix.scan_segment(storage.bytes(base.end.segment()), &mut replay)?;
                prefix
            }
            None => Self::before(segments.start),
        };
        let from = base.map_or(segments.start, |base| base.end.segment() + 1);
        for segment in from..segments.end {
            let bytes = storage.bytes(segment);
            if !storage.is_readable(segment, 0..bytes.len()) {
                return Err(OpenError::Unreadable { segment });
            }
            let Some(header) = SegmentHeader::decode(bytes) else { break };
            prefix.check(&header, shard, segment, bytes.len())?;
            if prefix.log.is_some() && header.chain != prefix.chain {
                break;
            }
            prefix.log = Some(header.log);
            prefix.chain = header.chain;
            prefix.epoch = prefix.epoch.max(header.epoch);
            prefix.end = Position::new(segment, SEGMENT_HEADER_BYTES as u32);
            prefix.scan_segment(bytes, &mut replay)?;
        }
        Ok(prefix)
    }

    /// Nothing, at the beginning of the first segment.
    pub(super) fn before(segment: u32) -> Self {
        let end = Position::new(segment, 0);
        Self { end, last: Position::NONE, chain: 0, log: None, epoch: 0, records: 0, marked_durable: end }
    }

    /// What a checkpoint stands for, if the log has it: a sound checkpoint was only written when the log before it was
    /// durable, so a log without that is damaged.
    fn behind<S: Segments>(base: &Base, storage: &S, shard: ShardId) -> Result<Self, OpenError> {
        let Base { end, last, chain, epoch, log, records } = *base;
        let prefix = Self { end, last, chain, log: Some(log), epoch, records, marked_durable: end };
        let segment = end.segment();
        if !storage.segments().contains(&segment) {
            return Err(OpenError::Shortened { end });
        }
        let bytes = storage.bytes(segment);
        if !storage.is_readable(segment, 0..bytes.len()) {
            return Err(OpenError::Unreadable { segment });
        }
        let damaged = OpenError::Damaged(Damage { position: last });
        let Some(header) = SegmentHeader::decode(bytes) else { return Err(damaged) };
        prefix.check(&header, shard, segment, bytes.len())?;
        let is_there = RecordEnvelope::at(bytes, last.offset() as usize).is_some_and(|found| {
            let behind = u64::from(last.offset()) + found.record_bytes() as u64;
            found.crc == chain && found.is_whole() && behind == u64::from(end.offset())
        });
        if is_there && last.segment() == segment { Ok(prefix) } else { Err(damaged) }
    }

    /// A header whose CRC is right was written by a server: what it says against us is no accident of a crash.
    pub(super) fn check(
        &self,
        header: &SegmentHeader,
        shard: ShardId,
        segment: u32,
        bytes: usize,
    ) -> Result<(), OpenError> {
        if !(FORMAT_VERSION_OLDEST..=FORMAT_VERSION).contains(&header.version) {
            return Err(OpenError::Version { segment, version: header.version, supported: FORMAT_VERSION });
        }
        if header.shard != shard {
            return Err(OpenError::OtherShard { segment, found: header.shard, expected: shard });
        }
        let is_of_this_log = self.log.is_none_or(|log| log == header.log);
        if header.segment != segment || header.length as usize != bytes || !is_of_this_log {
            return Err(OpenError::OtherSegment { segment });
        }
        Ok(())
    }

    pub(super) fn scan_segment(
        &mut self,
        bytes: &[u8],
        replay: &mut impl FnMut(Position, Record),
    ) -> Result<(), OpenError> {
        while let Some(found) = RecordEnvelope::at(bytes, self.end.offset() as usize) {
            if found.previous_crc != self.chain || !found.is_whole() {
                break;
            }
            let position = self.end;
            if !body::is_known(found.kind) || found.reserved != 0 {
                return Err(OpenError::UnknownKind { position, kind: found.kind });
            }
            let Some(record) = body::decode(found.kind, found.body) else {
                return Err(OpenError::Damaged(Damage { position }));
            };
            if let Record::Start { epoch, .. } = record {
                self.epoch = self.epoch.max(epoch);
            }
            if let Some(claim) = claim_in(&found).filter(|claim| claim.at == position) {
                self.marked_durable = self.marked_durable.max(claim.durable);
            }
            self.chain = found.crc;
            self.last = position;
            self.records += 1;
            self.end = Position(position.0 + found.record_bytes() as u64);
            replay(position, record);
        }
        Ok(())
    }

    fn inspection<S: Segments>(&self, log: &S) -> Result<Inspection, OpenError> {
        let damage = self.is_proven_short(log)?.then_some(Damage { position: self.end });
        Ok(Inspection {
            end: self.end,
            log: self.log,
            epoch: self.epoch,
            records: self.records,
            tail_bytes: nonzero_bytes_from(log, self.end)?,
            damage,
        })
    }

    /// Whether a record behind the prefix proves that bytes which the prefix lacks were durable.
    fn is_proven_short<S: Segments>(&self, storage: &S) -> Result<bool, OpenError> {
        let mut found = false;
        for_each_behind(storage, self.end, |start, bytes| {
            found = found || self.is_claimed_in(start, bytes);
        })?;
        Ok(found)
    }

    fn is_claimed_in(&self, start: Position, bytes: &[u8]) -> bool {
        (0..bytes.len()).step_by(ALIGNMENT_BYTES).any(|offset| {
            let at = Position(start.0 + offset as u64);
            claim_at(bytes, offset).is_some_and(|claim| {
                claim.at == at && claim.durable > self.end && self.log.is_none_or(|log| log == claim.log)
            })
        })
    }
}

/// The position up to which the `Start` or `Mark` at `offset` says that the log is durable, if there is an undamaged
/// one.
pub(super) fn claim_at(bytes: &[u8], offset: usize) -> Option<DurabilityMark> {
    let found = RecordEnvelope::at(bytes, offset)?;
    claim_in(&found).filter(|_| found.reserved == 0 && found.is_whole())
}

/// The position up to which a `Start` or `Mark` says that the log is durable.
fn claim_in(found: &RecordEnvelope<'_>) -> Option<DurabilityMark> {
    let is_claim = match found.kind {
        KIND_START => found.body.len() == START_BODY_BYTES,
        KIND_MARK => found.body.len() == MARK_BODY_BYTES,
        _ => false,
    };
    if is_claim { DurabilityMark::read(&mut Reader::new(found.body)) } else { None }
}

pub(super) fn nonzero_bytes_from<S: Segments>(storage: &S, from: Position) -> Result<u64, OpenError> {
    let mut count = 0;
    for_each_behind(storage, from, |_, bytes| {
        count += bytes.iter().filter(|byte| **byte != 0).count() as u64;
    })?;
    Ok(count)
}

/// All bytes from `from` on, segment by segment.
fn for_each_behind<S: Segments>(
    storage: &S,
    from: Position,
    mut each: impl FnMut(Position, &[u8]),
) -> Result<(), OpenError> {
    for segment in storage.segments().filter(|segment| *segment >= from.segment()) {
        let offset = if segment == from.segment() { from.offset() } else { 0 };
        let bytes = storage.bytes(segment);
        if !storage.is_readable(segment, 0..bytes.len()) {
            return Err(OpenError::Unreadable { segment });
        }
        each(Position::new(segment, offset), bytes.get(offset as usize..).unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
#[path = "opening_tests.rs"]
mod tests;
