//! Fresh tokens on live sessions, and sessions that prove their messages, on a real server.

mod common;

use common::binary::{BinaryClient, SUCCESS, auth_body, command};
use common::keys::{agreed, proof, public_key};
use common::rpc::RpcClient;
use common::{Home, Server};
use serde_json::{Value, json};

/// A second longer than its token, and the session is closed.
fn with_little_grace() -> (Home, Server) {
    let home = Home::new().with_limits("token_grace_ms = 1000\n");
    let server = home.start();
    (home, server)
}

#[tokio::test]
async fn a_session_ends_with_its_token_unless_it_shows_a_fresh_one() {
    let (home, server) = with_little_grace();
    let token = |user: &str| home.token_for(user, "2s");
    let (mut idle, _) = BinaryClient::login(server.address, "idle", &token("idle")).await;
    let (mut alice, _) = BinaryClient::login(server.address, "alice", &token("alice")).await;
    let mut bob = RpcClient::login(server.address, "/rpc", "bob", &token("bob")).await;
    alice.send("bob", "before", b"hello").await;

    let fresh = auth_body("alice", &home.token("alice"), "Linux");
    let answer = alice.request(command::REAUTH, &fresh, "AuthResponse").await;
    assert_eq!((answer.number("error_code"), answer.number("max_seq")), (SUCCESS, 1));
    let answer = bob.call("reauth", json!({"token": home.token("bob")})).await;
    assert_eq!(answer["result"], json!({"reasonCode": 0, "maxSeq": 1}));

    let farewell = idle.hear().await.expect("a farewell before the close");
    assert_eq!(farewell.command, command::KICK_OUT);
    assert_eq!(idle.socket.ending().await, Some(4007));
    assert_eq!(alice.send("bob", "after", b"hello").await.number("error_code"), SUCCESS);
    assert_eq!(bob.call("ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn a_token_that_is_not_good_leaves_the_session_as_it_is() {
    let (home, server) = with_little_grace();
    let (mut alice, _) = BinaryClient::login(server.address, "alice", &home.token("alice")).await;
    for (body, code) in [
        (auth_body("alice", &home.token("mallory"), ""), 100),
        (auth_body("mallory", &home.token("mallory"), ""), 100),
        (auth_body("alice", "no token", ""), 100),
    ] {
        let answer = alice.request(command::REAUTH, &body, "AuthResponse").await;
        assert_eq!(answer.number("error_code"), code);
        assert_eq!(alice.send("alice", "note", b"I am still here").await.number("error_code"), SUCCESS);
    }
    let mut bob = RpcClient::login(server.address, "/rpc", "bob", &home.token("bob")).await;
    let answer = bob.call("reauth", json!({"token": home.token("alice")})).await;
    assert_eq!(answer["error"]["code"], 1001);
    assert_eq!(bob.call("ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn sessions_with_keys_prove_every_message_whichever_core_they_are_on() {
    let home = Home::new().with_shards(3);
    let server = home.start();
    let payload = r#"{"content":"hello","type":1}"#;
    // Enough users that all shards have some, and that some arrive at the wrong core.
    for number in 0..6_u8 {
        let (alice, bob) = (format!("alice-{number}"), format!("bob-{number}"));
        let private = [number + 1; 32];
        let public = public_key(private);
        let mut keyed = RpcClient::connect(server.address, "/rpc").await;
        let params = json!({"uid": alice, "token": home.token(&alice), "deviceId": "d", "clientKey": public});
        let welcome = keyed.call("connect", params).await;
        let key = agreed(private, &welcome["result"]);
        let mut plain = RpcClient::login(server.address, "/rpc", &bob, &home.token(&bob)).await;

        let send = |id: &str, key: String| {
            let object: Value = serde_json::from_str(payload).expect("JSON");
            json!({"clientMsgNo": id, "channelId": bob, "channelType": 1, "payload": object, "msgKey": key})
        };
        let answer = keyed.call("send", send("one", proof(&key, "one", &bob, payload))).await;
        assert_eq!(answer["result"]["reasonCode"], 0, "{answer}");
        let answer = keyed.call("send", send("two", proof(&key, "one", &bob, payload))).await;
        assert_eq!(answer["error"]["code"], 1106);
        assert!(plain.next("recv").await.get("msgKey").is_none(), "it says nothing to anybody else");

        plain.send(&alice, "three", serde_json::from_str(payload).expect("JSON")).await;
        let received = keyed.next("recv").await;
        assert_eq!(received["msgKey"], proof(&key, "three", &bob, payload), "{received}");
    }
}
