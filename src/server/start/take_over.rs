//! How a start gets its directory and its port: from nobody, or from the server that has both and hands them over.
//!
//! Everything that can be refused is refused before the other server is asked: until then it serves as before. From its answer on
//! this server listens, and whoever connects waits in its backlog until it serves (decision 0046).

use crate::server::base::clock::Clock;
use crate::server::base::error::{Cause, ConfigurationError, StartError};
use crate::server::config::options::Options;
use crate::server::data::directory::DataDir;
use crate::server::data::succession::Succession;
use crate::server::state::listener::{self, Bound};
use crate::server::state::shared::Shared;
use std::time::{Duration, Instant};

/// The server that runs on the data directory.
pub trait Predecessor {
    /// Whether it runs and answers.
    fn prove(&self) -> Result<(), Cause>;
    /// Asks it to hand over. When it has answered, it stops; nothing is changed if it refuses.
    fn ask(&self) -> Result<(), Cause>;
}

/// A start that has its directory and its port.
pub struct Opening {
    pub directory: DataDir,
    pub bound: Bound,
    pub taken: Option<Taken>,
}

/// What was taken over, until this server serves.
pub struct Taken {
    asked: Instant,
    _succession: Succession,
}

impl Taken {
    /// To be called once this server accepts. How long nobody served.
    pub fn finish(self, shared: &Shared) -> Duration {
        let gap = self.asked.elapsed();
        shared.note_gap(gap);
        tracing::info!(gap_ms = gap.as_millis() as u64, "the server before this one has handed over");
        gap
    }
}

impl Opening {
    /// `cores` as for `DataDir::open`. `predecessor` is asked for both, if there is one.
    pub fn begin(options: &Options, cores: usize, predecessor: Option<&dyn Predecessor>) -> Result<Self, StartError> {
        let now = Clock::start().read().wall;
        let Some(predecessor) = predecessor else {
            let directory = DataDir::open(options, cores, now)?;
            let bound = listener::bind_all(options, directory.manifest.shards)?;
            return Ok(Self { directory, bound, taken: None });
        };
        let refused = |source: Cause| ConfigurationError::TakeOver { path: options.data_dir.clone(), source };
        predecessor.prove().map_err(refused)?;
        let manifest = DataDir::expect_usable(options)?;
        let another = || refused("another server is taking it over".into());
        let succession = Succession::claim(&options.data_dir)?.ok_or_else(another)?;
        let mut bound = listener::bind_beside(options, manifest.shards)?;
        let unheard = |error| listener::refused(bound.address, "--listen", error);
        bound.listeners.iter_mut().try_for_each(listener::Listener::listen).map_err(unheard)?;
        let asked = Instant::now();
        predecessor.ask().map_err(refused)?;
        let directory = DataDir::open_after_another(options, cores, now)?;
        Ok(Self { directory, bound, taken: Some(Taken { asked, _succession: succession }) })
    }
}
