//! The epoch of the inboxes: clients are told another one when seqs may have gone back, and the same one otherwise.

use crate::common::binary::{BinaryClient, SUCCESS};
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, mushan, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// On both shards.
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// As both protocols tell it; under `/wukong` nobody is told.
async fn epoch(home: &Home, server: &Server) -> i64 {
    let token = home.token("alice");
    let mut binary = BinaryClient::connect(server.address).await;
    let told = binary.authenticate("alice", &token).await.number("inbox_epoch");
    let params = json!({"uid": "alice", "token": token});
    let (_client, result) = RpcClient::login_with(server.address, "/rpc", params.clone()).await;
    assert_eq!(result["inboxEpoch"], json!(told));
    let (_client, result) = RpcClient::login_with(server.address, "/wukong", params).await;
    assert_eq!(result["inboxEpoch"], Value::Null);
    assert!((1..1 << 53).contains(&told), "{told}");
    told
}

/// What a server on this directory tells, started for it.
async fn epoch_of(home: &Home) -> i64 {
    let server = home.start();
    let told = epoch(home, &server).await;
    assert!(server.stop().status.success());
    told
}

/// Everybody writes to everybody.
async fn talk(server: &Server, round: usize) {
    for author in USERS {
        let mut client = server.binary(author).await;
        for peer in USERS {
            let answer = client.send(peer, &format!("{round}: {author}, {peer}"), b"content").await;
            assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
        }
    }
}

/// Dave's device, which acknowledges what it is pushed; what that is, by client id.
async fn read_as_dave(server: &Server) -> Vec<String> {
    let mut dave = server.rpc("dave").await;
    let messages = dave.messages_until_now().await;
    for message in &messages {
        dave.result("recvack", json!({"messageId": message["messageId"]})).await;
    }
    messages.iter().map(|message| message["clientMsgNo"].as_str().expect("a text").to_owned()).collect()
}

fn succeed(arguments: &[&str], paths: &[(&str, &Path)]) {
    let mut command = mushan();
    command.args(arguments);
    for (flag, path) in paths {
        command.arg(flag).arg(path);
    }
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().expect("cp").success());
}

fn beside(home: &Home, name: &str) -> PathBuf {
    home.data_dir().with_file_name(name)
}

#[tokio::test]
async fn a_restored_directory_is_in_another_epoch_and_a_restarted_one_in_its_own() {
    let home = Home::new();
    let server = home.start();
    talk(&server, 0).await;
    assert_eq!(read_as_dave(&server).await.len(), 7);
    let (backup, first) = (beside(&home, "backup"), epoch(&home, &server).await);
    succeed(&["backup"], &[("--data-dir", &home.data_dir()), ("--to", &backup)]);
    talk(&server, 1).await;
    assert_eq!(read_as_dave(&server).await.len(), 7);
    server.kill();
    assert_eq!(epoch_of(&home).await, first, "killed and started again");
    assert_eq!(epoch_of(&home).await, first, "stopped and started again");

    let restored = [Home::new(), Home::new()];
    let mut epochs = vec![first];
    for other in &restored {
        succeed(&["restore"], &[("--from", &backup), ("--data-dir", &other.data_dir())]);
        epochs.push(epoch_of(other).await);
        assert_eq!(epoch_of(other).await, epochs[epochs.len() - 1]);
    }
    epochs.sort_unstable();
    epochs.dedup();
    assert_eq!(epochs.len(), 3, "two restores of one backup are two lives");

    // Dave's device had seen as many entries as there will be now.
    let [other, _] = restored;
    let server = other.start();
    talk(&server, 2).await;
    let pushed = read_as_dave(&server).await;
    // Its last acknowledgement may not have been in the log when the backup was taken.
    let new: Vec<&String> = pushed.iter().filter(|id| !id.starts_with("0: ")).collect();
    assert!(new.len() == 7 && new.iter().all(|id| id.starts_with("2: ")), "{pushed:?}");
}

#[tokio::test]
async fn a_start_on_an_older_log_of_one_shard_is_in_another_epoch_once() {
    let home = Home::new();
    let server = home.start();
    talk(&server, 0).await;
    let first = epoch(&home, &server).await;
    assert!(server.stop().status.success());
    let (shard, older) = (home.data_dir().join("shard-001"), beside(&home, "older"));
    copy(&shard, &older);
    let server = home.start();
    talk(&server, 1).await;
    assert!(server.stop().status.success());
    std::fs::remove_dir_all(&shard).expect("removed");
    copy(&older, &shard);
    let second = epoch_of(&home).await;
    assert_ne!(second, first);
    assert_eq!(epoch_of(&home).await, second, "healed");
}

#[tokio::test]
async fn a_reshard_keeps_the_epoch_and_a_repair_changes_it() {
    let home = Home::new();
    let server = home.start();
    talk(&server, 0).await;
    let first = epoch(&home, &server).await;
    assert!(server.stop().status.success());
    succeed(&["log", "repair"], &[("--data-dir", &home.data_dir())]);
    succeed(&["reshard", "--shards", "1"], &[("--data-dir", &home.data_dir())]);
    let home = home.with_shards(1);
    assert_eq!(epoch_of(&home).await, first, "nothing was lost");

    let segment = home.data_dir().join("shard-000/00000001.log");
    let mut bytes = std::fs::read(&segment).expect("a segment");
    let at = bytes.windows(7).position(|window| window == b"content").expect("a message");
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).expect("written");
    succeed(&["log", "repair"], &[("--data-dir", &home.data_dir())]);
    let second = epoch_of(&home).await;
    assert_ne!(second, first);
    assert_eq!(epoch_of(&home).await, second);
}
