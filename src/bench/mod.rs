//! F3, `mushan bench`: a load generator and the scenarios that it plays.

// It starts servers, opens sockets and reads clocks.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod load;
mod scenario;

pub(crate) use scenario::{Arguments, run};
