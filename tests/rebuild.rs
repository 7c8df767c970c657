//! `mushan reshard` and `mushan log repair` on the directories of real servers.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod common;

use common::binary::BinaryClient;
use common::{Home, mushan, run};
use serde_json::Value;

const USERS: [&str; 4] = ["alice", "bob", "carol", "小明"];

type Inbox = Vec<(i64, String, Vec<u8>)>;

/// Everybody writes to everybody.
async fn talk(home: &Home, round: usize) {
    let server = home.start();
    for author in USERS {
        let (mut client, _) = BinaryClient::login(server.address, author, &home.token(author)).await;
        for peer in USERS {
            client
                .send(peer, &format!("{round}-{author}-{peer}"), format!("{round}: {author}, {peer}").as_bytes())
                .await;
        }
    }
    assert_eq!(server.stop().status.code(), Some(0));
}

async fn inboxes(home: &Home) -> Vec<Inbox> {
    let server = home.start();
    let mut inboxes = Vec::new();
    for user in USERS {
        let (mut client, _) = BinaryClient::login(server.address, user, &home.token(user)).await;
        let entries = client.sync(0, 100).await.list("messages");
        let told = entries.iter().map(|it| (it.number("seq"), it.text("message_id"), it.bytes("content")));
        inboxes.push(told.collect());
    }
    assert_eq!(server.stop().status.code(), Some(0));
    inboxes
}

fn tool(home: &Home, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let mut command = mushan();
    command.args(arguments).arg("--json").arg("--data-dir").arg(home.data_dir());
    let output = run(command);
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

#[tokio::test]
async fn a_damaged_directory_is_repaired_and_says_who_lost_what() {
    let home = Home::new();
    talk(&home, 0).await;
    let before = inboxes(&home).await;
    let path = home.data_dir().join("shard-001").join("00000001.log");
    let mut bytes = std::fs::read(&path).expect("a segment");
    let needle = b"0: alice, alice";
    let at = bytes.windows(needle.len()).position(|it| it == needle).expect("the needle");
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).expect("written back");

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
    let garbled: Vec<u8> = needle.iter().enumerate().map(|(at, it)| it ^ u8::from(at == 0)).collect();
    assert!(std::fs::read(cut).expect("kept").windows(needle.len()).any(|it| it == garbled));

    let (seq, after) = (lost[0]["from"].as_i64().expect("a seq"), inboxes(&home).await);
    assert_eq!(after[1..], before[1..]);
    let expected: Inbox = before[0].iter().filter(|it| it.0 != seq).cloned().collect();
    assert!(after[0] == expected && expected.len() + 1 == before[0].len());
    let (status, told, _) = tool(&home, &["log", "repair"]);
    assert_eq!((status, told["lost"].as_array().map(Vec::len)), (Some(0), Some(0)));
}

#[test]
fn what_is_no_data_directory_is_said_to_be_none() {
    let (status, _, why) = tool(&Home::new(), &["reshard", "--shards", "2"]);
    assert_eq!(status, Some(1), "{why}");
}
