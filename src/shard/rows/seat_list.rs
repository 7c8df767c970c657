//! The seats of one user: one word for the conversation of a pair, two for that of a group.
//!
//! Owned by a row of the inboxes. Invariant: a conversation's number has 30 bits. For a group, the seat's number is
//! in the word before the conversation's, since a list is read from its end.

use crate::shard::rows::index::ConversationIndex;
use crate::shard::rows::seat::SeatAt;
use smallvec::SmallVec;

/// The seat's number is in the word before.
const HAS_NUMBER: u32 = 1 << 31;
/// The seat is the second one.
const IS_SECOND: u32 = 1 << 30;

#[derive(Debug, Default)]
pub(in crate::shard) struct SeatList(SmallVec<[u32; 4]>);

impl SeatList {
    pub fn words(&self) -> usize {
        self.0.len()
    }

    pub fn add(&mut self, SeatAt { conversation: ConversationIndex(at), seat }: SeatAt) {
        assert!(at < ConversationIndex::COUNT_MAX, "conversations are bounded");
        match seat {
            0 => self.0.push(at),
            1 => self.0.push(at | IS_SECOND),
            _ => self.0.extend([seat, at | HAS_NUMBER]),
        }
    }

    /// The newest first.
    pub fn iter(&self) -> impl Iterator<Item = SeatAt> + '_ {
        self.before(self.words()).map(|(seat, _)| seat)
    }

    /// Those that stand before this word, the newest first, each with the words before it.
    pub fn before(&self, words: usize) -> impl Iterator<Item = (SeatAt, usize)> + '_ {
        let mut words = self.0[..words].iter().rev();
        std::iter::from_fn(move || {
            let word = *words.next()?;
            let conversation = ConversationIndex(word & (ConversationIndex::COUNT_MAX - 1));
            let seat = if word & HAS_NUMBER == 0 { u32::from(word & IS_SECOND != 0) } else { *words.next()? };
            Some((SeatAt { conversation, seat }, words.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_of_all_numbers_come_back_the_newest_first() {
        let seat = |(at, seat)| SeatAt { conversation: ConversationIndex(at), seat };
        let seats = [(0, 0), (7, 1), (ConversationIndex::COUNT_MAX - 1, 1), (8, 2), (9, u32::MAX), (10, 0)].map(seat);
        let mut list = SeatList::default();
        seats.iter().for_each(|seat| list.add(*seat));
        assert!(list.iter().eq(seats.into_iter().rev()));
        let (third, words) = list.before(list.words()).nth(2).expect("there are six");
        assert!(third == seats[3] && list.before(words).map(|(seat, _)| seat).eq(seats[..3].iter().rev().copied()));
    }
}
