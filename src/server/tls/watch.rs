//! Reads certificates again when their files change.

use crate::server::base::error::ConfigurationError;
use crate::server::base::helper_thread;
use crate::server::config::options::Options;
use crate::server::tls::identity::TlsIdentity;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the files' times are compared.
const INTERVAL: Duration = Duration::from_secs(5);

/// The certificates of a server's listeners.
#[derive(Clone)]
pub struct Identities {
    pub clients: Option<TlsIdentity>,
    pub admin: Option<TlsIdentity>,
}

impl Identities {
    /// Those that the options name.
    ///
    /// # Errors
    ///
    /// A file is missing or wrong.
    pub fn configured(options: &Options) -> Result<Self, ConfigurationError> {
        Ok(Self {
            clients: TlsIdentity::configured(&options.tls, "tls.certificate_file")?,
            admin: TlsIdentity::configured(&options.admin.tls, "admin.tls_certificate_file")?,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = &TlsIdentity> {
        self.named().map(|(_, identity)| identity)
    }

    /// The same, with the names of their listeners.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &TlsIdentity)> {
        let clients = self.clients.iter().map(|identity| ("clients", identity));
        clients.chain(self.admin.iter().map(|identity| ("admin", identity)))
    }

    /// The scheme of the HTTP API's address.
    pub fn admin_scheme(&self) -> &'static str {
        if self.admin.is_some() { "https" } else { "http" }
    }

    /// Starts the thread that watches the files, unless there is nothing to watch, and adds it to `helpers`.
    pub(in crate::server) fn watch(
        &self,
        core: Option<usize>,
        helpers: &mut Vec<JoinHandle<()>>,
    ) -> io::Result<Option<Watching>> {
        let identities: Vec<_> = self.iter().cloned().collect();
        if identities.is_empty() {
            return Ok(None);
        }
        let (watching, ended) = bounded(0);
        helpers.push(helper_thread::spawn("mushan-tls", core, move || watch(&identities, &ended))?);
        Ok(Some(Watching(watching)))
    }
}

/// Ends the watching thread when it is dropped.
pub(in crate::server) struct Watching(#[expect(dead_code, reason = "dropping it disconnects the thread")] Sender<()>);

fn watch(identities: &[TlsIdentity], ended: &Receiver<()>) {
    while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        for identity in identities.iter().filter(|identity| identity.has_changed()) {
            if read_again(identity) == Reload::Done {
                let certificate = identity.certificate_file().display();
                tracing::info!(%certificate, "certificate reloaded: new connections use it");
            }
        }
    }
}

/// Whether files are in use now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Done,
    Failed,
}

/// Reads an identity's files again, and logs what is wrong with them.
pub fn read_again(identity: &TlsIdentity) -> Reload {
    match identity.read_again() {
        Ok(()) => Reload::Done,
        Err(error) => {
            tracing::error!(%error, "reading a certificate failed; the previous one stays in use");
            Reload::Failed
        }
    }
}
