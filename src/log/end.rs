//! How far a log had got when it was found: which log it is, its newest run, and the position after its last record.
//!
//! Invariant: a log is what it was, or begins with what it was, exactly if it has the same run at the same place.

use crate::log::segment::{FIRST_SEGMENT, SEGMENT_HEADER_BYTES};
use crate::model::{Millis, Position};

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The wall-clock time of the log's creation, which identifies the log.
    pub log: Millis,
    /// The number of the log's newest run; 0: none has begun.
    pub epoch: u64,
    /// The position after the last record.
    pub position: Position,
}

impl LogEnd {
    /// Whether the log has no record and never had one.
    pub fn is_new(&self) -> bool {
        self.position <= Position::new(FIRST_SEGMENT, SEGMENT_HEADER_BYTES as u32)
    }
}
