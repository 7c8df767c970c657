//! Shared by all handlers: connections, the token, decoding of requests, orders under way, refusals.

pub mod answer;
pub mod browsers;
pub mod connections;
pub mod contract;
pub mod error;
pub mod identity;
pub mod intake;
pub mod orders;
pub mod token;
