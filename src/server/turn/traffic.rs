//! The counters of a core's connections.

use crate::model::{Closing, RefusalCounts};
use crate::wire::{Encoding, TokenFault};

/// Counters of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections accepted on this core, whichever core owns their users.
    pub accepted: u64,
    /// Connections accepted here and handed over to another core.
    pub handed_over: u64,
    /// TLS handshakes completed.
    pub tls_handshakes: u64,
    /// Sessions opened here, by protocol, in the order of `Encoding::NAMES`.
    pub opened: [u64; Encoding::NAMES.len()],
    /// Messages of clients, by protocol, in the order of `Encoding::NAMES`.
    pub received: [u64; Encoding::NAMES.len()],
    /// Requests that were refused without asking the shard.
    pub refused: RefusalCounts,
    /// Logins that were refused.
    pub logins_refused: RefusalCounts,
    /// Ended connections by `Closing`, in the order of `Closing::ALL`.
    pub ended: [u64; Closing::ALL.len()],
    /// Refused tokens of new and of open sessions, in the order of `TokenFault::ALL`.
    pub refused_tokens: [u64; TokenFault::ALL.len()],
}
