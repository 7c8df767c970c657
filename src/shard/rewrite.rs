//! Writes the logs of a data directory anew, for as many shards as are wanted: users keep their seqs, conversations
//! theirs, authors their answers, devices their positions.
//!
//! Pure: the old logs are read, the new ones written through `Journal`. Invariants: a user's entries, and a
//! conversation's messages, keep the order of the one old log that has them; what an old shard owed another and had not
//! delivered is delivered.

use super::checkpoint::Found;
use super::fingerprint::Fingerprints;
use super::take::user_on;
use super::{Placement, Settings, State};
use crate::log::{
    Cut, Journal, Link, Links, OpenError, Patience, Record, Salvage, Segments, Side, Storage, Tail, Unread, View,
    inspect, salvage,
};
use crate::model::{Conversation, ConversationSeq, Message, MessageId, Millis, Position, Seq, ShardId, UserId};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// What to do about a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    Refuse,
    Salvage,
}

/// The seqs `from` to `through` of a user are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub user: UserId,
    pub from: Seq,
    pub through: Seq,
}

#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    #[error(transparent)]
    Log(#[from] OpenError),
    #[error(transparent)]
    Unread(#[from] Unread),
    #[error("there is no room for the log of shard {shard}")]
    NoRoom { shard: ShardId },
}

/// How far each inbox got, with a digest of its entries' seqs and message ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    inboxes: HashMap<UserId, (Seq, u64, u64), FixedState>,
}

impl Default for Census {
    fn default() -> Self {
        Self { inboxes: HashMap::with_hasher(FixedState::with_seed(0)) }
    }
}

impl Census {
    fn count(&mut self, user: &UserId, seq: Seq, message: MessageId) {
        let mut both = [0; 16];
        both[..8].copy_from_slice(&seq.0.to_le_bytes());
        both[8..].copy_from_slice(&message.0.to_le_bytes());
        let (newest, entries, digest) = self.inboxes.entry(user.clone()).or_default();
        *newest = (*newest).max(seq);
        *entries += 1;
        *digest = digest.wrapping_add(xxhash_rust::xxh3::xxh3_64(&both));
    }

    /// Adds another log's users.
    pub fn merge(&mut self, other: Self) {
        self.inboxes.extend(other.inboxes);
    }

    pub fn users(&self) -> usize {
        self.inboxes.len()
    }

    pub fn entries(&self) -> u64 {
        self.inboxes.values().map(|(_, entries, _)| entries).sum()
    }
}

/// One old log, read.
pub struct Past {
    me: ShardId,
    state: State,
    /// The records that put messages into inboxes, in order.
    messages: Vec<Position>,
    end: Position,
    pub census: Census,
    pub lost: Vec<Lost>,
    pub cuts: Vec<Cut>,
}

impl Past {
    /// Reads a shard's log and the newest of `checkpoints` that can be used.
    pub fn read<S: Segments, C: AsRef<[u8]>>(
        settings: &Settings,
        log: &S,
        checkpoints: &[C],
        care: Care,
    ) -> Result<Self, RewriteError> {
        let Found { base, state, .. } = Found::among(settings, checkpoints);
        let first = log.segments().start;
        if base.is_none() && first > 1 && care == Care::Refuse {
            return Err(OpenError::BeginningMissing { segment: first }.into());
        }
        let base = base.map_or(Position::NONE, |base| base.end);
        let end = Position::new(log.segments().end, 0);
        let (census, lost, cuts) = (Census::default(), Vec::new(), Vec::new());
        let mut past = Self { me: settings.me, state, messages: Vec::new(), end, census, lost, cuts };
        let is_whole = first == 1;
        let visit = |position, record| past.take(position, record, base, is_whole);
        match care {
            Care::Refuse => {
                let seen = inspect(log, settings.me, visit)?;
                if let Some(damage) = seen.damage {
                    return Err(OpenError::Damaged(damage).into());
                }
                if seen.end < base {
                    return Err(OpenError::Shortened { end: base }.into());
                }
            }
            Care::Salvage => {
                let Salvage { cuts, .. } = salvage(log, settings.me, visit)?;
                past.cuts = cuts;
            }
        }
        past.find_lost_ends();
        Ok(past)
    }

    fn take(&mut self, position: Position, record: Record, base: Position, is_whole: bool) {
        if let Some((message, links)) = record.message() {
            self.messages.push(position);
            for link in links {
                let Some(user) = user_on(link.side, message) else { continue };
                self.expect_next(user, link.seq, is_whole);
                self.census.count(user, link.seq, message.id);
            }
        }
        if let Record::Inbox { user, seq } = &record {
            let (newest, ..) = self.census.inboxes.entry(user.clone()).or_default();
            *newest = (*newest).max(*seq);
        }
        if position >= base {
            self.state.replay(position, record, self.me);
        }
    }

    /// What retention has dropped is not lost.
    fn expect_next(&mut self, user: &UserId, seq: Seq, is_whole: bool) {
        let newest = self.census.inboxes.get(user).map(|(newest, ..)| *newest);
        let Some(newest) = newest.or(is_whole.then_some(Seq(0))) else { return };
        if newest.next() < seq {
            self.lost.push(Lost { user: user.clone(), from: newest.next(), through: Seq(seq.0 - 1) });
        }
    }

    /// Checkpoints and devices may know of entries behind the newest that is left.
    fn find_lost_ends(&mut self) {
        let known: Vec<(UserId, Seq)> = {
            let tails = self.state.inboxes.tails().map(|(user, tail)| (user, tail.seq));
            let devices = self.state.inboxes.devices().map(|(user, _, delivered)| (user, delivered));
            tails.chain(devices).map(|(user, seq)| (user.clone(), seq)).collect()
        };
        for (user, seq) in known {
            if let Some((newest, entries, _)) = self.census.inboxes.get_mut(&user)
                && *newest < seq
            {
                if *entries > 0 {
                    self.lost.push(Lost { user: user.clone(), from: newest.next(), through: seq });
                }
                *newest = seq;
            } else if seq.0 > 0 {
                self.census.inboxes.entry(user.clone()).or_insert((seq, 0, 0));
            }
        }
    }

    fn view<'a, S: Segments>(&self, log: &'a S) -> View<'a, S> {
        View::new(log, self.end, Patience::Unbounded)
    }

    /// How many records put messages into inboxes.
    pub fn messages(&self) -> u64 {
        self.messages.len() as u64
    }

    /// Every conversation of this log and its newest seq.
    pub fn conversations(&self) -> Vec<(Conversation, ConversationSeq)> {
        let rows = self.state.conversations.all();
        rows.map(|(_, row)| (row.conversation.clone(), ConversationSeq(row.tail.seq.0))).collect()
    }
}

/// What was written beyond what stood there before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    pub census: Census,
    /// Deliveries that were owed and are made.
    pub completed: u64,
    pub records: u64,
}

/// Writes `journals`, one for each shard of `placement`, from all old logs. `logs` are those that `pasts` were read from.
pub fn rewrite<A: Segments, B: Storage>(
    settings: &Settings,
    pasts: &[Past],
    logs: &[A],
    placement: Placement,
    journals: &mut [Journal<B>],
    mut progress: impl FnMut(u64),
) -> Result<Rewritten, RewriteError> {
    let mut writer = Writer::new(settings, pasts, placement, journals);
    let mut heads: BinaryHeap<Reverse<(Millis, usize, usize)>> = BinaryHeap::new();
    let mut times = vec![Millis::default(); pasts.len()];
    let at = |shard: usize, next: usize| -> Result<Option<Record>, RewriteError> {
        let Some(position) = pasts[shard].messages.get(next) else { return Ok(None) };
        Ok(Some(pasts[shard].view(&logs[shard]).read(*position)?))
    };
    let mut records: Vec<Option<Record>> = Vec::new();
    for shard in 0..pasts.len() {
        let record = at(shard, 0)?;
        push(&mut heads, &mut times, shard, 0, record.as_ref());
        records.push(record);
    }
    let mut done = 0;
    while let Some(Reverse((_, shard, next))) = heads.pop() {
        let record = records[shard].take().expect("what is in the heap has a record");
        writer.take(pasts[shard].me, record)?;
        records[shard] = at(shard, next + 1)?;
        push(&mut heads, &mut times, shard, next + 1, records[shard].as_ref());
        done += 1;
        progress(done);
    }
    writer.finish(pasts)
}

/// A log's own order goes before times.
fn push(
    heads: &mut BinaryHeap<Reverse<(Millis, usize, usize)>>,
    times: &mut [Millis],
    shard: usize,
    next: usize,
    record: Option<&Record>,
) {
    let Some((message, _)) = record.and_then(Record::message) else { return };
    times[shard] = times[shard].max(message.server_time);
    heads.push(Reverse((times[shard], shard, next)));
}

/// A message that a shard owed and its target had not taken.
struct Owed {
    source: ShardId,
    number: u64,
    target: ShardId,
    message: Arc<Message>,
}

struct Writer<'a, S> {
    fingerprints: Fingerprints,
    /// How the directory was divided before.
    before: Placement,
    placement: Placement,
    journals: &'a mut [Journal<S>],
    tails: HashMap<UserId, Tail, FixedState>,
    /// The newest delivery that `target` (the first index) had taken of `source`.
    taken: Vec<Vec<u64>>,
    owed: Vec<Owed>,
    conversations: HashMap<Conversation, ConversationSeq, FixedState>,
    newest_message: MessageId,
    rewritten: Rewritten,
}

impl<'a, S: Storage> Writer<'a, S> {
    fn new(settings: &Settings, pasts: &[Past], placement: Placement, journals: &'a mut [Journal<S>]) -> Self {
        let taken = |past: &Past| past.state.relay.peers().iter().map(super::relay::Peer::taken).collect();
        Self {
            fingerprints: Fingerprints::new(settings.fingerprint_seed),
            before: settings.placement,
            placement,
            journals,
            tails: HashMap::with_hasher(FixedState::with_seed(settings.seed)),
            taken: pasts.iter().map(taken).collect(),
            owed: Vec::new(),
            conversations: HashMap::with_hasher(FixedState::with_seed(settings.seed)),
            newest_message: MessageId(0),
            rewritten: Rewritten::default(),
        }
    }

    fn take(&mut self, source: ShardId, record: Record) -> Result<(), RewriteError> {
        let Some((message, links)) = record.message() else { return Ok(()) };
        let (message, links) = (message.clone(), links.clone());
        let name = self.fingerprints.of_conversation(&message.conversation);
        let newest = self.conversations.entry(message.conversation.clone()).or_default();
        *newest = (*newest).max(message.conversation_seq);
        self.newest_message = self.newest_message.max(message.id);
        let mut owner = None;
        if let Record::Posted { deliveries, .. } = record {
            for delivery in deliveries {
                let target = usize::from(delivery.target.0);
                let is_taken = delivery.number <= self.taken[target][usize::from(source.0)];
                if !is_taken {
                    let (number, target) = (delivery.number, delivery.target);
                    self.owed.push(Owed { source, number, target, message: message.clone() });
                }
            }
            owner = Some(self.placement.owner_of_slot(name.slot()));
        }
        self.spread(&message, &links, owner)
    }

    /// Puts the entries of one message where they belong now; `owner` is to have it even without any.
    fn spread(&mut self, message: &Arc<Message>, links: &[Link], owner: Option<ShardId>) -> Result<(), RewriteError> {
        let home = |link: &Link| user_on(link.side, message).map(|user| self.placement.owner_of(user));
        let mut shards: Vec<ShardId> = owner.into_iter().chain(links.iter().filter_map(home)).collect();
        shards.dedup();
        if shards.len() == 3 && shards[0] == shards[2] {
            shards.pop();
        }
        for shard in shards {
            let mut here = Links::new();
            for link in links {
                let Some(user) = user_on(link.side, message) else { continue };
                if self.placement.owner_of(user) == shard {
                    self.leave_gap(shard, user, link.seq)?;
                    here.push(self.tails.entry(user.clone()).or_default().link_to(link.side, link.seq));
                }
            }
            let (message, links) = (message.clone(), here.clone());
            let record = match owner == Some(shard) {
                true => Record::Posted { message, deliveries: Default::default(), links },
                false => Record::Carried { message, links },
            };
            let position = self.append(shard, &record)?;
            let Some((message, _)) = record.message() else { continue };
            for link in here {
                let Some(user) = user_on(link.side, message) else { continue };
                self.tails.entry(user.clone()).or_default().advance(link, position);
                self.rewritten.census.count(user, link.seq, message.id);
            }
        }
        Ok(())
    }

    /// Says that what is missing below `seq` is missing for good.
    fn leave_gap(&mut self, shard: ShardId, user: &UserId, seq: Seq) -> Result<(), RewriteError> {
        let tail = self.tails.entry(user.clone()).or_default();
        if tail.seq.next() >= seq {
            return Ok(());
        }
        let seq = Seq(seq.0 - 1);
        tail.skip_to(seq);
        self.append(shard, &Record::Inbox { user: user.clone(), seq }).map(|_| ())
    }

    fn append(&mut self, shard: ShardId, record: &Record) -> Result<Position, RewriteError> {
        let journal = &mut self.journals[usize::from(shard.0)];
        if !journal.has_room(record.encoded_bytes()) {
            return Err(RewriteError::NoRoom { shard });
        }
        self.rewritten.records += 1;
        Ok(journal.append(record))
    }

    fn finish(mut self, pasts: &[Past]) -> Result<Rewritten, RewriteError> {
        for past in pasts {
            for (user, (newest, ..)) in &past.census.inboxes {
                self.leave_gap(self.placement.owner_of(user), user, newest.next())?;
                let (seen, ..) = self.rewritten.census.inboxes.entry(user.clone()).or_default();
                *seen = (*seen).max(*newest);
            }
            self.newest_message = self.newest_message.max(past.state.conversations.newest_message());
            for (conversation, seq) in past.conversations() {
                let newest = self.conversations.entry(conversation).or_default();
                *newest = (*newest).max(seq);
            }
        }
        self.complete()?;
        for past in pasts {
            for (user, device, position) in past.state.inboxes.devices() {
                let record = Record::Device { user: user.clone(), device: device.clone(), position };
                self.append(self.placement.owner_of(user), &record)?;
            }
        }
        pasts.iter().try_for_each(|past| self.carry_users(&past.state))?;
        let message = self.newest_message;
        for shard in self.placement.all() {
            self.append(shard, &Record::Issued { message })?;
        }
        let conversations = HashMap::with_hasher(FixedState::with_seed(0));
        for (conversation, seq) in std::mem::replace(&mut self.conversations, conversations) {
            let shard = self.placement.owner_of_conversation(&conversation);
            self.append(shard, &Record::Conversation { conversation, seq, message })?;
        }
        Ok(self.rewritten)
    }

    /// Who is known, and what one of a user's devices has had for all.
    fn carry_users(&mut self, state: &State) -> Result<(), RewriteError> {
        for (user, last_seen) in state.inboxes.known() {
            self.append(self.placement.owner_of(user), &Record::Seen { user: user.clone(), last_seen })?;
        }
        for (message, user) in state.consumed.all() {
            let record = Record::Consumed { user: user.clone(), message: *message };
            self.append(self.placement.owner_of(user), &record)?;
        }
        Ok(())
    }

    /// Deliveries that were on their way arrive, behind all that was there.
    fn complete(&mut self) -> Result<(), RewriteError> {
        let mut owed = std::mem::take(&mut self.owed);
        owed.sort_by_key(|it| (it.source, it.number));
        for Owed { target, message, .. } in owed {
            let mut links = Links::new();
            for side in [Side::Author, Side::Peer] {
                let Some(user) = user_on(side, &message) else { continue };
                let is_told_already = side == Side::Peer && *user == message.author;
                if !is_told_already && self.before.owner_of(user) == target {
                    links.push(self.tails.get(user).copied().unwrap_or_default().next_link(side));
                }
            }
            self.rewritten.completed += 1;
            self.spread(&message, &links, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
