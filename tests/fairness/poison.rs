//! One user writes what takes six bytes for each of its own in JSON; who it writes to logs in again and again, and asks
//! for all of it.

use crate::common::rpc::RpcClient;
use crate::stage::Stage;
use serde_json::json;
use std::time::{Duration, Instant};

/// A control character takes six bytes in a JSON string.
const POISON: &str = "\u{1}";
/// Messages, the control characters of what stands beside their content, and those of the content.
const POISONED: [(usize, usize, usize); 3] = [(4, 7_600, 0), (20, 0, 8_000), (40, 800, 2_000)];
const WRITERS: usize = 4;

#[test]
fn texts_that_escape_hold_nobody_up_and_lock_nobody_out() {
    let stage = Stage::new();
    stage.withstands("poison", || async {
        let mut written = 0;
        for number in 0..WRITERS {
            let name = format!("writer-{number}");
            written += poison(RpcClient::login(stage.address(), "/rpc", &name, &stage.token(&name)).await).await;
        }
        let token = stage.token("reader");
        let (begun, mut logins) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(3) {
            let path = ["/rpc", "/wukong"][logins % 2];
            let params = json!({"uid": "reader", "token": token, "deviceId": format!("d{logins}"), "deviceFlag": 1});
            let (mut reader, _) = RpcClient::login_with(stage.address(), path, params).await;
            for number in 0..4 {
                let params = json!({"channelId": format!("writer-{number}"), "channelType": 1, "limit": 1_000});
                reader.ask("history", params).await;
            }
            reader.ask("conversations", json!({})).await;
            for _ in 0..written {
                reader.next("recv").await;
            }
            logins += 1;
        }
        println!("poison: {written} messages told to each of {logins} sessions");
        assert!(logins > 0);
    });
}

async fn poison(mut writer: RpcClient) -> usize {
    let mut number = 0;
    for (count, extra, content) in POISONED {
        for _ in 0..count {
            let params = json!({
                "clientMsgNo": format!("p{number}"), "channelId": "reader", "channelType": 1,
                "payload": POISON.repeat(content), "extra": {"k": POISON.repeat(extra)},
            });
            writer.result("send", params).await;
            number += 1;
        }
    }
    number
}
