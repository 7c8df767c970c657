//! A WebSocket client over `fastwebsockets`: messages in, messages out, and how it ended.

use super::PATIENCE;
use fastwebsockets::{Frame, OpCode, Payload, WebSocket, handshake};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub struct Socket {
    inner: WebSocket<TokioIo<Upgraded>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// The close frame's code; `None` when the connection just ended.
    Closed(Option<u16>),
}

impl Socket {
    pub async fn connect(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        Self::over(stream, &address.to_string(), path).await
    }

    /// Over TLS, with this client.
    pub async fn connect_over_tls(address: SocketAddr, path: &str, client: &Arc<ClientConfig>) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::clone(client)).connect(name, stream).await.expect("a TLS handshake");
        Self::over(stream, "localhost", path).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, host: &str, path: &str) -> Self {
        let request = hyper::Request::builder()
            .uri(path)
            .header(HOST, host)
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "Upgrade")
            .header("Sec-WebSocket-Key", handshake::generate_key())
            .header("Sec-WebSocket-Version", "13")
            .body(Empty::<Bytes>::new())
            .expect("a well-formed request");
        let upgrade = timeout(PATIENCE, handshake::client(&TokioExecutor::new(), request, stream)).await;
        let (mut inner, _) = upgrade.expect("an answer to the handshake").expect("an upgrade");
        inner.set_auto_close(false);
        Self { inner }
    }

    async fn write(&mut self, frame: Frame<'_>) -> bool {
        timeout(PATIENCE, self.inner.write_frame(frame)).await.expect("the socket takes a frame").is_ok()
    }

    /// `false` when the connection has ended.
    pub async fn send_text(&mut self, text: &str) -> bool {
        self.write(Frame::text(Payload::Borrowed(text.as_bytes()))).await
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) -> bool {
        self.write(Frame::binary(Payload::Borrowed(bytes))).await
    }

    pub async fn send_ping(&mut self, bytes: &[u8]) -> bool {
        self.write(Frame::new(true, OpCode::Ping, None, Payload::Borrowed(bytes))).await
    }

    pub async fn send_close(&mut self, code: u16) -> bool {
        self.write(Frame::close(code, b"")).await
    }

    pub async fn receive(&mut self) -> Received {
        let Ok(frame) = timeout(PATIENCE, self.inner.read_frame()).await.expect("something to hear") else {
            return Received::Closed(None);
        };
        assert!(frame.fin, "the server does not fragment");
        match frame.opcode {
            OpCode::Text => Received::Text(String::from_utf8(frame.payload.to_vec()).expect("text is UTF-8")),
            OpCode::Binary => Received::Binary(frame.payload.to_vec()),
            OpCode::Pong => Received::Pong(frame.payload.to_vec()),
            OpCode::Close => {
                let code = frame.payload.first_chunk::<2>().map(|code| u16::from_be_bytes(*code));
                // The peer may be gone already; then nobody waits for the echo.
                let _ = self.inner.write_frame(Frame::close(code.unwrap_or(1000), b"")).await;
                Received::Closed(code)
            }
            OpCode::Ping | OpCode::Continuation => panic!("the server sent {:?}", frame.opcode),
        }
    }

    /// Hears on until the end, and returns the close code.
    pub async fn ending(&mut self) -> Option<u16> {
        loop {
            if let Received::Closed(code) = self.receive().await {
                return code;
            }
        }
    }
}
