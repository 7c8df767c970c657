//! What every room of the server needs: errors, files, clocks, waking.

pub(super) mod clock;
pub mod console;
pub(super) mod descriptors;
pub(super) mod error;
pub(super) mod fair_queue;
pub(super) mod files;
pub(super) mod helper_thread;
pub(super) mod networks;
pub(super) mod ownership;
pub mod waker;
