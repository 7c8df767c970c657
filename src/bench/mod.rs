//! F3, `mushan bench`: a load generator and its scenarios.

// This floor starts servers, opens sockets and reads clocks, which clippy.toml bans below.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod load;
mod scenario;

pub(crate) use scenario::{Arguments, run};
