//! Profiles of users, on the users' own shards, and of groups, on the shards that order them.
//!
//! Invariants: both tables follow from the log; an empty profile has no row, so who has none costs no memory.

use crate::log::Record;
use crate::log::record::bytes::{Put, Reader};
use crate::log::record::profile::{
    group_profile_bytes, profile_bytes, put_group_profile, put_profile, read_group_profile, read_profile,
};
use crate::model::{GroupProfile, Profile, UserId};
use crate::shard::table::fingerprint::Fingerprint;
use std::collections::BTreeMap;

/// The profiles of this shard's users.
#[derive(Debug, Default)]
pub(in crate::shard) struct UserProfiles {
    rows: BTreeMap<UserId, Box<Profile>>,
    /// Bytes of all rows in a checkpoint.
    bytes: u64,
}

/// The profiles of groups, by the groups' fingerprints.
#[derive(Debug, Default)]
pub(in crate::shard) struct GroupProfiles {
    rows: BTreeMap<Fingerprint, Box<GroupProfile>>,
    /// Bytes of all rows in a checkpoint.
    bytes: u64,
}

const FINGERPRINT_BYTES: usize = 16;

fn user_row_bytes(user: &UserId, profile: &Profile) -> u64 {
    (1 + user.as_str().len() + profile_bytes(profile)) as u64
}

fn group_row_bytes(profile: &GroupProfile) -> u64 {
    (FINGERPRINT_BYTES + group_profile_bytes(profile)) as u64
}

impl UserProfiles {
    pub fn find(&self, user: &UserId) -> Option<&Profile> {
        self.rows.get(user).map(|profile| &**profile)
    }

    pub fn set(&mut self, user: &UserId, profile: Box<Profile>) {
        let before = if profile.is_empty() {
            self.rows.remove(user)
        } else {
            self.bytes += user_row_bytes(user, &profile);
            self.rows.insert(user.clone(), profile)
        };
        self.bytes -= before.map_or(0, |before| user_row_bytes(user, &before));
    }

    /// Bytes of all rows in a checkpoint.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Each row as the record that makes it.
    pub fn records(&self) -> impl Iterator<Item = (&UserId, Record)> {
        self.rows.iter().map(|(user, profile)| {
            let record = Record::Profile { user: user.clone(), profile: profile.clone() };
            (user, record)
        })
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.rows.len() as u64);
        for (user, profile) in &self.rows {
            out.put_short(user.as_str().as_bytes());
            put_profile(profile, out);
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut profiles = Self::default();
        for _profile in 0..reader.u64()? {
            let user = UserId::new(std::str::from_utf8(reader.short()?).ok()?).ok()?;
            profiles.set(&user, Box::new(read_profile(reader)?));
        }
        Some(profiles)
    }
}

impl GroupProfiles {
    pub fn find(&self, group: Fingerprint) -> Option<&GroupProfile> {
        self.rows.get(&group).map(|profile| &**profile)
    }

    pub fn set(&mut self, group: Fingerprint, profile: Box<GroupProfile>) {
        let before = if *profile == GroupProfile::default() {
            self.rows.remove(&group)
        } else {
            self.bytes += group_row_bytes(&profile);
            self.rows.insert(group, profile)
        };
        self.bytes -= before.map_or(0, |before| group_row_bytes(&before));
    }

    /// The group has ended, or begins.
    pub fn forget(&mut self, group: Fingerprint) {
        if !self.rows.is_empty() {
            self.set(group, Box::default());
        }
    }

    /// Bytes of all rows in a checkpoint.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.rows.len() as u64);
        for (group, profile) in &self.rows {
            group.put(out);
            put_group_profile(profile, out);
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut profiles = Self::default();
        for _profile in 0..reader.u64()? {
            let group = Fingerprint::read(reader)?;
            profiles.set(group, Box::new(read_group_profile(reader)?));
        }
        Some(profiles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Extra, JoinPolicy};
    use crate::shard::testing::duo::user;

    fn named(name: &str) -> Profile {
        let attributes = Extra::new(vec![("key".into(), name.into())]);
        Profile { name: name.into(), avatar: "a.png".into(), attributes }
    }

    #[test]
    fn who_has_no_profile_has_no_row_and_the_others_read_back_as_written() {
        let mut profiles = UserProfiles::default();
        let mut bytes = Vec::new();
        profiles.put(&mut bytes);
        let empty_bytes = bytes.len() as u64;
        for (user_id, profile) in [("alice", named("Alice")), ("bob", named("Bob")), ("alice", named("Al"))] {
            profiles.set(&user(user_id), Box::new(profile));
        }
        profiles.set(&user("bob"), Box::default());
        assert_eq!((profiles.find(&user("alice")), profiles.find(&user("bob"))), (Some(&named("Al")), None));
        bytes.clear();
        profiles.put(&mut bytes);
        assert_eq!(bytes.len() as u64, empty_bytes + profiles.bytes());
        let mut reader = Reader::new(&bytes);
        let read = UserProfiles::read(&mut reader).expect("as written");
        assert!(reader.is_at_end());
        assert_eq!((read.rows, read.bytes), (profiles.rows, profiles.bytes));
        assert!((0..bytes.len()).all(|cut| UserProfiles::read(&mut Reader::new(&bytes[..cut])).is_none()));
    }

    #[test]
    fn a_group_that_ends_leaves_nothing_and_the_others_read_back_as_written() {
        let (one, other) = (Fingerprint::of_halves([1, 2]), Fingerprint::of_halves([3, 4]));
        let mut profiles = GroupProfiles::default();
        let open = GroupProfile { about: Profile::default(), join: JoinPolicy::Open };
        profiles.set(one, Box::new(GroupProfile { about: named("Team"), ..open.clone() }));
        profiles.set(other, Box::new(open.clone()));
        profiles.forget(one);
        let mut bytes = Vec::new();
        profiles.put(&mut bytes);
        assert_eq!(bytes.len() as u64, 8 + profiles.bytes());
        let mut reader = Reader::new(&bytes);
        let read = GroupProfiles::read(&mut reader).expect("as written");
        assert!(reader.is_at_end());
        assert_eq!((read.find(one), read.find(other)), (None, Some(&open)));
        assert!((0..bytes.len()).all(|cut| GroupProfiles::read(&mut Reader::new(&bytes[..cut])).is_none()));
        profiles.forget(other);
        assert_eq!(profiles.bytes(), 0);
    }
}
