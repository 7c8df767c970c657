//! Two shards for tests of sessions: what each session of each device is answered and pushed.

use crate::log::MemoryStorage;
use crate::model::{
    Annotations, Command, DeviceKey, Entry, Event, Limits, Recipient, Reply, Send, Seq, SessionId, StreamChunk, Sync,
    SyncDirection,
};
use crate::shard::testing::fixtures::{self, Cluster, Reading, send_to};
pub(in crate::shard) use crate::shard::testing::fixtures::{ALICE, BOB, NOW, refusal, user};
use crate::shard::*;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

/// A cluster of two shards that reads at once, and its users' sessions by number and device.
pub(in crate::shard) struct Duo(Cluster);

impl Deref for Duo {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl DerefMut for Duo {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.0
    }
}

pub(in crate::shard) fn send(id: &str, to: &str) -> Send {
    send_to(id, Recipient::User(user(to)), id)
}

pub(in crate::shard) fn message(id: &str, to: &str) -> Command {
    Command::Send(send(id, to))
}

pub(in crate::shard) fn noted(id: &str, to: &str, annotations: Annotations) -> Command {
    Command::Send(Send { annotations: Some(Box::new(annotations)), ..send(id, to) })
}

impl Duo {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(tune: impl FnOnce(&mut ShardSettings)) -> Self {
        Self::on([0, 1].map(|_| MemoryStorage::new(1 << 20, 16)), tune)
    }

    pub fn on(disks: [MemoryStorage; 2], tune: impl FnOnce(&mut ShardSettings)) -> Self {
        let limits = Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() };
        let mut settings = ShardSettings { limits, ..fixtures::settings(0, 2, Windows::default(), Limits::default()) };
        tune(&mut settings);
        Self(Cluster::ready(settings, disks.into(), NOW).reading(Reading::AtOnce))
    }

    /// The process ends, having written all that it wrote, and starts again.
    pub fn restart(self) -> Self {
        let windows = self.settings(0).windows;
        Self(self.0.restart(windows).reading(Reading::AtOnce))
    }

    /// Reads nothing more until `read_held`.
    pub fn hold_reads(&mut self) {
        self.reading = Reading::OnDemand;
    }

    /// Reads what was held, holds nothing more, and settles.
    pub fn read_held(&mut self) {
        self.reading = Reading::AtOnce;
        while !self.fetches.is_empty() {
            self.read_next();
        }
        self.settle();
    }

    /// What was held, for the test to read; holds nothing more.
    pub fn take_held(&mut self) -> VecDeque<(usize, Box<Fetch>)> {
        self.reading = Reading::AtOnce;
        std::mem::take(&mut self.fetches)
    }

    pub fn home(id: &str) -> usize {
        usize::from(Placement::new(2).owner_of(&user(id)).0)
    }

    pub fn tick_after(&mut self, passed_ms: u64) {
        self.now = self.now.plus(passed_ms);
        self.input(0, Input::Ticked);
        self.input(1, Input::Ticked);
        self.settle();
    }

    pub fn open(&mut self, session: u64, id: &str, device: &str, catch_up: CatchUp) {
        self.open_on(DeviceKey { flag: 1, id: device.into() }, session, id, catch_up);
    }

    /// Opens a session, and settles.
    pub fn connect(&mut self, session: u64, id: &str, device: &str, catch_up: CatchUp) {
        self.open(session, id, device, catch_up);
        self.settle();
    }

    /// Asks, and settles; the answer.
    pub fn ask(&mut self, session: u64, id: &str, command: Command) -> Reply {
        self.outputs.clear();
        self.request(session, id, command);
        self.settle();
        let mut replies = self.replies(session);
        assert_eq!(replies.len(), 1, "one answer");
        replies.remove(0)
    }

    /// Takes the session's answers out of the outputs; the other outputs stay.
    pub fn replies(&mut self, session: u64) -> Vec<Reply> {
        let (replies, rest) = self.outputs().into_iter().partition::<Vec<_>, _>(
            |effect| matches!(effect, Effect::Reply { session: told, .. } if told.0 == session),
        );
        self.outputs = rest;
        let reply = |effect| match effect {
            Effect::Reply { reply, .. } => Some(reply),
            _ => None,
        };
        replies.into_iter().filter_map(reply).collect()
    }

    /// Takes the session's pushes out of the outputs; the other outputs stay.
    pub fn events(&mut self, session: u64) -> Vec<Event> {
        let is_its =
            |effect: &Effect| matches!(effect, Effect::Push { sessions, .. } if sessions.contains(&SessionId(session)));
        let mut events = Vec::new();
        for effect in &mut self.outputs {
            if is_its(effect)
                && let Effect::Push { sessions, event, .. } = effect
            {
                sessions.retain(|other| other.0 != session);
                events.push(event.clone());
            }
        }
        events
    }

    pub fn entries(&mut self, session: u64) -> Vec<Entry> {
        let entry = |event| match event {
            Event::Entry(entry) => Some(entry),
            _ => None,
        };
        self.events(session).into_iter().filter_map(entry).collect()
    }

    pub fn seqs(&mut self, session: u64) -> Vec<u64> {
        self.entries(session).iter().map(|entry| entry.seq.0).collect()
    }

    pub fn has_heard(&self, effect: &Effect) -> bool {
        self.outputs.contains(effect)
    }

    pub fn inbox(&mut self, id: &str) -> Vec<Entry> {
        self.open(9_999, id, "reader", CatchUp::Sync);
        let sync = Sync { direction: SyncDirection::After(Seq(0)), limit: 1_000 };
        self.settle();
        let reply = self.ask(9_999, id, Command::Sync(sync));
        self.close(9_999, id);
        match reply {
            Reply::Synced { entries, .. } => entries,
            other => panic!("a sync is answered by a page, not {other:?}"),
        }
    }
}

pub(in crate::shard) fn chunk_of(entry: &Entry) -> Option<&StreamChunk> {
    entry.message.annotations.as_ref()?.chunk.as_ref()
}

impl Duo {
    /// Puts the outputs back, except for the session's request to be told that its socket has drained.
    pub fn keep(&mut self, effects: Vec<Effect>, session: u64) {
        let wish = Effect::TellWhenDrained { session: SessionId(session) };
        self.outputs.extend(effects.into_iter().filter(|effect| *effect != wish));
    }

    /// Page by page.
    pub fn whole_inbox(&mut self, id: &str) -> Vec<Entry> {
        self.open(9_998, id, "reader of all", CatchUp::Sync);
        self.settle();
        let mut inbox: Vec<Entry> = Vec::new();
        loop {
            self.now = self.now.plus(1_000);
            let after = inbox.last().map_or(Seq(0), |entry| entry.seq);
            let sync = Sync { direction: SyncDirection::After(after), limit: 1_000 };
            let Reply::Synced { entries, has_more, .. } = self.ask(9_998, id, Command::Sync(sync)) else {
                panic!("a sync is answered by a page");
            };
            inbox.extend(entries);
            if !has_more {
                self.close(9_998, id);
                return inbox;
            }
        }
    }
}
