//! A drain on a real server: sessions go one after the other, nobody new comes, and the process ends with status 0.

use crate::common::binary::{BinaryClient, SUCCESS};
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, wait_for};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Sessions of a server; half of them in each protocol.
struct Crowd {
    binary: Vec<BinaryClient>,
    rpc: Vec<RpcClient>,
}

const EACH: usize = 10;

async fn crowd(server: &Server) -> Crowd {
    let (mut binary, mut rpc) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        binary.push(server.binary(&format!("alice-{number}")).await);
        rpc.push(server.rpc(&format!("bob-{number}")).await);
    }
    Crowd { binary, rpc }
}

/// When each session was closed with 1001, in order.
async fn farewells(crowd: Crowd) -> Vec<Duration> {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for mut client in crowd.binary {
        tasks.spawn(async move { (client.socket.ending().await, began.elapsed()) });
    }
    for mut client in crowd.rpc {
        tasks.spawn(async move { (client.socket.ending().await, began.elapsed()) });
    }
    let mut times = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (code, at) = ended.expect("no panic");
        assert_eq!(code, Some(1001));
        times.push(at);
    }
    times.sort();
    times
}

#[tokio::test]
async fn a_signal_drains_a_server_that_has_time_for_it() {
    let home = Home::new().with_config("[server]\ndrain_ms = 3000\n");
    let server = home.start();
    let mut crowd = crowd(&server).await;
    server.signal("TERM");
    wait_for("the drain", || server.output().contains("draining: 3000 ms").then_some(()));
    wait_for("the listener to close", || TcpStream::connect(server.address).is_err().then_some(()));
    // Who has not been asked yet is served.
    let answer = crowd.binary[EACH - 1].send("bob-0", "late", b"still here").await;
    assert_eq!(answer.number("error_code"), SUCCESS);
    let times = farewells(crowd).await;
    assert_eq!(times.len(), 2 * EACH);
    assert!(times[2 * EACH - 1].saturating_sub(times[0]) > Duration::from_millis(1_000), "spread out: {times:?}");
    let exit = server.wait();
    assert_eq!(exit.status.code(), Some(0), "{}", exit.errors);
}

#[tokio::test]
async fn an_operator_drains_a_server_and_it_is_not_ready_meanwhile() {
    let home = Home::new();
    let server = home.start();
    let crowd = crowd(&server).await;
    let drain = |over: &str| home.run(&["drain", "--over", over]);
    assert!(!drain("0s").status.success());
    let api = server.api();
    assert_eq!(api.get("/readyz").status, 200);
    let output = drain("2s");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(api.get("/readyz").status, 503);
    let times = farewells(crowd).await;
    assert!(times[2 * EACH - 1] < Duration::from_secs(30), "{times:?}");
    assert_eq!(server.wait().status.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_and_an_empty_server_does_not_wait() {
    let home = Home::new().with_config("[server]\ndrain_ms = 600000\n");
    let server = home.start();
    let mut alice = server.binary("alice").await;
    server.signal("TERM");
    wait_for("the drain", || server.output().contains("draining").then_some(()));
    server.signal("TERM");
    assert_eq!(alice.socket.ending().await, Some(1001));
    assert_eq!(server.wait().status.code(), Some(0));

    let server = home.start();
    server.signal("TERM");
    assert_eq!(server.wait().status.code(), Some(0), "nobody was there to be asked");
}
