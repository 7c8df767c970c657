//! What an application's backend does over HTTP: it sends in users' names, one message or many, and takes messages back.

use crate::common::Home;
use crate::common::binary::command;
use crate::common::http::{Answer, Api};
use serde_json::{Value, json};

fn message(from: &str, to: &Value, id: &str) -> Value {
    json!({"from": from, "to": to, "client_msg_id": id, "payload": {"type": 1, "content": id}})
}

fn to(user: &str) -> Value {
    json!({"user": user})
}

fn to_group(group: &str) -> Value {
    json!({"group": group})
}

fn with(mut message: Value, name: &str, value: Value) -> Value {
    message[name] = value;
    message
}

fn post(api: &Api, message: &Value) -> Answer {
    api.post("/v1/messages", message)
}

/// The answer to a message that is sent now.
fn sent(api: &Api, message: &Value) -> Value {
    post(api, message).expect(201)
}

fn id_of(sent: &Value) -> String {
    sent["message_id"].as_str().expect("a decimal string").to_owned()
}

#[tokio::test]
async fn a_message_is_pushed_in_both_protocols_and_is_in_the_inboxes_after_a_kill() {
    let home = Home::new();
    let (server, api) = home.start_with_api();
    let mut alice = server.binary("alice").await;
    let mut bob = server.rpc("bob").await;
    let extra = json!({"order": "4711"});
    let first = sent(&api, &with(message("alice", &to("bob"), "one"), "extra", extra.clone()));
    assert_eq!((&first["conversation_seq"], &first["duplicate"]), (&json!(1), &json!(false)));
    assert!(first["server_time"].as_u64() > Some(1_700_000_000_000), "{first}");

    let heard = bob.next("recv").await;
    assert_eq!((&heard["messageId"], &heard["fromUid"]), (&first["message_id"], &json!("alice")));
    assert_eq!((&heard["payload"], &heard["extra"]), (&json!({"type": 1, "content": "one"}), &extra));
    assert_eq!(heard["clientMsgNo"], "one");
    let pushed = alice.next_push().await;
    assert_eq!(pushed.text("message_id"), id_of(&first), "the author's own session is told");

    let bytes = json!({"from": "bob", "to": to("alice"), "client_msg_id": "bytes", "content": "AAH/", "type": 7});
    let second = sent(&api, &bytes);
    let pushed = alice.next_push().await;
    assert_eq!((pushed.bytes("content"), pushed.number("message_type")), (vec![0, 1, 255], 7));
    server.kill();

    let server = home.start();
    let mut bob = server.rpc("bob").await;
    let inbox = bob.inbox().await;
    let ids: Vec<&Value> = inbox.iter().map(|entry| &entry["messageId"]).collect();
    assert_eq!(ids, [&first["message_id"], &second["message_id"]]);
    let mut alice = server.binary("alice").await;
    assert_eq!(alice.inbox().await.len(), 2);
    let again = post(&home.api(), &with(message("alice", &to("bob"), "one"), "extra", extra));
    let expected = with(first, "duplicate", json!(true));
    assert_eq!((again.status, again.json()), (200, expected), "and the first answer is given again");
}

#[tokio::test]
async fn a_client_and_a_backend_that_send_the_same_send_one_message() {
    let (server, api) = Home::new().start_with_api();
    let mut bob = server.rpc("bob").await;
    let answer = bob.send("alice", "one", json!({"type": 1, "content": "one"})).await;
    let again = post(&api, &message("bob", &to("alice"), "one"));
    assert_eq!((again.status, &again.json()["message_id"]), (200, &answer["result"]["messageId"]));
    let first = sent(&api, &message("bob", &to("alice"), "two"));
    let answer = bob.send("alice", "two", json!({"type": 1, "content": "two"})).await;
    assert_eq!(answer["result"]["messageId"], first["message_id"]);
    let other = with(message("bob", &to("alice"), "two"), "payload", json!({"content": "other"}));
    assert_eq!(post(&api, &other).refusal(), (409, "client_message_id_reused".to_owned()));
}

#[tokio::test]
async fn an_author_may_what_its_session_might_and_the_system_may_more() {
    let (server, api) = Home::new().start_with_api();
    let mut bob = server.rpc("bob").await;
    api.ask("PUT", "/v1/users/bob/blocks/mallory", "");
    api.ask("PUT", "/v1/users/gone/disabled", "");
    api.ask("POST", "/v1/groups", r#"{"id":"team","owner":"bob","members":["carol"]}"#);
    api.ask("PUT", "/v1/groups/team/members/carol", r#"{"muted_until":4000000000000}"#);
    let refused = [
        ("mallory", to("bob"), 403, "permission_denied"),
        ("alice", to_group("team"), 403, "permission_denied"),
        ("carol", to_group("team"), 403, "permission_denied"),
        ("gone", to("bob"), 403, "account_disabled"),
    ];
    for (number, (author, recipient, status, code)) in refused.into_iter().enumerate() {
        let one = message(author, &recipient, &format!("m{number}"));
        assert_eq!(post(&api, &one).refusal(), (status, code.to_owned()), "{one}");
        let by_system = with(one, "as", json!("system"));
        let first = sent(&api, &by_system);
        assert_eq!(bob.next("recv").await["messageId"], first["message_id"], "{by_system}");
        assert_eq!(post(&api, &by_system).status, 200);
    }
    let nowhere = message("alice", &to_group("nowhere"), "x");
    for nowhere in [nowhere.clone(), with(nowhere, "as", json!("system"))] {
        assert_eq!(post(&api, &nowhere).refusal(), (404, "conversation_not_exist".to_owned()));
    }
    let counted = |authority: &str, outcome: &str| {
        api.sample(&format!("mushan_admin_messages_total{{as=\"{authority}\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!((counted("author", "refused"), counted("system", "refused")), (5.0, 1.0));
    assert_eq!((counted("system", "accepted"), counted("system", "duplicate")), (4.0, 4.0));
}

#[test]
fn what_is_no_message_is_refused_by_name_before_any_shard_hears_of_it() {
    let (_server, api) = Home::new().start_with_api();
    let good = message("a", &to("b"), "1");
    let without = |name: &str| {
        let mut message = good.clone();
        message.as_object_mut().expect("an object").remove(name);
        message
    };
    let large = "A".repeat(88_000);
    for (body, status, code, said) in [
        (without("from"), 400, "invalid_param", "from"),
        (without("to"), 400, "invalid_param", "to"),
        (without("client_msg_id"), 400, "invalid_param", "client_msg_id"),
        (without("payload"), 400, "invalid_param", "payload and content"),
        (with(without("payload"), "content", json!("not base64!")), 400, "invalid_param", "base64"),
        (with(good.clone(), "content", json!("aGk=")), 400, "invalid_param", "payload and content"),
        (with(good.clone(), "payload", json!("text")), 400, "invalid_param", "payload"),
        (with(good.clone(), "to", json!({"user": "b", "group": "g"})), 400, "invalid_param", "to names"),
        (with(good.clone(), "from", json!("a\u{1}")), 400, "invalid_param", "control character"),
        (with(good.clone(), "client_msg_id", json!("stream-end-1")), 400, "invalid_param", ""),
        (with(good.clone(), "extra", json!({"revoked": "1"})), 400, "invalid_param", ""),
        (with(good.clone(), "type", json!(1001)), 400, "invalid_param", "type"),
        (with(good.clone(), "as", json!("root")), 400, "invalid_param", "root"),
        (with(good.clone(), "color", json!("red")), 400, "invalid_param", "color"),
        (with(without("payload"), "content", json!(large)), 413, "message_too_large", ""),
        (with(good.clone(), "extra", json!({"k": "x".repeat(9_000)})), 413, "message_too_large", "extra"),
    ] {
        let answer = post(&api, &body);
        assert_eq!(answer.refusal(), (status, code.to_owned()), "{said}");
        assert!(answer.body.contains(said), "{said:?} is not said: {answer:?}");
    }
    for path in ["/v1/messages/x?user=a", "/v1/messages/1", "/v1/messages/99999999999999999999?user=a"] {
        assert_eq!(api.ask("DELETE", path, "").refusal(), (400, "invalid_param".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn what_is_not_stored_is_told_to_those_online_and_what_expires_is_gone() {
    let (server, api) = Home::new().start_with_api();
    let mut bob = server.rpc("bob").await;
    let passing = sent(&api, &with(message("alice", &to("bob"), "passing"), "no_persist", json!(true)));
    assert_eq!(passing["conversation_seq"], 0);
    let heard = bob.next("recv").await;
    assert_eq!((&heard["messageId"], &heard["header"]["noPersist"]), (&passing["message_id"], &json!(true)));
    let once = sent(&api, &with(message("alice", &to("bob"), "once"), "sync_once", json!(true)));
    assert_eq!(bob.next("recv").await["header"]["syncOnce"], true);
    let short = sent(&api, &with(message("alice", &to("bob"), "short"), "expire", json!(3_600)));
    assert_eq!(bob.next("recv").await["expire"], 3_600);
    let ids: Vec<Value> = bob.inbox().await.iter().map(|entry| entry["messageId"].clone()).collect();
    assert_eq!(ids, [once["message_id"].clone(), short["message_id"].clone()]);
}

#[tokio::test]
async fn a_batch_is_answered_message_by_message_and_keeps_each_authors_order() {
    let (server, api) = Home::new().start_with_api();
    let authors = ["alice", "bob", "carol"];
    let mut messages: Vec<Value> =
        (0..999).map(|number| message(authors[number % 3], &to("dave"), &format!("m{number:03}"))).collect();
    messages[500] = json!({"from": "alice", "to": {"user": "dave"}});
    messages[600] = with(messages[600].clone(), "to", to_group("nowhere"));
    messages.push(messages[0].clone());
    let answer = api.post("/v1/messages/batch", &json!({"messages": messages}));
    assert_eq!(answer.status, 200, "{answer:?}");
    let answers = answer.json()["answers"].as_array().expect("a list").clone();
    assert_eq!(answers.len(), 1_000);
    for (at, answer) in answers.iter().enumerate() {
        let expected = match at {
            500 => (400, json!("invalid_param")),
            600 => (404, json!("conversation_not_exist")),
            999 => (200, Value::Null),
            _ => (201, Value::Null),
        };
        assert_eq!((&answer["status"], &answer["error"]["code"]), (&json!(expected.0), &expected.1), "{at}: {answer}");
    }
    assert_eq!(answers[999]["message_id"], answers[0]["message_id"]);
    assert_eq!(answers[999]["duplicate"], true);

    let mut dave = server.rpc("dave").await;
    let inbox = dave.inbox().await;
    assert_eq!(inbox.len(), 997);
    for author in authors {
        let of = inbox.iter().filter(|entry| entry["fromUid"] == author);
        let ids: Vec<&str> = of.map(|entry| entry["clientMsgNo"].as_str().expect("an id")).collect();
        assert!(ids.is_sorted(), "{author}: {ids:?}");
    }
    let again = api.post("/v1/messages/batch", &json!({"messages": messages[..10]})).json();
    for (again, first) in again["answers"].as_array().expect("a list").iter().zip(&answers) {
        assert_eq!((&again["status"], &again["message_id"]), (&json!(200), &first["message_id"]));
    }
    for count in [0, 1_001] {
        let body = json!({"messages": vec![Value::Null; count]}).to_string();
        assert_eq!(api.ask("POST", "/v1/messages/batch", &body).refusal(), (400, "invalid_param".to_owned()));
    }
}

#[tokio::test]
async fn the_operators_revocation_is_seen_in_both_protocols() {
    let (server, api) = Home::new().start_with_api();
    api.ask("POST", "/v1/groups", r#"{"id":"team","owner":"alice","members":["bob"]}"#);
    let mut alice = server.binary("alice").await;
    let mut bob = server.rpc("bob").await;
    for (recipient, of, other) in [(to("bob"), "alice", "bob"), (to_group("team"), "bob", "alice")] {
        let id = id_of(&sent(&api, &message("alice", &recipient, &format!("to {recipient}"))));
        for user in [of, other, of] {
            let answer = api.ask("DELETE", &format!("/v1/messages/{id}?user={user}"), "");
            assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
        }
        let told = bob.next("revoked").await;
        assert_eq!((&told["messageId"], &told["revokedBy"]), (&json!(id), &json!("alice")));
        let told = alice.next_told(command::REVOKED, "RevokeMessagePush").await;
        assert_eq!(told.text("message_id"), id);
        let inbox = bob.inbox().await;
        let entry = inbox.iter().find(|entry| entry["type"].is_null() && entry["messageId"] == id).expect("its place");
        assert_eq!(entry["extra"], json!({"revoked": "1"}), "a tombstone");
    }
    let revoke = |id: &str, user: &str| api.ask("DELETE", &format!("/v1/messages/{id}?user={user}"), "").refusal();
    assert_eq!(revoke("1", "alice"), (404, "conversation_not_exist".to_owned()));
    assert_eq!(revoke("1", "nobody"), (404, "user_not_exist".to_owned()));
}

#[test]
fn in_a_closed_directory_both_sides_must_be_known() {
    let config = "directory = \"closed\"\n[server]\nsegment_bytes = 1048576\n";
    let (_server, api) = Home::new().with_config(config).start_with_api();
    api.ask("PUT", "/v1/users/bob", "");
    let one = message("alice", &to("bob"), "one");
    assert_eq!(post(&api, &one).refusal(), (404, "user_not_exist".to_owned()));
    let two = message("bob", &to("alice"), "two");
    assert_eq!(post(&api, &two).refusal(), (404, "user_not_exist".to_owned()));
    assert_eq!(post(&api, &with(two.clone(), "as", json!("system"))).refusal(), (404, "user_not_exist".to_owned()));
    assert_eq!(post(&api, &with(one.clone(), "as", json!("system"))).status, 201);
    api.ask("PUT", "/v1/users/alice", "");
    assert_eq!((post(&api, &one).status, post(&api, &two).status), (200, 201));
}
