//! A client of the operator's HTTP API, over which the generator creates groups.

use crate::admin::{Address, AddressFile};
use crate::bench::load::http::HttpConnection;
use crate::terminal::failure::Failure;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Members in one request.
const MEMBERS_AT_ONCE: usize = 1_000;

pub struct ApiLoad {
    address: String,
    token: String,
    data_dir: PathBuf,
}

/// The address of the API of the server that uses this data directory.
fn address_in(data_dir: &Path) -> Result<String, Failure> {
    let written = AddressFile::read(data_dir).map_err(Failure::because("cannot read the address of the HTTP API"))?;
    let Address::Held(url) = written else {
        return Err(Failure::new(format!("no server with an operator's HTTP API runs on {}", data_dir.display())));
    };
    Ok(url.trim_start_matches("http://").to_owned())
}

impl ApiLoad {
    /// The API of the server that uses this data directory.
    pub fn of(data_dir: &Path) -> Result<Self, Failure> {
        let path = data_dir.join("admin-token");
        let token = std::fs::read_to_string(&path).map_err(|error| {
            Failure::new(format!(
                "groups are created over the operator's HTTP API, which this server does not have: no {} ({error})",
                path.display()
            ))
            .caused_by(error)
        })?;
        let address = address_in(data_dir)?;
        Ok(Self { address, token: token.trim().to_owned(), data_dir: data_dir.to_owned() })
    }

    /// A connection for many requests.
    pub fn connect(&self) -> Result<HttpConnection, Failure> {
        HttpConnection::open(&self.address, &self.token)
    }

    /// Creates the group with the first members, and adds the others in parts.
    pub fn create_group(&self, id: &str, owner: &str, members: &[String]) -> Result<(), Failure> {
        let (first, rest) = members.split_at(members.len().min(MEMBERS_AT_ONCE));
        self.post("/v1/groups", &json!({"id": id, "owner": owner, "members": first}))?;
        for part in rest.chunks(MEMBERS_AT_ONCE) {
            self.post(&format!("/v1/groups/{id}/members"), &json!({"add": part}))?;
        }
        Ok(())
    }

    fn post(&self, path: &str, body: &serde_json::Value) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            Failure::because(format!("the operator's HTTP API at {} does not answer", self.address))(error)
        };
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).map_err(failed)?;
        // The token is meant only for the server that wrote the address.
        if address_in(&self.data_dir)? != self.address {
            return Err(Failure::new("the server has been restarted meanwhile"));
        }
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        if status.starts_with('2') {
            return Ok(());
        }
        let said = answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, body)| body);
        Err(Failure::new(format!("the operator's HTTP API refuses POST {path}: {status} {said}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_server_without_the_api_is_told_in_a_sentence() {
        let empty = tempfile::tempdir().unwrap();
        let refused = ApiLoad::of(empty.path()).err().unwrap();
        assert!(refused.sentence.contains("operator's HTTP API"), "{}", refused.sentence);
    }

    #[test]
    fn a_large_group_is_made_in_parts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("admin-token"), "abc\n").unwrap();
        let _held = AddressFile::write(home.path(), "http", listener.local_addr().unwrap()).unwrap();
        let api = std::thread::spawn(move || {
            let mut heads = Vec::new();
            for _request in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4_096];
                while !request.ends_with(b"]}") && !request.ends_with(b"\"}") {
                    let count = stream.read(&mut buffer).unwrap();
                    request.extend_from_slice(&buffer[..count]);
                }
                let text = String::from_utf8(request).unwrap();
                assert!(text.contains("Authorization: Bearer abc\r\n"), "{text}");
                heads.push(text.lines().next().unwrap().to_owned());
                stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").unwrap();
            }
            heads
        });
        let members: Vec<String> = (0..MEMBERS_AT_ONCE + 1).map(|n| format!("m{n}")).collect();
        ApiLoad::of(home.path()).unwrap().create_group("team", "m0", &members).unwrap();
        assert_eq!(api.join().unwrap(), ["POST /v1/groups HTTP/1.1", "POST /v1/groups/team/members HTTP/1.1"]);
    }
}
