//! A conversation's row in its packed form: most are of two people, and have 64 bytes.
//!
//! Owned by the conversations. Invariant: packing loses nothing. A row that does not fit the short forms, and a group's
//! row, is stored unpacked. For a user of this shard a row has the index and not the id, which is in the inboxes.

use crate::log::{PackedTail, Side, Tail};
use crate::model::{Conversation, ConversationSeq, Seq, UserId};
use crate::shard::rows::inbox::InboxTable;
use crate::shard::rows::index::UserIndex;
use crate::shard::rows::seat::{Membership, STAYS};

#[derive(Debug)]
pub(in crate::shard) struct PackedRow {
    pub tail: PackedTail,
    seats: Seats,
}

// Every conversation has one for ever.
const _: () = assert!(size_of::<PackedRow>() <= 64);

#[derive(Debug)]
enum Seats {
    /// The conversation of a user with itself.
    Own(ShortSeat),
    /// The conversation of two users of this shard.
    Both([ShortSeat; 2]),
    /// The conversation of a user of this shard with a user of another one.
    One(ShortSeat, UserId),
    Any(Box<UnpackedRow>),
}

#[derive(Debug)]
struct UnpackedRow {
    conversation: Conversation,
    seats: Vec<Membership>,
}

impl UnpackedRow {
    fn sides(&self, author: &UserId, inboxes: &InboxTable) -> PairMembers {
        let Conversation::Pair(a, b) = &self.conversation else { return PairMembers::default() };
        let peer = if a == author { b } else { a };
        let place_of = |user: &UserId| self.seats.iter().map(|seat| seat.user).find(|it| inboxes.user_at(*it) == user);
        PairMembers { author: place_of(author), peer: place_of(peer).filter(|_| peer != author) }
    }
}

/// A conversation's row, unpacked.
#[derive(Debug)]
pub(in crate::shard) struct ConversationFields {
    pub conversation: Conversation,
    /// Its messages in this log; `tail.seq` is the newest seq that this shard knows of.
    pub tail: Tail,
    pub seats: Vec<Membership>,
}

/// The indexes of a message's author and recipient, each only if it is a user of this shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct PairMembers {
    pub author: Option<UserIndex>,
    pub peer: Option<UserIndex>,
}

impl PairMembers {
    #[inline]
    pub fn on(self, side: Side) -> Option<UserIndex> {
        match side {
            Side::Author => self.author,
            Side::Peer => self.peer,
            Side::Conversation => None,
        }
    }
}

/// The seat of a member from the first message on who has not left.
#[derive(Clone, Copy, Debug)]
struct ShortSeat {
    user: UserIndex,
    unread: u32,
    read: u32,
    last: u32,
}

impl ShortSeat {
    #[inline]
    fn of(seat: &Membership) -> Option<Self> {
        let Membership { user, unread, joined: ConversationSeq(0), left: STAYS, read, last } = *seat else {
            return None;
        };
        Some(Self { user, unread, read: u32::try_from(read.0).ok()?, last: u32::try_from(last.0).ok()? })
    }

    #[inline]
    fn seat(self) -> Membership {
        let Self { user, unread, read, last } = self;
        let (read, last) = (ConversationSeq(read.into()), Seq(last.into()));
        Membership { user, unread, joined: ConversationSeq(0), left: STAYS, read, last }
    }
}

impl Seats {
    fn of(full: UnpackedRow, inboxes: &InboxTable) -> Self {
        Self::short(&full, inboxes).unwrap_or_else(|| Self::Any(Box::new(full)))
    }

    fn short(full: &UnpackedRow, inboxes: &InboxTable) -> Option<Self> {
        let Conversation::Pair(a, b) = &full.conversation else { return None };
        match full.seats.as_slice() {
            [one] => {
                let (user, one) = (inboxes.user_at(one.user), ShortSeat::of(one)?);
                match (user == a, user == b) {
                    (true, true) => Some(Self::Own(one)),
                    (true, false) => Some(Self::One(one, b.clone())),
                    (false, true) => Some(Self::One(one, a.clone())),
                    (false, false) => None,
                }
            }
            [one, other] if one.user != other.user && is_of_both(inboxes, one.user, other.user, a, b) => {
                Some(Self::Both([ShortSeat::of(one)?, ShortSeat::of(other)?]))
            }
            _ => None,
        }
    }

    #[inline]
    fn short_seats(&self) -> Option<&[ShortSeat]> {
        match self {
            Self::Own(seat) | Self::One(seat, _) => Some(std::slice::from_ref(seat)),
            Self::Both(seats) => Some(seats),
            Self::Any(_) => None,
        }
    }

    #[inline]
    fn short_seat_mut(&mut self, number: usize) -> Option<&mut ShortSeat> {
        match self {
            Self::Own(seat) | Self::One(seat, _) => Some(seat).filter(|_| number == 0),
            Self::Both(seats) => seats.get_mut(number),
            Self::Any(_) => None,
        }
    }
}

/// Whether the two different users `one` and `other` are `a` and `b`, in any order.
#[inline]
fn is_of_both(inboxes: &InboxTable, one: UserIndex, other: UserIndex, a: &UserId, b: &UserId) -> bool {
    let (one, other) = (inboxes.user_at(one), inboxes.user_at(other));
    if one == a { other == b } else { one == b && other == a }
}

impl PackedRow {
    pub fn of(row: ConversationFields, inboxes: &InboxTable) -> Self {
        let full = UnpackedRow { conversation: row.conversation, seats: row.seats };
        Self { tail: row.tail.into(), seats: Seats::of(full, inboxes) }
    }

    pub fn conversation(&self, inboxes: &InboxTable) -> Conversation {
        let user = |seat: &ShortSeat| inboxes.user_at(seat.user).clone();
        match &self.seats {
            Seats::Own(seat) => Conversation::pair(user(seat), user(seat)),
            Seats::Both([one, other]) => Conversation::pair(user(one), user(other)),
            Seats::One(seat, peer) => Conversation::pair(user(seat), peer.clone()),
            Seats::Any(full) => full.conversation.clone(),
        }
    }

    /// Whether the row is that of this conversation.
    #[inline]
    pub fn is_of(&self, conversation: &Conversation, inboxes: &InboxTable) -> bool {
        let (a, b) = match (conversation, &self.seats) {
            (_, Seats::Any(full)) => return full.conversation == *conversation,
            (Conversation::Group(_), _) => return false,
            (Conversation::Pair(a, b), _) => (a, b),
        };
        match &self.seats {
            Seats::Own(seat) => a == b && inboxes.user_at(seat.user) == a,
            Seats::Both([one, other]) => is_of_both(inboxes, one.user, other.user, a, b),
            Seats::One(seat, peer) => {
                let user = inboxes.user_at(seat.user);
                if user == a { peer == b } else { user == b && peer == a }
            }
            Seats::Any(_) => false,
        }
    }

    /// The group, if the row is that of a group.
    pub fn group(&self) -> Option<&Conversation> {
        match &self.seats {
            Seats::Any(full) if matches!(full.conversation, Conversation::Group(_)) => Some(&full.conversation),
            _ => None,
        }
    }

    pub fn unpacked(&self, inboxes: &InboxTable) -> ConversationFields {
        let (conversation, tail) = (self.conversation(inboxes), self.tail.tail());
        ConversationFields { conversation, tail, seats: self.seats().collect() }
    }

    #[inline]
    pub fn seat(&self, number: u32) -> Membership {
        let number = number as usize;
        match &self.seats {
            Seats::Any(full) => full.seats[number],
            short => short.short_seats().unwrap_or_default()[number].seat(),
        }
    }

    pub fn seats(&self) -> impl Iterator<Item = Membership> + '_ {
        let short = self.seats.short_seats().unwrap_or_default();
        short.iter().map(|seat| seat.seat()).chain(self.full_seats().iter().copied())
    }

    /// The seats of an unpacked row, such as a group's; none for a packed one.
    pub fn full_seats(&self) -> &[Membership] {
        match &self.seats {
            Seats::Any(full) => &full.seats,
            Seats::Own(_) | Seats::Both(_) | Seats::One(..) => &[],
        }
    }

    pub fn full_seats_mut(&mut self) -> &mut [Membership] {
        match &mut self.seats {
            Seats::Any(full) => &mut full.seats,
            Seats::Own(_) | Seats::Both(_) | Seats::One(..) => &mut [],
        }
    }

    /// The members of this pair that have a seat, where `author` is one of the two. A group has too many seats to
    /// search.
    #[inline]
    pub fn sides(&self, author: &UserId, inboxes: &InboxTable) -> PairMembers {
        let is_author = |user_index: UserIndex| inboxes.user_at(user_index) == author;
        match &self.seats {
            // The user who is not the author is the recipient.
            Seats::Both([one, other]) if is_author(one.user) => {
                PairMembers { author: Some(one.user), peer: Some(other.user) }
            }
            Seats::Both([one, other]) => PairMembers { author: Some(other.user), peer: Some(one.user) },
            Seats::Own(seat) | Seats::One(seat, _) => match is_author(seat.user) {
                true => PairMembers { author: Some(seat.user), peer: None },
                false => PairMembers { author: None, peer: Some(seat.user) },
            },
            Seats::Any(full) => full.sides(author, inboxes),
        }
    }

    /// The number of this user's seat, found by comparing all.
    #[inline]
    pub fn seat_of(&self, user_index: UserIndex) -> Option<u32> {
        let at = match &self.seats {
            Seats::Any(full) => full.seats.iter().position(|seat| seat.user == user_index),
            short => short.short_seats().unwrap_or_default().iter().position(|seat| seat.user == user_index),
        };
        at.map(|seat| seat as u32)
    }

    /// Changes a seat; the seat's user must stay the same.
    #[inline]
    pub fn change_seat<R>(
        &mut self,
        number: u32,
        inboxes: &InboxTable,
        change: impl FnOnce(&mut Membership) -> R,
    ) -> R {
        if let Seats::Any(full) = &mut self.seats {
            return change(&mut full.seats[number as usize]);
        }
        let mut seat = self.seat(number);
        let changed = change(&mut seat);
        match (ShortSeat::of(&seat), self.seats.short_seat_mut(number as usize)) {
            (Some(new), Some(old)) if new.user == old.user => *old = new,
            _ => self.open(inboxes).seats[number as usize] = seat,
        }
        changed
    }

    /// Adds a seat and returns its number.
    pub fn add_seat(&mut self, seat: Membership, inboxes: &InboxTable) -> u32 {
        let full = self.open(inboxes);
        full.seats.push(seat);
        let number = full.seats.len() as u32 - 1;
        if let Some(short) = Seats::short(full, inboxes) {
            self.seats = short;
        }
        number
    }

    /// Converts the row to the unpacked form and returns it.
    fn open(&mut self, inboxes: &InboxTable) -> &mut UnpackedRow {
        if !matches!(self.seats, Seats::Any(_)) {
            let full = UnpackedRow { conversation: self.conversation(inboxes), seats: self.seats().collect() };
            self.seats = Seats::Any(Box::new(full));
        }
        match &mut self.seats {
            Seats::Any(full) => full,
            Seats::Own(_) | Seats::Both(_) | Seats::One(..) => unreachable!("opened above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Tail;
    use crate::model::GroupId;
    use crate::model::testing::user;

    #[test]
    fn a_row_comes_out_as_it_went_in_however_it_is_kept() {
        let mut inboxes = InboxTable::new(1);
        let [alice, bob] = ["alice", "bob"].map(|id| inboxes.find_or_add(&user(id)));
        let group = Conversation::Group(GroupId::new("alice").expect("well formed"));
        let pairs = [("alice", "alice"), ("bob", "alice"), ("alice", "zoe"), ("abe", "bob"), ("abe", "zoe")];
        let pairs = pairs.map(|(one, other)| Conversation::pair(user(one), user(other)));
        let all: Vec<Conversation> = pairs.into_iter().chain([group]).collect();
        let seated: [&[UserIndex]; 6] = [&[alice], &[bob, alice], &[alice], &[bob], &[], &[alice, bob]];
        let is_short = [true, true, true, true, false, false];
        for ((conversation, users), is_short) in all.iter().zip(seated).zip(is_short) {
            let empty =
                ConversationFields { conversation: conversation.clone(), tail: Tail::default(), seats: Vec::new() };
            let mut row = PackedRow::of(empty, &inboxes);
            let mut wanted = Vec::new();
            for user in users {
                let seat = Membership { last: Seq(7), ..Membership::new(*user, ConversationSeq(0)) };
                assert_eq!(row.add_seat(seat, &inboxes), wanted.len() as u32);
                wanted.push(seat);
                assert_eq!(row.seats().collect::<Vec<_>>(), wanted);
            }
            assert_eq!(row.seats.short_seats().is_some(), is_short, "{conversation:?}");
            for (last, read) in [(Seq(9), ConversationSeq(3)), (Seq(u64::MAX), ConversationSeq(4))] {
                for number in 0..users.len() as u32 {
                    let change = |seat: &mut Membership| (seat.last, seat.read, seat.unread) = (last, read, 11);
                    row.change_seat(number, &inboxes, change);
                    change(&mut wanted[number as usize]);
                    assert_eq!(
                        (row.seat(number), row.seat_of(users[number as usize])),
                        (wanted[number as usize], Some(number))
                    );
                }
                let is_pair = matches!(conversation, Conversation::Pair(..));
                if let (Conversation::Pair(a, b), [one]) = (conversation, users) {
                    // Its author is elsewhere.
                    let other = if inboxes.user_at(*one) == a { b } else { a };
                    let wanted = PairMembers { author: None, peer: Some(*one) };
                    assert!(a == b || row.sides(other, &inboxes) == wanted);
                }
                for author in users {
                    let peer = users.iter().find(|user| *user != author).copied();
                    let wanted = PairMembers { author: Some(*author), peer };
                    let wanted = if is_pair { wanted } else { PairMembers::default() };
                    assert_eq!(row.sides(inboxes.user_at(*author), &inboxes), wanted);
                }
                let unpacked = row.unpacked(&inboxes);
                assert_eq!((&unpacked.conversation, &unpacked.seats), (conversation, &wanted));
                assert!(all.iter().all(|it| row.is_of(it, &inboxes) == (it == conversation)), "{conversation:?}");
            }
        }
    }
}
