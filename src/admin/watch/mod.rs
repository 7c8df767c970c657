//! The state of the server for those who watch it: health, metrics, the process.

pub mod configuration;
pub mod description;
pub mod drain;
pub mod hand_over;
pub mod health;
mod histograms;
mod hook;
pub mod log_level;
pub mod metrics;
pub mod numbers;
pub mod process;
pub mod spans;
pub mod status;
pub mod storage;
pub mod trace;
pub mod webhooks;
