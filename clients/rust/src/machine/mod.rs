//! A client's session without sockets, timers, clocks and chance: inputs in, outputs out.

pub mod backoff;
mod heard;
pub mod inbox;
pub mod outbox;
pub mod output;
pub mod requests;
pub mod session;
