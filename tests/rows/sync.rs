//! What came while nobody was there: sync both ways in both protocols, and the backlog of a JSON-RPC device.

use crate::common::binary::{SUCCESS, command, send_body};
use crate::common::binary_fields::{Fields, encode};
use crate::common::rpc::inbox_seq;
use crate::world::{World, client_ids, client_numbers, list, to};
use serde_json::{Value, json};

async fn seven_messages_to_bob(world: &World) {
    let (mut alice, mut carol) = (world.binary("alice").await, world.rpc("carol").await);
    for number in 1..=7 {
        if number % 2 == 0 {
            carol.result("send", to("bob", &format!("m-{number}"), &json!({}))).await;
        } else {
            alice.send("bob", &format!("m-{number}"), b"{}").await;
        }
        world.settle("bob", number).await;
    }
}

fn seqs(page: &Fields) -> Vec<i64> {
    page.list("messages").iter().map(|entry| entry.number("seq")).collect()
}

#[tokio::test]
async fn who_was_away_syncs_page_by_page_in_both_directions() {
    let world = World::new();
    seven_messages_to_bob(&world).await;
    let (mut bob, max_seq) =
        crate::common::binary::BinaryClient::login(world.server().address, "bob", &world.home.token("bob")).await;
    assert_eq!(max_seq, 7, "the newest inbox seq, of the authentication's answer");
    bob.expect_no_push().await;
    for (after, limit, expected, has_more) in
        [(0, 3, 1..4, true), (3, 3, 4..7, true), (6, 3, 7..8, false), (0, 0, 1..8, false), (7, 5, 8..8, false)]
    {
        let page = bob.sync(after, limit).await;
        assert_eq!(page.number("error_code"), SUCCESS);
        assert_eq!((seqs(&page), page.flag("has_more")), (expected.collect(), has_more), "after {after}");
        assert_eq!(page.number("server_max_seq"), 7);
    }
    for (below, limit, expected, has_more) in
        [(0_i64, -3_i32, 5..8, true), (5, -3, 2..5, true), (2, -3, 1..2, false), (1, -3, 1..1, false)]
    {
        let body = encode("SyncRequest", &[("min_seq", below.into()), ("limit", limit.into())]);
        let page = bob.request(command::SYNC, &body, "SyncResponse").await;
        assert_eq!((seqs(&page), page.flag("has_more")), (expected.collect(), has_more), "below {below}");
    }
    let ids = client_ids(&bob.inbox().await);
    assert_eq!(ids, ["m-1", "m-2", "m-3", "m-4", "m-5", "m-6", "m-7"]);
    assert_eq!(bob.sync(-1, 0).await.number("error_code"), 2);
}

#[tokio::test]
async fn json_rpc_syncs_the_same_entries() {
    let world = World::new();
    seven_messages_to_bob(&world).await;
    let mut bob = world.rpc("bob").await;
    for (params, expected, has_more) in [
        (json!({"maxSeq": 0, "limit": 3}), 1..=3, true),
        (json!({"maxSeq": 6}), 7..=7, false),
        (json!({}), 1..=7, false),
        (json!({"limit": -2}), 6..=7, true),
        (json!({"minSeq": 3, "limit": -5}), 1..=2, false),
    ] {
        let page = bob.result("sync", params.clone()).await;
        let seqs: Vec<i64> = list(&page, "messages").iter().map(inbox_seq).collect();
        assert_eq!((seqs, &page["hasMore"]), (expected.collect(), &json!(has_more)), "{params}");
        assert_eq!(page["serverMaxSeq"], 7);
    }
    let mut pushed = Vec::new();
    for _ in 0..7 {
        pushed.push(bob.next("recv").await);
    }
    assert_eq!(list(&bob.result("sync", json!({})).await, "messages"), &pushed, "an element is recv's params");
    for wrong in [json!({"maxSeq": -1}), json!({"minSeq": -1}), json!({"limit": "x"})] {
        assert_eq!(bob.refusal("sync", wrong).await, -32602);
    }
}

#[tokio::test]
async fn a_page_has_a_hundred_entries_unless_asked_and_a_thousand_at_the_most() {
    // Room enough that entries, not bytes, end a page.
    let world = World::with_limits("sync_bytes_max = 1048576\noutbox_bytes_max = 4194304\n");
    let mut alice = world.binary("alice").await;
    let mut sequences = Vec::new();
    for number in 0..1_003 {
        sequences.push(alice.ask(command::SEND, &send_body("bob", &format!("m-{number}"), b"{}")).await);
    }
    for sequence in sequences {
        alice.answer(sequence).await.expect("an answer");
    }
    world.settle("bob", 1_003).await;
    let (mut bob, mut desk) = (world.binary("bob").await, world.rpc_on("carol", "none").await);
    for (limit, count) in [(0, 100), (5_000, 1_000)] {
        let page = bob.sync(0, limit).await;
        assert_eq!((page.list("messages").len(), page.flag("has_more")), (count, true));
    }
    assert_eq!(bob.inbox().await.len(), 1_003);
    assert_eq!(list(&desk.result("sync", json!({"limit": 5_000})).await, "messages").len(), 0);
    let mut late = world.rpc("bob").await;
    assert_eq!(inbox_seq(&late.next("recv").await), 4, "a new device begins a thousand below the newest");
    assert_eq!(list(&late.result("sync", json!({"limit": 5_000})).await, "messages").len(), 1_000);
}

#[tokio::test]
async fn a_device_is_pushed_what_it_has_not_acknowledged_and_then_what_comes() {
    let mut world = World::new();
    seven_messages_to_bob(&world).await;
    let mut bob = world.rpc_on("bob", "phone").await;
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(bob.next("recv").await);
    }
    assert_eq!(seen.iter().map(inbox_seq).collect::<Vec<_>>(), (1..=7).collect::<Vec<_>>());
    for at in [0, 1, 4, 2] {
        bob.result("recvack", json!({"messageId": seen[at]["messageId"], "messageSeq": seen[at]["messageSeq"]})).await;
    }
    world.kill_and_start();
    let mut again = world.rpc_on("bob", "phone").await;
    assert!(inbox_seq(&again.next("recv").await) <= 6, "what it has not acknowledged comes again");
    let mut alice = world.binary("alice").await;
    alice.send("bob", "live", b"{}").await;
    while again.next("recv").await["clientMsgNo"] != "live" {}
    again.result("recvack", json!({"inboxSeq": 8})).await;
    drop(again);
    alice.send("bob", "last", b"{}").await;
    let mut again = world.rpc_on("bob", "phone").await;
    assert_eq!(inbox_seq(&again.next("recv").await), 9, "it has all below");
    let mut web = world.wukong("bob").await;
    let first: Value = web.next("recv").await;
    assert_eq!(first["clientMsgNo"], "m-1", "another device has none of it");
    assert!(first.get("inboxSeq").is_none());
}

#[tokio::test]
async fn what_happened_comes_in_its_place_to_a_device_that_was_away() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc_on("bob", "elsewhere").await);
    let first = alice.send("bob", "first", b"{}").await.text("message_id");
    let own = bob.result("send", to("alice", "own", &json!({}))).await;
    let own = own["messageId"].as_str().expect("an id").to_owned();
    assert_eq!(alice.next_push().await.text("message_id"), own);
    assert_eq!(alice.read("single_alice_bob", &[&own]).await, SUCCESS);
    assert_eq!(alice.revoke("single_alice_bob", &first).await, SUCCESS);
    world.group("team", &["bob"]).await;
    alice.send("bob", "last", b"{}").await;

    world.settle("bob", 6).await;
    let mut away = world.rpc_on("bob", "phone").await;
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(away.next_notification().await);
    }
    let methods: Vec<&str> = told.iter().map(|(method, _)| method.as_str()).collect();
    assert_eq!(methods, ["recv", "recv", "receipt", "revoked", "group", "recv"]);
    assert_eq!(told.iter().map(|(_, it)| inbox_seq(it)).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!((&told[0].1["payload"], &told[0].1["extra"]), (&json!(""), &json!({"revoked": "1"})));
    let inbox = away.inbox().await;
    let types: Vec<&str> = inbox.iter().map(|entry| entry["type"].as_str().unwrap_or("message")).collect();
    assert_eq!(types, ["message", "message", "receipt", "revoked", "group", "message"]);
    assert_eq!(client_numbers(&inbox), ["first", "own", "", "", "", "last"]);
    away.result("recvack", json!({"messageId": told[4].1["entryId"]})).await;

    let mut binary = world.binary("bob").await;
    let kinds: Vec<i64> = binary.inbox().await.iter().map(|entry| entry.number("message_type")).collect();
    assert_eq!(kinds, [1, 1, 1002, 1001, 1003, 1]);
}
