//! What a binary client calls its conversations: its own names, which only it sees, and those that the server fills.

use crate::common::binary::SUCCESS;
use crate::common::binary_fields::{Fields, text};
use crate::world::{World, channel, to, with};
use protobuf::reflect::ReflectValueBox;
use serde_json::json;

fn named(name: &str, to: (&'static str, &str), id: &str) -> [(&'static str, ReflectValueBox); 4] {
    [("conversation_id", text(name)), (to.0, text(to.1)), ("client_msg_id", text(id)), ("message_type", 1_i32.into())]
}

#[tokio::test]
async fn a_name_of_ones_own_is_echoed_and_names_the_conversation_from_then_on() {
    let mut world = World::new();
    let (mut alice, mut other) = (world.binary("alice").await, world.binary_on("alice", "Web").await);
    let (mut bob, mut binary_bob) = (world.rpc("bob").await, world.binary("bob").await);
    let sent = alice.send_with(&named("my friend", ("receiver_id", "bob"), "1"), &[]).await;
    let id = sent.text("message_id");
    assert_eq!(sent.number("error_code"), SUCCESS);
    assert_eq!(other.next_push().await.text("conversation_id"), "my friend");
    assert_eq!(binary_bob.next_push().await.text("conversation_id"), "single_alice_bob", "nobody else's name");
    let theirs = bob.result("send", to("alice", "2", &json!({}))).await;
    let theirs = theirs["messageId"].as_str().expect("an id");
    assert_eq!(alice.next_push().await.text("conversation_id"), "my friend");

    alice.type_in("my friend", 1).await;
    assert_eq!(bob.next("typing").await["userId"], "alice");
    assert_eq!(alice.read("my friend", &[theirs]).await, SUCCESS);
    assert_eq!(alice.revoke("my friend", &id).await, SUCCESS);
    bob.result("typing", with(&channel("alice"), &json!({"status": 1}))).await;
    let own = alice.next_told(207, "RevokeMessagePush").await;
    assert_eq!((own.text("message_id"), own.text("revoked_by")), (id, "alice".into()), "who took it back is told, too");
    let told = alice.next_told(601, "TypingStatusPush").await;
    assert_eq!(told.text("conversation_id"), "my friend");
    let told = other.next_told(207, "RevokeMessagePush").await;
    assert_eq!(told.text("conversation_id"), "my friend");

    world.kill_and_start();
    let mut alice = world.binary("alice").await;
    let names = |entries: &[Fields]| -> Vec<String> { entries.iter().map(|it| it.text("conversation_id")).collect() };
    assert_eq!(names(&alice.inbox().await), ["my friend"; 3], "the same after a kill");
    assert_eq!(alice.conversations(0, 0).await.list("conversations")[0].text("conversation_id"), "my friend");
    assert_eq!(alice.history("my friend", &[]).await.number("newest_seq"), 2, "of messages alone");
    assert_eq!(alice.history("single_alice_bob", &[]).await.number("error_code"), SUCCESS, "the server's name, too");
}

#[tokio::test]
async fn a_name_that_means_another_conversation_is_refused() {
    let world = World::new();
    world.group("team", &["bob"]).await;
    let mut alice = world.binary("alice").await;
    let code = |answer: &Fields| answer.number("error_code");
    assert_eq!(code(&alice.send_with(&named("friend", ("receiver_id", "bob"), "1"), &[]).await), SUCCESS);
    assert_eq!(code(&alice.send_with(&named("friend", ("receiver_id", "carol"), "2"), &[]).await), 2);
    assert_eq!(code(&alice.send_with(&named("friend", ("group_id", "team"), "3"), &[]).await), 2);
    assert_eq!(code(&alice.send_with(&named("single_alice_bob", ("receiver_id", "carol"), "4"), &[]).await), 2);
    assert_eq!(code(&alice.send_with(&named(&"x".repeat(129), ("receiver_id", "carol"), "5"), &[]).await), 2);
    assert_eq!(code(&alice.send_with(&named("our team", ("group_id", "team"), "6"), &[]).await), SUCCESS);
    assert_eq!(code(&alice.send_with(&named("friend", ("receiver_id", "bob"), "7"), &[]).await), SUCCESS);
    let mut bob = world.binary("bob").await;
    assert_eq!(code(&bob.send_with(&named("friend", ("receiver_id", "carol"), "1"), &[]).await), SUCCESS, "bob's own");
}

#[tokio::test]
async fn the_server_fills_the_sorted_ids_or_the_group() {
    let world = World::new();
    world.group("team", &["bob"]).await;
    let (mut alice, mut bob) = (world.binary("alice").await, world.binary("bob").await);
    assert_eq!(bob.inbox().await[0].text("conversation_id"), "group_team");
    bob.send("alice", "1", b"{}").await;
    alice.send("alice", "2", b"{}").await;
    alice.send_to_group("team", "3", b"{}").await;
    let names: Vec<String> = alice.inbox().await.iter().map(|entry| entry.text("conversation_id")).collect();
    assert_eq!(names, ["group_team", "single_alice_bob", "single_alice_alice", "group_team"]);
    let (long_a, long_b) = ("a".repeat(64), "b".repeat(64));
    let mut long = world.binary(&long_a).await;
    long.send(&long_b, "1", b"{}").await;
    let filled = long.inbox().await[0].text("conversation_id");
    assert_eq!(filled, format!("single_{long_a}_{long_b}"));
    assert_eq!(
        long.history(&filled, &[]).await.number("newest_seq"),
        1,
        "even where it is longer than one's own may be"
    );
}
