//! The address of a server's WebSocket, as it is given to a command.

use crate::terminal::failure::Failure;
use std::time::Duration;
use tungstenite::http::Uri;

/// The time limit of connecting, and of each answer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether the address is one of TLS.
pub fn is_secured(url: &str) -> bool {
    url.starts_with("wss://")
}

/// The path of a `ws://` or `wss://` address, if it has one.
pub fn path_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("ws://").or_else(|| url.strip_prefix("wss://"))?;
    rest.find('/').map(|at| rest[at..].split(['?', '#']).next().unwrap_or_default())
}

/// Refuses what is no such address.
pub fn check(url: &str) -> Result<(), Failure> {
    match url.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some() => Ok(()),
        _ => {
            Err(Failure::new(format!("\"{url}\": expected a ws:// or wss:// address, for example ws://127.0.0.1:8081")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_of_websockets_and_a_host() {
        let is_one = |url: &&str| check(url).is_ok();
        assert!(["ws://127.0.0.1:8081", "ws://[::1]:8081/", "ws://host/wukong", "wss://host"].iter().all(is_one));
        assert!(!["http://host", "host:8081", "ws://", ""].iter().any(is_one));
        assert_eq!((path_of("ws://h:1"), path_of("wss://h/rpc?x=1")), (None, Some("/rpc")));
    }
}
