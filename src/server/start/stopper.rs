//! Stops a server from any thread: at once, or after a drain.

use crate::server::base::error::{HostError, StartError};
use crate::server::base::waker::Waker;
use crate::server::data::directory::DataDir;
use crate::server::state::shared::Shared;
use std::sync::Arc;

/// What a request to stop began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainStarted {
    Draining { length_ms: u64 },
    Stopping,
}

/// Stops a server, from any thread.
#[derive(Clone)]
pub struct Stopper {
    pub(super) shared: Arc<Shared>,
    pub(super) wakers: Arc<[Waker]>,
    drain_ms: u64,
}

impl Stopper {
    pub(super) fn new(directory: &DataDir, drain_ms: u64) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new(directory.manifest.shards));
        Ok(Self { shared, wakers: wakers(directory)?, drain_ms })
    }

    /// Begins to drain the server for `server.drain_ms`, and then the graceful stop; without that time, the stop.
    pub fn drain(&self) -> DrainStarted {
        if self.drain_ms == 0 {
            self.stop();
            return DrainStarted::Stopping;
        }
        self.shared.drain(self.drain_ms);
        self.wakers.iter().for_each(Waker::wake);
        DrainStarted::Draining { length_ms: self.drain_ms }
    }

    /// The process to which the server hands over, if it stops for that.
    pub fn successor(&self) -> Option<u32> {
        self.shared.successor()
    }

    /// Begins the graceful stop. Further calls do nothing.
    pub fn stop(&self) {
        self.shared.stop();
        self.wakers.iter().for_each(Waker::wake);
    }
}

fn wakers(directory: &DataDir) -> Result<Arc<[Waker]>, StartError> {
    let wakers = (0..directory.manifest.shards).map(|_shard| Waker::new()).collect::<Result<Vec<_>, _>>();
    Ok(wakers.map(Arc::from).map_err(HostError::system("create an eventfd"))?)
}
