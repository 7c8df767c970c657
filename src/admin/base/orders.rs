//! Orders under way: each has a ticket, and the request waits a bounded time for the answer with that ticket.
//!
//! Invariant: a ticket counts as under way until the shard has answered, even if nobody waits for it any more, so
//! clients cannot exceed the bound.

use crate::admin::base::error::ApiError;
use crate::model::{Answer, Order};
use crate::server::{Answers, ControlLanes, KeepServing, ServerPhase};
use crate::shard::Ticket;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

pub struct Orders {
    pub lanes: ControlLanes,
    orders_max: usize,
    order_ms: u64,
    /// Locked on one thread only: never contended, and never held over an await.
    under_way: Mutex<OrdersInFlight>,
    answered: Notify,
    batch_places: Arc<Semaphore>,
}

/// An order whose answer may be waited for.
pub struct OrderUnderWay(oneshot::Receiver<Answer>);

#[derive(Default)]
struct OrdersInFlight {
    last_ticket: u64,
    askers: HashMap<Ticket, oneshot::Sender<Answer>>,
}

impl Orders {
    pub fn new(lanes: ControlLanes, orders_max: usize, order_ms: u64) -> Self {
        let batch_places = Arc::new(Semaphore::new((orders_max / 2).max(1)));
        Self { lanes, orders_max, order_ms, under_way: Mutex::default(), answered: Notify::new(), batch_places }
    }

    /// Sends the order and returns the shard's answer; a refusal is an error.
    pub async fn ask(&self, order: Order) -> Result<Answer, ApiError> {
        self.wait(self.give(order)?).await
    }

    /// Gives an order to its shard. Orders to one shard reach it in the order in which they are given.
    pub fn give(&self, order: Order) -> Result<OrderUnderWay, ApiError> {
        match self.lanes.phase() {
            ServerPhase::Starting => Err(ApiError::Starting),
            ServerPhase::Stopping => Err(ApiError::Stopping),
            ServerPhase::Ready => self.send(order).map(OrderUnderWay),
        }
    }

    /// A place among the orders of all batches, which leave room for others.
    pub async fn place_in_batch(&self) -> Option<OwnedSemaphorePermit> {
        self.batch_places.clone().acquire_owned().await.ok()
    }

    /// The shard's answer, if it was no refusal.
    pub async fn wait(&self, OrderUnderWay(asker): OrderUnderWay) -> Result<Answer, ApiError> {
        let answer = tokio::time::timeout(Duration::from_millis(self.order_ms), asker).await;
        match answer.map_err(|_elapsed| ApiError::Timeout { order_ms: self.order_ms })? {
            Ok(Answer::Refused(refused)) => Err(refused.into()),
            Ok(Answer::Denied(denial)) => Err(ApiError::Denied(denial)),
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

    /// Passes answers to the waiting requests until all shards have ended.
    pub async fn deliver(&self, mut answers: Answers) {
        while let Some((ticket, answer)) = answers.next().await {
            if let Some(asker) = self.under_way().askers.remove(&ticket) {
                // The request may have timed out.
                let _ = asker.send(answer);
            }
            self.answered.notify_one();
        }
        self.under_way().askers.clear();
        self.answered.notify_one();
    }

    /// After the stop: waits for the last answers, then lets the shards end.
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
