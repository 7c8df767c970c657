//! A client of the JSON-RPC protocol, written from its specification.

use super::socket::{Received, Socket};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;

pub struct RpcClient {
    pub socket: Socket,
    pub user: String,
    last_id: u64,
    /// Notified and not looked at yet.
    notifications: VecDeque<Value>,
}

impl RpcClient {
    pub async fn connect(address: SocketAddr, path: &str) -> Self {
        Self::on(Socket::connect(address, path).await)
    }

    pub fn on(socket: Socket) -> Self {
        Self { socket, user: String::new(), last_id: 0, notifications: VecDeque::new() }
    }

    pub async fn login(address: SocketAddr, path: &str, user: &str, token: &str) -> Self {
        let params = json!({"uid": user, "token": token, "deviceId": "d", "deviceFlag": 1});
        Self::login_with(address, path, params).await.0
    }

    /// With these params; returns the result as well.
    pub async fn login_with(address: SocketAddr, path: &str, params: Value) -> (Self, Value) {
        let mut client = Self::connect(address, path).await;
        params["uid"].as_str().expect("a user").clone_into(&mut client.user);
        let result = client.result("connect", params).await;
        (client, result)
    }

    /// The next message; `Err` holds the close code.
    pub async fn receive(&mut self) -> Result<Value, Option<u16>> {
        match self.socket.receive().await {
            Received::Text(text) => {
                let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                assert_eq!(value["jsonrpc"], "2.0", "{value}");
                Ok(value)
            }
            Received::Closed(code) => Err(code),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// Sends a request and returns its id.
    pub async fn ask(&mut self, method: &str, params: Value) -> String {
        self.last_id += 1;
        let id = format!("{method}-{}", self.last_id);
        self.tell(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    pub async fn tell(&mut self, value: Value) {
        self.socket.send_text(&value.to_string()).await;
    }

    pub async fn answer(&mut self, id: &Value) -> Result<Value, Option<u16>> {
        loop {
            let heard = self.receive().await?;
            if heard.get("method").is_some() {
                assert!(heard.get("id").is_none(), "a notification has no id: {heard}");
                self.notifications.push_back(heard);
            } else {
                assert_eq!(heard["id"], *id, "{heard}");
                return Ok(heard);
            }
        }
    }

    /// The whole answer, `result` or `error`; what is notified before it is kept.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params).await;
        self.answer(&json!(id)).await.unwrap_or_else(|code| panic!("closed with {code:?}"))
    }

    /// The result of a request that is not refused.
    pub async fn result(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.call(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// The error code of a request that is refused.
    pub async fn refusal(&mut self, method: &str, params: Value) -> i64 {
        let answer = self.call(method, params).await;
        assert!(answer.get("result").is_none(), "{method}: {answer}");
        answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("no code: {answer}"))
    }

    /// The next notification, whatever it tells.
    pub async fn next_notification(&mut self) -> (String, Value) {
        loop {
            let mut notification = match self.notifications.pop_front() {
                Some(kept) => kept,
                None => self.receive().await.unwrap_or_else(|code| panic!("closed with {code:?}")),
            };
            let method = notification["method"].as_str().expect("a method").to_owned();
            if method != "pong" {
                return (method, notification["params"].take());
            }
        }
    }

    pub async fn send(&mut self, to: &str, id: &str, payload: Value) -> Value {
        let params = json!({"clientMsgNo": id, "channelId": to, "channelType": 1, "payload": payload});
        self.call("send", params).await
    }

    /// The params of the next notification of `method`; others before it are passed over.
    pub async fn next(&mut self, method: &str) -> Value {
        loop {
            let notification = match self.notifications.pop_front() {
                Some(kept) => kept,
                None => self.receive().await.unwrap_or_else(|code| panic!("closed with {code:?}")),
            };
            if notification["method"] == method {
                return notification["params"].clone();
            }
        }
    }

    /// The messages that came before now: the server answers in order.
    pub async fn messages_until_now(&mut self) -> Vec<Value> {
        self.call("ping", json!({})).await;
        let kept = self.notifications.drain(..).filter(|kept| kept["method"] == "recv");
        kept.map(|kept| kept["params"].clone()).collect()
    }

    /// The whole inbox, page by page; its seqs are 1 to n without a hole.
    pub async fn inbox(&mut self) -> Vec<Value> {
        self.inbox_after(0).await
    }

    /// The inbox behind a seq, page by page; its seqs go on from there to the last without a hole.
    pub async fn inbox_after(&mut self, start: i64) -> Vec<Value> {
        let mut entries: Vec<Value> = Vec::new();
        loop {
            let after = entries.last().map_or(start, inbox_seq);
            let page = self.call("sync", json!({"maxSeq": after, "limit": 1000})).await;
            let page = &page["result"];
            let messages = page["messages"].as_array().unwrap_or_else(|| panic!("no messages: {page}"));
            entries.extend(messages.iter().cloned());
            if page["hasMore"] == false {
                let seqs: Vec<i64> = entries.iter().map(inbox_seq).collect();
                let expected: Vec<i64> = (start + 1..=page["serverMaxSeq"].as_i64().expect("a number")).collect();
                assert_eq!(seqs, expected, "the inbox of {} has a hole", self.user);
                return entries;
            }
            assert!(!messages.is_empty(), "more is promised, and nothing comes");
        }
    }
}

pub fn inbox_seq(message: &Value) -> i64 {
    message["inboxSeq"].as_i64().unwrap_or_else(|| panic!("no inboxSeq: {message}"))
}
