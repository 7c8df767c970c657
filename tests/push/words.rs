//! What services are told of authors who are erased while a notification waits to be tried again.

use crate::common::wait_for;
use crate::services::Told;
use crate::waking::{PushHome, fcm, free_address, metrics, register, say};
use serde_json::json;

const LATER: Told = (503, Some(("retry-after", "3")), "{}");

fn notification(of: &crate::services::Pushed) -> serde_json::Value {
    of.json()["message"]["notification"].clone()
}

#[test]
fn a_notification_that_is_tried_again_has_no_words_of_a_user_who_was_erased_meanwhile() {
    let push = PushHome::new();
    let metrics_at = free_address();
    push.configure(&format!("content = 'preview'\nmetrics_listen = '{metrics_at}'"));
    let _server = push.home.start();
    let api = push.home.api();
    register(&api, "bob", "phone", &fcm("bobs-token"));
    register(&api, "carol", "phone", &fcm("carols-token"));
    for token in ["bobs-token", "carols-token"] {
        push.services.answer(token, &[LATER]);
    }
    let _process = push.push();
    say(&api, "alice", &json!({"user": "bob"}), "of alice");
    say(&api, "dave", &json!({"user": "carol"}), "of dave");
    let first = push.services.wait_for("bobs-token", 1).remove(0);
    assert_eq!(notification(&first), json!({"title": "alice", "body": "secret of alice"}));
    push.services.wait_for("carols-token", 1);
    assert_eq!(api.ask("DELETE", "/v1/users/alice", "").status, 200);
    assert_eq!(api.get("/v1/users/alice").json()["erased"], true);
    let skipped = "mushan_push_skipped_total{reason=\"erased\"} 1";
    wait_for("the end of the notification", || metrics(&metrics_at).contains(skipped).then_some(()));
    let others = push.services.wait_for("carols-token", 2).remove(1);
    assert_eq!(notification(&others), json!({"title": "dave", "body": "secret of dave"}));
    assert_eq!(push.services.pushed("bobs-token").len(), 1, "nobody is notified of who is erased");
}

#[test]
fn where_the_server_does_not_say_who_is_erased_a_notification_has_no_words() {
    let push = PushHome::new();
    push.configure("content = 'preview'");
    let server = push.home.start();
    let api = push.home.api();
    register(&api, "bob", "phone", &fcm("bobs-token"));
    push.services.answer("bobs-token", &[LATER]);
    let _process = push.push();
    say(&api, "alice", &json!({"user": "bob"}), "one");
    push.services.wait_for("bobs-token", 1);
    server.kill();
    let second = push.services.wait_for("bobs-token", 2).remove(1);
    assert_eq!(notification(&second), json!({"title": "New message", "body": ""}));
    assert!(!second.json().to_string().contains("secret"));
}
