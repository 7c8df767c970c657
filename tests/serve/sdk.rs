//! Clients that nobody here wrote, against the real server: the published WuKongIM Easy SDK on `/wukong`, and an
//! independent implementation of the binary protocol on `/ws` (other protobuf, other WebSocket, other reading of the
//! specification). They talk to themselves and to each other.

use crate::common::binary::{BinaryClient, SUCCESS, command};
use crate::common::binary_fields::{bytes, encode, text};
use crate::common::{Home, PATIENCE, Server};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;
use wukong_easy_sdk::{Auth, ChannelType, Client, Event, Options, RecvMessage, SendOptions};

/// An SDK client and what it has told so far.
struct Sdk {
    client: Client,
    events: Receiver<Event>,
}

impl Sdk {
    async fn login(home: &Home, server: &Server, user: &str, options: Options) -> Self {
        let url = format!("ws://{}/wukong", server.address);
        let client = Client::new(url, Auth::new(user, home.token(user)), options).expect("valid options");
        let events = client.subscribe();
        let result = client.connect().await.expect("connected");
        assert_eq!(result.reason_code, 1);
        assert_eq!(result.salt.len(), 16);
        assert!(!result.server_key.is_empty());
        let mut sdk = Self { client, events };
        sdk.until("connected", |event| matches!(event, Event::Connect(_)).then_some(())).await;
        sdk
    }

    async fn until<T>(&mut self, what: &str, mut accept: impl FnMut(&Event) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let event = self.events.recv().await.expect("no event is missed");
                if let Some(found) = accept(&event) {
                    return found;
                }
                assert!(!matches!(event, Event::Error(wukong_easy_sdk::Error::Protocol(_))), "{event:?}");
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"))
    }

    async fn next_message(&mut self) -> Arc<RecvMessage> {
        let is_message = |event: &Event| match event {
            Event::Message(message) => Some(Arc::clone(message)),
            _ => None,
        };
        self.until("a message", is_message).await
    }

    async fn send(&self, to: &str, payload: Value) -> wukong_easy_sdk::SendResult {
        let result = self.client.send(to, ChannelType::Person, payload).await.expect("sent");
        assert_eq!(result.reason_code, 1);
        result
    }
}

#[tokio::test]
async fn two_easy_sdk_clients_converse() {
    let home = Home::new();
    let server = home.start();
    let mut alice = Sdk::login(&home, &server, "alice", Options::default()).await;
    let mut bob = Sdk::login(&home, &server, "bob", Options::default()).await;

    for round in 1..=3_u64 {
        let payload = json!({"type": 1, "content": format!("hello {round} 你好")});
        let sent = alice.send("bob", payload.clone()).await;
        let seen = bob.next_message().await;
        assert_eq!((&seen.message_id, seen.message_seq), (&sent.message_id, sent.message_seq));
        assert_eq!((seen.channel_id.as_str(), seen.channel_type, seen.from_uid.as_str()), ("alice", 1, "alice"));
        assert_eq!(seen.payload, payload);
        assert!(seen.header.red_dot, "carried unchanged");

        let answered = bob.send("alice", json!({"type": 1, "content": "and you?"})).await;
        assert_eq!(answered.message_seq, 2 * round, "the conversation's seq");
        assert_eq!(alice.next_message().await.message_id, answered.message_id);
    }
    alice.client.disconnect().await;
    assert!(bob.client.is_connected());
}

#[tokio::test]
async fn the_easy_sdk_may_send_the_same_message_again() {
    let home = Home::new();
    let server = home.start();
    let alice = Sdk::login(&home, &server, "alice", Options::default()).await;
    let mut bob = Sdk::login(&home, &server, "bob", Options::default()).await;

    let named = || SendOptions { client_msg_no: Some("once".into()), ..SendOptions::default() };
    let payload = json!({"type": 1, "content": "once"});
    let first = alice.client.send_with_options("bob", 1, payload.clone(), named()).await.expect("sent");
    let again = alice.client.send_with_options("bob", 1, payload, named()).await.expect("sent");
    assert_eq!(first, again);
    let other = alice.client.send_with_options("bob", 1, json!({"content": "other"}), named()).await;
    assert_eq!(other, Err(wukong_easy_sdk::Error::Server { code: 1105 }));

    let last = alice.send("bob", json!({"type": 1, "content": "last"})).await;
    assert_eq!(bob.next_message().await.message_id, first.message_id);
    assert_eq!(bob.next_message().await.message_id, last.message_id, "nothing between them");
}

#[tokio::test]
async fn the_easy_sdk_is_refused_with_a_bad_token() {
    let server = Home::new().start();
    let url = format!("ws://{}/wukong", server.address);
    let mallory = Client::new(url, Auth::new("alice", server.token("mallory")), Options::default()).expect("valid");
    assert_eq!(mallory.connect().await, Err(wukong_easy_sdk::Error::Server { code: 1001 }));
}

#[tokio::test]
async fn the_easy_sdk_keeps_its_session_alive_by_heartbeats_alone() {
    let home = Home::new().with_limits("idle_json_rpc_ms = 3000\n");
    let server = home.start();
    let often = Options { ping_interval: Duration::from_millis(200), ..Options::default() };
    let mut lively = Sdk::login(&home, &server, "lively", often).await;
    let silent = Options { max_reconnect_attempts: 0, ..Options::default() };
    let mut silent = Sdk::login(&home, &server, "silent", silent).await;

    for _ in 0..2 {
        silent.until("closed as idle", |event| matches!(event, Event::Disconnect(_)).then_some(())).await;
        assert!(lively.client.is_connected());
        silent.client.connect().await.expect("connected again");
    }
    assert!(lively.events.try_recv().is_err(), "nothing happened to the session that pings");
}

#[tokio::test]
async fn the_easy_sdk_comes_back_after_a_restart() {
    let home = Home::new();
    let server = home.start();
    let address = server.address;
    let patient = Options {
        reconnect_delay: Duration::from_millis(100),
        max_reconnect_delay: Duration::from_millis(500),
        max_reconnect_attempts: 100,
        ..Options::default()
    };
    let mut alice = Sdk::login(&home, &server, "alice", patient.clone()).await;
    let mut bob = Sdk::login(&home, &server, "bob", patient).await;
    let before = alice.send("bob", json!({"type": 1, "content": "before"})).await;
    assert_eq!(bob.next_message().await.message_id, before.message_id);

    assert!(server.stop().status.success());
    let _server = home.start_at(address);
    for sdk in [&mut alice, &mut bob] {
        sdk.until("reconnected", |event| matches!(event, Event::Connect(_)).then_some(())).await;
    }
    let after = alice.send("bob", json!({"type": 1, "content": "after"})).await;
    assert_eq!(after.message_seq, 2, "the conversation goes on where it was");
    let is_after = |event: &Event| matches!(event, Event::Message(seen) if seen.message_id == after.message_id);
    bob.until("the message after the restart", |event| is_after(event).then_some(())).await;
}

#[tokio::test]
async fn a_binary_client_does_all_that_the_specification_shows() {
    let server = Home::new().start();
    let (mut alice, max_seq) = BinaryClient::login(server.address, "alice", &server.token("alice")).await;
    assert_eq!(max_seq, 0);
    let mut bob = server.binary("bob").await;
    assert!(alice.heartbeat().await > 1_700_000_000_000, "milliseconds");

    let sent = alice.send("bob", "id-1", b"hello").await;
    assert_eq!((sent.number("error_code"), sent.number("seq")), (SUCCESS, 1));
    let push = bob.next_push().await;
    assert_eq!(push.text("message_id"), sent.text("message_id"));
    assert_eq!(push.text("client_msg_id"), "id-1");
    assert_eq!(push.text("conversation_id"), "single_alice_bob");
    assert_eq!((push.text("sender_id"), push.text("receiver_id")), ("alice".into(), "bob".into()));
    assert_eq!(push.text("group_id"), "");
    assert_eq!((push.number("message_type"), push.bytes("content")), (1, b"hello".to_vec()));
    assert_eq!(push.number("send_time"), 1_700_000_000_123);
    assert_eq!(push.number("server_time"), sent.number("server_time"));
    assert_eq!(push.number("seq"), 1, "the receiver's seq");
    bob.acknowledge(&push).await;

    let answered = bob.send("alice", "id-1", b"and you?").await;
    assert_eq!((answered.number("error_code"), answered.number("seq")), (SUCCESS, 2), "bob's second entry");
    assert_eq!(alice.next_push().await.number("seq"), 2);

    let page = alice.sync(0, 1).await;
    assert_eq!((page.list("messages").len(), page.flag("has_more"), page.number("server_max_seq")), (1, true, 2));
    assert_eq!(page.list("messages")[0].bytes("content"), b"hello");
    let page = alice.sync(1, 0).await;
    assert_eq!((page.list("messages").len(), page.flag("has_more")), (1, false));
    assert_eq!(page.list("messages")[0].text("message_id"), answered.text("message_id"));

    let (_again, max_seq) = BinaryClient::login(server.address, "alice", &server.token("alice")).await;
    assert_eq!(max_seq, 2);
}

#[tokio::test]
async fn a_users_other_sessions_see_what_one_of_them_sends() {
    let server = Home::new().start();
    let mut phone = server.binary("alice").await;
    let mut laptop = BinaryClient::connect(server.address).await;
    let auth = crate::common::binary::auth_body("alice", &server.token("alice"), "Web");
    assert_eq!(laptop.request(command::AUTH, &auth, "AuthResponse").await.number("error_code"), SUCCESS);

    let sent = phone.send("bob", "id-1", b"from the phone").await;
    let push = laptop.next_push().await;
    assert_eq!((push.text("message_id"), push.number("seq")), (sent.text("message_id"), sent.number("seq")));
    phone.expect_no_push().await;

    let alone = phone.send("alice", "id-2", b"a note to myself").await;
    assert_eq!(laptop.next_push().await.number("seq"), alone.number("seq"));
    assert_eq!(phone.inbox().await.len(), 2, "one entry for a message to oneself");
}

#[tokio::test]
async fn a_message_sent_twice_is_answered_twice_and_delivered_once() {
    let server = Home::new().start();
    let mut alice = server.binary("alice").await;
    let mut bob = server.binary("bob").await;
    let body = crate::common::binary::send_body("bob", "same", b"once");
    let mut answers = Vec::new();
    for _ in 0..3 {
        let sequence = alice.ask(command::SEND, &body).await;
        answers.push(alice.answer(sequence).await.expect("an answer").body);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "byte for byte: {answers:?}");
    assert_eq!(alice.send("bob", "same", b"twice").await.number("error_code"), 2, "other content");
    alice.send("bob", "next", b"next").await;
    assert_eq!(bob.next_push().await.bytes("content"), b"once");
    assert_eq!(bob.next_push().await.bytes("content"), b"next");
    assert_eq!(bob.inbox().await.len(), 2);
}

#[tokio::test]
async fn a_failed_authentication_is_answered_and_then_closed() {
    let server = Home::new().start();
    let good = server.token("alice");
    let altered = format!("{}x", &good[..good.len() - 1]);
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.".to_owned();
    let of_another = server.token("bob");
    for token in [altered, unsigned, of_another, String::new(), "nonsense".to_owned()] {
        let mut client = BinaryClient::connect(server.address).await;
        let answer = client.authenticate("alice", &token).await;
        assert_eq!(answer.number("error_code"), 100, "{token}");
        assert_eq!(client.receive().await.err(), Some(Some(4001)), "{token}");
    }
}

#[tokio::test]
async fn a_request_before_authentication_is_answered_and_then_closed() {
    let server = Home::new().start();
    let mut early = BinaryClient::connect(server.address).await;
    assert!(early.heartbeat().await > 0, "a heartbeat is allowed");
    let answer = early.send("bob", "id", b"too early").await;
    assert_eq!(answer.number("error_code"), 100);
    assert_eq!(early.receive().await.err(), Some(Some(4001)));

    let mut early = BinaryClient::connect(server.address).await;
    assert_eq!(early.sync(0, 0).await.number("error_code"), 100);
    assert_eq!(early.receive().await.err(), Some(Some(4001)));
}

#[tokio::test]
async fn a_wrong_send_is_refused_and_the_session_goes_on() {
    let server = Home::new().start();
    let mut alice = server.binary("alice").await;
    let id = || ("client_msg_id", text("id"));
    let to_bob = || ("receiver_id", text("bob"));
    let kind = || ("message_type", 1_i32.into());
    let too_large = vec![b'x'; (64 << 10) + 1];
    let cases = [
        (102, "another's name", vec![id(), to_bob(), kind(), ("sender_id", text("mallory"))]),
        (2, "two addressees", vec![id(), to_bob(), kind(), ("group_id", text("g"))]),
        (2, "no addressee", vec![id(), kind()]),
        (2, "no id", vec![to_bob(), kind()]),
        (2, "a long id", vec![("client_msg_id", text(&"x".repeat(129))), to_bob(), kind()]),
        (2, "no type", vec![id(), to_bob()]),
        (2, "a malformed user id", vec![id(), kind(), ("receiver_id", text("a\nb"))]),
        (202, "an unknown group", vec![id(), kind(), ("group_id", text("g"))]),
        (200, "too large", vec![id(), to_bob(), kind(), ("content", bytes(&too_large))]),
    ];
    for (code, what, fields) in cases {
        let body = encode("SendMessageRequest", &fields);
        let answer = alice.request(command::SEND, &body, "SendMessageResponse").await;
        assert_eq!(answer.number("error_code"), code, "{what}: {}", answer.text("error_msg"));
        assert!(!answer.text("error_msg").is_empty(), "{what}");
    }
    assert_eq!(alice.send("bob", "id", b"right").await.number("seq"), 1, "nothing of all that was stored");
}

#[tokio::test]
async fn an_unknown_command_is_answered_as_unknown() {
    let server = Home::new().start();
    let mut alice = server.binary("alice").await;
    for unknown in [7, 204, 9999, -1] {
        let sequence = alice.ask(unknown, b"").await;
        let answer = alice.answer(sequence).await.expect("an answer");
        assert_eq!(answer.command, command::UNKNOWN);
        assert_eq!(crate::common::binary_fields::Fields::decode("Unknown", &answer.body).number("error_code"), 2);
    }
    alice.heartbeat().await;
}

#[tokio::test]
async fn who_sends_too_fast_is_told_so() {
    let server = Home::new().with_config("[limits]\nsends_per_second = 1\nsends_burst = 3\n").start();
    let mut alice = server.binary("alice").await;
    let mut codes = Vec::new();
    for number in 0..50 {
        codes.push(alice.send("bob", &format!("id-{number}"), b"quick").await.number("error_code"));
    }
    assert_eq!(codes[..3], [SUCCESS; 3], "the burst");
    assert!(codes.contains(&201), "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 0 | 201)), "{codes:?}");
}

#[tokio::test]
async fn an_expired_token_is_told_apart() {
    let home = Home::new().with_config("[server]\ntoken_leeway_ms = 0\n");
    let server = home.start();
    let token = home.token_for("alice", "1s");
    let code = loop {
        let code = BinaryClient::connect(server.address).await.authenticate("alice", &token).await.number("error_code");
        if code != SUCCESS {
            break code;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(code, 101);
}

#[tokio::test]
async fn only_the_idle_are_closed() {
    let server = Home::new().with_limits("idle_binary_ms = 3000\n").start();
    let mut idle = server.binary("idle").await;
    let mut lively = server.binary("lively").await;
    let mut pinging = server.binary("pinging").await;
    let busy = async {
        loop {
            lively.heartbeat().await;
            assert!(pinging.socket.send_ping(b"still here").await);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        code = idle.socket.ending() => assert_eq!(code, Some(4003)),
        () = busy => unreachable!("it never ends"),
    }
    lively.heartbeat().await;
    assert_eq!(pinging.socket.receive().await, crate::common::socket::Received::Pong(b"still here".to_vec()));
}

#[tokio::test]
async fn who_does_not_read_holds_nobody_up_and_misses_nothing() {
    // More than the sockets' buffers and the budget take together.
    const MESSAGES: usize = 300;
    let server = Home::new().start();
    let mut deaf = server.binary("deaf").await;
    let mut alice = server.binary("alice").await;
    let content = vec![b'x'; 60_000];
    for number in 0..MESSAGES {
        let sent = alice.send("deaf", &format!("id-{number}"), &content).await;
        assert_eq!(sent.number("error_code"), SUCCESS, "message {number}");
    }
    // It fell behind and is told the rest as it reads, unless its socket took nothing for so long that it was let go.
    let mut pushed = 0;
    while pushed < MESSAGES {
        match deaf.receive().await {
            Ok(heard) if heard.command == command::PUSH => pushed += 1,
            Ok(heard) => assert_eq!(heard.command, command::KICK_OUT),
            Err(code) => {
                assert!(matches!(code, Some(4005) | None), "too slow, if it could still be told: {code:?}");
                break;
            }
        }
    }
    let (mut back, max_seq) = BinaryClient::login(server.address, "deaf", &server.token("deaf")).await;
    assert_eq!(max_seq, MESSAGES as i64);
    assert_eq!(back.inbox().await.len(), MESSAGES);
}

#[tokio::test]
async fn a_binary_client_and_the_easy_sdk_converse() {
    let home = Home::new();
    let server = home.start();
    let mut alice = server.binary("alice").await;
    let mut bob = Sdk::login(&home, &server, "bob", Options::default()).await;
    let mut conversation = Vec::new();
    for round in 0..5 {
        let content = json!({"type": 1, "content": format!("binary says {round}")});
        let sent = alice.send("bob", &format!("a-{round}"), content.to_string().as_bytes()).await;
        assert_eq!(sent.number("error_code"), SUCCESS);
        let seen = bob.next_message().await;
        assert_eq!(seen.message_id, sent.text("message_id"));
        assert_eq!((seen.from_uid.as_str(), seen.client_msg_no.as_deref()), ("alice", Some(&*format!("a-{round}"))));
        assert_eq!(seen.payload, content);
        conversation.push(seen.message_id.clone());

        let payload = json!({"type": 3, "content": format!("the SDK says {round}")});
        let sent = bob.send("alice", payload.clone()).await;
        let seen = alice.next_push().await;
        assert_eq!(seen.text("message_id"), sent.message_id);
        assert_eq!((seen.text("sender_id"), seen.text("receiver_id")), ("bob".to_owned(), "alice".to_owned()));
        assert_eq!(seen.number("message_type"), 3, "the payload's type");
        let content: Value = serde_json::from_slice(&seen.bytes("content")).expect("the payload's bytes");
        assert_eq!(content, payload);
        conversation.push(sent.message_id);
    }
    let (mut bobs_other, max_seq) = BinaryClient::login(server.address, "bob", &home.token("bob")).await;
    assert_eq!(max_seq, 10);
    for inbox in [alice.inbox().await, bobs_other.inbox().await] {
        let ids: Vec<String> = inbox.iter().map(|entry| entry.text("message_id")).collect();
        assert_eq!(ids, conversation, "both inboxes hold the conversation in its order");
    }
}

#[tokio::test]
async fn bytes_that_are_no_json_reach_the_easy_sdk_as_base64() {
    let home = Home::new();
    let server = home.start();
    let mut alice = server.binary("alice").await;
    let mut bob = Sdk::login(&home, &server, "bob", Options::default()).await;
    alice.send("bob", "id", &[0xff, 0x00, 0x7b]).await;
    assert_eq!(bob.next_message().await.payload, json!("/wB7"));
}
