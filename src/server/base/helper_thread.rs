//! Threads beside the shards, off their cores where a core is left.

use std::io;
use std::thread::JoinHandle;

/// A thread of its own, on `core` if there is one to spare.
pub fn spawn(name: &str, core: Option<usize>, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        if let Some(id) = core {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
        work();
    })
}
