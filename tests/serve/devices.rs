//! Devices on a real server: a backlog of many times the outbox flows to a new session in order, a device that comes
//! again ends its older session, and presence is told over both protocols.

use crate::common::Home;
use crate::common::rpc::{RpcClient, inbox_seq};
use serde_json::{Value, json};
use std::net::SocketAddr;

const SMALL_OUTBOX: &str = "
content_bytes_max = 8192
extra_bytes_max = 1024
sync_bytes_max = 32768
outbox_bytes_max = 65536
";
const BACKLOG: i64 = 1_000;

async fn device(home: &Home, address: SocketAddr, user: &str, device: &str) -> RpcClient {
    let mut client = RpcClient::connect(address, "/rpc").await;
    client.user = user.to_owned();
    let params = json!({"uid": user, "token": home.token(user), "deviceId": device, "deviceFlag": 1});
    let answer = client.call("connect", params).await;
    assert!(answer.get("error").is_none(), "{answer}");
    client
}

async fn write(author: &mut RpcClient, number: i64) {
    let answer = author.send("bob", &format!("m-{number}"), json!({"type": 1, "text": "x".repeat(4_000)})).await;
    assert!(answer.get("error").is_none(), "{answer}");
}

#[tokio::test]
async fn a_backlog_larger_than_the_outbox_reaches_a_new_session_in_order_with_what_is_new_behind_it() {
    let home = Home::new().with_limits(SMALL_OUTBOX);
    let server = home.start();
    let mut alice = device(&home, server.address, "alice", "desk").await;
    for number in 0..BACKLOG {
        write(&mut alice, number).await;
    }
    let mut bob = device(&home, server.address, "bob", "phone").await;
    for number in BACKLOG..BACKLOG + 20 {
        write(&mut alice, number).await;
    }
    let mut last = Value::Null;
    for expected in 1..=BACKLOG + 20 {
        last = bob.next("recv").await;
        assert_eq!(inbox_seq(&last), expected);
        let ack = json!({"messageId": last["messageId"], "messageSeq": last["messageSeq"]});
        bob.tell(json!({"jsonrpc": "2.0", "method": "recvack", "params": {"header": {}, "messageId": ack["messageId"],
            "messageSeq": ack["messageSeq"]}}))
            .await;
    }
    assert!(bob.messages_until_now().await.is_empty());
    write(&mut alice, BACKLOG + 20).await;
    let mut again = device(&home, server.address, "bob", "phone").await;
    assert_eq!(inbox_seq(&again.next("recv").await), inbox_seq(&last) + 1, "the rest is acknowledged");
    let mut other = device(&home, server.address, "bob", "tablet").await;
    assert_eq!(inbox_seq(&other.next("recv").await), 22, "a new device begins a thousand below the newest");
}

#[tokio::test]
async fn a_device_that_comes_again_ends_its_older_session_and_says_why() {
    let home = Home::new();
    let server = home.start();
    let mut old = device(&home, server.address, "bob", "phone").await;
    let mut other = device(&home, server.address, "bob", "tablet").await;
    let mut new = device(&home, server.address, "bob", "phone").await;
    assert_eq!(old.next("disconnect").await["reasonCode"], 12);
    assert_eq!(old.receive().await, Err(Some(4004)));
    for open in [&mut other, &mut new] {
        assert!(open.messages_until_now().await.is_empty());
    }
}

#[tokio::test]
async fn who_subscribes_is_told_who_comes_and_goes_whatever_they_speak() {
    let home = Home::new().with_shards(2);
    let server = home.start();
    let mut bob = device(&home, server.address, "bob", "phone").await;
    let users = json!(["alice", "carol", "bob"]);
    let answer = bob.call("presence", json!({"userIds": users, "action": 1})).await;
    let online: Vec<&Value> = (0..3).map(|at| &answer["result"]["states"][at]["online"]).collect();
    assert_eq!(online, [false, false, true], "{answer}");
    let (alice, _) = crate::common::binary::BinaryClient::login(server.address, "alice", &home.token("alice")).await;
    let told = bob.next("presence").await;
    assert_eq!((&told["userId"], &told["online"]), (&json!("alice"), &json!(true)), "{told}");
    drop(alice);
    let told = bob.next("presence").await;
    assert_eq!((&told["userId"], &told["online"]), (&json!("alice"), &json!(false)), "{told}");
    assert!(told["lastSeen"].as_i64().is_some_and(|time| time > 0), "{told}");
}
