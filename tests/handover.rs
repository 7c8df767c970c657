//! A whole server in this process, raw sockets against it: connections that are accepted on one core and belong to
//! another, whatever the moment at which their bytes come.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use mushan::model::{Limits, Millis, UserId};
use mushan::server::{Durability, Options, Secret, Server, serve};
use mushan::shard::Placement;
use mushan::wire::token;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(30);
const UPGRADE: &str = "GET /rpc HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn options(directory: &Path) -> Options {
    Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: directory.join("data"),
        shards: Some(2),
        segment_bytes: 1 << 20,
        handshakes_per_address_max: 10_000,
        limits: Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() },
        ..Options::default()
    }
}

fn token_of(server: &Server, user: &str) -> String {
    let secret = Secret::load(&server.data_dir).expect("readable").expect("made at the start");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    let user = UserId::new(user).expect("well formed");
    token::mint(secret.bytes(), &user, Millis(now), Millis(now + 3_600_000))
}

/// One masked text frame.
fn frame(value: &Value) -> Vec<u8> {
    let text = value.to_string();
    let mask = [7_u8, 77, 177, 27];
    let mut bytes = vec![0x81];
    match text.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn connect_frame(server: &Server, user: &str) -> Vec<u8> {
    let params = json!({ "uid": user, "token": token_of(server, user), "deviceId": "d", "deviceFlag": 1 });
    frame(&json!({ "jsonrpc": "2.0", "id": "connect", "method": "connect", "params": params }))
}

fn send_frame(to: &str, number: usize) -> Vec<u8> {
    let params = json!({
        "clientMsgNo": format!("message {number}"), "channelId": to, "channelType": 1,
        "payload": { "type": 1, "content": "x".repeat(number % 200) },
    });
    frame(&json!({ "jsonrpc": "2.0", "id": number.to_string(), "method": "send", "params": params }))
}

#[derive(Debug, PartialEq)]
enum Received {
    Message(Value),
    Closed(u16),
    End,
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    is_upgraded: bool,
}

impl Client {
    fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        stream.set_nodelay(true).expect("set");
        Self { stream, received: Vec::new(), is_upgraded: false }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
    }

    fn receive(&mut self) -> Received {
        loop {
            if let Some(heard) = self.take() {
                return heard;
            }
            let mut chunk = [0; 4_096];
            match self.stream.read(&mut chunk).expect("an answer within the time") {
                0 => return Received::End,
                length => self.received.extend_from_slice(&chunk[..length]),
            }
        }
    }

    fn take(&mut self) -> Option<Received> {
        if !self.is_upgraded {
            let end = self.received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
            assert!(self.received.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&self.received));
            self.received.drain(..end);
            self.is_upgraded = true;
        }
        let (header, length) = match *self.received.get(1)? {
            126 => (4, u16::from_be_bytes(self.received.get(2..4)?.try_into().expect("two")) as usize),
            length => (2, length as usize),
        };
        let payload = self.received.get(header..header + length)?.to_vec();
        let opcode = self.received[0];
        self.received.drain(..header + length);
        match opcode {
            0x81 => Some(Received::Message(serde_json::from_slice(&payload).expect("JSON"))),
            0x88 => Some(Received::Closed(u16::from_be_bytes([payload[0], payload[1]]))),
            opcode => panic!("opcode {opcode:#x}"),
        }
    }

    /// The next answer to a request; what comes as `recv` meanwhile goes into `messages`.
    fn answer(&mut self, messages: &mut Vec<Value>) -> Value {
        loop {
            let Received::Message(value) = self.receive() else { panic!("closed while an answer is owed") };
            if value["method"] == "recv" {
                messages.push(value);
                continue;
            }
            assert_eq!(value["error"], Value::Null, "{value}");
            return value;
        }
    }

    fn expect_answers(&mut self, ids: impl IntoIterator<Item = String>, messages: &mut Vec<Value>) {
        for id in ids {
            assert_eq!(self.answer(messages)["id"], id, "answers come whole and in order");
        }
    }

    fn expect_messages(&mut self, count: usize, messages: &mut Vec<Value>) {
        while messages.len() < count {
            let heard = self.receive();
            let Received::Message(value) = heard else { panic!("{heard:?} while messages are owed") };
            assert_eq!(value["method"], "recv", "{value}");
            messages.push(value);
        }
    }
}

fn user(number: usize) -> String {
    format!("user-{number}")
}

fn assert_on_both_shards(users: usize) {
    let placement = Placement::new(2);
    let owners: HashSet<_> =
        (0..users).map(|number| placement.owner_of(&UserId::new(&user(number)).expect("well formed")).0).collect();
    assert_eq!(owners.len(), 2, "the test needs users of both shards");
}

#[test]
fn a_frame_that_is_half_received_when_its_connection_moves_arrives_whole() {
    const USERS: usize = 64;
    assert_on_both_shards(USERS);
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(options(directory.path())).expect("started");
    let mut clients = Vec::new();
    for number in 0..USERS {
        let mut client = Client::new(&server);
        let (first, cut) = (send_frame(&user((number + 1) % USERS), 1), 1 + number * 3);
        let head = [connect_frame(&server, &user(number)), first[..cut.min(first.len() - 1)].to_vec()].concat();
        if number % 2 == 0 {
            client.write(&[UPGRADE.as_bytes(), &head].concat());
        } else {
            client.write(UPGRADE.as_bytes());
            client.write(&head);
        }
        clients.push((client, first[cut.min(first.len() - 1)..].to_vec(), Vec::new()));
    }
    for (client, _, messages) in &mut clients {
        client.expect_answers(["connect".to_owned()], messages);
    }
    for (number, (client, rest, _)) in clients.iter_mut().enumerate() {
        let second = send_frame(&user((number + 1) % USERS), 2);
        client.write(&[rest.as_slice(), &second].concat());
    }
    for (client, _, messages) in &mut clients {
        client.expect_answers(["1".to_owned(), "2".to_owned()], messages);
    }
    for (number, (client, _, messages)) in clients.iter_mut().enumerate() {
        client.expect_messages(2, messages);
        let author = user((number + USERS - 1) % USERS);
        for (message, expected) in messages.iter().zip(["message 1", "message 2"]) {
            assert_eq!(message["params"]["fromUid"], author.as_str(), "{message}");
            assert_eq!(message["params"]["clientMsgNo"], expected, "{message}");
        }
    }
    server.stop();
    for (client, _, _) in &mut clients {
        assert_eq!(client.receive(), Received::Closed(1001));
    }
    drop(clients);
    let summary = server.wait().expect("stopped well");
    assert_eq!(
        (summary.accepted, summary.opened().map(|(_, count)| count).sum::<u64>()),
        (USERS as u64, USERS as u64),
        "{summary}"
    );
    assert!(summary.handed_over > 0, "{summary}");
}

/// Connects as `user` and sends without waiting for anything, in small writes; expects every answer, in order.
fn stream_sends(server: &Server, user: &str, sends: std::ops::Range<usize>, chunk_bytes: usize) {
    let mut client = Client::new(server);
    let mut bytes = [UPGRADE.as_bytes(), &connect_frame(server, user)].concat();
    sends.clone().for_each(|send| bytes.extend(send_frame(user, send)));
    let mut writer = client.stream.try_clone().expect("cloned");
    let writing = std::thread::spawn(move || {
        bytes.chunks(chunk_bytes).for_each(|chunk| writer.write_all(chunk).expect("written"));
    });
    let mut messages = Vec::new();
    client.expect_answers(["connect".to_owned()], &mut messages);
    client.expect_answers(sends.map(|send| send.to_string()), &mut messages);
    assert!(messages.is_empty(), "a sending session is not pushed its own message");
    writing.join().expect("written");
}

#[test]
fn bytes_that_come_without_pause_while_a_connection_moves_are_neither_lost_nor_reordered() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 15;
    const SENDS: usize = 60;
    assert_on_both_shards(CLIENTS);
    let directory = tempfile::tempdir().expect("a directory");
    // A small budget, so that bytes are waiting for their turn when a connection leaves.
    let server = serve(Options { receive_bytes_per_turn_max: 1_024, ..options(directory.path()) }).expect("started");
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let server = &server;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let sends = round * SENDS..(round + 1) * SENDS;
                    stream_sends(server, &user(number), sends, 20 << (2 * number));
                }
            });
        }
    });
    server.stop();
    let summary = server.wait().expect("stopped well");
    assert!(summary.handed_over > 0, "{summary}");
    assert!(summary.syncs < (CLIENTS * ROUNDS * SENDS) as u64, "syncs are shared: {summary}");
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart_and_one_directory_has_one_server() {
    let directory = tempfile::tempdir().expect("a directory");
    for (round, durability) in
        [Durability::Fsync, Durability::None, Durability::Interval { interval_ms: 5 }].into_iter().enumerate()
    {
        let options = Options { durability, ..options(directory.path()) };
        let server = serve(options.clone()).expect("started");
        let refused = serve(options).err().expect("the directory is in use");
        assert_eq!(refused.exit_status(), 3, "{refused}");
        let mut client = Client::new(&server);
        client.write(&[UPGRADE.as_bytes(), &connect_frame(&server, "alice"), &send_frame("bob", round)].concat());
        let mut messages = Vec::new();
        client.expect_answers(["connect".to_owned()], &mut messages);
        let answer = client.answer(&mut messages);
        assert_eq!(answer["result"]["messageSeq"], round + 1, "{answer}");
        server.stop();
        server.wait().expect("stopped well");
    }
}

#[test]
fn a_connection_that_does_not_authenticate_is_let_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let limits = Limits { auth_json_rpc_ms: 300, ..Limits::default() };
    let server = serve(Options { shards: Some(1), limits, ..options(directory.path()) }).expect("started");
    let mut client = Client::new(&server);
    client.write(UPGRADE.as_bytes());
    assert_eq!(client.receive(), Received::Closed(4002));
    assert_eq!(client.receive(), Received::End);
    server.stop();
    server.wait().expect("stopped well");
}

#[test]
fn an_idle_server_sleeps() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(options(directory.path())).expect("started");
    let mut clients: Vec<Client> = (0..20).map(|_| Client::new(&server)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write(&[UPGRADE.as_bytes(), &connect_frame(&server, &user(number))].concat());
        client.expect_answers(["connect".to_owned()], &mut Vec::new());
    }
    std::thread::sleep(Duration::from_secs(3));
    drop(clients);
    server.stop();
    let summary = server.wait().expect("stopped well");
    // Each of 2 shards looks after its chores once a second; the rest is connecting and leaving.
    assert!((6..500).contains(&summary.sleeps), "{summary:?}");
}
