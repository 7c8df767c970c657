//! What nobody asks for: ticks with retention, the end of a dedupe window, checkpoints, acknowledgements of very much at
//! once.

use crate::common::is_smoke;
use crate::stage::{Choices, Stage, send, to_user, user, with};
use crate::{Book, Scene};
use mushan::log::Segments;
use mushan::model::{Ack, Annotations, Command, HeaderFlags, Recipient, Revoke, Seq, SessionId, ShardId};
use mushan::shard::{CatchUp, Input, Upkeep};

pub const SCENES: &[Scene] = &[
    ("upkeep of what is revoked", revoked),
    ("upkeep of what is consumed", consumed),
    ("upkeep of the dedupe", dedupe),
    ("upkeep waived", waived),
];

const ALONE: ShardId = ShardId(0);
const AUTHOR: &str = "bob";
const READER: &str = "alice";
const DAY_MS: u64 = 86_400_000;
const LARGE: usize = 64 << 10;
/// Messages between two syncs.
const BATCH: usize = 64;

fn many() -> usize {
    if is_smoke() { 40_000 } else { 200_000 }
}

/// Retention drops whatever it may.
fn strict() -> Choices {
    Choices { upkeep: Upkeep { retention_bytes: 1, ..Upkeep::default() }, ..Choices::default() }
}

fn written(stage: &mut Stage, messages: usize) -> SessionId {
    let author = stage.open(AUTHOR, CatchUp::Sync);
    for n in 0..messages {
        stage.request(author, AUTHOR, to_user(&format!("m{n}"), READER, 1));
        if n % BATCH == 0 {
            stage.settle();
        }
    }
    stage.settle();
    author
}

/// Two days later come segments of something else, and two days after that retention drops all but the newest of them.
fn pass_and_drop(book: &mut Book, name: &'static str, stage: &mut Stage) {
    let last = |stage: &Stage| stage.shards[0].journal().storage().segments().end - 1;
    stage.now = stage.now.plus(2 * DAY_MS);
    stage.tick_all();
    let (author, old) = (stage.open("filler", CatchUp::Sync), last(stage));
    for n in 0.. {
        if last(stage) > old + 2 {
            break;
        }
        stage.request(author, "filler", to_user(&format!("filler-{n}"), "nobody", LARGE));
        stage.settle();
    }
    stage.now = stage.now.plus(2 * DAY_MS);
    book.measure("a checkpoint is there", stage, |stage| {
        for through in [last(stage) - 2, last(stage) - 1] {
            stage.handle(ALONE, Input::Checkpointed { through });
        }
    });
    let (first, ticks) = (stage.shards[0].journal().storage().segments().start, 2 * last(stage));
    book.measure(name, stage, |stage| {
        for _tick in 0..ticks {
            stage.tick_all();
            // What is dropped waits until it is durable that nothing needs it.
            stage.turn();
            stage.settle();
        }
    });
    let left = stage.shards[0].journal().storage().segments().start;
    assert!(
        left > old && first == 1,
        "{name}: all old segments are dropped, from {first} on, {left} of {old} are left"
    );
}

fn revoked(book: &mut Book) {
    let mut stage = Stage::chosen(1, strict());
    let author = written(&mut stage, many());
    let messages = stage.sent.clone();
    book.measure("very many revocations within one sync", &mut stage, |stage| {
        for message in messages {
            stage.request(author, AUTHOR, Command::Revoke(Revoke { message, conversation: with(READER) }));
        }
        stage.settle();
    });
    let disks = stage.disks();
    pass_and_drop(book, "retention of very many that are revoked", &mut stage);
    drop(stage);
    let mut stage = Stage::opened(disks, strict());
    book.measure("a start with very many that are revoked", &mut stage, |stage| {
        stage.settle();
        stage.tick_all();
        stage.open(READER, CatchUp::Sync);
        stage.settle();
    });
}

fn consumed(book: &mut Book) {
    let mut stage = Stage::chosen(1, strict());
    let name = |n: usize| format!("user-{n:06}");
    let header = HeaderFlags { sync_once: true, ..HeaderFlags::default() };
    let author = stage.open(AUTHOR, CatchUp::Sync);
    for n in 0..many() / 4 {
        let session = stage.open(&name(n), CatchUp::Sync);
        stage.settle();
        let notes = Annotations { header, ..Annotations::default() };
        stage.request(author, AUTHOR, send(&name(n), Recipient::User(user(&name(n))), 1, Some(notes)));
        stage.settle();
        stage.request(session, &name(n), Command::Ack(Ack::Through(Seq(1))));
        stage.handle(ALONE, Input::Closed { session });
        stage.settle();
    }
    pass_and_drop(book, "retention of what very many have consumed", &mut stage);
}

fn dedupe(book: &mut Book) {
    let mut stage = Stage::new(1);
    written(&mut stage, many());
    stage.now = stage.now.plus(25 * 3_600_000);
    book.measure("a dedupe window with very many ends", &mut stage, |stage| {
        for _tick in 0..3 {
            stage.tick_all();
            stage.settle();
        }
    });
    let author = written(&mut stage, 1);
    stage.now = stage.now.plus(25 * 3_600_000);
    book.measure("another one ends", &mut stage, |stage| {
        for n in 0..3 {
            stage.tick_all();
            stage.request(author, AUTHOR, to_user(&format!("after-{n}"), READER, 1));
            stage.settle();
        }
    });
}

/// Under `interval` and `none` everything counts as acknowledged at once.
fn waived(book: &mut Book) {
    let mut stage = Stage::new(1);
    let name = |n: usize| format!("user-{n:06}");
    let sessions: Vec<SessionId> = (0..many() / 8).map(|n| stage.open(&name(n), CatchUp::Sync)).collect();
    stage.settle();
    for (n, session) in sessions.iter().enumerate() {
        stage.request(*session, &name(n), to_user("one", &name((n + 1) % sessions.len()), 1));
    }
    book.measure("what very many have sent is waived", &mut stage, |stage| {
        stage.handle(ALONE, Input::Waived);
        stage.settle();
    });
}
