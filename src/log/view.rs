//! Read access to a log: the segments that may be touched, and the end of the records.
//!
//! Invariants: every record returned has its CRC right; a turn reads of a cold segment only what the storage has copied
//! from memory; a reader that waits for the disk touches bytes only after the storage has said that they can be read.

use super::segment::SEGMENT_HEADER_BYTES;
use super::{Meter, Record, Segments, Thread, ThreadLink};
use crate::log::record::body::{self, EntrySource};
use crate::log::record::envelope::{self, RecordEnvelope};
use crate::model::{Message, MessageId, Position};
use std::sync::Arc;

/// Bytes of a record that contain its links and ids, for messages and for fan-outs.
const HEAD_BYTES: usize = 8 << 10;

const CACHE_LINE_BYTES: usize = 64;
/// Cache lines of a small message.
const LINES_AHEAD: usize = 4;

/// A record that cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {} is damaged at offset {}", .position.segment(), .position.offset())]
pub struct Damage {
    /// The position of the record.
    pub position: Position,
}

/// The reason why a record was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// The record's bytes are wrong or cannot be read.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The record's bytes may not be in memory, and the reader does not wait for a disk.
    #[error("segment {} may not be in memory", .0.segment())]
    Cold(Position),
}

/// Whether a reader waits for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// Only memory is read: the mode of a turn.
    None,
    /// The reader waits for the disk, as long as it takes.
    Unbounded,
}

/// The records of a log before one position.
#[derive(Debug)]
pub struct View<'a, S> {
    segments: &'a S,
    end: Position,
    read_mode: ReadMode,
    /// Counts what is read.
    meter: Option<&'a Meter>,
}

impl<S> Clone for View<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for View<'_, S> {}

impl<'a, S: Segments> View<'a, S> {
    /// The records before `end`, read in this mode.
    pub fn new(segments: &'a S, end: Position, read_mode: ReadMode) -> Self {
        Self { segments, end, read_mode, meter: None }
    }

    /// The same view, which counts what is read.
    pub fn metered(self, meter: &'a Meter) -> Self {
        Self { meter: Some(meter), ..self }
    }

    pub(super) fn segments(&self) -> std::ops::Range<u32> {
        self.segments.segments()
    }

    pub(super) fn end(&self) -> Position {
        self.end
    }

    /// Whether the reader is a turn, which neither waits for a disk nor searches for long.
    pub fn is_non_blocking(&self) -> bool {
        self.read_mode == ReadMode::None
    }

    /// Whether no record is at `position`: retention has dropped it, or there never was one.
    pub fn is_gone(&self, position: Position) -> bool {
        position.segment() < self.segments.segments().start
    }

    /// Reads the record at `position` and checks its CRC.
    ///
    /// # Errors
    ///
    /// The record is damaged, or is not in memory and the reader does not wait for a disk.
    pub fn read(&self, position: Position) -> Result<Record, Unread> {
        let found = self.whole_at(position)?;
        body::decode(found.kind, found.body).ok_or(Unread::Damaged(Damage { position }))
    }

    /// The thread's link in the record at `position` and the message that it shows, both checked. `None` when retention
    /// has dropped the message.
    pub(super) fn entry_at(
        &self,
        position: Position,
        thread: Thread<'_>,
    ) -> Result<Option<(ThreadLink, Arc<Message>)>, Unread> {
        let found = self.whole_at(position)?;
        let Some(message) = self.shown_by(found, position)? else { return Ok(None) };
        let link = body::link_of(found.kind, found.body, thread).ok_or(Damage { position })?;
        Ok(Some((link, message)))
    }

    /// The message that the record at `position` is about: its own, or that of the record where a `Fanned` leads.
    /// `None` when retention has dropped it.
    pub(super) fn message_at(&self, position: Position) -> Result<Option<Arc<Message>>, Unread> {
        self.shown_by(self.whole_at(position)?, position)
    }

    fn shown_by(&self, found: RecordEnvelope<'a>, position: Position) -> Result<Option<Arc<Message>>, Unread> {
        let of = match body::shown_by(found.kind, found.body) {
            Some(EntrySource::Here(message)) => return Ok(Some(message)),
            Some(EntrySource::At(of)) if self.is_gone(of) => return Ok(None),
            Some(EntrySource::At(of)) => of,
            None => return Err(Damage { position }.into()),
        };
        let found = self.whole_at(of)?;
        match body::shown_by(found.kind, found.body) {
            Some(EntrySource::Here(message)) => Ok(Some(message)),
            Some(EntrySource::At(_)) | None => Err(Damage { position }.into()),
        }
    }

    /// The id of the message in the record at `position`: as with links, the CRC is not checked.
    pub(super) fn message_id_at(&self, position: Position) -> Result<MessageId, Unread> {
        let found = self.envelope_at(position)?;
        body::message_id_of(found.kind, found.body).ok_or(Unread::Damaged(Damage { position }))
    }

    /// The thread's link in the record at `position`: its structure is checked, its CRC is not. Callers that follow
    /// links compare seqs, and check the CRC of each record that they return.
    pub(super) fn link_at(&self, position: Position, thread: Thread<'_>) -> Result<ThreadLink, Unread> {
        let found = self.envelope_at(position)?;
        body::link_of(found.kind, found.body, thread).ok_or(Unread::Damaged(Damage { position }))
    }

    /// The record's bytes, their CRC checked.
    fn whole_at(&self, position: Position) -> Result<RecordEnvelope<'a>, Unread> {
        let found = self.envelope_at(position)?;
        if found.record_bytes() > HEAD_BYTES {
            self.expect_readable(position, found.record_bytes())?;
        }
        if let Some(meter) = self.meter {
            meter.count_bytes(found.record_bytes());
        }
        if found.is_whole() { Ok(found) } else { Err(Damage { position }.into()) }
    }

    fn envelope_at(&self, position: Position) -> Result<RecordEnvelope<'a>, Unread> {
        let damage = Damage { position };
        let offset = position.offset() as usize;
        let is_inside = self.segments.segments().contains(&position.segment()) && position < self.end;
        if !is_inside || offset < SEGMENT_HEADER_BYTES || !offset.is_multiple_of(envelope::ALIGNMENT_BYTES) {
            return Err(damage.into());
        }
        let found = RecordEnvelope::at(self.bytes_from(position)?, 0).ok_or(damage)?;
        if let Some(meter) = self.meter {
            meter.count_record();
        }
        let is_last_segment = position.segment() == self.end.segment();
        if is_last_segment && offset + found.record_bytes() > self.end.offset() as usize {
            return Err(damage.into());
        }
        Ok(found)
    }

    /// The bytes from `position` on: at least the record there. A turn reads only the resident records of a cold
    /// segment; a caller that may wait reads them from the disk.
    fn bytes_from(&self, position: Position) -> Result<&'a [u8], Unread> {
        if self.is_non_blocking() && self.is_cold(position) {
            return self.resident_record(position).ok_or(Unread::Cold(position));
        }
        self.expect_readable(position, HEAD_BYTES)?;
        let bytes = self.segments.bytes(position.segment());
        let here = bytes.get(position.offset() as usize..).unwrap_or_default();
        ask_ahead(here);
        Ok(here)
    }

    fn resident_record(&self, position: Position) -> Option<&'a [u8]> {
        let head = self.segments.resident_bytes(position, envelope::ENVELOPE_BYTES)?;
        ask_ahead(head);
        match envelope::length_of(head) {
            Some(record_bytes) if record_bytes > head.len() => self.segments.resident_bytes(position, record_bytes),
            _ => Some(head),
        }
    }

    /// What the disk cannot give back is damage, not a fault of this process. A turn's bytes are in memory as they are.
    fn expect_readable(&self, position: Position, bytes: usize) -> Result<(), Unread> {
        if self.is_non_blocking() || !self.is_cold(position) {
            return Ok(());
        }
        let from = position.offset() as usize;
        match self.segments.is_readable(position.segment(), from..from + bytes) {
            true => Ok(()),
            false => Err(Damage { position }.into()),
        }
    }

    fn is_cold(&self, position: Position) -> bool {
        position.segment() < self.segments.warm_from()
    }
}

/// Where a record's next lines lie is known before its first line has come from memory, what they are only afterwards:
/// asked for together they come together.
#[inline]
fn ask_ahead(here: &[u8]) {
    for line in 1..=LINES_AHEAD {
        std::hint::black_box(here.get(line * CACHE_LINE_BYTES).copied());
    }
}
