//! Pages that a server shows to browsers beside its protocols: complete HTTP responses, made before the first request.
//!
//! Invariant: a page is shown only to a browser that was led to one of the server's own names, so that no other site
//! can read it under a name of its own (DNS rebinding).

use std::sync::Arc;

/// Headers of every page: nothing is loaded from elsewhere, and nobody may embed or keep it.
const HEADERS: &str = "Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\r\n";

/// Under which names of the server its pages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageHosts {
    /// `localhost` and loopback addresses.
    Loopback,
    /// All.
    Any,
}

/// The content of a page.
pub struct PageContent<'a> {
    /// The path, such as `/chat`.
    pub path: &'static str,
    /// The media type.
    pub media_type: &'static str,
    /// The bytes of the body.
    pub body: &'a [u8],
}

/// The pages of a server; without any by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSet {
    hosts: PageHosts,
    /// Paths and their responses.
    pages: Arc<[(&'static str, Vec<u8>)]>,
}

impl Default for PageSet {
    fn default() -> Self {
        Self { hosts: PageHosts::Loopback, pages: Arc::default() }
    }
}

impl PageSet {
    /// Pages that are shown under these names of the server.
    pub fn new(hosts: PageHosts, contents: &[PageContent<'_>]) -> Self {
        let pages = contents.iter().map(|content| (content.path, response(content))).collect();
        Self { hosts, pages }
    }

    /// The response to a request for `path`, under the server's name in the header `Host`.
    pub(in crate::wire) fn response(&self, path: &str, host: &[u8]) -> Option<&[u8]> {
        let (_, response) = self.pages.iter().find(|(known, _)| *known == path)?;
        (self.hosts == PageHosts::Any || is_loopback(host)).then_some(response.as_slice())
    }
}

fn response(content: &PageContent<'_>) -> Vec<u8> {
    let PageContent { path: _, media_type, body } = content;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n{HEADERS}", body.len());
    [head.as_bytes(), body].concat()
}

/// Whether a host with an optional port is a name of this machine alone.
fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host.trim_ascii()) else { return false };
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next() == Some("::1");
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || is_loopback_v4(name)
}

/// Whether it is an address of 127.0.0.0/8. The floors below the edge know no addresses.
fn is_loopback_v4(name: &str) -> bool {
    let bytes: Vec<_> = name.split('.').map(str::parse::<u8>).collect();
    matches!(bytes[..], [Ok(127), Ok(_), Ok(_), Ok(_)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(hosts: PageHosts) -> PageSet {
        PageSet::new(hosts, &[PageContent { path: "/chat", media_type: "text/html", body: b"<p>" }])
    }

    #[test]
    fn a_page_is_shown_under_names_of_this_machine_only() {
        let pages = pages(PageHosts::Loopback);
        for host in ["localhost", "LOCALHOST:8081", "127.0.0.1:8081", "127.3.2.1", "[::1]:8081", " localhost "] {
            assert!(pages.response("/chat", host.as_bytes()).is_some(), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "127.0.0",
            "127.0.0.256",
            "127.0.0.1.1",
        ] {
            assert!(pages.response("/chat", host.as_bytes()).is_none(), "{host}");
        }
    }

    #[test]
    fn any_name_will_do_where_the_operator_says_so() {
        let pages = pages(PageHosts::Any);
        assert!(pages.response("/chat", b"chat.example").is_some());
        assert_eq!(pages.response("/chat/other", b"localhost"), None);
        assert_eq!(PageSet::default().response("/chat", b"localhost"), None);
    }

    #[test]
    fn a_response_is_whole() {
        let pages = pages(PageHosts::Any);
        let response = pages.response("/chat", b"h").expect("it is there");
        let text = str::from_utf8(response).expect("text");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n<p>"), "{text}");
        assert!(text.contains("\r\nContent-Length: 3\r\n") && text.contains("default-src 'none'"), "{text}");
    }
}
