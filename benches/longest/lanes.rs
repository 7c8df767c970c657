//! Shards with each other: windows that are full and open again, and starts after losses.

use crate::common::is_smoke;
use crate::stage::{Choices, Prepared, Stage, group, send, to_user, user};
use crate::{Book, Scene};
use mushan::model::{Order, Recipient, SessionId, ShardId};
use mushan::shard::{CatchUp, Input, ShardMessage};

pub const SCENES: &[Scene] = &[
    ("lanes, requests", requests),
    ("lanes, deliveries", deliveries),
    ("lanes, fan-outs at a start", fan_outs),
    ("lanes, losses of the owner", losses_of_owner),
    ("lanes, losses of the other", losses_of_other),
];

/// Of two shards, and the owner of the pair that it is in with anybody of the other.
const PEER: &str = "aaron";
const LARGE: usize = 64 << 10;
/// Large messages that fill a window of requests or deliveries.
const FILL: usize = 64;

fn many() -> usize {
    if is_smoke() { 2_000 } else { 4_000 }
}

/// Users of the shard where the peer is not, whose ids are greater.
fn authors(stage: &Stage) -> Vec<String> {
    let names = (0..).map(|n| format!("author-{n}"));
    let peers = stage.home(PEER);
    names.filter(|name| stage.home(name) != peers).take(many() + 2 * FILL).collect()
}

/// Sessions that wait for the window of requests, which a few large messages fill and leave together.
fn requests(book: &mut Book) {
    let mut stage = Stage::new(2);
    let authors = authors(&stage);
    let sessions: Vec<SessionId> = authors.iter().map(|name| stage.open(name, CatchUp::Sync)).collect();
    stage.settle();
    book.measure("many sessions wait for the window of requests", &mut stage, |stage| {
        for (n, (name, session)) in authors.iter().zip(&sessions).enumerate() {
            let bytes = if n < FILL { LARGE } else { 1 };
            stage.request(*session, name, to_user("one", PEER, bytes));
        }
        stage.settle();
    });
    book.measure("large requests wait for the window of deliveries", &mut stage, |stage| {
        for part in 0..3 {
            for n in part * FILL..(part + 1) * FILL {
                stage.request(sessions[n], &authors[n], to_user("two", PEER, LARGE));
            }
            // Its shard takes them, and syncs nothing.
            while stage.deliver_next() {}
            stage.sync(stage.home(PEER));
            while stage.deliver_next() {}
        }
        stage.settle();
    });
}

fn write(stage: &mut Stage, name: &str, messages: usize) {
    let authors: Vec<String> = authors(stage).into_iter().take(64).collect();
    let sessions: Vec<SessionId> = authors.iter().map(|author| stage.open(author, CatchUp::Sync)).collect();
    for n in 0..messages {
        let at = n % authors.len();
        stage.request(sessions[at], &authors[at], to_user(&format!("{name}-{n}"), PEER, 64));
        if at == 0 {
            stage.settle();
        }
    }
    stage.settle();
    for (author, session) in authors.iter().zip(sessions) {
        stage.handle(stage.home(author), Input::Closed { session });
    }
    stage.settle();
}

/// A window full of deliveries that are asked for once more.
fn deliveries(book: &mut Book) {
    let mut stage = Stage::new(2);
    let authors = authors(&stage);
    let sessions: Vec<SessionId> = authors.iter().map(|name| stage.open(name, CatchUp::Sync)).collect();
    stage.settle();
    for (name, session) in authors.iter().zip(&sessions).take(many()) {
        stage.request(*session, name, to_user("one", PEER, 1));
    }
    while stage.deliver_next() {}
    let owner = stage.home(PEER);
    stage.sync(owner);
    // They are sent, and none has come.
    stage.lanes.clear();
    book.measure("a window of deliveries is asked for again", &mut stage, |stage| {
        let from = ShardId(1 - owner.0);
        stage.handle(owner, Input::Arrived { from, shard_message: ShardMessage::ResendAfter { through: 0 } });
        stage.settle();
    });
}

/// Messages of very many groups are under way to their members when the server stops.
fn fan_outs(book: &mut Book) {
    let mut stage = Stage::new(2);
    let groups = if is_smoke() { 4 } else { 32 };
    // More than one turn puts links for: the jobs go on after the start.
    let names = (0..).map(|n| format!("member-{n}")).filter(|name| stage.home(name) != stage.home(PEER));
    let members: Vec<_> = names.take(Order::MEMBERS_MAX).map(|name| user(&name)).collect();
    for n in 0..groups {
        let (group, owner, members) = (group(&format!("group-{n}")), user(PEER), members.clone());
        stage.order(Order::CreateGroup { group, owner, members });
    }
    let author = stage.open(PEER, CatchUp::Sync);
    stage.settle();
    for n in 0..groups {
        let to = Recipient::Group(group(&format!("group-{n}")));
        stage.request(author, PEER, send("one", to, 64, None));
    }
    for _hop in 0..3 {
        while stage.deliver_next() {}
        [0, 1].map(ShardId).into_iter().for_each(|me| stage.sync(me));
    }
    let disks = stage.disks();
    drop(stage);
    let mut stage = Stage::opened(disks, Choices::default());
    book.measure("a start with large fan-outs", &mut stage, |stage| stage.settle());
    book.measure("very many deliveries are forgone", &mut stage, |stage| {
        let shard_message = ShardMessage::Forgone { through: 1 << 40 };
        stage.handle(ShardId(0), Input::Arrived { from: ShardId(1), shard_message });
        stage.settle();
    });
}

/// A start with one shard's log older than the other's, which has much besides.
fn start_after(book: &mut Book, name: &'static str, has_lost: impl Fn(&Stage) -> ShardId) {
    let mut stage = Stage::new(2);
    write(&mut stage, "kept", 64);
    let lost = has_lost(&stage);
    let older = stage.disks().swap_remove(usize::from(lost.0));
    write(&mut stage, "lost", many());
    // Nothing of it is for the other shard.
    let other = ShardId(1 - lost.0);
    let locals: Vec<String> =
        (0..).map(|n| format!("local-{n}")).filter(|name| stage.home(name) == other).take(2).collect();
    let session = stage.open(&locals[0], CatchUp::Sync);
    for n in 0..20 * many() {
        stage.request(session, &locals[0], to_user(&format!("local-{n}"), &locals[1], 64));
        if n % 64 == 0 {
            stage.settle();
        }
    }
    stage.settle();
    let mut disks: Vec<Prepared> = stage.disks();
    disks[usize::from(lost.0)] = older;
    drop(stage);
    let mut stage = Stage::opened(disks, Choices::default());
    book.measure(name, &mut stage, |stage| stage.settle());
    assert!(stage.shards.iter().all(mushan::shard::Shard::is_ready), "every shard is ready");
}

fn losses_of_owner(book: &mut Book) {
    start_after(book, "the owner's log has lost its end", |stage| stage.home(PEER));
}

fn losses_of_other(book: &mut Book) {
    start_after(book, "the other's log has lost its end", |stage| ShardId(1 - stage.home(PEER).0));
}
