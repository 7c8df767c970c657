//! Accounts that an operator disables and tokens that it revokes: who is closed how, who is let in, and what survives.

use crate::common::binary::{BinaryClient, SUCCESS, auth_body, command};
use crate::common::rpc::RpcClient;
use crate::sessions::kick_out;
use crate::world::{World, client_ids};
use serde_json::{Value, json};
use std::time::Duration;

/// One of each shard.
const USERS: [&str; 2] = ["alice", "bob"];

/// Connections come to either core: so many that some come to the wrong one.
const ATTEMPTS: usize = 6;

/// The code and the sentence that an authentication gets, and how the connection ends behind it.
async fn refused(world: &World, user: &str, token: &str) -> (i64, String, Option<u16>) {
    let mut client = BinaryClient::connect(world.server().address).await;
    let answer = client.authenticate(user, token).await;
    let ended = client.receive().await.expect_err("the close frame comes next, and no farewell");
    (answer.number("error_code"), answer.text("error_msg"), ended)
}

/// The same of a JSON-RPC client.
async fn refused_rpc(world: &World, user: &str, token: &str) -> (i64, Option<u16>) {
    let mut client = RpcClient::connect(world.server().address, "/rpc").await;
    let answer = client.call("connect", json!({"uid": user, "token": token, "deviceId": "d"})).await;
    let ended = client.receive().await.expect_err("the close frame comes next");
    (answer["error"]["code"].as_i64().expect("it is refused"), ended)
}

async fn expect_shut_out(world: &World, user: &str) {
    let token = world.home.token(user);
    for _attempt in 0..ATTEMPTS {
        assert_eq!(refused(world, user, &token).await, (100, "account disabled".to_owned(), Some(4008)));
        assert_eq!(refused_rpc(world, user, &token).await, (1001, Some(4008)));
    }
}

fn shown(world: &World, user: &str) -> Value {
    world.api().get(&format!("/v1/users/{user}")).json()
}

#[tokio::test]
async fn a_disabled_account_is_told_closed_and_let_in_no_more_until_it_is_enabled() {
    let mut world = World::new();
    for user in USERS {
        let (mut binary, mut rpc) = (world.binary(user).await, world.rpc(user).await);
        world.order("PUT", &format!("/v1/users/{user}/disabled"));
        assert_eq!(kick_out(&mut binary).await, (2, Some(4008)));
        let told = rpc.next("disconnect").await;
        assert_eq!((&told["reasonCode"], &told["reason"]), (&json!(19), &json!("account disabled")));
        assert_eq!(rpc.receive().await, Err(Some(4008)));
        expect_shut_out(&world, user).await;
        assert_eq!(shown(&world, user)["disabled"], json!(true));
    }
    let mut carol = world.binary("carol").await;
    for user in USERS {
        assert_eq!(carol.send(user, &format!("to {user}"), b"{}").await.number("error_code"), SUCCESS);
    }
    world.kill_and_start();
    for user in USERS {
        expect_shut_out(&world, user).await;
        world.order("DELETE", &format!("/v1/users/{user}/disabled"));
        world.settle(user, 1).await;
        assert_eq!(client_ids(&world.binary(user).await.inbox().await), [format!("to {user}")], "it was stored");
        assert_eq!(shown(&world, user)["disabled"], json!(false));
    }
}

#[tokio::test]
async fn tokens_issued_before_a_revocation_open_and_renew_nothing_and_later_ones_do() {
    let mut world = World::new();
    let mut old = Vec::new();
    for user in USERS {
        let token = world.home.token(user);
        let (mut binary, mut rpc) = (world.binary(user).await, world.rpc(user).await);
        world.order("POST", &format!("/v1/users/{user}/tokens/revoke"));
        assert_eq!(kick_out(&mut binary).await, (3, Some(4007)));
        assert_eq!(rpc.receive().await, Err(Some(4007)), "no `disconnect`: a client is to come back");
        old.push(token);
    }
    // Tokens tell the second in which they were issued.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for _start in 0..2 {
        for (user, old) in USERS.into_iter().zip(&old) {
            for _attempt in 0..ATTEMPTS {
                assert_eq!(refused(&world, user, old).await, (101, "token revoked".to_owned(), Some(4007)));
                assert_eq!(refused_rpc(&world, user, old).await, (1002, Some(4007)));
            }
            let mut fresh = world.binary(user).await;
            let answer = fresh.request(command::REAUTH, &auth_body(user, old, ""), "AuthResponse").await;
            assert_eq!(answer.number("error_code"), 101);
            assert_eq!(fresh.send(user, "on it goes", b"{}").await.number("error_code"), SUCCESS);
            assert!(shown(&world, user)["tokens_from"].as_u64().is_some_and(|from| from > 0));
        }
        world.kill_and_start();
    }
}

#[tokio::test]
async fn accounts_survive_a_division_into_more_shards() {
    let mut world = World::new();
    let old = world.home.token("bob");
    world.order("PUT", "/v1/users/alice/disabled");
    world.order("POST", "/v1/users/bob/tokens/revoke");
    world.reshard(3);
    expect_shut_out(&world, "alice").await;
    assert_eq!(refused(&world, "bob", &old).await.0, 101);
    world.order("DELETE", "/v1/users/alice/disabled");
    world.reshard(2);
    world.binary("alice").await;
    assert_eq!(refused(&world, "bob", &old).await.0, 101);
}
