//! The counters of a core's connections.

use crate::model::{Closing, RefusalCounts, Verb};
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
    /// Decoded requests and logins by protocol, in the order of `Encoding::NAMES`, and verb.
    pub requests: [[u64; Verb::ALL.len()]; Encoding::NAMES.len()],
    /// Requests that were refused without asking the shard.
    pub refused: RefusalCounts,
    /// Logins that were refused.
    pub logins_refused: RefusalCounts,
    /// Ended connections by `Closing`, in the order of `Closing::ALL`.
    pub ended: [u64; Closing::ALL.len()],
    /// Refused tokens of new and of open sessions, in the order of `TokenFault::ALL`.
    pub refused_tokens: [u64; TokenFault::ALL.len()],
}

impl Traffic {
    #[inline]
    pub(in crate::server) fn count_request(&mut self, encoding: Option<Encoding>, verb: Verb) {
        if let Some(encoding) = encoding {
            self.requests[encoding.index()][verb as usize] += 1;
        }
    }
}
