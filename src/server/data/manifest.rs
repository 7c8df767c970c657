//! `manifest.toml`: the identity and shape of a data directory, fixed when it is created, and the epoch of its inboxes
//! (docs/decisions/0018).
//!
//! Invariants: the epoch changes when inbox seqs may stand for other messages than before. The last line is the CRC of
//! all lines before it: a wrong number of shards would make the server look for inboxes in the wrong logs.

use crate::model::Millis;
use crate::server::StartError;
use crate::server::auth::secret;
use crate::server::base::error::{DiskError, FileFault};
use crate::server::base::files;
use crate::shard::SLOTS;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

const FILE: &str = "manifest.toml";
const CRC_KEY: &str = "crc = ";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub format: u32,
    /// Random; distinguishes data directories.
    pub id: String,
    pub shards: u16,
    pub segment_bytes: u32,
    /// Unix milliseconds.
    pub created: u64,
    /// Random, secret, below 2^63: the seed of the fingerprints that checkpoints hold instead of client ids and
    /// conversations.
    pub seed: u64,
    /// From 1, below 2^53. When it changes, clients forget everything that they remember by inbox seq.
    #[serde(default = "epoch_of_old")]
    pub inbox_epoch: u64,
}

/// The epoch of directories whose manifest was written before epochs existed.
fn epoch_of_old() -> u64 {
    1
}

/// The field that every version has; used to refuse another version with a clear message.
#[derive(Deserialize)]
struct ManifestFormat {
    format: u32,
}

impl Manifest {
    pub const FORMAT: u32 = 1;
    /// JavaScript holds every integer up to here exactly.
    const EPOCH_MAX: u64 = (1 << 53) - 1;

    pub fn new(shards: u16, segment_bytes: u32, now: Millis) -> Result<Self, StartError> {
        let id = secret::hex(&secret::random::<16>()?);
        // TOML's integers are signed.
        let seed = u64::from_ne_bytes(secret::random()?) >> 1;
        let inbox_epoch = random_epoch()?;
        Ok(Self { format: Self::FORMAT, id, shards, segment_bytes, created: now.0, seed, inbox_epoch })
    }

    /// The same manifest with another random epoch: two restores of one backup must not share an epoch.
    pub fn in_another_epoch(&self) -> Result<Self, StartError> {
        let mut inbox_epoch = random_epoch()?;
        while inbox_epoch == self.inbox_epoch {
            inbox_epoch = random_epoch()?;
        }
        Ok(Self { inbox_epoch, ..self.clone() })
    }

    pub fn load(data_dir: &Path) -> Result<Option<Self>, StartError> {
        let path = data_dir.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let parsed = Self::parse(&text).map(Some);
                parsed.map_err(|source| DiskError::File { path, source }.into())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StartError::disk("read", &path, error)),
        }
    }

    pub fn store(&self, data_dir: &Path) -> Result<(), StartError> {
        let path = data_dir.join(FILE);
        let text = self.text();
        files::write_atomically(&path, text.as_bytes(), 0o600).map_err(|error| StartError::disk("write", &path, error))
    }

    pub fn text(&self) -> String {
        let body = toml::to_string(self).expect("numbers and a text always encode");
        format!("{body}{CRC_KEY}{}\n", crc32c::crc32c(body.as_bytes()))
    }

    fn parse(text: &str) -> Result<Self, FileFault> {
        let (body, crc) = text.rsplit_once(CRC_KEY).ok_or(FileFault::Unfit("has no CRC: it is damaged"))?;
        if crc != format!("{}\n", crc32c::crc32c(body.as_bytes())) {
            return Err(FileFault::Unfit("is damaged: its CRC differs"));
        }
        Self::parse_body(body)
    }

    fn parse_body(text: &str) -> Result<Self, FileFault> {
        let ManifestFormat { format } = toml::from_str(text)?;
        if format != Self::FORMAT {
            return Err(FileFault::Version { found: format, known: Self::FORMAT, program: "server" });
        }
        let manifest: Self = toml::from_str(text)?;
        if !(1..=SLOTS).contains(&manifest.shards) {
            return Err(FileFault::Shards { shards_max: SLOTS });
        }
        if manifest.segment_bytes == 0 || !manifest.segment_bytes.is_multiple_of(crate::server::Options::PAGE_BYTES) {
            return Err(FileFault::Unfit("segment_bytes must be a multiple of 4096"));
        }
        if !(1..=Self::EPOCH_MAX).contains(&manifest.inbox_epoch) {
            return Err(FileFault::Unfit("inbox_epoch must be from 1 and below 2^53"));
        }
        Ok(manifest)
    }
}

fn random_epoch() -> Result<u64, StartError> {
    Ok((u64::from_ne_bytes(secret::random()?) & Manifest::EPOCH_MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_as_written() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(Manifest::load(directory.path()).expect("readable"), None);
        let manifest = Manifest::new(3, 65_536, Millis(1)).expect("randomness");
        manifest.store(directory.path()).expect("stored");
        assert_eq!(Manifest::load(directory.path()).expect("readable"), Some(manifest));
    }

    #[test]
    fn a_manifest_without_an_epoch_opens_in_the_first_one() {
        let body = "format = 1\nid = \"x\"\nshards = 1\nsegment_bytes = 4096\ncreated = 5\nseed = 7\n";
        let text = format!("{body}{CRC_KEY}{}\n", crc32c::crc32c(body.as_bytes()));
        assert_eq!(Manifest::parse(&text).expect("of an older version").inbox_epoch, 1);
    }

    #[test]
    fn another_epoch_is_another_one_each_time_and_all_else_stays() {
        let first = Manifest::new(3, 65_536, Millis(1)).expect("randomness");
        let others = [(); 8].map(|()| first.in_another_epoch().expect("randomness"));
        let epochs: std::collections::BTreeSet<u64> =
            others.iter().chain([&first]).map(|manifest| manifest.inbox_epoch).collect();
        assert_eq!(epochs.len(), 9);
        assert!(epochs.iter().all(|epoch| (1..=Manifest::EPOCH_MAX).contains(epoch)));
        for other in others {
            assert_eq!(Manifest { inbox_epoch: first.inbox_epoch, ..other }, first);
        }
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        let text = Manifest::new(2, 65_536, Millis(1)).expect("randomness").text().into_bytes();
        for at in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            let parsed = String::from_utf8(flipped)
                .map_err(|_| FileFault::Unfit("no text"))
                .and_then(|text| Manifest::parse(&text));
            assert!(parsed.is_err(), "bit {at}");
        }
    }

    #[test]
    fn another_version_is_refused_by_number_even_with_unknown_fields() {
        let why = Manifest::parse_body("format = 2\nnovelty = true").expect_err("unknown version");
        assert!(why.to_string().contains("version 2"), "{why}");
    }

    #[test]
    fn nonsense_is_refused() {
        let good = "format = 1\nid = \"x\"\nshards = 1\nsegment_bytes = 4096\ncreated = 5\nseed = 7\n";
        assert!(Manifest::parse_body(good).is_ok());
        for bad in [
            "",
            "format = 1",
            &good.replace("shards = 1", "shards = 0"),
            &good.replace("shards = 1", "shards = 9999"),
            &good.replace("4096", "4097"),
            &format!("{good}extra = 1"),
            &format!("{good}inbox_epoch = 0"),
            &format!("{good}inbox_epoch = 9007199254740992"),
        ] {
            assert!(Manifest::parse_body(bad).is_err(), "{bad}");
        }
    }
}
