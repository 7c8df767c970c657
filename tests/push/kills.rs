//! `mushan push` over kills and stops: nothing is lost, and nothing bursts.

use crate::common::wait_for;
use crate::waking::{PushHome, fcm, free_address, metrics, register, say};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn token(user: usize) -> String {
    format!("token-of-{user}-")
}

#[test]
fn every_phone_is_woken_whatever_is_killed() {
    const USERS: usize = 60;
    let push = PushHome::new();
    push.configure("");
    let mut server = push.home.start();
    let mut api = push.home.api();
    for user in 0..USERS {
        register(&api, &format!("u-{user}"), "phone", &fcm(&token(user)));
        if user % 7 == 0 {
            push.services.answer(&token(user), &[(503, None, "{}")]);
        }
    }
    let mut process = push.push();
    for user in 0..USERS {
        say(&api, "alice", &json!({"user": format!("u-{user}")}), &format!("m-{user}"));
        match user {
            15 | 40 => {
                drop(process);
                process = push.push();
            }
            30 => {
                server.kill();
                server = push.home.start();
                api = push.home.api();
            }
            _ => {}
        }
    }
    let woken = || {
        let is_taken = |user: &usize| push.services.pushed(&token(*user)).iter().any(|it| it.status == 200);
        (0..USERS).filter(is_taken).collect::<BTreeSet<_>>()
    };
    wait_for("every phone", || (woken().len() == USERS).then_some(()));
    process.stop();
    drop(server);
}

#[test]
fn one_conversation_is_one_notification_and_a_long_stop_is_no_burst() {
    let push = PushHome::new();
    let metrics_at = free_address();
    push.configure(&format!("message_age_max_s = 5\nmetrics_listen = '{metrics_at}'"));
    let _server = push.home.start();
    let api = push.home.api();
    register(&api, "bob", "phone", &fcm("bobs-token"));
    let group = json!({"id": "team", "owner": "alice", "members": ["bob", "carol"]});
    assert_eq!(api.ask("POST", "/v1/groups", &group.to_string()).status, 201);
    push.push().stop();
    // Old when the process comes back.
    for n in 0..40 {
        say(&api, "carol", &json!({"user": "bob"}), &format!("old-{n}"));
    }
    let old_since = Instant::now();
    wait_for("the age of messages", || (old_since.elapsed() > Duration::from_secs(6)).then_some(()));
    for n in 0..60 {
        let to = if n % 2 == 0 { json!({"user": "bob"}) } else { json!({"group": "team"}) };
        say(&api, "alice", &to, &format!("new-{n}"));
    }
    let process = push.push();
    let sent = push.services.wait_for("bobs-token", 2);
    assert_eq!(sent.last().expect("some").json()["message"]["android"]["notification"]["notification_count"], 100);
    // What is sent later comes after all of these.
    say(&api, "dave", &json!({"user": "bob"}), "last");
    let last = push.services.wait_for("bobs-token", 3);
    let keys: Vec<String> = last
        .iter()
        .map(|it| it.json()["message"]["android"]["collapse_key"].as_str().expect("a key").to_owned())
        .collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 3, "one for each conversation: {keys:?}");
    assert_eq!(push.services.all(), 3, "40 old messages woke nobody, and 60 new ones twice");
    let told = metrics(&metrics_at);
    assert!(told.contains("mushan_push_requests_total{provider=\"fcm\",result=\"delivered\"} 3"), "{told}");
    assert!(told.contains("mushan_push_skipped_total{reason=\"old\"} 1"), "{told}");
    process.stop();
}

#[test]
fn who_came_back_meanwhile_or_has_read_is_not_woken() {
    let push = PushHome::new();
    push.configure("");
    let server = push.home.start();
    let api = push.home.api();
    for (user, token) in [("bob", "bobs-token"), ("carol", "carols-token")] {
        register(&api, user, "phone", &fcm(token));
    }
    push.push().stop();
    say(&api, "alice", &json!({"user": "bob"}), "read");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use crate::common::rpc::RpcClient;
        let mut bob = RpcClient::login(server.address, "/rpc", "bob", &push.home.token("bob")).await;
        let read = json!({"channelId": "alice", "channelType": 1, "through": 1});
        assert_eq!(bob.result("markRead", read).await, json!({}));
    });
    wait_for("the end of the session", || {
        let sessions = api.get("/v1/users/bob/sessions").json();
        sessions["sessions"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    say(&api, "alice", &json!({"user": "carol"}), "unread");
    let process = push.push();
    push.services.wait_for("carols-token", 1);
    assert!(push.services.pushed("bobs-token").is_empty(), "bob has read it");
    process.stop();
}
