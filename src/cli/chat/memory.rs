//! Remembers in a file in the data directory how far a user has been shown one conversation: a seq, and its epoch.

use crate::cli::chat::exchange::{ChatPeer, Shown};
use crate::model::UserId;
use std::path::{Path, PathBuf};

pub struct Memory {
    path: PathBuf,
}

impl Memory {
    pub fn of(data_dir: &Path, user: &UserId, peer: &ChatPeer) -> Self {
        let (kind, id) = match peer {
            ChatPeer::User(user) => ("user", user),
            ChatPeer::Group(group) => ("group", group),
        };
        let file = format!("{kind}-{}", hexadecimal(id));
        Self { path: data_dir.join("chat").join(format!("of-{}", hexadecimal(user.as_str()))).join(file) }
    }

    /// `None`: nothing has been shown.
    pub fn recall(&self) -> Option<Shown> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        let mut numbers = text.split_whitespace();
        Some(Shown { seq: numbers.next()?.parse().ok()?, epoch: numbers.next().and_then(|epoch| epoch.parse().ok()) })
    }

    /// Stores the position. If the file is lost, some messages are shown again.
    pub fn keep(&self, Shown { seq, epoch }: Shown) {
        let text = epoch.map_or_else(|| format!("{seq}\n"), |epoch| format!("{seq} {epoch}\n"));
        let temporary = self.path.with_extension("new");
        let kept = self.path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let kept = kept.and_then(|()| std::fs::write(&temporary, text));
        if let Err(error) = kept.and_then(|()| std::fs::rename(&temporary, &self.path)) {
            tracing::warn!(%error, "cannot remember what was shown");
        }
    }
}

/// Encodes an id for a file name: ids may contain characters that file names may not.
fn hexadecimal(id: &str) -> String {
    id.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_remembered_for_each_user_and_conversation_apart() {
        let dir = tempfile::tempdir().unwrap();
        let memory = |id: &str, peer: ChatPeer| Memory::of(dir.path(), &UserId::new(id).unwrap(), &peer);
        let (user, group) = (|| ChatPeer::User("x".repeat(64)), || ChatPeer::Group("x".repeat(64)));
        assert_eq!(memory("../a/b", user()).recall(), None);
        memory("../a/b", user()).keep(Shown { seq: 41, epoch: None });
        assert_eq!(memory("../a/b", user()).recall(), Some(Shown { seq: 41, epoch: None }));
        let last = Shown { seq: 42, epoch: Some(7) };
        memory("../a/b", user()).keep(last);
        assert_eq!(memory("../a/b", user()).recall(), Some(last));
        assert_eq!((memory("../a/b", group()).recall(), memory("bob", user()).recall()), (None, None));
    }
}
