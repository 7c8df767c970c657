//! The file format around a shard's state at the end of one segment (docs/FORMAT.md).
//!
//! Invariants: one CRC covers every byte, so a checkpoint is either whole or unusable; magic, version and shard have
//! the same offsets in every version; a sound checkpoint is evidence that the log before `Base::end` was durable.

use crate::log::record::bytes::{Put, Reader};
use crate::model::{Millis, Position, ShardId};

/// The version of the checkpoint format.
pub const CHECKPOINT_VERSION: u16 = 7;
/// The oldest version that is still read: without the times of the oldest messages, and without the users who had
/// sessions. Version 3 lacks profiles, version 4 requests to join.
pub const CHECKPOINT_VERSION_OLDEST: u16 = 2;
const MAGIC: &[u8; 8] = b"mushanck";
const CRC_BYTES: usize = 4;

/// The place of a checkpoint in its log: the end of the last record of a segment that is not written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The end of the last record.
    pub end: Position,
    /// The position of the last record.
    pub last: Position,
    /// The CRC of the last record.
    pub chain: u32,
    /// The number of the log's run that wrote the record.
    pub epoch: u64,
    /// The wall-clock time of the log's creation, which identifies the log.
    pub log: Millis,
    /// Records before `end`, since the log was created.
    pub records: u64,
}

/// A checkpoint whose CRC is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint<'a> {
    /// The version of its format.
    pub version: u16,
    /// The place in the log.
    pub base: Base,
    /// The shard's state, as the shard encodes it.
    pub body: &'a [u8],
}

/// The reason why bytes are not a usable checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Bytes are missing or changed.
    #[error("it is damaged")]
    Damaged,
    /// The checkpoint has another format version.
    #[error("it has format version {version}, this server reads version {CHECKPOINT_VERSION}")]
    Version {
        /// The version found.
        version: u16,
    },
    /// The checkpoint belongs to another shard.
    #[error("it belongs to shard {found}, not to shard {expected}")]
    OtherShard {
        /// The shard in the checkpoint.
        found: ShardId,
        /// The shard that is being opened.
        expected: ShardId,
    },
}

/// Begins a checkpoint in `out`. The caller appends the body and calls `finish`.
pub fn begin(shard: ShardId, base: &Base, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(MAGIC);
    out.put_u16(CHECKPOINT_VERSION);
    out.put_u16(shard.0);
    out.put_u32(base.chain);
    out.put_u64(base.end.0);
    out.put_u64(base.last.0);
    out.put_u64(base.epoch);
    out.put_u64(base.log.0);
    out.put_u64(base.records);
}

/// Ends the checkpoint that `begin` began.
pub fn finish(out: &mut Vec<u8>) {
    let crc = crc32c::crc32c(out);
    out.put_u32(crc);
}

impl<'a> Checkpoint<'a> {
    /// Decodes a checkpoint. Total: any bytes are a whole checkpoint of this shard or an error.
    ///
    /// # Errors
    ///
    /// The bytes are damaged, of another version, or of another shard.
    pub fn decode(bytes: &'a [u8], shard: ShardId) -> Result<Self, CheckpointError> {
        let (covered, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(CheckpointError::Damaged)?;
        if u32::from_le_bytes(*crc) != crc32c::crc32c(covered) {
            return Err(CheckpointError::Damaged);
        }
        let mut reader = Reader::new(covered);
        if reader.take(MAGIC.len()) != Some(MAGIC) {
            return Err(CheckpointError::Damaged);
        }
        let version = reader.u16().ok_or(CheckpointError::Damaged)?;
        if !(CHECKPOINT_VERSION_OLDEST..=CHECKPOINT_VERSION).contains(&version) {
            return Err(CheckpointError::Version { version });
        }
        let found = ShardId(reader.u16().ok_or(CheckpointError::Damaged)?);
        if found != shard {
            return Err(CheckpointError::OtherShard { found, expected: shard });
        }
        let base = read_base(&mut reader).ok_or(CheckpointError::Damaged)?;
        Ok(Self { version, base, body: reader.rest() })
    }
}

fn read_base(reader: &mut Reader<'_>) -> Option<Base> {
    let chain = reader.u32()?;
    let end = Position(reader.u64()?);
    let last = Position(reader.u64()?);
    let epoch = reader.u64()?;
    Some(Base { end, last, chain, epoch, log: Millis(reader.u64()?), records: reader.u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::fixtures::{Chance, SHARD};

    fn sample() -> (Base, Vec<u8>) {
        let (end, last) = (Position::new(3, 4_000), Position::new(3, 3_900));
        let base = Base { end, last, chain: 7, epoch: 2, log: Millis(11), records: 99 };
        let mut bytes = Vec::new();
        begin(SHARD, &base, &mut bytes);
        bytes.extend_from_slice(b"what the shard knows");
        finish(&mut bytes);
        (base, bytes)
    }

    #[test]
    fn a_checkpoint_reads_back_as_written() {
        let (base, bytes) = sample();
        let expected = Checkpoint { version: CHECKPOINT_VERSION, base, body: b"what the shard knows" };
        assert_eq!(Checkpoint::decode(&bytes, SHARD), Ok(expected));
    }

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_damage() {
        let (_, bytes) = sample();
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(Checkpoint::decode(&flipped, SHARD), Err(CheckpointError::Damaged), "bit {at}");
        }
        for length in 0..bytes.len() {
            assert_eq!(Checkpoint::decode(&bytes[..length], SHARD), Err(CheckpointError::Damaged));
        }
        let mut chance = Chance::new(3);
        for _ in 0..2_000 {
            let noise: Vec<u8> = (0..chance.below(200)).map(|_| chance.next() as u8).collect();
            assert_eq!(Checkpoint::decode(&noise, SHARD), Err(CheckpointError::Damaged));
        }
    }

    #[test]
    fn another_version_and_another_shard_are_told_apart_from_damage() {
        let (_, mut bytes) = sample();
        let other = ShardId(SHARD.0 + 1);
        let expected = CheckpointError::OtherShard { found: SHARD, expected: other };
        assert_eq!(Checkpoint::decode(&bytes, other), Err(expected));
        bytes.truncate(bytes.len() - CRC_BYTES);
        bytes[8] = 9;
        finish(&mut bytes);
        assert_eq!(Checkpoint::decode(&bytes, SHARD), Err(CheckpointError::Version { version: 9 }));
    }
}
