//! What an inbox has a place for and does not show: a message past its time, or one for a single device that another
//! device of the user has acknowledged.
//!
//! When a message is over is known to the millisecond; that it was acknowledged is remembered lazily, so it is only
//! held against the server once something behind it in the same log was answered.

use crate::check::ledger::{Intent, Ledger};
use crate::client::Client;
use crate::client::frames::Protocol;
use crate::client::speech::Shown;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// When a client asked for something, or began a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct When {
    pub step: u64,
    /// What the wall clock shows, and how long ago the world began.
    pub now_ms: u64,
    pub elapsed_ms: u64,
}

#[derive(Default)]
pub struct Vanishing {
    /// Up to which seqs users have acknowledged everything: that may be before they heard what the server had told.
    through: BTreeMap<String, u64>,
    /// Users and messages that they have acknowledged, of those that are for one device.
    acknowledged: BTreeSet<(String, u64)>,
    /// Of these, the ones that stay so whatever happens, and from which step on.
    consumed: BTreeMap<(String, u64), u64>,
    /// Users, and seqs of their inboxes that were left out between others.
    pub skipped: BTreeSet<(String, u64)>,
    /// Conversations, and places that were left out of a history.
    pub skipped_places: BTreeSet<(String, u64)>,
}

/// An acknowledgement that nothing proves to be stored so far.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement {
    tag: u32,
    message: u64,
    /// How often a disk had been full by then.
    fills: u64,
}

/// When a message is over, if it ever is. Its id begins with the time, which is not before the server's.
fn over_ms(intent: &Intent, message: u64) -> Option<u64> {
    (intent.manner.expire_s > 0).then(|| (message >> 21) + intent.manner.expire_s * 1_000)
}

impl Vanishing {
    /// After a loss: what is still consumed, which seqs of users' inboxes are given, and which places of conversations.
    pub fn lose(
        &mut self,
        is_consumed: &dyn Fn(&str, u64) -> bool,
        is_given: &dyn Fn(&str, u64) -> bool,
        is_place: &dyn Fn(&str, u64) -> bool,
    ) {
        self.consumed.retain(|(user, message), _| is_consumed(user, *message));
        self.skipped.retain(|(user, seq)| is_given(user, *seq));
        self.skipped_places.retain(|(conversation, place)| is_place(conversation, *place));
    }
}

impl Ledger {
    /// What is told is not over and not consumed when it is asked for.
    pub fn expect_due(&self, user: &str, shown: &Shown, asked: When) {
        self.expect_wordless(user, shown, asked.step);
        let Some(at) = self.intent_of(&shown.author, &shown.client_id) else { return };
        let over_ms = over_ms(&self.intents[at], shown.message);
        let is_over = over_ms.is_some_and(|over_ms| over_ms <= asked.now_ms) && !self.is_rated;
        assert!(!is_over, "{user} was shown at {} what was over: {shown:?}", asked.now_ms);
        let consumed = self.vanishing.consumed.get(&(user.to_owned(), shown.message));
        let is_consumed = consumed.is_some_and(|since| *since < asked.step);
        assert!(!is_consumed, "{user} was shown what another device had for all: {shown:?}");
    }

    /// Whether `user` may lack the message in the end.
    pub fn may_lack(&self, user: &str, intent: &Intent, message: u64) -> bool {
        let through = self.vanishing.through.get(user).copied().unwrap_or_default();
        let stands = self.shown.get(user).into_iter().flatten().find(|(_, shown)| shown.message == message);
        let is_below = stands.map_or(through > 0, |(seq, _)| *seq <= through);
        let is_acknowledged = is_below || self.vanishing.acknowledged.contains(&(user.to_owned(), message));
        intent.manner.is_short() || intent.manner.is_once && is_acknowledged
    }

    /// Whether the message may vanish.
    pub fn may_vanish(&self, shown: &Shown) -> bool {
        let intent = self.intent_of(&shown.author, &shown.client_id);
        intent.is_some_and(|at| self.intents[at].manner.may_vanish())
    }

    pub fn skips(&mut self, user: &str, seqs: Range<u64>) {
        self.vanishing.skipped.extend(seqs.map(|seq| (user.to_owned(), seq)));
    }

    pub fn skips_places(&mut self, conversation: &str, places: &[u64]) {
        let gaps = places.windows(2).flat_map(|pair| pair[0] + 1..pair[1]);
        self.vanishing.skipped_places.extend(gaps.map(|place| (conversation.to_owned(), place)));
    }
}

impl Client {
    /// What is for one device, and was shown to this one in its inbox.
    pub fn notes_once(&mut self, shown: &Shown, ledger: &Ledger) {
        let at = ledger.intent_of(&shown.author, &shown.client_id);
        if at.is_some_and(|at| ledger.intents[at].manner.is_once) {
            self.once.push((shown.message, shown.seq));
        }
    }

    /// This device says that it has the message; one protocol says so of everything up to there.
    pub fn acknowledges(&mut self, message: u64, seq: u64, ledger: &mut Ledger) {
        let is_through = self.protocol == Protocol::Binary;
        let is_meant =
            |(other, at): &(u64, Option<u64>)| *other == message || is_through && at.is_some_and(|at| at <= seq);
        let (tag, fills) = (self.tags(), ledger.fills);
        if is_through {
            let through = ledger.vanishing.through.entry(self.user.clone()).or_default();
            *through = seq.max(*through);
        }
        // The server does not wait for what it has been told: without room it forgets it, and is not told again.
        let (meant, others) = self.once.iter().copied().partition::<Vec<_>, _>(is_meant);
        self.once = others;
        for (message, _) in meant {
            ledger.vanishing.acknowledged.insert((self.user.clone(), message));
            // A shard without room does not remember it.
            if !ledger.is_full {
                self.acknowledged.push(Acknowledgement { tag, message, fills });
            }
        }
    }

    /// What was said under `tag` for the first time is stored: what this connection said before it is as well.
    pub fn proves(&mut self, tag: u32, ledger: &mut Ledger) {
        let before = |one: &Acknowledgement| one.tag < tag && one.fills == ledger.fills;
        let proved: Vec<u64> = self.acknowledged.iter().filter(|one| before(one)).map(|one| one.message).collect();
        let step = ledger.moment.step;
        for message in proved {
            ledger.count("messages consumed");
            ledger.vanishing.consumed.entry((self.user.clone(), message)).or_insert(step);
        }
        self.acknowledged.retain(|one| one.tag > tag);
    }
}
