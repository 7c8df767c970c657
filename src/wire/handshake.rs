//! The HTTP half of a connection: one upgrade request, answered by 101 or by a short refusal (PROTOCOL 1).
//!
//! Invariant: an answer is complete in itself; after a refusal nothing more is read.

use super::encoding::Dialect;
use httparse::Status;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use tungstenite::http::{HeaderMap, HeaderValue, Uri};

const HEADERS_MAX: usize = 64;

/// What the bytes received so far come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    /// The request is not complete.
    Partial,
    /// Answered with 101; the request took `head_bytes`.
    Accepted { dialect: Dialect, head_bytes: usize },
    /// Answered with another status.
    Refused,
}

/// The refusals, each a whole answer.
#[derive(Clone, Copy)]
enum HttpRefusal {
    BadRequest,
    NotFound,
    MethodNotAllowed,
    UpgradeRequired,
    HeaderTooLarge,
}

impl HttpRefusal {
    fn status_and_header(self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest => ("400 Bad Request", ""),
            Self::NotFound => ("404 Not Found", ""),
            Self::MethodNotAllowed => ("405 Method Not Allowed", "Allow: GET\r\n"),
            Self::UpgradeRequired => ("426 Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
            Self::HeaderTooLarge => ("431 Request Header Fields Too Large", ""),
        }
    }

    fn write(self, out: &mut Vec<u8>) -> Handshake {
        let (status, header) = self.status_and_header();
        for part in ["HTTP/1.1 ", status, "\r\n", header, "Content-Length: 0\r\nConnection: close\r\n\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        Handshake::Refused
    }
}

/// Answers the request at the start of `bytes`, if it is complete and at most `bytes_max` long.
pub(super) fn answer(bytes: &[u8], bytes_max: usize, out: &mut Vec<u8>) -> Handshake {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head_bytes = match request.parse(&bytes[..bytes.len().min(bytes_max)]) {
        Ok(Status::Complete(head_bytes)) => head_bytes,
        Ok(Status::Partial) if bytes.len() < bytes_max => return Handshake::Partial,
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return HttpRefusal::HeaderTooLarge.write(out),
        Err(_) => return HttpRefusal::BadRequest.write(out),
    };
    match accept(&request, out) {
        Ok(dialect) => Handshake::Accepted { dialect, head_bytes },
        Err(refusal) => refusal.write(out),
    }
}

fn accept(request: &httparse::Request<'_, '_>, out: &mut Vec<u8>) -> Result<Dialect, HttpRefusal> {
    // A path, or a whole URL (RFC 9112, 3.2.2).
    let target: Uri = request.path.unwrap_or_default().parse().map_err(|_| HttpRefusal::BadRequest)?;
    let dialect = Dialect::of_path(target.path()).ok_or(HttpRefusal::NotFound)?;
    if request.method != Some("GET") {
        return Err(HttpRefusal::MethodNotAllowed);
    }
    if request.version != Some(1) {
        return Err(HttpRefusal::UpgradeRequired);
    }
    let mut upgrade = Request::new(());
    *upgrade.headers_mut() = upgrade_headers(request.headers)?;
    let response = create_response(&upgrade).map_err(|error| match error {
        Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingSecWebSocketVersionHeader,
        ) => HttpRefusal::UpgradeRequired,
        _ => HttpRefusal::BadRequest,
    })?;
    write_response(out, &response).map_err(|_| HttpRefusal::BadRequest)?;
    Ok(dialect)
}

/// The four headers that an upgrade is made of.
fn upgrade_headers(headers: &[httparse::Header<'_>]) -> Result<HeaderMap, HttpRefusal> {
    let mut kept = HeaderMap::with_capacity(4);
    for header in headers {
        let wanted = [CONNECTION, UPGRADE, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_KEY];
        let Some(name) = wanted.into_iter().find(|name| name.as_str().eq_ignore_ascii_case(header.name)) else {
            continue;
        };
        let value = HeaderValue::from_bytes(header.value).map_err(|_| HttpRefusal::BadRequest)?;
        kept.append(name, value);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const REST: &str =
        "Host: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";

    fn answer_to(request: &str) -> (Handshake, String) {
        let mut out = Vec::new();
        let handshake = answer(request.as_bytes(), 1_024, &mut out);
        (handshake, String::from_utf8(out).expect("ASCII"))
    }

    fn status_of(request: &str) -> String {
        let (handshake, response) = answer_to(request);
        assert_eq!(handshake, Handshake::Refused, "{request}");
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
            assert_eq!(handshake, Handshake::Accepted { dialect, head_bytes: request.len() });
            assert!(response.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{response}");
            assert!(response.contains(": s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "RFC 6455's example: {response}");
            assert!(response.ends_with("\r\n\r\n"), "{response}");
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

    #[test]
    fn a_head_is_at_most_as_long_as_the_limit() {
        let head = |filler: usize| format!("GET / HTTP/1.1\r\n{REST}{KEY}X: {}\r\n\r\n", "x".repeat(filler));
        let bare = head(0).len();
        assert!(matches!(answer_to(&head(1_024 - bare)).0, Handshake::Accepted { head_bytes: 1_024, .. }));
        assert_eq!(status_of(&head(1_024 - bare + 1)), "431");
        assert_eq!(answer_to(&head(1_024 - bare)[..1_023]).0, Handshake::Partial);
        assert_eq!(status_of(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65))), "431");
    }
}
