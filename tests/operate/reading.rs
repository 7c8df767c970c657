//! What an application's backend reads over HTTP: inboxes, histories and lists by pages, sessions, presence, tokens.

use crate::common::binary::BinaryClient;
use crate::common::http::Api;
use crate::common::rpc::RpcClient;
use crate::common::{Home, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn send(api: &Api, from: &str, to: &Value, id: &str) -> Value {
    let body = json!({"from": from, "to": to, "client_msg_id": id, "payload": {"content": id}});
    api.post("/v1/messages", &body).expect(201)
}

fn page(api: &Api, path: &str) -> Value {
    let answer = api.get(path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// All pages of a list, with `after` each page's `next`; something happens before each.
fn pages(api: &Api, path: &str, list: &str, mut before_each: impl FnMut(usize)) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for number in 0..1_000 {
        before_each(number);
        let page = page(api, &format!("{path}{cursor}"));
        all.extend(page[list].as_array().unwrap_or_else(|| panic!("no {list}: {page}")).iter().cloned());
        let next = match &page["next"] {
            Value::Null => return all,
            Value::String(next) => next.clone(),
            next => next.to_string(),
        };
        cursor = format!("&after={next}");
    }
    panic!("{path} does not end");
}

fn texts<'a>(entries: &'a [Value], member: &str) -> Vec<&'a str> {
    entries.iter().filter_map(|entry| entry[member].as_str()).collect()
}

#[test]
fn pages_have_no_hole_and_nothing_twice_while_messages_come() {
    let (_server, api) = Home::new().start_with_api();
    api.ask("POST", "/v1/groups", r#"{"id":"team","owner":"alice","members":["bob"]}"#);
    let (bob, team) = (json!({"user": "bob"}), json!({"group": "team"}));
    for number in 0..40 {
        send(&api, "alice", if number % 2 == 0 { &bob } else { &team }, &format!("m{number:02}"));
    }
    let more = |number: usize| {
        if number < 6 {
            send(&api, "alice", &bob, &format!("p{number}"));
            send(&api, "alice", &team, &format!("g{number}"));
        }
    };
    let inbox = pages(&api, "/v1/users/bob/inbox?limit=7", "entries", more);
    let seqs: Vec<u64> = inbox.iter().map(|entry| entry["seq"].as_u64().expect("a seq")).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let facts = ["event", "owner", "members", "member_count", "by"].map(|name| inbox[0][name].clone());
    assert_eq!(
        facts,
        [json!("group.created"), json!("alice"), json!(["alice", "bob"]), json!(2), json!("alice")],
        "{}",
        inbox[0]
    );
    let said = texts(&inbox, "client_msg_id");
    assert_eq!(said.iter().collect::<BTreeSet<_>>().len(), said.len());
    assert_eq!(said.len(), 52, "{said:?}");
    assert!(inbox.iter().filter(|entry| entry["client_msg_id"] == "m00").all(|entry| {
        entry["conversation"] == json!({"user": "alice"}) && entry["payload"] == json!({"content": "m00"})
    }));

    for (path, expected) in [("/v1/users/alice/history/bob", 26), ("/v1/groups/team/history", 27)] {
        let forward = pages(&api, &format!("{path}?limit=5"), "messages", |_| {});
        let newest = page(&api, &format!("{path}?limit=5&after=0"));
        assert_eq!(newest["messages"][0]["conversation_seq"], 1, "after=0 reads from the first");
        assert!(forward.len() >= 5, "{path}");
        let mut back: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = page(&api, &format!("{path}?limit=5{cursor}"));
            let mut messages = page["messages"].as_array().expect("a list").clone();
            messages.append(&mut back);
            back = messages;
            if page["next"].is_null() {
                break;
            }
            cursor = format!("&before={}", page["next"]);
        }
        let seqs: Vec<u64> = back.iter().map(|it| it["conversation_seq"].as_u64().expect("a seq")).collect();
        assert_eq!(seqs, (1..=expected).collect::<Vec<u64>>(), "{path}");
    }
    let rows = page(&api, "/v1/users/bob/conversations?limit=1");
    assert_eq!(rows["conversations"][0]["conversation"], json!({"group": "team"}));
    let rows = pages(&api, "/v1/users/bob/conversations?limit=1", "conversations", |_| {});
    assert_eq!((rows.len(), &rows[1]["unread"], &rows[1]["last"]["client_msg_id"]), (2, &json!(26), &json!("p5")));
}

#[test]
fn what_was_taken_back_is_shown_as_such_and_who_is_not_there_is_not_found() {
    let (_server, api) = Home::new().start_with_api();
    let to = json!({"user": "bob"});
    let id = send(&api, "alice", &to, "one")["message_id"].as_str().expect("an id").to_owned();
    api.ask("DELETE", &format!("/v1/messages/{id}?user=bob"), "");
    for path in ["/v1/users/bob/inbox", "/v1/users/alice/inbox"] {
        let entries = page(&api, path)["entries"].as_array().expect("a list").clone();
        let entry = &entries[0];
        assert_eq!((&entry["revoked"], &entry["message_id"]), (&json!(true), &json!(id)), "{path}");
        assert!(entry.get("payload").is_none() && entry.get("content").is_none(), "{entry}");
    }
    assert_eq!(page(&api, "/v1/users/bob/history/alice")["messages"][0]["revoked"], true);
    for path in ["/v1/users/nobody/inbox", "/v1/users/nobody/conversations"] {
        assert_eq!(api.get(path).refusal(), (404, "user_not_exist".to_owned()), "{path}");
    }
    for path in ["/v1/groups/nowhere/history", "/v1/users/alice/history/carol"] {
        assert_eq!(api.get(path).refusal(), (404, "conversation_not_exist".to_owned()), "{path}");
    }
    for path in [
        "/v1/users/bob/inbox?limit=0",
        "/v1/users/bob/inbox?limit=1001",
        "/v1/users/bob/inbox?after=-1",
        "/v1/users/bob/inbox?after=1&before=2",
        "/v1/users/bob/inbox?page=1",
        "/v1/users/bob/inbox?after=9223372036854775808",
        "/v1/users/bob/conversations?limit=201",
        "/v1/users/bob/conversations?before=1",
        "/v1/users/alice/history/bob?after=1&before=2",
        "/v1/users?limit=1001",
    ] {
        assert_eq!(api.get(path).refusal(), (400, "invalid_param".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn sessions_are_shown_and_ended_and_their_users_come_back() {
    let (server, api) = Home::new().start_with_api();
    let mut binary = server.binary("alice").await;
    let mut rpc = server.rpc("alice").await;
    let sessions = page(&api, "/v1/users/alice/sessions")["sessions"].as_array().expect("a list").clone();
    let shown: Vec<_> = sessions.iter().map(|it| (it["protocol"].as_str(), it["device"].as_str())).collect();
    assert_eq!(shown, [(Some("binary"), Some("Linux")), (Some("jsonrpc"), Some("d"))]);
    for session in &sessions {
        assert!(session["address"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")), "{session}");
        assert!(session["since"].as_u64() > Some(1_700_000_000_000) && session["queued_bytes"].is_u64(), "{session}");
    }
    let path = format!("/v1/users/alice/sessions/{}", sessions[1]["id"].as_str().expect("an id"));
    for _again in 0..2 {
        assert_eq!(api.ask("DELETE", &path, "").status, 200);
    }
    assert_eq!(rpc.receive().await, Err(Some(4009)));
    assert!(binary.heartbeat().await > 0, "the other one goes on");
    assert_eq!(page(&api, "/v1/users/alice/sessions")["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(api.ask("DELETE", "/v1/users/alice/sessions", "").status, 200);
    assert_eq!(binary.ending().await, Some(4009));
    server.rpc("alice").await;
    assert_eq!(page(&api, "/v1/users/nobody/sessions"), json!({"sessions": []}));
}

#[tokio::test]
async fn tokens_log_in_and_presence_is_told() {
    let (server, api) = Home::new().start_with_api();
    let mint = |body: Value| api.post("/v1/tokens", &body);
    let minted = mint(json!({"user": "alice", "ttl_s": 60}));
    assert_eq!(minted.status, 201, "{minted:?}");
    let token = minted.json()["token"].as_str().expect("a token").to_owned();
    let client = RpcClient::login(server.address, "/rpc", "alice", &token).await;
    let on_android = mint(json!({"user": "bob", "platform": "Android"})).json();
    let on_android = on_android["token"].as_str().expect("a token");
    let mut bob = BinaryClient::connect(server.address).await;
    assert_ne!(bob.authenticate_on("bob", on_android, "Linux").await.number("error_code"), 0);
    let mut bob = BinaryClient::connect(server.address).await;
    assert_eq!(bob.authenticate_on("bob", on_android, "Android").await.number("error_code"), 0);
    for refused in [json!({"user": ""}), json!({"user": "a", "ttl_s": 0}), json!({"user": "a", "platform": ""})] {
        assert_eq!(mint(refused.clone()).refusal(), (400, "invalid_param".to_owned()), "{refused}");
    }

    let ask = |users: &[&str]| api.post("/v1/presence", &json!({"users": users}));
    let states = ask(&["carol", "bob", "alice"]).json();
    let online: Vec<_> = states["states"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|state| (state["user"].as_str(), state["online"].as_bool()))
        .collect();
    assert_eq!(online, [(Some("alice"), Some(true)), (Some("bob"), Some(true)), (Some("carol"), Some(false))]);
    drop(client);
    wait_for("alice to be gone", || {
        let state = ask(&["alice"]).json()["states"][0].clone();
        (state["online"] == false && state["last_seen"].as_u64() > Some(0)).then_some(())
    });
    let many: Vec<String> = (0..1_001).map(|number| format!("user-{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(ask(&many).refusal(), (400, "invalid_param".to_owned()));
    assert_eq!(ask(&many[..1_000]).json()["states"].as_array().map(Vec::len), Some(1_000));
}

#[test]
fn users_and_groups_are_listed_whole_until_the_server_starts_anew() {
    let home = Home::new();
    let (server, api) = home.start_with_api();
    for number in 0..30 {
        api.ask("PUT", &format!("/v1/users/user-{number:02}"), "");
    }
    for number in 0..12 {
        let body = json!({"id": format!("group-{number:02}"), "owner": format!("user-{number:02}")});
        api.post("/v1/groups", &body);
        send(&api, &format!("user-{number:02}"), &json!({"user": "user-29"}), "hello");
    }
    api.ask("DELETE", "/v1/groups/group-03", "");
    let come = |number: usize| drop(api.ask("PUT", &format!("/v1/users/late-{number}"), ""));
    let users = pages(&api, "/v1/users?limit=4", "users", come);
    let ids = texts(&users, "id");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "nobody twice: {ids:?}");
    let expected: Vec<String> = (0..30).map(|number| format!("user-{number:02}")).collect();
    assert!(expected.iter().all(|id| ids.contains(&id.as_str())), "{ids:?}");
    let groups = pages(&api, "/v1/groups?limit=2", "groups", |_| {});
    let mut ids = texts(&groups, "id");
    ids.sort_unstable();
    let expected: Vec<String> = (0..12).filter(|it| *it != 3).map(|number| format!("group-{number:02}")).collect();
    assert_eq!(ids, expected);
    assert!(groups.iter().all(|group| group["member_count"] == 1 && group["created"].as_u64() > Some(0)));

    let stats = page(&api, "/v1/stats");
    assert_eq!((&stats["ready"], &stats["shards"], &stats["storage_full"]), (&json!(true), &json!(2), &json!(false)));
    wait_for("the shards to publish their numbers", || (page(&api, "/v1/stats")["groups"] == 11).then_some(()));
    let cursor = page(&api, "/v1/users?limit=4")["next"].as_str().expect("more").to_owned();
    server.stop();
    let (_server, api) = home.start_with_api();
    for after in [cursor.as_str(), "1.2.3"] {
        let refused = api.get(&format!("/v1/users?limit=4&after={after}")).refusal();
        assert_eq!(refused, (410, "cursor_expired".to_owned()), "{after}");
    }
    assert_eq!(api.get("/v1/users?after=x").refusal(), (400, "invalid_param".to_owned()));
}
