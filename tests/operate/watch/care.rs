//! `mushan status`, `mushan doctor` and `mushan debug-bundle` on real servers and directories, sound ones and broken ones.

use crate::common::{Home, mushan, run};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::{Duration, SystemTime};

const DAY: i64 = 24 * 60 * 60;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `mushan doctor` found of a part.
fn found(output: &Output, part: &str) -> Vec<(String, String)> {
    let parts: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let parts = parts["parts"].as_array().expect("a list").iter().filter(|it| it["part"] == part);
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    parts.map(|it| (word(&it["health"]), word(&it["found"]))).collect()
}

#[tokio::test]
async fn the_status_has_every_shard_for_people_and_for_programs() {
    let home = Home::new().with_shards(2);
    let server = home.start();
    let mut alice = server.rpc("alice").await;
    for number in 0..5 {
        alice.send("bob", &format!("m{number}"), json!({"text": "good morning"})).await;
    }
    let status = crate::common::wait_for("the messages", || {
        let output = home.run(&["status", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let sum: u64 = status["shards"].as_array()?.iter().filter_map(|it| it["messages_committed"].as_u64()).sum();
        (sum == 5).then_some(status)
    });
    assert_eq!(
        (&status["phase"], &status["draining"], &status["durability"]),
        (&json!("ready"), &json!(false), &json!("fsync"))
    );
    assert_eq!(status["shards"].as_array().map(Vec::len), Some(2));
    assert!(status["disk"]["free_bytes"].as_u64() > Some(0) && status["last_backup"].is_null(), "{status}");
    let shards = status["shards"].as_array().expect("a list");
    assert!(shards.iter().any(|shard| shard["commit_us"]["p99"].as_u64() > Some(0)), "{status}");
    let table = text(&home.run(&["status"]).stdout);
    assert!(table.contains("ready since") && table.contains("commit p99"), "{table}");
    assert_eq!(table.lines().skip_while(|line| !line.contains("commit p99")).count(), 3, "{table}");
    drop(server.stop());
    let output = home.run(&["status"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn the_doctor_finds_nothing_bad_in_a_sound_server() {
    let home = Home::new().with_shards(1);
    let _server = home.start();
    let output = home.run(&["doctor", "--json"]);
    for part in ["configuration", "secrets", "server"] {
        let found = found(&output, part);
        assert!(found.len() == 1 && found[0].0 == "good", "{part}: {found:?}");
    }
    assert_eq!(found(&output, "backup"), [("warning".to_owned(), "none is known of this directory".to_owned())]);
    let target = home.data_dir().with_file_name("backup");
    assert!(home.run(&["backup", "--to", target.to_str().expect("UTF-8")]).status.success());
    let output = home.run(&["doctor", "--json"]);
    assert_eq!(found(&output, "backup")[0].0, "good", "{output:?}");
    let for_people = text(&home.run(&["doctor"]).stdout);
    assert!(for_people.contains("good     server"), "{for_people}");
}

#[test]
fn the_doctor_names_each_fault_and_what_to_do() {
    let home = Home::new().with_shards(1);
    drop(home.start().stop());
    let secret = home.data_dir().join("token-secret");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).expect("its mode");
    let folder = tempfile::tempdir().expect("a folder");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let issue = |name: &str, days: i64| {
        let until = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs((now + days * DAY).cast_unsigned());
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = until;
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("signed");
        let paths = [folder.path().join(format!("{name}.pem")), folder.path().join(format!("{name}.key"))];
        std::fs::write(&paths[0], certificate.pem()).expect("written");
        std::fs::write(&paths[1], key.serialize_pem()).expect("written");
        paths.map(|path| path.display().to_string())
    };
    let doctor = |arguments: &[(&str, &str)]| {
        let mut command = mushan();
        command.args(["doctor", "--json", "--data-dir"]).arg(home.data_dir());
        command.envs(arguments.iter().copied());
        run(command)
    };
    for (days, health) in [(-1, "bad"), (5, "warning"), (60, "good")] {
        let [certificate, key] = issue("server", days);
        let output = doctor(&[("MUSHAN_TLS__CERTIFICATE_FILE", &certificate), ("MUSHAN_TLS__KEY_FILE", &key)]);
        assert_eq!(found(&output, "certificate")[0].0, health, "{output:?}");
        assert_eq!(found(&output, "secrets")[0].0, "bad", "others read the token secret: {output:?}");
        assert_eq!(found(&output, "server")[0].0, "warning", "none runs: {output:?}");
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("something is bad"), "{output:?}");
    }
    let output = doctor(&[("MUSHAN_SERVER__RING_ENTRIES", "100")]);
    assert_eq!(found(&output, "configuration")[0].0, "bad", "{output:?}");
    let output = doctor(&[("MUSHAN_LOG__RESERVE_BYTES", "9000000000000000000")]);
    assert_eq!(found(&output, "disk")[0].0, "bad", "{output:?}");
}

#[tokio::test]
async fn a_debug_bundle_has_what_a_report_needs_and_no_secret() {
    const WORDS: &str = "the-treasure-lies-under-the-oak";
    let home = Home::new().with_shards(1);
    let server = home.start();
    let token = home.token("alice");
    server.rpc("alice").await.send("bob", "m1", json!({"text": WORDS})).await;
    let target = home.data_dir().with_file_name("bundle.txt");
    let to = target.to_str().expect("UTF-8");
    let output = home.run(&["debug-bundle", "--to", to]);
    assert!(output.status.success(), "{output:?}");
    let bundle = std::fs::read_to_string(&target).expect("text");
    for section in ["version", "doctor", "configuration", "status", "metrics", "files", "/proc/meminfo"] {
        assert!(bundle.contains(&format!("==== {section}\n")), "{section} in {bundle}");
    }
    for part in ["mushan_turn_seconds_bucket", "\"shards\"", "durability.policy", "shard-000/", "token-secret"] {
        assert!(bundle.contains(part), "{part} in {bundle}");
    }
    for name in ["token-secret", "admin-token", "read-token"] {
        let secret = std::fs::read_to_string(home.data_dir().join(name)).expect("readable");
        assert!(!bundle.contains(secret.trim()), "{name} is in the bundle");
    }
    assert!(!bundle.contains(&token) && !bundle.contains(WORDS));
    let again = home.run(&["debug-bundle", "--to", to]);
    assert_eq!(again.status.code(), Some(1), "it overwrites nothing: {again:?}");
}
