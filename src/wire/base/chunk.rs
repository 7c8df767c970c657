//! The bytes of one receive, while one connection consumes them.

/// Received bytes and how many of them are consumed. Frames are unmasked and parsed in place.
pub struct ReceivedBytes<'a> {
    bytes: &'a mut [u8],
    taken: usize,
}

impl<'a> ReceivedBytes<'a> {
    /// All of these bytes, none consumed.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, taken: 0 }
    }

    /// Whether all bytes are consumed.
    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }

    pub(in crate::wire) fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(in crate::wire) fn into_rest(self) -> &'a [u8] {
        &self.bytes[self.taken..]
    }

    /// Consumes and returns the next `count` bytes, which must exist.
    pub(in crate::wire) fn take(&mut self, count: usize) -> &mut [u8] {
        let start = self.taken;
        self.taken += count;
        &mut self.bytes[start..self.taken]
    }

    pub(in crate::wire) fn skip_all(&mut self) {
        self.taken = self.bytes.len();
    }
}
