//! The chat client's side of JSON-RPC: connect, sync (an extension of this server), then send, recv and recvack.
//!
//! Invariant: each entry is shown once and in inbox order, if the server sends `inboxSeq`.

use crate::cli::chat::exchange::{ChatAction, ChatEvent, ChatPair, ChatPeer, FROM_THE_START, Line};
use crate::cli::chat::line::ChatMessage;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tungstenite::Message;

const CONNECT: &str = "connect";
const PING: &str = "ping";
const SYNC: &str = "sync";
const PERSON: u64 = 1;
const GROUP: u64 = 2;

pub struct JsonRpcSession {
    me: ChatPair,
    /// Entries that arrived before the first sync was complete; `None` afterwards.
    held: Option<Vec<Value>>,
}

impl JsonRpcSession {
    pub fn new(me: ChatPair) -> Self {
        Self { me, held: Some(Vec::new()) }
    }

    pub fn epoch(&self) -> Option<u64> {
        self.me.epoch
    }

    pub fn open(&mut self, outcome: &mut ChatAction) {
        self.held = Some(Vec::new());
        let params = json!({
            "uid": self.me.user, "token": self.me.token, "version": 3, "deviceId": "mushan-chat", "deviceFlag": 1,
        });
        write(&json!({"jsonrpc": "2.0", "method": "connect", "params": params, "id": CONNECT}), outcome);
    }

    pub fn say(&mut self, number: u32, text: &str, outcome: &mut ChatAction) {
        let (id, kind) = match &self.me.peer {
            ChatPeer::User(user) => (user, PERSON),
            ChatPeer::Group(group) => (group, GROUP),
        };
        let params = json!({
            "clientMsgNo": self.me.client_message_id(number), "channelId": id, "channelType": kind,
            "payload": {"type": 1, "content": text},
        });
        write(&json!({"jsonrpc": "2.0", "method": "send", "params": params, "id": number.to_string()}), outcome);
    }

    pub fn keep_alive(&mut self, outcome: &mut ChatAction) {
        write(&json!({"jsonrpc": "2.0", "method": "ping", "params": {}, "id": PING}), outcome);
    }

    /// Handles one message. `None`: the text is not of this protocol. Unknown notifications are ignored.
    pub fn receive(&mut self, text: &str, outcome: &mut ChatAction) -> Option<()> {
        let message: Value = serde_json::from_str(text).ok()?;
        if let Some(method) = message.get("method").and_then(Value::as_str) {
            self.notified(method, message.get("params").unwrap_or(&Value::Null), outcome);
            return Some(());
        }
        let error = message.get("error").map(|error| {
            let sentence = error.get("message").and_then(Value::as_str).unwrap_or("refused");
            format!("{sentence} (error {})", error.get("code").unwrap_or(&Value::Null))
        });
        match (message.get("id")?.as_str()?, error) {
            (PING, _) => {}
            (CONNECT, None) => {
                let epoch = message.pointer("/result/inboxEpoch").and_then(Value::as_u64);
                self.me.is_in_epoch(epoch.unwrap_or_default());
                self.sync(outcome);
            }
            (CONNECT, Some(error)) => outcome.events.push(ChatEvent::Farewell(error)),
            (SYNC, None) => self.synced(message.get("result")?, outcome),
            // A server without the extension: only live messages are shown.
            (SYNC, Some(_)) => self.opened(outcome),
            (number, None) => {
                let seq = message.pointer("/result/inboxSeq").and_then(Value::as_i64).unwrap_or_default();
                outcome.accepted(&mut self.me, number.parse().ok()?, seq);
            }
            (number, Some(error)) => outcome.events.push(ChatEvent::Refused(number.parse().ok()?, error)),
        }
        Some(())
    }

    fn sync(&mut self, outcome: &mut ChatAction) {
        let (max_seq, limit) = self.me.sync_range();
        let params = json!({"maxSeq": max_seq, "limit": limit});
        write(&json!({"jsonrpc": "2.0", "method": "sync", "params": params, "id": SYNC}), outcome);
    }

    fn synced(&mut self, result: &Value, outcome: &mut ChatAction) {
        let newest = result.get("serverMaxSeq").and_then(Value::as_i64).unwrap_or_default();
        if self.me.seen.is_some_and(|seen| seen > newest) {
            self.me.seen = Some(FROM_THE_START);
            self.sync(outcome);
            return;
        }
        let before = self.me.seen;
        let entries = result.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        // On /wukong, entries have no inbox seq, so shown ones cannot be told from others.
        for entry in entries.iter().filter(|entry| entry.get("inboxSeq").is_some()) {
            self.show(entry, outcome);
        }
        let has_more = result.get("hasMore").and_then(Value::as_bool).unwrap_or_default();
        if has_more && before.is_some() && self.me.seen > before {
            self.sync(outcome);
            return;
        }
        self.me.seen.get_or_insert(newest);
        self.opened(outcome);
    }

    fn opened(&mut self, outcome: &mut ChatAction) {
        for entry in self.held.take().unwrap_or_default() {
            self.show(&entry, outcome);
        }
        outcome.events.push(ChatEvent::Opened);
    }

    fn notified(&mut self, method: &str, params: &Value, outcome: &mut ChatAction) {
        match method {
            "recv" | "revoked" | "receipt" | "group" => {
                let mut entry = params.clone();
                if let (Some(members), true) = (entry.as_object_mut(), method != "recv") {
                    members.insert("type".to_owned(), Value::from(method));
                }
                match &mut self.held {
                    Some(held) => held.push(entry),
                    None => self.show(&entry, outcome),
                }
            }
            "disconnect" => {
                let reason = params.get("reason").and_then(Value::as_str).unwrap_or("disconnected by the server");
                outcome.events.push(ChatEvent::Farewell(reason.to_owned()));
            }
            _ => {}
        }
    }

    /// Shows an entry unless it has been shown already, and acknowledges it.
    fn show(&mut self, entry: &Value, outcome: &mut ChatAction) {
        // 0: a message that is never stored.
        let seq = entry.get("inboxSeq").and_then(Value::as_i64).filter(|seq| *seq > 0);
        if seq.is_some() && seq <= self.me.seen {
            return;
        }
        self.me.seen = seq.or(self.me.seen);
        if let Some(id) = entry.get("messageId").filter(|_| entry.get("type").is_none()).or(entry.get("entryId")) {
            let ack =
                json!({"messageId": id, "messageSeq": entry.get("messageSeq").and_then(Value::as_u64).unwrap_or(0)});
            write(&json!({"jsonrpc": "2.0", "method": "recvack", "params": ack}), outcome);
        }
        outcome.events.push(ChatEvent::Entry { seq, line: self.line_of(entry) });
    }

    fn line_of(&self, entry: &Value) -> Line {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("channelId").to_owned();
        let is_group = entry.get("channelType").and_then(Value::as_u64) == Some(GROUP);
        let conversation = if is_group { ChatPeer::Group(id) } else { ChatPeer::User(id) };
        match text("type") {
            "" if text("fromUid").is_empty() || self.me.has_said(text("clientMsgNo")) => Line::Nothing,
            "" => {
                let is_revoked = entry.pointer("/extra/revoked").is_some();
                let content = content(entry.get("payload").unwrap_or(&Value::Null));
                let author = text("fromUid");
                self.me.line_of_message(&ChatMessage { author, conversation, content: &content, is_revoked })
            }
            "revoked" => self.me.line_of_revocation(text("revokedBy"), &conversation),
            "receipt" => self.me.line_of_receipt(text("userId"), &conversation),
            "group" => self.me.line_of_group_change(entry),
            _ => Line::Nothing,
        }
    }
}

/// A payload is a JSON object, or base64 of bytes that are none (PROTOCOL 3.8).
fn content(payload: &Value) -> Vec<u8> {
    match payload {
        Value::String(text) => BASE64.decode(text).unwrap_or_else(|_| text.clone().into_bytes()),
        payload => payload.to_string().into_bytes(),
    }
}

fn write(message: &Value, outcome: &mut ChatAction) {
    outcome.write.push(Message::text(message.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(seen: impl Into<Option<i64>>) -> JsonRpcSession {
        let me = |text: &str| text.to_owned();
        let peer = ChatPeer::User(me("alice"));
        let (token, run, seen) = (me("t"), me("r"), seen.into());
        JsonRpcSession::new(ChatPair { user: me("bob"), peer, token, run, seen, epoch: None })
    }

    fn tell(session: &mut JsonRpcSession, text: &str) -> ChatAction {
        let mut outcome = ChatAction::default();
        session.receive(text, &mut outcome).unwrap();
        outcome
    }

    fn receive(text: &str) -> ChatAction {
        let mut session = session(0);
        session.held = None;
        tell(&mut session, text)
    }

    fn entry(seq: i64) -> Value {
        json!({
            "messageId": "7", "messageSeq": 3, "channelId": "alice", "channelType": 1, "fromUid": "alice", "payload": {"content": "hi"}, "inboxSeq": seq,
        })
    }

    fn texts(outcome: &ChatAction) -> Vec<i64> {
        let text = |events: &ChatEvent| match events {
            ChatEvent::Entry { seq, line: Line::Text { .. } } => *seq,
            _ => None,
        };
        outcome.events.iter().filter_map(text).collect()
    }

    fn text_of_alice(text: &str) -> ChatEvent {
        ChatEvent::Entry { seq: None, line: Line::Text { from: "alice".to_owned(), text: text.to_owned() } }
    }

    fn recv(payload: &str) -> ChatAction {
        receive(&format!(
            r#"{{"method":"recv","params":{{"messageId":"7","messageSeq":3,"timestamp":1,"channelId":"alice",
                "channelType":1,"fromUid":"alice","payload":{payload},"header":{{}}}}}}"#
        ))
    }

    #[test]
    fn a_message_is_shown_and_acknowledged_by_notification() {
        let outcome = recv(r#"{"type":1,"content":"hello"}"#);
        assert_eq!(outcome.events, [text_of_alice("hello")]);
        let ack: Value = serde_json::from_str(outcome.write[0].to_text().unwrap()).unwrap();
        assert_eq!(ack["method"], "recvack");
        assert_eq!(ack["params"], json!({"messageId": "7", "messageSeq": 3}));
        assert!(ack.get("id").is_none());
    }

    #[test]
    fn a_payload_from_the_binary_side_is_its_text_in_base64() {
        let outcome = recv(&format!("\"{}\"", BASE64.encode("你好")));
        assert_eq!(outcome.events, [text_of_alice("你好")]);
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
        assert_eq!((texts(&synced), synced.events.last()), (vec![4, 5], Some(&ChatEvent::Opened)));
        assert_eq!(texts(&tell(&mut bob, &push)), [0; 0], "it has been shown");
    }

    #[test]
    fn a_memory_of_another_server_s_inbox_is_forgotten_and_a_server_without_sync_will_do() {
        let page = json!({"messages": [], "serverMaxSeq": 2, "hasMore": false});
        let asked = tell(&mut session(9), &json!({"id": "sync", "result": page}).to_string());
        assert!(asked.write[0].to_text().unwrap().contains(r#""maxSeq":0"#));
        let refused = tell(&mut session(9), r#"{"id":"sync","error":{"code":-32601,"message":"no"}}"#);
        assert_eq!(refused.events, [ChatEvent::Opened]);
    }

    #[test]
    fn what_was_remembered_in_another_epoch_is_forgotten() {
        let asked_for = |epoch: Option<u64>, told: &str| {
            let mut bob = session(3);
            bob.me.epoch = epoch;
            let asked = tell(&mut bob, told);
            let request: Value = serde_json::from_str(asked.write[0].to_text().unwrap()).unwrap();
            (request["params"]["maxSeq"].as_i64(), bob.epoch())
        };
        let told = r#"{"id":"connect","result":{"inboxEpoch":8}}"#;
        assert_eq!(asked_for(Some(8), told), (Some(3), Some(8)));
        assert_eq!(asked_for(None, told), (Some(3), Some(8)), "none was known");
        assert_eq!(asked_for(Some(7), told), (Some(0), Some(8)));
        assert_eq!(
            asked_for(Some(7), r#"{"id":"connect","result":{}}"#),
            (Some(3), Some(7)),
            "a server that tells none"
        );
    }

    #[test]
    fn an_inbox_with_a_group_entry_a_receipt_and_a_revocation_opens() {
        let fact = |seq: i64, kind: &str, more: Value| {
            let mut fact =
                json!({"type": kind, "entryId": "9", "inboxSeq": seq, "channelId": "alice", "channelType": 1});
            fact.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            fact
        };
        let group = json!({
            "channelId": "team", "channelType": 2, "change": "created", "group": "team", "by": "alice",
            "members": ["bob"], "count": 1, "time": 1, "owner": "alice",
        });
        let carol = json!({
            "messageId": "8", "fromUid": "carol", "channelId": "carol", "channelType": 1, "payload": "aGk=", "inboxSeq": 4,
        });
        let page = json!({"serverMaxSeq": 9, "hasMore": true, "messages": [
            fact(1, "group", group),
            fact(2, "receipt", json!({"messageIds": ["7"], "userId": "alice", "readTime": 1})),
            fact(3, "revoked", json!({"messageId": "7", "revokedBy": "alice", "revokedTime": 1})),
            carol,
            fact(5, "painted", json!({})),
            {"inboxSeq": 6},
            entry(9),
        ]});
        let mut bob = session(None);
        let asked = tell(&mut bob, r#"{"id":"connect","result":{}}"#);
        assert!(asked.write[0].to_text().unwrap().contains(r#""limit":-500"#));
        let events = tell(&mut bob, &json!({"id": "sync", "result": page}).to_string());
        let notes: Vec<_> = events
            .events
            .iter()
            .filter_map(|events| {
                if let ChatEvent::Entry { line: Line::Note(note), .. } = events { Some(&note[..]) } else { None }
            })
            .collect();
        let expected = [
            "alice created the group team with bob",
            "alice has read your messages",
            "alice revoked a message",
            "carol wrote to you (mushan chat --user bob --to carol)",
        ];
        assert_eq!((notes, texts(&events)), (expected.to_vec(), vec![9]));
        assert_eq!(events.events.last(), Some(&ChatEvent::Opened), "older entries are not asked for");
        let live = r#"{"method":"revoked","params":{"entryId":"9","messageId":"7","inboxSeq":10,"channelId":"alice","channelType":1,"revokedBy":"alice"}}"#;
        let events = tell(&mut bob, live);
        assert!(events.write[0].to_text().unwrap().contains(r#""messageId":"9""#), "the entry is acknowledged");
        assert_eq!(tell(&mut bob, r#"{"method":"later","params":7}"#).events, []);
    }

    #[test]
    fn a_group_is_written_to_as_a_group() {
        let mut bob = session(0);
        bob.me.peer = ChatPeer::Group("team".to_owned());
        let mut outcome = ChatAction::default();
        bob.say(7, "hi", &mut outcome);
        let request: Value = serde_json::from_str(outcome.write[0].to_text().unwrap()).unwrap();
        assert_eq!((&request["params"]["channelId"], &request["params"]["channelType"]), (&json!("team"), &json!(2)));
    }

    #[test]
    fn answers_are_told_apart_by_their_ids() {
        assert_eq!(receive(r#"{"id":"1","result":{}}"#).events, [ChatEvent::Accepted(1)]);
        let refused = receive(r#"{"id":"1","error":{"code":1104,"message":"sending too fast"}}"#).events;
        assert_eq!(refused, [ChatEvent::Refused(1, "sending too fast (error 1104)".to_owned())]);
        assert_eq!(receive(r#"{"id":"ping","result":{}}"#).events, []);
        assert_eq!(receive(r#"{"method":"pong"}"#).events, []);
    }
}
