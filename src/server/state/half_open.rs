//! The unauthenticated connections of each address, oldest first.
//!
//! When an address has all the unauthenticated connections that it may have, a new one replaces its oldest one: a
//! silent client cannot keep out others behind the same address. A trusted proxy's own connections are not counted.

use crate::server::peer::client::PeerAddress;
use crate::server::turn::LinkKey;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::VecDeque;

pub struct HalfOpen {
    waiting: HashMap<PeerAddress, VecDeque<LinkKey>, FixedState>,
    per_address_max: usize,
}

impl HalfOpen {
    pub fn new(per_address_max: usize, seed: u64) -> Self {
        Self { waiting: HashMap::with_hasher(FixedState::with_seed(seed)), per_address_max }
    }

    /// Counts a connection. If its address exceeds the bound, the oldest connection is removed and returned, to be
    /// ended.
    pub fn enter(&mut self, address: PeerAddress, key: LinkKey) -> Option<LinkKey> {
        let waiting = self.waiting.entry(address).or_default();
        waiting.push_back(key);
        if waiting.len() > self.per_address_max { waiting.pop_front() } else { None }
    }

    /// Removes a connection. To be called once for each `enter`, except for those that `enter` returned.
    pub fn leave(&mut self, address: PeerAddress, key: LinkKey) {
        let waiting = self.waiting.get_mut(&address).expect("who leaves has entered");
        waiting.retain(|other| *other != key);
        if waiting.is_empty() {
            self.waiting.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn address(address: &str) -> PeerAddress {
        address.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn the_oldest_of_an_address_makes_room_for_the_newest_and_for_no_other_address() {
        let mut half_open = HalfOpen::new(2, 1);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        assert_eq!([half_open.enter(one, LinkKey(1)), half_open.enter(one, LinkKey(2))], [None, None]);
        assert_eq!(half_open.enter(other, LinkKey(3)), None);
        assert_eq!(half_open.enter(one, LinkKey(4)), Some(LinkKey(1)));
        half_open.leave(one, LinkKey(2));
        assert_eq!(half_open.enter(one, LinkKey(5)), None, "leaving makes room");
        [(one, 4), (one, 5), (other, 3)].into_iter().for_each(|(address, key)| half_open.leave(address, LinkKey(key)));
        assert!(half_open.waiting.is_empty(), "no address is remembered for nothing");
    }

    #[test]
    fn one_v6_network_is_one_address_and_a_mapped_v4_address_is_itself() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
    }
}
