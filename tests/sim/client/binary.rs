//! The binary protocol as a client speaks it.

use crate::client::devices;
use crate::client::groups;
use crate::client::json::{change_of, cleared};
use crate::client::speech::{
    Ask, Channel, Edge, Kind, No, Row, STREAM_END, Shown, State, Told, Wish, body_bytes, extra_of,
};
use mushan::wire::proto;
use prost::Message as _;
use serde_json::Value;

pub fn say(user: &str, tag: u32, ask: &Ask) -> Vec<u8> {
    let (command, body) = request(user, ask.clone());
    proto::WebSocketMessage { command, sequence: tag, body: body.into(), timestamp: 0 }.encode_to_vec()
}

fn request(user: &str, ask: Ask) -> (i32, Vec<u8>) {
    let named = |of: &Channel| of.conversation(user);
    match ask {
        Ask::Authenticate { user, token, device } => {
            (100, proto::AuthRequest { user_id: user, token, platform: device }.encode_to_vec())
        }
        Ask::Send { id, to, body, manner } => {
            assert!(manner.is_plain(), "this protocol cannot say {manner:?}");
            let (receiver_id, group_id) = match to {
                Channel::Person(peer) => (peer, String::new()),
                Channel::Group(group) => (String::new(), group),
            };
            let request = proto::SendMessageRequest {
                client_msg_id: id,
                receiver_id,
                group_id,
                message_type: 1,
                content: body_bytes(&body).into(),
                extra: [("k".to_owned(), extra_of(&body))].into(),
                ..Default::default()
            };
            (200, request.encode_to_vec())
        }
        Ask::Sync { after, limit } => {
            (300, proto::SyncRequest { min_seq: 0, max_seq: after as i64, limit: limit as i32 }.encode_to_vec())
        }
        Ask::SyncBack { before, limit } => {
            (300, proto::SyncRequest { min_seq: before as i64, max_seq: 0, limit: -(limit as i32) }.encode_to_vec())
        }
        Ask::History { of, from, limit } => {
            let (after_seq, before_seq) = match from {
                Edge::After(seq) => (Some(seq as i64), None),
                Edge::Before(seq) => (None, Some(seq as i64)),
            };
            let limit = limit as i32;
            let request = proto::HistoryRequest {
                conversation_id: named(&of),
                after_seq,
                before_seq,
                limit,
                ..Default::default()
            };
            (704, request.encode_to_vec())
        }
        Ask::Conversations { before, limit } => {
            (700, proto::ConversationsRequest { before_seq: before as i64, limit: limit as i32 }.encode_to_vec())
        }
        Ask::MarkRead { of, through } => {
            (702, proto::MarkReadRequest { conversation_id: named(&of), through: through as i64 }.encode_to_vec())
        }
        Ask::Revoke { of, message } => {
            let request = proto::RevokeMessageRequest { message_id: message.to_string(), conversation_id: named(&of) };
            (205, request.encode_to_vec())
        }
        Ask::Receipt { of, messages } => {
            let message_ids = messages.iter().map(u64::to_string).collect();
            (500, proto::ReadReceiptRequest { message_ids, conversation_id: named(&of) }.encode_to_vec())
        }
        Ask::Clear { of, through, is_deleted } => {
            let request = proto::ClearRequest { conversation_id: named(&of), through: through as i64 };
            (if is_deleted { 746 } else { 744 }, request.encode_to_vec())
        }
        Ask::Typing { of } => {
            (600, proto::TypingStatusRequest { conversation_id: named(&of), status: 1 }.encode_to_vec())
        }
        Ask::Ack { message, seq } => {
            (203, proto::MessageAck { message_id: message.to_string(), seq: seq as i64 }.encode_to_vec())
        }
        Ask::Presence { wish, users } => {
            let action = match wish {
                Wish::Query => 0,
                Wish::Watch => 1,
                Wish::Unwatch => 2,
            };
            (400, proto::PresenceRequest { user_ids: users, action }.encode_to_vec())
        }
        Ask::Renew { user, token } => {
            (102, proto::AuthRequest { user_id: user, token, platform: String::new() }.encode_to_vec())
        }
        Ask::Group { group, act } => groups::request(user, group, act),
        Ask::Devices(wish) => devices::request(wish),
        Ask::Beat => (5, proto::HeartbeatRequest { client_time: 1 }.encode_to_vec()),
    }
}

pub fn receive(payload: &[u8]) -> (Option<u32>, Told) {
    let envelope = proto::WebSocketMessage::decode(payload).expect("an envelope");
    let (tag, body) = (Some(envelope.sequence), envelope.body);
    if let Some(pushed) = push(envelope.command, &body) {
        return (None, pushed);
    }
    let told = answer(envelope.command, &body);
    // Each answer begins alike.
    let refused = proto::UnknownResponse::decode(&*body).ok().and_then(|answer| refused(answer.error_code));
    match told {
        None => (None, Told::Noise),
        Some(told) => (tag, refused.unwrap_or(told)),
    }
}

fn push(command: i32, body: &[u8]) -> Option<Told> {
    Some(match command {
        202 => {
            let push = proto::PushMessage::decode(body).unwrap();
            let shown = shown(&push);
            if push.seq == 0 { Told::Transient(shown) } else { Told::Push(shown) }
        }
        207 => {
            let push = proto::RevokeMessagePush::decode(body).unwrap();
            let kind = Kind::Revoked(push.message_id.parse().unwrap());
            Told::Push(fact(push.conversation_id, push.revoked_by, kind))
        }
        502 => {
            let push = proto::ReadReceiptPush::decode(body).unwrap();
            Told::Push(fact(push.conversation_id, push.user_id, Kind::Read(numbers(&push.message_ids))))
        }
        402 => {
            let push = proto::PresenceState::decode(body).unwrap();
            Told::Came { user: push.user_id, is_online: push.online }
        }
        601 => {
            let push = proto::TypingStatusPush::decode(body).unwrap();
            Told::Typing { conversation: push.conversation_id, user: push.user_id }
        }
        _ => return None,
    })
}

fn numbers(ids: &[String]) -> Vec<u64> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

/// What happened, without its place in the inbox.
fn fact(conversation: String, author: String, kind: Kind) -> Shown {
    let (message, client_id) = (0, String::new());
    Shown { seq: None, conversation, conversation_seq: None, message, client_id, author, kind, chunk: None, time: None }
}

fn answer(command: i32, body: &[u8]) -> Option<Told> {
    Some(match command {
        101 => Told::Welcome { max_seq: Some(proto::AuthResponse::decode(body).unwrap().max_seq as u64) },
        201 => {
            let answer = proto::SendMessageResponse::decode(body).unwrap();
            Told::Sent {
                message: answer.message_id.parse().unwrap_or_default(),
                seq: Some(answer.seq as u64),
                conversation_seq: None,
                time: Some(answer.server_time),
            }
        }
        301 => {
            let answer = proto::SyncResponse::decode(body).unwrap();
            Told::Page {
                entries: answer.messages.iter().map(shown).collect(),
                max_seq: answer.server_max_seq as u64,
                has_more: answer.has_more,
            }
        }
        401 => {
            let answer = proto::PresenceResponse::decode(body).unwrap();
            let state = |state: proto::PresenceState| {
                let last_seen = state.last_seen as u64;
                State { user: state.user_id, is_online: state.online, last_seen }
            };
            Told::Presence(answer.states.into_iter().map(state).collect())
        }
        701 => {
            let answer = proto::ConversationsResponse::decode(body).unwrap();
            Told::List { rows: answer.conversations.iter().map(row).collect(), has_more: answer.has_more }
        }
        705 => {
            let answer = proto::HistoryResponse::decode(body).unwrap();
            Told::History {
                messages: answer.messages.iter().map(placed).collect(),
                newest_seq: answer.newest_seq as u64,
                reached: answer.reached_seq as u64,
                has_more: answer.has_more,
            }
        }
        721 => groups::told_in_binary(&proto::GroupInfoResponse::decode(body).unwrap()),
        741 => {
            let answer = proto::GroupRequestsResponse::decode(body).unwrap();
            Told::Requests(answer.requests.into_iter().map(|it| it.user_id).collect())
        }
        755 => devices::told_in_binary(proto::DevicesResponse::decode(body).unwrap()),
        0 | 103 | 206 | 501 | 703 | 723 | 725 | 727 | 729 | 731 | 733 | 743 | 745 | 747 | 751 | 753 => Told::Done,
        _ => return None,
    })
}

fn refused(error_code: i32) -> Option<Told> {
    Some(Told::Refused(match error_code {
        0 => return None,
        1 => No::Trouble,
        2 => No::Invalid,
        100 | 101 => No::Barred,
        102 => No::NotAllowed,
        150 => No::Denied,
        103 => No::UnknownUser,
        201 => No::Busy,
        202 => No::UnknownConversation,
        other => No::Other(other.into()),
    }))
}

fn placed(message: &proto::HistoryMessage) -> Shown {
    let shown = shown(message.message.as_ref().expect("a message"));
    Shown { conversation_seq: Some(message.conversation_seq as u64), ..shown }
}

fn row(row: &proto::ConversationRow) -> Row {
    Row {
        conversation: row.conversation_id.clone(),
        last: row.last.as_ref().map(shown),
        last_seq: row.last_seq as u64,
        unread: row.unread as u64,
        read_through: row.read_through as u64,
        newest_seq: row.newest_seq as u64,
    }
}

fn shown(push: &proto::PushMessage) -> Shown {
    let kind = match push.message_type {
        1001 => {
            let fact = proto::RevokeMessagePush::decode(&*push.content).unwrap();
            assert_eq!(fact.revoked_by, push.sender_id, "who did it");
            Kind::Revoked(fact.message_id.parse().unwrap())
        }
        1002 => {
            let fact = proto::ReadReceiptPush::decode(&*push.content).unwrap();
            assert_eq!(fact.user_id, push.sender_id, "who did it");
            Kind::Read(numbers(&fact.message_ids))
        }
        1003 => change_of(&serde_json::from_slice(&push.content).expect("a change is JSON")),
        1004 => cleared(&serde_json::from_slice(&push.content).expect("a clearing is JSON")),
        1 if push.extra.get("revoked").is_some_and(|revoked| revoked == "1") => {
            assert!(push.content.is_empty(), "what was taken back is still shown");
            Kind::Tombstone
        }
        1 if push.client_msg_id.starts_with(STREAM_END) => {
            assert!(push.content.is_empty(), "the end of a stream says nothing");
            Kind::Body(String::new())
        }
        1 => {
            let value: Value = serde_json::from_slice(&push.content).expect("bodies come back as they went");
            Kind::Body(value["content"].as_str().expect("bodies come back as they went").to_owned())
        }
        other => panic!("nobody sends messages of type {other}"),
    };
    Shown {
        seq: Some(push.seq as u64).filter(|seq| *seq > 0),
        conversation: push.conversation_id.clone(),
        conversation_seq: None,
        message: push.message_id.parse().unwrap(),
        client_id: push.client_msg_id.clone(),
        author: push.sender_id.clone(),
        kind,
        chunk: None,
        time: Some(push.server_time as u64),
    }
}
