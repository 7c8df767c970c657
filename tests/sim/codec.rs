//! What a simulated client says and hears, in either protocol.

use super::frames::Protocol;
use mushan::wire::proto;
use prost::Message as _;
use serde_json::{Value, json};

/// What a client asks for. Numbers are tags, chosen by the client and echoed.
#[derive(Clone, Debug)]
pub enum Ask {
    Authenticate { user: String, token: String, device: String },
    Send { id: String, to: String, body: String },
    Sync { after: u64, limit: i32 },
    Ack { message: u64, seq: u64 },
    Beat,
}

/// One inbox entry as a client sees it. What a protocol does not tell is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub seq: Option<u64>,
    pub conversation_seq: Option<u64>,
    pub message: u64,
    pub client_id: String,
    pub author: String,
    pub body: String,
}

#[derive(Clone, Debug)]
pub enum Told {
    Welcome {
        max_seq: Option<u64>,
    },
    Sent {
        message: u64,
        seq: Option<u64>,
        conversation_seq: Option<u64>,
        time: Option<i64>,
    },
    Page {
        entries: Vec<Shown>,
        max_seq: u64,
        has_more: bool,
    },
    Push(Shown),
    Refused {
        code: i64,
    },
    /// Heartbeats, acknowledgements, farewells.
    Noise,
}

pub fn say(protocol: Protocol, tag: u32, ask: &Ask) -> Vec<u8> {
    if protocol == Protocol::Binary { say_binary(tag, ask) } else { say_json(tag, ask).to_string().into_bytes() }
}

fn say_binary(tag: u32, ask: &Ask) -> Vec<u8> {
    let (command, body) = match ask.clone() {
        Ask::Authenticate { user, token, device } => {
            (100, proto::AuthRequest { user_id: user, token, platform: device }.encode_to_vec())
        }
        Ask::Send { id, to, body } => {
            let request = proto::SendMessageRequest {
                client_msg_id: id,
                receiver_id: to,
                message_type: 1,
                content: body_bytes(&body).into(),
                ..Default::default()
            };
            (200, request.encode_to_vec())
        }
        Ask::Sync { after, limit } => {
            (300, proto::SyncRequest { min_seq: 0, max_seq: after as i64, limit }.encode_to_vec())
        }
        Ask::Ack { message, seq } => {
            (203, proto::MessageAck { message_id: message.to_string(), seq: seq as i64 }.encode_to_vec())
        }
        Ask::Beat => (5, proto::HeartbeatRequest { client_time: 1 }.encode_to_vec()),
    };
    proto::WebSocketMessage { command, sequence: tag, body: body.into(), timestamp: 0 }.encode_to_vec()
}

fn say_json(tag: u32, ask: &Ask) -> Value {
    let (method, params) = match ask {
        Ask::Authenticate { user, token, device } => {
            ("connect", json!({"uid": user, "token": token, "deviceId": device, "deviceFlag": 2}))
        }
        Ask::Send { id, to, body } => {
            let payload: Value = serde_json::from_slice(&body_bytes(body)).unwrap();
            ("send", json!({"clientMsgNo": id, "channelId": to, "channelType": 1, "payload": payload}))
        }
        Ask::Sync { after, limit } => ("sync", json!({"maxSeq": after, "limit": limit})),
        Ask::Ack { message, seq } => ("recvack", json!({"messageId": message.to_string(), "messageSeq": seq})),
        Ask::Beat => ("ping", json!({})),
    };
    json!({"jsonrpc": "2.0", "id": tag.to_string(), "method": method, "params": params})
}

/// The same bytes through both protocols, so that a retry through the other one repeats the message.
fn body_bytes(body: &str) -> Vec<u8> {
    format!(r#"{{"content":"{body}","type":1}}"#).into_bytes()
}

fn body_of(content: &[u8]) -> String {
    let value: Value = serde_json::from_slice(content).expect("bodies come back as they went");
    value["content"].as_str().expect("bodies come back as they went").to_owned()
}

/// The tag that a message answers, if any, and what it says.
pub fn hear(protocol: Protocol, payload: &[u8]) -> (Option<u32>, Told) {
    if protocol == Protocol::Binary { hear_binary(payload) } else { hear_json(protocol, payload) }
}

fn hear_binary(payload: &[u8]) -> (Option<u32>, Told) {
    let envelope = proto::WebSocketMessage::decode(payload).expect("an envelope");
    let (tag, body) = (Some(envelope.sequence), envelope.body.clone());
    match envelope.command {
        101 => {
            let answer = proto::AuthResponse::decode(body).unwrap();
            let max_seq = Some(answer.max_seq as u64);
            (tag, refused(answer.error_code).unwrap_or(Told::Welcome { max_seq }))
        }
        201 => {
            let answer = proto::SendMessageResponse::decode(body).unwrap();
            let told = refused(answer.error_code).unwrap_or_else(|| Told::Sent {
                message: answer.message_id.parse().unwrap(),
                seq: Some(answer.seq as u64),
                conversation_seq: None,
                time: Some(answer.server_time),
            });
            (tag, told)
        }
        202 => (None, Told::Push(shown_binary(&proto::PushMessage::decode(body).unwrap()))),
        301 => {
            let answer = proto::SyncResponse::decode(body).unwrap();
            let told = refused(answer.error_code).unwrap_or_else(|| Told::Page {
                entries: answer.messages.iter().map(shown_binary).collect(),
                max_seq: answer.server_max_seq as u64,
                has_more: answer.has_more,
            });
            (tag, told)
        }
        _ => (None, Told::Noise),
    }
}

fn refused(error_code: i32) -> Option<Told> {
    (error_code != 0).then_some(Told::Refused { code: i64::from(error_code) })
}

fn shown_binary(push: &proto::PushMessage) -> Shown {
    Shown {
        seq: Some(push.seq as u64),
        conversation_seq: None,
        message: push.message_id.parse().unwrap(),
        client_id: push.client_msg_id.clone(),
        author: push.sender_id.clone(),
        body: body_of(&push.content),
    }
}

fn hear_json(protocol: Protocol, payload: &[u8]) -> (Option<u32>, Told) {
    let value: Value = serde_json::from_slice(payload).expect("JSON");
    assert_eq!(value["jsonrpc"], "2.0");
    if value["method"] == "recv" {
        return (None, Told::Push(shown_json(&value["params"])));
    }
    let Some(tag) = value["id"].as_str().map(|id| id.parse().unwrap()) else { return (None, Told::Noise) };
    if let Some(code) = value["error"]["code"].as_i64() {
        return (Some(tag), Told::Refused { code });
    }
    let result = &value["result"];
    let told = if !result["serverKey"].is_null() {
        assert_eq!(result["reasonCode"], if protocol == Protocol::Wukong { 1 } else { 0 });
        Told::Welcome { max_seq: None }
    } else if !result["messageId"].is_null() {
        Told::Sent {
            message: result["messageId"].as_str().unwrap().parse().unwrap(),
            seq: result["inboxSeq"].as_u64(),
            conversation_seq: result["messageSeq"].as_u64(),
            time: None,
        }
    } else if let Some(messages) = result["messages"].as_array() {
        Told::Page {
            entries: messages.iter().map(synced_json).collect(),
            max_seq: result["serverMaxSeq"].as_u64().unwrap(),
            has_more: result["hasMore"].as_bool().unwrap(),
        }
    } else {
        Told::Noise
    };
    (Some(tag), told)
}

fn shown_json(params: &Value) -> Shown {
    Shown {
        seq: params["inboxSeq"].as_u64(),
        conversation_seq: params["messageSeq"].as_u64(),
        message: params["messageId"].as_str().unwrap().parse().unwrap(),
        client_id: params["clientMsgNo"].as_str().unwrap().to_owned(),
        author: params["fromUid"].as_str().unwrap().to_owned(),
        body: params["payload"]["content"].as_str().unwrap().to_owned(),
    }
}

fn synced_json(entry: &Value) -> Shown {
    shown_json(entry)
}
