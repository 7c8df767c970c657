//! The server is killed under load, repeatedly. After each restart every acknowledged message is there exactly once, no
//! seq is missing, and clients can continue. The page cache outlives a process, so these tests do not cover a power
//! cut; the simulator does. `MUSHAN_CRASH_CYCLES` sets the number of kills (3 by default). After each kill only the new
//! entries of the inboxes are read; every `WHOLE_EVERY` cycles, and at the end, the inboxes are read completely and
//! compared with the earlier readings.

use crate::common::binary::{BinaryClient, SUCCESS, command, send_body};
use crate::common::rpc::RpcClient;
use crate::common::{Home, PATIENCE, Server, mushan, run};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::HashMap;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

const USERS: usize = 6;
/// Unanswered requests of each client, so that every kill interrupts some.
const IN_FLIGHT: usize = 8;
/// Messages that are acknowledged in each cycle before the kill.
const LOAD: usize = 600;
/// Cycles between two complete readings of the inboxes.
const WHOLE_EVERY: usize = 50;

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

/// The knowledge of one user over all cycles.
#[derive(Default)]
struct Memory {
    next: usize,
    /// Sent and not answered; they are sent again after the restart.
    open: Vec<Sent>,
    /// Acknowledged, with the message id of the answer.
    acknowledged: Vec<(Sent, String)>,
    /// The number of these that were found in both inboxes.
    checked: usize,
    /// The number of messages sent again because the server was killed before it answered.
    retried: usize,
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
        // The recipients take turns; the author is one of them.
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

/// A client of either protocol.
enum Client {
    Binary(BinaryClient, HashMap<u32, String>),
    JsonRpc(RpcClient, HashMap<String, String>),
}

/// The events of a client that matter here.
enum Received {
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

    /// `None` when the server has ended.
    async fn receive(&mut self) -> Option<Received> {
        match self {
            Self::Binary(client, asked) => {
                let heard = client.receive().await.ok()?;
                if heard.command != command::SEND + 1 {
                    return Some(Received::Other);
                }
                let answer = crate::common::binary_fields::Fields::decode("SendMessageResponse", &heard.body);
                assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
                let client_id = asked.remove(&heard.sequence).expect("it was asked");
                Some(Received::Acknowledged { client_id, message_id: answer.text("message_id") })
            }
            Self::JsonRpc(client, asked) => {
                let heard = client.receive().await.ok()?;
                let Some(client_id) = heard["id"].as_str().and_then(|id| asked.remove(id)) else {
                    return Some(Received::Other);
                };
                let message_id = heard["result"]["messageId"].as_str().unwrap_or_else(|| panic!("{heard}"));
                Some(Received::Acknowledged { client_id, message_id: message_id.to_owned() })
            }
        }
    }

    /// The entries behind `after`, in the order of their seqs; panics if a seq is missing.
    async fn inbox_after(&mut self, after: usize) -> Vec<Entry> {
        let after = i64::try_from(after).expect("a short inbox");
        match self {
            Self::Binary(client, _) => {
                let entry = |entry: &crate::common::binary_fields::Fields| Entry {
                    message_id: entry.text("message_id"),
                    author: entry.text("sender_id"),
                    client_id: entry.text("client_msg_id"),
                };
                client.inbox_after(after).await.iter().map(entry).collect()
            }
            Self::JsonRpc(client, _) => {
                let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned();
                let entry = |entry: &Value| Entry {
                    message_id: text(&entry["messageId"]),
                    author: text(&entry["fromUid"]),
                    client_id: text(&entry["clientMsgNo"]),
                };
                client.inbox_after(after).await.iter().map(entry).collect()
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

/// One user's inbox as it was read so far: the entry with seq n is at index n - 1.
#[derive(Default)]
struct Inbox {
    entries: Vec<Entry>,
    /// Message id by author and client id.
    ids: HashMap<(String, String), String>,
}

impl Inbox {
    /// Reads from the last known entry on, which must be the same as before.
    async fn read_on(&mut self, client: &mut Client) {
        let known = self.entries.len().saturating_sub(1);
        let read = client.inbox_after(known).await;
        let again = self.entries.len() - known;
        assert!(read.len() >= again, "an inbox of {} entries has lost its end", self.entries.len());
        assert_eq!(read[..again], self.entries[known..], "the last entry read before");
        for entry in &read[again..] {
            let key = (entry.author.clone(), entry.client_id.clone());
            let twice = self.ids.insert(key, entry.message_id.clone());
            assert_eq!(twice, None, "{entry:?} is in an inbox twice");
        }
        self.entries.extend_from_slice(&read[again..]);
    }

    async fn read_whole(&mut self, client: &mut Client) {
        self.read_on(client).await;
        let read = client.inbox_after(0).await;
        let differs = read.iter().zip(&self.entries).find(|(now, before)| now != before);
        assert_eq!(differs, None, "an entry is not what it was");
        assert_eq!(read.len(), self.entries.len());
    }

    fn message_id(&self, author: usize, sent: &Sent) -> Option<&String> {
        self.ids.get(&(name(author), sent.client_id.clone()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    On,
    Whole,
}

/// Sends the unanswered messages again, then new ones, until the server has ended or `enough` were acknowledged.
async fn converse(client: &mut Client, memory: &mut Memory, me: usize, enough: usize) {
    for sent in memory.open.clone() {
        client.ask(&sent).await;
        memory.retried += 1;
    }
    let before = memory.acknowledged.len();
    while memory.acknowledged.len() - before < enough || !memory.open.is_empty() {
        let is_full = memory.open.len() >= IN_FLIGHT || memory.acknowledged.len() - before >= enough;
        if !is_full {
            let sent = memory.compose(me);
            client.ask(&sent).await;
            continue;
        }
        match client.receive().await {
            Some(Received::Acknowledged { client_id, message_id }) => memory.acknowledge(&client_id, message_id),
            Some(Received::Other) => {}
            None => return,
        }
    }
}

/// Checks that each acknowledged message is in both inboxes exactly once, and that no inbox has a message twice.
async fn check(home: &Home, server: &Server, memories: &mut [Memory], inboxes: &mut [Inbox], reading: Reading) {
    for (user, inbox) in inboxes.iter_mut().enumerate() {
        let mut client = Client::login(home, server, user).await;
        match reading {
            Reading::On => inbox.read_on(&mut client).await,
            Reading::Whole => inbox.read_whole(&mut client).await,
        }
    }
    for (author, memory) in memories.iter_mut().enumerate() {
        for (sent, message_id) in &memory.acknowledged[memory.checked..] {
            for holder in [author, sent.to] {
                let held = inboxes[holder].message_id(author, sent);
                assert_eq!(held, Some(message_id), "{sent:?} of {author} was acknowledged, in the inbox of {holder}");
            }
        }
        memory.checked = memory.acknowledged.len();
    }
}

/// Loads the server until every user has had messages acknowledged, kills it `grace` later, and returns the users'
/// memories.
async fn kill_under_load(home: &Home, server: Server, memories: Vec<Memory>, grace: Duration) -> Vec<Memory> {
    let mut clients = Vec::new();
    for user in 0..USERS {
        clients.push(Client::login(home, &server, user).await);
    }
    let through = Rc::new(Cell::new(0));
    let local = tokio::task::LocalSet::new();
    let tasks: Vec<_> = clients
        .into_iter()
        .zip(memories)
        .enumerate()
        .map(|(user, (mut client, mut memory))| {
            let through = Rc::clone(&through);
            local.spawn_local(async move {
                // A first part, which must be acknowledged for all users, then load until the kill.
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
        tokio::time::sleep(grace).await;
        server.kill();
        let mut memories = Vec::new();
        for task in tasks {
            memories.push(task.await.expect("no panic"));
        }
        memories
    });
    finished.await
}

fn cycles() -> usize {
    std::env::var("MUSHAN_CRASH_CYCLES").map_or(3, |cycles| cycles.parse().expect("MUSHAN_CRASH_CYCLES is a number"))
}

/// Writes the figures to stderr directly, since the test harness would capture them.
fn report(kills: usize, unanswered: usize, taken: usize, memories: &[Memory]) {
    let acknowledged: usize = memories.iter().map(|memory| memory.acknowledged.len()).sum();
    let checked: usize = memories.iter().map(|memory| memory.checked).sum();
    let retried: usize = memories.iter().map(|memory| memory.retried).sum();
    let line = format!(
        "{kills} kills, {acknowledged} messages acknowledged, {checked} of them found in both inboxes exactly once; \
         {unanswered} unanswered at a kill, {taken} of these were in the log all the same, {retried} sent again"
    );
    writeln!(std::io::stderr(), "{line}").expect("stderr is open");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let home = Home::new();
    let mut memories: Vec<Memory> = (0..USERS).map(|_| Memory::default()).collect();
    let mut inboxes: Vec<Inbox> = (0..USERS).map(|_| Inbox::default()).collect();
    let (mut unanswered, mut taken) = (0, 0);
    let mut server = home.start();
    for cycle in 1..=cycles() {
        let grace = Duration::from_millis(20 + 17 * (cycle as u64 % 7));
        memories = kill_under_load(&home, server, memories, grace).await;
        server = home.start();
        let reading = if cycle % WHOLE_EVERY == 0 { Reading::Whole } else { Reading::On };
        check(&home, &server, &mut memories, &mut inboxes, reading).await;
        let open: Vec<_> =
            memories.iter().enumerate().flat_map(|(me, m)| m.open.iter().map(move |s| (me, s))).collect();
        assert!(!open.is_empty(), "the kill came under load");
        unanswered += open.len();
        taken += open.iter().filter(|(me, sent)| inboxes[*me].message_id(*me, sent).is_some()).count();
    }
    // The conversation goes on, and what was left open is answered now.
    for (user, memory) in memories.iter_mut().enumerate() {
        let mut client = Client::login(&home, &server, user).await;
        converse(&mut client, memory, user, 10).await;
        assert!(memory.open.is_empty());
    }
    check(&home, &server, &mut memories, &mut inboxes, Reading::Whole).await;
    report(cycles(), unanswered, taken, &memories);
    assert!(server.stop().status.success());
    let mut audit = mushan();
    audit.arg("audit").arg("--data-dir").arg(home.data_dir());
    let audited = run(audit);
    assert!(audited.status.success(), "{}", String::from_utf8_lossy(&audited.stdout));
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
    let mut carol = server.rpc("carol").await;
    let carols = carol.send("bob", "only-once", json!({"type": 1, "content": "from carol"})).await["result"].clone();
    server.kill();

    let server = home.start();
    let (mut alice, max_seq) = BinaryClient::login(server.address, "alice", &token).await;
    assert_eq!(max_seq, 1);
    let mut bob = server.binary("bob").await;
    let sequence = alice.ask(command::SEND, &body).await;
    assert_eq!(alice.answer(sequence).await.expect("an answer").body, first, "byte for byte");
    let mut carol = server.rpc("carol").await;
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

#[tokio::test]
async fn who_was_online_at_a_crash_was_seen_last_at_the_crash_and_not_long_before_it_or_never() {
    let home = Home::new();
    let server = home.start();
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let mut alice = server.rpc("alice").await;
    let mut bob = server.rpc("bob").await;
    let ask = json!({"userIds": ["alice"]});
    assert_eq!(bob.result("presence", ask.clone()).await["states"][0]["online"], true);
    alice.send("bob", "hello", json!({"type": 1, "content": "hello"})).await;
    server.kill();

    let server = home.start();
    let mut bob = server.rpc("bob").await;
    let state = bob.result("presence", ask.clone()).await["states"][0].clone();
    assert_eq!(state["online"], false);
    let seen = state["lastSeen"].as_u64().expect("a time");
    let started = u64::try_from(started.as_millis()).expect("a date");
    assert!((started..started + 60_000).contains(&seen), "{seen} is not within a minute of {started}");
    assert!(server.stop().status.success());

    let server = home.start();
    let mut bob = server.rpc("bob").await;
    assert_eq!(bob.result("presence", ask).await["states"][0]["lastSeen"], seen, "it stays so");
}
