//! Accounts: which users an operator has disabled or erased, and since when a user's tokens are valid.
//!
//! Accounts are the user's shard's; every shard has all erased users, since it may have messages of any author.
//! Invariants: both tables follow from the log; a user with the default state has no row; a user who may not have a
//! session has none, from the moment at which the log says so; a user who is erased stays so.

use crate::log::Record;
use crate::log::record::bytes::{Put, Reader};
use crate::model::{AccountState, Millis, Position, Refusal, UserId};
use crate::shard::table::fresh_marks::FreshMarks;
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Debug, Default)]
pub(in crate::shard) struct Accounts {
    rows: BTreeMap<UserId, Account>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct Account {
    pub state: AccountState,
    /// Tokens issued earlier are revoked; 0: none is.
    pub tokens_from: Millis,
}

impl Accounts {
    pub fn find(&self, user: &UserId) -> Account {
        self.rows.get(user).copied().unwrap_or_default()
    }

    pub fn set(&mut self, user: &UserId, account: Account) {
        if account == Account::default() {
            self.rows.remove(user);
        } else {
            self.rows.insert(user.clone(), account);
        }
    }

    /// Each row as the record that makes it.
    pub fn records(&self) -> impl Iterator<Item = (&UserId, Record)> {
        self.rows.iter().map(|(user, account)| (user, account.record(user)))
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.rows.len() as u64);
        for (user, account) in &self.rows {
            out.put_short(user.as_str().as_bytes());
            out.put_u8(u8::from(account.state == AccountState::Disabled));
            out.put_u64(account.tokens_from.0);
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let one = |reader: &mut Reader<'_>| {
            let user = UserId::new(std::str::from_utf8(reader.short()?).ok()?).ok()?;
            let state = if reader.u8()? == 0 { AccountState::Enabled } else { AccountState::Disabled };
            Some((user, Account { state, tokens_from: Millis(reader.u64()?) }))
        };
        let rows = (0..reader.u64()?).map(|_| one(reader)).collect::<Option<_>>()?;
        Some(Self { rows })
    }
}

impl Account {
    /// Who shows a token that was issued then.
    pub fn admits(self, issued: Millis) -> Result<(), Refusal> {
        match self.state {
            AccountState::Disabled => Err(Refusal::AccountDisabled),
            AccountState::Enabled if issued < self.tokens_from => Err(Refusal::TokenRevoked),
            AccountState::Enabled => Ok(()),
        }
    }

    pub fn record(self, user: &UserId) -> Record {
        Record::Account { user: user.clone(), state: self.state, tokens_from: self.tokens_from }
    }
}

/// Users whose words are shown as tombstones, whoever has them and whenever.
#[derive(Debug, Default)]
pub(in crate::shard) struct Erased {
    users: BTreeMap<UserId, Millis>,
    /// The users whose records are not acknowledged yet.
    fresh: FreshMarks<UserId>,
}

impl Erased {
    /// The record at `position` erases the user at `time`.
    pub fn insert(&mut self, user: &UserId, time: Millis, position: Position) {
        if !self.contains(user) {
            self.users.insert(user.clone(), time);
            self.fresh.insert(user.clone(), position);
        }
    }

    /// Records before `end` may be shown.
    pub fn acknowledged(&mut self, end: Position) {
        self.fresh.acknowledged(end);
    }

    /// An answer that may show any of the tombstones waits for this record.
    pub fn newest_record(&self) -> Position {
        self.fresh.newest_record()
    }

    #[inline]
    pub fn contains(&self, user: &UserId) -> bool {
        !self.users.is_empty() && self.users.contains_key(user)
    }

    /// The same, if the record is acknowledged, so that a crash cannot undo it.
    #[inline]
    pub fn contains_for_good(&self, user: &UserId) -> bool {
        self.contains(user) && !self.fresh.contains(user)
    }

    /// Those with ids from there on.
    pub fn after(&self, from: Bound<&UserId>) -> impl Iterator<Item = (&UserId, Millis)> {
        self.users.range::<UserId, _>((from, Bound::Unbounded)).map(|(user, time)| (user, *time))
    }

    /// The erased users, and when each was erased.
    pub fn all(&self) -> impl Iterator<Item = (&UserId, Millis)> {
        self.users.iter().map(|(user, time)| (user, *time))
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.users.len() as u64);
        for (user, time) in self.all() {
            out.put_u64(time.0);
            out.put_short(user.as_str().as_bytes());
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let one = |reader: &mut Reader<'_>| {
            let time = Millis(reader.u64()?);
            Some((UserId::new(std::str::from_utf8(reader.short()?).ok()?).ok()?, time))
        };
        let users = (0..reader.u64()?).map(|_| one(reader)).collect::<Option<_>>()?;
        Some(Self { users, fresh: FreshMarks::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::user;

    #[test]
    fn who_is_like_everybody_else_has_no_row_and_the_others_read_back_as_written() {
        let mut accounts = Accounts::default();
        let disabled = Account { state: AccountState::Disabled, tokens_from: Millis(0) };
        let revoked = Account { state: AccountState::Enabled, tokens_from: Millis(7) };
        accounts.set(&user("alice"), disabled);
        accounts.set(&user("bob"), revoked);
        accounts.set(&user("carol"), disabled);
        accounts.set(&user("carol"), Account::default());
        let mut bytes = Vec::new();
        accounts.put(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let read = Accounts::read(&mut reader).expect("as written");
        assert!(reader.is_at_end());
        assert_eq!(read.rows, accounts.rows);
        assert_eq!(read.rows.len(), 2);
        assert!((0..bytes.len()).all(|cut| Accounts::read(&mut Reader::new(&bytes[..cut])).is_none()));
    }

    #[test]
    fn a_token_is_good_from_the_time_of_the_revocation_on() {
        let account = Account { state: AccountState::Enabled, tokens_from: Millis(7_000) };
        let admitted = [0, 6_999, 7_000].map(|issued| account.admits(Millis(issued)));
        assert_eq!(admitted, [Err(Refusal::TokenRevoked), Err(Refusal::TokenRevoked), Ok(())]);
        let disabled = Account { state: AccountState::Disabled, ..account };
        assert_eq!(disabled.admits(Millis(u64::MAX)), Err(Refusal::AccountDisabled));
    }
}
