//! A user's own names for conversations, found by conversation and by name.
//!
//! Owned by the inboxes, for each user that has given a name. Invariant: a conversation has one name, and a name one
//! conversation.

use crate::model::ConversationName;
use crate::shard::rows::index::ConversationIndex;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

type Named = (ConversationIndex, ConversationName);

#[derive(Debug, Default)]
pub(in crate::shard) struct Names {
    all: Vec<Named>,
    by_conversation: HashTable<u32>,
    by_name: HashTable<u32>,
}

impl Names {
    pub fn as_slice(&self) -> &[Named] {
        &self.all
    }

    pub fn name_of(&self, hasher: &FixedState, at: ConversationIndex) -> Option<&ConversationName> {
        let found = self.by_conversation.find(hasher.hash_one(at), |row| self.all[*row as usize].0 == at)?;
        Some(&self.all[*found as usize].1)
    }

    pub fn named(&self, hasher: &FixedState, name: &str) -> Option<ConversationIndex> {
        let found = self.by_name.find(hasher.hash_one(name), |row| self.all[*row as usize].1.as_str() == name)?;
        Some(self.all[*found as usize].0)
    }

    /// A name that another conversation has stays with that one.
    pub fn set(&mut self, hasher: &FixedState, at: ConversationIndex, name: &ConversationName) {
        if self.named(hasher, name.as_str()).is_none() {
            self.forget(hasher, at);
            self.add(hasher, at, name.clone());
        }
    }

    /// The conversation has this name and no other, and no other conversation has it.
    pub fn restore(&mut self, hasher: &FixedState, at: ConversationIndex, name: &ConversationName) {
        self.forget(hasher, at);
        if let Some(other) = self.named(hasher, name.as_str()) {
            self.forget(hasher, other);
        }
        self.add(hasher, at, name.clone());
    }

    fn add(&mut self, hasher: &FixedState, at: ConversationIndex, name: ConversationName) {
        let row = u32::try_from(self.all.len()).expect("names are fewer than conversations");
        self.all.push((at, name));
        let all = &self.all;
        self.by_conversation.insert_unique(hasher.hash_one(at), row, |row| hasher.hash_one(all[*row as usize].0));
        let hash_of = |row: &u32| hasher.hash_one(all[*row as usize].1.as_str());
        self.by_name.insert_unique(hash_of(&row), row, hash_of);
    }

    /// The last row takes the place of the one that goes.
    fn forget(&mut self, hasher: &FixedState, at: ConversationIndex) {
        let all = &self.all;
        let is_its = |row: &u32| all[*row as usize].0 == at;
        let Ok(entry) = self.by_conversation.find_entry(hasher.hash_one(at), is_its) else { return };
        let (row, _) = entry.remove();
        if let Ok(entry) = self.by_name.find_entry(hasher.hash_one(all[row as usize].1.as_str()), |it| *it == row) {
            entry.remove();
        }
        let last = self.all.len() as u32 - 1;
        self.all.swap_remove(row as usize);
        if row == last {
            return;
        }
        let (moved, name) = &self.all[row as usize];
        let hashes = [hasher.hash_one(moved), hasher.hash_one(name.as_str())];
        for (table, hash) in [&mut self.by_conversation, &mut self.by_name].into_iter().zip(hashes) {
            if let Some(place) = table.find_mut(hash, |it| *it == last) {
                *place = row;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u32) -> ConversationName {
        ConversationName::new(&format!("name-{number}")).expect("well formed")
    }

    #[test]
    fn names_are_found_both_ways_whatever_was_given_again() {
        let (hasher, mut names) = (FixedState::with_seed(3), Names::default());
        let at = ConversationIndex;
        (0..1_000).for_each(|number| names.set(&hasher, at(number), &name(number)));
        names.set(&hasher, at(1_000), &name(5));
        assert_eq!(names.named(&hasher, "name-5"), Some(at(5)), "a name stays with whom it has");
        assert_eq!(names.name_of(&hasher, at(1_000)), None);
        names.set(&hasher, at(5), &name(2_000));
        assert_eq!((names.named(&hasher, "name-5"), names.named(&hasher, "name-2000")), (None, Some(at(5))));
        names.set(&hasher, at(1_000), &name(5));
        assert_eq!(names.named(&hasher, "name-5"), Some(at(1_000)), "it is free again");
        names.restore(&hasher, at(7), &name(8));
        assert_eq!((names.name_of(&hasher, at(8)), names.named(&hasher, "name-7")), (None, None));
        for (found, called) in names.as_slice().to_vec() {
            assert_eq!(names.named(&hasher, called.as_str()), Some(found));
            assert_eq!(names.name_of(&hasher, found), Some(&called));
        }
        assert_eq!(names.as_slice().len(), 1_000);
    }
}
