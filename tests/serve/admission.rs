//! Who is let in when there is little room: full shards, few open files, strangers who say nothing. Whoever is not let
//! in is told so.

use crate::common::raw::{Raw, frame, opcode};
use crate::common::rpc::RpcClient;
use crate::common::socket::{Received, Socket};
use crate::common::{Home, Server, wait_for};
use mushan::model::{ShardId, UserId};
use mushan::shard::Placement;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;
use std::os::unix::process::CommandExt;

const NO_TRUST: &str = "[server]\nsegment_bytes = 1048576\nhandshakes_per_address_max = 4\ntrusted_proxies = \"\"\n";

fn is_503(head: &str) -> bool {
    head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: 1\r\n")
}

#[tokio::test]
async fn a_full_shard_answers_503_before_the_upgrade() {
    let server = Home::new().with_config("[server]\nconnections_max = 3\n").with_shards(1).start();
    let mut clients = Vec::new();
    for user in ["a", "b", "c"] {
        clients.push(server.rpc(user).await);
    }
    // Those that were there before a client counts are gone only when the server has seen it.
    wait_for("a full shard", || {
        let mut late = Raw::connect(server.address);
        late.write(crate::common::raw::upgrade_request("/rpc").as_bytes());
        is_503(&late.read_head()).then_some(())
    });
    assert_eq!(clients[0].call("ping", json!({})).await["error"], json!(null), "who is in stays in");
    clients.pop();
    wait_for("room again", || {
        let mut late = Raw::connect(server.address);
        late.write(crate::common::raw::upgrade_request("/rpc").as_bytes());
        late.read_head().starts_with("HTTP/1.1 101 ").then_some(())
    });
    let turned_away = "mushan_connections_turned_away_total{shard=\"0\",reason=\"shard_full\"}";
    wait_for("the count", || (server.api().sample(turned_away) > 0.0).then_some(()));
    assert_eq!(server.api().sample("mushan_connections_max{"), 3.0);
    assert!(server.stop().errors.contains("connections are refused"));
}

#[tokio::test]
async fn a_shard_takes_no_more_handed_over_connections_than_it_may() {
    const MOST: usize = 6;
    let server = Home::new().with_config(&format!("[server]\nconnections_max = {MOST}\n")).with_shards(2).start();
    let placement = Placement::new(2);
    let is_of_first = |user: &String| placement.owner_of(&UserId::new(user).expect("an id")) == ShardId(0);
    let users: Vec<String> = (0..200).map(|number| format!("u{number}")).filter(is_of_first).take(30).collect();
    let (mut let_in, mut told) = (Vec::new(), 0);
    for user in &users {
        // As a client would that is told to come again.
        let mut raw = Raw::connect(server.address);
        raw.write(crate::common::raw::upgrade_request("/rpc").as_bytes());
        let head = raw.read_head();
        if is_503(&head) {
            continue;
        }
        let params = json!({"uid": user, "token": server.token(user), "deviceId": "d", "deviceFlag": 1});
        let connect = json!({"jsonrpc": "2.0", "id": "c", "method": "connect", "params": params}).to_string();
        raw.write(&frame(opcode::TEXT, connect.as_bytes()));
        let (_, answer) = raw.read_frame().expect("an answer");
        if String::from_utf8(answer).expect("text").contains("\"error\"") {
            assert_eq!(raw.read_close(), Some(1013), "and the close code says that it is a matter of room");
            told += 1;
        } else {
            let_in.push(raw);
        }
    }
    assert!(let_in.len() <= MOST, "{} are in", let_in.len());
    assert!(let_in.len() >= MOST / 2 && told > 0, "{} are in, {told} were told", let_in.len());
}

#[tokio::test]
async fn the_oldest_that_does_not_log_in_makes_room_for_others_behind_its_address() {
    let server = Home::new().with_config(NO_TRUST).with_shards(1).start();
    let mut silent: Vec<Raw> = (0..3).map(|_stranger| Raw::connect(server.address)).collect();
    let mut upgraded = Raw::upgrade(server.address, "/rpc");
    for number in 0..4 {
        drop(server.rpc(&format!("u{number}")).await);
        // Its place is free again; only more at a time push others out.
    }
    let mut crowd: Vec<Raw> = (0..4).map(|_stranger| Raw::connect(server.address)).collect();
    assert!(is_503(&silent[0].read_head()));
    assert!(is_503(&silent[2].read_head()));
    assert_eq!(upgraded.read_close(), Some(1013));
    let mut client = server.rpc("honest").await;
    assert_eq!(client.call("ping", json!({})).await["error"], json!(null));
    crowd.clear();
    let turned_away = "mushan_connections_turned_away_total{shard=\"0\",reason=\"address_full\"}";
    wait_for("the count", || (server.api().sample(turned_away) >= 4.0).then_some(()));
    let errors = server.stop().errors;
    assert_eq!(errors.matches("server.trusted_proxies").count(), 1, "told once, with the remedy: {errors}");
}

#[tokio::test]
async fn a_storm_from_this_machine_has_no_bound_of_its_own() {
    let server = Home::new().with_config("[server]\nhandshakes_per_address_max = 4\n").with_shards(1).start();
    let mut crowd: Vec<Raw> = (0..40).map(|_client| Raw::connect(server.address)).collect();
    for client in &mut crowd {
        client.write(crate::common::raw::upgrade_request("/ws").as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    }
}

#[tokio::test]
async fn refused_connections_that_linger_take_nobodys_place() {
    let home =
        Home::new().with_config("[server]\nconnections_max = 20\n[limits]\nclose_timeout_ms = 60000\n").with_shards(1);
    let server = home.start();
    let mut lingering = Vec::new();
    for _stranger in 0..100 {
        let mut stranger = Raw::connect(server.address);
        stranger.write(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(stranger.read_head().starts_with("HTTP/1.1 404 "));
        lingering.push(stranger);
    }
    let mut client = server.rpc("honest").await;
    assert_eq!(client.call("ping", json!({})).await["error"], json!(null));
}

#[tokio::test]
async fn a_stranger_sends_no_larger_frame_than_a_login_takes() {
    let server = Home::new().start();
    let mut stranger = Socket::connect(server.address, "/rpc").await;
    stranger.send_text(&" ".repeat(8_193)).await;
    assert_eq!(stranger.ending().await, Some(1009));
    let mut client = server.rpc("alice").await;
    client.socket.send_text(&" ".repeat(60_000)).await;
    assert!(matches!(client.socket.receive().await, Received::Text(_)), "whoever has logged in may");
}

#[tokio::test]
async fn sockets_never_take_the_files_that_the_log_needs() {
    let home = Home::new().with_shards(1);
    let server = Server::try_start(with_files(home.serve("127.0.0.1:0"), 330)).expect("it starts");
    let mut sender = server.rpc("alice").await;
    let (mut crowd, mut turned_away) = (Vec::new(), 0);
    while crowd.len() < 400 && turned_away < 10 {
        let mut client = Raw::connect(server.address);
        client.write(crate::common::raw::upgrade_request("/ws").as_bytes());
        if is_503(&client.read_head()) { turned_away += 1 } else { crowd.push(client) }
    }
    assert!(turned_away == 10 && crowd.len() > 10, "{turned_away} turned away, {} in", crowd.len());
    // Six segments' worth: each is a file more.
    for number in 0..120 {
        let params = json!({"clientMsgNo": format!("m{number}"), "channelId": "bob", "channelType": 1,
            "payload": {"type": 1, "content": "x".repeat(50_000)}});
        sender.result("send", params).await;
    }
    let exit = server.stop();
    assert_eq!(exit.status.code(), Some(0));
    assert!(exit.errors.contains("LimitNOFILE") && !exit.errors.contains("segment"), "{}", exit.errors);
    assert!(exit.output.contains("per shard"), "{}", exit.output);
}

/// The limit of open files is for sockets and logs together, and a log that grows needs ever more of it.
#[tokio::test]
async fn sockets_give_way_to_a_log_that_grows() {
    let config = "[server]\nsegment_bytes = 262144\n[limits]\nsends_per_second = 1000000\nsends_burst = 1000000\n";
    let home = Home::new().with_config(config).with_shards(1);
    let server = Server::try_start(with_files(home.serve("127.0.0.1:0"), 400)).expect("it starts");
    let mut sender = server.rpc("alice").await;
    let mut crowd = Vec::new();
    for user in ["b", "c", "d", "e"] {
        let token = home.token(user);
        for device in 0..12 {
            let params = json!({"uid": user, "token": token, "deviceId": format!("d{device}"), "deviceFlag": 1});
            crowd.push(RpcClient::login_with(server.address, "/rpc", params).await.0);
        }
    }
    let ended = "mushan_connections_closed_total{shard=\"0\",closing=\"crowded\"}";
    assert_eq!(server.api().sample(ended), 0.0);
    for number in 0..70 {
        let params = json!({"clientMsgNo": format!("m{number}"), "channelId": "bob", "channelType": 1,
            "payload": {"type": 1, "content": "x".repeat(50_000)}});
        sender.result("send", params).await;
    }
    wait_for("sockets to give way", || (server.api().sample(ended) >= 10.0).then_some(()));
    let last = crowd.last_mut().expect("a crowd");
    assert_eq!(last.socket.ending().await, Some(1013), "who came last is told that it is a matter of room");
    assert_eq!(sender.call("ping", json!({})).await["error"], json!(null), "and who was there stays");
    let exit = server.stop();
    assert!(exit.errors.contains("LimitNOFILE") && !exit.errors.contains("segment"), "{}", exit.errors);
}

/// The command with a limit of open files.
fn with_files(mut command: std::process::Command, files: u64) -> std::process::Command {
    // SAFETY: only system calls that are safe between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let limit = Rlimit { current: Some(files), maximum: Some(files) };
            setrlimit(Resource::Nofile, limit).map_err(Into::into)
        });
    }
    command
}
