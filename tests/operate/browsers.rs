//! What web pages can do to the operator's HTTP API: nothing.

use crate::common::Home;
use crate::common::http::{Answer, Api};
use std::io::Write;

fn ask(api: &Api, method: &str, path: &str, lines: &str) -> Answer {
    let mut stream = api.connect();
    let request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).expect("the server reads");
    Answer::read(&mut stream)
}

#[test]
fn a_name_that_leads_here_by_its_owners_will_is_answered_nothing() {
    let config = "[admin]\nmetrics_open = true\nallowed_hosts = \"im.example.org\"\n";
    let home = Home::new().with_config(config).with_shards(1);
    let (_server, api) = home.start_with_api();
    for path in ["/healthz", "/metrics", "/v1/stats"] {
        let (status, code) = ask(&api, "GET", path, "Host: rebound.example:8080\r\n").refusal();
        assert_eq!((status, code.as_str()), (421, "wrong_host"), "{path}");
    }
    for host in ["127.0.0.1:8080", "[::1]:8080", "localhost", "mushan", "im.example.org"] {
        assert_eq!(ask(&api, "GET", "/healthz", &format!("Host: {host}\r\n")).status, 200, "{host}");
        assert_eq!(ask(&api, "GET", "/metrics", &format!("Host: {host}\r\n")).status, 200, "{host}");
    }
    let token = format!("Host: proxied.example\r\nAuthorization: Bearer {}\r\n", api.token);
    assert_eq!(ask(&api, "GET", "/v1/stats", &token).status, 200, "who has the token may use any name");
}

#[test]
fn a_page_of_another_site_changes_nothing_even_with_the_token() {
    let (server, api) = Home::new().with_shards(1).start_with_api();
    let with_token = |lines: &str| format!("Host: 127.0.0.1\r\nAuthorization: Bearer {}\r\n{lines}", api.token);
    for lines in ["Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n", "Origin: https://evil.example\r\n"]
    {
        let refused = ask(&api, "PUT", "/v1/users/alice/disabled", &with_token(lines));
        assert_eq!(refused.refusal(), (403, "cross_site".to_owned()), "{lines}");
        assert_eq!(ask(&api, "GET", "/v1/stats", &with_token(lines)).status, 200, "reading changes nothing");
    }
    for lines in ["", "Sec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n", "Origin: http://127.0.0.1\r\n"] {
        assert_eq!(ask(&api, "PUT", "/v1/users/alice", &with_token(lines)).status, 200, "{lines}");
    }
    assert!(server.stop().status.success());
}
