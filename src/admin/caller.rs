//! Who is at the other end of one connection to the HTTP API: a stranger, until it has borne the token.

use super::connections::Connections;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

pub struct Caller {
    connections: Connections,
    is_operator: AtomicBool,
    eviction: Notify,
}

impl Caller {
    pub fn new(connections: Connections) -> Self {
        Self { connections, is_operator: AtomicBool::new(false), eviction: Notify::new() }
    }

    pub fn is_operator(&self) -> bool {
        self.is_operator.load(Ordering::Relaxed)
    }

    /// A request on it bore the token.
    pub fn has_borne_token(&self) {
        if !self.is_operator() && self.connections.promote(self) {
            self.is_operator.store(true, Ordering::Relaxed);
        }
    }

    /// Its place is another's now.
    pub fn evict(&self) {
        self.eviction.notify_one();
    }

    pub async fn evicted(&self) {
        self.eviction.notified().await;
    }
}
