//! JSON-RPC as a client speaks it, on both of its paths.

use crate::client::devices;
use crate::client::frames::Protocol;
use crate::client::groups;
use crate::client::speech::{
    Ask, Change, Channel, Chunk, Edge, Kind, Manner, No, Row, STREAM_END, Shown, State, Told, Wish, body_bytes,
    extra_of,
};
use serde_json::{Value, json};

pub fn say(user: &str, tag: u32, ask: &Ask) -> Value {
    let (method, params) = match ask {
        Ask::Authenticate { user, token, device } => {
            ("connect", json!({"uid": user, "token": token, "deviceId": device, "deviceFlag": 2}))
        }
        Ask::Send { id, to, body, manner } => {
            let payload: Value = serde_json::from_slice(&body_bytes(body)).unwrap();
            (
                "send",
                in_manner(
                    manner,
                    named(to, json!({"clientMsgNo": id, "payload": payload, "extra": {"k": extra_of(body)}})),
                ),
            )
        }
        Ask::Sync { after, limit } => ("sync", json!({"maxSeq": after, "limit": limit})),
        Ask::SyncBack { before, limit } => ("sync", json!({"minSeq": before, "limit": -(*limit as i64)})),
        Ask::History { of, from, limit } => {
            let page = match from {
                Edge::After(seq) => json!({"afterSeq": seq, "limit": limit}),
                Edge::Before(seq) => json!({"beforeSeq": seq, "limit": limit}),
            };
            ("history", named(of, page))
        }
        Ask::Conversations { before, limit } => ("conversations", json!({"beforeSeq": before, "limit": limit})),
        Ask::MarkRead { of, through } => ("markRead", named(of, json!({"through": through}))),
        Ask::Revoke { of, message } => ("revoke", named(of, json!({"messageId": message.to_string()}))),
        Ask::Receipt { of, messages } => {
            let ids: Vec<String> = messages.iter().map(u64::to_string).collect();
            ("receipt", named(of, json!({"messageIds": ids})))
        }
        Ask::Clear { of, through, is_deleted } => {
            let method = if *is_deleted { "deleteConversation" } else { "clearHistory" };
            (method, named(of, json!({"through": through})))
        }
        Ask::Typing { of } => ("typing", named(of, json!({"status": 1}))),
        Ask::Ack { message, .. } => ("recvack", json!({"messageId": message.to_string()})),
        Ask::Presence { wish, users } => {
            let action = match wish {
                Wish::Query => 0,
                Wish::Watch => 1,
                Wish::Unwatch => 2,
            };
            ("presence", json!({"userIds": users, "action": action}))
        }
        Ask::Renew { token, .. } => ("reauth", json!({"token": token})),
        Ask::Group { group, act } => groups::method(user, group, act),
        Ask::Devices(wish) => devices::method(wish),
        Ask::Beat => ("ping", json!({})),
    };
    json!({"jsonrpc": "2.0", "id": tag.to_string(), "method": method, "params": params})
}

fn in_manner(manner: &Manner, mut params: Value) -> Value {
    let Manner { is_passing, is_once, expire_s, piece } = manner;
    if *is_passing {
        params["header"]["noPersist"] = json!(true);
    }
    if *is_once {
        params["header"]["syncOnce"] = json!(true);
    }
    if *expire_s > 0 {
        params["expire"] = json!(expire_s);
    }
    if let Some(piece) = piece {
        params["setting"] = json!({"stream": true});
        params["streamNo"] = json!(piece.stream);
        params["streamFlag"] = json!(if piece.is_last { 2 } else { 0 });
    }
    params
}

fn named(of: &Channel, mut params: Value) -> Value {
    let (id, kind) = match of {
        Channel::Person(peer) => (peer, 1),
        Channel::Group(group) => (group, 2),
    };
    params["channelId"] = json!(id);
    params["channelType"] = json!(kind);
    params
}

pub fn receive(protocol: Protocol, user: &str, payload: &[u8]) -> (Option<u32>, Told) {
    let value: Value = serde_json::from_slice(payload).expect("JSON");
    assert_eq!(value["jsonrpc"], "2.0");
    if let Some(method) = value["method"].as_str() {
        return (None, notification(user, method, &value["params"]));
    }
    let tag = value["id"].as_str().map(|id| id.parse().unwrap());
    if let Some(code) = value["error"]["code"].as_i64() {
        return (tag, Told::Refused(refused(code)));
    }
    (tag, result(protocol, user, &value["result"]))
}

fn refused(code: i64) -> No {
    match code {
        1500 => No::Trouble,
        -32602 | 1105 => No::Invalid,
        1001 | 1002 => No::Barred,
        1102 => No::NotAllowed,
        2150 => No::Denied,
        1104 => No::Busy,
        1100 => No::UnknownUser,
        1101 => No::UnknownConversation,
        other => No::Other(other),
    }
}

fn notification(user: &str, method: &str, params: &Value) -> Told {
    match method {
        "recv" if params["header"]["noPersist"] == true => Told::Transient(message(user, params)),
        "recv" => Told::Push(message(user, params)),
        "revoked" | "receipt" | "group" | "cleared" => Told::Push(fact(user, method, params)),
        "presence" => {
            let State { user, is_online, .. } = state(params);
            Told::Came { user, is_online }
        }
        "typing" => Told::Typing { conversation: conversation(user, params), user: text(params, "userId") },
        _ => Told::Noise,
    }
}

fn result(protocol: Protocol, user: &str, result: &Value) -> Told {
    let has_more = result["hasMore"].as_bool();
    if !result["serverKey"].is_null() {
        assert_eq!(result["reasonCode"], if protocol == Protocol::Wukong { 1 } else { 0 });
        Told::Welcome { max_seq: None }
    } else if !result["messageId"].is_null() {
        Told::Sent {
            message: number_in(result, "messageId"),
            seq: result["inboxSeq"].as_u64(),
            conversation_seq: result["messageSeq"].as_u64(),
            time: None,
        }
    } else if let Some(states) = result["states"].as_array() {
        Told::Presence(states.iter().map(state).collect())
    } else if !result["groupId"].is_null() {
        groups::told_in_json(result)
    } else if let Some(devices) = result["devices"].as_array() {
        devices::told_in_json(devices)
    } else if let Some(requests) = result["requests"].as_array() {
        Told::Requests(requests.iter().map(|it| text(it, "userId")).collect())
    } else if let Some(rows) = result["conversations"].as_array() {
        Told::List { rows: rows.iter().map(|it| row(user, it)).collect(), has_more: has_more.expect("a flag") }
    } else if let Some(messages) = result["messages"].as_array() {
        let entries = messages.iter().map(|it| entry(user, it)).collect();
        let has_more = has_more.expect("a flag");
        match result["serverMaxSeq"].as_u64() {
            Some(max_seq) => Told::Page { entries, max_seq, has_more },
            None => {
                let number = |name: &str| result[name].as_u64().unwrap_or_else(|| panic!("{name} in {result}"));
                let (newest_seq, reached) = (number("newestSeq"), number("reachedSeq"));
                Told::History { messages: entries, newest_seq, reached, has_more }
            }
        }
    } else {
        Told::Done
    }
}

fn state(state: &Value) -> State {
    let is_online = state["online"].as_bool().expect("a flag");
    let last_seen = state["lastSeen"].as_u64().expect("a time");
    State { user: text(state, "userId"), is_online, last_seen }
}

pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}")).to_owned()
}

fn number_in(value: &Value, name: &str) -> u64 {
    text(value, name).parse().expect("a number in a string")
}

fn conversation(user: &str, value: &Value) -> String {
    let id = text(value, "channelId");
    let channel = if value["channelType"] == 2 { Channel::Group(id) } else { Channel::Person(id) };
    channel.conversation(user)
}

fn entry(user: &str, value: &Value) -> Shown {
    match value["type"].as_str() {
        Some(kind) => fact(user, kind, value),
        None => message(user, value),
    }
}

fn message(user: &str, value: &Value) -> Shown {
    let kind = match value["payload"]["content"].as_str() {
        Some(body) => Kind::Body(body.to_owned()),
        // That of a message taken back is as empty, and marked.
        None if text(value, "clientMsgNo").starts_with(STREAM_END) && value["extra"].is_null() => {
            assert_eq!(value["payload"], "", "the end of a stream says nothing: {value}");
            Kind::Body(String::new())
        }
        None => {
            assert!(value["payload"] == "" && value["extra"]["revoked"] != "0", "what was taken back: {value}");
            Kind::Tombstone
        }
    };
    Shown {
        seq: value["inboxSeq"].as_u64().filter(|seq| *seq > 0),
        conversation: conversation(user, value),
        conversation_seq: value["messageSeq"].as_u64().filter(|seq| *seq > 0),
        message: number_in(value, "messageId"),
        client_id: text(value, "clientMsgNo"),
        author: text(value, "fromUid"),
        kind,
        chunk: value["streamNo"].as_str().map(|stream| chunk(stream, value)),
        time: None,
    }
}

fn chunk(stream: &str, value: &Value) -> Chunk {
    let flag = value["streamFlag"].as_u64().expect("a flag");
    Chunk { stream: stream.to_owned(), number: number_in(value, "streamId"), flag }
}

fn fact(user: &str, what: &str, value: &Value) -> Shown {
    let (author, kind) = match what {
        "revoked" => (text(value, "revokedBy"), Kind::Revoked(number_in(value, "messageId"))),
        "receipt" => {
            let ids = value["messageIds"].as_array().expect("ids").iter();
            let ids = ids.map(|id| id.as_str().expect("an id").parse().unwrap()).collect();
            (text(value, "userId"), Kind::Read(ids))
        }
        "group" => match change_of(value) {
            joining @ Kind::Joining { .. } => {
                (value["members"][0].as_str().expect("who has asked").to_owned(), joining)
            }
            change => (text(value, "by"), change),
        },
        "cleared" => (user.to_owned(), cleared(value)),
        other => panic!("nothing is told as {other}"),
    };
    Shown {
        seq: value["inboxSeq"].as_u64().filter(|seq| *seq > 0),
        conversation: conversation(user, value),
        conversation_seq: None,
        message: number_in(value, "entryId"),
        client_id: String::new(),
        author,
        kind,
        chunk: None,
        time: None,
    }
}

/// What both protocols say about a conversation that was cleared.
pub fn cleared(value: &Value) -> Kind {
    let is_deleted = match value["change"].as_str() {
        Some("historyCleared") => false,
        Some("conversationDeleted") => true,
        _ => panic!("cleared how: {value}"),
    };
    Kind::Cleared { through: value["through"].as_u64().expect("a place"), is_deleted }
}

/// What both protocols say about a group's change.
pub fn change_of(value: &Value) -> Kind {
    let what = text(value, "change");
    if let "joinRequested" | "joinDeclined" = &*what {
        return Kind::Joining { is_asked: what == "joinRequested", by: text(value, "by") };
    }
    let members = value["members"].as_array().expect("members").iter();
    let change = Change {
        what,
        members: members.map(|user| user.as_str().expect("a user").to_owned()).collect(),
        owner: value["owner"].as_str().map(str::to_owned),
        role: value["role"].as_str().map(str::to_owned),
        is_muted: value["mutedUntil"].as_u64().is_some_and(|until| until > 0),
        name: value["name"].as_str().map(str::to_owned),
        join: value["join"].as_str().map(str::to_owned),
    };
    // Of many members some are named.
    let is_whole = value["count"].as_u64() == Some(change.members.len() as u64);
    assert!(is_whole || change.members.len() == 50, "{value}");
    Kind::Group(change)
}

fn row(user: &str, row: &Value) -> Row {
    let number = |name: &str| row[name].as_u64().unwrap_or_else(|| panic!("{name} in {row}"));
    Row {
        conversation: conversation(user, row),
        last: Some(&row["last"]).filter(|last| !last.is_null()).map(|last| entry(user, last)),
        last_seq: number("lastSeq"),
        unread: number("unread"),
        read_through: number("readThrough"),
        newest_seq: number("newestSeq"),
    }
}
