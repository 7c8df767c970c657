//! JSON-RPC's envelope and its first request: ids, what a connect says and is told, and each way in which it fails.

use crate::common::rpc::RpcClient;
use crate::world::{World, channel};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

#[tokio::test]
async fn the_smallest_connect_is_answered_with_all_fields() {
    let world = World::new();
    for (path, reason) in [("/rpc", 0), ("/", 0), ("/wukong", 1)] {
        let mut client = RpcClient::connect(world.server().address, path).await;
        let request =
            json!({"method": "connect", "params": {"uid": "alice", "token": world.home.token("alice")}, "id": "r"});
        client.tell(request).await;
        let answer = client.receive().await.expect("an answer");
        assert_eq!((&answer["id"], &answer["jsonrpc"]), (&json!("r"), &json!("2.0")));
        let result = answer["result"].as_object().expect("an object");
        let names: Vec<&str> = result.keys().map(String::as_str).collect();
        let mut expected = vec!["serverKey", "salt", "timeDiff", "reasonCode", "header", "serverVersion", "nodeId"];
        // Of ours, beyond the specification.
        expected.extend((path != "/wukong").then_some("inboxEpoch"));
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert!(result.values().all(|value| !value.is_null()), "none is null: {result:?}");
        assert_eq!(
            (&result["timeDiff"], &result["reasonCode"], &result["header"]),
            (&json!(0), &json!(reason), &json!({}))
        );
        let key = BASE64_STANDARD.decode(result["serverKey"].as_str().expect("a string")).expect("base64");
        let salt = result["salt"].as_str().expect("a string");
        assert_eq!((key.len(), salt.len(), salt.is_ascii()), (32, 16, true));
    }
}

#[tokio::test]
async fn a_full_connect_tells_the_difference_of_the_clocks() {
    let world = World::new();
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let params = json!({"deviceId": "phone", "deviceFlag": 1, "version": 3, "header": {"noPersist": true},
        "clientTimestamp": now - 1_000_000, "clientKey": "", "frob": 1});
    let (_alice, result) = world.rpc_with("alice", params).await;
    let difference = result["timeDiff"].as_i64().expect("a number");
    assert!((1_000_000..1_120_000).contains(&difference), "the server's time minus the client's: {difference}");
}

/// The code of a connect's refusal, and how the connection ends.
async fn refused(world: &World, params: Value) -> (i64, Option<u16>) {
    let mut client = RpcClient::connect(world.server().address, "/rpc").await;
    let code = client.refusal("connect", params).await;
    (code, client.receive().await.expect_err("closed after the answer"))
}

#[tokio::test]
async fn a_connect_that_fails_is_answered_and_then_closed() {
    let world = World::new();
    let token = world.home.token("alice");
    let zeros = BASE64_STANDARD.encode([0; 32]);
    for (params, code) in [
        (json!({"uid": "alice", "token": world.home.token("bob")}), 1001),
        (json!({"uid": "alice", "token": "nonsense"}), 1001),
        (json!({"uid": "alice", "token": ""}), 1001),
        (json!({"uid": "alice", "token": "x".repeat(5_000)}), 1001),
        (json!({"uid": "", "token": token}), 1001),
        (json!({"uid": "alice"}), -32602),
        (json!({"token": token}), -32602),
        (json!({"uid": "alice", "token": token, "deviceFlag": 256}), -32602),
        (json!({"uid": "alice", "token": token, "deviceFlag": "APP"}), -32602),
        (json!({"uid": "alice", "token": token, "clientKey": "short"}), -32602),
        (json!({"uid": "alice", "token": token, "clientKey": zeros}), -32602),
    ] {
        assert_eq!(refused(&world, params.clone()).await, (code, Some(4001)), "{params}");
    }
}

#[tokio::test]
async fn an_expired_token_is_told_apart_and_closes_with_4007() {
    let world = World::of(crate::common::Home::new().with_config("[server]\ntoken_leeway_ms = 0\n"));
    let token = world.home.token_for("alice", "1s");
    let (code, close) = loop {
        let mut client = RpcClient::connect(world.server().address, "/rpc").await;
        let answer = client.call("connect", json!({"uid": "alice", "token": token})).await;
        if let Some(code) = answer["error"]["code"].as_i64() {
            break (code, client.receive().await.expect_err("closed"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!((code, close), (1002, Some(4007)));
}

#[tokio::test]
async fn anything_before_connect_is_refused_and_closed() {
    let world = World::new();
    for (path, method) in [("/rpc", "ping"), ("/", "sync"), ("/wukong", "recvack"), ("/rpc", "frobnicate")] {
        let mut client = RpcClient::connect(world.server().address, path).await;
        assert_eq!(client.refusal(method, json!({})).await, 1003, "{method}");
        assert_eq!(client.receive().await, Err(Some(4001)), "{method}");
    }
}

#[tokio::test]
async fn every_shape_of_request_is_answered_as_json_rpc_says() {
    let world = World::new();
    let mut alice = world.rpc("alice").await;
    for (request, id, code) in [
        (r#"{"method":"connect","params":{"uid":"alice","token":"t"},"id":"again"}"#, json!("again"), -32600),
        (r#"{"jsonrpc":2,"method":"ping","id":"x"}"#, json!("x"), -32600),
        (r#"{"method":7,"id":"m"}"#, json!("m"), -32600),
        (r#""text""#, Value::Null, -32600),
        (r#"{"method":"ping","id":{}}"#, Value::Null, -32600),
        (r#"{"method":"history","params":[1],"id":"p"}"#, json!("p"), -32602),
        (r#"{"method":"ping"} {"#, Value::Null, -32700),
        ("", Value::Null, -32700),
    ] {
        alice.socket.send_text(request).await;
        let answer = alice.receive().await.expect("the connection is kept");
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{request}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    for (request, id) in [
        (r#"{"jsonrpc":"2.0","method":"recvack","params":{"messageId":"1"},"id":"a"}"#, json!("a")),
        (r#"{"method":"recvack","params":{"messageId":"1"},"id":12}"#, json!(12)),
        (r#"{"id":"c","params":{"messageId":"1","frob":null},"method":"recvack","frob":[]}"#, json!("c")),
    ] {
        assert!(alice.socket.send_binary(request.as_bytes()).await, "a binary frame that holds JSON");
        let answer = alice.receive().await.expect("an answer");
        assert_eq!(answer, json!({"jsonrpc": "2.0", "id": id, "result": {}}), "{request}");
    }
    for silent in
        [r#"{"method":"recvack","params":{"messageId":"1"}}"#, r#"{"method":"x","id":null}"#, r#"{"method":"sync"}"#]
    {
        alice.socket.send_text(silent).await;
    }
    assert_eq!(alice.result("ping", json!({})).await, json!({}), "notifications are not answered");
    alice.tell(json!({"method": "ping", "id": "null-params", "params": null})).await;
    assert_eq!(alice.answer(&json!("null-params")).await.expect("an answer")["result"], json!({}));
    assert_eq!(alice.refusal("history", channel("nobody")).await, 1101);
}
