//! Presence: queries, subscriptions and last-seen times, over both protocols and the API.

use crate::common::binary::{SUCCESS, command};
use crate::world::{World, list};
use serde_json::json;

#[tokio::test]
async fn a_binary_session_queries_subscribes_and_unsubscribes() {
    let world = World::new();
    let mut alice = world.binary("alice").await;
    let answer = alice.presence(&["alice", "bob", "carol"], 0).await;
    assert_eq!(answer.number("error_code"), SUCCESS);
    let states: Vec<(String, bool, i64)> = answer
        .list("states")
        .iter()
        .map(|state| (state.text("user_id"), state.flag("online"), state.number("last_seen")))
        .collect();
    assert_eq!(states, [("alice".into(), true, 0), ("bob".into(), false, 0), ("carol".into(), false, 0)]);
    assert_eq!(alice.presence(&["bob"], 1).await.list("states").len(), 1);

    let bob = world.rpc("bob").await;
    let told = alice.next_told(command::PRESENCE_CHANGED, "PresenceState").await;
    assert_eq!((told.text("user_id"), told.flag("online"), told.number("last_seen")), ("bob".into(), true, 0));
    drop(bob);
    let told = alice.next_told(command::PRESENCE_CHANGED, "PresenceState").await;
    assert!(!told.flag("online") && told.number("last_seen") > 1_700_000_000_000);
    let state = alice.presence(&["bob"], 2).await.list("states").remove(0);
    assert_eq!((state.flag("online"), state.number("last_seen")), (false, told.number("last_seen")));

    let mut bob = world.rpc("bob").await;
    bob.send("alice", "hello", json!({})).await;
    alice.next_push().await;
    assert_eq!(alice.told_until_now().await, 0, "it has unsubscribed");
    assert_eq!(alice.presence(&["bob"], 3).await.number("error_code"), 2);
    assert_eq!(alice.presence(&["a\nb"], 0).await.number("error_code"), 2);
}

#[tokio::test]
async fn json_rpc_and_the_api_say_the_same() {
    let world = World::new();
    let mut bob = world.rpc("bob").await;
    let alice = world.binary("alice").await;
    let answer = bob.result("presence", json!({"userIds": ["alice", "carol"], "action": 1})).await;
    let online: Vec<bool> = list(&answer, "states").iter().map(|state| state["online"] == true).collect();
    assert_eq!(online, [true, false]);
    assert_eq!(world.api().get("/v1/users/alice").json()["sessions"], 1);
    drop(alice);
    let told = bob.next("presence").await;
    assert_eq!((&told["userId"], &told["online"]), (&json!("alice"), &json!(false)));
    let shown = world.api().get("/v1/users/alice").json();
    assert_eq!((&shown["sessions"], &shown["last_seen"]), (&json!(0), &told["lastSeen"]));
    assert_eq!(bob.refusal("presence", json!({"userIds": ["a"], "action": 9})).await, -32602);
    let many: Vec<String> = (0..201).map(|number| number.to_string()).collect();
    assert_eq!(bob.refusal("presence", json!({"userIds": many})).await, -32602);
}
