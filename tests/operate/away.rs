//! `user.offline_message`: who had no session when a message was committed, told once over restarts and kills.

use crate::common::http::Api;
use crate::common::{Home, wait_for};
use crate::events::{Stream, cursor_of, from_begin_to_the_message, send, sent};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const AWAY: &str = "user.offline_message";

/// The users who were away, by the client id of the message; each once.
fn away(events: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut away: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["event"] == AWAY) {
        let id = event["message"]["client_msg_id"].as_str().expect("an id").to_owned();
        for user in event["users"].as_array().expect("users") {
            let is_new = away.entry(id.clone()).or_default().insert(user.as_str().expect("a user").to_owned());
            assert!(is_new, "{user} was told of {id} twice");
        }
    }
    away
}

fn named(users: &[&str]) -> BTreeSet<String> {
    users.iter().map(|user| (*user).to_owned()).collect()
}

fn is_online(api: &Api, user: &str) -> bool {
    api.get(&format!("/v1/users/{user}/sessions")).json()["sessions"].as_array().is_some_and(|all| !all.is_empty())
}

#[tokio::test]
async fn exactly_those_who_have_no_session_are_away() {
    // With three shards, pairs and members are on the conversation's shard and on others.
    let (server, api) = Home::new().with_shards(3).start_with_api();
    let client = server.binary("here").await;
    wait_for("the session", || is_online(&api, "here").then_some(()));
    let members: Vec<String> = (0..150).map(|n| format!("m-{n}")).collect();
    let everybody = [&members[..], &["here".to_owned()]].concat();
    let group = json!({"id": "team", "owner": "author", "members": everybody});
    assert_eq!(api.post("/v1/groups", &group).status, 201);
    for n in 0..8 {
        sent(&api, "author", &json!({"user": format!("m-{n}")}), &format!("pair-{n}"));
        sent(&api, &format!("m-{n}"), &json!({"user": "here"}), &format!("here-{n}"));
    }
    sent(&api, "author", &json!({"user": "author"}), "to myself");
    sent(&api, "author", &json!({"group": "team"}), "to all");
    let unstored = json!({"from": "author", "to": {"user": "m-1"}, "client_msg_id": "unstored", "payload": {}, "no_persist": true});
    assert_eq!(api.post("/v1/messages", &unstored).status, 201);
    let expiring =
        json!({"from": "author", "to": {"user": "m-1"}, "client_msg_id": "expiring", "payload": {}, "expire": 60});
    let id = api.post("/v1/messages", &expiring).json()["message_id"].as_str().expect("an id").to_owned();
    assert_eq!(api.ask("DELETE", &format!("/v1/messages/{id}?user=author"), "").status, 200);
    drop(client);
    wait_for("the end of the session", || (!is_online(&api, "here")).then_some(()));
    sent(&api, "author", &json!({"user": "here"}), "gone");

    let mut expected: BTreeMap<String, BTreeSet<String>> =
        (0..8).map(|n| (format!("pair-{n}"), named(&[&format!("m-{n}")]))).collect();
    expected.insert("to all".to_owned(), members.into_iter().collect());
    expected.insert("expiring".to_owned(), named(&["m-1"]));
    expected.insert("gone".to_owned(), named(&["here"]));
    let mut stream = Stream::open(&api, &format!("?after=begin&types={AWAY}"));
    let mut events = Vec::new();
    while away(&events) != expected {
        events.push(stream.next().expect("it goes on"));
        let told = away(&events);
        let is_part = told.iter().all(|(id, users)| expected.get(id).is_some_and(|all| users.is_subset(all)));
        assert!(is_part, "{told:?}");
    }
    let of_all = events.iter().find(|event| event["message"]["client_msg_id"] == "to all").expect("an event");
    assert_eq!((&of_all["conversation"], &of_all["message"]["from"]), (&json!({"group": "team"}), &json!("author")));
    assert_eq!(of_all["message"]["payload"]["text"], "to all");

    let mut of_one = Stream::open(&api, &format!("?after=begin&types={AWAY}&user=m-149"));
    let event = of_one.next().expect("an event");
    assert_eq!((&event["users"], &event["message"]["client_msg_id"]), (&json!(["m-149"]), &json!("to all")));
}

#[test]
fn a_stream_that_is_cut_between_two_events_of_a_record_goes_on_with_the_second() {
    let (_server, api) = Home::new().with_shards(1).start_with_api();
    for n in 0..5 {
        sent(&api, "alice", &json!({"user": "bob"}), &format!("m-{n}"));
    }
    let told = |event: &Value| (event["event"].to_string(), event["message"]["client_msg_id"].to_string());
    let mut stream = Stream::open(&api, &format!("?after=begin&types=message.created,{AWAY}"));
    let whole: Vec<Value> = (0..10).map(|_| stream.next().expect("it goes on")).collect();
    assert_eq!(whole.iter().map(told).collect::<BTreeSet<_>>().len(), 10, "{whole:#?}");
    for (at, event) in whole.iter().enumerate() {
        let mut stream = Stream::open(&api, &format!("?after={}&types=message.created,{AWAY}", cursor_of(event)));
        let rest: Vec<_> = whole[at + 1..].iter().map(|_| told(&stream.next().expect("it goes on"))).collect();
        assert_eq!(rest, whole[at + 1..].iter().map(told).collect::<Vec<_>>(), "after {at}");
    }
}

#[test]
fn nobody_is_told_twice_or_not_at_all_over_kills_and_restarts() {
    let home = Home::new();
    let (server, mut api) = home.start_with_api();
    let members: Vec<String> = (0..20).map(|n| format!("m-{n}")).collect();
    let group = json!({"id": "team", "owner": "author", "members": members});
    assert_eq!(api.post("/v1/groups", &group).status, 201);
    let (mut server, mut cursor, mut events) = (Some(server), "begin".to_owned(), Vec::new());
    let mut expected = BTreeMap::new();
    for round in 0..4 {
        for n in 0..10 {
            let (to, users) = match n % 2 {
                0 => (json!({"user": format!("m-{n}")}), named(&[&format!("m-{n}")])),
                _ => (json!({"group": "team"}), members.iter().cloned().collect()),
            };
            let id = format!("r{round}-{n}");
            assert_eq!(send(&api, "author", &to, &id).status, 201);
            expected.insert(id, users);
        }
        let mut stream = Stream::open(&api, &format!("?after={cursor}&types={AWAY}"));
        for _event in 0..7 {
            let event = stream.next().expect("it goes on");
            cursor = cursor_of(&event);
            events.push(event);
        }
        server.take().expect("it runs").end_in_turn(round);
        server = Some(home.start());
        api = home.api();
    }
    let mut stream = Stream::open(&api, &format!("?after={cursor}&types={AWAY}"));
    while away(&events) != expected {
        events.push(stream.next().expect("it goes on"));
        assert!(away(&events).len() <= expected.len());
    }
    sent(&api, "author", &json!({"user": "m-1"}), "last");
    assert_eq!(stream.next().expect("it goes on")["message"]["client_msg_id"], "last", "nothing twice");
    assert!(!from_begin_to_the_message(&api, "last").is_empty());
}
