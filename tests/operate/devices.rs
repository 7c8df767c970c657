//! Devices that push services wake: registered in both protocols and over HTTP, and what becomes of them.

use crate::common::http::Api;
use crate::common::{Home, mushan, run};
use serde_json::{Value, json};

const TOKEN: &str = "a-secret-token-of-fcm";

fn listed(api: &Api, query: &str) -> Vec<Value> {
    api.get(&format!("/v1/users/bob/devices{query}")).json()["devices"].as_array().expect("a list").clone()
}

fn ids(api: &Api) -> Vec<String> {
    listed(api, "").iter().map(|device| device["id"].as_str().expect("an id").to_owned()).collect()
}

fn web_push() -> Value {
    let (p256dh, auth) = ("B".repeat(87), "a".repeat(22));
    json!({"provider": "webpush", "token": "https://push.example/1", "p256dh": p256dh, "auth": auth})
}

#[tokio::test]
async fn devices_come_in_by_three_ways_and_outlast_kills_checkpoints_backups_and_reshards() {
    let mut home = Home::new();
    let (server, api) = home.start_with_api();
    let quiet = json!({"from": 1_320, "until": 420, "utcOffset": 120});
    let mut rpc = server.rpc("bob").await;
    let mine = json!({"deviceId": "phone", "provider": "fcm", "token": TOKEN, "locale": "de", "quiet": quiet});
    assert_eq!(rpc.result("registerDevice", mine).await, json!({}));
    let wrong = json!({"deviceId": "phone", "provider": "pigeon", "token": "x"});
    assert_eq!(rpc.refusal("registerDevice", wrong).await, -32_602);
    let mut binary = server.binary("bob").await;
    // device_id = "tablet", provider = "apns", token = "00ff"
    let body = b"\x0a\x06tablet\x12\x04apns\x1a\x0400ff";
    binary.request(750, body, "GroupChangeResponse").await;
    assert_eq!(api.ask("PUT", "/v1/users/bob/devices/desk", &web_push().to_string()).status, 200);
    for (body, why) in [(json!({"provider": "fcm"}), "no token"), (json!({"tokens": "x"}), "unknown member")] {
        assert_eq!(api.ask("PUT", "/v1/users/bob/devices/desk", &body.to_string()).status, 400, "{why}");
    }
    assert_eq!(ids(&api), ["phone", "tablet", "desk"]);
    let shown = rpc.result("devices", json!({})).await;
    let phone = json!({"deviceId": "phone", "provider": "fcm", "locale": "de", "muted": false, "quiet": quiet});
    assert_eq!(shown["devices"][0], phone);
    let digests = api.get("/v1/users/bob/devices");
    assert!(!digests.body.contains(TOKEN) && !shown.to_string().contains(TOKEN), "{digests:?}");
    let full = listed(&api, "?tokens=full");
    assert_eq!((&full[0]["token"], &full[2]["token"]), (&json!(TOKEN), &json!("https://push.example/1")));
    assert_eq!(full[2]["auth"], "a".repeat(22));

    // A token that was given up does not cost the one that came since.
    let old = full[0]["token_id"].as_str().expect("a digest").to_owned();
    let fresh = json!({"provider": "fcm", "token": "fresh", "muted": true});
    assert_eq!(api.ask("PUT", "/v1/users/bob/devices/phone", &fresh.to_string()).status, 200);
    assert_eq!(api.ask("DELETE", &format!("/v1/users/bob/devices/phone?token_id={old}"), "").status, 200);
    assert_eq!(ids(&api), ["tablet", "desk", "phone"]);
    let fresh = listed(&api, "")[2]["token_id"].as_str().expect("a digest").to_owned();
    assert_ne!(fresh, old);
    assert_eq!(rpc.result("unregisterDevice", json!({"deviceId": "tablet"})).await, json!({}));
    // So much that checkpoints are made.
    for n in 0..120 {
        let body = json!({"from": "alice", "to": {"user": "bob"}, "client_msg_id": format!("m-{n}"), "content": "A".repeat(32_768)});
        assert_eq!(api.post("/v1/messages", &body).status, 201);
    }
    let after = ["desk", "phone"];
    assert_eq!(ids(&api), after);
    let unread = api.get("/v1/users/bob/devices").json();
    assert_eq!((&unread["unread"], &unread["disabled"]), (&json!(120), &json!(false)));
    assert_eq!(api.ask("PUT", "/v1/users/bob/disabled", "").status, 200);
    assert_eq!(api.get("/v1/users/bob/devices").json()["disabled"], true);
    server.kill();
    let server = home.start();
    assert_eq!(ids(&home.api()), after, "after a kill");
    assert_eq!(server.stop().status.code(), Some(0));
    home.set_shards(3);
    let mut reshard = mushan();
    reshard.arg("reshard").arg("--data-dir").arg(home.data_dir()).args(["--shards", "3"]);
    assert!(run(reshard).status.success());
    let (_server, api) = home.start_with_api();
    assert_eq!(
        (ids(&api), listed(&api, "?tokens=full")[1]["token"].clone()),
        (after.map(str::to_owned).to_vec(), json!("fresh"))
    );

    let backup = home.data_dir().with_file_name("backup");
    let mut backing = mushan();
    backing.arg("backup").arg("--data-dir").arg(home.data_dir()).arg("--to").arg(&backup);
    assert!(run(backing).status.success());
    let exported = api.get("/v1/users/bob/export").body;
    assert!(exported.contains(r#""kind":"device""#) && exported.contains("fresh"), "what is theirs");
    assert_eq!(api.ask("DELETE", "/v1/users/bob", "").status, 200);
    assert!(ids(&api).is_empty(), "erased with the person");
    assert_eq!(api.ask("PUT", "/v1/users/bob/devices/desk", &web_push().to_string()).status, 404);
    let restored = home.data_dir().with_file_name("restored");
    let mut restoring = mushan();
    restoring.arg("restore").arg("--from").arg(&backup).arg("--data-dir").arg(&restored);
    assert!(run(restoring).status.success());
    let mut dump = mushan();
    dump.args(["log", "dump", "--user", "bob", "--data-dir"]).arg(&restored);
    let dumped = String::from_utf8(run(dump).stdout).expect("text");
    assert!(dumped.contains("push_device") && !dumped.contains("fresh"), "a dump names devices and shows no token");
}
