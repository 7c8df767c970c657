//! A receiver of webhooks that is dead, and comes back.

use crate::common::receiver::Receiver;
use crate::common::{Home, wait_for};
use serde_json::json;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const LAG: &str = "mushan_webhook_lag_seconds{webhook=\"orders\"}";

#[test]
fn a_dead_receiver_is_seen_in_the_lag_and_gets_everything_when_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("its mode");
    let dead = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one");
    let config = format!(
        "[[webhooks]]\nname = \"orders\"\nurl = \"http://{dead}/\"\nsecret_file = \"{}\"\nlinger_ms = 20\n\
         events = [\"message.created\"]\n",
        secret.display()
    );
    let home = Home::new().with_config(&config).with_shards(2);
    let (server, api) = home.start_with_api();
    let ids: Vec<String> = (0..10).map(|number| format!("m-{number}")).collect();
    for id in &ids {
        let body = json!({"from": "alice", "to": {"user": "bob"}, "client_msg_id": id, "payload": {"text": id}});
        api.post("/v1/messages", &body).expect(201);
    }
    wait_for("the metric of the alert", || (api.sample(LAG) >= 2.0).then_some(()));
    let attempts = "mushan_webhook_attempts_total{webhook=\"orders\",result=\"unreachable\"}";
    assert!(api.sample(attempts) >= 2.0);
    let webhook = |verb: &[&str]| {
        let output = home.run(&[&["webhook"], verb].concat());
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), told)
    };
    let (_, listed) = webhook(&["list"]);
    assert!(listed.contains("orders") && listed.contains("retrying"), "{listed}");
    let (status, tested) = webhook(&["test", "orders"]);
    assert!(status == Some(1) && tested.contains("has not acknowledged"), "{tested}");

    let back = Receiver::start_at(dead);
    wait_for("everything", || (back.acknowledged() == ids).then_some(()));
    wait_for("no lag", || (api.sample(LAG) == 0.0).then_some(()));
    let (status, tested) = webhook(&["test", "orders"]);
    assert!(status == Some(0) && tested.contains("has acknowledged the test event"), "{tested}");
    assert!(server.stop().status.success());
}
