//! `backup.toml`: the list of a backup's files. Written last: a directory without it is not a backup.
//!
//! Invariant: a list that loads equals, byte for byte, one that was stored; its last line is the CRC of all lines
//! before it.

use crate::model::Millis;
use crate::server::backup::target::BackupTarget;
use crate::server::base::error::{DiskError, FileFault};
use crate::server::data::directory::BACKUP_LIST_FILE;
use crate::server::{Manifest, StartError};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Component, Path};

const FORMAT: u32 = 1;
const CHECK: &str = "# crc32c of all above: ";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupList {
    pub format: u32,
    /// When the backup was begun, in Unix milliseconds.
    pub created: u64,
    /// The version of the program that made the backup.
    pub version: String,
    /// The `id` of the data directory's manifest.
    pub directory: String,
    pub files: Vec<ListedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedFile {
    /// Relative to the backup's directory.
    pub path: String,
    pub bytes: u64,
    /// Eight hex digits.
    pub crc32c: String,
}

/// The field that every version has; used to refuse another version with a clear message.
#[derive(Deserialize)]
struct BackupFormat {
    format: u32,
}

impl ListedFile {
    pub fn new(path: String, bytes: u64, crc: u32) -> Self {
        Self { path, bytes, crc32c: hex(crc) }
    }

    pub fn is_of(&self, crc: u32) -> bool {
        self.crc32c == hex(crc)
    }

    /// Whether the path is a file name or one directory and a file name, so that a manipulated list cannot write
    /// elsewhere.
    fn stays_below(&self) -> bool {
        let mut components = Path::new(&self.path).components();
        components.clone().count() <= 2 && components.all(|component| matches!(component, Component::Normal(_)))
    }
}

fn hex(crc: u32) -> String {
    format!("{crc:08x}")
}

impl BackupList {
    pub fn new(manifest: &Manifest, now: Millis, files: Vec<ListedFile>) -> Self {
        let (version, directory) = (env!("CARGO_PKG_VERSION").to_owned(), manifest.id.clone());
        Self { format: FORMAT, created: now.0, version, directory, files }
    }

    /// The bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(in crate::server) fn store(&self, target: &mut BackupTarget) -> Result<(), StartError> {
        target.write(BACKUP_LIST_FILE, self.text().as_bytes())
    }

    pub fn load(backup: &Path) -> Result<Self, StartError> {
        let path = backup.join(BACKUP_LIST_FILE);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DiskError::unfit(backup, "is not a backup: there is no backup.toml in it").into());
            }
            Err(error) => return Err(StartError::disk("read", &path, error)),
        };
        Self::parse(&text).map_err(|source| DiskError::File { path, source }.into())
    }

    fn text(&self) -> String {
        let list = toml::to_string(self).expect("numbers and texts always encode");
        let check = hex(crc32c::crc32c(list.as_bytes()));
        format!("{list}{CHECK}{check}\n")
    }

    fn parse(text: &str) -> Result<Self, FileFault> {
        let damaged = || FileFault::Unfit("is damaged: its CRC differs");
        let (list, check) = text.rsplit_once(CHECK).ok_or_else(damaged)?;
        if check != format!("{:08x}\n", crc32c::crc32c(list.as_bytes())) {
            return Err(damaged());
        }
        let BackupFormat { format } = toml::from_str(list)?;
        if format != FORMAT {
            return Err(FileFault::Version { found: format, known: FORMAT, program: "program" });
        }
        let list: Self = toml::from_str(list)?;
        match list.files.iter().find(|file| !file.stays_below()) {
            Some(file) => Err(FileFault::Listed(file.path.clone())),
            None => Ok(list),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(path: &str) -> BackupList {
        let files = vec![ListedFile::new(path.to_owned(), 4_096, 0xab)];
        BackupList { format: FORMAT, created: 5, version: "0.1.0".to_owned(), directory: "d".to_owned(), files }
    }

    #[test]
    fn a_list_reads_back_as_written_and_no_byte_of_it_can_change() {
        let list = list("shard-000/00000001.log");
        let text = list.text();
        assert_eq!(BackupList::parse(&text), Ok(list));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let changed = String::from_utf8(bytes).expect("still ASCII");
            assert!(BackupList::parse(&changed).is_err(), "{changed}");
        }
        assert!(BackupList::parse(&text[..text.len() / 2]).is_err());
    }

    #[test]
    fn another_version_is_refused_by_number() {
        let why = BackupList::parse(&BackupList { format: 2, ..list("a") }.text()).expect_err("unknown version");
        assert!(why.to_string().contains("version 2"), "{why}");
    }

    #[test]
    fn a_backup_writes_nowhere_else() {
        for path in ["../passwd", "/etc/passwd", "a/b/c", "shard-000/..", "."] {
            assert!(BackupList::parse(&list(path).text()).is_err(), "{path}");
        }
    }
}
