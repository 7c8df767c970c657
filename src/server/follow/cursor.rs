//! A follower's place in all logs of a data directory, as a text that an application keeps.
//!
//! Invariant: a cursor is good for the logs that it was made for. Logs that were rewritten, restored, or have lost
//! their end have other records at the same places, and another identity.

use crate::model::{Millis, Position, ShardId};
use crate::server::data::manifest::Manifest;
use crate::server::follow::log_follower::CommittedEnd;
use std::fmt;
use std::str::FromStr;

/// What tells a place between events from that of a record: records begin at multiples of this.
pub const EVENTS_A_RECORD_MAX: usize = 8;

/// Which logs a cursor belongs to: a checksum of what changes with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogsId(u32);

impl LogsId {
    /// Of the data directory with this manifest, whose logs were created at these times.
    pub fn of(manifest: &Manifest, created: &[Option<Millis>]) -> Self {
        let Manifest { id, shards, inbox_epoch, .. } = manifest;
        Self(crc32c::crc32c(format!("{id}/{shards}/{inbox_epoch}/{created:?}").as_bytes()))
    }
}

/// The next record of each shard's log, in the order of shards. Written as hexadecimal numbers: the identity of the
/// logs, then segment and offset of each. Records begin at multiples of 8; what an offset has beyond that is how many
/// events of that record come before the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub logs: LogsId,
    pub next: Vec<Position>,
}

impl Cursor {
    /// Whether some log has committed records behind this cursor.
    pub fn is_behind(&self, ends: &[CommittedEnd]) -> bool {
        self.next.iter().zip(ends).any(|(next, end)| *next < end.acknowledged)
    }

    /// Whether some log ends before this cursor: it has lost what the cursor has passed.
    pub fn is_beyond(&self, ends: &[CommittedEnd]) -> bool {
        self.next.iter().zip(ends).any(|(next, end)| *next > end.written)
    }

    pub fn set(&mut self, shard: ShardId, next: Position) {
        self.next[usize::from(shard.0)] = next;
    }

    /// A place between the events of the record at `at`: behind the first `told` of them.
    pub fn within(at: Position, told: usize) -> Position {
        assert!((1..EVENTS_A_RECORD_MAX).contains(&told), "a record has few events");
        Position(at.0 + told as u64)
    }

    /// The next record in this log, and how many of its events come before the cursor.
    pub fn split(place: Position) -> (Position, usize) {
        let told = place.0 % EVENTS_A_RECORD_MAX as u64;
        (Position(place.0 - told), told as usize)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}", self.logs.0)?;
        self.next.iter().try_for_each(|next| write!(out, ".{:x}-{:x}", next.segment(), next.offset()))
    }
}

/// A text that no server wrote as a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that this server has given")]
pub struct CursorMalformed;

impl FromStr for Cursor {
    type Err = CursorMalformed;

    fn from_str(text: &str) -> Result<Self, CursorMalformed> {
        let number = |digits: &str| {
            let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            u32::from_str_radix(digits, 16).ok().filter(|_| is_plain).ok_or(CursorMalformed)
        };
        let mut parts = text.split('.');
        let logs = LogsId(number(parts.next().unwrap_or_default())?);
        let place = |part: &str| {
            let (segment, offset) = part.split_once('-').ok_or(CursorMalformed)?;
            Ok(Position::new(number(segment)?, number(offset)?))
        };
        Ok(Self { logs, next: parts.map(place).collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let next = vec![Position::new(1, 64), Position::new(70_000, u32::MAX)];
        let cursor = Cursor { logs: LogsId(7), next };
        let text = cursor.to_string();
        assert_eq!(text, "00000007.1-40.11170-ffffffff");
        assert_eq!(text.parse(), Ok(cursor));
        for text in ["", "x", "7.", "7.1", "7.1-", "7.-1", "7.+1-2", "7.1-100000000", "7.1-2.", "7..1-2", "7.1-2-3"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorMalformed), "{text:?}");
        }
    }
}
