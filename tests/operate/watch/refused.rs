//! What an operator sees of a server: whatever is refused is counted by its reason, and the process shows itself.

use crate::common::rpc::RpcClient;
use crate::common::{Home, wait_for};
use serde_json::{Value, json};

fn expect(home: &Home, series: &str, least: f64) {
    wait_for(series, || (home.api().sample(series) >= least).then_some(()));
}

#[tokio::test]
async fn every_refusal_is_counted_by_its_reason() {
    let home = Home::new().with_shards(1);
    let server = home.start();
    let mut client = server.rpc("alice").await;
    for (method, params) in [
        ("noSuchMethod", json!({})),
        ("send", json!({"channelId": 7})),
        ("history", json!({"channelId": "nobody", "channelType": 2, "limit": 1})),
    ] {
        assert!(client.call(method, params).await["error"] != Value::Null, "{method}");
    }
    expect(&home, "mushan_requests_refused_total{shard=\"0\",reason=\"malformed\"}", 1.0);
    expect(&home, "mushan_requests_refused_total{shard=\"0\",reason=\"invalid_param\"}", 1.0);
    expect(&home, "mushan_requests_refused_total{", 3.0);
    client.tell(json!(7)).await;
    expect(&home, "mushan_requests_refused_total{shard=\"0\",reason=\"malformed\"}", 2.0);
}

#[tokio::test]
async fn refused_logins_are_counted_and_told() {
    let home = Home::new().with_shards(1);
    let server = home.start();
    let mut stranger = RpcClient::connect(server.address, "/rpc").await;
    let params = json!({"uid": "alice", "token": "no token", "deviceId": "d", "deviceFlag": 1});
    assert!(stranger.call("connect", params).await["error"] != Value::Null);
    expect(&home, "mushan_logins_refused_total{shard=\"0\",reason=\"auth_failed\"}", 1.0);
    wait_for("the warning", || server.errors().contains("logins are refused").then_some(()));
}

#[test]
fn the_process_and_its_limits_are_shown() {
    let home = Home::new().with_shards(1);
    let _server = home.start();
    for series in [
        "process_open_fds ",
        "process_max_fds ",
        "process_resident_memory_bytes ",
        "process_start_time_seconds ",
        "mushan_disk_free_bytes ",
        "mushan_disk_reserve_bytes ",
        "mushan_connections_max{",
    ] {
        expect(&home, series, 1.0);
    }
    let text = home.api().get("/metrics").body;
    assert!(text.contains("\nmushan_log_full{shard=\"0\"} 0\n"), "{text}");
    assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
}
