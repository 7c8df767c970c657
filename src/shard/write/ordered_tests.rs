//! Messages that the operator sends and revokes in users' names: as durable as those of sessions, answered once, and
//! delivered to all readers.

use crate::model::{
    AccountState, Annotations, Answer, Authority, BlockState, Conversation, Directory, HeaderFlags, Limits, Millis,
    Order, Policies, Recipient, Refusal, Role, SentMessage,
};
use crate::shard::testing::duo::Duo;
use crate::shard::testing::fixtures::{ALICE, BOB, Cluster, change, create, group, message, send_to, told, user};
use crate::shard::*;

const HOUR_MS: u64 = 3_600_000;

fn order(author: &str, id: &str, recipient: Recipient, authority: Authority) -> Order {
    Order::Send { author: user(author), send: Box::new(send_to(id, recipient, id)), authority }
}

fn to(peer: &str) -> Recipient {
    Recipient::User(user(peer))
}

fn to_group(id: &str) -> Recipient {
    Recipient::Group(group(id))
}

fn as_author(author: &str, id: &str, recipient: Recipient) -> Order {
    order(author, id, recipient, Authority::User)
}

fn as_system(author: &str, id: &str, recipient: Recipient) -> Order {
    order(author, id, recipient, Authority::System)
}

fn sent(answer: Answer) -> SentMessage {
    match answer {
        Answer::Sent(sent) => sent,
        other => panic!("it was to be sent: {other:?}"),
    }
}

fn refused(answer: &Answer) -> Option<Refusal> {
    match answer {
        Answer::Refused(refused) => Some(refused.refusal),
        _ => None,
    }
}

/// Users of both shards.
const USERS: [(&str, &str); 4] = [(ALICE, BOB), (BOB, ALICE), (ALICE, ALICE), (BOB, "erin")];

#[test]
fn an_order_sends_once_and_its_repetition_is_answered_alike() {
    for (author, peer) in USERS {
        let mut cluster = Cluster::new(2, Windows::default());
        let first = sent(cluster.order(as_author(author, "one", to(peer))));
        assert!(!first.is_repeated && first.conversation_seq.0 == 1);
        let mut cluster = cluster.restart(Windows::default());
        for authority in [Authority::User, Authority::System] {
            let again = sent(cluster.order(order(author, "one", to(peer), authority)));
            assert_eq!(again, SentMessage { is_repeated: true, ..first });
        }
        let other = Order::Send {
            author: user(author),
            send: Box::new(send_to("one", to(peer), "other")),
            authority: Authority::User,
        };
        assert_eq!(refused(&cluster.order(other)), Some(Refusal::ClientMessageIdReused));
        for one in [author, peer] {
            assert_eq!(told(&cluster.inbox(one)), ["one"], "{author} to {peer}, in the inbox of {one}");
        }
    }
}

#[test]
fn a_session_and_an_order_that_send_the_same_are_answered_with_one_message() {
    let mut cluster = Cluster::new(2, Windows::default());
    cluster.connect(1, ALICE);
    cluster.outputs();
    cluster.request(1, ALICE, message("one", BOB, "one"));
    let repeated = sent(cluster.order(as_author(ALICE, "one", to(BOB))));
    assert!(repeated.is_repeated, "it waited with the session's");
    let replies = cluster.replies();
    assert!(matches!(&replies[..], [(1, crate::model::Reply::Sent { message_id, .. })] if *message_id == repeated.id));
}

#[test]
fn an_order_is_answered_when_its_message_is_durable_and_pushed_to_every_session() {
    let mut duo = Duo::new();
    duo.connect(1, ALICE, "a", CatchUp::Sync);
    duo.connect(2, BOB, "b", CatchUp::Backlog);
    duo.outputs();
    let home = Duo::home(BOB);
    duo.input(home, Input::Ordered { ticket: Ticket(1), order: as_author(BOB, "one", to(BOB)) });
    assert!(duo.outputs().is_empty(), "nothing is durable yet");
    duo.settle();
    let outputs = duo.outputs();
    assert!(outputs.iter().any(|effect| matches!(
        effect,
        Effect::External(ExternalEffect::Answer { ticket: Ticket(1), answer: Answer::Sent(_) })
    )));
    duo.input(home, Input::Ordered { ticket: Ticket(2), order: as_author(BOB, "two", to(ALICE)) });
    duo.settle();
    assert_eq!((duo.entries(1).len(), duo.entries(2).len()), (1, 1), "the author's own session as well");
}

#[test]
fn an_author_may_do_what_a_session_of_its_might_and_the_system_more() {
    let mut cluster = Cluster::new(2, Windows::default());
    cluster.order(Order::Block { by: user(BOB), other: user(ALICE), state: BlockState::Blocked });
    cluster.order(create("crew", BOB, &["erin", "dave"]));
    let (member, muted_until) = (user("dave"), Some(Millis(u64::MAX)));
    cluster.order(Order::ChangeMember { group: group("crew"), member, role: Some(Role::Member), muted_until });
    cluster.order(Order::SetAccount { user: user("mallory"), state: AccountState::Disabled });
    for (author, recipient, refusal) in [
        (ALICE, to(BOB), Refusal::PermissionDenied),
        (ALICE, to_group("crew"), Refusal::PermissionDenied),
        ("dave", to_group("crew"), Refusal::PermissionDenied),
        ("mallory", to(BOB), Refusal::AccountDisabled),
    ] {
        let id = format!("{author}-{recipient:?}");
        assert_eq!(refused(&cluster.order(as_author(author, &id, recipient.clone()))), Some(refusal), "{id}");
        let first = sent(cluster.order(as_system(author, &id, recipient.clone())));
        let again = sent(cluster.order(as_system(author, &id, recipient)));
        assert_eq!(again, SentMessage { is_repeated: true, ..first });
    }
    for authority in [Authority::User, Authority::System] {
        let nowhere = cluster.order(order(ALICE, "x", to_group("nowhere"), authority));
        assert_eq!(refused(&nowhere), Some(Refusal::ConversationNotExist));
        let large = send_to("large", to(BOB), &"x".repeat((64 << 10) + 1));
        let large = cluster.order(Order::Send { author: user(ALICE), send: Box::new(large), authority });
        assert_eq!(refused(&large), Some(Refusal::MessageTooLarge));
    }
}

#[test]
fn what_the_system_writes_to_a_group_is_in_the_inbox_of_an_author_who_is_no_member_and_nothing_else_is() {
    // The author's shard has no member, and so it is for any two shards of four.
    for author in [ALICE, BOB, "erin", "carol"] {
        let mut cluster = Cluster::new(4, Windows::default());
        cluster.order(create("crew", "dave", &[]));
        let first = sent(cluster.order(as_system(author, "hello", to_group("crew"))));
        assert!(!first.is_repeated);
        cluster.say_in("dave", "answer", "crew");
        let again = sent(cluster.order(as_system(author, "hello", to_group("crew"))));
        assert_eq!(again, SentMessage { is_repeated: true, ..first });
        sent(cluster.order(as_system(author, "more", to_group("crew"))));
        assert_eq!(told(&cluster.inbox(author)), ["hello", "more"]);
        assert_eq!(told(&cluster.inbox("dave")), ["created dave", "hello", "answer", "more"]);
        let mut cluster = cluster.restart(Windows::default());
        cluster.order(change("crew", &[author], &[]));
        cluster.say_in(author, "now a member", "crew");
        assert_eq!(told(&cluster.inbox(author)), ["hello", "more", &format!("added {author}"), "now a member"]);
    }
}

#[test]
fn orders_that_find_the_window_full_wait_in_their_order_and_are_all_answered() {
    let windows = Windows { requests_max: 2, ..Windows::default() };
    let mut cluster = Cluster::new(2, windows);
    // Alice's pair with bob belongs to the shard of alice: bob's sends go there.
    let home = cluster.home(BOB);
    for number in 0..20_u64 {
        let order = as_author(BOB, &format!("m{number:02}"), to(ALICE));
        cluster.input(home, Input::Ordered { ticket: Ticket(100 + number), order });
    }
    cluster.settle();
    let answered = cluster.outputs().into_iter().filter_map(|effect| match effect {
        Effect::External(ExternalEffect::Answer { ticket, answer }) => {
            Some((ticket.0, sent(answer).conversation_seq.0))
        }
        _ => None,
    });
    assert_eq!(answered.collect::<Vec<_>>(), (0..20).map(|number| (100 + number, 1 + number)).collect::<Vec<_>>());
}

#[test]
fn an_order_that_finds_room_waits_behind_those_that_came_before_it() {
    let windows = Windows { requests_max: 2, held_per_input_max: 1, ..Windows::default() };
    let mut cluster = Cluster::new(2, windows);
    let (home, peer) = (cluster.home(BOB), cluster.home(ALICE));
    sent(cluster.order(as_author(BOB, "known", to(ALICE))));
    // The third takes no room when its turn comes.
    for (ticket, id) in (100..).zip(["m0", "m1", "known", "m2", "m3"]) {
        cluster.input(home, Input::Ordered { ticket: Ticket(ticket), order: as_author(BOB, id, to(ALICE)) });
    }
    let mut is_answered = false;
    while !is_answered {
        cluster.sync(peer);
        cluster.sync(home);
        let (from, to, shard_message) = cluster.lanes.pop_front().expect("the first is under way");
        cluster.input(usize::from(to.0), Input::Arrived { from, shard_message });
        is_answered = cluster
            .outputs()
            .iter()
            .any(|it| matches!(it, Effect::External(ExternalEffect::Answer { ticket: Ticket(102), .. })));
    }
    assert!(cluster.shards[home].has_more(), "there is room, and two wait");
    cluster.input(home, Input::Ordered { ticket: Ticket(105), order: as_author(BOB, "m4", to(ALICE)) });
    cluster.settle();
    assert_eq!(told(&cluster.inbox(ALICE)), ["known", "m0", "m1", "m2", "m3", "m4"]);
}

#[test]
fn orders_wait_for_an_earlier_one_of_their_author_that_is_looked_up_on_the_disk() {
    let disks = [(); 2].map(|()| crate::log::MemoryStorage::new(4_096, 200).with_cold_segments());
    let mut duo = Duo::on(disks, |settings| settings.limits.dedupe_window_ms = HOUR_MS);
    let (home, mut ticket) = (Duo::home(BOB), 0);
    let mut give = |duo: &mut Duo, author: &str, id: &str, peer: &str| {
        ticket += 1;
        duo.input(Duo::home(author), Input::Ordered { ticket: Ticket(ticket), order: as_author(author, id, to(peer)) });
    };
    for number in 0..60 {
        give(&mut duo, BOB, &format!("m{number}"), ALICE);
        duo.settle();
    }
    duo.tick_after(HOUR_MS);
    duo.connect(1, ALICE, "desk", CatchUp::Sync);
    duo.outputs();
    duo.hold_reads();
    // The first and the third have ids of before the window, whose messages are cold.
    for (author, id, peer) in
        [(BOB, "m0", ALICE), (BOB, "n1", ALICE), (BOB, "m1", ALICE), (BOB, "n2", ALICE), (BOB, "n3", "erin")]
    {
        give(&mut duo, author, id, peer);
    }
    give(&mut duo, "erin", "another author's", ALICE);
    duo.settle();
    let pushed = |duo: &mut Duo| -> Vec<String> {
        let entries = duo.entries(1).into_iter();
        entries.map(|entry| entry.message.client_message_id.as_str().to_owned()).collect()
    };
    assert_eq!(pushed(&mut duo), ["another author's"]);
    for _read in 0..2 {
        duo.read_held();
    }
    assert_eq!(pushed(&mut duo), ["m0", "n1", "m1", "n2"]);
    drop(duo.take_held());
    assert_eq!(told(&duo.inbox("erin")).last().map(String::as_str), Some("n3"));
    assert!(!duo.shards[home].has_more());
}

#[test]
fn so_many_repetitions_wait_for_one_send_and_the_others_are_told_to_come_again() {
    let mut cluster = Cluster::new(2, Windows::default());
    let home = cluster.home(BOB);
    for ticket in 0..20 {
        cluster.input(home, Input::Ordered { ticket: Ticket(100 + ticket), order: as_author(BOB, "one", to(ALICE)) });
    }
    cluster.settle();
    let (mut first, mut repeated, mut busy) = (0, 0, 0);
    for effect in cluster.outputs() {
        match effect {
            Effect::External(ExternalEffect::Answer { answer: Answer::Sent(sent), .. }) if sent.is_repeated => {
                repeated += 1
            }
            Effect::External(ExternalEffect::Answer { answer: Answer::Sent(_), .. }) => first += 1,
            Effect::External(ExternalEffect::Answer { answer, .. }) if refused(&answer) == Some(Refusal::Busy) => {
                busy += 1
            }
            _ => {}
        }
    }
    assert_eq!((first, repeated, busy), (1, 15, 4), "each is answered once");
    assert_eq!(told(&cluster.inbox(ALICE)), ["one"]);
}

#[test]
fn an_unstored_message_is_pushed_and_has_no_place() {
    let mut cluster = Cluster::new(2, Windows::default());
    cluster.connect(1, ALICE);
    cluster.outputs();
    let header = HeaderFlags { no_persist: true, ..HeaderFlags::default() };
    let annotations = Some(Box::new(Annotations { header, ..Annotations::default() }));
    let send = Box::new(crate::model::Send { annotations, ..send_to("one", to(ALICE), "one") });
    let said = sent(cluster.order(Order::Send { author: user(BOB), send, authority: Authority::User }));
    assert_eq!((said.conversation_seq.0, said.is_repeated), (0, false));
    let is_push = |effect: &Effect| matches!(effect, Effect::Push { .. });
    assert_eq!(cluster.outputs().iter().filter(|effect| is_push(effect)).count(), 1);
    assert!(cluster.inbox(ALICE).is_empty());
}

#[test]
fn in_a_closed_directory_the_author_must_be_known_unless_the_system_writes() {
    let policies = Policies { directory: Directory::Closed, ..Policies::default() };
    let mut duo = Duo::with(|settings| settings.policies = policies);
    assert_eq!(duo.order(Order::KnowUser { user: user(BOB) }), Answer::Done);
    assert_eq!(refused(&duo.order(as_author(ALICE, "one", to(BOB)))), Some(Refusal::UserNotExist));
    assert!(!sent(duo.order(as_system(ALICE, "one", to(BOB)))).is_repeated);
    assert_eq!(refused(&duo.order(as_system(ALICE, "two", to("nobody")))), Some(Refusal::UserNotExist));
    assert_eq!(duo.order(Order::KnowUser { user: user(ALICE) }), Answer::Done);
    assert!(!sent(duo.order(as_author(ALICE, "three", to(BOB)))).is_repeated);
}

#[test]
fn no_rate_is_charged_to_the_author() {
    let disks = (0..2).map(|_| crate::log::MemoryStorage::new(1 << 20, 8)).collect();
    let limits = Limits { sends_per_second: 1, sends_burst: 1, ..Limits::default() };
    let mut cluster =
        Cluster::start(Windows::default(), limits, disks, vec![Vec::new(); 2], super::super::testing::fixtures::NOW);
    cluster.settle();
    for number in 0..10 {
        sent(cluster.order(as_author(ALICE, &format!("m{number}"), to(BOB))));
    }
}

#[test]
fn the_operator_takes_back_what_anybody_wrote_however_old_it_is() {
    let mut cluster = Cluster::new(2, Windows::default());
    cluster.order(create("crew", ALICE, &[BOB, "erin"]));
    let in_pair = sent(cluster.order(as_author(ALICE, "in a pair", to(BOB))));
    let in_group = sent(cluster.order(as_author(BOB, "in a group", to_group("crew"))));
    let by_system = sent(cluster.order(as_system("mallory", "from outside", to_group("crew"))));
    cluster.order(Order::Block { by: user(BOB), other: user(ALICE), state: BlockState::Blocked });
    cluster.now = cluster.now.plus(Limits::default().revoke_window_ms + 1);
    let revoke = |of: &str, message| Order::Revoke { user: user(of), message };
    assert_eq!(refused(&cluster.order(revoke("dave", in_pair.id))), Some(Refusal::UserNotExist));
    assert_eq!(refused(&cluster.order(revoke("erin", in_pair.id))), Some(Refusal::ConversationNotExist));
    for (of, message) in [(BOB, in_pair.id), (ALICE, in_pair.id), ("erin", in_group.id), (ALICE, by_system.id)] {
        assert_eq!(cluster.order(revoke(of, message)), Answer::Done, "{of}");
    }
    let mut cluster = cluster.restart(Windows::default());
    for one in [ALICE, BOB] {
        let inbox = told(&cluster.inbox(one));
        assert_eq!(inbox.iter().filter(|text| *text == "(revoked)").count(), 3, "{inbox:?}");
        assert_eq!(inbox.iter().filter(|text| text.ends_with(" revoked")).count(), 3, "{inbox:?}");
    }
}

#[test]
fn a_message_is_found_among_more_conversations_than_one_read_searches() {
    let disks = (0..2).map(|_| crate::log::MemoryStorage::new(1 << 20, 64)).collect();
    let mut cluster = Cluster::on(Windows::default(), disks);
    let first = sent(cluster.order(as_author(ALICE, "first", to(BOB))));
    for number in 0..1_100 {
        cluster.order(as_author(ALICE, &format!("m{number}"), to(&format!("peer-{number}"))));
    }
    assert_eq!(cluster.order(Order::Revoke { user: user(ALICE), message: first.id }), Answer::Done);
    assert_eq!(told(&cluster.inbox(BOB))[0], "(revoked)");
    let pair = Conversation::pair(user(ALICE), user(BOB));
    assert!(cluster.inbox(BOB).iter().all(|entry| entry.message.conversation == pair));
}
