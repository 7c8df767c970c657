//! What was acknowledged is there after a kill: messages, groups, facts, names and positions, the same for everybody.

use crate::common::binary::{BinaryClient, SUCCESS, command};
use crate::common::seed1::encode;
use crate::world::{World, channel, group_channel, to, to_group, with};
use serde_json::{Value, json};

/// All that a user can ask for, byte for byte.
async fn whole(world: &World, user: &str) -> (Vec<Vec<u8>>, Vec<Value>) {
    let mut binary = world.binary(user).await;
    let mut answers = Vec::new();
    let conversation = |name| encode("HistoryRequest", &[("conversation_id", crate::common::seed1::text(name))]);
    for (asked, body) in [
        (command::SYNC, encode("SyncRequest", &[("limit", 1_000_i32.into())])),
        (command::CONVERSATIONS, Vec::new()),
        (command::HISTORY, conversation("single_alice_bob")),
        (command::HISTORY, conversation("group_team")),
    ] {
        answers.push(ask(&mut binary, asked, &body).await);
    }
    // A device that acknowledges nothing, and gets its backlog every time.
    let mut rpc = world.rpc_on(user, "witness").await;
    let mut values = Vec::new();
    for (method, params) in [("sync", json!({})), ("conversations", json!({})), ("history", group_channel("team"))] {
        values.push(rpc.call(method, params).await["result"].take());
    }
    (answers, values)
}

async fn all(world: &World, users: [&str; 4]) -> Vec<(Vec<Vec<u8>>, Vec<Value>)> {
    let mut all = Vec::new();
    for user in users {
        all.push(whole(world, user).await);
    }
    all
}

async fn ask(client: &mut BinaryClient, asked: i32, body: &[u8]) -> Vec<u8> {
    let sequence = client.ask(asked, body).await;
    client.answer(sequence).await.expect("an answer").body
}

#[tokio::test]
async fn everything_that_was_told_before_a_kill_is_told_after_it() {
    const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
    let mut world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    world.group("team", &["bob", "carol"]).await;
    alice.next_push().await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(alice.send("bob", &format!("p-{number}"), b"{\"n\":1}").await.text("message_id"));
        alice.send_to_group("team", &format!("g-{number}"), b"{}").await;
        bob.result("send", to_group("team", &format!("h-{number}"))).await;
    }
    bob.result("send", to("dave", "d", &json!({"header": {"redDot": true}, "extra": {"k": "v"}}))).await;
    assert_eq!(alice.revoke("single_alice_bob", &ids[0]).await, SUCCESS);
    bob.result("receipt", with(&channel("alice"), &json!({"messageIds": ids[1..3]}))).await;
    bob.result("markRead", with(&group_channel("team"), &json!({"through": 3}))).await;
    world.change_members("team", &json!({"add": ["dave"], "remove": ["carol"]}));
    alice.send_to_group("team", "last", b"{}").await;
    bob.result("send", to("alice", "last", &json!({}))).await;

    // What one is answered may still be on its way to another.
    let mut before = all(&world, USERS).await;
    loop {
        let again = all(&world, USERS).await;
        if before == again {
            break;
        }
        before = again;
    }
    for _ in 0..2 {
        world.kill_and_start();
        for (user, before) in USERS.into_iter().zip(&before) {
            assert!(whole(&world, user).await == *before, "{user} sees something else");
        }
    }
    let mut alice = world.binary("alice").await;
    let newest = alice.sync(0, 0).await.number("server_max_seq");
    assert_eq!(alice.send("bob", "on it goes", b"{}").await.number("seq"), newest + 1);
}
