//! The console's side of the HTTP API: its pages, its logins, its roles, the audit trail, the live numbers.

use crate::common::http::{Answer, Api};
use crate::common::{Home, PATIENCE};
use serde_json::json;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const OWN: &str = "Sec-Fetch-Site: same-origin\r\n";

fn read_token(data_dir: &Path) -> String {
    std::fs::read_to_string(data_dir.join("read-token")).expect("it is there").trim().to_owned()
}

/// The cookie of a login with this token, as a header.
fn log_in(api: &Api, token: &str) -> String {
    let body = json!({ "token": token }).to_string();
    let answer = api.ask_with(OWN, "POST", "/v1/console/login", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let set = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    for part in ["path=/", "max-age=43200", "httponly", "samesite=strict"] {
        assert!(set.split("; ").any(|it| it == part), "{part} in {set}");
    }
    assert!(!set.contains(token), "the cookie has nothing of the token");
    format!("Cookie: {}\r\n", set.split(';').next().expect("a pair"))
}

fn refused(answer: &Answer) -> (u16, String) {
    answer.refusal()
}

#[test]
fn everybody_is_shown_the_page_and_nothing_behind_it() {
    let (_server, api) = Home::new().with_shards(1).start_with_api();
    for path in ["/", "/console"] {
        let answer = api.ask_with("", "GET", path, "");
        assert_eq!(answer.status, 307);
        assert!(answer.head.contains("location: /console/"), "{answer:?}");
    }
    let page = api.ask_with("", "GET", "/console/", "");
    assert_eq!(page.status, 200);
    for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "nosniff"] {
        assert!(page.head.contains(part), "{part} in {page:?}");
    }
    assert!(page.head.contains("cache-control: no-cache"), "{page:?}");
    let script = page.body.split('"').find(|part| part.starts_with("/console/assets/")).expect("an asset");
    let asset = api.ask_with("", "GET", script, "");
    assert_eq!(asset.status, 200);
    assert!(asset.head.contains("immutable"), "{}", asset.head);
    for path in ["/console/../admin-token", "/console/none", "/console/assets/"] {
        assert_eq!(api.ask_with("", "GET", path, "").status, 404, "{path}");
    }
    assert_eq!(refused(&api.ask_with("", "POST", "/console/", "")), (401, "unauthorized".to_owned()));
    assert_eq!(api.ask_with("", "GET", "/v1/console/login", "").expect(200)["role"], "none");
    assert_eq!(refused(&api.ask_with("", "GET", "/v1/overview/stream", "")), (401, "unauthorized".to_owned()));
}

#[test]
fn a_login_acts_until_its_logout_and_only_for_pages_of_this_server() {
    let (_server, api) = Home::new().with_shards(1).start_with_api();
    let cookie = log_in(&api, &api.token);
    let with = |lines: &str| format!("{cookie}{lines}");
    assert_eq!(api.ask_with(&with(OWN), "GET", "/v1/console/login", "").expect(200)["role"], "full");
    assert_eq!(api.ask_with(&with(OWN), "PUT", "/v1/users/alice", "").status, 200);
    for lines in ["", "Sec-Fetch-Site: same-site\r\n", "Sec-Fetch-Site: none\r\n", "Origin: http://localhost:1\r\n"] {
        let answer = api.ask_with(&with(lines), "PUT", "/v1/users/alice/disabled", "");
        assert_eq!(refused(&answer), (403, "cross_site".to_owned()), "{lines}");
    }
    let foreign = api.ask_with(&with("Sec-Fetch-Site: same-site\r\n"), "GET", "/v1/users/alice", "");
    assert_eq!(refused(&foreign), (401, "unauthorized".to_owned()), "a page of another port reads nothing");
    assert_eq!(api.get("/v1/users/alice").expect(200)["disabled"], false);
    assert_eq!(api.ask_with(&with(OWN), "POST", "/v1/console/logout", "").status, 200);
    let after = api.ask_with(&with(OWN), "GET", "/v1/users/alice", "");
    assert_eq!(refused(&after), (401, "unauthorized".to_owned()));
}

#[test]
fn who_reads_only_changes_nothing_by_token_or_cookie() {
    let home = Home::new().with_shards(1);
    let (_server, api) = home.start_with_api();
    let token = read_token(&home.data_dir());
    let cookie = format!("{}{OWN}", log_in(&api, &token));
    api.ask("PUT", "/v1/users/alice", "").expect(200);
    api.ask("PUT", "/v1/users/alice/devices/phone", r#"{"provider":"fcm","token":"push-token"}"#).expect(200);
    for headers in [format!("Authorization: Bearer {token}\r\n"), cookie.clone()] {
        assert_eq!(api.ask_with(&headers, "GET", "/v1/console/login", "").expect(200)["role"], "read_only");
        assert_eq!(api.ask_with(&headers, "GET", "/v1/users/alice", "").status, 200);
        assert_eq!(api.ask_with(&headers, "POST", "/v1/presence", r#"{"users":["alice"]}"#).status, 200);
        let devices = api.ask_with(&headers, "GET", "/v1/users/alice/devices", "").expect(200);
        assert_eq!((devices["devices"][0]["id"].as_str(), devices["devices"][0].get("token")), (Some("phone"), None));
        let withheld = api.ask_with(&headers, "GET", "/v1/users/alice/devices?tokens=full", "");
        assert_eq!(refused(&withheld), (403, "read_only".to_owned()), "what reaches a device is a secret");
        let exported = api.ask_with(&headers, "GET", "/v1/users/alice/export", "");
        assert!(exported.body.contains(r#""kind":"device""#) && !exported.body.contains("push-token"), "{exported:?}");
        for (method, path, body) in [
            ("PUT", "/v1/users/alice/disabled", ""),
            ("DELETE", "/v1/users/alice", ""),
            ("POST", "/v1/tokens", r#"{"user":"alice"}"#),
            ("POST", "/v1/groups", r#"{"id":"team","owner":"alice"}"#),
            ("PUT", "/v1/log-level", r#"{"level":"debug"}"#),
            ("POST", "/v1/drain", r#"{"over_ms":1}"#),
        ] {
            let answer = api.ask_with(&headers, method, path, body);
            assert_eq!(refused(&answer), (403, "read_only".to_owned()), "{method} {path}");
        }
    }
    assert_eq!(api.get("/v1/users/alice").expect(200)["disabled"], false);
    assert_eq!(api.ask_with(&cookie, "POST", "/v1/console/logout", "").status, 200);
}

#[test]
fn wrong_tokens_are_few_and_neither_logged_nor_told() {
    let home = Home::new().with_shards(1);
    let (server, api) = home.start_with_api();
    let wrong = "ab".repeat(32);
    let body = json!({ "token": wrong }).to_string();
    let login = |lines: &str, body: &str| api.ask_with(lines, "POST", "/v1/console/login", body);
    assert_eq!(refused(&login("Sec-Fetch-Site: cross-site\r\n", &body)), (403, "cross_site".to_owned()));
    for _fault in 0..10 {
        assert_eq!(refused(&login(OWN, &body)), (401, "unauthorized".to_owned()));
    }
    assert_eq!(refused(&login(OWN, &body)), (429, "too_many_logins".to_owned()));
    let right = json!({ "token": api.token }).to_string();
    assert_eq!(refused(&login(OWN, &right)), (429, "too_many_logins".to_owned()));
    assert_eq!(api.get("/readyz").status, 200, "tokens of requests are not concerned");
    let trail = api.get("/v1/audit").expect(200);
    let first = trail["entries"].as_array().and_then(|entries| entries.last()).expect("an entry");
    assert_eq!((&first["who"], &first["status"]), (&json!("nobody"), &json!(403)), "{first}");
    assert!(!trail.to_string().contains(&wrong));
    let exit = server.stop();
    assert!(exit.errors.contains("wrong token") && !exit.errors.contains(&wrong), "{}", exit.errors);
}

#[test]
fn every_change_stands_in_the_trail_and_outlives_a_kill() {
    let home = Home::new().with_shards(1);
    let (server, api) = home.start_with_api();
    let cookie = format!("{}{OWN}", log_in(&api, &api.token));
    api.ask_with(&cookie, "PUT", "/v1/users/alice", "").expect(200);
    api.post("/v1/tokens", &json!({ "user": "alice" })).expect(201);
    api.get("/v1/users/alice").expect(200);
    api.get("/v1/users/alice/inbox").expect(200);
    api.get("/v1/users/alice/conversations").expect(200);
    let read = format!("Authorization: Bearer {}\r\n", read_token(&home.data_dir()));
    assert_eq!(api.ask_with(&read, "DELETE", "/v1/users/alice?x=secret", "").status, 403);
    server.kill();
    let (_server, api) = home.start_with_api();
    let page = api.get("/v1/audit?limit=3").expect(200);
    let rest = api.get(&format!("/v1/audit?before={}", page["next"].as_str().expect("more"))).expect(200);
    let entries = [&page, &rest].into_iter().flat_map(|page| page["entries"].as_array().expect("entries"));
    let told: Vec<String> = entries
        .map(|it| {
            assert_eq!(it["address"], "127.0.0.1");
            assert!(it["at"].as_u64().is_some_and(|at| at > 1_600_000_000_000), "{it}");
            let text = |name: &str| it[name].as_str().expect("a text").to_owned();
            assert_eq!(text("who") == "console", !text("login").is_empty(), "{it}");
            let (who, role, method, path) = (text("who"), text("role"), text("method"), text("path"));
            format!("{who} {role} {method} {path} {}", it["status"])
        })
        .collect();
    let expected = [
        "token read_only DELETE /v1/users/alice 403",
        "token full GET /v1/users/alice/conversations 200",
        "token full GET /v1/users/alice/inbox 200",
        "token full POST /v1/tokens 201",
        "console full PUT /v1/users/alice 200",
        "console full POST /v1/console/login 200",
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_overview_comes_each_second_and_ends_with_the_login() {
    let home = Home::new().with_shards(2);
    let (_server, api) = home.start_with_api();
    let cookie = log_in(&api, &api.token);
    let mut stream = api.connect();
    let head = format!("GET /v1/overview/stream HTTP/1.1\r\nHost: localhost\r\n{cookie}{OWN}\r\n");
    stream.write_all(head.as_bytes()).expect("the server reads");
    let mut heard = String::new();
    let mut bytes = [0; 16 << 10];
    while heard.matches("event: overview\ndata: ").count() < 3 {
        let read = stream.read(&mut bytes).expect("numbers come");
        assert!(read > 0, "the stream goes on: {heard}");
        heard.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    let data = heard.split("data: ").nth(1).and_then(|event| event.lines().next()).expect("data");
    let live: serde_json::Value = serde_json::from_str(data).expect("JSON");
    assert_eq!((&live["phase"], live["shards"].as_array().map(Vec::len)), (&json!("ready"), Some(2)), "{live}");
    let history = api.get("/v1/overview/history").expect(200);
    let points = history["at"].as_array().expect("points").len();
    assert!(points >= 3, "{history}");
    assert_eq!(history["values"]["sessions"].as_array().map(Vec::len), Some(points));
    assert_eq!(history["turns_us"].as_array().map(Vec::len), Some(2));
    api.get("/v1/overview/history?span=6h").expect(200);
    assert_eq!(api.ask_with(&format!("{cookie}{OWN}"), "POST", "/v1/console/logout", "").status, 200);
    let logged_out = Instant::now();
    while stream.read(&mut bytes).expect("an end, not a time-out") > 0 {
        assert!(logged_out.elapsed() < PATIENCE, "the stream goes on after the logout");
    }
}

#[test]
fn storage_and_configuration_are_shown_as_they_are() {
    let home = Home::new().with_shards(2).with_config("[limits]\nsends_per_second = 77\n");
    let (_server, api) = home.start_with_api();
    let storage = api.get("/v1/storage").expect(200);
    let files = storage["shards"][1]["files"].as_array().expect("files");
    assert!(files.iter().any(|file| file["name"].as_str().is_some_and(|name| name.ends_with(".log"))), "{storage}");
    let config = api.get("/v1/config").expect(200);
    let settings = config["settings"].as_array().expect("settings");
    let rate = settings.iter().find(|it| it["key"] == "limits.sends_per_second").expect("it is a setting");
    assert_eq!(rate["value"], "77");
    assert!(rate["source"].as_str().is_some_and(|source| source.starts_with("file ")), "{rate}");
}

#[tokio::test]
async fn the_sessions_of_everybody_are_listed_and_filtered() {
    let home = Home::new().with_shards(2);
    let (server, api) = home.start_with_api();
    let _clients = (server.binary("alice").await, server.binary("alan").await, server.binary("bob").await);
    let page = |query: &str| api.get(&format!("/v1/sessions?{query}")).expect(200);
    let users = |page: &serde_json::Value| {
        let rows = page["sessions"].as_array().expect("sessions");
        let mut users: Vec<String> = rows.iter().map(|row| row["user"].as_str().expect("a user").to_owned()).collect();
        users.sort();
        users
    };
    let all = page("");
    assert_eq!(users(&all), ["alan", "alice", "bob"]);
    let row = &all["sessions"][0];
    assert!(row["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{row}");
    assert_eq!((&row["protocol"], &row["queued_bytes"]), (&json!("binary"), &json!(0)), "{row}");
    assert_eq!(users(&page("user=al")), ["alan", "alice"]);
    assert_eq!(users(&page("queued_bytes_min=1")), [""; 0]);
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let next = page(&format!("limit=1{after}"));
        found.extend(users(&next));
        let Some(cursor) = next["next"].as_str() else { break };
        after = format!("&after={cursor}");
    }
    found.sort();
    assert_eq!(found, ["alan", "alice", "bob"]);
}
