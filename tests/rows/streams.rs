//! Streams: how chunks are numbered, and the three ways in which a stream ends.

use crate::common::binary::SUCCESS;
use crate::world::{World, client_ids, client_numbers, to};
use serde_json::{Value, json};

fn chunk(id: &str, more: &Value) -> Value {
    to("bob", id, &crate::world::with(&json!({"setting": {"stream": true}, "streamNo": "s"}), more))
}

fn place(seen: &Value) -> (&Value, &Value, &Value) {
    (&seen["streamNo"], &seen["streamId"], &seen["streamFlag"])
}

#[tokio::test]
async fn chunks_are_numbered_until_the_flag_that_ends_them_and_then_begin_anew() {
    let world = World::new();
    let (mut alice, mut bob) = (world.rpc("alice").await, world.rpc("bob").await);
    let mut binary = world.binary("bob").await;
    for (id, more) in
        [("1", json!({})), ("2", json!({"streamFlag": 0})), ("3", json!({"streamFlag": 2})), ("4", json!({}))]
    {
        let sent = alice.result("send", chunk(id, &more)).await;
        assert_eq!(alice.result("send", chunk(id, &more)).await, sent, "repeated, it is not numbered again");
    }
    for (id, flag, seq) in [("1", 0, 1), ("2", 1, 2), ("3", 2, 3), ("1", 0, 4)] {
        let seen = bob.next("recv").await;
        assert_eq!(place(&seen), (&json!("s"), &json!(id), &json!(flag)));
        assert_eq!(
            (&seen["setting"], &seen["messageSeq"]),
            (&json!({"stream": true}), &json!(seq)),
            "each has its own seq"
        );
    }
    assert_eq!(client_ids(&binary.inbox().await), ["1", "2", "3", "4"], "to binary each is a message");
    let nameless = json!({"setting": {"stream": true}});
    assert_eq!(alice.refusal("send", to("bob", "5", &nameless)).await, -32602);
    let plain = json!({"streamNo": "s"});
    alice.result("send", to("bob", "6", &plain)).await;
    assert!(bob.next("recv").await.get("streamNo").is_none(), "no stream without its setting");
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_ended_by_the_server() {
    let world = World::with_limits("stream_idle_ms = 1000\n");
    let (mut alice, mut bob) = (world.rpc("alice").await, world.rpc("bob").await);
    alice.result("send", chunk("1", &json!({}))).await;
    assert_eq!(bob.next("recv").await["streamFlag"], 0);
    let end = bob.next("recv").await;
    assert_eq!((place(&end), &end["fromUid"]), ((&json!("s"), &json!("2"), &json!(2)), &json!("alice")));
    assert_eq!((&end["payload"], &end["inboxSeq"]), (&json!(""), &json!(2)), "an empty chunk with its own seq");
    assert_eq!(alice.next("recv").await["streamFlag"], 2, "its author is told as well");
    assert_eq!(alice.inbox().await.len(), 2);
}

#[tokio::test]
async fn a_stream_ends_with_the_session_of_its_author() {
    let world = World::new();
    let (mut alice, mut bob) = (world.rpc("alice").await, world.rpc("bob").await);
    for id in ["1", "2"] {
        alice.result("send", chunk(id, &json!({}))).await;
    }
    drop(alice);
    let mut places = Vec::new();
    for _ in 0..3 {
        let seen = bob.next("recv").await;
        places.push((seen["streamId"].clone(), seen["streamFlag"].clone()));
    }
    let expected = [("1", 0), ("2", 1), ("3", 2)].map(|(id, flag)| (json!(id), json!(flag)));
    assert_eq!(places, expected);
}

#[tokio::test]
async fn a_stream_that_a_kill_cut_off_is_ended_after_the_start() {
    let mut world = World::with_limits("stream_idle_ms = 1000\n");
    let mut alice = world.rpc("alice").await;
    alice.result("send", chunk("1", &json!({}))).await;
    world.kill_and_start();
    let mut bob = world.binary("bob").await;
    while bob.sync(0, 0).await.number("server_max_seq") < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let inbox = bob.inbox().await;
    assert_eq!((inbox.len(), inbox[1].bytes("content")), (2, Vec::new()));
    assert_eq!(world.rpc("bob").await.inbox().await[1]["streamFlag"], 2);
    let sent = bob.send("alice", "and now", b"{}").await;
    assert_eq!((sent.number("error_code"), sent.number("seq")), (SUCCESS, 3), "ended once");
    assert_eq!(client_numbers(&world.rpc("alice").await.inbox().await).len(), 3);
}
