//! Connections to the HTTP API: unauthenticated ones and operators have separate places, and all are closed when the
//! server stops.
//!
//! A connection is unauthenticated until a request on it carries a token or the cookie of the console. Unauthenticated connections are closed
//! after a short time, and when their places are taken, a new one replaces the oldest: so a health check is always
//! answered. Operators have equally many places, which unauthenticated connections cannot take. All times are bounded:
//! a request must arrive within `read_ms`, and a connection ends after its lifetime and a last request.

use crate::server::{AdminOptions, TlsIdentity};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsAcceptor;

const LIFE: Duration = Duration::from_secs(60);
const LIFE_OF_STRANGERS: Duration = Duration::from_secs(5);
/// Time for writing a response, in addition to the time of the request.
const WRITING: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Pause of accepting after the process has run out of descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct Connections {
    places: Arc<Places>,
    /// Notified when a connection has ended.
    ended: Arc<Notify>,
    is_stopping: watch::Sender<bool>,
    read: Duration,
    last_request: Duration,
}

impl Connections {
    pub fn new(admin: &AdminOptions) -> Self {
        Self {
            places: Arc::new(Places::new(admin.connections_max)),
            ended: Arc::default(),
            is_stopping: watch::Sender::new(false),
            read: Duration::from_millis(admin.read_ms),
            last_request: Duration::from_millis(admin.read_ms * 2 + admin.order_ms) + WRITING,
        }
    }

    /// Stops accepting. Each connection ends with its current request, an idle one at once.
    pub fn stop(&self) {
        self.is_stopping.send_replace(true);
    }

    pub async fn all_closed(&self) {
        loop {
            let ended = self.ended.notified();
            if self.places.are_empty() {
                return;
            }
            ended.await;
        }
    }

    fn leave(&self, caller: &Arc<Caller>) {
        self.places.leave(caller);
        self.ended.notify_waiters();
    }
}

/// Accepts and serves connections until `Connections::stop`; with an identity over TLS.
pub async fn serve(
    listener: std::net::TcpListener,
    tls: Option<TlsIdentity>,
    router: Router,
    connections: Connections,
) {
    let listener = TcpListener::from_std(listener).expect("a listening socket that does not block");
    let mut stopping = connections.is_stopping.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (caller, connections) = (Caller::enter(&connections.places, peer.ip()), connections.clone());
                let router = router.clone().layer(Extension(caller.clone()));
                // Only an optimisation: an error is ignored.
                let _ = stream.set_nodelay(true);
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve_one(stream, router, &connections, &caller).await,
                        Some(identity) => {
                            if let Some(stream) = shake_hands(stream, &identity, &caller).await {
                                serve_one(stream, router, &connections, &caller).await;
                            }
                        }
                    }
                    connections.leave(&caller);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the HTTP API cannot accept a connection");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// The TLS handshake of a connection, if it succeeds in time and nobody takes the connection's place.
async fn shake_hands(
    stream: TcpStream,
    identity: &TlsIdentity,
    caller: &Caller,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let handshake = TlsAcceptor::from(identity.now()).accept(stream);
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(LIFE_OF_STRANGERS, handshake) => shaken.ok()?,
        () = caller.evicted() => return None,
    };
    shaken.inspect_err(|error| tracing::debug!(%error, "a TLS handshake with the HTTP API failed")).ok()
}

async fn serve_one(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    connections: &Connections,
    caller: &Caller,
) {
    let mut stopping = connections.is_stopping.subscribe();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(connections.read)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let life = async {
        tokio::time::sleep(LIFE_OF_STRANGERS).await;
        if caller.is_operator() {
            tokio::time::sleep(LIFE.saturating_sub(LIFE_OF_STRANGERS)).await;
        }
        // A stream ends by itself, when its client goes or the server stops.
        if caller.has_stream() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // The peer knows why its connection failed.
        _ended = &mut connection => return,
        () = caller.evicted() => return,
        () = life => {}
        _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ended = tokio::time::timeout(connections.last_request, connection) => {}
        () = caller.evicted() => {}
    }
}

pub struct Caller {
    places: Arc<Places>,
    /// The other end of the connection: a proxy's where there is one.
    pub address: IpAddr,
    is_operator: AtomicBool,
    has_stream: AtomicBool,
    eviction: Notify,
}

/// Unauthenticated connections and operators have equally many places.
pub struct Places {
    connections_max: usize,
    taken: Mutex<TakenPlaces>,
}

#[derive(Default)]
struct TakenPlaces {
    /// Oldest first.
    strangers: VecDeque<Arc<Caller>>,
    operators: usize,
}

impl Caller {
    /// Takes a place for a new connection. If all are taken, the oldest unauthenticated connection loses its place.
    pub fn enter(places: &Arc<Places>, address: IpAddr) -> Arc<Self> {
        let caller = Arc::new(Self {
            places: places.clone(),
            address: address.to_canonical(),
            is_operator: AtomicBool::default(),
            has_stream: AtomicBool::default(),
            eviction: Notify::new(),
        });
        let mut taken = places.taken();
        taken.strangers.push_back(caller.clone());
        if taken.strangers.len() > places.connections_max
            && let Some(oldest) = taken.strangers.pop_front()
        {
            oldest.evict();
        }
        caller
    }

    pub fn is_operator(&self) -> bool {
        self.is_operator.load(Ordering::Relaxed)
    }

    /// Notes that a request on this connection carried a token, or the cookie of the console.
    pub fn has_borne_token(&self) {
        if !self.is_operator() && self.places.promote(self) {
            self.is_operator.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that a response on this connection goes on for as long as its client reads it.
    pub fn has_begun_a_stream(&self) {
        self.has_stream.store(true, Ordering::Relaxed);
    }

    pub fn has_stream(&self) -> bool {
        self.has_stream.load(Ordering::Relaxed)
    }

    /// Tells the connection that its place belongs to another one.
    fn evict(&self) {
        self.eviction.notify_one();
    }

    pub async fn evicted(&self) {
        self.eviction.notified().await;
    }
}

impl Places {
    pub fn new(connections_max: usize) -> Self {
        Self { connections_max, taken: Mutex::default() }
    }

    pub fn are_empty(&self) -> bool {
        let taken = self.taken();
        taken.strangers.is_empty() && taken.operators == 0
    }

    /// Moves a caller to an operator's place if one is free. Returns whether it did.
    fn promote(&self, caller: &Caller) -> bool {
        let mut taken = self.taken();
        let index = taken.strangers.iter().position(|other| std::ptr::eq(&raw const **other, caller));
        match index {
            Some(index) if taken.operators < self.connections_max => {
                taken.strangers.remove(index);
                taken.operators += 1;
                true
            }
            _ => false,
        }
    }

    /// Frees the place of a connection that has ended.
    pub fn leave(&self, caller: &Arc<Caller>) {
        let mut taken = self.taken();
        if caller.is_operator() {
            taken.operators -= 1;
        } else {
            taken.strangers.retain(|other| !Arc::ptr_eq(other, caller));
        }
    }

    fn taken(&self) -> MutexGuard<'_, TakenPlaces> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
