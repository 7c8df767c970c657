//! The requests to join each group that nobody has answered; on the shard that orders the group.
//!
//! Invariants: the table follows from the log; a group without requests has no row.

use crate::log::record::bytes::{Put, Reader};
use crate::model::{JoinRequest, Millis, UserId};
use crate::shard::table::fingerprint::Fingerprint;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The requests of each group, by the users who have asked, with the time of each.
#[derive(Debug, Default)]
pub(in crate::shard) struct JoinRequestTable {
    groups: BTreeMap<Fingerprint, BTreeMap<UserId, Millis>>,
    /// Bytes of all rows in a checkpoint.
    bytes: u64,
}

/// A fingerprint and a count.
const GROUP_BYTES: u64 = 16 + 4;

fn request_bytes(user: &UserId) -> u64 {
    (8 + 1 + user.as_str().len()) as u64
}

impl JoinRequestTable {
    /// The user has asked at `time`. Requests that have expired by then are forgotten.
    pub fn insert(&mut self, group: Fingerprint, user: &UserId, time: Millis) {
        if let Some(requests) = self.groups.get_mut(&group) {
            let bytes = &mut self.bytes;
            requests.retain(|user, asked| {
                let is_left = !JoinRequest::is_expired(*asked, time);
                *bytes -= if is_left { 0 } else { request_bytes(user) };
                is_left
            });
        }
        self.restore(group, user, time);
    }

    /// A request as a rewrite of the directory or a checkpoint has it.
    pub fn restore(&mut self, group: Fingerprint, user: &UserId, time: Millis) {
        let requests = self.groups.entry(group).or_insert_with(|| {
            self.bytes += GROUP_BYTES;
            BTreeMap::new()
        });
        if requests.insert(user.clone(), time).is_none() {
            self.bytes += request_bytes(user);
        }
    }

    /// The user's request is answered.
    pub fn remove(&mut self, group: Fingerprint, user: &UserId) {
        let Some(requests) = self.groups.get_mut(&group) else { return };
        if requests.remove(user).is_some() {
            self.bytes -= request_bytes(user);
        }
        if requests.is_empty() {
            self.groups.remove(&group);
            self.bytes -= GROUP_BYTES;
        }
    }

    /// These users are members now.
    pub fn remove_all(&mut self, group: Fingerprint, users: &[UserId]) {
        if self.groups.contains_key(&group) {
            users.iter().for_each(|user| self.remove(group, user));
        }
    }

    /// The group has ended, or begins.
    pub fn forget(&mut self, group: Fingerprint) {
        if let Some(requests) = self.groups.remove(&group) {
            self.bytes -= GROUP_BYTES + requests.keys().map(request_bytes).sum::<u64>();
        }
    }

    /// Whether the user has a request that has not expired.
    pub fn contains(&self, group: Fingerprint, user: &UserId, now: Millis) -> bool {
        let asked = self.groups.get(&group).and_then(|requests| requests.get(user));
        asked.is_some_and(|asked| !JoinRequest::is_expired(*asked, now))
    }

    /// The group's requests that have not expired, of users with ids above `after`, in their order.
    pub fn after<'a>(
        &'a self,
        group: Fingerprint,
        after: Option<&'a UserId>,
        now: Millis,
    ) -> impl Iterator<Item = (&'a UserId, Millis)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let requests = self.groups.get(&group).map(|requests| requests.range::<UserId, _>((from, Bound::Unbounded)));
        let requests = requests.into_iter().flatten().map(|(user, asked)| (user, *asked));
        requests.filter(move |(_, asked)| !JoinRequest::is_expired(*asked, now))
    }

    /// All requests of a group, expired ones too.
    pub fn of(&self, group: Fingerprint) -> impl Iterator<Item = (&UserId, Millis)> {
        self.groups.get(&group).into_iter().flatten().map(|(user, asked)| (user, *asked))
    }

    /// Bytes of all rows in a checkpoint.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.groups.len() as u64);
        for (group, requests) in &self.groups {
            group.put(out);
            out.put_u32(u32::try_from(requests.len()).expect("a limit bounds the requests of a group"));
            for (user, asked) in requests {
                out.put_u64(asked.0);
                out.put_short(user.as_str().as_bytes());
            }
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut table = Self::default();
        for _group in 0..reader.u64()? {
            let group = Fingerprint::read(reader)?;
            for _request in 0..reader.u32()? {
                let asked = Millis(reader.u64()?);
                let user = UserId::new(std::str::from_utf8(reader.short()?).ok()?).ok()?;
                table.restore(group, &user, asked);
            }
        }
        Some(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::user;

    fn asked(table: &JoinRequestTable, group: Fingerprint, now: u64) -> Vec<(String, u64)> {
        table.after(group, None, Millis(now)).map(|(user, time)| (user.to_string(), time.0)).collect()
    }

    #[test]
    fn requests_read_back_as_written_and_what_is_answered_or_expired_takes_no_memory() {
        let (one, other) = (Fingerprint::of_halves([1, 2]), Fingerprint::of_halves([3, 4]));
        let mut table = JoinRequestTable::default();
        let day = 24 * 60 * 60 * 1_000;
        for (group, who, time) in [(one, "bob", 5), (one, "ann", 7), (other, "bob", 9), (one, "bob", 2 * day)] {
            table.insert(group, &user(who), Millis(time));
        }
        assert_eq!(asked(&table, one, 2 * day), [("ann".to_owned(), 7), ("bob".to_owned(), 2 * day)]);
        assert_eq!(asked(&table, one, 30 * day + 7), [("bob".to_owned(), 2 * day)], "the other has expired");
        assert_eq!(table.after(one, Some(&user("ann")), Millis(9)).count(), 1);
        let mut bytes = Vec::new();
        table.put(&mut bytes);
        assert_eq!(bytes.len() as u64, 8 + table.bytes());
        let mut reader = Reader::new(&bytes);
        let read = JoinRequestTable::read(&mut reader).expect("as written");
        assert!(reader.is_at_end());
        assert_eq!((&read.groups, read.bytes), (&table.groups, table.bytes));
        assert!((0..bytes.len()).all(|cut| JoinRequestTable::read(&mut Reader::new(&bytes[..cut])).is_none()));
        table.insert(one, &user("cat"), Millis(40 * day));
        assert!(table.of(one).map(|(user, _)| user.as_str()).eq(["cat"]), "the expired are forgotten");
        table.remove_all(one, &[user("ann"), user("cat")]);
        table.forget(other);
        assert_eq!((table.groups.len(), table.bytes()), (0, 0));
    }
}
