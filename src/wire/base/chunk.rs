//! The bytes that one receive brought, being taken in by one connection.

/// Received bytes being taken in; frames are unmasked and parsed in place.
pub struct ReceivedBytes<'a> {
    bytes: &'a mut [u8],
    taken: usize,
}

impl<'a> ReceivedBytes<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, taken: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    pub(in crate::wire) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(in crate::wire) fn into_rest(self) -> &'a [u8] {
        &self.bytes[self.taken..]
    }

    /// The next `count` bytes; there must be so many.
    pub(in crate::wire) fn take(&mut self, count: usize) -> &mut [u8] {
        let start = self.taken;
        self.taken += count;
        &mut self.bytes[start..self.taken]
    }

    pub(in crate::wire) fn skip_all(&mut self) {
        self.taken = self.bytes.len();
    }
}
