//! A chunk of a stream that its conversation's shard has been asked to take.

use crate::model::StreamChunk;
use crate::shard::rows::index::UserIndex;
use crate::shard::table::fingerprint::Fingerprint;

/// The author, and the conversation with the author's name for the stream.
pub(in crate::shard) type StreamKey = (UserIndex, Fingerprint);

/// A chunk that its conversation has not yet taken or declined.
#[derive(Debug)]
pub(in crate::shard) struct ChunkUnderWay {
    pub key: StreamKey,
    pub chunk: StreamChunk,
}
