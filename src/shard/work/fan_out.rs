//! The messages of groups on their way to their members' inboxes: each group's in its order, the groups in turn.
//!
//! Invariants: a group with jobs has a turn; a job's cursor never goes back.

use crate::log::record::bytes::Put;
use crate::model::{ConversationSeq, Message, Position};
use crate::shard::peers::message::JobLoad;
use crate::shard::rows::conversation::takes_place;
use crate::shard::rows::index::ConversationIndex;
use crate::shard::work::saved_job::SavedJob;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

#[derive(Debug)]
pub(in crate::shard) struct FanOutJob {
    pub record: Position,
    pub message: Arc<Message>,
    /// The number of its seat changes that are done.
    pub changed: u32,
    /// The seats before this one are done.
    pub next: u32,
}

/// One group's jobs, in its order.
struct Queue {
    /// The group's turn: the group with the lowest one is next.
    turn: u64,
    jobs: VecDeque<FanOutJob>,
    bytes: u64,
}

impl Queue {
    fn load(&self) -> JobLoad {
        JobLoad { count: self.jobs.len() as u32, bytes: self.bytes }
    }
}

pub(in crate::shard) struct FanOut {
    queues: HashMap<ConversationIndex, Queue, FixedState>,
    /// The group of each job's record.
    pub records: HashMap<Position, ConversationIndex, FixedState>,
    /// Groups with jobs, by their turn.
    round: BTreeMap<u64, ConversationIndex>,
    next_turn: u64,
    /// The bytes of all messages.
    bytes: u64,
    /// Jobs were added since the last links were written.
    pub is_fresh: bool,
    /// The log had no room for a record; tried again at the next tick.
    pub waits_for_room: bool,
}

impl FanOut {
    pub fn new(seed: u64) -> Self {
        Self {
            queues: HashMap::with_hasher(FixedState::with_seed(seed)),
            records: HashMap::with_hasher(FixedState::with_seed(seed)),
            round: BTreeMap::new(),
            next_turn: 0,
            bytes: 0,
            is_fresh: false,
            waits_for_room: false,
        }
    }

    /// Adds a job that puts the entry of this record into the inboxes of the group's members.
    pub fn add(&mut self, at: ConversationIndex, record: Position, message: Arc<Message>) {
        self.enqueue(at, FanOutJob { record, message, changed: 0, next: 0 });
    }

    fn enqueue(&mut self, at: ConversationIndex, job: FanOutJob) {
        self.records.insert(job.record, at);
        self.is_fresh = true;
        let turn = self.next_turn;
        let queue = self.queues.entry(at).or_insert_with(|| Queue { turn, jobs: VecDeque::new(), bytes: 0 });
        let bytes = job.message.held_bytes() as u64;
        queue.bytes += bytes;
        self.bytes += bytes;
        if queue.jobs.is_empty() {
            self.round.insert(turn, at);
            self.next_turn += 1;
        }
        queue.jobs.push_back(job);
    }

    /// A group with jobs.
    pub fn first_group(&self) -> Option<ConversationIndex> {
        self.round.values().next().copied()
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The oldest record that a job still needs.
    pub fn oldest_record(&self) -> Option<Position> {
        self.queues.values().filter_map(|queue| queue.jobs.front().map(|job| job.record)).min()
    }

    /// The job of the message at `record`, if it is not finished.
    pub fn job_of(&self, record: Position) -> Option<(ConversationIndex, Arc<Message>)> {
        let at = *self.records.get(&record)?;
        let front = self.front(at)?;
        (front.record == record).then(|| (at, front.message.clone()))
    }

    /// The last place of the conversation that this seat's inbox has, if the group has jobs.
    pub fn reached(&self, at: ConversationIndex, seat: u32) -> Option<ConversationSeq> {
        let job = self.front(at)?;
        let seq = job.message.conversation_seq;
        let has_it = !takes_place(job.message.fact.as_deref()) || seat < job.next;
        Some(if has_it { seq } else { ConversationSeq(seq.0 - 1) })
    }

    /// Notes that the group's first job has reached all seats before this one.
    pub fn advance(&mut self, at: ConversationIndex, next: u32) {
        if let Some(job) = self.front_mut(at) {
            job.next = job.next.max(next);
        }
    }

    /// The group's messages under way, each with the first seat that does not have it yet.
    pub fn under_way(&self, at: ConversationIndex) -> impl Iterator<Item = (&Message, u32)> + '_ {
        self.queues.get(&at).into_iter().flat_map(|queue| &queue.jobs).map(|job| (&*job.message, job.next))
    }

    /// The message of the group's first job, and the number of its seat changes that are done.
    pub fn changes(&self, at: ConversationIndex) -> Option<(Arc<Message>, u32)> {
        self.front(at).map(|job| (job.message.clone(), job.changed))
    }

    pub fn note_changes(&mut self, at: ConversationIndex, changed: usize) {
        if let Some(job) = self.front_mut(at) {
            job.changed = changed as u32;
        }
    }

    pub fn front(&self, at: ConversationIndex) -> Option<&FanOutJob> {
        self.queues.get(&at)?.jobs.front()
    }

    fn front_mut(&mut self, at: ConversationIndex) -> Option<&mut FanOutJob> {
        self.queues.get_mut(&at)?.jobs.front_mut()
    }

    /// Removes the group's first job. Returns its record and message.
    pub fn finish(&mut self, at: ConversationIndex) -> Option<(Position, Arc<Message>)> {
        let queue = self.queues.get_mut(&at)?;
        let FanOutJob { record, message, .. } = queue.jobs.pop_front()?;
        self.records.remove(&record);
        let bytes = message.held_bytes() as u64;
        queue.bytes -= bytes;
        self.bytes -= bytes;
        if queue.jobs.is_empty() {
            self.round.remove(&queue.turn);
            self.queues.remove(&at);
        }
        Some((record, message))
    }

    /// The load of one group on this shard.
    pub fn jobs_of(&self, at: ConversationIndex) -> JobLoad {
        self.queues.get(&at).map(Queue::load).unwrap_or_default()
    }

    /// The load of all groups on this shard.
    pub fn jobs(&self) -> JobLoad {
        JobLoad { count: self.records.len() as u32, bytes: self.bytes }
    }

    pub fn groups(&self) -> impl Iterator<Item = (ConversationIndex, JobLoad)> + '_ {
        self.round.values().map(|at| (*at, self.queues[at].load()))
    }

    /// The group whose turn it is; the others follow.
    pub fn next_group(&mut self) -> Option<ConversationIndex> {
        let (_, at) = self.round.pop_first()?;
        let queue = self.queues.get_mut(&at).expect("a group in the round has jobs");
        queue.turn = self.next_turn;
        self.round.insert(self.next_turn, at);
        self.next_turn += 1;
        Some(at)
    }

    /// For a checkpoint: the number of jobs, then each job; those of a group in order.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.len()).expect("jobs are bounded"));
        for at in self.round.values() {
            for job in &self.queues[at].jobs {
                out.put_u32(at.0);
                out.put_u64(job.record.0);
                out.put_u32(job.changed);
                out.put_u32(job.next);
            }
        }
    }

    /// Restores a job of a checkpoint with its message.
    pub fn restore(&mut self, saved: SavedJob, message: Arc<Message>) {
        let SavedJob { at, record, changed, next } = saved;
        self.enqueue(at, FanOutJob { record, message, changed, next });
    }
}
