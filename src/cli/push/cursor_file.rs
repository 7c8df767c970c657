//! How far notifications have got: a cursor in a file, with its CRC. Written whole or not at all, durable on return.

use crate::server::write_atomically;
use std::io;
use std::path::PathBuf;

pub struct PushCursorFile(pub PathBuf);

impl PushCursorFile {
    /// `None`: there is no file yet. `Err`: the file cannot be read, or holds something else than a cursor.
    pub fn load(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(&self.0) {
            Ok(text) => parse(&text).map(Some).ok_or(io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn store(&self, cursor: &str) -> io::Result<()> {
        let line = format!("{cursor} {:08x}\n", crc32c::crc32c(cursor.as_bytes()));
        write_atomically(&self.0, line.as_bytes(), 0o600)
    }
}

fn parse(text: &str) -> Option<String> {
    let (cursor, crc) = text.strip_suffix('\n')?.split_once(' ')?;
    (crc == format!("{:08x}", crc32c::crc32c(cursor.as_bytes()))).then(|| cursor.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_what_is_none_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = PushCursorFile(directory.path().join("push.cursor"));
        assert_eq!(file.load().expect("readable"), None);
        file.store("00000007.1-40").expect("written");
        assert_eq!(file.load().expect("readable").as_deref(), Some("00000007.1-40"));
        std::fs::write(&file.0, "00000007.1-48 00000000\n").expect("written");
        assert!(file.load().is_err());
    }
}
