//! Which proxies are believed, and what they send.

use crate::server::base::networks::Networks;
use crate::server::peer::client::ClientAddress;
use crate::server::peer::forwarded;
use crate::wire::ForwardedHeader;
use std::net::IpAddr;

/// The proxies of a configuration. The default believes nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxies {
    /// Addresses that have no bounds of their own, and whose headers are believed.
    pub trusted: Networks,
    /// Addresses whose connections begin with a PROXY header.
    pub announcing: Networks,
    /// The header that is read.
    pub header: ForwardedHeader,
}

impl Default for Proxies {
    fn default() -> Self {
        Self { trusted: Networks::default(), announcing: Networks::default(), header: ForwardedHeader::Off }
    }
}

impl Proxies {
    /// Whether a connection from this address must begin with a PROXY header.
    pub fn must_announce(&self, address: IpAddr) -> bool {
        self.announcing.contain(address)
    }

    /// The client for whom `nearest` connects, by what the header says.
    pub fn client_behind(&self, nearest: ClientAddress, header: &str) -> ClientAddress {
        forwarded::client_behind(nearest, header, self.header, &self.trusted)
    }
}
