//! What browsers may do to the HTTP API: nothing in the name of a page of another site.
//!
//! A request with the token comes from somebody who was given it. One without may come from any page that the operator's
//! browser shows: a name that its owner points at this machine is told from this server's by `Host`. Invariant: neither
//! rule concerns a client that is no browser and uses an address.

use crate::admin::base::error::ApiError;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri};
use std::net::IpAddr;

/// Whether a request without the token is meant for this server. Addresses and names without a dot cannot be made to lead
/// here by whoever owns a domain; other names must be `allowed`.
pub fn check_host(uri: &Uri, headers: &HeaderMap, allowed: &[String]) -> Result<(), ApiError> {
    let in_header = || headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let Some(authority) = uri.authority().cloned().or_else(in_header) else { return Err(ApiError::WrongHost) };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_own = bare.parse::<IpAddr>().is_ok() || !host.contains('.') || host.ends_with(".localhost");
    let is_allowed = || allowed.iter().any(|name| name == "*" || *name == host);
    if is_own || is_allowed() { Ok(()) } else { Err(ApiError::WrongHost) }
}

/// Refuses writes that a page of another site has caused, as browsers say in `Sec-Fetch-Site` and `Origin`.
pub fn check_site(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_foreign = match text("sec-fetch-site") {
        Some(site) => !matches!(site, "same-origin" | "none"),
        // A browser without the header names the page's origin, which is this server where its host is.
        None => {
            text(ORIGIN.as_str()).is_some_and(|origin| !is_of_host(origin, text(HOST.as_str()).unwrap_or_default()))
        }
    };
    if is_foreign && !method.is_safe() { Err(ApiError::CrossSite) } else { Ok(()) }
}

/// Refuses requests that a page of another origin has caused, reads as well; what changes something has to come from a
/// page of this server. For requests that bear a cookie, which a browser adds by itself.
pub fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_own = match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some("same-origin"), _) => true,
        (Some("none"), _) => method.is_safe(),
        (Some(_), _) => false,
        (None, Some(origin)) => is_of_host(origin, text(HOST.as_str()).unwrap_or_default()),
        // A browser that says neither has sent a read.
        (None, None) => method.is_safe(),
    };
    if is_own { Ok(()) } else { Err(ApiError::CrossSite) }
}

fn is_of_host(origin: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn only_addresses_plain_names_and_listed_ones_are_this_server() {
        let uri = Uri::from_static("/healthz");
        let allowed = ["im.example.org".to_owned()];
        let is_ours = |host: &str| check_host(&uri, &headers(&[("host", host)]), &allowed).is_ok();
        for ours in ["127.0.0.1:8080", "[::1]:8080", "10.0.0.7", "localhost:1", "mushan:8080", "IM.example.org:8080"] {
            assert!(is_ours(ours), "{ours}");
        }
        for wrong in ["rebound.example:8080", "127.0.0.1.evil.example", "im.example.org.evil.example", "", "a b"] {
            assert!(!is_ours(wrong), "{wrong}");
        }
        assert_eq!(check_host(&uri, &HeaderMap::new(), &allowed), Err(ApiError::WrongHost));
        let whole = Uri::from_static("http://rebound.example/healthz");
        assert!(check_host(&whole, &headers(&[("host", "127.0.0.1")]), &allowed).is_err(), "the target counts");
        assert!(check_host(&whole, &headers(&[]), &["*".to_owned()]).is_ok());
    }

    #[test]
    fn a_page_of_another_site_writes_nothing() {
        let host = ("host", "127.0.0.1:8080");
        for foreign in [
            &[host, ("sec-fetch-site", "cross-site")][..],
            &[host, ("sec-fetch-site", "same-site")],
            &[host, ("origin", "https://evil.example")],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://127.0.0.1:9999")],
        ] {
            assert_eq!(check_site(&Method::POST, &headers(foreign)), Err(ApiError::CrossSite), "{foreign:?}");
            assert!(check_site(&Method::GET, &headers(foreign)).is_ok());
        }
        for own in [
            &[host][..],
            &[host, ("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:8080")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("origin", "http://127.0.0.1:8080")],
        ] {
            assert!(check_site(&Method::DELETE, &headers(own)).is_ok(), "{own:?}");
        }
    }

    #[test]
    fn a_cookie_counts_only_for_pages_of_this_server() {
        let host = ("host", "127.0.0.1:8080");
        for own in [&[host, ("sec-fetch-site", "same-origin")][..], &[host, ("origin", "http://127.0.0.1:8080")]] {
            assert!(check_origin(&Method::POST, &headers(own)).is_ok(), "{own:?}");
        }
        for foreign in [
            &[host, ("sec-fetch-site", "cross-site")][..],
            &[host, ("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:8080")],
            &[host, ("origin", "http://127.0.0.1:9999")],
        ] {
            assert_eq!(check_origin(&Method::POST, &headers(foreign)), Err(ApiError::CrossSite), "{foreign:?}");
            assert_eq!(check_origin(&Method::GET, &headers(foreign)), Err(ApiError::CrossSite), "{foreign:?}");
        }
        for typed in [&[host][..], &[host, ("sec-fetch-site", "none")]] {
            assert_eq!(check_origin(&Method::POST, &headers(typed)), Err(ApiError::CrossSite), "{typed:?}");
            assert!(check_origin(&Method::GET, &headers(typed)).is_ok(), "{typed:?}");
        }
    }
}
