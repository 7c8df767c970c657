//! The URL of an operator's endpoint, checked when the configuration is read.

use crate::server::outbound::addresses::AddressPolicy;
use hyper::Uri;
use std::fmt;
use std::net::IpAddr;

/// An https URL, or an http URL on this machine's loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

impl Endpoint {
    /// `Err` says what is wrong with the URL.
    pub fn parse(text: &str, policy: AddressPolicy) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("\"{text}\" {why}"));
        let Ok(uri) = text.parse::<Uri>() else { return wrong("is not a URL") };
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else { return wrong("names no host") };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return wrong("contains credentials: requests are signed instead");
        }
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_here => {}
            Some("http") => return wrong("is http and not on this machine: use https"),
            _ => return wrong("is neither https nor http"),
        }
        if !is_here && address.is_some_and(|address| !policy.allows(address)) {
            return wrong("is a private address, which is not allowed");
        }
        Ok(Self(uri))
    }

    pub fn uri(&self) -> &Uri {
        &self.0
    }

    pub fn is_encrypted(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

/// Without the query, which may hold a secret.
impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.authority().map_or("", |authority| authority.as_str());
        write!(out, "{}://{host}{}", self.0.scheme_str().unwrap_or_default(), self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_this_machine_may_be_called() {
        let said = |text: &str| Endpoint::parse(text, AddressPolicy::Public).err();
        for fine in
            ["https://example.com/hook", "http://127.0.0.1:8000/", "http://localhost:1/a?b=c", "http://[::1]:9/"]
        {
            assert_eq!(said(fine), None, "{fine}");
        }
        for (wrong, why) in [
            ("http://example.com/", "use https"),
            ("ftp://example.com/", "neither"),
            ("example.com", "neither"),
            ("/hook", "names no host"),
            ("https://", "not a URL"),
            ("https://10.0.0.1/", "private"),
            ("https://[fd00::1]/", "private"),
            ("https://user:secret@example.com/", "credentials"),
        ] {
            assert!(said(wrong).is_some_and(|said| said.contains(why)), "{wrong}: {:?}", said(wrong));
        }
        assert!(Endpoint::parse("https://10.0.0.1/", AddressPolicy::Any).is_ok());
        let shown =
            Endpoint::parse("https://example.com/a?key=secret", AddressPolicy::Public).expect("fine").to_string();
        assert_eq!(shown, "https://example.com/a");
    }
}
