//! Both dialects against the server's golden vectors: what is written is what the server reads, and the other way round.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test lives in the world")]

use bytes::Bytes;
use mushan_client::proto::{self, WebSocketMessage};
use mushan_client::{
    Answer, AnswerShape, ClearExtent, EntryBody, Frame, Heard, JoinAnswer, Outgoing, PageStart, PresenceAction,
    Profile, Protocol, RefusalKind, Request, Target, TypingState, text_of,
};
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const EPOCH: u64 = (1 << 53) - 1;

fn sections(text: &str) -> BTreeMap<String, Vec<String>> {
    let sections = text.split("\n[").skip(1).map(|section| {
        let (name, body) = section.split_once("]\n").expect("a name");
        (name.to_owned(), body.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    });
    sections.collect()
}

fn binary_vectors() -> BTreeMap<String, Bytes> {
    let bytes_of = |lines: &[String]| {
        let digits = lines.iter().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace);
        let digits: String = digits.collect();
        let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
        pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect::<Vec<u8>>().into()
    };
    let vectors = sections(include_str!("../../../tests/vectors/binary.txt"));
    vectors.iter().map(|(name, lines)| (name.clone(), bytes_of(lines))).collect()
}

fn rpc_vectors() -> BTreeMap<String, Vec<String>> {
    sections(include_str!("../../../tests/vectors/jsonrpc.txt"))
}

fn bob() -> Target {
    Target::user("bob")
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The requests that vectors of both protocols have: the vectors' names, JSON-RPC's first.
fn requests() -> Vec<(&'static str, &'static str, Request)> {
    let team = || "team".to_owned();
    let attributes = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let profile = Profile { name: "Crew".into(), avatar: "a.png".into(), attributes: attributes.clone() };
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<String>>();
    let clear = |extent| Request::Clear { conversation: bob(), through: 11, extent };
    let up = Request::History {
        conversation: Target::group("team"),
        start: PageStart::After(0),
        limit: 50,
        topic: some("t"),
    };
    let member = Request::GroupMember {
        group: team(),
        user: "bob".into(),
        role: some("admin"),
        muted_until_ms: Some(1_700_000_000_000),
    };
    let group_profile = Request::GroupProfile {
        group: team(),
        name: some("Crew"),
        avatar: some("a.png"),
        attributes: Some(attributes),
        join: some("open"),
    };
    let members = Request::GroupMembers { group: team(), add: ids(&["carol", "dave"]), remove: ids(&["bob"]) };
    let revoke = Request::Revoke { conversation: bob(), message_id: "900".into() };
    let receipt = Request::Receipt { conversation: bob(), message_ids: ids(&["900", "901"]) };
    let typing = Request::Typing { conversation: bob(), state: TypingState::Typing };
    let presence = Request::Presence { users: ids(&["bob", "carol"]), action: PresenceAction::Subscribe };
    let answer = Request::GroupAnswer { group: team(), user: "bob".into(), answer: JoinAnswer::Approve };
    vec![
        ("sync request", "sync request forward", Request::Sync { after: 7, limit: 50 }),
        ("revoke request", "revoke request", revoke),
        ("receipt request", "receipt request", receipt),
        ("typing request", "typing request", typing),
        ("mark read request", "mark read request", Request::MarkRead { conversation: bob(), through: 11 }),
        ("clear request", "clear request", clear(ClearExtent::History)),
        ("delete request", "delete request", clear(ClearExtent::Conversation)),
        ("presence request", "presence request", presence),
        ("conversations request", "conversations request", Request::Conversations { before_seq: 9, limit: 2 }),
        ("history request up", "history request up", up),
        ("reauth request", "reauth request", Request::Reauth { token: "fresh".into() }),
        (
            "group info request",
            "group info request",
            Request::GroupInfo { group: team(), after: "aaron".into(), limit: 2 },
        ),
        ("group members request", "group members request", members),
        ("group member request", "group member request", member),
        ("group profile request", "group profile request", group_profile),
        ("leave group request", "group leave request", Request::LeaveGroup { group: team() }),
        ("join group request", "group join request", Request::JoinGroup { group: team() }),
        (
            "group requests request",
            "group requests request",
            Request::GroupRequests { group: team(), after: "alice".into(), limit: 2 },
        ),
        ("group answer request", "group answer request", answer),
        ("dissolve group request", "group dissolve request", Request::DissolveGroup { group: team() }),
        ("profile request", "profile request", Request::Profile { user: "bob".into() }),
        ("set profile request", "set profile request", Request::SetProfile(profile)),
    ]
}

fn written(protocol: Protocol, request: &Request, tag: u32) -> Frame {
    protocol.dialect().encode(request, tag).expect("the protocol has it")
}

fn written_text(request: &Request, tag: u32) -> Value {
    let Frame::Text(text) = written(Protocol::JsonRpc, request, tag) else { panic!("JSON-RPC is text") };
    serde_json::from_str(&text).expect("JSON")
}

fn written_envelope(request: &Request, tag: u32) -> WebSocketMessage {
    let Frame::Binary(bytes) = written(Protocol::Binary, request, tag) else { panic!("binary") };
    WebSocketMessage::decode(bytes).expect("an envelope")
}

#[test]
fn requests_of_json_rpc_are_those_of_the_vectors() {
    let vectors = rpc_vectors();
    for (name, _, request) in requests() {
        let vector: Value = serde_json::from_str(&vectors[name][0]).expect("JSON");
        let written = written_text(&request, 7);
        assert_eq!(written["params"], vector["params"], "{name}");
        assert_eq!((&written["method"], &written["id"]), (&vector["method"], &json!(7)));
    }
}

/// The bodies' fields by number, but those that name a conversation: the vectors name them in their own way.
fn fields(body: &[u8], skipped: Option<u32>) -> Vec<(u32, Bytes)> {
    let mut rest = body;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (number, wire) = prost::encoding::decode_key(&mut rest).expect("a field");
        let whole = rest;
        prost::encoding::skip_field(wire, number, &mut rest, prost::encoding::DecodeContext::default())
            .expect("a value");
        let value = Bytes::copy_from_slice(&whole[..whole.len() - rest.len()]);
        if Some(number) != skipped {
            found.push((number, value));
        }
    }
    found.sort();
    found
}

#[test]
fn requests_of_the_binary_protocol_are_those_of_the_vectors() {
    let vectors = binary_vectors();
    for (_, name, request) in requests() {
        let vector = WebSocketMessage::decode(vectors[name].clone()).expect("an envelope");
        let written = written_envelope(&request, 7);
        assert_eq!(written.command, vector.command, "{name}");
        let skipped = match request {
            Request::Revoke { .. } | Request::Receipt { .. } => Some(2),
            // Of a renewal the user is optional.
            Request::Typing { .. }
            | Request::MarkRead { .. }
            | Request::Clear { .. }
            | Request::History { .. }
            | Request::Reauth { .. } => Some(1),
            _ => None,
        };
        let without_platform = |mut fields: Vec<(u32, Bytes)>| {
            fields.retain(|(number, _)| !matches!(request, Request::Reauth { .. }) || *number == 2);
            fields
        };
        let expected = without_platform(fields(&vector.body, skipped));
        assert_eq!(fields(&written.body, skipped), expected, "{name}");
    }
}

#[test]
fn a_login_a_message_to_a_group_and_an_acknowledgement_are_those_of_the_vectors() {
    let vectors = binary_vectors();
    let login = Request::Login { user: "alice".into(), token: "tok".into(), device: "iOS".into() };
    let message = Outgoing::new("c-2", Target::group("team"), Bytes::new());
    for (name, request) in [("auth request", login), ("send request to a group", Request::Send(message))] {
        let vector = WebSocketMessage::decode(vectors[name].clone()).expect("an envelope");
        let written = written_envelope(&request, 1);
        assert_eq!((written.command, written.body), (vector.command, vector.body), "{name}");
    }
    let ack = written_text(&Request::Ack { seq: 8 }, 0);
    let vector: Value = serde_json::from_str(&rpc_vectors()["recvack request through a seq"][0]).expect("JSON");
    assert_eq!((&ack["params"], ack.get("id")), (&vector["params"], None));
}

#[test]
fn content_that_is_an_object_goes_out_byte_for_byte_and_anything_else_as_base64() {
    let text_of_send = |content: &'static [u8]| {
        let message = Outgoing::new("c", bob(), Bytes::from_static(content));
        let Frame::Text(text) = written(Protocol::JsonRpc, &Request::Send(message), 1) else { panic!("text") };
        text
    };
    let exact = r#"{ "type" : 3, "content": "Hello!" }"#;
    assert!(text_of_send(exact.as_bytes()).contains(&format!(r#""payload":{exact}"#)));
    let bytes: Value = serde_json::from_str(&text_of_send(&[0, 255])).expect("JSON");
    assert_eq!(bytes["params"]["payload"], "AP8=");
    let number: Value = serde_json::from_str(&text_of_send(b"17")).expect("JSON");
    assert_eq!(number["params"]["payload"], "MTc=");
}

#[test]
fn what_only_json_rpc_has_is_refused_in_the_binary_protocol() {
    let message = Outgoing { topic: some("t"), ..Outgoing::new("c", bob(), Bytes::new()) };
    let refused = Protocol::Binary.dialect().encode(&Request::Send(message), 1).expect_err("there are no topics");
    assert_eq!(refused.kind, RefusalKind::Unsupported);
}

/// Decodes a vector that answers a request of this shape.
fn heard_rpc(name: &str, shape: Option<AnswerShape>) -> Heard {
    let text = rpc_vectors()[name][0].clone();
    // The vectors' ids are texts; the kit's are numbers.
    let mut said: Value = serde_json::from_str(&text).expect("JSON");
    let text = if said["id"].is_string() {
        said["id"] = json!(7);
        said.to_string()
    } else {
        text
    };
    Protocol::JsonRpc.dialect().decode(&Frame::Text(text), &|_| shape)
}

fn heard_binary(name: &str, shape: Option<AnswerShape>) -> Heard {
    let mut dialect = Protocol::Binary.dialect();
    let login = Request::Login { user: "bob".into(), token: String::new(), device: String::new() };
    dialect.encode(&login, 1).expect("a login");
    dialect.decode(&Frame::Binary(binary_vectors()[name].clone()), &|_| shape)
}

fn answers(rpc: &str, binary: &str, shape: AnswerShape) -> [Answer; 2] {
    [heard_rpc(rpc, Some(shape)), heard_binary(binary, Some(shape))].map(|heard| match heard {
        Heard::Answer { answer, .. } => answer,
        other => panic!("{rpc}: {other:?}"),
    })
}

#[test]
fn answers_say_the_same_in_both_protocols() {
    let logins = answers("connect response", "auth response", AnswerShape::Login);
    assert_eq!(logins, [Answer::Login { epoch: EPOCH }, Answer::Login { epoch: EPOCH }]);
    for answer in answers("send response", "send response", AnswerShape::Sent) {
        let Answer::Sent(sent) = answer else { panic!("{answer:?}") };
        assert_eq!((&*sent.id, sent.seq), ("900", 43));
    }
    for (name, shape) in [
        ("presence response", AnswerShape::Presence),
        ("group info response", AnswerShape::Group),
        ("group requests response", AnswerShape::JoinRequests),
        ("profile response", AnswerShape::Profile),
    ] {
        let [rpc, binary] = answers(name, name, shape);
        assert_eq!(rpc, binary, "{name}");
    }
    for answer in answers("conversations response", "conversations response", AnswerShape::Conversations) {
        let Answer::Conversations { rows, has_more } = answer else { panic!("{answer:?}") };
        assert_eq!((rows.len(), has_more), (2, true));
        assert_eq!((rows[0].last_seq, rows[0].unread, rows[0].read_through, rows[0].newest_seq), (8, 3, 10, 13));
    }
    for answer in answers("history response", "history response", AnswerShape::History) {
        let Answer::History(page) = answer else { panic!("{answer:?}") };
        assert_eq!((page.newest_seq, page.reached_seq, page.has_more), (13, 12, true));
        assert_eq!(page.messages[0].conversation_seq, Some(12));
    }
}

#[test]
fn what_happened_is_read_from_a_page_as_it_was_pushed() {
    let name = "sync response with what happened";
    for answer in answers(name, name, AnswerShape::Page) {
        let Answer::Page { entries, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<u64>>(), [10, 11, 12]);
        let [EntryBody::Revoked(revoked), EntryBody::Receipt(receipt), EntryBody::Group(change)] =
            [&entries[0].body, &entries[1].body, &entries[2].body]
        else {
            panic!("{entries:?}")
        };
        assert_eq!((&*revoked.message_id, receipt.message_ids.as_slice()), ("900", &["700".into(), "701".into()][..]));
        assert_eq!((&*change.change, &*change.group, change.count), ("added", "team", 2));
        assert!(change.more.is_empty(), "{:?}", change.more);
    }
}

#[test]
fn a_clearing_is_an_entry_in_both_protocols() {
    let text = r#"{"jsonrpc":"2.0","method":"cleared","params":{"entryId":"913","inboxSeq":13,"channelId":"alice",
        "channelType":1,"change":"conversationDeleted","through":11,"time":1700000000000}}"#;
    let rpc = Protocol::JsonRpc.dialect().decode(&Frame::Text(text.to_owned()), &|_| None);
    let push = proto::PushMessage {
        message_id: "913".into(),
        sender_id: "alice".into(),
        receiver_id: "bob".into(),
        message_type: 1004,
        content: br#"{"change":"conversationDeleted","through":11,"time":1700000000000}"#.to_vec().into(),
        seq: 13,
        ..Default::default()
    };
    let envelope = WebSocketMessage { command: 202, body: push.encode_to_vec().into(), ..Default::default() };
    let frame = Frame::Binary(envelope.encode_to_vec().into());
    let mut dialect = Protocol::Binary.dialect();
    let login = Request::Login { user: "bob".into(), token: String::new(), device: String::new() };
    dialect.encode(&login, 1).expect("a login");
    assert_eq!(rpc, dialect.decode(&frame, &|_| None));
    let Heard::Entry(entry) = rpc else { panic!("{rpc:?}") };
    let EntryBody::Cleared(cleared) = entry.body else { panic!("{entry:?}") };
    assert_eq!((cleared.extent, cleared.through), (ClearExtent::Conversation, 11));
}

fn message_of(heard: Heard) -> mushan_client::Message {
    let Heard::Entry(entry) = heard else { panic!("{heard:?}") };
    let EntryBody::Message(message) = entry.body else { panic!("{entry:?}") };
    message
}

#[test]
fn pushes_are_entries_and_facts_of_the_binary_protocol_have_no_seq() {
    let recv = message_of(heard_rpc("recv", None));
    assert_eq!((recv.seq, &*recv.from, text_of(&recv), recv.message_type), (8, "alice", "Hello!".to_owned(), 3));
    assert!(recv.wants_receipt);
    let streamed = message_of(heard_rpc("recv with everything", None)).stream.expect("a chunk");
    assert_eq!((&*streamed.no, streamed.chunk, streamed.is_last), ("s-1", 4, true));
    assert!(message_of(heard_rpc("recv of a message taken back", None)).is_revoked);
    let push = message_of(heard_binary("push message", None));
    assert_eq!((push.seq, &push.content[..]), (8, &[0, 255][..]));
    for name in ["revoke push", "receipt push"] {
        let Heard::Entry(entry) = heard_binary(name, None) else { panic!("{name}") };
        assert_eq!(entry.seq, 0, "{name}");
    }
    assert!(matches!(heard_rpc("disconnect", None), Heard::Farewell { is_final: true, .. }));
    assert!(matches!(heard_binary("kick out", None), Heard::Farewell { .. }));
    for heard in [heard_rpc("typing", None), heard_binary("typing push", None)] {
        assert!(matches!(heard, Heard::Typing(_)), "{heard:?}");
    }
    assert_eq!(heard_rpc("presence", None), heard_binary("presence push", None));
}

#[test]
fn refusals_have_the_same_kind_in_both_protocols() {
    let name = "send response that refuses";
    for heard in [heard_rpc(name, Some(AnswerShape::Sent)), heard_binary(name, Some(AnswerShape::Sent))] {
        let Heard::Refused { refused, .. } = heard else { panic!("{heard:?}") };
        assert_eq!(refused.kind, RefusalKind::NoSuchUser);
    }
    let refusals: Vec<String> = binary_vectors().into_keys().filter(|name| name.ends_with("that refuses")).collect();
    assert!(refusals.len() > 10, "the vectors were not understood");
    for name in refusals {
        assert!(matches!(heard_binary(&name, Some(AnswerShape::Done)), Heard::Refused { .. }), "{name}");
    }
}

#[test]
fn bytes_of_nobody_are_noise() {
    let binary = |bytes: &'static [u8]| Protocol::Binary.dialect().decode(&Frame::Binary(bytes.into()), &|_| None);
    assert_eq!(binary(&[255, 255, 255]), Heard::Noise);
    for text in ["[1", r#"{"id":1,"result":{}}"#, r#"{"method":"recv","params":{"messageSeq":-1}}"#, "17"] {
        let heard = Protocol::JsonRpc.dialect().decode(&Frame::Text(text.to_owned()), &|_| None);
        assert_eq!(heard, Heard::Noise, "{text}");
    }
}
