//! F3, the edge: sockets, disks, clocks and cores. It drives `turn`, which is pure, and owns all that is not.

// The bans of clippy.toml keep the floors below this one; here is where the world is allowed in.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod config;
mod error;
mod files;
mod knobs;
mod options;
mod secret;
mod start_stub;
pub mod turn;

pub use error::{RunError, StartError};
pub use options::{Durability, Options};
pub use secret::Secret;
pub use start_stub::{Server, Stopper, serve};
