//! The way of a sampled message, as a collector is told of it: OTLP over HTTP, decoded by OpenTelemetry's own types.

use crate::common::{Home, Server, wait_for};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const WORDS: &str = "the-treasure-lies-under-the-oak";

/// A collector: keeps the bytes of each request that it was sent. Listens as long as the test's process.
struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let collector = Self { address: listener.local_addr().expect("it listens"), bodies: Arc::default() };
        let bodies = collector.bodies.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let bodies = bodies.clone();
                std::thread::spawn(move || take(stream, &bodies));
            }
        });
        collector
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let bodies = self.bodies.lock().expect("no panic").clone();
        bodies.iter().map(|body| ExportTraceServiceRequest::decode(&body[..]).expect("OTLP")).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

fn take(stream: TcpStream, bodies: &Mutex<Vec<Vec<u8>>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let (mut length, mut is_protobuf, mut first) = (0, false, None);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let line = line.trim_end().to_lowercase();
            first.get_or_insert_with(|| line.clone());
            is_protobuf |= line == "content-type: application/x-protobuf";
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().ok()?;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let is_asked = is_protobuf && first.is_some_and(|first| first.starts_with("post /v1/traces "));
        if is_asked {
            bodies.lock().expect("no panic").push(body);
        }
        let status = if is_asked { "200 OK" } else { "400 Bad Request" };
        stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).ok()?;
    }
}

fn home(address: SocketAddr, one_in: u64) -> Home {
    let config = format!("[telemetry]\notlp_url = \"http://{address}/v1/traces\"\nsample_one_in = {one_in}\n");
    Home::new().with_limits(&config).with_shards(2)
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Attribute::StringValue(text) => Some(text.clone()),
        Attribute::IntValue(number) => Some(number.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}

fn of_message(spans: &[Span], id: &str) -> Vec<Span> {
    let is_its = |span: &&Span| attribute(span, "mushan.client_message_id").as_deref() == Some(id);
    spans.iter().filter(is_its).cloned().collect()
}

fn named<'a>(spans: &'a [Span], name: &str, shard: &str) -> &'a Span {
    let is_it = |span: &&Span| span.name == name && attribute(span, "mushan.shard").as_deref() == Some(shard);
    spans.iter().find(is_it).unwrap_or_else(|| panic!("no {name} of shard {shard} in {spans:#?}"))
}

/// Alice's messages to bob cross a lane: they belong to different shards, and the conversation to hers.
#[tokio::test]
async fn one_trace_shows_the_way_of_a_message_over_two_shards_in_order() {
    let collector = Collector::start();
    let server = home(collector.address, 1).start();
    let (mut alice, mut bob) = (server.rpc("alice").await, server.rpc("bob").await);
    alice.send("bob", "traced", json!({"text": WORDS})).await;
    bob.next("recv").await;
    let is_whole = |spans: &Vec<Span>| {
        spans.iter().filter(|span| span.name == "sync").count() == 2
            && ["send", "push"].iter().all(|name| spans.iter().any(|span| span.name == *name))
    };
    let spans =
        wait_for("the whole trace", || Some(of_message(&collector.spans(), "traced")).filter(|spans| is_whole(spans)));
    let traces: BTreeSet<&[u8]> = spans.iter().map(|span| &span.trace_id[..]).collect();
    assert!(traces.len() == 1 && traces.iter().all(|trace| trace.len() == 16), "{traces:?}");
    let ids: BTreeSet<&[u8]> = spans.iter().map(|span| &span.span_id[..]).collect();
    assert_eq!(ids.len(), spans.len(), "an id a span: {spans:#?}");

    let (send, commit) = (named(&spans, "send", "1"), named(&spans, "commit", "1"));
    let (written, lane) = (named(&spans, "sync", "1"), named(&spans, "lane", "0"));
    let (delivery, pushed) = (named(&spans, "delivery", "0"), named(&spans, "push", "0"));
    let durable = named(&spans, "sync", "0");
    assert!(send.parent_span_id.is_empty());
    for part in [commit, lane, delivery, pushed] {
        assert_eq!(part.parent_span_id, send.span_id, "{part:?}");
    }
    assert_eq!((&written.parent_span_id, &durable.parent_span_id), (&commit.span_id, &delivery.span_id));
    for span in &spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
    }
    let starts = [send, commit, written, lane, delivery, durable, pushed].map(|span| span.start_time_unix_nano);
    assert!(starts.is_sorted(), "{starts:?} in {spans:#?}");
    assert!(written.end_time_unix_nano <= commit.end_time_unix_nano, "a sync ends within what waits for it");
    assert!(lane.start_time_unix_nano <= commit.end_time_unix_nano, "a lane begins in the turn that acknowledged");
    assert!(lane.end_time_unix_nano <= delivery.start_time_unix_nano, "a lane ends where the delivery begins");
    assert!(commit.end_time_unix_nano <= send.end_time_unix_nano, "the reply comes with the commit");

    assert_eq!(attribute(send, "mushan.outcome").as_deref(), Some("sent"));
    assert_eq!(attribute(lane, "mushan.from_shard").as_deref(), Some("1"));
    assert_eq!(attribute(pushed, "mushan.sessions").as_deref(), Some("1"));
    assert_eq!(attribute(send, "mushan.message_id"), attribute(pushed, "mushan.message_id"));
    let bytes = collector.bodies.lock().expect("no panic").concat();
    let says = |words: &str| bytes.windows(words.len()).any(|window| window == words.as_bytes());
    assert!(says("alice") && !says(WORDS) && !says(&server.token("alice")[..20]), "ids, and nothing else");
    assert!(server.stop().status.success());
}

#[tokio::test]
async fn what_a_backend_sends_and_what_is_refused_have_a_root_as_well() {
    let collector = Collector::start();
    let home = home(collector.address, 1);
    let (server, api) = home.start_with_api();
    let body = json!({"from": "alice", "to": {"user": "bob"}, "client_msg_id": "order", "payload": {"text": "hello"}});
    api.post("/v1/messages", &body).expect(201);
    let mut alice = server.rpc("alice").await;
    let refused = json!({"clientMsgNo": "refused", "channelId": "nobody", "channelType": 2, "payload": {"type": 1}});
    assert!(!alice.call("send", refused).await["error"].is_null());
    let outcome = |id: &str| {
        let root = of_message(&collector.spans(), id).into_iter().find(|span| span.name == "send");
        root.and_then(|span| attribute(&span, "mushan.outcome"))
    };
    assert_eq!(wait_for("the order's root", || outcome("order")), "sent");
    assert_eq!(wait_for("the root of what was refused", || outcome("refused")), "conversation_not_exist");
    wait_for("the count", || (api.sample("mushan_spans_exported_total ") >= 2.0).then_some(()));
    assert!(server.stop().status.success());
}

#[tokio::test]
async fn a_collector_that_is_down_costs_counted_spans_and_nothing_else() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one");
    let home = home(nobody, 1);
    let (server, api) = home.start_with_api();
    let (mut alice, mut bob) = (server.rpc("alice").await, server.rpc("bob").await);
    for number in 0..100 {
        alice.send("bob", &format!("m{number}"), json!({"type": 1})).await;
        bob.next("recv").await;
    }
    wait_for("the count", || (api.sample("mushan_spans_lost_total{reason=\"collector\"}") >= 400.0).then_some(()));
    assert_eq!(api.sample("mushan_spans_exported_total "), 0.0);
    assert!(server.errors().contains("spans are lost"), "{}", server.errors());
    assert_eq!(server.errors().matches("spans are lost").count(), 1, "once a minute");
    assert!(server.stop().status.success());
}

#[tokio::test]
async fn few_messages_are_sampled_none_by_default_and_a_wrong_setting_is_refused() {
    let collector = Collector::start();
    let home_of_few = home(collector.address, 10);
    let (server, api) = home_of_few.start_with_api();
    let mut alice = server.rpc("alice").await;
    for number in 0..300 {
        alice.send("bob", &format!("m{number}"), json!({"type": 1})).await;
    }
    let traces = || collector.spans().iter().map(|span| span.trace_id.clone()).collect::<BTreeSet<_>>().len();
    wait_for("some traces", || (traces() > 0).then_some(()));
    assert!(server.stop().status.success());
    assert!((5..100).contains(&traces()), "{} of 300", traces());
    drop(api);

    let plain = Home::new();
    let (server, api) = plain.start_with_api();
    server.rpc("alice").await.send("bob", "m", json!({"type": 1})).await;
    assert_eq!(api.sample("mushan_spans_exported_total ") + api.sample("mushan_spans_lost_total{"), 0.0);
    drop(server);

    for (setting, why) in [
        ("otlp_url = \"http://collector.example.org/v1/traces\"", "use https"),
        ("otlp_url = \"http://127.0.0.1:4318/\"\nsample_one_in = 0", "out of range"),
    ] {
        let wrong = Home::new().with_limits(&format!("[telemetry]\n{setting}\n"));
        let said = Server::try_start(wrong.serve("127.0.0.1:0")).err().expect("it does not start");
        assert!(said.starts_with("exit status: 1") && said.contains(why), "{said}");
    }
}
