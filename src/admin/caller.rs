//! The peer of one connection to the HTTP API, which is unauthenticated until a request carries the token; and the
//! places of unauthenticated connections and of operators.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

pub struct Caller {
    places: Arc<Places>,
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
    pub fn enter(places: &Arc<Places>) -> Arc<Self> {
        let caller = Arc::new(Self {
            places: places.clone(),
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

    /// Notes that a request on this connection carried the token.
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
