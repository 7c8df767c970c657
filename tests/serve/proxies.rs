//! Clients behind proxies, and pages in browsers: PROXY headers, `X-Forwarded-For`, `Forwarded`, `Origin`. The addresses
//! that the server goes by are those in its list of sessions.

use crate::common::raw::{Raw, frame, opcode, upgrade_request};
use crate::common::tls::Authority;
use crate::common::{Home, PATIENCE, Server, wait_for};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Version 2 of the PROXY header: a client at 203.0.113.9:4711, and an extension that means nothing here.
fn v2_header() -> Vec<u8> {
    let (client, server) = ([203, 0, 113, 9], [127, 0, 0, 1]);
    let ports = [4_711u16.to_be_bytes(), 443u16.to_be_bytes()].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11"[..], &client, &server, &ports, &[0xea, 0, 2, 1, 1]].concat()
}

const V1_HEADER: &[u8] = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 443\r\n";

fn upgrade_with(path: &str, lines: &str) -> String {
    upgrade_request(path).replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1)
}

/// Logs in over JSON-RPC on an upgraded connection.
fn log_in(raw: &mut Raw, user: &str, token: &str) {
    let params = json!({"uid": user, "token": token, "deviceId": "d", "deviceFlag": 1});
    let connect = json!({"jsonrpc": "2.0", "id": "c", "method": "connect", "params": params}).to_string();
    raw.write(&frame(opcode::TEXT, connect.as_bytes()));
    let (_, answer) = raw.read_frame().expect("an answer");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert!(answer.get("result").is_some(), "{answer}");
}

fn address_of(server: &Server, user: &str) -> String {
    let sessions = server.api().get(&format!("/v1/users/{user}/sessions")).expect(200);
    sessions["sessions"][0]["address"].as_str().unwrap_or_else(|| panic!("{sessions}")).to_owned()
}

/// A connection that begins with `before`, and whose upgrade request has these lines; logged in.
fn arrive(server: &Server, user: &str, before: &[u8], lines: &str) -> Raw {
    let mut raw = Raw::connect(server.address);
    raw.write(before);
    raw.write(upgrade_with("/rpc", lines).as_bytes());
    let head = raw.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    log_in(&mut raw, user, &server.token(user));
    raw
}

#[test]
fn a_proxy_header_of_either_version_names_the_client_on_every_core() {
    let config = "[server]\nproxy_protocol_from = \"127.0.0.1\"\ntrusted_proxies = \"\"\n";
    let server = Home::new().with_config(config).with_shards(3).start();
    let mut held = Vec::new();
    for (number, header) in [V1_HEADER, &v2_header(), V1_HEADER, &v2_header()].into_iter().enumerate() {
        let user = format!("user-{number}");
        // A client's own claim counts for nothing: the proxy has named it.
        held.push(arrive(&server, &user, header, "X-Forwarded-For: 1.2.3.4\r\n"));
        assert_eq!(address_of(&server, &user), "203.0.113.9:4711");
    }
    // Byte by byte, and with the first request in the same segment.
    let mut slow = Raw::connect(server.address);
    v2_header().iter().for_each(|byte| slow.write(&[*byte]));
    slow.write(upgrade_request("/rpc").as_bytes());
    assert!(slow.read_head().starts_with("HTTP/1.1 101 "));
    log_in(&mut slow, "slow", &server.token("slow"));
    assert_eq!(address_of(&server, "slow"), "203.0.113.9:4711");
    // A health check of the proxy itself.
    held.push(arrive(&server, "local", b"PROXY UNKNOWN\r\n", ""));
    assert!(address_of(&server, "local").starts_with("127.0.0.1:"));
}

#[test]
fn a_proxy_that_sends_no_header_is_closed_and_the_operator_is_told_why() {
    let server = Home::new().with_config("[server]\nproxy_protocol_from = \"127.0.0.1\"\n").with_shards(1).start();
    for wrong in [upgrade_request("/rpc").into_bytes(), b"PROXY TCP4 nowhere 127.0.0.1 1 2\r\n".to_vec()] {
        let mut raw = Raw::connect(server.address);
        raw.write(&wrong);
        assert!(raw.read_head().starts_with("HTTP/1.1 400 "));
    }
    let closed = "mushan_connections_closed_total{shard=\"0\",closing=\"proxy_header_missing\"}";
    wait_for("the count", || (server.api().sample(closed) >= 2.0).then_some(()));
    wait_for("the warning", || server.errors().contains("server.proxy_protocol_from").then_some(()));
}

#[test]
fn a_header_from_an_address_that_is_not_listed_is_no_header() {
    let server = Home::new().with_config("[server]\nproxy_protocol_from = \"10.9.9.9\"\n").with_shards(1).start();
    for header in [V1_HEADER, &v2_header()] {
        let mut raw = Raw::connect(server.address);
        raw.write(header);
        raw.write(upgrade_request("/rpc").as_bytes());
        assert!(raw.read_head().starts_with("HTTP/1.1 400 "));
    }
}

#[test]
fn the_proxy_header_comes_before_tls() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().expect("a directory"));
    let [certificate, key] = authority.issue().write(directory.path(), "server");
    let config = format!(
        "[server]\nproxy_protocol_from = \"127.0.0.1\"\n[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n",
        certificate.display(),
        key.display()
    );
    let server = Home::new().with_config(&config).with_shards(2).start();
    let connected = |header: &[u8]| {
        let mut stream = TcpStream::connect(server.address).expect("accepted");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.write_all(header).expect("sent");
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(authority.client(None)), name).expect("a client");
        StreamOwned::new(client, stream)
    };
    let mut secured = connected(V1_HEADER);
    secured.write_all(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a handshake");
    let mut answer = String::new();
    secured.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    // A handshake where the header is to be: the connection ends, and nobody has shaken hands.
    let mut answer = Vec::new();
    assert!(connected(b"").read_to_end(&mut answer).is_err() && answer.is_empty());
    let closed = |closing: &str| {
        let text = server.api().get("/metrics").body;
        let lines = text.lines().filter(|line| line.contains(&format!("closing=\"{closing}\"")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    wait_for("the end without a header", || (closed("proxy_header_missing") >= 1.0).then_some(()));
}

#[test]
fn what_trusted_proxies_say_counts_up_to_the_first_hop_that_is_not_trusted() {
    let config = "[server]\ntrusted_proxies = \"127.0.0.0/8,10.0.0.0/8\"\n";
    let server = Home::new().with_config(config).with_shards(3).start();
    let mut held = Vec::new();
    for (user, lines, address) in [
        ("a", "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        ("b", "X-Forwarded-For: 1.2.3.4, 203.0.113.9, 10.0.0.7\r\n", "203.0.113.9"),
        ("c", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9"),
        ("d", "X-Forwarded-For: 2001:db8::1\r\nForwarded: for=1.2.3.4\r\n", "2001:db8::1"),
        ("e", "Forwarded: for=1.2.3.4\r\n", "127.0.0.1:"),
        ("f", "X-Forwarded-For: nonsense\r\n", "127.0.0.1:"),
    ] {
        held.push(arrive(&server, user, b"", lines));
        assert!(address_of(&server, user).starts_with(address), "{user}: {}", address_of(&server, user));
    }
}

#[test]
fn the_standard_header_is_read_where_it_is_chosen_and_no_header_of_a_stranger_is() {
    let standard = Home::new().with_config("[server]\nforwarded_header = \"forwarded\"\n").with_shards(1).start();
    let lines = "Forwarded: for=\"[2001:db8::1]:4711\";proto=https\r\nX-Forwarded-For: 1.2.3.4\r\n";
    let _held = arrive(&standard, "a", b"", lines);
    assert_eq!(address_of(&standard, "a"), "[2001:db8::1]:4711");
    let wary = Home::new().with_config("[server]\ntrusted_proxies = \"10.0.0.7\"\n").with_shards(1).start();
    let _held = arrive(&wary, "a", b"", "X-Forwarded-For: 203.0.113.9\r\n");
    assert!(address_of(&wary, "a").starts_with("127.0.0.1:"));
}

#[test]
fn clients_behind_a_proxy_have_their_bounds_each_by_itself() {
    let server = Home::new().with_config("[server]\nhandshakes_per_address_max = 2\n").with_shards(1).start();
    let stranger = |address: &str| {
        let mut raw = Raw::connect(server.address);
        raw.write(upgrade_with("/rpc", &format!("X-Forwarded-For: {address}\r\n")).as_bytes());
        assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
        raw
    };
    let mut others: Vec<Raw> = (1..=5).map(|last| stranger(&format!("198.51.100.{last}"))).collect();
    let mut same: Vec<Raw> = (0..3).map(|_again| stranger("203.0.113.9")).collect();
    assert_eq!(same[0].read_close(), Some(1013), "the oldest of its address makes room");
    for (number, raw) in others.iter_mut().chain(&mut same[1..]).enumerate() {
        let user = format!("u{number}");
        log_in(raw, &user, &server.token(&user));
    }
}

#[test]
fn a_page_of_another_host_connects_only_if_it_is_listed() {
    let config = "[server]\nallowed_origins = \"https://app.example.org\"\n";
    let server = Home::new().with_config(config).with_shards(1).start();
    let answer = |lines: &str| {
        let mut raw = Raw::connect(server.address);
        raw.write(upgrade_with("/rpc", lines).as_bytes());
        raw.read_head()
    };
    for allowed in ["", "Origin: http://localhost:5173\r\n", "Origin: https://app.example.org\r\n"] {
        assert!(answer(allowed).starts_with("HTTP/1.1 101 "), "{allowed}");
    }
    for refused in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Origin: http://localhost.evil.example\r\n"]
    {
        assert!(answer(refused).starts_with("HTTP/1.1 403 "), "{refused}");
    }
    let closed = "mushan_connections_closed_total{shard=\"0\",closing=\"origin_refused\"}";
    wait_for("the count", || (server.api().sample(closed) >= 3.0).then_some(()));
    wait_for("the warning", || server.errors().contains("server.allowed_origins").then_some(()));
    let open = Home::new().with_config("[server]\nallowed_origins = \"*\"\n").with_shards(1).start();
    let mut raw = Raw::connect(open.address);
    raw.write(upgrade_with("/ws", "Origin: https://evil.example\r\n").as_bytes());
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
}

/// A real proxy in front of the server; ended when dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` where the program is not installed.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    places.into_iter().map(|place| place.join(name)).find(|path| path.is_file())
}

impl Proxy {
    fn start(program: &Path, config: &str, directory: &Path, flags: &[&str]) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        let file = directory.join("proxy.conf");
        std::fs::write(&file, config.replace("LISTEN", &free.to_string())).expect("written");
        let mut command = Command::new(program);
        command.args(flags).arg(&file).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().expect("the proxy runs");
        wait_for("the proxy", || TcpStream::connect(free).ok());
        Self { child, address: free }
    }
}

fn own_address(stream: &TcpStream) -> String {
    stream.local_addr().expect("connected").to_string()
}

#[test]
fn haproxy_names_its_clients_in_both_versions() {
    let Some(haproxy) = program("haproxy") else { return eprintln!("skipped: haproxy is not installed") };
    let server = Home::new().with_config("[server]\nproxy_protocol_from = \"127.0.0.1\"\n").with_shards(2).start();
    for (user, option) in [("one", "send-proxy"), ("two", "send-proxy-v2")] {
        let directory = tempfile::tempdir().expect("a directory");
        let config = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             listen im\n bind LISTEN\n server im {} {option}\n",
            server.address
        );
        let proxy = Proxy::start(&haproxy, &config, directory.path(), &["-db", "-f"]);
        let stream = TcpStream::connect(proxy.address).expect("accepted");
        let own = own_address(&stream);
        let mut raw = Raw::on(stream);
        raw.write(upgrade_request("/rpc").as_bytes());
        assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
        log_in(&mut raw, user, &server.token(user));
        assert_eq!(address_of(&server, user), own, "{option}");
    }
}

#[test]
fn nginx_names_its_clients_in_x_forwarded_for() {
    let Some(nginx) = program("nginx") else { return eprintln!("skipped: nginx is not installed") };
    // The client comes from 127.0.0.5, which is not the proxy's address.
    let server = Home::new().with_config("[server]\ntrusted_proxies = \"127.0.0.1\"\n").with_shards(2).start();
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!(
        "daemon off; master_process off; pid {0}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n\
         client_body_temp_path {0}/a; proxy_temp_path {0}/b; fastcgi_temp_path {0}/c; uwsgi_temp_path {0}/d; \
         scgi_temp_path {0}/e;\nserver {{ listen LISTEN; location / {{ proxy_pass http://{1}; proxy_http_version 1.1;\n\
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\"; proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}\n",
        directory.path().display(),
        server.address
    );
    let proxy = Proxy::start(&nginx, &config, directory.path(), &["-c"]);
    let from: IpAddr = "127.0.0.5".parse().expect("an address");
    let mut raw = Raw::connect_from(from, proxy.address);
    raw.write(upgrade_with("/rpc", "X-Forwarded-For: 1.2.3.4\r\nOrigin: http://localhost:3000\r\n").as_bytes());
    let head = raw.read_head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    log_in(&mut raw, "alice", &server.token("alice"));
    assert_eq!(address_of(&server, "alice"), "127.0.0.5", "what the client invented does not count");
}

#[test]
fn a_connection_that_ends_within_its_header_leaves_nothing_behind() {
    let server = Home::new().with_config("[server]\nproxy_protocol_from = \"127.0.0.1\"\n").with_shards(1).start();
    for length in [0, 1, 5, 20] {
        let mut stream = TcpStream::connect(server.address).expect("accepted");
        stream.write_all(&V1_HEADER[..length]).expect("sent");
        stream.shutdown(Shutdown::Write).expect("shut");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    wait_for("no connection", || (server.api().sample("mushan_connections{") < 0.5).then_some(()));
}
