//! How many connections of each address have not authenticated yet.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::net::IpAddr;

/// One IPv4 address, or one IPv6 /64: what one peer surely holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin(u64, bool);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u64::from(address.to_bits()), false),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64, true),
        }
    }
}

pub struct HalfOpen {
    counts: HashMap<Origin, usize, FixedState>,
    per_origin_max: usize,
}

impl HalfOpen {
    pub fn new(per_origin_max: usize, seed: u64) -> Self {
        Self { counts: HashMap::with_hasher(FixedState::with_seed(seed)), per_origin_max }
    }

    /// Counts one in, or says that its origin has enough.
    pub fn enter(&mut self, origin: Origin) -> Result<(), Full> {
        let count = self.counts.entry(origin).or_default();
        if *count >= self.per_origin_max {
            return Err(Full);
        }
        *count += 1;
        Ok(())
    }

    /// Once for each `enter`.
    pub fn leave(&mut self, origin: Origin) {
        let count = self.counts.get_mut(&origin).expect("who leaves has entered");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&origin);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        address.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn each_origin_has_its_own_bound_and_leaving_makes_room() {
        let mut half_open = HalfOpen::new(2, 1);
        let (one, other) = (origin("10.0.0.1"), origin("10.0.0.2"));
        assert_eq!([half_open.enter(one), half_open.enter(one), half_open.enter(one)], [Ok(()), Ok(()), Err(Full)]);
        assert_eq!(half_open.enter(other), Ok(()));
        half_open.leave(one);
        assert_eq!(half_open.enter(one), Ok(()));
        [one, one, other].into_iter().for_each(|origin| half_open.leave(origin));
        assert!(half_open.counts.is_empty(), "no address is remembered for nothing");
    }

    #[test]
    fn one_v6_network_is_one_origin_and_a_mapped_v4_address_is_itself() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"));
    }
}
