//! The JSON-RPC protocol's golden vectors, both directions.

use crate::client::*;
use crate::vectors::Vectors;
use mushan::model::{
    Ack, ChunkPhase, Clear, ClearExtent, Closing, Command, Conversation, ConversationRef, ConversationSeq,
    Conversations, DeviceKey, Event, Extra, GroupId, History, HistoryDirection, MarkRead, Message, MessageId, Presence,
    PresenceAction, Receipt, Recipient, Refusal, Reply, RequestTag, Revoke, Send, Seq, StreamChunk, Sync,
    SyncDirection, Typing, TypingNotice,
};
use mushan::wire::{Credentials, Incoming};
use std::sync::Arc;

const PAYLOAD: &[u8] = br#"{"content":"Hello!","type":3}"#;

#[test]
fn json_rpc_clients_connect_as_the_specification_prints_it() {
    let vectors = Vectors::json_rpc();
    for (path, response) in
        [("/rpc", "connect response"), ("/", "connect response"), ("/wukong", "connect response wukong")]
    {
        let (_, credentials, heard) = Client::welcomed(path, &vectors.one("connect request"));
        let device = DeviceKey { flag: 1, id: "phone".into() };
        let tag = RequestTag::Text("req-conn-1".into());
        assert_eq!(credentials, Credentials { tag, user: user("alice"), token: "tok".into(), device });
        assert_eq!(heard, vectors.all(response), "{path}");
    }
    let mut refused = Client::new("/rpc");
    let Some(Incoming::Authenticate(credentials)) = refused.say(&vectors.one("connect request")) else {
        panic!("no credentials")
    };
    refused.connection.refuse_authentication(&credentials.tag, Refusal::AuthFailed.into(), NOW, &refused.context);
    assert_eq!(refused.heard()[0], vectors.one("connect response that refuses"));
}

#[test]
fn json_rpc_sends_are_read_and_answered_as_the_specification_prints_them() {
    let (mut client, vectors) = Client::json_rpc();
    let to_bob = Send {
        message_type: 3,
        annotations: Some(Box::new(annotations())),
        ..plain_send("c-1", Recipient::User(user("bob")), r#"{"content":"Hello!","type":3}"#)
    };
    let tag = RequestTag::Text("req-send-1".into());
    let expected = Incoming::Request { tag: tag.clone(), command: Command::Send(to_bob) };
    assert_eq!(client.say(&vectors.one("send request")), Some(expected));
    let to_team = Send { message_type: 2, ..plain_send("c-2", Recipient::Group(group("team")), r#"{"type":2}"#) };
    let expected = Incoming::Request { tag: RequestTag::Number("7".into()), command: Command::Send(to_team) };
    assert_eq!(client.say(&vectors.one("send request to a group")), Some(expected));
    client.reply(&tag, &sent());
    client.reply(&tag, &Reply::Refused(Refusal::UserNotExist.into()));
    assert_eq!(client.heard(), [vectors.one("send response"), vectors.one("send response that refuses")]);
    let (mut wukong, _, _) = Client::welcomed("/wukong", &vectors.one("connect request"));
    wukong.reply(&tag, &sent());
    assert_eq!(wukong.heard(), [vectors.one("send response wukong")]);
}

#[test]
fn json_rpc_pushes_and_acks_are_as_the_specification_prints_them() {
    let (mut client, vectors) = Client::json_rpc();
    let pushed = Event::Entry(entry(8, to_bob(PAYLOAD)));
    assert_eq!(client.push("bob", &pushed), [vectors.one("recv")]);
    assert_eq!(client.push("alice", &pushed), [vectors.one("recv by the author")]);
    let in_a_group = Event::Entry(entry(9, to_team(b"\x00\xff")));
    assert_eq!(client.push("bob", &in_a_group), [vectors.one("recv of bytes in a group")]);
    let taken_back = Event::Entry(entry(9, to_team(b"\x00\xff").tombstone()));
    assert_eq!(client.push("bob", &taken_back), [vectors.one("recv of a message taken back")]);
    let (mut wukong, _, _) = Client::welcomed("/wukong", &vectors.one("connect request"));
    assert_eq!(wukong.push("bob", &pushed), [vectors.one("recv wukong")]);
    for (name, tag) in
        [("recvack request", RequestTag::Text("req-ack-1".into())), ("recvack notification", RequestTag::None)]
    {
        let command = Command::Ack(Ack::Message(MessageId(900)));
        assert_eq!(client.say(&vectors.one(name)), Some(Incoming::Request { tag: tag.clone(), command }));
        client.reply(&tag, &Reply::Done);
    }
    assert_eq!(client.heard(), [vectors.one("recvack response")], "the notification has no answer");
}

#[test]
fn json_rpc_ping_sync_and_errors_are_as_protocol_3_has_them() {
    let vectors = Vectors::json_rpc();
    for (path, response) in [("/rpc", "ping response"), ("/wukong", "ping response wukong")] {
        let (mut client, _, _) = Client::welcomed(path, &vectors.one("connect request"));
        assert_eq!(client.say(&vectors.one("ping request")), None);
        assert_eq!(client.heard(), vectors.all(response));
    }
    let (mut client, _, _) = Client::welcomed("/rpc", &vectors.one("connect request"));
    let sync = Command::Sync(Sync { direction: SyncDirection::After(Seq(7)), limit: 50 });
    let tag = RequestTag::Number("1".into());
    let expected = Incoming::Request { tag: tag.clone(), command: sync };
    assert_eq!(client.say(&vectors.one("sync request")), Some(expected));
    let entries = vec![entry(9, to_team(b"\x00\xff"))];
    client.reply(&tag, &Reply::Synced { entries, server_max_seq: Seq(9), has_more: false });
    assert_eq!(client.heard(), [vectors.one("sync response")]);
    let mut bob = Client::as_bob("/rpc", &vectors);
    bob.reply(&tag, &Reply::Synced { entries: facts().into(), server_max_seq: Seq(12), has_more: false });
    assert_eq!(bob.heard(), [vectors.one("sync response with what happened")]);
    assert_eq!(client.say(&vectors.one("unknown request")), None);
    assert_eq!(client.say(b"{"), None);
    assert_eq!(client.heard(), [vectors.one("unknown response"), vectors.one("parse error")]);
    client.connection.close(Closing::Replaced, NOW, &client.context);
    assert_eq!(client.heard()[0], vectors.one("disconnect"));
}

#[test]
fn a_message_that_says_all_that_can_be_said_is_read() {
    let (mut client, vectors) = Client::json_rpc();
    let incoming = client.say(&vectors.one("send request with everything"));
    let Some(Incoming::Request { tag: _, command: Command::Send(send) }) = incoming else { panic!("{incoming:?}") };
    let mut expected = everything();
    expected.header.no_persist = true;
    expected.chunk = Some(StreamChunk { stream: "s-1".into(), number: 0, phase: ChunkPhase::Last });
    assert_eq!(send.annotations, Some(Box::new(expected)));
    assert_eq!(send.extra, Extra::new(vec![("k".into(), "v".into())]));
}

#[test]
fn a_client_is_told_what_its_version_understands() {
    let vectors = Vectors::json_rpc();
    let mut message = Message { annotations: Some(Box::new(everything())), ..to_bob(PAYLOAD) };
    let pushed = Event::Entry(entry(8, message.clone()));
    let connect = String::from_utf8(vectors.one("connect request")).expect("UTF-8");
    for (path, version, expected) in [
        ("/rpc", 3, "recv with everything"),
        ("/rpc", 99, "recv with everything"),
        ("/rpc", 2, "recv with everything version 2"),
        ("/rpc", 1, "recv with everything version 1"),
        ("/rpc", 0, "recv with everything version 1"),
        ("/wukong", 3, "recv with everything wukong"),
    ] {
        let connect = connect.replace(r#""deviceFlag""#, &format!(r#""version":{version},"deviceFlag""#));
        let (mut client, _, _) = Client::welcomed(path, connect.as_bytes());
        assert_eq!(client.push("bob", &pushed), [vectors.one(expected)], "{path} {version}");
    }
    message.annotations.as_mut().expect("just set").header.no_persist = true;
    let (mut client, _, _) = Client::welcomed("/rpc", connect.as_bytes());
    let transient = Event::Transient(Arc::new(message), None);
    assert_eq!(client.push("bob", &transient), [vectors.one("recv never stored")]);
}

#[test]
fn a_client_with_a_key_proves_its_messages_and_gets_proved_ones() {
    let vectors = Vectors::json_rpc();
    let (mut client, _, _) = Client::welcomed("/rpc", &vectors.one("connect request with a key"));
    let incoming = client.say(&vectors.one("send request with a key"));
    let Some(Incoming::Request { tag: _, command: Command::Send(send) }) = incoming else { panic!("{incoming:?}") };
    assert_eq!(send.annotations, None);
    assert_eq!(client.say(&vectors.one("send request with a wrong key")), None);
    assert_eq!(client.heard(), [vectors.one("send response to a wrong key")]);
    let pushed = Event::Entry(entry(9, to_team(b"\x00\xff")));
    assert_eq!(client.push("alice", &pushed), [vectors.one("recv with a key")]);
}

#[test]
fn what_happened_is_notified_as_the_binary_specification_prints_it_in_camel_case() {
    let vectors = Vectors::json_rpc();
    for (path, suffix) in [("/rpc", ""), ("/wukong", " wukong")] {
        // "revoked wukong", "receipt wukong", "group wukong"
        let mut bob = Client::as_bob(path, &vectors);
        for (event, name) in facts().map(Event::Entry).iter().zip(["revoked", "receipt", "group"]) {
            assert_eq!(bob.push("bob", event), [vectors.one(&format!("{name}{suffix}"))]);
        }
    }
    let mut bob = Client::as_bob("/rpc", &vectors);
    let conversation = Conversation::pair(user("alice"), user("bob"));
    let notice = TypingNotice { conversation, name: None, user: user("alice"), status: 1 };
    assert_eq!(bob.push("bob", &Event::Typing(Box::new(notice))), [vectors.one("typing")]);
    assert_eq!(bob.push("bob", &Event::Presence(states().remove(1))), [vectors.one("presence")]);
}

#[test]
fn extension_methods_are_read_and_answered_as_the_contract_has_them() {
    let (mut client, vectors) = Client::json_rpc();
    let bob = || ConversationRef::With(Recipient::User(user("bob")));
    let team = || ConversationRef::With(Recipient::Group(GroupId::new("team").expect("well formed")));
    let history = |direction, limit, topic| Command::History(History { conversation: team(), direction, limit, topic });
    let down = |seq| HistoryDirection::Before(ConversationSeq(seq));
    let clear = |extent| Command::Clear(Clear { conversation: bob(), through: ConversationSeq(11), extent });
    let tag = RequestTag::Number("7".into());
    for (what, command) in [
        ("revoke request", Command::Revoke(Revoke { message: MessageId(900), conversation: bob() })),
        (
            "receipt request",
            Command::Receipt(Receipt { messages: vec![MessageId(900), MessageId(901)], conversation: bob() }),
        ),
        ("typing request", Command::Typing(Typing { conversation: bob(), status: 1 })),
        ("mark read request", Command::MarkRead(MarkRead { conversation: bob(), through: ConversationSeq(11) })),
        ("clear request", clear(ClearExtent::History)),
        ("delete request", clear(ClearExtent::Conversation)),
        (
            "presence request",
            Command::Presence(Presence { action: PresenceAction::Subscribe, users: vec![user("bob"), user("carol")] }),
        ),
        ("conversations request", Command::Conversations(Conversations { before: Seq(9), limit: 2 })),
        ("history request up", history(HistoryDirection::After(ConversationSeq(0)), 50, Some("t".into()))),
        ("history request down", history(down(12), 100, None)),
        ("history request from the newest", history(down(0), 100, None)),
    ] {
        assert_eq!(client.say(&vectors.one(what)), Some(Incoming::Request { tag: tag.clone(), command }), "{what}");
    }
    let through = Command::Ack(Ack::Through(Seq(8)));
    let expected = Incoming::Request { tag: RequestTag::None, command: through };
    assert_eq!(client.say(&vectors.one("recvack request through a seq")), Some(expected));
    let messages = vec![entry(0, to_team(b"\x00\xff"))];
    let mut bob = Client::as_bob("/rpc", &vectors);
    for (what, reply) in [
        ("done response", Reply::Done),
        ("presence response", Reply::Presence(states())),
        ("conversations response", Reply::Conversations { rows: rows(to_team(b"\x00\xff")), has_more: true }),
        (
            "history response",
            Reply::History { messages, reached: ConversationSeq(12), newest_seq: ConversationSeq(13), has_more: true },
        ),
    ] {
        bob.reply(&tag, &reply);
        assert_eq!(bob.heard(), [vectors.one(what)], "{what}");
    }
}

#[test]
fn a_fresh_token_is_read_and_answered() {
    let vectors = Vectors::json_rpc();
    let tag = RequestTag::Number("7".into());
    for (path, response) in [("/rpc", "reauth response"), ("/wukong", "reauth response wukong")] {
        let (mut client, _, _) = Client::welcomed(path, &vectors.one("connect request"));
        let expected = Incoming::Reauthenticate { tag: tag.clone(), token: "fresh".into() };
        assert_eq!(client.say(&vectors.one("reauth request")), Some(expected));
        client.reply(&tag, &Reply::Reauthenticated { max_seq: Seq(42) });
        client.reply(&tag, &Reply::Refused(Refusal::TokenExpired.into()));
        assert_eq!(client.heard(), [vectors.one(response), vectors.one("reauth response that refuses")]);
    }
}
