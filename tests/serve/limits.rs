//! Bounds of the whole server and of one address: connections, how fast they come, how often one logs in, and the memory
//! of those who do not read.

use crate::common::raw::{Raw, frame, opcode, upgrade_request};
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, wait_for};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// The code with which an upgrade is refused; `None`: it is let in.
fn refusal(raw: &mut Raw) -> Option<String> {
    raw.write(upgrade_request("/rpc").as_bytes());
    refusal_read(raw)
}

fn refusal_read(raw: &mut Raw) -> Option<String> {
    let head = raw.read_head();
    if head.starts_with("HTTP/1.1 101 ") {
        return None;
    }
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: "), "{head}");
    let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split_once("\r\n")?.0.parse().ok());
    let body: Value = serde_json::from_slice(&raw.read_bytes(length.expect("a length"))).expect("JSON");
    Some(body["error"].as_str().expect("a code").to_owned())
}

fn is_let_in(raw: &mut Raw) -> bool {
    refusal(raw).is_none()
}

fn connections(server: &Server, count: usize) -> Vec<Raw> {
    (0..count).map(|_connection| Raw::connect(server.address)).collect()
}

fn turned_away(server: &Server, reason: &str) -> f64 {
    let text = server.api().get("/metrics").body;
    let lines = text.lines().filter(|line| line.starts_with("mushan_connections_turned_away_total{"));
    let lines = lines.filter(|line| line.contains(&format!("reason=\"{reason}\"")));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// How many of `count` new connections are let in, the others being refused with this code; all stay open. The server has closed
/// those before.
fn let_in(server: &Server, count: usize, code: &str) -> (usize, Vec<Raw>) {
    wait_for("no connection", || (server.api().sample("mushan_connections{") < 0.5).then_some(()));
    let mut held = connections(server, count);
    let refused: Vec<String> = held.iter_mut().filter_map(refusal).collect();
    assert!(refused.iter().all(|refused| refused == code), "{refused:?}");
    (count - refused.len(), held)
}

fn log_in(raw: &mut Raw, user: &str, token: &str) -> Value {
    let params = json!({"uid": user, "token": token, "deviceId": "d", "deviceFlag": 1});
    let connect = json!({"jsonrpc": "2.0", "id": "c", "method": "connect", "params": params}).to_string();
    raw.write(&frame(opcode::TEXT, connect.as_bytes()));
    let (_, answer) = raw.read_frame().expect("an answer");
    serde_json::from_slice(&answer).expect("JSON")
}

#[test]
fn the_server_takes_no_more_connections_than_all_its_shards_may_have_together() {
    let server = Home::new().with_config("[server]\nconnections_total_max = 5\n").with_shards(3).start();
    let (count, held) = let_in(&server, 9, "server_full");
    assert_eq!(count, 5);
    wait_for("the count", || (turned_away(&server, "server_full") >= 4.0).then_some(()));
    drop(held);
    assert_eq!(let_in(&server, 5, "server_full").0, 5, "places are given back");
    assert!(server.errors().contains("server.connections_total_max"));
}

#[test]
fn an_address_has_as_many_connections_as_it_may_wherever_their_users_belong() {
    let config = "[server]\nconnections_per_address_max = 3\ntrusted_proxies = \"127.0.0.1\"\n";
    let server = Home::new().with_config(config).with_shards(3).start();
    let connect = |from: &str| Raw::connect_from(from.parse::<IpAddr>().expect("an address"), server.address);
    let mut held: Vec<Raw> = (0..3).map(|_connection| connect("127.0.0.5")).collect();
    // Logged in, they have moved to the cores of their users, and count as before.
    for (number, raw) in held.iter_mut().enumerate() {
        assert!(is_let_in(raw));
        let user = format!("u{number}");
        assert!(log_in(raw, &user, &server.token(&user)).get("result").is_some());
    }
    assert_eq!(refusal(&mut connect("127.0.0.5")).as_deref(), Some("address_crowded"));
    assert!(is_let_in(&mut connect("127.0.0.6")), "another address has its own");
    assert!(is_let_in(&mut Raw::connect(server.address)), "and a trusted proxy no bound");
    held.pop();
    wait_for("a place again", || is_let_in(&mut connect("127.0.0.5")).then_some(()));
    wait_for("the count", || (turned_away(&server, "address_crowded") >= 1.0).then_some(()));
    // Behind a proxy each client has its own, which is known with the upgrade request.
    let behind = |address: &str| {
        let mut raw = Raw::connect(server.address);
        let request =
            upgrade_request("/rpc").replacen("\r\n\r\n", &format!("\r\nX-Forwarded-For: {address}\r\n\r\n"), 1);
        raw.write(request.as_bytes());
        assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
        raw
    };
    let _held: Vec<Raw> = (0..3).map(|_connection| behind("203.0.113.9")).collect();
    assert_eq!(behind("203.0.113.9").read_close(), Some(1013));
    let mut other = behind("203.0.113.10");
    assert!(log_in(&mut other, "zoe", &server.token("zoe")).get("result").is_some());
}

#[test]
fn who_connects_too_fast_is_refused_before_anything_is_spent() {
    let config = "[server]\naccepts_per_address_per_minute = 4\ntrusted_proxies = \"\"\n";
    let server = Home::new().with_config(config).with_shards(1).start();
    // The start of the test has connected as well.
    let (count, _held) = let_in(&server, 10, "address_too_fast");
    assert!((2..=4).contains(&count), "{count} were let in");
    wait_for("the count", || (turned_away(&server, "address_too_fast") >= 5.0).then_some(()));
    assert!(server.errors().contains("server.accepts_per_address_per_minute"));
    let paced = Home::new().with_config("[server]\naccepts_per_second = 20\n").with_shards(1).start();
    let (count, _held) = let_in(&paced, 200, "too_fast");
    assert!((15..=120).contains(&count), "a second's share at once, then the rate: {count} were let in");
    wait_for("the count", || (turned_away(&paced, "too_fast") >= 80.0).then_some(()));
    assert!(paced.errors().contains("server.accepts_per_second"));
}

/// A client that a proxy announces counts under its own address as soon as it is named, and under its proxy's until then.
#[test]
fn who_owes_a_proxy_header_is_counted_and_who_was_announced_is_so_under_its_own_address() {
    let config = "[server]\nproxy_protocol_from = \"127.0.0.1\"\ntrusted_proxies = \"\"\nunannounced_per_proxy_max = 4\n\
                  connections_per_address_max = 3\nhandshakes_per_address_max = 20\n";
    let server = Home::new().with_config(config).with_shards(1).start();
    let announced = |client: &str| {
        let mut raw = Raw::connect(server.address);
        raw.write(format!("PROXY TCP4 {client} 127.0.0.1 4711 443\r\n").as_bytes());
        raw
    };
    let let_in = |number: u8| {
        let mut raw = announced(&format!("203.0.113.{number}"));
        assert!(is_let_in(&mut raw), "who is announced takes nobody's place among those who are not");
        raw
    };
    let _held: Vec<Raw> = (1..=10).map(let_in).collect();
    let mut silent: Vec<Raw> = (0..5).map(|_silent| Raw::connect(server.address)).collect();
    assert_eq!(refusal_read(&mut silent[0]).as_deref(), Some("crowded"), "the oldest makes room");
    for raw in &mut silent[1..] {
        raw.write(b"PROXY TCP4 203.0.113.77 127.0.0.1 4711 443\r\n");
    }
    let let_in: Vec<bool> = silent[1..].iter_mut().map(is_let_in).collect();
    assert_eq!(let_in.iter().filter(|is_in| **is_in).count(), 3, "the client has its own bound: {let_in:?}");
    wait_for("the count", || (turned_away(&server, "proxy_full") >= 1.0).then_some(()));
    wait_for("the other", || (turned_away(&server, "address_crowded") >= 1.0).then_some(()));
    // They have left the table of those who owe one.
    let mut silent: Vec<Raw> = (0..4).map(|_silent| Raw::connect(server.address)).collect();
    for (number, raw) in silent.iter_mut().enumerate() {
        raw.write(format!("PROXY TCP4 203.0.113.{} 127.0.0.1 4711 443\r\n", 100 + number).as_bytes());
        assert!(is_let_in(raw));
    }
    assert!(server.errors().contains("server.unannounced_per_proxy_max"));
}

#[test]
fn who_logs_in_too_often_is_told_and_no_token_is_looked_at() {
    let config = "[server]\nlogins_per_address_per_minute = 3\ntrusted_proxies = \"127.0.0.1\"\n";
    let server = Home::new().with_config(config).with_shards(1).start();
    let token = server.token("alice");
    let attempt = |from: &str, token: &str| {
        let mut raw = Raw::connect_from(from.parse().expect("an address"), server.address);
        assert!(is_let_in(&mut raw));
        let answer = log_in(&mut raw, "alice", token);
        (answer["error"]["code"].as_i64(), raw)
    };
    for _again in 0..3 {
        let (code, mut raw) = attempt("127.0.0.5", "wrong");
        assert_eq!((code, raw.read_close()), (Some(1001), Some(4001)));
    }
    let (code, mut raw) = attempt("127.0.0.5", &token);
    assert_eq!((code, raw.read_close()), (Some(1104), Some(1013)), "later, it is told");
    assert_eq!(attempt("127.0.0.6", &token).0, None, "another address has its own");
    assert_eq!(attempt("127.0.0.1", &token).0, None, "and a trusted proxy no bound");
    let refused = "mushan_logins_refused_total{shard=\"0\",reason=\"login_too_fast\"}";
    wait_for("the count", || (server.api().sample(refused) >= 1.0).then_some(()));
}

#[test]
fn everybody_together_logs_in_no_faster_than_the_server_can_verify() {
    let server = Home::new().with_config("[server]\nlogins_per_second = 5\n").with_shards(1).start();
    let token = server.token("alice");
    let codes: Vec<Option<i64>> = (0..60)
        .map(|_again| {
            let mut raw = Raw::connect(server.address);
            assert!(is_let_in(&mut raw));
            log_in(&mut raw, "alice", &token)["error"]["code"].as_i64()
        })
        .collect();
    let let_in = codes.iter().filter(|code| code.is_none()).count();
    assert!((5..=50).contains(&let_in), "{codes:?}");
    assert!(codes.iter().flatten().all(|code| *code == 1104), "{codes:?}");
}

/// Each holds what it was sent before the shard knew that memory is short.
#[tokio::test]
async fn those_who_hold_the_most_memory_end_if_it_stays_short() {
    let config = "[server]\nsegment_bytes = 4194304\noutbox_bytes_total_max = 300000\ntcp_notsent_lowat_bytes = 16384\n\
                  [limits]\nsends_per_second = 1000000\nsends_burst = 1000000\n";
    let server = Home::new().with_config(config).with_shards(1).start();
    let mut silent: Vec<Raw> = (0..60).map(|number| silent_reader(&server, number)).collect();
    let mut sender = server.rpc("alice").await;
    for round in 0..4 {
        send_to_all(&mut sender, round, 60).await;
    }
    // While it is short, nobody new is let in.
    wait_for("memory that is short", || {
        (refusal(&mut Raw::connect(server.address)).as_deref() == Some("memory_short")).then_some(())
    });
    wait_for("memory within its bound", || (server.api().sample("mushan_outbox_bytes{") <= 330_000.0).then_some(()));
    let ended = "mushan_connections_closed_total{shard=\"0\",closing=\"too_slow\"}";
    wait_for("ended sessions", || (server.api().sample(ended) >= 20.0).then_some(()));
    assert!(server.api().sample(ended) < 60.0, "no more than was needed");
    assert!(turned_away(&server, "memory_short") >= 20.0 && server.errors().contains("outbox_bytes_total_max"));
    assert!(is_let_in(&mut Raw::connect(server.address)), "there is room again");
    silent.clear();
    let mut back = server.rpc("silent-0").await;
    assert_eq!(back.next("recv").await["fromUid"], json!("alice"), "nothing is lost");
}

/// A session that reads nothing, and for which the kernel takes little.
fn silent_reader(server: &Server, number: usize) -> Raw {
    let mut raw = Raw::connect(server.address);
    raw.shrink_receive_buffer();
    assert!(is_let_in(&mut raw));
    let user = format!("silent-{number}");
    assert!(log_in(&mut raw, &user, &server.token(&user)).get("result").is_some());
    raw
}

/// A message of 40 kB to each of `count` silent readers.
async fn send_to_all(sender: &mut RpcClient, round: usize, count: usize) {
    for number in 0..count {
        let params = json!({"clientMsgNo": format!("{round}-{number}"), "channelId": format!("silent-{number}"),
            "channelType": 1, "payload": {"type": 1, "content": "x".repeat(40_000)}});
        sender.result("send", params).await;
    }
}

/// They would hold half as much again. They fall behind to their cursors sooner, so that nobody has to end, and others go on.
#[tokio::test]
async fn those_who_do_not_read_hold_no_more_memory_than_there_is_for_outboxes() {
    const BOUND: f64 = 8_000_000.0;
    const READERS: usize = 90;
    let config = "[server]\nsegment_bytes = 4194304\noutbox_bytes_total_max = 8000000\ntcp_notsent_lowat_bytes = 16384\n\
                  [limits]\nsends_per_second = 1000000\nsends_burst = 1000000\nsends_per_day = 1000000000\n\
                  written_bytes_per_day = 100000000000\n";
    let server = Home::new().with_config(config).with_shards(1).start();
    let silent: Vec<Raw> = (0..READERS).map(|number| silent_reader(&server, number)).collect();
    let (mut sender, mut reader) = (server.rpc("alice").await, server.rpc("bob").await);
    for round in 0..8 {
        send_to_all(&mut sender, round, READERS).await;
    }
    // Over a whole sweep of the sockets.
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        let held = server.api().sample("mushan_outbox_bytes{");
        assert!(held <= BOUND, "{held} bytes");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let ended = "mushan_connections_closed_total{shard=\"0\",closing=\"too_slow\"}";
    assert_eq!(server.api().sample(ended), 0.0, "who falls behind need not end");
    assert_eq!(server.api().sample("mushan_outbox_bytes_max{"), BOUND);
    assert!(server.api().sample("mushan_sessions_fell_behind_total{") > 0.0, "they are behind, at their cursors");
    let hello = json!({"clientMsgNo": "hello", "channelId": "bob", "channelType": 1, "payload": {"type": 1, "content": "hello"}});
    sender.result("send", hello).await;
    assert_eq!(reader.next("recv").await["fromUid"], json!("alice"), "who reads is served");
    // Who reads again gets everything, on this session or on the next one.
    drop(silent);
    let mut back = server.rpc("silent-0").await;
    assert_eq!(back.next("recv").await["fromUid"], json!("alice"));
}
