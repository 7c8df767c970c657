//! One device of one user: remembers what it asked and what it is told, and checks what it can on the spot. What it
//! says of its own accord is in `verbs`.

pub mod binary;
pub mod devices;
pub mod frames;
pub mod groups;
pub mod json;
pub mod speech;
pub mod streaming;
pub mod verbs;

use crate::chance::Chance;
use crate::check::cleared::ClearWish;
use crate::check::collection::Collection;
use crate::check::devices::DeviceWish;
use crate::check::hidden::{Acknowledgement, When};
use crate::check::ledger::Ledger;
use crate::check::presence::Watching;
use crate::client::frames::{Protocol, Received};
use crate::client::speech::{Ask, Channel, Edge, Kind, No, STREAM_END, Shown, Told, Wish};
use crate::world::clocks::BEGIN;
use mushan::model::GroupAct;
use std::collections::{BTreeMap, BTreeSet};

/// What an outstanding tag was asked for.
#[derive(Clone, Debug)]
pub enum Expectation {
    Welcome,
    Sent(usize),
    /// Of a message that is never stored.
    Passed,
    /// A client id used for another message.
    Refusal,
    Page {
        after: u64,
    },
    PageBack {
        before: u64,
    },
    History {
        of: Channel,
        from: Edge,
    },
    List,
    /// Where the conversation is named, the place is there for certain.
    Marked {
        conversation: Option<String>,
        through: u64,
    },
    /// Of a message that the server need not know any more.
    SentAgain(usize),
    Revoked {
        message: u64,
        is_good: bool,
    },
    Received {
        of: Channel,
        messages: Vec<u64>,
    },
    Typed,
    Presence {
        wish: Wish,
        users: Vec<String>,
    },
    Renewed {
        token: String,
        issued_ms: u64,
        is_own: bool,
    },
    Group {
        group: String,
        act: GroupAct,
    },
    Devices(DeviceWish),
    Cleared(ClearWish),
    Anything,
}

impl Expectation {
    /// What only reads is not limited here.
    fn only_reads(&self) -> bool {
        matches!(self, Self::Page { .. } | Self::PageBack { .. } | Self::History { .. } | Self::List)
    }
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
    /// It goes on as another client of the same device, which has the last word.
    pub is_retired: bool,
    /// Its socket has taken nothing for too long: only then it may be too slow.
    pub has_stalled: bool,
    pub token: String,
    pub issued_ms: u64,
    /// It was not let in last.
    pub is_barred: bool,
    /// When it heard that it is let in.
    opened: u64,
    received: Vec<u8>,
    tags: u32,
    pub expected: BTreeMap<u32, Expectation>,
    /// When each of these was asked for; when the connection began; and now.
    asked: BTreeMap<u32, When>,
    pub since: When,
    pub moment: When,
    /// The seq that the next push must not be below.
    next_push: Option<u64>,
    /// Entries heard on this connection, to acknowledge.
    pub heard: Vec<(u64, u64)>,
    /// Messages that it has seen: in which conversation, and whose.
    pub seen: Vec<(String, u64, String)>,
    /// Client ids of what this connection has said and what is never stored.
    pub passed: BTreeSet<String>,
    /// Tags of messages that were said for the first time.
    pub fresh: BTreeSet<u32>,
    /// Messages that are for one device, and where they stand.
    pub once: Vec<(u64, Option<u64>)>,
    pub acknowledged: Vec<Acknowledgement>,
    pub watching: Watching,
    /// What a device that only collects has got.
    pub collection: Collection,
}

impl Client {
    pub fn new(user: &str, device: usize, protocol: Protocol, token: String) -> Self {
        Self {
            user: user.to_owned(),
            device: format!("device-{device}"),
            protocol,
            phase: Phase::Offline,
            is_retired: false,
            has_stalled: false,
            token,
            issued_ms: BEGIN.0,
            is_barred: false,
            opened: 0,
            received: Vec::new(),
            tags: 0,
            expected: BTreeMap::new(),
            asked: BTreeMap::new(),
            since: When::default(),
            moment: When::default(),
            next_push: None,
            heard: Vec::new(),
            seen: Vec::new(),
            passed: BTreeSet::new(),
            fresh: BTreeSet::new(),
            once: Vec::new(),
            acknowledged: Vec::new(),
            watching: Watching::default(),
            collection: Collection::default(),
        }
    }

    /// What a new connection begins with.
    pub fn connect(&mut self, now: When) -> Vec<u8> {
        self.phase = Phase::Upgrading;
        self.has_stalled = false;
        (self.since, self.moment) = (now, now);
        self.received.clear();
        self.expected.clear();
        self.heard.clear();
        self.passed.clear();
        self.asked.clear();
        self.fresh.clear();
        self.once.clear();
        self.acknowledged.clear();
        self.watching = Watching::default();
        self.next_push = None;
        frames::upgrade(self.protocol)
    }

    pub fn disconnected(&mut self) {
        self.phase = Phase::Offline;
    }

    /// Intents that were said and not answered on this connection.
    pub fn outstanding(&self) -> impl Iterator<Item = usize> + '_ {
        self.expected.values().filter_map(|expectation| match expectation {
            Expectation::Sent(at) => Some(*at),
            _ => None,
        })
    }

    /// The newest tag.
    pub fn tags(&self) -> u32 {
        self.tags
    }

    pub fn is_waiting(&self) -> bool {
        !self.expected.is_empty()
    }

    pub fn ask(&mut self, ask: &Ask, expectation: Expectation, chance: &mut Chance) -> Vec<u8> {
        self.tags += 1;
        self.asked.insert(self.tags, self.moment);
        if !matches!(expectation, Expectation::Anything) {
            self.expected.insert(self.tags, expectation);
        }
        let payload = speech::say(self.protocol, &self.user, self.tags, ask);
        frames::frame(self.protocol, &payload, chance.next() as u32)
    }

    /// Bytes from the server; returns what this makes the client say.
    pub fn receive(&mut self, bytes: &[u8], ledger: &mut Ledger, chance: &mut Chance) -> Vec<u8> {
        self.moment = ledger.moment;
        self.received.extend_from_slice(bytes);
        let mut said = Vec::new();
        while let Some(heard) = frames::take(&mut self.received, self.phase != Phase::Upgrading) {
            match heard {
                Received::Upgraded => {
                    self.phase = Phase::Authenticating;
                    let (user, token, device) = (self.user.clone(), self.token.clone(), self.device.clone());
                    said.extend(self.ask(&Ask::Authenticate { user, token, device }, Expectation::Welcome, chance));
                    // The first request right behind it: it is often half received when the connection moves.
                    if self.protocol == Protocol::Binary && chance.one_in(2) {
                        said.extend(self.ask(&Ask::Beat, Expectation::Anything, chance));
                    }
                }
                Received::Message(payload) => self.told(&payload, ledger),
                Received::Closed(4005) => assert!(self.has_stalled, "{} reads, and is too slow", self.user),
                Received::Closed(4007 | 4008) => assert!(ledger.may_bar(&self.user), "{}'s token is good", self.user),
                Received::Closed(code) => assert!([1000, 1001, 4002, 4003, 4004].contains(&code), "closed: {code}"),
            }
        }
        said
    }

    fn told(&mut self, payload: &[u8], ledger: &mut Ledger) {
        let (tag, told) = speech::receive(self.protocol, &self.user, payload);
        match &told {
            Told::Push(shown) => return self.pushed(shown, ledger),
            Told::Transient(shown) => {
                assert!(!self.passed.contains(&shown.client_id), "a session heard its own message");
                return ledger.transient(&self.user, shown);
            }
            Told::Typing { conversation, user } => return ledger.typing(&self.user, conversation, user),
            Told::Came { user, is_online } => return self.told_of(user, *is_online, ledger),
            _ => {}
        }
        let Some(tag) = tag else { return };
        let asked = self.asked.remove(&tag).unwrap_or_default();
        if let Some(expectation) = self.expected.remove(&tag) {
            self.answered(tag, asked, expectation, told, ledger);
        }
    }

    fn answered(&mut self, tag: u32, asked: When, expectation: Expectation, told: Told, ledger: &mut Ledger) {
        if !matches!((&expectation, &told), (Expectation::Welcome, _) | (_, Told::Refused(_))) {
            ledger.bars.check_served(&self.user, self.opened, asked.step);
        }
        ledger.misuses -= u64::from(matches!(expectation, Expectation::Refusal));
        match (expectation, told) {
            (Expectation::Cleared(wish), Told::Done) => self.told_of_clearing(&wish, asked.step, ledger),
            (Expectation::Devices(wish), told) => self.told_of_devices(&wish, asked, told, ledger),
            (Expectation::Group { group, act }, told) => self.told_of_group((&group, &act), asked, told, ledger),
            (Expectation::Welcome, Told::Welcome { max_seq }) => {
                ledger.bars.check_let_in(&self.user, self.issued_ms, asked.step);
                (self.is_barred, self.opened) = (false, self.moment.step);
                self.phase = Phase::Open;
                self.next_push = max_seq.map(|seq| seq + 1);
                ledger.welcomed(&self.user);
            }
            (Expectation::Sent(at), told @ Told::Sent { .. }) => {
                ledger.answered(at, &told);
                if self.fresh.remove(&tag) && ledger.intents[at].said == 1 {
                    self.proves(tag, ledger);
                }
            }
            (Expectation::Sent(at), Told::Refused(no)) => ledger.refused(at, no, asked),
            (Expectation::Passed, Told::Sent { seq, conversation_seq, .. }) => {
                assert_eq!((seq.unwrap_or(0), conversation_seq), (0, Some(0)), "what is never stored has no place");
                ledger.count("unstored messages passed on");
            }
            (Expectation::Welcome, Told::Refused(No::Barred)) => {
                assert!(ledger.may_bar(&self.user), "{}'s token is good", self.user);
                self.is_barred = true;
                ledger.count("logins turned away");
            }
            (Expectation::Renewed { token, issued_ms, is_own }, Told::Done) => {
                assert!(is_own, "{} has shown another's token", self.user);
                ledger.bars.check_let_in(&self.user, issued_ms, asked.step);
                (self.token, self.issued_ms) = (token, issued_ms);
                ledger.count("tokens renewed");
            }
            (Expectation::Renewed { is_own, .. }, Told::Refused(No::Barred)) => {
                assert!(!is_own || ledger.may_bar(&self.user), "{}'s token is good", self.user);
            }
            (expectation, Told::Refused(No::Busy)) if ledger.is_rated && !expectation.only_reads() => {
                ledger.count("refused for being too fast");
            }
            // Of a message that the hook has replaced, the server does not know any more what its author said.
            (Expectation::Refusal, Told::Sent { message, .. }) if ledger.was_replaced(message) => {}
            (Expectation::Refusal, Told::Refused(No::Invalid)) => ledger.count("reused ids refused"),
            (Expectation::Page { after }, Told::Page { entries, max_seq, has_more }) => {
                self.paged(after, &entries, asked, max_seq, has_more, ledger);
            }
            (Expectation::PageBack { before }, Told::Page { entries, max_seq, has_more }) => {
                self.paged_back(before, &entries, asked, max_seq, has_more, ledger);
            }
            (Expectation::History { of, from }, Told::History { messages, newest_seq, reached, has_more }) => {
                for message in &messages {
                    ledger.expect_due(&self.user, message, asked);
                    ledger.expect_unhidden(&self.user, message, asked.step);
                }
                self.told_history(&of, from, &messages, newest_seq, ledger);
                let conversation = of.conversation(&self.user);
                self.collection.take_history(&conversation, &messages, reached, has_more);
            }
            (Expectation::List, Told::List { rows, has_more }) => {
                ledger.count("lists");
                let last = rows.iter().filter_map(|row| row.last.as_ref());
                for last in last {
                    ledger.expect_due(&self.user, last, asked);
                    ledger.expect_unhidden(&self.user, last, asked.step);
                }
                ledger.listed(&self.user, &rows);
                self.collection.take_rows(rows, has_more);
            }
            (Expectation::Marked { conversation, through }, Told::Done) => {
                ledger.count("positions marked");
                if let Some(conversation) = conversation {
                    ledger.marked(&self.user, conversation, through);
                }
            }
            (Expectation::SentAgain(at), Told::Sent { message, .. }) => ledger.answered_again(at, message),
            (Expectation::Revoked { message, is_good }, Told::Done) => {
                assert!(is_good, "{} took back what is not its own: {message}", self.user);
                ledger.revoked.insert(message);
                ledger.count("revocations");
            }
            (Expectation::Received { of, messages }, Told::Done) => {
                let (conversation, reader) = (of.conversation(&self.user), &self.user);
                let named = messages.into_iter().map(|message| (conversation.clone(), reader.clone(), message));
                ledger.receipts.extend(named);
                ledger.count("receipts");
            }
            (Expectation::Typed, Told::Done) => ledger.count("typing"),
            (Expectation::Presence { wish, users }, Told::Presence(states)) => {
                self.told_presence(wish, &users, states, ledger);
            }
            (expectation, Told::Refused(no)) => self.refused(&expectation, no, ledger),
            (expectation, told) => panic!("{expectation:?} was answered by {told:?}"),
        }
    }

    /// Refusals that chance may bring about; `verbs` asks for nothing that is malformed.
    fn refused(&self, expectation: &Expectation, no: No, ledger: &mut Ledger) {
        let may_be = match expectation {
            Expectation::History { .. } => no == No::UnknownConversation,
            // What the server does not know any more it takes for a new message.
            Expectation::SentAgain(_) => {
                no.passes() || [No::UnknownUser, No::UnknownConversation, No::NotAllowed, No::Denied].contains(&no)
            }
            Expectation::Marked { .. } => [No::UnknownConversation, No::Trouble].contains(&no),
            Expectation::Cleared(_) => no.passes() || no == No::UnknownConversation,
            Expectation::Typed => [No::UnknownConversation, No::NotAllowed].contains(&no),
            // A shard that lacks deliveries takes no send, whatever it is marked with.
            Expectation::Passed => {
                let is_unknown = no == No::UnknownUser && (ledger.is_closed || ledger.erasures.any());
                is_unknown || no.passes() || [No::UnknownConversation, No::NotAllowed, No::Denied].contains(&no)
            }
            Expectation::Presence { .. } => no == No::Trouble,
            Expectation::Revoked { .. } => true,
            Expectation::Received { .. } => no.passes() || [No::UnknownConversation, No::NotAllowed].contains(&no),
            _ => false,
        };
        assert!(may_be && !matches!(no, No::Other(_)), "{expectation:?} was refused: {no:?}");
        ledger.count("other refusals");
    }

    /// Pushes ascend from the welcome on; what is left out is this session's own.
    fn pushed(&mut self, shown: &Shown, ledger: &mut Ledger) {
        assert_eq!(self.phase, Phase::Open, "a push before the welcome");
        ledger.count("pushes");
        self.sees(shown, self.since, ledger);
        let Some(seq) = shown.seq else { return };
        self.heard.push((shown.message, seq));
        if let Some(next) = self.next_push {
            assert!(seq >= next, "{} was pushed {seq} after {}", self.user, next - 1);
            let is_binary = self.protocol == Protocol::Binary;
            (next..seq).for_each(|missing| ledger.unpushed(&self.user, missing, is_binary));
        }
        self.next_push = Some(seq + 1);
    }

    /// What it was to be pushed, and was not, now that nothing is on its way.
    pub fn lacks(&self, ledger: &mut Ledger) {
        if let (Phase::Open, Some(next)) = (self.phase, self.next_push) {
            let newest = ledger.newest.get(&self.user).copied().unwrap_or_default();
            let is_binary = self.protocol == Protocol::Binary;
            (next..=newest).for_each(|missing| ledger.unpushed(&self.user, missing, is_binary));
        }
    }

    fn sees(&mut self, shown: &Shown, asked: When, ledger: &mut Ledger) {
        ledger.shown(&self.user, shown);
        ledger.expect_due(&self.user, shown, asked);
        ledger.expect_uncleared(&self.user, shown, asked.step);
        self.notes_once(shown, ledger);
        if matches!(shown.kind, Kind::Body(_)) && !shown.client_id.starts_with(STREAM_END) {
            self.seen.push((shown.conversation.clone(), shown.message, shown.author.clone()));
        }
    }

    /// Entries ascending; what is left out between them has vanished. Under /wukong their seqs are not told.
    fn follow(&mut self, entries: &[Shown], asked: When, ledger: &mut Ledger) -> Option<(u64, u64)> {
        let first = entries.first().and_then(|entry| entry.seq)?;
        let mut next = first;
        for entry in entries {
            let seq = entry.seq.expect("in a page, seqs are told");
            assert!(seq >= next, "{seq} in a page of {} behind {}", self.user, next - 1);
            assert!(seq == next || !ledger.may_drop, "a hole in a page of {}", self.user);
            ledger.skips(&self.user, next..seq);
            self.sees(entry, asked, ledger);
            next = seq + 1;
        }
        Some((first, next - 1))
    }

    fn paged(&mut self, after: u64, entries: &[Shown], asked: When, max_seq: u64, has_more: bool, ledger: &mut Ledger) {
        assert!(!has_more || !entries.is_empty(), "an empty page where there is more of {}", self.user);
        let (first, newest) = self.follow(entries, asked, ledger).unwrap_or((after + 1, after));
        assert!(first > after, "{} got {first} after {after}", self.user);
        assert!(!has_more || newest < max_seq, "{} is to have more behind {newest} of {max_seq}", self.user);
        if !ledger.may_drop {
            ledger.skips(&self.user, after + 1..first);
            if !has_more {
                ledger.skips(&self.user, newest + 1..max_seq + 1);
            }
        }
        assert!(!ledger.may_drop || has_more || newest >= max_seq || entries.is_empty(), "{newest} of {max_seq}");
        ledger.reaches(&self.user, max_seq);
        ledger.count("pages forward");
        self.collection.take_page(after, entries, has_more, ledger.may_drop);
    }

    fn paged_back(
        &mut self,
        before: u64,
        entries: &[Shown],
        asked: When,
        max_seq: u64,
        has_more: bool,
        ledger: &mut Ledger,
    ) {
        assert!(!has_more || !entries.is_empty(), "an empty page where there is more of {}", self.user);
        let end = if before == 0 { max_seq } else { max_seq.min(before - 1) };
        let (first, last) = self.follow(entries, asked, ledger).unwrap_or((end + 1, end));
        assert!(last <= end, "the page below {before} of {max_seq} of {}", self.user);
        assert!(first > 1 || !has_more, "has_more below {first}");
        if !ledger.may_drop {
            ledger.skips(&self.user, last + 1..end + 1);
            if !has_more {
                ledger.skips(&self.user, 1..first);
            }
        }
        assert!(last == end || !ledger.may_drop, "the page below {before} of {max_seq} of {}", self.user);
        ledger.reaches(&self.user, max_seq);
        ledger.count("pages back");
    }

    fn told_history(&mut self, of: &Channel, from: Edge, messages: &[Shown], newest_seq: u64, ledger: &mut Ledger) {
        let conversation = of.conversation(&self.user);
        let places: Vec<u64> = messages.iter().filter_map(|message| message.conversation_seq).collect();
        if places.len() == messages.len() {
            let is_whole = places.windows(2).all(|pair| pair[0] + 1 == pair[1]);
            assert!(is_whole || !ledger.may_drop, "a hole in history: {places:?}");
            ledger.skips_places(&conversation, &places);
        }
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "history ascends: {places:?}");
        let is_within = |place: &u64| match from {
            Edge::After(after) => *place > after,
            Edge::Before(before) => before == 0 || *place < before,
        };
        assert!(places.iter().all(is_within), "{from:?} got {places:?}");
        assert!(places.last().is_none_or(|last| *last <= newest_seq), "{places:?} of {newest_seq}");
        for message in messages {
            assert_eq!(message.conversation, conversation, "another conversation's history");
            ledger.looked_at(&self.user, message);
        }
        ledger.count("histories");
    }
}
