//! Examines one log from its first record to its last: every inbox's seqs, every link, every client id, every delivery.
//!
//! Owned by an audit. It keeps its own tails and uses no state of a shard: the code under examination does not examine
//! itself. Invariant: memory is one row for each user, each conversation, and each client id of the window.

use crate::log::{Delivery, MemberLink, ReadMode, Record, Segments, Side, Tail, ThreadLink, View};
use crate::model::{Conversation, Fact, Message, MessageId, Millis, Position, Seq, ShardId, UserId};
use crate::shard::audit::findings::{Findings, Promise, Violation};
use crate::shard::audit::lanes::{Gaps, PeerDeliveries};
use crate::shard::replay::apply::user_on;
use crate::shard::rows::conversation::takes_place;
use crate::shard::table::fingerprint::{Fingerprint, Fingerprints};
use crate::shard::table::hash_table::Table;
use crate::shard::{ShardSettings, State};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use std::cmp::Ordering;
use std::sync::Arc;

/// A window may seem this much shorter because of clock differences between cores and the duration of a turn.
const CLOCKS_DIFFER_MS: u64 = 1_000;

/// A conversation's messages in this log.
struct ThreadRow {
    tail: Tail,
    newest: MessageId,
    /// The message that is being fanned out, and the members who have it.
    fanning: Position,
    told: HashSet<Fingerprint, FixedState>,
}

#[derive(Clone, Copy)]
struct Used {
    message: MessageId,
    time: Millis,
}

/// A group's message, and how it came into this log: ordered here, received, or copied by a rewrite.
#[derive(Clone)]
struct GroupMessage {
    message: Arc<Message>,
    way: AuditPath,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AuditPath {
    Taken,
    Carried,
}

pub(in crate::shard) struct Ledger<'a, S> {
    settings: ShardSettings,
    fingerprints: Fingerprints,
    log: &'a S,
    findings: &'a mut Findings,
    inboxes: HashMap<UserId, Tail, FixedState>,
    threads: HashMap<Fingerprint, ThreadRow, FixedState>,
    /// Client ids of the current window and of the previous one.
    used: [Table<Used>; 2],
    used_since: Option<Millis>,
    lanes: Vec<PeerDeliveries>,
    /// Ranges of conversations that the log records as missing for good.
    gaps: Gaps,
    /// The message of the latest fan-out record.
    body: Option<(Position, GroupMessage)>,
    /// The newest message that a rewrite has copied for a group's member, by the fingerprint of group and member.
    given: HashMap<Fingerprint, MessageId, FixedState>,
}

impl<'a, S: Segments> Ledger<'a, S> {
    pub fn new(settings: &ShardSettings, log: &'a S, findings: &'a mut Findings) -> Self {
        Self {
            settings: *settings,
            fingerprints: Fingerprints::new(settings.fingerprint_seed),
            log,
            inboxes: HashMap::with_hasher(FixedState::with_seed(settings.seed)),
            threads: HashMap::with_hasher(FixedState::with_seed(settings.seed)),
            used: Default::default(),
            used_since: None,
            lanes: vec![PeerDeliveries::default(); usize::from(settings.placement.shards())],
            findings,
            gaps: HashMap::with_hasher(FixedState::with_seed(settings.seed)),
            body: None,
            given: HashMap::with_hasher(FixedState::with_seed(settings.seed)),
        }
    }

    /// Examines the next record. To be called for each record, in order.
    pub fn take(&mut self, position: Position, record: &Record) {
        match record {
            Record::Posted { message, deliveries, links } => {
                deliveries.iter().for_each(|delivery| self.visit_unconfirmed(position, *delivery));
                self.visit_message(position, message, links);
                self.expect_reach(position, message, deliveries, links);
            }
            Record::Delivered { source, number, message, links } => {
                self.visit_delivered(position, *source, *number);
                self.visit_message(position, message, links);
                self.expect_links(position, message, links);
            }
            Record::Carried { message, links } => self.visit_message(position, message, links),
            Record::Fanned { of, links } => self.visit_fanned(position, *of, links),
            Record::Inbox { user, seq } => self.visit_gap(user, *seq),
            Record::Conversation { conversation, seq, .. } => self.visit_missing_places(conversation, Seq(seq.0)),
            Record::Forgone { source, through } => {
                if let Some(lane) = self.lanes.get_mut(usize::from(source.0)) {
                    lane.forgo(*through, position);
                }
            }
            Record::Confirmed { target, .. } => {
                if let Some(lane) = self.lanes.get_mut(usize::from(target.0)) {
                    lane.confirmed_at = position;
                }
            }
            Record::Start { .. }
            | Record::Mark { .. }
            | Record::Issued { .. }
            | Record::Device { .. }
            | Record::Read { .. }
            | Record::Consumed { .. }
            | Record::Account { .. }
            | Record::Profile { .. }
            | Record::PushDevice { .. }
            | Record::Block { .. }
            | Record::Online { .. }
            | Record::Erased { .. }
            | Record::Clock { .. }
            | Record::Seen { .. }
            | Record::Kept(_) => {}
        }
    }

    /// Compares the state that a start would rebuild with the end of the log.
    pub fn compare(&mut self, state: &State) {
        for (user, tail) in state.tables.inboxes.tails() {
            let seen = self.inboxes.get(user).copied();
            let known = seen.unwrap_or_default();
            if self.findings.wants(user) && tail.seq > Seq(0) {
                self.findings.tally.users += 1;
                let is_dropped = seen.is_none() && !self.is_first_segment_left();
                self.findings.tally.dropped += if is_dropped { tail.seq.0 } else { 0 };
            }
            let is_same = (known.seq, known.last) == (tail.seq, tail.last);
            let is_gone = seen.is_none() && tail.last.segment() < self.log.segments().start;
            if !is_same && !is_gone {
                let why =
                    format!("a start would take seq {} as its newest, but the log ends with {}", tail.seq, known.seq);
                self.break_inbox(Promise::Inbox, tail.last, user, tail.seq, why);
            }
        }
        for (_, row) in state.rows() {
            let conversation_key = self.fingerprints.of_conversation(&row.conversation);
            let Some(thread) = self.threads.get(&conversation_key) else { continue };
            if (thread.tail.seq, thread.tail.last) != (row.tail.seq, row.tail.last) {
                let (found, known) = (row.tail.seq, thread.tail.seq);
                let why = format!("a start would take seq {found} as its newest, but the log ends with {known}");
                self.break_thread(Promise::Order, row.tail.last, &row.conversation, found.0, why);
            }
        }
    }

    /// The deliveries from and to each shard, and the missing ranges of conversations.
    pub fn close(self) -> (Vec<PeerDeliveries>, Gaps) {
        (self.lanes, self.gaps)
    }

    /// Notes that all missing places of the conversation's thread up to `seq` are missing for good.
    fn visit_missing_places(&mut self, conversation: &Conversation, seq: Seq) {
        let conversation_key = self.fingerprints.of_conversation(conversation);
        let tail = &mut self.thread(conversation).tail;
        let first = tail.seq.next();
        tail.skip_to(seq);
        if first <= seq {
            self.gaps.entry(conversation_key).or_default().push((first.0, seq.0));
        }
    }

    fn is_first_segment_left(&self) -> bool {
        self.log.segments().start <= 1
    }

    fn thread(&mut self, conversation: &Conversation) -> &mut ThreadRow {
        let seed = self.settings.seed;
        self.threads.entry(self.fingerprints.of_conversation(conversation)).or_insert_with(|| ThreadRow {
            tail: Tail::default(),
            newest: MessageId(0),
            fanning: Position::NONE,
            told: HashSet::with_hasher(FixedState::with_seed(seed)),
        })
    }

    fn visit_unconfirmed(&mut self, position: Position, Delivery { target, number }: Delivery) {
        self.findings.tally.deliveries += 1;
        let newest = self.lanes.get(usize::from(target.0)).map(|lane| lane.sent);
        match newest {
            Some(newest) if number > newest => self.lanes[usize::from(target.0)].sent = number,
            Some(newest) => {
                let why = format!("delivery {number} to shard {target} follows delivery {newest}");
                self.break_delivery(position, number, why);
            }
            None => self.break_delivery(position, number, format!("there is no shard {target} to send it to")),
        }
    }

    fn visit_delivered(&mut self, position: Position, source: ShardId, number: u64) {
        let is_whole = self.is_first_segment_left();
        let Some(lane) = self.lanes.get_mut(usize::from(source.0)) else {
            return self.break_delivery(position, number, format!("there is no shard {source} to receive it from"));
        };
        let before = lane.taken.or(is_whole.then_some(0));
        (lane.taken, lane.taken_at) = (Some(number), position);
        if let Some(before) = before.filter(|before| before + 1 != number) {
            let why = format!("delivery {number} of shard {source} was received where {} is expected", before + 1);
            self.break_delivery(position, number, why);
        }
    }

    fn visit_message(&mut self, position: Position, message: &Arc<Message>, links: &[ThreadLink]) {
        for link in links {
            match user_on(link.side, message) {
                Some(user) => self.visit_entry(position, user, *link),
                None if link.side == Side::Conversation => self.visit_place(position, message, *link),
                None => {
                    let why = "a group's record has the link of a peer".to_owned();
                    self.break_thread(Promise::Link, position, &message.conversation, message.conversation_seq.0, why);
                }
            }
            if link.side == Side::Author && message.fact.is_none() {
                self.visit_client_id(position, message, link.seq);
            }
        }
    }

    fn visit_entry(&mut self, position: Position, user: &UserId, link: ThreadLink) {
        let first_left = self.log.segments().start;
        let is_counted = self.findings.wants(user);
        let tally = &mut self.findings.tally;
        tally.entries += u64::from(is_counted);
        let is_known = self.inboxes.contains_key(user);
        let tail = self.inboxes.entry_ref(user).or_default();
        if !is_known && first_left > 1 {
            // Entries that retention has dropped.
            let before = link.seq.0.saturating_sub(1);
            tally.dropped += if is_counted { before } else { 0 };
            tail.skip_to(Seq(before));
        }
        let (expected, wanted) = (tail.seq.next(), tail.link_to(link.side, link.seq));
        tail.advance(link, position);
        if link.seq != expected {
            let why = format!("there is seq {} where {expected} is expected", link.seq);
            self.break_inbox(Promise::Inbox, position, user, link.seq, why);
        }
        if let Some(why) = wrong_link(link, wanted, first_left) {
            self.break_inbox(Promise::Link, position, user, link.seq, why);
        }
    }

    /// Notes that all missing entries up to `seq` are missing for good.
    fn visit_gap(&mut self, user: &UserId, seq: Seq) {
        let is_counted = self.findings.wants(user);
        let tail = self.inboxes.entry_ref(user).or_default();
        self.findings.tally.missing += if is_counted { seq.0.saturating_sub(tail.seq.0) } else { 0 };
        tail.skip_to(seq);
    }

    /// Examines a message's place in its conversation's own thread.
    fn visit_place(&mut self, position: Position, message: &Message, link: ThreadLink) {
        let first_left = self.log.segments().start;
        let owner = self.settings.placement.owner_of_conversation(&message.conversation);
        let is_owner = owner == self.settings.me;
        let row = self.thread(&message.conversation);
        if row.tail == Tail::default() && first_left > 1 {
            row.tail.skip_to(Seq(link.seq.0.saturating_sub(1)));
        }
        let (before, newest) = (row.tail.seq, row.newest);
        let wanted = row.tail.link_to(link.side, link.seq);
        row.tail.advance(link, position);
        row.newest = message.id;
        let conversation = &message.conversation;
        if link.seq.0 != message.conversation_seq.0 {
            let why = format!("the link of seq {} is on the message of seq {}", link.seq, message.conversation_seq);
            self.break_thread(Promise::Link, position, conversation, link.seq.0, why);
        }
        if let Some(why) = wrong_link(link, wanted, first_left) {
            self.break_thread(Promise::Link, position, conversation, link.seq.0, why);
        }
        if link.seq <= before || message.id <= newest {
            let why = format!("seq {} (message {}) comes after seq {before} (message {newest})", link.seq, message.id);
            self.break_thread(Promise::Order, position, conversation, link.seq.0, why);
        } else if is_owner && link.seq != before.next() {
            let why = format!("seq {} is assigned where {} is expected", link.seq, before.next());
            self.break_thread(Promise::Order, position, conversation, link.seq.0, why);
        }
    }

    fn visit_client_id(&mut self, position: Position, message: &Message, seq: Seq) {
        let window_ms = self.settings.limits.dedupe_window_ms;
        let now = message.server_time;
        if now.since(*self.used_since.get_or_insert(now)) >= window_ms {
            self.used.swap(0, 1);
            self.used[0].clear();
            self.used_since = Some(now);
        }
        self.findings.tally.client_ids += u64::from(self.findings.wants(&message.author));
        let key = self.fingerprints.of_client_message(&message.author, &message.client_message_id);
        let before = self.used[0].find(key).or_else(|| self.used[1].find(key));
        self.used[0].insert(key, Used { message: message.id, time: now });
        let Some(before) = before else { return };
        if before.message == message.id {
            let why = format!("message {} is in the inbox twice", message.id);
            self.break_inbox(Promise::Entry, position, &message.author, seq, why);
        } else if now.since(before.time) + CLOCKS_DIFFER_MS < window_ms {
            let (id, other) = (message.client_message_id.as_str(), before.message);
            let why = format!("client id {id:?} stands for message {} and for message {other}", message.id);
            self.break_inbox(Promise::ClientId, position, &message.author, seq, why);
        }
    }

    /// Checks that an accepted message is in the inboxes of this shard and in deliveries to the shards of other
    /// recipients.
    fn expect_reach(&mut self, position: Position, message: &Message, deliveries: &[Delivery], links: &[ThreadLink]) {
        self.expect_links(position, message, links);
        for user in told_in_record(message).filter_map(|side| user_on(side, message)) {
            let home = self.settings.placement.owner_of(user);
            let is_reached = home == self.settings.me || deliveries.iter().any(|delivery| delivery.target == home);
            if !is_reached {
                let why = format!("message {} is for {user}, but has no delivery to shard {home}", message.id);
                self.break_entry(position, user, message, why);
            }
        }
    }

    fn expect_links(&mut self, position: Position, message: &Message, links: &[ThreadLink]) {
        for side in told_in_record(message) {
            let Some(user) = user_on(side, message) else { continue };
            let is_home = self.settings.placement.owner_of(user) == self.settings.me;
            if is_home && !links.iter().any(|link| link.side == side) {
                let why = format!("message {} is for {user}, but not in the inbox", message.id);
                self.break_entry(position, user, message, why);
            }
        }
        let is_linked = links.iter().any(|link| link.side == Side::Conversation);
        if takes_place(message.fact.as_deref()) && !is_linked {
            let why = format!("message {} is not in its conversation's thread", message.id);
            let seq = message.conversation_seq.0;
            self.break_thread(Promise::Link, position, &message.conversation, seq, why);
        }
    }

    fn break_entry(&mut self, position: Position, user: &UserId, message: &Message, why: String) {
        self.findings.add(Violation {
            promise: Promise::Entry,
            shard: self.settings.me,
            position,
            user: Some(user.clone()),
            conversation: Some(message.conversation.clone()),
            seq: message.conversation_seq.0,
            why,
        });
    }

    fn visit_fanned(&mut self, position: Position, of: Position, links: &[MemberLink]) {
        match self.body_at(position, of) {
            // Retention has dropped the message.
            Ok(None) => {}
            Ok(Some(GroupMessage { message, way: AuditPath::Taken })) => {
                links.iter().for_each(|link| self.visit_told(position, of, &message, link));
            }
            Ok(Some(GroupMessage { message, way: AuditPath::Carried })) => {
                links.iter().for_each(|link| self.visit_restored(position, &message, link));
            }
            Err(why) => {
                for MemberLink { user, link } in links {
                    self.break_inbox(Promise::FanOut, position, user, link.seq, why.clone());
                }
            }
        }
        links.iter().for_each(|MemberLink { user, link }| self.visit_entry(position, user, *link));
    }

    fn body_at(&mut self, position: Position, of: Position) -> Result<Option<GroupMessage>, String> {
        if let Some((at, body)) = &self.body
            && *at == of
        {
            return Ok(Some(body.clone()));
        }
        let view = View::new(self.log, position, ReadMode::Unbounded);
        if view.is_gone(of) && !of.is_none() && of < position {
            return Ok(None);
        }
        let place = format!("segment {} offset {}", of.segment(), of.offset());
        let record = view.read(of).map_err(|why| format!("its message at {place} cannot be read: {why}"))?;
        match record.message() {
            Some((message, _)) if matches!(message.conversation, Conversation::Group(_)) => {
                let way = if matches!(record, Record::Carried { .. }) { AuditPath::Carried } else { AuditPath::Taken };
                let body = GroupMessage { message: message.clone(), way };
                self.body = Some((of, body.clone()));
                Ok(Some(body))
            }
            _ => Err(format!("the record at {place} is no group's message")),
        }
    }

    /// Examines one member's entry: once for each message, in the group's order.
    fn visit_told(&mut self, position: Position, of: Position, message: &Message, member: &MemberLink) {
        let name = self.fingerprints.of_reader(&message.conversation, &member.user);
        let row = self.thread(&message.conversation);
        if of > row.fanning {
            row.fanning = of;
            row.told.clear();
        }
        let (is_late, is_twice) = (of < row.fanning, !row.told.insert(name));
        let is_author = message.fact.is_none() && message.author == member.user;
        let why = if is_late {
            "comes after a newer one of its group"
        } else if is_twice {
            "is in the inbox twice"
        } else if is_author {
            "is in its author's inbox as another member's message"
        } else {
            return;
        };
        let why = format!("message {} {why}", message.id);
        self.break_inbox(Promise::FanOut, position, &member.user, member.link.seq, why);
    }

    /// A rewrite merges members of several logs: each gets its group's messages in their order, once.
    fn visit_restored(&mut self, position: Position, message: &Message, member: &MemberLink) {
        let name = self.fingerprints.of_reader(&message.conversation, &member.user);
        let newest = self.given.entry(name).or_insert(MessageId(0));
        let (before, id) = (*newest, message.id);
        *newest = before.max(id);
        let is_author = message.fact.is_none() && message.author == member.user;
        let why = match id.cmp(&before) {
            Ordering::Less => "comes after a newer one of its group",
            Ordering::Equal => "is in the inbox twice",
            Ordering::Greater if is_author => "is in its author's inbox as another member's message",
            Ordering::Greater => return,
        };
        let why = format!("message {id} {why}");
        self.break_inbox(Promise::FanOut, position, &member.user, member.link.seq, why);
    }

    fn break_inbox(&mut self, promise: Promise, position: Position, user: &UserId, seq: Seq, why: String) {
        let (shard, user) = (self.settings.me, Some(user.clone()));
        self.findings.add(Violation { promise, shard, position, user, conversation: None, seq: seq.0, why });
    }

    fn break_thread(&mut self, promise: Promise, position: Position, of: &Conversation, seq: u64, why: String) {
        let violation = self.of_thread(promise, position, of, seq, why);
        self.findings.add(violation);
    }

    fn of_thread(&self, promise: Promise, position: Position, of: &Conversation, seq: u64, why: String) -> Violation {
        let (shard, conversation) = (self.settings.me, Some(of.clone()));
        Violation { promise, shard, position, user: None, conversation, seq, why }
    }

    fn break_delivery(&mut self, position: Position, number: u64, why: String) {
        let (promise, shard) = (Promise::Delivery, self.settings.me);
        self.findings.add(Violation { promise, shard, position, user: None, conversation: None, seq: number, why });
    }
}

/// The sides with an entry of the message in its own record; of a group's messages only those that concern nobody else
/// have one.
fn told_in_record(message: &Message) -> impl Iterator<Item = Side> + use<> {
    let is_group = matches!(message.conversation, Conversation::Group(_));
    let is_to_oneself = message.peer_of(&message.author) == Some(&message.author);
    let is_receipt = matches!(message.fact.as_deref(), Some(Fact::Read { .. }));
    let is_own = message.fact.as_ref().is_some_and(|fact| fact.only_for().is_some());
    let is_told = move |side: &Side| match side {
        Side::Author => is_own || !is_group && !is_receipt,
        Side::Peer => !is_group && !is_to_oneself && !is_own,
        Side::Conversation => false,
    };
    [Side::Author, Side::Peer].into_iter().filter(is_told)
}

/// Why a link does not lead to the expected record, if it does not. Unknown records were dropped or never existed.
fn wrong_link(found: ThreadLink, wanted: ThreadLink, first_left: u32) -> Option<String> {
    let leads = |found: Position, known: Position| match known.is_none() {
        true => found.segment() < first_left,
        false => found == known,
    };
    for (name, found, known) in [("previous", found.previous, wanted.previous), ("skip", found.skip, wanted.skip)] {
        if !leads(found, known) {
            let place = |position: Position| format!("segment {} offset {}", position.segment(), position.offset());
            return Some(format!("its {name} link leads to {} and not to {}", place(found), place(known)));
        }
    }
    None
}
