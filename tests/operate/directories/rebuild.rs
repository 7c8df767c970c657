//! `mushan reshard` and `mushan log repair` on the directories of real servers.

use crate::common::binary::BinaryClient;
use crate::common::rpc::{RpcClient, inbox_seq};
use crate::common::{Home, mushan, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first and the third write in the binary protocol, the others in JSON-RPC.
const USERS: [&str; 4] = ["alice", "bob", "carol", "小明"];
const PERMISSION_DENIED: i64 = 102;
/// Small segments, checkpoints and retention, as far as tests can wait for them.
const RETENTION: &str = "
[server]
segment_bytes = 65536
[log]
checkpoint_bytes = 65536
retention_bytes = 262144
[limits]
content_bytes_max = 8192
extra_bytes_max = 1024
dedupe_window_ms = 1000
sends_per_second = 1000000
sends_burst = 1000000
";

/// Seq, message id and client id of each entry.
type Inbox = Vec<(i64, String, String)>;

/// Everybody writes to everybody.
async fn talk(home: &Home, round: usize) {
    let server = home.start();
    for (at, author) in USERS.iter().enumerate() {
        let token = home.token(author);
        let said = |peer: &str| (format!("{round}-{author}-{peer}"), format!("{round}: {author}, {peer}"));
        if at % 2 == 0 {
            let (mut client, _) = BinaryClient::login(server.address, author, &token).await;
            for peer in USERS {
                let (id, text) = said(peer);
                client.send(peer, &id, json!({"type": 1, "content": text}).to_string().as_bytes()).await;
            }
        } else {
            let mut client = RpcClient::login(server.address, "/rpc", author, &token).await;
            for peer in USERS {
                let (id, text) = said(peer);
                let answer = client.send(peer, &id, json!({"type": 1, "content": text})).await;
                assert_eq!(answer["error"], Value::Null, "{answer}");
            }
        }
    }
    assert_eq!(server.stop().status.code(), Some(0));
}

/// What everybody sees, which is the same in both protocols.
async fn inboxes(home: &Home) -> Vec<Inbox> {
    let server = home.start();
    let mut inboxes = Vec::new();
    for user in USERS {
        let token = home.token(user);
        let (mut client, _) = BinaryClient::login(server.address, user, &token).await;
        let mut binary = Inbox::new();
        loop {
            let page = client.sync(binary.last().map_or(0, |it| it.0), 1000).await;
            let entries = page.list("messages");
            binary.extend(entries.iter().map(|it| (it.number("seq"), it.text("message_id"), it.text("client_msg_id"))));
            if !page.flag("has_more") {
                break;
            }
        }
        let mut client = RpcClient::login(server.address, "/rpc", user, &token).await;
        let mut other = Inbox::new();
        loop {
            let page = client.call("sync", json!({"maxSeq": other.last().map_or(0, |it| it.0), "limit": 1000})).await;
            let entries = page["result"]["messages"].as_array().expect("a page");
            let text = |it: &Value, key: &str| it[key].as_str().expect("a text").to_owned();
            other.extend(entries.iter().map(|it| (inbox_seq(it), text(it, "messageId"), text(it, "clientMsgNo"))));
            if page["result"]["hasMore"] == false {
                break;
            }
        }
        assert_eq!(other, binary, "{user} sees the same in both protocols");
        inboxes.push(binary);
    }
    assert_eq!(server.stop().status.code(), Some(0));
    inboxes
}

/// Flips a bit of a content in a shard's log.
fn damage(home: &Home, shard: u16, needle: &str) -> Vec<u8> {
    let path = segment(home, shard, 1);
    let mut bytes = std::fs::read(&path).expect("a segment");
    let at = bytes.windows(needle.len()).position(|it| it == needle.as_bytes()).expect("the needle");
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).expect("written back");
    bytes[at..at + needle.len()].to_vec()
}

fn segment(home: &Home, shard: u16, number: u32) -> PathBuf {
    home.data_dir().join(format!("shard-{shard:03}/{number:08}.log"))
}

/// One object for each line.
fn verified(home: &Home) -> (Option<i32>, Vec<Value>) {
    let output = home.run(&["log", "verify", "--json"]);
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn tool(home: &Home, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let output = home.run(&[arguments, &["--json"]].concat());
    let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code(), told, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn a_directory_of_two_shards_becomes_one_of_three_and_of_one_and_everything_is_there_and_goes_on() {
    let mut home = Home::new();
    talk(&home, 0).await;
    let mut before = inboxes(&home).await;
    for (round, shards) in [(1, "3"), (2, "1")] {
        let (status, told, why) = tool(&home, &["reshard", "--shards", shards]);
        assert_eq!(status, Some(0), "{why}");
        let old = told["old"].as_str().expect("a path");
        assert!(std::path::Path::new(old).join("manifest.toml").exists(), "the old directory stays");
        home = home.with_shards(shards.parse().expect("a number"));
        assert!(inboxes(&home).await == before, "{shards} shards");
        talk(&home, round).await;
        let after = inboxes(&home).await;
        assert!(
            after.iter().zip(&before).all(|(after, before)| after.starts_with(before) && after.len() > before.len())
        );
        before = after;
    }
    let (status, told, _) = tool(&home, &["reshard", "--shards", "1"]);
    assert_eq!((status, &told["old"]), (Some(0), &Value::Null), "nothing to do");
}

/// The group as the operator sees it, bob's list with what is unread, and how many of carol's and of alice's sends to
/// bob are taken.
async fn group_and_blocks(home: &Home, round: usize) -> (Value, Value, [i64; 2]) {
    let server = home.start();
    let group = home.api().get("/v1/groups/team").json();
    let mut bob = server.rpc("bob").await;
    let list = bob.result("conversations", json!({})).await;
    let mut codes = [0; 2];
    for (code, author) in codes.iter_mut().zip(["carol", "alice"]) {
        let mut client = server.binary(author).await;
        let sent = match author {
            "carol" => client.send("bob", &format!("blocked {round}"), b"{}").await,
            _ => client.send_to_group("team", "once", b"{}").await,
        };
        *code = sent.number("error_code");
    }
    assert_eq!(server.stop().status.code(), Some(0));
    (group, list, codes)
}

#[tokio::test]
async fn a_group_with_its_roles_what_is_unread_and_who_is_blocked_come_through_a_reshard() {
    let mut home = Home::new();
    let (server, api) = home.start_with_api();
    let asked = [
        api.ask("POST", "/v1/groups", r#"{"id":"team","owner":"alice","members":["bob","carol","dave"]}"#),
        api.ask("PUT", "/v1/groups/team/members/carol", r#"{"role":"admin","muted_until":0}"#),
        api.ask("POST", "/v1/groups/team/members", r#"{"remove":["dave"]}"#),
        api.ask("PUT", "/v1/users/bob/blocks/carol", ""),
    ];
    assert!(asked.iter().all(|answer| answer.status < 300), "{asked:?}");
    let mut alice = server.binary("alice").await;
    for id in ["once", "twice", "three times"] {
        assert_eq!(alice.send_to_group("team", id, b"{}").await.number("error_code"), 0);
    }
    drop(alice);
    assert_eq!(server.stop().status.code(), Some(0));
    let before = group_and_blocks(&home, 0).await;
    assert_eq!((before.0["members"].as_array().map(Vec::len), before.2), (Some(3), [PERMISSION_DENIED, 0]));
    for shards in [3, 1] {
        let (status, _, why) = tool(&home, &["reshard", "--shards", &shards.to_string()]);
        assert_eq!(status, Some(0), "{why}");
        home = home.with_shards(shards);
        assert_eq!(group_and_blocks(&home, usize::from(shards)).await, before, "{shards} shards");
    }
}

#[tokio::test]
async fn a_damaged_directory_is_repaired_and_says_who_lost_what() {
    let home = Home::new();
    talk(&home, 0).await;
    let before = inboxes(&home).await;
    let garbled = damage(&home, 1, "0: alice, alice");

    let refused = run(home.serve("127.0.0.1:0"));
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("mushan log repair"));
    let (status, told, _) = tool(&home, &["log", "repair", "--dry-run"]);
    assert_eq!((status, told["lost"][0]["user"].as_str()), (Some(3), Some("alice")));
    let (status, told, why) = tool(&home, &["log", "repair"]);
    assert_eq!(status, Some(0), "{why}");
    let lost = told["lost"].as_array().expect("a list");
    assert_eq!(lost.len(), 1, "{told}");
    let cut = std::path::Path::new(told["cut_bytes_are_in"].as_str().expect("a path")).join("000000.bin");
    assert!(std::fs::read(cut).expect("kept").windows(garbled.len()).any(|it| it == garbled));

    let (seq, after) = (lost[0]["from"].as_i64().expect("a seq"), inboxes(&home).await);
    assert_eq!(after[1..], before[1..]);
    let expected: Inbox = before[0].iter().filter(|it| it.0 != seq).cloned().collect();
    assert!(after[0] == expected && expected.len() + 1 == before[0].len());
    let (status, told, _) = tool(&home, &["log", "repair"]);
    assert_eq!((status, told["lost"].as_array().map(Vec::len)), (Some(0), Some(0)));
    let (status, verdicts) = verified(&home);
    assert_eq!(status, Some(0), "what a repair has noted is no damage");
    assert_eq!(verdicts[1]["known_gaps"], json!([{"user": "alice", "from": seq, "through": seq}]));
}

#[tokio::test]
async fn what_another_shard_still_has_of_a_damaged_one_comes_back_where_it_was() {
    let home = Home::new();
    talk(&home, 0).await;
    let before = inboxes(&home).await;
    // The conversations of alice, who is on shard 1, are ordered there, and bob's shard has what was delivered.
    damage(&home, 0, "0: alice, bob");
    damage(&home, 1, "0: bob, alice");
    let (status, told, why) = tool(&home, &["log", "repair"]);
    assert_eq!((status, &told["lost"]), (Some(0), &json!([])), "{why}");
    let back = |user| json!({"user": user, "at_old_seqs": 1, "at_new_seqs": 0});
    assert_eq!(told["restored"], json!([back("alice"), back("bob")]));
    assert_eq!(inboxes(&home).await, before);
    let (status, _, why) = tool(&home, &["reshard", "--shards", "3"]);
    assert_eq!(status, Some(0), "{why}");
    let home = home.with_shards(3);
    assert_eq!(inboxes(&home).await, before);
    talk(&home, 1).await;
    let after = inboxes(&home).await;
    assert!(after.iter().zip(&before).all(|(after, before)| after.starts_with(before) && after.len() > before.len()));
}

/// Talks until segments are dropped, with checkpoints all along.
async fn talk_past_retention(home: &Home) {
    let server = home.start();
    let mut alice = server.binary("alice").await;
    let mut bob = server.rpc("bob").await;
    let content = json!({"type": 1, "content": "x".repeat(4_000)});
    let is_dropped = || !segment(home, 0, 1).exists() && !segment(home, 1, 1).exists();
    let mut number = 0;
    // Each checkpoint covers what was closed by then; the second one lets segments go.
    while number < 120 || !is_dropped() {
        alice.send("bob", &format!("a{number}"), content.to_string().as_bytes()).await;
        bob.send("alice", &format!("b{number}"), content.clone()).await;
        number += 1;
        assert!(number < 3_000, "retention drops nothing");
        if number > 120 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    alice.send("bob", "the last", content.to_string().as_bytes()).await;
    assert_eq!(server.stop().status.code(), Some(0));
}

#[tokio::test]
async fn a_directory_with_dropped_segments_is_resharded_and_repaired_and_verified() {
    let home = Home::new().with_config(RETENTION);
    talk_past_retention(&home).await;
    // No later server drops more.
    let home = home.with_config(&RETENTION.replace("retention_bytes = 262144\n", ""));
    assert_eq!(verified(&home).0, Some(0));
    let before = inboxes(&home).await;
    assert!(before[0][0].0 > 1 && before[1][0].0 > 1, "the oldest entries are gone");
    let (status, _, why) = tool(&home, &["reshard", "--shards", "1"]);
    assert_eq!(status, Some(0), "{why}");
    let (status, verdicts) = verified(&home);
    assert_eq!(status, Some(0), "{verdicts:?}");
    let through = |user: usize| before[user][0].0 - 1;
    let gap = |user: usize| json!({"user": USERS[user], "from": 1, "through": through(user)});
    assert_eq!(verdicts[0]["known_gaps"], json!([gap(0), gap(1)]), "what retention dropped is told and is no damage");
    let home = home.with_shards(1);
    assert_eq!(inboxes(&home).await, before);

    let missing = segment(&home, 0, 2);
    std::fs::remove_file(&missing).expect("there");
    let (status, verdicts) = verified(&home);
    assert!(
        status == Some(3) && verdicts[0]["damage"].as_str().is_some_and(|it| it.contains("00000002.log is missing"))
    );
    let refused = run(home.serve("127.0.0.1:0"));
    assert_eq!(refused.status.code(), Some(3));
    let (status, told, why) = tool(&home, &["log", "repair"]);
    assert_eq!(status, Some(0), "{why}");
    assert_eq!(told["faults"][0]["what"], "segment 2 is missing");
    let is_lost = |user: &str, seq: i64| {
        let mut lost = told["lost"].as_array().expect("a list").iter();
        lost.any(|it| it["user"] == user && (it["from"].as_i64()..=it["through"].as_i64()).contains(&Some(seq)))
    };
    let after = inboxes(&home).await;
    for (at, user) in USERS.iter().enumerate() {
        let left: Inbox = before[at].iter().filter(|it| !is_lost(user, it.0)).cloned().collect();
        assert!(after[at].starts_with(&left), "what {user} is said to have lost is gone, and nothing else");
        // Even where retention had dropped this side of it.
        let is_back = |it: &(i64, String, String)| before.iter().flatten().any(|old| old.1 == it.1);
        assert!(after[at][left.len()..].iter().all(is_back), "the other side had it still");
    }
    assert_ne!(told["lost"], json!([]));
    assert_eq!(verified(&home).0, Some(0));
}

/// Whether it came to its end by itself.
fn killed_after(home: &Home, shards: &str, after: Duration) -> bool {
    let mut command = mushan();
    command.args(["reshard", "--json", "--shards", shards, "--data-dir"]).arg(home.data_dir());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("the binary can be run");
    std::thread::sleep(after);
    child.kill().expect("our own child");
    child.wait().expect("our own child").success()
}

/// Every step is stopped at in `src/server/offline/rebuild_tests.rs`; here the process is really gone.
#[tokio::test]
async fn a_reshard_that_is_killed_leaves_a_directory_that_a_server_starts_on_with_all_there_was() {
    let mut home = Home::new();
    talk(&home, 0).await;
    let before = inboxes(&home).await;
    let mut killed = 0;
    for (round, after_ms) in [2, 6, 12, 20, 30, 45, 70, 110].into_iter().enumerate() {
        let wanted = 2 + round as u16 % 2;
        killed += usize::from(!killed_after(&home, &wanted.to_string(), Duration::from_millis(after_ms)));
        let shards = shards_of(&home.data_dir());
        home = home.with_shards(shards);
        assert_eq!(inboxes(&home).await, before, "killed after {after_ms} ms");
    }
    assert!(killed > 1, "{killed} of 8 were killed before their end");
}

/// By the manifest; a killed reshard may have left none until somebody sees to it.
fn shards_of(data_dir: &Path) -> u16 {
    let new = data_dir.with_extension("new-rebuild");
    let directory = if data_dir.exists() { data_dir } else { &new };
    let manifest = std::fs::read_to_string(directory.join("manifest.toml")).expect("a manifest");
    let line = manifest.lines().find_map(|line| line.strip_prefix("shards = "));
    line.and_then(|number| number.parse().ok()).expect("a number of shards")
}

#[test]
fn what_is_no_data_directory_is_said_to_be_none() {
    let (status, _, why) = tool(&Home::new(), &["reshard", "--shards", "2"]);
    assert_eq!(status, Some(1), "{why}");
}
