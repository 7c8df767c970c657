//! A wall clock that jumps, of the server's process alone: a library that is loaded before libc puts it ahead.
//!
//! The test needs a C compiler, as the build does. Where there is none it says so on stderr and passes.

use crate::common::mounts::skip;
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, wait_for};
use serde_json::{Value, json};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// Longer than the tokens of the test are valid.
const JUMP_S: i64 = 3 * 60 * 60;

/// Builds the library; whether this machine can.
fn build(library: &Path) -> bool {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runbook/clock_ahead.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(library).args([source, "-ldl"]);
    compiler.output().is_ok_and(|output| output.status.success())
}

/// What the doctor says of the clock, of the server's own numbers.
fn doctor(home: &Home) -> String {
    String::from_utf8_lossy(&home.run(&["doctor"]).stdout).into_owned()
}

async fn login(server: &Server, token: &str) -> Value {
    let mut client = RpcClient::connect(server.address, "/rpc").await;
    client.call("connect", json!({"uid": "alice", "token": token, "deviceId": "d", "deviceFlag": 1})).await
}

#[tokio::test]
async fn a_clock_that_jumps_is_told_refuses_tokens_and_is_forgiven_when_it_is_right_again() {
    const NAME: &str = "clock::a_clock_that_jumps_is_told_refuses_tokens_and_is_forgiven_when_it_is_right_again";
    let directory = tempfile::tempdir().expect("a directory");
    let (library, ahead) = (directory.path().join("ahead.so"), directory.path().join("ahead"));
    if !build(&library) {
        return skip(NAME, "there is no C compiler");
    }
    std::fs::write(&ahead, [0; 8]).expect("written");
    let clock = std::fs::OpenOptions::new().write(true).open(&ahead).expect("it can be written");
    let home = Home::new().with_shards(2);
    let mut command = home.serve("127.0.0.1:0");
    command.env("LD_PRELOAD", &library).env("CLOCK_AHEAD", &ahead);
    let server = Server::try_start(command).expect("it starts");
    let (api, token) = (home.api(), home.token("alice"));
    assert!(login(&server, &token).await["error"].is_null(), "the clock is right");
    let mut bob = RpcClient::login(server.address, "/rpc", "bob", &home.token_for("bob", "30d")).await;
    bob.send("alice", "before", json!({"type": 1})).await;
    assert_eq!(api.sample("mushan_clock_jumps_total{shard=\"0\"}"), 0.0);

    clock.write_all_at(&JUMP_S.to_le_bytes(), 0).expect("written");
    wait_for("the metric of the alert", || (api.sample("mushan_clock_jumps_total{shard=\"0\"}") >= 1.0).then_some(()));
    wait_for("the warning", || server.errors().contains("the wall clock has jumped").then_some(()));
    assert!(!login(&server, &token).await["error"].is_null(), "the token is an hour's");
    let expired = "mushan_tokens_refused_total{shard=\"";
    let of_expired = || {
        let text = api.get("/metrics").body;
        let lines = text.lines().filter(|line| line.starts_with(expired) && line.contains("reason=\"expired\""));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    wait_for("its reason", || (of_expired() >= 1.0).then_some(()));
    let told = doctor(&home);
    assert!(told.contains("timedatectl") && told.contains("MushanClockJumped"), "{told}");
    bob.send("alice", "meanwhile", json!({"type": 1})).await;

    clock.write_all_at(&0_i64.to_le_bytes(), 0).expect("written");
    wait_for("the way back", || (api.sample("mushan_clock_jumps_total{shard=\"0\"}") >= 2.0).then_some(()));
    assert!(login(&server, &token).await["error"].is_null(), "the clock is right again");
    bob.send("alice", "after", json!({"type": 1})).await;
    let mut alice = RpcClient::login(server.address, "/rpc", "alice", &token).await;
    let inbox = alice.inbox().await;
    let dates: Vec<i64> = inbox.iter().map(|message| message["timestamp"].as_i64().expect("a date")).collect();
    assert!(dates.len() == 3 && dates.is_sorted(), "in one conversation dates never go back: {dates:?}");
    assert!(dates[1] - dates[0] >= JUMP_S - 1, "what was sent meanwhile has the date of then: {dates:?}");
    assert!(server.stop().status.success());
}
