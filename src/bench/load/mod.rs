//! The load generator of `mushan bench`: clients, the server under test, options, reports.

pub(crate) mod api;
#[cfg(feature = "chart")]
pub(crate) mod chart;
pub(crate) mod client;
pub(crate) mod crowd;
pub(crate) mod generator;
pub(crate) mod http;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod scan;
pub(crate) mod server;
pub(crate) mod settings;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod target;
pub(crate) mod template;
