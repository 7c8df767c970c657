//! Appends records of one shard and reads them back. Opening is in `opening`.
//!
//! Owned by the shard. Invariants: `durable` ≤ `end`, neither goes back; a record lies in one segment; behind what is
//! appended there is always room for a `Mark`, so a batch can always be sealed.

use super::body::{self, Claim, MARK_BODY_BYTES, START_BODY_BYTES};
use super::envelope::{self, Envelope, record_bytes};
use super::segment::{FORMAT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::{Link, Record, Storage};
use crate::model::{Millis, Position, ShardId, UserId};

/// A record that cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {} is damaged at offset {}", .position.segment(), .position.offset())]
pub struct Damage {
    pub position: Position,
}

/// What is to be synced: from the first byte that may not be durable to the end of the batch. Where it spans segments,
/// each of them, headers included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub from: Position,
    pub to: Position,
}

pub struct Journal<S> {
    pub(super) storage: S,
    pub(super) shard: ShardId,
    /// When the log was made.
    pub(super) log: Millis,
    pub(super) epoch: u64,
    pub(super) end: Position,
    pub(super) durable: Position,
    /// The CRC of the last record.
    pub(super) chain: u32,
    /// Somebody waits for a record behind the last seal.
    pub(super) is_awaited: bool,
    /// The `Start` of this epoch, until there is room for it.
    pub(super) start_owed: Option<Record>,
    /// One record being encoded; kept for its capacity.
    pub(super) buffer: Vec<u8>,
}

const MARK_BYTES: usize = record_bytes(MARK_BODY_BYTES);
const START_BYTES: usize = record_bytes(START_BODY_BYTES);

impl<S: Storage> Journal<S> {
    /// Whether a record of so many bytes (`Record::encoded_bytes`) can be appended now.
    pub fn has_room(&self, record_bytes: usize) -> bool {
        let owed = if self.start_owed.is_some() { START_BYTES } else { 0 };
        let Some(needed) = record_bytes.checked_add(owed + MARK_BYTES) else { return false };
        needed <= self.room_here() || self.next_segment_bytes().is_some_and(|next| needed <= room_of_new(next))
    }

    /// Appends a record that somebody waits for: it asks for a sync. Only when `has_room`. Returns its position.
    pub fn append(&mut self, record: &Record) -> Position {
        self.is_awaited = true;
        self.append_lazily(record)
    }

    /// Appends a record that nobody waits for: it becomes durable with whatever is synced next.
    pub fn append_lazily(&mut self, record: &Record) -> Position {
        assert!(self.has_room(record.encoded_bytes()), "a caller asks has_room before it appends");
        if let Some(start) = self.start_owed.take() {
            self.place(&start);
        }
        self.place(record)
    }

    /// Takes up what opening owes, if there is room for it by now.
    pub(super) fn begin_epoch(&mut self, start: Record) {
        self.start_owed = Some(start);
        if self.has_room(0)
            && let Some(start) = self.start_owed.take()
        {
            self.place(&start);
        }
    }

    /// The record at `position`, checked.
    pub fn read(&self, position: Position) -> Result<Record, Damage> {
        let found = self.envelope_at(position)?;
        if !found.is_whole() {
            return Err(Damage { position });
        }
        body::decode(found.kind, found.body).ok_or(Damage { position })
    }

    /// `user`'s link in the record at `position`: its shape is checked, its CRC is not. Whoever follows links compares
    /// seqs, and reads what it gives out.
    pub(super) fn link_at(&self, position: Position, user: &UserId) -> Result<Link, Damage> {
        let found = self.envelope_at(position)?;
        body::link_of(found.kind, found.body, user).ok_or(Damage { position })
    }

    fn envelope_at(&self, position: Position) -> Result<Envelope<'_>, Damage> {
        let damage = Damage { position };
        let offset = position.offset() as usize;
        let is_inside = self.storage.segments().contains(&position.segment()) && position < self.end;
        if !is_inside || offset < SEGMENT_HEADER_BYTES || !offset.is_multiple_of(envelope::ALIGNMENT_BYTES) {
            return Err(damage);
        }
        let found = Envelope::at(self.storage.bytes(position.segment()), offset).ok_or(damage)?;
        let is_last_segment = position.segment() == self.end.segment();
        if is_last_segment && offset + found.record_bytes() > self.end.offset() as usize {
            return Err(damage);
        }
        Ok(found)
    }

    /// Behind the last record.
    pub fn end(&self) -> Position {
        self.end
    }

    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Closes the batch with a `Mark` and says what to sync; `None` when nobody waits for anything.
    pub fn seal(&mut self) -> Option<Batch> {
        if !self.is_awaited {
            return None;
        }
        self.is_awaited = false;
        self.put(&Record::Mark { durable: self.durable });
        Some(Batch { from: self.durable, to: self.end })
    }

    /// Everything before `to` is on stable storage: a fact about the disk, not a policy, since marks vouch for it.
    pub fn synced(&mut self, to: Position) {
        assert!(to <= self.end, "nothing is synced that was not appended");
        self.durable = self.durable.max(to);
    }

    pub fn storage(&self) -> &S {
        &self.storage
    }

    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Writes a record here or, where it and a `Mark` do not fit, into the next segment.
    fn place(&mut self, record: &Record) -> Position {
        if record.encoded_bytes() + MARK_BYTES > self.room_here() {
            self.rotate();
        }
        self.put(record)
    }

    /// Writes a record here; it fits.
    fn put(&mut self, record: &Record) -> Position {
        let position = self.end;
        let claim = Claim { durable: self.durable, at: position, log: self.log };
        envelope::begin(&mut self.buffer);
        body::encode(record, claim, &mut self.buffer);
        self.chain = envelope::finish(&mut self.buffer, body::kind_of(record), self.chain);
        debug_assert_eq!(self.buffer.len(), record.encoded_bytes());
        assert!(self.buffer.len() <= self.room_here(), "a record lies in one segment");
        self.storage.write(position.segment(), position.offset(), &self.buffer);
        self.end = Position(position.0 + self.buffer.len() as u64);
        position
    }

    fn rotate(&mut self) {
        let next = self.end.segment() + 1;
        if !self.storage.segments().contains(&next) {
            assert_eq!(self.storage.take_spare(), next, "segments have no gap");
        }
        self.begin_segment(next);
    }

    /// Writes the header of a zeroed segment and goes behind it.
    pub(super) fn begin_segment(&mut self, segment: u32) {
        let length = u32::try_from(self.storage.bytes(segment).len()).expect("a segment's offsets are 32 bits");
        let header = SegmentHeader {
            version: FORMAT_VERSION,
            shard: self.shard,
            segment,
            length,
            chain: self.chain,
            epoch: self.epoch,
            log: self.log,
        };
        header.encode(&mut self.buffer);
        self.storage.write(segment, 0, &self.buffer);
        self.end = Position::new(segment, SEGMENT_HEADER_BYTES as u32);
    }

    fn room_here(&self) -> usize {
        let length = self.storage.bytes(self.end.segment()).len();
        length.saturating_sub(self.end.offset() as usize)
    }

    /// A segment that a crash left empty, or else the spare.
    fn next_segment_bytes(&self) -> Option<usize> {
        let next = self.end.segment() + 1;
        if self.storage.segments().contains(&next) {
            return Some(self.storage.bytes(next).len());
        }
        self.storage.spare_bytes().map(|bytes| bytes as usize)
    }
}

fn room_of_new(segment_bytes: usize) -> usize {
    segment_bytes.saturating_sub(SEGMENT_HEADER_BYTES)
}
