//! A limit of open files that is too low for the clients that come.

use crate::common::raw::{Raw, upgrade_request};
use crate::common::{Home, Server, mushan, run, wait_for};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;
use std::os::unix::process::CommandExt;
use std::process::Command;

const FILES: u64 = 330;
/// What `systemctl edit mushan` is for.
const MORE_FILES: u64 = 4_096;
const CLIENTS: usize = 300;

fn with_files(mut command: Command, files: u64) -> Command {
    // SAFETY: only system calls that are safe between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let limit = Rlimit { current: Some(files), maximum: Some(files) };
            setrlimit(Resource::Nofile, limit).map_err(Into::into)
        });
    }
    command
}

/// How many of the clients are let in; all stay.
fn let_in(server: &Server, held: &mut Vec<Raw>) -> usize {
    let mut count = 0;
    for _client in 0..CLIENTS {
        let mut client = Raw::connect(server.address);
        client.write(upgrade_request("/ws").as_bytes());
        count += usize::from(client.read_head().starts_with("HTTP/1.1 101 "));
        held.push(client);
    }
    count
}

#[tokio::test]
async fn too_few_files_turn_clients_away_and_the_log_goes_on_until_the_limit_is_raised() {
    let config = "[server]\nsegment_bytes = 1048576\nhandshakes_per_address_max = 1000\n";
    let home = Home::new().with_config(config).with_shards(1);
    let server = Server::try_start(with_files(home.serve("127.0.0.1:0"), FILES)).expect("it starts");
    let mut alice = server.rpc("alice").await;
    let mut held = Vec::new();
    let before = let_in(&server, &mut held);
    assert!((10..CLIENTS).contains(&before), "{before} are let in");
    let api = home.api();
    let turned_away = || {
        let text = api.get("/metrics").body;
        let lines = text.lines().filter(|line| line.starts_with("mushan_connections_turned_away_total{"));
        let lines = lines.filter(|line| line.contains("files_exhausted") || line.contains("shard_full"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    wait_for("the metric of the alert", || (turned_away() >= (CLIENTS - before) as f64).then_some(()));
    assert_eq!(api.sample("process_max_fds "), FILES as f64);
    assert!(server.errors().contains("LimitNOFILE"), "{}", server.errors());
    // Whoever is there is served, and so is the log, whose segments are files as well.
    for number in 0..60 {
        alice.send("bob", &format!("m{number}"), json!({"type": 1, "content": "x".repeat(50_000)})).await;
    }
    let mut check = mushan();
    check.args(["tune", "check", "--json"]).env("MUSHAN_SERVER__CONNECTIONS_MAX", CLIENTS.to_string());
    let check = run(with_files(check, FILES));
    let said: serde_json::Value = serde_json::from_slice(&check.stdout).expect("JSON");
    let conditions = said["conditions"].as_array().expect("a list");
    let all = conditions.iter().find(|condition| condition["name"] == "nofile_all").expect("it looks at it");
    assert_eq!(all["passed"], json!(false), "{all}");
    assert!(all["remedy"].as_str().is_some_and(|remedy| remedy.contains("LimitNOFILE")), "{all}");
    drop(held);
    assert!(server.stop().status.success());

    let server = Server::try_start(with_files(home.serve("127.0.0.1:0"), MORE_FILES)).expect("it starts");
    assert_eq!(let_in(&server, &mut Vec::new()), CLIENTS, "all of them");
    assert!(server.stop().status.success());
}
