//! The newest end of every inbox of this shard, and how far each device has got. A constant per user and per conversation
//! that it is in, whatever the history (`mushan bench history` shows it).
//!
//! Invariants: a user has one row for ever; rows do not move, and the index of rows grows a part at a time, so that no
//! turn moves millions of either.

use super::conversation::ConversationAt;
use super::rate::Bucket;
use super::rows::Rows;
use super::table::{PARTS, part_of};
use crate::log::Tail;
use crate::log::bytes::{Put, Reader};
use crate::model::{ConversationName, DeviceKey, Millis, Seq, UserId};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::hash::BuildHasher;

/// Devices remembered per user; one more forgets the one that moved longest ago.
const DEVICES_MAX: usize = 16;

#[derive(Clone, Debug)]
struct Device {
    key: DeviceKey,
    delivered: Seq,
    is_dirty: bool,
}

#[derive(Debug)]
struct Row {
    user: UserId,
    tail: Tail,
    /// The one that moved last stands last.
    devices: Box<[Device]>,
    /// Here and not with the sessions: a new connection is no new allowance.
    bucket: Bucket,
    queries: Bucket,
    /// The conversations that it is or was in, in the order in which it came to them.
    seats: SmallVec<[SeatAt; 2]>,
    names: Option<Box<Names>>,
    /// When its last session ended; 0: never seen.
    last_seen: Millis,
    /// The operator or a session has made it known (PROTOCOL 2.4).
    is_known: bool,
    sessions: u16,
}

/// What a user calls some of its conversations; most users call none of theirs anything.
type Names = Vec<(ConversationAt, ConversationName)>;

/// A user's row, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(pub u32);

/// A user's seat in one conversation: the conversation, and which of its seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeatAt {
    pub conversation: ConversationAt,
    pub seat: u32,
}

pub(super) struct Inboxes {
    hasher: FixedState,
    index: Box<[HashTable<Place>]>,
    rows: Rows<Row>,
    /// Users with a device whose position the log does not know yet.
    dirty: Vec<Place>,
}

impl Inboxes {
    pub fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            index: (0..PARTS).map(|_| HashTable::new()).collect(),
            rows: Rows::default(),
            dirty: Vec::new(),
        }
    }

    pub fn user_at(&self, place: Place) -> &UserId {
        &self.rows.at(place.0).user
    }

    pub fn tail_at(&self, place: Place) -> Tail {
        self.rows.at(place.0).tail
    }

    pub fn tail_at_mut(&mut self, place: Place) -> &mut Tail {
        &mut self.rows.at_mut(place.0).tail
    }

    pub fn seats_of(&self, place: Place) -> &[SeatAt] {
        &self.rows.at(place.0).seats
    }

    pub fn add_seat(&mut self, place: Place, seat: SeatAt) {
        self.rows.at_mut(place.0).seats.push(seat);
    }

    /// What the user calls the conversation, where it gave a name of its own.
    pub fn name_of(&self, place: Place, conversation: ConversationAt) -> Option<&ConversationName> {
        self.names_at(place).iter().find(|(at, _)| *at == conversation).map(|(_, name)| name)
    }

    pub fn has_names(&self, place: Place) -> bool {
        !self.names_at(place).is_empty()
    }

    /// The conversation that the user calls so.
    pub fn named(&self, place: Place, name: &ConversationName) -> Option<ConversationAt> {
        self.names_at(place).iter().find(|(_, known)| known == name).map(|(at, _)| *at)
    }

    fn names_at(&self, place: Place) -> &[(ConversationAt, ConversationName)] {
        self.rows.at(place.0).names()
    }

    /// From here on the user calls the conversation so. A name that it has for another one stays with that one.
    pub fn set_name(&mut self, place: Place, conversation: ConversationAt, name: &ConversationName) {
        if self.named(place, name).is_some() {
            return;
        }
        let names = self.rows.at_mut(place.0).names.get_or_insert_default();
        match names.iter_mut().find(|(at, _)| *at == conversation) {
            Some((_, known)) => *known = name.clone(),
            None => names.push((conversation, name.clone())),
        }
    }

    /// The user calls the conversation so, and nothing else.
    pub fn restore_name(&mut self, place: Place, conversation: ConversationAt, name: &ConversationName) {
        let names = self.rows.at_mut(place.0).names.get_or_insert_default();
        names.retain(|(at, known)| *at != conversation && known != name);
        names.push((conversation, name.clone()));
    }

    /// Every name that a user has given.
    pub fn names(&self) -> impl Iterator<Item = (&UserId, ConversationAt, &ConversationName)> {
        let rows = self.rows.iter();
        rows.flat_map(|row| row.names().iter().map(move |(at, name)| (&row.user, *at, name)))
    }

    /// Users who have been made known, and when their last sessions ended.
    pub fn known(&self) -> impl Iterator<Item = (&UserId, Millis)> {
        self.rows.iter().filter(|row| row.is_known).map(|row| (&row.user, row.last_seen))
    }

    /// Whether every name is one of a conversation with a lower number than this.
    pub fn names_lead_below(&self, conversations: usize) -> bool {
        self.rows.iter().flat_map(Row::names).all(|(at, _)| (at.0 as usize) < conversations)
    }

    /// The user is here: one session more.
    pub fn arrive(&mut self, place: Place) {
        self.rows.at_mut(place.0).sessions += 1;
    }

    /// One session less; whether it was the last.
    pub fn depart(&mut self, place: Place) -> bool {
        let row = self.rows.at_mut(place.0);
        row.sessions = row.sessions.checked_sub(1).expect("a session that ends was open");
        row.sessions == 0
    }

    pub fn is_online(&self, place: Place) -> bool {
        self.rows.at(place.0).sessions > 0
    }

    pub fn last_seen(&self, place: Place) -> Millis {
        self.rows.at(place.0).last_seen
    }

    pub fn is_known(&self, place: Place) -> bool {
        self.rows.at(place.0).is_known
    }

    /// The user is known from here on, and was last here at `last_seen`, if that is later than what was known.
    pub fn see(&mut self, place: Place, last_seen: Millis) {
        let row = self.rows.at_mut(place.0);
        row.is_known = true;
        row.last_seen = row.last_seen.max(last_seen);
    }

    /// A user without history has the empty tail.
    pub fn tail(&self, user: &UserId) -> Tail {
        self.find(user).map(|place| self.rows.at(place.0).tail).unwrap_or_default()
    }

    pub fn tail_mut(&mut self, user: &UserId) -> &mut Tail {
        let place = self.find_or_add(user);
        &mut self.rows.at_mut(place.0).tail
    }

    pub fn bucket_at(&mut self, place: Place) -> &mut Bucket {
        &mut self.rows.at_mut(place.0).bucket
    }

    /// For what only reads.
    pub fn queries_of(&mut self, user: &UserId) -> &mut Bucket {
        let place = self.find_or_add(user);
        &mut self.rows.at_mut(place.0).queries
    }

    /// Moves a device's delivered position; it never goes back.
    pub fn deliver(&mut self, user: &UserId, key: &DeviceKey, position: Seq) {
        let place = self.find_or_add(user);
        let Some(device) = move_device(&mut self.rows.at_mut(place.0).devices, key, position) else { return };
        if !device.is_dirty {
            device.is_dirty = true;
            self.dirty.push(place);
        }
    }

    /// A position that the log already knows.
    pub fn restore_device(&mut self, user: &UserId, key: &DeviceKey, position: Seq) {
        let place = self.find_or_add(user);
        move_device(&mut self.rows.at_mut(place.0).devices, key, position);
    }

    pub fn delivered(&self, user: &UserId, key: &DeviceKey) -> Option<Seq> {
        let devices = &self.rows.at(self.find(user)?.0).devices;
        devices.iter().find(|device| device.key == *key).map(|device| device.delivered)
    }

    /// One position that the log does not know yet; it is taken to know it from here on.
    pub fn next_dirty(&mut self) -> Option<(UserId, DeviceKey, Seq)> {
        while let Some(place) = self.dirty.last() {
            let row = self.rows.at_mut(place.0);
            if let Some(device) = row.devices.iter_mut().find(|device| device.is_dirty) {
                device.is_dirty = false;
                return Some((row.user.clone(), device.key.clone(), device.delivered));
            }
            self.dirty.pop();
        }
        None
    }

    /// Every inbox's tail.
    pub fn tails(&self) -> impl Iterator<Item = (&UserId, Tail)> {
        self.rows.iter().map(|row| (&row.user, row.tail))
    }

    /// Every device's delivered position; of one user's, the one that moved last comes last.
    pub fn devices(&self) -> impl Iterator<Item = (&UserId, &DeviceKey, Seq)> {
        let rows = self.rows.iter();
        rows.flat_map(|row| row.devices.iter().map(move |device| (&row.user, &device.key, device.delivered)))
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// For a checkpoint: how many users, then each with its tail, its devices and its names. Its seats are those of the
    /// conversations.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.len() as u64);
        for row in self.rows.iter() {
            out.put_short(row.user.as_str().as_bytes());
            row.tail.put(out);
            out.put_u8(u8::try_from(row.devices.len()).expect("devices are bounded"));
            for device in &row.devices {
                out.put_u64(device.delivered.0);
                out.put_u8(device.key.flag);
                out.put_long(device.key.id.as_bytes());
            }
            out.put_u64(row.last_seen.0);
            out.put_u8(u8::from(row.is_known));
            out.put_u32(u32::try_from(row.names().len()).expect("names are fewer than conversations"));
            for (conversation, name) in row.names() {
                out.put_u32(conversation.0);
                out.put_short(name.as_str().as_bytes());
            }
        }
    }

    pub fn read(seed: u64, reader: &mut Reader<'_>) -> Option<Self> {
        let mut inboxes = Self::new(seed);
        for _user in 0..reader.u64()? {
            let user = UserId::new(text(reader.short()?)?).ok()?;
            let tail = Tail::read(reader)?;
            let place = inboxes.find_or_add(&user);
            inboxes.rows.at_mut(place.0).tail = tail;
            for _device in 0..reader.u8()? {
                let delivered = Seq(reader.u64()?);
                let key = DeviceKey { flag: reader.u8()?, id: text(reader.long()?)?.into() };
                move_device(&mut inboxes.rows.at_mut(place.0).devices, &key, delivered);
            }
            let row = inboxes.rows.at_mut(place.0);
            row.last_seen = Millis(reader.u64()?);
            row.is_known = reader.u8()? != 0;
            let mut names = Names::new();
            for _name in 0..reader.u32()? {
                let conversation = ConversationAt(reader.u32()?);
                names.push((conversation, ConversationName::new(text(reader.short()?)?).ok()?));
            }
            row.names = (!names.is_empty()).then(|| Box::new(names));
        }
        Some(inboxes)
    }

    pub fn find(&self, user: &UserId) -> Option<Place> {
        let hash = self.hasher.hash_one(user);
        self.index[part_of_hash(hash)].find(hash, |place| self.rows.at(place.0).user == *user).copied()
    }

    pub fn find_or_add(&mut self, user: &UserId) -> Place {
        let hash = self.hasher.hash_one(user);
        let (rows, hasher) = (&mut self.rows, &self.hasher);
        let part = &mut self.index[part_of_hash(hash)];
        if let Some(place) = part.find(hash, |place| rows.at(place.0).user == *user) {
            return *place;
        }
        let place = Place(rows.push(Row::of(user.clone())));
        part.insert_unique(hash, place, |place| hasher.hash_one(&rows.at(place.0).user));
        place
    }
}

impl Row {
    fn of(user: UserId) -> Self {
        Self {
            user,
            tail: Tail::default(),
            devices: Box::new([]),
            bucket: Bucket::default(),
            queries: Bucket::default(),
            seats: SmallVec::new(),
            names: None,
            last_seen: Millis(0),
            is_known: false,
            sessions: 0,
        }
    }

    fn names(&self) -> &[(ConversationAt, ConversationName)] {
        self.names.as_deref().map_or(&[], Vec::as_slice)
    }
}

/// Neither the bits that a part goes by first (the lowest) nor those that it compares (the highest).
fn part_of_hash(hash: u64) -> usize {
    part_of(hash >> 40)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The device, moved to `position` and to the end of the list; `None` when it is there already.
fn move_device<'a>(devices: &'a mut Box<[Device]>, key: &DeviceKey, position: Seq) -> Option<&'a mut Device> {
    if let Some(at) = devices.iter().position(|device| device.key == *key) {
        if devices[at].delivered >= position {
            return None;
        }
        devices[at..].rotate_left(1);
    } else {
        let mut grown = std::mem::take(devices).into_vec();
        if grown.len() == DEVICES_MAX {
            grown.remove(0);
        }
        grown.push(Device { key: key.clone(), delivered: Seq(0), is_dirty: false });
        *devices = grown.into_boxed_slice();
    }
    let device = devices.last_mut()?;
    device.delivered = position;
    Some(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Side;
    use crate::model::Position;

    fn key(id: &str) -> DeviceKey {
        DeviceKey { flag: 1, id: id.into() }
    }

    fn alice() -> UserId {
        UserId::new("alice").expect("well formed")
    }

    /// Every user has one, connected or not: what it grows by, a million users pay.
    #[test]
    fn a_row_stays_small() {
        assert!(size_of::<Row>() <= 144, "{}", size_of::<Row>());
        assert!(size_of::<Device>() <= 48, "{}", size_of::<Device>());
    }

    #[test]
    fn a_delivered_position_never_goes_back_and_is_logged_once() {
        let (mut inboxes, alice) = (Inboxes::new(1), alice());
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
        let (mut inboxes, alice) = (Inboxes::new(1), alice());
        (0..=DEVICES_MAX).for_each(|n| inboxes.restore_device(&alice, &key(&n.to_string()), Seq(1)));
        assert_eq!(inboxes.delivered(&alice, &key("0")), None);
        inboxes.restore_device(&alice, &key("1"), Seq(2));
        inboxes.restore_device(&alice, &key("new"), Seq(1));
        assert_eq!(inboxes.delivered(&alice, &key("1")), Some(Seq(2)), "it moved");
        assert_eq!(inboxes.delivered(&alice, &key("2")), None);
    }

    #[test]
    fn inboxes_read_back_as_written() {
        let mut inboxes = Inboxes::new(1);
        let users: Vec<UserId> = (0..3_000).map(|n| UserId::new(&format!("user-{n}")).expect("well formed")).collect();
        for (at, user) in (1..).zip(&users) {
            let link = inboxes.tail(user).next_link(Side::Author);
            inboxes.tail_mut(user).advance(link, Position::new(1, at * 8));
            inboxes.restore_device(user, &key("phone"), Seq(u64::from(at % 2)));
        }
        assert_eq!(inboxes.len(), users.len());
        let mut bytes = Vec::new();
        inboxes.put(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let read = Inboxes::read(99, &mut reader).expect("as written");
        assert!(reader.is_at_end() && read.len() == users.len());
        for user in &users {
            assert_eq!(read.tail(user), inboxes.tail(user));
            assert_eq!(read.delivered(user, &key("phone")), inboxes.delivered(user, &key("phone")));
        }
        assert!((0..bytes.len()).step_by(97).all(|cut| Inboxes::read(1, &mut Reader::new(&bytes[..cut])).is_none()));
    }
}
