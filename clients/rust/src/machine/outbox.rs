//! Messages on their way out, in the order in which the application sent them.
//!
//! Invariant: a message stays here, under its one client id, until the server has stored or refused it; so it may be
//! written again after a cut, and the server recognises it.

use crate::model::Outgoing;
use std::collections::BTreeMap;

struct Item {
    message: Outgoing,
    /// Written to the current connection, and not answered.
    is_under_way: bool,
}

#[derive(Default)]
pub struct Outbox {
    /// By the order in which they were sent.
    items: BTreeMap<u64, Item>,
    places: BTreeMap<String, u64>,
    next_place: u64,
    under_way: usize,
    /// Nothing is written before this time: the server asked for a pause.
    pub paused_until: u64,
}

impl Outbox {
    pub fn of(messages: Vec<Outgoing>) -> Self {
        let mut outbox = Self::default();
        for message in messages {
            outbox.add(message);
        }
        outbox
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn messages(&self) -> impl Iterator<Item = &Outgoing> {
        self.items.values().map(|item| &item.message)
    }

    pub fn has(&self, client_id: &str) -> bool {
        self.places.contains_key(client_id)
    }

    /// A message whose id waits here already is the same message.
    pub fn add(&mut self, message: Outgoing) {
        if self.has(&message.client_id) {
            return;
        }
        self.places.insert(message.client_id.clone(), self.next_place);
        self.items.insert(self.next_place, Item { message, is_under_way: false });
        self.next_place += 1;
    }

    /// The messages to write now, in order, so that at most `max` are unanswered.
    pub fn take(&mut self, now: u64, max: usize) -> Vec<Outgoing> {
        if now < self.paused_until {
            return Vec::new();
        }
        let room = max.saturating_sub(self.under_way);
        let waiting = self.items.values_mut().filter(|item| !item.is_under_way).take(room);
        let taken: Vec<Outgoing> = waiting
            .map(|item| {
                item.is_under_way = true;
                item.message.clone()
            })
            .collect();
        self.under_way += taken.len();
        taken
    }

    /// Whether `take` would return something once the pause is over.
    pub fn has_waiting(&self, max: usize) -> bool {
        self.under_way < max.min(self.items.len())
    }

    /// The server has stored the message, or refused it for good.
    pub fn settle(&mut self, client_id: &str) -> Option<Outgoing> {
        let place = self.places.remove(client_id)?;
        let item = self.items.remove(&place)?;
        self.under_way -= usize::from(item.is_under_way);
        Some(item.message)
    }

    /// The server has no room now: the message is written again after the pause.
    pub fn postpone(&mut self, client_id: &str, until: u64) {
        self.paused_until = self.paused_until.max(until);
        let item = self.places.get(client_id).and_then(|place| self.items.get_mut(place));
        if let Some(item) = item.filter(|item| item.is_under_way) {
            item.is_under_way = false;
            self.under_way -= 1;
        }
    }

    /// The connection has ended: whatever was not answered is written again.
    pub fn cut(&mut self) {
        self.under_way = 0;
        for item in self.items.values_mut() {
            item.is_under_way = false;
        }
    }
}
