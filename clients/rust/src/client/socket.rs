//! A WebSocket of one attempt: opened with a token at hand, read by the driver, written by a task of its own, so that a
//! peer that takes nothing does not keep the driver from hearing.

use crate::wire::dialect::Frame;
use futures_util::{SinkExt, StreamExt, stream::SplitStream};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

const ABNORMAL: u16 = 1006;
const NO_ROOM: u16 = 1013;

/// An end, as a session is told of it.
pub struct Lost {
    pub code: u16,
    pub reason: String,
}

impl Lost {
    pub fn by(reason: impl Into<String>) -> Self {
        Self { code: ABNORMAL, reason: reason.into() }
    }

    fn of(error: &Error) -> Self {
        match error {
            // A server without room answers the handshake so.
            Error::Http(answer) if answer.status().as_u16() == 503 => {
                Self { code: NO_ROOM, reason: "the server has no room".to_owned() }
            }
            _ => Self::by(error.to_string()),
        }
    }
}

pub struct Socket {
    incoming: SplitStream<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    /// Bounded by the session: unanswered messages, requests and a few of its own.
    outgoing: mpsc::UnboundedSender<Message>,
}

impl Socket {
    pub async fn open(url: &str, connector: Option<Connector>) -> Result<Self, Lost> {
        let opened = tokio_tungstenite::connect_async_tls_with_config(url, None, true, connector).await;
        let (socket, _) = opened.map_err(|error| Lost::of(&error))?;
        let (mut sink, incoming) = socket.split();
        let (outgoing, mut frames) = mpsc::unbounded_channel::<Message>();
        tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                // The reader sees the end, too, and the session tests a silent connection.
                if sink.send(frame).await.is_err() {
                    return;
                }
            }
            let _ = sink.close().await;
        });
        Ok(Self { incoming, outgoing })
    }

    pub fn write(&self, frame: Frame) {
        let message = match frame {
            Frame::Binary(bytes) => Message::Binary(bytes),
            Frame::Text(text) => Message::Text(text.into()),
        };
        // A writer that has ended: the reader sees it.
        let _ = self.outgoing.send(message);
    }

    /// The next frame. Nothing is lost where this future is dropped before it is done.
    pub async fn next(&mut self) -> Result<Frame, Lost> {
        loop {
            match self.incoming.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Frame::Binary(bytes)),
                Some(Ok(Message::Text(text))) => return Ok(Frame::Text(text.as_str().to_owned())),
                Some(Ok(Message::Close(Some(close)))) => {
                    return Err(Lost { code: close.code.into(), reason: close.reason.as_str().to_owned() });
                }
                Some(Ok(Message::Close(None))) | None => return Err(Lost::by("the connection has ended")),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Lost::of(&error)),
            }
        }
    }
}
