//! The binary protocol's requests, rule by rule, through a connection.

use super::*;
use crate::model::MessageId;
use crate::wire::common::incoming::Incoming;
use crate::wire::connection::tests::{BINARY, Peer, envelope, frame, send_request};
use prost::Message as _;

#[test]
fn a_binary_stranger_may_only_authenticate_and_beat() {
    for (command, response) in [
        (CommandType::CmdSendMsgReq, CommandType::CmdSendMsgRsp),
        (CommandType::CmdSyncReq, CommandType::CmdSyncRsp),
        (CommandType::CmdRevokeMsgReq, CommandType::CmdRevokeMsgRsp),
        (CommandType::CmdReadReceiptReq, CommandType::CmdReadReceiptRsp),
        (CommandType::CmdReauthReq, CommandType::CmdReauthRsp),
        (CommandType::CmdPresenceReq, CommandType::CmdPresenceRsp),
        (CommandType::CmdConversationsReq, CommandType::CmdConversationsRsp),
        (CommandType::CmdMarkReadReq, CommandType::CmdMarkReadRsp),
        (CommandType::CmdClearHistoryReq, CommandType::CmdClearHistoryRsp),
        (CommandType::CmdDeleteConversationReq, CommandType::CmdDeleteConversationRsp),
        (CommandType::CmdHistoryReq, CommandType::CmdHistoryRsp),
        (CommandType::CmdTypingStatusReq, CommandType::CmdUnknown),
        (CommandType::CmdPushMsg, CommandType::CmdUnknown),
    ] {
        let mut peer = Peer::upgraded("/ws");
        assert_eq!(peer.feed(&envelope(command, 4, &send_request())), []);
        assert_eq!(peer.connection.closing(), Some(Closing::AuthFailed));
        assert_eq!(peer.answers(), [(response, 4, 100, "authenticate first".into())]);
    }
    let mut peer = Peer::upgraded("/ws");
    assert_eq!(peer.feed(&envelope(CommandType::CmdMsgAck, 4, &im::MessageAck::default())), []);
    assert_eq!(peer.close_code(), Some(4001));
    let mut peer = Peer::upgraded("/ws");
    assert_eq!(peer.feed(&envelope(CommandType::CmdHeartbeatReq, 4, &im::HeartbeatRequest::default())), []);
    assert_eq!((peer.answers()[0].0, peer.connection.closing()), (CommandType::CmdHeartbeatRsp, None));
}

#[test]
fn a_malformed_authentication_is_refused_at_once() {
    let long = "x".repeat(4_097);
    for (user_id, token, platform, code) in [
        ("", "t", "", 100),
        ("a\u{1}", "t", "", 100),
        ("alice", long.as_str(), "", 100),
        ("alice", "t", &long[..129], 2),
        ("alice", "t", "a\u{1}", 2),
    ] {
        let mut peer = Peer::upgraded("/ws");
        let request = im::AuthRequest { user_id: user_id.into(), token: token.into(), platform: platform.into() };
        assert_eq!(peer.feed(&envelope(CommandType::CmdAuthReq, 1, &request)), []);
        assert_eq!(peer.connection.closing(), Some(Closing::AuthFailed));
        let answers = peer.answers();
        assert_eq!((answers[0].0, answers[0].2), (CommandType::CmdAuthRsp, code));
    }
}

/// The refusal of a body that a session of alice's sends.
fn refused(command: CommandType, body: &impl prost::Message) -> (CommandType, i32, String) {
    let mut peer = Peer::open("/ws");
    assert_eq!(peer.feed(&envelope(command, 9, body)), []);
    assert_eq!(peer.connection.closing(), None);
    let (response, sequence, code, detail) = peer.answers().pop().expect("an answer");
    assert_eq!(sequence, 9);
    (response, code, detail)
}

#[test]
fn lists_are_bounded_and_their_items_well_formed() {
    use CommandType::{CmdPresenceReq, CmdReadReceiptReq};
    let receipt = |count: usize| im::ReadReceiptRequest {
        message_ids: vec!["1".into(); count],
        conversation_id: "single_alice_bob".into(),
    };
    assert_eq!(refused(CmdReadReceiptReq, &receipt(0)).2, "a receipt names no message");
    assert_eq!(refused(CmdReadReceiptReq, &receipt(101)).2, "a receipt names more than 100 messages");
    assert_eq!(Peer::open("/ws").feed(&envelope(CmdReadReceiptReq, 9, &receipt(100))).len(), 1);
    let presence =
        |count: usize, user: &str, action| im::PresenceRequest { user_ids: vec![user.into(); count], action };
    assert_eq!(refused(CmdPresenceReq, &presence(201, "bob", 0)).2, "more than 200 users at once");
    assert_eq!(refused(CmdPresenceReq, &presence(1, "", 0)).2, "a user id is malformed");
    assert_eq!(refused(CmdPresenceReq, &presence(1, "bob", 3)).2, "action must be 0, 1 or 2");
    assert_eq!(refused(CmdPresenceReq, &presence(1, "bob", -1)).1, 2);
    assert_eq!(Peer::open("/ws").feed(&envelope(CmdPresenceReq, 9, &presence(200, "bob", 1))).len(), 1);
}

#[test]
fn ids_that_no_message_has_are_left_to_be_ignored() {
    let request = im::ReadReceiptRequest {
        message_ids: vec!["900".into(), "no number".into(), String::new()],
        conversation_id: "my bob".into(),
    };
    let incoming = Peer::open("/ws").feed(&envelope(CommandType::CmdReadReceiptReq, 9, &request));
    let [Incoming::Request { tag: _, command: Command::Receipt(receipt) }] = incoming.as_slice() else {
        panic!("{incoming:?}")
    };
    assert_eq!(receipt.messages, [MessageId(900), MessageId(0), MessageId(0)]);
}

#[test]
fn what_is_negative_missing_or_too_long_is_refused_in_its_own_response() {
    use CommandType::{
        CmdConversationsReq, CmdConversationsRsp, CmdHistoryReq, CmdHistoryRsp, CmdMarkReadReq, CmdMarkReadRsp,
        CmdReadReceiptReq, CmdReadReceiptRsp, CmdRevokeMsgReq, CmdRevokeMsgRsp, CmdTypingStatusReq, CmdUnknown,
    };
    let conversations = |before_seq, limit| im::ConversationsRequest { before_seq, limit };
    for request in [conversations(-1, 0), conversations(0, -1)] {
        assert_eq!(refused(CmdConversationsReq, &request).0, CmdConversationsRsp);
    }
    let named = || im::HistoryRequest { conversation_id: "my bob".into(), ..Default::default() };
    for request in [
        im::HistoryRequest::default(),
        im::HistoryRequest { after_seq: Some(-1), ..named() },
        im::HistoryRequest { before_seq: Some(-1), ..named() },
        im::HistoryRequest { after_seq: Some(0), before_seq: Some(0), ..named() },
        im::HistoryRequest { limit: -1, ..named() },
        im::HistoryRequest { topic: "x".repeat(129), ..named() },
        im::HistoryRequest { conversation_id: "x".repeat(129), ..named() },
        im::HistoryRequest { conversation_id: "a\u{1}".into(), ..named() },
    ] {
        assert_eq!(refused(CmdHistoryReq, &request).0, CmdHistoryRsp, "{request:?}");
    }
    let mark = |name: &str, through| im::MarkReadRequest { conversation_id: name.into(), through };
    assert_eq!(refused(CmdMarkReadReq, &mark("", 1)).0, CmdMarkReadRsp);
    assert_eq!(refused(CmdMarkReadReq, &mark("my bob", -1)).0, CmdMarkReadRsp);
    let revoke =
        |id: &str, name: &str| im::RevokeMessageRequest { message_id: id.into(), conversation_id: name.into() };
    for request in [revoke("", "my bob"), revoke("x", "my bob"), revoke("1", "")] {
        assert_eq!(refused(CmdRevokeMsgReq, &request), (CmdRevokeMsgRsp, 2, refused(CmdRevokeMsgReq, &request).2));
    }
    let receipt = im::ReadReceiptRequest { message_ids: vec!["1".into()], conversation_id: String::new() };
    assert_eq!(refused(CmdReadReceiptReq, &receipt).0, CmdReadReceiptRsp);
    let typing = im::TypingStatusRequest { conversation_id: String::new(), status: 1 };
    let expected = (CmdUnknown, 2, "conversation_id is missing".to_owned());
    assert_eq!(refused(CmdTypingStatusReq, &typing), expected, "typing has no response of its own");
}

#[test]
fn a_push_is_no_request() {
    let mut peer = Peer::open("/ws");
    for command in [CommandType::CmdRevokeMsgPush, CommandType::CmdTypingStatusPush, CommandType::CmdAuthRsp] {
        assert_eq!(peer.feed(&envelope(command, 9, &im::AuthRequest::default())), []);
        assert_eq!(peer.answers(), [(CommandType::CmdUnknown, 9, 2, "unknown command".into())]);
    }
    assert_eq!(peer.connection.closing(), None);
}

#[test]
fn the_fields_of_a_binary_send_are_checked() {
    let with = |change: fn(&mut im::SendMessageRequest)| {
        let mut request = send_request();
        change(&mut request);
        let mut peer = Peer::open("/ws");
        let incoming = peer.feed(&envelope(CommandType::CmdSendMsgReq, 5, &request));
        (incoming.len(), peer.answers().pop().map(|(command, sequence, code, _)| (command, sequence, code)))
    };
    let refused = |code| (0, Some((CommandType::CmdSendMsgRsp, 5, code)));
    assert_eq!(with(|_| ()), (1, None));
    assert_eq!(with(|request| request.sender_id = "alice".into()), (1, None));
    assert_eq!(with(|request| request.sender_id = "bob".into()), refused(102));
    assert_eq!(with(|request| request.client_msg_id.clear()), refused(2));
    assert_eq!(with(|request| request.client_msg_id = "x".repeat(129)), refused(2));
    assert_eq!(with(|request| request.message_type = 0), refused(2));
    assert_eq!(with(|request| request.message_type = -1), refused(2));
    assert_eq!(with(|request| request.receiver_id.clear()), refused(2));
    assert_eq!(with(|request| request.receiver_id = "x".repeat(65)), refused(2));
    assert_eq!(with(|request| request.group_id = "team".into()), refused(2));
    assert_eq!(with(|request| request.conversation_id = "x".repeat(128)), (1, None));
    assert_eq!(with(|request| request.conversation_id = "x".repeat(129)), refused(2));
    assert_eq!(with(|request| request.conversation_id = "single_alice_bob".into()), (1, None));
    assert_eq!(with(|request| _ = request.extra.insert("k".into(), "x".repeat(8_191))), (1, None));
    assert_eq!(with(|request| _ = request.extra.insert("k".into(), "x".repeat(8_192))), refused(200));
    assert_eq!(with(|request| _ = request.extra.insert("k".into(), "\u{1}".into())), (1, None));
    assert_eq!(with(|request| _ = request.extra.insert("\u{1}".into(), "v".into())), refused(2));
    assert_eq!(with(|request| _ = request.extra.insert("\u{85}".into(), "v".into())), refused(2));
    assert_eq!(with(|request| request.client_msg_id = "\u{7f}".into()), refused(2));
    assert_eq!(with(|request| request.conversation_id = "\u{1}".into()), refused(2));
}

#[test]
fn a_body_that_does_not_decode_is_refused_in_its_own_response() {
    let mut peer = Peer::open("/ws");
    for (command, response) in [
        (102, CommandType::CmdReauthRsp),
        (200, CommandType::CmdSendMsgRsp),
        (205, CommandType::CmdRevokeMsgRsp),
        (300, CommandType::CmdSyncRsp),
        (400, CommandType::CmdPresenceRsp),
        (500, CommandType::CmdReadReceiptRsp),
        (600, CommandType::CmdUnknown),
        (700, CommandType::CmdConversationsRsp),
        (702, CommandType::CmdMarkReadRsp),
        (704, CommandType::CmdHistoryRsp),
        (744, CommandType::CmdClearHistoryRsp),
        (746, CommandType::CmdDeleteConversationRsp),
    ] {
        let envelope = im::WebSocketMessage { command, sequence: 6, body: b"\x0a\xff".as_slice().into(), timestamp: 0 };
        assert_eq!(peer.feed(&frame(BINARY, &envelope.encode_to_vec())), []);
        assert_eq!(peer.answers(), [(response, 6, 2, "the body does not decode".into())]);
    }
    let ack = im::WebSocketMessage { command: 203, sequence: 6, body: b"\x0a\xff".as_slice().into(), timestamp: 0 };
    assert_eq!(peer.feed(&frame(BINARY, &ack.encode_to_vec())), []);
    for ack in [im::MessageAck { message_id: "x".into(), seq: 0 }, im::MessageAck { message_id: "1".into(), seq: -1 }] {
        assert_eq!(peer.feed(&envelope(CommandType::CmdMsgAck, 6, &ack)), []);
    }
    assert_eq!(peer.answers(), [], "an ack is never answered");
}
