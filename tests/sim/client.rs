//! One device of one user: says random things, remembers what it is told, and checks what it can on the spot.

use super::chance::Chance;
use super::codec::{self, Ask, Shown, Told};
use super::frames::{self, Heard, Protocol};
use super::ledger::{Answer, Intent, Ledger};
use std::collections::BTreeMap;

/// What an outstanding tag was asked for.
#[derive(Clone, Debug)]
enum Expectation {
    Welcome,
    Sent(usize),
    /// A client id used for another message.
    Refusal(usize),
    Page {
        after: u64,
    },
    Anything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Offline,
    Upgrading,
    Authenticating,
    Open,
}

pub struct Client {
    pub user: String,
    pub device: String,
    pub protocol: Protocol,
    pub phase: Phase,
    token: String,
    received: Vec<u8>,
    tags: u32,
    expected: BTreeMap<u32, Expectation>,
    /// The seq that the next push must not be below.
    next_push: Option<u64>,
    /// Entries heard on this connection, to acknowledge.
    heard: Vec<(u64, u64)>,
    pub inbox: Vec<Shown>,
    pub has_whole_inbox: bool,
}

impl Client {
    pub fn new(user: &str, device: usize, protocol: Protocol, token: String) -> Self {
        Self {
            user: user.to_owned(),
            device: format!("device-{device}"),
            protocol,
            phase: Phase::Offline,
            token,
            received: Vec::new(),
            tags: 0,
            expected: BTreeMap::new(),
            next_push: None,
            heard: Vec::new(),
            inbox: Vec::new(),
            has_whole_inbox: false,
        }
    }

    /// What a new connection begins with.
    pub fn connect(&mut self) -> Vec<u8> {
        self.phase = Phase::Upgrading;
        self.received.clear();
        self.expected.clear();
        self.heard.clear();
        self.next_push = None;
        frames::upgrade(self.protocol)
    }

    pub fn disconnected(&mut self) {
        self.phase = Phase::Offline;
    }

    /// Intents that were said and not answered on this connection.
    pub fn outstanding(&self) -> impl Iterator<Item = usize> + '_ {
        self.expected.values().filter_map(|expectation| match expectation {
            Expectation::Sent(at) | Expectation::Refusal(at) => Some(*at),
            _ => None,
        })
    }

    pub fn is_waiting(&self) -> bool {
        !self.expected.is_empty()
    }

    fn ask(&mut self, ask: &Ask, expectation: Expectation, chance: &mut Chance) -> Vec<u8> {
        self.tags += 1;
        if !matches!(expectation, Expectation::Anything) {
            self.expected.insert(self.tags, expectation);
        }
        frames::frame(self.protocol, &codec::say(self.protocol, self.tags, ask), chance.next() as u32)
    }

    /// Something to say, now that the connection is open.
    pub fn act(&mut self, users: &[String], ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        match chance.below(10) {
            0..=4 => self.send_new(users, ledger, chance),
            5 => self.repeat(ledger, chance).unwrap_or_default(),
            6 => self.misuse(ledger, chance).unwrap_or_default(),
            7 if self.protocol != Protocol::Wukong => {
                let after = chance.below(20) as u64;
                let limit = chance.between(1, 30) as i32;
                self.ask(&Ask::Sync { after, limit }, Expectation::Page { after }, chance)
            }
            8 => match self.heard.pop() {
                Some((message, seq)) => self.ask(&Ask::Ack { message, seq }, Expectation::Anything, chance),
                None => Vec::new(),
            },
            _ => self.ask(&Ask::Beat, Expectation::Anything, chance),
        }
    }

    fn send_new(&mut self, users: &[String], ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        let to = chance.pick(users).clone();
        let client_id = format!("{}-{}", self.device, ledger.intents.len());
        let body = "x".repeat(if chance.one_in(8) { chance.below(3_000) } else { chance.below(60) });
        let author = self.user.clone();
        let intent = Intent { author, to, client_id, body, answer: Answer::default() };
        let at = ledger.intend(intent);
        self.say_intent(at, ledger, chance)
    }

    fn say_intent(&mut self, at: usize, ledger: &Ledger, chance: &mut Chance) -> Vec<u8> {
        let Intent { to, client_id, body, .. } = ledger.intents[at].clone();
        self.ask(&Ask::Send { id: client_id, to, body }, Expectation::Sent(at), chance)
    }

    /// Says one of this user's messages once more, from whichever device this is.
    fn repeat(&mut self, ledger: &Ledger, chance: &mut Chance) -> Option<Vec<u8>> {
        let own: Vec<usize> = ledger.repeatable().filter(|at| ledger.intents[*at].author == self.user).collect();
        if own.is_empty() {
            return None;
        }
        let at = *chance.pick(&own);
        Some(self.say_intent(at, ledger, chance))
    }

    /// Says all of this user's messages that have no answer yet.
    pub fn repeat_unanswered(&mut self, ledger: &Ledger, chance: &mut Chance) -> Vec<u8> {
        let is_due = |intent: &Intent| intent.author == self.user && intent.answer.message.is_none();
        let due: Vec<usize> = ledger.repeatable().filter(|at| is_due(&ledger.intents[*at])).collect();
        due.into_iter().flat_map(|at| self.say_intent(at, ledger, chance)).collect()
    }

    /// Uses the id of an accepted message for another one.
    fn misuse(&mut self, ledger: &Ledger, chance: &mut Chance) -> Option<Vec<u8>> {
        let accepted = |intent: &Intent| intent.author == self.user && intent.answer.message.is_some();
        let at = ledger.repeatable().rfind(|at| accepted(&ledger.intents[*at]))?;
        let Intent { to, client_id: id, .. } = ledger.intents[at].clone();
        let ask = Ask::Send { id, to, body: "another".into() };
        Some(self.ask(&ask, Expectation::Refusal(at), chance))
    }

    fn last_synced(&self) -> u64 {
        self.inbox.last().and_then(|entry| entry.seq).unwrap_or(0)
    }

    /// Asks for the page behind what this device has of its inbox.
    pub fn sync_next(&mut self, chance: &mut Chance) -> Vec<u8> {
        let after = self.last_synced();
        self.ask(&Ask::Sync { after, limit: 50 }, Expectation::Page { after }, chance)
    }

    /// Bytes from the server; returns what this makes the client say.
    pub fn hear(&mut self, bytes: &[u8], ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        self.received.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Some(heard) = frames::take(&mut self.received, self.phase != Phase::Upgrading) {
            match heard {
                Heard::Upgraded => {
                    self.phase = Phase::Authenticating;
                    let (user, token, device) = (self.user.clone(), self.token.clone(), self.device.clone());
                    said.extend(self.ask(&Ask::Authenticate { user, token, device }, Expectation::Welcome, chance));
                    // The first request right behind it: it is often half received when the connection moves.
                    if self.protocol == Protocol::Binary && chance.one_in(2) {
                        said.extend(self.ask(&Ask::Beat, Expectation::Anything, chance));
                    }
                }
                Heard::Message(payload) => self.told(&payload, ledger),
                Heard::Closed(code) => assert!([1000, 1001, 4002, 4003, 4004, 4005].contains(&code), "closed: {code}"),
            }
        }
        said
    }

    fn told(&mut self, payload: &[u8], ledger: &mut Ledger) {
        let (tag, told) = codec::hear(self.protocol, payload);
        if let Told::Push(shown) = told {
            return self.pushed(&shown, ledger);
        }
        let Some(expectation) = tag.and_then(|tag| self.expected.remove(&tag)) else { return };
        match (expectation, &told) {
            (Expectation::Welcome, Told::Welcome { max_seq }) => {
                self.phase = Phase::Open;
                self.next_push = max_seq.map(|seq| seq + 1);
            }
            (Expectation::Sent(at), Told::Sent { .. }) => ledger.answered(at, &told),
            (Expectation::Refusal(_), Told::Refused { code }) => {
                assert!([2, 1105].contains(code), "an id used for another message got {code}");
            }
            (Expectation::Page { after }, Told::Page { entries, max_seq, has_more }) => {
                self.paged(after, entries, *max_seq, *has_more, ledger);
            }
            (Expectation::Sent(_), Told::Refused { code }) => {
                assert!([1, 1500].contains(code), "a good send was refused with {code}");
                *ledger.refused.entry(*code).or_default() += 1;
            }
            (expectation, told) => panic!("{expectation:?} was answered by {told:?}"),
        }
    }

    /// Pushes ascend from the welcome on; what is left out is this session's own.
    fn pushed(&mut self, shown: &Shown, ledger: &mut Ledger) {
        assert_eq!(self.phase, Phase::Open, "a push before the welcome");
        ledger.pushes += 1;
        ledger.shown(&self.user, shown);
        let Some(seq) = shown.seq else { return };
        self.heard.push((shown.message, seq));
        if let Some(next) = self.next_push {
            assert!(seq >= next, "{} was pushed {seq} after {}", self.user, next - 1);
            (next..seq).for_each(|missing| ledger.unpushed(&self.user, missing));
        }
        self.next_push = Some(seq + 1);
    }

    fn paged(&mut self, after: u64, entries: &[Shown], max_seq: u64, has_more: bool, ledger: &mut Ledger) {
        let first = entries.first().and_then(|entry| entry.seq).unwrap_or(after + 1);
        assert!(first == after + 1 || first > after && ledger.may_drop, "{} got {first} after {after}", self.user);
        for (entry, expected) in entries.iter().zip(first..) {
            assert_eq!(entry.seq, Some(expected), "a hole in a page");
            ledger.shown(&self.user, entry);
        }
        let newest = entries.last().and_then(|entry| entry.seq).unwrap_or(after);
        let is_empty = entries.is_empty();
        assert_eq!(has_more, newest < max_seq && !is_empty, "has_more after {after}, up to {newest} of {max_seq}");
        assert!(after >= max_seq || !is_empty || ledger.may_drop, "an empty page where there is more");
        ledger.reaches(&self.user, max_seq);
        if after == self.last_synced() {
            self.inbox.extend_from_slice(entries);
            self.has_whole_inbox = !has_more;
        }
    }
}
