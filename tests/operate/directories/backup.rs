//! `mushan backup` of a server under load, and `mushan restore`: what was acknowledged before a backup began is in it,
//! in both inboxes, exactly once, and the shards' logs agree with each other. What is not whole is refused and named.

use crate::common::binary::{BinaryClient, SUCCESS};
use crate::common::binary_fields::Fields;
use crate::common::rpc::RpcClient;
use crate::common::{Home, PATIENCE, Server, mushan, run};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::rc::Rc;
use std::time::Duration;

const USERS: usize = 8;
const BACKUPS: usize = 4;
/// Messages acknowledged between two backups.
const BETWEEN: usize = 400;
/// So that segments of 1 MiB are left behind.
const CONTENT_BYTES: usize = 1_000;

/// A message as its author knows it; its client id says from whom to whom it went.
#[derive(Clone, Debug)]
struct Acknowledged {
    client_id: String,
    message_id: String,
}

enum Client {
    Binary(BinaryClient),
    JsonRpc(RpcClient),
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

/// Author and recipient of a client id.
fn parties(client_id: &str) -> [String; 2] {
    let numbers: Vec<usize> = client_id.split('-').map(|number| number.parse().expect("our own client id")).collect();
    [name(numbers[0]), name(numbers[1])]
}

impl Client {
    /// Even users speak the binary protocol.
    async fn login(server: &Server, user: usize, token: &str) -> Self {
        if user.is_multiple_of(2) {
            Self::Binary(BinaryClient::login(server.address, &name(user), token).await.0)
        } else {
            Self::JsonRpc(RpcClient::login(server.address, "/rpc", &name(user), token).await)
        }
    }

    /// Sends a message and waits for its id.
    async fn send(&mut self, client_id: &str) -> String {
        let [_, to] = parties(client_id);
        let content = "x".repeat(CONTENT_BYTES);
        match self {
            Self::Binary(client) => {
                let answer = client.send(&to, client_id, content.as_bytes()).await;
                assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
                answer.text("message_id")
            }
            Self::JsonRpc(client) => {
                let answer = client.send(&to, client_id, json!({"type": 1, "content": content})).await;
                answer["result"]["messageId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
            }
        }
    }

    /// Message id by client id. There is no hole, and nothing is there twice.
    async fn inbox(&mut self, user: usize) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned();
        let entries: Vec<(String, String)> = match self {
            Self::Binary(client) => {
                let inbox = client.inbox().await;
                inbox.iter().map(|entry| (entry.text("client_msg_id"), entry.text("message_id"))).collect()
            }
            Self::JsonRpc(client) => {
                let inbox = client.inbox().await;
                inbox.iter().map(|entry| (text(&entry["clientMsgNo"]), text(&entry["messageId"]))).collect()
            }
        };
        let mut seen = BTreeMap::new();
        for (client_id, message_id) in entries {
            let twice = seen.insert(client_id, message_id);
            assert_eq!(twice, None, "{} has a message twice", name(user));
        }
        seen
    }
}

fn backup(data_dir: &Path, target: &Path) -> Output {
    let mut command = mushan();
    command.arg("backup").arg("--json").arg("--data-dir").arg(data_dir).arg("--to").arg(target);
    run(command)
}

fn restore(backup: &Path, data_dir: &Path) -> Output {
    let mut command = mushan();
    command.arg("restore").arg("--json").arg("--from").arg(backup).arg("--data-dir").arg(data_dir);
    run(command)
}

fn errors_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one JSON object that a command printed before it ended well.
fn report_of(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", errors_of(output));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// Beside the data directory, in the same temporary directory.
fn beside(home: &Home, name: &str) -> PathBuf {
    home.data_dir().with_file_name(name)
}

/// Sends to everybody in turn, oneself included, until told to stop.
async fn talk(mut client: Client, me: usize, ledger: Rc<RefCell<Vec<Acknowledged>>>, is_over: Rc<Cell<bool>>) {
    for number in 0.. {
        let client_id = format!("{me}-{}-{number}", (me + number) % USERS);
        let message_id = client.send(&client_id).await;
        ledger.borrow_mut().push(Acknowledged { client_id, message_id });
        if is_over.get() {
            return;
        }
    }
}

/// Takes backups of a server under load; each with what had been acknowledged when it began.
async fn backups_under_load(home: &Home, server: &Server) -> Vec<(PathBuf, Vec<Acknowledged>)> {
    let ledger: Rc<RefCell<Vec<Acknowledged>>> = Rc::default();
    let is_over = Rc::new(Cell::new(false));
    let mut tasks = Vec::new();
    for user in 0..USERS {
        let client = Client::login(server, user, &home.token(&name(user))).await;
        tasks.push(tokio::task::spawn_local(talk(client, user, Rc::clone(&ledger), Rc::clone(&is_over))));
    }
    let mut taken = Vec::new();
    let mut held_back = 0;
    for number in 0..BACKUPS {
        let enough = ledger.borrow().len() + BETWEEN;
        let more = async {
            while ledger.borrow().len() < enough {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, more).await.expect("the load goes on");
        let before = ledger.borrow().clone();
        let (data_dir, target) = (home.data_dir(), beside(home, &format!("backup-{number}")));
        let (from, to) = (data_dir, target.clone());
        let output = tokio::task::spawn_blocking(move || backup(&from, &to)).await.expect("no panic");
        let report = report_of(&output);
        let shards = report["shards"].as_array().expect("one object per shard").clone();
        held_back += shards.iter().filter(|shard| shard["is_held_back"] == true).count();
        taken.push((target, before));
    }
    is_over.set(true);
    for task in tasks {
        task.await.expect("no panic");
    }
    println!("{} messages, {held_back} of {} logs held back", ledger.borrow().len(), 2 * BACKUPS);
    taken
}

/// Restores a backup, starts a server on it, and reads everybody's inbox.
async fn check_restored(home: &Home, backup: &Path, acknowledged: &[Acknowledged]) {
    let other = Home::new();
    report_of(&restore(backup, &other.data_dir()));
    let mut verify = mushan();
    verify.args(["log", "verify", "--json", "--data-dir"]).arg(other.data_dir());
    let verified = run(verify);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));

    let server = other.start();
    let mut inboxes = BTreeMap::new();
    for user in 0..USERS {
        // The secret came along: old tokens are good.
        let mut client = Client::login(&server, user, &home.token(&name(user))).await;
        inboxes.insert(name(user), client.inbox(user).await);
    }
    for Acknowledged { client_id, message_id } in acknowledged {
        for party in parties(client_id) {
            assert_eq!(inboxes[&party].get(client_id), Some(message_id), "{client_id} in the inbox of {party}");
        }
    }
    for (client_id, message_id) in inboxes.values().flatten() {
        for party in parties(client_id) {
            assert_eq!(inboxes[&party].get(client_id), Some(message_id), "{client_id} is in one inbox of two");
        }
    }
    // A retry still finds the first message, and the conversation goes on.
    let known = acknowledged.last().expect("some");
    let [author, _] = parties(&known.client_id);
    let author = (0..USERS).find(|user| name(*user) == author).expect("one of ours");
    let mut client = Client::login(&server, author, &home.token(&name(author))).await;
    assert_eq!(client.send(&known.client_id).await, known.message_id);
    let before = client.inbox(author).await.len();
    client.send(&format!("{author}-{}-999999999", (author + 1) % USERS)).await;
    assert_eq!(client.inbox(author).await.len(), before + 1);
    assert!(server.stop().status.success());
}

#[tokio::test]
async fn what_was_acknowledged_before_a_backup_began_is_restored_exactly_once() {
    let home = Home::new();
    let server = home.start();
    let taken = tokio::task::LocalSet::new().run_until(backups_under_load(&home, &server)).await;
    assert!(server.stop().status.success());
    for (backup, acknowledged) in taken {
        check_restored(&home, &backup, &acknowledged).await;
    }
}

/// A stopped server's directory with a few messages across both shards, and a backup of it.
async fn small_backup(home: &Home) -> PathBuf {
    let server = home.start();
    for author in 0..USERS {
        let mut client = Client::login(&server, author, &home.token(&name(author))).await;
        client.send(&format!("{author}-{}-0", (author + 1) % USERS)).await;
    }
    assert!(server.stop().status.success());
    let target = beside(home, "backup");
    report_of(&backup(&home.data_dir(), &target));
    target
}

/// Every file below a directory, by name.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_stopped_servers_directory_comes_back_as_it_was_and_only_its_owner_may_read_it() {
    let home = Home::new();
    let backup = small_backup(&home).await;
    let restored = beside(&home, "restored");
    let report = report_of(&restore(&backup, &restored));
    assert_eq!((report["shards"].as_u64(), report["records"].as_u64().map(|it| it > 8)), (Some(2), Some(true)));
    for copy in [&backup, &restored] {
        let bytes = |directory: &Path, name| std::fs::read(directory.join(name)).expect("a file");
        for name in ["token-secret", "admin-token", "read-token", "shard-000/00000001.log", "shard-001/00000001.log"] {
            assert!(bytes(copy, name) == bytes(&home.data_dir(), name), "{name} in {}", copy.display());
        }
        let manifest = |directory: &Path| {
            let text = String::from_utf8(bytes(directory, "manifest.toml")).expect("text");
            let is_changed = |line: &&str| ["inbox_epoch", "crc"].iter().any(|key| line.starts_with(key));
            text.lines().filter(|line| !is_changed(line)).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(manifest(copy), manifest(&home.data_dir()));
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!([mode(copy), mode(&copy.join("shard-000"))], [0o700; 2]);
        assert!(files_below(copy).iter().all(|file| mode(file) == 0o600));
    }
    assert!(!restored.join("backup.toml").exists(), "a data directory is no backup");
}

#[tokio::test]
async fn whichever_byte_of_a_backup_is_flipped_the_file_is_named_and_nothing_is_left_behind() {
    let home = Home::new();
    let backup = small_backup(&home).await;
    let files = files_below(&backup);
    assert_eq!(files.len(), 8, "{files:?}");
    for path in files {
        let sound = std::fs::read(&path).expect("a file");
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        for at in [0, sound.len() / 2, sound.len() - 1] {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).expect("written");
            let refused = restore(&backup, &beside(&home, "restored"));
            assert_eq!(refused.status.code(), Some(3), "{name} at {at}: {}", errors_of(&refused));
            assert!(errors_of(&refused).contains(&name), "{}", errors_of(&refused));
            assert!(!beside(&home, "restored").exists());
        }
        std::fs::write(&path, &sound[1..]).expect("written");
        let refused = restore(&backup, &beside(&home, "restored"));
        assert!(refused.status.code() == Some(3) && errors_of(&refused).contains(&name), "{}", errors_of(&refused));
        std::fs::remove_file(&path).expect("removed");
        let refused = restore(&backup, &beside(&home, "restored"));
        assert!(refused.status.code() == Some(3) && errors_of(&refused).contains(&name), "{}", errors_of(&refused));
        assert!(!beside(&home, "restored").exists());
        std::fs::write(&path, &sound).expect("written");
    }
    report_of(&restore(&backup, &beside(&home, "restored")));
}

#[tokio::test]
async fn a_directory_that_holds_anything_is_neither_restored_into_nor_backed_up_into() {
    let home = Home::new();
    let source = small_backup(&home).await;
    let taken = beside(&home, "taken");
    std::fs::create_dir(&taken).expect("made");
    std::fs::write(taken.join("mine"), "mine").expect("written");
    let before = files_below(&home.data_dir());
    for refused in [restore(&source, &taken), restore(&source, &home.data_dir()), backup(&home.data_dir(), &taken)] {
        assert_eq!(refused.status.code(), Some(1), "{}", errors_of(&refused));
        assert!(errors_of(&refused).contains("is not empty"), "{}", errors_of(&refused));
    }
    assert_eq!((files_below(&taken), files_below(&home.data_dir())), (vec![taken.join("mine")], before));
    std::fs::remove_file(taken.join("mine")).expect("removed");
    report_of(&restore(&source, &taken));
}

#[tokio::test]
async fn acknowledged_data_that_is_damaged_is_not_backed_up_as_if_it_were_sound() {
    let home = Home::new();
    small_backup(&home).await;
    let path = home.data_dir().join("shard-000").join("00000001.log");
    let mut bytes = std::fs::read(&path).expect("a segment");
    let at = bytes.windows(20).position(|window| window == [b'x'; 20]).expect("a content");
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).expect("written back");
    let target = beside(&home, "another");
    let refused = backup(&home.data_dir(), &target);
    assert_eq!(refused.status.code(), Some(3), "{}", errors_of(&refused));
    assert!(errors_of(&refused).contains("shard-000") && errors_of(&refused).contains("damaged"));
    assert!(!target.exists());
}

/// A log whose oldest segments are gone, as soon as retention can drop any.
const FORGETFUL: &str = "
content_bytes_max = 8192
extra_bytes_max = 1024
dedupe_window_ms = 1000
[log]
checkpoint_bytes = 65536
retention_bytes = 131072
";

#[tokio::test]
async fn a_log_that_retention_has_shortened_comes_back_with_the_checkpoint_that_it_needs() {
    let home = Home::new().with_shards(1).with_segment_bytes(65_536).with_limits(FORGETFUL);
    let server = home.start();
    let mut client = Client::login(&server, 0, &home.token(&name(0))).await;
    let first = home.data_dir().join("shard-000/00000001.log");
    let (mut newest, mut sent) = (None, 0);
    let until_dropped = async {
        for number in 0.. {
            newest = Some(client.send(&format!("0-1-{number}")).await);
            sent += 1;
            if !first.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, until_dropped).await.expect("retention drops segments");
    let target = beside(&home, "backup");
    report_of(&backup(&home.data_dir(), &target));
    assert!(server.stop().status.success());
    assert!(!target.join("shard-000/00000001.log").exists());

    let other = Home::new().with_shards(1).with_segment_bytes(65_536).with_limits(FORGETFUL);
    report_of(&restore(&target, &other.data_dir()));
    let server = other.start();
    let newest = newest.expect("something was sent");
    for user in ["user-0", "user-1"] {
        let mut client = server.binary(user).await;
        let mut entries = Vec::new();
        loop {
            let after = entries.last().map_or(0, |entry: &Fields| entry.number("seq"));
            let page = client.sync(after, 1_000).await;
            entries.extend(page.list("messages"));
            if !page.flag("has_more") {
                break;
            }
        }
        // Numbering goes on where the checkpoint says; what stood in the dropped segments is gone.
        let seqs: Vec<i64> = entries.iter().map(|entry| entry.number("seq")).collect();
        assert!(seqs[0] > 1, "{seqs:?}");
        assert_eq!(seqs, (seqs[0]..=sent).collect::<Vec<_>>());
        assert_eq!(entries.last().map(|entry| entry.text("message_id")), Some(newest.clone()));
    }
    assert!(server.stop().status.success());

    // Without a checkpoint nobody could open what is left of the log.
    let is_checkpoint = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "checkpoint");
    for checkpoint in files_below(&home.data_dir()).into_iter().filter(is_checkpoint) {
        std::fs::remove_file(checkpoint).expect("removed");
    }
    let refused = backup(&home.data_dir(), &beside(&home, "another"));
    assert_eq!(refused.status.code(), Some(3), "{}", errors_of(&refused));
    assert!(errors_of(&refused).contains("no sound checkpoint"), "{}", errors_of(&refused));
    assert!(!beside(&home, "another").exists());
}

#[test]
fn what_is_no_data_directory_and_what_is_no_backup_is_said_to_be_none() {
    let home = Home::new();
    let refused = backup(&home.data_dir(), &beside(&home, "backup"));
    assert_eq!(refused.status.code(), Some(1), "{}", errors_of(&refused));
    assert!(!beside(&home, "backup").exists() && !home.data_dir().exists(), "and none is made");
    let refused = restore(&beside(&home, "backup"), &home.data_dir());
    assert_eq!(refused.status.code(), Some(3), "{}", errors_of(&refused));
    assert!(errors_of(&refused).contains("backup.toml"), "{}", errors_of(&refused));
}
