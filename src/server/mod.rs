//! F3, the edge: sockets, disks, clocks and cores. It drives `turn`, which is pure, and owns all that is not.

// The bans of clippy.toml keep the floors below this one; here is where the world is allowed in.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod carry;
mod deadlines;
mod link;
pub mod turn;
