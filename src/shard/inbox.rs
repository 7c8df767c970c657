//! The newest end of every inbox of this shard, and how far each device has got. A constant per user, whatever the
//! history.

use super::rate::Bucket;
use crate::log::Tail;
use crate::model::{DeviceKey, Seq, UserId};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;

/// Devices remembered per user; one more forgets the one that moved longest ago.
const DEVICES_MAX: usize = 16;

#[derive(Clone, Debug)]
struct Device {
    key: DeviceKey,
    delivered: Seq,
    is_dirty: bool,
}

#[derive(Debug, Default)]
struct Inbox {
    tail: Tail,
    /// The one that moved last stands last.
    devices: SmallVec<[Device; 1]>,
    /// Here and not with the sessions: a new connection is no new allowance.
    bucket: Bucket,
}

pub(super) struct Inboxes {
    inboxes: HashMap<UserId, Inbox, FixedState>,
    /// Users with a device whose position the log does not know yet.
    dirty: Vec<UserId>,
}

impl Inboxes {
    pub fn new(seed: u64) -> Self {
        Self { inboxes: HashMap::with_hasher(FixedState::with_seed(seed)), dirty: Vec::new() }
    }

    /// A user without history has the empty tail.
    pub fn tail(&self, user: &UserId) -> Tail {
        self.inboxes.get(user).map(|inbox| inbox.tail).unwrap_or_default()
    }

    pub fn tail_mut(&mut self, user: &UserId) -> &mut Tail {
        &mut self.inboxes.entry_ref(user).or_default().tail
    }

    pub fn bucket_of(&mut self, user: &UserId) -> &mut Bucket {
        &mut self.inboxes.entry_ref(user).or_default().bucket
    }

    /// Moves a device's delivered position; it never goes back.
    pub fn deliver(&mut self, user: &UserId, key: &DeviceKey, position: Seq) {
        let inbox = self.inboxes.entry_ref(user).or_default();
        let Some(device) = move_device(&mut inbox.devices, key, position) else { return };
        if !device.is_dirty {
            device.is_dirty = true;
            self.dirty.push(user.clone());
        }
    }

    /// A position that the log already knows.
    pub fn restore_device(&mut self, user: &UserId, key: &DeviceKey, position: Seq) {
        move_device(&mut self.inboxes.entry_ref(user).or_default().devices, key, position);
    }

    pub fn delivered(&self, user: &UserId, key: &DeviceKey) -> Option<Seq> {
        let devices = &self.inboxes.get(user)?.devices;
        devices.iter().find(|device| device.key == *key).map(|device| device.delivered)
    }

    /// One position that the log does not know yet; it is taken to know it from here on.
    pub fn next_dirty(&mut self) -> Option<(UserId, DeviceKey, Seq)> {
        while let Some(user) = self.dirty.last() {
            let inbox = self.inboxes.get_mut(user).expect("a dirty device has an inbox");
            if let Some(device) = inbox.devices.iter_mut().find(|device| device.is_dirty) {
                device.is_dirty = false;
                return Some((user.clone(), device.key.clone(), device.delivered));
            }
            self.dirty.pop();
        }
        None
    }

    pub fn len(&self) -> usize {
        self.inboxes.len()
    }
}

/// The device, moved to `position` and to the end of the list; `None` when it is there already.
fn move_device<'a>(devices: &'a mut SmallVec<[Device; 1]>, key: &DeviceKey, position: Seq) -> Option<&'a mut Device> {
    let mut device = match devices.iter().position(|device| device.key == *key) {
        Some(at) if devices[at].delivered >= position => return None,
        Some(at) => devices.remove(at),
        None => Device { key: key.clone(), delivered: Seq(0), is_dirty: false },
    };
    if devices.len() == DEVICES_MAX {
        devices.remove(0);
    }
    device.delivered = position;
    devices.push(device);
    devices.last_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> DeviceKey {
        DeviceKey { flag: 1, id: id.into() }
    }

    #[test]
    fn a_delivered_position_never_goes_back_and_is_logged_once() {
        let (mut inboxes, alice) = (Inboxes::new(1), UserId::new("alice").expect("well formed"));
        inboxes.deliver(&alice, &key("phone"), Seq(5));
        inboxes.deliver(&alice, &key("phone"), Seq(3));
        inboxes.deliver(&alice, &key("web"), Seq(2));
        assert_eq!(inboxes.delivered(&alice, &key("phone")), Some(Seq(5)));
        let mut dirty: Vec<_> =
            std::iter::from_fn(|| inboxes.next_dirty()).map(|(_, key, seq)| (key.id, seq)).collect();
        dirty.sort();
        assert_eq!(dirty, [("phone".into(), Seq(5)), ("web".into(), Seq(2))]);
        assert_eq!(inboxes.next_dirty(), None);
    }

    #[test]
    fn the_device_that_moved_longest_ago_is_forgotten() {
        let (mut inboxes, alice) = (Inboxes::new(1), UserId::new("alice").expect("well formed"));
        (0..=DEVICES_MAX).for_each(|n| inboxes.restore_device(&alice, &key(&n.to_string()), Seq(1)));
        assert_eq!(inboxes.delivered(&alice, &key("0")), None);
        assert_eq!(inboxes.delivered(&alice, &key("1")), Some(Seq(1)));
    }
}
