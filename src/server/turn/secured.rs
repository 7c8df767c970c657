//! The TLS layer of a link: records in, records out.
//!
//! Invariants: a link without TLS does not get here; plaintext passes through one buffer of the turn; after the end of a
//! link its last records and `close_notify` are ready at once.

use crate::log::Storage;
use crate::model::{Closing, Moment};
use crate::server::tls::record_layer::{PeerSide, RecordLayer};
use crate::server::turn::link::{Link, LinkKey};
use crate::server::turn::{Action, Turn};
use crate::wire::{Connection, ReceivedBytes};

/// A larger buffer, of a burst, is freed after it.
const PLAINTEXT_BYTES_KEPT: usize = 64 << 10;

impl<S: Storage> Turn<S> {
    /// A new connection that speaks TLS, accepted on this core.
    pub(in crate::server) fn accept_secured(&mut self, now: Moment, layer: RecordLayer) -> LinkKey {
        self.traffic.accepted += 1;
        let key = self.links.insert(Connection::new(now, &self.common.context), Some(Box::new(layer)));
        self.after(now, key);
        key
    }

    /// Whether the link's next bytes belong to a TLS handshake, which costs far more than a request.
    pub(in crate::server) fn is_handshaking(&self, key: LinkKey) -> bool {
        self.links[key].layer.as_ref().is_some_and(|layer| layer.is_handshaking())
    }

    /// Passes on what the records in `bytes` say.
    pub(super) fn received_records(&mut self, now: Moment, key: LinkKey, bytes: &mut [u8]) {
        let link = &mut self.links[key];
        let Some(layer) = link.layer.as_mut().filter(|_| !matches!(link.stage, super::LinkStage::Ended)) else {
            return;
        };
        let was_handshaking = layer.is_handshaking();
        let mut plaintext = std::mem::take(&mut self.plaintext);
        let received = layer.receive(bytes, &mut plaintext);
        self.traffic.tls_handshakes += u64::from(was_handshaking && !layer.is_handshaking());
        self.pump(now, key, ReceivedBytes::new(&mut plaintext));
        plaintext.clear();
        plaintext.shrink_to(PLAINTEXT_BYTES_KEPT);
        self.plaintext = plaintext;
        match received {
            Ok(PeerSide::Open) => {}
            Ok(PeerSide::Closed) => self.close(now, key, Closing::Gone),
            Err(error) => {
                tracing::debug!(%error, "a TLS connection failed");
                self.close(now, key, Closing::TlsFailed);
            }
        }
    }

    /// The link's outbox as records; `spare` is an empty buffer.
    pub(super) fn drain_records(&mut self, key: LinkKey, spare: Vec<u8>) -> Vec<u8> {
        let (mut records, link) = (spare, &mut self.links[key]);
        let Some(layer) = &mut link.layer else { return records };
        layer.take_outgoing(&mut records);
        if !layer.is_handshaking() && link.connection.outbox_bytes() > 0 {
            let plaintext = link.connection.drain_outbox(Vec::new());
            if let Err(error) = layer.encrypt(&plaintext, &mut records) {
                tracing::debug!(%error, "a TLS connection cannot send any more");
                self.actions.push(Action::Abandon(key));
            }
        }
        records
    }
}

impl Link {
    /// The number of bytes that can be written now: before the handshake only its own.
    #[inline]
    pub fn ready_bytes(&self) -> usize {
        match &self.layer {
            None => self.connection.outbox_bytes(),
            Some(layer) if layer.is_handshaking() => layer.outgoing_bytes(),
            Some(layer) => layer.outgoing_bytes() + self.connection.outbox_bytes(),
        }
    }

    /// Makes the last records of an ended link. Without TLS there are none.
    pub fn finish_records(&mut self) {
        if let Some(layer) = &mut self.layer {
            layer.finish(&self.connection.drain_outbox(Vec::new()));
        }
    }
}
