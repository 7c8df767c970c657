//! A minimal client of the binary protocol (`proto/im.proto`, `docs/PROTOCOL.md` section 2): it logs in, sends one
//! message and reads the inbox.
//!
//! ```text
//! cargo run -- serve
//! cargo run --example client_binary -- ws://127.0.0.1:8081/ws alice "$(cargo run -- token --user alice)" bob hello
//! ```

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a client has arguments and a socket")]

use mushan::wire::proto::{self, CommandType, ErrorCode};
use prost::Message as _;
use std::error::Error;
use std::net::TcpStream;
use tungstenite::http::Uri;
use tungstenite::{Message, WebSocket};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A connection and the number of its newest request.
struct Client {
    socket: WebSocket<TcpStream>,
    sequence: u32,
}

impl Client {
    fn connect(url: &str) -> Outcome<Self> {
        let uri: Uri = url.parse()?;
        let authority = uri.authority().ok_or("the URL names no host")?.as_str().to_owned();
        let (socket, _response) = tungstenite::client(uri, TcpStream::connect(authority)?)?;
        Ok(Self { socket, sequence: 0 })
    }

    fn write(&mut self, command: CommandType, body: &impl prost::Message) -> Outcome<()> {
        self.sequence += 1;
        let (command, sequence, body) = (command.into(), self.sequence, body.encode_to_vec().into());
        let envelope = proto::WebSocketMessage { command, sequence, body, timestamp: 0 };
        Ok(self.socket.send(Message::Binary(envelope.encode_to_vec().into()))?)
    }

    /// The response to a request: the envelope with the request's sequence. Pushes have sequence 0; this client passes
    /// them over, because the sync that follows has them, too.
    fn ask<R: prost::Message + Default>(&mut self, command: CommandType, body: &impl prost::Message) -> Outcome<R> {
        self.write(command, body)?;
        loop {
            let Message::Binary(bytes) = self.socket.read()? else { continue };
            let envelope = proto::WebSocketMessage::decode(bytes)?;
            if envelope.sequence == self.sequence {
                return Ok(R::decode(envelope.body)?);
            }
        }
    }
}

fn expect_success(error_code: i32, error_msg: &str) -> Outcome<()> {
    if error_code == i32::from(ErrorCode::ErrSuccess) {
        Ok(())
    } else {
        Err(format!("{error_code}: {error_msg}").into())
    }
}

/// Logs in as `user`, sends `text` to `peer`, and returns the inbox, one "AUTHOR: TEXT" for each message.
pub fn send_and_sync(url: &str, user: &str, token: &str, peer: &str, text: &str) -> Outcome<Vec<String>> {
    let mut client = Client::connect(url)?;
    let login = proto::AuthRequest { user_id: user.into(), token: token.into(), platform: "example".into() };
    let answer: proto::AuthResponse = client.ask(CommandType::CmdAuthReq, &login)?;
    expect_success(answer.error_code, &answer.error_msg)?;

    // The same id with the same content is stored once, however often it is sent: a client that got no answer repeats
    // it.
    let send = proto::SendMessageRequest {
        client_msg_id: format!("example-{text}"),
        receiver_id: peer.into(),
        message_type: 1,
        content: text.as_bytes().to_vec().into(),
        ..proto::SendMessageRequest::default()
    };
    let answer: proto::SendMessageResponse = client.ask(CommandType::CmdSendMsgReq, &send)?;
    expect_success(answer.error_code, &answer.error_msg)?;

    let (mut lines, mut max_seq) = (Vec::new(), 0);
    loop {
        let sync = proto::SyncRequest { min_seq: 0, max_seq, limit: 100 };
        let page: proto::SyncResponse = client.ask(CommandType::CmdSyncReq, &sync)?;
        expect_success(page.error_code, &page.error_msg)?;
        for message in &page.messages {
            lines.push(format!("{}: {}", message.sender_id, String::from_utf8_lossy(&message.content)));
            max_seq = message.seq;
        }
        if let Some(newest) = page.messages.last() {
            let ack = proto::MessageAck { message_id: newest.message_id.clone(), seq: newest.seq };
            client.write(CommandType::CmdMsgAck, &ack)?;
        }
        if !page.has_more {
            break;
        }
    }
    client.socket.close(None)?;
    // The server answers the close frame and ends the connection.
    while client.socket.read().is_ok() {}
    Ok(lines)
}

pub fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, user, token, peer, text] = &arguments[..] else { return Err("URL USER TOKEN PEER TEXT".into()) };
    for line in send_and_sync(url, user, token, peer, text)? {
        println!("{line}");
    }
    Ok(())
}
