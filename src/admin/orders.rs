//! Orders under way: each has a ticket, and its requester waits a bounded time for the answer with that ticket.
//!
//! Invariant: a ticket keeps its place until the shard has answered, waited for or not, so orders under way are bounded
//! whatever clients do.

use super::error::ApiError;
use crate::model::{Answer, Order};
use crate::server::{Answers, ControlLanes, KeepServing, ServerPhase};
use crate::shard::Ticket;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

pub struct Orders {
    pub lanes: ControlLanes,
    orders_max: usize,
    order_ms: u64,
    /// All on one thread: never contended, and never held over an await.
    under_way: Mutex<OrdersInFlight>,
    answered: Notify,
}

#[derive(Default)]
struct OrdersInFlight {
    last_ticket: u64,
    askers: HashMap<Ticket, oneshot::Sender<Answer>>,
}

impl Orders {
    pub fn new(lanes: ControlLanes, orders_max: usize, order_ms: u64) -> Self {
        Self { lanes, orders_max, order_ms, under_way: Mutex::default(), answered: Notify::new() }
    }

    /// The shard's answer, if it was no refusal.
    pub async fn ask(&self, order: Order) -> Result<Answer, ApiError> {
        match self.lanes.phase() {
            ServerPhase::Starting => return Err(ApiError::Starting),
            ServerPhase::Stopping => return Err(ApiError::Stopping),
            ServerPhase::Ready => {}
        }
        let asker = self.send(order)?;
        let answer = tokio::time::timeout(Duration::from_millis(self.order_ms), asker).await;
        match answer.map_err(|_elapsed| ApiError::Timeout { order_ms: self.order_ms })? {
            Ok(Answer::Refused(refused)) => Err(refused.into()),
            Ok(answer) => Ok(answer),
            Err(_gone) => Err(ApiError::Stopped),
        }
    }

    fn send(&self, order: Order) -> Result<oneshot::Receiver<Answer>, ApiError> {
        let mut under_way = self.under_way();
        if under_way.askers.len() >= self.orders_max {
            return Err(ApiError::Busy);
        }
        under_way.last_ticket += 1;
        let ticket = Ticket(under_way.last_ticket);
        self.lanes.give(ticket, order).map_err(|_ended| ApiError::Stopping)?;
        let (asker, answer) = oneshot::channel();
        under_way.askers.insert(ticket, asker);
        Ok(answer)
    }

    pub fn count(&self) -> usize {
        self.under_way().askers.len()
    }

    /// Brings answers to those who asked, as long as there are shards.
    pub async fn deliver(&self, mut answers: Answers) {
        while let Some((ticket, answer)) = answers.next().await {
            if let Some(asker) = self.under_way().askers.remove(&ticket) {
                // Whoever asked may have given up.
                let _ = asker.send(answer);
            }
            self.answered.notify_one();
        }
        self.under_way().askers.clear();
        self.answered.notify_one();
    }

    /// Once the server stops: waits for the last answers, then lets the shards go.
    pub async fn finish(&self, keep_serving: KeepServing) {
        while self.count() > 0 {
            self.answered.notified().await;
        }
        drop(keep_serving);
    }

    fn under_way(&self) -> MutexGuard<'_, OrdersInFlight> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
