//! The conversation list with its unread counts, the read position, and history by the conversation's own seq.

use crate::common::binary::SUCCESS;
use crate::world::{World, channel, client_numbers, group_channel, list, to, with};
use serde_json::{Value, json};

#[tokio::test]
async fn the_list_has_the_newest_first_with_what_is_unread_in_both_protocols() {
    let mut world = World::new();
    world.group("team", &["bob"]).await;
    let (mut alice, mut carol) = (world.binary("alice").await, world.rpc("carol").await);
    for number in 1..=3 {
        alice.send("bob", &format!("a-{number}"), b"{\"n\":1}").await;
    }
    carol.result("send", to("bob", "c-1", &json!({}))).await;
    alice.send_to_group("team", "g-1", b"{}").await;
    world.settle("bob", 6).await;
    let mut bob = world.rpc("bob").await;
    let page = bob.result("conversations", json!({})).await;
    let rows: Vec<Value> = list(&page, "conversations")
        .iter()
        .map(|row| {
            json!([row["channelId"], row["channelType"], row["lastSeq"], row["unread"], row["last"]["clientMsgNo"]])
        })
        .collect();
    assert_eq!(
        rows,
        [json!(["team", 2, 6, 1, "g-1"]), json!(["carol", 1, 5, 1, "c-1"]), json!(["alice", 1, 4, 3, "a-3"])]
    );
    assert_eq!(page["hasMore"], false);
    let first = bob.result("conversations", json!({"limit": 2})).await;
    assert_eq!((list(&first, "conversations").len(), &first["hasMore"]), (2, &json!(true)));
    let rest = bob.result("conversations", json!({"beforeSeq": 5})).await;
    assert_eq!((&rest["conversations"][0]["channelId"], &rest["hasMore"]), (&json!("alice"), &json!(false)));
    assert_eq!(bob.refusal("conversations", json!({"limit": -1})).await, -32602);

    assert_eq!(bob.result("markRead", with(&channel("alice"), &json!({"through": 2}))).await, json!({}));
    bob.result("markRead", with(&channel("alice"), &json!({"through": 1}))).await;
    world.kill_and_start();
    let mut bob = world.binary("bob").await;
    let rows = bob.conversations(0, 0).await.list("conversations");
    assert_eq!((rows[0].text("group_id"), rows[0].text("peer_id")), ("team".into(), String::new()));
    let row = &rows[2];
    assert_eq!((row.text("peer_id"), row.text("conversation_id")), ("alice".into(), "single_alice_bob".into()));
    assert_eq!(
        ["unread", "read_through", "newest_seq", "last_seq"].map(|name| row.number(name)),
        [1, 2, 3, 4],
        "never back"
    );
    assert_eq!(row.message("last").expect("a message").text("client_msg_id"), "a-3");
    assert_eq!(bob.mark_read("single_alice_bob", 3).await, SUCCESS);
    assert_eq!(bob.conversations(0, 0).await.list("conversations")[2].number("unread"), 0);
    assert_eq!((bob.mark_read("single_bob_dave", 1).await, bob.mark_read("single_alice_bob", -1).await), (202, 2));
    assert_eq!(bob.conversations(0, -1).await.number("error_code"), 2);
    let mut alice = world.binary("alice").await;
    let own = alice.conversations(0, 0).await.list("conversations");
    assert!(own.iter().all(|row| row.number("unread") == 0), "what one wrote oneself is read");
    alice.expect_no_push().await;
    assert_eq!(alice.told_until_now().await, 0, "nobody is told of a position");
}

#[tokio::test]
async fn a_receipt_moves_the_read_position() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(alice.send("bob", &format!("a-{number}"), b"{}").await.text("message_id"));
    }
    world.settle("bob", 3).await;
    bob.result("receipt", with(&channel("alice"), &json!({"messageIds": [ids[1]]}))).await;
    let page = bob.result("conversations", json!({})).await;
    let row = &page["conversations"][0];
    assert_eq!((&row["unread"], &row["readThrough"], &row["newestSeq"]), (&json!(1), &json!(2), &json!(3)));
}

#[tokio::test]
async fn history_goes_both_ways_by_the_conversations_own_seq() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    for number in 1..=3 {
        alice.send("bob", &format!("m-{number}"), b"{}").await;
        alice.send("carol", &format!("x-{number}"), b"{}").await;
    }
    bob.result("send", to("alice", "m-4", &json!({}))).await;
    let ask = |more: Value| with(&channel("alice"), &more);
    for (more, expected, has_more) in [
        (json!({}), vec!["m-1", "m-2", "m-3", "m-4"], false),
        (json!({"limit": 2}), vec!["m-3", "m-4"], true),
        (json!({"beforeSeq": 3, "limit": 1}), vec!["m-2"], true),
        (json!({"beforeSeq": 2}), vec!["m-1"], false),
        (json!({"afterSeq": 0, "limit": 3}), vec!["m-1", "m-2", "m-3"], true),
        (json!({"afterSeq": 3}), vec!["m-4"], false),
    ] {
        let page = bob.result("history", ask(more.clone())).await;
        assert_eq!((client_numbers(list(&page, "messages")), &page["hasMore"]), (expected, &json!(has_more)), "{more}");
        assert_eq!(page["newestSeq"], 4);
        assert!(list(&page, "messages").iter().all(|it| it["inboxSeq"] == 0), "the inbox is not asked");
    }
    let page = alice.history("single_alice_bob", &[("after_seq", 1_i64.into()), ("limit", 2_i32.into())]).await;
    let seqs: Vec<i64> = page.list("messages").iter().map(|it| it.number("conversation_seq")).collect();
    assert_eq!((seqs, page.flag("has_more"), page.number("reached_seq")), (vec![2, 3], true, 3));
    let both = [("after_seq", 1_i64.into()), ("before_seq", 3_i64.into())];
    assert_eq!(alice.history("single_alice_bob", &both).await.number("error_code"), 2);
    assert_eq!(alice.history("single_alice_dave", &[]).await.number("error_code"), 202);
    assert_eq!(bob.refusal("history", ask(json!({"afterSeq": 1, "beforeSeq": 3}))).await, -32602);
    assert_eq!(bob.refusal("history", ask(json!({"limit": -1}))).await, -32602);
    assert_eq!(bob.refusal("history", group_channel("none")).await, 1101);
}
