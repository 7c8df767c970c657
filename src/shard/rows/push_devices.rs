//! The devices that push services wake, of this shard's users.
//!
//! Invariants: the table follows from the log; a user without such a device has no row; of a user no two devices have
//! one token, and there are at most `PushChange::DEVICES_MAX`, the latest registered last.

use crate::log::Record;
use crate::log::record::bytes::{Put, Reader};
use crate::log::record::push::{put_registration, read_registration, registration_bytes};
use crate::model::{PushChange, PushDevice, PushRegistration, UserId};
use compact_str::CompactString;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(in crate::shard) struct PushDevices {
    rows: BTreeMap<UserId, Vec<PushDevice>>,
    /// Bytes of all rows in a checkpoint.
    bytes: u64,
}

fn row_bytes(user: &UserId, devices: &[PushDevice]) -> u64 {
    let device = |it: &PushDevice| 1 + it.id.len() + registration_bytes(&it.registration);
    (1 + user.as_str().len() + 1 + devices.iter().map(device).sum::<usize>()) as u64
}

impl PushDevices {
    /// The user's devices, the latest registered last.
    pub fn of(&self, user: &UserId) -> &[PushDevice] {
        self.rows.get(user).map_or(&[], Vec::as_slice)
    }

    pub fn find(&self, user: &UserId, device: &str) -> Option<&PushRegistration> {
        self.of(user).iter().find(|it| it.id == device).map(|it| &it.registration)
    }

    /// Registers a device, or removes it.
    pub fn set(&mut self, user: &UserId, device: &str, registration: Option<Box<PushRegistration>>) {
        let mut devices = self.rows.remove(user).unwrap_or_default();
        self.bytes -= if devices.is_empty() { 0 } else { row_bytes(user, &devices) };
        let is_replaced = |it: &PushDevice| {
            it.id == device || registration.as_ref().is_some_and(|new| new.token == it.registration.token)
        };
        devices.retain(|it| !is_replaced(it));
        if let Some(registration) = registration {
            devices.push(PushDevice { id: device.into(), registration: *registration });
        }
        if devices.len() > PushChange::DEVICES_MAX {
            devices.remove(0);
        }
        if !devices.is_empty() {
            self.bytes += row_bytes(user, &devices);
            self.rows.insert(user.clone(), devices);
        }
    }

    /// Removes all devices of the user.
    pub fn forget(&mut self, user: &UserId) {
        if let Some(devices) = self.rows.remove(user) {
            self.bytes -= row_bytes(user, &devices);
        }
    }

    /// Bytes of all rows in a checkpoint.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Each device as the record that makes it, in their order.
    pub fn records(&self) -> impl Iterator<Item = (&UserId, Record)> {
        let record = |user: &UserId, it: &PushDevice| Record::PushDevice {
            user: user.clone(),
            device: it.id.clone(),
            registration: Some(Box::new(it.registration.clone())),
        };
        self.rows.iter().flat_map(move |(user, devices)| devices.iter().map(move |it| (user, record(user, it))))
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.rows.len() as u64);
        for (user, devices) in &self.rows {
            out.put_short(user.as_str().as_bytes());
            out.put_u8(u8::try_from(devices.len()).expect("a user has few of them"));
            for device in devices {
                out.put_short(device.id.as_bytes());
                put_registration(&device.registration, out);
            }
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut devices = Self::default();
        for _user in 0..reader.u64()? {
            let user = UserId::new(std::str::from_utf8(reader.short()?).ok()?).ok()?;
            for _device in 0..reader.u8()? {
                let id: CompactString = std::str::from_utf8(reader.short()?).ok()?.into();
                devices.set(&user, &id, Some(Box::new(read_registration(reader)?)));
            }
        }
        Some(devices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GivenToken, PushSettings, PushToken};
    use crate::shard::testing::duo::user;

    fn registration(token: &str) -> Option<Box<PushRegistration>> {
        let token = PushToken::new(GivenToken { provider: "fcm", token, p256dh: "", auth: "" }).expect("well formed");
        Some(Box::new(PushRegistration { token, settings: PushSettings::default() }))
    }

    fn ids(devices: &PushDevices) -> Vec<&str> {
        devices.of(&user("alice")).iter().map(|it| it.id.as_str()).collect()
    }

    #[test]
    fn a_device_has_one_token_a_token_one_device_and_the_oldest_of_too_many_goes() {
        let mut devices = PushDevices::default();
        let alice = user("alice");
        for (id, token) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "2")] {
            devices.set(&alice, id, registration(token));
        }
        assert_eq!(ids(&devices), ["a", "c"]);
        (0..PushChange::DEVICES_MAX)
            .for_each(|n| devices.set(&alice, &format!("d{n}"), registration(&format!("t{n}"))));
        assert_eq!((ids(&devices).len(), ids(&devices)[0]), (PushChange::DEVICES_MAX, "d0"));
        devices.set(&alice, "nobody", None);
        for n in 0..PushChange::DEVICES_MAX {
            devices.set(&alice, &format!("d{n}"), None);
        }
        assert_eq!((devices.bytes(), devices.rows.len()), (0, 0));
    }

    #[test]
    fn devices_read_back_as_written_in_their_order() {
        let mut devices = PushDevices::default();
        for (of, id, token) in [("alice", "z", "1"), ("bob", "b", "2"), ("alice", "a", "3")] {
            devices.set(&user(of), id, registration(token));
        }
        let mut bytes = Vec::new();
        devices.put(&mut bytes);
        assert_eq!(bytes.len() as u64, 8 + devices.bytes());
        let mut reader = Reader::new(&bytes);
        let read = PushDevices::read(&mut reader).expect("as written");
        assert!(reader.is_at_end());
        assert_eq!((&read.rows, read.bytes, ids(&read)), (&devices.rows, devices.bytes, vec!["z", "a"]));
        assert!((0..bytes.len()).all(|cut| PushDevices::read(&mut Reader::new(&bytes[..cut])).is_none()));
        let mut again = PushDevices::default();
        for (user, record) in devices.records() {
            let Record::PushDevice { device, registration, .. } = record else { panic!("{record:?}") };
            again.set(user, &device, registration);
        }
        assert_eq!(again.rows, devices.rows);
    }
}
