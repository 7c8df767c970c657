//! Batches that a receiver did not take: one JSON object a line, in a file of bounded size.
//!
//! Invariant: a batch is in the file, durably, before the cursor passes it. A line that a crash cut off belongs to a batch
//! that the cursor has not passed.

use crate::admin::webhooks::redaction::without_words;
use crate::model::{Millis, UserId};
use crate::server::write_atomically;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub struct DeadLetters {
    path: PathBuf,
    bytes_max: u64,
    pub held: HeldLetters,
}

/// What the file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldLetters {
    pub batches: u64,
    pub events: u64,
    pub bytes: u64,
}

/// One line.
#[derive(Serialize, Deserialize)]
pub struct DeadLetter {
    pub id: String,
    /// When the batch was given up.
    pub time: u64,
    pub error: String,
    pub events: Box<RawValue>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterOutcome {
    Stored,
    /// The file is full: the batch is dropped.
    Full,
}

impl DeadLetter {
    pub fn new(id: &str, time: Millis, error: &str, events: String) -> Self {
        let events = RawValue::from_string(events).expect("events are written as a list in JSON");
        Self { id: id.to_owned(), time: time.0, error: error.to_owned(), events }
    }

    /// Leaves out the words of erased users. Returns how many events had some.
    pub fn leave_out(&mut self, is_erased: &impl Fn(&UserId) -> bool) -> u64 {
        let Some((events, emptied)) = without_words(self.events.get(), is_erased) else { return 0 };
        self.events = RawValue::from_string(events).expect("events are a list in JSON");
        emptied
    }

    pub fn count(&self) -> u64 {
        serde_json::from_str::<Vec<&RawValue>>(self.events.get()).map_or(0, |events| events.len() as u64)
    }
}

impl DeadLetters {
    /// Opens the file, or begins without one; a line that a crash cut off is cut away.
    ///
    /// # Errors
    ///
    /// The file cannot be read or cut.
    pub fn open(directory: &Path, webhook: &str, bytes_max: u64) -> io::Result<Self> {
        let path = directory.join(format!("{webhook}.dead.ndjson"));
        let mut letters = Self { path, bytes_max, held: HeldLetters::default() };
        let Some(bytes) = letters.bytes()? else { return Ok(letters) };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            let file = OpenOptions::new().write(true).open(&letters.path)?;
            file.set_len(whole as u64)?;
            file.sync_all()?;
        }
        letters.held.bytes = whole as u64;
        for letter in letters_in(&bytes[..whole]) {
            letters.held.batches += 1;
            letters.held.events += letter.count();
        }
        Ok(letters)
    }

    /// Adds a batch, durable on return.
    ///
    /// # Errors
    ///
    /// The batch is not stored, and the file is as before, or has a line that the next start cuts away.
    pub fn add(&mut self, letter: &DeadLetter) -> io::Result<DeadLetterOutcome> {
        let mut line = serde_json::to_string(letter).expect("a letter has text keys");
        line.push('\n');
        if self.held.bytes + line.len() as u64 > self.bytes_max {
            return Ok(DeadLetterOutcome::Full);
        }
        let is_new = !self.path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        let written = append(&file, self.held.bytes, line.as_bytes());
        let written = if is_new { written.and_then(|()| sync_directory_of(&self.path)) } else { written };
        written?;
        self.held.bytes += line.len() as u64;
        self.held.batches += 1;
        self.held.events += letter.count();
        Ok(DeadLetterOutcome::Stored)
    }

    /// All batches, oldest first.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn all(&self) -> io::Result<Vec<DeadLetter>> {
        Ok(self.bytes()?.map_or_else(Vec::new, |bytes| letters_in(&bytes).collect()))
    }

    /// Leaves out the words of erased users, durable on return. Returns how many events had some.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is as before.
    pub fn leave_out(&mut self, is_erased: &impl Fn(&UserId) -> bool) -> io::Result<u64> {
        let mut letters = self.all()?;
        let emptied = letters.iter_mut().map(|letter| letter.leave_out(is_erased)).sum();
        if emptied > 0 {
            self.replace(&letters)?;
        }
        Ok(emptied)
    }

    /// Removes the oldest batches, durable on return.
    ///
    /// # Errors
    ///
    /// The file is as before.
    pub fn remove_first(&mut self, batches: usize) -> io::Result<()> {
        let kept: Vec<DeadLetter> = self.all()?.into_iter().skip(batches).collect();
        self.replace(&kept)
    }

    fn replace(&mut self, letters: &[DeadLetter]) -> io::Result<()> {
        let mut text = String::new();
        for letter in letters {
            text.push_str(&serde_json::to_string(letter).expect("a letter has text keys"));
            text.push('\n');
        }
        write_atomically(&self.path, text.as_bytes(), 0o600)?;
        let events = letters.iter().map(DeadLetter::count).sum();
        self.held = HeldLetters { batches: letters.len() as u64, events, bytes: text.len() as u64 };
        Ok(())
    }

    fn bytes(&self) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The letters of a file; a line that is none is passed over.
fn letters_in(bytes: &[u8]) -> impl Iterator<Item = DeadLetter> + '_ {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// Writes at the end of the whole lines, over what a failed attempt may have left.
fn append(file: &File, end: u64, line: &[u8]) -> io::Result<()> {
    file.set_len(end)?;
    io::Seek::seek(&mut &*file, io::SeekFrom::Start(end))?;
    (&*file).write_all(line)?;
    file.sync_all()
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: &str) -> DeadLetter {
        DeadLetter::new(id, Millis(7), "503", r#"[{"event":"a","n":12345678901234567890},{"event":"b"}]"#.to_owned())
    }

    fn ids(letters: &DeadLetters) -> Vec<String> {
        letters.all().expect("readable").into_iter().map(|letter| letter.id).collect()
    }

    #[test]
    fn letters_are_kept_in_order_up_to_a_bound_and_removed_from_the_front() {
        let directory = tempfile::tempdir().expect("a directory");
        let bytes = serde_json::to_string(&letter("1")).expect("it is JSON").len() as u64 + 1;
        let mut letters = DeadLetters::open(directory.path(), "orders", 3 * bytes).expect("opened");
        let added: Vec<DeadLetterOutcome> =
            ["1", "2", "3", "4"].map(|id| letters.add(&letter(id)).expect("written")).into();
        assert_eq!(
            added,
            [DeadLetterOutcome::Stored, DeadLetterOutcome::Stored, DeadLetterOutcome::Stored, DeadLetterOutcome::Full]
        );
        assert_eq!(letters.held, HeldLetters { batches: 3, events: 6, bytes: 3 * bytes });
        let again = DeadLetters::open(directory.path(), "orders", 3 * bytes).expect("opened");
        assert_eq!((again.held, ids(&again)), (letters.held, ["1", "2", "3"].map(str::to_owned).to_vec()));
        letters.remove_first(2).expect("removed");
        assert_eq!((ids(&letters), letters.held.batches), (vec!["3".to_owned()], 1));
        assert_eq!(letters.all().expect("readable")[0].events.get(), letter("3").events.get(), "digits are kept");
        assert_eq!(letters.add(&letter("5")).expect("written"), DeadLetterOutcome::Stored);
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_cut_away() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut letters = DeadLetters::open(directory.path(), "orders", 10_000).expect("opened");
        letters.add(&letter("1")).expect("written");
        let path = directory.path().join("orders.dead.ndjson");
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(br#"{"id":"2","ti"#).expect("written");
        let mut again = DeadLetters::open(directory.path(), "orders", 10_000).expect("opened");
        assert_eq!(again.held, letters.held);
        again.add(&letter("3")).expect("written");
        assert_eq!(ids(&again), ["1", "3"]);
    }
}
