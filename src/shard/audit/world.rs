//! Real shards in one thread whose logs are audited, or forged and audited, after they have stopped.

use super::*;
use crate::log::{Journal, MemoryStorage, Record, Side, ThreadLink, ThreadLinks, inspect};
pub(super) use crate::model::testing::user;
use crate::model::{
    ClientMessageId, Command, Conversation, ConversationSeq, DeviceKey, GroupId, Limits, Message, MessageId, Millis,
    Order, Position, Recipient, ShardId, UserId,
};
use crate::shard::audit::findings::{Promise, Violation};
pub(super) use crate::shard::testing::fixtures::NOW;
use crate::shard::testing::fixtures::{self, Cluster, send_to};
use crate::shard::{AuditTally, CatchUp, Input, Placement, ShardSettings, Ticket, Upkeep, Windows};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

pub(super) const SHARDS: u16 = 3;
pub(super) const NONE: &[&[u8]] = &[];
pub(super) const HOUR_MS: u64 = 3_600_000;

pub(super) fn home(user: &UserId) -> usize {
    usize::from(Placement::new(SHARDS).owner_of(user).0)
}

/// The `number`-th user of a shard; all ids have the same length.
pub(super) fn one_of(shard: usize, number: usize) -> UserId {
    let users = (0..).map(|n| user(&format!("user-{n:04}")));
    users.filter(|user| home(user) == shard).nth(number).expect("there are many")
}

pub(super) fn settings(me: u16) -> ShardSettings {
    let limits = Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() };
    let limits = Limits { dedupe_window_ms: HOUR_MS, ..limits };
    let upkeep = Upkeep { checkpoint_bytes: 1, retention_ms: HOUR_MS, retention_bytes: 0 };
    ShardSettings { upkeep, ..fixtures::settings(me, SHARDS, Windows::default(), limits) }
}

/// A cluster of three shards, and the number of messages that its users have sent.
pub(super) struct World {
    cluster: Cluster,
    sent: u64,
}

impl Deref for World {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

impl World {
    pub fn new() -> Self {
        Self::of_segments(1 << 17)
    }

    pub fn of_segments(bytes: u32) -> Self {
        let disks = (0..SHARDS).map(|_| MemoryStorage::new(bytes, 200)).collect();
        Self { cluster: Cluster::ready(settings(0), disks, NOW), sent: 0 }
    }

    fn sync_all(&mut self) {
        (0..self.shards.len()).for_each(|me| self.sync(me));
    }

    /// Until nothing moves any more, apart from what shards leave to later turns: a large fan-out stays under way.
    pub fn settle(&mut self) {
        for _ in 0..10 {
            self.carry_lanes();
            self.sync_all();
        }
    }

    pub fn order(&mut self, order: Order) {
        let owner = self.addressee(&order);
        self.input(owner, Input::Ordered { ticket: Ticket(1), order });
        self.carry_lanes();
        while !self.shards[owner].state.groups.orders.0.is_empty() {
            self.input(owner, Input::Continued);
            self.carry_lanes();
        }
        self.settle();
    }

    /// Delivers one shard message.
    pub fn carry_one(&mut self) {
        if let Some((from, to, shard_message)) = self.lanes.pop_front() {
            self.input(usize::from(to.0), Input::Arrived { from, shard_message });
        }
        self.sync_all();
    }

    pub fn request(&mut self, by: &UserId, command: Command) {
        let device = DeviceKey { flag: 0, id: "test".into() };
        self.open_on(device, 1, by.as_str(), CatchUp::Sync);
        self.cluster.request(1, by.as_str(), command);
        self.sync_all();
        self.close(1, by.as_str());
    }

    pub fn post(&mut self, from: &UserId, recipient: Recipient) {
        self.sent += 1;
        let id = format!("id-{:06}", self.sent);
        let send = send_to(&id, recipient, "hello");
        self.now = self.now.plus(1);
        self.request(from, Command::Send(send));
    }

    pub fn send(&mut self, from: &UserId, to: &UserId) {
        self.post(from, Recipient::User(to.clone()));
        self.settle();
    }

    pub fn stop(mut self) -> Logs {
        Logs { disks: self.take_disks(), checkpoints: vec![Vec::new(); usize::from(SHARDS)] }
    }
}

/// The logs of a stopped server.
pub(super) struct Logs {
    pub disks: Vec<MemoryStorage>,
    /// The checkpoints of each shard, newest first.
    pub checkpoints: Vec<Vec<Vec<u8>>>,
}

impl Logs {
    pub fn read(&self, findings: &mut Findings) -> Vec<Examined<'_, MemoryStorage>> {
        let end = Position::new(u32::MAX, 0);
        let read = |(me, disk): (u16, _)| {
            let known = &self.checkpoints[usize::from(me)];
            Examined::read(&settings(me), disk, known, end, findings).expect("a whole log")
        };
        (0..).zip(&self.disks).map(read).collect()
    }

    pub fn audit(&self) -> Findings {
        self.audit_of(None)
    }

    pub fn audit_of(&self, only: Option<UserId>) -> Findings {
        let mut findings = Findings::about(only);
        let shards = self.read(&mut findings);
        audit(&shards, &mut findings, &|_| {});
        findings
    }

    pub fn expect_sound(&self) -> AuditTally {
        let findings = self.audit();
        assert_eq!(findings.violations, []);
        findings.tally
    }

    pub fn records(&self, shard: usize) -> Vec<(Position, Record)> {
        let mut records = Vec::new();
        inspect(&self.disks[shard], ShardId(shard as u16), |at, record| records.push((at, record)))
            .expect("a whole log");
        records
    }

    /// The newest record that `is_it` accepts.
    pub fn last(&self, shard: usize, is_it: impl Fn(&Record) -> bool) -> (Position, Record) {
        self.records(shard).into_iter().rfind(|(_, record)| is_it(record)).expect("there is one")
    }

    /// Writes the shard's log again with another record of the same length at `at`.
    pub fn forge(&mut self, shard: usize, at: Position, forged: &Record) {
        let records = self.records(shard);
        let mut journal = open(shard, MemoryStorage::new(1 << 17, 200));
        for (position, record) in &records[1..] {
            let record = if *position == at { forged } else { record };
            assert_eq!(journal.append_lazily(record), *position, "nothing moves");
        }
        self.disks[shard] = journal.into_storage();
    }

    /// Appends a record. Returns its position.
    pub fn append(&mut self, shard: usize, record: &Record) -> Position {
        let disk = std::mem::replace(&mut self.disks[shard], MemoryStorage::new(8, 0));
        let mut journal = open(shard, disk);
        let position = journal.append(record);
        self.disks[shard] = journal.into_storage();
        position
    }

    /// The link of a user's next entry.
    pub fn next_link(&self, user: &UserId, side: Side) -> ThreadLink {
        let mut findings = Findings::default();
        self.read(&mut findings)[home(user)].state.tables.inboxes.tail(user).next_link(side)
    }

    pub fn next_place(&self, shard: usize, conversation: &Conversation) -> ThreadLink {
        let mut findings = Findings::default();
        let state = &self.read(&mut findings)[shard].state;
        let at = state.find_row(conversation).expect("it is known");
        state.tables.conversations.at(at).tail.tail().next_link(Side::Conversation)
    }

    /// The only violation.
    pub fn the_violation(&self) -> Violation {
        let mut found = self.audit();
        assert_eq!(found.count, 1, "{found:?}");
        found.violations.pop().expect("one")
    }

    /// The first violation of a promise; further ones may follow from it.
    pub fn violation_of(&self, promise: Promise) -> Violation {
        let found = self.audit();
        found.violations.iter().find(|it| it.promise == promise).unwrap_or_else(|| panic!("{found:?}")).clone()
    }
}

pub(super) fn open(shard: usize, disk: MemoryStorage) -> Journal<MemoryStorage> {
    Journal::open(disk, ShardId(shard as u16), NOW.wall, None, |_, _| {}).expect("opens").0
}

pub(super) fn place(violation: &Violation) -> (Promise, usize, Position, Option<&UserId>, u64) {
    let Violation { promise, shard, position, user, seq, .. } = violation;
    (*promise, usize::from(shard.0), *position, user.as_ref(), *seq)
}

pub(super) fn is_posted(record: &Record) -> bool {
    matches!(record, Record::Posted { .. })
}

pub(super) fn is_delivered(record: &Record) -> bool {
    matches!(record, Record::Delivered { .. })
}

/// The same record with other links and another message.
pub(super) fn with(record: &Record, change_links: impl Fn(&mut ThreadLinks), change: impl Fn(&mut Message)) -> Record {
    let mut record = record.clone();
    let (Record::Posted { message, links, .. } | Record::Delivered { message, links, .. }) = &mut record else {
        panic!("it has no message: {record:?}");
    };
    change_links(links);
    change(Arc::make_mut(message));
    record
}

/// Logs in which two users of each shard have all talked to each other.
pub(super) fn talk() -> Logs {
    let mut world = World::new();
    let users: Vec<UserId> = (0..6).map(|n| one_of(n % 3, n / 3)).collect();
    for _ in 0..3 {
        for (from, to) in users.iter().flat_map(|from| users.iter().map(move |to| (from, to))) {
            world.send(from, to);
        }
    }
    world.stop()
}

pub(super) fn group() -> GroupId {
    GroupId::new("crew").expect("well formed")
}

/// Seven users of a group on all shards: its first members, one who was added, and one who was removed.
pub(super) fn gather(world: &mut World) {
    let group = group();
    let members: Vec<UserId> = (0..6).map(|n| one_of(n % 3, n / 3)).collect();
    let order = Order::CreateGroup { group: group.clone(), owner: members[0].clone(), members: members.clone() };
    world.order(order);
    for from in &members {
        world.post(from, Recipient::Group(group.clone()));
        world.settle();
    }
    let (add, remove) = (vec![one_of(1, 2)], vec![members[2].clone()]);
    world.order(Order::ChangeMembers { group: group.clone(), add, remove });
    world.post(&members[1], Recipient::Group(group));
    world.settle();
}

/// One more message from `author` to itself, as its shard would write it.
pub(super) fn note_to_oneself(logs: &Logs, author: &UserId, client_id: &str, message_id: u64, time: Millis) -> Record {
    let conversation = Conversation::pair(author.clone(), author.clone());
    let place = logs.next_place(home(author), &conversation);
    let (_, known) = logs.last(home(author), is_posted);
    let mut message = Message::clone(known.message().expect("a message").0);
    message.id = MessageId(message.id.0 + message_id);
    message.author = author.clone();
    message.conversation = conversation;
    message.conversation_seq = ConversationSeq(place.seq.0);
    message.client_message_id = ClientMessageId::new(client_id).expect("well formed");
    message.server_time = time;
    let links = ThreadLinks::from_iter([logs.next_link(author, Side::Author), place]);
    Record::Posted { message: Arc::new(message), deliveries: Default::default(), links }
}

pub(super) fn gather_once(world: &mut World, round: usize) {
    match round {
        0 => gather(world),
        _ => {
            world.post(&one_of(1, 0), Recipient::Group(group()));
            world.settle();
        }
    }
}
