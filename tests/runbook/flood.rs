//! One user who sends without end, and the operator who finds out and ends it.

use crate::common::rpc::RpcClient;
use crate::common::{Home, mushan, wait_for};
use serde_json::json;
use std::process::Stdio;
use std::time::Instant;

const FLOOD: usize = 600;
/// Of one message of a bystander beside the flood, in milliseconds.
const CALM_MS_MAX: u128 = 2_000;

#[tokio::test]
async fn a_flood_is_refused_and_counted_traced_to_its_user_and_ended_by_disabling_it() {
    let home = Home::new().with_config("[limits]\nsends_per_second = 20\nsends_burst = 20\n").with_shards(2);
    let (server, api) = home.start_with_api();
    let (mut alice, mut bob, mut carol) =
        (server.rpc("alice").await, server.rpc("bob").await, server.rpc("carol").await);
    let mut trace = mushan();
    trace.args(["trace", "--user", "alice", "--for", "5s", "--data-dir"]).arg(home.data_dir());
    let trace = trace.stdout(Stdio::piped()).spawn().expect("it can be run");
    let refused = || {
        let text = api.get("/metrics").body;
        let lines = text.lines().filter(|line| line.starts_with("mushan_requests_refused_total{"));
        let lines = lines.filter(|line| line.contains("reason=\"send_too_fast\""));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let flood = async |alice: &mut RpcClient, round: usize| {
        for number in 0..FLOOD {
            let params = json!({"clientMsgNo": format!("{round}-{number}"), "channelId": "dave", "channelType": 1,
                "payload": {"type": 1}});
            alice.ask("send", params).await;
        }
    };
    // The first rounds may be over before the trace has begun.
    for round in 0..3 {
        flood(&mut alice, round).await;
        let began = Instant::now();
        bob.send("carol", &format!("calm-{round}"), json!({"type": 1})).await;
        carol.next("recv").await;
        assert!(began.elapsed().as_millis() < CALM_MS_MAX, "others are served: {:?}", began.elapsed());
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    wait_for("the metric of the alert", || (refused() >= FLOOD as f64).then_some(()));
    let traced = tokio::task::spawn_blocking(|| trace.wait_with_output()).await.expect("no panic").expect("it ends");
    let traced = String::from_utf8_lossy(&traced.stdout).into_owned();
    assert!(traced.contains("send_too_fast"), "{traced}");

    let disabled = home.run(&["user", "disable", "alice"]);
    assert!(disabled.status.success(), "{disabled:?}");
    let ending = loop {
        if let Err(code) = alice.receive().await {
            break code;
        }
    };
    assert_eq!(ending, Some(4008), "its session is over");
    let params = json!({"uid": "alice", "token": home.token("alice"), "deviceId": "d", "deviceFlag": 1});
    let mut again = RpcClient::connect(server.address, "/rpc").await;
    assert!(!again.call("connect", params).await["error"].is_null(), "no token opens another one");
    bob.send("carol", "after", json!({"type": 1})).await;
    carol.next("recv").await;
    assert!(server.stop().status.success());
}
