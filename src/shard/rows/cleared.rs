//! Conversations that users of this shard have cleared for themselves: up to which message, and whether they want to see
//! the conversation in their list.
//!
//! Invariants: follows from records; a user has one row for each conversation that it has cleared, and the row never goes
//! back; rows of an erased user are hidden at once and removed in parts, and no row is added to them; where nobody has cleared anything, a reader pays for one look at an empty table.

use crate::log::record::bytes::{Put, Reader};
use crate::log::record::fact::{put_extent, read_extent};
use crate::model::{ClearExtent, ConversationSeq, Position};
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};

/// What one user does not see any more of one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::shard) struct ClearedHistory {
    /// The last message that is hidden.
    pub through: ConversationSeq,
    pub extent: ClearExtent,
}

#[derive(Debug, Default)]
pub(in crate::shard) struct ClearedTable {
    rows: BTreeMap<(UserIndex, ConversationIndex), ClearedHistory>,
    /// Erased users whose rows are still to be removed.
    erased: BTreeSet<UserIndex>,
    /// Rows whose messages may not all count as read yet: that is in other records, which a crash may have taken.
    unread: BTreeSet<(UserIndex, ConversationIndex)>,
    /// Those for which there was no room. `retry_unread` returns them.
    put_off: Vec<(UserIndex, ConversationIndex)>,
    /// The record that changed a row last.
    newest_record: Position,
}

/// The most rows that are removed at once.
const REMOVED_AT_ONCE_MAX: usize = 1_024;

/// Bytes of a row in a checkpoint.
const ROW_BYTES: u64 = 17;

impl ClearedTable {
    /// The record at `position` hides this; a row that hides more stays.
    pub fn set(&mut self, user: UserIndex, at: ConversationIndex, cleared: ClearedHistory, position: Position) {
        let row = self.rows.entry((user, at)).or_insert(cleared);
        *row = cleared.max(*row);
        self.unread.insert((user, at));
        self.newest_record = self.newest_record.max(position);
    }

    /// An answer from which messages are left out waits for this record.
    pub fn newest_record(&self) -> Position {
        self.newest_record
    }

    #[inline]
    pub fn find(&self, user: UserIndex, at: ConversationIndex) -> Option<ClearedHistory> {
        if self.rows.is_empty() { None } else { self.rows.get(&(user, at)).copied().filter(|_| !self.is_erased(user)) }
    }

    /// Whether the user has cleared any conversation.
    #[inline]
    pub fn has(&self, user: UserIndex) -> bool {
        !self.rows.is_empty() && self.rows_of(user).next().is_some() && !self.is_erased(user)
    }

    fn is_erased(&self, user: UserIndex) -> bool {
        self.erased.contains(&user)
    }

    fn rows_of(&self, user: UserIndex) -> impl Iterator<Item = (UserIndex, ConversationIndex)> + '_ {
        let bounds = (user, ConversationIndex(0))..=(user, ConversationIndex(u32::MAX));
        self.rows.range(bounds).map(|(key, _)| *key)
    }

    /// The user is erased. `forget_some` removes the rows.
    pub fn forget(&mut self, user: UserIndex) {
        if self.has(user) {
            self.erased.insert(user);
        }
    }

    /// Whether rows of erased users are left.
    pub fn has_forgotten(&self) -> bool {
        !self.erased.is_empty()
    }

    /// Removes a bounded number of these rows. Returns how many.
    pub fn forget_some(&mut self) -> usize {
        let mut removed = 0;
        while let Some(user) = self.erased.first().copied() {
            let keys: SmallVec<[_; 64]> = self.rows_of(user).take(REMOVED_AT_ONCE_MAX - removed).collect();
            for key in &keys {
                self.rows.remove(key);
            }
            removed += keys.len();
            if removed == REMOVED_AT_ONCE_MAX {
                break;
            }
            self.erased.remove(&user);
        }
        removed
    }

    /// Whether rows are left of which nobody has looked whether their messages count as read.
    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// One such row, once.
    pub fn next_unread(&mut self) -> Option<(UserIndex, ConversationIndex)> {
        self.unread.pop_first()
    }

    /// Nothing could be done about the row for now.
    pub fn put_off(&mut self, row: (UserIndex, ConversationIndex)) {
        self.put_off.push(row);
    }

    pub fn retry_unread(&mut self) {
        self.unread.extend(self.put_off.drain(..));
    }

    /// The rows of users who are not erased.
    pub fn all(&self) -> impl Iterator<Item = (UserIndex, ConversationIndex, ClearedHistory)> + '_ {
        let rows = self.rows.iter().filter(|((user, _), _)| !self.is_erased(*user));
        rows.map(|((user, at), cleared)| (*user, *at, *cleared))
    }

    /// Bytes in a checkpoint, at most.
    pub fn bytes(&self) -> u64 {
        8 + self.rows.len() as u64 * ROW_BYTES
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.all().count() as u64);
        for (user, at, ClearedHistory { through, extent }) in self.all() {
            out.put_u32(user.0);
            out.put_u32(at.0);
            out.put_u64(through.0);
            put_extent(extent, out);
        }
    }

    /// What `put` wrote, in a state with so many users and conversations.
    pub fn read(reader: &mut Reader<'_>, users: usize, conversations: usize) -> Option<Self> {
        let mut cleared = Self::default();
        for _row in 0..reader.u64()? {
            let (user, at) = (UserIndex(reader.u32()?), ConversationIndex(reader.u32()?));
            let (through, extent) = (ConversationSeq(reader.u64()?), read_extent(reader)?);
            if user.0 as usize >= users || at.0 as usize >= conversations {
                return None;
            }
            cleared.rows.insert((user, at), ClearedHistory { through, extent });
            cleared.unread.insert((user, at));
        }
        Some(cleared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(through: u64, extent: ClearExtent) -> ClearedHistory {
        ClearedHistory { through: ConversationSeq(through), extent }
    }

    #[test]
    fn a_row_never_goes_back_and_is_its_users_alone() {
        use ClearExtent::{Conversation, History};
        let [ann, ben] = [UserIndex(1), UserIndex(2)];
        let at = ConversationIndex(5);
        let mut cleared = ClearedTable::default();
        assert!(!cleared.has(ann) && cleared.find(ann, at).is_none());
        for (position, (through, extent)) in (8..).zip([(4, Conversation), (3, Conversation), (4, History)]) {
            cleared.set(ann, at, history(through, extent), Position(position));
            assert_eq!(cleared.find(ann, at), Some(history(4, Conversation)));
        }
        assert_eq!(cleared.newest_record(), Position(10));
        cleared.set(ann, at, history(6, History), Position(11));
        assert_eq!(cleared.find(ann, at), Some(history(6, History)), "it is in the list again, empty");
        assert!(cleared.has(ann) && !cleared.has(ben) && !cleared.has(UserIndex(0)));
        cleared.set(ben, at, history(1, History), Position(12));
        cleared.forget(ann);
        assert!(!cleared.has(ann) && cleared.has(ben));
    }

    #[test]
    fn the_rows_of_erased_users_are_hidden_at_once_and_removed_a_part_at_a_time() {
        let [ann, ben, eve] = [UserIndex(1), UserIndex(2), UserIndex(3)];
        let mut cleared = ClearedTable::default();
        let many = 3 * REMOVED_AT_ONCE_MAX as u32;
        for user in [ann, ben, eve] {
            for at in 0..many {
                cleared.set(user, ConversationIndex(at), history(1, ClearExtent::History), Position(8));
            }
        }
        cleared.forget(eve);
        cleared.forget(ann);
        let at = ConversationIndex(many - 1);
        for user in [ann, eve] {
            assert!(!cleared.has(user) && cleared.find(user, at).is_none());
        }
        let mut parts = 0;
        while cleared.has_forgotten() {
            assert!(cleared.forget_some() <= REMOVED_AT_ONCE_MAX);
            parts += 1;
        }
        assert!((6..=7).contains(&parts), "{parts} parts");
        assert!(cleared.find(ben, at).is_some() && cleared.all().count() == many as usize);
        assert_eq!(cleared.forget_some(), 0);
    }

    #[test]
    fn a_checkpoint_keeps_every_row_and_refuses_rows_of_nobody() {
        let mut cleared = ClearedTable::default();
        for number in 0..9 {
            let extent = if number % 2 == 0 { ClearExtent::History } else { ClearExtent::Conversation };
            cleared.set(UserIndex(number), ConversationIndex(9 - number), history(number.into(), extent), Position(8));
        }
        let mut bytes = Vec::new();
        cleared.put(&mut bytes);
        assert_eq!(bytes.len() as u64, cleared.bytes());
        let read = |users, conversations| ClearedTable::read(&mut Reader::new(&bytes), users, conversations);
        let mut again = read(9, 10).expect("it is what was written");
        assert_eq!(again.all().collect::<Vec<_>>(), cleared.all().collect::<Vec<_>>());
        let rows = again.all().map(|(user, at, _)| (user, at)).collect::<Vec<_>>();
        let unread: Vec<_> = std::iter::from_fn(|| again.next_unread()).collect();
        assert_eq!(unread, rows, "nobody knows whether it counts as read");
        assert!(read(8, 10).is_none() && read(9, 9).is_none());
    }
}
