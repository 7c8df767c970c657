//! What every client was ever told, and whether the end agrees with it: the promises, as checks.

use super::codec::{Shown, Told};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// One message that a user set out to send, however often it was said.
#[derive(Clone, Debug)]
pub struct Intent {
    pub author: String,
    pub to: String,
    pub client_id: String,
    pub body: String,
    pub answer: Answer,
}

/// The answer as far as it was heard; a protocol that does not tell a part leaves it open.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub message: Option<u64>,
    seq: Option<u64>,
    conversation_seq: Option<u64>,
    time: Option<i64>,
}

#[derive(Default)]
pub struct Ledger {
    pub intents: Vec<Intent>,
    /// By user and inbox seq: what any device was ever shown there.
    shown: BTreeMap<(String, u64), Shown>,
    /// By the two users, sorted, and conversation seq: the message that any of them was shown there.
    ordered: BTreeMap<(String, String, u64), u64>,
    /// Seqs that a session was not pushed though it was open: its own messages, if all is well.
    unpushed: Vec<(String, u64)>,
    pub refused: BTreeMap<i64, u64>,
    pub pushes: u64,
    /// Retention may drop what is old.
    pub may_drop: bool,
    /// Intents before this one are older than any repetition that the server knows.
    aged: usize,
    /// Intents that were being said when they became so old, or whose ids were being misused: the server may take that
    /// for something new.
    left_open: BTreeSet<usize>,
    /// The newest seq that each user's inbox was said to have.
    newest: BTreeMap<String, u64>,
}

fn agree<T: PartialEq + Copy + std::fmt::Debug>(known: &mut Option<T>, heard: Option<T>, what: &str) {
    if let (Some(known), Some(heard)) = (*known, heard) {
        assert_eq!(known, heard, "the same client id got another {what}");
    }
    *known = known.or(heard);
}

impl Ledger {
    pub fn intend(&mut self, intent: Intent) -> usize {
        self.intents.push(intent);
        self.intents.len() - 1
    }

    /// The same client id gets the same answer, whenever and wherever it is asked again.
    pub fn answered(&mut self, intent: usize, told: &Told) {
        let Told::Sent { message, seq, conversation_seq, time } = told else { unreachable!("an answer to a send") };
        let answer = &mut self.intents[intent].answer;
        agree(&mut answer.message, Some(*message), "message id");
        agree(&mut answer.seq, *seq, "seq");
        agree(&mut answer.conversation_seq, *conversation_seq, "conversation seq");
        agree(&mut answer.time, *time, "server time");
    }

    /// `user` was shown an entry: it must never be shown anything else at that place.
    pub fn shown(&mut self, user: &str, shown: &Shown) {
        if let Some(seq) = shown.seq {
            let bare = Shown { conversation_seq: None, ..shown.clone() };
            let known = self.shown.entry((user.to_owned(), seq)).or_insert_with(|| bare.clone());
            assert_eq!(*known, bare, "{user} was shown two things at {seq}");
        }
        let at = self.intents.iter().position(|it| it.author == shown.author && it.client_id == shown.client_id);
        let at = at.expect("nobody is shown what nobody sent");
        let intent = &self.intents[at];
        assert!(intent.body == shown.body || self.left_open.contains(&at), "a body came out changed: {shown:?}");
        assert!(user == intent.author || user == intent.to, "{user} was shown a message to somebody else");
        let Some(seq) = shown.conversation_seq else { return };
        let (a, b) = (intent.author.clone().min(intent.to.clone()), intent.author.clone().max(intent.to.clone()));
        let first = *self.ordered.entry((a, b, seq)).or_insert(shown.message);
        assert_eq!(first, shown.message, "two messages at one place of a conversation");
    }

    /// Those that the server knows to be repetitions.
    pub fn repeatable(&self) -> Range<usize> {
        self.aged..self.intents.len()
    }

    pub fn is_left_open(&mut self, intents: impl Iterator<Item = usize>) {
        self.left_open.extend(intents);
    }

    pub fn age(&mut self) {
        self.aged = self.intents.len();
    }

    /// A page said so; others that were said before may come later.
    pub fn reaches(&mut self, user: &str, seq: u64) {
        let newest = self.newest.entry(user.to_owned()).or_default();
        *newest = seq.max(*newest);
    }

    pub fn unpushed(&mut self, user: &str, seq: u64) {
        self.unpushed.push((user.to_owned(), seq));
    }

    /// The end: `inbox` is all of a user's entries, as synced by a fresh device. Nothing can change any more.
    pub fn check_inbox(&self, user: &str, inbox: &[Shown]) {
        let first = self.first_of(user, inbox);
        for (entry, expected) in inbox.iter().zip(first..) {
            assert_eq!(entry.seq, Some(expected), "a hole or a repetition in the inbox of {user}");
        }
        let newest = self.newest.get(user).copied().unwrap_or_default();
        assert_eq!(first + inbox.len() as u64, newest + 1, "{user} keeps the seqs, whatever is dropped");
        let at = |seq: u64| inbox.get((seq - first) as usize);
        for ((_, seq), shown) in self.shown.range((user.to_owned(), first)..=(user.to_owned(), u64::MAX)) {
            let entry = at(*seq).map(|entry| Shown { conversation_seq: None, ..entry.clone() });
            assert_eq!(entry.as_ref(), Some(shown), "{user} was shown what a crash took back");
        }
        for (_, seq) in self.unpushed.iter().filter(|(other, seq)| other == user && *seq >= first) {
            let author = at(*seq).map(|entry| entry.author.as_str());
            assert_eq!(author, Some(user), "an open session of {user} was not pushed {seq}");
        }
        let mut count: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for entry in inbox {
            *count.entry((&entry.author, &entry.client_id)).or_default() += 1;
        }
        for (at, intent) in self.intents.iter().enumerate().filter(|(_, it)| it.author == user || it.to == user) {
            let times = count.get(&(intent.author.as_str(), intent.client_id.as_str())).copied().unwrap_or_default();
            let most = if self.left_open.contains(&at) { 2 } else { 1 };
            assert!(times <= most, "{user} has {} of {} {times} times", intent.client_id, intent.author);
            let is_below = match intent.answer.seq.filter(|_| intent.author == user) {
                Some(seq) => seq < first,
                None => at < self.aged,
            };
            let may_be_gone = first > 1 && is_below;
            if intent.answer.message.is_some() && !may_be_gone && !self.left_open.contains(&at) {
                assert_eq!(
                    times, 1,
                    "{user} does not have {} of {}, which was accepted",
                    intent.client_id, intent.author
                );
            }
        }
        let seen_by_author = inbox.iter().filter(|entry| entry.author == user);
        for entry in seen_by_author {
            let at = self.intents.iter().position(|it| it.author == user && it.client_id == entry.client_id);
            let at = at.expect("checked when it was shown");
            if self.left_open.contains(&at) {
                continue;
            }
            let answer = &self.intents[at].answer;
            assert!(answer.message.is_none_or(|message| message == entry.message), "the answer named another message");
            assert!(answer.seq.is_none_or(|seq| Some(seq) == entry.seq), "the answer named another seq");
        }
    }

    /// The seq of the first entry that is left: 1, unless something may have been dropped.
    fn first_of(&self, user: &str, inbox: &[Shown]) -> u64 {
        let newest = self.newest.get(user).copied().unwrap_or_default();
        let first = inbox.first().and_then(|entry| entry.seq).unwrap_or(newest + 1);
        assert!(first == 1 || self.may_drop, "the inbox of {user} begins with {first}");
        first
    }

    /// Both sides of every conversation have its messages in one order, numbered without a hole: all of them, or of
    /// what is left the same newest ones.
    pub fn check_order(&self, inboxes: &BTreeMap<String, Vec<Shown>>) {
        let mut orders: BTreeMap<(String, String), BTreeMap<&str, Vec<u64>>> = BTreeMap::new();
        for (user, inbox) in inboxes {
            for entry in inbox {
                let intent =
                    self.intents.iter().find(|it| it.author == entry.author && it.client_id == entry.client_id);
                let intent = intent.expect("checked when it was shown");
                let pair = (intent.author.clone().min(intent.to.clone()), intent.author.clone().max(intent.to.clone()));
                orders.entry(pair).or_default().entry(user).or_default().push(entry.message);
            }
        }
        for ((a, b), sides) in &orders {
            let of = |user: &String| sides.get(user.as_str()).cloned().unwrap_or_default();
            let (one, other) = (of(a), of(b));
            let (longer, shorter) = if one.len() >= other.len() { (&one, &other) } else { (&other, &one) };
            assert!(longer.ends_with(shorter), "{a} and {b} disagree on their order: {one:?}, {other:?}");
            for (user, order) in [(a, &one), (b, &other)] {
                let is_all = self.first_of(user, &inboxes[user]) == 1;
                assert!(!is_all || order == longer, "{user} lacks what was never dropped: {one:?}, {other:?}");
            }
            let known = self.ordered.range((a.clone(), b.clone(), 0)..=(a.clone(), b.clone(), u64::MAX));
            let places: BTreeMap<u64, u64> = known.map(|((.., seq), message)| (*message, *seq)).collect();
            let numbered: Vec<u64> = longer.iter().filter_map(|message| places.get(message).copied()).collect();
            assert_eq!(numbered.len(), longer.len(), "every entry that was synced is numbered");
            assert!(numbered.windows(2).all(|pair| pair[0] + 1 == pair[1]), "conversation seqs of {a} and {b}");
            assert!(self.may_drop || numbered.first().is_none_or(|seq| *seq == 1), "they begin with 1");
        }
    }
}
