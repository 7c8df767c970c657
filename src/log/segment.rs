//! The header of a segment: its first 64 bytes.
//!
//! Invariant: magic, version and CRC have the same offsets in every version, so any server can distinguish a newer
//! format from damage.

use crate::log::record::bytes::{Put, Reader};
use crate::model::{Millis, ShardId};

/// The version of the log format that this server writes.
pub const FORMAT_VERSION: u16 = 7;
/// The oldest version that this server reads and continues: its logs have fewer kinds of records.
pub const FORMAT_VERSION_OLDEST: u16 = 2;
/// The first segment of a log from which retention has dropped nothing.
pub(super) const FIRST_SEGMENT: u32 = 1;
/// Bytes of a segment's header.
pub const SEGMENT_HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"mushanlg";
const CRC_OFFSET: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub version: u16,
    pub shard: ShardId,
    pub segment: u32,
    /// Bytes of the whole segment, this header included.
    pub length: u32,
    /// The CRC of the last record of the previous segment; 0 in the first segment of a log.
    pub chain: u32,
    /// The number of the log's run that began the segment.
    pub epoch: u64,
    /// The wall-clock time of the log's creation, which distinguishes this log's marks from those of others.
    pub log: Millis,
}

impl SegmentHeader {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(MAGIC);
        out.put_u16(self.version);
        out.put_u16(self.shard.0);
        out.put_u32(self.segment);
        out.put_u32(self.length);
        out.put_u32(self.chain);
        out.put_u64(self.epoch);
        out.put_u64(self.log.0);
        out.resize(CRC_OFFSET, 0);
        out.put_u32(crc32c::crc32c(out));
    }

    /// `None` unless the bytes are a header as some version of this program wrote it.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES)?;
        let (covered, crc) = bytes.split_at(CRC_OFFSET);
        if Reader::new(crc).u32()? != crc32c::crc32c(covered) {
            return None;
        }
        let mut reader = Reader::new(covered);
        if reader.take(MAGIC.len())? != MAGIC {
            return None;
        }
        Some(Self {
            version: reader.u16()?,
            shard: ShardId(reader.u16()?),
            segment: reader.u32()?,
            length: reader.u32()?,
            chain: reader.u32()?,
            epoch: reader.u64()?,
            log: Millis(reader.u64()?),
        })
    }
}
