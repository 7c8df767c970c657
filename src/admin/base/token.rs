//! Files for operators on this machine in the data directory: two tokens (`admin-token` and `read-token`, 64 hex digits
//! each, mode 0600, created once) and the API's address (`admin-url`, written at each start and removed at a stop).
//!
//! The tokens are never printed or logged, and are compared in constant time.

use crate::server::{Secret, StartError, write_atomically};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorRole {
    Full,
    /// Requests that change nothing.
    ReadOnly,
}

impl OperatorRole {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
        }
    }
}

/// The tokens of the API, one for each role.
pub struct AdminToken {
    full: Secret,
    read_only: Secret,
}

impl AdminToken {
    pub const FILE: &str = "admin-token";
    pub const READ_FILE: &str = "read-token";

    pub fn load_or_create(data_dir: &Path) -> Result<Self, StartError> {
        let load = |name: &str| Secret::load_or_create_file(&data_dir.join(name));
        Ok(Self { full: load(Self::FILE)?, read_only: load(Self::READ_FILE)? })
    }

    /// The role of a request that carries a token: `Authorization: Bearer` and the digits.
    pub fn role_borne_by(&self, headers: &HeaderMap) -> Option<OperatorRole> {
        let borne = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, digits) = borne?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") { self.role_of(digits.trim()) } else { None }
    }

    /// The role of a token by its digits.
    pub fn role_of(&self, digits: &str) -> Option<OperatorRole> {
        let borne = Secret::parse(digits)?;
        let (full, read_only) = (borne.bytes().ct_eq(self.full.bytes()), borne.bytes().ct_eq(self.read_only.bytes()));
        if full.into() {
            Some(OperatorRole::Full)
        } else if read_only.into() {
            Some(OperatorRole::ReadOnly)
        } else {
            None
        }
    }
}

/// The file that contains the API's address while the server runs.
///
/// The server holds a lock on the file, which the kernel releases with the process, and removes the file before it
/// stops listening. So a client that connects and then finds the file locked is connected to the server that wrote it.
pub struct AddressFile {
    path: PathBuf,
    _locked: File,
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // A file that cannot be removed is no longer locked, and is ignored for that reason.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The address in a data directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Address {
    /// Written by a running server.
    Held(String),
    /// No server with an API uses the directory.
    Absent,
}

impl AddressFile {
    pub const FILE: &str = "admin-url";

    /// `scheme` is `http` or `https`.
    pub fn write(data_dir: &Path, scheme: &str, address: SocketAddr) -> Result<Self, StartError> {
        let path = Self::path(data_dir);
        let text = format!("{}\n", url_of(scheme, address));
        let failed = |error: io::Error| StartError::disk("write", &path, error);
        write_atomically(&path, text.as_bytes(), 0o600).map_err(failed)?;
        let locked = File::open(&path).map_err(failed)?;
        flock(&locked, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(Self { path, _locked: locked })
    }

    /// Removes the file; for a server without the API.
    pub fn remove(data_dir: &Path) -> Result<(), StartError> {
        let path = Self::path(data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StartError::disk("remove", &path, error)),
            _ => Ok(()),
        }
    }

    pub fn read(data_dir: &Path) -> io::Result<Address> {
        let mut file = match File::open(Self::path(data_dir)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Address::Absent),
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            // The server that wrote the file has ended.
            Ok(()) => return Ok(Address::Absent),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(Address::Held(text.trim_end().to_owned()))
    }

    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(Self::FILE)
    }
}

/// The URL at which a client on this machine reaches the API.
fn url_of(scheme: &str, address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn bearing(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"))])
    }

    #[test]
    fn only_a_token_itself_is_the_token_and_each_has_its_role() {
        let directory = tempfile::tempdir().expect("a directory");
        let token = AdminToken::load_or_create(directory.path()).expect("made");
        for (file, role) in [(AdminToken::FILE, OperatorRole::Full), (AdminToken::READ_FILE, OperatorRole::ReadOnly)] {
            let text = std::fs::read_to_string(directory.path().join(file)).expect("there");
            let digits = text.trim_end();
            assert_eq!(token.role_borne_by(&bearing(&format!("Bearer {digits}"))), Some(role));
            assert_eq!(token.role_borne_by(&bearing(&format!("bearer {digits}"))), Some(role), "schemes have no case");
            let other = if digits.starts_with('0') { "1" } else { "0" };
            let wrong =
                ["", digits, "Bearer", "Bearer ", &format!("Basic {digits}"), &format!("Bearer {}", &digits[1..])]
                    .map(|value| token.role_borne_by(&bearing(value)));
            assert_eq!(wrong, [None; 6]);
            assert_eq!(token.role_borne_by(&bearing(&format!("Bearer {other}{}", &digits[1..]))), None);
        }
        assert_eq!(token.role_borne_by(&HeaderMap::new()), None);
    }

    #[test]
    fn an_address_is_believed_only_while_the_server_that_wrote_it_lives() {
        let directory = tempfile::tempdir().expect("a directory");
        let read = || AddressFile::read(directory.path()).expect("readable");
        assert_eq!(read(), Address::Absent);
        let held = AddressFile::write(directory.path(), "http", "127.0.0.1:8080".parse().expect("an address"))
            .expect("written");
        assert_eq!(read(), Address::Held("http://127.0.0.1:8080".to_owned()));
        drop(held);
        assert!(!directory.path().join(AddressFile::FILE).exists(), "a stop removes it");
        std::fs::write(directory.path().join(AddressFile::FILE), "http://127.0.0.1:1\n").expect("written");
        assert_eq!(read(), Address::Absent, "as a server that was killed leaves it");
    }

    #[test]
    fn an_address_for_everybody_is_reached_over_loopback() {
        let urls =
            ["0.0.0.0:80", "[::]:81", "10.0.0.1:82"].map(|text| url_of("http", text.parse().expect("an address")));
        assert_eq!(urls, ["http://127.0.0.1:80", "http://[::1]:81", "http://10.0.0.1:82"]);
    }
}
