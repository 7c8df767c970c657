//! The parts that the loop of one core owns or shares: sockets, lanes, counters, and the state of each periodic task.
//!
//! No file here depends on the loop (`reactor`), which reads and changes these parts.

pub(super) mod accepting;
pub(super) mod complaints;
pub(super) mod control;
pub(super) mod counters;
pub(super) mod draining;
pub(super) mod group_commit;
pub(super) mod half_open;
pub(super) mod handshakes;
pub(super) mod histograms;
pub(super) mod judging;
pub(super) mod listener;
pub mod mesh;
pub(super) mod outboxes;
pub(super) mod pulse;
pub(super) mod shared;
pub(super) mod snapshot;
pub(super) mod socket;
pub(super) mod stopping;
pub(super) mod tracing_list;
pub(super) mod turn_work;
