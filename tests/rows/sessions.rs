//! How sessions end: each reason of a kick-out, each close code, and what a JSON-RPC session is told.

use crate::common::Home;
use crate::common::binary::{BinaryClient, SUCCESS, command};
use crate::common::binary_fields::Fields;
use crate::world::World;
use serde_json::json;

/// The reason of the kick-out that comes next but for pushes, and the close code behind it.
pub async fn kick_out(client: &mut BinaryClient) -> (i64, Option<u16>) {
    let farewell = loop {
        let heard = client.receive().await.expect("a farewell before the close");
        if heard.command != command::PUSH {
            break heard;
        }
    };
    assert_eq!((farewell.command, farewell.sequence), (command::KICK_OUT, 0));
    let farewell = Fields::decode("KickOutNotification", &farewell.body);
    assert!(!farewell.text("message").is_empty());
    (farewell.number("reason"), client.ending().await)
}

#[tokio::test]
async fn the_same_platform_replaces_an_older_session_where_it_is_so_configured() {
    let world = World::of(Home::new().with_config("[sessions]\nsame_platform = \"kick\"\n"));
    let mut old = world.binary_on("alice", "iOS").await;
    let mut web = world.binary_on("alice", "Web").await;
    let mut new = world.binary_on("alice", "iOS").await;
    assert_eq!(kick_out(&mut old).await, (1, Some(4004)));
    assert!(web.heartbeat().await > 0 && new.heartbeat().await > 0);
}

#[tokio::test]
async fn by_default_a_platform_may_have_several_sessions() {
    let world = World::new();
    let (mut one, mut two) = (world.binary_on("alice", "iOS").await, world.binary_on("alice", "iOS").await);
    assert_eq!(two.send("bob", "id", b"{}").await.number("error_code"), SUCCESS);
    assert_eq!(one.next_push().await.text("client_msg_id"), "id");
}

#[tokio::test]
async fn of_more_than_16_sessions_the_oldest_goes() {
    let world = World::new();
    let mut binary = world.binary("alice").await;
    let mut second = world.rpc_on("alice", "second").await;
    let mut others = Vec::new();
    for number in 0..16 {
        others.push(world.rpc_on("alice", &format!("device-{number}")).await);
    }
    assert_eq!(kick_out(&mut binary).await, (1, Some(4004)));
    let told = second.next("disconnect").await;
    assert_eq!(told["reasonCode"], 12);
    assert!(told["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    assert_eq!(second.receive().await, Err(Some(4004)));
    for client in &mut others {
        client.result("ping", json!({})).await;
    }
}

#[tokio::test]
async fn the_same_device_under_another_flag_is_another_device() {
    let world = World::new();
    let (mut app, _) = world.rpc_with("alice", json!({"deviceId": "x", "deviceFlag": 1})).await;
    let (mut web, _) = world.rpc_with("alice", json!({"deviceId": "x", "deviceFlag": 2})).await;
    app.result("ping", json!({})).await;
    let (_again, _) = world.rpc_with("alice", json!({"deviceId": "x", "deviceFlag": 2})).await;
    assert_eq!(web.next("disconnect").await["reasonCode"], 12);
    app.result("ping", json!({})).await;
}

#[tokio::test]
async fn a_session_whose_token_has_expired_is_told_and_closed() {
    let world = World::with_limits("token_grace_ms = 500\n");
    let token = world.home.token_for("alice", "2s");
    let (mut alice, _) = BinaryClient::login(world.server().address, "alice", &token).await;
    let params = json!({"uid": "alice", "token": token, "deviceId": "d"});
    let (mut desk, _) = crate::common::rpc::RpcClient::login_with(world.server().address, "/rpc", params).await;
    assert_eq!(kick_out(&mut alice).await, (3, Some(4007)));
    assert_eq!(desk.receive().await, Err(Some(4007)), "no `disconnect`: a client is to come back");
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    world.server().signal("TERM");
    assert_eq!(kick_out(&mut alice).await, (4, Some(1001)));
    assert_eq!(bob.receive().await, Err(Some(1001)));
}

#[tokio::test]
async fn who_is_too_slow_is_told_so_comes_back_and_syncs() {
    // More than the sockets' buffers and the budget take together.
    const MESSAGES: usize = 300;
    let config = "[server]\nsend_stalled_ms = 1000\n[limits]\nclose_timeout_ms = 60000\nsends_per_second = 1000000\n\
        sends_burst = 1000000\nqueries_per_second = 1000000\nqueries_burst = 1000000\n";
    let world = World::of(Home::new().with_config(config));
    let (mut deaf, mut alice) = (world.binary("deaf").await, world.binary("alice").await);
    let mut rpc_deaf = world.rpc("deaf").await;
    let content = vec![b'x'; 60_000];
    for number in 0..MESSAGES {
        assert_eq!(alice.send("deaf", &format!("id-{number}"), &content).await.number("error_code"), SUCCESS);
    }
    // It is too slow when its socket has taken nothing for a while, not before.
    while alice.presence(&["deaf"], 0).await.list("states")[0].flag("online") {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(kick_out(&mut deaf).await, (5, Some(4005)));
    assert_eq!(rpc_deaf.socket.ending().await, Some(4005));
    world.settle("deaf", 300).await;
    assert_eq!(world.binary("deaf").await.inbox().await.len(), MESSAGES, "nothing is missing");
}

#[tokio::test]
async fn a_second_authentication_changes_nothing() {
    let world = World::new();
    let mut alice = world.binary("alice").await;
    let token = world.home.token("alice");
    assert_eq!(alice.authenticate("alice", &token).await.number("error_code"), 2);
    let body = crate::common::binary::auth_body("alice", &token, "Linux");
    let answer = alice.request(command::REAUTH, &body, "AuthResponse").await;
    assert_eq!((answer.number("error_code"), answer.number("max_seq")), (SUCCESS, 0));
    assert_eq!(alice.send("alice", "still here", b"{}").await.number("error_code"), SUCCESS);
}

#[tokio::test]
async fn any_frame_keeps_a_session_of_either_protocol_alive() {
    let world = World::with_limits("idle_json_rpc_ms = 2000\nidle_binary_ms = 2000\n");
    let (mut idle, mut idle_rpc) = (world.binary("idle").await, world.rpc("idle").await);
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    let busy = async {
        loop {
            alice.heartbeat().await;
            assert!(bob.socket.send_ping(b"here").await);
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    let both = async { (idle.ending().await, idle_rpc.socket.ending().await) };
    tokio::select! {
        codes = both => assert_eq!(codes, (Some(4003), Some(4003))),
        () = busy => unreachable!("it never ends"),
    }
    alice.heartbeat().await;
    assert_eq!(bob.socket.receive().await, crate::common::socket::Received::Pong(b"here".to_vec()));
}
