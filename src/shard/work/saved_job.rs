//! The jobs of groups as a checkpoint has them.

use crate::log::record::bytes::Reader;
use crate::model::Position;
use crate::shard::rows::index::ConversationIndex;

/// The jobs of a checkpoint.
pub(in crate::shard) fn read(reader: &mut Reader<'_>) -> Option<Vec<SavedJob>> {
    (0..reader.u32()?).map(|_| SavedJob::read(reader)).collect()
}

/// A job as a checkpoint has it: its message is in the log.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct SavedJob {
    pub at: ConversationIndex,
    pub record: Position,
    pub changed: u32,
    pub next: u32,
}

impl SavedJob {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (at, record) = (ConversationIndex(reader.u32()?), Position(reader.u64()?));
        Some(Self { at, record, changed: reader.u32()?, next: reader.u32()? })
    }
}
