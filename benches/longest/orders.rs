//! An operator's orders about users, and about what they have, read and send. `groups` has those about groups.

use crate::common::is_smoke;
use crate::sessions::busy_account;
use crate::stage::{Stage, group, send, to_user, user};
use crate::{Book, Scene};
use mushan::model::{
    AccountState, Authority, BlockState, Command, Conversation, ConversationSeq, Conversations, Extra,
    HistoryDirection, Order, Profile, Recipient, Seq, ShardId, Sync, SyncDirection, UserId,
};
use mushan::shard::CatchUp;

pub const SCENES: &[Scene] = &[
    ("orders about accounts", accounts),
    ("orders about messages", messages),
    ("orders that list", lists),
    ("orders that erase", erasures),
];

const ALICE: &str = "alice";
const BOB: &str = "bob";
const LARGE: usize = 64 << 10;

/// As long as an id may be, and as alike as ids can be.
fn long(n: usize) -> UserId {
    user(&format!("somebody-{n:055}"))
}

fn measure(book: &mut Book, stage: &mut Stage, name: &'static str, order: Order) {
    book.measure(name, stage, |stage| stage.order(order));
}

/// Accounts with as many sessions as they may have, which watch and stream as much as they may.
fn accounts(book: &mut Book) {
    let mut stage = Stage::new(2);
    for id in ["kicked", "revoked", "erased"] {
        busy_account(&mut stage, id);
    }
    let sessions = Order::ShowSessions { user: user("kicked") };
    measure(book, &mut stage, "show the sessions of an account", sessions);
    let end = Order::EndSessions { user: user("kicked"), only: None };
    measure(book, &mut stage, "end 16 sessions that watch", end);
    let revoke = Order::RevokeTokens { user: user("revoked"), issued_before: None };
    measure(book, &mut stage, "revoke the tokens of 16 sessions that watch", revoke);
    let enable = Order::SetAccount { user: user("revoked"), state: AccountState::Disabled };
    measure(book, &mut stage, "disable an account without sessions", enable);
    let home = stage.home("erased");
    for (shard, name) in
        [(home, "erase a user with 16 sessions that watch"), (ShardId(1 - home.0), "erase it on the other shard")]
    {
        measure(book, &mut stage, name, Order::EraseUser { shard, user: user("erased") });
    }
    let attributes = Extra::new(vec![("k".into(), "v".repeat(4_000).into())]);
    let profile = Profile { name: "n".repeat(256).into(), avatar: "a".repeat(1 << 10).into(), attributes };
    let set = Order::SetProfile { user: user(ALICE), profile: Box::new(profile) };
    measure(book, &mut stage, "an operator sets the largest profile", set);
    measure(book, &mut stage, "an operator reads it", Order::ShowProfile { user: user(ALICE) });
    measure(book, &mut stage, "an operator makes a user known", Order::KnowUser { user: long(0) });
}

fn ordered(id: &str, recipient: Recipient, bytes: usize) -> Order {
    let Command::Send(send) = send(id, recipient, bytes, None) else { unreachable!("a send") };
    Order::Send { author: user(ALICE), send: Box::new(send), authority: Authority::User }
}

fn messages(book: &mut Book) {
    let to_bob = || Recipient::User(user(BOB));
    for (shards, name, again) in [
        (1, "a batch of 1,000 sends", "the same batch again"),
        (2, "a batch of 1,000 sends, two shards", "the same batch again, two shards"),
    ] {
        let mut stage = Stage::new(shards);
        for name in [name, again] {
            book.measure(name, &mut stage, |stage| {
                (0..1_000).for_each(|n| stage.begin_order(ordered(&n.to_string(), to_bob(), 128)));
                stage.settle();
            });
        }
    }
    for (shards, name) in [(1, "a batch of 1,000 large sends"), (2, "a batch of 1,000 large sends, two shards")] {
        let mut stage = Stage::new(shards);
        book.measure(name, &mut stage, |stage| {
            (0..if is_smoke() { 100 } else { 1_000 })
                .for_each(|n| stage.begin_order(ordered(&n.to_string(), to_bob(), LARGE)));
            stage.settle();
        });
    }
    let pages = [
        ("an operator reads a page of small", "an operator reads small history", 5_000, 1),
        ("an operator reads a page of large", "an operator reads large history", 100, LARGE),
    ];
    for (page, history, messages, bytes) in pages {
        let mut stage = Stage::new(1);
        let author = stage.open(ALICE, CatchUp::Sync);
        for n in 0..messages {
            stage.request(author, ALICE, to_user(&n.to_string(), BOB, bytes));
            stage.settle();
        }
        let (direction, limit) = (HistoryDirection::After(ConversationSeq(0)), 1_000);
        let sync = Sync { direction: SyncDirection::After(Seq(0)), limit };
        let conversation = Conversation::pair(user(ALICE), user(BOB));
        measure(book, &mut stage, page, Order::ShowInbox { user: user(BOB), sync });
        measure(book, &mut stage, history, Order::ShowHistory { conversation, direction, limit });
    }
}

fn lists(book: &mut Book) {
    let mut stage = Stage::new(1);
    let many = if is_smoke() { 10_000 } else { 100_000 };
    let shard = ShardId(0);
    for n in 0..many {
        stage.say_once(long(n).as_str(), to_user("hello", BOB, 1));
        if n % 64 == 0 {
            stage.settle();
        }
    }
    for n in 0..1_000 {
        let members = vec![user(ALICE)];
        stage.order(Order::CreateGroup { group: group(&format!("group-{n:058}")), owner: long(0), members });
    }
    let list = Conversations { before: Seq(0), limit: 200 };
    measure(book, &mut stage, "an operator lists very many", Order::ShowConversations { user: user(BOB), list });
    let users = Order::ListUsers { shard, from: 0, limit: Order::LISTED_MAX };
    measure(book, &mut stage, "list 1,000 users", users);
    let sessions = Order::ListSessions { shard, from: 0, limit: Order::LISTED_MAX };
    measure(book, &mut stage, "list sessions", sessions);
    let none_there = Order::ListGroups { shard, from: 0, limit: Order::LISTED_MAX };
    measure(book, &mut stage, "list groups where there are none", none_there);
    let groups = Order::ListGroups { shard, from: many as u32, limit: Order::LISTED_MAX };
    measure(book, &mut stage, "list 1,000 groups", groups);
    let users = (0..Order::LISTED_MAX).map(long).collect();
    measure(book, &mut stage, "presence of 1,000 users", Order::ShowPresence { shard, users });
    measure(book, &mut stage, "show a user among very many", Order::ShowUser { user: long(5) });
    let state = BlockState::Blocked;
    let block = Order::Block { by: user(BOB), other: long(5), state };
    measure(book, &mut stage, "block one who has written", block);
}

/// Very many users are erased within one sync, and listed.
fn erasures(book: &mut Book) {
    let mut stage = Stage::new(1);
    let shard = ShardId(0);
    let many = if is_smoke() { 5_000 } else { 20_000 };
    for n in 0..many {
        stage.say_once(long(n).as_str(), to_user("hello", BOB, 1));
        if n % 64 == 0 {
            stage.settle();
        }
    }
    book.measure("very many are erased within one sync", &mut stage, |stage| {
        (0..many).for_each(|n| stage.begin_order(Order::EraseUser { shard, user: long(n) }));
        stage.settle();
    });
    let list = Order::ListErased { shard, after: Some(long(7)), limit: Order::LISTED_MAX };
    measure(book, &mut stage, "list 1,000 of very many who are erased", list);
    let sync = Sync { direction: SyncDirection::After(Seq(0)), limit: 1_000 };
    measure(book, &mut stage, "a page of what they wrote", Order::ShowInbox { user: user(BOB), sync });
}
