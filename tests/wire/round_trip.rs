//! Whatever can be said in a protocol is understood as it was meant, by the server and by its clients.

use crate::binary_fields::Fields;
use crate::client::{Client, NOW, user};
use crate::shapes::{self, Tongue};
use crate::vectors::Vectors;
use crate::{decode, encode};
use mushan::model::{Command, ConversationSeq, Reply, RequestTag, Seq, UserId, Verb};
use mushan::wire::{Incoming, proto};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

fn binary_client() -> Client {
    Client::welcomed("/ws", &Vectors::binary().one("auth request as bob")).0
}

fn heard_json(client: &mut Client) -> Value {
    let heard = client.heard();
    assert_eq!(heard.len(), 1);
    serde_json::from_slice(&heard[0]).expect("JSON")
}

/// The body of the only answer, which has this command and sequence 7.
fn heard_body(client: &mut Client, command: i64, message: &str) -> Fields {
    let heard = client.heard();
    assert_eq!(heard.len(), 1);
    let envelope = Fields::decode("WebSocketMessage", &heard[0]);
    assert_eq!((envelope.number("command"), envelope.number("sequence")), (command, 7));
    assert_eq!(envelope.number("timestamp").cast_unsigned(), NOW.wall.0);
    let body = Fields::decode(message, &envelope.bytes("body"));
    assert_eq!((body.number("error_code"), body.text("error_msg")), (0, String::new()));
    body
}

fn listed(items: &[Fields], show: impl Fn(&Fields) -> Value) -> Vec<Value> {
    items.iter().map(show).collect()
}

proptest! {
    #[test]
    fn every_command_is_understood_in_binary(command in shapes::commands(Tongue::Binary)) {
        let (number, body) = encode::binary(&command).expect("binary can say it");
        let envelope = proto::WebSocketMessage { command: number, sequence: 7, body: body.into(), timestamp: 1 };
        let tag = match &command {
            Command::Ack(_) => RequestTag::None,
            command => RequestTag::Sequence(7, command.verb()),
        };
        let mut client = binary_client();
        prop_assert_eq!(client.say(&envelope.encode_to_vec()), Some(Incoming::Request { tag, command }));
        prop_assert!(client.heard().is_empty());
    }

    #[test]
    fn every_command_is_understood_in_json_rpc(command in shapes::commands(Tongue::JsonRpc)) {
        let (method, params) = encode::json_rpc(&command).expect("JSON-RPC can say it");
        let request = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": "a"});
        let mut client = Client::as_bob("/rpc", &Vectors::json_rpc());
        let tag = RequestTag::Text("a".into());
        prop_assert_eq!(client.say(request.to_string().as_bytes()), Some(Incoming::Request { tag, command }));
        prop_assert!(client.heard().is_empty());
    }

    #[test]
    fn every_event_is_understood_in_binary((event, viewer) in shapes::events()) {
        let heard = binary_client().push(viewer.as_str(), &event);
        prop_assert_eq!(heard.len(), 1);
        prop_assert_eq!(decode::binary_push(&heard[0]), decode::expected_binary_push(&event, &viewer));
    }

    #[test]
    fn every_event_is_understood_in_json_rpc((event, viewer) in shapes::events()) {
        let heard = Client::as_bob("/rpc", &Vectors::json_rpc()).push(viewer.as_str(), &event);
        prop_assert_eq!(heard.len(), 1);
        let notification: Value = serde_json::from_slice(&heard[0]).expect("JSON");
        prop_assert_eq!(notification, decode::expected_notification(&event, &viewer));
    }

    #[test]
    fn every_list_is_understood_in_binary(
        entries in vec(shapes::entries(), 0..4),
        rows in vec(shapes::rows(), 0..3),
        states in vec(shapes::states(), 0..3),
        has_more in any::<bool>(),
    ) {
        let (mut client, bob) = (binary_client(), user("bob"));
        let elements: Vec<Value> = entries.iter().map(|entry| decode::expected_message(entry, &bob)).collect();
        let synced = Reply::Synced { entries: entries.clone(), server_max_seq: Seq(9), has_more };
        client.reply(&RequestTag::Sequence(7, Verb::Sync), &synced);
        let page = heard_body(&mut client, 301, "SyncResponse");
        prop_assert_eq!((page.number("server_max_seq"), page.flag("has_more")), (9, has_more));
        prop_assert_eq!(listed(&page.list("messages"), decode::push_message), elements.clone());

        let seqs: Vec<i64> = entries.iter().map(|entry| entry.message.conversation_seq.0.cast_signed()).collect();
        let (reached, newest_seq) = (ConversationSeq(8), ConversationSeq(9));
        let history = Reply::History { messages: entries, reached, newest_seq, has_more };
        client.reply(&RequestTag::Sequence(7, Verb::History), &history);
        let page = heard_body(&mut client, 705, "HistoryResponse");
        prop_assert_eq!((page.number("newest_seq"), page.flag("has_more")), (9, has_more));
        prop_assert_eq!(page.number("reached_seq"), 8);
        let messages = page.list("messages");
        prop_assert_eq!(messages.iter().map(|one| one.number("conversation_seq")).collect::<Vec<_>>(), seqs);
        let inner = |one: &Fields| decode::push_message(&one.message("message").expect("there"));
        prop_assert_eq!(listed(&messages, inner), elements);

        let expected: Vec<Value> = rows.iter().map(|row| decode::expected_row(row, &bob)).collect();
        client.reply(&RequestTag::Sequence(7, Verb::Conversations), &Reply::Conversations { rows, has_more });
        let page = heard_body(&mut client, 701, "ConversationsResponse");
        prop_assert_eq!(page.flag("has_more"), has_more);
        prop_assert_eq!(listed(&page.list("conversations"), decode::row), expected);

        let expected: Vec<Value> = states.iter().map(decode::expected_state).collect();
        client.reply(&RequestTag::Sequence(7, Verb::Presence), &Reply::Presence(states));
        let page = heard_body(&mut client, 401, "PresenceResponse");
        prop_assert_eq!(listed(&page.list("states"), decode::presence_state), expected);
    }

    #[test]
    fn every_list_is_understood_in_json_rpc(
        entries in vec(shapes::entries(), 0..4),
        rows in vec(shapes::rows(), 0..3),
        states in vec(shapes::states(), 0..3),
        has_more in any::<bool>(),
    ) {
        let (mut client, bob) = (Client::as_bob("/rpc", &Vectors::json_rpc()), user("bob"));
        let tag = RequestTag::Number("7".into());
        let answer = |result: Value| json!({"jsonrpc": "2.0", "id": 7, "result": result});
        let elements: Vec<Value> = entries.iter().map(|entry| decode::expected_element(entry, &bob)).collect();
        let server_max_seq = Seq(9);
        client.reply(&tag, &Reply::Synced { entries: entries.clone(), server_max_seq, has_more });
        let expected = json!({"messages": elements, "serverMaxSeq": 9, "hasMore": has_more});
        prop_assert_eq!(heard_json(&mut client), answer(expected));

        let (reached, newest_seq) = (ConversationSeq(8), ConversationSeq(9));
        client.reply(&tag, &Reply::History { messages: entries, reached, newest_seq, has_more });
        let expected = json!({"messages": elements, "newestSeq": 9, "reachedSeq": 8, "hasMore": has_more});
        prop_assert_eq!(heard_json(&mut client), answer(expected));

        let listed: Vec<Value> = rows.iter().map(|row| decode::expected_json_row(row, &bob)).collect();
        client.reply(&tag, &Reply::Conversations { rows, has_more });
        prop_assert_eq!(heard_json(&mut client), answer(json!({"conversations": listed, "hasMore": has_more})));

        let listed: Vec<Value> = states.iter().map(decode::expected_presence).collect();
        client.reply(&tag, &Reply::Presence(states));
        prop_assert_eq!(heard_json(&mut client), answer(json!({"states": listed})));
    }
}

#[test]
fn who_is_removed_with_many_sees_itself_first() {
    let members: Vec<UserId> = (0..60).map(|index| user(&format!("u{index}"))).collect();
    let mut facts = crate::client::facts();
    let mut message = (*facts[2].message).clone();
    let change = mushan::model::GroupChange::Removed { members };
    message.fact = Some(std::sync::Arc::new(mushan::model::Fact::Group(change)));
    facts[2].message = std::sync::Arc::new(message);
    let event = mushan::model::Event::Entry(facts[2].clone());
    for (viewer, first) in [("u57", "u57"), ("somebody", "u0")] {
        let heard = Client::as_bob("/rpc", &Vectors::json_rpc()).push(viewer, &event);
        let notification: Value = serde_json::from_slice(&heard[0]).expect("JSON");
        let members = notification["params"]["members"].as_array().expect("members");
        assert_eq!((members.len(), members[0].as_str()), (50, Some(first)));
        assert_eq!(notification["params"]["count"], 60);
    }
}
