//! The binary protocol's requests, rule by rule, through a connection.

use super::*;
use crate::wire::connection::tests::{BINARY, Peer, auth_request, envelope, frame, send_request};

#[test]
fn a_binary_stranger_may_only_authenticate_and_beat() {
    for (command, response) in [
        (CommandType::CmdSendMsgReq, CommandType::CmdSendMsgRsp),
        (CommandType::CmdSyncReq, CommandType::CmdSyncRsp),
        (CommandType::CmdRevokeMsgReq, CommandType::CmdRevokeMsgRsp),
        (CommandType::CmdReadReceiptReq, CommandType::CmdReadReceiptRsp),
        (CommandType::CmdReauthReq, CommandType::CmdReauthRsp),
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
    ] {
        let mut peer = Peer::upgraded("/ws");
        let request = im::AuthRequest { user_id: user_id.into(), token: token.into(), platform: platform.into() };
        assert_eq!(peer.feed(&envelope(CommandType::CmdAuthReq, 1, &request)), []);
        assert_eq!(peer.connection.closing(), Some(Closing::AuthFailed));
        let answers = peer.answers();
        assert_eq!((answers[0].0, answers[0].2), (CommandType::CmdAuthRsp, code));
    }
}

#[test]
fn a_second_authentication_and_commands_not_handled_leave_the_session_open() {
    let mut peer = Peer::open("/ws");
    assert_eq!(peer.feed(&auth_request()), []);
    assert_eq!(peer.answers(), [(CommandType::CmdAuthRsp, 1, 2, "already authenticated".into())]);
    for command in [CommandType::CmdReauthReq, CommandType::CmdRevokeMsgReq, CommandType::CmdTypingStatusReq] {
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
    assert_eq!(with(|request| _ = request.extra.insert("k".into(), "x".repeat(8_191))), (1, None));
    assert_eq!(with(|request| _ = request.extra.insert("k".into(), "x".repeat(8_192))), refused(200));
}

#[test]
fn a_body_that_does_not_decode_is_refused_in_its_own_response() {
    let mut peer = Peer::open("/ws");
    for (command, response) in [(200, CommandType::CmdSendMsgRsp), (300, CommandType::CmdSyncRsp)] {
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
