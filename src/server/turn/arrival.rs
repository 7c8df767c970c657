//! Arrival: a connection accepted on this core, the PROXY header before its first byte, and where its client is.
//!
//! Invariant: a PROXY header is read before anything else, TLS included; nothing of a connection that lacks it is.

use crate::log::Storage;
use crate::model::{Closing, Moment};
use crate::server::peer::client::ClientAddress;
use crate::server::peer::proxies::Proxies;
use crate::server::peer::proxy_header::HeaderState;
use crate::server::peer::rates::{AddressRates, Pace};
use crate::server::turn::Turn;
use crate::server::turn::link::LinkKey;
use crate::wire::Connection;
use std::net::IpAddr;
use std::sync::Arc;

impl<S: Storage> Turn<S> {
    /// A new connection, accepted on this core.
    pub fn accept(&mut self, now: Moment) -> LinkKey {
        self.traffic.accepted += 1;
        let key = self.links.insert(Connection::new(now, &self.common.context), None);
        self.after(now, key);
        key
    }

    /// Ends a connection in favour of a newer one.
    pub fn crowd_out(&mut self, now: Moment, key: LinkKey) {
        self.close(now, key, Closing::Crowded);
        self.settle(now);
    }

    /// Sets the proxies that are believed; before the first connection.
    pub(in crate::server) fn set_proxies(&mut self, proxies: Arc<Proxies>) {
        self.proxies = proxies;
    }

    /// Sets how often everybody together and each address may log in; before the first connection.
    pub(in crate::server) fn set_login_rates(&mut self, pace: Option<Pace>, rates: Option<AddressRates>) {
        (self.login_pace, self.login_rates) = (pace, rates);
    }

    /// Sets how much a session may have queued before pushes to it wait in the log.
    pub(in crate::server) fn set_queued_bytes_max(&mut self, bytes: usize) {
        self.queued_bytes_max = bytes;
    }

    /// Whether limits count connections from this address as they come: neither a proxy's, nor those that will be announced.
    pub(in crate::server) fn counts_at_once(&self, address: IpAddr) -> bool {
        !self.proxies.trusted.contain(address) && !self.proxies.must_announce(address)
    }

    /// Whether the link's PROXY header has not come yet.
    pub(in crate::server) fn owes_header(&self, key: LinkKey) -> bool {
        self.links[key].proxy_header.is_some()
    }

    /// Whether the link's client may log in once more: neither its address nor everybody together have done so too often.
    /// Counts it. The address comes first, so that one that floods uses up nothing of the others' share.
    pub(super) fn may_log_in(&mut self, now: Moment, key: LinkKey) -> bool {
        let client = self.links[key].client.filter(|client| !self.proxies.trusted.contain(client.ip));
        if let (Some(rates), Some(client)) = (&mut self.login_rates, client)
            && !rates.admit(now.steady, client.ip.into())
        {
            return false;
        }
        self.login_pace.as_mut().is_none_or(|pace| pace.admit(now.steady))
    }

    /// Notes from where a new connection has come.
    pub(in crate::server) fn note_peer(&mut self, key: LinkKey, peer: ClientAddress) {
        let link = &mut self.links[key];
        link.client = Some(peer);
        link.proxy_header = self.proxies.must_announce(peer.ip).then(Box::default);
    }

    /// The client's address, as far as it is known.
    pub(in crate::server) fn client(&self, key: LinkKey) -> Option<ClientAddress> {
        self.links[key].client
    }

    /// The address that limits count; `None` while a PROXY header is awaited, after the end, and for a proxy's own.
    pub(in crate::server) fn counted_address(&mut self, key: LinkKey) -> Option<IpAddr> {
        self.locate(key);
        let link = &self.links[key];
        let is_known = link.proxy_header.is_none() && !link.is_ended();
        let client = link.client.filter(|_| is_known)?;
        (!self.proxies.trusted.contain(client.ip)).then_some(client.ip)
    }

    /// Takes up what the upgrade request says of the client, if the sender is trusted.
    pub(super) fn locate(&mut self, key: LinkKey) {
        let link = &mut self.links[key];
        if let Some(header) = link.connection.take_forwarded()
            && let Some(nearest) = link.client
        {
            link.client = Some(self.proxies.client_behind(nearest, &header));
        }
    }

    /// Reads the PROXY header out of `bytes`, and passes on what follows it.
    #[cold]
    pub(super) fn received_proxy_header(&mut self, now: Moment, key: LinkKey, bytes: &[u8]) {
        let link = &mut self.links[key];
        let Some(reader) = link.proxy_header.as_mut().filter(|_| !matches!(link.stage, super::LinkStage::Ended)) else {
            return;
        };
        match reader.receive(bytes) {
            HeaderState::Partial => {}
            HeaderState::Missing => {
                self.close(now, key, Closing::ProxyHeaderMissing);
                self.settle(now);
            }
            HeaderState::Complete { client, mut rest } => {
                link.proxy_header = None;
                link.client = client.or(link.client);
                if !rest.is_empty() {
                    self.received(now, key, &mut rest);
                }
            }
        }
    }
}
