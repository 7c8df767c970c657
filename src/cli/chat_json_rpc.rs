//! JSON-RPC as a chat client speaks it: connect, sync (our extension), then send, recv and recvack.
//!
//! Invariant: what is shown is shown once and in inbox order, where the server tells `inboxSeq`.

use super::chat_session::{FROM_THE_START, Heard, Identity, Outcome, shown};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tungstenite::Message;

const CONNECT: &str = "connect";
const PING: &str = "ping";
const SYNC: &str = "sync";
const SYNC_LIMIT: u32 = 100;
const PERSON: u8 = 1;

pub struct JsonRpcSession {
    me: Identity,
    said: u64,
    /// `recv`s that came before the first sync was complete; `None` once it is.
    held: Option<Vec<Value>>,
}

impl JsonRpcSession {
    pub fn new(me: Identity) -> Self {
        Self { me, said: 0, held: Some(Vec::new()) }
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
        match (message.get("id")?.as_str()?, error) {
            (PING, _) => {}
            (CONNECT, None) => self.sync(outcome),
            (CONNECT, Some(error)) => outcome.heard.push(Heard::Farewell(error)),
            (SYNC, None) => return self.synced(message.get("result")?, outcome),
            // A server without the extension: what comes, comes.
            (SYNC, Some(_)) => return self.opened(outcome),
            (_, None) => outcome.heard.push(Heard::Accepted),
            (_, Some(error)) => outcome.heard.push(Heard::Refused(error)),
        }
        Some(())
    }

    fn sync(&mut self, outcome: &mut Outcome) {
        let params = json!({"maxSeq": self.me.seen, "limit": SYNC_LIMIT});
        write(&json!({"jsonrpc": "2.0", "method": "sync", "params": params, "id": SYNC}), outcome);
    }

    fn synced(&mut self, result: &Value, outcome: &mut Outcome) -> Option<()> {
        if self.me.seen > result.get("serverMaxSeq")?.as_i64()? {
            self.me.seen = FROM_THE_START;
            self.sync(outcome);
            return Some(());
        }
        let before = self.me.seen;
        // Under /wukong entries have no place in the inbox: what was shown cannot be told from what was not.
        for entry in result.get("messages")?.as_array()?.iter().filter(|entry| entry.get("inboxSeq").is_some()) {
            self.show(entry, outcome)?;
        }
        if result.get("hasMore")?.as_bool()? && self.me.seen > before {
            self.sync(outcome);
            return Some(());
        }
        self.opened(outcome)
    }

    fn opened(&mut self, outcome: &mut Outcome) -> Option<()> {
        for entry in self.held.take().unwrap_or_default() {
            self.show(&entry, outcome)?;
        }
        outcome.heard.push(Heard::Opened);
        Some(())
    }

    fn notified(&mut self, method: &str, params: &Value, outcome: &mut Outcome) -> Option<()> {
        match method {
            "recv" => match &mut self.held {
                Some(held) => held.push(params.clone()),
                None => self.show(params, outcome)?,
            },
            "disconnect" => {
                let reason = params.get("reason").and_then(Value::as_str).unwrap_or("disconnected by the server");
                outcome.heard.push(Heard::Farewell(reason.to_owned()));
            }
            _ => {}
        }
        Some(())
    }

    /// Shows an entry unless it has been, and acknowledges it.
    fn show(&mut self, entry: &Value, outcome: &mut Outcome) -> Option<()> {
        let seq = entry.get("inboxSeq").and_then(Value::as_i64);
        if seq.is_some_and(|seq| seq <= self.me.seen) {
            return Some(());
        }
        self.me.seen = seq.unwrap_or(self.me.seen);
        let ack = json!({"messageId": entry.get("messageId")?, "messageSeq": entry.get("messageSeq")?});
        write(&json!({"jsonrpc": "2.0", "method": "recvack", "params": ack}), outcome);
        let author = entry.get("fromUid")?.as_str()?;
        let is_mine = author == self.me.user && self.me.peer != self.me.user;
        let from = if is_mine { "you" } else { author }.to_owned();
        let text = shown(&content(entry.get("payload")?)?);
        outcome.heard.push(Heard::Text { from, text, seq });
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

    fn session(seen: i64) -> JsonRpcSession {
        let me = |text: &str| text.to_owned();
        JsonRpcSession::new(Identity { user: me("bob"), peer: me("alice"), token: me("t"), run: me("r"), seen })
    }

    fn tell(session: &mut JsonRpcSession, text: &str) -> Outcome {
        let mut outcome = Outcome::default();
        session.hear(text, &mut outcome).unwrap();
        outcome
    }

    fn hear(text: &str) -> Outcome {
        let mut session = session(0);
        session.held = None;
        tell(&mut session, text)
    }

    fn entry(seq: i64) -> Value {
        json!({
            "messageId": "7", "messageSeq": 3, "fromUid": "alice", "payload": {"content": "hi"}, "inboxSeq": seq,
        })
    }

    fn texts(outcome: &Outcome) -> Vec<i64> {
        outcome.heard.iter().filter_map(|heard| if let Heard::Text { seq, .. } = heard { *seq } else { None }).collect()
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
    fn the_backlog_is_synced_and_what_overtakes_it_is_shown_once() {
        let mut bob = session(3);
        let asked = tell(&mut bob, r#"{"id":"connect","result":{}}"#);
        let request: Value = serde_json::from_str(asked.write[0].to_text().unwrap()).unwrap();
        assert_eq!((&request["method"], &request["params"]["maxSeq"]), (&json!("sync"), &json!(3)));

        let push = json!({"method": "recv", "params": entry(5)}).to_string();
        assert_eq!(texts(&tell(&mut bob, &push)), [0; 0]);
        let page = json!({"messages": [entry(4), entry(5)], "serverMaxSeq": 5, "hasMore": false});
        let synced = tell(&mut bob, &json!({"id": "sync", "result": page}).to_string());
        assert_eq!((texts(&synced), synced.heard.last()), (vec![4, 5], Some(&Heard::Opened)));
        assert_eq!(texts(&tell(&mut bob, &push)), [0; 0], "it has been shown");
    }

    #[test]
    fn a_memory_of_another_server_s_inbox_is_forgotten_and_a_server_without_sync_will_do() {
        let page = json!({"messages": [], "serverMaxSeq": 2, "hasMore": false});
        let asked = tell(&mut session(9), &json!({"id": "sync", "result": page}).to_string());
        assert!(asked.write[0].to_text().unwrap().contains(r#""maxSeq":0"#));
        let refused = tell(&mut session(9), r#"{"id":"sync","error":{"code":-32601,"message":"no"}}"#);
        assert_eq!(refused.heard, [Heard::Opened]);
    }

    #[test]
    fn answers_are_told_apart_by_their_ids() {
        assert_eq!(hear(r#"{"id":"r-1","result":{}}"#).heard, [Heard::Accepted]);
        let refused = hear(r#"{"id":"r-1","error":{"code":1104,"message":"sending too fast"}}"#).heard;
        assert_eq!(refused, [Heard::Refused("sending too fast (error 1104)".to_owned())]);
        assert_eq!(hear(r#"{"id":"ping","result":{}}"#).heard, []);
        assert_eq!(hear(r#"{"method":"pong"}"#).heard, []);
    }
}
