//! What a record says to an application, as JSON: one rendering for the event stream, for webhooks and for the pages of
//! the operator's API.
//!
//! Invariant: what is shown follows from the record or the message alone.

pub mod fact;
pub mod filter;
pub mod log_event;
pub mod message;
pub mod profile;
pub mod schema;
pub mod types;
