//! Finds an inbox's entries through the log itself: RAM per user is one `Tail`, whatever its history.
//!
//! Each entry's link leads to the entry before it and to one far back: from seq `s` to the newest multiple of 64^k
//! below `s`, where k is 1, or 2 if `s` is a multiple of 64, or 3 if it is one of 64². So any entry of a million is
//! reached in a few hundred hops (docs/decisions/0001). Invariant: every hop checks that it arrived where it meant to.

use super::{Damage, Segments, Side, Thread, ThreadLink, Unread, View};
use crate::log::record::bytes::{Put, Reader};
use crate::model::{Entry, Message, MessageId, Position, Room, Seq};
use std::sync::Arc;

pub(super) const RADIX: u64 = 64;
const LEVELS: usize = 3;
/// The most hops of a search within a turn. Each hop may be a cache miss.
const HOPS_AT_ONCE_MAX: u64 = 1_000;
/// The most bytes of message contents that one search within a turn reads; each content is checked completely.
const FOUND_BYTES_AT_ONCE_MAX: usize = 1 << 20;
/// Entries that are inspected together where none of the ones before still had its body: each inspection begins with a
/// walk from the tail.
const WINDOW_ENTRIES_MIN: u32 = 64;
const WINDOW_ENTRIES_MAX: u32 = 1_024;

/// The newest end of one inbox, from which all its entries can be found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The seq of the newest entry; 0: the inbox is empty.
    pub seq: Seq,
    /// The position of the newest entry's record.
    pub last: Position,
    /// The positions of the newest entries whose seqs are multiples of 64, 64² and 64³.
    pub(super) skips: [Position; LEVELS],
}

/// A message, and the position of the record that contains it.
pub type FoundMessage = (Position, Arc<Message>);

/// The most that a page holds; its first entry is there whatever it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBounds {
    /// Entries.
    pub entries_max: u32,
    /// Bytes of the encoded entries.
    pub room: Room,
}

/// Entries of an inbox, ascending by seq.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Whether more entries exist in the direction of the page.
    pub has_more: bool,
}

/// The level of the skip of `seq`: the skip leads to a multiple of 64^(level + 1).
fn skip_level(seq: Seq) -> usize {
    let is_multiple = |level: &usize| seq.0.is_multiple_of(RADIX.pow(*level as u32));
    (1..LEVELS).take_while(is_multiple).count()
}

/// The seq to which the skip of `seq` leads; `Seq(0)` when it leads nowhere. `seq` is not 0.
fn skip_target(seq: Seq) -> Seq {
    let step = RADIX.pow(skip_level(seq) as u32 + 1);
    Seq((seq.0 - 1) / step * step)
}

impl Tail {
    /// The link for the next entry.
    pub fn next_link(&self, side: Side) -> ThreadLink {
        self.link_to(side, self.seq.next())
    }

    /// The link for an entry with this seq, which is above all seqs so far: entries between are missing.
    pub fn link_to(&self, side: Side, seq: Seq) -> ThreadLink {
        ThreadLink { side, seq, previous: self.last, skip: self.skips[skip_level(seq)], is_away: false }
    }

    /// Records that the entry with `link` has been appended at `position`.
    pub fn advance(&mut self, link: ThreadLink, position: Position) {
        self.seq = link.seq;
        self.last = position;
        for (level, skip) in (1..).zip(&mut self.skips) {
            if link.seq.0.is_multiple_of(RADIX.pow(level)) {
                *skip = position;
            }
        }
    }

    /// Makes the next entry's seq larger than `seq`, whatever is missing before it.
    pub fn skip_to(&mut self, seq: Seq) {
        self.seq = self.seq.max(seq);
    }

    /// Appends the tail's 40 bytes to a checkpoint.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.put_u64(self.seq.0);
        out.put_u64(self.last.0);
        self.skips.iter().for_each(|skip| out.put_u64(skip.0));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (seq, last) = (Seq(reader.u64()?), Position(reader.u64()?));
        let skips = [reader.u64()?, reader.u64()?, reader.u64()?].map(Position);
        Some(Self { seq, last, skips })
    }

    /// The entries with a seq above `after`, as many as `bounds` allows, but at least one. Entries that
    /// retention has dropped are left out: the first entry's seq shows it. A member's entry can outlive the body of its
    /// group's message: then it and all older ones are left out, so that a page has no hole.
    ///
    /// # Errors
    ///
    /// A record is damaged, or is not in memory and the reader does not wait for a disk.
    pub fn page_after<S: Segments>(
        &self,
        view: View<'_, S>,
        thread: Thread<'_>,
        mut after: Seq,
        bounds: PageBounds,
    ) -> Result<Page, Unread> {
        let PageBounds { entries_max: limit, room } = bounds;
        let mut window = limit;
        loop {
            let places = self.places_after(view, thread, after, window)?;
            let mut budget = Budget { room, entries: Vec::new() };
            let mut newest = if limit == 0 { after } else { self.seq };
            for (seq, position) in &places {
                if budget.entries.len() == limit as usize {
                    break;
                }
                match entry_at(view, thread, *seq, *position)? {
                    None => budget = Budget { room, entries: Vec::new() },
                    Some(entry) => {
                        if !budget.takes(entry) {
                            break;
                        }
                    }
                }
                newest = *seq;
            }
            let is_dropped = budget.entries.is_empty() && !places.is_empty() && newest < self.seq;
            if !is_dropped {
                return Ok(Page { entries: budget.entries, has_more: newest < self.seq });
            }
            after = newest;
            window = window.saturating_mul(2).clamp(WINDOW_ENTRIES_MIN, WINDOW_ENTRIES_MAX.max(limit));
        }
    }

    /// Where the at most `limit` entries above `after` stand, ascending.
    fn places_after<S: Segments>(
        &self,
        view: View<'_, S>,
        thread: Thread<'_>,
        mut after: Seq,
        limit: u32,
    ) -> Result<Vec<(Seq, Position)>, Unread> {
        let mut window = u64::from(limit);
        while window > 0 && after < self.seq && !view.is_gone(self.last) {
            let top = Seq(after.0.saturating_add(window).min(self.seq.0));
            let mut walk = InboxWalk::from_tail(self, view, thread)?;
            walk.go_to(top)?;
            let mut places = Vec::new();
            while walk.seq() > after && walk.seq() <= top {
                places.push((walk.seq(), walk.position));
                if walk.step_back()? == WalkStep::AtFloor {
                    break;
                }
            }
            if !places.is_empty() {
                places.reverse();
                places.truncate(limit as usize);
                return Ok(places);
            }
            // The oldest remaining entry is newer than all requested ones; or a repair had to leave these out, and
            // their number is unknown.
            after = if walk.seq() > top { Seq(walk.seq().0 - 1) } else { top };
            window = window.saturating_mul(2);
        }
        Ok(Vec::new())
    }

    /// The entries just below `before` (`Seq(0)`: from the newest), ascending, as many of the newest as `bounds`
    /// allows, but at least one.
    ///
    /// # Errors
    ///
    /// As `page_after`.
    pub fn page_before<S: Segments>(
        &self,
        view: View<'_, S>,
        thread: Thread<'_>,
        before: Seq,
        bounds: PageBounds,
    ) -> Result<Page, Unread> {
        let PageBounds { entries_max: limit, room } = bounds;
        let top = if before == Seq(0) { self.seq } else { Seq(before.0 - 1).min(self.seq) };
        if top == Seq(0) || limit == 0 || view.is_gone(self.last) {
            return Ok(Page { entries: Vec::new(), has_more: top > Seq(0) && limit == 0 });
        }
        let mut walk = InboxWalk::from_tail(self, view, thread)?;
        walk.go_to(top)?;
        if walk.seq() > top {
            return Ok(Page::default());
        }
        let mut budget = Budget { room, entries: Vec::new() };
        let mut has_more = true;
        while has_more && budget.entries.len() < limit as usize {
            match entry_at(view, thread, walk.seq(), walk.position)? {
                // Its body was dropped, and with it all that is older.
                None => has_more = false,
                Some(entry) => match budget.takes(entry) {
                    true => has_more = walk.step_back()? == WalkStep::Taken,
                    false => break,
                },
            }
        }
        let mut entries = budget.entries;
        entries.reverse();
        Ok(Page { entries, has_more })
    }

    /// The message with this id and its position, in the thread of a conversation, where ids ascend with seqs. `None`
    /// if there is no such message or retention has dropped it.
    ///
    /// # Errors
    ///
    /// As `page_after`.
    pub fn find_message<S: Segments>(
        &self,
        view: View<'_, S>,
        thread: Thread<'_>,
        id: MessageId,
    ) -> Result<Option<FoundMessage>, Unread> {
        Ok(self.find_messages(view, thread, &[id])?.pop().flatten())
    }

    /// As `find_message` for many ids, ascending, on one walk back through the thread. A reader that does not wait for
    /// a disk also ends a long walk, and one past much content.
    ///
    /// # Errors
    ///
    /// As `page_after`.
    pub fn find_messages<S: Segments>(
        &self,
        view: View<'_, S>,
        thread: Thread<'_>,
        ids: &[MessageId],
    ) -> Result<Vec<Option<FoundMessage>>, Unread> {
        let mut found = vec![None; ids.len()];
        if self.seq == Seq(0) || view.is_gone(self.last) {
            return Ok(found);
        }
        let mut walk = InboxWalk::from_tail(self, view, thread)?;
        let mut found_bytes = 0;
        for (id, found) in ids.iter().zip(&mut found).rev() {
            if found_bytes >= FOUND_BYTES_AT_ONCE_MAX && view.is_non_blocking() {
                return Err(Unread::Cold(walk.position));
            }
            if walk.go_to_message(*id)? == WalkStep::AtFloor {
                break;
            }
            // Whether found or not: the result counts only if the record is undamaged.
            let Some(message) = view.message_at(walk.position)? else { break };
            found_bytes += message.content.len();
            *found = (message.id == *id).then_some((walk.position, message));
        }
        Ok(found)
    }
}

/// The entry itself, checked with its record; `None` when retention has dropped its body.
fn entry_at<S: Segments>(
    view: View<'_, S>,
    thread: Thread<'_>,
    seq: Seq,
    position: Position,
) -> Result<Option<Entry>, Unread> {
    match view.entry_at(position, thread)? {
        Some((link, message)) if link.seq == seq => Ok(Some(Entry { seq, message, name: None })),
        Some(_) => Err(Damage { position }.into()),
        None => Ok(None),
    }
}

/// A page that is being filled.
struct Budget {
    room: Room,
    entries: Vec<Entry>,
}

impl Budget {
    /// Adds the entry if there is room for it; the first one always.
    fn takes(&mut self, entry: Entry) -> bool {
        let bytes = self.room.sizing.entry_bytes(&entry.message);
        if bytes > self.room.bytes_max && !self.entries.is_empty() {
            return false;
        }
        self.room = self.room.less(bytes);
        self.entries.push(entry);
        true
    }
}

/// A walk back through one inbox, from its newest entry.
struct InboxWalk<'a, S> {
    view: View<'a, S>,
    thread: Thread<'a>,
    position: Position,
    /// That of the record there.
    link: ThreadLink,
    hops: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WalkStep {
    Taken,
    /// What would come next was dropped by retention, or there never was anything.
    AtFloor,
    TooFar,
}

impl<'a, S: Segments> InboxWalk<'a, S> {
    /// Begins at the tail. A link to an older seq than the tail's means that the newest entries are missing; this
    /// counts only if the record is undamaged.
    fn from_tail(tail: &Tail, view: View<'a, S>, thread: Thread<'a>) -> Result<Self, Unread> {
        let position = tail.last;
        let link = view.link_at(position, thread)?;
        if link.seq != tail.seq {
            view.read(position)?;
        }
        if link.seq > tail.seq {
            Err(Damage { position }.into())
        } else {
            Ok(Self { view, thread, position, link, hops: 0 })
        }
    }

    fn seq(&self) -> Seq {
        self.link.seq
    }

    /// Goes to the newest entry at or before `target`, by the longest skips that do not pass it; if retention has
    /// dropped that entry, to the oldest one left.
    fn go_to(&mut self, target: Seq) -> Result<(), Unread> {
        while self.seq() > target {
            let far = Hop { expected: skip_target(self.seq()), position: self.link.skip };
            if far.expected >= target && self.hop(far, target)? == WalkStep::Taken {
                continue;
            }
            if self.step_back()? == WalkStep::AtFloor {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Goes to the newest message with an id at or below `id`, by skips that do not pass it.
    fn go_to_message(&mut self, id: MessageId) -> Result<WalkStep, Unread> {
        while self.view.message_id_at(self.position)? > id {
            if self.hops >= HOPS_AT_ONCE_MAX && self.view.is_non_blocking() {
                return Err(Unread::Cold(self.position));
            }
            let skip = self.link.skip;
            let may_skip = !self.view.is_gone(skip) && skip < self.position;
            let skips = may_skip && self.view.message_id_at(skip)? >= id;
            let step = match skips {
                true => self.hop(Hop { expected: skip_target(self.seq()), position: skip }, Seq(0))?,
                false => self.step_back()?,
            };
            if step == WalkStep::AtFloor {
                return Ok(step);
            }
        }
        Ok(WalkStep::Taken)
    }

    /// Goes to the next older entry. The end of the inbox counts only if the record is undamaged, since a flipped bit
    /// must not hide entries.
    fn step_back(&mut self) -> Result<WalkStep, Unread> {
        let near = Hop { expected: Seq(self.seq().0 - 1), position: self.link.previous };
        let step = self.hop(near, Seq(0))?;
        if step == WalkStep::AtFloor {
            self.view.read(self.position)?;
        }
        Ok(step)
    }

    /// Follows a link to an older entry. A link must lead backwards in the log, so that every walk ends, whatever the
    /// bytes are. A repair may have left entries out: then the link leads to an older seq than expected. This is
    /// accepted only between two undamaged records, and never beyond `target`.
    fn hop(&mut self, Hop { expected, position }: Hop, target: Seq) -> Result<WalkStep, Unread> {
        if self.view.is_gone(position) {
            return Ok(WalkStep::AtFloor);
        }
        if position >= self.position {
            return Err(Damage { position: self.position }.into());
        }
        let link = self.view.link_at(position, self.thread)?;
        let arrived = link.seq;
        if arrived != expected {
            self.view.read(self.position)?;
            self.view.read(position)?;
            if arrived > expected {
                return Err(Damage { position }.into());
            }
            if arrived < target {
                return Ok(WalkStep::TooFar);
            }
        }
        self.link = link;
        self.position = position;
        self.hops += 1;
        Ok(WalkStep::Taken)
    }
}

/// The target of a link, and the seq expected there.
#[derive(Clone, Copy, Debug)]
struct Hop {
    expected: Seq,
    position: Position,
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
