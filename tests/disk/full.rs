//! A disk that is really full: the real server with its data on a small tmpfs. Sends are refused and say why, all else
//! goes on, a restart does not help and does no harm, and when space returns so do the sends.
//!
//! A tmpfs needs a mount (`crate::common::mounts`). Where that is not allowed the test says so on stderr and passes.

use crate::common::binary::{BinaryClient, Envelope, SUCCESS, command, send_body};
use crate::common::binary_fields::Fields;
use crate::common::mounts::with_own_mounts;
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server};
use mushan::model::{Conversation, ShardId, UserId};
use mushan::shard::Placement;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Segments are 1 MiB: without the reserve there would be room for one more.
const DISK_KIB: usize = (10 << 10) + 128;
/// Of each of the two pieces of ballast.
const BALLAST_MIB: usize = 2;
const LARGE: usize = 8 << 10;
/// Of a message without its content.
const RECORD_BYTES_MIN: usize = 128;
/// A small reserve, for a small disk: as in the configuration.
const RESERVE_BYTES: u64 = 262_144;
const RESERVE: &str = "[log]\nreserve_bytes = 262144\n";
/// Server's codes for what it has no room for now (proto/im.proto, proto/jsonrpc.md).
const FULL_BINARY: i64 = 1;
const FULL_JSON_RPC: i64 = 1500;
const FULL_SENTENCE: &str = "storage is full, try again later";
const BUSY_SENTENCE: &str = "busy, try again later";
/// "Within seconds": the server looks for room every second.
const SOON: Duration = Duration::from_secs(10);

/// The data directory's own small disk, with files on it that can be given up.
struct SmallDisk {
    ballast: Vec<PathBuf>,
}

impl SmallDisk {
    fn mount(home: &Home) -> Self {
        let data_dir = home.data_dir();
        std::fs::create_dir(&data_dir).expect("a new home");
        let size = format!("size={DISK_KIB}k,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&data_dir).status();
        assert!(mounted.expect("mount can be run").success());
        let ballast = ["ballast-1", "ballast-2"].map(|name| data_dir.join(name)).to_vec();
        for path in &ballast {
            std::fs::write(path, vec![1; BALLAST_MIB << 20]).expect("it fits");
        }
        Self { ballast }
    }

    /// What is left for checkpoints and the end.
    fn free_bytes(home: &Home) -> u64 {
        let found = rustix::fs::statvfs(home.data_dir()).expect("mounted");
        found.f_bavail * found.f_frsize
    }

    /// Twice at most.
    fn make_room(&mut self) {
        std::fs::remove_file(self.ballast.pop().expect("there is ballast")).expect("made before");
    }
}

/// What the server has said about each message: the author, the client id and, once acknowledged, the message id.
#[derive(Default)]
struct Ledger {
    acknowledged: Vec<(String, String, String)>,
    refused: Vec<(String, String)>,
    next: usize,
}

impl Ledger {
    fn next_id(&mut self) -> String {
        self.next += 1;
        format!("message {}", self.next)
    }

    /// Whether it was taken.
    async fn send(&mut self, client: &mut BinaryClient, to: &str, content_bytes: usize) -> bool {
        let id = self.next_id();
        self.send_as(client, to, &id, content_bytes).await
    }

    async fn send_as(&mut self, client: &mut BinaryClient, to: &str, id: &str, content_bytes: usize) -> bool {
        let answer = client.send(to, id, &vec![b'x'; content_bytes]).await;
        if answer.number("error_code") == SUCCESS {
            self.acknowledged.push((client.user.clone(), id.to_owned(), answer.text("message_id")));
            return true;
        }
        assert_eq!((answer.number("error_code"), &*answer.text("error_msg")), (FULL_BINARY, FULL_SENTENCE));
        self.refused.push((client.user.clone(), id.to_owned()));
        false
    }

    /// An answer that came on its own.
    fn note(&mut self, author: &str, id: &str, answer: &Envelope) {
        let answer = Fields::decode("SendMessageResponse", &answer.body);
        assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
        self.acknowledged.push((author.to_owned(), id.to_owned(), answer.text("message_id")));
    }

    async fn send_json(&mut self, client: &mut RpcClient, to: &str, content_bytes: usize) -> bool {
        let id = self.next_id();
        let answer = client.send(to, &id, json!({"type": 1, "content": "x".repeat(content_bytes)})).await;
        if let Some(message_id) = answer["result"]["messageId"].as_str() {
            self.acknowledged.push((client.user.clone(), id, message_id.to_owned()));
            return true;
        }
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["message"]),
            (&json!(FULL_JSON_RPC), &json!(FULL_SENTENCE))
        );
        self.refused.push((client.user.clone(), id));
        false
    }

    /// Of these authors' messages, exactly what was acknowledged, once each; nothing of what was refused.
    fn check(&self, inbox: &[Fields], authors: &[&str]) {
        let mut found = BTreeMap::new();
        for entry in inbox.iter().filter(|entry| authors.contains(&&*entry.text("sender_id"))) {
            let key = (entry.text("sender_id"), entry.text("client_msg_id"));
            let twice = found.insert(key.clone(), entry.text("message_id"));
            assert_eq!(twice, None, "{key:?} is there twice");
        }
        let acknowledged = self.acknowledged.iter().filter(|(author, ..)| authors.contains(&author.as_str()));
        let expected: BTreeMap<_, _> =
            acknowledged.map(|(author, id, message_id)| ((author.clone(), id.clone()), message_id.clone())).collect();
        assert_eq!(found.len(), expected.len(), "entries and acknowledged messages");
        assert_eq!(found, expected);
    }
}

/// Sends large messages until there is no room for one, then small ones until there is none for these.
async fn fill(ledger: &mut Ledger, client: &mut BinaryClient, to: &str) {
    let mut taken_bytes = 0;
    for content_bytes in [LARGE, 1] {
        while ledger.send(client, to, content_bytes).await {
            taken_bytes += content_bytes + RECORD_BYTES_MIN;
            assert!(taken_bytes < DISK_KIB << 10, "more is acknowledged than the disk can hold");
        }
    }
}

/// Sends until one is taken, which must be soon.
async fn send_when_there_is_room(ledger: &mut Ledger, client: &mut BinaryClient, to: &str, id: &str) {
    let since = Instant::now();
    while !ledger.send_as(client, to, id, LARGE).await {
        assert!(since.elapsed() < SOON, "there is room, and sends are refused all the same");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_full_disk_refuses_sends_and_nothing_else() {
    with_own_mounts("full::a_full_disk_refuses_sends_and_nothing_else", async {
        let home = Home::new().with_limits(RESERVE).with_shards(1);
        let mut disk = SmallDisk::mount(&home);
        let server = home.start();
        let mut ledger = Ledger::default();
        let mut alice = server.binary("alice").await;
        let mut carol = server.rpc("carol").await;
        assert!(ledger.send(&mut alice, "bob", 1).await && ledger.send_json(&mut carol, "bob", 1).await);
        fill(&mut ledger, &mut alice, "bob").await;
        assert!(ledger.acknowledged.len() > 100, "it was the disk that was full, not something smaller");

        assert!(SmallDisk::free_bytes(&home) >= RESERVE_BYTES, "sends do not use what is kept for the end");
        serve_while_full(&server, &mut ledger, &mut alice, &mut carol).await;
        expect_told(&home, &server);
        let first = ledger.acknowledged[0].clone();
        let again = alice.send("bob", &first.1, b"x").await;
        assert_eq!((again.number("error_code"), again.text("message_id")), (SUCCESS, first.2), "a repetition");

        disk.make_room();
        let refused = ledger.refused[0].1.clone();
        send_when_there_is_room(&mut ledger, &mut alice, "bob", &refused).await;
        assert!(ledger.send_json(&mut carol, "bob", LARGE).await, "both protocols");
        ledger.check(&alice.inbox().await, &["alice"]);
        ledger.check(&server.binary("bob").await.inbox().await, &["alice", "carol"]);
        stop(server);
    });
}

#[test]
fn a_restart_on_a_full_disk_changes_nothing() {
    with_own_mounts("full::a_restart_on_a_full_disk_changes_nothing", async {
        let home = Home::new().with_limits(RESERVE).with_shards(1);
        let mut disk = SmallDisk::mount(&home);
        let server = home.start();
        let mut ledger = Ledger::default();
        let mut alice = server.binary("alice").await;
        fill(&mut ledger, &mut alice, "bob").await;
        stop(server);

        let server = home.start();
        let mut alice = server.binary("alice").await;
        let mut carol = server.rpc("carol").await;
        // A start takes no segment that sends could not have.
        fill(&mut ledger, &mut alice, "bob").await;
        serve_while_full(&server, &mut ledger, &mut alice, &mut carol).await;
        stop(server);

        let server = home.start();
        let mut alice = server.binary("alice").await;
        disk.make_room();
        let refused = ledger.refused[0].1.clone();
        send_when_there_is_room(&mut ledger, &mut alice, "bob", &refused).await;
        ledger.check(&server.binary("bob").await.inbox().await, &["alice", "carol"]);
        stop(server);
    });
}

/// A graceful end, full or not: no signal has killed it.
fn stop(server: Server) {
    let exit = server.stop();
    assert!(exit.status.success(), "{}\n{}", exit.status, exit.errors);
    assert!(exit.output.contains("stopped: "), "{}", exit.output);
}

/// Whoever watches the server sees it.
fn expect_told(home: &Home, server: &Server) {
    let api = home.api();
    crate::common::wait_for("the metrics", || {
        let text = api.get("/metrics").body;
        let is_counted = text.lines().any(|line| {
            let refused = line.strip_prefix("mushan_requests_refused_total{shard=\"0\",reason=\"storage_full\"} ");
            refused.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count > 0)
        });
        (is_counted && text.contains("\nmushan_log_full{shard=\"0\"} 1\n")).then_some(())
    });
    let ready = api.get("/readyz");
    assert_eq!((ready.status, ready.json()["storage"].as_str()), (200, Some("full")), "reads go on");
    crate::common::wait_for("the warning", || {
        server.errors().contains("no room for the next segment of the log").then_some(())
    });
}

/// Sends are refused in both protocols; logging in, reading, acknowledging and heartbeats go on.
async fn serve_while_full(server: &Server, ledger: &mut Ledger, alice: &mut BinaryClient, carol: &mut RpcClient) {
    for _ in 0..10 {
        assert!(!ledger.send(alice, "bob", LARGE).await, "the disk is full");
        assert!(!ledger.send_json(carol, "bob", LARGE).await, "the disk is full");
    }
    let mut bob = server.binary("bob").await;
    let inbox = bob.inbox().await;
    ledger.check(&inbox, &["alice", "carol"]);
    ledger.check(&alice.inbox().await, &["alice"]);
    for entry in &inbox {
        bob.acknowledge(entry).await;
    }
    assert!(bob.heartbeat().await > 0, "acks do not disturb");
    let mut bobs_other = server.rpc("bob").await;
    let newest = bobs_other.call("sync", json!({"limit": -1})).await["result"]["messages"][0].clone();
    let acknowledged = bobs_other.call("recvack", json!({"messageId": newest["messageId"]})).await;
    assert_eq!(acknowledged["result"], json!({}), "{acknowledged}");
    assert_eq!(carol.call("ping", json!({})).await["result"], json!({}));
}

/// A user of a shard, the `n`-th with this beginning.
fn user_of(shard: u16, beginning: &str, n: usize) -> String {
    let lives_here = |id: &String| Placement::new(2).owner_of(&UserId::new(id).expect("well formed")) == ShardId(shard);
    (0..).map(|number| format!("{beginning}{number}")).filter(lives_here).nth(n).expect("users without an end")
}

fn owner_of(a: &str, b: &str) -> ShardId {
    let user = |id: &str| UserId::new(id).expect("well formed");
    Placement::new(2).owner_of_conversation(&Conversation::pair(user(a), user(b)))
}

/// Shard 0 has no room left and shard 1 has. A conversation belongs to the shard of the smaller id.
#[test]
fn a_shard_without_room_gets_what_it_is_owed_when_there_is_room() {
    with_own_mounts("full::a_shard_without_room_gets_what_it_is_owed_when_there_is_room", async {
        let home = Home::new().with_limits(RESERVE);
        let mut disk = SmallDisk::mount(&home);
        let server = home.start();
        let mut ledger = Ledger::default();
        let (first, full, other) = (user_of(0, "a", 0), user_of(0, "x", 0), user_of(1, "m", 0));
        assert_eq!([owner_of(&first, &other), owner_of(&other, &full)], [ShardId(0), ShardId(1)]);
        let mut author = server.binary(&full).await;
        let mut elsewhere = server.binary(&other).await;
        fill(&mut ledger, &mut author, &first).await;

        // Of the full shard's conversation: refused, from wherever it comes.
        assert!(!ledger.send(&mut elsewhere, &first, LARGE).await, "the other shard has no room for it");
        // Of the other shard's: taken there, and owed to the full one.
        let answer = owe_an_answer(&mut author, &mut elsewhere, "owed").await;
        assert!(ledger.send(&mut elsewhere, &full, 1).await);
        // What the full one is owed may be the answer to what is asked again: it says "later" until it knows.
        let later = server.binary(&full).await.send(&other, "not yet", b"x").await;
        assert_eq!((later.number("error_code"), &*later.text("error_msg")), (FULL_BINARY, BUSY_SENTENCE));
        let mut reader = server.binary(&full).await;
        ledger.check(&reader.inbox().await, &[&full]);
        disk.make_room();
        ledger.note(&full, "owed", &author.answer(answer).await.expect("answered when there is room"));
        let refused = ledger.refused[0].1.clone();
        send_when_there_is_room(&mut ledger, &mut author, &first, &refused).await;
        ledger.check(&reader.inbox().await, &[&full, &other]);

        // The same once more, and a stop before there is room.
        fill(&mut ledger, &mut author, &first).await;
        owe_an_answer(&mut author, &mut elsewhere, "owed again").await;
        let exit = server.stop();
        assert!(exit.status.success(), "{}\n{}", exit.status, exit.errors);
        let says_why = exit.errors.contains("the stop waits") && exit.errors.contains("whose storage is full");
        assert!(says_why, "{}", exit.errors);
        assert_eq!([author.ending().await, elsewhere.ending().await], [Some(1001); 2], "and everybody is told");
        disk.make_room();
        let server = home.start();
        let mut author = server.binary(&full).await;
        let mut elsewhere = server.binary(&other).await;
        let again = author.ask(command::SEND, &send_body(&other, "owed again", b"owed")).await;
        ledger.note(&full, "owed again", &author.answer(again).await.expect("an answer"));
        ledger.check(&author.inbox().await, &[&full, &other]);
        let inbox = elsewhere.inbox().await;
        let ids: Vec<String> = inbox.iter().map(|entry| entry.text("client_msg_id")).collect();
        assert_eq!(ids.iter().filter(|id| id.starts_with("owed")).collect::<Vec<_>>(), ["owed", "owed again"]);
        stop(server);
    });
}

/// `author`, whose shard is full, sends to a conversation of another shard: there it is taken and pushed, but the
/// author is not answered before it is in the author's inbox. Returns the request's sequence.
async fn owe_an_answer(author: &mut BinaryClient, elsewhere: &mut BinaryClient, id: &str) -> u32 {
    let sequence = author.ask(command::SEND, &send_body(&elsewhere.user, id, b"owed")).await;
    while elsewhere.next_push().await.text("client_msg_id") != id {}
    let early = tokio::time::timeout(Duration::from_millis(300), author.receive()).await;
    assert!(early.is_err(), "an answer without a record: {early:?}");
    sequence
}

/// What the shard knows is larger than the reserve, and no checkpoint of it was due while there was plenty of room.
#[test]
fn retention_gives_a_full_disk_room_again_though_no_checkpoint_was_written_before() {
    with_own_mounts("full::retention_gives_a_full_disk_room_again_though_no_checkpoint_was_written_before", async {
        let retention = format!("{RESERVE}checkpoint_bytes = 1073741824\nretention_bytes = 2097152\n");
        let home = Home::new().with_limits("dedupe_window_ms = 1000\n").with_limits(&retention).with_shards(1);
        let mut disk = SmallDisk::mount(&home);
        (0..2).for_each(|_| disk.make_room());
        let server = home.start();
        let members: Vec<String> = (0..5_000).map(|number| format!("member-of-the-crowd-{number}")).collect();
        let crowd = json!({"id": "crowd", "owner": members[0], "members": members}).to_string();
        crate::common::wait_for("the group", || {
            (home.api().ask("POST", "/v1/groups", &crowd).status < 300).then_some(())
        });
        let mut ledger = Ledger::default();
        let mut alice = server.binary("alice").await;
        let (mut taken_bytes, mut since) = (0, Instant::now());
        while taken_bytes < (DISK_KIB << 10) * 3 / 2 {
            if ledger.send(&mut alice, "bob", LARGE).await {
                (taken_bytes, since) = (taken_bytes + LARGE, Instant::now());
            } else {
                assert!(since.elapsed() < SOON, "{taken_bytes} bytes are taken, and then no more");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert!(!server.errors().contains("a checkpoint could not be written"), "{}", server.errors());
        stop(server);
    });
}
