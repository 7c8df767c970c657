//! `mushan log` on the directories of real servers: what it says of sound, torn and damaged logs, and that it touches
//! nothing.

use crate::common::{Home, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;

const CONTENT: &[u8] = b"a needle in a log";
const MESSAGES: usize = 20;

/// Sends from alice, who is on shard 1 of 2, to bob, who is on shard 0.
async fn converse(home: &Home) {
    let server = home.start();
    let mut alice = server.binary("alice").await;
    for number in 0..MESSAGES {
        alice.send("bob", &format!("id-{number}"), CONTENT).await;
    }
    assert_eq!(server.stop().status.code(), Some(0));
}

fn log(home: &Home, arguments: &[&str]) -> Output {
    home.run(&[&["log"], arguments].concat())
}

fn json_lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Every file of every log, byte for byte.
fn bytes_of(home: &Home) -> BTreeMap<PathBuf, Vec<u8>> {
    let shards = [0, 1].map(|shard| home.data_dir().join(format!("shard-{shard:03}")));
    let files = shards.iter().flat_map(|shard| std::fs::read_dir(shard).expect("a shard's directory"));
    files
        .map(|file| {
            let path = file.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a segment");
            (path, bytes)
        })
        .collect()
}

#[tokio::test]
async fn sound_logs_are_called_sound_counted_and_dumped_and_left_alone() {
    let home = Home::new();
    converse(&home).await;
    let before = bytes_of(&home);

    let verified = log(&home, &["verify", "--json"]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stderr));
    let verdicts = json_lines(&verified);
    assert_eq!(verdicts.len(), 2);
    let run = &verdicts[0]["epoch"];
    assert!(run.as_u64().is_some_and(|number| number > 0));
    assert!(verdicts.iter().all(|it| it["damage"].is_null() && it["tail_bytes"] == 0 && it["epoch"] == *run));

    let stats = json_lines(&log(&home, &["stats", "--json"]));
    let sum = |key: &str| stats.iter().map(|it| it[key].as_u64().expect("a number")).sum::<u64>();
    assert_eq!(sum("posted"), MESSAGES as u64, "alice's shard owns the conversation");
    assert_eq!(sum("delivered"), MESSAGES as u64, "and bob's takes what it is owed");
    assert_eq!((sum("inbox_entries"), sum("users")), (2 * MESSAGES as u64, 2));

    let dumped = json_lines(&log(&home, &["dump", "--user", "bob"]));
    assert_eq!(dumped.iter().filter(|it| it["kind"] == "posted").count(), MESSAGES);
    let is_secret = |it: &Value| it["record"]["message"]["content"].is_null();
    assert!(dumped.iter().all(is_secret), "contents are not shown unasked");
    let shown = json_lines(&log(&home, &["dump", "--user", "bob", "--content"]));
    assert!(shown.iter().any(|it| it["record"]["message"]["content"] == "YSBuZWVkbGUgaW4gYSBsb2c="));

    assert_eq!(bytes_of(&home), before, "nothing was changed");
}

#[tokio::test]
async fn a_running_servers_logs_are_not_looked_into() {
    let home = Home::new();
    let _server = home.start();
    let refused = log(&home, &["verify"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is in use by a running mushan"));
}

#[tokio::test]
async fn a_flipped_bit_in_acknowledged_data_is_found_and_no_server_starts_on_it() {
    let home = Home::new();
    // A server that stops marks its whole log durable.
    converse(&home).await;
    let path = home.data_dir().join("shard-000").join("00000001.log");
    let mut bytes = std::fs::read(&path).expect("a segment");
    let at = bytes.windows(CONTENT.len()).position(|window| window == CONTENT).expect("the needle");
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).expect("written back");

    let verified = log(&home, &["verify"]);
    assert_eq!(verified.status.code(), Some(3));
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(
        said.contains("shard 0: DAMAGED") && said.contains("segment 1") && said.contains("shard 1: sound"),
        "{said}"
    );

    let refused = run(home.serve("127.0.0.1:0"));
    assert_eq!(refused.status.code(), Some(3));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("damaged") && why.contains("mushan log verify"), "{why}");

    // What they print is right and not all there is: they say so.
    let stats = log(&home, &["stats", "--json"]);
    let told = json_lines(&stats);
    assert!(told[0]["damage"].as_str().is_some_and(|it| it.contains("segment 1")) && told[1]["damage"].is_null());
    for output in [stats, log(&home, &["dump"])] {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(3) && why.contains("ends there") && !output.stdout.is_empty(), "{why}");
    }
}

#[tokio::test]
async fn a_log_of_another_version_is_called_so_and_nobody_is_told_to_repair_it() {
    let home = Home::new();
    converse(&home).await;
    let path = home.data_dir().join("shard-000").join("00000001.log");
    let mut bytes = std::fs::read(&path).expect("a segment");
    bytes[8..10].copy_from_slice(&9_u16.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&path, &bytes).expect("written back");

    let verified = log(&home, &["verify", "--json"]);
    let verdicts = json_lines(&verified);
    let why = verdicts[0]["other_version"].as_str().expect("a reason");
    assert!(why.contains("segment 1 has format version 9") && verdicts[0]["damage"].is_null(), "{why}");
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let [serve, repair] = [run(home.serve("127.0.0.1:0")), log(&home, &["repair"])];
    for output in [verified, serve, repair] {
        let why = said(&output);
        assert!(output.status.code() == Some(3) && !why.contains("mushan log repair"), "{why}");
    }
    assert!(said(&log(&home, &["repair"])).contains("with the version of mushan that wrote it"));
}

#[test]
fn what_is_no_data_directory_is_said_to_be_none() {
    let home = Home::new();
    let refused = log(&home, &["stats"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!home.data_dir().exists(), "and none is made");
}
