//! Users whom the operator erases (docs/decisions/0034): from the answer on nobody is shown what they wrote, nothing is taken
//! that is for them, and they are not here.

use crate::check::ledger::Ledger;
use crate::client::speech::{Channel, Kind, Shown, group_of, pair_of};
use mushan::model::Position;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Erasures {
    /// When the first shard was ordered to erase the user.
    asked: BTreeMap<String, u64>,
    /// When the last shard had answered.
    done: BTreeMap<String, u64>,
    /// By user and shard: where the shard's log says so, and whether the operator was answered that it is done there.
    records: BTreeMap<(String, usize), (Position, bool)>,
}

impl Erasures {
    pub fn begin(&mut self, user: &str, step: u64) {
        self.asked.entry(user.to_owned()).or_insert(step);
    }

    pub fn finish(&mut self, user: &str, step: u64) {
        self.done.entry(user.to_owned()).or_insert(step);
    }

    /// A shard has written that the user is erased.
    pub fn note(&mut self, (shard, at): (usize, Position), user: &str) {
        self.records.entry((user.to_owned(), shard)).or_insert((at, false));
    }

    /// A shard has answered that the user is erased there.
    pub fn tell(&mut self, user: &str, shard: usize) {
        let record = self.records.get_mut(&(user.to_owned(), shard));
        let (_, is_told) =
            record.unwrap_or_else(|| panic!("{user} is said to be erased on {shard}, and no log says so"));
        *is_told = true;
    }

    /// A shard's log was found to end here: nothing that was told is lost.
    pub fn cut(&mut self, shard: usize, found: Position) {
        let is_lost = |of: usize, at: Position| of == shard && at >= found;
        let told = self.records.iter().find(|((_, of), (at, is_told))| *is_told && is_lost(*of, *at));
        assert!(told.is_none(), "a crash took back that a user is erased: {told:?}");
        self.records.retain(|(_, of), (at, _)| !is_lost(*of, *at));
    }

    /// Whether the user is erased, or about to be.
    pub fn may_be(&self, user: &str) -> bool {
        self.asked.contains_key(user)
    }

    pub fn any(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether the user was erased for certain at this step.
    pub fn was(&self, user: &str, step: u64) -> bool {
        self.done.get(user).is_some_and(|done| *done < step)
    }

    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.asked.keys()
    }

    pub fn finished(&self) -> u64 {
        self.done.len() as u64
    }
}

impl Ledger {
    /// What was asked for then has no words of users who were erased by then.
    pub fn expect_wordless(&self, user: &str, shown: &Shown, asked: u64) {
        // The end of a stream has none, and on one path nothing tells it from what was taken back.
        let has_words = matches!(&shown.kind, Kind::Body(body) if !body.is_empty());
        let has_words = has_words && self.erasures.was(&shown.author, asked);
        assert!(!has_words, "{user} was shown what an erased user wrote: {shown:?}");
    }

    /// A message that was said first at this step is taken.
    pub fn expect_taker(&self, to: &Channel, author: &str, said: u64) {
        let is_for_nobody = matches!(to, Channel::Person(peer) if self.erasures.was(peer, said));
        assert!(!is_for_nobody, "a message of {author} to a user who is erased was taken: {to:?}");
        assert!(!self.erasures.was(author, said), "{author} is erased, and writes to {to:?}");
    }

    /// Whether an erased user may have had a part in the conversation, so that nobody has all of it in the end.
    pub fn has_lost_somebody(&self, conversation: &str) -> bool {
        match group_of(conversation) {
            Some(_) => self.erasures.any(),
            None => {
                let (a, b) = pair_of(conversation);
                self.erasures.may_be(a) || self.erasures.may_be(b)
            }
        }
    }
}
