//! A client's WebSocket: blocking while it connects, then non-blocking under a poll.

use crate::terminal::failure::Failure;
use crate::terminal::tls_client::server_name;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use tungstenite::http::Uri;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket, client};

/// The time limit of connecting, and of each step of the handshake.
pub const TIMEOUT: Duration = Duration::from_secs(10);

pub struct TcpClient {
    socket: WebSocket<ClientStream>,
}

/// Plain, or with TLS.
enum ClientStream {
    Plain(TcpStream),
    Secured(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl ClientStream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secured(secured) => &secured.sock,
        }
    }
}

impl Read for ClientStream {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            Self::Secured(secured) => secured.read(bytes),
        }
    }
}

impl Write for ClientStream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secured(secured) => secured.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secured(secured) => secured.flush(),
        }
    }
}

/// Why nothing more can be received.
pub enum StreamEnd {
    /// The server closed the connection, with a code and a reason.
    Closed(u16, String),
    Failed(String),
}

impl TcpClient {
    /// Connects to `url`; a URL without a path gets `path`. `tls` is for a URL with `wss`.
    pub fn connect(url: &str, path: &str, tls: Option<&Arc<ClientConfig>>) -> Result<Self, Failure> {
        let uri = complete(url, path)?;
        let tls = tls.filter(|_| is_secured(url));
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let address = (host, uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }));
        let address = address.to_socket_addrs().map_err(Failure::because(url))?.next();
        let address = address.ok_or_else(|| Failure::new(format!("{url} has no address")))?;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)
            .map_err(Failure::because(format!("cannot connect to {url} (is the server running?)")))?;
        let prepared = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(TIMEOUT)))
            .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
        prepared.map_err(Failure::because(url))?;
        let stream = match tls {
            None => ClientStream::Plain(stream),
            Some(config) => {
                let client = ClientConnection::new(config.clone(), server_name(host)?);
                let client = client.map_err(Failure::because(format!("TLS with {url} cannot begin")))?;
                ClientStream::Secured(Box::new(StreamOwned::new(client, stream)))
            }
        };
        let config = WebSocketConfig::default().read_buffer_size(8 << 10);
        let shaken = client::client_with_config(uri, stream, Some(config));
        let (socket, _) = shaken.map_err(Failure::because(format!("the WebSocket handshake with {url} failed")))?;
        Ok(Self { socket })
    }

    /// Makes the socket non-blocking and registers it; `registry` reports when it is ready.
    pub fn register(&self, registry: &Registry, token: Token) -> std::io::Result<()> {
        let stream = self.socket.get_ref().tcp();
        stream.set_nonblocking(true)?;
        let fd = stream.as_raw_fd();
        registry.register(&mut SourceFd(&fd), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// The next text or binary message; `None` if none has arrived.
    pub fn receive(&mut self) -> Result<Option<Message>, StreamEnd> {
        loop {
            match self.socket.read() {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => return Ok(Some(message)),
                Ok(Message::Close(Some(frame))) => {
                    return Err(StreamEnd::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return Ok(None);
                }
                Err(error) => return Err(StreamEnd::Failed(error.to_string())),
            }
        }
    }

    pub fn send(&mut self, message: Message) -> Result<(), StreamEnd> {
        settled(self.socket.send(message))
    }

    /// Writes the rest of earlier messages.
    pub fn flush(&mut self) -> Result<(), StreamEnd> {
        settled(self.socket.flush())
    }

    /// Begins the closing handshake.
    pub fn close(&mut self) -> Result<(), StreamEnd> {
        settled(self.socket.close(None))
    }
}

/// The WebSocket keeps what does not fit into the socket now, and a later flush writes it.
fn settled(result: tungstenite::Result<()>) -> Result<(), StreamEnd> {
    match result {
        Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
        result => result.map_err(|error| StreamEnd::Failed(error.to_string())),
    }
}

/// Whether the address is one of TLS.
pub fn is_secured(url: &str) -> bool {
    url.starts_with("wss://")
}

fn after_scheme(url: &str) -> Option<&str> {
    url.strip_prefix("ws://").or_else(|| url.strip_prefix("wss://"))
}

/// The path of a `ws://` or `wss://` address, if it has one.
pub fn path_of(url: &str) -> Option<&str> {
    let rest = after_scheme(url)?;
    rest.find('/').map(|at| rest[at..].split(['?', '#']).next().unwrap_or_default())
}

fn complete(url: &str, path: &str) -> Result<Uri, Failure> {
    let is_bare = after_scheme(url).is_some_and(|rest| !rest.trim_end_matches('/').contains('/'));
    let whole = if is_bare { format!("{}{path}", url.trim_end_matches('/')) } else { url.to_owned() };
    match whole.parse::<Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some() => Ok(uri),
        _ => {
            Err(Failure::new(format!("\"{url}\": expected a ws:// or wss:// address, for example ws://127.0.0.1:8081")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_protocol_s() {
        let complete = |url| complete(url, "/ws").map(|uri| uri.to_string()).ok();
        assert_eq!(complete("ws://127.0.0.1:8081").as_deref(), Some("ws://127.0.0.1:8081/ws"));
        assert_eq!(complete("ws://[::1]:8081/").as_deref(), Some("ws://[::1]:8081/ws"));
        assert_eq!(complete("ws://host/wukong").as_deref(), Some("ws://host/wukong"));
        assert_eq!(complete("wss://host").as_deref(), Some("wss://host/ws"));
        assert_eq!(["http://host", "host:8081", "ws://", ""].map(complete), [const { None }; 4]);
    }
}
