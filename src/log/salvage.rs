//! Reads a damaged log: every record that can be trusted, in order, and the ranges between them.
//!
//! Invariants: records are returned as they were written and in that order; after damage nothing is trusted until a
//! segment's header, or a `Start` or `Mark` that names its own position and this log, ties the records before it
//! together: a client chooses the bytes of its content, so a record that is merely whole proves nothing.

use super::opening::{Prefix, claim_at};
use super::segment::FIRST_SEGMENT;
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::{OpenError, Record, Segments};
use crate::log::record::envelope::{ALIGNMENT_BYTES, RecordEnvelope};
use crate::model::{Millis, Position, ShardId};
use std::collections::BTreeMap;

/// Bytes of one segment that are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The position of the first byte.
    pub from: Position,
    /// The number of bytes.
    pub bytes: u32,
}

/// The result of reading a damaged log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// Records that were trusted.
    pub records: u64,
    /// Damaged ranges of acknowledged data, in order.
    pub cuts: Vec<Cut>,
    /// Bytes after all acknowledged data, whose loss is none.
    pub tail_bytes: u64,
    /// The end of the acknowledged data, if the log ends before it.
    pub missing_to: Option<Position>,
}

/// What is known of a log from a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The wall-clock time of the log's creation. Its segments and marks repeat it.
    pub log: Millis,
    /// Everything before this position was durable.
    pub durable: Position,
}

/// Passes every record that can be trusted to `visit`, in order. Changes nothing. A segment of another log, shard or
/// number is left out as a whole.
///
/// # Errors
///
/// A segment is of another version, which is no damage.
pub fn salvage<S: Segments>(
    log: &S,
    shard: ShardId,
    identity: Option<LogIdentity>,
    mut visit: impl FnMut(Position, Record),
) -> Result<Salvage, OpenError> {
    let start = log.segments().start;
    let Some(LogIdentity { log: made, durable }) = identity else { return Ok(nothing_left(log)) };
    let mut prefix = Prefix::before(start);
    prefix.log = Some(made);
    let durable = durable.max(durable_of(log, shard, made));
    let mut salvager = Salvager { shard, made, durable, prefix, cuts: Vec::new(), open: None, floor: 0 };
    for segment in log.segments() {
        if salvager.take_segment(segment, readable(log, segment), &mut visit)? == Continuation::Ends {
            break;
        }
    }
    let Salvager { prefix, mut cuts, open, durable, .. } = salvager;
    if let Some(OpenSpan { cut, content: Content::Something }) = open
        && cut.from < durable
    {
        cuts.push(cut);
    }
    let end = prefix.end;
    let is_cut_at_end = cuts.last().is_some_and(|cut| cut.from >= end);
    // A tail that the disk cannot read counts as empty.
    let tail_bytes = if end >= durable { super::opening::nonzero_bytes_from(log, end).unwrap_or(0) } else { 0 };
    let missing_to = (end < durable && !is_cut_at_end).then_some(durable);
    Ok(Salvage { records: prefix.records, cuts, tail_bytes, missing_to })
}

/// The wall-clock time of the log's creation, by the majority of its sound headers, or else by its first record, whose
/// place no client's content can take.
pub fn made_at<S: Segments>(log: &S, shard: ShardId) -> Option<Millis> {
    let mut votes: BTreeMap<Millis, usize> = BTreeMap::new();
    for segment in log.segments() {
        let header = SegmentHeader::decode(readable(log, segment));
        if let Some(header) = header.filter(|header| header.shard == shard && header.segment == segment) {
            *votes.entry(header.log).or_default() += 1;
        }
    }
    if let Some((made, _)) = votes.into_iter().max_by_key(|(_, count)| *count) {
        return Some(made);
    }
    let first = log.segments().find(|segment| *segment == FIRST_SEGMENT)?;
    let claim = claim_at(readable(log, first), SEGMENT_HEADER_BYTES)?;
    (claim.at == Position::new(first, SEGMENT_HEADER_BYTES as u32)).then_some(claim.log)
}

/// No byte can be tied to a log.
fn nothing_left<S: Segments>(log: &S) -> Salvage {
    let whole = |segment| Cut { from: Position::new(segment, 0), bytes: readable(log, segment).len() as u32 };
    let has_content = |segment: &u32| content_of(readable(log, *segment)) == Content::Something;
    Salvage { cuts: log.segments().filter(has_content).map(whole).collect(), ..Salvage::default() }
}

/// Whether there is more to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Continuation {
    GoesOn,
    Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Zeros,
    Something,
}

/// The rest of a segment, which may be what was left free at its end.
#[derive(Clone, Copy, Debug)]
struct OpenSpan {
    cut: Cut,
    content: Content,
}

struct Salvager {
    shard: ShardId,
    made: Millis,
    /// Everything before it was acknowledged, as far as anything says.
    durable: Position,
    prefix: Prefix,
    cuts: Vec<Cut>,
    /// The rest of the segment before: nothing, unless what follows does not join what was there.
    open: Option<OpenSpan>,
    /// In the segment at hand, nothing before this offset is tried again.
    floor: usize,
}

impl Salvager {
    fn take_segment(
        &mut self,
        segment: u32,
        bytes: &[u8],
        visit: &mut impl FnMut(Position, Record),
    ) -> Result<Continuation, OpenError> {
        let at = |offset: usize| Position::new(segment, offset as u32);
        self.floor = SEGMENT_HEADER_BYTES;
        let mut from = match SegmentHeader::decode(bytes) {
            Some(header) if self.is_own(&header, segment, bytes)? => {
                self.join(header.chain);
                self.go_on(at(SEGMENT_HEADER_BYTES), header.chain, bytes, visit)?
            }
            Some(_foreign) => {
                self.give_up_open();
                self.cuts.push(Cut { from: at(0), bytes: bytes.len() as u32 });
                return Ok(Continuation::GoesOn);
            }
            None => 0,
        };
        loop {
            if at(from) >= self.durable {
                return Ok(Continuation::Ends);
            }
            let Some(run) = next_run(bytes, segment, from.max(self.floor), self.made) else { break };
            if run.from == SEGMENT_HEADER_BYTES && from == 0 {
                self.join(run.chain);
            } else {
                self.give_up_open();
            }
            self.cuts.push(Cut { from: at(from), bytes: (run.from - from) as u32 });
            from = self.go_on(at(run.from), run.chain, bytes, visit)?;
        }
        self.give_up_open();
        let cut = Cut { from: at(from), bytes: (bytes.len() - from) as u32 };
        match from {
            // Its header is gone, and maybe all of it.
            0 => self.cuts.push(cut),
            _ => self.open = Some(OpenSpan { cut, content: content_of(&bytes[from..]) }),
        }
        Ok(Continuation::GoesOn)
    }

    /// A header whose CRC is right was written by a server; of which version, is no damage.
    fn is_own(&self, header: &SegmentHeader, segment: u32, bytes: &[u8]) -> Result<bool, OpenError> {
        match self.prefix.check(header, self.shard, segment, bytes.len()) {
            Ok(()) => Ok(true),
            Err(OpenError::OtherShard { .. } | OpenError::OtherSegment { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What follows names the CRC of the record before it: if that is the last one taken, nothing is between.
    fn join(&mut self, chain: u32) {
        if chain != self.prefix.chain
            && let Some(open) = self.open.take()
        {
            self.cuts.push(open.cut);
        }
        self.open = None;
    }

    /// What follows cannot say whether anything stood there; zeros at least are nothing to keep.
    fn give_up_open(&mut self) {
        if let Some(OpenSpan { cut, content: Content::Something }) = self.open.take() {
            self.cuts.push(cut);
        }
    }

    /// Reads on from a place that can be trusted, for as long as record follows record. Returns the offset of its end.
    fn go_on(
        &mut self,
        from: Position,
        chain: u32,
        bytes: &[u8],
        visit: &mut impl FnMut(Position, Record),
    ) -> Result<usize, OpenError> {
        self.prefix.end = from;
        self.prefix.chain = chain;
        let scanned = self.prefix.scan_segment(bytes, visit);
        let end = self.prefix.end.offset() as usize;
        match scanned {
            Ok(()) => {}
            // Whole, and yet it says nothing that can be understood: no later run may begin with it.
            Err(OpenError::Damaged(_)) => self.floor = end + ALIGNMENT_BYTES,
            Err(error) => return Err(error),
        }
        Ok(end)
    }
}

/// Records that follow each other, up to a claim.
struct Run {
    from: usize,
    /// The CRC of the record before.
    chain: u32,
}

/// The longest run of records behind `floor` that ends with the first claim behind it.
fn next_run(bytes: &[u8], segment: u32, floor: usize, made: Millis) -> Option<Run> {
    let floor = floor.max(SEGMENT_HEADER_BYTES);
    let offsets = (floor..bytes.len()).step_by(ALIGNMENT_BYTES);
    let mut from = { offsets }.find(|offset| is_claim(bytes, Position::new(segment, *offset as u32), made))?;
    let mut chain = RecordEnvelope::at(bytes, from)?.previous_crc;
    while let Some(before) = record_before(bytes, floor, from, chain) {
        chain = RecordEnvelope::at(bytes, before)?.previous_crc;
        from = before;
    }
    Some(Run { from, chain })
}

/// The whole record with this CRC that ends at `end`.
fn record_before(bytes: &[u8], floor: usize, end: usize, crc: u32) -> Option<usize> {
    let wanted = crc.to_le_bytes();
    (floor..end).step_by(ALIGNMENT_BYTES).rev().find(|offset| {
        bytes[*offset..].starts_with(&wanted)
            && RecordEnvelope::at(bytes, *offset).is_some_and(|it| offset + it.record_bytes() == end && it.is_whole())
    })
}

fn is_claim(bytes: &[u8], at: Position, made: Millis) -> bool {
    claim_at(bytes, at.offset() as usize).is_some_and(|claim| claim.at == at && claim.log == made)
}

/// How far anything in the log says that it is durable.
fn durable_of<S: Segments>(log: &S, shard: ShardId, made: Millis) -> Position {
    let mut durable = Position::NONE;
    for segment in log.segments() {
        let bytes = readable(log, segment);
        if SegmentHeader::decode(bytes).is_some_and(|it| it.shard != shard || it.segment != segment) {
            continue;
        }
        for offset in (SEGMENT_HEADER_BYTES..bytes.len()).step_by(ALIGNMENT_BYTES) {
            if let Some(claim) = claim_at(bytes, offset)
                && claim.at == Position::new(segment, offset as u32)
                && claim.log == made
            {
                durable = durable.max(claim.durable);
            }
        }
    }
    durable
}

fn content_of(bytes: &[u8]) -> Content {
    if bytes.iter().all(|byte| *byte == 0) { Content::Zeros } else { Content::Something }
}

/// Nothing, where a disk does not give it back.
fn readable<S: Segments>(log: &S, segment: u32) -> &[u8] {
    let bytes = log.bytes(segment);
    if log.is_readable(segment, 0..bytes.len()) { bytes } else { &[] }
}

#[cfg(test)]
#[path = "salvage_tests.rs"]
mod tests;
