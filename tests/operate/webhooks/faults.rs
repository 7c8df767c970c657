//! Webhooks where the disk or the network is not as it should be: files that cannot be written, certificates.

use crate::common::Home;
use crate::common::receiver::Behaviour;
use crate::common::{Server, wait_for};
use crate::webhooks::{SECRET, Secrets, Told, ask, sent, shown, table, wait_until, with_tables};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

fn one(id: &str) -> BTreeSet<String> {
    BTreeSet::from([id.to_owned()])
}

#[test]
fn a_cursor_that_cannot_be_written_costs_a_repetition_and_never_an_event() {
    let told = Told::new(1, "");
    let (server, api) = told.start();
    wait_until(&api, "its place", |webhook| webhook["cursor"].is_string());
    // Whatever would be written goes by way of this name.
    let in_the_way = told.home.data_dir().join("webhooks/orders.tmp");
    std::fs::create_dir(&in_the_way).expect("made");
    for id in ["one", "two"] {
        sent(&api, "alice", "bob", id);
        told.wait_for_ids(&one(id));
    }
    wait_until(&api, "the failure", |webhook| {
        webhook["last_error"]["message"].as_str().is_some_and(|error| error.contains("cannot store its cursor"))
    });
    server.kill();
    std::fs::remove_dir(&in_the_way).expect("removed");
    let (_server, api) = told.start();
    sent(&api, "alice", "bob", "three");
    told.wait_for_ids(&one("three"));
    assert_eq!(told.receiver.acknowledged(), ["one", "two", "one", "two", "three"]);
    assert_eq!(shown(&api)["begun_anew"], 0);
}

/// Dead letters are stored for as long as nobody sends them again.
#[test]
fn an_erasure_leaves_the_users_words_out_of_dead_letters() {
    let told = Told::new(2, "age_max_ms = 0\nbatch_events_max = 1\n");
    let (server, api) = told.start();
    told.receiver.behave(Behaviour::Answer(500, ""));
    sent(&api, "alice", "bob", "secret-of-alice");
    sent(&api, "bob", "alice", "word-of-bob");
    wait_until(&api, "two dead letters", |webhook| webhook["dead_letters"]["events"] == 2);
    let file = told.home.data_dir().join("webhooks/orders.dead.ndjson");
    let text = || std::fs::read_to_string(&file).expect("the letters");
    let words = r#""text":"secret-of-alice""#;
    assert!(text().contains(words), "{}", text());
    let report = api.ask("DELETE", "/v1/users/alice", "").expect(200);
    assert_eq!(report["left_out_of_dead_letters"], json!([{"webhook": "orders", "events": 1}]), "{report}");
    assert!(!text().contains(words) && text().contains(r#""text":"word-of-bob""#), "{}", text());
    let again = api.ask("DELETE", "/v1/users/alice", "").expect(200);
    assert_eq!(again["left_out_of_dead_letters"], json!([]), "{again}");
    assert_eq!(shown(&api)["dead_letters"]["bytes"], text().len());
    // A start reads what is left, and it is sent as a message that was taken back.
    assert!(server.stop().status.success());
    told.receiver.behave(Behaviour::Answer(204, ""));
    let (_server, api) = told.start();
    let replayed = api.post("/v1/webhooks/orders/replay", &json!({})).expect(200);
    assert_eq!((&replayed["batches"], &replayed["left_batches"]), (&json!(2), &json!(0)), "{replayed}");
    let bodies: Vec<String> = told.receiver.seen().into_iter().map(|it| it.body).collect();
    let last = bodies.iter().rfind(|body| body.contains("secret-of-alice")).expect("its id is kept");
    assert!(!last.contains(words) && last.contains(r#""revoked":true"#), "{last}");
}

/// A batch may be tried for days, and whoever was erased meanwhile is in it.
#[test]
fn an_erasure_leaves_the_users_words_out_of_a_batch_that_is_tried_again() {
    let words = r#""text":"secret-of-alice""#;
    for (failure, state) in [(500, "retrying"), (410, "gone")] {
        let told = Told::new(2, "");
        let (_server, api) = told.start();
        // The next try is after the erasure.
        told.receiver.behave(Behaviour::Answer(failure, "Retry-After: 3\r\n"));
        sent(&api, "alice", "bob", "secret-of-alice");
        wait_until(&api, "a failure", |webhook| webhook["state"] == state);
        let first = told.receiver.seen().pop().expect("a try");
        assert!(first.body.contains(words), "{first:?}");
        api.ask("DELETE", "/v1/users/alice", "").expect(200);
        told.receiver.behave(Behaviour::Answer(204, ""));
        if failure == 410 {
            assert_eq!(ask(&api, "test")["result"], "acknowledged");
        }
        told.wait_for_ids(&one("secret-of-alice"));
        let last = told.receiver.seen().into_iter().rfind(|it| it.body.contains("message.created")).expect("a try");
        assert_eq!(last.header("webhook-id"), first.header("webhook-id"), "it is the same batch");
        assert!(!last.body.contains(words) && last.body.contains(r#""revoked":true"#), "{last:?}");
    }
}

#[test]
fn a_dead_letter_that_cannot_be_written_holds_the_webhook() {
    let told = Told::new(1, "age_max_ms = 0");
    let (_server, api) = told.start();
    let file = told.home.data_dir().join("webhooks/orders.dead.ndjson");
    std::fs::create_dir(&file).expect("made");
    told.receiver.behave(Behaviour::Answer(500, ""));
    sent(&api, "alice", "bob", "one");
    wait_until(&api, "the failure", |webhook| {
        webhook["last_error"]["message"].as_str().is_some_and(|error| error.contains("cannot store a dead letter"))
    });
    assert_eq!(shown(&api)["dropped_events"], 0);
    std::fs::remove_dir(&file).expect("removed");
    wait_until(&api, "the dead letter", |webhook| webhook["dead_letters"]["events"] == 1);
    told.receiver.behave(Behaviour::Answer(204, ""));
    assert_eq!(ask(&api, "replay")["events"], 1);
    assert_eq!(told.receiver.acknowledged(), ["one"]);
}

/// A receiver behind TLS, by Python; killed when dropped.
struct Encrypted(Child);

impl Drop for Encrypted {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const ENCRYPTED_RECEIVER: &str = r#"
import http.server, ssl, sys
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

/// Makes a certificate for `localhost`. Returns whether this machine can.
fn certified(certificate: &Path, key: &Path) -> bool {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"]).arg(certificate).arg("-keyout").arg(key);
    openssl.output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_receiver_behind_tls_is_trusted_by_its_certificate_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key, other, other_key] =
        ["a.pem", "a.key", "b.pem", "b.key"].map(|name| folder.path().join(name));
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    if !has_python || !certified(&certificate, &key) || !certified(&other, &other_key) {
        eprintln!("SKIPPED: there is no python3 or no openssl here: no webhook was sent over TLS");
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one").port();
    let mut python = Command::new("python3");
    python.args(["-c", ENCRYPTED_RECEIVER, &port.to_string()]).arg(&certificate).arg(&key).stderr(Stdio::null());
    let _receiver = Encrypted(python.spawn().expect("python3 runs"));
    let secrets = Secrets::new(SECRET);
    let config = table("orders", &format!("https://localhost:{port}/"), &secrets.file(), "timeout_ms = 2000");
    let home = Home::new().with_shards(1).with_config(&with_tables(&config));
    let start = |trusted: &Path| {
        let mut command = home.serve("127.0.0.1:0");
        command.env("SSL_CERT_FILE", trusted);
        Server::try_start(command).expect("it starts")
    };
    let server = start(&certificate);
    wait_for("a receiver behind TLS", || {
        std::thread::sleep(Duration::from_millis(50));
        (ask(&home.api(), "test")["result"] == "acknowledged").then_some(())
    });
    assert!(server.stop().status.success());
    let _server = start(&other);
    let tested = ask(&home.api(), "test");
    assert_eq!(tested["result"], json!("unreachable"));
    assert!(tested["error"].as_str().is_some_and(|error| error.contains("certificate")), "{tested}");
}
