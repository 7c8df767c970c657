//! The rights of the people in it: a person's data is given whole, and a person is erased for ever and everywhere.

use crate::common::http::Api;
use crate::common::{Home, mushan, run, wait_for};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};

fn send(api: &Api, from: &str, to: &Value, text: &str) -> Value {
    let id = format!("id of {}", text.rsplit(' ').next().unwrap_or(text));
    let body = json!({"from": from, "to": to, "client_msg_id": id, "payload": {"content": text}});
    api.post("/v1/messages", &body).expect(201)
}

fn export(api: &Api, user: &str) -> Vec<Value> {
    let answer = api.get(&format!("/v1/users/{user}/export"));
    assert_eq!(answer.status, 200, "{answer:?}");
    // Each page is a chunk (RFC 9112 7.1), whose size is a line of its own.
    answer
        .body
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("a line is one object"))
        .collect()
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

/// Alice, who has written to Bob and to two groups, one of them her own, and who blocks Mallory.
fn talk(api: &Api) {
    for (group, owner, member) in [("team", "bob", "alice"), ("hers", "alice", "bob")] {
        let made = json!({"id": group, "owner": owner, "members": [member]});
        assert!(api.post("/v1/groups", &made).status < 300);
    }
    send(api, "mallory", &json!({"user": "alice"}), "unwanted");
    assert!(api.ask("PUT", "/v1/users/alice/blocks/mallory", "").status < 300);
    for number in 0..300 {
        send(api, "alice", &json!({"user": "bob"}), &format!("secret {number}"));
    }
    send(api, "bob", &json!({"user": "alice"}), "mine");
    send(api, "alice", &json!({"group": "team"}), "secret to all");
    send(api, "alice", &json!({"group": "hers"}), "secret of hers");
}

#[test]
fn an_export_has_everything_of_a_person_and_says_that_it_is_whole() {
    let (_server, api) = Home::new().with_shards(2).start_with_api();
    talk(&api);
    let entries = || of_kind(&export(&api, "alice"), "entry").len();
    // Two facts of groups, and what groups bring comes a moment later.
    wait_for("all entries", || (entries() == 306).then_some(()));
    let lines = export(&api, "alice");
    assert_eq!(lines[0]["kind"], "user");
    assert_eq!(lines[0]["id"], "alice");
    let seqs: Vec<u64> = of_kind(&lines, "entry").iter().map(|entry| entry["seq"].as_u64().expect("a seq")).collect();
    assert_eq!(seqs, (1..=306).collect::<Vec<_>>());
    assert_eq!(of_kind(&lines, "conversation").len(), 4);
    let last = lines.last().expect("lines");
    assert_eq!((&last["kind"], &last["entries"]), (&json!("end"), &json!(306)));
    assert_eq!(api.get("/v1/users/nobody/export").status, 404);

    assert!(api.ask("PUT", "/v1/users/barred/disabled", "").status < 300, "a user who was never here");
    let kinds: Vec<Value> = export(&api, "barred").into_iter().map(|mut line| line["kind"].take()).collect();
    assert_eq!(kinds, ["user", "end"], "nothing is there, and the copy is whole");
}

#[tokio::test]
async fn an_erased_person_is_gone_for_everybody_through_a_kill_and_the_audit_stays_sound() {
    let home = Home::new().with_shards(2);
    let (mut server, api) = home.start_with_api();
    let mut alice = server.binary("alice").await;
    talk(&api);
    let answer = api.ask("DELETE", "/v1/users/alice", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let report = answer.json();
    assert_eq!(report["groups_left"], json!(["team"]));
    assert_eq!(report["groups_owned"], json!(["hers"]));
    assert_eq!(report["blocks_removed"], json!(1));
    assert_eq!(report["left_in_logs"]["until"], Value::Null, "this server keeps everything");
    assert_eq!(alice.ending().await, Some(4008));

    for _kill in 0..2 {
        let everything = [
            "/v1/users/bob/inbox?limit=1000",
            "/v1/users/alice/history/bob?after=0&limit=1000",
            "/v1/groups/hers/history",
        ];
        for path in everything {
            let answer = home.api().get(path);
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            assert!(!answer.body.contains("secret"), "{path} has what was erased");
            assert!(answer.body.contains("\"revoked\":true"), "{path}: seqs stay, as tombstones");
        }
        let mine = home.api().get("/v1/users/alice/history/bob?limit=1000").body;
        assert!(mine.contains("mine"), "what others wrote stays");
        let shown = home.api().get("/v1/users/alice").json();
        assert_eq!(
            (&shown["disabled"], &shown["known"], &shown["last_seen"]),
            (&json!(true), &json!(false), &json!(0))
        );
        let refused = home.api().ask("DELETE", "/v1/users/alice/disabled", "");
        assert_eq!(refused.status, 404, "nobody comes back: {refused:?}");
        for (from, to) in [("alice", "bob"), ("bob", "alice")] {
            let body =
                json!({"from": from, "to": {"user": to}, "client_msg_id": "late", "payload": {}, "as": "system"});
            let refused = home.api().post("/v1/messages", &body);
            assert_eq!(refused.status, 404, "{from}: {refused:?}");
        }
        server.kill();
        server = home.start();
    }
    let again = home.api().ask("DELETE", "/v1/users/alice", "");
    assert_eq!(again.status, 200, "it may be repeated: {again:?}");
    server.stop();
    let mut audit = mushan();
    audit.arg("audit").arg("--data-dir").arg(home.data_dir());
    let audit = run(audit);
    assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[test]
fn neither_a_stream_of_events_nor_a_rewritten_log_has_what_an_erased_person_wrote() {
    let mut home = Home::new().with_shards(2);
    let server = home.start();
    talk(&home.api());
    assert_eq!(home.api().ask("DELETE", "/v1/users/alice", "").status, 200);
    let told = events(&home.api());
    assert!(told.contains("mine") && told.contains("message.created"));
    assert!(!told.contains("secret"), "a stream tells what was erased");
    server.kill();
    let server = home.start();
    wait_for("the stream", || (!events(&home.api()).is_empty()).then_some(()));
    assert!(!events(&home.api()).contains("secret"), "nor after a start");
    server.stop();

    assert!(bytes_of_logs(&home).contains("secret 7"), "segments keep it for now");
    home.set_shards(1);
    let mut reshard = mushan();
    reshard.args(["reshard", "--shards", "1", "--data-dir"]).arg(home.data_dir());
    let reshard = run(reshard);
    assert_eq!(reshard.status.code(), Some(0), "{}", String::from_utf8_lossy(&reshard.stderr));
    let server = home.start();
    let inbox = home.api().get("/v1/users/bob/inbox?limit=1000").body;
    assert!(inbox.contains("\"revoked\":true") && !inbox.contains("secret"));
    server.stop();
    let logs = bytes_of_logs(&home);
    assert!(logs.contains("mine") && !logs.contains("secret"), "a rewrite leaves the words out");
}

/// All events until now.
fn events(api: &Api) -> String {
    let mut stream = api.connect();
    let head = format!(
        "GET /v1/events?after=begin HTTP/1.0\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\
         Authorization: Bearer {}\r\n\r\n",
        api.token
    );
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut reader = BufReader::new(stream);
    let (mut told, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).expect("a line") > 0 {
        told.push_str(&line);
        // The last that was written before the erasure.
        if line.contains("mine") {
            return told;
        }
        line.clear();
    }
    String::new()
}

/// The bytes of all segments, as far as they are text.
fn bytes_of_logs(home: &Home) -> String {
    let mut all = String::new();
    let mut folders = vec![home.data_dir()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().contains("shard") {
                all.push_str(&String::from_utf8_lossy(&std::fs::read(path).expect("a file")));
            }
        }
    }
    all
}
