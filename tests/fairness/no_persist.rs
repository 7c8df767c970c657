//! A member of a large group, most of which is there, sends what is never stored as fast as it is let.

use crate::common::rpc::RpcClient;
use crate::stage::Stage;
use serde_json::json;
use std::time::{Duration, Instant};

const MEMBERS: usize = 5_000;
const ONLINE: usize = 300;

#[test]
fn what_is_never_stored_holds_nobody_up_in_a_large_group() {
    let stage = Stage::new();
    stage.group("hall", MEMBERS);
    stage.withstands("no persist", || async {
        let mut online = Vec::new();
        for number in 1..=ONLINE {
            online.push(stage.login(&Stage::member("hall", number)).await);
        }
        let name = Stage::member("hall", 0);
        let mut shouter = RpcClient::login(stage.address(), "/rpc", &name, &stage.token(&name)).await;
        let (begun, mut refused) = (Instant::now(), 0);
        for number in 0.. {
            if begun.elapsed() > Duration::from_secs(3) {
                break;
            }
            let params = json!({
                "channelId": "hall",
                "channelType": 2,
                "clientMsgNo": format!("n{number}"),
                "payload": {"type": 1, "content": "psst"},
                "header": {"noPersist": true},
            });
            let answer = shouter.call("send", params).await;
            refused += usize::from(answer.get("error").is_some_and(|error| error["code"] == 1104));
        }
        println!("no persist: {refused} refused");
    });
}
