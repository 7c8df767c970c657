//! What an upgrade request is answered by, beside its own form: the subprotocols, the origins of pages, and the header in
//! which proxies name their clients.
//!
//! Invariant: a client that is no browser sends no `Origin` and is never refused for it.

use crate::wire::websocket::pages::PageSet;
use tungstenite::http::Uri;

/// The header in which a proxy names the client for whom it connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// No header is read.
    Off,
    /// `X-Forwarded-For`: addresses.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// All values, with their names in the configuration.
    pub const ALL: [Self; 3] = [Self::Off, Self::XForwardedFor, Self::Forwarded];

    /// The name in the configuration, which is the header's name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// All of its lines in a request, joined as one list (RFC 9110, 5.3); `None` if there is none.
    pub(in crate::wire) fn read(self, headers: &[httparse::Header<'_>]) -> Option<Box<str>> {
        if self == Self::Off {
            return None;
        }
        let lines = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(self.name()));
        // What a client wrote with other bytes must not hide what a proxy appended to the same line.
        let lines: Vec<_> = lines.map(|header| String::from_utf8_lossy(header.value)).collect();
        if lines.is_empty() { None } else { Some(lines.join(",").into()) }
    }
}

/// The pages that may connect: those of the server's own host, and those of the listed origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    const ANY: &str = "*";

    /// Reads a list such as `https://chat.example.org, null`; `*` allows every page.
    ///
    /// # Errors
    ///
    /// The element that is no origin.
    pub fn parse(text: &str) -> Result<Self, String> {
        let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
        let origins: Vec<String> = elements.map(str::to_ascii_lowercase).collect();
        let is_known = |origin: &str| matches!(origin, Self::ANY | "null") || host_of(origin).is_some();
        match origins.iter().find(|origin| !is_known(origin)) {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(Self(origins)),
        }
    }

    /// The list as it is read.
    pub fn shown(&self) -> String {
        self.0.join(",")
    }

    /// Whether a page of `origin` may connect to `host`, the request's. Ports and schemes of the same host do not matter:
    /// a proxy may have changed both.
    pub(in crate::wire) fn allow(&self, origin: &[u8], host: Option<&[u8]>) -> bool {
        let Ok(origin) = str::from_utf8(origin) else { return false };
        let origin = origin.trim().to_ascii_lowercase();
        let is_listed = self.0.iter().any(|allowed| allowed == Self::ANY || *allowed == origin);
        let is_same_host = || {
            let host = host.and_then(|host| str::from_utf8(host).ok()).map(without_port);
            host_of(&origin).is_some_and(|named| host.is_some_and(|host| named.eq_ignore_ascii_case(host)))
        };
        is_listed || is_same_host()
    }
}

/// The host in an origin (RFC 6454), without its port; `None` if the text is none.
fn host_of(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let uri: Uri = format!("http://{authority}").parse().ok()?;
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_origin = !scheme.is_empty() && scheme.bytes().all(is_scheme) && uri.path() == "/" && uri.query().is_none();
    let is_host = is_origin && !authority.contains('/') && !authority.contains('@');
    is_host.then(|| without_port(authority)).filter(|host| !host.is_empty())
}

/// A host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    let end = host.rfind(']').map_or(0, |at| at + 1);
    host[end..].rfind(':').map_or(host, |at| &host[..end + at])
}

/// How upgrade requests are judged (PROTOCOL 1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandshakePolicy {
    /// Subprotocols that are accepted beside the protocol's own.
    pub subprotocols: Vec<String>,
    /// Pages that may connect.
    pub origins: AllowedOrigins,
    /// The header that is kept for the driver.
    pub forwarded: ForwardedHeader,
    /// What browsers are shown beside the protocols.
    pub pages: PageSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_same_host_or_of_the_list_may_connect() {
        let listed = AllowedOrigins::parse("https://app.example.org, NULL,capacitor://localhost").expect("a list");
        for (origin, host) in [
            ("https://im.example.org", "im.example.org"),
            ("http://localhost:5173", "localhost:8081"),
            ("http://IM.example.org:80", "im.EXAMPLE.org:8081"),
            ("http://[::1]:5173", "[::1]:8081"),
            ("https://app.example.org", "im.example.org"),
            ("HTTPS://APP.example.org", "im.example.org"),
            ("null", "im.example.org"),
            ("capacitor://localhost", "im.example.org"),
        ] {
            assert!(listed.allow(origin.as_bytes(), Some(host.as_bytes())), "{origin} to {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "im.example.org"),
            ("https://im.example.org.evil.example", "im.example.org"),
            ("https://evil.example/im.example.org", "im.example.org"),
            ("https://im.example.org@evil.example", "im.example.org"),
            ("http://app.example.org", "im.example.org"),
            ("https://app.example.org:8443", "im.example.org"),
            ("", "im.example.org"),
            ("://", ""),
            ("http://", ""),
            ("file://", ""),
        ] {
            assert!(!listed.allow(origin.as_bytes(), Some(host.as_bytes())), "{origin} to {host}");
        }
        assert!(!AllowedOrigins::default().allow(b"null", Some(b"null")));
        assert!(AllowedOrigins::parse("*").expect("any").allow(b"https://evil.example", None));
    }

    #[test]
    fn what_a_client_wrote_hides_no_hop_that_a_proxy_appended() {
        let headers = [httparse::Header { name: "X-Forwarded-For", value: b"\xff, 203.0.113.9" }];
        let read = ForwardedHeader::XForwardedFor.read(&headers).expect("the line is there");
        assert!(read.ends_with(", 203.0.113.9"), "{read}");
    }

    #[test]
    fn a_list_is_shown_as_it_is_read_and_what_is_no_origin_is_named() {
        let list = AllowedOrigins::parse(" https://a.example , *").expect("a list");
        assert_eq!(list.shown(), "https://a.example,*");
        for wrong in ["a.example", "https://a.example/", "https://", "https://u@a.example", "*.example.org"] {
            assert_eq!(AllowedOrigins::parse(wrong), Err(wrong.to_owned()));
        }
    }
}
