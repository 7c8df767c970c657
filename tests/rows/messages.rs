//! Sending and receiving: each field in both protocols, the author's other devices, repetition, messages to oneself.

use crate::common::binary::{SUCCESS, command, send_body};
use crate::common::binary_fields::{Fields, bytes, text};
use crate::world::{World, channel, client_ids, to, with};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

#[tokio::test]
async fn a_binary_message_carries_every_field_to_json_rpc() {
    let world = World::new();
    let mut alice = world.binary("alice").await;
    let mut bob = world.rpc("bob").await;
    let mut web = world.wukong("bob").await;
    let fields = [
        ("client_msg_id", text("id-1")),
        ("sender_id", text("alice")),
        ("receiver_id", text("bob")),
        ("message_type", 4_i32.into()),
        ("content", bytes(br#"{"type":4,"content":"a film"}"#)),
        ("send_time", 7_i64.into()),
    ];
    let sent = alice.send_with(&fields, &[("reply", "9")]).await;
    assert_eq!((sent.number("error_code"), sent.text("error_msg"), sent.number("seq")), (SUCCESS, String::new(), 1));
    let common = json!({"header": {}, "messageId": sent.text("message_id"), "messageSeq": 1, "channelId": "alice",
        "channelType": 1, "fromUid": "alice", "clientMsgNo": "id-1", "payload": {"type": 4, "content": "a film"},
        "timestamp": sent.number("server_time") / 1_000});
    assert_eq!(bob.next("recv").await, with(&common, &json!({"inboxSeq": 1, "extra": {"reply": "9"}})));
    assert_eq!(web.next("recv").await, common, "nothing that the SDKs do not know");

    for (number, content) in [b"plain \xff".as_slice(), b"", b"[1]", b"\"text\"", b"{broken"].into_iter().enumerate() {
        alice.send("bob", &format!("raw-{number}"), content).await;
        let payload = bob.next("recv").await["payload"].clone();
        assert_eq!(payload, BASE64_STANDARD.encode(content), "what is no object goes out as base64");
    }
}

#[tokio::test]
async fn a_json_rpc_message_carries_every_field_to_binary() {
    let world = World::new();
    let mut alice = world.binary("alice").await;
    let mut bob = world.rpc("bob").await;
    let request = r#"{"method":"send","id":"s","params":{"clientMsgNo":"n-1","channelId":"alice","channelType":1,
        "fromUid":"bob","extra":{"k":"v"},"payload": { "content" : "\u4f60", "type":3 } }}"#;
    bob.socket.send_text(request).await;
    let sent = bob.answer(&json!("s")).await.expect("an answer")["result"].clone();
    let push = alice.next_push().await;
    let seen = ["message_id", "client_msg_id", "conversation_id", "sender_id", "receiver_id", "group_id"];
    let id = sent["messageId"].as_str().expect("a string");
    assert!(id.parse::<u64>().is_ok(), "a decimal string: {id}");
    assert_eq!(seen.map(|name| push.text(name)), [id, "n-1", "single_alice_bob", "bob", "alice", ""]);
    assert_eq!(push.bytes("content"), br#"{ "content" : "\u4f60", "type":3 }"#, "byte for byte");
    assert_eq!(["message_type", "seq"].map(|name| push.number(name)), [3, 1]);
    assert_eq!(push.pairs("extra"), [("k".to_owned(), "v".to_owned())].into());
    assert!(push.number("server_time") > 1_700_000_000_000, "milliseconds");
    assert_eq!(
        sent,
        json!({"messageId": id, "messageSeq": 1, "reasonCode": 0, "header": {}, "inboxSeq": 1}),
        "no member more, none less"
    );

    let object = r#"{"type":5,"content":"a file"}"#;
    let kept = r#"{"type":"five"}"#;
    for (number, (payload, content, kind)) in [
        (json!(BASE64_STANDARD.encode(object)), object, 5),
        (json!(object), object, 5),
        (json!("plain text"), "plain text", 1),
        (json!("aGVsbG8="), "hello", 1),
        (json!("aGVsbG9="), "aGVsbG9=", 1),
        (json!({"type": "five"}), kept, 1),
        (json!({"type": 0}), r#"{"type":0}"#, 1),
        (json!({"type": 99}), r#"{"type":99}"#, 99),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = bob.send("alice", &format!("p-{number}"), payload.clone()).await;
        assert!(answer["error"].is_null(), "{answer}");
        let push = alice.next_push().await;
        let got = (String::from_utf8(push.bytes("content")).expect("text"), push.number("message_type"));
        assert_eq!(got, (content.to_owned(), kind), "{payload}");
    }
}

#[tokio::test]
async fn types_that_nobody_knows_pass_through() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.binary("bob").await);
    for kind in [1, 2, 3, 4, 5, 6, 1_000_000] {
        let fields = [
            ("client_msg_id", text(&kind.to_string())),
            ("receiver_id", text("bob")),
            ("message_type", kind.into()),
            ("conversation_id", text("single_alice_bob")),
        ];
        assert_eq!(alice.send_with(&fields, &[]).await.number("error_code"), SUCCESS);
        assert_eq!(bob.next_push().await.number("message_type"), i64::from(kind));
    }
}

#[tokio::test]
async fn the_authors_other_devices_see_what_one_sends_whatever_they_speak() {
    let world = World::new();
    let mut phone = world.binary_on("alice", "iOS").await;
    let mut desk = world.rpc("alice").await;
    let mut web = world.wukong("alice").await;
    let sent = phone.send("bob", "from the phone", b"{}").await;
    let seen = desk.next("recv").await;
    assert_eq!((&seen["channelId"], &seen["fromUid"]), (&json!("bob"), &json!("alice")), "the peer names the channel");
    assert_eq!(seen["inboxSeq"], sent.number("seq"), "the seq that the answer told");
    assert_eq!(web.next("recv").await["messageId"], sent.text("message_id"));

    let sent = desk.result("send", to("bob", "from the desk", &json!({}))).await;
    let push = phone.next_push().await;
    assert_eq!(
        (push.number("seq"), push.text("receiver_id")),
        (sent["inboxSeq"].as_i64().expect("a seq"), "bob".into())
    );
    assert_eq!(web.next("recv").await["clientMsgNo"], "from the desk");
    phone.expect_no_push().await;
    assert!(desk.messages_until_now().await.is_empty(), "not what it sent itself");
}

#[tokio::test]
async fn a_message_to_oneself_is_one_entry_on_every_device() {
    let world = World::new();
    let mut phone = world.binary("alice").await;
    let mut desk = world.rpc("alice").await;
    let one = phone.send("alice", "note", b"{}").await;
    assert_eq!((one.number("error_code"), one.number("seq")), (SUCCESS, 1));
    let seen = desk.next("recv").await;
    assert_eq!((&seen["channelId"], &seen["inboxSeq"]), (&json!("alice"), &json!(1)));
    let two = desk.result("send", to("alice", "second", &json!({}))).await;
    assert_eq!((&two["inboxSeq"], &two["messageSeq"]), (&json!(2), &json!(2)));
    assert_eq!(phone.next_push().await.number("seq"), 2);
    assert_eq!(client_ids(&phone.inbox().await), ["note", "second"]);
}

#[tokio::test]
async fn the_same_client_id_gets_the_first_answer_through_a_kill_and_is_delivered_once() {
    let mut world = World::new();
    let (mut alice, mut carol) = (world.binary("alice").await, world.rpc("carol").await);
    let body = send_body("bob", "same", b"once");
    let sequence = alice.ask(command::SEND, &body).await;
    let first = alice.answer(sequence).await.expect("an answer").body;
    let sent = carol.result("send", to("bob", "same", &json!({}))).await;
    world.kill_and_start();
    let (mut alice, mut carol) = (world.binary("alice").await, world.rpc("carol").await);
    let sequence = alice.ask(command::SEND, &body).await;
    assert_eq!(alice.answer(sequence).await.expect("an answer").body, first, "byte for byte");
    assert_eq!(carol.result("send", to("bob", "same", &json!({}))).await, sent);
    assert_eq!(alice.send("bob", "same", b"other").await.number("error_code"), 2);
    assert_eq!(alice.send("carol", "same", b"once").await.number("error_code"), 2, "another addressee");
    assert_eq!(carol.refusal("send", to("bob", "same", &json!({"payload": {"type": 2}}))).await, 1105);
    world.settle("bob", 2).await;
    let mut bob = world.binary("bob").await;
    assert_eq!(client_ids(&bob.inbox().await), ["same", "same"], "one of each author");
}

#[tokio::test]
async fn both_sides_of_a_conversation_see_one_order() {
    let world = World::new();
    let (mut alice, mut bob) = (world.rpc("alice").await, world.rpc("bob").await);
    for round in 0..20 {
        alice.ask("send", to("bob", &format!("a-{round}"), &json!({}))).await;
        bob.ask("send", to("alice", &format!("b-{round}"), &json!({}))).await;
    }
    let (mut his, mut hers) = (world.rpc_on("bob", "late").await, world.rpc_on("alice", "late").await);
    let order = |entries: &[Value]| -> Vec<(i64, String)> {
        let one = |entry: &Value| (entry["messageSeq"].as_i64().expect("a seq"), entry["messageId"].to_string());
        let mut order: Vec<_> = entries.iter().map(one).collect();
        order.sort();
        order
    };
    let newest = async |client: &mut crate::common::rpc::RpcClient| loop {
        let inbox = client.inbox().await;
        if inbox.len() == 40 {
            return inbox;
        }
    };
    let (hers, his) = (order(&newest(&mut hers).await), order(&newest(&mut his).await));
    assert_eq!(hers, his);
    assert_eq!(hers.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_acknowledgement_has_no_answer_and_a_wrong_one_does_no_harm() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.binary("bob").await);
    alice.send("bob", "one", b"1").await;
    let push = bob.next_push().await;
    bob.acknowledge(&push).await;
    bob.acknowledge(&push).await;
    for (id, seq) in [("1", 99_i64), ("no number", 0), ("", -1), ("7", 0)] {
        let body = crate::common::binary_fields::encode("MessageAck", &[("message_id", text(id)), ("seq", seq.into())]);
        bob.ask(command::ACK, &body).await;
    }
    bob.ask(command::ACK, b"\xff\xff").await;
    assert!(bob.heartbeat().await > 0, "nothing was answered but this");
    alice.send("bob", "two", b"2").await;
    assert_eq!(bob.next_push().await.number("seq"), 2);
    assert_eq!(bob.inbox().await.len(), 2, "an acknowledgement takes nothing away");

    let mut desk = world.rpc("bob").await;
    let seen = desk.next("recv").await;
    desk.tell(json!({"method": "recvack", "params": {"messageId": seen["messageId"], "messageSeq": 1}})).await;
    let ack = json!({"messageId": seen["messageId"], "messageSeq": 1, "header": {}});
    assert_eq!(desk.result("recvack", ack).await, json!({}));
    assert_eq!(desk.result("recvack", json!({"messageId": "17", "messageSeq": 900})).await, json!({}));
    assert_eq!(desk.result("recvack", json!({"inboxSeq": 1})).await, json!({}));
    assert_eq!(desk.refusal("recvack", json!({"messageId": 5})).await, -32602);
    assert_eq!(desk.refusal("recvack", json!({})).await, -32602);
}

#[tokio::test]
async fn unknown_fields_and_members_are_ignored() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    let mut body = send_body("bob", "more", b"{}");
    body.extend([0xfa, 0x07, 0x03, b'n', b'e', b'w']);
    let answer = alice.request(command::SEND, &body, "SendMessageResponse").await;
    assert_eq!(answer.number("error_code"), SUCCESS);
    bob.next("recv").await;
    let more = json!({"frob": {"x": [1]}, "header": {"frob": true}, "setting": {"signal": true}, "topic": null});
    bob.result("send", to("alice", "more", &more)).await;
    assert_eq!(alice.next_push().await.text("client_msg_id"), "more");
}

#[tokio::test]
async fn a_request_may_overtake_another_and_its_sequence_tells_them_apart() {
    let world = World::new();
    let mut alice = world.binary("alice").await;
    let mut asked = Vec::new();
    for number in 0..10 {
        asked.push(alice.ask(command::SEND, &send_body("bob", &format!("id-{number}"), b"x")).await);
        asked.push(alice.ask(command::HEARTBEAT, b"").await);
    }
    let mut answered = Vec::new();
    for _ in 0..asked.len() {
        let heard = alice.receive().await.expect("an answer");
        let kind = if heard.command == command::SEND + 1 { "SendMessageResponse" } else { "HeartbeatResponse" };
        Fields::decode(kind, &heard.body);
        assert!(heard.timestamp > 1_700_000_000_000, "milliseconds");
        answered.push(heard.sequence);
    }
    answered.sort_unstable();
    assert_eq!(answered, asked);
}

#[tokio::test]
async fn a_person_channel_needs_no_more_than_the_smallest_example() {
    let world = World::new();
    let mut alice = world.rpc("alice").await;
    let example = r#"{"method":"send","params":{"clientMsgNo":"uuid-12345","channelId":"bob","channelType":1,
        "payload":{"content":"Hello!","type":1}},"id":"req-send-1"}"#;
    alice.socket.send_text(example).await;
    let answer = alice.receive().await.expect("an answer");
    assert_eq!((&answer["id"], &answer["result"]["reasonCode"]), (&json!("req-send-1"), &json!(0)));
    let mut wukong = world.wukong("carol").await;
    let sent = wukong.result("send", to("bob", "one", &json!({}))).await;
    let members: Vec<&String> = sent.as_object().expect("an object").keys().collect();
    assert_eq!((&sent["reasonCode"], members.len()), (&json!(1), 4), "messageId, messageSeq, header as well: {sent}");
    let mut bob = world.rpc("bob").await;
    assert_eq!(bob.next("recv").await["payload"], json!({"content": "Hello!", "type": 1}));
    assert_eq!(bob.result("history", channel("carol")).await["newestSeq"], 1);
}
