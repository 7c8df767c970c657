//! Killed under load, again and again: what was acknowledged is there exactly once, no seq is missing, and the
//! conversation goes on. The page cache outlives a process: what a power cut would take is the simulator's business.
//! `MUSHAN_CRASH_CYCLES` sets how often (3 when absent).

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod common;

use common::binary::{BinaryClient, SUCCESS, command, send_body};
use common::rpc::RpcClient;
use common::{Home, PATIENCE, Server};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

const USERS: usize = 6;
/// Requests that each client keeps unanswered: so that a kill always finds some.
const IN_FLIGHT: usize = 8;
/// Acknowledged messages of each cycle before the kill.
const LOAD: usize = 600;

/// A message as its author remembers it.
#[derive(Clone, Debug)]
struct Sent {
    client_id: String,
    to: usize,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Binary,
    JsonRpc,
}

/// What one user has learned over all cycles.
#[derive(Default)]
struct Memory {
    next: usize,
    /// Sent and not answered; they are sent again after the restart.
    open: Vec<Sent>,
    /// Acknowledged, with the message id of the answer.
    acknowledged: Vec<(Sent, String)>,
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

fn protocol_of(user: usize) -> Protocol {
    if user.is_multiple_of(2) { Protocol::Binary } else { Protocol::JsonRpc }
}

impl Memory {
    fn compose(&mut self, me: usize) -> Sent {
        self.next += 1;
        // To everybody in turn, oneself included.
        let to = self.next % USERS;
        let sent = Sent { client_id: format!("{me}-{}", self.next), to, text: format!("{me} says {}", self.next) };
        self.open.push(sent.clone());
        sent
    }

    fn acknowledge(&mut self, client_id: &str, message_id: String) {
        let at = self.open.iter().position(|sent| sent.client_id == client_id).expect("it was sent");
        self.acknowledged.push((self.open.remove(at), message_id));
    }
}

/// Both protocols' clients behind one face.
enum Client {
    Binary(BinaryClient, HashMap<u32, String>),
    JsonRpc(RpcClient, HashMap<String, String>),
}

/// What a client hears that matters here.
enum Heard {
    Acknowledged { client_id: String, message_id: String },
    Other,
}

impl Client {
    async fn login(home: &Home, server: &Server, user: usize) -> Self {
        let (name, token) = (name(user), home.token(&name(user)));
        match protocol_of(user) {
            Protocol::Binary => {
                Self::Binary(BinaryClient::login(server.address, &name, &token).await.0, HashMap::new())
            }
            Protocol::JsonRpc => {
                Self::JsonRpc(RpcClient::login(server.address, "/rpc", &name, &token).await, HashMap::new())
            }
        }
    }

    async fn ask(&mut self, sent: &Sent) {
        let to = name(sent.to);
        match self {
            Self::Binary(client, asked) => {
                let body = send_body(&to, &sent.client_id, sent.text.as_bytes());
                asked.insert(client.ask(command::SEND, &body).await, sent.client_id.clone());
            }
            Self::JsonRpc(client, asked) => {
                let payload = json!({"type": 1, "content": sent.text});
                let params =
                    json!({"clientMsgNo": sent.client_id, "channelId": to, "channelType": 1, "payload": payload});
                asked.insert(client.ask("send", params).await, sent.client_id.clone());
            }
        }
    }

    /// `None` when the server is gone.
    async fn hear(&mut self) -> Option<Heard> {
        match self {
            Self::Binary(client, asked) => {
                let heard = client.hear().await.ok()?;
                if heard.command != command::SEND + 1 {
                    return Some(Heard::Other);
                }
                let answer = common::seed1::Fields::decode("SendMessageResponse", &heard.body);
                assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
                let client_id = asked.remove(&heard.sequence).expect("it was asked");
                Some(Heard::Acknowledged { client_id, message_id: answer.text("message_id") })
            }
            Self::JsonRpc(client, asked) => {
                let heard = client.hear().await.ok()?;
                let Some(client_id) = heard["id"].as_str().and_then(|id| asked.remove(id)) else {
                    return Some(Heard::Other);
                };
                let message_id = heard["result"]["messageId"].as_str().unwrap_or_else(|| panic!("{heard}"));
                Some(Heard::Acknowledged { client_id, message_id: message_id.to_owned() })
            }
        }
    }

    /// Message id by seq, the seqs being 1 to n.
    async fn inbox(&mut self) -> Vec<Entry> {
        match self {
            Self::Binary(client, _) => {
                let entry = |entry: &common::seed1::Fields| Entry {
                    message_id: entry.text("message_id"),
                    author: entry.text("sender_id"),
                    client_id: entry.text("client_msg_id"),
                };
                client.inbox().await.iter().map(entry).collect()
            }
            Self::JsonRpc(client, _) => {
                let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned();
                let entry = |entry: &Value| Entry {
                    message_id: text(&entry["messageId"]),
                    author: text(&entry["fromUid"]),
                    client_id: text(&entry["clientMsgNo"]),
                };
                client.inbox().await.iter().map(entry).collect()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    message_id: String,
    author: String,
    client_id: String,
}

/// Sends what was left open, then new messages, until the server is gone or `enough` were acknowledged.
async fn converse(client: &mut Client, memory: &mut Memory, me: usize, enough: usize) {
    for sent in memory.open.clone() {
        client.ask(&sent).await;
    }
    let before = memory.acknowledged.len();
    while memory.acknowledged.len() - before < enough || !memory.open.is_empty() {
        let is_full = memory.open.len() >= IN_FLIGHT || memory.acknowledged.len() - before >= enough;
        if !is_full {
            let sent = memory.compose(me);
            client.ask(&sent).await;
            continue;
        }
        match client.hear().await {
            Some(Heard::Acknowledged { client_id, message_id }) => memory.acknowledge(&client_id, message_id),
            Some(Heard::Other) => {}
            None => return,
        }
    }
}

/// Everything acknowledged is in both inboxes exactly once, and nothing is in any inbox twice.
async fn check(home: &Home, server: &Server, memories: &[Memory]) {
    let mut inboxes = Vec::new();
    for user in 0..USERS {
        let entries = Client::login(home, server, user).await.inbox().await;
        let mut seen: BTreeMap<(String, String), String> = BTreeMap::new();
        for Entry { message_id, author, client_id } in entries {
            let twice = seen.insert((author, client_id), message_id);
            assert_eq!(twice, None, "{} has a message twice", name(user));
        }
        inboxes.push(seen);
    }
    for (author, memory) in memories.iter().enumerate() {
        for (sent, message_id) in &memory.acknowledged {
            for holder in [author, sent.to] {
                let held = inboxes[holder].get(&(name(author), sent.client_id.clone()));
                assert_eq!(held, Some(message_id), "{sent:?} of {author} was acknowledged, in the inbox of {holder}");
            }
        }
    }
}

fn cycles() -> usize {
    std::env::var("MUSHAN_CRASH_CYCLES").map_or(3, |cycles| cycles.parse().expect("MUSHAN_CRASH_CYCLES is a number"))
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let home = Home::new();
    let mut memories: Vec<Memory> = (0..USERS).map(|_| Memory::default()).collect();
    for cycle in 0..cycles() {
        let server = home.start();
        let mut clients = Vec::new();
        for user in 0..USERS {
            clients.push(Client::login(&home, &server, user).await);
        }
        let through = Rc::new(Cell::new(0));
        let local = tokio::task::LocalSet::new();
        let tasks: Vec<_> = clients
            .into_iter()
            .zip(std::mem::take(&mut memories))
            .enumerate()
            .map(|(user, (mut client, mut memory))| {
                let through = Rc::clone(&through);
                local.spawn_local(async move {
                    // A first part that all must get through, then load without an end.
                    converse(&mut client, &mut memory, user, LOAD / USERS).await;
                    through.set(through.get() + 1);
                    converse(&mut client, &mut memory, user, usize::MAX).await;
                    memory
                })
            })
            .collect();
        let finished = local.run_until(async move {
            let all = async {
                while through.get() < USERS {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(2 * PATIENCE, all).await.expect("all get through");
            tokio::time::sleep(Duration::from_millis(20 + 17 * (cycle as u64 % 7))).await;
            server.kill();
            let mut memories = Vec::new();
            for task in tasks {
                memories.push(task.await.expect("no panic"));
            }
            memories
        });
        memories = finished.await;
        assert!(memories.iter().any(|memory| !memory.open.is_empty()), "the kill came under load");
        check(&home, &home.start(), &memories).await;
    }
    // The conversation goes on, and what was left open is answered now.
    let server = home.start();
    for (user, memory) in memories.iter_mut().enumerate() {
        let mut client = Client::login(&home, &server, user).await;
        converse(&mut client, memory, user, 10).await;
        assert!(memory.open.is_empty());
    }
    check(&home, &server, &memories).await;
    assert!(server.stop().status.success());
}

#[tokio::test]
async fn a_retry_after_a_crash_gets_the_first_answer_and_is_delivered_once() {
    let home = Home::new();
    let server = home.start();
    let token = home.token("alice");
    let body = send_body("bob", "only-once", b"important");
    let (mut alice, _) = BinaryClient::login(server.address, "alice", &token).await;
    let sequence = alice.ask(command::SEND, &body).await;
    let first = alice.answer(sequence).await.expect("an answer").body;
    let mut carol = RpcClient::login(server.address, "/rpc", "carol", &home.token("carol")).await;
    let carols = carol.send("bob", "only-once", json!({"type": 1, "content": "from carol"})).await["result"].clone();
    server.kill();

    let server = home.start();
    let (mut alice, max_seq) = BinaryClient::login(server.address, "alice", &token).await;
    assert_eq!(max_seq, 1);
    let (mut bob, _) = BinaryClient::login(server.address, "bob", &home.token("bob")).await;
    let sequence = alice.ask(command::SEND, &body).await;
    assert_eq!(alice.answer(sequence).await.expect("an answer").body, first, "byte for byte");
    let mut carol = RpcClient::login(server.address, "/rpc", "carol", &home.token("carol")).await;
    let again = carol.send("bob", "only-once", json!({"type": 1, "content": "from carol"})).await;
    assert_eq!(again["result"], carols);
    let other = carol.send("bob", "only-once", json!({"type": 1, "content": "something else"})).await;
    assert_eq!(other["error"]["code"], 1105);

    let next = alice.send("bob", "next", b"next").await;
    assert_eq!(next.number("seq"), 2, "alice's inbox goes on without a hole");
    assert_eq!(bob.next_push().await.text("client_msg_id"), "next", "the retries were not pushed");
    let ids: Vec<String> = bob.inbox().await.iter().map(|entry| entry.text("client_msg_id")).collect();
    assert_eq!(ids, ["only-once", "only-once", "next"]);
}
