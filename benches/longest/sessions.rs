//! Sessions: many that come at once, watchers, streams, ticks with much to do, and turns with a share of everything.

use crate::common::is_smoke;
use crate::stage::{Stage, group, in_group, send, to_user, user};
use crate::{Book, Scene};
use mushan::model::{
    AccountState, Ack, Annotations, ChunkPhase, Command, HeaderFlags, Order, Presence, PresenceAction, Recipient, Seq,
    SessionId, ShardId, StreamChunk, Typing, UserId,
};
use mushan::shard::{CatchUp, Input};

pub const SCENES: &[Scene] = &[
    ("sessions that come at once", arrivals),
    ("sessions that end", ends),
    ("sessions that are behind", behind),
    ("sessions that watch", watchers),
    ("sessions that stream", streams),
    ("sessions that type", typing),
    ("sessions with everything", everything),
];

const STAR: &str = "star";
const ALONE: ShardId = ShardId(0);

fn many() -> usize {
    if is_smoke() { 2_000 } else { 10_000 }
}

fn name(n: usize) -> String {
    format!("user-{n:06}")
}

fn watch(users: Vec<UserId>) -> Command {
    Command::Presence(Presence { action: PresenceAction::Subscribe, users })
}

/// Everybody is written to and connects again within one sync, with entries that their devices have not acknowledged.
fn arrivals(book: &mut Book) {
    let expiring = Annotations { expire_s: 1, ..Annotations::default() };
    for (label, notes) in [
        ("many sessions with backlogs within one sync", None),
        ("many sessions with hidden backlogs within one sync", Some(&expiring)),
    ] {
        let mut stage = Stage::new(1);
        for number in 0..100 {
            write_to_all(&mut stage, &format!("before-{number}"), notes);
            stage.settle();
        }
        stage.now = stage.now.plus(2_000);
        book.measure(label, &mut stage, |stage| {
            write_to_all(stage, "awaited", None);
            for n in 0..many() / 5 {
                stage.open(&name(n), CatchUp::Backlog);
            }
            stage.settle();
        });
    }
}

fn write_to_all(stage: &mut Stage, id: &str, notes: Option<&Annotations>) {
    let author = stage.open(STAR, CatchUp::Sync);
    for n in 0..many() / 5 {
        let to = Recipient::User(user(&name(n)));
        stage.request(author, STAR, send(&format!("{id}-{n}"), to, 1, notes.cloned()));
    }
    stage.handle(ALONE, Input::Closed { session: author });
}

/// As many sessions of an account as it may have, each of which watches and streams as much as it may.
pub fn busy_account(stage: &mut Stage, id: &str) -> Vec<SessionId> {
    let sessions: Vec<SessionId> = (0..16).map(|_| stage.open(id, CatchUp::Sync)).collect();
    stage.settle();
    for (number, session) in sessions.iter().enumerate() {
        let watched = (0..200).map(|n| user(&name(number * 200 + n))).collect();
        stage.request(*session, id, watch(watched));
        stage.settle();
        for stream in 0..4 {
            stage.request(*session, id, chunk(&format!("{number}-{stream}")));
        }
        stage.settle();
    }
    sessions
}

fn ends(book: &mut Book) {
    let mut stage = Stage::new(2);
    let sessions = busy_account(&mut stage, STAR);
    book.measure("close one that watches 200", &mut stage, |stage| {
        stage.handle(stage.home(STAR), Input::Closed { session: sessions[0] });
        stage.settle();
    });
    book.measure("disable an account with 15 that watch", &mut stage, |stage| {
        stage.order(Order::SetAccount { user: user(STAR), state: AccountState::Disabled });
    });
}

/// Sessions of the largest backlogs go on as their sockets drain.
fn behind(book: &mut Book) {
    let expiring = Annotations { expire_s: 1, ..Annotations::default() };
    for (label, messages, bytes, notes) in [
        ("a drained session goes on", 2_000, 1, None),
        ("a drained session goes on with large", 100, 64 << 10, None),
        ("a drained session goes on past hidden", 2_000, 1, Some(&expiring)),
    ] {
        let mut stage = Stage::new(1);
        let author = stage.open(STAR, CatchUp::Sync);
        for n in 0..messages {
            // What is shown is among what is hidden.
            let notes = notes.filter(|_| n % 8 > 0);
            stage.request(author, STAR, send(&n.to_string(), Recipient::User(user("bob")), bytes, notes.cloned()));
            stage.settle();
        }
        stage.now = stage.now.plus(2_000);
        let session = stage.open("bob", CatchUp::Backlog);
        stage.settle();
        book.measure(label, &mut stage, |stage| {
            for _time in 0..40 {
                stage.handle(ALONE, Input::Drained { session });
                stage.settle();
            }
        });
    }
}

fn watchers(book: &mut Book) {
    let mut stage = Stage::new(2);
    let sessions: Vec<SessionId> = (0..many()).map(|n| stage.open(&name(n), CatchUp::Sync)).collect();
    stage.settle();
    for (n, session) in sessions.iter().enumerate() {
        stage.request(*session, &name(n), watch(vec![user(STAR)]));
        stage.settle();
    }
    let mut star = SessionId(0);
    book.measure("a user whom many watch comes", &mut stage, |stage| {
        star = stage.open(STAR, CatchUp::Sync);
        stage.settle();
    });
    book.measure("a user whom many watch goes", &mut stage, |stage| {
        stage.handle(stage.home(STAR), Input::Closed { session: star });
        stage.settle();
    });
    let first = sessions[0];
    book.measure("watch 200", &mut stage, |stage| {
        stage.request(first, &name(0), watch((1..200).map(|n| user(&name(n))).collect()));
        stage.settle();
    });
    book.measure("a session that watches 200 goes", &mut stage, |stage| {
        stage.handle(stage.home(&name(0)), Input::Closed { session: first });
        stage.settle();
    });
    book.measure("everybody goes", &mut stage, |stage| {
        for (n, session) in sessions.iter().enumerate().skip(1) {
            stage.handle(stage.home(&name(n)), Input::Closed { session: *session });
        }
        stage.settle();
    });
}

fn chunk(stream: &str) -> Command {
    let chunk = StreamChunk { stream: stream.into(), number: 0, phase: ChunkPhase::Next };
    let notes = Annotations { chunk: Some(chunk), ..Annotations::default() };
    send(&format!("chunk-{stream}"), Recipient::User(user("bob")), 64, Some(notes))
}

/// Many streams fall silent together.
fn streams(book: &mut Book) {
    let mut stage = Stage::new(2);
    for n in 0..many() / 8 {
        let session = stage.open(&name(n), CatchUp::Sync);
        (0..8).for_each(|stream| stage.request(session, &name(n), chunk(&stream.to_string())));
        stage.settle();
    }
    stage.now = stage.now.plus(61_000);
    book.measure("many streams fall silent", &mut stage, |stage| {
        for _tick in 0..3 {
            stage.tick_all();
            stage.settle();
        }
    });
}

fn typing(book: &mut Book) {
    let mut stage = Stage::new(1);
    for n in 0..many() {
        stage.say_once(&name(n), to_user("hello", "bob", 1));
    }
    stage.settle();
    let sessions: Vec<SessionId> = (0..many()).map(|n| stage.open(&name(n), CatchUp::Sync)).collect();
    stage.settle();
    let conversation = || mushan::model::ConversationRef::With(Recipient::User(user("bob")));
    for (n, session) in sessions.iter().enumerate() {
        stage.request(*session, &name(n), Command::Typing(Typing { conversation: conversation(), status: 1 }));
    }
    stage.now = stage.now.plus(1_500);
    book.measure("forget that many typed", &mut stage, |stage| stage.tick_all());
    for (n, session) in sessions.iter().enumerate() {
        stage.request(*session, &name(n), Command::Ack(Ack::Through(Seq(1))));
    }
    book.measure("positions of many devices", &mut stage, |stage| {
        stage.tick_all();
        stage.settle();
    });
    let header = HeaderFlags { sync_once: true, ..HeaderFlags::default() };
    let once = || Some(Annotations { header, ..Annotations::default() });
    let session = stage.open("once", CatchUp::Sync);
    for n in 0..many() / 2 {
        stage.request(sessions[0], &name(0), send(&n.to_string(), Recipient::User(user("once")), 1, once()));
        stage.settle();
    }
    let through = Seq(many() as u64 / 2);
    book.measure("acknowledge very many at once", &mut stage, |stage| {
        stage.request(session, "once", Command::Ack(Ack::Through(through)));
    });
    book.measure("congested, with many of its own", &mut stage, |stage| {
        let own = (1..=1_000).map(Seq).collect();
        stage.handle(ALONE, Input::Congested { session: sessions[0], first: Seq(1), own });
        stage.settle();
    });
}

/// A turn in which there is a share of everything to be done: links, pushes, positions, watchers, what is not stored.
fn everything(book: &mut Book) {
    let mut stage = Stage::new(1);
    let count = many();
    for from in (0..count).step_by(Order::MEMBERS_MAX) {
        let part: Vec<UserId> = (from..count.min(from + Order::MEMBERS_MAX)).map(|n| user(&name(n))).collect();
        stage.order(match from {
            0 => Order::CreateGroup { group: group("crowd"), owner: user(STAR), members: part },
            _ => Order::ChangeMembers { group: group("crowd"), add: part, remove: Vec::new() },
        });
    }
    let sessions: Vec<SessionId> = (0..count).map(|n| stage.open(&name(n), CatchUp::Sync)).collect();
    stage.settle();
    for (n, session) in sessions.iter().enumerate() {
        stage.request(*session, &name(n), watch(vec![user(STAR)]));
    }
    let star = stage.open(STAR, CatchUp::Sync);
    stage.settle();
    for (n, session) in sessions.iter().enumerate() {
        stage.request(*session, &name(n), Command::Ack(Ack::Through(Seq(1))));
    }
    let header = HeaderFlags { no_persist: true, ..HeaderFlags::default() };
    let to_crowd = |id: &str, notes| send(id, Recipient::Group(group("crowd")), 128, notes);
    book.measure("a share of everything in each turn", &mut stage, |stage| {
        for (n, session) in sessions.iter().enumerate().take(10) {
            stage.request(*session, &name(n), to_crowd(&format!("stored-{n}"), None));
            let notes = Annotations { header, ..Annotations::default() };
            stage.request(*session, &name(n), to_crowd(&format!("unstored-{n}"), Some(notes)));
        }
        stage.request(sessions[0], &name(0), Command::Typing(Typing { conversation: in_group("crowd"), status: 1 }));
        stage.handle(ALONE, Input::Closed { session: star });
        stage.tick_all();
        stage.settle();
    });
}
