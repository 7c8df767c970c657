//! JSON-RPC as a chat client speaks it: connect, then send, recv and recvack.

use super::chat_session::{Heard, Identity, Outcome, shown};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tungstenite::Message;

const CONNECT: &str = "connect";
const PING: &str = "ping";
const PERSON: u8 = 1;

pub struct JsonRpcSession {
    me: Identity,
    said: u64,
}

impl JsonRpcSession {
    pub fn new(me: Identity) -> Self {
        Self { me, said: 0 }
    }

    pub fn open(&mut self, outcome: &mut Outcome) {
        let params = json!({
            "uid": self.me.user, "token": self.me.token, "version": 3, "deviceId": "mushan-chat", "deviceFlag": 1,
        });
        write(&json!({"jsonrpc": "2.0", "method": "connect", "params": params, "id": CONNECT}), outcome);
    }

    pub fn say(&mut self, text: &str, outcome: &mut Outcome) {
        self.said += 1;
        let number = format!("{}-{}", self.me.run, self.said);
        let params = json!({
            "clientMsgNo": number, "channelId": self.me.peer, "channelType": PERSON,
            "payload": {"type": 1, "content": text},
        });
        write(&json!({"jsonrpc": "2.0", "method": "send", "params": params, "id": number}), outcome);
    }

    pub fn keep_alive(&mut self, outcome: &mut Outcome) {
        write(&json!({"jsonrpc": "2.0", "method": "ping", "params": {}, "id": PING}), outcome);
    }

    /// `None`: the server said what nobody understands.
    pub fn hear(&mut self, text: &str, outcome: &mut Outcome) -> Option<()> {
        let message: Value = serde_json::from_str(text).ok()?;
        if let Some(method) = message.get("method").and_then(Value::as_str) {
            return self.notified(method, message.get("params").unwrap_or(&Value::Null), outcome);
        }
        let error = message.get("error").map(|error| {
            let sentence = error.get("message").and_then(Value::as_str).unwrap_or("refused");
            format!("{sentence} (error {})", error.get("code").unwrap_or(&Value::Null))
        });
        outcome.heard.push(match (message.get("id")?.as_str()?, error) {
            (PING, _) => return Some(()),
            (CONNECT, None) => Heard::Opened,
            (CONNECT, Some(error)) => Heard::Farewell(error),
            (_, None) => Heard::Accepted,
            (_, Some(error)) => Heard::Refused(error),
        });
        Some(())
    }

    fn notified(&mut self, method: &str, params: &Value, outcome: &mut Outcome) -> Option<()> {
        match method {
            "recv" => {
                let ack = json!({"messageId": params.get("messageId")?, "messageSeq": params.get("messageSeq")?});
                write(&json!({"jsonrpc": "2.0", "method": "recvack", "params": ack}), outcome);
                let author = params.get("fromUid")?.as_str()?;
                let is_mine = author == self.me.user && self.me.peer != self.me.user;
                let from = if is_mine { "you" } else { author }.to_owned();
                let text = shown(&content(params.get("payload")?)?);
                outcome.heard.push(Heard::Text { from, text, seq: None });
            }
            "disconnect" => {
                let reason = params.get("reason").and_then(Value::as_str).unwrap_or("disconnected by the server");
                outcome.heard.push(Heard::Farewell(reason.to_owned()));
            }
            _ => {}
        }
        Some(())
    }
}

/// A payload is an object, or base64 of what is none (PROTOCOL 3.8).
fn content(payload: &Value) -> Option<Vec<u8>> {
    match payload {
        Value::String(text) => Some(BASE64.decode(text).unwrap_or_else(|_| text.clone().into_bytes())),
        payload => serde_json::to_vec(payload).ok(),
    }
}

fn write(message: &Value, outcome: &mut Outcome) {
    outcome.write.push(Message::text(message.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(text: &str) -> Outcome {
        let me = |text: &str| text.to_owned();
        let identity = Identity { user: me("bob"), peer: me("alice"), token: me("t"), run: me("r"), seen: 0 };
        let mut outcome = Outcome::default();
        JsonRpcSession::new(identity).hear(text, &mut outcome).unwrap();
        outcome
    }

    fn recv(payload: &str) -> Outcome {
        hear(&format!(
            r#"{{"method":"recv","params":{{"messageId":"7","messageSeq":3,"timestamp":1,"channelId":"alice",
                "channelType":1,"fromUid":"alice","payload":{payload},"header":{{}}}}}}"#
        ))
    }

    #[test]
    fn a_message_is_shown_and_acknowledged_by_notification() {
        let outcome = recv(r#"{"type":1,"content":"hello"}"#);
        assert_eq!(outcome.heard, [Heard::Text { from: "alice".to_owned(), text: "hello".to_owned(), seq: None }]);
        let ack: Value = serde_json::from_str(outcome.write[0].to_text().unwrap()).unwrap();
        assert_eq!(ack["method"], "recvack");
        assert_eq!(ack["params"], json!({"messageId": "7", "messageSeq": 3}));
        assert!(ack.get("id").is_none());
    }

    #[test]
    fn a_payload_from_the_binary_side_is_its_text_in_base64() {
        let outcome = recv(&format!("\"{}\"", BASE64.encode("你好")));
        assert_eq!(outcome.heard, [Heard::Text { from: "alice".to_owned(), text: "你好".to_owned(), seq: None }]);
    }

    #[test]
    fn answers_are_told_apart_by_their_ids() {
        assert_eq!(hear(r#"{"id":"connect","result":{}}"#).heard, [Heard::Opened]);
        assert_eq!(hear(r#"{"id":"r-1","result":{}}"#).heard, [Heard::Accepted]);
        let refused = hear(r#"{"id":"r-1","error":{"code":1104,"message":"sending too fast"}}"#).heard;
        assert_eq!(refused, [Heard::Refused("sending too fast (error 1104)".to_owned())]);
        assert_eq!(hear(r#"{"id":"ping","result":{}}"#).heard, []);
        assert_eq!(hear(r#"{"method":"pong"}"#).heard, []);
    }
}
