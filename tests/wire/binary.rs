//! The binary protocol's golden vectors, both directions.

use crate::client::*;
use crate::vectors::Vectors;
use mushan::model::{
    Ack, Clear, ClearExtent, Closing, Command, Conversation, ConversationRef, ConversationSeq, Conversations,
    DeviceKey, Entry, Event, Extra, History, HistoryDirection, MarkRead, MessageId, Presence, PresenceAction, Receipt,
    Recipient, Refusal, Reply, RequestTag, Revoke, Send, Seq, Sync, SyncDirection, Typing, TypingNotice, Verb,
};
use mushan::wire::{Credentials, Incoming, SessionGrant};
use std::sync::Arc;

fn request(sequence: u32, command: Command) -> Option<Incoming> {
    Some(Incoming::Request { tag: RequestTag::Sequence(sequence, command.verb()), command })
}

#[test]
fn a_binary_client_logs_in_as_the_specification_prints_it() {
    let vectors = Vectors::binary();
    let (mut client, credentials, heard) = Client::welcomed("/ws", &vectors.one("auth request"));
    let device = DeviceKey { flag: 0, id: "iOS".into() };
    let tag = RequestTag::Sequence(1, Verb::Authenticate);
    assert_eq!(credentials, Credentials { tag: tag.clone(), user: user("alice"), token: "tok".into(), device });
    assert_eq!(heard, [vectors.one("auth response")]);
    assert_eq!(client.say(&vectors.one("heartbeat request")), None);
    assert_eq!(client.heard(), [vectors.one("heartbeat response")]);

    let mut refused = Client::new("/ws");
    refused.say(&vectors.one("auth request"));
    refused.connection.refuse_authentication(&tag, Refusal::AuthFailed.into(), NOW, &refused.context);
    assert_eq!(refused.connection.closing(), Some(Closing::AuthFailed));
    let close = [4001_u16.to_be_bytes().as_slice(), b"authentication failed"].concat();
    assert_eq!(refused.heard(), [vectors.one("auth response to a bad token"), close]);
}

#[test]
fn binary_sends_are_read_and_answered_as_the_specification_prints_them() {
    let (mut client, vectors) = Client::binary();
    let to_bob = Send {
        conversation_name: Some(name("my bob")),
        message_type: 3,
        send_time: 5,
        extra: Extra::new(vec![("k".into(), "v".into())]),
        ..plain_send("c-1", Recipient::User(user("bob")), vec![0x00, 0xff])
    };
    assert_eq!(client.say(&vectors.one("send request")), request(2, Command::Send(to_bob)));
    let to_team = plain_send("c-2", Recipient::Group(group("team")), "");
    assert_eq!(client.say(&vectors.one("send request to a group")), request(3, Command::Send(to_team)));
    client.reply(&RequestTag::Sequence(2, Verb::Send), &sent());
    client.reply(&RequestTag::Sequence(2, Verb::Send), &Reply::Refused(Refusal::UserNotExist.into()));
    assert_eq!(client.heard(), [vectors.one("send response"), vectors.one("send response that refuses")]);
}

#[test]
fn binary_pushes_and_acks_are_as_the_specification_prints_them() {
    let (mut client, vectors) = Client::binary();
    let to_bob = to_bob(b"\x00\xff");
    let pushed = Event::Entry(entry(8, to_bob.clone()));
    assert_eq!(client.push("bob", &pushed), [vectors.one("push message")]);
    let pushed = Event::Entry(Entry { name: Some(name("my bob")), ..entry(8, to_bob.clone()) });
    assert_eq!(client.push("alice", &pushed), [vectors.one("push message to the author")]);
    let pushed = Event::Entry(entry(9, to_team(b"")));
    assert_eq!(client.push("bob", &pushed), [vectors.one("push message in a group")]);
    let pushed = Event::Transient(Arc::new(to_bob), None);
    assert_eq!(client.push("bob", &pushed), [vectors.one("push message never stored")]);
    for (name, ack) in
        [("message ack", Ack::Through(Seq(8))), ("message ack without seq", Ack::Message(MessageId(900)))]
    {
        let expected = Incoming::Request { tag: RequestTag::None, command: Command::Ack(ack) };
        assert_eq!(client.say(&vectors.one(name)), Some(expected));
    }
    client.reply(&RequestTag::None, &Reply::Done);
    assert!(client.heard().is_empty(), "an ack has no answer");
}

#[test]
fn binary_syncs_are_as_the_specification_prints_them() {
    let (mut client, vectors) = Client::binary();
    let forward = Sync { direction: SyncDirection::After(Seq(7)), limit: 50 };
    assert_eq!(client.say(&vectors.one("sync request forward")), request(4, Command::Sync(forward)));
    let synced = Reply::Synced { entries: vec![entry(8, to_bob(b"\x00\xff"))], server_max_seq: Seq(9), has_more: true };
    // The entry's viewer is the session's user, who is the author here: the peer's view is what the vector shows.
    let mut bob = Client::new("/ws");
    let Some(Incoming::Authenticate(credentials)) = bob.say(&vectors.one("auth request")) else { panic!("no auth") };
    let grant = SessionGrant { user: user("bob"), expires: NOW.wall.plus(1_000_000), salt: [b'0'; 16] };
    let let_in = bob.connection.authenticate(grant, NOW, &bob.context);
    assert_eq!(let_in, Ok(()));
    bob.reply(&credentials.tag, &Reply::Welcome { max_seq: Seq(0) });
    bob.heard();
    bob.reply(&RequestTag::Sequence(4, Verb::Sync), &synced);
    assert_eq!(bob.heard(), [vectors.one("sync response")]);
    let happened = Reply::Synced { entries: facts().into(), server_max_seq: Seq(12), has_more: false };
    bob.reply(&RequestTag::Sequence(4, Verb::Sync), &happened);
    assert_eq!(bob.heard(), [vectors.one("sync response with what happened")]);
    let entries = vec![entry(8, to_bob(b"\x00\xff").tombstone())];
    bob.reply(
        &RequestTag::Sequence(4, Verb::Sync),
        &Reply::Synced { entries, server_max_seq: Seq(8), has_more: false },
    );
    assert_eq!(bob.heard(), [vectors.one("sync response with a message taken back")]);

    let back = Sync { direction: SyncDirection::Before(Seq(9)), limit: 20 };
    client.reply(&RequestTag::Sequence(4, Verb::Sync), &Reply::Refused(Refusal::StorageDamaged.into()));
    assert_eq!(client.heard(), [vectors.one("sync response that refuses")]);
    assert_eq!(client.say(&vectors.one("sync request back")), request(4, Command::Sync(back)));
}

#[test]
fn an_unknown_command_and_a_farewell_are_as_protocol_2_1_has_them() {
    let (mut client, vectors) = Client::binary();
    assert_eq!(client.say(&vectors.one("unknown request")), None);
    assert_eq!(client.heard(), [vectors.one("unknown response")]);
    client.connection.close(Closing::Stopping, NOW, &client.context);
    let close = [1001_u16.to_be_bytes().as_slice(), b"server stopping"].concat();
    assert_eq!(client.heard(), [vectors.one("kick out"), close]);
}

#[test]
fn a_fresh_token_is_read_and_answered_as_an_auth() {
    let (mut client, vectors) = Client::binary();
    let tag = RequestTag::Sequence(6, Verb::Reauthenticate);
    let expected = Incoming::Reauthenticate { tag: tag.clone(), token: "fresh".into() };
    assert_eq!(client.say(&vectors.one("reauth request")), Some(expected));
    client.reply(&tag, &Reply::Reauthenticated { max_seq: Seq(42) });
    client.reply(&tag, &Reply::Refused(Refusal::TokenExpired.into()));
    assert_eq!(client.heard(), [vectors.one("reauth response"), vectors.one("reauth response that refuses")]);
}

/// A request that names my bob's conversation, its answer and a refusal.
fn exchanged(what: &str, sequence: u32, command: Command, reply: &Reply, refusal: Refusal) {
    let (mut client, vectors) = Client::binary();
    let tag = RequestTag::Sequence(sequence, command.verb());
    let named = |kind: &str| vectors.one(&format!("{what} {kind}"));
    assert_eq!(client.say(&named("request")), request(sequence, command));
    client.reply(&tag, reply);
    client.reply(&tag, &Reply::Refused(refusal.into()));
    assert_eq!(client.heard(), [named("response"), named("response that refuses")]);
}

fn my_bob() -> ConversationRef {
    ConversationRef::Named(name("my bob"))
}

#[test]
fn what_is_done_to_a_conversation_is_as_the_specification_prints_it() {
    // "revoke request", "revoke response", "revoke response that refuses"
    let revoke = Command::Revoke(Revoke { message: MessageId(900), conversation: my_bob() });
    exchanged("revoke", 7, revoke, &Reply::Done, Refusal::PermissionDenied);
    // "receipt request", "receipt response", "receipt response that refuses"
    let receipt = Receipt { messages: vec![MessageId(900), MessageId(901)], conversation: my_bob() };
    exchanged("receipt", 8, Command::Receipt(receipt), &Reply::Done, Refusal::ConversationNotExist);
    // "mark read request", "mark read response", "mark read response that refuses"
    let mark = MarkRead { conversation: my_bob(), through: ConversationSeq(11) };
    exchanged("mark read", 12, Command::MarkRead(mark), &Reply::Done, Refusal::ConversationNotExist);
    // "clear request", "clear response", "clear response that refuses"
    let clear = |extent| Command::Clear(Clear { conversation: my_bob(), through: ConversationSeq(11), extent });
    exchanged("clear", 25, clear(ClearExtent::History), &Reply::Done, Refusal::ConversationNotExist);
    // "delete request", "delete response", "delete response that refuses"
    exchanged("delete", 26, clear(ClearExtent::Conversation), &Reply::Done, Refusal::ConversationNotExist);
}

#[test]
fn who_is_online_is_asked_and_told_as_the_contract_has_it() {
    // "presence request", "presence response", "presence response that refuses"
    let presence = Presence { action: PresenceAction::Subscribe, users: vec![user("bob"), user("carol")] };
    exchanged("presence", 10, Command::Presence(presence), &Reply::Presence(states()), Refusal::InvalidParam);
    let (mut client, vectors) = Client::binary();
    let carol = states().remove(1);
    assert_eq!(client.push("alice", &Event::Presence(carol)), [vectors.one("presence push")]);
}

#[test]
fn what_happened_is_pushed_as_the_specification_prints_it() {
    let (mut client, vectors) = Client::binary();
    let [revoked, read, group] = facts().map(Event::Entry);
    assert_eq!(client.push("bob", &revoked), [vectors.one("revoke push")]);
    assert_eq!(client.push("bob", &read), [vectors.one("receipt push")]);
    assert_eq!(client.push("bob", &group), [vectors.one("push message of a group change")]);
    let conversation = Conversation::pair(user("alice"), user("bob"));
    let notice = TypingNotice { conversation, name: Some(name("my alice")), user: user("alice"), status: 1 };
    assert_eq!(client.push("bob", &Event::Typing(Box::new(notice))), [vectors.one("typing push")]);
}

#[test]
fn typing_is_answered_only_when_it_is_refused() {
    let (mut client, vectors) = Client::binary();
    let typing = Command::Typing(Typing { conversation: my_bob(), status: 1 });
    assert_eq!(client.say(&vectors.one("typing request")), request(9, typing));
    client.reply(&RequestTag::Sequence(9, Verb::Typing), &Reply::Done);
    assert!(client.heard().is_empty());
    client.reply(&RequestTag::Sequence(9, Verb::Typing), &Reply::Refused(Refusal::ConversationNotExist.into()));
    assert_eq!(client.heard(), [vectors.one("typing request refused")]);
}

#[test]
fn lists_of_conversations_are_as_the_contract_has_them() {
    // "conversations request", "conversations response that refuses"
    let vectors = Vectors::binary();
    let (mut client, _, _) = Client::welcomed("/ws", &vectors.one("auth request as bob"));
    let command = Command::Conversations(Conversations { before: Seq(9), limit: 2 });
    assert_eq!(client.say(&vectors.one("conversations request")), request(11, command));
    let tag = RequestTag::Sequence(11, Verb::Conversations);
    client.reply(&tag, &Reply::Conversations { rows: rows(to_bob(b"\x00\xff")), has_more: true });
    client.reply(&tag, &Reply::Refused(Refusal::SendTooFast.into()));
    let refused = vectors.one("conversations response that refuses");
    assert_eq!(client.heard(), [vectors.one("conversations response"), refused]);
}

#[test]
fn history_is_as_the_contract_has_it() {
    let (mut client, vectors) = Client::binary();
    let conversation = ConversationRef::Named(name("group_team"));
    for (what, direction, limit, topic) in [
        ("history request up", HistoryDirection::After(ConversationSeq(0)), 50, Some("t".into())),
        ("history request down", HistoryDirection::Before(ConversationSeq(12)), 100, None),
        ("history request from the newest", HistoryDirection::Before(ConversationSeq(0)), 100, None),
    ] {
        let command = Command::History(History { conversation: conversation.clone(), direction, limit, topic });
        assert_eq!(client.say(&vectors.one(what)), request(13, command), "{what}");
    }
    let tag = RequestTag::Sequence(13, Verb::History);
    let messages = vec![entry(0, to_team(b""))];
    client.reply(
        &tag,
        &Reply::History { messages, reached: ConversationSeq(12), newest_seq: ConversationSeq(13), has_more: true },
    );
    client.reply(&tag, &Reply::Refused(Refusal::ConversationNotExist.into()));
    assert_eq!(client.heard(), [vectors.one("history response"), vectors.one("history response that refuses")]);
}
