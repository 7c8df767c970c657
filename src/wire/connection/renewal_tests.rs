//! Fresh tokens on live sessions, sessions that prove their messages, and logins that are refused although their token
//! is valid.

use super::tests::{CONNECT, NOW, Peer, TEXT, auth_request, envelope, frame};
use super::*;
use crate::model::testing::{client_message_id, plain_message, user};
use crate::model::{Command, Entry, Message, MessageId, Refusal, Seq, Verb};
use crate::wire::common::incoming::Credentials;
use crate::wire::json::message_key::{ClientKey, Proved, ServerKey};
use crate::wire::protobuf::im::{self, CommandType};
use bytes::Bytes;
use std::sync::Arc;

fn reauth(user: &str) -> Vec<u8> {
    let request = im::AuthRequest { user_id: user.into(), token: "fresh".into(), platform: String::new() };
    envelope(CommandType::CmdReauthReq, 5, &request)
}

#[test]
fn a_fresh_token_of_the_same_user_is_passed_to_the_driver() {
    let mut peer = Peer::open("/ws");
    let tag = RequestTag::Sequence(5, Verb::Reauthenticate);
    assert_eq!(peer.feed(&reauth("alice")), [Incoming::Reauthenticate { tag: tag.clone(), token: "fresh".into() }]);
    peer.connection.reply(&tag, &Reply::Reauthenticated { max_seq: Seq(7) }, NOW, &peer.context);
    assert_eq!(peer.answers(), [(CommandType::CmdReauthRsp, 5, 0, String::new())]);
    for user in ["bob", ""] {
        assert_eq!(peer.feed(&reauth(user)), []);
        assert_eq!(peer.answers(), [(CommandType::CmdReauthRsp, 5, 100, "a session stays its user's".into())]);
    }
    assert_eq!(peer.connection.closing(), None);
    assert_eq!(peer.feed(&auth_request()), [], "to authenticate again is something else");
    assert_eq!(peer.answers(), [(CommandType::CmdAuthRsp, 1, 2, "already authenticated".into())]);
}

#[test]
fn a_json_rpc_client_need_not_repeat_its_user() {
    let mut peer = Peer::open("/rpc");
    let reauth = |params: &str| frame(TEXT, format!(r#"{{"method":"reauth","id":1,"params":{params}}}"#).as_bytes());
    let tag = RequestTag::Number("1".into());
    for params in [r#"{"token":"fresh"}"#, r#"{"uid":"alice","token":"fresh"}"#] {
        let expected = Incoming::Reauthenticate { tag: tag.clone(), token: "fresh".into() };
        assert_eq!(peer.feed(&reauth(params)), [expected], "{params}");
    }
    let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(4_097));
    for (params, code) in [(r#"{"uid":"bob","token":"t"}"#, "1001"), (r"{}", "-32602"), (&long, "1001")] {
        assert_eq!(peer.feed(&reauth(params)), []);
        assert!(peer.texts()[0].contains(code), "{params}");
    }
    peer.connection.reply(&tag, &Reply::Reauthenticated { max_seq: Seq(7) }, NOW, &peer.context);
    assert_eq!(peer.texts(), [r#"{"jsonrpc":"2.0","id":1,"result":{"reasonCode":0,"maxSeq":7,"inboxEpoch":1}}"#]);
}

#[test]
fn deadlines_of_a_connection_do_not_depend_on_the_wall_clock() {
    for wall in [Millis(0), NOW.wall, NOW.plus(86_400_000).wall] {
        let at = |elapsed_ms| Moment { wall, steady: NOW.steady.plus(elapsed_ms) };
        let limits = Peer::new().context.limits;
        let judged = |peer: &mut Peer, at: Moment| {
            peer.connection.expire(at, &peer.context);
            peer.connection.closing()
        };
        let mut silent = Peer::new();
        assert_eq!(judged(&mut silent, at(limits.handshake_ms - 1)), None);
        assert_eq!(judged(&mut silent, at(limits.handshake_ms)), Some(Closing::HandshakeRefused));
        let mut anonymous = Peer::upgraded("/rpc");
        assert_eq!(judged(&mut anonymous, at(limits.auth_json_rpc_ms - 1)), None);
        let late = limits.auth_json_rpc_ms;
        assert_eq!(judged(&mut anonymous, at(late)), Some(Closing::AuthTooLate));
        let mut idle = Peer::open("/rpc");
        idle.connection.renew(Millis(u64::MAX), &idle.context);
        assert_eq!(judged(&mut idle, at(limits.idle_json_rpc_ms - 1)), None);
        assert_eq!(judged(&mut idle, at(limits.idle_json_rpc_ms)), Some(Closing::Idle));
    }
}

#[test]
fn a_session_ends_with_its_token_by_the_wall_clock_as_it_is_then() {
    let mut peer = Peer::open("/ws");
    let ends = NOW.wall.plus(3_600_000 + peer.context.limits.token_grace_ms);
    let (early, late) = (Moment { wall: ends, ..NOW.plus(1_000) }, NOW.plus(2_000));
    assert_eq!(peer.connection.deadline(early), early.steady, "it is over at once where the clock was set on");
    assert_eq!(peer.connection.deadline(late), NOW.steady.plus(peer.context.limits.idle_binary_ms));
    peer.connection.expire(late, &peer.context);
    assert_eq!(peer.connection.closing(), None, "and not where it was set back again");
    peer.connection.expire(early, &peer.context);
    assert_eq!(peer.connection.closing(), Some(Closing::TokenExpired));
}

#[test]
fn a_renewed_session_lives_until_the_new_token_and_its_grace_are_over() {
    let mut peer = Peer::open("/ws");
    let grace = peer.context.limits.token_grace_ms;
    let expires = NOW.plus(7_200_000);
    peer.connection.renew(expires.wall, &peer.context);
    peer.now = NOW.plus(3_600_000 + grace);
    peer.feed(&reauth("alice"));
    peer.connection.expire(peer.now, &peer.context);
    assert_eq!(peer.connection.closing(), None, "the old token does not count any more");
    peer.now = expires.plus(grace - 1);
    peer.feed(&reauth("alice"));
    assert_eq!(peer.connection.deadline(peer.now), expires.plus(grace).steady);
    peer.connection.expire(expires.plus(grace), &peer.context);
    assert_eq!(peer.connection.closing(), Some(Closing::TokenExpired));
    assert_eq!(peer.close_code(), Some(4007));
    peer.connection.renew(expires.wall.plus(7_200_000), &peer.context);
    assert_eq!(peer.connection.closing(), Some(Closing::TokenExpired), "the end is the end");
}

/// A client with a key of its own, let in, and what both now know.
fn keyed() -> (Peer, MessageKey) {
    let client = ServerKey::of([9; 32]);
    let connect = format!(
        r#"{{"method":"connect","id":"c","params":{{"uid":"alice","token":"t","clientKey":"{}"}}}}"#,
        client.public()
    );
    let mut peer = Peer::upgraded("/rpc");
    let Some(Incoming::Authenticate(credentials)) = peer.feed(&frame(TEXT, connect.as_bytes())).pop() else {
        panic!("no credentials")
    };
    peer.let_in(&credentials);
    peer.frames();
    let server = ClientKey::parse(peer.context.server_key.public()).expect("a key");
    (peer, client.agree(server, &[b's'; 16]).expect("a secret"))
}

fn send(payload: &str, key: &str) -> Vec<u8> {
    let text = format!(
        r#"{{"method":"send","id":1,"params":{{"clientMsgNo":"c","channelId":"bob","channelType":1,"payload":{payload},"msgKey":"{key}"}}}}"#
    );
    frame(TEXT, text.as_bytes())
}

fn digits(key: &MessageKey, channel_id: &str, payload: &str) -> String {
    let proved = Proved { client_message_id: "c", channel_id, channel_type: 1, payload: payload.as_bytes() };
    String::from_utf8(key.digits(&proved).to_vec()).expect("ASCII")
}

#[test]
fn with_a_client_key_each_send_must_prove_itself() {
    let (mut peer, key) = keyed();
    for (payload, bytes) in [(r#"{ "type":1 }"#, r#"{ "type":1 }"#), (r#""eyJ0eXBlIjoyfQ==""#, "eyJ0eXBlIjoyfQ==")] {
        let incoming = peer.feed(&send(payload, &digits(&key, "bob", bytes)));
        let [Incoming::Request { tag: _, command: Command::Send(send) }] = incoming.as_slice() else {
            panic!("{payload}: {:?}", peer.texts())
        };
        assert_eq!(send.annotations, None, "the key has done its work");
    }
    for wrong in ["", "k", &digits(&key, "carol", r#"{"type":1}"#)] {
        assert_eq!(peer.feed(&send(r#"{"type":1}"#, wrong)), []);
        assert!(peer.texts()[0].contains(r#""code":1106"#));
    }
    let mut plain = Peer::open("/rpc");
    let incoming = plain.feed(&send(r#"{"type":1}"#, "anything"));
    let [Incoming::Request { tag: _, command: Command::Send(send) }] = incoming.as_slice() else { panic!("refused") };
    let carried = send.annotations.as_ref().and_then(|annotations| annotations.message_key.as_deref());
    assert_eq!(carried, Some("anything"), "without a client key it is carried");
}

#[test]
fn with_a_client_key_each_recv_is_proved_over_what_is_sent() {
    let (mut peer, key) = keyed();
    assert_eq!(peer.connection.encoding(), None, "nobody else has these bytes");
    for (content, payload) in [(&br#"{"a":1}"#[..], r#"{"a":1}"#), (b"hello", "aGVsbG8=")] {
        let message = Message {
            id: MessageId(900),
            author: user("bob"),
            client_message_id: client_message_id("c"),
            content: Bytes::from_static(content).into(),
            server_time: NOW.wall,
            ..plain_message()
        };
        let entry = Entry { seq: Seq(1), message: Arc::new(message), name: None };
        peer.connection.tell(&Event::Entry(entry.clone()), NOW.wall);
        let synced = Reply::Synced { entries: vec![entry], server_max_seq: Seq(1), has_more: false };
        peer.connection.reply(&RequestTag::Number("1".into()), &synced, NOW, &peer.context);
        let expected = format!(r#""msgKey":"{}""#, digits(&key, "bob", payload));
        let texts = peer.texts();
        assert_eq!(texts.iter().filter(|text| text.contains(&expected)).count(), 2, "{texts:?}");
    }
}

#[test]
fn a_client_key_that_is_of_no_use_is_refused_clearly() {
    let connect = |key: &str| {
        let params = format!(r#"{{"uid":"alice","token":"t","clientKey":{key}}}"#);
        frame(TEXT, format!(r#"{{"method":"connect","id":"c","params":{params}}}"#).as_bytes())
    };
    for malformed in ["\"a2V5\"", "7", "\"???\""] {
        let mut peer = Peer::upgraded("/rpc");
        assert_eq!(peer.feed(&connect(malformed)), [], "{malformed}");
        assert_eq!(peer.connection.closing(), Some(Closing::AuthFailed));
        assert!(peer.texts()[0].contains("-32602"));
    }
    let mut peer = Peer::upgraded("/rpc");
    let everybodys = format!("\"{}=\"", "A".repeat(43));
    let Some(Incoming::Authenticate(credentials)) = peer.feed(&connect(&everybodys)).pop() else { panic!("refused") };
    let (user, expires) = (credentials.user, NOW.wall.plus(1_000));
    let refused = peer
        .connection
        .authenticate(SessionGrant { user, expires, salt: [b's'; 16] }, NOW, &peer.context)
        .expect_err("of no use");
    peer.connection.refuse_authentication(&credentials.tag, refused, NOW, &peer.context);
    assert!(peer.texts()[0].contains("clientKey gives everybody the same secret"));
    assert_eq!(peer.connection.user(), None);
    let mut peer = Peer::upgraded("/rpc");
    assert_eq!(peer.feed(&connect("\"\"")).len(), 1, "an empty key is none");
}

#[test]
fn who_is_turned_away_is_answered_and_gets_no_farewell() {
    for (path, auth) in [("/ws", auth_request()), ("/rpc", frame(TEXT, CONNECT.as_bytes()))] {
        for (refusal, code) in [(Refusal::TokenRevoked, 4007), (Refusal::AccountDisabled, 4008)] {
            let mut peer = Peer::upgraded(path);
            let Some(Incoming::Authenticate(Credentials { tag, user, .. })) = peer.feed(&auth).pop() else {
                panic!("no credentials")
            };
            let expires = NOW.wall.plus(3_600_000);
            let let_in =
                peer.connection.authenticate(SessionGrant { user, expires, salt: [b's'; 16] }, NOW, &peer.context);
            assert_eq!(let_in, Ok(()));
            peer.connection.turn_away(&tag, refusal.into(), NOW, &peer.context);
            assert_eq!(peer.connection.closing(), Some(Closing::of_stranger(refusal)));
            let frames = peer.frames();
            assert_eq!(frames.len(), 2, "the answer and the close frame: {frames:?}");
            assert_eq!(frames[1].1[..2], u16::to_be_bytes(code));
        }
    }
}
