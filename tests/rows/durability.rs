//! What was acknowledged is there after a kill: messages, groups, facts, names and positions, the same for everybody.

use crate::common::binary::{BinaryClient, SUCCESS, command};
use crate::common::binary_fields::{Fields, encode, text};
use crate::world::{World, channel, group_channel, to, to_group, with};
use serde_json::{Value, json};

/// All that a user can ask for, byte for byte.
async fn whole(world: &World, user: &str) -> (Vec<Vec<u8>>, Vec<Value>) {
    let mut binary = world.binary(user).await;
    let mut answers = Vec::new();
    let conversation = |name| encode("HistoryRequest", &[("conversation_id", text(name))]);
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

/// Type, id, content and marks of each entry.
async fn shown(client: &mut BinaryClient) -> Vec<(i64, String, Vec<u8>, usize)> {
    let one =
        |it: &Fields| (it.number("message_type"), it.text("message_id"), it.bytes("content"), it.pairs("extra").len());
    client.inbox().await.iter().map(one).collect()
}

#[tokio::test]
async fn groups_survive_a_division_into_more_shards() {
    let mut world = World::new();
    world.group("team", &["bob", "carol"]).await;
    let mut alice = world.binary("alice").await;
    alice.send_to_group("team", "one", b"{}").await;
    world.change_member("team", "bob", &json!({"role": "admin"}));
    world.settle("bob", 3).await;
    let members = world.api().get("/v1/groups/team").json();
    let inbox = shown(&mut world.binary("bob").await).await;
    world.reshard(3);
    let group = world.api().get("/v1/groups/team");
    assert_eq!((group.status, group.json()), (200, members), "the group and its roles");
    let mut bob = world.binary("bob").await;
    assert_eq!(shown(&mut bob).await, inbox);
    assert_eq!(bob.send_to_group("team", "after", b"{}").await.number("error_code"), SUCCESS);
}

#[tokio::test]
async fn revocations_survive_a_division_into_more_shards() {
    let mut world = World::new();
    let mut alice = world.binary("alice").await;
    let id = alice.send("bob", "oops", b"{\"secret\":1}").await.text("message_id");
    assert_eq!(alice.revoke("single_alice_bob", &id).await, SUCCESS);
    world.settle("bob", 2).await;
    let inbox = shown(&mut world.binary("bob").await).await;
    assert!(inbox[0].2.is_empty(), "a tombstone");
    world.reshard(3);
    assert_eq!(shown(&mut world.binary("bob").await).await, inbox);
}

#[tokio::test]
async fn receipts_survive_a_division_into_more_shards() {
    let mut world = World::new();
    let mut alice = world.binary("alice").await;
    let read = alice.send("bob", "read", b"{}").await.text("message_id");
    world.settle("bob", 1).await;
    assert_eq!(world.binary("bob").await.read("single_alice_bob", &[&read]).await, SUCCESS);
    world.settle("alice", 2).await;
    world.reshard(3);
    assert_eq!(world.binary("bob").await.read("single_alice_bob", &[&read]).await, SUCCESS);
    let mut alice = world.binary("alice").await;
    alice.send("bob", "after", b"{}").await;
    assert_eq!(alice.inbox().await.len(), 3, "a receipt is not told again");
}

#[tokio::test]
async fn blocks_survive_a_division_into_more_shards() {
    let mut world = World::new();
    world.order("PUT", "/v1/users/bob/blocks/alice");
    assert_eq!(world.binary("alice").await.send("bob", "before", b"{}").await.number("error_code"), 102);
    world.reshard(3);
    assert_eq!(world.binary("alice").await.send("bob", "after", b"{}").await.number("error_code"), 102);
}

#[tokio::test]
async fn names_and_read_positions_survive_a_division_into_more_shards() {
    let mut world = World::new();
    let mut alice = world.binary("alice").await;
    for id in ["1", "2"] {
        let fields = [
            ("client_msg_id", text(id)),
            ("conversation_id", text("my friend")),
            ("receiver_id", text("bob")),
            ("message_type", 1_i32.into()),
        ];
        assert_eq!(alice.send_with(&fields, &[]).await.number("error_code"), SUCCESS);
    }
    world.settle("bob", 2).await;
    assert_eq!(world.binary("bob").await.mark_read("single_alice_bob", 1).await, SUCCESS);
    world.reshard(3);
    let row = |page: Fields| page.list("conversations").remove(0);
    let bobs = row(world.binary("bob").await.conversations(0, 0).await);
    assert_eq!((bobs.number("unread"), bobs.number("read_through")), (1, 1));
    let alices = row(world.binary("alice").await.conversations(0, 0).await);
    assert_eq!(alices.text("conversation_id"), "my friend");
}
