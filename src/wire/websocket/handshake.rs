//! The HTTP part of a connection: one upgrade request, answered with 101 or a short refusal (PROTOCOL 1).
//!
//! Invariant: an answer is complete; after a refusal nothing more is read.

use crate::wire::base::dialect::Dialect;
use crate::wire::websocket::http_refusal::HttpRefusal;
use crate::wire::websocket::pages::PageSet;
use crate::wire::websocket::policy::HandshakePolicy;
use crate::wire::websocket::upgrade::Upgrade;
use httparse::Status;
use tungstenite::handshake::derive_accept_key;
use tungstenite::http::Uri;

/// The most header lines. A browser sends a dozen, and each proxy adds some.
const HEADERS_MAX: usize = 128;

/// The complete HTTP response of a server that has no room for the connection; `code` is the reason (PROTOCOL 5).
pub fn service_unavailable(code: &str) -> String {
    let body = format!("{{\"error\":\"{code}\"}}");
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The state of the handshake after the bytes received so far.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::wire) enum Handshake {
    /// The request is incomplete.
    Partial,
    /// Answered with 101; the request's head has `head_bytes` bytes, and proxies have said for whom they connect.
    Accepted { dialect: Dialect, head_bytes: usize, forwarded: Option<Box<str>> },
    /// Answered with another status.
    Refused(HttpRefusal),
    /// Answered with a page.
    Shown,
}

/// Answers the request at the start of `bytes`, if it is complete and has at most `bytes_max` bytes.
pub(in crate::wire) fn answer(
    bytes: &[u8],
    bytes_max: usize,
    policy: &HandshakePolicy,
    out: &mut Vec<u8>,
) -> Handshake {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head_bytes = match request.parse(&bytes[..bytes.len().min(bytes_max)]) {
        Ok(Status::Complete(head_bytes)) => head_bytes,
        Ok(Status::Partial) if bytes.len() < bytes_max => return Handshake::Partial,
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return refuse(HttpRefusal::HeaderTooLarge, out),
        Err(_) => return refuse(HttpRefusal::BadRequest, out),
    };
    if has_bare_line_feed(&bytes[..head_bytes]) {
        return refuse(HttpRefusal::BadRequest, out);
    }
    match accept(&request, policy, out) {
        Ok(dialect) => Handshake::Accepted { dialect, head_bytes, forwarded: policy.forwarded.read(request.headers) },
        Err(HttpRefusal::NotFound) => show(&request, &policy.pages, out),
        Err(refusal) => refuse(refusal, out),
    }
}

fn refuse(refusal: HttpRefusal, out: &mut Vec<u8>) -> Handshake {
    refusal.write(out);
    Handshake::Refused(refusal)
}

/// Answers with the page of the path, if there is one.
fn show(request: &httparse::Request<'_, '_>, pages: &PageSet, out: &mut Vec<u8>) -> Handshake {
    let target: Option<Uri> = request.path.and_then(|target| target.parse().ok());
    let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("Host"));
    let page = target.zip(host).and_then(|(target, host)| pages.response(target.path(), host.value));
    match page {
        Some(_) if request.method != Some("GET") => refuse(HttpRefusal::MethodNotAllowed, out),
        Some(response) => {
            out.extend_from_slice(response);
            Handshake::Shown
        }
        None => refuse(HttpRefusal::NotFound, out),
    }
}

/// Whether a line ends without a carriage return: peers disagree on such heads, which allows request smuggling.
fn has_bare_line_feed(head: &[u8]) -> bool {
    head.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || head[at - 1] != b'\r'))
}

fn accept(
    request: &httparse::Request<'_, '_>,
    policy: &HandshakePolicy,
    out: &mut Vec<u8>,
) -> Result<Dialect, HttpRefusal> {
    // A path, or a whole URL (RFC 9112, 3.2.2).
    let target: Uri = request.path.unwrap_or_default().parse().map_err(|_| HttpRefusal::BadRequest)?;
    let is_http_1_1 = request.version == Some(1);
    let upgrade = Upgrade::read(request.headers)?;
    if upgrade.host.is_none() && is_http_1_1 {
        return Err(HttpRefusal::BadRequest);
    }
    let dialect = Dialect::of_path(target.path()).ok_or(HttpRefusal::NotFound)?;
    if request.method != Some("GET") {
        return Err(HttpRefusal::MethodNotAllowed);
    }
    if !is_http_1_1 {
        return Err(HttpRefusal::UpgradeRequired);
    }
    let key = upgrade.key()?;
    if upgrade.origin.is_some_and(|origin| !policy.origins.allow(origin, upgrade.host)) {
        return Err(HttpRefusal::OriginRefused);
    }
    let subprotocol = upgrade.subprotocol(dialect.subprotocol(), &policy.subprotocols);
    write_acceptance(out, key, subprotocol);
    Ok(dialect)
}

fn write_acceptance(out: &mut Vec<u8>, key: &[u8], subprotocol: Option<&str>) {
    let accept = derive_accept_key(key);
    let head =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ";
    for part in [head, &accept, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(subprotocol) = subprotocol {
        for part in ["Sec-WebSocket-Protocol: ", subprotocol, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const REST: &str =
        "Host: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";

    fn answer_to(request: &str) -> (Handshake, String) {
        let mut out = Vec::new();
        let policy = HandshakePolicy { subprotocols: vec!["chat".to_owned()], ..HandshakePolicy::default() };
        let handshake = answer(request.as_bytes(), 2_048, &policy, &mut out);
        (handshake, String::from_utf8(out).expect("ASCII"))
    }

    fn status_of(request: &str) -> String {
        let (handshake, response) = answer_to(request);
        assert!(matches!(handshake, Handshake::Refused(_)), "{request}");
        assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\n"), "{response}");
        response.split(' ').nth(1).expect("a status").into()
    }

    #[test]
    fn the_path_picks_the_dialect() {
        for (path, dialect) in [
            ("/ws", Dialect::Binary),
            ("/rpc", Dialect::JsonRpc),
            ("/", Dialect::JsonRpc),
            ("/?token=x", Dialect::JsonRpc),
            ("http://localhost:8081/ws?a=b", Dialect::Binary),
            ("/wukong", Dialect::Wukong),
        ] {
            let request = format!("GET {path} HTTP/1.1\r\n{REST}{KEY}\r\n");
            let (handshake, response) = answer_to(&format!("{request}next"));
            assert_eq!(handshake, Handshake::Accepted { dialect, head_bytes: request.len(), forwarded: None });
            assert!(response.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{response}");
            assert!(response.contains(": s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "RFC 6455's example: {response}");
            assert!(response.ends_with("\r\n\r\n"), "{response}");
        }
    }

    #[test]
    fn a_page_is_shown_to_a_browser_and_to_nothing_else() {
        use crate::wire::websocket::pages::{PageContent, PageHosts};
        let content = PageContent { path: "/chat", media_type: "text/html", body: b"<p>" };
        let pages = PageSet::new(PageHosts::Loopback, &[content]);
        let policy = HandshakePolicy { pages, ..HandshakePolicy::default() };
        for (request, status) in [
            ("GET /chat HTTP/1.1\r\nHost: localhost:8081", "200"),
            ("GET /chat?a=b HTTP/1.1\r\nHost: 127.0.0.1", "200"),
            ("GET /chat HTTP/1.1\r\nHost: evil.example", "404"),
            ("GET /chat/ HTTP/1.1\r\nHost: localhost", "404"),
            ("POST /chat HTTP/1.1\r\nHost: localhost", "405"),
            ("GET /chat HTTP/1.1\r\nHost: localhost\r\nHost: localhost", "400"),
            ("GET /ws HTTP/1.1\r\nHost: localhost", "426"),
        ] {
            let mut out = Vec::new();
            let handshake = answer(format!("{request}\r\n\r\n").as_bytes(), 2_048, &policy, &mut out);
            assert_eq!(handshake == Handshake::Shown, status == "200", "{request}");
            let text = String::from_utf8(out).expect("ASCII");
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {text}");
        }
    }

    #[test]
    fn every_other_request_is_refused_with_its_status() {
        assert_eq!(status_of(&format!("GET /other HTTP/1.1\r\n{REST}{KEY}\r\n")), "404");
        assert_eq!(status_of("GET /ws HTTP/1.1\r\nHost: h\r\n\r\n"), "426");
        assert_eq!(status_of(&format!("GET /ws HTTP/1.0\r\n{REST}{KEY}\r\n")), "426");
        assert_eq!(status_of(&format!("GET /ws HTTP/1.1\r\n{}{KEY}\r\n", REST.replace("13", "8"))), "426");
        assert_eq!(status_of(&format!("GET /ws HTTP/1.1\r\n{REST}\r\n")), "400");
        assert_eq!(status_of(&format!("GET /ws HTTP/1.1\r\n{REST}Sec-WebSocket-Key: short\r\n\r\n")), "400");
        assert_eq!(status_of("\u{1}\u{2}\u{3}\r\n\r\n"), "400");
        assert_eq!(status_of(&format!("POST /ws HTTP/1.1\r\n{REST}{KEY}\r\n")), "405");
    }

    fn with(lines: &str) -> String {
        format!("GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Version: 13\r\n{KEY}{lines}\r\n")
    }

    #[test]
    fn connection_and_upgrade_are_lists_on_one_line_or_several() {
        for lines in [
            "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            "connection: ,close ,\tUPGRADE\r\nupgrade: h2c, WebSocket\r\n",
            "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket, foo/2\r\n",
        ] {
            assert!(matches!(answer_to(&with(lines)).0, Handshake::Accepted { .. }), "{lines}");
        }
        for lines in [
            "Connection: keep-alive\r\nUpgrade: websocket\r\n",
            "Connection: upgraded\r\nUpgrade: websocket\r\n",
            "Connection: Upgrade\r\nUpgrade: h2c\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket/13\r\n",
            "Connection: Upgrade\r\n",
        ] {
            assert_eq!(status_of(&with(lines)), "426", "{lines}");
        }
    }

    #[test]
    fn a_request_has_one_valid_host_and_one_of_what_there_is_one_of() {
        let request = |hosts: &str| format!("GET / HTTP/1.1\r\n{hosts}{}{KEY}\r\n", &REST["Host: h\r\n".len()..]);
        for host in ["h", "example.org:8081", "[::1]:80", "127.0.0.1", "h:", ""] {
            let (handshake, _) = answer_to(&request(&format!("Host: {host}\r\n")));
            assert!(matches!(handshake, Handshake::Accepted { .. }), "{host}");
        }
        for hosts in ["", "Host: a\r\nHost: a\r\n", "Host: a b\r\n", "Host: u@h\r\n", "Host: h:x\r\n", "Host: h/p\r\n"]
        {
            assert_eq!(status_of(&request(hosts)), "400", "{hosts}");
        }
        for twice in [KEY, "Sec-WebSocket-Version: 13\r\n"] {
            assert_eq!(status_of(&format!("GET / HTTP/1.1\r\n{REST}{KEY}{twice}\r\n")), "400", "{twice}");
        }
        assert_eq!(status_of("OPTIONS / HTTP/1.0\r\n\r\n"), "405", "HTTP/1.0 has no Host");
    }

    #[test]
    fn a_request_with_a_body_or_a_bare_line_feed_is_refused() {
        for line in ["Content-Length: 5", "Content-Length: 0, 5", "Content-Length: -0", "Transfer-Encoding: chunked"] {
            assert_eq!(status_of(&format!("GET / HTTP/1.1\r\n{REST}{KEY}{line}\r\n\r\n")), "400", "{line}");
        }
        let none = format!("GET / HTTP/1.1\r\n{REST}{KEY}Content-Length: 0\r\n\r\n");
        assert!(matches!(answer_to(&none).0, Handshake::Accepted { .. }));
        let whole = format!("GET / HTTP/1.1\r\n{REST}{KEY}\r\n");
        for at in whole.match_indices("\r\n").map(|(at, _)| at) {
            assert_eq!(status_of(&[&whole[..at], &whole[at + 1..]].concat()), "400", "at {at}");
        }
    }

    #[test]
    fn of_the_subprotocols_that_are_asked_for_the_first_known_one_is_chosen() {
        for (path, asked, chosen) in [
            ("/ws", "Sec-WebSocket-Protocol: x, mushan.binary.v1\r\n", Some("mushan.binary.v1")),
            ("/rpc", "Sec-WebSocket-Protocol: mushan.jsonrpc.v1\r\n", Some("mushan.jsonrpc.v1")),
            ("/wukong", "Sec-WebSocket-Protocol: mushan.jsonrpc.v1\r\n", Some("mushan.jsonrpc.v1")),
            ("/", "Sec-WebSocket-Protocol: x\r\nsec-websocket-protocol: chat,mushan.jsonrpc.v1\r\n", Some("chat")),
            ("/ws", "Sec-WebSocket-Protocol: mushan.jsonrpc.v1\r\n", None),
            ("/ws", "Sec-WebSocket-Protocol: CHAT\r\n", None),
            ("/ws", "", None),
        ] {
            let (handshake, response) = answer_to(&format!("GET {path} HTTP/1.1\r\n{REST}{KEY}{asked}\r\n"));
            assert!(matches!(handshake, Handshake::Accepted { .. }), "{asked}");
            let found = response.split_once("\r\nSec-WebSocket-Protocol: ").map(|(_, behind)| behind);
            assert_eq!(found.and_then(|behind| behind.split("\r\n").next()), chosen, "{path} {asked}");
        }
    }

    #[test]
    fn a_page_of_another_host_is_refused_and_what_proxies_say_is_one_list() {
        let request = |lines: &str| format!("GET /ws HTTP/1.1\r\n{REST}{KEY}{lines}\r\n");
        assert_eq!(status_of(&request("Origin: https://evil.example\r\n")), "403");
        assert_eq!(status_of(&request("Origin: https://h\r\nOrigin: https://h\r\n")), "400");
        let lines = "Origin: https://h\r\nX-Forwarded-For: 10.0.0.1\r\nx-forwarded-for: 10.0.0.2, 10.0.0.3\r\n";
        let (handshake, _) = answer_to(&request(lines));
        let Handshake::Accepted { forwarded, .. } = handshake else { panic!("{handshake:?}") };
        assert_eq!(forwarded.as_deref(), Some("10.0.0.1,10.0.0.2, 10.0.0.3"));
    }

    #[test]
    fn many_header_lines_are_read() {
        let head = format!("GET / HTTP/1.1\r\n{REST}{KEY}{}\r\n", "a: b\r\n".repeat(120));
        assert!(matches!(answer_to(&head).0, Handshake::Accepted { .. }));
    }

    #[test]
    fn a_head_is_at_most_as_long_as_the_limit() {
        let head = |filler: usize| format!("GET / HTTP/1.1\r\n{REST}{KEY}X: {}\r\n\r\n", "x".repeat(filler));
        let bare = head(0).len();
        assert!(matches!(answer_to(&head(2_048 - bare)).0, Handshake::Accepted { head_bytes: 2_048, .. }));
        assert_eq!(status_of(&head(2_048 - bare + 1)), "431");
        assert_eq!(answer_to(&head(2_048 - bare)[..2_047]).0, Handshake::Partial);
        assert_eq!(status_of(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(129))), "431");
    }
}
