//! The log of a running server and the trace of one user: what they say, in which form, and what they never contain.

use crate::common::binary::BinaryClient;
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, mushan, wait_for};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What people write in these tests.
const SECRET_WORDS: &str = "the-treasure-lies-under-the-oak";

fn start(home: &Home, arguments: &[&str]) -> Server {
    let mut serve = home.serve("127.0.0.1:0");
    serve.args(arguments);
    Server::try_start(serve).expect("it starts")
}

/// `mushan trace`, and what it has printed so far.
struct Tracing {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Tracing {
    /// Returns when the user's shard traces.
    fn begin(home: &Home, user: &str, arguments: &[&str]) -> Self {
        let mut command = mushan();
        command.args(["trace", "--user", user, "--data-dir"]).arg(home.data_dir()).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary can be run");
        let (lines, output) = (Arc::new(Mutex::new(Vec::new())), child.stdout.take().expect("piped"));
        let shared = lines.clone();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.for_each(|line| shared.lock().expect("no panic inside").push(line));
        });
        let tracing = Self { child, lines };
        wait_for("the trace to begin", || (!tracing.text().is_empty()).then_some(()));
        tracing
    }

    fn text(&self) -> String {
        self.lines.lock().expect("no panic inside").join("\n")
    }

    fn wait_for(&self, text: &str) {
        wait_for(text, || self.text().contains(text).then_some(()));
    }

    fn ended(mut self) -> String {
        assert!(self.child.wait().expect("our own child").success());
        self.wait_for("end");
        self.text()
    }
}

/// How a text looks in hex, and within a longer text in base64: in each of three alignments, without the letters that depend on
/// what stands beside it.
fn encoded(text: &str) -> Vec<String> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let hex = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let within = |before: usize, engine: &dyn Fn(&[u8]) -> String| {
        let whole = engine(&[&b"  "[..before], text.as_bytes()].concat());
        whole[(before * 8).div_ceil(6)..(before + text.len()) * 8 / 6].to_owned()
    };
    let aligned = (0..3).flat_map(|before| {
        [within(before, &|bytes| STANDARD.encode(bytes)), within(before, &|bytes| URL_SAFE.encode(bytes))]
    });
    std::iter::once(hex).chain(aligned).collect()
}

#[test]
fn a_text_is_found_in_what_encodes_a_longer_one() {
    use base64::Engine;
    for before in ["", "a", "ab", "abc", "{\"text\":\""] {
        let longer = format!("{before}{SECRET_WORDS}\"}}");
        let longer = base64::engine::general_purpose::STANDARD.encode(longer);
        assert!(encoded(SECRET_WORDS).iter().any(|text| longer.contains(text)), "{longer}");
    }
}

#[tokio::test]
async fn no_token_and_no_word_of_a_user_is_in_the_log_or_in_a_trace() {
    let home = Home::new().with_shards(2);
    let server = start(&home, &["--log-level", "trace,hyper=debug", "--log-format", "json"]);
    let traced = Tracing::begin(&home, "alice", &["--for", "1h", "--json"]);
    let tokens: Vec<String> = ["alice", "bob"].map(|user| home.token(user)).into();
    let forged = format!("{}x", tokens[0]);
    {
        let mut stranger = RpcClient::connect(server.address, "/rpc").await;
        let params = json!({"uid": "alice", "token": forged, "deviceId": "d", "deviceFlag": 1});
        assert!(stranger.call("connect", params).await["error"] != Value::Null);
        let mut alice = RpcClient::login(server.address, "/rpc", "alice", &tokens[0]).await;
        let (mut bob, _) = BinaryClient::login(server.address, "bob", &tokens[1]).await;
        alice.send("bob", "m1", json!({"text": SECRET_WORDS})).await;
        bob.next_push().await;
        let refused = alice.call("send", json!({"channelId": SECRET_WORDS, "payload": SECRET_WORDS})).await;
        assert!(refused["error"] != Value::Null);
        alice.call("history", json!({"channelId": "nobody", "channelType": 2, "limit": 1})).await;
        bob.send("alice", "m2", SECRET_WORDS.as_bytes()).await;
        alice.next("recv").await;
        home.api().post(
            "/v1/messages",
            &json!({"from": "bob", "to": {"user": "alice"}, "client_msg_id": "m3", "payload": {"text": SECRET_WORDS}}),
        );
        alice.next("recv").await;
    }
    traced.wait_for("\"closed\"");
    wait_for("the ends in the log", || (server.errors().matches("connection ended").count() >= 3).then_some(()));
    let admin_token = std::fs::read_to_string(home.data_dir().join("admin-token")).expect("readable");
    let secret = std::fs::read_to_string(home.data_dir().join("token-secret")).expect("readable");
    let (traced, told) = (traced, server.stop().errors);
    let traced = traced.ended();
    let mut hidden = vec![SECRET_WORDS.to_owned(), admin_token.trim().to_owned(), secret.trim().to_owned()];
    hidden.extend(encoded(SECRET_WORDS));
    hidden.extend(tokens.iter().chain([&forged]).cloned());
    hidden.extend(tokens.iter().filter_map(|token| token.rsplit('.').next().map(str::to_owned)));
    for text in hidden {
        assert!(!told.contains(&text), "the log has {text}");
        assert!(!traced.contains(&text), "the trace has {text}");
    }
    for what in ["\"begun\"", "\"login_refused\"", "\"opened\"", "\"verb\":\"send\"", "\"push\"", "\"closed\""] {
        assert!(traced.contains(what), "{what} in {traced}");
    }
    for what in
        ["token refused", "request refused", "connection ended", "\"user\":\"alice\"", "\"address\":\"127.0.0.1:"]
    {
        assert!(told.contains(what), "{what} in {told}");
    }
}

#[tokio::test]
async fn each_line_in_json_is_an_object_with_level_target_and_message() {
    let home = Home::new().with_shards(1);
    let server = start(&home, &["--log-level", "debug", "--log-format", "json"]);
    drop(server.rpc("alice").await);
    wait_for("the end", || server.errors().contains("\"user\":\"alice\"").then_some(()));
    let told = server.stop().errors;
    let lines: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    assert!(lines.len() > 2, "{told}");
    for line in &lines {
        assert!(line["level"].is_string() && line["target"].is_string() && line["message"].is_string(), "{line}");
    }
    let end =
        lines.iter().find(|line| line["message"] == "connection ended" && line["user"] == "alice").expect("it is told");
    assert_eq!((&end["closing"], &end["protocol"]), (&json!("gone"), &json!("jsonrpc")), "{end}");
}

#[tokio::test]
async fn the_level_changes_while_the_server_runs() {
    let home = Home::new().with_shards(1);
    let server = home.start();
    drop(server.rpc("alice").await);
    let level = |arguments: &[&str]| {
        let output = home.run(&[&["log-level"], arguments].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    assert_eq!(level(&[]), (Some(0), "glommio=error,warn".to_owned()));
    assert_eq!(level(&["debug"]), (Some(0), "debug".to_owned()));
    assert!(!server.errors().contains("connection ended"), "{}", server.errors());
    drop(server.rpc("bob").await);
    wait_for("the end", || server.errors().contains("connection ended").then_some(()));
    assert_eq!(level(&["loud"]).0, Some(1));
    assert_eq!(level(&[]), (Some(0), "debug".to_owned()));
    assert_eq!(level(&["warn"]).0, Some(0));
    let before = server.errors().matches("connection ended").count();
    drop(server.rpc("carol").await);
    assert_eq!(server.stop().errors.matches("connection ended").count(), before);
}

#[tokio::test]
async fn a_place_that_repeats_itself_is_cut_short() {
    let home = Home::new().with_shards(1);
    let server = start(&home, &["--log-level", "debug"]);
    let mut alice = server.rpc("alice").await;
    for _ in 0..300 {
        alice.call("history", json!({"channelId": "nobody", "channelType": 2, "limit": 1})).await;
    }
    drop(alice);
    let told = server.stop().errors;
    let refusals = told.matches("request refused").count();
    // Two windows at the most on a machine that is not very slow; ten for one that is.
    assert!((50..=250).contains(&refusals), "{refusals} lines");
    assert!(told.contains("reason="), "{told}");
}

#[tokio::test]
async fn a_trace_shows_one_user_and_nobody_else() {
    let home = Home::new().with_shards(2);
    let server = home.start();
    let mut bob = server.rpc("bob").await;
    // Ended by the server's stop: no machine is too slow for what is to be seen before.
    let traced = Tracing::begin(&home, "alice", &["--for", "1h"]);
    let mut alice = server.rpc("alice").await;
    alice.send("bob", "m1", json!({"text": "good morning"})).await;
    bob.next("recv").await;
    bob.send("alice", "m2", json!({"text": "good morning"})).await;
    alice.next("recv").await;
    drop(alice);
    traced.wait_for("session closed: gone");
    drop(server.stop());
    let text = traced.ended();
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in {text}"));
    let order = ["session opened, jsonrpc on device", "send of ", "pushed message 2", "session closed: gone"].map(at);
    assert!(order.is_sorted() && text.contains("  done"), "{text}");
    assert_eq!(text.matches("send of").count(), 1, "bob's is not hers: {text}");
    assert!(text.ends_with("end; 0 lines lost"), "{text}");
}

#[tokio::test]
async fn a_slow_turn_says_what_it_did() {
    let home = Home::new().with_shards(1);
    let server = start(&home, &["--log-level", "info"]);
    let (mut alice, pid) = (server.rpc("alice").await, server.pid());
    let is_over = Arc::new(AtomicBool::new(false));
    let is_told = is_over.clone();
    let stopping = std::thread::spawn(move || {
        while !is_told.load(Ordering::Relaxed) {
            let round = format!("kill -STOP {pid}; sleep 0.015; kill -CONT {pid}; sleep 0.01");
            let _ = std::process::Command::new("sh").args(["-c", &round]).status();
        }
    });
    let is_told = || server.errors().contains("a slow turn");
    for number in 0..100_000 {
        if is_told() {
            break;
        }
        alice.send("bob", &format!("m{number}"), json!({"text": "good morning"})).await;
    }
    assert!(is_told(), "{}", server.errors());
    let told = server.errors();
    let line = told.lines().find(|line| line.contains("a slow turn")).expect("it is told");
    for name in ["took_us=", "completions=", "received_bytes=", "actions=", "records="] {
        assert!(line.contains(name), "{name} in {line}");
    }
    // Before the server is gone: its pid may be another process's then.
    is_over.store(true, Ordering::Relaxed);
    stopping.join().expect("no panic");
}
