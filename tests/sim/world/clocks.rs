//! Clocks: time itself goes on; the wall clock of some worlds is set ahead and back, and stands still. What that may
//! not change: deadlines, rates, what retention drops, the order of dates.

use crate::client::frames::Protocol;
use crate::client::speech::Shown;
use crate::client::{Client, Phase};
use crate::token_of;
use crate::world::retention::HOUR_MS;
use crate::world::{Pipe, Place, World};
use mushan::log::{Record, inspect};
use mushan::model::{Closing, Millis, Moment, ShardId, Steady};
use std::collections::BTreeMap;

pub const BEGIN: Millis = Millis(1_700_000_000_000);
/// What tokens are good until.
pub const TOKENS_END: Millis = Millis(1_900_000_000_000);

const DAY_MS: u64 = 24 * HOUR_MS;
/// How far a clock that is set a little is set at most.
pub const SET_A_LITTLE_MS: u64 = 20_000;
/// A clock may be off by less than a jump, ahead or back.
const SLEWED_MS: u64 = 20_000;

#[derive(Default)]
pub struct Clocks {
    /// The wall clock of this world is set now and then.
    pub may_be_set: bool,
    /// Since the world began, whatever its clocks show.
    pub elapsed_ms: u64,
    pub stands_still: bool,
    pub times_set: u64,
    /// By core: its first segment, once that is closed, and when the newest message in it was said for the first time.
    oldest: BTreeMap<usize, (u32, u64)>,
}

impl World {
    pub fn pass(&mut self, ms: u64) {
        let wall = self.now.wall;
        self.clocks.elapsed_ms += ms;
        self.now = self.now.plus(ms);
        if self.clocks.stands_still {
            self.now.wall = wall;
        }
    }

    /// A process counts from its own beginning. What a clock shows that is less than a day ahead, a start
    /// has to believe.
    pub fn begin_steady(&mut self) {
        if (1..DAY_MS + 2 * HOUR_MS).contains(&self.now.wall.since(self.right())) {
            self.set_wall(self.right());
        }
        self.now.steady = Steady(self.chance.below(1_000) as u64);
        self.clocks.oldest.clear();
    }

    fn right(&self) -> Millis {
        BEGIN.plus(self.clocks.elapsed_ms)
    }

    /// Somebody sets the wall clock: to what it should be, a little or much ahead or back; or it stands still from now
    /// on.
    pub fn set_clock(&mut self) {
        let right = self.right();
        let far_ms = *self.chance.pick(&[5_000, SET_A_LITTLE_MS, HOUR_MS, 30 * DAY_MS, 400 * DAY_MS, 4_000 * DAY_MS]);
        let by_ms = self.chance.below(far_ms as usize) as u64;
        let wall = match self.chance.below(6) {
            0..2 => right,
            2..4 => right.plus(by_ms),
            _ => Millis(right.0 - by_ms.min(400 * DAY_MS)),
        };
        self.set_wall(wall);
        self.clocks.stands_still = self.chance.one_in(4);
        // Chores that go by the wrong clock have time to.
        let chores = if self.ledger.may_drop { self.chance.below(8) } else { 0 };
        (0..chores).for_each(|_| self.do_chores());
    }

    fn set_wall(&mut self, wall: Millis) {
        self.now = Moment { wall, ..self.now };
        self.clocks.times_set += 1;
        self.clocks.stands_still = false;
        self.ledger.is_past_tokens = wall >= TOKENS_END;
        self.ledger.was_past_tokens |= self.ledger.is_past_tokens;
    }

    /// Calm comes under a clock that is right, or as wrong as it is. Tokens go by the wall clock alone.
    pub fn settle_clock(&mut self) {
        if self.clocks.may_be_set && (self.ledger.is_past_tokens || self.chance.one_in(2)) {
            self.set_wall(self.right());
        }
    }

    /// A wrong clock is believed when it has stayed so for a day.
    pub fn set_right_before_it_is_believed(&mut self) {
        if self.clocks.times_set > 0 {
            self.set_wall(self.right());
        }
    }

    /// Deadlines are judged: nobody ends by one that has not passed.
    pub fn judge(&mut self, at: usize) {
        let before = self.cores[at].turn.traffic().ended;
        self.cores[at].turn.judge(self.now);
        let after = self.cores[at].turn.traffic().ended;
        if before == after {
            return;
        }
        let limits = &self.scale.limits;
        let heard: fn(&Pipe) -> u64 = |pipe| pipe.heard_ms;
        let begun: fn(&Pipe) -> u64 = |pipe| pipe.since_ms;
        let deadlines = [
            (Closing::Idle, limits.idle_binary_ms, heard),
            (Closing::AuthTooLate, limits.auth_json_rpc_ms, begun),
            (Closing::HandshakeRefused, limits.handshake_ms, begun),
        ];
        for (closing, after_ms, since_ms) in deadlines {
            let row = Closing::ALL.iter().position(|other| *other == closing).expect("it is one of them");
            let is_here = |place: Place| matches!(place, Place::At(core, _) if core == at);
            let is_late = |pipe: &&Pipe| is_here(pipe.place) && self.clocks.elapsed_ms - since_ms(pipe) >= after_ms;
            let (late, ended) = (self.pipes.iter().filter(is_late).count() as u64, after[row] - before[row]);
            assert!(ended <= late, "{ended} sessions ended as {closing:?}, and {late} were late");
        }
        let row = Closing::ALL.iter().position(|other| *other == Closing::TokenExpired).expect("it is one of them");
        assert!(after[row] == before[row] || self.now.wall >= TOKENS_END, "a token ended before its time");
    }

    /// Somebody connects and says nothing: the time for that is over when it is over.
    pub fn check_deadlines(&mut self) {
        if self.clocks.times_set == 0 {
            return;
        }
        let (at, user) = (self.clients.len(), self.users[0].clone());
        self.add_client(Client::new(&user, at, Protocol::JsonRpc, token_of(&user)));
        self.connect(at);
        self.pipes[at].to_server.clear();
        self.pass(self.scale.limits.handshake_ms);
        self.tick();
        self.calm();
        let (phase, place) = (self.clients[at].phase, self.pipes[at].place);
        assert_eq!((phase, place), (Phase::Offline, Place::Nowhere), "whoever says nothing is kept");
        self.retire(at);
    }

    /// When the newest message in a core's first segment was said, as long as retention may drop that segment next.
    fn note_oldest(&mut self, at: usize) {
        let journal = self.cores[at].turn.shard().journal();
        let (first, end) = (journal.segments().start, journal.end().segment());
        if first >= end || self.clocks.oldest.get(&at).is_some_and(|(segment, _)| *segment == first) {
            return;
        }
        let mut newest_ms = 0;
        let visit = |position: mushan::model::Position, record: Record| {
            let message = record.message().filter(|_| position.segment() == first);
            let of = |it: &str, author: &str| self.ledger.intent_of(author, it);
            let at = message.and_then(|(it, _)| of(it.client_message_id.as_str(), it.author.as_str()));
            newest_ms = at.map_or(0, |at| self.ledger.intents[at].said_ms).max(newest_ms);
        };
        inspect(journal.storage(), ShardId(at as u16), visit).expect("a log that is written is read");
        self.clocks.oldest.insert(at, (first, newest_ms));
    }

    /// A shard does its chores: what it drops for its age is as old as that.
    pub fn tick_core(&mut self, at: usize) {
        if self.ledger.may_drop {
            self.note_oldest(at);
        }
        self.cores[at].turn.tick(self.now);
        let first = self.cores[at].turn.shard().journal().segments().start;
        if let Some((_, said_ms)) = self.clocks.oldest.get(&at).filter(|(segment, _)| *segment < first) {
            let age_ms = self.clocks.elapsed_ms - said_ms;
            let kept_ms = self.scale.retention.kept_ms();
            assert!(age_ms + SLEWED_MS >= kept_ms, "what was said {age_ms} ms ago is dropped");
        }
    }
}

/// In one conversation dates never go back.
pub fn check_dates(known: &BTreeMap<u64, Shown>) {
    let mut newest: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (id, shown) in known.iter().filter(|(_, shown)| shown.kind.takes_place()) {
        let Some(time) = shown.time else { continue };
        let last = newest.entry(&shown.conversation).or_default();
        assert!(last.0 <= time, "{id} of {} is dated before {}: {time}, {}", shown.conversation, last.1, last.0);
        *last = (time, *id);
    }
}
