//! A minimal client of the JSON-RPC protocol (`proto/jsonrpc.md`, `docs/PROTOCOL.md` section 3): it logs in, sends one
//! message and reads the inbox.
//!
//! ```text
//! cargo run -- serve
//! cargo run --example client_jsonrpc -- ws://127.0.0.1:8081/rpc bob "$(cargo run -- token --user bob)" alice hello
//! ```

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a client has arguments and a socket")]

use serde_json::{Value, json};
use std::error::Error;
use std::net::TcpStream;
use tungstenite::http::Uri;
use tungstenite::{Message, WebSocket};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A connection and the number of its newest request.
struct Client {
    socket: WebSocket<TcpStream>,
    id: u64,
}

impl Client {
    fn connect(url: &str) -> Outcome<Self> {
        let uri: Uri = url.parse()?;
        let authority = uri.authority().ok_or("the URL names no host")?.as_str().to_owned();
        let (socket, _response) = tungstenite::client(uri, TcpStream::connect(authority)?)?;
        Ok(Self { socket, id: 0 })
    }

    /// The result of a request. Notifications have no id; this client passes them over, because the sync that follows
    /// has their entries, too.
    fn ask(&mut self, method: &str, params: &Value) -> Outcome<Value> {
        self.id += 1;
        let id = self.id.to_string();
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.socket.send(Message::Text(request.to_string().into()))?;
        loop {
            let Message::Text(text) = self.socket.read()? else { continue };
            let mut answer: Value = serde_json::from_str(&text)?;
            if answer["id"] != *id {
                continue;
            }
            if let Some(error) = answer.get("error") {
                return Err(error.to_string().into());
            }
            return Ok(answer["result"].take());
        }
    }
}

/// Logs in as `user`, sends `text` to `peer`, and returns the inbox, one "AUTHOR: TEXT" for each message.
pub fn send_and_sync(url: &str, user: &str, token: &str, peer: &str, text: &str) -> Outcome<Vec<String>> {
    let mut client = Client::connect(url)?;
    client.ask("connect", &json!({"uid": user, "token": token, "deviceId": "example", "deviceFlag": 2}))?;

    // The same id with the same content is stored once, however often it is sent: a client that got no answer repeats
    // it.
    let (number, payload) = (format!("example-{text}"), json!({"type": 1, "content": text}));
    client.ask("send", &json!({"clientMsgNo": number, "channelId": peer, "channelType": 1, "payload": payload}))?;

    let (mut lines, mut max_seq) = (Vec::new(), 0);
    loop {
        let page = client.ask("sync", &json!({"maxSeq": max_seq, "limit": 100}))?;
        for message in page["messages"].as_array().into_iter().flatten() {
            let author = message["fromUid"].as_str().unwrap_or_default();
            // Content that is no JSON object comes as a string, in base64: PROTOCOL 3.8.
            let payload = &message["payload"];
            let content = payload["content"].as_str().or(payload.as_str()).unwrap_or_default();
            lines.push(format!("{author}: {content}"));
            max_seq = message["inboxSeq"].as_u64().ok_or("an entry without its seq")?;
        }
        client.ask("recvack", &json!({"inboxSeq": max_seq}))?;
        if page["hasMore"] != true {
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
