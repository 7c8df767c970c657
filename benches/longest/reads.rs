//! Reading: pages, lists, marks and receipts where much lies before what is asked for, or where it is large.

use crate::common::is_smoke;
use crate::stage::{Stage, group, in_group, send, to_user, user, with};
use crate::{Book, Scene};
use mushan::model::{
    Annotations, BlockState, Command, ConversationSeq, Conversations, History, HistoryDirection, MarkRead, Order,
    Receipt, Recipient, Revoke, Seq, SessionId, Sync, SyncDirection, Typing,
};
use mushan::shard::CatchUp;

pub const SCENES: &[Scene] = &[
    ("read small", small),
    ("read hidden", hidden),
    ("read large", large),
    ("read lists", lists),
    ("read popular", popular),
];

const READER: &str = "alice";
const AUTHOR: &str = "bob";
const LARGE: usize = 64 << 10;
/// Messages between two syncs.
const BATCH: usize = 64;

fn reader(stage: &mut Stage) -> SessionId {
    let session = stage.open(READER, CatchUp::Sync);
    stage.settle();
    session
}

/// So many messages of the author to the reader.
fn written(stage: &mut Stage, name: &str, messages: usize, bytes: usize, notes: Option<&Annotations>) {
    let author = stage.open(AUTHOR, CatchUp::Sync);
    for n in 0..messages {
        let command = send(&format!("{name}-{n}"), Recipient::User(user(READER)), bytes, notes.cloned());
        stage.request(author, AUTHOR, command);
        if n % BATCH == 0 {
            stage.settle();
        }
    }
    stage.settle();
}

/// Gone a second later.
fn expiring() -> Annotations {
    Annotations { expire_s: 1, ..Annotations::default() }
}

fn sync(direction: SyncDirection, limit: u32) -> Command {
    Command::Sync(Sync { direction, limit })
}

fn history(direction: HistoryDirection, topic: Option<&str>) -> Command {
    let topic = topic.map(Into::into);
    Command::History(History { conversation: with(AUTHOR), direction, limit: 1_000, topic })
}

fn mark(through: u64) -> Command {
    Command::MarkRead(MarkRead { conversation: with(AUTHOR), through: ConversationSeq(through) })
}

fn small(book: &mut Book) {
    let mut stage = Stage::new(1);
    written(&mut stage, "small", 20_000, 1, None);
    let session = reader(&mut stage);
    let oldest = SyncDirection::After(Seq(0));
    let newest = HistoryDirection::Before(ConversationSeq(0));
    let spread: Vec<_> = stage.sent.iter().step_by(200).copied().collect();
    let revoked = stage.sent[1];
    let asks = [
        ("sync 1,000 oldest of 20,000", sync(oldest, 1_000)),
        ("sync 1,000 newest", sync(SyncDirection::Before(Seq(0)), 1_000)),
        ("history, 1,000 oldest of 20,000", history(HistoryDirection::After(ConversationSeq(0)), None)),
        ("history, 1,000 newest", history(newest, None)),
        ("history of a topic that nothing has", history(newest, Some("nothing"))),
        ("list one conversation of 20,000 unread", list()),
        ("mark read, 19,999 unread behind it", mark(1)),
        ("mark read, 64 unread behind it", mark(20_000 - 64)),
        ("receipt of 100 of 20,000", Command::Receipt(Receipt { messages: spread, conversation: with(AUTHOR) })),
    ];
    for (name, command) in asks {
        book.measure(name, &mut stage, |stage| {
            stage.request(session, READER, command);
            stage.settle();
        });
    }
    let author = stage.open(AUTHOR, CatchUp::Sync);
    stage.settle();
    book.measure("revoke the first of 20,000", &mut stage, |stage| {
        stage.request(author, AUTHOR, Command::Revoke(Revoke { message: revoked, conversation: with(READER) }));
        stage.settle();
    });
}

fn list() -> Command {
    Command::Conversations(Conversations { before: Seq(0), limit: 200 })
}

/// What has expired is passed over, whatever its size.
fn hidden(book: &mut Book) {
    let asks = [("sync 1 before hidden small", 4_000, 1), ("sync 1 before hidden large", 600, LARGE)];
    for (name, messages, bytes) in asks {
        let mut stage = Stage::new(1);
        written(&mut stage, "hidden", messages, bytes, Some(&expiring()));
        written(&mut stage, "shown", 1, 1, None);
        stage.now = stage.now.plus(2_000);
        let session = reader(&mut stage);
        book.measure(name, &mut stage, |stage| {
            stage.request(session, READER, sync(SyncDirection::After(Seq(0)), 1));
            stage.settle();
        });
        let name = if bytes == LARGE { "backlog of hidden large" } else { "backlog of hidden small" };
        book.measure(name, &mut stage, |stage| {
            stage.open(READER, CatchUp::Backlog);
            stage.settle();
        });
    }
}

fn large(book: &mut Book) {
    let mut stage = Stage::new(1);
    written(&mut stage, "large", 300, LARGE, None);
    let session = reader(&mut stage);
    let messages: Vec<_> = stage.sent.iter().step_by(3).copied().collect();
    let newest = HistoryDirection::Before(ConversationSeq(0));
    let asks = [
        ("sync of large", sync(SyncDirection::After(Seq(0)), 1_000)),
        ("history of large", history(newest, None)),
        ("history of a topic among large", history(newest, Some("nothing"))),
        ("mark read, 64 large behind it", mark(300 - 64)),
        ("receipt of 100 large", Command::Receipt(Receipt { messages, conversation: with(AUTHOR) })),
    ];
    for (name, command) in asks {
        book.measure(name, &mut stage, |stage| {
            stage.request(session, READER, command);
            stage.settle();
        });
    }
    let author = stage.open(AUTHOR, CatchUp::Sync);
    book.measure("send of 64 KiB", &mut stage, |stage| {
        stage.request(author, AUTHOR, to_user("one more", READER, LARGE));
        stage.settle();
    });
}

fn lists(book: &mut Book) {
    let peer = |n: usize| format!("peer-{n}");
    for (name, messages, bytes) in [("list 200, 64 unread each", 64, 1), ("list 200, large unread in each", 2, LARGE)] {
        let mut stage = Stage::new(1);
        for n in 0..200 {
            let author = stage.open(&peer(n), CatchUp::Sync);
            let sizes = std::iter::repeat_n(bytes, messages).chain([1]);
            for (number, bytes) in sizes.enumerate() {
                stage.request(author, &peer(n), to_user(&format!("m{number}"), READER, bytes));
            }
            stage.settle();
        }
        let session = reader(&mut stage);
        book.measure(name, &mut stage, |stage| {
            stage.request(session, READER, list());
            stage.settle();
        });
    }
}

/// Somebody to whom everybody writes.
fn popular(book: &mut Book) {
    let peers = if is_smoke() { 20_000 } else { 100_000 };
    let mut stage = Stage::new(1);
    for n in 0..peers {
        stage.say_once(&format!("peer-{n}"), to_user("hello", READER, 1));
        if n % BATCH == 0 {
            stage.settle();
        }
    }
    stage.settle();
    let session = reader(&mut stage);
    book.measure("list the newest of very many", &mut stage, |stage| {
        stage.request(session, READER, list());
        stage.settle();
    });
    book.measure("send to one of very many", &mut stage, |stage| {
        stage.request(session, READER, to_user("hello", "peer-0", 1));
        stage.settle();
    });
    let create = Order::CreateGroup { group: group("late"), owner: user(READER), members: vec![user("peer-0")] };
    book.measure("join a group besides very many", &mut stage, |stage| stage.order(create));
    let typing = Typing { conversation: in_group("late"), status: 1 };
    book.measure("type in a group besides very many", &mut stage, |stage| {
        stage.request(session, READER, Command::Typing(typing));
        stage.settle();
    });
    // To somebody who has not written before.
    stage.request(session, READER, to_user("to be revoked", "somebody", 1));
    stage.settle();
    let message = stage.sent[0];
    book.measure("revoke by its id alone among very many", &mut stage, |stage| {
        stage.order(Order::Revoke { user: user(READER), message });
    });
    book.measure("block one of very many", &mut stage, |stage| {
        let state = BlockState::Blocked;
        stage.order(Order::Block { by: user(READER), other: user("peer-0"), state });
    });
    book.measure("show a user with very many", &mut stage, |stage| {
        stage.order(Order::ShowUser { user: user(READER) });
    });
}
