//! The end of a run: nothing changes any more, everybody has collected everything, and every promise is held against
//! it.

use crate::check::cleared::{Hidden, hidden_by};
use crate::check::collection::Collection;
use crate::check::ledger::{Intent, Ledger, Unpushed};
use crate::check::timeline::{Timeline, Told};
use crate::client::speech::{Channel, Kind, Shown, group_of};
use crate::client::streaming;
use crate::world::loss::Remains;
use crate::world::operator::Operator;
use std::collections::{BTreeMap, BTreeSet};

/// What one user has in the end.
pub struct End {
    pub user: String,
    /// From a device that is told conversation seqs, and from one that is told every place of a history.
    pub json: Collection,
    pub binary: Collection,
}

pub struct Oracle<'a> {
    pub(super) ledger: &'a Ledger,
    operator: &'a Operator,
    ends: &'a [End],
    pub(super) timelines: BTreeMap<String, Timeline>,
    /// What the logs say: of a conversation with lost places nothing else tells who is to have what.
    pub(super) logs: &'a Remains,
    /// By user, the messages that it does not have any more, each with a place in its inbox that shows nothing.
    pub(super) lacked: BTreeMap<String, BTreeSet<u64>>,
    /// By user, what it has cleared of its conversations.
    hidden: BTreeMap<String, BTreeMap<String, Hidden>>,
    /// Nothing was dropped: every promise is checked in full.
    pub(super) is_whole: bool,
}

fn first_of(inbox: &[Shown]) -> u64 {
    inbox.first().and_then(|entry| entry.seq).unwrap_or(1)
}

impl<'a> Oracle<'a> {
    pub fn new(ledger: &'a Ledger, operator: &'a Operator, logs: &'a Remains, ends: &'a [End]) -> Self {
        let mut timelines: BTreeMap<String, Timeline> = BTreeMap::new();
        for entry in ends.iter().flat_map(|end| &end.json.inbox) {
            timelines.entry(entry.conversation.clone()).or_default().add(entry, ledger.may_drop);
        }
        // Where nothing is dropped, whatever is missing must have vanished.
        let has_all = |end: &End| {
            let newest = ledger.newest.get(&end.user).copied().unwrap_or_default();
            first_of(&end.json.inbox) == 1 && end.json.inbox.len() as u64 == newest
        };
        // A whole inbox may have been collected before more was dropped, and histories after it.
        let is_whole = !ledger.may_drop || !ledger.dropped_meanwhile && ends.iter().all(has_all);
        if !ledger.may_drop {
            for intent in ledger.intents.iter().filter(|intent| intent.manner.may_vanish()) {
                let Some(message) = intent.answer.message else { continue };
                timelines.entry(intent.conversation()).or_default().add_vanished(message, intent);
            }
            // What nobody has any more, because all have cleared it or it was consumed before its author was erased, only
            // logs have.
            for conversation in logs.conversations() {
                for said in logs.said_in(conversation) {
                    timelines.entry(conversation.clone()).or_default().add_unshown(conversation, said);
                }
            }
        }
        for (conversation, timeline) in &mut timelines {
            timeline.is_holed = ledger.holed.contains(conversation) || ledger.has_lost_somebody(conversation);
        }
        let hidden = ends.iter().map(|end| (end.user.clone(), hidden_by(&end.json.inbox))).collect();
        let mut oracle = Self { ledger, operator, ends, timelines, logs, lacked: BTreeMap::new(), hidden, is_whole };
        if !ledger.may_drop {
            oracle.lacked = ends.iter().map(|end| (end.user.clone(), oracle.lacked_by(end))).collect();
        }
        oracle
    }

    /// What the user is to have had and has no more.
    fn lacked_by(&self, end: &End) -> BTreeSet<u64> {
        let has: BTreeSet<u64> = end.json.inbox.iter().map(|entry| entry.message).collect();
        let mut lacked = BTreeSet::new();
        for (conversation, timeline) in &self.timelines {
            for id in self.due_to(&end.user, conversation, timeline).into_iter().filter(|id| !has.contains(id)) {
                let entry = timeline.entries.get(&id);
                let entry = entry.unwrap_or_else(|| panic!("{} has {id} in a log, and nobody is shown it", end.user));
                if entry.kind.is_message() && self.is_hidden(&end.user, conversation, id) {
                    lacked.insert(id);
                    continue;
                }
                let intent = self.ledger.intent_of(&entry.author, &entry.client_id);
                if let Some(at) = intent.filter(|_| entry.kind.is_message()) {
                    let intent = &self.ledger.intents[at];
                    let may_lack = self.ledger.may_lack(&end.user, intent, id);
                    assert!(may_lack, "{} lacks {entry:?}, sent as {:?}", end.user, intent.manner);
                    lacked.insert(id);
                }
            }
        }
        lacked
    }

    /// The ids of what the user is to have of a conversation.
    fn due_to(&self, user: &str, conversation: &str, timeline: &Timeline) -> Vec<u64> {
        if timeline.is_holed {
            return self.logs.standing(user, conversation).collect();
        }
        let author_of = |id: u64| timeline.entries.get(&id).map(|entry| entry.author.clone());
        let recipients = timeline.tell(conversation, &author_of).recipients.into_iter();
        recipients.filter(|(_, users)| users.contains(user)).map(|(id, _)| id).collect()
    }

    /// How far the user has cleared the conversation, and whether it is to be in no list.
    pub(super) fn hidden_from(&self, user: &str, conversation: &str) -> Hidden {
        self.hidden.get(user).and_then(|hidden| hidden.get(conversation)).copied().unwrap_or_default()
    }

    fn is_hidden(&self, user: &str, conversation: &str, message: u64) -> bool {
        let (through, _) = self.hidden_from(user, conversation);
        let place = (through > 0).then(|| self.place_of(conversation, message)).flatten();
        place.is_some_and(|place| place <= through)
    }

    fn place_of(&self, conversation: &str, message: u64) -> Option<u64> {
        let mut places = self.places_of(conversation).into_iter();
        places.find(|(id, _)| *id == message).map(|(_, place)| place)
    }

    /// The messages of a conversation, each with its place.
    pub(super) fn places_of(&self, conversation: &str) -> Vec<(u64, u64)> {
        let timeline = &self.timelines[conversation];
        match timeline.is_holed {
            true => self.logs.places(conversation).collect(),
            false => timeline.places().into_iter().zip(1..).collect(),
        }
    }

    fn is_lacked(&self, user: &str, message: u64) -> bool {
        self.lacked.get(user).is_some_and(|lacked| lacked.contains(&message))
    }

    pub fn check(&self) {
        for end in self.ends {
            self.check_inbox(end);
            self.check_accepted(end);
            self.check_order(end);
        }
        self.check_said();
        self.check_places();
        self.check_revocations();
        self.check_receipts();
        for (conversation, timeline) in &self.timelines {
            if self.is_whole && !timeline.is_holed {
                self.check_conversation(conversation);
                streaming::check((conversation, timeline), self.ledger, self.operator, self.logs);
            }
        }
        self.ends.iter().for_each(|end| self.check_rows(end));
        self.check_probes();
    }

    /// Seqs without a hole, the same through both protocols, and all that any device was ever shown.
    fn check_inbox(&self, end: &End) {
        let (user, inbox) = (&end.user, &end.json.inbox);
        let first = first_of(inbox);
        let newest = self.ledger.newest.get(user).copied().unwrap_or_default();
        let seqs: Vec<u64> = inbox.iter().filter_map(|entry| entry.seq).collect();
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "a repetition in the inbox of {user}: {seqs:?}");
        if self.ledger.dropped_meanwhile {
            // What was dropped between two pages was in none of them.
            assert!(seqs.last().is_none_or(|last| *last <= newest), "{user} has {seqs:?} of {newest}");
        } else if self.ledger.may_drop {
            let oldest = seqs.first().copied().unwrap_or(newest + 1);
            let missing = (oldest..=newest).rfind(|seq| !seqs.contains(seq)).unwrap_or_default();
            let without_body = self.ledger.without_body.get(user).copied().unwrap_or_default();
            assert!(
                missing <= without_body,
                "{user} lacks {missing} of {newest}, without a body is {without_body}: {seqs:?}"
            );
            assert!(seqs.last().is_none_or(|last| *last <= newest), "{user} has {seqs:?} of {newest}");
        } else {
            assert!(seqs.last().is_none_or(|last| *last <= newest), "{user} has {seqs:?} of {newest}");
            let (missing, lacked) = (newest - seqs.len() as u64, &self.lacked[user]);
            assert_eq!(missing, lacked.len() as u64, "{user} has {seqs:?} of {newest}, and lacks {lacked:?}");
        }
        let bare: Vec<Shown> = inbox.iter().map(Shown::bare).collect();
        let other: Vec<Shown> = end.binary.inbox.iter().map(Shown::bare).collect();
        // One of them may have been collected before more was dropped.
        let is_same = bare.ends_with(&other) || other.ends_with(&bare);
        let is_as_long = bare.len() == other.len() || self.ledger.may_drop;
        assert!(is_same && is_as_long, "two protocols, two inboxes of {user}: {bare:?}, {other:?}");
        let by_seq: BTreeMap<Option<u64>, &Shown> = bare.iter().map(|entry| (entry.seq, entry)).collect();
        let at = |seq: u64| by_seq.get(&Some(seq)).copied();
        for (seq, shown) in self.ledger.shown.get(user).into_iter().flatten() {
            // That something was taken back is forgotten some time before the last of it is dropped.
            let is_there =
                at(*seq).is_some_and(|entry| shown.became(entry) || self.ledger.may_drop && entry.became(shown));
            let is_dropped = self.ledger.may_drop && (*seq < first || inbox.is_empty());
            let is_gone = is_dropped || at(*seq).is_none() && self.is_lacked(user, shown.message);
            assert!(is_there || is_gone, "{user} was shown what a crash took back: {shown:?}, now {:?}", at(*seq));
        }
        for Unpushed { seq, is_binary, .. } in self.ledger.unpushed.iter().filter(|it| it.user == *user) {
            let Some(entry) = at(*seq) else {
                let is_vanished = *seq <= newest;
                assert!(
                    is_vanished || self.ledger.may_drop,
                    "{user} was pushed something behind {seq}, which is not there"
                );
                continue;
            };
            if self.ledger.may_vanish(entry) {
                continue;
            }
            let is_told_apart = *is_binary && matches!(entry.kind, Kind::Revoked(_) | Kind::Read(_));
            assert!(entry.author == *user || is_told_apart, "an open session of {user} was not pushed {entry:?}");
        }
        for entry in inbox.iter().filter(|entry| entry.kind.is_message()) {
            self.ledger.expect_wordless(user, entry, u64::MAX);
            let (through, _) = self.hidden_from(user, &entry.conversation);
            let place = entry.conversation_seq.expect("this protocol tells it");
            assert!(place > through, "{user} has what it has cleared up to {through}: {entry:?}");
        }
        if self.ledger.losses == 0 {
            self.ledger.expect_had(user, inbox);
        }
        for (_, seq) in self.ledger.vanishing.skipped.iter().filter(|(of, _)| of == user) {
            // What one device had for all comes back if a crash forgets that.
            let is_vanished = at(*seq).is_none_or(|entry| self.ledger.may_vanish(entry));
            assert!(is_vanished && *seq <= newest, "{user} was not shown {:?}", at(*seq));
        }
        self.check_notices(end);
    }

    /// What sessions were told without a place, and what users saw outside of their inboxes, is in the inbox.
    fn check_notices(&self, end: &End) {
        if !self.is_whole {
            return;
        }
        let (user, inbox) = (&end.user, &end.json.inbox);
        for notice in self.ledger.notices.get(user).into_iter().flatten() {
            let is_it = |entry: &&Shown| {
                (&entry.conversation, &entry.author, &entry.kind)
                    == (&notice.conversation, &notice.author, &notice.kind)
            };
            assert_eq!(inbox.iter().filter(is_it).count(), 1, "{user} was told of {notice:?}");
        }
        let ids: BTreeSet<u64> = inbox.iter().map(|entry| entry.message).collect();
        let looked_at = self.ledger.looked_at.range((user.clone(), 0)..=(user.clone(), u64::MAX));
        for (_, id) in looked_at {
            let is_there = ids.contains(id) || self.is_lacked(user, *id);
            assert!(is_there, "{user} saw in a history what is not its own: {:?}", self.ledger.known.get(id));
        }
    }

    /// What was accepted is there exactly once, and the answer named its place. In groups, `check_conversation` knows
    /// who else is to have it.
    fn check_accepted(&self, end: &End) {
        let (user, inbox) = (&end.user, &end.json.inbox);
        let first = first_of(inbox);
        let mut times: BTreeMap<&str, u64> = BTreeMap::new();
        for entry in inbox.iter().filter(|entry| entry.kind.is_message()) {
            *times.entry(&entry.client_id).or_default() += 1;
            // What the server says in an author's name nobody intended.
            let Some(at) = self.ledger.intent_of(&entry.author, &entry.client_id) else { continue };
            let answer = &self.ledger.intents[at].answer;
            let is_open = self.ledger.left_open.contains(&at);
            let is_same = answer.message.is_none_or(|message| message == entry.message);
            assert!(is_same || is_open, "the answer named another message: {entry:?}");
            if entry.author == *user && !is_open {
                assert!(answer.seq.is_none_or(|seq| Some(seq) == entry.seq), "the answer named another seq: {entry:?}");
            }
        }
        for (at, intent) in self.ledger.intents.iter().enumerate() {
            let is_peers = matches!(&intent.to, Channel::Person(peer) if peer == user);
            if intent.author != *user && !is_peers {
                continue;
            }
            let times = times.get(intent.client_id.as_str()).copied().unwrap_or_default();
            let is_open = self.ledger.left_open.contains(&at);
            assert!(times <= if is_open { 2 } else { 1 }, "{user} has {} {times} times", intent.client_id);
            let is_lacked = intent.answer.message.is_some_and(|message| self.is_lacked(user, message));
            if is_lacked {
                continue;
            }
            if intent.answer.message.is_some() && !is_open && !self.may_be_gone(user, at, intent, first, inbox) {
                let aged = self.ledger.aged;
                assert!(times == 1, "{user} lacks {at} of {aged}, which was accepted: {intent:?}; {:?}", inbox.first());
            }
        }
    }

    fn may_be_gone(&self, user: &str, at: usize, intent: &Intent, first: u64, inbox: &[Shown]) -> bool {
        let is_below = match intent.answer.seq.filter(|_| intent.author == user) {
            Some(seq) => seq < first || inbox.is_empty(),
            None => at < self.ledger.aged,
        };
        self.ledger.may_drop && !self.is_whole && is_below
    }

    /// Everybody has a conversation in its order. An author may have its own message, and its own request to join, before
    /// those of others that were on their way to it.
    fn check_order(&self, end: &End) {
        for (conversation, _) in self.timelines.iter() {
            let of = end.json.inbox.iter().filter(|entry| entry.conversation == *conversation);
            let (own, others): (Vec<&Shown>, Vec<&Shown>) =
                of.partition(|entry| entry.author == end.user && entry.kind.is_said_by_one());
            for entries in [own, others] {
                let ids: Vec<u64> = entries.iter().map(|entry| entry.message).collect();
                assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{} has {conversation} as {ids:?}", end.user);
            }
        }
    }

    /// What one connection said in one conversation, and said once, stands there in that order.
    fn check_said(&self) {
        let mut newest: BTreeMap<_, (u64, &str)> = BTreeMap::new();
        for intent in self.ledger.intents.iter().filter(|intent| intent.said == 1) {
            let (Some(by), Some(message)) = (&intent.by, intent.answer.message) else { continue };
            let last = newest.entry((by, intent.conversation())).or_default();
            let (before, id) = (last, &intent.client_id);
            assert!(before.0 < message, "{id} of {by:?} stands before {}, which was said before it", before.1);
            *before = (message, id);
        }
    }

    /// Conversation seqs count what takes a place, from 1, the same for everybody.
    fn check_places(&self) {
        for (conversation, timeline) in self.timelines.iter().filter(|(_, timeline)| !timeline.is_holed) {
            let places = timeline.places();
            let number: BTreeMap<u64, u64> = places.iter().copied().zip(1..).collect();
            let told = self.ledger.places.range((conversation.clone(), 0)..=(conversation.clone(), u64::MAX));
            let told: Vec<(u64, u64)> = told.map(|((_, place), id)| (*place, *id)).collect();
            assert!(told.windows(2).all(|pair| pair[0].1 < pair[1].1), "{conversation} is not in one order: {told:?}");
            let skipped = &self.ledger.vanishing.skipped_places;
            let skipped = skipped.range((conversation.clone(), 0)..=(conversation.clone(), u64::MAX));
            for (_, place) in skipped.filter(|_| self.is_whole) {
                let id = places.get(*place as usize - 1);
                let entry = id.map(|id| &timeline.entries[id]);
                let is_cleared = self.ends.iter().any(|end| self.hidden_from(&end.user, conversation).0 >= *place);
                let may_vanish = is_cleared || entry.is_some_and(|entry| self.ledger.may_vanish(entry));
                assert!(may_vanish, "a history of {conversation} was without {entry:?}, at {place}");
            }
            for (place, id) in told.iter().filter(|_| self.is_whole) {
                assert_eq!(number.get(id), Some(place), "the place of {id} in {conversation}");
            }
        }
    }

    /// A tombstone wherever something was taken back, one entry that says so, and nobody's but who may.
    fn check_revocations(&self) {
        let mut facts: BTreeMap<u64, &Shown> = BTreeMap::new();
        let all = self.timelines.values().flat_map(|timeline| timeline.entries.values());
        for fact in all {
            if let Kind::Revoked(message) = fact.kind {
                let before = facts.insert(message, fact);
                assert!(before.is_none(), "{message} was taken back twice: {before:?} and {fact:?}");
                let asked = self.ledger.asked_to_revoke.contains(&(fact.author.clone(), message));
                assert!(asked, "nobody took {message} back");
            }
        }
        for message in &self.ledger.revoked {
            // Whom a group has lost may have been the last who was told.
            let may_be_untold = !self.is_whole || self.ledger.erasures.any();
            assert!(facts.contains_key(message) || may_be_untold, "{message} was taken back, and nobody is told");
        }
        for timeline in self.timelines.values() {
            for (id, entry) in &timeline.entries {
                let Some(fact) = facts.get(id) else {
                    // Of a group that is dissolved, nobody hears what the operator has taken back.
                    let is_silent = group_of(&entry.conversation).is_some()
                        && self.ledger.asked_to_revoke.contains(&(entry.author.clone(), *id));
                    let is_told = self.is_whole && !self.ledger.has_lost_somebody(&entry.conversation);
                    let is_tombstone = entry.kind == Kind::Tombstone && is_told && !is_silent;
                    assert!(!is_tombstone, "a tombstone of what nobody took back: {entry:?}");
                    continue;
                };
                let is_vanished = timeline.vanished.contains(id);
                let is_tombstone = entry.kind == Kind::Tombstone || is_vanished || !self.is_whole;
                assert!(is_tombstone, "it was taken back: {entry:?} by {fact:?}");
                let runs = group_of(&entry.conversation).is_some_and(|it| self.operator.may_have_run(it, &fact.author));
                assert!(fact.author == entry.author || runs, "{} may not take back {entry:?}", fact.author);
            }
        }
    }

    /// An author is told of its own messages, once for each reader.
    fn check_receipts(&self) {
        for (conversation, timeline) in &self.timelines {
            let mut told = BTreeSet::new();
            for fact in timeline.entries.values() {
                let Kind::Read(messages) = &fact.kind else { continue };
                for message in messages {
                    let is_news = told.insert((fact.author.clone(), *message));
                    assert!(is_news, "{} told twice that it has read {message} of {conversation}", fact.author);
                    let read = timeline.entries.get(message);
                    assert!(read.is_some() || !self.is_whole, "{message} is not in {conversation}");
                    let is_others = read.is_none_or(|read| read.author != fact.author && read.kind.is_message());
                    assert!(is_others, "{} told of {read:?}", fact.author);
                }
            }
            if self.is_whole && !timeline.is_holed {
                self.check_readers(conversation, timeline, &told);
            }
        }
    }

    fn check_readers(&self, conversation: &str, timeline: &Timeline, told: &BTreeSet<(String, u64)>) {
        let author_of = |id: u64| timeline.entries.get(&id).map(|entry| entry.author.clone());
        let Told { left, visible, .. } = timeline.tell(conversation, &author_of);
        for (_, reader, message) in self.ledger.receipts.iter().filter(|(of, ..)| of == conversation) {
            let Some(read) = timeline.entries.get(message).filter(|read| read.kind.is_message()) else { continue };
            // Whoever came back does not see what was said before, and cannot have read it now.
            let is_seen = visible.get(reader).is_some_and(|visible| visible.contains(message))
                && !self.is_hidden(reader, conversation, *message);
            // Who blocks the reader is not told what it reads.
            let is_hidden = group_of(conversation).is_none() && self.operator.may_hide(&read.author, reader);
            // The system writes in anybody's name; who is no member is not told what becomes of it.
            let is_member = visible.get(&read.author).is_some_and(|visible| visible.contains(message));
            let is_told_at_all = is_member && !left.contains(&read.author) && !is_hidden;
            let is_due = read.author != *reader && is_told_at_all && is_seen;
            let is_told = told.contains(&(reader.clone(), *message));
            assert!(is_told || !is_due, "{} was not told that {reader} has read {message}", read.author);
        }
    }

    /// Exactly those who are in it have what was said and done, each once; histories show it to them and nobody else.
    fn check_conversation(&self, conversation: &str) {
        let timeline = &self.timelines[conversation];
        let author_of = |id: u64| timeline.entries.get(&id).map(|entry| entry.author.clone());
        let told = timeline.tell(conversation, &author_of);
        if let Some(group) = group_of(conversation) {
            assert_eq!(told.group.as_ref(), self.ledger.groups.now(group), "who is in {group}, and as what");
        }
        for end in self.ends {
            let mut times: BTreeMap<u64, u64> = BTreeMap::new();
            let of = end.json.inbox.iter().filter(|entry| entry.conversation == conversation);
            of.for_each(|entry| *times.entry(entry.message).or_default() += 1);
            for (id, recipients) in &told.recipients {
                let is_due = recipients.contains(&end.user) && !self.is_lacked(&end.user, *id);
                let expected = u64::from(is_due);
                let found = times.get(id).copied().unwrap_or_default();
                let entry = &timeline.entries[id];
                assert_eq!(found, expected, "{} is to have it {expected} times: {entry:?}", end.user);
            }
            self.check_history(end, conversation, &told);
        }
    }

    fn check_history(&self, end: &End, conversation: &str, told: &Told) {
        let Some(history) = end.binary.histories.get(conversation) else { return };
        let ids: Vec<u64> = history.iter().map(|entry| entry.message).collect();
        let mut visible = told.visible.get(&end.user).cloned().unwrap_or_default();
        visible.retain(|id| !self.is_lacked(&end.user, *id) && !self.is_hidden(&end.user, conversation, *id));
        assert_eq!(ids, visible, "the history of {conversation}, as {} sees it", end.user);
        let timeline = &self.timelines[conversation];
        for entry in history {
            let known = &timeline.entries[&entry.message];
            assert_eq!(entry.kind, known.kind, "{} sees another thing in history than in an inbox", end.user);
        }
    }

    /// Messages whose recipients were known beforehand.
    fn check_probes(&self) {
        for intent in &self.ledger.intents {
            let Some(expected) = &intent.expected else { continue };
            for end in self.ends {
                let is_it = |entry: &&Shown| entry.author == intent.author && entry.client_id == intent.client_id;
                let times = end.json.inbox.iter().filter(is_it).count();
                let due = usize::from(expected.contains(&end.user));
                assert_eq!(times, due, "{} is to have {} of {} {due} times", end.user, intent.client_id, intent.author);
            }
        }
    }
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
