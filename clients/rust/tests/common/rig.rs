//! A session under test: a clock in the test's hand, the server in memory, and an application that takes one entry after
//! the other, as slowly as the test likes.

use super::fake_server::{FakeServer, Habits, ME, PEER};
use bytes::Bytes;
use mushan_client::{
    Answer, Begin, Entry, EntryBody, Event, Outgoing, Output, Phase, Protocol, Refused, Saved, SendOutcome, Session,
    SessionOptions, Target, Tuning,
};
use std::collections::{BTreeMap, VecDeque};

pub struct Rig {
    pub now: u64,
    pub session: Session,
    pub server: FakeServer,
    pub phases: Vec<Phase>,
    pub epochs: usize,
    /// Told, and not finished with yet.
    pub untaken: VecDeque<Entry>,
    pub untaken_max: usize,
    /// What the application has finished with.
    pub taken: Vec<Entry>,
    pub sent: Vec<String>,
    pub refused: Vec<String>,
    pub answered: BTreeMap<u64, Result<Answer, Refused>>,
    /// An attempt that the server has yet to accept.
    pub opening: u64,
    pub is_token_stale: bool,
    pub is_up: bool,
    pub tuning: Tuning,
    pub begin: Begin,
    seed: u64,
    texts: u64,
}

impl Rig {
    pub fn new(habits: Habits) -> Self {
        Self::with(habits, Tuning::default(), Begin::Beginning, 1)
    }

    pub fn with(habits: Habits, tuning: Tuning, begin: Begin, seed: u64) -> Self {
        Self {
            now: 1_000_000,
            session: session(&tuning, begin, None, seed),
            server: FakeServer::new(habits),
            phases: Vec::new(),
            epochs: 0,
            untaken: VecDeque::new(),
            untaken_max: 0,
            taken: Vec::new(),
            sent: Vec::new(),
            refused: Vec::new(),
            answered: BTreeMap::new(),
            opening: 0,
            is_token_stale: false,
            is_up: true,
            tuning,
            begin,
            seed,
            texts: 0,
        }
    }

    /// The application's process ends, and another one goes on with what was saved.
    pub fn crash(&mut self) {
        let saved = self.session.save();
        self.server.cut();
        self.opening = 0;
        self.untaken.clear();
        // As a store has it.
        let saved = serde_json::from_slice(&serde_json::to_vec(&saved).expect("JSON")).expect("the same JSON");
        self.session = session(&self.tuning, self.begin, Some(saved), self.seed);
        self.start();
    }

    pub fn act<T>(&mut self, input: impl FnOnce(&mut Session, u64) -> T) -> T {
        let result = input(&mut self.session, self.now);
        for output in self.session.drain() {
            self.perform(output);
        }
        result
    }

    pub fn start(&mut self) {
        self.act(|session, now| session.start(now));
    }

    /// Sends a message, and returns its id.
    pub fn say(&mut self) -> String {
        self.texts += 1;
        let client_id = format!("c-{}", self.texts);
        let message = Outgoing::new(client_id.clone(), Target::user(PEER), Bytes::new());
        self.act(|session, now| session.send(message, now)).expect("there is room");
        client_id
    }

    pub fn connect(&mut self) {
        let attempt = std::mem::take(&mut self.opening);
        if attempt == 0 {
            return;
        }
        if !self.is_up {
            return self.act(|session, now| session.lost(attempt, 1006, "refused", now));
        }
        self.server.accept(attempt);
        self.act(|session, now| session.opened(attempt, "token".to_owned(), now));
    }

    pub fn cut(&mut self, code: u16) {
        let attempt = self.server.attempt;
        self.server.cut();
        if attempt > 0 {
            self.act(|session, now| session.lost(attempt, code, "", now));
        }
    }

    pub fn hear(&mut self) {
        let attempt = self.server.attempt;
        if let Some(frame) = self.server.to_client.pop_front() {
            self.act(|session, now| session.received(attempt, &frame, now));
        }
    }

    /// The application finishes with an entry.
    pub fn take_one(&mut self) {
        if let Some(entry) = self.untaken.pop_front() {
            self.taken.push(entry);
            self.act(Session::finished);
        }
    }

    pub fn advance(&mut self, ms: u64) {
        self.now += ms;
        self.act(Session::wake);
    }

    /// How long until something is due.
    pub fn due(&self) -> u64 {
        self.session.deadline().saturating_sub(self.now)
    }

    /// Until nothing is on its way, and nothing is due within `horizon`.
    pub fn settle(&mut self, horizon: u64) {
        self.settle_with(horizon, |rig| {
            while !rig.untaken.is_empty() {
                rig.take_one();
            }
        });
    }

    /// The same with an application that takes nothing.
    pub fn settle_untaken(&mut self, horizon: u64) {
        self.settle_with(horizon, |_| {});
    }

    fn settle_with(&mut self, horizon: u64, take: impl Fn(&mut Self)) {
        let end = self.now + horizon;
        for _step in 0..200_000 {
            take(self);
            if self.opening > 0 {
                self.connect();
            } else if !self.server.to_server.is_empty() {
                self.server.serve_one();
            } else if !self.server.to_client.is_empty() {
                self.hear();
            } else if self.session.deadline() <= end {
                self.advance(self.due());
            } else {
                return;
            }
        }
        panic!("the session does not come to rest");
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Open { attempt, is_token_stale } => {
                self.opening = attempt;
                self.is_token_stale = is_token_stale;
            }
            Output::Write { attempt, frame } if attempt == self.server.attempt => {
                self.server.to_server.push_back(frame);
            }
            Output::Close { attempt } => {
                if attempt == self.server.attempt {
                    self.server.cut();
                }
                if attempt == self.opening {
                    self.opening = 0;
                }
            }
            Output::Status(status) => self.phases.push(status.phase),
            Output::Event(Event::Entry(entry)) => {
                self.untaken.push_back(entry);
                self.untaken_max = self.untaken_max.max(self.untaken.len());
            }
            Output::Event(Event::Settled { client_id, outcome: SendOutcome::Sent(_) }) => self.sent.push(client_id),
            Output::Event(Event::Settled { client_id, .. }) => self.refused.push(client_id),
            Output::Event(Event::Epoch(_)) => self.epochs += 1,
            Output::Answered { id, answer } => drop(self.answered.insert(id, answer)),
            Output::Event(_) | Output::Write { .. } | Output::Changed => {}
        }
    }

    /// One text for each entry that the application has taken, the same for a fact with and without its seq.
    pub fn told(&self) -> Vec<String> {
        self.taken.iter().map(name_of).collect()
    }
}

fn session(tuning: &Tuning, begin: Begin, saved: Option<Saved>, seed: u64) -> Session {
    let (user, device) = (ME.to_owned(), "d".to_owned());
    let options = SessionOptions { user, device, begin, saved, tuning: tuning.clone(), seed };
    Session::new(options, Protocol::Binary.dialect())
}

fn name_of(entry: &Entry) -> String {
    match &entry.body {
        EntryBody::Message(message) => message.client_id.clone(),
        EntryBody::Revoked(revoked) => format!("revoked {}", revoked.message_id),
        EntryBody::Receipt(receipt) => format!("receipt {}", receipt.message_ids.join(",")),
        EntryBody::Group(_) | EntryBody::Cleared(_) => entry.id.clone(),
    }
}
