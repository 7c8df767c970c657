//! What became of each group, change by change, at the moment at which its owner shard wrote it: requests and orders
//! are held against what the group was like while they were under way.

use crate::check::group::{Deed, Group, judge};
use crate::world::loss::Remains;
use mushan::model::{Answer, Conversation, GroupAct, JoinVerdict, Message, Position, Refusal};
use std::collections::{BTreeMap, BTreeSet};

/// One change.
struct Entry {
    at: Position,
    message: u64,
    step: u64,
    by: String,
    deed: Deed,
    after: Option<Group>,
    /// Somebody was answered that it is done.
    is_told: bool,
}

#[derive(Default)]
struct Book {
    /// The shard that writes it.
    shard: usize,
    /// What it was like before all entries.
    base: Option<Group>,
    entries: Vec<Entry>,
    /// The messages of the entries, and of those before them.
    known: BTreeSet<u64>,
}

impl Book {
    fn now(&self) -> Option<&Group> {
        self.entries.last().map_or(self.base.as_ref(), |entry| entry.after.as_ref())
    }

    fn before(&self, at: usize) -> Option<&Group> {
        at.checked_sub(1).map_or(self.base.as_ref(), |before| self.entries[before].after.as_ref())
    }

    /// Entries that may have been written at this step or later.
    fn since(&self, step: u64) -> usize {
        self.entries.partition_point(|entry| entry.step < step)
    }
}

/// What was asked for, and what was answered.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub group: &'a str,
    /// `None`: by the operator.
    pub by: Option<&'a str>,
    pub act: &'a GroupAct,
    /// At which step.
    pub since: u64,
}

#[derive(Default)]
pub struct GroupBooks {
    books: BTreeMap<String, Book>,
    nothing: Book,
    /// Logs have lost changes that somebody was told of: who may do what is not known for certain any more.
    pub has_lost: bool,
    /// Users whom their shards do not know become no members.
    pub is_closed: bool,
    /// The clocks are set, so that requests to join may be over at any time.
    pub may_expire: bool,
    /// So many members a group has at most.
    pub members_max: usize,
    /// Users who are erased or about to be become no members.
    pub erased: BTreeSet<String>,
}

impl GroupBooks {
    fn book(&self, group: &str) -> &Book {
        self.books.get(group).unwrap_or(&self.nothing)
    }

    fn judge(&self, group: Option<&Group>, by: Option<&str>, act: &GroupAct) -> Result<Vec<Deed>, Refusal> {
        judge(group, by, act, self.members_max)
    }

    pub fn now(&self, group: &str) -> Option<&Group> {
        self.book(group).now()
    }

    pub fn all(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.books.iter().filter_map(|(name, book)| Some((name, book.now()?)))
    }

    /// The owner of a group has written this. Whoever has done it may.
    pub fn note(&mut self, (shard, at): (usize, Position), step: u64, message: &Message) {
        let Conversation::Group(group) = &message.conversation else { return };
        let Some((by, deed)) = Deed::of(message) else { return };
        let members_max = self.members_max;
        let book = self.books.entry(group.to_string()).or_default();
        if !book.known.insert(message.id.0) {
            return;
        }
        let before = book.now();
        if !self.has_lost {
            let is_right = match before {
                None => matches!(deed, Deed::Created { .. }),
                Some(before) => {
                    // What the operator does is done in the owner's name.
                    let actor = Some(&*by).filter(|by| *by != before.owner);
                    judge(Some(before), actor, &deed.wish(&by, before), members_max) == Ok(vec![deed.clone()])
                }
            };
            let may_be_over = self.may_expire && matches!(deed, Deed::Asked(_));
            assert!(is_right || may_be_over, "{by} may not do {deed:?} to {group}, which is {before:?}");
        }
        let mut after = before.cloned();
        deed.apply(&mut after);
        book.shard = shard;
        book.entries.push(Entry { at, message: message.id.0, step, by, deed, after, is_told: false });
    }

    /// A shard's log was found to end here: nothing that was told is lost.
    pub fn cut(&mut self, shard: usize, found: Position) {
        for book in self.books.values_mut().filter(|book| book.shard == shard) {
            while let Some(lost) = book.entries.pop_if(|entry| entry.at >= found) {
                assert!(!lost.is_told, "a crash took {:?} back, which was answered", lost.deed);
                book.known.remove(&lost.message);
            }
        }
    }

    /// Only what is left of all logs is so.
    pub fn lose(&mut self, remains: &Remains) {
        self.has_lost = true;
        self.books.clear();
        for (group, changes) in remains.changes() {
            let mut base = None;
            changes.values().for_each(|deed| deed.apply(&mut base));
            let known = changes.keys().copied().collect();
            self.books.insert(group.to_owned(), Book { base, known, ..Book::default() });
        }
    }

    /// What the group was like at any time since then.
    pub fn states_since(&self, group: &str, since: u64) -> impl Iterator<Item = Option<&Group>> {
        let book = self.book(group);
        let first = book.since(since);
        (first..=book.entries.len()).map(|at| book.before(at))
    }

    /// Whether somebody is to be added whom its shard may not know.
    fn may_be_unknown(&self, act: &GroupAct, by: Option<&str>) -> bool {
        let adds = match act {
            GroupAct::ChangeMembers { add, .. } => !add.is_empty(),
            GroupAct::AnswerRequest { verdict, .. } => *verdict == JoinVerdict::Approve,
            act => *act == GroupAct::Join,
        };
        let is_erased = match act {
            GroupAct::ChangeMembers { add, .. } => add.iter().any(|user| self.erased.contains(user.as_str())),
            GroupAct::AnswerRequest { user, .. } => self.erased.contains(user.as_str()),
            _ => by.is_some_and(|by| self.erased.contains(by)),
        };
        adds && (self.is_closed || is_erased)
    }

    /// A request was refused: rightly, if it was to be refused at some time while it was under way.
    pub fn check_refused(&self, asked: Asked<'_>, refusal: Refusal) {
        let mut states = self.states_since(asked.group, asked.since);
        // Users are told that a group is full as they are told of any other mistake.
        let is_told = |why: Refusal| why == refusal || asked.by.is_some() && why.error_code() == refusal.error_code();
        let is_so = states.any(|group| self.judge(group, asked.by, asked.act).is_err_and(is_told));
        let may_be = self.has_lost
            || refusal == Refusal::UserNotExist && (self.may_expire || self.may_be_unknown(asked.act, asked.by));
        assert!(is_so || may_be, "{asked:?} was refused with {refusal:?}; it is {:?}", self.now(asked.group));
    }

    /// Somebody was shown a group: it was like that at some time.
    pub fn check_shown(&self, asked: Asked<'_>, mut shown: Group) {
        let is_so = |group: Option<&Group>| {
            shown.requests = group.map(|group| group.requests.clone()).unwrap_or_default();
            group == Some(&shown) && self.judge(group, asked.by, asked.act).is_ok()
        };
        let is_right = self.states_since(asked.group, asked.since).any(is_so) || self.has_lost;
        assert!(is_right, "{asked:?} was shown {shown:?}; it is {:?}", self.now(asked.group));
    }

    /// Somebody was shown who has asked to join.
    pub fn check_requests(&self, asked: Asked<'_>, users: &BTreeSet<String>) {
        let mut states = self.states_since(asked.group, asked.since);
        let is_so = |group: Option<&Group>| {
            let is_same = group.is_some_and(|group| self.may_expire || group.requests == *users);
            is_same && self.judge(group, asked.by, asked.act).is_ok()
        };
        let is_right = states.any(is_so) || self.has_lost;
        assert!(is_right, "{asked:?} was shown {users:?}; it is {:?}", self.now(asked.group));
    }

    /// A request was answered with yes: there was nothing to do, or it was done.
    pub fn check_done(&mut self, asked: Asked<'_>) {
        let book = self.book(asked.group);
        let (mut is_so, mut done) = (false, None);
        for at in book.since(asked.since)..=book.entries.len() {
            let before = book.before(at);
            // An operator's order to end what has ended changes nothing.
            is_so |= before.is_none() && asked.by.is_none() && *asked.act == GroupAct::Dissolve;
            let Ok(deeds) = self.judge(before, asked.by, asked.act) else { continue };
            let by = asked.by.or_else(|| book.before(at).map(|group| &*group.owner));
            match deeds.last() {
                None => is_so = true,
                Some(last) => {
                    let is_it = |entry: &&Entry| entry.deed == *last && Some(&*entry.by) == by;
                    done = done.or(book.entries.get(at).filter(is_it).map(|_| at));
                }
            }
        }
        let may_be = self.has_lost || self.may_expire && matches!(asked.act, GroupAct::Join);
        let is_right = is_so || done.is_some() || may_be;
        assert!(is_right, "{asked:?} was answered with yes; it is {:?}", self.now(asked.group));
        // Where somebody else may have done it before, this one may have waited for nothing.
        if let (Some(at), false, Some(book)) = (done, is_so, self.books.get_mut(asked.group)) {
            book.entries[at].is_told = true;
        }
    }

    /// A new group was ordered: it was made, or the same was there, or another one.
    pub fn check_created(&mut self, group: &str, new: &Group, (since, answer): (u64, &Answer)) {
        let book = self.book(group);
        let is_same = |there: &Group| there.owner == new.owner && there.members.keys().eq(new.members.keys());
        let (mut states, first) = (self.states_since(group, since), book.since(since));
        let is_so = match answer {
            Answer::Done => (first..book.entries.len())
                .any(|at| book.before(at).is_none() && book.entries[at].after.as_ref() == Some(new)),
            Answer::Unchanged => states.any(|there| there.is_some_and(is_same)),
            Answer::Refused(refused) if refused.refusal == Refusal::GroupExists => {
                states.any(|there| there.is_some_and(|there| !is_same(there)))
            }
            Answer::Refused(refused) if refused.refusal == Refusal::GroupFull => new.members.len() > self.members_max,
            Answer::Refused(refused) => {
                let has_erased = new.members.keys().any(|user| self.erased.contains(user));
                (self.is_closed || has_erased) && refused.refusal == Refusal::UserNotExist
            }
            _ => false,
        };
        assert!(is_so || self.has_lost, "{group} was ordered as {new:?}: {answer:?}; it is {:?}", self.now(group));
    }
}
