//! Whatever people, operators, lanes, disks and crashes do, in whatever order chance has it: the oracle finds nothing
//! wrong. Each seed repeats exactly.

use crate::log::MemoryStorage;
use crate::log::fixtures::Chance;
use crate::model::{
    Command, ConversationRef, ConversationSeq, Event, Limits, MarkRead, MessageId, Order, Receipt, Recipient, Refusal,
    Reply, RequestTag, Revoke, Role,
};
use crate::shard::replay::checkpoint::survey;
use crate::shard::testing::fixtures::*;
use crate::shard::testing::oracle::{self, Ledger};
use crate::shard::*;
use std::collections::BTreeSet;

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
const GROUPS: [&str; 2] = ["g", "h"];
pub(in crate::shard) const SEEDS: u64 = 150;
pub(in crate::shard) const SEGMENT_BYTES: u32 = 4_096;
const ROUNDS: usize = 3;
/// In some runs an operator also adds and removes more users than a turn looks up, who never come.
const GHOSTS: usize = 600;
const STEPS: usize = 120;

pub(in crate::shard) struct Driver {
    pub chance: Chance,
    pub cluster: Cluster,
    /// Newest first, of each shard.
    pub checkpoints: Vec<Vec<Vec<u8>>>,
    /// What each person asked and has no answer to.
    asked: Vec<Option<Command>>,
    paused: BTreeSet<usize>,
    /// Who was told to try again.
    again: BTreeSet<usize>,
    /// What was ordered of each group and is not answered.
    ordered: Vec<Option<Order>>,
    known: Vec<(MessageId, Recipient)>,
    ledger: Ledger,
    epoch: u64,
    ids: u64,
    has_ghosts: bool,
}

impl Driver {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let shards = 1 + chance.below(3);
        let windows = match chance.below(2) {
            0 => Windows::default(),
            _ => {
                let [requests_max, deliveries_max] = [(); 2].map(|()| 1 + chance.below(4));
                Windows { requests_max, deliveries_max, held_per_input_max: 1, ..Windows::default() }
            }
        };
        let limits = Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() };
        let disk = |_| MemoryStorage::new(SEGMENT_BYTES, 10_000);
        let disks: Vec<_> = (0..shards).map(disk).collect();
        let half = |disk: MemoryStorage| disk.with_cold_segments().with_residents(|segment| segment.is_multiple_of(2));
        let disks = match chance.below(3) {
            0 => disks,
            1 => disks.into_iter().map(MemoryStorage::with_cold_segments).collect(),
            _ => disks.into_iter().map(half).collect(),
        };
        let none = vec![Vec::new(); shards];
        let mut cluster = Cluster::start(windows, limits, disks, none.clone(), NOW);
        cluster.settle();
        let (asked, ordered) = (vec![None; PEOPLE.len()], vec![None; GROUPS.len()]);
        let (paused, again, known, ledger) = (BTreeSet::new(), BTreeSet::new(), Vec::new(), Ledger::default());
        let (checkpoints, epoch, ids, has_ghosts) = (none, 0, 0, seed % 10 == 3);
        let mut driver =
            Self { chance, cluster, checkpoints, asked, paused, again, ordered, known, ledger, epoch, ids, has_ghosts };
        driver.arrive();
        driver
    }

    /// Everybody is there, and asks again what was not answered.
    fn arrive(&mut self) {
        self.epoch += 1;
        self.paused.clear();
        self.again.clear();
        for (at, id) in PEOPLE.into_iter().enumerate() {
            self.cluster.open(self.epoch * 100 + at as u64, id);
        }
        for at in 0..PEOPLE.len() {
            if let Some(command) = self.asked[at].clone() {
                self.request(at, command);
            }
        }
        for at in 0..GROUPS.len() {
            if let Some(order) = self.ordered[at].clone() {
                self.order(at, order);
            }
        }
    }

    fn request(&mut self, at: usize, command: Command) {
        self.asked[at] = Some(command.clone());
        self.cluster.request(self.epoch * 100 + at as u64, PEOPLE[at], command);
        self.listen();
    }

    fn order(&mut self, at: usize, order: Order) {
        self.ordered[at] = Some(order.clone());
        let input = Input::Ordered { ticket: Ticket(at as u64), order: order.clone() };
        self.cluster.input(self.cluster.addressee(&order), input);
        self.listen();
    }

    fn listen(&mut self) {
        for effect in self.cluster.outputs() {
            match effect {
                Effect::Reply { session, tag: RequestTag::Sequence(1, _), reply } => {
                    let at = (session.0 % 100) as usize;
                    if matches!(refusal(&reply), Some(Refusal::Busy | Refusal::GroupTooBusy)) {
                        self.again.insert(at);
                        continue;
                    }
                    let command = self.asked[at].take().expect("what is answered was asked, and once");
                    if let (Command::Send(send), Reply::Sent { message_id, .. }) = (&command, &reply) {
                        self.known.push((*message_id, send.recipient.clone()));
                    }
                    self.ledger.answered(PEOPLE[at], &command, &reply);
                }
                Effect::External(ExternalEffect::Answer { ticket, .. }) => self.ordered[ticket.0 as usize] = None,
                Effect::Pause { session } => drop(self.paused.insert((session.0 % 100) as usize)),
                Effect::Resume { session } => drop(self.paused.remove(&((session.0 % 100) as usize))),
                Effect::Push { user, event: Event::Entry(entry), .. } => self.ledger.pushed(&user, &entry),
                _ => {}
            }
        }
    }

    pub fn step(&mut self) {
        self.cluster.now = self.cluster.now.plus(self.chance.below(30) as u64);
        let shard = self.chance.below(self.cluster.shards.len());
        match self.chance.below(65) {
            0 => self.crash(),
            1..=20 => self.somebody_asks(),
            21..=24 => self.operator_orders(),
            25..=40 => self.deliver_one(),
            41..=50 => self.cluster.sync(shard),
            51..=55 => self.cluster.input(shard, Input::Continued),
            56..=57 => self.cluster.input(shard, Input::Ticked),
            58..=59 => self.cluster.read_next(),
            60 => self.make_checkpoint(shard),
            61 => self.cluster.shards[shard].storage_mut().set_spares(0),
            62 => self.try_again(),
            63 => self.cluster.shards[shard].storage_mut().set_spares(10_000),
            _ => self.cluster.settle(),
        }
        self.listen();
    }

    fn try_again(&mut self) {
        for at in std::mem::take(&mut self.again) {
            if let Some(command) = self.asked[at].clone() {
                self.request(at, command);
            }
        }
    }

    /// The first shard message of any lane.
    fn deliver_one(&mut self) {
        if self.cluster.lanes.is_empty() {
            return;
        }
        let chosen = self.chance.below(self.cluster.lanes.len());
        let (from, to, _) = self.cluster.lanes[chosen];
        let first =
            self.cluster.lanes.iter().position(|lane| (lane.0, lane.1) == (from, to)).expect("at least that one");
        let (.., shard_message) = self.cluster.lanes.remove(first).expect("found above");
        self.cluster.input(usize::from(to.0), Input::Arrived { from, shard_message });
    }

    fn somebody_asks(&mut self) {
        let at = self.chance.below(PEOPLE.len());
        if self.asked[at].is_some() || self.paused.contains(&at) {
            return;
        }
        let recipient = match self.chance.below(3) {
            0 => Recipient::User(user(PEOPLE[self.chance.below(PEOPLE.len())])),
            _ => Recipient::Group(group(GROUPS[self.chance.below(GROUPS.len())])),
        };
        let command = match self.chance.below(10) {
            0 | 1 if !self.known.is_empty() => {
                let (message, recipient) = self.known[self.chance.below(self.known.len())].clone();
                Command::Revoke(Revoke { message, conversation: ConversationRef::With(recipient) })
            }
            2 | 3 if !self.known.is_empty() => {
                let recipient = self.known[self.chance.below(self.known.len())].1.clone();
                let same = self.known.iter().filter(|(_, of)| *of == recipient);
                let same = same.filter(|(id, _)| self.ledger.has_shown(PEOPLE[at], *id));
                let messages: Vec<_> = same.map(|(id, _)| *id).rev().take(1 + self.chance.below(5)).collect();
                if messages.is_empty() {
                    return;
                }
                Command::Receipt(Receipt { messages, conversation: ConversationRef::With(recipient) })
            }
            4 => {
                let through = ConversationSeq(self.chance.below(30) as u64);
                Command::MarkRead(MarkRead { conversation: ConversationRef::With(recipient), through })
            }
            _ => {
                self.ids += 1;
                let id = format!("m{}", self.ids);
                Command::Send(send_to(&id, recipient, &id))
            }
        };
        self.request(at, command);
    }

    fn operator_orders(&mut self) {
        let at = self.chance.below(GROUPS.len());
        if self.ordered[at].is_some() {
            return;
        }
        let mut some = || -> Vec<&str> { PEOPLE.into_iter().filter(|_| self.chance.below(2) == 0).collect() };
        let (one, other) = (some(), some());
        let first = PEOPLE[self.chance.below(PEOPLE.len())];
        let order = match self.chance.below(8) {
            0..=2 => create(GROUPS[at], first, &one),
            3..=5 => {
                let remove: Vec<&str> = other.into_iter().filter(|id| !one.contains(id)).collect();
                let (mut add, mut remove) = (users(&one), users(&remove));
                if self.has_ghosts {
                    let crowd = if self.chance.below(2) == 0 { &mut add } else { &mut remove };
                    crowd.extend((0..GHOSTS).map(|ghost| user(&format!("ghost-{ghost:03}"))));
                }
                Order::ChangeMembers { group: group(GROUPS[at]), add, remove }
            }
            6 => Order::ChangeMember {
                group: group(GROUPS[at]),
                member: user(first),
                role: [None, Some(Role::Admin), Some(Role::Owner)][self.chance.below(3)],
                muted_until: None,
            },
            _ => Order::DissolveGroup { group: group(GROUPS[at]) },
        };
        self.order(at, order);
    }

    fn make_checkpoint(&mut self, shard: usize) {
        self.cluster.sync(shard);
        let settings = self.cluster.settings(shard);
        let journal = self.cluster.shards[shard].journal();
        let through = journal.end().segment() - 1;
        if through < journal.segments().start {
            return;
        }
        let previous = &self.checkpoints[shard][..self.chance.below(self.checkpoints[shard].len() + 1)];
        let made = survey(&settings, previous, journal.storage(), through).expect("sound");
        self.checkpoints[shard].insert(0, made.bytes);
        self.checkpoints[shard].truncate(2);
    }

    fn crash(&mut self) {
        let disks = self.cluster.take_disks();
        let mut checkpoints = self.checkpoints.clone();
        for of_shard in &mut checkpoints {
            let kept = self.chance.below(of_shard.len() + 1);
            of_shard.drain(..of_shard.len() - kept);
        }
        let empty = Cluster::new(1, Windows::default());
        let cluster = std::mem::replace(&mut self.cluster, empty);
        self.cluster = cluster.crashed(disks, checkpoints, &mut self.chance);
        self.listen();
        self.arrive();
    }

    /// The process has ended, and the next one finds these.
    pub fn restart_on(&mut self, disks: Vec<MemoryStorage>) {
        let checkpoints = self.checkpoints.clone();
        let empty = Cluster::new(1, Windows::default());
        let cluster = std::mem::replace(&mut self.cluster, empty);
        self.cluster = cluster.crashed(disks, checkpoints, &mut self.chance);
        self.listen();
        self.arrive();
    }

    /// Everything that was begun is finished.
    pub fn finish(&mut self) {
        for _ in 0..50 {
            for me in 0..self.cluster.shards.len() {
                self.cluster.shards[me].storage_mut().set_spares(10_000);
                self.cluster.input(me, Input::Ticked);
            }
            self.cluster.settle();
            self.listen();
            self.try_again();
            self.cluster.settle();
            self.listen();
            self.cluster.now = self.cluster.now.plus(1_000);
            let is_settled = self.cluster.shards.iter().all(Shard::is_settled) && self.cluster.lanes.is_empty();
            if is_settled && self.asked.iter().all(Option::is_none) && self.ordered.iter().all(Option::is_none) {
                assert!(self.paused.is_empty(), "who was paused goes on");
                return;
            }
        }
        panic!("it never comes to rest: {:?} {:?}", self.asked, self.ordered);
    }

    pub fn check(&mut self) {
        // A session that only reads causes no output for others.
        oracle::check(&mut self.cluster, &PEOPLE, &GROUPS, &self.ledger);
        self.cluster.outputs();
    }
}

fn run(seed: u64) {
    let mut driver = Driver::new(seed);
    for _ in 0..ROUNDS {
        (0..STEPS).for_each(|_| driver.step());
        driver.finish();
        driver.check();
        driver.crash();
        driver.finish();
        driver.check();
    }
}

#[test]
fn nobody_misses_or_sees_twice_what_a_group_or_a_pair_was_told_whatever_happens() {
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}
