//! Fan-out: a group's entries on their way to its members' inboxes. The message is in the log once, and a bounded
//! number of links follows in each turn.
//!
//! Invariants: a group's jobs are done one after another, so every inbox has the entries in the group's order; the
//! membership changes only when the job that changes it begins; completed work is in the log, so a start continues
//! after a crash. Changed and visited seats take time, too, and count like links.

use crate::log::{FANNED_LINKS_MAX, MemberLink, Record, RecordRef, Side, Storage, ThreadLink};
use crate::model::{ConversationSeq, Fact, Message, Position, Seq, UserId};
use crate::shard::core::deferred::DeferredEffect;
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use crate::shard::rows::seat::Membership;
use crate::shard::{Shard, State};
use smallvec::SmallVec;
use std::sync::Arc;

/// Cost model: skipping this many seats costs as much as writing one link.
const SEATS_PER_LINK: usize = 64;
/// Online members whose pushes wait for the log; beyond this number fan-out pauses.
const MEMBERS_PENDING_MAX: usize = 2_048;

/// The result of the search for a job's next seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeatSearch {
    Found,
    /// No further member gets the entry.
    Nobody,
    /// The search has skipped as many seats as it may; more are left.
    Further,
}

/// The members who get a group's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FanOutScope {
    /// Members who see the entry's place in the conversation, except the author, who has the entry already.
    Viewers(Option<UserIndex>),
    /// Members at the time of the entry.
    Members,
    /// One seat.
    Only(Option<u32>),
}

impl FanOutScope {
    fn has(self, seat: &Membership, seq: ConversationSeq) -> bool {
        match self {
            Self::Viewers(author) => seat.sees(seq) && Some(seat.user) != author,
            Self::Members | Self::Only(_) => seat.receives(seq),
        }
    }
}

impl State {
    /// Completes the fan-out state after a record of the group was read: starts the first job, and finishes jobs
    /// without remaining members. A running shard does that in steps (`fan_some`), and no record depends on how far it
    /// has got.
    pub(in crate::shard) fn settle_fan_out(&mut self, at: ConversationIndex, position: Position) {
        while self.groups.fan_out.front(at).is_some() {
            self.change_all_seats(at);
            if self.seek_seat(at, usize::MAX) == SeatSearch::Found {
                return;
            }
            self.finish_fan_out(at, position.segment());
        }
    }

    /// Finishes the group's first job; its last record is in this segment.
    fn finish_fan_out(&mut self, at: ConversationIndex, segment: u32) -> Option<Arc<Message>> {
        let (record, message) = self.groups.fan_out.finish(at)?;
        self.segments.dependencies.note(record.segment(), segment);
        Some(message)
    }

    /// Finishes the jobs before this one: a group's entries are fanned out in its order, so the earlier ones are
    /// complete. Their records are missing only in a damaged log.
    pub(in crate::shard) fn pass_over_jobs_before(&mut self, of: Position) {
        let Some(at) = self.groups.fan_out.records.get(&of).copied() else { return };
        while self.groups.fan_out.front(at).is_some_and(|job| job.record < of) {
            self.change_all_seats(at);
            self.finish_fan_out(at, of.segment());
        }
        self.change_all_seats(at);
    }

    /// The next record of the group's first job, to be appended at `position`; `None` if the group has no job left.
    pub(in crate::shard) fn fan_out_at(&mut self, at: ConversationIndex, position: Position) -> Option<Record> {
        self.settle_fan_out(at, position);
        let job = self.groups.fan_out.front(at)?;
        let (of, message) = (job.record, job.message.clone());
        let (seats, mut links) = self.next_links(at, FANNED_LINKS_MAX);
        // Nobody runs these shards: nobody is told that somebody is away.
        links.iter_mut().for_each(|member| member.link.is_away = false);
        for (seat, member) in seats.iter().zip(&links) {
            self.apply_member_entry(position, at, *seat, member.link, &message);
        }
        self.groups.fan_out.advance(at, seats.last().map_or(0, |seat| seat + 1));
        Some(Record::Fanned { of, links })
    }

    fn audience_of(&self, at: ConversationIndex, message: &Message) -> FanOutScope {
        match message.fact.as_deref() {
            None => FanOutScope::Viewers(self.tables.inboxes.find(&message.author)),
            Some(Fact::Group(_)) => FanOutScope::Viewers(None),
            Some(Fact::Joining { .. } | Fact::Cleared { .. }) => FanOutScope::Only(None),
            Some(Fact::Revoked { .. }) => FanOutScope::Members,
            Some(Fact::Read { told, .. }) => {
                FanOutScope::Only(self.tables.inboxes.find(told).and_then(|user_index| self.seat_of(user_index, at)))
            }
        }
    }

    /// Moves the first job's cursor to the next seat that gets the entry, past at most `count` others.
    fn seek_seat(&mut self, at: ConversationIndex, count: usize) -> SeatSearch {
        let Some(job) = self.groups.fan_out.front(at) else { return SeatSearch::Nobody };
        let (seq, next) = (job.message.conversation_seq, job.next as usize);
        let audience = self.audience_of(at, &job.message);
        let seats = self.tables.conversations.at(at).full_seats().get(next..).unwrap_or_default();
        let (passed, sought) = match audience {
            FanOutScope::Only(only) => {
                let ahead = only.and_then(|only| (only as usize).checked_sub(next));
                let is_for = |ahead: &usize| seats.get(*ahead).is_some_and(|seat| audience.has(seat, seq));
                ahead.filter(is_for).map_or((0, SeatSearch::Nobody), |ahead| (ahead, SeatSearch::Found))
            }
            _ => match seats.iter().take(count).position(|seat| audience.has(seat, seq)) {
                Some(passed) => (passed, SeatSearch::Found),
                None if count < seats.len() => (count, SeatSearch::Further),
                None => (seats.len(), SeatSearch::Nobody),
            },
        };
        self.rows_visited.count(passed.div_ceil(SEATS_PER_LINK));
        self.groups.fan_out.advance(at, (next + passed) as u32);
        sought
    }

    /// The next seats that get the entry, at most `count` from the first job's cursor on, and their links.
    fn next_links(&self, at: ConversationIndex, count: usize) -> (SmallVec<[u32; FANNED_LINKS_MAX]>, Vec<MemberLink>) {
        let (mut numbers, mut links) = (SmallVec::new(), Vec::with_capacity(count));
        let Some(job) = self.groups.fan_out.front(at) else { return (numbers, links) };
        let audience = self.audience_of(at, &job.message);
        let is_message = job.message.fact.is_none();
        let count = if let FanOutScope::Only(_) = audience { 1 } else { count };
        let seats = self.tables.conversations.at(at).full_seats().get(job.next as usize..).unwrap_or_default();
        // A record ends after a bounded number of skipped seats, though skipping one costs little.
        for (number, seat) in (job.next..).zip(seats).take(count * SEATS_PER_LINK) {
            if links.len() == count {
                break;
            }
            if audience.has(seat, job.message.conversation_seq) {
                let is_away = is_message && !self.tables.inboxes.is_online(seat.user);
                let link = ThreadLink { is_away, ..self.tables.inboxes.tail_at(seat.user).next_link(Side::Peer) };
                links.push(MemberLink { user: self.tables.inboxes.user_at(seat.user).clone(), link });
                numbers.push(number);
            }
        }
        let visited = numbers.last().map_or(0, |last| last + 1 - job.next) as usize;
        self.rows_visited.count(numbers.len() + (visited - numbers.len()).div_ceil(SEATS_PER_LINK));
        (numbers, links)
    }

    /// Whether a user belongs to this shard.
    pub(in crate::shard) fn is_home(&self, user: &UserId) -> bool {
        self.identity.placement.owner_of(user) == self.identity.me
    }
}

impl<S: Storage> Shard<S> {
    /// Whether entries wait to be put into members' inboxes, and there is room for them.
    pub(in crate::shard) fn has_fan_out(&self) -> bool {
        self.state.groups.fan_out.len() > 0 && self.may_go_on()
    }

    /// Whether the log has room and few effects wait for it: replies to other users are behind those.
    fn may_go_on(&self) -> bool {
        !self.state.groups.fan_out.waits_for_room && self.log.pending.members() < MEMBERS_PENDING_MAX
    }

    /// Does one turn's share of the fan-out.
    pub(in crate::shard) fn continue_fan_out(&mut self) {
        self.fan_out(self.settings.limits.fan_out_members_per_turn_max);
    }

    /// Does the first share for groups with new entries; large groups continue in later turns.
    pub(in crate::shard) fn begin_fan_out(&mut self) {
        if self.state.groups.fan_out.is_fresh {
            self.fan_out(self.settings.limits.fan_out_members_at_once_max);
        }
    }

    pub(in crate::shard) fn retry_fan_out(&mut self) {
        self.state.groups.fan_out.waits_for_room = false;
    }

    fn fan_out(&mut self, mut links_max: usize) {
        self.state.groups.fan_out.is_fresh = false;
        while links_max > 0 && self.may_go_on() {
            let Some(at) = self.state.groups.fan_out.next_group() else { return };
            links_max = links_max.saturating_sub(self.fan_some(at, links_max.min(FANNED_LINKS_MAX)).max(1));
        }
    }

    /// One step of the group's first job: some seats, or one record. Returns the cost in links.
    fn fan_some(&mut self, at: ConversationIndex, links_max: usize) -> usize {
        let before = self.state.rows_visited.so_far();
        let changed = self.state.change_seats(at, links_max);
        if changed > 0 {
            let visited = self.state.rows_visited.so_far().saturating_sub(before) as usize;
            // One for each change is among them.
            return changed.max(visited.saturating_sub(changed));
        }
        match self.state.seek_seat(at, links_max * SEATS_PER_LINK) {
            SeatSearch::Found => self.fan_record(at, links_max),
            SeatSearch::Further => links_max,
            SeatSearch::Nobody => {
                let segment = self.log.journal.end().segment();
                if let Some(message) = self.state.finish_fan_out(at, segment) {
                    self.note_fanned_out(&message);
                }
                1
            }
        }
    }

    fn fan_record(&mut self, at: ConversationIndex, links_max: usize) -> usize {
        let Some(job) = self.state.groups.fan_out.front(at) else { return 0 };
        let (of, message) = (job.record, job.message.clone());
        let (seats, links) = self.state.next_links(at, links_max);
        let record = RecordRef::Fanned { of, links: &links };
        let record_bytes = record.encoded_bytes();
        if !self.log.journal.has_room(record_bytes) {
            self.state.groups.fan_out.waits_for_room = true;
            return 0;
        }
        let position = self.append(record, record_bytes);
        self.meters.stats.fanned += links.len() as u64;
        let mut members: SmallVec<[(UserIndex, Seq); FANNED_LINKS_MAX]> = SmallVec::new();
        for (seat, MemberLink { user: _, link }) in seats.iter().zip(links) {
            let user = self.state.apply_member_entry(position, at, *seat, link, &message);
            if self.state.tables.inboxes.is_online(user) {
                members.push((user, link.seq));
            }
        }
        if !members.is_empty() {
            self.log.pending.defer(position, DeferredEffect::Fanned { message, members: members.into_vec() });
        }
        self.state.groups.fan_out.advance(at, seats.last().map_or(0, |seat| seat + 1));
        seats.len()
    }
}
