//! A client's session as a value: inputs (frames, the time, what the application asks) go in, outputs (frames to write,
//! sockets to open, events) come out. Owned by its driver, which calls `drain` after every input and `wake` at `deadline`.
//!
//! Invariants: after each login the inbox is synced before anything is sent, so a message that the server stored and
//! whose answer was lost is recognised and not sent again; an acknowledgement never passes what the application has
//! finished with; whatever the application does, a bounded number of entries, messages and requests waits here.

use super::backoff::{Backoff, Chance};
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::output::{Event, Output, Phase, Saved, Status, Tuning};
use super::requests::{Asked, Requests};
use crate::model::{Answer, Outgoing, PresenceAction, RefusalKind, Refused, Request, Target, TypingState};
use crate::wire::dialect::{AnswerShape, Dialect, Frame};
use std::collections::BTreeSet;

/// Where a client begins that has nothing saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Begin {
    /// With the whole inbox.
    #[default]
    Beginning,
    /// With what comes from now on.
    Newest,
    /// With the newest entries, so many of them.
    Last(u64),
}

/// Who a session is, and what it goes on from.
pub struct SessionOptions {
    /// The user.
    pub user: String,
    /// The device: the same one logs in again, and the older session ends.
    pub device: String,
    /// Where to begin without `saved`.
    pub begin: Begin,
    /// What an earlier session's `save` returned.
    pub saved: Option<Saved>,
    /// Times and bounds.
    pub tuning: Tuning,
    /// The seed of the jitter.
    pub seed: u64,
}

pub(super) const FOREVER: u64 = u64::MAX;

/// No room: come back after a second at the earliest.
const NO_ROOM: u16 = 1013;
const NO_ROOM_PAUSE_MS: u64 = 1_000;
/// The connection has ended without a close frame.
const ABNORMAL: u16 = 1006;
/// The token is wrong, expired or revoked.
const TOKEN_CODES: [u16; 2] = [4001, 4007];

/// Close codes after which coming back is of no use.
fn final_reason(code: u16) -> Option<&'static str> {
    match code {
        4004 => Some("replaced by another session"),
        4008 => Some("account disabled"),
        _ => None,
    }
}

/// When something is due; `FOREVER`: it is not.
pub(super) struct Deadlines {
    retry: u64,
    pub(super) open: u64,
    pub(super) ack: u64,
    pub(super) sync: u64,
    heartbeat: u64,
    dead: u64,
}

impl Deadlines {
    const NONE: Self =
        Self { retry: FOREVER, open: FOREVER, ack: FOREVER, sync: FOREVER, heartbeat: FOREVER, dead: FOREVER };
}

/// The session (see the module).
pub struct Session {
    pub(super) user: String,
    pub(super) device: String,
    pub(super) begin: Begin,
    pub(super) tuning: Tuning,
    pub(super) dialect: Box<dyn Dialect>,
    pub(super) chance: Chance,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) requests: Requests,
    pub(super) reconnecting: Backoff,
    pub(super) pausing: Backoff,
    pub(super) watched: BTreeSet<String>,
    pub(super) outputs: Vec<Output>,
    pub(super) phase: Phase,
    pub(super) attempt: u64,
    pub(super) token_failures: u32,
    pub(super) farewell: Option<String>,
    pub(super) acknowledged: u64,
    /// A page is asked for; the next one begins after `Some(seq)` where pages were passed over for lack of room.
    pub(super) is_syncing: bool,
    pub(super) passed_over: Option<u64>,
    pub(super) ready_since: Option<u64>,
    pub(super) due: Deadlines,
}

impl Session {
    /// A session that has not started.
    pub fn new(options: SessionOptions, dialect: Box<dyn Dialect>) -> Self {
        let SessionOptions { user, device, begin, saved, tuning, seed } = options;
        let Saved { epoch, through, outgoing } = saved.unwrap_or_default();
        let through = through.or((begin == Begin::Beginning).then_some(0));
        Self {
            user,
            device,
            begin,
            dialect,
            chance: Chance::new(seed),
            inbox: Inbox::new(epoch, through, tuning.entries_max),
            outbox: Outbox::of(outgoing),
            requests: Requests::default(),
            reconnecting: Backoff::new(tuning.retry_first_ms, tuning.retry_max_ms),
            pausing: Backoff::new(200, 10_000),
            watched: BTreeSet::new(),
            outputs: Vec::new(),
            phase: Phase::Idle,
            attempt: 0,
            token_failures: 0,
            farewell: None,
            acknowledged: 0,
            is_syncing: false,
            passed_over: None,
            ready_since: None,
            due: Deadlines::NONE,
            tuning,
        }
    }

    /// What has to be done, once.
    pub fn drain(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// When `wake` is due; `u64::MAX`: never.
    pub fn deadline(&self) -> u64 {
        let Deadlines { retry, open, ack, sync, heartbeat, dead } = self.due;
        let can_send = self.phase == Phase::Ready && self.outbox.has_waiting(self.tuning.sends_max);
        let send = if can_send { self.outbox.paused_until } else { FOREVER };
        [retry, open, ack, sync, heartbeat, dead, send, self.requests.deadline()].into_iter().min().unwrap_or(FOREVER)
    }

    /// What a store has to keep, so that another session can go on from here.
    pub fn save(&self) -> Saved {
        let outgoing = self.outbox.messages().cloned().collect();
        Saved { epoch: self.inbox.epoch, through: self.inbox.finished, outgoing }
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Where the server speaks this session's protocol.
    pub fn path(&self) -> &'static str {
        self.dialect.path()
    }

    /// Begins to connect.
    pub fn start(&mut self, now: u64) {
        if matches!(self.phase, Phase::Idle | Phase::Ended) {
            self.farewell = None;
            self.token_failures = 0;
            self.open(now);
        }
    }

    /// Ends for good. What was not sent stays in `save`.
    pub fn stop(&mut self) {
        if !matches!(self.phase, Phase::Idle | Phase::Ended) {
            self.acknowledge();
            self.end("stopped by the application");
        }
    }

    /// The network may be back: a pause ends now.
    pub fn retry_now(&mut self, now: u64) {
        if self.phase == Phase::Waiting {
            self.open(now);
        }
    }

    /// The socket of `attempt` is open, and `token` is what logs in.
    pub fn opened(&mut self, attempt: u64, token: String, now: u64) {
        if attempt != self.attempt || self.phase != Phase::Connecting {
            return;
        }
        self.enter(Phase::Login, None);
        self.heard(now);
        let tag = self.requests.own(Asked::Login, AnswerShape::Login);
        let login = Request::Login { user: self.user.clone(), token, device: self.device.clone() };
        self.write(&login, tag, now);
    }

    /// A frame of `attempt`.
    pub fn received(&mut self, attempt: u64, frame: &Frame, now: u64) {
        if attempt != self.attempt || matches!(self.phase, Phase::Waiting | Phase::Ended) {
            return;
        }
        self.heard(now);
        let requests = &self.requests;
        let heard = self.dialect.decode(frame, &|tag| requests.shape_of(tag));
        self.handle(heard, now);
    }

    /// The socket of `attempt` has ended, or could not be opened.
    pub fn lost(&mut self, attempt: u64, code: u16, reason: &str, now: u64) {
        if attempt != self.attempt || matches!(self.phase, Phase::Idle | Phase::Waiting | Phase::Ended) {
            return;
        }
        self.token_failures += u32::from(TOKEN_CODES.contains(&code));
        if let Some(why) = self.farewell.take().or(final_reason(code).map(str::to_owned)) {
            return self.end(&why);
        }
        if self.token_failures > self.tuning.token_failures_max {
            return self.end("the server refuses the tokens");
        }
        if self.ready_since.is_some_and(|since| now.saturating_sub(since) >= self.tuning.stable_ms) {
            self.reconnecting.reset();
        }
        self.cut();
        let least = if code == NO_ROOM { NO_ROOM_PAUSE_MS } else { 0 };
        self.due.retry = now + self.reconnecting.next(least, &mut self.chance);
        let why = if reason.is_empty() { format!("closed with {code}") } else { reason.to_owned() };
        self.enter(Phase::Waiting, Some(why));
    }

    /// Queues a message. It is sent when there is a connection, and again after each cut until the server answers.
    ///
    /// # Errors
    ///
    /// The outbox is full.
    pub fn send(&mut self, message: Outgoing, now: u64) -> Result<(), Refused> {
        if self.outbox.len() >= self.tuning.outbox_max && !self.outbox.has(&message.client_id) {
            return Err(Refused::own(RefusalKind::Full, "too many messages wait to be sent"));
        }
        self.outbox.add(message);
        self.outputs.push(Output::Changed);
        self.flush(now);
        Ok(())
    }

    /// Asks the server. The answer comes as an output with this id, after reconnects if need be.
    ///
    /// # Errors
    ///
    /// Too many requests wait.
    pub fn request(&mut self, request: Request, now: u64) -> Result<u64, Refused> {
        if self.requests.len() >= self.tuning.requests_max {
            return Err(Refused::own(RefusalKind::Full, "too many requests wait for their answers"));
        }
        let id = self.requests.ask(request, now + self.tuning.request_ms);
        self.flush(now);
        Ok(id)
    }

    /// Typing is not worth a repetition: without a connection it is dropped.
    pub fn typing(&mut self, conversation: Target, state: TypingState, now: u64) {
        if self.phase == Phase::Ready {
            let tag = self.requests.own(Asked::Silent, AnswerShape::Done);
            self.write(&Request::Typing { conversation, state }, tag, now);
        }
    }

    /// Users whose presence is pushed, also after reconnects.
    pub fn watch(&mut self, users: Vec<String>, now: u64) {
        let fresh: Vec<String> = users.into_iter().filter(|user| self.watched.insert(user.clone())).collect();
        if self.phase == Phase::Ready {
            self.subscribe(&fresh, PresenceAction::Subscribe, now);
        }
    }

    /// Users whose presence is of no interest any more.
    pub fn unwatch(&mut self, users: Vec<String>, now: u64) {
        let known: Vec<String> = users.into_iter().filter(|user| self.watched.remove(user)).collect();
        if self.phase == Phase::Ready {
            self.subscribe(&known, PresenceAction::Unsubscribe, now);
        }
    }

    /// The application has finished with the oldest entry that it was told.
    pub fn finished(&mut self, now: u64) {
        self.inbox.finish_one();
        self.finished_further(now);
        let has_room = !self.inbox.is_full() && self.phase == Phase::Ready;
        if has_room && self.inbox.has_gap() && self.due.sync == FOREVER && !self.is_syncing {
            self.due.sync = now;
        }
    }

    /// A deadline has come.
    pub fn wake(&mut self, now: u64) {
        if now >= self.due.retry {
            self.open(now);
        }
        if now >= self.due.open || now >= self.due.dead {
            self.give_up(now);
        }
        if now >= self.due.ack {
            self.acknowledge();
        }
        if now >= self.due.sync {
            self.sync(now);
        }
        if now >= self.due.heartbeat {
            self.beat(now);
        }
        for id in self.requests.expire(now) {
            self.answer(id, Err(Refused::own(RefusalKind::Timeout, "no answer in time")));
        }
        self.flush(now);
    }

    pub(super) fn answer(&mut self, id: u64, answer: Result<Answer, Refused>) {
        self.outputs.push(Output::Answered { id, answer });
    }

    fn open(&mut self, now: u64) {
        self.attempt += 1;
        self.due.retry = FOREVER;
        self.due.open = now + self.tuning.open_ms;
        self.enter(Phase::Connecting, None);
        self.outputs.push(Output::Open { attempt: self.attempt, is_token_stale: self.token_failures > 0 });
    }

    /// The server has not been heard for too long.
    fn give_up(&mut self, now: u64) {
        self.outputs.push(Output::Close { attempt: self.attempt });
        self.lost(self.attempt, ABNORMAL, "no answer from the server", now);
    }

    fn cut(&mut self) {
        self.due = Deadlines::NONE;
        self.is_syncing = false;
        self.passed_over = None;
        self.ready_since = None;
        self.acknowledged = 0;
        self.inbox.forget_held();
        self.outbox.cut();
        self.requests.cut();
    }

    pub(super) fn end(&mut self, why: &str) {
        self.cut();
        self.outputs.push(Output::Close { attempt: self.attempt });
        for id in self.requests.drop_all() {
            self.answer(id, Err(Refused::own(RefusalKind::Stopped, why)));
        }
        self.enter(Phase::Ended, Some(why.to_owned()));
    }

    pub(super) fn enter(&mut self, phase: Phase, reason: Option<String>) {
        self.phase = phase;
        let retry_at_ms = (phase == Phase::Waiting).then_some(self.due.retry);
        self.outputs.push(Output::Status(Status { phase, attempt: self.attempt, retry_at_ms, reason }));
    }

    fn heard(&mut self, now: u64) {
        self.due.dead = FOREVER;
        let is_busy = self.outbox.len() > 0 || self.is_syncing;
        self.due.heartbeat = now + if is_busy { self.tuning.probe_ms } else { self.tuning.heartbeat_ms };
    }

    fn beat(&mut self, now: u64) {
        self.due.heartbeat = FOREVER;
        if matches!(self.phase, Phase::Ready | Phase::Resync) {
            self.due.dead = now + self.tuning.dead_ms;
            let tag = self.requests.own(Asked::Heartbeat, AnswerShape::Done);
            self.write(&Request::Heartbeat, tag, now);
        }
    }

    pub(super) fn flush(&mut self, now: u64) {
        if self.phase != Phase::Ready {
            return;
        }
        for (tag, request) in self.requests.take() {
            self.write(&request, tag, now);
        }
        for message in self.outbox.take(now, self.tuning.sends_max) {
            let asked = Asked::Send { client_id: message.client_id.clone() };
            let tag = self.requests.own(asked, AnswerShape::Sent);
            self.write(&Request::Send(message), tag, now);
        }
        // An answer is due soon; without one the connection is tested, unless it is being tested.
        if self.outbox.len() > 0 && self.due.dead == FOREVER {
            self.due.heartbeat = self.due.heartbeat.min(now + self.tuning.probe_ms);
        }
    }

    pub(super) fn write(&mut self, request: &Request, tag: u32, now: u64) {
        match self.dialect.encode(request, tag) {
            Ok(frame) => self.outputs.push(Output::Write { attempt: self.attempt, frame }),
            Err(refused) => self.refused(tag, refused, now),
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }
}
