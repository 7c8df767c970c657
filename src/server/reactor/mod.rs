//! The loop of one core: struct `Reactor` in `event_loop`, its methods in the other files.

mod accept;
mod alerts;
mod clock_watch;
mod connections;
pub(super) mod drain;
pub(super) mod event_loop;
mod group_commit;
mod jobs;
mod orders;
mod outboxes;
#[cfg(test)]
mod poison_tests;
mod receive;
mod snapshot;
mod stop;
mod told;
