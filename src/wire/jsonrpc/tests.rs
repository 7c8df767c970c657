//! JSON-RPC requests, rule by rule.

use super::*;
use crate::model::{
    Ack, ChunkPhase, Command, ConversationSeq, HeaderFlags, HistoryDirection, Limits, MessageId, Millis, Recipient,
    Send, Seq, SettingFlags, StreamChunk, Sync, SyncDirection,
};
use bytes::Bytes;

const NOW: Millis = Millis(1_700_000_000_000);

/// Takes one text of `user` (a stranger when empty); gives the outcome and the answers.
fn hear_from(user: &str, text: &str) -> (Handled, Vec<String>) {
    let (outcome, _, answers) = hear_traits_from(user, text);
    (outcome, answers)
}

/// The same with what the client has stated of itself.
fn hear_traits_from(user: &str, text: &str) -> (Handled, ClientTraits, Vec<String>) {
    let mut traits = ClientTraits::default();
    let (user, limits) = (UserId::new(user).ok(), Limits::default());
    let mut out = Vec::new();
    let mut scratch = Scratch::default();
    let mut exchange = Exchange {
        user: user.as_ref(),
        message_key: None,
        traits: &mut traits,
        limits: &limits,
        now: NOW,
        out: &mut out,
        scratch: &mut scratch,
    };
    let outcome = handle_message(text, Dialect::JsonRpc, &mut exchange);
    let answers = payloads(&out);
    let refused = answers.iter().filter(|answer| answer.contains(r#""error":"#)).count();
    let counted = scratch.refusals().sum() + scratch.refusals().malformed();
    assert!(counted >= refused as u64, "each refusal is counted: {answers:?}");
    (outcome, traits, answers)
}

fn payloads(mut frames: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while let [0x81, length, behind @ ..] = frames {
        let (length, behind) = match (length, behind) {
            (126, [high, low, behind @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), behind),
            (length, behind) => (usize::from(*length), behind),
        };
        texts.push(str::from_utf8(&behind[..length]).expect("UTF-8").to_owned());
        frames = &behind[length..];
    }
    assert!(frames.is_empty());
    texts
}

fn alice(text: &str) -> (Handled, Vec<String>) {
    hear_from("alice", text)
}

/// The code of the only answer, and its id as JSON.
fn error_of(answers: &[String]) -> (i64, String) {
    assert_eq!(answers.len(), 1, "{answers:?}");
    let answer: serde_json::Value = serde_json::from_str(&answers[0]).expect("JSON");
    (answer["error"]["code"].as_i64().expect("a code"), answer["id"].to_string())
}

/// A send whose params are completed by `more`.
fn send_with(more: &str) -> (Handled, Vec<String>) {
    alice(&format!(
        r#"{{"method":"send","id":1,"params":{{"clientMsgNo":"c","channelId":"bob","channelType":1,"payload":{{}}{more}}}}}"#
    ))
}

fn refused_send(more: &str) -> i64 {
    let (outcome, answers) = send_with(more);
    assert_eq!(outcome, Ok(None), "{more}");
    error_of(&answers).0
}

fn accepted_send(more: &str) -> Send {
    match send_with(more) {
        (Ok(Some(Incoming::Request { tag: _, command: Command::Send(send) })), answers) if answers.is_empty() => send,
        other => panic!("{more}: {other:?}"),
    }
}

#[test]
fn what_is_not_json_is_a_parse_error_without_a_name() {
    let half = r#"{"id":1,"method":"send","params":{"payload":{"a":"\ud83d"}}"#;
    for text in ["", "{", "hello", r#"{"id":1,}"#, r#"{"id":1,"method":"ping"} x"#, half, "[1e999"] {
        let (outcome, answers) = alice(text);
        assert_eq!((outcome, error_of(&answers)), (Err(MessageFault::Malformed), (-32700, "null".into())), "{text}");
    }
}

#[test]
fn json_that_is_no_request_is_an_invalid_request() {
    let long = format!(r#"{{"id":"{}","method":"ping"}}"#, "x".repeat(257));
    for (text, id) in [
        (r#"[{"method":"ping","id":1}]"#, "null"),
        ("7", "null"),
        (r#"{"id":true,"method":"ping"}"#, "null"),
        (&long, "null"),
        (r#"{"id":7}"#, "7"),
        (r#"{"id":"a","method":7}"#, "\"a\""),
        (r#"{"id":1,"jsonrpc":"1.0","method":"ping"}"#, "1"),
        (r#"{"id":1,"jsonrpc":2.0,"method":"ping"}"#, "1"),
        (r#"{"id":1,"method":"connect","params":{"uid":"alice","token":"t"}}"#, "1"),
    ] {
        let (outcome, answers) = alice(text);
        assert_eq!((outcome, error_of(&answers)), (Ok(None), (-32600, id.into())), "{text}");
    }
}

#[test]
fn json_beyond_the_bounds_is_refused_by_its_id() {
    let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    let many = format!("[{}1]", "1,".repeat(65_536));
    for (value, code) in [
        (r#""\ud83d""#, -32602),
        ("1234567890123456789012345", -32602),
        ("1e999", -32602),
        (&deep, 1103),
        (&many, 1103),
    ] {
        for (id, echoed) in [("7", "7"), (r#""a\u0041""#, r#""aA""#), ("99999999999999999999", "99999999999999999999")]
        {
            let (outcome, answers) = alice(&format!(r#"{{"id":{id},"method":"sync","params":{{"more":{value}}}}}"#));
            assert_eq!(outcome, Ok(None));
            assert!(answers[0].contains(&format!(r#""id":{echoed},"#)), "{value:.40} {id}: {answers:?}");
            assert_eq!(error_of(&answers).0, code, "{value:.40} {id}");
        }
        for (id, answered) in [("null", 0), ("true", 1), (r#""\ud83d""#, 1)] {
            let (_, answers) = alice(&format!(r#"{{"method":"sync","params":{{"more":{value}}},"id":{id}}}"#));
            assert_eq!(answers.len(), answered, "{value:.40} {id}");
            assert!(answers.iter().all(|answer| answer.contains(r#""id":null"#) && answer.contains("-32600")));
        }
        let (outcome, answers) = alice(&format!("[{value}]"));
        assert_eq!((outcome, error_of(&answers)), (Ok(None), (-32600, "null".into())));
        let (outcome, _) = hear_from("", &format!(r#"{{"id":1,"method":"connect","params":{{"more":{value}}}}}"#));
        assert_eq!(outcome, Err(MessageFault::Fatal(Closing::AuthFailed)), "a stranger has one try");
    }
}

#[test]
fn a_payload_is_taken_whatever_is_inside_as_long_as_it_is_json() {
    let deep = format!("{}1{}", "[".repeat(4_000), "]".repeat(4_000));
    for value in [r#""hi \ud83d""#, r#""\udc00""#, "1234567890123456789012345", "1e999", &deep] {
        for key in ["payload", "p\\u0061yload"] {
            let payload = format!(r#"{{ "type" : 7.0, "c" : {value} }}"#);
            let send = accepted_send(&format!(r#","topic":"t\u0041","{key}":{payload}"#));
            assert_eq!((send.content, send.message_type), (Bytes::from(payload).into(), 7), "{value:.40}");
        }
    }
}

#[test]
fn an_integer_may_be_written_with_a_point_or_an_exponent() {
    let connect = |more: &str| {
        hear_traits_from("", &format!(r#"{{"method":"connect","id":1,"params":{{"uid":"alice","token":"t",{more}}}}}"#))
    };
    for more in
        [r#""deviceFlag":1.0,"clientTimestamp":1.7e12"#, r#""topic\n":"","deviceFlag":1.0,"clientTimestamp":1.7e12"#]
    {
        let (Ok(Some(Incoming::Authenticate(credentials))), traits, _) = connect(more) else { panic!("{more}") };
        assert_eq!((credentials.device.flag, traits.time_diff_ms), (1, 0), "{more}");
    }
    assert_eq!(connect(r#""deviceFlag":1.5"#).0, Err(MessageFault::Fatal(Closing::AuthFailed)));
}

#[test]
fn an_id_is_echoed_as_it_came() {
    for (sent, echoed) in [
        ("18446744073709551616", "18446744073709551616"),
        ("1e999", "1e999"),
        ("7", "7"),
        ("-0.50e+1", "-0.50e+1"),
        ("18446744073709551615", "18446744073709551615"),
        (r#""a""#, r#""a""#),
        (r#""\u0041\n\"\\é""#, r#""A\u000a\"\\é""#),
        (r#""""#, r#""""#),
    ] {
        let (_, answers) = alice(&format!(r#"{{"method":"dance","id":{sent}}}"#));
        let expected =
            format!(r#"{{"jsonrpc":"2.0","id":{echoed},"error":{{"code":-32601,"message":"method not found"}}}}"#);
        assert_eq!(answers, [expected]);
    }
}

#[test]
fn a_notification_is_never_answered() {
    for text in [
        r#"{"method":"dance"}"#,
        r#"{"method":"send","params":{}}"#,
        r#"{"method":"ping"}"#,
        r#"{"method":"ping","id":null}"#,
        r#"{"method":"recvack","params":[]}"#,
    ] {
        assert_eq!(alice(text), (Ok(None), Vec::new()), "{text}");
    }
}

#[test]
fn a_stranger_may_only_connect() {
    for text in
        [r#"{"method":"ping","id":1}"#, r#"{"method":"dance","id":1}"#, r#"{"method":"send","id":1,"params":{}}"#]
    {
        let (outcome, answers) = hear_from("", text);
        assert_eq!((outcome, error_of(&answers).0), (Err(MessageFault::Fatal(Closing::AuthFailed)), 1003), "{text}");
    }
    assert_eq!(hear_from("", r#"{"method":"ping"}"#), (Err(MessageFault::Fatal(Closing::AuthFailed)), Vec::new()));
    assert_eq!(hear_from("", "[]").0, Err(MessageFault::Fatal(Closing::AuthFailed)));
    assert_eq!(hear_from("", "{").0, Err(MessageFault::Malformed));
}

#[test]
fn connect_takes_all_fields_of_the_specification() {
    let (outcome, stated, answers) = hear_traits_from(
        "",
        r#"{"method":"connect","id":"c","params":{"uid":"alice","token":"t","header":{},"version":2,"clientKey":"","deviceId":"d","deviceFlag":2,"clientTimestamp":1699999999000}}"#,
    );
    let device = DeviceKey { flag: 2, id: "d".into() };
    let credentials = Credentials {
        tag: RequestTag::Text("c".into()),
        user: UserId::new("alice").expect("well formed"),
        token: "t".into(),
        device,
    };
    let traits = ClientTraits { version: 2, time_diff_ms: 1_000, client_key: None };
    let expected = Ok(Some(Incoming::Authenticate(credentials)));
    assert_eq!((outcome, stated, answers), (expected, traits, Vec::new()));
    let (outcome, traits, _) = hear_traits_from("", r#"{"method":"connect","params":{"uid":"alice","token":"t"}}"#);
    let Ok(Some(Incoming::Authenticate(credentials))) = outcome else { panic!("{outcome:?}") };
    assert_eq!((credentials.tag, traits), (RequestTag::None, ClientTraits { version: 3, ..ClientTraits::default() }));
}

#[test]
fn a_connect_that_cannot_be_right_is_refused_at_once() {
    let long_token = format!(r#"{{"uid":"alice","token":"{}"}}"#, "x".repeat(4_097));
    let long_device = format!(r#"{{"uid":"alice","token":"t","deviceId":"{}"}}"#, "x".repeat(129));
    for (params, code) in [
        (r"{}", -32602),
        (r#"{"uid":"alice"}"#, -32602),
        (r#"{"token":"t"}"#, -32602),
        (r#"{"uid":7,"token":"t"}"#, -32602),
        (r#"{"uid":"alice","token":"t","deviceFlag":256}"#, -32602),
        (r#"{"uid":"alice","token":"t","version":"x"}"#, -32602),
        (&long_device, -32602),
        (&long_token, 1001),
        (r#"{"uid":"","token":"t"}"#, 1001),
        (r#"{"uid":"a\u0001","token":"t"}"#, 1001),
    ] {
        let (outcome, answers) = hear_from("", &format!(r#"{{"method":"connect","id":1,"params":{params}}}"#));
        assert_eq!((outcome, error_of(&answers).0), (Err(MessageFault::Fatal(Closing::AuthFailed)), code), "{params}");
    }
}

#[test]
fn a_send_must_be_complete_and_well_formed() {
    let number = |number: &str| format!(r#","clientMsgNo":{number}"#);
    for more in [
        r#","clientMsgNo":"""#,
        r#","clientMsgNo":null"#,
        r#","channelId":"""#,
        r#","channelId":7"#,
        r#","channelType":3"#,
        r#","channelType":"1""#,
        r#","channelType":null"#,
        r#","payload":null"#,
        r#","payload":7"#,
        r#","payload":[]"#,
        r#","header":7"#,
        r#","header":{"redDot":1}"#,
        r#","setting":[]"#,
        r#","topic":7"#,
        r#","expire":-1"#,
        r#","expire":1.5"#,
        &number(&format!("\"{}\"", "x".repeat(129))),
        &format!(r#","topic":"{}""#, "x".repeat(129)),
    ] {
        assert_eq!(refused_send(more), -32602, "{more}");
    }
    assert_eq!(refused_send(r#","fromUid":"mallory""#), 1102);
    accepted_send(r#","fromUid":"alice""#);
    let (_, answers) = alice(r#"{"method":"send","id":1,"params":[]}"#);
    assert_eq!(error_of(&answers).0, -32602);
}

#[test]
fn every_attribute_of_a_message_is_read() {
    let flags = accepted_send(r#","header":{"noPersist":true,"syncOnce":true},"expire":4294967295"#);
    let flags = flags.annotations.expect("flags");
    assert_eq!(flags.header, HeaderFlags { no_persist: true, sync_once: true, ..HeaderFlags::default() });
    assert_eq!(flags.expire_s, u32::MAX);
    for (flag, phase) in [
        ("", ChunkPhase::First),
        (r#","streamFlag":0"#, ChunkPhase::First),
        (r#","streamFlag":1"#, ChunkPhase::Next),
        (r#","streamFlag":2"#, ChunkPhase::Last),
    ] {
        let send = accepted_send(&format!(r#","setting":{{"stream":true}},"streamNo":"s"{flag}"#));
        let chunk = send.annotations.expect("a chunk").chunk;
        assert_eq!(chunk, Some(StreamChunk { stream: "s".into(), number: 0, phase }), "{flag}");
    }
    assert_eq!(accepted_send(r#","streamNo":"s","streamFlag":2"#).annotations, None, "without setting.stream");
    let extra = accepted_send(r#","extra":{"b":"2","a":"1"}"#).extra;
    assert_eq!(extra.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
}

#[test]
fn every_attribute_of_a_message_must_be_well_formed() {
    let long = format!(r#","setting":{{"stream":true}},"streamNo":"{}""#, "x".repeat(129));
    for more in [
        r#","setting":{"stream":true}"#,
        r#","setting":{"stream":true},"streamNo":"""#,
        r#","setting":{"stream":true},"streamNo":7"#,
        r#","setting":{"stream":true},"streamNo":"s","streamFlag":3"#,
        r#","setting":{"stream":true},"streamNo":"s","streamFlag":"2""#,
        &long,
        r#","expire":-1"#,
        r#","expire":4294967296"#,
        r#","extra":[]"#,
        r#","extra":{"k":1}"#,
    ] {
        assert_eq!(refused_send(more), -32602, "{more}");
    }
    assert_eq!(refused_send(&format!(r#","extra":{{"k":"{}"}}"#, "x".repeat(8_192))), 1103);
}

#[test]
fn keys_hold_no_control_characters_and_values_may() {
    for letter in [r"\u0001", r"\u001f", r"\u007f", "\u{85}"] {
        for more in [
            format!(r#","topic":"{letter}""#),
            format!(r#","msgKey":"a{letter}""#),
            format!(r#","setting":{{"stream":true}},"streamNo":"{letter}s""#),
            format!(r#","extra":{{"{letter}":"v"}}"#),
        ] {
            assert_eq!(refused_send(&more), -32602, "{more}");
        }
        accepted_send(&format!(r#","extra":{{"k":"{letter}"}}"#));
        let connect = format!(r#"{{"uid":"alice","token":"t","deviceId":"{letter}"}}"#);
        let (outcome, answers) = hear_from("", &format!(r#"{{"method":"connect","id":1,"params":{connect}}}"#));
        assert_eq!(
            (outcome, error_of(&answers).0),
            (Err(MessageFault::Fatal(Closing::AuthFailed)), -32602),
            "{connect}"
        );
    }
}

#[test]
fn what_goes_with_a_payload_is_bounded_together() {
    let with = |extra_bytes: usize| {
        let (topic, key, extra) = ("t".repeat(128), "k".repeat(64), "x".repeat(extra_bytes - 1));
        format!(
            r#","topic":"{topic}","msgKey":"{key}","setting":{{"stream":true}},"streamNo":"s","extra":{{"k":"{extra}"}}"#
        )
    };
    let room = 8_192 - 128 - 64 - 1;
    accepted_send(&with(room));
    assert_eq!(refused_send(&with(room + 1)), 1103);
}

#[test]
fn extension_methods_name_their_conversation_by_its_channel() {
    let with = |method: &str, more: &str| {
        let channel = r#""channelId":"bob","channelType":1"#;
        alice(&format!(r#"{{"method":"{method}","id":1,"params":{{{channel}{more}}}}}"#))
    };
    for (method, more) in [
        ("revoke", r#","messageId":"1""#),
        ("receipt", r#","messageIds":["1"]"#),
        ("typing", r#","status":1"#),
        ("history", ""),
        ("markRead", r#","through":1"#),
        ("clearHistory", ""),
        ("deleteConversation", r#","through":1"#),
    ] {
        assert!(
            matches!(with(method, more), (Ok(Some(Incoming::Request { .. })), answers) if answers.is_empty()),
            "{method}"
        );
        for channel in [r#","channelType":3"#, r#","channelId":"""#, r#","channelId":null"#] {
            assert_eq!(error_of(&with(method, &format!("{more}{channel}")).1).0, -32602, "{method}{channel}");
        }
    }
}

#[test]
fn the_params_of_extension_methods_are_checked() {
    let many = |count: usize| format!("[{}\"1\"]", "\"1\",".repeat(count - 1));
    let channel = r#""channelId":"bob","channelType":1"#;
    for (method, params) in [
        ("revoke", r#""messageId":"x""#.to_owned()),
        ("revoke", r#""messageId":1"#.to_owned()),
        ("revoke", String::new()),
        ("receipt", String::new()),
        ("receipt", r#""messageIds":[]"#.to_owned()),
        ("receipt", r#""messageIds":"1""#.to_owned()),
        ("receipt", r#""messageIds":[1]"#.to_owned()),
        ("receipt", format!(r#""messageIds":{}"#, many(101))),
        ("typing", r#""status":2147483648"#.to_owned()),
        ("history", r#""afterSeq":1,"beforeSeq":2"#.to_owned()),
        ("history", r#""afterSeq":-1"#.to_owned()),
        ("history", r#""limit":-1"#.to_owned()),
        ("history", format!(r#""topic":"{}""#, "x".repeat(129))),
        ("markRead", r#""through":-1"#.to_owned()),
        ("clearHistory", r#""through":-1"#.to_owned()),
        ("deleteConversation", r#""through":"1""#.to_owned()),
        ("conversations", r#""limit":-1"#.to_owned()),
        ("conversations", r#""beforeSeq":-1"#.to_owned()),
        ("presence", r#""action":3"#.to_owned()),
        ("presence", r#""userIds":[""]"#.to_owned()),
        ("presence", format!(r#""userIds":{}"#, many(201))),
    ] {
        let comma = if params.is_empty() { "" } else { "," };
        let (_, answers) = alice(&format!(r#"{{"method":"{method}","id":1,"params":{{{channel}{comma}{params}}}}}"#));
        assert_eq!(error_of(&answers).0, -32602, "{method} {params}");
    }
}

#[test]
fn history_goes_up_from_a_place_or_down_to_the_first() {
    for (more, direction) in [
        ("", HistoryDirection::Before(ConversationSeq(0))),
        (r#","beforeSeq":9"#, HistoryDirection::Before(ConversationSeq(9))),
        (r#","afterSeq":0"#, HistoryDirection::After(ConversationSeq(0))),
    ] {
        let text = format!(r#"{{"method":"history","id":1,"params":{{"channelId":"bob","channelType":1{more}}}}}"#);
        let (Ok(Some(Incoming::Request { tag: _, command: Command::History(history) })), _) = alice(&text) else {
            panic!("{more}")
        };
        assert_eq!((history.direction, history.limit), (direction, 100), "{more}");
    }
}

#[test]
fn a_payload_is_kept_byte_for_byte_though_the_parser_changes_its_bytes() {
    let payload = r#"{ "content" : "\u0041\n\ud83d\ude00" , "type" : 4 }"#;
    let send = accepted_send(&format!(r#","payload":{payload}"#));
    assert_eq!((send.content, send.message_type), (Bytes::from(payload.to_owned()).into(), 4));
    let escaped = accepted_send(r#","pay\u006coad":{"type":9}"#);
    assert_eq!((escaped.content, escaped.message_type), (Bytes::from_static(br#"{"type":9}"#).into(), 9));
}

#[test]
fn of_equal_names_the_last_counts() {
    let send = accepted_send(r#","channelId":"carol","payload":"hello","payload":{"type":2,"type":6}"#);
    assert_eq!(send.recipient, Recipient::User(UserId::new("carol").expect("well formed")));
    assert_eq!((send.content, send.message_type), (Bytes::from_static(br#"{"type":2,"type":6}"#).into(), 6));
    let send = accepted_send(r#","payload":{"type":2},"payload":"hello""#);
    assert_eq!((send.content, send.message_type), (Bytes::from_static(b"hello").into(), 1));
}

#[test]
fn plain_sends_carry_no_annotations() {
    assert_eq!(accepted_send(r#","header":{},"setting":{},"topic":"","msgKey":null"#).annotations, None);
    let flags = accepted_send(r#","header":{"dup":true},"setting":{"receipt":true}"#).annotations.expect("flags");
    assert_eq!(flags.header, HeaderFlags { dup: true, ..HeaderFlags::default() });
    assert_eq!(flags.setting, SettingFlags { receipt: true, topic: false });
}

#[test]
fn an_ack_needs_a_decimal_message_id() {
    for id in ["\"\"", "\"x\"", "7", "\"-1\"", "null"] {
        let (_, answers) = alice(&format!(r#"{{"method":"recvack","id":1,"params":{{"messageId":{id}}}}}"#));
        assert_eq!(error_of(&answers).0, -32602, "{id}");
    }
}

#[test]
fn an_ack_names_a_message_or_a_place_of_the_inbox() {
    let ack = |params: &str| match alice(&format!(r#"{{"method":"recvack","params":{params}}}"#)) {
        (Ok(Some(Incoming::Request { tag: RequestTag::None, command: Command::Ack(ack) })), _) => Some(ack),
        _ => None,
    };
    assert_eq!(ack(r#"{"messageId":"7","inboxSeq":9}"#), Some(Ack::Message(MessageId(7))));
    assert_eq!(ack(r#"{"inboxSeq":9}"#), Some(Ack::Through(Seq(9))));
    for params in [r#"{"inboxSeq":0}"#, r#"{"inboxSeq":-1}"#, r#"{"messageId":"x","inboxSeq":9}"#] {
        assert_eq!(ack(params), None, "{params}");
    }
}

#[test]
fn a_sync_reads_seqs_and_limit() {
    let sync = |params: &str| alice(&format!(r#"{{"method":"sync","id":1,"params":{params}}}"#));
    for (params, direction, limit) in [
        (r"{}", SyncDirection::After(Seq(0)), 100),
        ("null", SyncDirection::After(Seq(0)), 100),
        (r#"{"maxSeq":7,"limit":5000}"#, SyncDirection::After(Seq(7)), 1_000),
        (r#"{"minSeq":9,"limit":-3}"#, SyncDirection::Before(Seq(9)), 3),
    ] {
        let command = Command::Sync(Sync { direction, limit });
        let expected = Ok(Some(Incoming::Request { tag: RequestTag::Number("1".into()), command }));
        assert_eq!(sync(params), (expected, Vec::new()), "{params}");
    }
    for params in [r#"{"minSeq":-1}"#, r#"{"limit":"5"}"#, r#"{"maxSeq":1.5}"#, "[]"] {
        assert_eq!(error_of(&sync(params).1).0, -32602, "{params}");
    }
}
