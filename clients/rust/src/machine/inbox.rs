//! The inbox as this client has it: what was handed to the application, what it has finished with, and what is missing.
//!
//! Invariants: entries are handed out in the order of their seqs, each once, and none is passed over. `through` is the
//! seq up to which all were handed out, `finished` the one up to which the application has finished. An entry that comes
//! too early is held until a page closes the gap. At most `entries_max` are held, and twice as many and a page are unfinished; what
//! comes beyond that is left at the server and read later.

use crate::model::{Entry, EntryBody};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Ids of messages and facts that are remembered at most, to recognise repetitions.
const SEEN_MAX: usize = 20_000;

/// A set that forgets its oldest members.
#[derive(Default)]
struct Recent {
    members: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Recent {
    /// Whether the member is new.
    fn add(&mut self, member: String) -> bool {
        if !self.members.insert(member.clone()) {
            return false;
        }
        self.order.push_back(member);
        if self.order.len() > SEEN_MAX {
            self.order.pop_front().map(|oldest| self.members.remove(&oldest));
        }
        true
    }

    fn has(&self, member: &str) -> bool {
        self.members.contains(member)
    }
}

/// The same fact has the same key, pushed without a seq or read with one.
fn fact_key(entry: &Entry) -> Option<String> {
    match &entry.body {
        EntryBody::Revoked(revoked) => Some(format!("revoked {}", revoked.message_id)),
        EntryBody::Receipt(receipt) => Some(format!("receipt {} {}", receipt.by, receipt.message_ids.join(" "))),
        EntryBody::Message(_) | EntryBody::Group(_) | EntryBody::Cleared(_) => None,
    }
}

/// A message and a fact may have the same id.
fn kind_of(entry: &Entry) -> &'static str {
    match entry.body {
        EntryBody::Message(_) => "message",
        EntryBody::Revoked(_) | EntryBody::Receipt(_) => "fact",
        EntryBody::Group(_) => "group",
        EntryBody::Cleared(_) => "cleared",
    }
}

pub struct Inbox {
    pub epoch: u64,
    /// `None` until the first page: then nothing is known of the inbox.
    pub through: Option<u64>,
    pub finished: Option<u64>,
    entries_max: usize,
    held: BTreeMap<u64, Entry>,
    /// For each entry that the application has: `finished` once it is done with it.
    handed: VecDeque<u64>,
    /// Messages and facts apart: many facts would else push the messages out.
    messages: Recent,
    facts: Recent,
    /// A fact was pushed without its place since the last page was asked for: the next page has both.
    has_unplaced: bool,
    /// The newest seq for which there was no room.
    left_out: u64,
}

impl Inbox {
    pub fn new(epoch: u64, through: Option<u64>, entries_max: usize) -> Self {
        Self {
            epoch,
            through,
            finished: through,
            entries_max,
            held: BTreeMap::new(),
            handed: VecDeque::new(),
            messages: Recent::default(),
            facts: Recent::default(),
            has_unplaced: false,
            left_out: 0,
        }
    }

    /// Whether an entry is missing that the server has.
    pub fn has_gap(&self) -> bool {
        !self.held.is_empty() || self.has_unplaced || self.left_out > self.through.unwrap_or(0)
    }

    /// A page is asked for: it will have every fact that was pushed before now.
    pub fn asking(&mut self) {
        self.has_unplaced = false;
    }

    /// Whether the application has as many entries as it may.
    pub fn is_full(&self) -> bool {
        self.handed.len() >= self.entries_max
    }

    /// The seqs of another epoch stand for other entries. Returns whether there was another one.
    pub fn enter(&mut self, epoch: u64) -> bool {
        let is_other = self.epoch != 0 && self.epoch != epoch;
        self.epoch = epoch;
        if is_other {
            self.restart();
        }
        is_other
    }

    /// Forgets the seqs: the inbox is read again from its beginning.
    pub fn restart(&mut self) {
        self.through = Some(0);
        self.finished = Some(0);
        self.left_out = 0;
        // The application will finish with these, too, and that will say nothing of the new seqs.
        self.handed.iter_mut().for_each(|mark| *mark = 0);
        self.forget_held();
    }

    /// What was held came over a connection that has ended; a page has it, too.
    pub fn forget_held(&mut self) {
        self.held.clear();
        self.has_unplaced = false;
    }

    /// An entry that the server pushed, or this client's own message. Returns what is to be handed out now.
    pub fn take(&mut self, entry: Entry) -> Vec<Entry> {
        if entry.seq == 0 {
            return self.take_unplaced(entry);
        }
        if self.through.is_some_and(|through| entry.seq <= through) {
            return Vec::new();
        }
        if self.is_full() || self.held.len() >= self.entries_max {
            self.left_out = self.left_out.max(entry.seq);
            return Vec::new();
        }
        self.held.insert(entry.seq, entry);
        self.release()
    }

    /// A page of the entries after `after`, which ends at the seq `end`.
    pub fn take_page(&mut self, entries: Vec<Entry>, after: u64, end: u64) -> Vec<Entry> {
        if self.through.is_some_and(|through| through < after) {
            return Vec::new();
        }
        for entry in entries {
            self.held.insert(entry.seq, entry);
        }
        let later = self.held.split_off(&(end + 1));
        let through = self.through.unwrap_or(0);
        let due = std::mem::replace(&mut self.held, later);
        let fresh = due.into_values().filter(|entry| entry.seq > through);
        let mut handed: Vec<Entry> = fresh.collect::<Vec<_>>().into_iter().filter(|entry| self.is_new(entry)).collect();
        self.handed.extend(handed.iter().map(|entry| entry.seq));
        self.through = Some(through.max(end));
        handed.extend(self.release());
        self.settle_finished();
        handed
    }

    /// A page that ends at the seq `end`, and for which there is no room: it is read again later.
    pub fn skip_page(&mut self, end: u64) {
        self.left_out = self.left_out.max(end);
    }

    /// Begins at the newest entry: what came before is history.
    pub fn begin(&mut self, newest: u64) -> Vec<Entry> {
        self.through = Some(newest);
        self.held = self.held.split_off(&(newest + 1));
        let released = self.release();
        self.settle_finished();
        released
    }

    /// The application has finished with the oldest entry that it has.
    pub fn finish_one(&mut self) {
        if let Some(mark) = self.handed.pop_front() {
            self.finished = Some(self.finished.unwrap_or(0).max(mark));
            self.settle_finished();
        }
    }

    /// Nothing is at the application: entries that have expired are finished with, too.
    fn settle_finished(&mut self) {
        if self.handed.is_empty() {
            self.finished = self.through;
        }
    }

    fn take_unplaced(&mut self, entry: Entry) -> Vec<Entry> {
        // Told now, the fact would be told again by a session that goes on from what was saved.
        let is_known = fact_key(&entry).is_some_and(|key| self.facts.has(&key));
        self.has_unplaced |= !is_known;
        Vec::new()
    }

    fn release(&mut self) -> Vec<Entry> {
        let mut released = Vec::new();
        while let Some(through) = self.through {
            let Some(next) = self.held.remove(&(through + 1)) else { break };
            self.through = Some(next.seq);
            if self.is_new(&next) {
                self.handed.push_back(next.seq);
                released.push(next);
            }
        }
        self.settle_finished();
        released
    }

    fn is_new(&mut self, entry: &Entry) -> bool {
        match fact_key(entry) {
            Some(key) => self.facts.add(key),
            None => self.messages.add(format!("{} {}", kind_of(entry), entry.id)),
        }
    }
}
