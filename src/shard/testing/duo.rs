//! Two shards for tests, with lanes, disks, sockets and time in the test's own hands.

use crate::log::MemoryStorage;
pub(in crate::shard) use crate::model::testing::user;
use crate::model::{
    Annotations, ClientMessageId, Command, DeviceKey, Entry, Event, Extra, Limits, Millis, Moment, Policies, Recipient,
    Refusal, Reply, RequestTag, Send, Seq, SessionId, ShardId, Sizing, StreamChunk, Sync, SyncDirection, Verb,
};
use crate::shard::*;
use std::collections::VecDeque;

/// Owned by shard 1, and by shard 0: see placement.
pub(in crate::shard) const ALICE: &str = "alice";
pub(in crate::shard) const BOB: &str = "bob";
pub(in crate::shard) const NOW: Moment = Moment::told(Millis(1_700_000_000_000));
const NO_CHECKPOINTS: &[&[u8]] = &[];

pub(in crate::shard) struct Duo {
    pub shards: Vec<Shard<MemoryStorage>>,
    pub lanes: VecDeque<(ShardId, ShardId, ShardMessage)>,
    outputs: Vec<Effect>,
    pub now: Moment,
    /// Fetches are kept here, while there is such a place.
    pub held: Option<Vec<(usize, Box<Fetch>)>>,
    settings: ShardSettings,
}

fn settings() -> ShardSettings {
    ShardSettings {
        me: ShardId(0),
        placement: Placement::new(2),
        limits: Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() },
        policies: Policies::default(),
        windows: Windows::default(),
        upkeep: Upkeep::default(),
        seed: 5,
        fingerprint_seed: 6,
    }
}

pub(in crate::shard) fn send(id: &str, to: &str) -> Send {
    Send {
        client_message_id: ClientMessageId::new(id).expect("well formed"),
        recipient: Recipient::User(user(to)),
        conversation_name: None,
        message_type: 1,
        content: id.to_owned().into_bytes().into(),
        send_time: 0,
        extra: Extra::default(),
        annotations: None,
    }
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
        let mut settings = settings();
        tune(&mut settings);
        Self::boot(disks, settings, NOW)
    }

    fn boot(disks: [MemoryStorage; 2], settings: ShardSettings, now: Moment) -> Self {
        let open = |(me, disk)| {
            let settings = ShardSettings { me: ShardId(me), ..settings };
            Shard::open(settings, disk, NO_CHECKPOINTS, now).expect("opens").0
        };
        let shards = (0..).zip(disks).map(open).collect();
        let mut duo = Self { shards, lanes: VecDeque::new(), outputs: Vec::new(), now, held: None, settings };
        for me in 0..2 {
            let mut effects = Vec::new();
            duo.shards[me].start(&mut effects);
            duo.carry(me, effects);
        }
        duo.settle();
        assert!(duo.shards.iter().all(Shard::is_ready));
        duo
    }

    /// The process ends, having written all that it wrote, and starts again.
    pub fn restart(mut self) -> Self {
        let disks = [0, 1].map(|me| std::mem::replace(self.shards[me].storage_mut(), MemoryStorage::new(8, 0)));
        Self::boot(disks, self.settings, self.now)
    }

    fn carry(&mut self, me: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Forward { to, shard_message } => self.lanes.push_back((ShardId(me as u16), to, shard_message)),
                Effect::Fetch(fetch) => {
                    if let Some(held) = &mut self.held {
                        held.push((me, fetch));
                        continue;
                    }
                    let fetched = fetch.read(self.shards[me].journal().storage());
                    self.input(me, Input::Fetched(Box::new(fetched)));
                }
                other => self.outputs.push(other),
            }
        }
    }

    pub fn input(&mut self, me: usize, input: Input) {
        let mut effects = Vec::new();
        self.shards[me].handle(self.now, input, &mut effects);
        self.carry(me, effects);
    }

    /// Reads what was held, and holds nothing more.
    pub fn read_held(&mut self) {
        for (me, fetch) in self.held.take().unwrap_or_default() {
            self.carry(me, vec![Effect::Fetch(fetch)]);
        }
    }

    pub fn home(id: &str) -> usize {
        usize::from(Placement::new(2).owner_of(&user(id)).0)
    }

    pub fn sync(&mut self, me: usize) {
        if let Some(batch) = self.shards[me].seal() {
            self.shards[me].storage_mut().sync(batch);
            self.input(me, Input::Synced { end: batch.to });
        }
    }

    pub fn settle(&mut self) {
        for _ in 0..20 {
            while let Some((from, to, shard_message)) = self.lanes.pop_front() {
                self.input(usize::from(to.0), Input::Arrived { from, shard_message });
            }
            for me in 0..2 {
                self.sync(me);
                for _turn in 0..20 {
                    if self.shards[me].has_more() {
                        self.input(me, Input::Continued);
                    }
                }
            }
        }
    }

    pub fn tick_after(&mut self, passed_ms: u64) {
        self.now = self.now.plus(passed_ms);
        self.input(0, Input::Ticked);
        self.input(1, Input::Ticked);
        self.settle();
    }

    pub fn open(&mut self, session: u64, id: &str, device: &str, catch_up: CatchUp) {
        let device = DeviceKey { flag: 1, id: device.into() };
        let tag = RequestTag::Sequence(0, Verb::Send);
        let sizing = match catch_up {
            CatchUp::Backlog => Sizing::Escaped,
            CatchUp::Sync => Sizing::Verbatim,
        };
        let opened = Input::Opened { session: SessionId(session), tag, user: user(id), device, catch_up, sizing };
        self.input(Self::home(id), opened);
    }

    pub fn close(&mut self, session: u64, id: &str) {
        self.input(Self::home(id), Input::Closed { session: SessionId(session) });
    }

    pub fn request(&mut self, session: u64, id: &str, command: Command) {
        let tag = RequestTag::Sequence(1, Verb::Send);
        self.input(Self::home(id), Input::Requested { session: SessionId(session), tag, command });
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

    pub fn outputs(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.outputs)
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

pub(in crate::shard) fn refusal(reply: &Reply) -> Option<Refusal> {
    match reply {
        Reply::Refused(refused) => Some(refused.refusal),
        _ => None,
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
