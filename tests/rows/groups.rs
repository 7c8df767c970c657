//! The life of a group: made over the API, written in by both protocols, joined, left, run and dissolved.

use crate::common::binary::SUCCESS;
use crate::common::binary_fields::Fields;
use crate::world::{World, channel, client_ids, client_numbers, group_channel, list, to, to_group, with};
use serde_json::{Value, json};

fn change_of(entry: &Fields) -> Value {
    assert_eq!(entry.number("message_type"), 1003);
    serde_json::from_slice(&entry.bytes("content")).expect("JSON")
}

#[tokio::test]
async fn a_group_is_told_written_in_and_synced_in_both_protocols() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    world.group("team", &["bob", "carol", "dave"]).await;
    let entry = alice.next_push().await;
    let change = change_of(&entry);
    assert_eq!((entry.text("group_id"), entry.text("conversation_id")), ("team".into(), "group_team".into()));
    assert_eq!(
        (&change["change"], &change["owner"], &change["count"]),
        (&json!("created"), &json!("alice"), &json!(4))
    );
    let told = bob.next("group").await;
    assert_eq!((&told["change"], &told["group"], &told["inboxSeq"]), (&json!("created"), &json!("team"), &json!(1)));
    assert_eq!((&told["channelId"], &told["channelType"]), (&json!("team"), &json!(2)));

    let sent = alice.send_to_group("team", "one", b"{\"n\":1}").await;
    assert_eq!((sent.number("error_code"), sent.number("seq")), (SUCCESS, 2), "the sender's inbox seq");
    let seen = bob.next("recv").await;
    assert_eq!(
        (&seen["channelId"], &seen["channelType"], &seen["fromUid"]),
        (&json!("team"), &json!(2), &json!("alice"))
    );
    assert_eq!((&seen["payload"], &seen["inboxSeq"]), (&json!({"n": 1}), &json!(2)));
    let answered = bob.result("send", to_group("team", "two")).await;
    assert_eq!(answered["messageSeq"].as_i64(), seen["messageSeq"].as_i64().map(|seq| seq + 1), "the group's seq");
    let push = alice.next_push().await;
    assert_eq!((push.text("group_id"), push.text("receiver_id")), ("team".into(), String::new()));
    assert_eq!((push.text("sender_id"), push.text("conversation_id")), ("bob".into(), "group_team".into()));

    world.settle("carol", 3).await;
    let mut carol = world.binary("carol").await;
    assert_eq!(client_ids(&carol.inbox().await), ["", "one", "two"], "who was away syncs it");
    let mut dave = world.wukong("dave").await;
    assert_eq!(dave.next("group").await["change"], "created");
    assert_eq!(dave.next("recv").await["clientMsgNo"], "one", "or is pushed it");
    let orders: Vec<Value> = [
        bob.result("history", group_channel("team")).await,
        world.rpc("carol").await.result("history", group_channel("team")).await,
    ]
    .iter()
    .map(|history| list(history, "messages").iter().map(|it| json!([it["messageSeq"], it["messageId"]])).collect())
    .collect();
    assert_eq!(orders[0], orders[1], "all members see one order");
}

#[tokio::test]
async fn a_member_sees_what_is_written_between_its_joining_and_its_leaving() {
    let world = World::new();
    world.group("team", &["bob", "carol"]).await;
    let mut alice = world.binary("alice").await;
    alice.send_to_group("team", "before", b"{}").await;
    world.change_members("team", &json!({"add": ["dave"]}));
    alice.send_to_group("team", "during", b"{}").await;
    world.change_members("team", &json!({"remove": ["dave", "bob"]}));
    alice.send_to_group("team", "after", b"{}").await;

    world.settle("dave", 3).await;
    world.settle("bob", 5).await;
    let mut dave = world.binary("dave").await;
    let inbox = dave.inbox().await;
    assert_eq!(client_ids(&inbox), ["", "during", ""]);
    assert_eq!(change_of(&inbox[0])["change"], "added");
    let removed = change_of(&inbox[2]);
    assert_eq!((&removed["change"], &removed["members"][0]), (&json!("removed"), &json!("dave")), "itself first");
    let history = dave.history("group_team", &[("after_seq", 0_i64.into())]).await;
    let seen: Vec<String> = history
        .list("messages")
        .iter()
        .filter_map(|it| it.message("message"))
        .map(|it| it.text("client_msg_id"))
        .filter(|id| !id.is_empty())
        .collect();
    assert_eq!(seen, ["during"]);
    assert_eq!(dave.send_to_group("team", "late", b"{}").await.number("error_code"), 102);

    let mut bob = world.rpc("bob").await;
    assert_eq!(client_numbers(&bob.inbox().await), ["", "before", "", "during", ""]);
    assert_eq!(bob.refusal("send", to_group("team", "late")).await, 1102);
    let history = bob.result("history", with(&group_channel("team"), &json!({"afterSeq": 0}))).await;
    let mut seen = client_numbers(list(&history, "messages"));
    seen.retain(|id| !id.is_empty());
    assert_eq!(seen, ["before", "during"]);
    assert_eq!(bob.refusal("typing", with(&group_channel("team"), &json!({"status": 1}))).await, 1102);
}

#[tokio::test]
async fn the_muted_and_strangers_may_not_write() {
    let world = World::new();
    world.group("team", &["bob", "dave"]).await;
    let (mut dave, mut bob) = (world.binary("dave").await, world.rpc("bob").await);
    for user in ["bob", "dave"] {
        world.change_member("team", user, &json!({"muted_until": 4_102_444_800_000_i64}));
    }
    assert_eq!(dave.send_to_group("team", "muted", b"{}").await.number("error_code"), 102);
    assert_eq!(bob.refusal("send", to_group("team", "muted")).await, 1102);
    let told = loop {
        let told = bob.next("group").await;
        if told["change"] == "changed" {
            break told;
        }
    };
    assert_eq!((&told["role"], &told["mutedUntil"]), (&json!("member"), &json!(4_102_444_800_000_i64)), "{told}");
    for user in ["bob", "dave"] {
        world.change_member("team", user, &json!({"muted_until": 0}));
    }
    assert_eq!(dave.send_to_group("team", "heard", b"{}").await.number("error_code"), SUCCESS);
    bob.result("send", to_group("team", "heard")).await;

    let (mut carol, mut rpc_carol) = (world.binary("carol").await, world.rpc("carol").await);
    assert_eq!(carol.send_to_group("team", "stranger", b"{}").await.number("error_code"), 102);
    assert_eq!(rpc_carol.refusal("send", to_group("team", "stranger")).await, 1102);
    assert_eq!(carol.send_to_group("none", "nowhere", b"{}").await.number("error_code"), 202);
    assert_eq!(rpc_carol.refusal("send", to_group("none", "nowhere")).await, 1101);
}

#[tokio::test]
async fn who_is_blocked_may_not_write_to_who_blocked_it() {
    let world = World::new();
    let (mut alice, mut carol, mut bob) =
        (world.binary("alice").await, world.rpc("carol").await, world.rpc("bob").await);
    for user in ["alice", "carol"] {
        world.order("PUT", &format!("/v1/users/bob/blocks/{user}"));
    }
    assert_eq!(alice.send("bob", "blocked", b"{}").await.number("error_code"), 102);
    assert_eq!(carol.refusal("send", to("bob", "blocked", &json!({}))).await, 1102);
    for user in ["alice", "carol"] {
        world.order("DELETE", &format!("/v1/users/bob/blocks/{user}"));
    }
    assert_eq!(alice.send("bob", "welcome", b"{}").await.number("error_code"), SUCCESS);
    carol.result("send", to("bob", "welcome", &json!({}))).await;
    world.settle("bob", 2).await;
    assert_eq!(client_numbers(&bob.inbox().await), ["welcome", "welcome"]);
}

#[tokio::test]
async fn who_runs_a_group_takes_back_what_others_wrote() {
    let world = World::new();
    world.group("team", &["bob", "carol", "dave"]).await;
    let (mut bob, mut carol, mut dave) = (world.rpc("bob").await, world.binary("carol").await, world.rpc("dave").await);
    let sent = bob.result("send", to_group("team", "one")).await;
    let id = sent["messageId"].as_str().expect("an id").to_owned();
    let revoke = with(&group_channel("team"), &json!({"messageId": id}));
    while carol.next_push().await.text("message_id") != id {}
    assert_eq!(carol.revoke("group_team", &id).await, 102, "a member may not");
    assert_eq!(dave.refusal("revoke", revoke.clone()).await, 1102);
    world.change_member("team", "dave", &json!({"role": "admin"}));
    assert_eq!(dave.result("revoke", revoke).await, json!({}));
    assert_eq!(bob.next("revoked").await["revokedBy"], "dave");
    assert_eq!(carol.next_told(207, "RevokeMessagePush").await.text("conversation_id"), "group_team");
    let two = bob.result("send", to_group("team", "two")).await;
    let mut alice = world.binary("alice").await;
    assert_eq!(alice.revoke("group_team", two["messageId"].as_str().expect("an id")).await, SUCCESS, "the owner may");
}

#[tokio::test]
async fn receipts_and_typing_reach_the_members_they_are_for() {
    let world = World::new();
    world.group("team", &["bob", "carol"]).await;
    let (mut alice, mut bob, mut carol) =
        (world.binary("alice").await, world.rpc("bob").await, world.binary("carol").await);
    let id = alice.send_to_group("team", "one", b"{}").await.text("message_id");
    while bob.next("recv").await["messageId"] != id {}
    while carol.next_push().await.text("message_id") != id {}
    bob.result("receipt", with(&group_channel("team"), &json!({"messageIds": [id]}))).await;
    assert_eq!(carol.read("group_team", &[&id]).await, SUCCESS);
    let mut readers = Vec::new();
    for _ in 0..2 {
        let told = alice.next_told(502, "ReadReceiptPush").await;
        assert_eq!((told.texts("message_ids"), told.text("conversation_id")), (vec![id.clone()], "group_team".into()));
        readers.push(told.text("user_id"));
    }
    readers.sort();
    assert_eq!(readers, ["bob", "carol"], "once of each reader");

    alice.type_in("group_team", 1).await;
    let expected = json!({"channelId": "team", "channelType": 2, "userId": "alice", "status": 1});
    assert_eq!(bob.next("typing").await, expected);
    assert_eq!(carol.next_told(601, "TypingStatusPush").await.text("user_id"), "alice");
    assert_eq!(alice.told_until_now().await, 0, "not who types");
    assert_eq!(client_ids(&carol.inbox().await), ["", "one"], "receipts are the author's alone, typing nobody's");
}

#[tokio::test]
async fn a_dissolved_group_is_told_and_takes_nothing_more() {
    let mut world = World::new();
    world.group("team", &["bob", "carol"]).await;
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    alice.send_to_group("team", "one", b"{}").await;
    world.order("DELETE", "/v1/groups/team");
    while bob.next("group").await["change"] != "dissolved" {}
    assert_eq!(alice.send_to_group("team", "two", b"{}").await.number("error_code"), 202);
    assert_eq!(bob.refusal("send", to_group("team", "two")).await, 1101);
    world.kill_and_start();
    world.settle("carol", 3).await;
    let mut carol = world.rpc("carol").await;
    let inbox = carol.inbox().await;
    assert_eq!((client_numbers(&inbox), &inbox[2]["change"]), (vec!["", "one", ""], &json!("dissolved")));
    assert_eq!(carol.refusal("send", to_group("team", "two")).await, 1101);
    assert_eq!(carol.refusal("receipt", with(&channel("alice"), &json!({"messageIds": ["1"]}))).await, 1101);
}
