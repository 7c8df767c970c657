//! A connection to the operator's HTTP API that is kept between requests.

use crate::terminal::failure::Failure;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

pub struct HttpConnection {
    stream: BufReader<TcpStream>,
    address: String,
    token: String,
}

impl HttpConnection {
    pub fn open(address: &str, token: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        Ok(Self { stream: BufReader::new(stream), address: address.to_owned(), token: token.to_owned() })
    }

    /// The status and the body of the answer.
    pub fn post(&mut self, path: &str, body: &str) -> Result<(u16, Vec<u8>), Failure> {
        let length = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
        self.send(&format!("POST {path}"), &length, body)?;
        let (status, length) = self.read_head()?;
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).map_err(failed)?;
        Ok((status, answer))
    }

    /// Opens a stream of lines, which `read_line` reads.
    pub fn open_lines(&mut self, path: &str) -> Result<(), Failure> {
        self.send(&format!("GET {path}"), "Accept: application/x-ndjson", "")?;
        match self.read_head()? {
            (200, _) => Ok(()),
            (status, _) => Err(Failure::new(format!("the operator's HTTP API refuses GET {path}: {status}"))),
        }
    }

    /// Reads the next line into `line`, chunk sizes and empty lines included. `false`: the stream has ended.
    pub fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, Failure> {
        line.clear();
        Ok(self.stream.read_until(b'\n', line).map_err(failed)? > 0)
    }

    /// A handle with which another thread ends the stream.
    pub fn closer(&self) -> Result<TcpStream, Failure> {
        self.stream.get_ref().try_clone().map_err(failed)
    }

    fn send(&mut self, request: &str, headers: &str, body: &str) -> Result<(), Failure> {
        let Self { address, token, .. } = self;
        let text = format!(
            "{request} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n{headers}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(text.as_bytes()).map_err(failed)
    }

    /// The status and the length of the body; 0 where none is said.
    fn read_head(&mut self) -> Result<(u16, usize), Failure> {
        let (mut line, mut status, mut length) = (String::new(), None, 0);
        loop {
            line.clear();
            if self.stream.read_line(&mut line).map_err(failed)? == 0 {
                return Err(Failure::new("the operator's HTTP API has closed the connection"));
            }
            let text = line.trim_end();
            if text.is_empty() {
                let status = status.ok_or_else(|| Failure::new("the operator's HTTP API answers without a status"))?;
                return Ok((status, length));
            }
            if status.is_none() {
                status = text.split(' ').nth(1).and_then(|number| number.parse().ok());
            } else if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
    }
}

fn failed(error: std::io::Error) -> Failure {
    Failure::because("the operator's HTTP API does not answer")(error)
}
