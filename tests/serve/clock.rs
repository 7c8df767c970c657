//! A server that is stopped for longer than its clients may be silent.

use crate::common::Home;
use crate::common::binary::{SUCCESS, command};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_server_that_was_paused_reads_what_its_clients_said_meanwhile_before_it_calls_them_idle() {
    let server = Home::new().with_limits("idle_binary_ms = 3000\nidle_json_rpc_ms = 3000\n").with_shards(2).start();
    let mut alice = server.binary("alice").await;
    let mut bob = server.rpc("bob").await;
    let mut silent = server.binary("silent").await;
    server.signal("STOP");
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let beat = alice.ask(command::HEARTBEAT, &[]).await;
    let ping = json!(bob.ask("ping", json!({})).await);
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    server.signal("CONT");
    alice.answer(beat).await.expect("it had beaten");
    assert_eq!(bob.answer(&ping).await.expect("it had asked")["result"], json!({}));
    assert_eq!(alice.send("alice", "note", b"still here").await.number("error_code"), SUCCESS);
    assert_eq!(silent.socket.ending().await, Some(4003), "who said nothing is idle");
}
