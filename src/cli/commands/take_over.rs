//! `mushan serve --take-over`: the server that runs on the data directory, as the one that takes over asks it.

use crate::admin::{Address, AddressFile};
use crate::server::{Options, Predecessor};
use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::failure::Failure;
use crate::terminal::tls_client::TlsFlags;
use hyper::Method;
use std::error::Error;
use std::time::Duration;

/// A server that is well answers within milliseconds. One that does not keeps its directory and its clients.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// When a server is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TakeOverWish {
    /// A start without a server on the data directory is refused.
    Required,
    /// A start without one is a start like any other, for the unit of a service manager.
    IfRunning,
}

#[derive(clap::Args)]
pub struct TakeOverFlags {
    /// Take over from the server that runs on the data directory: it stops, and this one goes on with its directory and its
    /// port. Clients reconnect, and none is refused meanwhile. Nothing changes if that server cannot be asked
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "required")]
    take_over: Option<TakeOverWish>,
    #[command(flatten, next_help_heading = "With --take-over, where the HTTP API speaks TLS")]
    tls: TlsFlags,
}

impl TakeOverFlags {
    /// The server to take over, if there is to be one.
    pub fn predecessor(&self, options: &Options) -> Result<Option<RunningServer>, Failure> {
        let is_wanted = match self.take_over {
            None => false,
            Some(TakeOverWish::Required) => true,
            Some(TakeOverWish::IfRunning) => {
                let read = AddressFile::read(&options.data_dir);
                read.map_err(Failure::because("cannot read whether a server runs"))? != Address::Absent
            }
        };
        let api = || ApiFlags::of_data_dir(&options.data_dir).with_tls(&self.tls);
        Ok(is_wanted.then(|| RunningServer { api: api() }))
    }
}

/// The server whose address is in the data directory, and locked by it.
pub struct RunningServer {
    api: ApiFlags,
}

impl RunningServer {
    fn call(&self, call: Call) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.api.ask_within(call, ANSWER_WITHIN).map(drop).map_err(|failure: Failure| failure.into())
    }
}

impl Predecessor for RunningServer {
    fn prove(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.call(Call::at("/readyz"))
    }

    fn ask(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let old = "it is of a version that cannot hand over: stop it, and start this one without --take-over";
        self.call(Call::new(Method::POST, &["hand-over"]).or_say("not_found", old.to_owned()))
    }
}
