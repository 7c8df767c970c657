//! The chat page of `--demo`: who is shown it, with which tokens, and who is not.

use crate::common::binary::BinaryClient;
use crate::common::http::Answer;
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, run};
use serde_json::Value;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

/// A request of a browser that was led to `host`.
fn get(server: &Server, path: &str, host: &str) -> Answer {
    let mut stream = TcpStream::connect(server.address).expect("the server accepts");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("it reads");
    Answer::read(&mut stream)
}

fn demo(home: &Home, listen: &str) -> Command {
    let mut command = home.serve(listen);
    command.arg("--demo");
    command
}

#[tokio::test]
async fn the_page_is_whole_and_its_tokens_log_in_through_both_protocols() {
    let home = Home::new();
    let server = Server::try_start(demo(&home, "127.0.0.1:0")).expect("it starts");
    for (path, media_type) in
        [("/chat", "text/html"), ("/chat/app.js", "text/javascript"), ("/chat/app.css", "text/css")]
    {
        let answer = get(&server, path, "localhost");
        assert_eq!(answer.status, 200, "{path}");
        let head = answer.head.to_ascii_lowercase();
        assert!(head.contains(&format!("content-type: {media_type}")), "{path}: {head}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{path}: {head}");
        assert!(!answer.body.is_empty() && !answer.body.contains("https://"), "{path} names another server");
    }
    let people = get(&server, "/chat/people.json", "127.0.0.1:1").json();
    let token = |at: usize| people["people"][at]["token"].as_str().expect("a token").to_owned();
    assert_eq!(people["people"][1]["user"], "bob");
    let (_alice, _) = BinaryClient::login(server.address, "alice", &token(0)).await;
    let _bob = RpcClient::login(server.address, "/rpc", "bob", &token(1)).await;
    let group = home.run(&["group", "show", "team", "--json"]);
    let group: Value = serde_json::from_slice(&group.stdout).expect("the group is there");
    assert_eq!(group["owner"], "alice");
    let output = server.output();
    assert!(output.contains("DEMO") && output.contains("/chat"), "{output}");
    assert!(server.errors().contains("not for production"), "{}", server.errors());
}

#[test]
fn nobody_reads_the_page_under_a_name_of_their_own_and_nobody_without_the_flag() {
    let home = Home::new();
    let server = Server::try_start(demo(&home, "127.0.0.1:0")).expect("it starts");
    for host in ["evil.example", "127.0.0.1.evil.example", "10.1.2.3"] {
        assert_eq!(get(&server, "/chat/people.json", host).status, 404, "{host}");
    }
    drop(server);
    let server = home.start();
    assert_eq!(get(&server, "/chat", "localhost").status, 404);
    assert_eq!(get(&server, "/chat/people.json", "localhost").status, 404);
}

#[test]
fn a_demo_that_others_can_reach_is_refused_unless_that_is_intended() {
    let home = Home::new();
    // The second is the default, which only counts as moved to loopback where nobody has asked for it.
    for listen in ["0.0.0.0:0", "0.0.0.0:8081"] {
        let refused = run(demo(&home, listen));
        let errors = String::from_utf8(refused.stderr).expect("text");
        assert_eq!(refused.status.code(), Some(1), "{errors}");
        assert!(errors.contains("--demo-anybody") && errors.contains("127.0.0.1"), "{errors}");
    }
    let mut intended = demo(&home, "0.0.0.0:0");
    intended.arg("--demo-anybody");
    let mut server = Server::try_start(intended).expect("it starts");
    // The first address that it prints on loopback is that of the HTTP API.
    let output = server.output();
    let port = output.split("listening on 0.0.0.0:").nth(1).and_then(|rest| rest.split(' ').next());
    server.address = ([127, 0, 0, 1], port.and_then(|port| port.parse().ok()).expect("a port")).into();
    assert_eq!(get(&server, "/chat", "chat.example").status, 200);
}
