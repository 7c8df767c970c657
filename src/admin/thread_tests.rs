//! The control thread with a test in place of the shards: what is under way, when it starts, waits, gives up and stops.

use super::serve;
use crate::model::{Answer, Order, Refusal, UserState};
use crate::server::{AdminOptions, ControlTestBench, Operator, Options};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(60);

struct Bench {
    directory: TempDir,
    operator: Operator,
    endpoints: Vec<crate::server::ControlEndpoint>,
    shared: std::sync::Arc<crate::server::Shared>,
}

/// A status and a body.
type HttpReply = (u16, String);

impl Bench {
    fn new(admin: AdminOptions) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let options = Options {
            admin: AdminOptions { listen, ..admin },
            data_dir: directory.path().to_owned(),
            ..Options::default()
        };
        let ControlTestBench { control, endpoints, shared } = ControlTestBench::new(options, 1);
        let operator = serve(control).expect("started").expect("an address is given");
        Self { directory, operator, endpoints, shared }
    }

    fn ready(admin: AdminOptions) -> Self {
        let bench = Self::new(admin);
        bench.shared.count_ready();
        // The first question of every control thread.
        let (ticket, order) = bench.endpoints[0].take();
        assert!(matches!(order, Order::ListErased { .. }), "{order:?}");
        bench.endpoints[0].reply(ticket, Answer::Erased(Vec::new()));
        bench
    }

    /// Asks on a thread of its own.
    fn ask(&self, method: &'static str, path: &'static str) -> JoinHandle<HttpReply> {
        let token = std::fs::read_to_string(self.directory.path().join("admin-token")).expect("there");
        let address = self.operator.address;
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.set_read_timeout(Some(TIMEOUT)).expect("a socket");
            let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n");
            let request = format!("{head}Authorization: Bearer {}\r\n\r\n", token.trim());
            stream.write_all(request.as_bytes()).expect("it reads");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("an answer");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            (status, body.to_owned())
        })
    }

    fn reply_to(&self, method: &'static str, path: &'static str) -> HttpReply {
        reply_of(self.ask(method, path))
    }
}

fn reply_of(asking: JoinHandle<HttpReply>) -> HttpReply {
    asking.join().expect("it asked")
}

#[test]
fn a_server_that_starts_lives_and_takes_no_orders() {
    let bench = Bench::new(AdminOptions::default());
    assert_eq!(bench.reply_to("GET", "/healthz"), (200, r#"{"status":"alive"}"#.to_owned()));
    for path in ["/readyz", "/v1/users/ann"] {
        let (status, body) = bench.reply_to("GET", path);
        assert!(status == 503 && body.contains(r#""starting""#), "{status} {body}");
    }
    bench.shared.count_ready();
    assert_eq!(bench.reply_to("GET", "/readyz").0, 200);
}

#[test]
fn each_is_given_the_answer_to_its_own_order() {
    let bench = Bench::ready(AdminOptions::default());
    let first = bench.ask("GET", "/v1/users/ann");
    let (first_ticket, first_order) = bench.endpoints[0].take();
    let second = bench.ask("PUT", "/v1/users/ben");
    let (second_ticket, _) = bench.endpoints[0].take();
    bench.endpoints[0].reply(second_ticket, Answer::Unchanged);
    assert_eq!(reply_of(second), (200, "{}".to_owned()));
    let Order::ShowUser { user } = first_order else { panic!("{first_order:?}") };
    let newest_seq = crate::model::Seq(7);
    let state = UserState {
        id: user,
        is_known: true,
        sessions: 0,
        newest_seq,
        conversations: 1,
        last_seen: crate::model::Millis(9),
        account: crate::model::AccountState::Enabled,
        tokens_from: crate::model::Millis(0),
    };
    bench.endpoints[0].reply(first_ticket, Answer::User(Box::new(state)));
    let expected = r#"{"id":"ann","known":true,"sessions":0,"newest_seq":7,"conversations":1,"last_seen":9,"disabled":false,"tokens_from":0,"erased":false}"#;
    assert_eq!(reply_of(first), (200, expected.to_owned()));
}

#[test]
fn a_refusal_has_its_name_and_what_makes_no_sense_is_our_fault() {
    let bench = Bench::ready(AdminOptions::default());
    for (answer, status, code) in [
        (Answer::Refused(Refusal::StorageFull.into()), 507, "storage_full"),
        (Answer::Refused(Refusal::UserNotExist.into()), 404, "user_not_exist"),
        (Answer::Done, 500, "internal"),
    ] {
        let asking = bench.ask("GET", "/v1/users/ann");
        let (ticket, _) = bench.endpoints[0].take();
        bench.endpoints[0].reply(ticket, answer);
        let (heard_status, body) = reply_of(asking);
        assert!(heard_status == status && body.contains(code), "{heard_status} {body}");
    }
}

#[test]
fn an_order_that_takes_too_long_keeps_its_place_until_it_is_answered() {
    let bench = Bench::ready(AdminOptions { orders_max: 1, order_ms: 200, ..AdminOptions::default() });
    let (status, body) = bench.reply_to("PUT", "/v1/users/ann");
    assert!(status == 504 && body.contains("\"timeout\"") && body.contains("unknown"), "{status} {body}");
    let (status, body) = bench.reply_to("PUT", "/v1/users/ben");
    assert!(status == 503 && body.contains("\"busy\""), "{status} {body}");
    let (ticket, _) = bench.endpoints[0].take();
    bench.endpoints[0].reply(ticket, Answer::Done);
    let begun = Instant::now();
    loop {
        let asking = bench.ask("PUT", "/v1/users/ben");
        if reply_of(asking).0 == 504 {
            break;
        }
        assert!(begun.elapsed() < TIMEOUT, "the place is never free again");
    }
}

#[test]
fn a_stop_waits_for_orders_under_way_and_takes_no_more() {
    let Bench { directory, operator, mut endpoints, shared } = Bench::ready(AdminOptions::default());
    let bench = Bench { directory, operator, endpoints: Vec::new(), shared };
    let endpoint = endpoints.remove(0);
    let asking = bench.ask("PUT", "/v1/users/ann");
    let (ticket, _) = endpoint.take();
    bench.shared.count_settled();
    bench.shared.stop();
    std::thread::sleep(Duration::from_millis(100));
    assert!(!bench.shared.are_all_settled(), "shards wait for it");
    assert!(TcpStream::connect(bench.operator.address).is_err(), "nobody else is let in");
    endpoint.reply(ticket, Answer::Done);
    assert_eq!(reply_of(asking).0, 200);
    bench.operator.thread.join().expect("it ends");
    assert!(bench.shared.are_all_settled());
}

#[test]
fn orders_of_a_shard_that_ends_are_answered_with_what_is_known() {
    let mut bench = Bench::ready(AdminOptions::default());
    let asking = bench.ask("PUT", "/v1/users/ann");
    let _order = bench.endpoints[0].take();
    bench.shared.stop();
    bench.endpoints.clear();
    let (status, body) = reply_of(asking);
    assert!(status == 504 && body.contains("unknown"), "{status} {body}");
    bench.operator.thread.join().expect("it ends");
}
