//! The connections of each address, on all cores together.
//!
//! Shared by all shards; locked for the time of one look-up, when a connection comes and when it goes, and only where
//! there is a bound. Invariant: an address has an entry while it has a connection, so the table is bounded by the
//! connections; each `AddressPlace` is given back when it is dropped, wherever its connection has moved.

use crate::server::peer::client::PeerAddress;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

/// Parts of the table with locks of their own.
const PARTS: usize = 64;

#[derive(Debug)]
pub struct AddressPlaces {
    parts: Vec<Mutex<HashMap<PeerAddress, u32, FixedState>>>,
    per_address_max: u32,
    hasher: FixedState,
}

/// One connection of an address.
#[derive(Debug)]
pub struct AddressPlace {
    table: Arc<AddressPlaces>,
    address: PeerAddress,
}

impl AddressPlaces {
    /// `None` for a bound of 0, which is none.
    pub fn new(per_address_max: u32, seed: u64) -> Option<Arc<Self>> {
        let hasher = FixedState::with_seed(seed);
        let parts = (0..PARTS).map(|_part| Mutex::new(HashMap::with_hasher(hasher.clone()))).collect();
        (per_address_max > 0).then(|| Arc::new(Self { parts, per_address_max, hasher }))
    }

    /// A place for one more connection of the address; `None` if it has as many as it may.
    pub fn take(self: &Arc<Self>, address: PeerAddress) -> Option<AddressPlace> {
        let mut part = self.part(address).lock().unwrap_or_else(PoisonError::into_inner);
        let count = part.entry(address).or_insert(0);
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        drop(part);
        Some(AddressPlace { table: self.clone(), address })
    }

    fn part(&self, address: PeerAddress) -> &Mutex<HashMap<PeerAddress, u32, FixedState>> {
        // Other bits than those that choose a bucket within the part.
        &self.parts[(self.hasher.hash_one(address) >> 40) as usize % PARTS]
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut part = self.table.part(self.address).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = part.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                part.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn address(number: u32) -> PeerAddress {
        IpAddr::V4(Ipv4Addr::from_bits(number)).into()
    }

    #[test]
    fn an_address_has_its_bound_and_gets_places_back() {
        let table = AddressPlaces::new(2, 1).expect("a bound");
        let held = [table.take(address(1)), table.take(address(1))];
        assert!(held.iter().all(Option::is_some) && table.take(address(1)).is_none());
        assert!(table.take(address(2)).is_some(), "another address has its own");
        drop(held);
        assert!(table.take(address(1)).is_some());
        let entries = table.parts.iter().map(|part| part.lock().expect("no panic inside").len()).sum::<usize>();
        assert_eq!(entries, 0, "no address is remembered for nothing");
        assert!(AddressPlaces::new(0, 1).is_none());
    }

    #[test]
    fn places_move_between_threads() {
        let table = AddressPlaces::new(1_000, 1).expect("a bound");
        let places: Vec<_> = (0..1_000).map(|number| table.take(address(number % 3))).collect();
        std::thread::spawn(move || drop(places)).join().expect("no panic");
        assert!((0..1_000).map(|_again| table.take(address(0))).collect::<Vec<_>>().iter().all(Option::is_some));
    }
}
