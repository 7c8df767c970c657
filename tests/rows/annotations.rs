//! What a JSON-RPC message may say about itself: header and setting flags, topic, expiry, key; and who is shown it.

use crate::common::binary::SUCCESS;
use crate::common::binary_fields::text;
use crate::common::keys::{agreed, proof, public_key};
use crate::world::{World, channel, client_ids, client_numbers, list, to, with};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn flags_topic_key_and_expiry_are_carried_as_they_are() {
    let world = World::new();
    let (mut alice, mut bob, mut web) = (world.rpc("alice").await, world.rpc("bob").await, world.wukong("bob").await);
    let said = json!({"header": {"redDot": true, "dup": true, "syncOnce": true},
        "setting": {"receipt": true, "topic": true}, "topic": "news", "msgKey": "a key", "expire": 3_600});
    alice.result("send", to("bob", "all", &said)).await;
    for client in [&mut bob, &mut web] {
        let seen = client.next("recv").await;
        for name in ["header", "setting", "topic", "msgKey", "expire"] {
            assert_eq!(seen[name], said[name], "{name}");
        }
    }
    alice.result("send", to("bob", "none", &json!({"header": {"redDot": false}, "setting": {"receipt": false}}))).await;
    let seen = bob.next("recv").await;
    assert_eq!(seen["header"], json!({}), "always an object, of the flags that are true");
    for name in ["setting", "topic", "msgKey", "expire", "streamNo", "streamId", "streamFlag", "extra", "id"] {
        assert!(seen.get(name).is_none(), "{name}: {seen}");
    }
}

#[tokio::test]
async fn what_is_not_to_be_stored_reaches_those_who_are_there_and_nobody_else() {
    let world = World::new();
    let (mut alice, mut bob, mut binary) =
        (world.rpc("alice").await, world.rpc("bob").await, world.binary("bob").await);
    let mut desk = world.binary("alice").await;
    let transient = json!({"header": {"noPersist": true}});
    let sent = alice.result("send", to("bob", "now", &transient)).await;
    assert_eq!((&sent["messageSeq"], &sent["inboxSeq"]), (&json!(0), &json!(0)));
    let seen = bob.next("recv").await;
    assert_eq!((&seen["clientMsgNo"], &seen["messageSeq"], &seen["inboxSeq"]), (&json!("now"), &json!(0), &json!(0)));
    assert_eq!(seen["header"], json!({"noPersist": true}));
    for client in [&mut binary, &mut desk] {
        let push = client.next_push().await;
        assert_eq!((push.text("client_msg_id"), push.number("seq")), ("now".into(), 0));
    }
    alice.result("send", to("carol", "nobody", &transient)).await;
    alice.result("send", to("bob", "stored", &json!({}))).await;
    world.settle("bob", 1).await;
    assert_eq!(client_ids(&binary.inbox().await), ["stored"]);
    assert!(world.binary("carol").await.inbox().await.is_empty());
    let history = bob.result("history", channel("alice")).await;
    assert_eq!(client_numbers(list(&history, "messages")), ["stored"]);
}

#[tokio::test]
async fn what_is_to_be_seen_once_is_consumed_by_the_first_device_that_acknowledges_it() {
    let world = World::new();
    let mut alice = world.rpc("alice").await;
    let once = json!({"header": {"syncOnce": true}});
    alice.result("send", to("bob", "once", &once)).await;
    alice.result("send", to("bob", "always", &json!({}))).await;
    let mut phone = world.rpc_on("bob", "phone").await;
    let seen = phone.next("recv").await;
    assert_eq!((&seen["clientMsgNo"], &seen["header"]), (&json!("once"), &once["header"]));
    let mut tablet = world.rpc_on("bob", "tablet").await;
    assert_eq!(tablet.next("recv").await["clientMsgNo"], "once", "until one has it, each is shown it");
    phone.result("recvack", json!({"messageId": seen["messageId"], "messageSeq": seen["messageSeq"]})).await;
    drop(tablet);
    for device in ["tablet", "watch"] {
        let mut late = world.rpc_on("bob", device).await;
        assert_eq!(late.next("recv").await["clientMsgNo"], "always", "{device}");
    }
    let mut binary = world.binary("bob").await;
    assert_eq!(client_ids(&binary.sync(0, 0).await.list("messages")), ["always"]);

    alice.result("send", to("bob", "twice", &once)).await;
    let push = binary.next_push().await;
    binary.acknowledge(&push).await;
    binary.heartbeat().await;
    let mut late = world.rpc_on("bob", "late").await;
    assert_eq!(late.next("recv").await["clientMsgNo"], "always");
    assert!(late.messages_until_now().await.is_empty(), "a binary device consumes it as well");
}

#[tokio::test]
async fn what_has_expired_is_shown_nowhere_and_keeps_its_seq() {
    let world = World::new();
    let (mut alice, mut bob) = (world.rpc("alice").await, world.rpc("bob").await);
    alice.result("send", to("bob", "brief", &json!({"expire": 1}))).await;
    alice.result("send", to("bob", "lasting", &json!({"expire": 0}))).await;
    assert_eq!(bob.next("recv").await["expire"], 1);
    assert!(bob.next("recv").await.get("expire").is_none(), "0 is never");
    let mut binary = world.binary("bob").await;
    let page = loop {
        let page = binary.sync(0, 0).await;
        if page.list("messages").len() == 1 {
            break page;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let kept = &page.list("messages")[0];
    assert_eq!((kept.text("client_msg_id"), kept.number("seq")), ("lasting".into(), 2));
    assert_eq!(page.number("server_max_seq"), 2);
    let history = binary.history("single_alice_bob", &[]).await;
    let first = history.list("messages")[0].message("message").expect("a message");
    assert_eq!((history.list("messages").len(), first.text("client_msg_id")), (1, "lasting".into()));
    assert_eq!(client_numbers(list(&bob.result("sync", json!({})).await, "messages")), ["lasting"]);
    let mut late = world.rpc_on("bob", "late").await;
    assert_eq!(late.next("recv").await["clientMsgNo"], "lasting");
    for wrong in [json!(-1), json!(4_294_967_296_i64), json!("1")] {
        assert_eq!(alice.refusal("send", to("bob", "wrong", &json!({"expire": wrong}))).await, -32602);
    }
}

#[tokio::test]
async fn history_selects_by_topic_in_both_protocols() {
    let world = World::new();
    let (mut alice, mut bob) = (world.rpc("alice").await, world.binary("bob").await);
    for (id, topic) in [("1", "a"), ("2", "b"), ("3", ""), ("4", "a")] {
        let more = if topic.is_empty() { json!({}) } else { json!({"setting": {"topic": true}, "topic": topic}) };
        alice.result("send", to("bob", id, &more)).await;
    }
    world.settle("bob", 4).await;
    let history = alice.result("history", with(&channel("bob"), &json!({"topic": "a"}))).await;
    assert_eq!(client_numbers(list(&history, "messages")), ["1", "4"]);
    let history = bob.history("single_alice_bob", &[("topic", text("a"))]).await;
    assert_eq!(history.number("error_code"), SUCCESS);
    let seqs: Vec<i64> = history.list("messages").iter().map(|it| it.number("conversation_seq")).collect();
    assert_eq!((seqs, history.flag("has_more")), (vec![1, 4], false));
    assert_eq!(bob.history("single_alice_bob", &[("topic", text("c"))]).await.list("messages").len(), 0);
    let long = json!({"setting": {"topic": true}, "topic": "x".repeat(129)});
    assert_eq!(alice.refusal("send", to("bob", "5", &long)).await, -32602);
}

#[tokio::test]
async fn a_client_is_told_no_more_than_its_version_knows() {
    let world = World::new();
    let mut alice = world.rpc("alice").await;
    let more = json!({"setting": {"stream": true}, "streamNo": "s", "expire": 3_600});
    alice.result("send", to("bob", "chunk", &more)).await;
    let streams = ["streamNo", "streamId", "streamFlag"];
    for (version, has_streams, has_expiry) in [
        (json!(1), false, false),
        (json!(2), true, false),
        (json!(3), true, true),
        (json!(4), true, true),
        (Value::Null, true, true),
    ] {
        let params = json!({"deviceId": version.to_string(), "version": version});
        let (mut bob, _) = world.rpc_with("bob", params).await;
        let seen = bob.next("recv").await;
        let told = streams.map(|name| seen.get(name).is_some());
        assert_eq!((told, seen.get("expire").is_some()), ([has_streams; 3], has_expiry), "version {version}: {seen}");
    }
}

#[tokio::test]
async fn a_session_with_a_key_proves_what_it_sends_and_is_given_proofs_everywhere() {
    let world = World::new();
    let private = [7; 32];
    let (mut bob, result) = world.rpc_with("bob", json!({"deviceId": "d", "clientKey": public_key(private)})).await;
    let key = agreed(private, &result);
    let mut alice = world.binary("alice").await;
    alice.send("bob", "raw", b"plain").await;
    alice.send("bob", "object", b"{\"type\":1}").await;
    let proofs = [proof(&key, "raw", "alice", "cGxhaW4="), proof(&key, "object", "alice", "{\"type\":1}")];
    for expected in &proofs {
        assert_eq!(bob.next("recv").await["msgKey"], *expected);
    }
    for (method, params) in [("sync", json!({})), ("history", channel("alice"))] {
        let shown = bob.result(method, params).await;
        let keys: Vec<&Value> = list(&shown, "messages").iter().map(|it| &it["msgKey"]).collect();
        assert_eq!(keys, [&proofs[0], &proofs[1]], "{method}");
    }
    let rows = bob.result("conversations", json!({})).await;
    assert_eq!(rows["conversations"][0]["last"]["msgKey"], proofs[1]);

    let text = json!({"payload": "a \"text\""});
    let right = proof(&key, "own", "alice", "a \"text\"");
    let keyed = |key: &str| with(&to("alice", "own", &text), &json!({"msgKey": key}));
    assert_eq!(bob.refusal("send", to("alice", "own", &text)).await, 1106, "none");
    assert_eq!(bob.refusal("send", keyed(&right.replace(&right[..1], "g"))).await, 1106);
    assert_eq!(bob.result("send", keyed(&right.to_uppercase())).await["messageSeq"], 3);
    assert_eq!(alice.next_push().await.bytes("content"), b"a \"text\"");
    let group = json!({"clientMsgNo": "g", "channelId": "team", "channelType": 2, "payload": {}, "msgKey": right});
    assert_eq!(bob.refusal("send", group).await, 1106);
}
