//! What the loop of one core owns and shares, piece by piece: sockets, lanes, counters, and the state of each chore.
//!
//! No file here knows the loop (`reactor`), which reads and changes them.

pub(super) mod accepting;
pub(super) mod complaints;
pub(super) mod control;
pub(super) mod counters;
pub(super) mod group_commit;
pub(super) mod half_open;
pub(super) mod judging;
pub(super) mod listener;
pub mod mesh;
pub(super) mod shared;
pub(super) mod snapshot;
pub(super) mod socket;
pub(super) mod stopping;
