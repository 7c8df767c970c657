//! The newest end of every inbox of this shard, and how far each device has got. A constant amount of memory for each
//! user and each of its conversations, whatever the history (`mushan bench history` shows it).
//!
//! Invariants: a user has one row for ever; rows do not move, and their index grows in parts, so that no turn moves
//! millions of either.

use crate::log::record::bytes::{Put, Reader};
use crate::log::{PackedTail, Tail};
use crate::model::{ConversationName, DeviceKey, Millis, Moment, Seq, UserId};
use crate::shard::rows::devices::{DeviceState, Devices};
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use crate::shard::rows::logged_presence::LoggedPresence;
use crate::shard::rows::names::Names;
use crate::shard::rows::rate::{Allowance, Allowances};
use crate::shard::rows::seat::SeatAt;
use crate::shard::rows::seat_list::SeatList;
use crate::shard::table::hash_table::{PARTS, part_of};
use crate::shard::table::rows::{RowIndex, Rows};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// In a checkpoint: the user has a session at that position of the log. 1: it was last seen at the time before; 0: its
/// last-seen time is not known.
const IS_HERE: u8 = 2;

#[derive(Debug)]
struct UserRow {
    user: UserId,
    tail: PackedTail,
    devices: Devices,
    /// The conversations of which the user is or was a member.
    seats: SeatList,
    /// The user's own names for conversations; most users have none.
    names: Option<RowIndex>,
    /// The user's token buckets, which a new connection does not refill.
    allowance: Option<RowIndex>,
    seen: LastSeen,
    sessions: u16,
}

// There is one for each user that ever was on this shard.
const _: () = assert!(size_of::<UserRow>() <= 112);

/// When a user's last session ended (0: never seen), if the operator or a session has made it known (PROTOCOL 2.4): one
/// more than the time, or 0, in six bytes. They end in the year 10889.
#[derive(Clone, Copy, Debug, Default)]
struct LastSeen([u16; 3]);

impl LastSeen {
    const LAST: u64 = (1 << 48) - 2;

    fn at(last_seen: Millis) -> Self {
        let number = last_seen.0.min(Self::LAST) + 1;
        Self([number as u16, (number >> 16) as u16, (number >> 32) as u16])
    }

    fn last_seen(self) -> Option<Millis> {
        let [low, middle, high] = self.0.map(u64::from);
        (high << 32 | middle << 16 | low).checked_sub(1).map(Millis)
    }
}

pub(in crate::shard) struct InboxTable {
    hasher: FixedState,
    index: Box<[HashTable<UserIndex>]>,
    rows: Rows<UserRow>,
    names: Rows<Names>,
    allowances: Allowances,
    /// Users with a device whose delivered position is not in the log yet.
    dirty: Vec<UserIndex>,
    /// Those of them whose positions are being logged; later changes wait for the next round.
    being_logged: Vec<UserIndex>,
    /// Bytes of all users' ids.
    id_bytes: u64,
    seats: u64,
    /// In how many groups each user is, beside its row, which has no room for it.
    groups: Rows<u32>,
}

impl InboxTable {
    pub fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            index: (0..PARTS).map(|_| HashTable::new()).collect(),
            rows: Rows::default(),
            names: Rows::default(),
            allowances: Allowances::default(),
            dirty: Vec::new(),
            being_logged: Vec::new(),
            id_bytes: 0,
            seats: 0,
            groups: Rows::default(),
        }
    }

    /// Bytes of all users' ids together, and seats of all users.
    pub fn id_bytes_and_seats(&self) -> (u64, u64) {
        (self.id_bytes, self.seats)
    }

    pub fn user_at(&self, user_index: UserIndex) -> &UserId {
        &self.rows.at(user_index.0).user
    }

    pub fn tail_at(&self, user_index: UserIndex) -> Tail {
        self.rows.at(user_index.0).tail.tail()
    }

    /// The number of entries in the inbox.
    pub fn newest_at(&self, user_index: UserIndex) -> Seq {
        self.rows.at(user_index.0).tail.seq()
    }

    pub fn tail_at_mut(&mut self, user_index: UserIndex) -> &mut PackedTail {
        &mut self.rows.at_mut(user_index.0).tail
    }

    /// The user's seats, the newest first.
    pub fn seats_of(&self, user_index: UserIndex) -> impl Iterator<Item = SeatAt> + '_ {
        self.rows.at(user_index.0).seats.iter()
    }

    /// The user's seats before a word, the newest first, each with the number of words before it.
    pub fn seats_before(&self, user_index: UserIndex, words: usize) -> impl Iterator<Item = (SeatAt, usize)> + '_ {
        self.rows.at(user_index.0).seats.before(words)
    }

    /// The length of a walk through the user's seats.
    pub fn seat_words_of(&self, user_index: UserIndex) -> usize {
        self.rows.at(user_index.0).seats.words()
    }

    /// In how many groups the user is.
    pub fn groups_of(&self, user_index: UserIndex) -> u32 {
        *self.groups.at(user_index.0)
    }

    /// The user is in one more group.
    pub fn enter_group(&mut self, user_index: UserIndex) {
        *self.groups.at_mut(user_index.0) += 1;
    }

    /// The user is in one group less.
    pub fn leave_group(&mut self, user_index: UserIndex) {
        let groups = self.groups.at_mut(user_index.0);
        *groups = groups.saturating_sub(1);
    }

    pub fn add_seat(&mut self, user_index: UserIndex, seat: SeatAt) {
        self.seats += 1;
        self.rows.at_mut(user_index.0).seats.add(seat);
    }

    /// The user's own name for the conversation, if it has one.
    pub fn name_of(&self, user_index: UserIndex, conversation: ConversationIndex) -> Option<&ConversationName> {
        self.names_at(user_index)?.name_of(&self.hasher, conversation)
    }

    pub fn has_names(&self, user_index: UserIndex) -> bool {
        self.rows.at(user_index.0).names.is_some()
    }

    /// The conversation for which the user uses this name.
    pub fn named(&self, user_index: UserIndex, name: &str) -> Option<ConversationIndex> {
        self.names_at(user_index)?.named(&self.hasher, name)
    }

    /// The number of the user's own names.
    pub fn names_given(&self, user_index: UserIndex) -> usize {
        self.names_at(user_index).map_or(0, |names| names.as_slice().len())
    }

    /// Sets the user's own name for the conversation, unless the user has this name for another one.
    pub fn set_name(&mut self, user_index: UserIndex, conversation: ConversationIndex, name: &ConversationName) {
        let at = self.names_row(user_index);
        self.names.at_mut(at.number()).set(&self.hasher, conversation, name);
    }

    /// The user calls the conversation so, and nothing else.
    pub fn restore_name(&mut self, user_index: UserIndex, conversation: ConversationIndex, name: &ConversationName) {
        let at = self.names_row(user_index);
        self.names.at_mut(at.number()).restore(&self.hasher, conversation, name);
    }

    fn names_at(&self, user_index: UserIndex) -> Option<&Names> {
        self.rows.at(user_index.0).names.map(|at| self.names.at(at.number()))
    }

    fn names_of(&self, row: &UserRow) -> &[(ConversationIndex, ConversationName)] {
        row.names.map_or(&[], |at| self.names.at(at.number()).as_slice())
    }

    fn names_row(&mut self, user_index: UserIndex) -> RowIndex {
        let names = &mut self.names;
        *self.rows.at_mut(user_index.0).names.get_or_insert_with(|| RowIndex::of(names.push(Names::default())))
    }

    /// Every name that a user has given.
    pub fn names(&self) -> impl Iterator<Item = (&UserId, ConversationIndex, &ConversationName)> {
        let rows = self.rows.iter();
        rows.flat_map(|row| self.names_of(row).iter().map(move |(at, name)| (&row.user, *at, name)))
    }

    /// Users who have been made known, and when their last sessions ended.
    pub fn known(&self) -> impl Iterator<Item = (&UserId, Millis)> {
        self.rows.iter().filter_map(|row| Some((&row.user, row.seen.last_seen()?)))
    }

    /// Whether every name is one of a conversation with a lower number than this.
    pub fn names_lead_below(&self, conversations: usize) -> bool {
        self.names.iter().flat_map(Names::as_slice).all(|(at, _)| (at.0 as usize) < conversations)
    }

    /// The user is here: one session more.
    pub fn arrive(&mut self, user_index: UserIndex) {
        self.rows.at_mut(user_index.0).sessions += 1;
    }

    /// One session less; whether it was the last.
    pub fn depart(&mut self, user_index: UserIndex) -> bool {
        let row = self.rows.at_mut(user_index.0);
        row.sessions = row.sessions.checked_sub(1).expect("a session that ends was open");
        row.sessions == 0
    }

    pub fn is_online(&self, user_index: UserIndex) -> bool {
        self.rows.at(user_index.0).sessions > 0
    }

    pub fn last_seen(&self, user_index: UserIndex) -> Millis {
        self.rows.at(user_index.0).seen.last_seen().unwrap_or_default()
    }

    pub fn is_known(&self, user_index: UserIndex) -> bool {
        self.rows.at(user_index.0).seen.last_seen().is_some()
    }

    /// The user is known from here on, and was last here at `last_seen`, if that is later than what was known.
    pub fn see(&mut self, user_index: UserIndex, last_seen: Millis) {
        let row = self.rows.at_mut(user_index.0);
        row.seen = LastSeen::at(row.seen.last_seen().unwrap_or_default().max(last_seen));
    }

    /// Forgets the user's devices, names for conversations and when it was seen. Entries and their seqs stay.
    pub fn erase(&mut self, user_index: UserIndex) {
        let row = self.rows.at_mut(user_index.0);
        row.devices = Devices::default();
        row.seen = LastSeen::default();
        if let Some(at) = row.names.take() {
            *self.names.at_mut(at.number()) = Names::default();
        }
    }

    /// A user without history has the empty tail.
    pub fn tail(&self, user: &UserId) -> Tail {
        self.find(user).map(|user_index| self.tail_at(user_index)).unwrap_or_default()
    }

    pub fn tail_mut(&mut self, user: &UserId) -> &mut PackedTail {
        let user_index = self.find_or_add(user);
        &mut self.rows.at_mut(user_index.0).tail
    }

    /// What the user may send and ask just now.
    pub fn allowance_at(&mut self, user_index: UserIndex, now: Moment) -> &mut Allowance {
        let at = match self.rows.at(user_index.0).allowance {
            Some(at) => at,
            None => self.add_allowance(user_index, now),
        };
        self.allowances.at_mut(at).expect("a row leads to its allowance for as long as there is one")
    }

    fn add_allowance(&mut self, user_index: UserIndex, now: Moment) -> RowIndex {
        for full in self.allowances.drop_full(now.steady).into_iter().flatten() {
            self.rows.at_mut(full.0).allowance = None;
        }
        let at = self.allowances.add(user_index);
        self.rows.at_mut(user_index.0).allowance = Some(at);
        at
    }

    /// Moves a device's delivered position; it never goes back.
    pub fn deliver(&mut self, user_index: UserIndex, key: &DeviceKey, position: Seq) {
        let before = self.rows.at_mut(user_index.0).devices.advance(key, position, DeviceState::Fresh);
        if before == Some(DeviceState::Logged) {
            self.dirty.push(user_index);
        }
    }

    /// A position that the log already knows.
    pub fn restore_device(&mut self, user: &UserId, key: &DeviceKey, position: Seq) {
        let user_index = self.find_or_add(user);
        self.rows.at_mut(user_index.0).devices.advance(key, position, DeviceState::Logged);
    }

    pub fn delivered(&self, user: &UserId, key: &DeviceKey) -> Option<Seq> {
        self.rows.at(self.find(user)?.0).devices.delivered(key)
    }

    /// The positions that moved until now are to be logged, where those of before have been.
    pub fn begin_logging(&mut self) {
        if self.being_logged.is_empty() {
            std::mem::swap(&mut self.dirty, &mut self.being_logged);
        }
    }

    pub fn is_logging(&self) -> bool {
        !self.being_logged.is_empty()
    }

    /// One position that the log does not know yet; it is taken to know it from here on.
    pub fn next_dirty(&mut self) -> Option<(UserId, DeviceKey, Seq)> {
        while let Some(user_index) = self.being_logged.last() {
            let row = self.rows.at_mut(user_index.0);
            if let Some((key, delivered)) = row.devices.next_fresh() {
                return Some((row.user.clone(), key, delivered));
            }
            self.being_logged.pop();
        }
        None
    }

    /// Every inbox's tail.
    pub fn tails(&self) -> impl Iterator<Item = (&UserId, Tail)> {
        self.rows.iter().map(|row| (&row.user, row.tail.tail()))
    }

    /// Every device's delivered position; of one user's, the one that moved last comes last.
    pub fn devices(&self) -> impl Iterator<Item = (&UserId, DeviceKey, Seq)> {
        let rows = self.rows.iter();
        rows.flat_map(|row| row.devices.iter().map(move |(key, delivered)| (&row.user, key, delivered)))
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// For a checkpoint: how many users, then each with its tail, its devices and its names. Its seats are those of the
    /// conversations.
    pub fn put(&self, here: &LoggedPresence, out: &mut Vec<u8>) {
        out.put_u64(self.len() as u64);
        for (user_index, row) in (0..).map(UserIndex).zip(self.rows.iter()) {
            out.put_short(row.user.as_str().as_bytes());
            row.tail.tail().put(out);
            out.put_u8(u8::try_from(row.devices.len()).expect("devices are bounded"));
            for (key, delivered) in row.devices.iter() {
                out.put_u64(delivered.0);
                out.put_u8(key.flag);
                out.put_long(key.id.as_bytes());
            }
            let (seen, names) = (row.seen.last_seen(), self.names_of(row));
            let is_here = here.last_seen(user_index);
            out.put_u64(seen.max(is_here).unwrap_or_default().0);
            out.put_u8(if is_here.is_some() { IS_HERE } else { u8::from(seen.is_some()) });
            out.put_u32(u32::try_from(names.len()).expect("names are fewer than conversations"));
            for (conversation, name) in names {
                out.put_u32(conversation.0);
                out.put_short(name.as_str().as_bytes());
            }
        }
    }

    pub fn read(seed: u64, here: &mut LoggedPresence, reader: &mut Reader<'_>) -> Option<Self> {
        let mut inboxes = Self::new(seed);
        for _user in 0..reader.u64()? {
            let user = UserId::new(text(reader.short()?)?).ok()?;
            let tail = Tail::read(reader)?;
            let user_index = inboxes.find_or_add(&user);
            inboxes.rows.at_mut(user_index.0).tail = tail.into();
            for _device in 0..reader.u8()? {
                let delivered = Seq(reader.u64()?);
                let key = DeviceKey { flag: reader.u8()?, id: text(reader.long()?)?.into() };
                inboxes.rows.at_mut(user_index.0).devices.advance(&key, delivered, DeviceState::Logged);
            }
            let last_seen = Millis(reader.u64()?);
            let presence = reader.u8()?;
            if presence != 0 {
                inboxes.see(user_index, last_seen);
            }
            if presence == IS_HERE {
                here.restore(user_index);
            }
            for _name in 0..reader.u32()? {
                let conversation = ConversationIndex(reader.u32()?);
                let name = ConversationName::new(text(reader.short()?)?).ok()?;
                inboxes.restore_name(user_index, conversation, &name);
            }
        }
        Some(inboxes)
    }

    pub fn find(&self, user: &UserId) -> Option<UserIndex> {
        let hash = self.hasher.hash_one(user);
        self.index[part_of_hash(hash)].find(hash, |user_index| self.rows.at(user_index.0).user == *user).copied()
    }

    pub fn find_or_add(&mut self, user: &UserId) -> UserIndex {
        let hash = self.hasher.hash_one(user);
        let (rows, hasher) = (&mut self.rows, &self.hasher);
        let part = &mut self.index[part_of_hash(hash)];
        if let Some(user_index) = part.find(hash, |user_index| rows.at(user_index.0).user == *user) {
            return *user_index;
        }
        self.id_bytes += user.as_str().len() as u64;
        let user_index = UserIndex(rows.push(UserRow::of(user.clone())));
        self.groups.push(0);
        part.insert_unique(hash, user_index, |user_index| hasher.hash_one(&rows.at(user_index.0).user));
        user_index
    }
}

impl UserRow {
    fn of(user: UserId) -> Self {
        Self {
            user,
            tail: PackedTail::default(),
            devices: Devices::default(),
            seats: SeatList::default(),
            names: None,
            allowance: None,
            seen: LastSeen::default(),
            sessions: 0,
        }
    }
}

/// Uses hash bits 40 and up: the table indexes by the lowest bits and compares the highest.
fn part_of_hash(hash: u64) -> usize {
    part_of(hash >> 40)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
