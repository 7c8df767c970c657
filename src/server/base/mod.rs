//! Shared by all rooms of the server: errors, files, clocks, wakers.

pub(super) mod clock;
pub mod console;
pub(super) mod descriptors;
pub(super) mod error;
pub(super) mod fair_queue;
pub(super) mod files;
pub(super) mod helper_thread;
pub mod logging;
pub(super) mod networks;
pub(super) mod ownership;
pub mod spinning;
pub mod waker;
