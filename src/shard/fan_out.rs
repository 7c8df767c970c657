//! A group's entries on their way into its members' inboxes: a body stands in the log once, a link for each member
//! follows, a bounded number of them a turn.
//!
//! Invariants: a group's jobs are done one after the other, so that every inbox has them in the group's order; who is in
//! the group changes only when the job that says so begins; what is done stands in the log, so that a start goes on
//! where the crash was.

use super::conversation::{ConversationAt, STAYS, Seat};
use super::pending::Owed;
use super::take::takes_place;
use super::{Shard, State};
use crate::log::bytes::{Put, Reader};
use crate::log::{FANNED_LINKS_MAX, MemberLink, Record, Side, Storage};
use crate::model::{Conversation, ConversationSeq, Entry, Fact, GroupChange, Message, Position};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Job {
    record: Position,
    message: Arc<Message>,
    /// The seats before this one are done.
    next: u32,
    has_begun: bool,
}

impl Job {
    pub fn new(record: Position, message: Arc<Message>) -> Self {
        Self { record, message, next: 0, has_begun: false }
    }
}

pub(super) struct FanOut {
    queues: HashMap<ConversationAt, VecDeque<Job>, FixedState>,
    /// Which group each record of a job is of.
    records: HashMap<Position, ConversationAt, FixedState>,
    /// Groups with jobs take turns.
    round: VecDeque<ConversationAt>,
    /// There was no room for a record; not tried again before the next tick.
    waits_for_room: bool,
}

impl FanOut {
    pub fn new(seed: u64) -> Self {
        Self {
            queues: HashMap::with_hasher(FixedState::with_seed(seed)),
            records: HashMap::with_hasher(FixedState::with_seed(seed)),
            round: VecDeque::new(),
            waits_for_room: false,
        }
    }

    pub fn add(&mut self, at: ConversationAt, job: Job) {
        self.records.insert(job.record, at);
        let queue = self.queues.entry(at).or_default();
        if queue.is_empty() {
            self.round.push_back(at);
        }
        queue.push_back(job);
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The oldest record that a job still needs.
    pub fn oldest_record(&self) -> Option<Position> {
        self.queues.values().filter_map(|queue| queue.front().map(|job| job.record)).min()
    }

    /// The job whose body stands at `record`, if it is being done.
    pub fn job_of(&self, record: Position) -> Option<(ConversationAt, Arc<Message>)> {
        let at = *self.records.get(&record)?;
        let front = self.queues.get(&at)?.front()?;
        (front.record == record).then(|| (at, front.message.clone()))
    }

    /// The seats up to `seat` have what the group's first job brings.
    pub fn advance(&mut self, at: ConversationAt, seat: Option<u32>) {
        if let Some(job) = self.queues.get_mut(&at).and_then(VecDeque::front_mut) {
            job.next = job.next.max(seat.map_or(0, |seat| seat + 1));
        }
    }

    /// The group's messages that are on their way: the seats from the number on do not have them yet.
    pub fn under_way(&self, at: ConversationAt) -> impl Iterator<Item = (&Message, u32)> + '_ {
        self.queues.get(&at).into_iter().flatten().map(|job| (&*job.message, job.next))
    }

    fn front(&mut self, at: ConversationAt) -> Option<&mut Job> {
        self.queues.get_mut(&at)?.front_mut()
    }

    /// The group's first job is done; its record.
    fn finish(&mut self, at: ConversationAt) -> Option<Position> {
        let queue = self.queues.get_mut(&at)?;
        let record = queue.pop_front().map(|job| job.record);
        record.iter().for_each(|record| drop(self.records.remove(record)));
        if queue.is_empty() {
            self.queues.remove(&at);
            self.round.retain(|other| *other != at);
        }
        record
    }

    /// For a checkpoint: how many jobs, then each, a group's in order.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.len()).expect("jobs are bounded"));
        for at in &self.round {
            for job in &self.queues[at] {
                out.put_u32(at.0);
                out.put_u64(job.record.0);
                out.put_u32(job.next);
                out.put_u8(u8::from(job.has_begun));
            }
        }
    }
}

/// The jobs of a checkpoint.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Vec<SavedJob>> {
    (0..reader.u32()?).map(|_| SavedJob::read(reader)).collect()
}

/// A job as a checkpoint has it: its message is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct SavedJob {
    at: ConversationAt,
    pub record: Position,
    next: u32,
    has_begun: bool,
}

impl SavedJob {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (at, record, next) = (ConversationAt(reader.u32()?), Position(reader.u64()?), reader.u32()?);
        Some(Self { at, record, next, has_begun: reader.u8()? != 0 })
    }

    pub fn with(self, message: Arc<Message>) -> (ConversationAt, Job) {
        (self.at, Job { record: self.record, message, next: self.next, has_begun: self.has_begun })
    }
}

impl State {
    /// Begins the group's first job, and is done with those that have nobody left to tell.
    pub(super) fn settle_fan_out(&mut self, at: ConversationAt, position: Position) {
        while let Some(job) = self.fan_out.front(at) {
            if !job.has_begun {
                job.has_begun = true;
                let message = job.message.clone();
                self.change_seats(at, &message);
            }
            if self.next_seats(at, 1).is_empty() {
                let record = self.fan_out.finish(at).unwrap_or(position);
                self.outlasted.note(record.segment(), position.segment());
            } else {
                return;
            }
        }
    }

    /// Who comes and goes with this entry, of this shard's users.
    fn change_seats(&mut self, at: ConversationAt, message: &Message) {
        let Some(Fact::Group(change)) = message.fact.as_deref() else { return };
        let seq = message.conversation_seq;
        match change {
            GroupChange::Created { members, .. } | GroupChange::Added { members } => {
                for user in members {
                    if self.is_home(user) {
                        self.seat(at, user, seq);
                    }
                }
            }
            GroupChange::Removed { members } => {
                for user in members {
                    let place = self.inboxes.find(user);
                    if let Some(seat) = place.and_then(|place| self.seat_of(place, at)) {
                        let seat = &mut self.conversations.at_mut(at).seats[seat as usize];
                        seat.left = seat.left.min(seq);
                    }
                }
            }
            GroupChange::Dissolved => {
                for seat in &mut self.conversations.at_mut(at).seats {
                    seat.left = seat.left.min(seq);
                }
            }
            GroupChange::Changed { .. } => {}
        }
    }

    /// The next at most `count` seats that the group's first job has something for.
    fn next_seats(&mut self, at: ConversationAt, count: usize) -> Vec<u32> {
        let Some(job) = self.fan_out.front(at) else { return Vec::new() };
        let (message, next) = (job.message.clone(), job.next);
        let row = self.conversations.at(at);
        let only = match message.fact.as_deref() {
            Some(Fact::Read { told, .. }) => Some(self.inboxes.find(told)),
            _ => None,
        };
        let has_place = takes_place(message.fact.as_deref());
        let author = if message.fact.is_none() { self.inboxes.find(&message.author) } else { None };
        let is_for = |seat: &Seat| {
            let is_there = match has_place {
                true => seat.sees(message.conversation_seq),
                false => seat.hears(message.conversation_seq),
            };
            is_there && Some(seat.user) != author && only.is_none_or(|only| only == Some(seat.user))
        };
        let seats = (next..).zip(row.seats.get(next as usize..).unwrap_or_default());
        seats.filter(|(_, seat)| is_for(seat)).map(|(number, _)| number).take(count).collect()
    }

    /// The last that a seat's user sees. Where its removal is still on its way to the members it is over all the same:
    /// what stands behind that is known here before anybody's inbox has it.
    pub(super) fn left_of(&self, at: ConversationAt, seat: &Seat) -> ConversationSeq {
        let user = self.inboxes.user_at(seat.user);
        let ends = self.fan_out.under_way(at).filter(|(message, _)| match message.fact.as_deref() {
            Some(Fact::Group(GroupChange::Removed { members })) => members.contains(user),
            Some(Fact::Group(GroupChange::Dissolved)) => true,
            _ => false,
        });
        ends.map(|(message, _)| message.conversation_seq).fold(seat.left, ConversationSeq::min)
    }

    /// How far a seat's user has the conversation in its inbox: what stands behind that is still on its way.
    pub(super) fn arrived_of(&self, at: ConversationAt, seat: u32) -> ConversationSeq {
        let mut due =
            self.fan_out.under_way(at).filter(|(message, next)| *next <= seat && takes_place(message.fact.as_deref()));
        due.next().map_or(STAYS, |(message, _)| ConversationSeq(message.conversation_seq.0 - 1))
    }

    /// Whether a user belongs to this shard.
    pub(super) fn is_home(&self, user: &crate::model::UserId) -> bool {
        self.placement.owner_of(user) == self.me
    }
}

impl<S: Storage> Shard<S> {
    /// Whether there are entries to be put into members' inboxes, and room for them.
    pub fn has_fan_out(&self) -> bool {
        self.state.fan_out.len() > 0 && !self.state.fan_out.waits_for_room
    }

    /// Whether one more message for a group may be taken.
    pub(super) fn may_fan_out(&self, conversation: &Conversation) -> bool {
        matches!(conversation, Conversation::Pair(..))
            || self.state.fan_out.len() < self.settings.limits.fanned_messages_max
    }

    /// A turn's share of what is to be put into members' inboxes.
    pub(super) fn go_on(&mut self) {
        self.fan_out(self.settings.limits.fanned_a_turn_max);
    }

    /// What one message's group gets at once; a large one's goes on from turn to turn.
    pub(super) fn begin_fan_out(&mut self) {
        self.fan_out(self.settings.limits.fanned_at_once_max);
    }

    pub(super) fn retry_fan_out(&mut self) {
        self.state.fan_out.waits_for_room = false;
    }

    fn fan_out(&mut self, mut links_max: usize) {
        while links_max > 0 && !self.state.fan_out.waits_for_room {
            let Some(at) = self.state.fan_out.round.pop_front() else { return };
            self.state.fan_out.round.push_back(at);
            links_max = links_max.saturating_sub(self.fan_some(at, links_max.min(FANNED_LINKS_MAX)).max(1));
        }
    }

    /// One record of the group's first job. How many links it has.
    fn fan_some(&mut self, at: ConversationAt, links_max: usize) -> usize {
        let seats = self.state.next_seats(at, links_max);
        let Some(job) = self.state.fan_out.front(at) else { return 0 };
        let (of, message) = (job.record, job.message.clone());
        let row = self.state.conversations.at(at);
        let links: Vec<MemberLink> = seats
            .iter()
            .map(|seat| {
                let place = row.seats[*seat as usize].user;
                let link = self.state.inboxes.tail_at(place).next_link(Side::Peer);
                MemberLink { user: self.state.inboxes.user_at(place).clone(), link }
            })
            .collect();
        let record = Record::Fanned { of, links };
        if !self.journal.has_room(record.encoded_bytes()) {
            self.state.fan_out.waits_for_room = true;
            return 0;
        }
        let position = self.append(&record);
        let Record::Fanned { links, .. } = record else { unreachable!("made above") };
        self.stats.fanned += links.len() as u64;
        for MemberLink { user, link } in &links {
            let is_online = self.state.inboxes.find(user).is_some_and(|place| self.state.inboxes.is_online(place));
            if is_online {
                let entry = Entry { seq: link.seq, message: message.clone(), name: None };
                self.pending.owe(position, Owed::Push { user: user.clone(), origin: None, entry });
            }
        }
        self.state.take_fanned(position, of, &links);
        links.len()
    }
}
