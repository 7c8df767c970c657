//! What a record says to an application, as JSON.

pub mod event;
