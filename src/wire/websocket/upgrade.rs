//! The headers of an upgrade request (RFC 6455, 4.2.1; RFC 9112, 3.2).
//!
//! Invariants: a list is read from all its lines; a header that may occur once is refused when it occurs twice; a
//! request with a body is refused, since its bytes would be read as frames.

use crate::wire::base::base64::BASE64;
use crate::wire::websocket::http_refusal::HttpRefusal;
use base64::Engine;
use tungstenite::http::uri::Authority;

const KEY_BYTES: usize = 16;

#[derive(Default)]
pub(in crate::wire) struct Upgrade<'a> {
    pub host: Option<&'a [u8]>,
    pub origin: Option<&'a [u8]>,
    connection_is_upgrade: bool,
    upgrade_is_websocket: bool,
    version: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    headers: &'a [httparse::Header<'a>],
}

impl<'a> Upgrade<'a> {
    pub fn read(headers: &'a [httparse::Header<'a>]) -> Result<Self, HttpRefusal> {
        let mut upgrade = Self { headers, ..Self::default() };
        for header in headers {
            upgrade.take(header.name, header.value).ok_or(HttpRefusal::BadRequest)?;
        }
        Ok(upgrade)
    }

    fn take(&mut self, name: &str, value: &'a [u8]) -> Option<()> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("Host") {
            return (self.host.replace(value.trim_ascii()).is_none() && is_host(value)).then_some(());
        }
        if is("Origin") {
            return self.origin.replace(value.trim_ascii()).is_none().then_some(());
        }
        if is("Connection") {
            self.connection_is_upgrade |= elements(value).any(|element| element.eq_ignore_ascii_case(b"upgrade"));
        } else if is("Upgrade") {
            self.upgrade_is_websocket |= elements(value).any(|element| element.eq_ignore_ascii_case(b"websocket"));
        } else if is("Sec-WebSocket-Version") {
            return self.version.replace(value.trim_ascii()).is_none().then_some(());
        } else if is("Sec-WebSocket-Key") {
            return self.key.replace(value.trim_ascii()).is_none().then_some(());
        } else if is("Content-Length") {
            return (!value.is_empty() && value.iter().all(|byte| *byte == b'0')).then_some(());
        } else if is("Transfer-Encoding") {
            return None;
        }
        Some(())
    }

    /// The key to be accepted, if this asks for WebSocket at all.
    pub fn key(&self) -> Result<&'a [u8], HttpRefusal> {
        if !self.connection_is_upgrade || !self.upgrade_is_websocket || self.version != Some(b"13") {
            return Err(HttpRefusal::UpgradeRequired);
        }
        let is_key = |key: &&[u8]| BASE64.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES) && key.len() == 24;
        self.key.filter(is_key).ok_or(HttpRefusal::BadRequest)
    }

    /// The first subprotocol asked for that is `own` or one of `others`.
    pub fn subprotocol(&self, own: &'static str, others: &'a [String]) -> Option<&'a str> {
        let lines = self.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"));
        lines.flat_map(|line| elements(line.value)).find_map(|asked| {
            let known = others.iter().map(String::as_str).chain([own]);
            known.into_iter().find(|name| name.as_bytes() == asked)
        })
    }
}

/// The elements of a list (RFC 9110, 5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Whether the value is a host with an optional port (RFC 9112, 3.2). A target without authority has an empty one.
fn is_host(value: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(value) else { return false };
    let host_end = text.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match text[host_end..].rfind(':') {
        Some(colon) => (&text[..host_end + colon], &text[host_end + colon + 1..]),
        None => (text, ""),
    };
    let is_port = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port && !host.contains('@') && (host.is_empty() || host.parse::<Authority>().is_ok())
}
