//! The real process on real sockets: how it starts, refuses, hands over, closes and stops.

use crate::common::binary::{Envelope, SUCCESS, auth_body, command, envelope, send_body};
use crate::common::binary_fields::Fields;
use crate::common::raw::{Raw, frame, opcode};
use crate::common::rpc::RpcClient;
use crate::common::{Home, mushan, run};
use serde_json::{Value, json};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

fn mode(path: &Path) -> u32 {
    let metadata = std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.permissions().mode() & 0o777
}

#[test]
fn a_start_says_what_one_needs_to_know() {
    let home = Home::new();
    let server = home.start();
    let output = server.output();
    let data_dir = home.data_dir().display().to_string();
    for expected in [server.address.to_string().as_str(), "2", &data_dir, "fsync", "mushan token"] {
        assert!(output.contains(expected), "{expected:?} is not said in:\n{output}");
    }
    assert!(output.contains("shard") && output.contains("core"), "{output}");
    assert!(output.lines().count() <= 15, "it is to be short:\n{output}");
}

#[test]
fn data_and_secret_are_the_owners_alone() {
    let home = Home::new();
    let server = home.start();
    assert_eq!(mode(&home.data_dir()), 0o700);
    let secret = home.data_dir().join("token-secret");
    assert_eq!(mode(&secret), 0o600);
    let text = std::fs::read_to_string(&secret).expect("the owner reads it");
    let digits = text.trim();
    assert!(digits.len() == 64 && digits.chars().all(|digit| digit.is_ascii_hexdigit()), "32 bytes in hex");
    let exit = server.stop();
    assert!(!exit.output.contains(digits) && !exit.errors.contains(digits), "never printed");
    drop(home.start());
    assert_eq!(std::fs::read_to_string(&secret).expect("still there"), text, "made once");
}

#[test]
fn the_tokens_last_line_is_the_token_alone() {
    let server = Home::new().start();
    let token = server.token("alice");
    assert_eq!(token.split('.').count(), 3, "{token}");
    assert!(token.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)), "{token}");
}

#[test]
fn a_token_without_a_server_before_it_is_an_error_that_says_so() {
    let home = Home::new();
    let output = home.run(&["token", "--user", "alice"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("serve"), "says what to do: {output:?}");
    assert!(!home.data_dir().exists(), "and makes nothing");
}

#[tokio::test]
async fn a_stop_tells_every_session_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let server = Home::new().start();
        let mut alice = server.binary("alice").await;
        let mut bob = server.rpc("bob").await;
        let mut carol = RpcClient::login(server.address, "/wukong", "carol", &server.token("carol")).await;
        server.signal(signal);
        let farewell = alice.receive().await.expect("a farewell before the close");
        assert_eq!(farewell.command, command::KICK_OUT);
        assert_eq!(Fields::decode("KickOutNotification", &farewell.body).number("reason"), 4);
        assert_eq!(alice.socket.ending().await, Some(1001));
        assert_eq!(bob.socket.ending().await, Some(1001));
        assert_eq!(carol.receive().await, Err(Some(1001)), "no `disconnect`: it would be the SDKs' last");
        let exit = server.wait();
        assert_eq!(exit.status.code(), Some(0), "{}", exit.errors);
    }
}

#[tokio::test]
async fn what_is_answered_before_a_stop_is_there_after_it() {
    let home = Home::new();
    let server = home.start();
    let mut alice = server.binary("alice").await;
    for number in 0..50 {
        alice.ask(command::SEND, &send_body("bob", &format!("id-{number}"), b"on the way")).await;
    }
    server.signal("TERM");
    let mut answered = 0;
    while let Ok(heard) = alice.receive().await {
        if heard.command == command::SEND + 1 {
            let answer = Fields::decode("SendMessageResponse", &heard.body);
            answered += usize::from(answer.number("error_code") == SUCCESS);
        }
    }
    assert_eq!(server.wait().status.code(), Some(0));
    let server = home.start();
    let mut bob = server.binary("bob").await;
    assert!(bob.inbox().await.len() >= answered, "{answered} were answered");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let home = Home::new();
    let _first = home.start();
    let second = run(home.serve("127.0.0.1:0"));
    assert_eq!(second.status.code(), Some(3));
    let errors = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(errors.contains(&home.data_dir().display().to_string()), "names the directory: {errors}");
}

#[test]
fn a_server_takes_the_place_of_one_that_was_just_killed() {
    let home = Home::new();
    let mut server = home.start();
    let address = server.address;
    for _time in 0..5 {
        let connections: Vec<_> = (0..20).map(|_| TcpStream::connect(address).expect("it accepts")).collect();
        server.kill();
        server = home.start_at(address);
        drop(connections);
    }
}

#[test]
fn another_number_of_shards_than_the_data_has_is_refused() {
    let home = Home::new();
    drop(home.start());
    let home = home.with_shards(3);
    let output = run(home.serve("127.0.0.1:0"));
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn all_that_is_wrong_with_a_configuration_is_said_at_once() {
    let home = Home::new().with_config(
        "frobnicate = 1\n[limits]\nframe_bytes_maxx = 1\nidle_binary_ms = \"soon\"\nsends_per_second = 0\n",
    );
    let serve = run(home.serve("127.0.0.1:0"));
    assert_eq!(serve.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&serve.stderr).into_owned();
    for expected in ["frobnicate", "frame_bytes_maxx", "idle_binary_ms", "sends_per_second"] {
        assert!(errors.contains(expected), "{expected} is not in:\n{errors}");
    }
    assert!(
        errors.contains("frame_bytes_max\"") || errors.contains("frame_bytes_max?") || errors.contains("`"),
        "{errors}"
    );
    assert!(!home.data_dir().exists(), "nothing is made");

    let config = home.data_dir().with_file_name("mushan.toml");
    let mut check = mushan();
    check.args(["check", "--config"]).arg(config);
    let check = run(check);
    assert_eq!(check.status.code(), Some(1));
    let said = [check.stdout, check.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    for expected in ["frobnicate", "frame_bytes_maxx", "idle_binary_ms", "sends_per_second"] {
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
    }
}

#[test]
fn a_check_shows_each_value_and_where_it_comes_from() {
    let mut check = mushan();
    check.args(["check", "--listen", "127.0.0.1:9"]).env("MUSHAN_LIMITS__SENDS_BURST", "4321");
    let check = run(check);
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stderr));
    let output = String::from_utf8(check.stdout).expect("text");
    let line = |key: &str| {
        let found = output.lines().find(|line| line.contains(key));
        found.unwrap_or_else(|| panic!("no {key} in:\n{output}")).to_lowercase()
    };
    assert!(line("listen").contains("127.0.0.1:9") && line("listen").contains("flag"), "{output}");
    assert!(line("sends_burst").contains("4321") && line("sends_burst").contains("env"), "{output}");
    assert!(line("idle_binary_ms").contains("90000") || line("idle_binary_ms").contains("90_000"), "{output}");
}

#[test]
fn a_wrong_path_or_no_upgrade_is_told_in_http() {
    let server = Home::new().start();
    let plain = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (request, status) in [
        (crate::common::raw::upgrade_request("/nowhere"), " 404 "),
        (crate::common::raw::upgrade_request("/ws/"), " 404 "),
        (plain("/ws"), " 426 "),
        (plain("/rpc"), " 426 "),
        ("\r\nnonsense\r\n\r\n".to_owned(), " 400 "),
    ] {
        let mut raw = Raw::connect(server.address);
        raw.write(request.as_bytes());
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1") && head.contains(status), "{request:?} got {head:?}");
    }
    for path in ["/ws", "/rpc", "/", "/wukong", "/rpc?v=1"] {
        Raw::upgrade(server.address, path);
    }
}

#[test]
fn who_does_not_finish_the_handshake_is_let_go() {
    let server = Home::new().with_limits("handshake_ms = 300\n").start();
    let mut silent = Raw::connect(server.address);
    let mut slow = Raw::connect(server.address);
    slow.write(b"GET /ws HTTP/1.1\r\n");
    assert_eq!(silent.read_frame(), None);
    assert_eq!(slow.read_frame(), None);
}

#[test]
fn authentication_too_late_closes_with_4002() {
    let server = Home::new().with_limits("auth_binary_ms = 300\nauth_json_rpc_ms = 300\n").start();
    for path in ["/ws", "/rpc", "/", "/wukong"] {
        let mut raw = Raw::upgrade(server.address, path);
        assert_eq!(raw.read_close(), Some(4002), "{path}");
    }
}

#[tokio::test]
async fn a_connect_after_2_seconds_is_refused() {
    let server = Home::new().start();
    let token = server.token("alice");
    let mut late = RpcClient::connect(server.address, "/rpc").await;
    let upgraded = Instant::now();
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    late.ask("connect", json!({"uid": "alice", "token": token})).await;
    assert_eq!(late.socket.ending().await, Some(4002), "after {:?}", upgraded.elapsed());
    RpcClient::login(server.address, "/rpc", "alice", &token).await;
}

#[tokio::test]
async fn an_idle_json_rpc_session_closes_with_4003() {
    let server = Home::new().with_limits("idle_json_rpc_ms = 500\n").start();
    let mut bob = server.rpc("bob").await;
    assert_eq!(bob.socket.ending().await, Some(4003));
}

#[test]
fn a_frame_of_the_wrong_kind_closes_with_1003() {
    let server = Home::new().start();
    let mut binary = Raw::upgrade(server.address, "/ws");
    binary.write(&frame(opcode::TEXT, b"{}"));
    assert_eq!(binary.read_close(), Some(1003));
    binary.expect_end();
    // Binary frames are welcome on the JSON paths when they hold JSON text.
    let mut rpc = Raw::upgrade(server.address, "/rpc");
    rpc.write(&frame(opcode::BINARY, br#"{"method":"connect","params":{"uid":"a","token":"t"},"id":"i"}"#));
    let (_, answer) = rpc.read_frame().expect("an answer");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!("i"), &json!(1001)));
    assert_eq!(rpc.read_close(), Some(4001));
}

#[test]
fn a_frame_too_big_closes_with_1009_before_it_has_come() {
    let server = Home::new().with_limits("frame_bytes_max = 100000\n").start();
    for path in ["/ws", "/rpc"] {
        let mut raw = Raw::upgrade(server.address, path);
        let whole = frame(if path == "/ws" { opcode::BINARY } else { opcode::TEXT }, &[b'x'; 100_001]);
        raw.write(&whole[..100]);
        assert_eq!(raw.read_close(), Some(1009), "{path}");
    }
}

#[test]
fn bad_frames_close_as_rfc_6455_says() {
    let server = Home::new().start();
    let mut unmasked = Raw::upgrade(server.address, "/ws");
    unmasked.write(&[0x82, 0x01, 0x00]);
    assert_eq!(unmasked.read_close(), Some(1002));
    let mut reserved = Raw::upgrade(server.address, "/ws");
    reserved.write(&frame(3, b""));
    assert_eq!(reserved.read_close(), Some(1002));
    let mut garbled = Raw::upgrade(server.address, "/rpc");
    garbled.write(&frame(opcode::TEXT, &[0xff, 0xfe]));
    assert_eq!(garbled.read_close(), Some(1007));
    let mut polite = Raw::upgrade(server.address, "/ws");
    polite.write(&frame(opcode::CLOSE, &1000_u16.to_be_bytes()));
    assert_eq!(polite.read_close(), Some(1000));
    polite.expect_end();
}

/// How many connections the closing line says were handed over.
fn handed_over(output: &str) -> u64 {
    let line = output.lines().find(|line| line.contains("handed over")).unwrap_or_else(|| panic!("none in:\n{output}"));
    let numbers: Vec<&str> =
        line.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let at = numbers.windows(2).position(|pair| pair == ["handed", "over"]).expect("found in the line");
    let beside = [at.checked_sub(1), Some(at + 2)].into_iter().flatten();
    let mut found = beside.filter_map(|at| numbers.get(at)?.parse().ok());
    found.next().unwrap_or_else(|| panic!("no number beside it: {line}"))
}

#[tokio::test]
async fn a_connection_that_came_to_another_core_works_from_the_first_frame() {
    const CONNECTIONS: usize = 32;
    let server = Home::new().with_shards(2).start();
    let users: Vec<String> = (0..8).map(|user| format!("user-{user}")).collect();
    let tokens: Vec<String> = users.iter().map(|user| server.token(user)).collect();
    let mut halves = Vec::new();
    for connection in 0..CONNECTIONS {
        let user = connection % users.len();
        let auth = envelope(command::AUTH, 7, &auth_body(&users[user], &tokens[user], "Linux"));
        let send = send_body("sink", &format!("id-{connection}"), &vec![b'x'; 1 + connection * 40]);
        let send = frame(opcode::BINARY, &envelope(command::SEND, 8, &send));
        // Cut everywhere: inside the header, inside the mask, at the first byte, before the last.
        let cut = if connection < 8 { connection + 1 } else { connection * send.len() / CONNECTIONS };
        let mut raw = Raw::upgrade(server.address, "/ws");
        raw.write(&[&frame(opcode::BINARY, &auth), &send[..cut]].concat());
        let mut rest = send[cut..].to_vec();
        // Some rests come in many pieces while the handover goes on, some after it.
        if connection % 2 == 0 {
            rest.chunks(8).for_each(|piece| raw.write(piece));
            rest.clear();
        }
        halves.push((raw, rest));
    }
    for (raw, rest) in &mut halves {
        let (_, answer) = raw.read_frame().expect("the answer to auth");
        let answer = Envelope::decode(&answer);
        assert_eq!((answer.command, answer.sequence), (command::AUTH + 1, 7));
        assert_eq!(Fields::decode("AuthResponse", &answer.body).number("error_code"), SUCCESS);
        raw.write(rest);
    }
    for (raw, _) in &mut halves {
        let answer = loop {
            let (_, heard) = raw.read_frame().expect("the answer to send");
            let heard = Envelope::decode(&heard);
            // The user's other sessions' sends are pushed here as well.
            if heard.command != command::PUSH {
                break heard;
            }
        };
        assert_eq!((answer.command, answer.sequence), (command::SEND + 1, 8));
        assert_eq!(Fields::decode("SendMessageResponse", &answer.body).number("error_code"), SUCCESS);
    }
    let mut sink = server.binary("sink").await;
    let mut ids: Vec<String> = sink.inbox().await.iter().map(|entry| entry.text("client_msg_id")).collect();
    ids.sort();
    let mut expected: Vec<String> = (0..CONNECTIONS).map(|connection| format!("id-{connection}")).collect();
    expected.sort();
    assert_eq!(ids, expected, "each exactly once");
    let exit = server.stop();
    assert!(handed_over(&exit.output) > 0, "half of them, more or less: {}", exit.output);
}

#[tokio::test]
async fn ids_come_back_as_they_went() {
    let server = Home::new().start();
    let mut bob = RpcClient::connect(server.address, "/").await;
    let connect = json!({"uid": "bob", "token": server.token("bob"), "clientTimestamp": 1});
    bob.tell(json!({"method": "connect", "params": connect, "id": 17})).await;
    let answer = bob.receive().await.expect("an answer");
    assert_eq!(answer["id"], 17);
    let result = &answer["result"];
    assert_eq!(result["reasonCode"], 0);
    assert_eq!(result["salt"].as_str().map(str::len), Some(16), "{result}");
    assert!(result["serverKey"].as_str().is_some_and(|key| !key.is_empty()), "{result}");
    assert!(result["timeDiff"].as_i64().is_some_and(|difference| difference > 1_000_000_000_000), "{result}");
    assert!(result["header"].is_object() && result["nodeId"].is_u64() && result["serverVersion"].is_u64(), "{result}");
    for id in [json!("text"), json!(0), json!(-3), json!(9_007_199_254_740_993_u64), json!("")] {
        bob.tell(json!({"method": "recvack", "params": {"messageId": "1", "messageSeq": 1}, "id": id})).await;
        assert_eq!(bob.answer(&id).await.expect("an answer")["result"], json!({}));
    }
}

#[tokio::test]
async fn a_ping_is_answered_in_both_ways() {
    let server = Home::new().start();
    for (path, result) in [("/rpc", json!({})), ("/", json!({})), ("/wukong", Value::Null)] {
        let mut bob = RpcClient::login(server.address, path, "bob", &server.token("bob")).await;
        bob.tell(json!({"method": "ping", "id": "req-ping-1"})).await;
        let expected = json!({"jsonrpc": "2.0", "id": "req-ping-1", "result": result});
        assert_eq!(bob.receive().await.expect("the answer"), expected, "{path}");
        assert_eq!(bob.receive().await.expect("the pong"), json!({"jsonrpc": "2.0", "method": "pong"}), "{path}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_in_json() {
    let server = Home::new().start();
    let mut bob = server.rpc("bob").await;
    let cases = [
        ("{", Value::Null, -32700),
        ("[]", Value::Null, -32600),
        (r#"[{"method":"ping","id":"1"}]"#, Value::Null, -32600),
        (r#"{"jsonrpc":"1.0","method":"ping","id":"a"}"#, json!("a"), -32600),
        (r#"{"id":"b"}"#, json!("b"), -32600),
        (r#"{"method":"frobnicate","id":"c"}"#, json!("c"), -32601),
        (r#"{"method":"send","params":{},"id":"d"}"#, json!("d"), -32602),
        (
            r#"{"method":"send","params":{"clientMsgNo":"1","channelId":"x","channelType":9,"payload":{}},"id":"e"}"#,
            json!("e"),
            -32602,
        ),
        (
            r#"{"method":"send","params":{"clientMsgNo":"1","channelId":"g","channelType":2,"payload":{}},"id":"f"}"#,
            json!("f"),
            1101,
        ),
    ];
    for (request, id, code) in cases {
        bob.socket.send_text(request).await;
        let answer = bob.receive().await.expect("an answer, and the connection is kept");
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{request} got {answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
        assert!(answer.get("result").is_none(), "{answer}");
    }
    // Notifications are not answered, right or wrong.
    bob.tell(json!({"method": "frobnicate"})).await;
    bob.tell(json!({"method": "recvack", "params": {"messageId": "1", "messageSeq": 1}})).await;
    bob.call("ping", json!({})).await;
}

#[tokio::test]
async fn sixteen_parse_errors_in_a_row_close_with_4006() {
    let server = Home::new().start();
    let mut bob = server.rpc("bob").await;
    for _ in 0..15 {
        bob.socket.send_text("{").await;
        assert_eq!(bob.receive().await.expect("an answer")["error"]["code"], -32700);
    }
    bob.call("ping", json!({})).await;
    for _ in 0..16 {
        bob.socket.send_text("{").await;
    }
    assert_eq!(bob.socket.ending().await, Some(4006));
}

#[tokio::test]
async fn a_json_rpc_request_before_connect_is_refused_and_closed() {
    let server = Home::new().start();
    let mut early = RpcClient::connect(server.address, "/rpc").await;
    let answer = early.send("bob", "1", json!({"type": 1})).await;
    assert_eq!(answer["error"]["code"], 1003);
    assert_eq!(early.receive().await, Err(Some(4001)));
}

#[tokio::test]
async fn two_json_rpc_clients_converse() {
    let server = Home::new().start();
    let mut alice = server.rpc("alice").await;
    let mut bob = RpcClient::login(server.address, "/", "bob", &server.token("bob")).await;
    let payload = json!({"type": 1, "content": "Hello!", "nested": {"list": [1, 2.5, null, "x"]}});
    let sent = alice.send("bob", "uuid-1", payload.clone()).await;
    let result = &sent["result"];
    assert_eq!((&result["messageSeq"], &result["reasonCode"]), (&json!(1), &json!(0)), "{sent}");
    let seen = bob.next("recv").await;
    assert_eq!(seen["messageId"], result["messageId"]);
    assert!(seen["messageId"].as_str().is_some_and(|id| id.parse::<u64>().is_ok()), "a decimal string");
    assert_eq!((&seen["messageSeq"], &seen["inboxSeq"]), (&json!(1), &json!(1)), "{seen}");
    assert_eq!(
        (&seen["channelId"], &seen["channelType"], &seen["fromUid"]),
        (&json!("alice"), &json!(1), &json!("alice"))
    );
    assert_eq!((&seen["payload"], &seen["clientMsgNo"]), (&payload, &json!("uuid-1")));
    assert!(seen["header"].is_object(), "{seen}");
    let seconds = seen["timestamp"].as_i64().expect("a number");
    assert!((1_700_000_000..100_000_000_000).contains(&seconds), "seconds: {seconds}");
    let ack = json!({"messageId": seen["messageId"], "messageSeq": 1});
    assert_eq!(bob.call("recvack", ack).await["result"], json!({}));
    assert_eq!(bob.inbox().await.len(), 1);
    assert_eq!(alice.inbox().await[0]["channelId"], "bob", "the author's copy names the peer");
}
