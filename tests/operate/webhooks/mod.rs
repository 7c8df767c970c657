//! Webhooks of the real server with real receivers: signed, in order, nothing missed over kills, and what happens where a
//! receiver does not take its events.

mod faults;

use crate::common::http::Api;
use crate::common::receiver::{Behaviour, Received, Receiver, id_of};
use crate::common::{Home, PATIENCE, Server, mushan, run, wait_for};
use crate::programs::{block, is_here};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A folder with the secret of webhooks, which only its owner can read.
pub struct Secrets(tempfile::TempDir);

impl Secrets {
    pub fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let secrets = Self(folder);
        std::fs::write(secrets.file(), text).expect("written");
        std::fs::set_permissions(secrets.file(), std::fs::Permissions::from_mode(0o600)).expect("its mode");
        secrets
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("hook.secret")
    }
}

pub fn table(name: &str, url: &str, secret: &Path, more: &str) -> String {
    let secret = secret.display();
    format!("[[webhooks]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_file = \"{secret}\"\nlinger_ms = 20\n{more}\n")
}

/// A configuration of small segments with these tables.
pub fn with_tables(tables: &str) -> String {
    format!("[server]\nsegment_bytes = 1048576\n{tables}")
}

/// A server whose only webhook tells this receiver of messages.
pub struct Told {
    pub home: Home,
    pub receiver: Receiver,
    _secrets: Secrets,
}

impl Told {
    pub fn new(shards: u16, more: &str) -> Self {
        let (receiver, secrets) = (Receiver::start(), Secrets::new(SECRET));
        let events = format!("events = [\"message.created\"]\n{more}");
        let config = table("orders", &receiver.url(), &secrets.file(), &events);
        Self { home: Home::new().with_shards(shards).with_config(&with_tables(&config)), receiver, _secrets: secrets }
    }

    pub fn start(&self) -> (Server, Api) {
        self.home.start_with_api()
    }

    pub fn wait_for_ids(&self, ids: &BTreeSet<String>) {
        wait_for("all messages at the receiver", || {
            let told: BTreeSet<String> = self.receiver.acknowledged().into_iter().collect();
            ids.is_subset(&told).then_some(())
        });
    }
}

pub fn sent(api: &Api, from: &str, to: &str, id: &str) {
    let body = json!({"from": from, "to": {"user": to}, "client_msg_id": id, "payload": {"text": id}});
    api.post("/v1/messages", &body).expect(201);
}

pub fn shown(api: &Api) -> Value {
    let listed = api.get("/v1/webhooks").json();
    assert_eq!(listed["webhooks"].as_array().expect("a list").len(), 1, "{listed}");
    listed["webhooks"][0].clone()
}

/// Waits until the list shows something.
pub fn wait_until(api: &Api, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || Some(shown(api)).filter(|webhook| holds(webhook)))
}

pub fn ask(api: &Api, verb: &str) -> Value {
    api.ask("POST", &format!("/v1/webhooks/orders/{verb}"), "").expect(200)
}

fn verify(received: &Received, secret: &str) -> Result<(), String> {
    let mut headers = hyper::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, received.header(name).parse().expect("a header"));
    }
    let webhook = standardwebhooks::Webhook::new(secret).expect("a secret");
    webhook.verify(received.body.as_bytes(), &headers).map_err(|error| error.to_string())
}

#[test]
fn events_come_signed_in_batches_as_the_stream_shows_them() {
    let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let (receiver, secrets) = (Receiver::start(), Secrets::new(&format!("{SECRET}\n{other}\n")));
    let more = "batch_events_max = 5\nusers = [\"bob\"]\nevents = [\"message.created\", \"message.revoked\"]";
    let config = table("orders", &receiver.url(), &secrets.file(), more);
    let (_server, api) = Home::new().with_shards(2).with_config(&with_tables(&config)).start_with_api();
    for n in 0..12 {
        sent(&api, "alice", "bob", &format!("m-{n}"));
        sent(&api, "alice", "carol", &format!("other-{n}"));
    }
    let ids: Vec<String> = (0..12).map(|n| format!("m-{n}")).collect();
    wait_for("all messages", || (receiver.acknowledged().len() >= 12).then_some(()));
    assert_eq!(receiver.acknowledged(), ids, "in order, and only what bob is in");
    let seen = receiver.seen();
    for received in &seen {
        verify(received, SECRET).expect("signed with the first secret");
        verify(received, other).expect("signed with the second secret");
        assert!(verify(received, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx").is_err());
        let changed = Received { body: received.body.replace("alice", "mallo"), ..received.clone() };
        assert!(verify(&changed, SECRET).is_err(), "another body");
        assert!(received.events().len() <= 5 && received.header("content-type") == "application/json");
        assert_eq!(serde_json::from_str::<Value>(&received.body).expect("JSON")["webhook"], "orders");
    }
    let ids: BTreeSet<&str> = seen.iter().map(|received| received.header("webhook-id")).collect();
    assert_eq!(ids.len(), seen.len(), "an id a batch");
    let last = seen.last().expect("a batch").events().pop().expect("an event");
    assert!(last["cursor"].is_string() && last["message"]["payload"]["text"] == "m-11", "{last}");
    let webhook = wait_until(&api, "everything delivered", |it| it["delivered_events"] == 12 && it["lag_ms"] == 0);
    assert_eq!((&webhook["state"], &webhook["last_error"]), (&json!("delivering"), &Value::Null), "{webhook}");
    let metrics = api.get("/metrics").body;
    for line in ["mushan_webhook_events_delivered_total{webhook=\"orders\"} 12", "mushan_webhook_lag_seconds{"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// Events are acknowledged twice only where the server was killed before it could note the acknowledgement: those of the
/// last batch before a kill.
#[test]
fn nothing_is_missed_over_kills_and_only_the_batch_of_a_kill_comes_twice() {
    let told = Told::new(2, "batch_events_max = 4");
    let (mut ids, mut before_kill) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..5 {
        let (server, api) = told.start();
        for n in 0..30 {
            // Each third is refused for a while.
            told.receiver.behave(Behaviour::Answer(if n % 3 == 2 { 503 } else { 204 }, "Retry-After: 0\r\n"));
            let id = format!("r{round}-{n:02}");
            sent(&api, &format!("u-{}", n % 3), &format!("u-{}", n % 3 + 1), &id);
            ids.insert(id);
        }
        told.receiver.behave(Behaviour::Answer(if round % 2 == 0 { 503 } else { 204 }, ""));
        std::thread::sleep(Duration::from_millis(40 * round));
        server.kill();
        let last = told.receiver.seen().into_iter().rfind(Received::is_acknowledged);
        before_kill.extend(last.iter().flat_map(Received::events).filter_map(|event| id_of(&event)));
    }
    told.receiver.behave(Behaviour::Answer(204, ""));
    let (_server, api) = told.start();
    told.wait_for_ids(&ids);
    wait_until(&api, "the end", |webhook| webhook["lag_ms"] == 0);
    let acknowledged = told.receiver.acknowledged();
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for id in &acknowledged {
        *counts.entry(id).or_default() += 1;
    }
    assert!(counts.keys().copied().eq(ids.iter()), "each, and nothing else");
    let twice: Vec<&&String> = counts.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id).collect();
    assert!(twice.iter().all(|id| before_kill.contains(**id)), "{twice:?} but {before_kill:?}");
    // What one author says is in one log: it comes in the order in which it was said, a repeated batch aside.
    for author in 0..3 {
        let mut first: Vec<&String> = Vec::new();
        let said = acknowledged.iter().filter(|id| id[3..].parse::<u64>().expect("a number") % 3 == author);
        said.for_each(|id| {
            if !first.contains(&id) {
                first.push(id)
            }
        });
        assert!(first.is_sorted(), "{first:?}");
    }
}

#[test]
fn what_is_not_acknowledged_comes_again_after_a_kill() {
    let told = Told::new(1, "");
    told.receiver.behave(Behaviour::Hang);
    let (server, api) = told.start();
    sent(&api, "alice", "bob", "one");
    wait_for("the request", || (!told.receiver.seen().is_empty()).then_some(()));
    server.kill();
    told.receiver.behave(Behaviour::Answer(204, ""));
    let (_server, _api) = told.start();
    told.wait_for_ids(&BTreeSet::from(["one".to_owned()]));
    let seen = told.receiver.seen();
    let ids = [&seen[0], &seen[seen.len() - 1]].map(|received| received.header("webhook-id"));
    assert_eq!(ids[0], ids[1], "the same events have the same id");
}

#[test]
fn a_receiver_that_is_down_or_hangs_costs_only_itself_and_misses_nothing() {
    let (fine, slow, secrets) = (Receiver::start(), Receiver::start(), Secrets::new(SECRET));
    let down = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one");
    let events = "events = [\"message.created\"]\ntimeout_ms = 100";
    let config: String = [("fine", fine.url()), ("slow", slow.url()), ("down", format!("http://{down}/"))]
        .map(|(name, url)| table(name, &url, &secrets.file(), events))
        .concat();
    let (server, api) = Home::new().with_shards(1).with_config(&with_tables(&config)).start_with_api();
    slow.behave(Behaviour::Hang);
    let ids: Vec<String> = (0..20).map(|n| format!("m-{n:02}")).collect();
    ids.iter().for_each(|id| sent(&api, "alice", "bob", id));
    wait_for("the receiver that is fine", || (fine.acknowledged() == ids).then_some(()));
    let shown = |name: &str| {
        let listed = api.get("/v1/webhooks").json();
        let found = listed["webhooks"].as_array().expect("a list").iter().find(|it| it["name"] == name).cloned();
        found.expect("it is configured")
    };
    for (name, result) in [("slow", "timeout"), ("down", "unreachable")] {
        let webhook = wait_for("failures", || {
            Some(shown(name)).filter(|it| it["attempts"][result].as_u64() >= Some(2) && it["state"] == "retrying")
        });
        assert!(webhook["lag_ms"].as_u64() > Some(0) && webhook["last_error"]["message"].is_string(), "{webhook}");
    }
    slow.behave(Behaviour::Answer(200, ""));
    let up = Receiver::start_at(down);
    for receiver in [&slow, &up] {
        wait_for("the receiver that is back", || (receiver.acknowledged() == ids).then_some(()));
    }
    let begun = Instant::now();
    slow.behave(Behaviour::Hang);
    sent(&api, "alice", "bob", "last");
    assert!(server.stop().status.success());
    assert!(begun.elapsed() < PATIENCE / 2, "a receiver that hangs does not hold up a stop");
}

#[test]
fn a_redirect_is_refused_and_a_receiver_that_is_gone_gets_nothing_until_a_test() {
    let told = Told::new(1, "");
    let (_server, api) = told.start();
    let elsewhere = Receiver::start();
    let location: &'static str = Box::leak(format!("Location: {}\r\n", elsewhere.url()).into_boxed_str());
    told.receiver.behave(Behaviour::Answer(307, location));
    sent(&api, "alice", "bob", "one");
    let webhook = wait_until(&api, "a refusal", |it| it["attempts"]["refused"].as_u64() >= Some(1));
    assert!(webhook["last_error"]["message"].as_str().expect("told").contains("redirects are not followed"));
    assert!(elsewhere.seen().is_empty());

    told.receiver.behave(Behaviour::Answer(410, ""));
    wait_until(&api, "an end", |it| it["state"] == "gone");
    let seen = told.receiver.seen().len();
    sent(&api, "alice", "bob", "two");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(told.receiver.seen().len(), seen, "nothing more is sent");
    assert_eq!(ask(&api, "test")["status"], 410);
    told.receiver.behave(Behaviour::Answer(200, ""));
    let tested = ask(&api, "test");
    assert_eq!(
        (&tested["result"], &tested["status"], &tested["answer"]),
        (&json!("acknowledged"), &json!(200), &json!("ok"))
    );
    told.wait_for_ids(&BTreeSet::from(["one".to_owned(), "two".to_owned()]));
    let test = told.receiver.seen().into_iter().rfind(|it| it.body.contains("webhook.test")).expect("a test event");
    verify(&test, SECRET).expect("it is signed");
    assert_eq!(api.ask("POST", "/v1/webhooks/nobody/test", "").refusal(), (404, "not_found".to_owned()));
}

#[test]
fn what_is_not_taken_in_time_becomes_a_dead_letter_that_is_sent_again() {
    let told = Told::new(1, "age_max_ms = 0\nbatch_events_max = 1\ndead_letter_bytes_max = 3000\n");
    let (server, api) = told.start();
    told.receiver.behave(Behaviour::Answer(500, ""));
    let ids: Vec<String> = (0..30).map(|n| format!("m-{n:02}")).collect();
    ids.iter().for_each(|id| sent(&api, "alice", "bob", id));
    let full = wait_until(&api, "a full file", |it| {
        let dead = it["dead_letters"]["events"].as_u64().unwrap_or_default();
        dead > 0 && dead + it["dropped_events"].as_u64().unwrap_or_default() == 30
    });
    let dead = full["dead_letters"]["events"].as_u64().expect("a number") as usize;
    assert!((2..30).contains(&dead) && full["dead_letters"]["bytes"].as_u64() <= Some(3_000), "{full}");
    let failed = ask(&api, "replay");
    assert_eq!((&failed["batches"], &failed["left_batches"]), (&json!(0), &json!(dead)), "{failed}");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("500")), "{failed}");
    // They outlive the server.
    server.kill();
    told.receiver.behave(Behaviour::Answer(204, ""));
    let (_server, api) = told.start();
    assert_eq!(shown(&api)["dead_letters"]["events"], dead);
    let command = |verb: &[&str]| {
        let output = told.home.run(&[&["webhook"], verb].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(command(&["list"]).contains(&format!("{dead} dead letters with {dead} events")));
    assert!(command(&["replay", "orders"]).contains(&format!("{dead} dead letters with {dead} events; none is left")));
    // The kill may have let the last batch come again, which was dropped before.
    let mut acknowledged = told.receiver.acknowledged();
    acknowledged.retain(|id| *id != ids[29]);
    assert_eq!(acknowledged, ids[..dead], "the oldest are kept, in order");
    let listed: Value = serde_json::from_str(&command(&["list", "--json"])).expect("JSON");
    assert_eq!(listed["webhooks"][0]["dead_letters"], json!({"batches": 0, "events": 0, "bytes": 0}));
    assert!(command(&["test", "orders"]).starts_with("orders has acknowledged the test event"));
}

#[test]
fn a_receiver_says_how_long_the_next_try_has_to_wait() {
    let told = Told::new(1, "");
    let (_server, api) = told.start();
    told.receiver.behave(Behaviour::Answer(503, "Retry-After: 1\r\n"));
    sent(&api, "alice", "bob", "one");
    let seen = wait_for("a second try", || Some(told.receiver.seen()).filter(|seen| seen.len() >= 2));
    // Without the wish the first pause is half a second at most.
    assert!(seen[1].at.duration_since(seen[0].at) >= Duration::from_millis(900));
}

#[test]
fn a_reshard_keeps_dead_letters_and_the_webhook_begins_anew() {
    let mut told = Told::new(1, "age_max_ms = 0");
    let (server, api) = told.start();
    told.receiver.behave(Behaviour::Answer(500, ""));
    sent(&api, "alice", "bob", "dead");
    wait_until(&api, "a dead letter", |webhook| webhook["dead_letters"]["events"] == 1);
    drop(server.stop());
    let mut reshard = mushan();
    reshard.arg("reshard").arg("--data-dir").arg(told.home.data_dir()).args(["--shards", "2"]);
    let output = run(reshard);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    told.home.set_shards(2);
    told.receiver.behave(Behaviour::Answer(204, ""));
    let (_server, api) = told.start();
    sent(&api, "alice", "bob", "after");
    told.wait_for_ids(&BTreeSet::from(["after".to_owned()]));
    let webhook = shown(&api);
    assert_eq!((&webhook["begun_anew"], &webhook["dead_letters"]["events"]), (&json!(1), &json!(1)), "{webhook}");
    assert_eq!(ask(&api, "replay")["events"], 1);
    assert_eq!(told.receiver.acknowledged(), ["after", "dead"]);
}

#[test]
fn a_cursor_that_cannot_be_followed_begins_anew_and_says_so() {
    let told = Told::new(1, "");
    let (server, api) = told.start();
    sent(&api, "alice", "bob", "one");
    told.wait_for_ids(&BTreeSet::from(["one".to_owned()]));
    let cursor =
        wait_until(&api, "the cursor", |it| it["lag_ms"] == 0)["cursor"].as_str().expect("a cursor").to_owned();
    drop(server.stop());
    let file = told.home.data_dir().join("webhooks/orders.cursor");
    let (logs, place) = cursor.split_once('.').expect("two parts");
    let other = format!("{:08x}", u32::from_str_radix(logs, 16).expect("digits") ^ 1);
    let (expired, beyond) = (format!("{logs}.0-40"), format!("{logs}.1-fffff0"));
    let mut count = 1;
    for text in [format!("{other}.{place}"), expired, beyond, "nonsense".to_owned()] {
        let line = format!("{text} {:08x}\n", crc32c::crc32c(text.as_bytes()));
        std::fs::write(&file, line).expect("written");
        let (server, api) = told.start();
        count += 1;
        wait_for("the message again", || (told.receiver.acknowledged().len() == count).then_some(()));
        let webhook = shown(&api);
        assert_eq!(webhook["begun_anew"], 1, "{text}: {webhook}");
        drop(server.stop());
    }
    // A sound cursor goes on.
    let (_server, api) = told.start();
    sent(&api, "alice", "bob", "two");
    told.wait_for_ids(&BTreeSet::from(["two".to_owned()]));
    assert_eq!(told.receiver.acknowledged().len(), count + 1);
    assert_eq!(shown(&api)["begun_anew"], 0);
}

#[test]
fn a_webhook_that_begins_now_is_not_told_of_what_was_before_it() {
    let home = Home::new().with_shards(1);
    let server = home.start();
    sent(&home.api(), "alice", "bob", "before");
    drop(server.stop());
    let (receiver, secrets) = (Receiver::start(), Secrets::new(SECRET));
    let more = "begin = \"now\"\nevents = [\"message.created\"]";
    let home = home.with_config(&with_tables(&table("orders", &receiver.url(), &secrets.file(), more)));
    let (_server, api) = home.start_with_api();
    wait_until(&api, "its place", |webhook| webhook["cursor"].is_string());
    sent(&api, "alice", "bob", "after");
    wait_for("the message", || (receiver.acknowledged() == ["after"]).then_some(()));
}

#[test]
fn a_name_that_resolves_to_this_machine_is_not_called() {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let is_here = |name: &&str| {
        let found = (*name, 443).to_socket_addrs();
        found.is_ok_and(|mut found| found.any(|address| address.ip().is_loopback()))
    };
    let Some(name) = [hostname.as_str(), "ip6-localhost", "localhost."].into_iter().find(is_here) else {
        eprintln!("SKIPPED: no name but localhost resolves to this machine");
        return;
    };
    let (receiver, secrets) = (Receiver::start(), Secrets::new(SECRET));
    let config = table("orders", &format!("https://{name}:{}/", receiver.address.port()), &secrets.file(), "");
    let server = Home::new().with_shards(1).with_config(&with_tables(&config)).start();
    let tested = ask(&server.api(), "test");
    assert!(tested["error"].as_str().is_some_and(|error| error.contains("no public address")), "{tested}");
    assert_eq!((&tested["result"], receiver.seen().len()), (&json!("unreachable"), 0));
}

#[test]
fn a_wrong_configuration_is_refused_with_a_sentence() {
    let secrets = Secrets::new(SECRET);
    let folder = tempfile::tempdir().expect("a folder");
    let checked = |config: &str, flags: &[&str]| {
        let path = folder.path().join("mushan.toml");
        std::fs::write(&path, config).expect("written");
        let mut command = mushan();
        command.arg("check").arg("--config").arg(&path).args(flags);
        let output = run(command);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let sound = table("orders", "https://example.com/", &secrets.file(), "events = [\"receipt\"]");
    let (status, text) = checked(&sound, &[]);
    assert!(status == Some(0) && text.contains("[[webhooks]]") && text.contains("events = [\"receipt\"]"), "{text}");
    let (status, again) = checked(&text, &[]);
    assert_eq!((status, text.lines().count()), (Some(0), again.lines().count()), "what it prints is a configuration");
    let refused = |config: &str, flags: &[&str], told: &str| {
        let (status, text) = checked(config, flags);
        assert!(status == Some(1) && text.contains(told), "{told}: {text}");
    };
    refused(&sound.replace("https", "http"), &[], "use https");
    refused(&sound.replace("example.com", "192.168.0.1"), &[], "private address");
    refused(&sound.replace("receipt", "recipe"), &[], "\"recipe\" is no event; there are message.created");
    refused(&sound, &["--admin-listen", "off"], "admin.listen");
    refused(&sound.replace("linger_ms", "linger"), &[], "unknown field: found `linger`");
    std::fs::set_permissions(secrets.file(), std::fs::Permissions::from_mode(0o644)).expect("its mode");
    refused(&sound, &[], "other users");
    std::fs::set_permissions(secrets.file(), std::fs::Permissions::from_mode(0o640)).expect("its mode");
    assert_eq!(checked(&sound, &[]).0, Some(0), "the group of the file may be the server's");
    std::fs::write(secrets.file(), "hunter2").expect("written");
    let (status, text) = checked(&sound, &[]);
    assert!(status == Some(1) && text.contains("whsec_") && !text.contains("hunter2"), "{text}");
    std::fs::remove_file(secrets.file()).expect("removed");
    refused(&sound, &[], "cannot be read");
}

#[test]
fn the_receiver_in_the_documents_takes_what_is_signed_and_nothing_else() {
    receive_with("python3", &["-u", "-c"], &block("docs/WEBHOOKS.md", "python", "Receiver"));
}

#[test]
fn the_receiver_for_node_takes_what_is_signed_and_nothing_else() {
    receive_with("node", &["--input-type=module", "-e"], &block("docs/WEBHOOKS.md", "js", "createServer"));
}

fn receive_with(interpreter: &str, flags: &[&str], program: &str) {
    if !is_here(interpreter) {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one").port();
    let secrets = Secrets::new(SECRET);
    let mut command = Command::new(interpreter);
    command.args(flags).arg(program).env("PORT", port.to_string()).env("WEBHOOK_SECRET", SECRET);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
    let url = format!("http://127.0.0.1:{port}/");
    let events = "events = [\"message.created\"]";
    let home = Home::new().with_shards(1).with_config(&with_tables(&table("orders", &url, &secrets.file(), events)));
    let (server, api) = home.start_with_api();
    wait_for("the receiver", || (ask(&api, "test")["result"] == "acknowledged").then_some(()));
    sent(&api, "alice", "bob", "one");
    wait_until(&api, "the delivery", |webhook| webhook["delivered_events"] == 1);
    drop(server.stop());
    // Another secret: nothing is taken.
    std::fs::write(secrets.file(), "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").expect("written");
    let _server = home.start();
    assert_eq!(ask(&home.api(), "test")["status"], 401);
    child.kill().expect("it ran");
    let output = child.wait_with_output().expect("it ended");
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert!(
        lines[0].starts_with("webhook.test") && lines.iter().any(|line| line.starts_with("message.created")),
        "{lines:?}"
    );
    assert_eq!(lines.iter().filter(|line| line.starts_with("message.created")).count(), 1, "{lines:?}");
}
