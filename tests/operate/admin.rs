//! The operator's HTTP API of the real server: who may ask, what is refused, what it bounds, and how it starts and
//! stops.

use crate::common::http::{Answer, Api};
use crate::common::{Home, mushan, run, wait_for};
use mushan::model::Order;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::time::{Duration, Instant};

/// One of each request that is an order, as a client would send it.
const ORDERS: [(&str, &str, &str); 8] = [
    ("POST", "/v1/groups", r#"{"id":"team","owner":"alice","members":["bob","carol"]}"#),
    ("GET", "/v1/groups/team?limit=2&after=alice", ""),
    ("POST", "/v1/groups/team/members", r#"{"add":["dave"],"remove":["bob"]}"#),
    ("PUT", "/v1/groups/team/members/carol", r#"{"role":"admin","muted_until":0}"#),
    ("PUT", "/v1/users/alice/blocks/bob", ""),
    ("DELETE", "/v1/users/alice/blocks/bob", ""),
    ("PUT", "/v1/users/alice", "{}"),
    ("GET", "/v1/users/alice", ""),
];

#[test]
fn the_token_is_made_once_and_only_its_owner_can_read_it() {
    let home = Home::new();
    let (server, api) = home.start_with_api();
    let path = home.data_dir().join("admin-token");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(api.token.len() == 64 && api.token.bytes().all(|digit| digit.is_ascii_hexdigit()), "32 bytes in hex");
    assert_eq!(api.get("/readyz").status, 200);
    let exit = server.stop();
    assert!(!exit.output.contains(&api.token) && !exit.errors.contains(&api.token), "never printed");
    drop(home.start());
    assert_eq!(home.api().token, api.token, "made once");
}

#[test]
fn who_has_no_token_is_told_nothing_but_that_the_server_lives() {
    let (_server, api) = Home::new().start_with_api();
    assert_eq!(api.ask_with("", "GET", "/healthz", "").json(), json!({"status": "alive"}));
    let wrong = format!("Authorization: Bearer {}\r\n", "0".repeat(64));
    let basic = format!("Authorization: Basic {}\r\n", api.token);
    let others = [("GET", "/readyz", ""), ("GET", "/metrics", ""), ("GET", "/v1/openapi.json", ""), ("GET", "/no", "")];
    for (method, path, body) in ORDERS.into_iter().chain(others).chain([("POST", "/healthz", "")]) {
        for headers in ["", &wrong, &basic] {
            let answer = api.ask_with(headers, method, path, body);
            assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()), "{method} {path}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
        }
    }
}

#[test]
fn what_is_not_the_contract_is_refused_before_any_shard_hears_of_it() {
    let (_server, api) = Home::new().start_with_api();
    let long = "x".repeat(65);
    let many = json!({"add": (0..10_001).map(|number| number.to_string()).collect::<Vec<_>>()}).to_string();
    let most = Order::MEMBERS_MAX.to_string();
    let cases: &[(&str, &str, &str, &str)] = &[
        ("POST", "/v1/groups", "", "body"),
        ("POST", "/v1/groups", "[", "body"),
        ("POST", "/v1/groups", r#"{"id":"g","owner":"a","members":["b"]} {}"#, "trailing"),
        ("POST", "/v1/groups", r#"{"id":"g","owner":"a","members":["b"],"name":"G"}"#, "name"),
        ("POST", "/v1/groups", r#"{"id":"g","id":"h","owner":"a","members":["b"]}"#, "duplicate"),
        ("POST", "/v1/groups", r#"{"id":"","owner":"a","members":["b"]}"#, "the group's id is empty"),
        ("POST", "/v1/groups", r#"{"id":"g","owner":"a\n","members":["b"]}"#, "owner holds a control character"),
        ("POST", "/v1/groups", r#"{"id":"g","owner":"a","members":["b",""]}"#, "members[1] is empty"),
        ("POST", "/v1/groups", r#"{"id":"g","owner":"a","members":[7]}"#, "string"),
        ("GET", &format!("/v1/groups/{long}"), "", "longer than 64 bytes"),
        ("GET", "/v1/groups/%FF", "", "UTF-8"),
        ("GET", "/v1/groups/g?limit=0", "", "limit"),
        ("GET", "/v1/groups/g?limit=1001", "", "limit"),
        ("GET", "/v1/groups/g?limit=few", "", "limit"),
        ("GET", "/v1/groups/g?page=2", "", "page"),
        ("POST", "/v1/groups/g/members", "{}", "both empty"),
        ("POST", "/v1/groups/g/members", r#"{"add":["a"],"remove":["b","a"]}"#, "both"),
        ("POST", "/v1/groups/g/members", &many, &most),
        ("PUT", "/v1/groups/g/members/b", "{}", "neither"),
        ("PUT", "/v1/groups/g/members/b", r#"{"role":"king"}"#, "role"),
        ("PUT", "/v1/users/b/profile", "[]", "expected an object"),
        ("PUT", "/v1/users/b/devices/d", r#"{"quiet":[1,2,3]}"#, "expected an object"),
        (
            "POST",
            "/v1/messages",
            r#"{"from":"a","to":["b",null],"client_msg_id":"1","payload":{}}"#,
            "expected an object",
        ),
        ("PUT", "/v1/groups/g/members/b", r#"{"muted_until":-1}"#, "-1 is not a whole number"),
        ("DELETE", "/v1/groups/g", r#"{"force":true}"#, "no body"),
        ("PUT", "/v1/users/a/blocks/a", "", "themselves"),
        ("PUT", "/v1/users/a%0Ab", "", "control character"),
    ];
    for (method, path, body, said) in cases {
        let answer = api.ask(method, path, body);
        assert_eq!(answer.refusal(), (400, "invalid_param".to_owned()), "{method} {path} {body}");
        assert!(answer.body.contains(said), "{said:?} is not said: {answer:?}");
    }
}

#[test]
fn a_path_or_a_method_that_is_not_there_is_told_in_json() {
    let (_server, api) = Home::new().start_with_api();
    for path in ["/v1", "/v2/groups", "/v1/groups/", "/v1/groups/a/b/c/d"] {
        assert_eq!(api.get(path).refusal(), (404, "not_found".to_owned()), "{path}");
    }
    for (method, path) in [("DELETE", "/v1/groups"), ("POST", "/metrics"), ("PATCH", "/v1/users/a")] {
        assert_eq!(api.ask(method, path, "").refusal(), (405, "method_not_allowed".to_owned()), "{method} {path}");
    }
}

#[test]
fn the_contract_describes_itself() {
    let (_server, api) = Home::new().start_with_api();
    let description = api.get("/v1/openapi.json").json();
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    assert!(description["paths"]["/v1/groups/{group}/members"]["post"].is_object());
}

#[test]
fn a_body_is_bounded_in_size_and_time() {
    let (_server, api) = Home::new().with_config("[admin]\nbody_bytes_max = 2048\nread_ms = 700\n").start_with_api();
    for bytes in [2_049, 10_000, 16_000] {
        let answer = api.ask("POST", "/v1/groups", &"x".repeat(bytes));
        assert_eq!(answer.refusal(), (413, "payload_too_large".to_owned()), "{bytes} bytes");
    }
    let begun = Instant::now();
    let mut slow = begin(&api, "POST", "/v1/groups", 100);
    slow.write_all(b"{").expect("the server reads");
    assert_eq!(Answer::read(&mut slow).refusal(), (408, "request_timeout".to_owned()));
    assert!(begun.elapsed() >= Duration::from_millis(600));
}

#[test]
fn who_says_nothing_is_let_go_and_makes_room_for_others() {
    let (_server, api) = Home::new().with_config("[admin]\nconnections_max = 2\nread_ms = 700\n").start_with_api();
    let mut silent = [api.connect(), api.connect()];
    silent[1].write_all(b"GET /healthz HTTP/1.1\r\nHost: ").expect("the server reads");
    assert_eq!(api.get("/readyz").status, 200, "once there is room");
    for stream in &mut silent {
        let mut rest = Vec::new();
        // An orderly end or a reset: it is over.
        let _ = stream.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
}

#[test]
fn a_connection_serves_many_requests() {
    let (_server, api) = Home::new().start_with_api();
    let mut stream = api.connect();
    let request = format!("GET /readyz HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", api.token);
    for _request in 0..3 {
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut seen = Vec::new();
        while !seen.ends_with(b"{\"status\":\"ready\"}") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an answer");
            seen.push(byte[0]);
        }
    }
}

/// A request's head, which the server has read by now, its body still to come.
fn begin(api: &Api, method: &str, path: &str, bytes: usize) -> TcpStream {
    let mut stream = api.connect();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n");
    let head = format!("{head}Expect: 100-continue\r\nAuthorization: Bearer {}\r\n\r\n", api.token);
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).expect("it waits for the body");
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    stream
}

/// Samples by name and labels, as written; every family has said what it is.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut helped, mut typed) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a help");
            assert!(help.len() > 5 && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind) && typed.insert(name.to_owned()), "{line}");
            if kind == "histogram" {
                let of_histogram = ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}"));
                helped.extend(of_histogram.clone());
                typed.extend(of_histogram);
            }
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            let name = series.split('{').next().expect("a name");
            assert!(helped.contains(name) && typed.contains(name), "{line}");
            let value = value.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    samples
}

#[tokio::test]
async fn metrics_say_what_the_shards_do_and_what_an_acknowledgement_promises() {
    let (server, api) =
        Home::new().with_config("[durability]\npolicy = \"interval\"\ninterval_ms = 77\n").start_with_api();
    let alice = server.binary("alice").await;
    let sum = |samples: &BTreeMap<String, f64>, name: &str| -> f64 {
        samples.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).sum()
    };
    let online = wait_for("a session in the metrics", || {
        let answer = api.get("/metrics");
        assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
        let samples = samples(&answer.body);
        (sum(&samples, "mushan_sessions{") == 1.0).then_some((answer.body, samples))
    });
    let (text, samples_online) = online;
    assert_eq!(samples_online["mushan_durability_info{policy=\"interval\"}"], 1.0);
    let promise = text.lines().find(|line| line.starts_with("# HELP mushan_durability_info")).expect("a help");
    assert!(promise.contains("power cut after 77 ms"), "{promise}");
    assert_eq!(sum(&samples_online, "mushan_build_info{"), 1.0);
    for shard in ["0", "1"] {
        assert_eq!(samples_online[&format!("mushan_shard_ready{{shard=\"{shard}\"}}")], 1.0);
        assert!(samples_online[&format!("mushan_log_bytes{{shard=\"{shard}\"}}")] > 0.0);
        assert!(samples_online[&format!("mushan_shard_snapshot_age_seconds{{shard=\"{shard}\"}}")] < 30.0);
    }
    drop(alice);
    wait_for("the end of the session in the metrics", || {
        let samples = samples(&api.get("/metrics").body);
        let ended = sum(&samples, "mushan_connections_closed_total{");
        (sum(&samples, "mushan_sessions{") == 0.0 && ended >= 1.0).then_some(())
    });
}

#[test]
fn metrics_may_be_opened_and_nothing_else_with_them() {
    let (_server, api) = Home::new().with_config("[admin]\nmetrics_open = true\n").start_with_api();
    assert_eq!(api.ask_with("", "GET", "/metrics", "").status, 200);
    assert_eq!(api.ask_with("", "GET", "/v1/users/alice", "").status, 401);
}

#[test]
fn the_api_answers_before_the_server_is_ready_and_says_when_it_is() {
    let home = Home::new();
    drop(home.start());
    std::fs::remove_file(home.data_dir().join("admin-url")).expect("the last server's");
    let mut child =
        home.serve("127.0.0.1:0").stdout(std::process::Stdio::null()).spawn().expect("the binary can be run");
    let api = wait_for("the API", || home.data_dir().join("admin-url").exists().then(|| home.api()));
    let ready = wait_for("readiness", || {
        assert_eq!(api.ask_with("", "GET", "/healthz", "").status, 200, "starting is no fault");
        let answer = api.get("/readyz");
        if answer.status == 200 {
            return Some(answer);
        }
        assert_eq!(answer.refusal(), (503, "starting".to_owned()));
        None
    });
    assert_eq!(ready.json(), json!({"status": "ready"}));
    child.kill().expect("our own child");
    child.wait().expect("our own child");
}

#[test]
fn a_request_under_way_is_answered_when_the_server_stops() {
    let (server, api) = Home::new().start_with_api();
    let mut begun = begin(&api, "PUT", "/v1/users/alice", 2);
    let idle = api.connect();
    server.signal("TERM");
    wait_for("the API to accept no more", || TcpStream::connect(api.address).is_err().then_some(()));
    begun.write_all(b"{}").expect("the server reads");
    assert_eq!(Answer::read(&mut begun).refusal(), (503, "stopping".to_owned()), "it was not given to a shard");
    let begun = Instant::now();
    assert_eq!(server.wait().status.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop(idle);
}

#[test]
fn a_port_in_use_is_a_configuration_error_that_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let home = Home::new();
    let mut serve = mushan();
    serve.arg("serve").arg("--data-dir").arg(home.data_dir());
    serve.args(["--listen", "127.0.0.1:0", "--shards", "1", "--admin-listen", &address]);
    let output = run(serve);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains(&address) && errors.contains("--admin-listen") && errors.contains("taken"), "{errors}");
}

#[test]
fn an_address_that_somebody_else_has_is_told() {
    let (home, other) = (Home::new(), Home::new());
    let server = home.start();
    let output = run(other.serve(&server.address.to_string()));
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains(&server.address.to_string()) && errors.contains("taken"), "{errors}");
}

#[test]
fn without_the_api_nothing_listens_and_the_command_line_says_so() {
    let home = Home::new();
    drop(home.start());
    let mut serve = mushan();
    serve.arg("serve").arg("--data-dir").arg(home.data_dir());
    serve.args(["--listen", "127.0.0.1:0", "--admin-listen", "off"]);
    let server = crate::common::Server::try_start(serve).expect("it starts");
    assert!(server.output().contains("off"), "{}", server.output());
    assert!(!home.data_dir().join("admin-url").exists(), "an old address would mislead");
    let output = home.run(&["user", "show", "alice"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mushan serve"), "{output:?}");
}

#[test]
fn the_command_line_tells_what_is_wrong_and_exits_with_1() {
    let home = Home::new();
    let server = home.start();
    let said = |output: Output| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(said(home.run(&["group", "set", "team", "bob"])).contains("--role"));
    let refused = said(home.run(&["group", "add", "team", &"x".repeat(65)]));
    assert!(refused.contains("longer than 64 bytes") && refused.contains("invalid_param"), "{refused}");
    let wrong = home.data_dir().with_file_name("token");
    std::fs::write(&wrong, "0".repeat(64)).expect("written");
    let wrong = wrong.display().to_string();
    assert!(said(home.run(&["user", "show", "alice", "--token-file", &wrong])).contains("unauthorized"));
    assert!(said(home.run(&["user", "show", "alice", "--token-file", "/nowhere"])).contains("/nowhere"));
    assert!(said(home.run(&["user", "show", "alice", "--url", "ftp://x"])).contains("http://"));
    server.stop();
    let gone = said(home.run(&["user", "show", "alice"]));
    assert!(gone.contains("no server") && gone.contains("mushan serve"), "{gone}");
    assert!(!home.data_dir().join("admin-url").exists(), "a stop takes it away");
}

#[test]
fn the_token_goes_to_nobody_but_the_server_that_wrote_the_address() {
    let home = Home::new();
    let (server, api) = home.start_with_api();
    server.kill();
    let other = TcpListener::bind(api.address).or_else(|_| TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("http://{}\n", other.local_addr().expect("bound"));
    std::fs::write(home.data_dir().join("admin-url"), url).expect("written");
    other.set_nonblocking(true).expect("a socket");
    let output = home.run(&["user", "show", "alice"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no server"), "{output:?}");
    assert!(other.accept().is_err(), "nobody came");
}

#[test]
fn a_check_has_the_knobs_and_says_what_the_durability_promises() {
    let mut check = mushan();
    check.args(["check", "--admin-listen", "127.0.0.1:9"]).env("MUSHAN_ADMIN__METRICS_OPEN", "true");
    let check = run(check);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let output = String::from_utf8(check.stdout).expect("text");
    let line =
        |key: &str| output.lines().find(|line| line.contains(key)).unwrap_or_else(|| panic!("no {key}: {output}"));
    assert!(line("admin.listen").contains("127.0.0.1:9") && line("admin.listen").contains("flag"));
    assert!(line("admin.metrics_open").contains("= true") && line("admin.metrics_open").contains("environment"));
    assert!(line("# durability").contains("survives a power cut"));
    let mut wrong = mushan();
    wrong.args(["check", "--admin-listen", "8080x"]).env("MUSHAN_ADMIN__METRICS_OPEN", "maybe");
    let wrong = run(wrong);
    let errors = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(errors.contains("--admin-listen") && errors.contains("expected true or false"), "{errors}");
}

fn expect(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    answer.json()
}

#[test]
fn a_group_lives_over_the_api() {
    let home = Home::new();
    let (server, api) = home.start_with_api();
    let team = r#"{"id":"team","owner":"alice","members":["carol","bob"]}"#;
    for body in [team, team, r#"{"members":["bob","carol","alice"],"owner":"alice","id":"team"}"#] {
        assert_eq!(expect(&api.ask("POST", "/v1/groups", body), 201), json!({"id": "team"}), "a retry is the same");
    }
    let other = api.ask("POST", "/v1/groups", r#"{"id":"team","owner":"bob","members":["carol"]}"#);
    assert_eq!(other.refusal(), (409, "group_exists".to_owned()));

    let shown = expect(&api.get("/v1/groups/team"), 200);
    assert_eq!((&shown["owner"], &shown["member_count"], &shown["next"]), (&json!("alice"), &json!(3), &Value::Null));
    let member = |user: &str, role: &str| json!({"user": user, "role": role, "muted_until": 0});
    let members = json!([member("alice", "owner"), member("bob", "member"), member("carol", "member")]);
    assert_eq!(shown["members"], members);
    let page = expect(&api.get("/v1/groups/team?limit=1&after=alice"), 200);
    assert_eq!((&page["members"], &page["next"]), (&json!([member("bob", "member")]), &json!("bob")));

    for _retry in 0..2 {
        let change = r#"{"add":["dave"],"remove":["bob"]}"#;
        assert_eq!(expect(&api.ask("POST", "/v1/groups/team/members", change), 200), json!({}));
        let until = r#"{"role":"admin","muted_until":99}"#;
        assert_eq!(expect(&api.ask("PUT", "/v1/groups/team/members/dave", until), 200), json!({}));
    }
    assert_eq!(api.ask("PUT", "/v1/groups/team/members/bob", r#"{"role":"admin"}"#).status, 404, "no member any more");
    assert_eq!(server.stop().status.code(), Some(0));

    let (server, api) = home.start_with_api();
    let shown = expect(&api.get("/v1/groups/team"), 200);
    let dave = json!({"user": "dave", "role": "admin", "muted_until": 99});
    assert_eq!(shown["members"], json!([member("alice", "owner"), member("carol", "member"), dave]), "after a restart");
    for _retry in 0..2 {
        assert_eq!(expect(&api.ask("DELETE", "/v1/groups/team", ""), 200), json!({}), "a retry is the same");
    }
    assert_eq!(api.get("/v1/groups/team").refusal(), (404, "conversation_not_exist".to_owned()));
    drop(server);
}

#[test]
fn what_does_not_exist_is_not_found() {
    let (_server, api) = Home::new().start_with_api();
    let not_there = (404, "conversation_not_exist".to_owned());
    assert_eq!(api.get("/v1/groups/none").refusal(), not_there);
    assert_eq!(api.ask("POST", "/v1/groups/none/members", r#"{"add":["a"]}"#).refusal(), not_there);
    assert_eq!(api.ask("DELETE", "/v1/groups/none", "").refusal(), not_there);
    assert_eq!(api.get("/v1/users/nobody").refusal(), (404, "user_not_exist".to_owned()));
}

#[test]
fn users_are_known_and_block_each_other() {
    let (_server, api) = Home::new().start_with_api();
    for _retry in 0..2 {
        for (method, path) in [
            ("PUT", "/v1/users/a%2Fb"),
            ("PUT", "/v1/users/a%2Fb/blocks/%E5%B0%8F"),
            ("DELETE", "/v1/users/a%2Fb/blocks/%E5%B0%8F"),
            ("PUT", "/v1/users/a%2Fb/disabled"),
            ("DELETE", "/v1/users/a%2Fb/disabled"),
            ("POST", "/v1/users/a%2Fb/tokens/revoke"),
        ] {
            assert_eq!(expect(&api.ask(method, path, ""), 200), json!({}), "{method} {path}");
        }
    }
    let shown = expect(&api.get("/v1/users/a%2Fb"), 200);
    assert_eq!((&shown["id"], &shown["known"], &shown["sessions"]), (&json!("a/b"), &json!(true), &json!(0)));
}

#[test]
fn the_command_line_drives_groups_and_users() {
    let home = Home::new();
    let _server = home.start();
    let said = |arguments: &[&str]| {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(said(&["group", "create", "team", "--owner", "alice", "--members", "bob", "carol"]).contains("team"));
    said(&["group", "add", "team", "dave"]);
    said(&["group", "remove", "team", "bob"]);
    said(&["group", "set", "team", "dave", "--role", "admin", "--mute-for", "1h"]);
    let shown: Value = serde_json::from_str(&said(&["group", "show", "team", "--json"])).expect("JSON");
    assert_eq!(shown["member_count"], json!(3));
    assert!(said(&["group", "show", "team"]).contains("dave (admin, muted until"));
    said(&["user", "add", "erin"]);
    said(&["user", "block", "erin", "bob"]);
    said(&["user", "unblock", "erin", "bob"]);
    assert!(said(&["user", "show", "erin"]).starts_with("erin: never seen"));
    assert!(said(&["user", "disable", "erin"]).contains("disabled"));
    assert!(said(&["user", "show", "erin"]).starts_with("erin: disabled; never seen"));
    assert!(said(&["user", "enable", "erin"]).contains("enabled"));
    assert!(said(&["user", "revoke-tokens", "erin"]).contains("until now are invalid"));
    assert!(said(&["user", "show", "erin"]).contains("tokens issued before"));
    let lifted = said(&["user", "revoke-tokens", "erin", "--issued-before", "5000"]);
    assert!(lifted.contains("before 1970-01-01 00:00:05 UTC are invalid"));
    let shown: Value = serde_json::from_str(&said(&["user", "show", "erin", "--json"])).expect("JSON");
    assert_eq!((&shown["disabled"], &shown["tokens_from"]), (&json!(false), &json!(5_000)));
    let refused = |arguments: &[&str]| {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    assert!(refused(&["group", "remove", "team", "alice"]).contains("make another member the owner first"));
    assert!(refused(&["group", "set", "team", "alice", "--role", "member"]).contains("owns the group"));
    assert!(refused(&["user", "revoke-tokens", "erin", "--issued-before", "99999999999999"]).contains("invalid"));
    assert!(refused(&["user", "show", "ghost"]).contains("there is no user ghost"));
    said(&["group", "dissolve", "team"]);
    assert!(refused(&["group", "show", "team"]).contains("there is no group team"));
    said(&["group", "create", "alone", "--owner", "alice"]);
    assert!(said(&["group", "show", "alone"]).starts_with("alone: 1 member, owned by alice"));
}
