//! How far the clients of event streams have come, for the metrics.

use crate::model::Position;
use crate::server::follow::cursor::Cursor;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// The next record of each open stream in each shard's log.
#[derive(Debug, Default)]
pub struct StreamPlaces(Mutex<PlacesByStream>);

#[derive(Debug, Default)]
struct PlacesByStream {
    last_number: u64,
    places: BTreeMap<u64, Vec<Position>>,
}

/// One stream's place, in the logs and among the streams; it goes with the stream.
#[derive(Debug)]
pub struct StreamPlace {
    _permit: OwnedSemaphorePermit,
    all: Arc<StreamPlaces>,
    number: u64,
}

impl StreamPlaces {
    pub fn begin(self: &Arc<Self>, cursor: &Cursor, permit: OwnedSemaphorePermit) -> StreamPlace {
        let mut inner = self.lock();
        inner.last_number += 1;
        let number = inner.last_number;
        inner.places.insert(number, cursor.next.clone());
        StreamPlace { _permit: permit, all: self.clone(), number }
    }

    /// The place that is furthest behind, of each shard in order; empty without a stream.
    pub fn oldest(&self) -> Vec<Position> {
        let inner = self.lock();
        let mut places = inner.places.values().cloned();
        let Some(first) = places.next() else { return Vec::new() };
        places.fold(first, |oldest, place| oldest.into_iter().zip(place).map(|(one, other)| one.min(other)).collect())
    }

    fn lock(&self) -> MutexGuard<'_, PlacesByStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamPlace {
    pub fn moved(&self, cursor: &Cursor) {
        if let Some(place) = self.all.lock().places.get_mut(&self.number) {
            place.clone_from(&cursor.next);
        }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.all.lock().places.remove(&self.number);
    }
}
