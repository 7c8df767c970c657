//! Writes the logs of a data directory anew, for as many shards as are wanted: users keep their seqs, conversations
//! theirs, authors their answers, devices their positions.
//!
//! Pure: the old logs are read, the new ones written through `Journal`. Invariants: a user's entries, and a
//! conversation's messages, keep the order of the one old log that has them; what an old shard owed another and had not
//! delivered is delivered; what a damaged log has lost and another still has comes back (`recover`).

use super::fingerprint::Fingerprints;
use super::past::{Census, Past, RewriteError};
use super::recover::{Place, Recovered, Recovery};
use super::take::user_on;
use super::{Placement, Settings, State};
use crate::log::{Journal, Link, Links, Record, Segments, Side, Storage, Tail};
use crate::model::{Conversation, ConversationSeq, Message, MessageId, Millis, Position, Seq, ShardId, UserId};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

/// What was written beyond what stood there before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    pub census: Census,
    /// Deliveries that were owed and are made.
    pub completed: u64,
    /// Entries that another log still had.
    pub recovered: u64,
    pub records: u64,
}

/// Writes `journals`, one for each shard of `placement`, from all old logs. `logs` are those that `pasts` were read from,
/// and `recovery` found in.
pub fn rewrite<A: Segments, B: Storage>(
    settings: &Settings,
    (pasts, logs): (&[Past], &[A]),
    recovery: &Recovery,
    placement: Placement,
    journals: &mut [Journal<B>],
    mut progress: impl FnMut(u64),
) -> Result<Rewritten, RewriteError> {
    let read =
        |Place { log, position }| -> Result<Record, RewriteError> { Ok(pasts[log].view(&logs[log]).read(position)?) };
    let at = |log: usize, next: usize| -> Result<Option<Record>, RewriteError> {
        let position = pasts[log].messages.get(next);
        position.map(|position| read(Place { log, position: *position })).transpose()
    };
    let mut writer = Writer::new(settings, pasts, placement, journals, &read);
    writer.recovered = recovery.at_old_seqs.clone();
    let mut heads: BinaryHeap<Reverse<(Millis, usize, usize)>> = BinaryHeap::new();
    let mut times = vec![Millis::default(); pasts.len()];
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
    writer.finish(pasts, &recovery.at_new_seqs)
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

/// Reads the old logs.
type Read<'a> = &'a dyn Fn(Place) -> Result<Record, RewriteError>;

struct Writer<'a, S> {
    read: Read<'a>,
    /// What comes back at its old seq, user by user, ascending.
    recovered: BTreeMap<UserId, VecDeque<Recovered>>,
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
    fn new(
        settings: &Settings,
        pasts: &[Past],
        placement: Placement,
        journals: &'a mut [Journal<S>],
        read: Read<'a>,
    ) -> Self {
        Self {
            read,
            recovered: BTreeMap::new(),
            fingerprints: Fingerprints::new(settings.fingerprint_seed),
            before: settings.placement,
            placement,
            journals,
            tails: HashMap::with_hasher(FixedState::with_seed(settings.seed)),
            taken: pasts.iter().map(Past::taken).collect(),
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
                    self.reach(shard, user, link.seq)?;
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

    /// Brings an inbox to where `seq` comes next: with what another log still has of what is missing here.
    fn reach(&mut self, shard: ShardId, user: &UserId, seq: Seq) -> Result<(), RewriteError> {
        while let Some((entry, old)) = self.next_recovered(user, seq) {
            self.leave_gap(shard, user, old)?;
            self.put_back(shard, &entry, old)?;
        }
        self.leave_gap(shard, user, seq)
    }

    fn next_recovered(&mut self, user: &UserId, seq: Seq) -> Option<(Recovered, Seq)> {
        let queue = self.recovered.get_mut(user)?;
        let old = queue.front()?.seq.filter(|old| *old < seq)?;
        Some((queue.pop_front()?, old))
    }

    fn put_back(&mut self, shard: ShardId, entry: &Recovered, seq: Seq) -> Result<(), RewriteError> {
        let record = (self.read)(entry.place)?;
        let Some((message, _)) = record.message() else { return Ok(()) };
        let link = self.tails.entry(entry.user.clone()).or_default().link_to(entry.side, seq);
        let carried = Record::Carried { message: message.clone(), links: Links::from_iter([link]) };
        let position = self.append(shard, &carried)?;
        self.tails.entry(entry.user.clone()).or_default().advance(link, position);
        self.rewritten.census.count(&entry.user, seq, message.id);
        self.rewritten.recovered += 1;
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

    fn finish(mut self, pasts: &[Past], late: &[Recovered]) -> Result<Rewritten, RewriteError> {
        for past in pasts {
            for (user, (newest, ..)) in &past.census.inboxes {
                self.reach(self.placement.owner_of(user), user, newest.next())?;
                let (seen, ..) = self.rewritten.census.inboxes.entry(user.clone()).or_default();
                *seen = (*seen).max(*newest);
            }
            self.newest_message = self.newest_message.max(past.state.conversations.newest_message());
            for (conversation, seq) in past.conversations() {
                let newest = self.conversations.entry(conversation).or_default();
                *newest = (*newest).max(seq);
            }
        }
        for entry in late {
            let seq = self.tails.get(&entry.user).copied().unwrap_or_default().seq.next();
            self.put_back(self.placement.owner_of(&entry.user), entry, seq)?;
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
#[path = "recover_tests.rs"]
mod recover_tests;
#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
