//! A host that is gone with its disk, and the server that is started elsewhere from the last backup.

use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, mushan, run};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// From the restore to the first message, for a backup as small as this one.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_lost_host_is_replaced_from_its_backup_with_the_same_tokens_in_another_epoch() {
    let home = Home::new().with_shards(2);
    let (server, api) = home.start_with_api();
    let token = home.token("bob");
    let params = json!({"uid": "bob", "token": token, "deviceId": "d", "deviceFlag": 1});
    let (mut bob, welcome) = RpcClient::login_with(server.address, "/rpc", params.clone()).await;
    let mut alice = server.rpc("alice").await;
    for number in 0..20 {
        alice.send("bob", &format!("kept-{number}"), json!({"type": 1})).await;
    }
    let backup = home.data_dir().with_file_name("backup");
    let taken = home.run(&["backup", "--to", backup.to_str().expect("UTF-8")]);
    assert!(taken.status.success(), "{taken:?}");
    assert!(api.sample("mushan_backup_last_timestamp_seconds ") > 0.0, "the metric of the alert");
    alice.send("bob", "lost with the host", json!({"type": 1})).await;
    bob.next("recv").await;
    server.kill();
    std::fs::remove_dir_all(home.data_dir()).expect("the disk is gone as well");

    let began = Instant::now();
    let elsewhere = Home::new().with_shards(2);
    let mut restore = mushan();
    restore.args(["restore", "--from"]).arg(&backup).arg("--data-dir").arg(elsewhere.data_dir());
    let restored = run(restore);
    assert!(restored.status.success(), "{restored:?}");
    let server: Server = elsewhere.start();
    let (mut bob, again) = RpcClient::login_with(server.address, "/rpc", params).await;
    let mut alice = server.rpc("alice").await;
    alice.send("bob", "after", json!({"type": 1})).await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_ne!(welcome["inboxEpoch"], again["inboxEpoch"], "clients are told to sync from the beginning");
    let inbox = bob.inbox().await;
    let ids: Vec<&str> = inbox.iter().map(|message: &Value| message["clientMsgNo"].as_str().expect("a text")).collect();
    let mut expected: Vec<String> = (0..20).map(|number| format!("kept-{number}")).collect();
    expected.push("after".to_owned());
    assert_eq!(ids, expected, "everything that was acknowledged before the backup, once");
    let audit = elsewhere.run(&["audit"]);
    assert!(audit.status.success(), "{audit:?}");
    assert!(server.stop().status.success());
}
