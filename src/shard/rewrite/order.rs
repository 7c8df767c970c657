//! The order in which the records of all old logs are rewritten: the order of each log and of every conversation;
//! otherwise by time.
//!
//! Invariant: a message is read from the log of its conversation's owner first, if that log has it. Logs cannot wait
//! for each other in a circle: the record that one waits for was written earlier.

use crate::log::{Record, Segments};
use crate::model::{ConversationSeq, Millis};
use crate::shard::Placement;
use crate::shard::rewrite::source_log::{RewriteError, SourceShard};
use crate::shard::rows::conversation::takes_place;
use crate::shard::table::fingerprint::{Fingerprint, Fingerprints};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The next record of a log: its time, the log, and the number of the record.
type NextRecord = Reverse<(Millis, usize, usize)>;

pub(in crate::shard) struct RecordOrder<'a, A> {
    sources: &'a [SourceShard],
    logs: &'a [A],
    placement: Placement,
    fingerprints: Fingerprints,
    heads: BinaryHeap<NextRecord>,
    /// Next records that wait for another log.
    waiting: Vec<NextRecord>,
    /// The time of the newest message of each log so far: a log's own order takes precedence over times.
    times: Vec<Millis>,
    records: Vec<Option<Record>>,
    /// How far each conversation was read in its owner's log.
    reached: HashMap<Fingerprint, ConversationSeq, FixedState>,
}

impl<'a, A: Segments> RecordOrder<'a, A> {
    /// `placement` is that of the old logs.
    pub fn new(
        sources: &'a [SourceShard],
        logs: &'a [A],
        placement: Placement,
        fingerprints: Fingerprints,
    ) -> Result<Self, RewriteError> {
        let mut order = Self {
            sources,
            logs,
            placement,
            fingerprints,
            heads: BinaryHeap::new(),
            waiting: Vec::new(),
            times: vec![Millis::default(); sources.len()],
            records: sources.iter().map(|_| None).collect(),
            reached: HashMap::with_hasher(FixedState::with_seed(0)),
        };
        (0..sources.len()).try_for_each(|log| order.read(log, 0))?;
        Ok(order)
    }

    /// The next record, and the number of its log.
    pub fn next(&mut self) -> Result<Option<(usize, Record)>, RewriteError> {
        let Some(Reverse((_, log, number))) = self.next_head() else { return Ok(None) };
        self.heads.extend(self.waiting.drain(..));
        let record = self.records[log].take();
        if let Some((conversation_key, seq)) = record.as_ref().and_then(|it| self.place_of(it, log)) {
            self.reached.insert(conversation_key, seq);
        }
        self.read(log, number + 1)?;
        Ok(record.map(|record| (log, record)))
    }

    fn next_head(&mut self) -> Option<NextRecord> {
        while let Some(head) = self.heads.pop() {
            if !self.waits(head) {
                return Some(head);
            }
            self.waiting.push(head);
        }
        // A damaged log may have lost the record for which others wait.
        let first = (0..self.waiting.len()).max_by_key(|at| self.waiting[*at])?;
        Some(self.waiting.swap_remove(first))
    }

    fn waits(&self, Reverse((_, log, _)): NextRecord) -> bool {
        let Some((message, _)) = self.records[log].as_ref().and_then(Record::message) else { return false };
        let owner = usize::from(self.placement.owner_of_conversation(&message.conversation).0);
        if owner == log || !takes_place(message.fact.as_deref()) || self.records[owner].is_none() {
            return false;
        }
        let (conversation_key, seq) =
            (self.fingerprints.of_conversation(&message.conversation), message.conversation_seq);
        let is_left = !self.sources[owner].has_lost_place(message.id);
        let will_come =
            is_left && self.sources[owner].oldest.get(&conversation_key).is_some_and(|oldest| *oldest <= seq);
        will_come && self.reached.get(&conversation_key).is_none_or(|reached| *reached < seq)
    }

    /// The place of a record in its conversation, if this log is the owner's.
    fn place_of(&self, record: &Record, log: usize) -> Option<(Fingerprint, ConversationSeq)> {
        let (message, _) = record.message()?;
        let is_owner = usize::from(self.placement.owner_of_conversation(&message.conversation).0) == log;
        let conversation_key = self.fingerprints.of_conversation(&message.conversation);
        let has_place = is_owner && takes_place(message.fact.as_deref());
        has_place.then_some((conversation_key, message.conversation_seq))
    }

    fn read(&mut self, log: usize, number: usize) -> Result<(), RewriteError> {
        let Some(position) = self.sources[log].messages.get(number) else { return Ok(()) };
        let record = self.sources[log].record_at(&self.logs[log], *position)?;
        if let Some((message, _)) = record.message() {
            self.times[log] = self.times[log].max(message.server_time);
        }
        self.heads.push(Reverse((self.times[log], log, number)));
        self.records[log] = Some(record);
        Ok(())
    }
}
