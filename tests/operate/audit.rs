//! `mushan audit` on the directories of real servers: under load, after a kill, after a restart, and on one that was
//! put together from two times.

use crate::common::{Home, Server, mushan, run, wait_for};
use mushan_client::{Client, ClientOptions, Protocol, RefusalKind, Target};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const USERS: usize = 6;
/// Audits of a server at work.
const LIVE_AUDITS: usize = 6;
/// What must have been answered between two of them.
const LOAD: u64 = 300;

fn name(user: usize) -> String {
    format!("user-{user}")
}

fn audit_with(home: &Home, arguments: &[&str]) -> Output {
    home.run(&[&["audit"], arguments].concat())
}

/// What an audit says that finds nothing wrong.
fn expect_sound(home: &Home) -> Value {
    let output = audit_with(home, &["--json"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_str(&said).expect("one JSON object");
    assert_eq!((&object["sound"], &object["violation_count"]), (&json!(true), &json!(0)), "{said}");
    object
}

fn number(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("no {key}: {object}"))
}

/// Users who write to each other in turn, every other one in JSON-RPC, by the client kit.
struct Load {
    answered: Arc<AtomicU64>,
    clients: Vec<Client>,
}

impl Load {
    fn begin(home: &Home, server: &Server) -> Self {
        let answered = Arc::new(AtomicU64::new(0));
        let start = |user: usize| {
            let protocol = if user.is_multiple_of(2) { Protocol::Binary } else { Protocol::JsonRpc };
            let url = format!("ws://{}", server.address);
            let options = ClientOptions::new(url, name(user), home.token(&name(user))).protocol(protocol);
            let (client, events) = Client::connect(options).expect("there is no store");
            // Nobody reads, and everybody writes.
            drop(events);
            tokio::spawn(write(client.clone(), Arc::clone(&answered)));
            client
        };
        Self { clients: (0..USERS).map(start).collect(), answered }
    }

    fn go_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_for("answers under load", || (self.answered.load(Ordering::Relaxed) >= before + LOAD).then_some(()));
    }

    /// What is not answered is not sent again.
    async fn end(self) -> u64 {
        for client in &self.clients {
            client.close().await;
        }
        self.answered.load(Ordering::Relaxed)
    }
}

async fn write(client: Client, answered: Arc<AtomicU64>) {
    for sent in 0.. {
        match client.send_text(&Target::user(name(sent % USERS)), "hello").await {
            Ok(_) => answered.fetch_add(1, Ordering::Relaxed),
            Err(refused) if refused.kind == RefusalKind::Stopped => return,
            Err(refused) => panic!("{refused}"),
        };
    }
}

// The load goes on while this waits for audits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_is_sound_under_load_after_a_kill_and_after_a_restart() {
    let home = Home::new().with_shards(3);
    let server = home.start();
    let load = Load::begin(&home, &server);
    let mut entries = 0;
    for _ in 0..LIVE_AUDITS {
        load.go_on();
        let before = load.answered.load(Ordering::Relaxed);
        let seen = expect_sound(&home);
        // A message to somebody else is an entry of both.
        assert!(number(&seen, "entries") >= before, "all that was answered before is in it: {seen}");
        assert!(number(&seen, "entries") > entries, "it goes on");
        entries = number(&seen, "entries");
    }
    server.kill();
    let answered = load.end().await;
    let killed = expect_sound(&home);
    assert_eq!(number(&killed, "users"), USERS as u64);
    assert!(number(&killed, "client_ids") >= answered, "{killed}");
    assert_eq!(number(&killed, "unread_counts"), (USERS * USERS) as u64, "everybody with everybody");

    let server = home.start();
    let again = wait_for("what was owed to arrive", || {
        let again = expect_sound(&home);
        (number(&again, "deliveries_under_way") == 0).then_some(again)
    });
    assert!(number(&again, "entries") >= number(&killed, "entries"), "{again}");
    let arrived = number(&again, "client_ids") - number(&killed, "client_ids");
    assert!(arrived <= number(&killed, "deliveries_under_way"), "nobody has written: {killed} {again}");
    // Every client id is a message that is an entry of its author and, if that is another, of its peer.
    let to_oneself = number(&again, "client_ids") * 2 - number(&again, "entries");
    assert!(to_oneself * (USERS as u64 - 1) <= number(&again, "client_ids"), "{again}");
    assert!(server.stop().status.success());
    assert_eq!(number(&expect_sound(&home), "entries"), number(&again, "entries"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for file in std::fs::read_dir(from).expect("a shard's directory") {
        let file = file.expect("an entry");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("copied");
    }
}

async fn converse(home: &Home, ids: std::ops::Range<usize>) {
    let server = home.start();
    let mut alice = server.binary("alice").await;
    for id in ids {
        alice.send("bob", &format!("id-{id}"), b"hello").await;
    }
    assert!(server.stop().status.success());
}

#[tokio::test]
async fn a_directory_put_together_from_two_times_is_found_out() {
    let home = Home::new();
    converse(&home, 0..10).await;
    let older = home.data_dir().join("older");
    // Alice is on shard 1 of 2, which orders what she says to bob on shard 0.
    let shard = home.data_dir().join("shard-001");
    copy(&shard, &older);
    converse(&home, 10..20).await;
    expect_sound(&home);
    std::fs::remove_dir_all(&shard).expect("removed");
    copy(&older, &shard);

    let output = audit_with(&home, &["--json"]);
    assert_eq!(output.status.code(), Some(3));
    let object: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(object["sound"], false);
    let violations = object["violations"].as_array().expect("a list");
    let told = |promise: &str| violations.iter().filter(|it| it["promise"] == promise).cloned().collect::<Vec<_>>();
    assert_eq!((told("delivery").len(), told("delivery")[0]["seq"].as_u64()), (1, Some(20)), "{object}");
    let seqs: Vec<u64> = told("order").iter().map(|it| number(it, "seq")).collect();
    assert_eq!(seqs, (11..=20).rev().collect::<Vec<u64>>(), "{object}");
    assert!(told("order").iter().all(|it| it["shard"] == 0 && it["conversation"] == "single_alice_bob"));

    let said = audit_with(&home, &["--user", "bob"]);
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.status.code(), Some(3));
    assert!(text.contains("VIOLATED order: in single_alice_bob at 20 (shard 0, segment 1 offset "), "{text}");
    assert!(text.starts_with("BROKEN: 10 violations"), "{text}");
}

#[tokio::test]
async fn a_directory_rewritten_for_more_shards_is_sound_and_stays_so() {
    let home = Home::new();
    converse(&home, 0..10).await;
    let mut reshard = mushan();
    reshard.arg("reshard").arg("--data-dir").arg(home.data_dir()).args(["--shards", "3"]);
    assert!(run(reshard).status.success());
    assert_eq!(number(&expect_sound(&home), "entries"), 20);
    let home = home.with_shards(3);
    converse(&home, 10..20).await;
    assert_eq!(number(&expect_sound(&home), "entries"), 40);
}

#[tokio::test]
async fn one_user_is_audited_alone_and_nobody_is_made_up() {
    let home = Home::new();
    converse(&home, 0..5).await;
    let bob = audit_with(&home, &["--user", "bob", "--json"]);
    let bob: Value = serde_json::from_slice(&bob.stdout).expect("one JSON object");
    let counts = ["users", "entries", "client_ids", "unread_counts"].map(|key| number(&bob, key));
    assert_eq!(counts, [1, 5, 0, 1], "{bob}");
    let nobody = audit_with(&home, &["--user", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("has no inbox of nobody"));
}

#[test]
fn what_is_no_data_directory_is_not_audited() {
    let home = Home::new();
    assert_eq!(audit_with(&home, &[]).status.code(), Some(1));
    assert!(!home.data_dir().exists(), "and none is made");
}
