//! Threads beside the shards, on a spare core if there is one.

use std::io;
use std::thread::JoinHandle;

/// Starts a thread, pinned to `core` if there is a spare one.
pub fn spawn(name: &str, core: Option<usize>, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Some(id) = core {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
        work();
    })
}
