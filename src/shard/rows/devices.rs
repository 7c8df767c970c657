//! The delivered positions of a user's devices, in one row of bytes: most users have one device with a short name,
//! which needs no allocation.
//!
//! Owned by a row of the inboxes. For each device the row has the length of its id, the id, the flag, whether the
//! position is in the log, and the position. Numbers have seven bits in a byte, the lowest first; the highest bit says
//! that more follow. Invariant: the device that moved last is last.

use crate::model::{DeviceKey, Seq};
use smallvec::SmallVec;

/// Devices remembered per user; one more forgets the one that moved longest ago.
pub(in crate::shard) const DEVICES_MAX: usize = 16;

#[derive(Debug, Default)]
pub(in crate::shard) struct Devices(SmallVec<[u8; 16]>);

/// Whether the log knows a device's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum DeviceState {
    Fresh = 1,
    Logged = 0,
}

#[derive(Clone, Copy)]
struct Device<'a> {
    id: &'a [u8],
    flag: u8,
    freshness: DeviceState,
    delivered: Seq,
    /// The offsets of its begin, of its freshness, and of its end.
    from: usize,
    freshness_at: usize,
    end: usize,
}

impl Device<'_> {
    fn is(&self, key: &DeviceKey) -> bool {
        self.flag == key.flag && self.id == key.id.as_bytes()
    }

    fn key(&self) -> DeviceKey {
        let id = std::str::from_utf8(self.id).expect("it was a text");
        DeviceKey { flag: self.flag, id: id.into() }
    }
}

impl Devices {
    pub fn delivered(&self, key: &DeviceKey) -> Option<Seq> {
        self.devices().find(|device| device.is(key)).map(|device| device.delivered)
    }

    pub fn len(&self) -> usize {
        self.devices().count()
    }

    pub fn iter(&self) -> impl Iterator<Item = (DeviceKey, Seq)> + '_ {
        self.devices().map(|device| (device.key(), device.delivered))
    }

    /// Moves the device to `position`, and to the end of the list. Returns the state of its previous position; `None`
    /// if the device has this position already, and nothing changes.
    pub fn advance(&mut self, key: &DeviceKey, position: Seq, freshness: DeviceState) -> Option<DeviceState> {
        let Some(device) = self.devices().find(|device| device.is(key)) else {
            self.add(key, position, freshness);
            return Some(DeviceState::Logged);
        };
        let Device { delivered, freshness: before, from, freshness_at, end, .. } = device;
        if delivered >= position {
            return None;
        }
        // In most cases the position is as long as before, and the device is the last one: then no bytes move.
        let is_in_place = end == self.0.len() && number_bytes(position.0) == end - freshness_at - 1;
        if is_in_place {
            if freshness == DeviceState::Fresh {
                self.0[freshness_at] = DeviceState::Fresh as u8;
            }
            let mut number = position.0;
            for byte in &mut self.0[freshness_at + 1..] {
                *byte = number as u8 | 0x80;
                number >>= 7;
            }
            self.0[end - 1] &= 0x7f;
            return Some(before);
        }
        self.0[from..].rotate_left(end - from);
        let last = self.0.len() - (end - from);
        self.0.truncate(last + freshness_at - from);
        self.end_with(if before == DeviceState::Fresh { before } else { freshness }, position);
        Some(before)
    }

    /// Returns a position that is not logged yet, and marks it as logged.
    pub fn next_fresh(&mut self) -> Option<(DeviceKey, Seq)> {
        let device = self.devices().find(|device| device.freshness == DeviceState::Fresh)?;
        let (found, at) = ((device.key(), device.delivered), device.freshness_at);
        self.0[at] = DeviceState::Logged as u8;
        Some(found)
    }

    fn add(&mut self, key: &DeviceKey, position: Seq, freshness: DeviceState) {
        if self.len() == DEVICES_MAX {
            let oldest = self.devices().next().map_or(0, |device| device.end);
            self.0.drain(..oldest);
        }
        put_number(&mut self.0, key.id.len() as u64);
        self.0.extend_from_slice(key.id.as_bytes());
        self.0.push(key.flag);
        self.end_with(freshness, position);
        // Its row is kept for years.
        self.0.shrink_to_fit();
    }

    fn end_with(&mut self, freshness: DeviceState, position: Seq) {
        self.0.push(freshness as u8);
        put_number(&mut self.0, position.0);
    }

    fn devices(&self) -> impl Iterator<Item = Device<'_>> + '_ {
        let (mut rest, whole) = (self.0.as_slice(), self.0.len());
        std::iter::from_fn(move || {
            let from = whole - rest.len();
            let length = usize::try_from(take_number(&mut rest)?).ok()?;
            let (id, behind) = rest.split_at_checked(length)?;
            let (flag, behind) = behind.split_first()?;
            let freshness_at = whole - behind.len();
            let (freshness, behind) = behind.split_first()?;
            let freshness =
                if *freshness == DeviceState::Fresh as u8 { DeviceState::Fresh } else { DeviceState::Logged };
            rest = behind;
            let delivered = Seq(take_number(&mut rest)?);
            Some(Device { id, flag: *flag, freshness, delivered, from, freshness_at, end: whole - rest.len() })
        })
    }
}

fn put_number(bytes: &mut SmallVec<[u8; 16]>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The number of bytes that `put_number` writes.
fn number_bytes(number: u64) -> usize {
    (number | 1).ilog2() as usize / 7 + 1
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> DeviceKey {
        DeviceKey { flag: 1, id: id.into() }
    }

    #[test]
    fn devices_of_all_lengths_and_places_are_told_apart() {
        let mut devices = Devices::default();
        let keys = ["", "phone", &"x".repeat(128), &"y".repeat(300)].map(key);
        let places = [0, 1, 127, 128, 16_383, 16_384, u64::MAX - 1, u64::MAX].map(Seq);
        for place in places {
            for key in &keys {
                let is_news = devices.delivered(key).is_none_or(|delivered| delivered < place);
                assert_eq!(devices.advance(key, place, DeviceState::Logged).is_some(), is_news, "{place}");
                assert_eq!(devices.advance(key, place, DeviceState::Fresh), None, "it is there");
            }
            let found: Vec<_> = devices.iter().collect();
            assert_eq!(found, keys.clone().map(|key| (key, place)), "in the order in which they moved");
        }
        assert_eq!(devices.delivered(&DeviceKey { flag: 2, id: "phone".into() }), None);
        let mut one = Devices::default();
        for place in (0..70_000).chain([u64::MAX - 1, u64::MAX]).map(Seq) {
            one.advance(&key("phone"), place, DeviceState::Logged);
            assert!(one.iter().eq([(key("phone"), place)]));
        }
    }

    #[test]
    fn a_phone_with_a_short_history_has_no_memory_of_its_own() {
        let mut devices = Devices::default();
        devices.advance(&key("android"), Seq(1 << 40), DeviceState::Fresh);
        assert!(!devices.0.spilled());
    }

    #[test]
    fn a_fresh_position_is_fresh_until_it_is_logged() {
        let mut devices = Devices::default();
        assert_eq!(devices.advance(&key("phone"), Seq(3), DeviceState::Fresh), Some(DeviceState::Logged));
        assert_eq!(devices.advance(&key("phone"), Seq(300), DeviceState::Logged), Some(DeviceState::Fresh));
        assert_eq!(devices.next_fresh(), Some((key("phone"), Seq(300))));
        assert_eq!(devices.next_fresh(), None);
    }
}
