//! A server with two shards, and clients of its people.

use crate::common::binary::{BinaryClient, SUCCESS};
use crate::common::binary_fields::Fields;
use crate::common::http::Api;
use crate::common::rpc::RpcClient;
use crate::common::{Home, PATIENCE, Server};
use mushan::model::UserId;
use mushan::shard::Placement;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub struct World {
    pub home: Home,
    server: Option<Server>,
}

impl World {
    pub fn new() -> Self {
        Self::of(Home::new())
    }

    /// With more lines for the section `[limits]`.
    pub fn with_limits(lines: &str) -> Self {
        Self::of(Home::new().with_limits(lines))
    }

    pub fn of(home: Home) -> Self {
        let server = home.start();
        Self { home, server: Some(server) }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs but for a moment")
    }

    /// SIGKILL, and a start on what is left.
    pub fn kill_and_start(&mut self) {
        self.server.take().expect("it runs").kill();
        self.server = Some(self.home.start());
    }

    /// Stops the server, divides its directory anew, and starts it with so many shards.
    pub fn reshard(&mut self, shards: u16) {
        assert!(self.server.take().expect("it runs").stop().status.success());
        let output = self.home.run(&["reshard", "--shards", &shards.to_string()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.home.set_shards(shards);
        self.server = Some(self.home.start());
    }

    pub fn api(&self) -> Api {
        self.home.api()
    }

    pub async fn binary(&self, user: &str) -> BinaryClient {
        self.server().binary(user).await
    }

    pub async fn binary_on(&self, user: &str, platform: &str) -> BinaryClient {
        let mut client = BinaryClient::connect(self.server().address).await;
        let answer = client.authenticate_on(user, &self.home.token(user), platform).await;
        assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
        client
    }

    pub async fn rpc(&self, user: &str) -> RpcClient {
        self.rpc_on(user, "desk").await
    }

    pub async fn rpc_on(&self, user: &str, device: &str) -> RpcClient {
        self.rpc_with(user, json!({"deviceId": device, "deviceFlag": 1})).await.0
    }

    pub async fn wukong(&self, user: &str) -> RpcClient {
        let params = json!({"uid": user, "token": self.home.token(user), "deviceId": "web", "deviceFlag": 2});
        RpcClient::login_with(self.server().address, "/wukong", params).await.0
    }

    /// With more params for `connect`, which may be wrong ones; returns the result as well.
    pub async fn rpc_with(&self, user: &str, params: Value) -> (RpcClient, Value) {
        let mut all = json!({"uid": user, "token": self.home.token(user)});
        all.as_object_mut().expect("an object").extend(params.as_object().expect("an object").clone());
        RpcClient::login_with(self.server().address, "/rpc", all).await
    }

    /// Of `alice`, with these members, who have all been told when this returns.
    pub async fn group(&self, id: &str, members: &[&str]) {
        let mut before = Vec::new();
        for user in members.iter().chain(&["alice"]) {
            let shown = self.api().get(&format!("/v1/users/{user}"));
            before.push((
                *user,
                if shown.status == 200 { shown.json()["newest_seq"].as_i64().expect("a seq") } else { 0 },
            ));
        }
        let body = json!({"id": id, "owner": "alice", "members": members}).to_string();
        assert_eq!(self.api().ask("POST", "/v1/groups", &body).status, 201);
        for (user, newest) in before {
            self.settle(user, newest + 1).await;
        }
    }

    /// Waits until a user's inbox has got so far: an author is answered when it is sure to, which may be before.
    pub async fn settle(&self, user: &str, seq: i64) {
        let mut witness = self.binary_on(user, "witness").await;
        let begun = Instant::now();
        while witness.sync(seq - 1, 1).await.number("server_max_seq") < seq {
            assert!(begun.elapsed() < PATIENCE, "the inbox of {user} does not get to {seq}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn change_members(&self, group: &str, change: &Value) {
        let answer = self.api().ask("POST", &format!("/v1/groups/{group}/members"), &change.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    pub fn change_member(&self, group: &str, user: &str, change: &Value) {
        let answer = self.api().ask("PUT", &format!("/v1/groups/{group}/members/{user}"), &change.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// An order without a body, which succeeds.
    pub fn order(&self, method: &str, path: &str) {
        let answer = self.api().ask(method, path, "");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

pub fn channel(peer: &str) -> Value {
    json!({"channelId": peer, "channelType": 1})
}

pub fn group_channel(group: &str) -> Value {
    json!({"channelId": group, "channelType": 2})
}

/// These objects' members together.
pub fn with(one: &Value, other: &Value) -> Value {
    let mut both = one.as_object().expect("an object").clone();
    both.extend(other.as_object().expect("an object").clone());
    Value::Object(both)
}

/// A `send` to a person.
pub fn to(peer: &str, id: &str, more: &Value) -> Value {
    with(&with(&channel(peer), &json!({"clientMsgNo": id, "payload": {"type": 1, "content": id}})), more)
}

/// A `send` to a group.
pub fn to_group(group: &str, id: &str) -> Value {
    with(&group_channel(group), &json!({"clientMsgNo": id, "payload": {"type": 1, "content": id}}))
}

pub fn client_ids(entries: &[Fields]) -> Vec<String> {
    entries.iter().map(|entry| entry.text("client_msg_id")).collect()
}

pub fn client_numbers(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["clientMsgNo"].as_str().unwrap_or_default()).collect()
}

pub fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("no {name}: {value}"))
}

#[test]
fn the_people_of_these_tests_live_on_both_shards() {
    let shard = |user: &str| Placement::new(2).owner_of(&UserId::new(user).expect("well formed")).0;
    assert_eq!(["alice", "bob", "carol", "dave"].map(shard), [1, 0, 1, 0]);
}
