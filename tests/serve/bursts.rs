//! Much at once, and texts that take more bytes than they seem to: whoever reads is told everything, once and in order,
//! and is never closed for it; whoever does not read takes no more memory than an outbox, and has everything
//! afterwards.

use crate::common::binary::BinaryClient;
use crate::common::binary_fields::{bytes, text};
use crate::common::raw::{Raw, frame, opcode};
use crate::common::rpc::{RpcClient, inbox_seq};
use crate::common::{Home, Server, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::task::JoinHandle;

/// A control character takes six bytes in a JSON string.
const POISON: &str = "\u{1}";

/// What a session was told, in the order in which it was told: the authors' ids of messages.
type Told = Vec<String>;

async fn rpc(server: &Server, path: &str, user: &str, device: &str) -> RpcClient {
    let params = json!({"uid": user, "token": server.token(user), "deviceId": device, "deviceFlag": 1});
    RpcClient::login_with(server.address, path, params).await.0
}

/// Reads on until so many messages have come.
fn read_rpc(mut client: RpcClient, count: usize) -> JoinHandle<(Told, RpcClient)> {
    tokio::spawn(async move {
        let (mut told, mut last) = (Told::new(), 0);
        while told.len() < count {
            let message = client.next("recv").await;
            if let Some(seq) = message["inboxSeq"].as_i64() {
                assert!(seq > last, "{seq} behind {last}");
                last = seq;
            }
            told.push(message["clientMsgNo"].as_str().expect("an id").to_owned());
        }
        (told, client)
    })
}

fn read_binary(mut client: BinaryClient, count: usize) -> JoinHandle<(Told, BinaryClient)> {
    tokio::spawn(async move {
        let (mut told, mut last) = (Told::new(), 0);
        while told.len() < count {
            let push = client.next_push().await;
            let seq = push.number("seq");
            assert!(seq > last, "{seq} behind {last}");
            last = seq;
            told.push(push.text("client_msg_id"));
        }
        (told, client)
    })
}

fn names(count: usize) -> Told {
    (0..count).map(|number| format!("m-{number}")).collect()
}

/// So many sends at once, then their answers.
async fn burst(author: &mut RpcClient, (to, kind): (&str, u8), names: &[String], content_bytes: usize) {
    let mut asked = Vec::new();
    for name in names {
        let payload = json!({"type": 1, "text": "x".repeat(content_bytes)});
        let params = json!({"clientMsgNo": name, "channelId": to, "channelType": kind, "payload": payload});
        asked.push(author.ask("send", params).await);
    }
    for id in asked {
        let answer = author.answer(&json!(id)).await.expect("an author that reads is not closed");
        assert!(answer.get("error").is_none(), "{answer}");
    }
}

/// Four of the largest that there are, then many whose content escapes, then as many as a page would show.
async fn poison(author: &mut RpcClient) -> usize {
    let sends = [(4, 7_600, 0), (20, 0, 8_000), (40, 8_100, 0), (40, 800, 2_000)];
    let mut number = 0;
    for (count, extra_bytes, content_bytes) in sends {
        for _ in 0..count {
            let (extra, payload) = (POISON.repeat(extra_bytes), POISON.repeat(content_bytes));
            let params = json!({"clientMsgNo": format!("m-{number}"), "channelId": "bob", "channelType": 1,
                "payload": payload, "extra": {"k": extra}, "topic": "\"".repeat(if extra_bytes > 8_000 { 8 } else { 128 }),
                "setting": {"topic": true}});
            author.result("send", params).await;
            number += 1;
        }
    }
    number
}

#[tokio::test]
async fn texts_that_escape_lock_nobody_out() {
    let server = Home::new().start();
    let mut alice = rpc(&server, "/rpc", "alice", "desk").await;
    let written = poison(&mut alice).await;
    for path in ["/rpc", "/wukong"] {
        let bob = rpc(&server, path, "bob", path).await;
        let (told, mut bob) = read_rpc(bob, written).await.expect("the whole backlog");
        assert_eq!(told, names(written), "{path}");
        let mut places = Vec::new();
        let mut after = 0;
        loop {
            let params = json!({"channelId": "alice", "channelType": 1, "afterSeq": after, "limit": 1000});
            let page = bob.result("history", params).await;
            let messages = page["messages"].as_array().expect("messages");
            assert!(!messages.is_empty(), "a page makes progress");
            places.extend(messages.iter().filter_map(|message| message["messageSeq"].as_i64()));
            after = page["reachedSeq"].as_i64().expect("a place");
            if page["hasMore"] == false {
                break;
            }
        }
        assert!(places.into_iter().eq(1..=written as i64), "{path}");
        let list = bob.result("conversations", json!({})).await;
        assert_eq!(list["conversations"].as_array().map(Vec::len), Some(1), "{path}");
        if path == "/rpc" {
            assert_eq!(bob.inbox().await.len(), written);
        }
    }
    let mut bob = server.binary("bob").await;
    assert_eq!(bob.inbox().await.len(), written);
    assert_eq!(bob.conversations(0, 100).await.list("conversations").len(), 1);
    assert!(bob.history("single_alice_bob", &[]).await.flag("has_more"), "a page is bounded");
}

/// Each conversation's last message is large where it escapes.
#[tokio::test]
async fn a_list_of_conversations_that_escape_is_given_in_pages() {
    let server = Home::new().start();
    let peers: Vec<String> = (0..12).map(|number| format!("peer-{number}")).collect();
    for peer in &peers {
        let mut author = rpc(&server, "/rpc", peer, "d").await;
        let params = json!({"clientMsgNo": "m", "channelId": "bob", "channelType": 1, "payload": "",
            "extra": {"k": POISON.repeat(8_000)}});
        author.result("send", params).await;
    }
    let bob = rpc(&server, "/rpc", "bob", "d").await;
    let (_, mut bob) = read_rpc(bob, peers.len()).await.expect("the whole backlog");
    let (mut before, mut listed, mut pages) = (0, BTreeSet::new(), 0);
    loop {
        let page = bob.result("conversations", json!({"beforeSeq": before})).await;
        let rows = page["conversations"].as_array().expect("rows");
        assert!(page.to_string().len() <= 128 << 10, "{} bytes", page.to_string().len());
        listed.extend(rows.iter().map(|row| row["channelId"].as_str().expect("a peer").to_owned()));
        pages += 1;
        if page["hasMore"] == false {
            break;
        }
        before = rows.last().expect("a page makes progress")["lastSeq"].as_i64().expect("a place");
    }
    assert_eq!((listed.len(), pages > 1), (peers.len(), true));
}

#[tokio::test]
async fn a_burst_closes_no_session_that_reads() {
    let server = Home::new().start();
    let (many, total) = (200, 10 + 200);
    let readers = [
        read_rpc(rpc(&server, "/rpc", "bob", "one").await, total),
        read_rpc(rpc(&server, "/wukong", "bob", "two").await, total),
    ];
    let reader = read_binary(server.binary("bob").await, total);
    let mut alice = rpc(&server, "/rpc", "alice", "desk").await;
    let all = names(total);
    burst(&mut alice, ("bob", 1), &all[..10], 60 << 10).await;
    burst(&mut alice, ("bob", 1), &all[10..], 4 << 10).await;
    assert_eq!(many + 10, all.len());
    for reader in readers {
        let (told, mut bob) = reader.await.expect("it reads to the end");
        assert_eq!(told, all);
        assert!(bob.messages_until_now().await.is_empty(), "each comes once");
    }
    let (told, mut bob) = reader.await.expect("it reads to the end");
    assert_eq!(told, all);
    bob.expect_no_push().await;
}

#[tokio::test]
async fn a_burst_to_a_group_closes_no_member_that_reads() {
    let server = Home::new().start();
    let members: Vec<String> = (0..20).map(|number| format!("member-{number}")).collect();
    let body = json!({"id": "team", "owner": "alice", "members": members}).to_string();
    assert_eq!(server.api().ask("POST", "/v1/groups", &body).status / 100, 2);
    let all = names(16);
    let (mut json_readers, mut binary_readers) = (Vec::new(), Vec::new());
    for (number, member) in members.iter().enumerate() {
        if number % 2 == 0 {
            binary_readers.push(read_group_binary(server.binary(member).await, all.len()));
        } else {
            json_readers.push(read_rpc(rpc(&server, "/rpc", member, "d").await, all.len()));
        }
    }
    let mut alice = rpc(&server, "/rpc", "alice", "desk").await;
    burst(&mut alice, ("team", 2), &all[..8], 60 << 10).await;
    burst(&mut alice, ("team", 2), &all[8..], 60 << 10).await;
    for reader in json_readers {
        assert_eq!(reader.await.expect("it reads to the end").0, all);
    }
    for reader in binary_readers {
        assert_eq!(reader.await.expect("it reads to the end"), all);
    }
}

/// Its first entry says that the group was made.
fn read_group_binary(mut client: BinaryClient, count: usize) -> JoinHandle<Told> {
    tokio::spawn(async move {
        let mut told = Told::new();
        while told.len() < count {
            let push = client.next_push().await;
            if push.number("message_type") != 1003 {
                told.push(push.text("client_msg_id"));
            }
        }
        told
    })
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a running process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn sessions(home: &Home) -> u64 {
    let metrics = home.api().get("/metrics").body;
    let of_shards = metrics.lines().filter(|line| line.starts_with("mushan_sessions{"));
    of_shards.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// 100 members that never read, and 600 MB for them.
#[tokio::test]
async fn who_never_reads_is_closed_for_that_takes_little_memory_and_has_everything_afterwards() {
    const STALLED: &str = "[server]\nsend_stalled_ms = 1000\nsegment_bytes = 16777216\n[limits]\nclose_timeout_ms = 60000\n\
        sends_per_second = 1000000\nsends_burst = 1000000\nqueries_per_second = 1000000\nqueries_burst = 1000000\n";
    let home = Home::new().with_config(STALLED);
    let server = home.start();
    let members: Vec<String> = (0..100).map(|number| format!("member-{number}")).collect();
    let body = json!({"id": "team", "owner": "alice", "members": members}).to_string();
    assert_eq!(home.api().ask("POST", "/v1/groups", &body).status / 100, 2);
    let mut deaf_json = rpc(&server, "/rpc", "member-0", "d").await;
    let mut deaf_binary = server.binary("member-1").await;
    let mut others = Vec::new();
    for member in &members[2..] {
        others.push(rpc(&server, "/rpc", member, "d").await);
    }
    let mut alice = rpc(&server, "/rpc", "alice", "desk").await;
    let before = resident_kib(&server);
    let all = names(100);
    for part in all.chunks(4) {
        burst(&mut alice, ("team", 2), part, 60 << 10).await;
    }
    let grown_mib = resident_kib(&server).saturating_sub(before) >> 10;
    assert!(grown_mib < 200, "{grown_mib} MiB for those who do not read");
    wait_for("those who do not read to be closed", || (sessions(&home) == 1).then_some(()));
    assert_eq!(deaf_json.socket.ending().await, Some(4005));
    assert_eq!(deaf_binary.ending().await, Some(4005));
    drop(others);
    let is_message = |message: &Value| message["clientMsgNo"].is_string();
    let mut bob = rpc(&server, "/rpc", "member-0", "e").await;
    let inbox = bob.inbox().await;
    let told: Told = inbox.iter().filter(|it| is_message(it)).map(|it| it["clientMsgNo"].to_string()).collect();
    assert_eq!(told.len(), all.len());
    assert!(inbox.iter().map(inbox_seq).eq(1..=inbox.len() as i64));
    let mut carol = server.binary("member-1").await;
    assert_eq!(carol.inbox().await.len(), inbox.len());
}

#[tokio::test]
async fn requests_asked_all_at_once_are_all_answered() {
    let server = Home::new().start();
    let mut alice = rpc(&server, "/rpc", "alice", "desk").await;
    let mut bob = server.binary("bob").await;
    for number in 0..20 {
        let fields = [
            ("client_msg_id", text(&format!("m-{number}"))),
            ("receiver_id", text("alice")),
            ("message_type", 1_i32.into()),
            ("content", bytes(&[1; 30 << 10])),
        ];
        bob.send_with(&fields, &[]).await;
    }
    let (_, alice_again) = read_rpc(std::mem::replace(&mut alice, rpc(&server, "/rpc", "alice", "other").await), 20)
        .await
        .expect("it reads");
    let mut alice = alice_again;
    let mut asked = Vec::new();
    for number in 0..60 {
        let method = ["sync", "history", "conversations", "presence"][number % 4];
        let params = match method {
            "sync" => json!({"maxSeq": 0, "limit": 1000}),
            "history" => json!({"channelId": "bob", "channelType": 1}),
            "presence" => json!({"userIds": ["bob", "alice"], "action": 0}),
            _ => json!({}),
        };
        asked.push(alice.ask(method, params).await);
    }
    for id in asked {
        let answer = alice.answer(&json!(id)).await.expect("nobody is closed for asking");
        assert!(answer.get("error").is_none(), "{answer}");
    }
}

/// What the process has of memory that no file backs.
fn anonymous_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a running process");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Sessions that begin large messages and do not end them. The first time buffers are touched that a server keeps.
#[tokio::test]
async fn what_a_burst_needed_is_given_back_when_it_is_over() {
    const GROWN_KIB: u64 = 30 << 10;
    let server = Home::new().start();
    let tokens: Vec<(String, String)> =
        (0..20).map(|number| format!("user-{number}")).map(|user| (server.token(&user), user)).collect();
    let mut least = anonymous_kib(&server);
    for round in 0..2 {
        let sessions = begin_large_messages(&server, &tokens);
        wait_for("memory to be taken", || (anonymous_kib(&server) >= least + GROWN_KIB).then_some(()));
        drop(sessions);
        let kept = if round == 0 { GROWN_KIB } else { GROWN_KIB / 4 };
        wait_for("memory to be given back", || (anonymous_kib(&server) < least + kept).then_some(()));
        least = anonymous_kib(&server);
    }
}

fn begin_large_messages(server: &Server, tokens: &[(String, String)]) -> Vec<Raw> {
    let large = frame(opcode::TEXT, &[b' '; 200_000]);
    let mut sessions = Vec::new();
    for (token, user) in tokens {
        for device in 0..12 {
            let mut session = Raw::upgrade(server.address, "/rpc");
            let params = json!({"uid": user, "token": token, "deviceId": format!("d{device}"), "deviceFlag": 1});
            let connect = json!({"jsonrpc": "2.0", "id": "c", "method": "connect", "params": params}).to_string();
            session.write(&frame(opcode::TEXT, connect.as_bytes()));
            let (_, answer) = session.read_frame().expect("an answer");
            assert!(String::from_utf8_lossy(&answer).contains("result"), "{}", String::from_utf8_lossy(&answer));
            session.write(&large[..large.len() - 1]);
            sessions.push(session);
        }
    }
    sessions
}
