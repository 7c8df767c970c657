//! Receivers of events: each is a follower of the logs that POSTs batches of events to an operator's URL.
//!
//! Invariants: at least once and in the order of each log, from a cursor that is durable before the next batch is sent and
//! never moves past events that were neither acknowledged nor put with the dead letters; a receiver that is slow, down or
//! wrong costs only itself; nothing runs where no receiver is configured.

pub mod backoff;
pub mod batch;
pub mod cursor_file;
pub mod dead_letters;
pub mod handlers;
pub mod redaction;
pub mod task;
pub mod webhook;
