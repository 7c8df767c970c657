//! Who gets a place at the HTTP API, who keeps it, and how a stop ends them all.

use super::*;
use axum::body::Bytes;
use axum::routing::{get, put};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

const TIMEOUT: Duration = Duration::from_secs(30);

/// `GET /`, answered at once; `GET /operator`, as if it bore the token; `PUT /`, which reads its body.
fn router() -> Router {
    let operator = |Extension(caller): Extension<Arc<Caller>>| async move {
        caller.has_borne_token();
        "hello"
    };
    Router::new()
        .route("/", get(|| async { "alive" }).merge(put(|_body: Bytes| async { "whole" })))
        .route("/operator", get(operator))
}

fn served(connections_max: usize) -> (Connections, std::net::SocketAddr, JoinHandle<()>) {
    let connections = Connections::new(&AdminOptions { connections_max, ..AdminOptions::default() });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn(serve(listener, None, router(), connections.clone()));
    (connections, address, serving)
}

/// Asks, and reads as much as says that there is an answer.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.expect("it reads");
    let mut answer = [0; 15];
    let read = tokio::time::timeout(TIMEOUT, stream.read_exact(&mut answer)).await.expect("in time");
    read.expect("an answer");
    String::from_utf8(answer.into()).expect("text")
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn a_probe_is_answered_though_strangers_hold_every_place() {
    let (_connections, address, _serving) = served(2);
    let mut silent = Vec::new();
    for _stranger in 0..2 {
        silent.push(TcpStream::connect(address).await.expect("it accepts"));
    }
    let mut probe = TcpStream::connect(address).await.expect("it accepts");
    assert_eq!(ask(&mut probe, "/").await, "HTTP/1.1 200 OK");
    assert!(is_closed(&mut silent[0]).await, "the oldest made room");
}

#[tokio::test]
async fn who_has_borne_the_token_keeps_its_place_whoever_comes() {
    let (_connections, address, _serving) = served(2);
    let mut operator = TcpStream::connect(address).await.expect("it accepts");
    assert_eq!(ask(&mut operator, "/operator").await, "HTTP/1.1 200 OK");
    let mut strangers = Vec::new();
    for _stranger in 0..5 {
        let mut stranger = TcpStream::connect(address).await.expect("it accepts");
        assert_eq!(ask(&mut stranger, "/").await, "HTTP/1.1 200 OK");
        strangers.push(stranger);
    }
    assert!(is_closed(&mut strangers[0]).await);
    operator.write_all(b"GET /operator HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("it reads");
    let mut rest = String::new();
    operator.read_to_string(&mut rest).await.expect("an answer, and the end");
    assert!(rest.contains("HTTP/1.1 200 OK"), "{rest}");
}

#[tokio::test]
async fn a_stop_ends_accepting_and_lets_a_request_that_is_under_way_end() {
    let (connections, address, serving) = served(1);
    let mut begun = TcpStream::connect(address).await.expect("it accepts");
    let head = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    begun.write_all(head).await.expect("it reads");
    begun.read_exact(&mut [0; "HTTP/1.1 100 Continue\r\n\r\n".len()]).await.expect("it waits for the body");
    let closed = tokio::spawn({
        let connections = connections.clone();
        async move { connections.all_closed().await }
    });
    tokio::task::yield_now().await;
    connections.stop();
    tokio::time::timeout(TIMEOUT, serving).await.expect("at once").expect("no panic");
    assert!(!closed.is_finished(), "a request is under way");

    begun.write_all(b"{}").await.expect("it reads");
    let mut answer = String::new();
    begun.read_to_string(&mut answer).await.expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("whole"), "{answer}");
    closed.await.expect("no panic");
}
