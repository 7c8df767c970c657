//! Revocations, read receipts and typing, told live and to who comes later, between the protocols.

use crate::common::binary::{SUCCESS, command};
use crate::common::binary_fields::Fields;
use crate::common::rpc::RpcClient;
use crate::world::{World, channel, to, with};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_message_that_binary_takes_back_is_a_tombstone_for_everybody() {
    let world = World::new();
    let (mut alice, mut other) = (world.binary("alice").await, world.binary_on("alice", "Web").await);
    let (mut bob, mut binary_bob) = (world.rpc("bob").await, world.binary("bob").await);
    let id = alice.send("bob", "id-1", b"{\"content\":\"oops\"}").await.text("message_id");
    for _ in 0..2 {
        assert_eq!(alice.revoke("single_alice_bob", &id).await, SUCCESS, "twice is the same");
    }
    for (client, who) in [(&mut other, "alice"), (&mut binary_bob, "bob")] {
        let told = client.next_told(command::REVOKED, "RevokeMessagePush").await;
        let names = ["message_id", "conversation_id", "revoked_by"].map(|name| told.text(name));
        assert_eq!(names, [id.as_str(), "single_alice_bob", "alice"], "{who}");
        assert!(told.number("revoked_time") > 1_700_000_000_000);
    }
    let told = bob.next("revoked").await;
    assert_eq!((&told["messageId"], &told["revokedBy"]), (&json!(id), &json!("alice")));
    assert_eq!((&told["channelId"], &told["channelType"]), (&json!("alice"), &json!(1)));
    assert_eq!(told["inboxSeq"], 2, "a fact is an entry");

    alice.send("bob", "id-2", b"{}").await;
    assert_eq!(binary_bob.next_push().await.number("seq"), 1);
    assert_eq!(binary_bob.next_push().await.number("seq"), 3, "207 has consumed its seq silently");
    let inbox = binary_bob.inbox().await;
    assert_eq!((inbox[0].text("message_id"), inbox[0].text("client_msg_id")), (id.clone(), "id-1".into()));
    assert_eq!((inbox[0].bytes("content"), inbox[0].pairs("extra")["revoked"].as_str()), (Vec::new(), "1"));
    assert_eq!((inbox[1].number("message_type"), inbox[1].text("client_msg_id")), (1001, String::new()));
    let content = Fields::decode("RevokeMessagePush", &inbox[1].bytes("content"));
    assert_eq!((content.text("message_id"), content.text("revoked_by")), (id.clone(), "alice".into()));
    let history = bob.result("history", channel("alice")).await;
    assert_eq!(
        (&history["messages"][0]["payload"], &history["messages"][0]["extra"]["revoked"]),
        (&json!(""), &json!("1"))
    );
    assert_eq!(alice.inbox().await.len(), 3, "told once");
}

#[tokio::test]
async fn a_message_that_json_rpc_takes_back_is_told_to_binary_even_if_it_was_away() {
    let world = World::new();
    let mut bob = world.rpc("bob").await;
    let sent = bob.result("send", to("alice", "oops", &json!({}))).await;
    let revoke = with(&channel("alice"), &json!({"messageId": sent["messageId"]}));
    for _ in 0..2 {
        assert_eq!(bob.result("revoke", revoke.clone()).await, json!({}));
    }
    world.settle("alice", 2).await;
    let mut alice = world.binary("alice").await;
    let inbox = alice.inbox().await;
    assert_eq!(inbox.iter().map(|entry| entry.number("message_type")).collect::<Vec<_>>(), [1, 1001]);
    assert_eq!((inbox[0].bytes("content"), inbox[0].pairs("extra")["revoked"].as_str()), (Vec::new(), "1"));
}

#[tokio::test]
async fn only_its_author_takes_a_message_back_and_only_for_a_while() {
    let world = World::with_limits("revoke_window_ms = 1000\n");
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    let sent = alice.send("bob", "id-1", b"{}").await;
    let id = sent.text("message_id");
    bob.next("recv").await;
    assert_eq!(bob.refusal("revoke", with(&channel("alice"), &json!({"messageId": id}))).await, 1102);
    let theirs = bob.result("send", to("alice", "id-2", &json!({}))).await;
    assert_eq!(alice.revoke("single_alice_bob", theirs["messageId"].as_str().expect("an id")).await, 102);
    assert_eq!(alice.revoke("single_alice_carol", &id).await, 202);
    assert_eq!(bob.refusal("revoke", with(&channel("dave"), &json!({"messageId": id}))).await, 1101);
    assert_eq!(alice.revoke("single_alice_bob", "17").await, 2);
    assert_eq!(bob.refusal("revoke", with(&channel("alice"), &json!({"messageId": "x"}))).await, -32602);
    while alice.heartbeat().await < sent.number("server_time") + 1_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(alice.revoke("single_alice_bob", &id).await, 102, "too late");
}

#[tokio::test]
async fn an_author_is_told_once_who_has_read_what() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(alice.send("bob", &format!("id-{number}"), b"{}").await.text("message_id"));
    }
    let own = bob.result("send", to("alice", "own", &json!({}))).await["messageId"].clone();
    alice.next_push().await;
    let read = |ids: Value| with(&channel("alice"), &json!({"messageIds": ids}));
    for _ in 0..2 {
        assert_eq!(bob.result("receipt", read(json!([ids[0], ids[1], own, "17"]))).await, json!({}));
    }
    assert_eq!(bob.result("receipt", read(json!([ids[1], ids[2]]))).await, json!({}));
    let told = alice.next_told(command::READ, "ReadReceiptPush").await;
    assert_eq!(told.texts("message_ids"), ids[..2], "not about the reader's own, nor about unknown ones");
    assert_eq!((told.text("conversation_id"), told.text("user_id")), ("single_alice_bob".into(), "bob".into()));
    assert!(told.number("read_time") > 1_700_000_000_000);
    let told = alice.next_told(command::READ, "ReadReceiptPush").await;
    assert_eq!(told.texts("message_ids"), ids[2..], "once per reader and message");
    let inbox = alice.inbox().await;
    assert_eq!(inbox.iter().map(|it| it.number("message_type")).collect::<Vec<_>>(), [1, 1, 1, 1, 1002, 1002]);
    let content = Fields::decode("ReadReceiptPush", &inbox[5].bytes("content"));
    assert_eq!((content.texts("message_ids"), content.text("user_id")), (ids[2..].to_vec(), "bob".into()));
    assert_eq!(bob.inbox().await.len(), 4, "the reader is not told");
    assert_eq!(bob.refusal("receipt", read(json!([]))).await, -32602);
    assert_eq!(alice.read("single_alice_carol", &["1"]).await, 202);
    assert_eq!(alice.read("single_alice_bob", &[]).await, 2);
}

#[tokio::test]
async fn a_json_rpc_author_learns_of_binary_readers_online_and_later() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    let sent = bob.result("send", to("alice", "one", &json!({"setting": {"receipt": true}}))).await;
    let id = sent["messageId"].as_str().expect("an id");
    alice.next_push().await;
    assert_eq!(alice.read("single_alice_bob", &[id]).await, SUCCESS);
    let expected = json!({"messageIds": [id], "userId": "alice"});
    for client in [&mut bob, &mut world.rpc_on("bob", "late").await] {
        let told = client.next("receipt").await;
        assert_eq!((&told["messageIds"], &told["userId"]), (&expected["messageIds"], &expected["userId"]));
        assert_eq!((&told["channelId"], &told["inboxSeq"]), (&json!("alice"), &json!(2)));
        assert!(told["readTime"].as_i64().is_some_and(|time| time > 1_700_000_000_000));
    }
}

async fn conversing(world: &World) -> (crate::common::binary::BinaryClient, RpcClient) {
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    alice.send("bob", "hello", b"{}").await;
    bob.next("recv").await;
    (alice, bob)
}

#[tokio::test]
async fn who_types_is_told_to_the_other_side_and_never_stored() {
    let world = World::new();
    let (mut alice, mut bob) = conversing(&world).await;
    let mut web = world.wukong("bob").await;
    web.next("recv").await;
    alice.type_in("single_alice_bob", 1).await;
    let expected = json!({"channelId": "alice", "channelType": 1, "userId": "alice", "status": 1});
    assert_eq!(bob.next("typing").await, expected);
    assert_eq!(web.next("typing").await, expected);
    assert_eq!(bob.result("typing", with(&channel("alice"), &json!({"status": 0}))).await, json!({}));
    let told = alice.next_told(command::TYPED, "TypingStatusPush").await;
    assert_eq!((told.text("conversation_id"), told.text("user_id")), ("single_alice_bob".into(), "bob".into()));
    assert_eq!(told.number("status"), 0);
    assert_eq!((alice.inbox().await.len(), bob.inbox().await.len()), (1, 1), "no entry of it");

    let sequence = alice.type_in("single_alice_nobody", 1).await;
    let answer = alice.answer(sequence).await.expect("an answer");
    assert_eq!(answer.command, command::UNKNOWN, "it has no response of its own");
    assert_eq!(Fields::decode("Unknown", &answer.body).number("error_code"), 202);
    assert_eq!(bob.refusal("typing", with(&channel("dave"), &json!({"status": 1}))).await, 1101);
}

#[tokio::test]
async fn typing_is_told_once_a_second() {
    let world = World::new();
    let (mut alice, mut bob) = conversing(&world).await;
    let begun = Instant::now();
    alice.type_in("single_alice_bob", 1).await;
    assert_eq!(bob.next("typing").await["status"], 1);
    let mut status = 1;
    let next = loop {
        status += 1;
        alice.type_in("single_alice_bob", status).await;
        // Stored, so told after whatever typing was let through before it.
        alice.send("bob", &format!("mark-{status}"), b"{}").await;
        match bob.next_notification().await {
            (method, told) if method == "typing" => break told,
            (method, _) => assert_eq!(method, "recv"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(begun.elapsed() >= Duration::from_millis(1_000), "{:?}", begun.elapsed());
    assert!(next["status"].as_i64() > Some(2), "those between were not told: {next}");
}
