//! What the tests of this floor share: shards with their disks and lanes in the test's own hands.

use crate::log::fixtures::Chance;
use crate::log::{MemoryStorage, TornTail};
use crate::model::testing::plain_send;
pub(in crate::shard) use crate::model::testing::{group, user};
use crate::model::{
    Answer, Command, Conversation, ConversationRef, ConversationRow, Conversations, DeviceKey, Entry, GroupState,
    History, HistoryDirection, Limits, Millis, Moment, Order, Recipient, Refusal, Reply, RequestTag, Send, Seq,
    SessionId, ShardId, Sizing, Sync, SyncDirection, UserId, Verb,
};
pub(in crate::shard) use crate::shard::testing::told::told;
use crate::shard::*;
use std::collections::VecDeque;

/// Of two shards, alice belongs to shard 1 (slot 688) and bob to shard 0 (slot 229): see placement.
pub(in crate::shard) const ALICE: &str = "alice";
pub(in crate::shard) const BOB: &str = "bob";
pub(in crate::shard) const NOW: Moment = Moment::told(Millis(1_700_000_000_000));
/// Sessions that only look.
const PEEK: u64 = 1 << 40;

pub(in crate::shard) struct Cluster {
    pub shards: Vec<Shard<MemoryStorage>>,
    pub lanes: VecDeque<(ShardId, ShardId, ShardMessage)>,
    pub outputs: Vec<Effect>,
    /// What a shard wants to have read.
    pub fetches: VecDeque<(usize, Box<Fetch>)>,
    pub now: Moment,
    pub reading: Reading,
    /// The most that an input has cost, part by part.
    pub highest_cost: Cost,
    /// Those of the first shard.
    settings: ShardSettings,
    next_ticket: u64,
    next_session: u64,
    /// How often shards asked for another epoch of the inboxes.
    pub renewals: u64,
    renews_at_once: bool,
    /// Shards that asked and were not answered.
    pub unrenewed: Vec<usize>,
}

/// When a cluster reads what shards want to have read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::shard) enum Reading {
    /// With `settle`, or one by one with `read_next`.
    WhenSettled,
    AtOnce,
    /// Only with `read_next`.
    OnDemand,
}

pub(in crate::shard) fn settings(me: u16, shards: u16, windows: Windows, limits: Limits) -> ShardSettings {
    ShardSettings {
        me: ShardId(me),
        placement: Placement::new(shards),
        // How often one may ask is tested where it is counted.
        limits: Limits { queries_per_second: 1_000_000, queries_burst: 1_000_000, ..limits },
        policies: crate::model::Policies::default(),
        windows,
        upkeep: Upkeep::default(),
        seed: 5,
        fingerprint_seed: 6,
    }
}

pub(in crate::shard) fn send_to(id: &str, recipient: Recipient, content: &str) -> Send {
    plain_send(id, recipient, content.to_owned())
}

pub(in crate::shard) fn message(id: &str, to: &str, content: &str) -> Command {
    Command::Send(send_to(id, Recipient::User(user(to)), content))
}

pub(in crate::shard) fn to_group(id: &str, to: &str, content: &str) -> Command {
    Command::Send(send_to(id, Recipient::Group(group(to)), content))
}

pub(in crate::shard) fn with(peer: &str) -> ConversationRef {
    ConversationRef::With(Recipient::User(user(peer)))
}

pub(in crate::shard) fn in_group(id: &str) -> ConversationRef {
    ConversationRef::With(Recipient::Group(group(id)))
}

pub(in crate::shard) fn create(id: &str, owner: &str, members: &[&str]) -> Order {
    Order::CreateGroup { group: group(id), owner: user(owner), members: users(members) }
}

pub(in crate::shard) fn change(id: &str, add: &[&str], remove: &[&str]) -> Order {
    Order::ChangeMembers { group: group(id), add: users(add), remove: users(remove) }
}

/// The graceful end of a run.
pub(in crate::shard) fn close_log(shard: &mut Shard<MemoryStorage>) {
    shard.close_log(MemoryStorage::try_sync).expect("no sync is to fail");
}

pub(in crate::shard) fn users(ids: &[&str]) -> Vec<UserId> {
    ids.iter().map(|id| user(id)).collect()
}

impl Cluster {
    pub fn new(shards: u16, windows: Windows) -> Self {
        Self::on(windows, (0..shards).map(|_| MemoryStorage::new(1 << 20, 8)).collect())
    }

    pub fn on(windows: Windows, disks: Vec<MemoryStorage>) -> Self {
        Self::ready(settings(0, 1, windows, Limits::default()), disks, NOW)
    }

    /// `checkpoints` of each shard, newest first.
    pub fn start(
        windows: Windows,
        limits: Limits,
        disks: Vec<MemoryStorage>,
        checkpoints: Vec<Vec<Vec<u8>>>,
        now: Moment,
    ) -> Self {
        Self::start_with(settings(0, 1, windows, limits), disks, checkpoints, now)
    }

    /// One shard for each disk, all with these settings.
    pub fn start_with(
        settings: ShardSettings,
        disks: Vec<MemoryStorage>,
        checkpoints: Vec<Vec<Vec<u8>>>,
        now: Moment,
    ) -> Self {
        let settings = ShardSettings { me: ShardId(0), placement: Placement::new(disks.len() as u16), ..settings };
        let open = |((me, disk), checkpoints): ((u16, MemoryStorage), Vec<Vec<u8>>)| {
            let settings = ShardSettings { me: ShardId(me), ..settings };
            Shard::open(settings, disk, &checkpoints, now).expect("opens").0
        };
        let shards = (0..).zip(disks).zip(checkpoints).map(open).collect();
        let mut cluster = Self {
            shards,
            lanes: VecDeque::new(),
            outputs: Vec::new(),
            fetches: VecDeque::new(),
            now,
            reading: Reading::WhenSettled,
            highest_cost: Cost::default(),
            settings,
            renewals: 0,
            renews_at_once: true,
            unrenewed: Vec::new(),
            next_ticket: 0,
            next_session: PEEK,
        };
        for me in 0..cluster.shards.len() {
            let mut effects = Vec::new();
            cluster.shards[me].start(&mut effects);
            cluster.carry(me, effects);
        }
        cluster
    }

    /// The epoch of the inboxes cannot be renewed for now.
    pub fn start_unrenewed(
        windows: Windows,
        disks: Vec<MemoryStorage>,
        checkpoints: Vec<Vec<Vec<u8>>>,
        now: Moment,
    ) -> Self {
        // Greetings are what shards learn of losses from: they are still on their lanes.
        let cluster = Self::start(windows, Limits::default(), disks, checkpoints, now);
        Self { renews_at_once: false, ..cluster }
    }

    pub fn crashed(self, mut disks: Vec<MemoryStorage>, checkpoints: Vec<Vec<Vec<u8>>>, chance: &mut Chance) -> Self {
        for disk in &mut disks {
            disk.crash(TornTail::Sectors, || chance.next());
        }
        let mut next = Self::start_with(self.settings, disks, checkpoints, self.now);
        while !next.shards.iter().all(Shard::is_ready) {
            next.carry_lanes();
            (0..next.shards.len()).for_each(|me| next.sync(me));
        }
        next
    }

    pub fn settings(&self, me: usize) -> ShardSettings {
        ShardSettings { me: ShardId(me as u16), ..self.settings }
    }

    pub fn take_disks(&mut self) -> Vec<MemoryStorage> {
        let empty = || MemoryStorage::new(8, 0);
        self.shards.iter_mut().map(|shard| std::mem::replace(shard.storage_mut(), empty())).collect()
    }

    /// The process ends, having written all that it wrote, and starts again.
    pub fn restart(mut self, windows: Windows) -> Self {
        let (disks, settings) = (self.take_disks(), ShardSettings { windows, ..self.settings });
        Self::ready(settings, disks, self.now)
    }

    pub fn reading(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// Without checkpoints, and ready for sessions.
    pub fn ready(settings: ShardSettings, disks: Vec<MemoryStorage>, now: Moment) -> Self {
        let none = disks.iter().map(|_| Vec::new()).collect();
        let mut cluster = Self::start_with(settings, disks, none, now);
        cluster.settle();
        assert!(cluster.shards.iter().all(Shard::is_ready));
        cluster
    }

    /// One shard, and alice's group "g" with bob, both connected. Each of the group's messages needs a turn of its own to
    /// reach bob.
    pub fn with_group_that_waits() -> Self {
        let limits = Limits { fan_out_members_at_once_max: 0, ..Limits::default() };
        let settings = settings(0, 1, Windows::default(), limits);
        let mut cluster = Self::ready(settings, vec![MemoryStorage::new(1 << 20, 8)], NOW);
        cluster.order(create("g", "alice", &["bob"]));
        cluster.connect(1, "alice");
        cluster.connect(2, "bob");
        cluster
    }

    pub fn carry(&mut self, me: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::External(ExternalEffect::Forward { to, shard_message }) => {
                    self.lanes.push_back((ShardId(me as u16), to, shard_message))
                }
                Effect::External(ExternalEffect::Fetch(fetch)) => {
                    self.fetches.push_back((me, fetch));
                    if self.reading == Reading::AtOnce {
                        self.read_next();
                    }
                }
                Effect::External(ExternalEffect::RenewInboxEpoch) if self.renews_at_once => {
                    self.renewals += 1;
                    self.input(me, Input::InboxEpochRenewed);
                }
                Effect::External(ExternalEffect::RenewInboxEpoch) => self.unrenewed.push(me),
                other => self.outputs.push(other),
            }
        }
    }

    pub fn read_next(&mut self) {
        if let Some((me, fetch)) = self.fetches.pop_front() {
            let fetched = fetch.read(self.shards[me].journal().storage());
            self.input(me, Input::Fetched(Box::new(fetched)));
        }
    }

    pub fn input(&mut self, me: usize, input: Input) {
        let mut effects = Vec::new();
        self.shards[me].handle(self.now, input, &mut effects);
        let cost = self.shards[me].cost();
        assert!(cost.is_within(Cost::BUDGET), "an input costs {cost:?}");
        self.highest_cost = self.highest_cost.max(cost);
        self.carry(me, effects);
    }

    pub fn sync(&mut self, me: usize) {
        if let Some(batch) = self.shards[me].seal() {
            self.shards[me].storage_mut().sync(batch);
            self.input(me, Input::Synced { end: batch.to });
        }
    }

    pub fn carry_lanes(&mut self) {
        while let Some((from, to, shard_message)) = self.lanes.pop_front() {
            self.input(usize::from(to.0), Input::Arrived { from, shard_message });
        }
    }

    /// Until nothing moves any more.
    pub fn settle(&mut self) {
        loop {
            self.carry_lanes();
            while self.reading != Reading::OnDemand && !self.fetches.is_empty() {
                self.read_next();
            }
            let mut has_moved = false;
            for me in 0..self.shards.len() {
                while self.shards[me].has_more() {
                    self.input(me, Input::Continued);
                }
                has_moved |= self.shards[me].awaits_log();
                self.sync(me);
            }
            let reads = self.reading != Reading::OnDemand && !self.fetches.is_empty();
            if !has_moved && self.lanes.is_empty() && !reads {
                return;
            }
        }
    }

    /// Settles, and forgets what came out.
    pub fn settle_silently(&mut self) {
        self.settle();
        self.outputs.clear();
    }

    pub fn home(&self, id: &str) -> usize {
        usize::from(self.settings.placement.owner_of(&user(id)).0)
    }

    pub fn open(&mut self, session: u64, id: &str) {
        self.open_with(session, id, CatchUp::Sync);
    }

    /// Opens a session, and settles.
    pub fn connect(&mut self, session: u64, id: &str) {
        self.open(session, id);
        self.settle();
    }

    /// To be pushed what its device has not acknowledged.
    pub fn open_behind(&mut self, session: u64, id: &str) {
        self.open_with(session, id, CatchUp::Backlog);
    }

    fn open_with(&mut self, session: u64, id: &str, catch_up: CatchUp) {
        self.open_on(DeviceKey { flag: 0, id: format!("device-{session}").into() }, session, id, catch_up);
    }

    pub fn open_on(&mut self, device: DeviceKey, session: u64, id: &str, catch_up: CatchUp) {
        // As the protocols do: who is pushed what its device lacks has JSON-RPC.
        let sizing = match catch_up {
            CatchUp::Backlog => Sizing::Escaped,
            CatchUp::Sync => Sizing::Verbatim,
        };
        let (session, tag) = (SessionId(session), RequestTag::Sequence(0, Verb::Send));
        self.input(self.home(id), Input::Opened { session, tag, user: user(id), device, catch_up, sizing });
    }

    pub fn close(&mut self, session: u64, id: &str) {
        self.input(self.home(id), Input::Closed { session: SessionId(session) });
    }

    /// Closes a session, and settles.
    pub fn disconnect(&mut self, session: u64, id: &str) {
        self.close(session, id);
        self.settle();
    }

    pub fn request(&mut self, session: u64, id: &str, command: Command) {
        let (session, tag) = (SessionId(session), RequestTag::Sequence(1, Verb::Send));
        self.input(self.home(id), Input::Requested { session, tag, command });
    }

    /// Makes a request, and settles; what comes out is left for the test to look at.
    pub fn perform(&mut self, session: u64, id: &str, command: Command) {
        self.request(session, id, command);
        self.settle();
    }

    pub fn outputs(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.outputs)
    }

    pub fn replies(&mut self) -> Vec<(u64, Reply)> {
        let reply = |effect| match effect {
            Effect::Reply { session, reply, .. } => Some((session.0, reply)),
            _ => None,
        };
        self.outputs().into_iter().filter_map(reply).collect()
    }

    /// Makes a request in a session of its own and returns only the answer to it: the other outputs are kept.
    pub fn ask(&mut self, id: &str, command: Command) -> Reply {
        let device = DeviceKey { flag: 0, id: format!("device-{}", self.next_session + 1).into() };
        self.ask_on(device, id, command)
    }

    pub fn ask_on(&mut self, device: DeviceKey, id: &str, command: Command) -> Reply {
        self.next_session += 1;
        let session = self.next_session;
        self.open_on(device, session, id, CatchUp::Sync);
        self.settle();
        self.request(session, id, command);
        self.settle();
        self.close(session, id);
        let is_answer = |effect: &Effect| matches!(effect, Effect::Reply { session: to, .. } if to.0 == session);
        let answer = self.outputs.iter().rposition(is_answer).map(|at| self.outputs.remove(at));
        self.outputs.retain(|effect| !is_answer(effect));
        match answer {
            Some(Effect::Reply { reply, .. }) => reply,
            _ => panic!("every request is answered"),
        }
    }

    /// Where an order goes.
    pub fn addressee(&self, order: &Order) -> usize {
        self.shards.iter().position(|shard| shard.is_addressee(order)).expect("every order has an addressee")
    }

    pub fn order(&mut self, order: Order) -> Answer {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.input(self.addressee(&order), Input::Ordered { ticket, order });
        self.settle();
        let is_answer = |effect: &Effect| matches!(effect, Effect::External(ExternalEffect::Answer { ticket: of, .. }) if *of == ticket);
        let at = self.outputs.iter().position(is_answer).expect("every order is answered");
        match self.outputs.remove(at) {
            Effect::External(ExternalEffect::Answer { answer, .. }) => answer,
            _ => unreachable!("found above"),
        }
    }

    pub fn show(&mut self, id: &str) -> Option<GroupState> {
        match self.order(Order::ShowGroup { group: group(id), after: None, limit: 1_000 }) {
            Answer::Group(state) => Some(*state),
            _ => None,
        }
    }

    pub fn inbox(&mut self, id: &str) -> Vec<Entry> {
        let sync = Sync { direction: SyncDirection::After(Seq(0)), limit: 1_000 };
        match self.ask(id, Command::Sync(sync)) {
            Reply::Synced { entries, .. } => entries,
            other => panic!("a sync is answered by a page, not {other:?}"),
        }
    }

    pub fn rows(&mut self, id: &str) -> Vec<ConversationRow> {
        match self.ask(id, Command::Conversations(Conversations { before: Seq(0), limit: 200 })) {
            Reply::Conversations { rows, .. } => rows,
            other => panic!("a list is answered by rows, not {other:?}"),
        }
    }

    /// The user's history, by going on from page to page of `limit`.
    pub fn history(&mut self, id: &str, conversation: &ConversationRef, limit: u32) -> Vec<Entry> {
        let mut all = Vec::new();
        let mut direction = HistoryDirection::After(crate::model::ConversationSeq(0));
        loop {
            let history = History { conversation: conversation.clone(), direction, limit, topic: None };
            match self.ask(id, Command::History(history)) {
                Reply::History { messages, reached, has_more, .. } => {
                    all.extend(messages);
                    direction = HistoryDirection::After(reached);
                    if !has_more {
                        return all;
                    }
                }
                Reply::Refused(_) => return all,
                other => panic!("history is answered by a page, not {other:?}"),
            }
        }
    }

    /// Sends and waits for the answer.
    pub fn say(&mut self, author: &str, id: &str, recipient: Recipient) -> Reply {
        self.ask(author, Command::Send(send_to(id, recipient, id)))
    }

    pub fn say_in(&mut self, author: &str, id: &str, to: &str) -> Reply {
        self.say(author, id, Recipient::Group(group(to)))
    }
}

pub(in crate::shard) fn refusals(replies: Vec<(u64, Reply)>) -> Vec<Refusal> {
    replies.into_iter().filter_map(|(_, reply)| refusal(&reply)).collect()
}

pub(in crate::shard) fn refusal(reply: &Reply) -> Option<Refusal> {
    match reply {
        Reply::Refused(refused) => Some(refused.refusal),
        _ => None,
    }
}

pub(in crate::shard) fn id_of(reply: &Reply) -> crate::model::MessageId {
    match reply {
        Reply::Sent { message_id, .. } => *message_id,
        other => panic!("it was to be sent: {other:?}"),
    }
}

pub(in crate::shard) fn is_in(entry: &Entry, conversation: &Conversation) -> bool {
    entry.message.conversation == *conversation
}
