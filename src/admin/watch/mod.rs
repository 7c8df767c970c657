//! The state of the server for those who watch it: health, metrics, the process.

pub mod drain;
pub mod health;
mod hook;
pub mod metrics;
pub mod process;
pub mod webhooks;
