//! Remembers in a file in the data directory how far a user has been shown one conversation: a seq, and its epoch.

use crate::server::hex;
use mushan_client::{Saved, Store, Target};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub struct Memory {
    path: PathBuf,
    /// What is in the file.
    kept: Option<String>,
}

impl Memory {
    pub fn of(data_dir: &Path, user: &str, peer: &Target) -> Self {
        // Ids may contain characters that file names may not.
        let (kind, id) = match peer {
            Target::User(user) => ("user", user),
            Target::Group(group) => ("group", group),
        };
        let file = format!("{kind}-{}", hex(id.as_bytes()));
        Self { path: data_dir.join("chat").join(format!("of-{}", hex(user.as_bytes()))).join(file), kept: None }
    }
}

/// Messages without an answer are not kept: the program ends with all of them answered, or says that they are not.
impl Store for Memory {
    fn load(&mut self) -> io::Result<Option<Saved>> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(parse(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))),
        }
    }

    fn save(&mut self, saved: &Saved) -> io::Result<()> {
        let Some(through) = saved.through else { return Ok(()) };
        let text = format!("{through} {}\n", saved.epoch);
        if self.kept.as_ref() == Some(&text) {
            return Ok(());
        }
        let temporary = self.path.with_extension("new");
        self.path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(&temporary, &text)?;
        std::fs::rename(&temporary, &self.path)?;
        self.kept = Some(text);
        Ok(())
    }
}

/// `None`: nothing has been shown. A file without an epoch is of a server that sent none.
fn parse(text: &str) -> Option<Saved> {
    let mut numbers = text.split_whitespace();
    let through = numbers.next()?.parse().ok()?;
    let epoch = numbers.next().and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    Some(Saved { epoch, through: Some(through), outgoing: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_remembered_for_each_user_and_conversation_apart() {
        let dir = tempfile::tempdir().unwrap();
        let memory = |id: &str, peer: Target| Memory::of(dir.path(), id, &peer);
        let (user, group) = (|| Target::User("x".repeat(64)), || Target::Group("x".repeat(64)));
        assert_eq!(memory("../a/b", user()).load().unwrap(), None);
        let shown = Saved { epoch: 7, through: Some(42), outgoing: Vec::new() };
        memory("../a/b", user()).save(&shown).unwrap();
        assert_eq!(memory("../a/b", user()).load().unwrap(), Some(shown));
        assert_eq!(memory("../a/b", group()).load().unwrap(), None);
        assert_eq!(memory("bob", user()).load().unwrap(), None);
    }

    #[test]
    fn a_file_without_an_epoch_is_understood_and_one_without_a_number_is_as_none() {
        assert_eq!(parse("41\n"), Some(Saved { epoch: 0, through: Some(41), outgoing: Vec::new() }));
        assert_eq!((parse(""), parse("-1 2\n")), (None, None));
    }
}
