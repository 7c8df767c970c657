//! Reads a log that is damaged: every record that can be trusted, in order, and the stretches between them.
//!
//! Invariants: what is given out was written here, and in that order; behind damage nothing is believed until a segment's
//! header, or a `Start` or `Mark` that names its own position and this log, ties the records before it together: a
//! client chooses the bytes of its content, so a record that is merely whole proves nothing.

use super::envelope::{ALIGNMENT_BYTES, Envelope};
use super::opening::{Prefix, claim_at};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use super::{Damage, OpenError, Record, Segments};
use crate::model::{Millis, Position, ShardId};

/// Bytes of one segment that are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub from: Position,
    pub bytes: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    pub records: u64,
    /// What is damaged of what was acknowledged, in order.
    pub cuts: Vec<Cut>,
    /// Bytes behind everything that was acknowledged, which is no loss.
    pub tail_bytes: u64,
}

/// Gives every record that can be trusted to `visit`, in order. Changes nothing.
pub fn salvage<S: Segments>(
    log: &S,
    shard: ShardId,
    mut visit: impl FnMut(Position, Record),
) -> Result<Salvage, OpenError> {
    let start = Position::new(log.segments().start, 0);
    let made = made_at(log, shard).ok_or(OpenError::Damaged(Damage { position: start }))?;
    let mut prefix = Prefix::before(log.segments().start);
    prefix.log = Some(made);
    let mut diver = Diver { made, durable: durable_of(log, made), prefix, cuts: Vec::new(), open: None };
    for segment in log.segments() {
        let bytes = readable(log, segment);
        diver.prefix.check_found(bytes, shard, segment)?;
        if diver.take_segment(segment, bytes, &mut visit)? == Way::Ends {
            break;
        }
    }
    let Diver { prefix, mut cuts, open, durable, .. } = diver;
    if let Some(open) = open.filter(|open| open.from < durable) {
        cuts.push(open);
    }
    let end = prefix.end;
    let tail_bytes = if end >= durable { super::opening::nonzero_bytes_from(log, end) } else { 0 };
    Ok(Salvage { records: prefix.records, cuts, tail_bytes })
}

/// Whether there is more to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    GoesOn,
    Ends,
}

struct Diver {
    made: Millis,
    /// Everything before it was acknowledged, as far as anything says.
    durable: Position,
    prefix: Prefix,
    cuts: Vec<Cut>,
    /// The rest of the segment before: nothing, unless what follows does not join what was there.
    open: Option<Cut>,
}

impl Prefix {
    /// A sound header says which log this is; a damaged one says nothing.
    fn check_found(&self, bytes: &[u8], shard: ShardId, segment: u32) -> Result<(), OpenError> {
        if let Some(header) = SegmentHeader::decode(bytes) {
            self.check(&header, shard, segment, bytes.len())?;
        }
        Ok(())
    }
}

impl Diver {
    fn take_segment(
        &mut self,
        segment: u32,
        bytes: &[u8],
        visit: &mut impl FnMut(Position, Record),
    ) -> Result<Way, OpenError> {
        let at = |offset: usize| Position::new(segment, offset as u32);
        let mut from = match SegmentHeader::decode(bytes) {
            Some(header) => {
                self.join(header.chain);
                self.go_on(at(SEGMENT_HEADER_BYTES), header.chain, bytes, visit)?
            }
            None => 0,
        };
        loop {
            if at(from) >= self.durable {
                return Ok(Way::Ends);
            }
            let Some(run) = next_run(bytes, segment, from, self.made) else { break };
            if run.from == SEGMENT_HEADER_BYTES && from == 0 {
                self.join(run.chain);
            } else if let Some(open) = self.open.take() {
                self.cuts.push(open);
            }
            self.cuts.push(Cut { from: at(from), bytes: (run.from - from) as u32 });
            from = self.go_on(at(run.from), run.chain, bytes, visit)?;
        }
        if let Some(open) = self.open.replace(Cut { from: at(from), bytes: (bytes.len() - from) as u32 }) {
            self.cuts.push(open);
        }
        Ok(Way::GoesOn)
    }

    /// What follows names the CRC of the record before it: if that is the last one taken, nothing is between.
    fn join(&mut self, chain: u32) {
        if let Some(open) = self.open.take()
            && (chain != self.prefix.chain || open.from.offset() == 0)
        {
            self.cuts.push(open);
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
        self.prefix.scan_segment(bytes, visit)?;
        Ok(self.prefix.end.offset() as usize)
    }
}

/// Records that follow each other, up to a claim.
struct Run {
    from: usize,
    /// The CRC of the record before.
    chain: u32,
}

/// The longest run behind `floor` that ends with the first claim there.
fn next_run(bytes: &[u8], segment: u32, floor: usize, made: Millis) -> Option<Run> {
    let floor = floor.max(SEGMENT_HEADER_BYTES);
    let offsets = (floor..bytes.len()).step_by(ALIGNMENT_BYTES);
    let mut from = { offsets }.find(|offset| is_claim(bytes, Position::new(segment, *offset as u32), made))?;
    let mut chain = Envelope::at(bytes, from)?.previous_crc;
    while let Some(before) = record_before(bytes, floor, from, chain) {
        chain = Envelope::at(bytes, before)?.previous_crc;
        from = before;
    }
    Some(Run { from, chain })
}

/// The whole record with this CRC that ends at `end`.
fn record_before(bytes: &[u8], floor: usize, end: usize, crc: u32) -> Option<usize> {
    let wanted = crc.to_le_bytes();
    (floor..end).step_by(ALIGNMENT_BYTES).rev().find(|offset| {
        bytes[*offset..].starts_with(&wanted)
            && Envelope::at(bytes, *offset).is_some_and(|it| offset + it.record_bytes() == end && it.is_whole())
    })
}

fn is_claim(bytes: &[u8], at: Position, made: Millis) -> bool {
    claim_at(bytes, at.offset() as usize).is_some_and(|claim| claim.at == at && claim.log == made)
}

/// How far anything in the log says that it is durable.
fn durable_of<S: Segments>(log: &S, made: Millis) -> Position {
    let mut durable = Position::NONE;
    for segment in log.segments() {
        let bytes = readable(log, segment);
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

/// When the log was made, by the first header that is left.
fn made_at<S: Segments>(log: &S, shard: ShardId) -> Option<Millis> {
    log.segments().find_map(|segment| {
        let header = SegmentHeader::decode(readable(log, segment))?;
        (header.shard == shard && header.segment == segment).then_some(header.log)
    })
}

/// Nothing, where a disk does not give it back.
fn readable<S: Segments>(log: &S, segment: u32) -> &[u8] {
    let bytes = log.bytes(segment);
    if log.is_readable(segment, 0..bytes.len()) { bytes } else { &[] }
}

#[cfg(test)]
#[path = "salvage_tests.rs"]
mod tests;
