//! A client can forward a content just as it was shown to it: the next client is shown the same, whatever protocols
//! they speak.

use crate::client::{Client, entry, to_bob};
use crate::vectors::Vectors;
use bytes::Bytes;
use mushan::model::{Command, Event};
use mushan::wire::{Incoming, proto};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

const PATHS: [&str; 3] = ["/ws", "/rpc", "/wukong"];

fn client(path: &str) -> Client {
    let (binary, json_rpc) = (Vectors::binary(), Vectors::json_rpc());
    match path {
        "/ws" => Client::welcomed(path, &binary.one("auth request as bob")).0,
        path => Client::as_bob(path, &json_rpc),
    }
}

/// The content and type of what the server takes when a client that is shown `content` sends it on just as it is shown.
fn forwarded(client: &mut Client, path: &str, content: &[u8]) -> (Bytes, i32) {
    let mut message = to_bob(b"");
    message.content = Bytes::copy_from_slice(content).into();
    let shown = client.push("bob", &Event::Entry(entry(8, message))).remove(0);
    let request = if path == "/ws" {
        let envelope = proto::WebSocketMessage::decode(&shown[..]).expect("an envelope");
        let push = proto::PushMessage::decode(envelope.body).expect("a push");
        let body = proto::SendMessageRequest {
            client_msg_id: "f".into(),
            receiver_id: "carol".into(),
            message_type: push.message_type,
            content: push.content,
            ..Default::default()
        };
        let envelope =
            proto::WebSocketMessage { command: 200, sequence: 7, body: body.encode_to_vec().into(), timestamp: 1 };
        envelope.encode_to_vec()
    } else {
        let shown = String::from_utf8(shown).expect("UTF-8");
        let (_, payload) = shown.split_once(r#","payload":"#).expect("a payload");
        let payload = payload.strip_suffix("}}").expect("it stands last");
        let params = format!(r#"{{"clientMsgNo":"f","channelId":"carol","channelType":1,"payload":{payload}}}"#);
        format!(r#"{{"method":"send","id":1,"params":{params}}}"#).into_bytes()
    };
    match client.say(&request) {
        Some(Incoming::Request { tag: _, command: Command::Send(send) }) => {
            (send.content.bytes().clone(), send.message_type)
        }
        other => panic!("{path}: {other:?}: {:?}", client.heard()),
    }
}

fn assert_forwarded(content: &[u8], hops: &[usize]) {
    // White space around an object is not the object's.
    let is_object = serde_json::from_slice::<serde_json::Value>(content).is_ok_and(|value| value.is_object());
    let content = if is_object { content.trim_ascii() } else { content };
    let mut carried = Bytes::copy_from_slice(content);
    for path in hops.iter().map(|hop| PATHS[*hop]) {
        carried = forwarded(&mut client(path), path, &carried).0;
        assert_eq!(carried.escape_ascii().to_string(), content.escape_ascii().to_string(), "{path}");
    }
}

fn contents() -> impl Strategy<Value = Vec<u8>> {
    let object =
        "[ \n]{0,2}\\{\"(type|a)\" ?: ?(7|\"\\PC{0,9}\"|\"\\\\ud83d\"|1234567890123456789012345|\\[\\[\\]\\])\\}[ \n]?";
    prop_oneof![
        vec(any::<u8>(), 0..40),
        "\\PC{0,40}".prop_map(String::into_bytes),
        "[A-Za-z0-9+/_=\r\n-]{0,12}".prop_map(String::into_bytes),
        object.prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn content_stays_the_same_however_often_it_is_sent_on(content in contents(), hops in vec(0..PATHS.len(), 1..6)) {
        assert_forwarded(&content, &hops);
    }
}

#[test]
fn contents_that_look_like_something_else_stay_what_they_are() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(60), "]".repeat(60));
    for content in ["", "test", "aGVsbG8=", "[1,2]", "\"hi\"", "{\"a\":1}", "{\"a\":\"\\ud83d\"}", "{\"a\":1}}", &deep]
    {
        for first in 0..3 {
            for second in 0..3 {
                assert_forwarded(content.as_bytes(), &[first, second, first, second]);
            }
        }
    }
}

#[test]
fn bytes_reach_the_binary_side_from_json() {
    for (payload, content) in [("3q2+7w==", "deadbeef"), ("3q2-7w", "deadbeef"), ("3q2+\\r\\n7w==\\n", "deadbeef")] {
        for path in ["/rpc", "/wukong"] {
            let params = format!(r#"{{"clientMsgNo":"f","channelId":"carol","channelType":1,"payload":"{payload}"}}"#);
            let said = client(path).say(format!(r#"{{"method":"send","id":1,"params":{params}}}"#).as_bytes());
            let Some(Incoming::Request { tag: _, command: Command::Send(send) }) = said else { panic!("{said:?}") };
            let digits: String = send.content.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digits, content, "{path} {payload}");
        }
    }
}
