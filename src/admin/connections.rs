//! Connections to the HTTP API: so many at a time, each with bounded times, all closed when the server stops.
//!
//! One that finds no place waits in the kernel's queue: those in front of it have `read_ms` to say something, and no
//! connection lives longer than `LIFE` and a last request.

use crate::server::AdminOptions;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

const LIFE: Duration = Duration::from_secs(60);
/// For writing an answer, beside what the request may take.
const WRITING: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long to leave new connections alone when there is no descriptor for them.
const BACK_OFF: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct Connections {
    places: Arc<Semaphore>,
    places_max: u32,
    is_stopping: watch::Sender<bool>,
    read: Duration,
    last_request: Duration,
}

impl Connections {
    pub fn new(admin: &AdminOptions) -> Self {
        Self {
            places: Arc::new(Semaphore::new(admin.connections_max)),
            places_max: u32::try_from(admin.connections_max).unwrap_or(u32::MAX),
            is_stopping: watch::Sender::new(false),
            read: Duration::from_millis(admin.read_ms),
            last_request: Duration::from_millis(admin.read_ms * 2 + admin.order_ms) + WRITING,
        }
    }

    /// Accepts no more; each connection ends with the request that it is in, an idle one at once.
    pub fn stop(&self) {
        self.is_stopping.send_replace(true);
    }

    pub async fn all_closed(&self) {
        // The semaphore is never closed.
        let _ = self.places.acquire_many(self.places_max).await;
    }
}

/// Until `Connections::stop`.
pub async fn serve(listener: std::net::TcpListener, router: Router, connections: Connections) {
    let listener = TcpListener::from_std(listener).expect("a listening socket that does not block");
    let mut stopping = connections.is_stopping.subscribe();
    loop {
        // One accepted after the stop would wait behind `all_closed` for its place, with the listener open.
        let next = async {
            let place = connections.places.clone().acquire_owned().await.expect("the semaphore is never closed");
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let (router, connections) = (router.clone(), connections.clone());
                tokio::spawn(async move {
                    serve_one(stream, router, &connections).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the HTTP API cannot take a connection");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn serve_one(stream: TcpStream, router: Router, connections: &Connections) {
    // Without it answers still arrive.
    let _ = stream.set_nodelay(true);
    let mut stopping = connections.is_stopping.subscribe();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(connections.read)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        // What went wrong with it is the peer's to know.
        _ended = &mut connection => return,
        () = tokio::time::sleep(LIFE) => {}
        _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(connections.last_request, connection).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use axum::routing::put;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_stop_ends_accepting_though_every_place_is_taken() {
        let connections = Connections::new(&AdminOptions { connections_max: 1, ..AdminOptions::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().route("/", put(|_body: Bytes| async { "whole" }));
        let serving = tokio::spawn(serve(listener, router, connections.clone()));

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
        tokio::time::timeout(Duration::from_secs(1), serving).await.expect("at once").expect("no panic");
        assert!(!closed.is_finished(), "a request is under way");

        begun.write_all(b"{}").await.expect("it reads");
        let mut answer = String::new();
        begun.read_to_string(&mut answer).await.expect("an answer, and the end");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("whole"), "{answer}");
        closed.await.expect("no panic");
    }
}
