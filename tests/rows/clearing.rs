//! Conversations that a user clears or deletes for itself: in both protocols, through kills and a reshard.

use crate::common::binary::{SUCCESS, command};
use crate::common::binary_fields::Fields;
use crate::world::{World, channel, client_ids, client_numbers, group_channel, list, to, with};
use serde_json::{Value, json};

/// The client ids of the messages that history shows the user, by both protocols.
async fn seen(world: &World, user: &str, name: &str, channel: &Value) -> Vec<String> {
    let mut client = world.binary_on(user, "reader").await;
    let page = client.history(name, &[]).await.list("messages");
    let mut messages: Vec<Fields> = page.iter().filter_map(|entry| entry.message("message")).collect();
    messages.retain(|message| message.number("message_type") < 1_000);
    let shown = client_ids(&messages);
    let page = world.rpc_on(user, "reader").await.result("history", channel.clone()).await;
    let messages: Vec<Value> =
        list(&page, "messages").iter().filter(|entry| entry["clientMsgNo"].is_string()).cloned().collect();
    assert_eq!(client_numbers(&messages), shown, "both protocols show the same");
    shown
}

/// Peers and groups in the user's list, with the client id of what stands last and what is unread.
async fn listed(world: &World, user: &str) -> Vec<(String, String, i64)> {
    let rows = world.binary_on(user, "reader").await.conversations(0, 0).await.list("conversations");
    let row = |row: &Fields| {
        let last = row.message("last").map(|last| last.text("client_msg_id")).unwrap_or_default();
        (row.text("peer_id") + &row.text("group_id"), last, row.number("unread"))
    };
    rows.iter().map(row).collect()
}

fn row(of: &str, last: &str, unread: i64) -> (String, String, i64) {
    (of.to_owned(), last.to_owned(), unread)
}

#[tokio::test]
async fn what_a_user_clears_or_deletes_is_hidden_from_that_user_alone_through_kills_and_a_reshard() {
    let mut world = World::new();
    world.group("team", &["bob", "carol"]).await;
    let mut alice = world.binary("alice").await;
    for number in 0..3 {
        alice.send("bob", &format!("p-{number}"), b"{}").await;
        alice.send_to_group("team", &format!("g-{number}"), b"{}").await;
    }
    world.settle("bob", 7).await;
    world.settle("carol", 4).await;
    let (mut bob, mut phone) = (world.rpc("bob").await, world.binary_on("bob", "phone").await);
    bob.result("clearHistory", with(&channel("alice"), &json!({"through": 2}))).await;
    let told = phone.next_push().await;
    assert_eq!((told.number("message_type"), told.text("conversation_id")), (1004, "single_alice_bob".into()));
    let content: Value = serde_json::from_slice(&told.bytes("content")).expect("JSON");
    assert_eq!((&content["change"], &content["through"]), (&json!("historyCleared"), &json!(2)));
    assert_eq!(phone.clear(command::DELETE_CONVERSATION, "group_team", 0).await, SUCCESS);
    loop {
        let told = bob.next("cleared").await;
        if told["change"] == "conversationDeleted" {
            assert_eq!((&told["channelId"], &told["through"]), (&json!("team"), &json!(4)));
            break;
        }
    }
    assert_eq!(phone.clear(command::CLEAR_HISTORY, "single_bob_zoe", 0).await, 202);
    assert_eq!(phone.clear(command::CLEAR_HISTORY, "single_alice_bob", -1).await, 2);
    assert_eq!(bob.refusal("deleteConversation", channel("zoe")).await, 1101);

    for restart in ["none", "kill", "kill again", "reshard"] {
        match restart {
            "none" => {}
            "reshard" => world.reshard(3),
            _ => world.kill_and_start(),
        }
        assert_eq!(listed(&world, "bob").await, [row("alice", "p-2", 1)], "{restart}");
        assert_eq!(seen(&world, "bob", "single_alice_bob", &channel("alice")).await, ["p-2"], "{restart}");
        assert_eq!(seen(&world, "bob", "group_team", &group_channel("team")).await, [""; 0], "{restart}");
        // What is hidden leaves holes in the seqs.
        let inbox = world.binary_on("bob", "new").await.sync(0, 1000).await.list("messages");
        let kinds: Vec<i64> = inbox.iter().map(|entry| entry.number("message_type")).filter(|it| *it > 1_000).collect();
        assert_eq!(kinds, [1003, 1004, 1004], "{restart}");
        assert_eq!(inbox.len(), 4, "of the messages one is left: {restart}");
        assert_eq!(seen(&world, "carol", "group_team", &group_channel("team")).await.len(), 3, "{restart}");
        assert_eq!(seen(&world, "alice", "single_alice_bob", &channel("bob")).await.len(), 3, "{restart}");
    }
    let mut alice = world.rpc("alice").await;
    alice.result("send", json!({"channelId": "team", "channelType": 2, "clientMsgNo": "new", "payload": {}})).await;
    alice.result("send", to("bob", "p-3", &json!({}))).await;
    world.settle("bob", 11).await;
    let mut rows = listed(&world, "bob").await;
    rows.sort();
    assert_eq!(rows, [row("alice", "p-3", 2), row("team", "new", 1)]);
    assert_eq!(seen(&world, "bob", "group_team", &group_channel("team")).await, ["new"]);
}
