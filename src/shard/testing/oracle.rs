//! The inboxes that a run must lead to once nothing is under way, computed from requests and replies alone and never
//! from a shard's state: the entries of a group say who was a member when, and so which entries each inbox must have.

use crate::model::{Command, Conversation, Entry, Fact, GroupChange, Message, MessageId, Reply, Role, Seq, UserId};
use crate::shard::testing::fixtures::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The requests of a run and what users were answered and pushed.
#[derive(Debug, Default)]
pub(in crate::shard) struct Ledger {
    /// Author and client message id of what was accepted, and of what was refused.
    sent: BTreeSet<(String, String)>,
    refused: BTreeSet<(String, String)>,
    revoked: BTreeSet<MessageId>,
    read: BTreeSet<(String, MessageId)>,
    pushed: BTreeMap<(String, Seq), MessageId>,
    shown: BTreeSet<(String, MessageId)>,
}

impl Ledger {
    pub fn answered(&mut self, who: &str, command: &Command, reply: &Reply) {
        let is_refused = refusal(reply).is_some();
        match command {
            Command::Send(send) => {
                let key = (who.to_owned(), send.client_message_id.to_string());
                let news = if is_refused { &mut self.refused } else { &mut self.sent };
                news.insert(key);
            }
            Command::Revoke(revoke) if !is_refused => drop(self.revoked.insert(revoke.message)),
            Command::Receipt(receipt) if !is_refused => {
                self.read.extend(receipt.messages.iter().map(|id| (who.to_owned(), *id)));
            }
            _ => {}
        }
    }

    pub fn has_shown(&self, who: &str, id: MessageId) -> bool {
        self.shown.contains(&(who.to_owned(), id))
    }

    pub fn pushed(&mut self, user: &UserId, entry: &Entry) {
        self.shown.insert((user.to_string(), entry.message.id));
        let before = self.pushed.insert((user.to_string(), entry.seq), entry.message.id);
        assert!(before.is_none_or(|id| id == entry.message.id), "a place in an inbox is one entry's for ever");
    }
}

struct VisiblePresence {
    /// Everybody's inbox.
    inboxes: BTreeMap<String, Vec<Entry>>,
    /// Messages of which a client has been told that they were taken back.
    revoked: BTreeSet<MessageId>,
}

pub(in crate::shard) fn check(cluster: &mut Cluster, people: &[&str], groups: &[&str], ledger: &Ledger) {
    let inboxes: BTreeMap<String, Vec<Entry>> = people.iter().map(|id| ((*id).to_owned(), cluster.inbox(id))).collect();
    let mut revoked = BTreeSet::new();
    for entry in inboxes.values().flatten() {
        if let Some(Fact::Revoked { message }) = entry.message.fact.as_deref() {
            revoked.insert(*message);
        }
    }
    assert!(ledger.revoked.is_subset(&revoked), "what is taken back is told");
    let seen = VisiblePresence { inboxes, revoked };
    check_places(&seen, ledger);
    for id in groups {
        check_group(cluster, people, id, &seen, ledger);
    }
    for (at, one) in people.iter().enumerate() {
        people[at..].iter().for_each(|other| check_pair(one, other, &seen));
        check_rows(cluster, one, &seen);
    }
}

/// No holes, nothing twice, nothing taken back that was shown, everything accepted, nothing refused.
fn check_places(seen: &VisiblePresence, ledger: &Ledger) {
    let mut accepted = BTreeSet::new();
    for (who, inbox) in &seen.inboxes {
        assert!((1..).zip(inbox).all(|(seq, entry)| entry.seq == Seq(seq)), "{who} has a hole");
        let ids: BTreeSet<MessageId> = inbox.iter().map(|entry| entry.message.id).collect();
        assert_eq!(ids.len(), inbox.len(), "{who} has something twice");
        for entry in inbox.iter().filter(|entry| entry.message.fact.is_none()) {
            let is_tombstone = entry.message.content.is_empty() && !entry.message.extra.is_empty();
            assert_eq!(is_tombstone, seen.revoked.contains(&entry.message.id), "{who}: {entry:?}");
            if entry.message.author.as_str() == who {
                let is_first = accepted.insert((who.clone(), entry.message.client_message_id.to_string()));
                assert!(is_first, "{who} said {:?} twice", entry.message.client_message_id);
            }
        }
    }
    for ((who, seq), id) in &ledger.pushed {
        let entry = &seen.inboxes[who][seq.0 as usize - 1];
        assert_eq!(entry.message.id, *id, "{who} was shown something else at {seq}");
    }
    assert_eq!(accepted, ledger.sent, "what is accepted is there, and nothing else");
    assert!(accepted.is_disjoint(&ledger.refused), "what is refused is not there");
}

fn takes_place(message: &Message) -> bool {
    matches!(message.fact.as_deref(), None | Some(Fact::Group(_)))
}

/// The conversation's own order: every place once, none missing.
fn places_of(conversation: &Conversation, seen: &VisiblePresence) -> Vec<Arc<Message>> {
    let mut places: BTreeMap<u64, Arc<Message>> = BTreeMap::new();
    for entry in seen.inboxes.values().flatten() {
        if is_in(entry, conversation) && takes_place(&entry.message) {
            let known = places.entry(entry.message.conversation_seq.0).or_insert_with(|| entry.message.clone());
            assert_eq!(known.id, entry.message.id, "two messages at one place");
        }
    }
    assert!((1..).zip(places.keys()).all(|(seq, key)| seq == *key), "{conversation:?} has a hole: {places:?}");
    places.into_values().collect()
}

/// Who is in a group behind each of its places, and as what.
type UserStatus = BTreeMap<String, Role>;

fn after(before: &UserStatus, message: &Message) -> UserStatus {
    let mut members = before.clone();
    let Some(Fact::Group(change)) = message.fact.as_deref() else { return members };
    let join = |members: &mut UserStatus, user: &UserId| _ = members.insert(user.to_string(), Role::Member);
    match change {
        GroupChange::Created { owner, members: all } => {
            members.clear();
            all.iter().for_each(|user| join(&mut members, user));
            members.insert(owner.to_string(), Role::Owner);
        }
        GroupChange::Added { members: new } => new.iter().for_each(|user| join(&mut members, user)),
        GroupChange::Removed { members: gone } => members.retain(|id, _| !gone.iter().any(|user| user.as_str() == id)),
        GroupChange::Changed { member, role, .. } => {
            if *role == Role::Owner {
                let owners = members.values_mut().filter(|role| **role == Role::Owner);
                owners.for_each(|role| *role = Role::Admin);
            }
            members.insert(member.to_string(), *role);
        }
        GroupChange::Dissolved => members.clear(),
        GroupChange::Profiled(_) => {}
    }
    members
}

fn check_group(cluster: &mut Cluster, people: &[&str], id: &str, seen: &VisiblePresence, ledger: &Ledger) {
    let conversation = Conversation::Group(group(id));
    let places = places_of(&conversation, seen);
    let mut standings = vec![UserStatus::new()];
    for message in &places {
        standings.push(after(&standings[standings.len() - 1], message));
    }
    for who in people {
        let sees = |message: &&Arc<Message>| {
            let at = message.conversation_seq.0 as usize;
            standings[at].contains_key(*who) || standings[at - 1].contains_key(*who)
        };
        let expected: Vec<&Arc<Message>> = places.iter().filter(sees).collect();
        check_member(who, &conversation, &expected, seen);
        check_facts(who, &conversation, &standings, seen);
        let stint = standings
            .iter()
            .rposition(|standing| !standing.contains_key(*who))
            .filter(|_| standings[standings.len() - 1].contains_key(*who));
        // Who has left keeps what it had in its last time; who is in, what came since it came.
        let last_in = standings.iter().rposition(|standing| standing.contains_key(*who));
        let joined = stint.or_else(|| standings[..last_in?].iter().rposition(|standing| !standing.contains_key(*who)));
        let shown: Vec<MessageId> = expected
            .iter()
            .filter(|message| joined.is_some_and(|joined| message.conversation_seq.0 > joined as u64))
            .map(|message| message.id)
            .collect();
        let history: Vec<MessageId> =
            cluster.history(who, &in_group(id), 40).iter().map(|entry| entry.message.id).collect();
        assert_eq!(history, shown, "{who}'s history of {id}");
    }
    check_receipts(&conversation, &places, &standings, seen, ledger);
    let shown = cluster.show(id).map(|state| {
        state.members.into_iter().map(|member| (member.user.to_string(), member.role)).collect::<UserStatus>()
    });
    assert_eq!(shown.unwrap_or_default(), standings[standings.len() - 1], "the operator sees who is in");
}

/// In the group's order, each once; its own messages may have come early.
fn check_member(who: &str, conversation: &Conversation, expected: &[&Arc<Message>], seen: &VisiblePresence) {
    let inbox = seen.inboxes[who].iter().filter(|entry| is_in(entry, conversation));
    let there: Vec<&Arc<Message>> = inbox.map(|entry| &entry.message).filter(|message| takes_place(message)).collect();
    let is_own = |message: &&&Arc<Message>| message.fact.is_none() && message.author.as_str() == who;
    let ids = |messages: &[&Arc<Message>], own: bool| {
        let chosen = messages.iter().filter(|message| is_own(message) == own);
        chosen.map(|message| message.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&there, false), ids(expected, false), "{who} in {conversation:?}");
    assert_eq!(ids(&there, true), ids(expected, true), "{who}'s own in {conversation:?}");
}

/// Whoever is in the group is told what was taken back, once; others are not.
fn check_facts(who: &str, conversation: &Conversation, standings: &[UserStatus], seen: &VisiblePresence) {
    let mut facts: BTreeMap<MessageId, (MessageId, usize)> = BTreeMap::new();
    for entry in seen.inboxes.values().flatten().filter(|entry| is_in(entry, conversation)) {
        if let Some(Fact::Revoked { message }) = entry.message.fact.as_deref() {
            let fact = (entry.message.id, entry.message.conversation_seq.0 as usize);
            assert_eq!(*facts.entry(*message).or_insert(fact), fact, "a message is taken back once");
        }
    }
    for (revoked, (id, at)) in facts {
        let has_it = seen.inboxes[who].iter().any(|entry| entry.message.id == id);
        assert_eq!(has_it, standings[at].contains_key(who), "{who} hears that {revoked} was taken back");
    }
}

/// Told to authors alone, once for each reader and message; and what was answered is told where both stayed.
fn check_receipts(
    conversation: &Conversation,
    places: &[Arc<Message>],
    standings: &[UserStatus],
    seen: &VisiblePresence,
    ledger: &Ledger,
) {
    let authors: BTreeMap<MessageId, &Arc<Message>> = places.iter().map(|message| (message.id, message)).collect();
    let mut told = BTreeSet::new();
    for (who, inbox) in &seen.inboxes {
        for entry in inbox.iter().filter(|entry| is_in(entry, conversation)) {
            let Some(Fact::Read { told: author, messages }) = entry.message.fact.as_deref() else { continue };
            assert_eq!(author.as_str(), who);
            for read in messages {
                assert_eq!(authors[&read.id].author.as_str(), who, "told of its own messages only");
                assert_ne!(entry.message.author.as_str(), who, "nobody is told what it read itself");
                assert!(told.insert((entry.message.author.to_string(), read.id)), "told twice");
            }
        }
    }
    for (reader, id) in &ledger.read {
        let Some(message) = authors.get(id) else { continue };
        let stays = |who: &str| standings[message.conversation_seq.0 as usize..].iter().all(|it| it.contains_key(who));
        let is_due = message.author.as_str() != reader && stays(reader) && stays(message.author.as_str());
        assert!(!is_due || told.contains(&(reader.clone(), *id)), "{reader} has read {id}, and nobody was told");
    }
}

fn check_pair(one: &str, other: &str, seen: &VisiblePresence) {
    let conversation = Conversation::pair(user(one), user(other));
    let places = places_of(&conversation, seen);
    for who in [one, other] {
        let inbox = seen.inboxes[who].iter().filter(|entry| is_in(entry, &conversation));
        let (there, facts): (Vec<_>, Vec<_>) = inbox.partition(|entry| takes_place(&entry.message));
        assert!(there.iter().map(|entry| entry.message.id).eq(places.iter().map(|message| message.id)), "{who}");
        let outputs: Vec<MessageId> = facts
            .iter()
            .filter_map(|entry| match entry.message.fact.as_deref() {
                Some(Fact::Revoked { message }) => Some(*message),
                _ => None,
            })
            .collect();
        let due = places.iter().map(|message| message.id).filter(|id| seen.revoked.contains(id));
        assert_eq!(outputs.iter().copied().collect::<BTreeSet<_>>(), due.collect(), "{who} hears what is taken back");
        assert_eq!(outputs.len(), outputs.iter().collect::<BTreeSet<_>>().len(), "once");
    }
}

/// The list says what a recount of the inbox says.
fn check_rows(cluster: &mut Cluster, who: &str, seen: &VisiblePresence) {
    let rows = cluster.rows(who);
    assert!(rows.is_sorted_by(|one, other| one.last_seq > other.last_seq), "the newest first");
    let inbox = &seen.inboxes[who];
    let conversations: BTreeSet<&Conversation> = inbox.iter().map(|entry| &entry.message.conversation).collect();
    assert_eq!(rows.iter().map(|row| &row.conversation).collect::<BTreeSet<_>>(), conversations, "{who}");
    for row in &rows {
        let entries: Vec<&Entry> = inbox.iter().filter(|entry| is_in(entry, &row.conversation)).collect();
        let unread = entries.iter().filter(|entry| {
            let message = &entry.message;
            let is_others = message.fact.is_none() && message.author.as_str() != who;
            is_others && message.conversation_seq > row.read_through
        });
        assert_eq!(unread.count() as u64, row.unread, "{who} in {:?}", row.conversation);
        assert_eq!(entries.last().map(|entry| entry.seq), Some(row.last_seq), "{who} in {:?}", row.conversation);
        let newest = entries.iter().map(|entry| entry.message.conversation_seq).max();
        assert_eq!(newest, Some(row.newest_seq), "{who} in {:?}", row.conversation);
    }
}
