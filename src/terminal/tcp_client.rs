//! A client's WebSocket: blocking while it connects, then non-blocking under a poll.

use crate::terminal::failure::Failure;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::time::Duration;
use tungstenite::http::Uri;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket, client};

/// The time limit of connecting, and of each step of the handshake.
pub const TIMEOUT: Duration = Duration::from_secs(10);

pub struct TcpClient {
    socket: WebSocket<TcpStream>,
}

/// Why nothing more can be received.
pub enum StreamEnd {
    /// The server closed the connection, with a code and a reason.
    Closed(u16, String),
    Failed(String),
}

impl TcpClient {
    /// Connects to `url`; a URL without a path gets `path`.
    pub fn connect(url: &str, path: &str) -> Result<Self, Failure> {
        let uri = complete(url, path)?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let address = (host, uri.port_u16().unwrap_or(80));
        let address = address.to_socket_addrs().map_err(Failure::because(url))?.next();
        let address = address.ok_or_else(|| Failure::new(format!("{url} has no address")))?;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)
            .map_err(Failure::because(format!("cannot connect to {url} (is the server running?)")))?;
        let prepared = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(TIMEOUT)))
            .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
        prepared.map_err(Failure::because(url))?;
        let config = WebSocketConfig::default().read_buffer_size(8 << 10);
        let shaken = client::client_with_config(uri, stream, Some(config));
        let (socket, _) = shaken.map_err(Failure::because(format!("the WebSocket handshake with {url} failed")))?;
        Ok(Self { socket })
    }

    /// Makes the socket non-blocking and registers it; `registry` reports when it is ready.
    pub fn register(&self, registry: &Registry, token: Token) -> std::io::Result<()> {
        self.socket.get_ref().set_nonblocking(true)?;
        let fd = self.socket.get_ref().as_raw_fd();
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

/// The path of a `ws://` address, if it has one.
pub fn path_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("ws://")?;
    rest.find('/').map(|at| rest[at..].split(['?', '#']).next().unwrap_or_default())
}

fn complete(url: &str, path: &str) -> Result<Uri, Failure> {
    let is_bare = url.strip_prefix("ws://").is_some_and(|rest| !rest.trim_end_matches('/').contains('/'));
    let whole = if is_bare { format!("{}{path}", url.trim_end_matches('/')) } else { url.to_owned() };
    match whole.parse::<Uri>() {
        Ok(uri) if uri.scheme_str() == Some("ws") && uri.host().is_some() => Ok(uri),
        _ if url.starts_with("wss://") => Err(Failure::new(format!(
            "\"{url}\": this client supports plain WebSocket only, such as ws://127.0.0.1:8081; behind a TLS proxy, use the address of the server itself"
        ))),
        _ => Err(Failure::new(format!("\"{url}\": expected a ws:// address, for example ws://127.0.0.1:8081"))),
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
        assert_eq!(["http://host", "host:8081", "ws://", ""].map(complete), [const { None }; 4]);
    }
}
