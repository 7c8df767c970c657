//! A conversation as everybody's inboxes have it together, and who is to have what of it.

use crate::check::group::{Deed, Group, Standing};
use crate::check::ledger::Intent;
use crate::client::speech::{Change, Kind, STREAM_END, SYSTEM, Shown, group_of, pair_of};
use mushan::model::{JoinPolicy, Role};
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
        self.add_unshown(&intent.conversation(), (message, &intent.author, &intent.client_id));
    }

    /// A log has this message, and nobody is shown it: the id, the author and the client id.
    pub fn add_unshown(&mut self, conversation: &str, (message, author, client_id): (u64, &str, &str)) {
        if self.entries.contains_key(&message) {
            return;
        }
        let entry = Shown {
            seq: None,
            conversation: conversation.to_owned(),
            conversation_seq: None,
            message,
            client_id: client_id.to_owned(),
            author: author.to_owned(),
            kind: Kind::Body(String::new()),
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
            if let Kind::Cleared { .. } = entry.kind {
                recipients = [entry.author.clone()].into();
            }
            if let Kind::Read(messages) = &entry.kind {
                let authors: BTreeSet<_> = messages.iter().filter_map(|message| author_of(*message)).collect();
                recipients.retain(|user| authors.contains(user));
            }
            if entry.kind.takes_place() {
                // An author in whose name the operator has written need not be in the group: then it has no history.
                let is_out = |user: &String| {
                    let is_systems = entry.client_id.starts_with(SYSTEM);
                    is_systems && told.group.as_ref().is_some_and(|group| !group.members.contains_key(user))
                };
                for user in recipients.iter().filter(|user| !is_out(user)) {
                    told.visible.entry(user.clone()).or_default().push(*id);
                }
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
        if let Kind::Joining { is_asked, .. } = &entry.kind {
            let user = entry.author.clone();
            let deed = if *is_asked { Deed::Asked(user.clone()) } else { Deed::Declined(user.clone()) };
            deed.apply(&mut told.group);
            return [user].into();
        }
        let Kind::Group(change) = &entry.kind else {
            let may = told.group.as_ref().is_some_and(|group| group.may_write(&entry.author));
            if entry.client_id.starts_with(SYSTEM) && told.group.is_some() {
                return before.into_iter().chain([entry.author.clone()]).collect();
            }
            // What the server says to end a stream needs no leave.
            let is_end = entry.client_id.starts_with(STREAM_END);
            let is_message = entry.kind.is_message();
            assert!(may || is_end || !is_message || self.is_holed, "a muted user wrote to its group: {entry:?}");
            let is_in = before.contains(&entry.author) || !entry.kind.is_message();
            assert!(is_in || self.is_holed, "{} wrote to a group that it is not in: {entry:?}", entry.author);
            return before;
        };
        let who = change.members.iter();
        match change.what.as_str() {
            "created" => {
                assert!(told.group.is_none(), "a group is created twice: {entry:?}");
                who.for_each(|user| drop(told.visible.remove(user)));
                told.group = Some(Group::new(change.owner.as_deref().expect("it has an owner"), &change.members));
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
                    group.requests.remove(user);
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
            "profile" => {
                group.name = change.name.clone().expect("a name");
                group.join = JoinPolicy::named(change.join.as_deref().expect("a policy")).expect("a policy");
            }
            "changed" if self.is_holed && !change.members.iter().all(|user| group.members.contains_key(user)) => {}
            "changed" => changed(group, change),
            other => panic!("a group is {other}"),
        }
        members(&told.group)
    }
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
