//! The envelope of every record: a header of 16 bytes, and zeros at the end up to a multiple of 8.
//!
//! Invariants: the CRC covers every other byte of the record, padding included, so a record proves itself wherever it
//! is found; `previous_crc` ties it to the record before, so a record that once followed another one proves nothing.

use crate::log::record::bytes::{Filler, Reader};

pub(in crate::log) const ENVELOPE_BYTES: usize = 16;
pub(in crate::log) const ALIGNMENT_BYTES: usize = 8;
const CRC_BYTES: usize = 4;

/// A record's bytes. The shape is checked, the CRC is not.
#[derive(Clone, Copy)]
pub(in crate::log) struct RecordEnvelope<'a> {
    raw: &'a [u8],
    pub body: &'a [u8],
    pub crc: u32,
    pub previous_crc: u32,
    pub kind: u8,
    /// Flags and reserved bytes together: zero in this version.
    pub reserved: u32,
}

impl<'a> RecordEnvelope<'a> {
    /// The record at `offset`; `None` where no record can be.
    pub(in crate::log) fn at(bytes: &'a [u8], offset: usize) -> Option<Self> {
        let here = bytes.get(offset..)?;
        let mut header = Reader::new(here);
        let crc = header.u32()?;
        let body_bytes = usize::try_from(header.u32()?).ok()?;
        if body_bytes == 0 {
            return None;
        }
        let previous_crc = header.u32()?;
        let kind_and_reserved = header.u32()?;
        let raw = here.get(..record_bytes(body_bytes))?;
        let body = &raw[ENVELOPE_BYTES..ENVELOPE_BYTES + body_bytes];
        let [kind, ..] = kind_and_reserved.to_le_bytes();
        Some(Self { raw, body, crc, previous_crc, kind, reserved: kind_and_reserved >> 8 })
    }

    /// Whether the CRC is right.
    pub(in crate::log) fn is_whole(&self) -> bool {
        crc32c::crc32c(&self.raw[CRC_BYTES..]) == self.crc
    }

    /// Bytes from this record to the next.
    pub(in crate::log) fn record_bytes(&self) -> usize {
        self.raw.len()
    }
}

/// The bytes of the record that begins with these bytes, if one can.
pub(in crate::log) fn length_of(here: &[u8]) -> Option<usize> {
    let body_bytes = Reader::new(here.get(CRC_BYTES..)?).u32()?;
    (body_bytes > 0).then(|| record_bytes(body_bytes as usize))
}

/// The bytes of a record with a body of `body_bytes`.
pub(in crate::log) const fn record_bytes(body_bytes: usize) -> usize {
    (ENVELOPE_BYTES + body_bytes).next_multiple_of(ALIGNMENT_BYTES)
}

/// Writes a record of this kind, of which `encode` writes the body, into exactly the bytes that it takes. Returns the
/// record's CRC.
///
/// # Panics
///
/// The body is longer or shorter than `record` has room for.
#[inline]
pub(in crate::log) fn write(
    record: &mut [u8],
    kind: u8,
    previous_crc: u32,
    encode: impl FnOnce(&mut Filler<'_>),
) -> u32 {
    let (header, rest) = record.split_first_chunk_mut::<ENVELOPE_BYTES>().expect("a record has an envelope");
    let room = rest.len();
    let mut body = Filler { rest };
    encode(&mut body);
    let padding = body.rest;
    assert!(padding.len() < ALIGNMENT_BYTES, "a record is as long as it was said to be");
    padding.fill(0);
    let body_bytes = u32::try_from(room - padding.len()).expect("a record is smaller than its segment");
    *header = [0; ENVELOPE_BYTES];
    header[4..8].copy_from_slice(&body_bytes.to_le_bytes());
    header[8..12].copy_from_slice(&previous_crc.to_le_bytes());
    header[12] = kind;
    let crc = crc32c::crc32c(&record[CRC_BYTES..]);
    record[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::bytes::Put;

    #[test]
    fn a_record_is_whole_wherever_it_is_written_and_whatever_was_there_before() {
        for body_bytes in 1..40 {
            let (body, mut bytes) = (vec![7; body_bytes], vec![0xff; record_bytes(body_bytes) + 8]);
            let (record, after) = bytes.split_at_mut(record_bytes(body_bytes));
            let crc = write(record, 3, 9, |out| out.put_bytes(&body));
            assert!(after.iter().all(|byte| *byte == 0xff), "nothing after it is touched");
            let read = RecordEnvelope::at(&bytes, 0).expect("a record");
            assert!(read.is_whole() && read.body == body);
            assert_eq!((read.crc, read.previous_crc, read.kind, read.reserved), (crc, 9, 3, 0));
        }
    }

    #[test]
    #[should_panic(expected = "a record is as long as it was said to be")]
    fn a_body_that_is_shorter_than_its_room_is_a_bug() {
        write(&mut [0; record_bytes(20)], 3, 0, |out| out.put_bytes(&[7; 8]));
    }

    #[test]
    #[should_panic(expected = "mid")]
    fn a_body_that_is_longer_than_its_room_is_a_bug() {
        write(&mut [0; record_bytes(8)], 3, 0, |out| out.put_bytes(&[7; 9]));
    }
}
