//! What every client was ever told, with the promises that can be checked on the spot.

use crate::check::accounts::{Bars, guest_of};
use crate::check::cleared::ClearBooks;
use crate::check::devices::DeviceBooks;
use crate::check::erased::Erasures;
use crate::check::group_book::GroupBooks;
use crate::check::hidden::{Vanishing, When};
use crate::check::hook::HookBook;
use crate::client::speech::{
    Channel, Chunk, Kind, Manner, No, Row, STREAM_END, SYSTEM, Shown, Told, group_of, pair_of,
};
use crate::world::operator::is_stranger;
use mushan::model::Limits;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// One message that a user set out to send, however often it was said.
#[derive(Clone, Debug)]
pub struct Intent {
    pub author: String,
    pub to: Channel,
    pub client_id: String,
    pub body: String,
    pub manner: Manner,
    /// How often it was said, and the first time after so long.
    pub said: u64,
    pub said_ms: u64,
    /// At which step it was said first.
    pub first_said: u64,
    /// At which steps it was said without an answer, since the last crash, each with the step of the first one whose
    /// answer it may get: whoever says it again meanwhile gets the answer to that one.
    open: BTreeMap<u64, u64>,
    /// The connection on which it was said first: the device, and when it began.
    pub by: Option<(String, u64)>,
    pub answer: Answer,
    /// Who is to have it, where that is known beforehand.
    pub expected: Option<BTreeSet<String>>,
}

impl Intent {
    pub fn conversation(&self) -> String {
        self.to.conversation(&self.author)
    }

    /// The operator says it in the author's name, whatever blocks, mutes and memberships say.
    pub fn is_systems(&self) -> bool {
        self.client_id.starts_with(SYSTEM)
    }
}

/// The answer as far as it was heard; a protocol that does not tell a part leaves it open.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub message: Option<u64>,
    pub seq: Option<u64>,
    pub conversation_seq: Option<u64>,
    time: Option<i64>,
    /// From which step on its author knows.
    since: u64,
    /// The last no.
    pub no: Option<No>,
}

impl Answer {
    /// Nothing else will come of asking again. A shard without room, or without all that it is owed, says "later".
    pub fn is_final(&self) -> bool {
        self.message.is_some() || self.no.is_some_and(|no| !no.passes())
    }
}

/// A session that was open was not pushed what stands here.
#[derive(Clone, Debug)]
pub struct Unpushed {
    pub user: String,
    pub seq: u64,
    /// It is told of some entries without their seqs.
    pub is_binary: bool,
}

#[derive(Default)]
pub struct Ledger {
    pub intents: Vec<Intent>,
    by_client_id: HashMap<String, usize>,
    /// By user and inbox seq: what any device was shown there, as it was shown last.
    pub shown: BTreeMap<String, BTreeMap<u64, Shown>>,
    /// By message id: what it is, wherever it was shown.
    pub known: BTreeMap<u64, Shown>,
    /// By conversation and conversation seq: the message that anybody was shown there.
    pub places: BTreeMap<(String, u64), u64>,
    /// What users were shown of their conversations, outside of their inboxes.
    pub looked_at: BTreeSet<(String, u64)>,
    /// What sessions were told to have happened, without saying where it stands.
    pub notices: BTreeMap<String, Vec<Shown>>,
    pub unpushed: Vec<Unpushed>,
    /// Messages of which a revocation was answered with yes.
    pub revoked: BTreeSet<u64>,
    /// By whom any revocation was asked for, and of what.
    pub asked_to_revoke: BTreeSet<(String, u64)>,
    /// Readers and messages whose receipts were answered with yes, by conversation.
    pub receipts: BTreeSet<(String, String, u64)>,
    /// Client ids of messages that are never stored: who told whom what.
    pub transients: BTreeMap<String, (String, Channel, String)>,
    pub counts: BTreeMap<&'static str, u64>,
    /// Retention may drop what is old.
    pub may_drop: bool,
    /// It did so while everything was collected: what was collected earlier and later does not fit together.
    pub dropped_meanwhile: bool,
    /// By user, the newest entry whose message, a group's, is in a segment that retention has dropped: a page that comes
    /// to it has none of the older ones.
    pub without_body: BTreeMap<String, u64>,
    /// Ids that are being used for other messages, as far as anybody knows since the last crash.
    pub misuses: u64,
    /// Intents before this one are older than any repetition that the server knows.
    pub aged: usize,
    /// Intents that were being said when they became so old: the server may take them for new ones.
    pub left_open: BTreeSet<usize>,
    /// Of these, the ones that were said again since: the message that the server makes of it, once it has answered.
    pub again: BTreeMap<usize, Option<u64>>,
    /// By user and conversation, the furthest mark that was answered since the last crash, which may take the last
    /// ones.
    pub marks: BTreeMap<(String, String), u64>,
    pub vanishing: Vanishing,
    pub groups: GroupBooks,
    /// Users ask of groups, more than anything else.
    pub is_about_groups: bool,
    /// Above all of who may join them.
    pub is_about_joining: bool,
    pub devices: DeviceBooks,
    pub cleared: ClearBooks,
    pub erasures: Erasures,
    pub hook: HookBook,
    pub bars: Bars,
    /// Devices whose connections are open, and when these began.
    pub here: BTreeSet<(String, u64)>,
    /// Ends of streams that anybody was shown.
    ended: BTreeSet<String>,
    /// By message: its place in a stream.
    pub chunks: BTreeMap<u64, Chunk>,
    pub moment: When,
    /// How often the disks were full.
    pub fills: u64,
    pub is_full: bool,
    /// Users send faster than they may.
    pub is_rated: bool,
    /// The wall clock shows a time at which no token is good, or did.
    pub is_past_tokens: bool,
    pub was_past_tokens: bool,
    /// Only known users can be written to.
    pub is_closed: bool,
    /// Users who have been here since the last crash, from which step on; only where no disk was ever full, which keeps
    /// them from being remembered.
    pub known_users: BTreeMap<String, u64>,
    /// How often something was lost that nobody had been promised for good.
    pub losses: u64,
    /// Conversations of which places were lost below others that are left.
    pub holed: BTreeSet<String>,
    /// The newest seq that each user's inbox was said to have.
    pub newest: BTreeMap<String, u64>,
}

fn agree<T: PartialEq + Copy + std::fmt::Debug>(known: &mut Option<T>, heard: Option<T>, what: &str) {
    if let (Some(known), Some(heard)) = (*known, heard) {
        assert_eq!(known, heard, "the same client id got another {what}");
    }
    *known = known.or(heard);
}

impl Ledger {
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn intend(&mut self, author: &str, to: Channel, client_id: String, body: String, manner: Manner) -> usize {
        let at = self.intents.len();
        self.by_client_id.insert(client_id.clone(), at);
        let (answer, expected, by, author) = (Answer::default(), None, None, author.to_owned());
        let (said, said_ms, open) = (0, self.moment.elapsed_ms, BTreeMap::new());
        let first_said = self.moment.step;
        self.intents.push(Intent {
            author,
            to,
            client_id,
            body,
            manner,
            said,
            said_ms,
            first_said,
            open,
            by,
            answer,
            expected,
        });
        at
    }

    /// It is said now, once more or for the first time.
    pub fn says(&mut self, at: usize) -> &Intent {
        let intent = &mut self.intents[at];
        intent.said += 1;
        let step = self.moment.step;
        let first = intent.open.values().copied().min().unwrap_or(step);
        intent.open.entry(step).or_insert(first);
        intent
    }

    /// The process is gone, and with it all that was asked.
    pub fn crashed(&mut self) {
        self.known_users.clear();
        self.marks.clear();
        self.misuses = 0;
        self.intents.iter_mut().for_each(|intent| intent.open.clear());
    }

    /// Client ids are unique in a run, whoever uses them.
    pub fn intent_of(&self, author: &str, client_id: &str) -> Option<usize> {
        self.by_client_id.get(client_id).copied().filter(|at| self.intents[*at].author == author)
    }

    /// The same client id gets the same answer, whenever and wherever it is asked again.
    pub fn answered(&mut self, intent: usize, told: &Told) {
        let Told::Sent { message, seq, conversation_seq, time } = told else { unreachable!("an answer to a send") };
        let conversation = self.intents[intent].conversation();
        let is_strangers = matches!(&self.intents[intent].to, Channel::Person(peer) if is_stranger(peer));
        let is_known = guest_of(&self.intents[intent].to).is_none_or(|guest| self.bars.may_know(guest));
        assert!(!is_strangers && is_known, "a message to nobody was taken");
        self.hook.check_accepted(&self.intents[intent]);
        let Intent { to, author, first_said, .. } = &self.intents[intent];
        self.expect_taker(to, author, *first_said);
        let answer = &mut self.intents[intent].answer;
        if answer.message.is_none() {
            answer.since = self.moment.step;
        }
        agree(&mut answer.message, Some(*message), "message id");
        agree(&mut answer.seq, *seq, "seq");
        agree(&mut answer.conversation_seq, *conversation_seq, "conversation seq");
        agree(&mut answer.time, *time, "server time");
        if let Some(place) = conversation_seq {
            self.stands(&conversation, *place, *message);
        }
        self.count("sends accepted");
    }

    /// A message of long ago was said again, maybe from several devices: what it became is one message, which is not
    /// the first one any more unless the server still knows that one.
    pub fn answered_again(&mut self, intent: usize, message: u64) {
        let first = self.intents[intent].answer.message;
        let Some(known) = self.again.get_mut(&intent) else { return };
        // The server may know the first one, where it trusts no dates, for as long as retention keeps it.
        if *known == first && first != Some(message) {
            *known = None;
        }
        agree(known, Some(message), "message id");
        self.count("said again");
    }

    pub fn marked(&mut self, user: &str, conversation: String, through: u64) {
        let furthest = self.marks.entry((user.to_owned(), conversation)).or_default();
        *furthest = through.max(*furthest);
    }

    /// Whether the user's token may be refused.
    pub fn may_bar(&self, user: &str) -> bool {
        self.was_past_tokens || self.bars.may_bar(user)
    }

    /// A send was refused: for want of room, or by the conversation.
    pub fn refused(&mut self, intent: usize, no: No, asked: When) {
        let open = &mut self.intents[intent].open;
        let earliest = open.values().copied().min().unwrap_or(asked.step);
        let first_asked = open.remove(&asked.step).unwrap_or(earliest).min(asked.step);
        let answer = &mut self.intents[intent].answer;
        // Each connection hears its own answers: a no may be heard after a yes to what was asked later.
        let is_older = answer.message.is_none() || asked.step <= answer.since;
        assert!(is_older || no.passes(), "what was accepted is refused: {no:?}");
        let may_be = match (no, &self.intents[intent].to) {
            (No::Denied, _) => self.hook.was_denied(&self.intents[intent].client_id),
            (No::NotAllowed, _) => !self.intents[intent].is_systems(),
            (No::Trouble, _) | (No::Busy | No::UnknownConversation, Channel::Group(_)) => true,
            (No::Busy, Channel::Person(_)) => self.is_rated,
            (No::UnknownUser, Channel::Person(peer)) => {
                let was_known = self.known_users.get(peer).is_some_and(|since| *since < first_asked);
                let is_unknown = self.is_closed && !was_known && !self.bars.knew(peer, first_asked);
                is_unknown || self.erasures.may_be(peer)
            }
            _ => false,
        };
        assert!(may_be, "a good send was refused: {no:?}");
        self.intents[intent].answer.no = Some(no);
        self.count(match no {
            No::Trouble => "refused for a full disk",
            No::Busy => "refused for a busy group",
            No::Denied => "sends that the hook denied",
            _ => "sends refused",
        });
    }

    fn stands(&mut self, conversation: &str, place: u64, message: u64) {
        let first = *self.places.entry((conversation.to_owned(), place)).or_insert(message);
        assert_eq!(first, message, "two messages at place {place} of {conversation}");
    }

    /// `user` was shown an entry of its inbox: it must never be shown anything else there.
    pub fn shown(&mut self, user: &str, shown: &Shown) {
        self.count(match shown.kind {
            Kind::Body(_) => "messages shown",
            Kind::Tombstone => "tombstones shown",
            Kind::Revoked(_) => "revocations shown",
            Kind::Read(_) => "receipts shown",
            Kind::Group(_) | Kind::Joining { .. } => "group changes shown",
            Kind::Cleared { .. } => "clearings shown",
        });
        if shown.message == 0 {
            let notices = self.notices.entry(user.to_owned()).or_default();
            return if !notices.contains(shown) {
                notices.push(shown.clone())
            };
        }
        if let Some(seq) = shown.seq {
            let places = self.shown.entry(user.to_owned()).or_default();
            let known = places.entry(seq).or_insert_with(|| shown.bare());
            let is_same = known.became(shown) || shown.became(known);
            assert!(is_same, "{user} was shown two things at {seq}: {known:?} and {shown:?}");
            if known.became(shown) {
                *known = shown.bare();
            }
        }
        self.sees(user, shown);
    }

    /// `user` was shown an entry outside of its inbox.
    pub fn looked_at(&mut self, user: &str, shown: &Shown) {
        self.sees(user, shown);
        self.looked_at.insert((user.to_owned(), shown.message));
    }

    fn sees(&mut self, user: &str, shown: &Shown) {
        let known = self.known.entry(shown.message).or_insert_with(|| Shown { seq: None, ..shown.bare() });
        let time = known.time.or(shown.time);
        assert!(shown.time.is_none() || shown.time == time, "{shown:?} was dated {time:?}");
        let same = Shown { seq: None, time, ..shown.bare() };
        assert!(known.became(&same) || same.became(known), "one id, two things: {known:?} and {same:?}");
        if known.became(&same) {
            *known = same;
        } else {
            known.time = time;
        }
        if group_of(&shown.conversation).is_none() {
            let (a, b) = pair_of(&shown.conversation);
            assert!(a == user || b == user, "{user} was shown what is between {a} and {b}");
        }
        if shown.kind.is_message() {
            self.check_message(user, shown);
        }
        if let Some(place) = shown.conversation_seq {
            self.stands(&shown.conversation, place, shown.message);
        }
    }

    fn check_message(&mut self, user: &str, shown: &Shown) {
        if let Some(chunk) = &shown.chunk {
            let known = self.chunks.entry(shown.message).or_insert_with(|| chunk.clone());
            assert_eq!(known, chunk, "{user} was shown another place in a stream: {shown:?}");
        }
        if shown.client_id.starts_with(STREAM_END) {
            return self.check_stream_end(user, shown);
        }
        let at = self.intent_of(&shown.author, &shown.client_id);
        let intent = &self.intents[at.unwrap_or_else(|| panic!("{user} was shown what nobody sent: {shown:?}"))];
        assert_eq!(intent.conversation(), shown.conversation, "a message is in another conversation");
        if let Kind::Body(body) = &shown.kind {
            self.hook.check_body(&intent.client_id, &intent.body, body);
            if intent.body != *body {
                *self.counts.entry("replaced messages shown").or_default() += 1;
            }
        }
        let streams = (shown.chunk.as_ref().map(|it| &it.stream), intent.manner.piece.as_ref().map(|it| &it.stream));
        assert!(streams.0.is_none() || streams.0 == streams.1, "another stream: {shown:?}");
    }

    fn check_stream_end(&mut self, user: &str, shown: &Shown) {
        let is_begun = |intent: &Intent| {
            let is_same = intent.author == shown.author && intent.conversation() == shown.conversation;
            is_same && intent.manner.piece.is_some()
        };
        assert!(self.intents.iter().any(is_begun), "{user} was shown the end of what nobody began: {shown:?}");
        if self.ended.insert(shown.client_id.clone()) {
            self.check_silence(shown);
        }
    }

    /// While the connection is open on which all of a stream was said, only silence ends it.
    fn check_silence(&self, end: &Shown) {
        let Some(Chunk { stream, .. }) = &end.chunk else { return };
        let is_in = |intent: &&Intent| {
            let is_same = intent.author == end.author && intent.conversation() == end.conversation;
            is_same && intent.manner.piece.as_ref().is_some_and(|piece| piece.stream == *stream)
        };
        // Said again, it may have been another connection's that is gone.
        let is_here = |it: &Intent| it.said == 1 && it.by.as_ref().is_some_and(|by| self.here.contains(by));
        let is_before = |intent: &&Intent| intent.answer.message.is_some_and(|message| message < end.message);
        let newest_ms = self.intents.iter().filter(is_in).filter(is_before).map(|intent| intent.said_ms).max();
        let Some(newest_ms) = newest_ms.filter(|_| self.intents.iter().filter(is_in).all(is_here)) else { return };
        let silent_ms = self.moment.elapsed_ms - newest_ms;
        assert!(silent_ms >= Limits::default().stream_idle_ms, "silent for {silent_ms} ms, and ended: {end:?}");
    }

    /// A message that is not in any inbox: only those whom it is for may hear it.
    pub fn transient(&mut self, user: &str, shown: &Shown) {
        // A stream of which nothing could be stored.
        if shown.client_id.starts_with(STREAM_END) {
            return;
        }
        let known = self.transients.get(&shown.client_id);
        let (author, to, body) = known.unwrap_or_else(|| panic!("{user} heard what nobody said: {shown:?}"));
        assert_eq!(author, &shown.author, "it came out changed");
        let Kind::Body(heard) = &shown.kind else { panic!("it came out changed: {shown:?}") };
        self.hook.check_body(&shown.client_id, body, heard);
        assert_eq!(to.conversation(author), shown.conversation, "it is in another conversation");
        assert!(shown.seq.is_none(), "it has a place nowhere");
        if let Channel::Person(peer) = to {
            assert!(user == author || user == peer, "{user} heard what was for {peer}");
        }
        self.count("unstored messages heard");
    }

    pub fn typing(&mut self, user: &str, conversation: &str, typist: &str) {
        assert_ne!(user, typist, "nobody is told of itself");
        if group_of(conversation).is_none() {
            let (a, b) = pair_of(conversation);
            let is_in = |one: &str| one == a || one == b;
            assert!(is_in(user) && is_in(typist), "{user} heard that {typist} types in {conversation}");
        }
        self.count("typing heard");
    }

    /// A session of the user is let in: from here on it is known.
    pub fn welcomed(&mut self, user: &str) {
        if self.fills == 0 {
            self.known_users.entry(user.to_owned()).or_insert(self.moment.step);
        }
    }

    pub fn listed(&mut self, user: &str, rows: &[Row]) {
        assert!(rows.windows(2).all(|pair| pair[0].last_seq > pair[1].last_seq), "newest first: {rows:?}");
        for row in rows {
            assert!(row.read_through <= row.newest_seq, "{user} has read what is not there: {row:?}");
            let Some(last) = &row.last else { continue };
            assert_eq!(last.conversation, row.conversation, "another conversation's message");
            self.looked_at(user, last);
        }
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
        self.again.clear();
    }

    /// A page said so; others that were said before may come later.
    pub fn reaches(&mut self, user: &str, seq: u64) {
        let newest = self.newest.entry(user.to_owned()).or_default();
        *newest = seq.max(*newest);
    }

    pub fn unpushed(&mut self, user: &str, seq: u64, is_binary: bool) {
        self.unpushed.push(Unpushed { user: user.to_owned(), seq, is_binary });
    }
}
