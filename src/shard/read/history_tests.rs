//! What a user can look up: history both ways, the list of conversations, and by which names.

use crate::model::{
    Annotations, Command, ConversationName, ConversationRef, ConversationSeq, Conversations, Entry, History,
    HistoryDirection, Limits, Recipient, Refusal, Reply, Revoke, Send, Seq, SettingFlags,
};
use crate::shard::testing::fixtures::*;
use crate::shard::*;
use HistoryDirection::{After, Before};

struct Paged {
    messages: Vec<Entry>,
    reached: ConversationSeq,
    has_more: bool,
}

fn page(cluster: &mut Cluster, direction: HistoryDirection, limit: u32, topic: Option<&str>) -> Paged {
    let history = History { conversation: with("bob"), direction, limit, topic: topic.map(Into::into) };
    match cluster.ask("alice", Command::History(history)) {
        Reply::History { messages, reached, has_more, .. } => Paged { messages, reached, has_more },
        other => panic!("{other:?}"),
    }
}

fn noted(topic: Option<&str>, expire_s: u32) -> Option<Box<Annotations>> {
    let setting = SettingFlags { topic: topic.is_some(), ..SettingFlags::default() };
    Some(Box::new(Annotations { setting, topic: topic.map(Into::into), expire_s, ..Annotations::default() }))
}

/// Sixty messages, every third of them of a topic.
fn filled(shards: u16) -> Cluster {
    let mut cluster = Cluster::new(shards, Windows::default());
    for n in 0..60 {
        let (author, peer) = if n % 2 == 0 { ("alice", "bob") } else { ("bob", "alice") };
        let id = format!("m{n}");
        let send = send_to(&id, Recipient::User(user(peer)), &id);
        let annotations = if n % 3 == 0 { noted(Some("tea"), 0) } else { None };
        assert_eq!(refusal(&cluster.ask(author, Command::Send(Send { annotations, ..send }))), None);
    }
    cluster
}

#[test]
fn history_is_the_same_from_either_end_in_pages_of_any_size() {
    for shards in 1..=3 {
        let mut cluster = filled(shards);
        for topic in [None, Some("tea"), Some("coffee")] {
            let is_chosen = |n: &usize| topic.is_none() || topic == Some("tea") && n.is_multiple_of(3);
            let all: Vec<String> = (0..60).filter(is_chosen).map(|n| format!("m{n}")).collect();
            for limit in [1, 7, 60, 1_000] {
                let (mut forth, mut back) = (Vec::new(), Vec::new());
                let mut cursor = After(ConversationSeq(0));
                loop {
                    let page = page(&mut cluster, cursor, limit, topic);
                    assert!(page.messages.len() <= limit as usize);
                    forth.extend(told(&page.messages));
                    cursor = After(page.reached);
                    if !page.has_more {
                        break;
                    }
                }
                let mut cursor = Before(ConversationSeq(0));
                loop {
                    let page = page(&mut cluster, cursor, limit, topic);
                    back.splice(0..0, told(&page.messages));
                    cursor = Before(page.reached);
                    if !page.has_more {
                        break;
                    }
                }
                assert_eq!((&forth, &back), (&all, &all), "{topic:?} by {limit}");
            }
        }
    }
}

#[test]
fn a_page_that_ends_with_the_last_says_that_there_is_no_more() {
    let mut cluster = filled(2);
    for (direction, limit) in [(After(ConversationSeq(0)), 60), (Before(ConversationSeq(0)), 60)] {
        assert!(!page(&mut cluster, direction, limit, None).has_more);
        assert!(page(&mut cluster, direction, limit - 1, None).has_more);
    }
    assert!(page(&mut cluster, After(ConversationSeq(60)), 9, None).messages.is_empty());
    assert!(page(&mut cluster, Before(ConversationSeq(1)), 9, None).messages.is_empty());
}

#[test]
fn a_member_that_left_gets_to_the_end_of_what_it_saw() {
    let mut cluster = Cluster::new(2, Windows::default());
    cluster.order(create("g", "alice", &["bob"]));
    cluster.say_in("alice", "one", "g");
    cluster.order(change("g", &[], &["bob"]));
    (0..5).for_each(|n| drop(cluster.say_in("alice", &format!("later {n}"), "g")));
    for limit in 1..5 {
        let seen = told(&cluster.history("bob", &in_group("g"), limit));
        assert_eq!(seen, ["created alice bob", "one", "removed bob"], "by {limit}");
    }
    let row = cluster.rows("bob").remove(0);
    assert_eq!((told(&[row.last.expect("there")]), row.newest_seq), (vec!["removed bob".into()], ConversationSeq(3)));
}

#[test]
fn what_is_past_its_time_is_shown_nowhere_and_keeps_its_place() {
    let mut cluster = Cluster::new(2, Windows::default());
    let send = send_to("m", Recipient::User(user("bob")), "for a minute");
    cluster.ask("alice", Command::Send(Send { annotations: noted(None, 60), ..send }));
    cluster.say("alice", "for ever", Recipient::User(user("bob")));
    assert_eq!(cluster.inbox("bob").len(), 2);
    cluster.now = cluster.now.plus(60_000);
    for who in ["alice", "bob"] {
        let inbox = cluster.inbox(who);
        assert_eq!((told(&inbox), inbox[0].seq), (vec!["for ever".into()], Seq(2)));
    }
    assert_eq!(told(&page(&mut cluster, After(ConversationSeq(0)), 9, None).messages), ["for ever"]);
}

#[test]
fn a_page_and_a_list_hold_no_more_than_their_bytes() {
    let mut cluster = Cluster::new(1, Windows::default());
    let content = "x".repeat(60_000);
    for n in 0..6 {
        let peer = format!("peer-{n}");
        cluster.ask("alice", message(&format!("a{n}"), &peer, &content));
        cluster.ask("alice", message(&format!("b{n}"), "bob", &content));
    }
    let most = Limits::default().sync_bytes_max / content.len();
    assert_eq!(page(&mut cluster, After(ConversationSeq(0)), 100, None).messages.len(), most);
    let (mut before, mut seen) = (Seq(0), Vec::new());
    loop {
        let list = Command::Conversations(Conversations { before, limit: 100 });
        let Reply::Conversations { rows, has_more } = cluster.ask("alice", list) else { panic!("a list") };
        assert!((1..=most).contains(&rows.len()));
        before = rows[rows.len() - 1].last_seq;
        seen.extend(rows.into_iter().map(|row| row.conversation));
        if !has_more {
            break;
        }
    }
    assert_eq!(seen.len(), 7, "all of them, page by page");
}

fn named(name: &str) -> Option<ConversationName> {
    Some(ConversationName::new(name).expect("well formed"))
}

fn by_name(name: &str) -> ConversationRef {
    ConversationRef::Named(ConversationName::new(name).expect("well formed"))
}

#[test]
fn a_name_is_one_users_for_one_conversation() {
    for shards in 1..=2 {
        let mut cluster = Cluster::new(shards, Windows::default());
        let say = |id: &str, to: &str, name: &str| {
            let send = send_to(id, Recipient::User(user(to)), id);
            Command::Send(Send { conversation_name: named(name), ..send })
        };
        assert_eq!(refusal(&cluster.ask("alice", say("1", "bob", "work"))), None);
        let id = id_of(&cluster.ask("bob", say("2", "alice", "home")));
        assert_eq!(refusal(&cluster.ask("alice", say("3", "carol", "work"))), Some(Refusal::InvalidParam));
        let mut cluster = cluster.restart(Windows::default());
        assert_eq!(refusal(&cluster.ask("alice", say("3", "carol", "work"))), Some(Refusal::InvalidParam));
        let names = |entries: Vec<Entry>| entries.iter().map(|it| it.conversation_name()).collect::<Vec<_>>();
        assert_eq!(names(cluster.inbox("alice")), ["work", "work"]);
        assert_eq!(names(cluster.inbox("bob")), ["home", "home"]);
        let revoke = |name: &str| Command::Revoke(Revoke { message: id, conversation: by_name(name) });
        assert_eq!(refusal(&cluster.ask("bob", revoke("work"))), Some(Refusal::ConversationNotExist), "alice's name");
        assert_eq!(cluster.ask("bob", revoke("home")), Reply::Done);
        assert_eq!(cluster.ask("bob", revoke("single_alice_bob")), Reply::Done, "the server's name stays");
    }
}

#[test]
fn the_servers_names_resolve_whatever_ids_hold() {
    let mut cluster = Cluster::new(2, Windows::default());
    for (at, (one, other)) in [("a_b", "c"), ("a", "b_c"), ("a", "a"), ("x_y_z", "x_y")].into_iter().enumerate() {
        let text = format!("{one} to {other}");
        cluster.ask(one, message(&format!("m{at}"), other, &text));
        let name = crate::model::Conversation::pair(user(one), user(other)).default_name();
        for who in [one, other] {
            assert_eq!(
                told(&cluster.history(who, &by_name(&name), 9)),
                std::slice::from_ref(&text),
                "{who} says {name}"
            );
        }
    }
    assert!(cluster.history("c", &by_name("single_a_b_d"), 9).is_empty());
    cluster.order(create("of_friends", "a", &["c"]));
    assert_eq!(cluster.history("c", &by_name("group_of_friends"), 9).len(), 1);
    assert!(cluster.history("b_c", &by_name("group_of_friends"), 9).is_empty());
}
