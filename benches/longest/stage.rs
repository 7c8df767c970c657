//! Shards with their lanes, and the time of every input: syncs and fetches take none, and nobody listens to effects but
//! the hook, which answers when it is told to.
//!
//! Invariant: the same calls cause the same inputs in the same order, so that repetitions can be held against each other
//! input by input.

use crate::common::thread_clock;
use crate::kinds::kind_of;
use mushan::log::{SegmentStatus, Segments, Storage, StorageError};
use mushan::model::{
    Annotations, ClientMessageId, Command, ConversationRef, DeviceKey, Extra, GroupId, Limits, MessageId, Millis,
    Moment, Order, Policies, Recipient, Reply, RequestTag, Send, SessionId, ShardId, Sizing, UserId, Verb,
};
use mushan::shard::{
    CatchUp, Cost, Effect, ExternalEffect, Fetch, HookTicket, Input, Placement, Shard, ShardMessage, ShardSettings,
    Ticket, Upkeep, Windows,
};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

const NO_CHECKPOINTS: &[&[u8]] = &[];
const NOW: Moment = Moment::told(Millis(1_700_000_000_000));
const SEGMENT_BYTES: usize = 8 << 20;
const SPARES: usize = 4;

/// What one input was and took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub kind: &'static str,
    pub spent: Duration,
    pub cost: Cost,
}

/// Segments in memory that is there: the allocator of a server prepares them beside the core, and removes dropped ones.
#[derive(Clone)]
pub struct Prepared {
    /// The number of the oldest segment.
    first: u32,
    segments: VecDeque<Vec<u8>>,
    spares: Vec<Vec<u8>>,
    dropped: Vec<Vec<u8>>,
    segment_bytes: usize,
    /// How many of the newest segments count as in memory.
    warm_segments: u32,
}

impl Prepared {
    pub fn new() -> Self {
        Self::of(SEGMENT_BYTES, u32::MAX)
    }

    /// Segments of another size, of which only the newest count as in memory.
    pub fn of(segment_bytes: usize, warm_segments: u32) -> Self {
        let (segments, spares, dropped) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut new = Self { first: 1, segments, spares, dropped, segment_bytes, warm_segments };
        new.prepare();
        new
    }

    fn prepare(&mut self) {
        self.dropped.clear();
        while self.spares.len() < SPARES {
            // Written, so that its pages are there.
            let mut spare = vec![1; self.segment_bytes];
            spare.fill(0);
            self.spares.push(spare);
        }
    }

    fn segment_mut(&mut self, segment: u32) -> &mut Vec<u8> {
        &mut self.segments[(segment - self.first) as usize]
    }
}

impl Segments for Prepared {
    fn segments(&self) -> Range<u32> {
        self.first..self.first + self.segments.len() as u32
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        &self.segments[(segment - self.first) as usize]
    }

    fn warm_from(&self) -> u32 {
        let Range { start, end } = self.segments();
        end.saturating_sub(self.warm_segments).max(start)
    }
}

impl Storage for Prepared {
    fn bytes_mut(&mut self, segment: u32, bytes: Range<usize>) -> &mut [u8] {
        &mut self.segment_mut(segment)[bytes]
    }

    fn spare_bytes(&self) -> Option<u32> {
        self.spares.last().map(|spare| spare.len() as u32)
    }

    fn take_spare(&mut self) -> u32 {
        self.segments.push_back(self.spares.pop().expect("a spare was there"));
        self.segments().end - 1
    }

    fn drop_first(&mut self) {
        self.first += 1;
        self.dropped.extend(self.segments.pop_front());
    }

    fn secure(&mut self, SegmentStatus { end, .. }: SegmentStatus) -> Result<(), StorageError> {
        // A new log has no segment yet.
        if self.segments().contains(&end.segment()) {
            self.segment_mut(end.segment())[end.offset() as usize..].fill(0);
        }
        Ok(())
    }
}

/// What an operator may choose; the limits are the default ones.
#[derive(Clone, Copy, Default)]
pub struct Choices {
    pub policies: Policies,
    pub upkeep: Upkeep,
}

pub struct Stage {
    placement: Placement,
    pub shards: Vec<Shard<Prepared>>,
    effects: Vec<Effect>,
    pub lanes: VecDeque<(ShardId, ShardId, ShardMessage)>,
    fetches: VecDeque<(ShardId, Box<Fetch>)>,
    pub now: Moment,
    timings: Option<Vec<Timing>>,
    /// Ids of the messages that were accepted, in order.
    pub sent: Vec<MessageId>,
    /// What the hook was asked and has not answered.
    pub questions: VecDeque<(ShardId, HookTicket)>,
    next_session: u64,
    next_ticket: u64,
}

pub fn user(id: &str) -> UserId {
    UserId::new(id).expect("a well-formed id")
}

pub fn with(peer: &str) -> ConversationRef {
    ConversationRef::With(Recipient::User(user(peer)))
}

pub fn group(id: &str) -> GroupId {
    GroupId::new(id).expect("a well-formed id")
}

pub fn in_group(id: &str) -> ConversationRef {
    ConversationRef::With(Recipient::Group(group(id)))
}

/// A message of so many bytes.
pub fn send(id: &str, recipient: Recipient, bytes: usize, notes: Option<Annotations>) -> Command {
    Command::Send(Send {
        client_message_id: ClientMessageId::new(id).expect("well formed"),
        recipient,
        conversation_name: None,
        message_type: 1,
        content: vec![b'x'; bytes].into(),
        send_time: 0,
        extra: Extra::default(),
        annotations: notes.map(Box::new),
    })
}

pub fn to_user(id: &str, peer: &str, bytes: usize) -> Command {
    send(id, Recipient::User(user(peer)), bytes, None)
}

impl Stage {
    /// At the default limits, but for how fast one may ask: here no time passes.
    pub fn new(shards: u16) -> Self {
        Self::chosen(shards, Choices::default())
    }

    /// The same with choices.
    pub fn chosen(shards: u16, choices: Choices) -> Self {
        Self::on((0..shards).map(|_| Prepared::new()).collect(), choices)
    }

    /// A start from these.
    pub fn on(disks: Vec<Prepared>, choices: Choices) -> Self {
        let mut stage = Self::opened(disks, choices);
        stage.settle();
        assert!(stage.shards.iter().all(Shard::is_ready), "every shard is ready");
        stage
    }

    /// The same, with the greetings of shards on their lanes.
    pub fn opened(disks: Vec<Prepared>, Choices { policies, upkeep }: Choices) -> Self {
        let placement = Placement::new(disks.len() as u16);
        let limits = Limits {
            sends_per_second: 1_000_000,
            sends_burst: u32::MAX,
            queries_per_second: 1_000_000,
            queries_burst: u32::MAX,
            ..Limits::default()
        };
        let open = |(me, disk)| {
            let settings = ShardSettings {
                me: ShardId(me),
                placement,
                limits,
                policies,
                windows: Windows::default(),
                upkeep,
                seed: 1,
                fingerprint_seed: 2,
            };
            Shard::open(settings, disk, NO_CHECKPOINTS, NOW).expect("a sound log").0
        };
        let mut stage = Self {
            placement,
            shards: (0..).zip(disks).map(open).collect(),
            effects: Vec::new(),
            lanes: VecDeque::new(),
            fetches: VecDeque::new(),
            now: NOW,
            timings: None,
            sent: Vec::new(),
            questions: VecDeque::new(),
            next_session: 1 << 32,
            next_ticket: 0,
        };
        for me in placement.all() {
            stage.shards[usize::from(me.0)].start(&mut stage.effects);
            stage.collect(me);
        }
        stage
    }

    /// What the shards have written.
    pub fn disks(&mut self) -> Vec<Prepared> {
        let shards = self.shards.iter_mut();
        shards.map(|shard| shard.storage_mut().clone()).collect()
    }

    /// The inputs of `work`, in order.
    pub fn measure(&mut self, work: impl FnOnce(&mut Self)) -> Vec<Timing> {
        self.timings = Some(Vec::new());
        work(self);
        self.timings.take().unwrap_or_default()
    }

    pub fn home(&self, id: &str) -> ShardId {
        self.placement.owner_of(&user(id))
    }

    pub fn handle(&mut self, me: ShardId, input: Input) {
        let kind = kind_of(&input);
        let shard = &mut self.shards[usize::from(me.0)];
        let before = thread_clock();
        shard.handle(self.now, input, &mut self.effects);
        let spent = thread_clock() - before;
        if let Some(timings) = &mut self.timings {
            timings.push(Timing { kind, spent, cost: shard.cost() });
        }
        shard.storage_mut().prepare();
        self.collect(me);
    }

    fn collect(&mut self, me: ShardId) {
        let mut renews = false;
        for effect in self.effects.drain(..) {
            match effect {
                Effect::External(ExternalEffect::Forward { to, shard_message }) => {
                    self.lanes.push_back((me, to, shard_message))
                }
                Effect::External(ExternalEffect::Fetch(fetch)) => self.fetches.push_back((me, fetch)),
                Effect::Reply { reply: Reply::Sent { message_id, .. }, .. } => self.sent.push(message_id),
                Effect::External(ExternalEffect::AskHook(question)) => self.questions.push_back((me, question.ticket)),
                Effect::External(ExternalEffect::RenewInboxEpoch) => renews = true,
                _ => {}
            }
        }
        if renews {
            self.handle(me, Input::InboxEpochRenewed);
        }
    }

    /// Opens a session and returns its number.
    pub fn open(&mut self, id: &str, catch_up: CatchUp) -> SessionId {
        self.next_session += 1;
        let session = SessionId(self.next_session);
        let device = DeviceKey { flag: 0, id: session.0.to_string().into() };
        let tag = RequestTag::Sequence(0, Verb::Send);
        let input = Input::Opened { session, tag, user: user(id), device, catch_up, sizing: Sizing::Verbatim };
        self.handle(self.home(id), input);
        session
    }

    pub fn request(&mut self, session: SessionId, id: &str, command: Command) {
        let tag = RequestTag::Sequence(1, Verb::Send);
        self.handle(self.home(id), Input::Requested { session, tag, command });
    }

    /// In a session that begins and ends with it.
    pub fn say_once(&mut self, id: &str, command: Command) {
        let session = self.open(id, CatchUp::Sync);
        self.request(session, id, command);
        self.handle(self.home(id), Input::Closed { session });
    }

    pub fn begin_order(&mut self, order: Order) {
        let me = self.placement.all().find(|me| self.shards[usize::from(me.0)].is_addressee(&order));
        self.next_ticket += 1;
        self.handle(me.expect("some shard's"), Input::Ordered { ticket: Ticket(self.next_ticket), order });
    }

    pub fn order(&mut self, order: Order) {
        self.begin_order(order);
        self.settle();
    }

    pub fn tick_all(&mut self) {
        for me in self.placement.all() {
            self.handle(me, Input::Ticked);
        }
    }

    pub fn sync(&mut self, me: ShardId) {
        if let Some(batch) = self.shards[usize::from(me.0)].seal() {
            self.handle(me, Input::Synced { end: batch.to });
        }
    }

    pub fn deliver_next(&mut self) -> bool {
        let Some((from, to, shard_message)) = self.lanes.pop_front() else { return false };
        self.handle(to, Input::Arrived { from, shard_message });
        true
    }

    /// One turn of every core.
    pub fn turn(&mut self) {
        for _delivered in 0..self.lanes.len() {
            self.deliver_next();
        }
        while let Some((me, fetch)) = self.fetches.pop_front() {
            let fetched = fetch.read(self.shards[usize::from(me.0)].journal().storage());
            self.handle(me, Input::Fetched(Box::new(fetched)));
        }
        for me in self.placement.all() {
            if self.shards[usize::from(me.0)].has_more() {
                self.handle(me, Input::Continued);
            }
            self.sync(me);
        }
    }

    pub fn settle(&mut self) {
        let has_more = |shard: &Shard<Prepared>| shard.has_more() || shard.awaits_log();
        while !self.lanes.is_empty() || !self.fetches.is_empty() || self.shards.iter().any(has_more) {
            self.turn();
        }
    }
}
