//! What an operator on this machine finds in the data directory: the admin token (`admin-token`, 64 hex digits, mode
//! 0600, made once) and where the API listens (`admin-url`, written at each start).
//!
//! The token is never printed or logged, and is compared in constant time.

use crate::server::{Secret, StartError, write_atomically};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

pub struct AdminToken(Secret);

impl AdminToken {
    pub const FILE: &str = "admin-token";

    pub fn load_or_create(data_dir: &Path) -> Result<Self, StartError> {
        Secret::load_or_create_file(&data_dir.join(Self::FILE)).map(Self)
    }

    /// Whether a request bears it: `Authorization: Bearer` and the digits.
    pub fn is_borne_by(&self, headers: &HeaderMap) -> bool {
        let borne = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let borne = borne.and_then(|value| value.split_once(' '));
        let digits = borne.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, digits)| digits.trim());
        let Some(borne) = digits.and_then(Secret::parse) else { return false };
        borne.bytes().ct_eq(self.0.bytes()).into()
    }
}

/// Says where the API of the server on a data directory listens.
pub struct AddressFile;

impl AddressFile {
    pub const FILE: &str = "admin-url";

    pub fn write(data_dir: &Path, address: SocketAddr) -> Result<(), StartError> {
        let path = Self::path(data_dir);
        let text = format!("{}\n", url_of(address));
        write_atomically(&path, text.as_bytes(), 0o600).map_err(|error| StartError::disk("write", &path, &error))
    }

    /// For a server without the API.
    pub fn remove(data_dir: &Path) -> Result<(), StartError> {
        let path = Self::path(data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StartError::disk("remove", &path, &error)),
            _ => Ok(()),
        }
    }

    /// `None` when no server with an API has been here.
    pub fn read(data_dir: &Path) -> io::Result<Option<String>> {
        match std::fs::read_to_string(Self::path(data_dir)) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(Self::FILE)
    }
}

/// How a client on this machine reaches it.
fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn bearing(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"))])
    }

    #[test]
    fn only_the_token_itself_is_the_token() {
        let directory = tempfile::tempdir().expect("a directory");
        let token = AdminToken::load_or_create(directory.path()).expect("made");
        let text = std::fs::read_to_string(directory.path().join(AdminToken::FILE)).expect("there");
        let digits = text.trim_end();
        assert!(token.is_borne_by(&bearing(&format!("Bearer {digits}"))));
        assert!(token.is_borne_by(&bearing(&format!("bearer {digits}"))), "schemes have no case");
        let other = if digits.starts_with('0') { "1" } else { "0" };
        for value in ["", digits, "Bearer", "Bearer ", &format!("Basic {digits}"), &format!("Bearer {}", &digits[1..])]
        {
            assert!(!token.is_borne_by(&bearing(value)), "{value:?}");
        }
        assert!(!token.is_borne_by(&bearing(&format!("Bearer {other}{}", &digits[1..]))));
        assert!(!token.is_borne_by(&HeaderMap::new()));
    }

    #[test]
    fn an_address_for_everybody_is_reached_over_loopback() {
        let urls = ["0.0.0.0:80", "[::]:81", "10.0.0.1:82"].map(|text| url_of(text.parse().expect("an address")));
        assert_eq!(urls, ["http://127.0.0.1:80", "http://[::1]:81", "http://10.0.0.1:82"]);
    }
}
