//! Certificates that answer an authority's handshakes (TLS-ALPN-01, RFC 8737), beside the one for everybody else.
//!
//! Shared by the shards, which answer handshakes, and the thread that orders certificates. Invariant: a challenge's
//! certificate is shown to nobody who does not ask for `acme-tls/1`.

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The protocol that only an authority asks for.
pub(in crate::server) const ACME_ALPN: &[u8] = b"acme-tls/1";

type CertifiedKeys = BTreeMap<String, Arc<CertifiedKey>>;

/// The challenges under way, by name.
#[derive(Clone, Debug, Default)]
pub struct AlpnChallenges(Arc<ArcSwap<CertifiedKeys>>);

impl AlpnChallenges {
    /// Answers handshakes for these names from now on, and for no other ones.
    pub fn replace(&self, answers: CertifiedKeys) {
        self.0.store(Arc::new(answers));
    }
}

/// Chooses a certificate for each handshake.
#[derive(Debug)]
pub(in crate::server) struct CertificateChoice {
    pub usual: Arc<CertifiedKey>,
    pub challenges: AlpnChallenges,
}

impl ResolvesServerCert for CertificateChoice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_authority = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_ALPN));
        if !is_authority {
            return Some(Arc::clone(&self.usual));
        }
        self.challenges.0.load().get(hello.server_name()?).cloned()
    }
}
