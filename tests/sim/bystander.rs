//! A bystander beside users who ask for the dearest there is, as fast as the default limits let them: no input costs more
//! than a small part of what there is, and the bystander is answered within so many turns.

use crate::chance::Chance;
use crate::check::ledger::Ledger;
use crate::client::frames::Protocol;
use crate::client::speech::{Ask, Channel, Edge, Manner, Wish};
use crate::client::{Client, Expectation, Phase};
use crate::token_of;
use crate::world::World;
use crate::world::retention::Retention;
use crate::world::scale::Scale;
use mushan::model::{GroupId, Limits, Order, Policies, UserId};
use mushan::shard::{Cost, Windows};

/// In a world of this size: far below `Cost::BUDGET`, and below what it takes to go through any of the large things in it.
/// Rows: what a turn has visited when it begins its last part, a part of 8,192 seats, and the step by which it may pass that.
const BUDGET: Cost = Cost { records: 2_000, bytes: 1 << 20, rows: 10_240, effects: 1_500 };
/// From a bystander's send to its answer, and to the other's inbox.
const TURNS_MAX: u64 = 40;

const MEMBERS: usize = 5 * Order::MEMBERS_MAX;
const HIDDEN: usize = 2_500;
const CROWD: &str = "crowd";
const ATTACKERS: usize = 4;

fn attacker(n: usize) -> String {
    format!("attacker-{n}")
}

/// At the default limits, all in memory and on two cores.
fn world_of(seed: u64) -> World {
    let limits = Limits { dedupe_window_ms: 3_600_000, ..Limits::default() };
    let (windows, policies) = (Windows::default(), Policies::default());
    let mut world =
        World::new(seed, Scale { shards: 2, windows, retention: Retention::EverythingLarge, limits, policies });
    world.ledger.is_rated = true;
    world.users = (0..ATTACKERS).map(attacker).chain(["ben".to_owned(), "zoe".to_owned()]).collect();
    for user in world.users.clone() {
        let at = world.clients.len();
        world.add_client(Client::new(&user, at, Protocol::JsonRpc, token_of(&user)));
    }
    // Members who are here.
    for n in 0..24 {
        let (at, user) = (world.clients.len(), format!("member-{n}"));
        world.add_client(Client::new(&user, at, Protocol::Binary, token_of(&user)));
    }
    world
}

impl World {
    /// A turn of every core: each socket, each lane, a step of a read, a share of what goes on.
    fn turn_of_all(&mut self, turn: u64) {
        self.note_moment();
        self.pass(1);
        for at in 0..self.pipes.len() {
            self.hear_from(at, 16 << 10);
        }
        for _ in 0..16 {
            self.deliver_lane_messages();
        }
        self.move_on();
        for at in 0..self.cores.len() {
            self.finish_sync_of(at);
            self.finish_fetch_of(at);
            // Groups get no more than a part of the time.
            if turn.is_multiple_of(3) {
                self.go_on_with(at);
            }
        }
        if turn.is_multiple_of(100) {
            self.tick();
        }
        for at in 0..self.pipes.len() {
            self.write_out(at);
            self.tell(at);
        }
    }

    fn run_until(&mut self, what: &str, is_done: impl Fn(&Self) -> bool) {
        for turn in 0..20_000 {
            if is_done(self) {
                return;
            }
            self.turn_of_all(turn);
        }
        panic!("never: {what}\n{}", self.describe());
    }

    fn are_all_open(&self) -> bool {
        self.clients.iter().all(|client| client.phase == Phase::Open)
    }

    fn connect_all(&mut self) {
        (0..self.clients.len()).for_each(|at| self.connect(at));
        // Bystanders read.
        (ATTACKERS..ATTACKERS + 2).for_each(|at| self.pipes[at].slowness = 1);
        self.run_until("all are here", Self::are_all_open);
    }

    /// A large group, and attackers with much behind them that nobody is shown.
    fn populate(&mut self) {
        let id = |user: String| UserId::new(&user).unwrap();
        let group = GroupId::new(CROWD).unwrap();
        let members = (1..ATTACKERS).map(attacker).map(id).collect();
        self.run_until("the shards are ready", Self::is_ready);
        self.order_now(Order::CreateGroup { group: group.clone(), owner: id(attacker(0)), members });
        self.connect_all();
        for first in (0..MEMBERS).step_by(Order::MEMBERS_MAX) {
            self.run_until("the group is there", |world| world.operator.is_idle());
            let add = (first..first + Order::MEMBERS_MAX).map(|n| id(format!("member-{n}"))).collect();
            self.order_now(Order::ChangeMembers { group: group.clone(), add, remove: Vec::new() });
        }
        self.run_until("all are in the group", |world| world.operator.is_idle());
        for n in 0..HIDDEN {
            for at in 0..2 {
                let (author, peer) = (attacker(at), Channel::Person(attacker((at + n % 2) % 2)));
                let manner = Manner { expire_s: 1, ..Manner::default() };
                self.say_as(at, &author, peer, manner, format!("hidden-{at}-{n}"));
            }
            self.pass(9);
            self.turn_of_all(n as u64);
        }
        self.pass(2_000);
        self.run_until("all of it is stored", |world| world.clients.iter().all(|client| !client.is_waiting()));
        self.run_until("nothing is on its way", Self::is_quiet);
        // What is read from here on is in memory, or is not.
        if self.seed.is_multiple_of(2) {
            return;
        }
        self.crash();
        self.run_until("the shards are ready", Self::is_ready);
        self.connect_all();
    }

    fn say_as(&mut self, at: usize, author: &str, to: Channel, manner: Manner, id: String) {
        let World { clients, ledger, chance, .. } = &mut *self;
        let intent = ledger.intend(author, to, id, "x".repeat(20), manner);
        let bytes = clients[at].say_intent(intent, ledger, chance);
        self.say(at, bytes);
    }

    fn attack(&mut self, at: usize, turn: u64) {
        let World { clients, ledger, chance, .. } = &mut *self;
        if clients[at].phase == Phase::Open {
            let bytes = clients[at].ask_for_the_dearest(at, turn, ledger, chance);
            self.say(at, bytes);
        }
    }
}

impl Client {
    fn ask_for_the_dearest(&mut self, me: usize, turn: u64, ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        let (crowd, other) = (Channel::Group(CROWD.to_owned()), Channel::Person(attacker((me + 1) % 2)));
        let ask = match chance.below(12) {
            0..3 => {
                let id = format!("loud-{me}-{turn}");
                let at = ledger.intend(&self.user, crowd, id, "x".repeat(20), Manner::default());
                return self.say_intent(at, ledger, chance);
            }
            3 => return self.say_unstored(crowd, ledger, chance),
            4 => Ask::Typing { of: crowd },
            5 => Ask::Sync { after: chance.below(HIDDEN) as u64, limit: *chance.pick(&[1, 1_000]) },
            6 => Ask::SyncBack { before: chance.below(2 * HIDDEN) as u64, limit: *chance.pick(&[1, 1_000]) },
            7 => Ask::MarkRead { of: other, through: turn % HIDDEN as u64 },
            8 => Ask::History { of: other, from: Edge::After(chance.below(HIDDEN) as u64), limit: 1_000 },
            9 => Ask::Conversations { before: 0, limit: 1_000 },
            10 => {
                let seen = self.seen.iter().rev().take(100).filter(|(of, ..)| of.starts_with("group"));
                Ask::Receipt { of: crowd, messages: seen.map(|(_, message, _)| *message).collect() }
            }
            _ => {
                let users: Vec<String> = (0..200).map(|n| format!("member-{n}")).collect();
                let wish = *chance.pick(&[Wish::Watch, Wish::Query, Wish::Unwatch]);
                let ask = Ask::Presence { wish, users: users.clone() };
                return self.ask(&ask, Expectation::Presence { wish, users }, chance);
            }
        };
        self.ask(&ask, Expectation::Anything, chance)
    }
}

/// What the dearest input cost.
pub fn run(seed: u64) -> Cost {
    let mut world = world_of(seed);
    world.populate();
    let (ben, zoe) = (ATTACKERS, ATTACKERS + 1);
    let mut said: [Option<u64>; 2] = [None, None];
    let mut slowest = 0;
    for turn in 0..1_500 {
        for at in 0..ATTACKERS {
            if world.chance.one_in(3) {
                world.attack(at, turn);
            }
        }
        for (n, (from, to)) in [(ben, zoe), (zoe, ben)].into_iter().enumerate() {
            let waited = said[n].map(|since| turn - since);
            if world.clients[from].is_waiting() {
                let waited = waited.expect("it waits for an answer");
                assert!(waited <= TURNS_MAX, "a bystander has waited for {waited} turns\n{}", world.describe());
                continue;
            }
            slowest = waited.unwrap_or(0).max(slowest);
            said[n] = None;
            if turn % 20 == 0 {
                let (author, peer) = (world.users[from].clone(), world.users[to].clone());
                world.say_as(from, &author, Channel::Person(peer), Manner::default(), format!("calm-{n}-{turn}"));
                said[n] = Some(turn);
            }
        }
        world.turn_of_all(turn);
        for core in &world.cores {
            let highest_cost = core.turn.shard().stats().highest_cost;
            assert!(highest_cost.is_within(BUDGET), "an input costs more than it may here: {highest_cost:?}");
        }
    }
    let calm = || world.ledger.intents.iter().filter(|it| it.client_id.starts_with("calm"));
    assert!(calm().all(|it| it.answer.no.is_none()) && calm().count() >= 60, "a bystander was refused");
    println!("seed {seed}: answered within {slowest} turns");
    world
        .cores
        .iter()
        .fold(Cost::default(), |highest_cost, core| highest_cost.max(core.turn.shard().stats().highest_cost))
}
