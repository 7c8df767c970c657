//! Conversations that users clear for themselves (docs/PROTOCOL.md 2.10), clearing by clearing, at the moment at which the
//! conversation's owner wrote it: what is hidden is never shown again to whoever hides it, and to the others it still is.

use crate::chance::Chance;
use crate::check::ledger::Ledger;
use crate::client::speech::{Ask, Channel, Kind, Shown};
use crate::client::{Client, Expectation};
use crate::world::loss::name_of;
use mushan::model::{ClearExtent, Fact, Message, Position};
use std::collections::BTreeMap;

/// The last place that is hidden, and whether the list leaves the conversation out.
pub type Hidden = (u64, bool);

/// One clearing, as the log of the conversation's owner has it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    shard: usize,
    at: Position,
    step: u64,
    message: u64,
    hidden: Hidden,
    /// Its user was answered that it is done.
    is_told: bool,
}

/// What one user has cleared of one conversation.
#[derive(Default)]
struct Book {
    entries: Vec<Entry>,
    /// From which steps on everything up to these places is hidden.
    holds: Vec<(u64, u64)>,
}

/// What a client wants.
#[derive(Clone, Debug)]
pub struct ClearWish {
    pub conversation: String,
    pub is_deleted: bool,
    /// The server has to hide so much, at least.
    through: u64,
}

#[derive(Default)]
pub struct ClearBooks {
    /// Users clear conversations.
    pub is_wanted: bool,
    /// By user and conversation.
    books: BTreeMap<(String, String), Book>,
    /// By message: its place in its conversation.
    places: BTreeMap<u64, u64>,
}

impl ClearBooks {
    /// The owner of a conversation has written this.
    pub fn note(&mut self, (shard, at): (usize, Position), step: u64, message: &Message) {
        let id = message.id.0;
        match message.fact.as_deref() {
            None | Some(Fact::Group(_)) => drop(self.places.insert(id, message.conversation_seq.0)),
            Some(Fact::Cleared { user, through, extent }) => {
                let hidden = (through.0, *extent == ClearExtent::Conversation);
                let key = (user.to_string(), name_of(&message.conversation));
                let entry = Entry { shard, at, step, message: id, hidden, is_told: false };
                self.books.entry(key).or_default().entries.push(entry);
            }
            Some(_) => {}
        }
    }

    /// A shard's log was found to end here: nothing that was told is lost.
    pub fn cut(&mut self, shard: usize, found: Position) {
        for ((user, conversation), book) in &mut self.books {
            let is_lost = |entry: &Entry| entry.shard == shard && entry.at >= found;
            let told = book.entries.iter().find(|entry| is_lost(entry) && entry.is_told);
            assert!(told.is_none(), "a crash took back what {user} has cleared of {conversation}: {told:?}");
            book.entries.retain(|entry| !is_lost(entry));
        }
    }

    /// Only what is left of all logs is so. Whether that is all of what the user had cleared of the conversation.
    pub fn lose(&mut self, is_there: &dyn Fn(u64) -> bool) -> Vec<(String, String)> {
        let mut lost = Vec::new();
        for (key, book) in &mut self.books {
            let before = book.entries.len();
            book.entries.retain(|entry| is_there(entry.message));
            // It is in another shard's log alone, which no place in this one's says.
            book.entries.iter_mut().for_each(|entry| entry.is_told = false);
            if book.entries.len() < before {
                book.holds.clear();
                lost.push(key.clone());
            }
        }
        lost
    }

    /// A clearing was answered with yes: it was done, or more than that before.
    fn check_done(&mut self, user: &str, wish: &ClearWish, (asked, now): (u64, u64)) {
        let book = self.books.entry((user.to_owned(), wish.conversation.clone())).or_default();
        let does = |entry: &&mut Entry| {
            let (through, is_deleted) = entry.hidden;
            through > wish.through || through == wish.through && (is_deleted || !wish.is_deleted)
        };
        let first = book.entries.partition_point(|entry| entry.step < asked);
        let (earlier, since) = book.entries.split_at_mut(first);
        let entry = since.iter_mut().find(does).or_else(|| earlier.iter_mut().rfind(does));
        let entry = entry.unwrap_or_else(|| panic!("{wish:?} of {user} was answered with yes, and is in no log"));
        entry.is_told = true;
        book.holds.push((now, entry.hidden.0));
    }

    /// Whether it was hidden from the user for certain when the user asked.
    fn hides(&self, user: &str, shown: &Shown, asked: u64) -> bool {
        let Some(book) = self.books.get(&(user.to_owned(), shown.conversation.clone())) else { return false };
        let place = self.places.get(&shown.message).copied().unwrap_or(u64::MAX);
        book.holds.iter().any(|(since, through)| *since < asked && place <= *through)
    }
}

impl Ledger {
    /// What is told of an inbox is not hidden from its user; what happened stays there.
    pub fn expect_uncleared(&self, user: &str, shown: &Shown, asked: u64) {
        if shown.kind.is_message() {
            self.expect_unhidden(user, shown, asked);
        }
    }

    /// The same for a history and a list, which have nothing of what is hidden.
    pub fn expect_unhidden(&self, user: &str, shown: &Shown, asked: u64) {
        let is_hidden = shown.kind.takes_place() && self.cleared.hides(user, shown, asked);
        assert!(!is_hidden, "{user} was shown what it has cleared: {shown:?}");
    }

    /// What comes to a user after it has cleared a conversation is not hidden: nothing that the user was never given is.
    pub fn expect_had<'a>(&self, user: &str, inbox: impl IntoIterator<Item = &'a Shown>) {
        let shown = || self.shown.get(user).into_iter().flatten();
        for entry in inbox {
            let (Kind::Cleared { through, .. }, Some(cleared)) = (&entry.kind, entry.seq) else { continue };
            let is_hidden = |it: &Shown| {
                let place = self.cleared.places.get(&it.message).filter(|_| it.kind.takes_place());
                it.conversation == entry.conversation && place.is_some_and(|place| place <= through)
            };
            let later = shown().find(|(seq, it)| **seq > cleared && is_hidden(it));
            assert!(later.is_none(), "{user} has cleared what it did not have: {later:?} by {entry:?}");
        }
    }

    /// How far the user has the conversation for certain: others' messages come in their order.
    fn certain_place(&self, user: &str, conversation: &str) -> u64 {
        let inbox = self.shown.get(user).into_iter().flat_map(BTreeMap::values);
        let others = inbox.filter(|it| it.conversation == conversation && it.author != user && it.kind.takes_place());
        others.filter_map(|it| self.cleared.places.get(&it.message)).max().copied().unwrap_or_default()
    }
}

impl Client {
    /// Clears or deletes a conversation that this device has seen something of, mostly.
    pub fn clear(&mut self, of: Channel, ledger: &Ledger, chance: &mut Chance) -> Vec<u8> {
        let seen = self.seen.last().filter(|_| !chance.one_in(4));
        let of = seen.map_or(of, |(conversation, ..)| Channel::of(&self.user, conversation));
        let conversation = of.conversation(&self.user);
        let named = if chance.one_in(2) { 0 } else { 1 + chance.below(12) as u64 };
        let certain = ledger.certain_place(&self.user, &conversation);
        let through = if named == 0 { certain } else { named.min(certain) };
        let is_deleted = chance.one_in(3);
        let wish = ClearWish { conversation, is_deleted, through };
        self.ask(&Ask::Clear { of, through: named, is_deleted }, Expectation::Cleared(wish), chance)
    }

    pub fn told_of_clearing(&self, wish: &ClearWish, asked: u64, ledger: &mut Ledger) {
        ledger.cleared.check_done(&self.user, wish, (asked, self.moment.step));
        ledger.count("conversations cleared");
    }
}

/// What a user has cleared in the end, by conversation, as its inbox says.
pub fn hidden_by<'a>(inbox: impl IntoIterator<Item = &'a Shown>) -> BTreeMap<String, Hidden> {
    let mut hidden = BTreeMap::new();
    for entry in inbox {
        if let Kind::Cleared { through, is_deleted } = entry.kind {
            let most: &mut Hidden = hidden.entry(entry.conversation.clone()).or_default();
            *most = (through, is_deleted).max(*most);
        }
    }
    hidden
}
