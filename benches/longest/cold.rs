//! What was read from a disk comes back: the largest pages, and what many rows have to be looked at for.

use crate::common::is_smoke;
use crate::stage::{Choices, Prepared, Stage, group, send, to_user, user, with};
use crate::{Book, Scene};
use mushan::model::{
    Authority, Command, Conversation, ConversationSeq, Conversations, History, HistoryDirection, MarkRead, Order,
    Receipt, Recipient, Revoke, Seq, SessionId, Sync, SyncDirection,
};
use mushan::shard::CatchUp;

pub const SCENES: &[Scene] = &[("cold small", small), ("cold large", large), ("cold lists", lists)];

const READER: &str = "alice";
const AUTHOR: &str = "bob";
const LARGE: usize = 64 << 10;
const SEGMENT_BYTES: usize = 256 << 10;
/// Messages between two syncs.
const BATCH: usize = 64;

/// Shards of whose segments only the newest is in memory.
fn cold(shards: u16) -> Stage {
    Stage::on((0..shards).map(|_| Prepared::of(SEGMENT_BYTES, 1)).collect(), Choices::default())
}

/// Something else, so that all before it is cold.
fn pass_over(stage: &mut Stage) {
    for me in 0..stage.shards.len() {
        let name = (0..).map(|n| format!("filler-{n}")).find(|name| usize::from(stage.home(name).0) == me);
        let name = name.expect("some user of the shard");
        let author = stage.open(&name, CatchUp::Sync);
        for n in 0..2 * SEGMENT_BYTES / LARGE {
            stage.request(author, &name, to_user(&format!("filler-{n}"), &name, LARGE));
            stage.settle();
        }
    }
}

fn written(stage: &mut Stage, messages: usize, bytes: usize) {
    let author = stage.open(AUTHOR, CatchUp::Sync);
    for n in 0..messages {
        stage.request(author, AUTHOR, to_user(&format!("m{n}"), READER, bytes));
        if n % BATCH == 0 || bytes == LARGE {
            stage.settle();
        }
    }
    stage.settle();
    pass_over(stage);
}

fn ask(book: &mut Book, stage: &mut Stage, name: &'static str, (session, id): (SessionId, &str), command: Command) {
    book.measure(name, stage, |stage| {
        stage.request(session, id, command);
        stage.settle();
    });
}

fn session(stage: &mut Stage, id: &str) -> SessionId {
    let session = stage.open(id, CatchUp::Sync);
    stage.settle();
    session
}

fn small(book: &mut Book) {
    let mut stage = cold(1);
    let many = if is_smoke() { 5_000 } else { 20_000 };
    written(&mut stage, many, 1);
    let sent = stage.sent.clone();
    let spread: Vec<_> = sent.iter().step_by(many / 100).copied().collect();
    let reader = session(&mut stage, READER);
    let oldest = Sync { direction: SyncDirection::After(Seq(0)), limit: 1_000 };
    let direction = HistoryDirection::After(ConversationSeq(0));
    let history = |topic: Option<&str>| {
        Command::History(History { conversation: with(AUTHOR), direction, limit: 1_000, topic: topic.map(Into::into) })
    };
    let mark = |through| MarkRead { conversation: with(AUTHOR), through: ConversationSeq(through) };
    for (name, command) in [
        ("sync 1,000 from the disk", Command::Sync(oldest)),
        ("history of 1,000 from the disk", history(None)),
        ("history of a topic that nothing on the disk has", history(Some("nothing"))),
        ("receipt of 100 on the disk", Command::Receipt(Receipt { messages: spread, conversation: with(AUTHOR) })),
        ("mark read with 20,000 unread on the disk", Command::MarkRead(mark(1))),
    ] {
        ask(book, &mut stage, name, (reader, READER), command);
    }
    book.measure("backlog from the disk", &mut stage, |stage| {
        stage.open(READER, CatchUp::Backlog);
        stage.settle();
    });
    let conversation = Conversation::pair(user(READER), user(AUTHOR));
    for (name, order) in [
        ("an operator reads an inbox on the disk", Order::ShowInbox { user: user(READER), sync: oldest }),
        ("an operator reads history on the disk", Order::ShowHistory { conversation, direction, limit: 1_000 }),
    ] {
        book.measure(name, &mut stage, |stage| stage.order(order));
    }
    let author = session(&mut stage, AUTHOR);
    let revoke = Revoke { message: sent[1], conversation: with(READER) };
    ask(book, &mut stage, "revoke what is on the disk", (author, AUTHOR), Command::Revoke(revoke));
}

fn large(book: &mut Book) {
    let mut stage = cold(2);
    written(&mut stage, 100, LARGE);
    let messages = stage.sent.clone();
    let reader = session(&mut stage, READER);
    let sync = Sync { direction: SyncDirection::After(Seq(0)), limit: 1_000 };
    let direction = HistoryDirection::After(ConversationSeq(0));
    let history = History { conversation: with(AUTHOR), direction, limit: 1_000, topic: None };
    let mark = MarkRead { conversation: with(AUTHOR), through: ConversationSeq(1) };
    for (name, command) in [
        ("sync of large from the disk", Command::Sync(sync)),
        ("history of large from the disk", Command::History(history)),
        ("mark read with large unread on the disk", Command::MarkRead(mark)),
        ("receipt of 100 large on the disk", Command::Receipt(Receipt { messages, conversation: with(AUTHOR) })),
    ] {
        ask(book, &mut stage, name, (reader, READER), command);
    }
    let author = session(&mut stage, AUTHOR);
    let repeated = to_user("m1", READER, LARGE);
    ask(book, &mut stage, "a repetition of what is on the disk", (author, AUTHOR), repeated.clone());
    let Command::Send(send) = repeated else { unreachable!("a send") };
    let order = Order::Send { author: user(AUTHOR), send: Box::new(send), authority: Authority::User };
    book.measure("an operator repeats what is on the disk, and sends more", &mut stage, |stage| {
        stage.begin_order(order);
        for n in 0..if is_smoke() { 64 } else { 1_000 } {
            let Command::Send(send) = to_user(&format!("more-{n}"), READER, 1_024) else { unreachable!("a send") };
            let (author, send) = (user(AUTHOR), Box::new(send));
            stage.begin_order(Order::Send { author, send, authority: Authority::User });
        }
        stage.settle();
    });
}

/// Somebody with very many conversations, and what is unread in them on the disk.
fn lists(book: &mut Book) {
    let mut stage = cold(2);
    let peer = |n: usize| format!("peer-{n}");
    let peers = if is_smoke() { 1_000 } else { 5_000 };
    for n in 0..peers {
        let author = stage.open(&peer(n), CatchUp::Sync);
        (0..8).for_each(|m| stage.request(author, &peer(n), to_user(&format!("m{m}"), READER, 1)));
        stage.settle();
    }
    let message = stage.sent[1];
    pass_over(&mut stage);
    let reader = session(&mut stage, READER);
    let list = Conversations { before: Seq(0), limit: 200 };
    ask(book, &mut stage, "list 200 from the disk", (reader, READER), Command::Conversations(list));
    book.measure("an operator lists 200 from the disk", &mut stage, |stage| {
        stage.order(Order::ShowConversations { user: user(READER), list });
    });
    book.measure("revoke by its id alone what is on the disk", &mut stage, |stage| {
        stage.order(Order::Revoke { user: user(READER), message });
    });
    stage.order(Order::CreateGroup { group: group("late"), owner: user(READER), members: vec![user("peer-0")] });
    book.measure("an operator sends to a group besides", &mut stage, |stage| {
        let Command::Send(send) = send("late", Recipient::Group(group("late")), LARGE, None) else {
            unreachable!("a send")
        };
        stage.order(Order::Send { author: user(READER), send: Box::new(send), authority: Authority::System });
    });
}
