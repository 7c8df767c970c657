//! The address of a client, as far as it is known, and the key under which limits count it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The address of a client; its port unless a proxy has left it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    pub ip: IpAddr,
    pub port: Option<u16>,
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip().to_canonical(), port: Some(address.port()) }
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(ip: IpAddr) -> Self {
        Self { ip: ip.to_canonical(), port: None }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(out),
            None => self.ip.fmt(out),
        }
    }
}

/// One IPv4 address, or one IPv6 /64 network, which usually belongs to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress(u64, bool);

impl From<IpAddr> for PeerAddress {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u64::from(address.to_bits()), false),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64, true),
        }
    }
}
