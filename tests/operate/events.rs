//! The event stream over HTTP: what it says, and that a client that goes on from a cursor misses nothing and gets
//! nothing twice.

use crate::common::http::{Answer, Api};
use crate::common::{Home, PATIENCE};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const LINES: &str = "application/x-ndjson";

/// A client that reads a stream, line by line.
pub struct Stream {
    reader: BufReader<TcpStream>,
}

impl Stream {
    /// HTTP/1.0: the body is what comes until the end.
    fn ask(api: &Api, accept: &str, more: &str, query: &str) -> Stream {
        let mut stream = api.connect();
        let token = &api.token;
        let head = format!(
            "GET /v1/events{query} HTTP/1.0\r\nHost: localhost\r\nAccept: {accept}\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the server reads");
        Stream { reader: BufReader::new(stream) }
    }

    pub fn open(api: &Api, query: &str) -> Stream {
        let mut stream = Self::ask(api, LINES, "", query);
        let head = stream.head();
        assert!(head[0].contains(" 200 "), "{head:?}");
        stream
    }

    fn head(&mut self) -> Vec<String> {
        let mut head = Vec::new();
        while let Some(line) = self.line().filter(|line| !line.is_empty()) {
            head.push(line);
        }
        head
    }

    /// `None` at the end of the stream.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).unwrap_or(0);
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The next event that is no heartbeat.
    pub fn next(&mut self) -> Option<Value> {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "nothing but heartbeats");
            let event: Value = serde_json::from_str(&self.line()?).expect("a line is one object");
            if event["event"] != "heartbeat" {
                return Some(event);
            }
        }
    }

    fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended before {kind}"));
            if event["event"] == kind {
                return event;
            }
        }
    }
}

pub fn send(api: &Api, from: &str, to: &Value, id: &str) -> Answer {
    let body = json!({"from": from, "to": to, "client_msg_id": id, "payload": {"text": id}});
    api.post("/v1/messages", &body)
}

pub fn sent(api: &Api, from: &str, to: &Value, id: &str) -> Value {
    send(api, from, to, id).expect(201)
}

pub fn cursor_of(event: &Value) -> String {
    event["cursor"].as_str().expect("a cursor").to_owned()
}

pub fn from_begin_to_the_message(api: &Api, last: &str) -> Vec<Value> {
    let mut stream = Stream::open(api, "?after=begin");
    let mut events = Vec::new();
    loop {
        let event = stream.next().expect("it goes on");
        let is_last = event["message"]["client_msg_id"] == last;
        events.push(event);
        if is_last {
            return events;
        }
    }
}

#[tokio::test]
async fn every_kind_of_event_is_told_with_its_facts() {
    let (server, api) = Home::new().with_shards(1).start_with_api();
    let first = sent(&api, "alice", &json!({"user": "bob"}), "one");
    let extra = json!({"from": "bob", "to": {"user": "alice"}, "client_msg_id": "two", "content": "AAH/", "type": 7, "extra": {"k": "v"}});
    assert_eq!(api.post("/v1/messages", &extra).status, 201);
    let id = first["message_id"].as_str().expect("an id");
    assert_eq!(api.ask("DELETE", &format!("/v1/messages/{id}?user=alice"), "").status, 200);
    api.ask("POST", "/v1/groups", r#"{"id":"team","owner":"alice","members":["bob"]}"#);
    api.ask("POST", "/v1/groups/team/members", r#"{"add":["carol"],"remove":["bob"]}"#);
    api.ask("PUT", "/v1/groups/team/members/carol", r#"{"role":"admin","muted_until":0}"#);
    sent(&api, "carol", &json!({"group": "team"}), "hello");
    api.ask("DELETE", "/v1/groups/team", "");
    let client = server.binary("dave").await;
    drop(client);
    sent(&api, "alice", &json!({"user": "bob"}), "last");

    let events = from_begin_to_the_message(&api, "last");
    let of = |kind: &str| {
        let found: Vec<&Value> = events.iter().filter(|event| event["event"] == kind).collect();
        assert_eq!(found.len(), 1, "{kind} in {events:#?}");
        found[0].clone()
    };
    let messages: Vec<&Value> = events.iter().filter(|event| event["event"] == "message.created").collect();
    assert_eq!(messages.len(), 4);
    let one = &messages[0]["message"];
    assert_eq!((&one["message_id"], &one["from"]), (&first["message_id"], &json!("alice")));
    assert_eq!((&one["payload"]["text"], &one["conversation_seq"]), (&json!("one"), &json!(1)));
    assert_eq!(messages[0]["conversation"], json!({"users": ["alice", "bob"]}));
    let two = &messages[1]["message"];
    assert_eq!((&two["content"], &two["type"], &two["extra"]), (&json!("AAH/"), &json!(7), &json!({"k": "v"})));
    let revoked = of("message.revoked");
    assert_eq!((&revoked["message_id"], &revoked["by"]), (&first["message_id"], &json!("alice")));
    let created = of("group.created");
    assert_eq!((&created["conversation"], &created["owner"]), (&json!({"group": "team"}), &json!("alice")));
    assert_eq!(of("group.members_added")["members"], json!(["carol"]));
    assert_eq!(of("group.members_removed")["members"], json!(["bob"]));
    let changed = of("group.member_changed");
    assert_eq!((&changed["member"], &changed["role"]), (&json!("carol"), &json!("admin")));
    of("group.dissolved");
    of("sessions.ended");
    assert_eq!(of("user.online")["user"], "dave");
}

#[test]
fn a_client_goes_on_from_any_cursor_with_what_follows_and_nothing_else() {
    let (_server, api) = Home::new().start_with_api();
    for n in 0..12 {
        sent(&api, &format!("user-{n}"), &json!({"user": format!("user-{}", n + 1)}), &format!("m-{n}"));
    }
    sent(&api, "alice", &json!({"user": "bob"}), "last");
    let whole = from_begin_to_the_message(&api, "last");
    let ids = |events: &[Value]| -> BTreeSet<String> {
        let id = |event: &Value| event["message"]["client_msg_id"].as_str().map(str::to_owned);
        events.iter().filter(|event| event["event"] == "message.created").filter_map(id).collect()
    };
    for (at, event) in whole.iter().enumerate() {
        let mut stream = Stream::open(&api, &format!("?after={}&types=message.created", cursor_of(event)));
        let expected: BTreeSet<String> = &ids(&whole) - &ids(&whole[..=at]);
        let told: Vec<Value> = expected.iter().map(|_| stream.next().expect("there is more")).collect();
        assert_eq!(ids(&told), expected, "after {at}");
    }
    let mut of_user = Stream::open(&api, "?after=begin&user=user-3&types=message.created");
    let told: Vec<Value> = (0..2).map(|_| of_user.next().expect("there is more")).collect();
    assert_eq!(ids(&told), BTreeSet::from(["m-2".to_owned(), "m-3".to_owned()]));
    let mut from_now = Stream::open(&api, "?types=message.created");
    assert!(from_now.line().is_some_and(|line| line.contains("heartbeat")), "it says where it begins");
    sent(&api, "alice", &json!({"user": "bob"}), "new");
    assert_eq!(from_now.next().expect("it goes on")["message"]["client_msg_id"], "new");
}

#[test]
fn the_cursor_with_which_a_stream_begins_stands_before_its_first_event() {
    let (_server, api) = Home::new().start_with_api();
    let begin_of = |query: &str| {
        let first: Value = serde_json::from_str(&Stream::open(&api, query).line().expect("a line")).expect("an object");
        assert_eq!(first["event"], "heartbeat", "{first}");
        cursor_of(&first)
    };
    let of_new_logs = begin_of("?types=message.created");
    for n in 0..8 {
        sent(&api, &format!("user-{n}"), &json!({"user": format!("user-{}", n + 1)}), &format!("m-{n}"));
    }
    for cursor in [of_new_logs, begin_of("?after=begin&types=message.created")] {
        let mut stream = Stream::open(&api, &format!("?after={cursor}&types=message.created"));
        let id_of_next = |_| stream.next().expect("it goes on")["message"]["client_msg_id"].to_string();
        let told: BTreeSet<String> = (0..8).map(id_of_next).collect();
        assert_eq!(told.len(), 8);
    }
}

#[test]
fn server_sent_events_go_on_from_the_last_event_id() {
    let (_server, api) = Home::new().with_shards(1).start_with_api();
    sent(&api, "alice", &json!({"user": "bob"}), "one");
    sent(&api, "alice", &json!({"user": "bob"}), "two");
    let mut stream = Stream::ask(&api, "text/event-stream", "", "?after=begin&types=message.created");
    assert!(stream.head().iter().any(|line| line.to_lowercase() == "content-type: text/event-stream"));
    let event = |stream: &mut Stream| loop {
        let mut lines = Vec::new();
        while let Some(line) = stream.line().filter(|line| !line.is_empty()) {
            lines.push(line);
        }
        assert!(!lines.is_empty(), "the stream has ended");
        if lines.iter().any(|line| line.starts_with("data:")) {
            return lines;
        }
    };
    let first = event(&mut stream);
    let [id, kind, data] = &first[..] else { panic!("{first:?}") };
    assert_eq!(kind, "event: message.created");
    assert!(data.starts_with("data: {") && data.contains("\"one\""), "{data}");
    let id = id.strip_prefix("id: ").expect("an id");
    let more = format!("Last-Event-ID: {id}\r\n");
    let mut resumed = Stream::ask(&api, "text/event-stream", &more, "?after=begin&types=message.created");
    resumed.head();
    assert!(event(&mut resumed)[2].contains("\"two\""), "the header replaces the query");
}

#[test]
fn no_event_is_missed_or_doubled_over_kills_and_restarts() {
    let home = Home::new();
    let (server, api) = home.start_with_api();
    let mut cursor = "begin".to_owned();
    let (mut told, mut acknowledged) = (Vec::new(), BTreeSet::new());
    let (mut server, mut api) = (Some(server), api);
    for round in 0..4 {
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let mut accepted = Vec::new();
                for n in 0..40 {
                    let (from, to) = (format!("u-{}", n % 5), json!({"user": format!("u-{}", n % 7 + 1)}));
                    let id = format!("r{round}-{n}");
                    let answer = send(&api, &from, &to, &id);
                    assert_eq!(answer.status, 201, "{answer:?}");
                    accepted.push(id);
                }
                is_done.store(true, Ordering::SeqCst);
                accepted
            });
            let mut stream = Stream::open(&api, &format!("?after={cursor}&types=message.created"));
            // Half of the rounds leave something behind for the next stream.
            let wanted = if round % 2 == 0 { 40 * (round + 1) } else { told.len() + 13 };
            while told.len() < wanted {
                let event = stream.next().expect("it goes on");
                cursor = cursor_of(&event);
                told.push(event["message"]["client_msg_id"].as_str().expect("an id").to_owned());
            }
            acknowledged.extend(sending.join().expect("it sends"));
        });
        assert!(is_done.load(Ordering::SeqCst));
        server.take().expect("it runs").end_in_turn(round);
        server = Some(home.start());
        api = home.api();
    }
    let mut stream = Stream::open(&api, &format!("?after={cursor}&types=message.created"));
    while told.len() < acknowledged.len() {
        told.push(stream.next().expect("it goes on")["message"]["client_msg_id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(told.len(), told.iter().collect::<BTreeSet<_>>().len(), "nothing twice");
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), acknowledged);
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_code() {
    let (server, api) = Home::new().with_shards(1).with_config("[admin]\nevent_streams_max = 1\n").start_with_api();
    sent(&api, "alice", &json!({"user": "bob"}), "one");
    let cursor = cursor_of(&from_begin_to_the_message(&api, "one")[0]);
    let refused = |query: &str| api.get(&format!("/v1/events{query}")).refusal();
    let open = crate::common::wait_for("the place of the stream before", || {
        let mut stream = Stream::ask(&api, LINES, "", "?after=begin");
        stream.head()[0].contains(" 200 ").then_some(stream)
    });
    assert_eq!(refused(""), (503, "busy".to_owned()), "all places are taken");
    drop(open);
    for (query, code) in [
        ("?after=nonsense", "invalid_param"),
        ("?after=", "invalid_param"),
        ("?types=message.created,weather", "invalid_param"),
        ("?user=", "invalid_param"),
        ("?since=begin", "invalid_param"),
    ] {
        let answer = crate::common::wait_for("a place", || Some(refused(query)).filter(|(status, _)| *status != 503));
        assert_eq!(answer, (400, code.to_owned()), "{query}");
    }
    let (logs, rest) = cursor.split_once('.').expect("a cursor has parts");
    let other_logs = format!("?after={:08x}.{rest}", u32::from_str_radix(logs, 16).expect("hexadecimal") ^ 1);
    for query in [other_logs, format!("?after={logs}.9-40"), format!("?after={logs}.1-48"), format!("?after={logs}")] {
        assert_eq!(refused(&query), (410, "cursor_superseded".to_owned()), "{query}");
    }
    assert_eq!(refused(&format!("?after={logs}.0-40")), (410, "cursor_expired".to_owned()));
    let metrics = api.get("/metrics").body;
    assert!(metrics.contains("mushan_event_streams 0") && metrics.contains("mushan_events_sent_total"), "{metrics}");

    let mut stream = Stream::open(&api, "");
    let begun = Instant::now();
    assert!(server.stop().status.success());
    assert!(begun.elapsed() < PATIENCE / 4, "an open stream does not hold up a stop");
    assert!(stream.next().is_none(), "the stream ends with the server");
}

#[test]
fn a_client_that_does_not_read_costs_only_itself() {
    let (_server, api) = Home::new().with_shards(1).start_with_api();
    let mut idle = Stream::ask(&api, LINES, "", "?after=begin");
    idle.head();
    let content = "x".repeat(50_000);
    for n in 0..60 {
        let body = json!({"from": "alice", "to": {"user": "bob"}, "client_msg_id": format!("m-{n}"), "payload": {"text": content}});
        assert_eq!(api.post("/v1/messages", &body).status, 201);
    }
    let mut other = Stream::open(&api, "?after=begin&types=message.created");
    for n in 0..60 {
        assert_eq!(other.next_of("message.created")["message"]["client_msg_id"], format!("m-{n}"));
    }
    let mut told = 0;
    while told < 60 {
        let event = idle.next().expect("nothing is lost for one that reads late");
        told += usize::from(event["event"] == "message.created");
    }
}

#[test]
fn a_payload_has_its_digits_in_streams_and_in_pages() {
    let (_server, api) = Home::new().with_shards(1).start_with_api();
    let payload = r#"{"z":12345678901234567890123,"a":1.10,"a":[ ]}"#;
    let body = format!(r#"{{"from":"alice","to":{{"user":"bob"}},"client_msg_id":"one","payload":{payload}}}"#);
    assert_eq!(api.ask("POST", "/v1/messages", &body).status, 201);
    let mut stream = Stream::open(&api, "?after=begin&types=message.created");
    let line = std::iter::from_fn(|| stream.line()).find(|line| line.contains("message.created")).expect("an event");
    let pages = ["/v1/users/bob/inbox", "/v1/users/alice/history/bob", "/v1/users/bob/conversations"];
    for text in pages.map(|path| api.get(path).body).into_iter().chain([line]) {
        assert!(text.contains(&format!(r#""payload":{payload}"#)), "{text}");
    }
}

#[test]
fn a_log_that_is_damaged_ends_a_stream_after_the_events_before_the_damage() {
    let home = Home::new().with_shards(1);
    let (_server, api) = home.start_with_api();
    for id in ["one", "two", "broken", "after"] {
        sent(&api, "alice", &json!({"user": "bob"}), id);
    }
    let log = home.data_dir().join("shard-000").join("00000001.log");
    let bytes = std::fs::read(&log).expect("readable");
    let at = bytes.windows(6).position(|window| window == b"broken").expect("it is in the log");
    let file = std::fs::OpenOptions::new().write(true).open(&log).expect("it can be written");
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", at as u64).expect("written");
    let mut stream = Stream::open(&api, "?after=begin&types=message.created");
    let told: Vec<Value> = std::iter::from_fn(|| stream.next()).collect();
    let [one, two, end] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&one["message"]["client_msg_id"], &two["message"]["client_msg_id"]), (&json!("one"), &json!("two")));
    assert_eq!((&end["event"], &end["code"]), (&json!("error"), &json!("unreadable")), "{end}");
}
