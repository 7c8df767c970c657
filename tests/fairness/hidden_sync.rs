//! One user asks for one entry in front of a long run of entries whose time is over, again and again.

use crate::common::rpc::RpcClient;
use crate::stage::Stage;
use serde_json::json;
use std::time::{Duration, Instant};

const AUTHORS: usize = 4;
/// As many as one user may send at once.
const MESSAGES_OF_EACH: usize = 200;

#[test]
fn a_search_through_what_is_not_shown_any_more_holds_nobody_up() {
    let stage = Stage::new();
    stage.withstands("hidden entries", || async {
        for author in (0..AUTHORS).map(|number| format!("author-{number}")) {
            let mut author = RpcClient::login(stage.address(), "/rpc", &author, &stage.token(&author)).await;
            for number in 0..MESSAGES_OF_EACH {
                let message = json!({
                    "clientMsgNo": format!("e{number}"), "channelId": "searcher", "channelType": 1, "expire": 1,
                    "payload": {"type": 1, "content": "soon gone"},
                });
                author.call("send", message).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut searcher = stage.login("searcher").await;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            let page = searcher.sync(0, 1).await;
            assert!(page.list("messages").is_empty());
        }
    });
}
