//! The stream of events.

pub mod places;
pub mod stream;
