//! Read receipts: told to authors alone, once per reader and message, whatever is asked again.

use crate::model::{
    BlockState, Command, ConversationRef, ConversationSeq, Conversations, MarkRead, MessageId, Order, Receipt,
    Recipient, Refusal, Reply, Revoke, Seq,
};
use crate::shard::testing::fixtures::*;
use crate::shard::*;

fn receipt(messages: &[MessageId], conversation: ConversationRef) -> Command {
    Command::Receipt(Receipt { messages: messages.to_vec(), conversation })
}

#[test]
fn an_author_is_told_once_what_a_reader_has_read() {
    for shards in 1..=3 {
        let mut cluster = Cluster::new(shards, Windows::default());
        let to = |id: &str| Recipient::User(user(id));
        let ids = ["one", "two"].map(|id| id_of(&cluster.say("alice", id, to("bob"))));
        let own = id_of(&cluster.say("bob", "mine", to("alice")));
        assert_eq!(cluster.rows("bob")[0].unread, 2);
        let unknown = MessageId(own.0 + 99);
        assert_eq!(cluster.ask("bob", receipt(&[unknown, own], with("alice"))), Reply::Done);
        assert_eq!(cluster.inbox("alice").len(), 3, "nothing to tell");
        for _ in 0..2 {
            assert_eq!(cluster.ask("bob", receipt(&[ids[1], unknown, ids[0], own], with("alice"))), Reply::Done);
            assert_eq!(told(&cluster.inbox("alice")), ["one", "two", "mine", "bob read 2"]);
            assert_eq!(told(&cluster.inbox("bob")), ["one", "two", "mine"], "the reader knows");
            assert_eq!(cluster.rows("bob")[0].unread, 0);
            cluster = cluster.restart(Windows::default());
        }
    }
}

#[test]
fn each_author_in_a_group_is_told_of_its_own_messages_alone() {
    for shards in 1..=3 {
        let mut cluster = Cluster::new(shards, Windows::default());
        cluster.order(create("g", "alice", &["bob", "carol"]));
        let one = id_of(&cluster.say_in("alice", "one", "g"));
        let two = id_of(&cluster.say_in("bob", "two", "g"));
        cluster.order(change("g", &["dave"], &[]));
        assert_eq!(cluster.ask("dave", receipt(&[one, two], in_group("g"))), Reply::Done);
        assert_eq!(cluster.ask("carol", receipt(&[two, one], in_group("g"))), Reply::Done);
        assert_eq!(refusal(&cluster.ask("erin", receipt(&[one], in_group("g")))), Some(Refusal::ConversationNotExist));
        let all = ["one", "two", "added dave"];
        assert_eq!(told(&cluster.inbox("alice"))[1..], [&all[..], &["carol read 1"]].concat());
        assert_eq!(told(&cluster.inbox("bob"))[1..], [&all[..], &["carol read 1"]].concat());
        assert_eq!(told(&cluster.inbox("carol"))[1..], all, "and dave saw nothing that he could have read");
    }
}

#[test]
fn a_receipt_that_finds_a_window_full_goes_on_where_it_stopped() {
    for restart in [false, true] {
        let windows = Windows { requests_max: 1, deliveries_max: 1, held_per_input_max: 1, ..Windows::default() };
        let mut cluster = Cluster::new(2, windows);
        // Authors on both shards; the group's owner shard owes the other one several facts, one at a time.
        let authors: Vec<String> = (0..8).map(|n| format!("author-{n}")).collect();
        let members: Vec<&str> = authors.iter().map(String::as_str).collect();
        cluster.order(create("g", "alice", &members));
        let ids: Vec<MessageId> = members.iter().map(|id| id_of(&cluster.say_in(id, id, "g"))).collect();
        cluster.connect(1, "alice");
        cluster.outputs();
        cluster.request(1, "alice", receipt(&ids, in_group("g")));
        if restart {
            (0..2).for_each(|me| cluster.sync(me));
            cluster = cluster.restart(windows);
            assert_eq!(cluster.ask("alice", receipt(&ids, in_group("g"))), Reply::Done);
        } else {
            cluster.settle();
            assert_eq!(cluster.replies(), [(1, Reply::Done)]);
        }
        assert!(cluster.shards.iter().all(Shard::is_settled));
        for author in &authors {
            let inbox = told(&cluster.inbox(author));
            assert_eq!(inbox.iter().filter(|it| *it == "alice read 1").count(), 1, "{author}: {inbox:?}");
        }
    }
}

#[test]
fn too_many_and_none_are_refused() {
    let mut cluster = Cluster::new(1, Windows::default());
    let id = id_of(&cluster.say("alice", "m", Recipient::User(user("bob"))));
    for messages in [vec![], vec![id; Receipt::MESSAGES_MAX + 1]] {
        assert_eq!(refusal(&cluster.ask("bob", receipt(&messages, with("alice")))), Some(Refusal::InvalidParam));
    }
}

#[test]
fn a_position_never_goes_back_and_a_recount_says_the_same() {
    for shards in 1..=2 {
        let mut cluster = Cluster::new(shards, Windows::default());
        cluster.order(create("g", "alice", &["bob"]));
        for n in 0..150 {
            let author = if n % 3 == 0 { "bob" } else { "alice" };
            cluster.say_in(author, &format!("m{n}"), "g");
            cluster.now = cluster.now.plus(20);
        }
        let mark =
            |through| Command::MarkRead(MarkRead { conversation: in_group("g"), through: ConversationSeq(through) });
        let mut furthest = 0;
        for through in [5, 3, 60, 60, 149, 100, 1_000] {
            assert_eq!(cluster.ask("bob", mark(through)), Reply::Done);
            furthest = through.max(furthest).min(151);
            let row = cluster.rows("bob").remove(0);
            assert_eq!(row.read_through.0, furthest);
            let inbox = cluster.inbox("bob");
            let unread = inbox.iter().filter(|entry| {
                let message = &entry.message;
                message.fact.is_none() && message.author.as_str() == "alice" && message.conversation_seq.0 > furthest
            });
            assert_eq!(row.unread, unread.count() as u64, "through {through}");
        }
        cluster.say_in("alice", "last", "g");
        let mut cluster = cluster.restart(Windows::default());
        let row = cluster.rows("bob").remove(0);
        assert_eq!((row.read_through.0, row.unread), (151, 1));
    }
}

#[test]
fn a_position_that_there_is_no_room_for_is_refused() {
    let mut cluster = Cluster::on(Windows::default(), vec![crate::log::MemoryStorage::new(4_096, 1)]);
    let mut said = 0;
    while refusal(&cluster.say("alice", &format!("m{said}"), Recipient::User(user("bob")))).is_none() {
        said += 1;
    }
    let mark = |through| Command::MarkRead(MarkRead { conversation: with("alice"), through: ConversationSeq(through) });
    let mut marked = 0;
    let refused = loop {
        match cluster.ask("bob", mark(marked + 1)) {
            Reply::Done => marked += 1,
            reply => break refusal(&reply),
        }
    };
    assert_eq!(refused, Some(Refusal::StorageFull));
    assert_eq!(cluster.rows("bob")[0].read_through.0, marked, "what was said to be done is done");
}

#[test]
fn who_has_blocked_a_user_hears_neither_of_its_reading_nor_of_its_taking_back() {
    let mut pair = Cluster::new(2, Windows::default());
    let said = id_of(&pair.say(ALICE, "said", Recipient::User(user(BOB))));
    let own = id_of(&pair.say(BOB, "own", Recipient::User(user(ALICE))));
    pair.order(Order::Block { by: user(ALICE), other: user(BOB), state: BlockState::Blocked });
    let before = told(&pair.inbox(ALICE));
    let receipt = Receipt { conversation: with(ALICE), messages: vec![said] };
    assert_eq!(pair.ask(BOB, Command::Receipt(receipt.clone())), Reply::Done, "its own position moves");
    let revoke = Revoke { conversation: with(ALICE), message: own };
    assert_eq!(refusal(&pair.ask(BOB, Command::Revoke(revoke))), Some(Refusal::PermissionDenied));
    assert_eq!(told(&pair.inbox(ALICE)), before);
    pair.order(Order::Block { by: user(ALICE), other: user(BOB), state: BlockState::Allowed });
    assert_eq!(pair.ask(BOB, Command::Receipt(receipt)), Reply::Done);
    assert_eq!(told(&pair.inbox(ALICE)).len(), before.len() + 1, "it may be told again");
}

#[test]
fn a_mark_behind_what_is_still_on_its_way_to_the_reader_holds() {
    let mut cluster = Cluster::with_group_that_waits();
    cluster.request(1, "alice", to_group("first", "g", "first"));
    cluster.request(2, "bob", to_group("second", "g", "second"));
    cluster.sync(0);
    let place_of = |(_, reply): (u64, Reply)| match reply {
        Reply::Sent { conversation_seq, .. } => Some(conversation_seq),
        _ => None,
    };
    let newest = cluster.replies().into_iter().filter_map(place_of).max().expect("he knows where his stands");
    cluster.request(2, "bob", Command::MarkRead(MarkRead { conversation: in_group("g"), through: newest }));
    let list = Conversations { before: Seq(0), limit: 1 };
    cluster.request(2, "bob", Command::Conversations(list));
    let replies = cluster.replies();
    assert!(replies.contains(&(2, Reply::Done)), "{replies:?}");
    let rows = replies.iter().find_map(|(_, reply)| match reply {
        Reply::Conversations { rows, .. } => Some(rows),
        _ => None,
    });
    let row = &rows.expect("a list")[0];
    assert!(row.read_through <= row.newest_seq && row.newest_seq < newest, "hers is on its way: {row:?}");
    cluster.settle();
    assert_eq!(told(&cluster.inbox("bob")).len(), 3);
    let mut cluster = cluster.restart(Windows::default());
    let row = cluster.rows("bob").remove(0);
    assert_eq!((row.read_through, row.unread), (newest, 0), "it was said to be done");
}
