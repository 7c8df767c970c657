//! Deterministic simulation: N shards with their lanes and disks, and clients that speak bytes, in one thread, with a
//! clock that is a number and one seed for all chance.
//!
//! `MUSHAN_SIM_SEEDS=5000 cargo test --release --test sim` runs seeds 0 to 4999; `MUSHAN_SIM_SEED=17` runs that one.

// A test may read its environment; the floors that the ban is for are below the edge.
#![allow(clippy::disallowed_methods)]

mod calm;
mod chance;
mod client;
mod codec;
mod frames;
mod ledger;
mod retention;
mod world;

use client::{Client, Phase};
use frames::Protocol;
use mushan::model::{Millis, UserId};
use mushan::shard::Windows;
use mushan::wire::token;
use retention::Retention;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

fn token_of(user: &str) -> String {
    let user = UserId::new(user).unwrap();
    token::mint(world::SECRET, &user, Millis(1_700_000_000_000), Millis(1_900_000_000_000))
}

fn world_of(seed: u64) -> World {
    let mut chance = chance::Chance::new(!seed);
    let shards = *chance.pick(&[1, 2, 2, 3, 4]);
    let windows = match chance.below(3) {
        0 => Windows { posts_max: 2, deliveries_max: 2 },
        1 => Windows { posts_max: 8, deliveries_max: 3 },
        _ => Windows::default(),
    };
    let retention = match chance.below(6) {
        0 => Retention::Hours(1),
        1 => Retention::Segments(chance.between(1, 4) as u64),
        _ => Retention::Everything,
    };
    let mut world = World::new(seed, shards, windows, retention);
    world.ledger.may_drop = retention != Retention::Everything;
    world.is_waived = chance.one_in(5);
    let users = chance.between(2, 5);
    world.users = (0..users).map(|n| format!("user-{n}")).collect();
    for device in 0..users + chance.between(0, 3) {
        let user = world.users[device % users].clone();
        let protocol = *chance.pick(&[Protocol::Binary, Protocol::Binary, Protocol::JsonRpc, Protocol::Wukong]);
        world.add_client(Client::new(&user, device, protocol, token_of(&user)));
    }
    world
}

#[derive(Default)]
struct Totals {
    accepted: usize,
    pushes: u64,
    crashes: u64,
    handed_over: u64,
    refused_for_room: u64,
    checkpointed_starts: u64,
    fetched: u64,
    dropped: u64,
}

/// One history: faults, then calm, then the reckoning.
fn run(seed: u64) -> Totals {
    let mut world = world_of(seed);
    // To drop anything takes segments enough for two checkpoints.
    let longer = if world.ledger.may_drop { 3 } else { 1 };
    let steps = longer * world.chance.between(500, 4_000);
    let crashes_per_thousand = *world.chance.pick(&[0, 1, 3]);
    for _ in 0..steps {
        world.step();
        if world.chance.below(1_000) < crashes_per_thousand {
            world.crash();
        }
        if world.ledger.may_drop && world.chance.one_in(150) {
            world.freeze();
        }
        if world.ledger.may_drop && world.chance.one_in(500) {
            world.age();
        }
        if world.chance.one_in(400) {
            let is_full = !world.is_disk_full;
            world.set_disk_full(is_full);
        }
    }
    if world.is_disk_full {
        world.set_disk_full(false);
    }
    settle(&mut world);
    if world.chance.one_in(2) {
        if world.ledger.may_drop {
            world.age();
        }
        world.crash();
    }
    reckon(&mut world);
    Totals {
        accepted: world.ledger.intents.len(),
        pushes: world.ledger.pushes,
        crashes: world.crashes,
        handed_over: world.handed_over,
        refused_for_room: world.ledger.refused.values().sum(),
        checkpointed_starts: world.checkpointed_starts,
        fetched: world.fetched,
        dropped: world.dropped_segments(),
    }
}

/// Liveness. Without faults, everybody comes back and everything that was ever said is accepted in the end.
fn settle(world: &mut World) {
    for _ in 0..60 {
        for at in 0..world.clients.len() {
            if world.clients[at].phase == Phase::Offline {
                world.connect(at);
            }
        }
        world.calm();
        for at in 0..world.clients.len() {
            if world.clients[at].phase == Phase::Open {
                let World { clients, ledger, chance, .. } = world;
                let bytes = clients[at].repeat_unanswered(ledger, chance);
                world.say(at, bytes);
            }
        }
        world.calm();
        let repeatable = &world.ledger.intents[world.ledger.repeatable()];
        if repeatable.iter().all(|intent| intent.answer.message.is_some()) {
            return;
        }
    }
    let unheard =
        world.ledger.intents[world.ledger.repeatable()].iter().filter(|intent| intent.answer.message.is_none());
    let unheard: Vec<_> = unheard.map(|intent| (&intent.author, &intent.to, &intent.client_id)).collect();
    let phases: Vec<_> = world.clients.iter().map(|it| (&it.user, it.protocol, it.phase, it.is_waiting())).collect();
    panic!("without faults, these are not accepted: {unheard:?}\nclients: {phases:?}\n{}", world.describe());
}

/// A fresh device of each user syncs its whole inbox, and the ledger compares.
fn reckon(world: &mut World) {
    let first = world.clients.len();
    for user in world.users.clone() {
        let token = token_of(&user);
        world.add_client(Client::new(&user, first, Protocol::JsonRpc, token));
    }
    for _ in 0..2_000 {
        for at in first..world.clients.len() {
            match world.clients[at].phase {
                Phase::Offline => world.connect(at),
                Phase::Open if !world.clients[at].has_whole_inbox && !world.clients[at].is_waiting() => {
                    let World { clients, chance, .. } = world;
                    let bytes = clients[at].sync_next(chance);
                    world.say(at, bytes);
                }
                _ => {}
            }
        }
        world.calm();
        if world.clients[first..].iter().all(|client| client.has_whole_inbox) {
            break;
        }
    }
    let mut inboxes = BTreeMap::new();
    for client in &world.clients[first..] {
        assert!(client.has_whole_inbox, "{} cannot sync its inbox", client.user);
        world.ledger.check_inbox(&client.user, &client.inbox);
        inboxes.insert(client.user.clone(), client.inbox.clone());
    }
    world.ledger.check_order(&inboxes);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn every_promise_holds_through_crashes_full_disks_and_slow_lanes() {
    let seeds = match number("MUSHAN_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MUSHAN_SIM_SEEDS").unwrap_or(150),
    };
    let mut totals = Totals::default();
    let runs = seeds.clone().count();
    for seed in seeds {
        let run = catch_unwind(AssertUnwindSafe(|| run(seed)));
        let Ok(run) = run else { panic!("seed {seed} failed; MUSHAN_SIM_SEED={seed} repeats it exactly") };
        totals.accepted += run.accepted;
        totals.pushes += run.pushes;
        totals.crashes += run.crashes;
        totals.handed_over += run.handed_over;
        totals.refused_for_room += run.refused_for_room;
        totals.checkpointed_starts += run.checkpointed_starts;
        totals.fetched += run.fetched;
        totals.dropped += run.dropped;
    }
    let Totals { accepted, pushes, crashes, handed_over, refused_for_room, checkpointed_starts, fetched, dropped } =
        totals;
    println!(
        "{runs} seeds: {accepted} messages accepted, {pushes} pushed, {crashes} crashes, {handed_over} connections handed over, {refused_for_room} sends refused for a full disk, {checkpointed_starts} starts from a checkpoint, {fetched} answers read from cold segments, {dropped} segments dropped"
    );
    if runs >= 100 {
        assert!(
            [crashes, handed_over, refused_for_room, checkpointed_starts, fetched, dropped]
                .iter()
                .all(|count| *count > 0),
            "a run that never meets a fault proves nothing"
        );
    }
}
