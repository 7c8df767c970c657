//! Whatever a client sends, it comes to the same whether it is read where it stands or parsed.

use super::{handle_bytes, handle_message, handle_parsed};
use crate::model::{Limits, Millis, UserId};
use crate::wire::base::dialect::Dialect;
use crate::wire::base::scratch::Scratch;
use crate::wire::common::exchange::{ClientTraits, Exchange, Handled, MessageFault};
use crate::wire::jsonrpc::plain::Plain;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

type Handler = fn(&str, Dialect, &mut Exchange<'_>) -> Handled;

/// What `bytes` come to, and what is answered. An empty `user` is a stranger.
fn come_to(handle: Handler, user: &str, bytes: &[u8]) -> (Handled, ClientTraits, Vec<u8>) {
    let (user, limits) = (UserId::new(user).ok(), Limits::default());
    let (mut out, mut scratch, mut traits) = (Vec::new(), Scratch::default(), ClientTraits::default());
    let mut exchange = Exchange {
        user: user.as_ref(),
        message_key: None,
        traits: &mut traits,
        limits: &limits,
        now: Millis(1_700_000_000_000),
        out: &mut out,
        scratch: &mut scratch,
    };
    let outcome = match str::from_utf8(bytes) {
        Ok(text) => handle(text, Dialect::JsonRpc, &mut exchange),
        Err(_) => handle_bytes(bytes, Dialect::JsonRpc, &mut exchange),
    };
    (outcome, traits, out)
}

fn assert_alike(bytes: &[u8]) {
    for user in ["alice", ""] {
        let (read, parsed) = (come_to(handle_message, user, bytes), come_to(handle_parsed, user, bytes));
        assert_eq!(read, parsed, "{user:?}: {}", bytes.escape_ascii());
    }
}

const METHODS: [&str; 15] = [
    "connect",
    "reauth",
    "send",
    "send",
    "send",
    "sync",
    "recvack",
    "revoke",
    "receipt",
    "typing",
    "history",
    "conversations",
    "markRead",
    "presence",
    "ping",
];

const NAMES: [&str; 32] = [
    "clientMsgNo",
    "fromUid",
    "payload",
    "payload",
    "type",
    "extra",
    "header",
    "setting",
    "channelId",
    "channelType",
    "expire",
    "topic",
    "msgKey",
    "streamNo",
    "streamFlag",
    "messageId",
    "messageIds",
    "inboxSeq",
    "minSeq",
    "maxSeq",
    "limit",
    "status",
    "afterSeq",
    "beforeSeq",
    "through",
    "action",
    "userIds",
    "uid",
    "token",
    "deviceFlag",
    "redDot",
    "receipt",
];

/// Members that are as they ought to be.
const FITTING: [&str; 23] = [
    r#""payload":{"type":2,"content":"a\"b\n"}"#,
    r#""payload":{"\u0074ype":3,"type":4e0}"#,
    r#""payload":"eyJ0eXBlIjoyfQ==""#,
    r#""payload":"{\"type\":5}""#,
    r#""header":{"noPersist":true,"redDot":false,"dup":null}"#,
    r#""header":{"dup":1,"dup":true}"#,
    r#""setting":{"stream":true,"receipt":true}"#,
    r#""streamNo":"s","streamFlag":2"#,
    r#""extra":{"b":"2","a":"1"}"#,
    r#""messageId":"18""#,
    r#""messageIds":["1","x"]"#,
    r#""userIds":["bob","carol"]"#,
    r#""uid":"alice","token":"t""#,
    r#""version":2,"deviceFlag":1,"clientTimestamp":1699999999000"#,
    r#""fromUid":"alice""#,
    r#""inboxSeq":9"#,
    r#""limit":-3,"minSeq":7"#,
    r#""expire":60"#,
    r#""topic":"t","msgKey":"k""#,
    r#""action":1"#,
    r#""through":5,"status":-1"#,
    r#""afterSeq":5"#,
    r#""channelType":2"#,
];

fn number() -> impl Strategy<Value = String> {
    const EDGES: [&str; 20] = [
        "-0",
        "0",
        "1",
        "01",
        "1.",
        "-",
        "1e241",
        "-9223372036854775808",
        "-9223372036854775809",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "999999999999999999",
        "1000000000000000000",
        "-999999999999999999",
        "2147483648",
        "4294967296",
        "1.0",
        "1e2",
    ];
    prop_oneof![
        2 => "-?(0|[1-9][0-9]{0,2})",
        1 => "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        1 => select(&EDGES[..]).prop_map(str::to_owned),
    ]
}

fn string() -> impl Strategy<Value = String> {
    const PIECES: [&str; 22] = [
        "a",
        "b",
        "1",
        " ",
        "2.0",
        "alice",
        "é",
        "小",
        "😀",
        "\u{7f}",
        r#"\""#,
        r"\\",
        r"\n",
        r"\/",
        r"\u0041",
        r"\u0000",
        r"\ud83d\ude00",
        r"\ud800",
        r"\udc00",
        r"\x",
        "\n",
        "\u{1}",
    ];
    prop_oneof![
        4 => "[a-z0-9]{0,12}",
        1 => vec(select(&PIECES[..]), 0..4).prop_map(|pieces| pieces.concat()),
    ]
    .prop_map(|between| format!("\"{between}\""))
}

/// A key of an object: mostly as it is, sometimes with an escape that spells the same.
fn key(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    (select(names), 0..12).prop_map(|(name, odd)| match odd {
        0 => format!("\"\\u{:04x}{}\"", name.as_bytes()[0], &name[1..]),
        _ => format!("\"{name}\""),
    })
}

fn object(members: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = String> {
    (members, select(&["", "", "", " ", "\n"][..]))
        .prop_map(|(members, space)| format!("{space}{{{space}{}{space}}}", members.join(&format!("{space},{space}"))))
}

fn value() -> impl Strategy<Value = String> {
    let literal = select(&["true", "false", "null", "nul", "True"][..]).prop_map(str::to_owned);
    let leaf = prop_oneof![3 => string(), 3 => number(), 2 => literal];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let member = (key(&NAMES), inner.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
        prop_oneof![vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(","))), object(vec(member, 0..4)),]
    })
}

/// The params of a send or whatever else, with members more or less.
fn params() -> impl Strategy<Value = String> {
    const USUAL: [&str; 4] =
        [r#""clientMsgNo":"c""#, r#""channelId":"bob""#, r#""channelType":1"#, r#""payload":{"type":1}"#];
    let usual = select(&USUAL[..]).prop_map(str::to_owned);
    let fitting = select(&FITTING[..]).prop_map(str::to_owned);
    let other = (key(&NAMES), value()).prop_map(|(key, value)| format!("{key}:{value}"));
    let more = vec(prop_oneof![2 => usual, 4 => fitting, 1 => other], 0..4);
    object((more, any::<bool>()).prop_map(move |(more, leads)| {
        let usual = USUAL.map(str::to_owned).to_vec();
        if leads { [more, usual].concat() } else { [usual, more].concat() }
    }))
}

fn request() -> impl Strategy<Value = String> {
    let other = (key(&["id", "jsonrpc", "method", "params", "more"]), value());
    let other = other.prop_map(|(key, value)| format!("{key}:{value}"));
    let params = prop_oneof![8 => params(), 1 => value()].prop_map(|params| format!("\"params\":{params}"));
    let id = prop_oneof![2 => number(), 2 => string(), 1 => value()].prop_map(|id| format!("\"id\":{id}"));
    let method = select(&METHODS[..]).prop_map(|method| format!("\"method\":\"{method}\""));
    let version = select(&[r#""jsonrpc":"2.0""#][..]).prop_map(str::to_owned);
    let more = vec(prop_oneof![1 => other, 1 => version], 0..2);
    object((id, method, params, more).prop_map(|(id, method, params, more)| [more, vec![id, method, params]].concat()))
}

/// One thing that is done to a text.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Change(Index, u8),
    Insert(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    const INSERTIONS: [&[u8]; 10] =
        [b"\xff", b"\xe5\xb0", b"\\", b"\"", b",", b"}", b"]", b"{", b"9999999999999999999", b"\0"];
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Change(at, byte)),
        (any::<Index>(), select(&INSERTIONS[..])).prop_map(|(at, bytes)| Damage::Insert(at, bytes.to_vec())),
    ]
}

fn damaged(text: &str, damage: Damage) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    match damage {
        Damage::Cut(at) => bytes.truncate(at.index(text.len())),
        Damage::Change(at, byte) => bytes[at.index(text.len())] = byte,
        Damage::Insert(at, inserted) => {
            let at = at.index(text.len());
            bytes.splice(at..at, inserted);
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_request_comes_to_the_same_read_or_parsed(text in request()) {
        assert_alike(text.as_bytes());
    }

    #[test]
    fn so_does_a_damaged_one(text in request(), damage in damage()) {
        assert_alike(&damaged(&text, damage));
    }

    #[test]
    fn so_does_any_value(text in value()) {
        assert_alike(text.as_bytes());
        assert_alike(format!(r#"{{"method":"ping","id":{text}}}"#).as_bytes());
        assert_alike(format!(r#"{{"method":"send","params":{text}}}"#).as_bytes());
    }
}

#[test]
fn what_clients_send_most_is_read_where_it_stands() {
    for text in [
        r#"{"method":"send","params":{"clientMsgNo":"c","channelId":"bob","channelType":1,"payload":{"type":1,"content":"\n"}},"id":"7"}"#,
        r#"{"jsonrpc":"2.0","method":"send","params":{"header":{"redDot":true},"payload":"eyJ0eXBlIjoxfQ=="},"id":7}"#,
        r#"{"method":"recvack","params":{"messageId":"1234567890123456789","messageSeq":77,"header":{}}}"#,
        r#"{"method":"receipt","id":"r","params":{"messageIds":["1","2"]}}"#,
        r#"{ "method" : "ping" , "id" : "p" }"#,
    ] {
        assert!(Plain::default().read(text).is_some(), "{text}");
        assert_alike(text.as_bytes());
    }
}

#[test]
fn what_says_more_than_it_spells_is_parsed() {
    for text in [
        r#"{"method":"p\u0069ng"}"#,
        r#"{"m\u0065thod":"ping"}"#,
        r#"{"method":"send","params":{"pay\u006coad":{}}}"#,
        r#"{"method":"send","params":{"extra":{"\n":""},"payload":{}}}"#,
        r#"{"method":"send","params":{"payload":{},"payload":"\n"}}"#,
        r#"{"method":"send","id":1,"params":{"payload":{"type":99999999999999999991},"payload":{"type":1}}}"#,
        r#"{"method":"send","id":1,"params":{"payload":{"type":99999999999999999991}},"params":{}}"#,
        r#"{"method":"send","params":{"expire":1000000000000000000}}"#,
        r#"{"method":"ping","id":1"#,
        r#"{"method":"ping"} x"#,
        r#"[{"method":"ping"}]"#,
        r#""ping""#,
    ] {
        assert!(Plain::default().read(text).is_none(), "{text}");
        assert_alike(text.as_bytes());
    }
    assert_eq!(come_to(handle_message, "alice", b"{\"method\":\"\xff\"}").0, Err(MessageFault::Malformed));
}
