//! What the cores write into their logs, read record by record right after the turn that wrote it: the truth that
//! followers are held against, and the moment at which it is known who had a session.
//!
//! A crash takes from it what it takes from the logs.

use crate::check::accounts::is_guest;
use crate::check::devices::DeviceNews;
use crate::world::operator::is_stranger;
use crate::world::{Core, Place, World};
use mushan::log::{LogEnd, ReadMode, Record, SEGMENT_HEADER_BYTES, Side, ThreadLink};
use mushan::model::{Message, Position};
use mushan::server::turn::{Action, LinkKey};
use std::collections::BTreeMap;

/// A record that followers are told of.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub at: Position,
    /// The place behind it.
    pub next: Position,
    /// How many events it is.
    pub events: usize,
    /// The record with the message, without which there is no event.
    pub of: Option<Position>,
}

/// One shard's log.
#[derive(Default)]
pub struct Book {
    /// Read up to here.
    next: Position,
    pub told: Vec<Told>,
    /// Messages of groups, and whether a user has sent them: by the place of their record.
    in_groups: BTreeMap<Position, bool>,
    /// Users with a session after the last turn.
    online: Online,
}

/// A bit for each user.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Online(u64);

impl Online {
    fn bit(user: &str) -> Option<u64> {
        let number: u32 = user.strip_prefix("user-")?.parse().ok()?;
        Some(1 << number)
    }

    /// Whether the user has a session: `None` where this turn has changed it.
    fn has(self, before: Self, user: &str) -> Option<bool> {
        let bit = Self::bit(user).unwrap_or_default();
        let is_here = self.0 & bit != 0;
        (is_here == (before.0 & bit != 0)).then_some(is_here)
    }
}

impl Book {
    /// The first record that followers are told of in this segment, or behind it.
    pub fn first_in(&self, segment: u32) -> usize {
        self.told.partition_point(|told| told.at.segment() < segment)
    }

    fn take(&mut self, at: Position, record: &Record, here: (Online, Online)) {
        let events = self.events_of(at, record, here);
        if events > 0 {
            let of = if let Record::Fanned { of, .. } = record { Some(*of) } else { None };
            self.told.push(Told { at, next: self.next, events, of });
        }
    }

    /// How many events the record is. Who is said to have been away was, and nobody else.
    fn events_of(&mut self, at: Position, record: &Record, here: (Online, Online)) -> usize {
        match record {
            Record::Posted { message, links, .. } => {
                self.note_group(at, message);
                1 + usize::from(is_peer_away(message, links, here))
            }
            Record::Delivered { message, links, .. } => {
                self.note_group(at, message);
                usize::from(is_peer_away(message, links, here))
            }
            Record::Fanned { of, links } => {
                let is_message = self.in_groups[of];
                let away = links.iter().filter(|member| {
                    expect_away(member.user.as_str(), is_message, member.link, here);
                    member.link.is_away
                });
                usize::from(away.count() > 0)
            }
            Record::Online { .. } | Record::Start { .. } => 1,
            Record::Seen { last_seen, .. } => usize::from(last_seen.0 > 0),
            _ => 0,
        }
    }

    fn note_group(&mut self, at: Position, message: &Message) {
        if message.peer_of(&message.author).is_none() {
            self.in_groups.insert(at, message.fact.is_none());
        }
    }

    /// A log was found to end here.
    fn cut(&mut self, found: Position) {
        self.told.truncate(self.told.partition_point(|told| told.at < found));
        self.in_groups.split_off(&found);
        self.next = found.max(Position::new(1, SEGMENT_HEADER_BYTES as u32));
        self.online = Online::default();
    }
}

fn is_peer_away(message: &Message, links: &[ThreadLink], here: (Online, Online)) -> bool {
    let Some(peer) = message.peer_of(&message.author) else { return false };
    let Some(link) = links.iter().find(|link| link.side == Side::Peer) else { return false };
    expect_away(peer.as_str(), message.fact.is_none(), *link, here);
    link.is_away
}

fn expect_away(user: &str, is_message: bool, link: ThreadLink, (before, after): (Online, Online)) {
    // Others have sessions that nobody counts here.
    if Online::bit(user).is_none() && !is_stranger(user) && !is_guest(user) {
        return;
    }
    let is_right = match after.has(before, user) {
        _ if !is_message => !link.is_away,
        Some(is_here) => link.is_away != is_here,
        None => true,
    };
    assert!(is_right, "{user} is said to have been away: {}, at {:?}", link.is_away, link.seq);
}

#[derive(Default)]
pub struct Chronicle {
    pub books: Vec<Book>,
}

impl World {
    /// Users with a session at a core, now that its turn wants this done.
    fn online_at(&self, at: usize, actions: &[Action]) -> Online {
        let ends = |key: LinkKey| {
            let is_end = |action: &Action| matches!(action, Action::End(it) | Action::Abandon(it) if *it == key);
            actions.iter().any(is_end)
        };
        let Core { turn, pipes, .. } = &self.cores[at];
        let mut online = Online::default();
        for (key, pipe) in pipes {
            let is_open = self.pipes[*pipe].place == Place::At(at, *key) && !self.pipes[*pipe].ending;
            if is_open && turn.is_authenticated(*key) && !ends(*key) {
                online.0 |= Online::bit(&self.clients[*pipe].user).unwrap_or_default();
            }
        }
        online
    }

    /// All logs were opened, and found to end like this.
    pub fn reopen_books(&mut self, found: &[LogEnd]) {
        self.follower.expect_all_there(found);
        self.chronicle.books.resize_with(found.len(), Book::default);
        for (at, (book, end)) in self.chronicle.books.iter_mut().zip(found).enumerate() {
            book.cut(end.position);
            self.ledger.groups.cut(at, end.position);
            self.ledger.devices.cut(at, end.position);
            self.ledger.cleared.cut(at, end.position);
            self.ledger.erasures.cut(at, end.position);
        }
    }

    /// Reads what a turn has written.
    pub fn chronicle(&mut self, at: usize, actions: &[Action]) {
        let after = self.online_at(at, actions);
        let journal = self.cores[at].turn.shard().journal();
        let book = &mut self.chronicle.books[at];
        let before = std::mem::replace(&mut book.online, after);
        while book.next < journal.end() {
            let place = book.next;
            match journal.view(ReadMode::Unbounded).read(place) {
                Ok(record) => {
                    if let Record::Posted { message, .. } = &record {
                        self.ledger.groups.note((at, place), self.ledger.moment.step, message);
                        self.operator.note_who_runs(message);
                        self.ledger.cleared.note((at, place), self.ledger.moment.step, message);
                    }
                    if let Record::Erased { user, .. } = &record {
                        self.ledger.erasures.note((at, place), user.as_str());
                        if usize::from(self.placement.owner_of(user).0) == at {
                            let step = self.ledger.moment.step;
                            self.ledger.devices.note((at, place), step, user.as_str(), DeviceNews::AreGone);
                        }
                    }
                    if let Record::PushDevice { user, device, registration } = &record {
                        let news = DeviceNews::of(device, registration.as_deref());
                        self.ledger.devices.note((at, place), self.ledger.moment.step, user.as_str(), news);
                    }
                    book.next = Position(place.0 + record.encoded_bytes() as u64);
                    book.take(place, &record, (before, after));
                }
                Err(damage) => {
                    assert!(place.segment() < journal.end().segment(), "what was just written is unreadable: {damage}");
                    book.next = Position::new(place.segment() + 1, SEGMENT_HEADER_BYTES as u32);
                }
            }
        }
    }
}
