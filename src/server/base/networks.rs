//! A list of networks such as `127.0.0.0/8,::1/128,10.1.2.3`: each an address with the number of significant bits, all
//! bits if there is no slash.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// The loopback networks.
    pub fn loopback() -> Self {
        "127.0.0.0/8,::1/128".parse().expect("a list of networks")
    }

    /// Whether a network contains the address. An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address.to_canonical()))
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse::<u8>().map_err(|_| ()))?;
        if bits <= most { Ok(Self { address, bits }) } else { Err(()) }
    }
}

impl FromStr for Networks {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(Network::from_str).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Network { address, bits }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(out, "{separator}{address}/{bits}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_that_begin_like_it() {
        let networks: Networks = "10.1.0.0/16, 192.168.7.9,fd00::/8".parse().expect("a list");
        for inside in ["10.1.255.3", "::ffff:10.1.0.1", "192.168.7.9", "fdff::1"] {
            assert!(networks.contain(inside.parse().expect("an address")), "{inside}");
        }
        for outside in ["10.2.0.1", "192.168.7.8", "fe80::1", "::1"] {
            assert!(!networks.contain(outside.parse().expect("an address")), "{outside}");
        }
        assert!("0.0.0.0/0".parse::<Networks>().expect("all").contain("8.8.8.8".parse().expect("an address")));
        assert!(!Networks::default().contain("127.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn a_list_is_shown_as_it_is_read_and_what_is_none_is_refused() {
        assert_eq!(Networks::loopback().to_string(), "127.0.0.0/8,::1/128");
        assert_eq!("".parse::<Networks>().expect("none").to_string(), "");
        for wrong in ["10.0.0.0/33", "::1/129", "localhost", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Networks>().is_err(), "{wrong}");
        }
    }
}
