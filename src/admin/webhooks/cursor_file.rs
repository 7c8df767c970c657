//! A receiver's cursor on the disk: one line, the cursor and its CRC. Written whole or not at all, durable on return.

use crate::server::follow::cursor::Cursor;
use crate::server::write_atomically;
use std::io;
use std::path::{Path, PathBuf};

pub struct CursorFile {
    path: PathBuf,
}

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub enum StoredCursor {
    /// There is no file.
    Absent,
    /// The file holds something else than a cursor.
    Damaged,
    Found(Cursor),
}

impl CursorFile {
    pub fn new(directory: &Path, webhook: &str) -> Self {
        Self { path: directory.join(format!("{webhook}.cursor")) }
    }

    /// # Errors
    ///
    /// The file cannot be read.
    pub fn load(&self) -> io::Result<StoredCursor> {
        match std::fs::read(&self.path) {
            Ok(bytes) => Ok(parse(&bytes).map_or(StoredCursor::Damaged, StoredCursor::Found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(StoredCursor::Absent),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    ///
    /// The cursor is not durable; the file has the one before it.
    pub fn store(&self, cursor: &Cursor) -> io::Result<()> {
        let text = cursor.to_string();
        let line = format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()));
        write_atomically(&self.path, line.as_bytes(), 0o600)
    }
}

fn parse(bytes: &[u8]) -> Option<Cursor> {
    let (text, crc) = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split_once(' ')?;
    let is_whole = crc == format!("{:08x}", crc32c::crc32c(text.as_bytes()));
    if is_whole { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_flipped_bit_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = CursorFile::new(directory.path(), "orders");
        assert_eq!(file.load().expect("readable"), StoredCursor::Absent);
        let cursor: Cursor = "00000007.1-40.2-1000".parse().expect("a cursor");
        file.store(&cursor).expect("written");
        assert_eq!(file.load().expect("readable"), StoredCursor::Found(cursor));
        let path = directory.path().join("orders.cursor");
        let bytes = std::fs::read(&path).expect("there");
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, flipped).expect("written");
            assert_eq!(file.load().expect("readable"), StoredCursor::Damaged, "byte {at}");
        }
    }
}
