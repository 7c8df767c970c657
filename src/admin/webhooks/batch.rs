//! Events on their way to a receiver, and the body of the request that carries them.

use crate::model::{Millis, ShardId};
use crate::server::WebhookNumbers;
use crate::server::event::log_event::LogEvent;
use crate::server::follow::cursor::Cursor;
use crate::server::follow::event_reader::EventVisitor;
use crate::server::hex;
use aws_lc_rs::digest;
use axum::body::Bytes;

/// Events that are sent together.
pub struct EventBatch {
    /// The same for the same events, however often they are sent.
    pub id: String,
    pub events: Events,
    /// The cursor after the events.
    pub through: Cursor,
    /// How many users were erased when the events were read.
    pub erased_users: usize,
}

/// Events as a receiver gets them.
pub struct Events {
    /// JSON objects, separated by commas.
    list: String,
    pub count: usize,
    /// When the first of them happened.
    pub oldest: Millis,
    /// The bytes that an event counts at least, so that `batch_events_max` of them make a batch full.
    cost_min: usize,
}

impl Events {
    pub fn new(numbers: &WebhookNumbers) -> Self {
        let cost_min = numbers.batch_bytes_max.div_ceil(numbers.batch_events_max) as usize;
        Self { list: String::new(), count: 0, oldest: Millis(0), cost_min }
    }

    /// What a look at the logs may cost.
    pub fn budget(numbers: &WebhookNumbers) -> usize {
        numbers.batch_bytes_max as usize
    }

    /// The events as a list in JSON.
    pub fn json(&self) -> String {
        format!("[{}]", self.list)
    }
}

impl EventVisitor for Events {
    fn visit(&mut self, event: LogEvent<'_>, cursor: &str, shard: ShardId) -> usize {
        if self.count == 0 {
            self.oldest = event.time();
        } else {
            self.list.push(',');
        }
        let line = event.line(cursor, shard.0);
        self.list.push_str(&line);
        self.count += 1;
        line.len().max(self.cost_min)
    }
}

impl EventBatch {
    /// A batch of what was read between two cursors.
    pub fn new(webhook: &str, (from, through): (&Cursor, Cursor), events: Events, erased_users: usize) -> Self {
        let place = format!("{webhook} {from} {through}");
        let digest = digest::digest(&digest::SHA256, place.as_bytes());
        Self { id: format!("msg_{}", hex(&digest.as_ref()[..16])), events, through, erased_users }
    }
}

/// The body of a request: `events` is a list in JSON.
pub fn body(webhook: &str, events: &str) -> Bytes {
    Bytes::from(format!(r#"{{"webhook":"{webhook}","events":{events}}}"#))
}
