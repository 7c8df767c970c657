//! Every error code of both specifications, each from the cause that it stands for, in both protocols.

use crate::common::Home;
use crate::common::binary::{SUCCESS, command, send_body};
use crate::common::binary_fields::{Fields, bytes, text};
use crate::world::{World, channel, to, with};
use serde_json::json;

#[tokio::test]
async fn in_a_closed_directory_only_who_is_known_is_written_to() {
    let world = World::of(Home::new().with_config("directory = \"closed\"\n[server]\nsegment_bytes = 1048576\n"));
    for user in ["alice", "bob", "carol"] {
        world.order("PUT", &format!("/v1/users/{user}"));
    }
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    for stranger in ["nobody", "dave"] {
        assert_eq!(alice.send(stranger, "to a stranger", b"{}").await.number("error_code"), 103, "{stranger}");
        assert_eq!(bob.refusal("send", to(stranger, "to a stranger", &json!({}))).await, 1100, "{stranger}");
    }
    assert_eq!(alice.send("bob", "known", b"{}").await.number("error_code"), SUCCESS);
    assert_eq!(bob.next("recv").await["clientMsgNo"], "known");
    bob.result("send", to("carol", "known", &json!({}))).await;
    world.order("PUT", "/v1/users/dave");
    assert_eq!(alice.send("dave", "known now", b"{}").await.number("error_code"), SUCCESS);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_connection_is_kept() {
    let world = World::new();
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    let limit = 64 << 10;
    assert_eq!(alice.send("bob", "fits", &vec![b'x'; limit]).await.number("error_code"), SUCCESS);
    bob.next("recv").await;
    assert_eq!(alice.send("bob", "large", &vec![b'x'; limit + 1]).await.number("error_code"), 200);
    let payload = |bytes: usize| json!({"payload": {"x": "y".repeat(bytes - r#"{"x":""}"#.len())}});
    bob.result("send", to("alice", "fits", &payload(limit))).await;
    assert_eq!(bob.refusal("send", to("alice", "large", &payload(limit + 1))).await, 1103);
    let fields = [("client_msg_id", text("extra")), ("receiver_id", text("bob")), ("message_type", 1_i32.into())];
    let long = "v".repeat(9_000);
    assert_eq!(alice.send_with(&fields, &[("k", &long)]).await.number("error_code"), 200);
    assert_eq!(bob.refusal("send", to("alice", "extra", &json!({"extra": {"k": long}}))).await, 1103);
    assert!(alice.heartbeat().await > 0 && bob.result("ping", json!({})).await == json!({}));
    alice.socket.send_binary(&vec![0; (256 << 10) + 1]).await;
    assert_eq!(alice.ending().await, Some(1009));
    bob.socket.send_text(&" ".repeat((256 << 10) + 1)).await;
    assert_eq!(bob.socket.ending().await, Some(1009));
}

#[tokio::test]
async fn who_sends_too_fast_is_told_so_whatever_it_speaks() {
    let world = World::of(Home::new().with_config("[limits]\nsends_per_second = 1\nsends_burst = 3\n"));
    let (mut alice, mut bob) = (world.binary("alice").await, world.rpc("bob").await);
    let mut codes = (Vec::new(), Vec::new());
    for number in 0..20 {
        codes.0.push(alice.send("carol", &format!("a-{number}"), b"{}").await.number("error_code"));
        let answer = bob.send("carol", &format!("b-{number}"), json!({"type": 1})).await;
        codes.1.push(answer["error"]["code"].as_i64().unwrap_or_default());
    }
    assert_eq!((&codes.0[..3], &codes.1[..3]), ([0; 3].as_slice(), [0; 3].as_slice()), "the burst");
    assert!(codes.0.contains(&201) && codes.1.contains(&1104), "{codes:?}");
    assert!(codes.0.iter().all(|code| [0, 201].contains(code)), "{codes:?}");
    assert!(codes.1.iter().all(|code| [0, 1104].contains(code)), "{codes:?}");
}

#[tokio::test]
async fn every_wrong_parameter_of_a_send_is_refused_in_json_rpc_as_well() {
    let world = World::new();
    let mut bob = world.rpc("bob").await;
    for (wrong, code) in [
        (json!({"fromUid": "alice"}), 1102),
        (json!({"channelType": 3}), -32602),
        (json!({"channelType": null}), -32602),
        (json!({"channelId": null}), -32602),
        (json!({"channelId": ""}), -32602),
        (json!({"channelId": "a\nb"}), -32602),
        (json!({"channelId": "x".repeat(65)}), -32602),
        (json!({"clientMsgNo": null}), -32602),
        (json!({"clientMsgNo": ""}), -32602),
        (json!({"clientMsgNo": "x".repeat(129)}), -32602),
        (json!({"payload": null}), -32602),
        (json!({"payload": [1]}), -32602),
        (json!({"payload": 5}), -32602),
        (json!({"header": 1}), -32602),
        (json!({"header": {"dup": "yes"}}), -32602),
        (json!({"setting": {"receipt": 1}}), -32602),
        (json!({"channelType": 2, "channelId": "none"}), 1101),
    ] {
        assert_eq!(bob.refusal("send", with(&to("alice", "id", &json!({})), &wrong)).await, code, "{wrong}");
    }
    assert_eq!(bob.result("send", to("alice", "id", &json!({}))).await["inboxSeq"], 1, "nothing of all that is stored");
    for method in ["frobnicate", "Send", "disconnect", ""] {
        assert_eq!(bob.refusal(method, json!({})).await, -32601, "{method}");
    }
    for method in ["revoke", "receipt", "typing", "history", "markRead"] {
        assert_eq!(bob.refusal(method, json!({"channelId": "alice"})).await, -32602, "{method} needs a channel");
    }
    assert_eq!(bob.refusal("markRead", with(&channel("carol"), &json!({"through": 1}))).await, 1101);
}

#[tokio::test]
async fn ids_are_1_to_64_bytes_of_utf_8_without_control_characters() {
    let world = World::new();
    let mut alice = world.binary("alice").await;
    let long = "x".repeat(64);
    let wide = "你".repeat(21);
    for good in ["b", &*long, &*wide, "a b", "user@host", "🙂"] {
        assert_eq!(alice.send(good, good, b"{}").await.number("error_code"), SUCCESS, "{good}");
        let mut peer = world.rpc(good).await;
        assert_eq!(peer.next("recv").await["fromUid"], "alice", "{good}");
    }
    for bad in [&*format!("{long}x"), &*format!("{wide}你"), "a\u{7f}", "\t", "a\u{85}b"] {
        assert_eq!(alice.send(bad, bad, b"{}").await.number("error_code"), 2, "{bad:?}");
    }
}

#[tokio::test]
async fn sixteen_frames_in_a_row_that_are_no_message_close_a_binary_session() {
    let world = World::new();
    let mut alice = world.binary("alice").await;
    for round in 0..15 {
        alice.socket.send_binary(b"\xff\xff\xff").await;
        let answer = alice.receive().await.expect("an answer");
        assert_eq!((answer.command, answer.sequence), (command::UNKNOWN, 0), "round {round}");
        assert_eq!(Fields::decode("Unknown", &answer.body).number("error_code"), 2);
    }
    alice.heartbeat().await;
    for _ in 0..16 {
        alice.socket.send_binary(b"\xff\xff\xff").await;
    }
    assert_eq!(alice.ending().await, Some(4006));
}

#[tokio::test]
async fn a_body_that_does_not_decode_is_refused_in_the_response_that_belongs_to_it() {
    let world = World::new();
    let mut alice = world.binary("alice").await;
    for (asked, response) in [
        (command::SEND, "SendMessageResponse"),
        (command::SYNC, "SyncResponse"),
        (command::REVOKE, "RevokeMessageResponse"),
        (command::RECEIPT, "ReadReceiptResponse"),
        (command::CONVERSATIONS, "ConversationsResponse"),
        (command::HISTORY, "HistoryResponse"),
        (command::PRESENCE, "PresenceResponse"),
        (command::MARK_READ, "MarkReadResponse"),
        (command::REAUTH, "AuthResponse"),
        (command::AUTH, "AuthResponse"),
    ] {
        let answer = alice.request(asked, b"\xff\xff", response).await;
        assert_eq!(answer.number("error_code"), 2, "{response}");
    }
    let fields = [
        ("client_msg_id", text("both")),
        ("receiver_id", text("bob")),
        ("group_id", text("team")),
        ("message_type", 1_i32.into()),
        ("content", bytes(b"{}")),
    ];
    assert_eq!(alice.send_with(&fields, &[]).await.number("error_code"), 2, "two addressees");
    assert_eq!(alice.send_with(&fields[..1], &[]).await.number("error_code"), 2, "none, and no type");
    let sequence = alice.ask(command::SEND, &send_body("bob", "good", b"{}")).await;
    assert_eq!(alice.answer(sequence).await.expect("an answer").sequence, sequence);
}
