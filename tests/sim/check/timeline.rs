//! A conversation as everybody's inboxes have it together, and who is to have what of it.

use crate::check::ledger::Intent;
use crate::client::speech::{Change, Kind, Shown, group_of, pair_of};
use crate::world::operator::{FOR_EVER, Group, Standing};
use mushan::model::{GroupChange, Role};
use std::collections::{BTreeMap, BTreeSet};

/// Entries by their ids, which ascend in a conversation, as its owner gave them.
#[derive(Default)]
pub struct Timeline {
    pub entries: BTreeMap<u64, Shown>,
    /// Accepted, and over: nobody has these, and what is known of them is what their authors said.
    pub vanished: BTreeSet<u64>,
    /// Some of it was lost below what is left.
    pub is_holed: bool,
}

/// What the entries of a conversation come to, if all of them are there.
#[derive(Default)]
pub struct Told {
    /// By entry: who is to have it.
    pub recipients: BTreeMap<u64, BTreeSet<String>>,
    /// By user: the ids that its history shows now.
    pub visible: BTreeMap<String, Vec<u64>>,
    /// Whoever was ever removed, by an order or with the group.
    pub left: BTreeSet<String>,
    pub group: Option<Group>,
}

impl Timeline {
    /// One id is one entry, for everybody. Where retention drops, a shard may have forgotten before another one that it
    /// was taken back.
    pub fn add(&mut self, shown: &Shown, may_forget: bool) {
        let common = Shown { seq: None, ..shown.bare() };
        let known = self.entries.entry(shown.message).or_insert_with(|| common.clone());
        let is_same = *known == common || may_forget && (known.became(&common) || common.became(known));
        assert!(is_same, "in the end, two things under one id: {known:?} and {common:?}");
        if known.became(&common) {
            *known = common;
        }
    }

    /// Somebody was told that this message is taken, and nobody has it any more.
    pub fn add_vanished(&mut self, message: u64, intent: &Intent) {
        if self.entries.contains_key(&message) {
            return;
        }
        let (conversation, author) = (intent.conversation(), intent.author.clone());
        let (client_id, kind) = (intent.client_id.clone(), Kind::Body(intent.body.clone()));
        let entry = Shown {
            seq: None,
            conversation,
            conversation_seq: None,
            message,
            client_id,
            author,
            kind,
            chunk: None,
            time: None,
        };
        self.entries.insert(message, entry);
        self.vanished.insert(message);
    }

    /// The ids of those that have numbers in the conversation, in order.
    pub fn places(&self) -> Vec<u64> {
        self.entries.iter().filter(|(_, entry)| entry.kind.takes_place()).map(|(id, _)| *id).collect()
    }

    /// Goes through a whole conversation from its beginning.
    pub fn tell(&self, conversation: &str, author_of: &dyn Fn(u64) -> Option<String>) -> Told {
        let mut told = Told::default();
        for (id, entry) in &self.entries {
            let mut recipients = match group_of(conversation) {
                Some(_) => self.of_group(&mut told, entry),
                None => {
                    let (a, b) = pair_of(conversation);
                    [a.to_owned(), b.to_owned()].into()
                }
            };
            if let Kind::Read(messages) = &entry.kind {
                let authors: BTreeSet<_> = messages.iter().filter_map(|message| author_of(*message)).collect();
                recipients.retain(|user| authors.contains(user));
            }
            if entry.kind.takes_place() {
                recipients.iter().for_each(|user| told.visible.entry(user.clone()).or_default().push(*id));
            }
            told.recipients.insert(*id, recipients);
        }
        told
    }

    /// Those who are to have an entry of a group, which may change who is in it.
    fn of_group(&self, told: &mut Told, entry: &Shown) -> BTreeSet<String> {
        let members = |group: &Option<Group>| -> BTreeSet<String> {
            group.iter().flat_map(|group| group.members.keys().cloned()).collect()
        };
        let before = members(&told.group);
        let Kind::Group(change) = &entry.kind else {
            let is_in = before.contains(&entry.author) || !entry.kind.is_message();
            assert!(is_in || self.is_holed, "{} wrote to a group that it is not in: {entry:?}", entry.author);
            return before;
        };
        let who = change.members.iter();
        match change.what.as_str() {
            "created" => {
                assert!(told.group.is_none(), "a group is created twice: {entry:?}");
                who.for_each(|user| drop(told.visible.remove(user)));
                told.group = Some(created(change));
                return members(&told.group);
            }
            "dissolved" => {
                told.left.extend(before.clone());
                told.group = None;
                return before;
            }
            _ => {}
        }
        let Some(group) = told.group.as_mut() else {
            assert!(self.is_holed, "a group that is not there changes: {entry:?}");
            return before;
        };
        match change.what.as_str() {
            "added" => {
                for user in who {
                    // What it saw when it was here before is behind it.
                    told.visible.remove(user);
                    let is_news = group.members.insert(user.clone(), Standing::default()).is_none();
                    assert!(is_news || self.is_holed, "{user} is added twice");
                }
            }
            "removed" => {
                for user in who {
                    let was_there = group.members.remove(user).is_some();
                    assert!(was_there || self.is_holed, "{user} is removed and was not there");
                    told.left.insert(user.clone());
                }
                return before;
            }
            "changed" if self.is_holed && !change.members.iter().all(|user| group.members.contains_key(user)) => {}
            "changed" => changed(group, change),
            other => panic!("a group is {other}"),
        }
        members(&told.group)
    }
}

fn created(change: &Change) -> Group {
    let owner = change.owner.clone().expect("a new group has an owner");
    let mut members: BTreeMap<_, _> = change.members.iter().map(|user| (user.clone(), Standing::default())).collect();
    members.insert(owner.clone(), Standing { role: Role::Owner, is_muted: false });
    Group { owner, members }
}

fn changed(group: &mut Group, change: &Change) {
    let user = change.members.first().expect("it is about somebody");
    let role = Role::named(change.role.as_deref().expect("a role")).expect("a role");
    if role == Role::Owner {
        let before = std::mem::replace(&mut group.owner, user.clone());
        group.members.get_mut(&before).expect("the owner is in").role = Role::Admin;
    }
    *group.members.get_mut(user).expect("it is in") = Standing { role, is_muted: change.is_muted };
}

/// What a change makes of a group, as a log has it. Whoever is not in it cannot be changed.
pub fn apply(group: &mut Option<Group>, change: &GroupChange) {
    match change {
        GroupChange::Created { owner, members } => {
            let members = members.iter().map(|user| (user.to_string(), Standing::default()));
            let mut made = Group { owner: owner.to_string(), members: members.collect() };
            made.members.insert(owner.to_string(), Standing { role: Role::Owner, is_muted: false });
            *group = Some(made);
        }
        GroupChange::Dissolved => *group = None,
        GroupChange::Profiled(_) => {}
        GroupChange::Added { members } => {
            let Some(group) = group else { return };
            for user in members {
                group.members.insert(user.to_string(), Standing::default());
            }
        }
        GroupChange::Removed { members } => {
            let Some(group) = group else { return };
            members.iter().for_each(|user| {
                let _standing = group.members.remove(user.as_str());
            });
        }
        GroupChange::Changed { member, role, muted_until } => {
            let Some(group) = group.as_mut().filter(|it| it.members.contains_key(member.as_str())) else { return };
            if *role == Role::Owner {
                let before = std::mem::replace(&mut group.owner, member.to_string());
                if let Some(standing) = group.members.get_mut(&before) {
                    standing.role = Role::Admin;
                }
            }
            let is_muted = *muted_until == FOR_EVER;
            group.members.insert(member.to_string(), Standing { role: *role, is_muted });
        }
    }
}
