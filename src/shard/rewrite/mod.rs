//! Rewrites the logs of a data directory for another number of shards: users keep their inbox seqs, conversations their
//! seqs, clients their answers to repeated sends, and all users the state beside messages (`export`).
//!
//! Pure: the old logs are read, the new ones written through `Journal`. Invariants: a user's entries, and a
//! conversation's messages, keep their order; a new log has the thread of each conversation of its users, and records
//! what is missing from it; deliveries under way have arrived (`drain`); entries that a damaged log has lost and
//! another still has are restored (`recover`).

pub(super) mod digest;
pub(super) mod drain;
pub(super) mod export;
pub(super) mod order;
pub(super) mod reconcile;
pub(super) mod recover;
pub(super) mod source_log;

use super::{Placement, ShardSettings};
use crate::log::{Journal, MemberLink, Record, Segments, Side, Storage, Tail, ThreadLink, ThreadLinks};
use crate::model::{Conversation, ConversationSeq, Message, MessageId, Position, Seq, ShardId, UserId};
use crate::shard::replay::apply::user_on;
use crate::shard::rewrite::digest::Digest;
use crate::shard::rewrite::drain::complete;
use crate::shard::rewrite::export::put_kept;
use crate::shard::rewrite::order::RecordOrder;
use crate::shard::rewrite::reconcile::{LostPlaces, Returned, disagree, lost_places, reconcile, recount, take_back};
use crate::shard::rewrite::recover::{RecordLocation, Recovered, Recovery};
use crate::shard::rewrite::source_log::{RewriteError, ScanCounts, SourceShard, Threads, count_place};
use crate::shard::rows::conversation::takes_place;
use crate::shard::table::fingerprint::{Fingerprint, Fingerprints};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The most group messages whose positions in the new logs are remembered. A forgotten one is written again.
const BODIES_MAX: usize = 1 << 16;

/// The result of a rewrite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Counts of the inboxes.
    pub scan_counts: ScanCounts,
    /// A digest of every seq of every thread.
    pub threads: Digest,
    /// A digest of the state beside messages.
    pub kept: Digest,
    /// Unconfirmed deliveries that the rewrite completed.
    pub completed: u64,
    /// Entries that came from another log.
    pub recovered: u64,
    /// Records that were written.
    pub records: u64,
}

/// The directory that is rewritten.
pub struct OldDirectory<'a, A> {
    /// The settings of its first shard.
    pub settings: &'a ShardSettings,
    /// Its shards, as they were read.
    pub sources: &'a mut [SourceShard],
    /// The logs that they were read from.
    pub logs: &'a [A],
    /// The entries found for damaged logs.
    pub recovery: &'a Recovery,
}

/// Writes `journals`, one for each shard of `placement`, from all old logs. `logs` are those from which `sources` were
/// read and in which `recovery` searched. `progress` receives the number of records done.
///
/// # Errors
///
/// A record cannot be read, or a new log has no room.
pub fn rewrite<A: Segments, B: Storage>(
    old: OldDirectory<'_, A>,
    placement: Placement,
    journals: &mut [Journal<B>],
    mut progress: impl FnMut(u64),
) -> Result<Rewritten, RewriteError> {
    let OldDirectory { settings, sources, logs, recovery } = old;
    let has_lost = sources.iter().any(SourceShard::is_damaged) || disagree(sources);
    let completed = complete(sources, logs)?;
    reconcile(settings, sources, logs)?;
    let mut writer = RewriteWriter::new(settings, (sources, logs), placement, journals);
    writer.recovered = recovery.at_old_seqs.clone();
    writer.lost_places = lost_places(settings, sources, logs)?;
    let mut order = RecordOrder::new(sources, logs, settings.placement, writer.fingerprints)?;
    let mut done = 0;
    while let Some((log, record)) = order.next()? {
        writer.take(log, &record)?;
        done += 1;
        progress(done);
    }
    writer.finish(&recovery.at_new_seqs)?;
    let RewriteWriter { newest, threads, returned, mut rewritten, .. } = writer;
    rewritten.completed = completed;
    take_back(settings, sources, &returned);
    if has_lost {
        recount(sources, placement, &threads, journals)?;
    }
    // A start takes this id as the newest one.
    sources.iter_mut().for_each(|source| source.state.tables.conversations.skip_ids_to(newest));
    let Rewritten { kept, records, .. } = &mut rewritten;
    let mut put = |shard: ShardId, record: Record| {
        let (kind, body) = record.plain();
        kept.add(shard, kind, &body);
        *records += 1;
        append(journals, shard, &record).map(|_| ())
    };
    put_kept(sources, placement, newest, &mut put)?;
    Ok(rewritten)
}

fn append<S: Storage>(journals: &mut [Journal<S>], shard: ShardId, record: &Record) -> Result<Position, RewriteError> {
    let journal = &mut journals[usize::from(shard.0)];
    if !journal.has_room(record.encoded_bytes()) {
        return Err(RewriteError::NoRoom { shard });
    }
    Ok(journal.append(record))
}

type Shards = SmallVec<[ShardId; 4]>;

/// For each group, the new shards with users who are or were members, and the range of places that these see.
type Audiences = HashMap<Fingerprint, SmallVec<[(ShardId, ConversationSeq, ConversationSeq); 2]>, FixedState>;

struct RewriteWriter<'a, A, S> {
    sources: &'a [SourceShard],
    logs: &'a [A],
    /// Entries that are restored at their old seqs, by user, ascending.
    recovered: BTreeMap<UserId, VecDeque<Recovered>>,
    returned: Vec<Returned>,
    lost_places: LostPlaces,
    fingerprints: Fingerprints,
    /// The placement of the old directory.
    before: Placement,
    placement: Placement,
    journals: &'a mut [Journal<S>],
    tails: HashMap<UserId, Tail, FixedState>,
    threads: Vec<Threads>,
    audiences: Audiences,
    /// The positions of groups' messages in the new logs.
    bodies: BTreeMap<MessageId, SmallVec<[(ShardId, Position); 2]>>,
    /// Users whose words no new log gets.
    erased: BTreeSet<&'a UserId>,
    newest: MessageId,
    rewritten: Rewritten,
}

impl<'a, A: Segments, S: Storage> RewriteWriter<'a, A, S> {
    fn new(
        settings: &ShardSettings,
        (sources, logs): (&'a [SourceShard], &'a [A]),
        placement: Placement,
        journals: &'a mut [Journal<S>],
    ) -> Self {
        let hasher = || FixedState::with_seed(settings.seed);
        let fingerprints = Fingerprints::new(settings.fingerprint_seed);
        let newest = sources.iter().map(|source| source.state.tables.conversations.newest_message()).max();
        Self {
            sources,
            logs,
            recovered: BTreeMap::new(),
            returned: Vec::new(),
            lost_places: LostPlaces::default(),
            fingerprints,
            before: settings.placement,
            placement,
            journals,
            tails: HashMap::with_hasher(hasher()),
            threads: placement.all().map(|_| HashMap::with_hasher(hasher())).collect(),
            audiences: audiences(sources, fingerprints, placement, hasher()),
            bodies: BTreeMap::new(),
            erased: sources.iter().flat_map(|source| source.state.tables.erased.all()).map(|(user, _)| user).collect(),
            newest: newest.unwrap_or_default(),
            rewritten: Rewritten::default(),
        }
    }

    fn take(&mut self, log: usize, record: &Record) -> Result<(), RewriteError> {
        if let Record::Fanned { of, links } = record {
            return self.fan_out(log, *of, links);
        }
        let Some((message, links)) = record.message() else { return Ok(()) };
        self.newest = self.newest.max(message.id);
        let conversation_key = self.fingerprints.of_conversation(&message.conversation);
        let threads = self.threads_of(conversation_key, message, links);
        let mut shards: Shards = links.iter().filter_map(|link| self.home_of(message, link)).collect();
        shards.extend(threads.iter().copied());
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            let mut here = self.entries_on(shard, message, links)?;
            if threads.contains(&shard) {
                self.put_back_places(shard, conversation_key, message)?;
                here.push(self.next_place(shard, conversation_key, message)?);
            }
            self.carry(shard, conversation_key, message, here)?;
        }
        Ok(())
    }

    fn home_of(&self, message: &Message, link: &ThreadLink) -> Option<ShardId> {
        user_on(link.side, message).map(|user| self.placement.owner_of(user))
    }

    /// The new logs that get the message into its conversation's thread now: at the first occurrence the log of the
    /// owner, later those of users with their entries.
    fn threads_of(&self, conversation_key: Fingerprint, message: &Message, links: &[ThreadLink]) -> Shards {
        let mut shards = Shards::new();
        if !takes_place(message.fact.as_deref()) {
            return shards;
        }
        shards.push(self.placement.owner_of_conversation(&message.conversation));
        match &message.conversation {
            Conversation::Pair(a, b) => {
                for user in [a, b] {
                    let shard = self.placement.owner_of(user);
                    let has_entry = links.iter().any(|link| self.home_of(message, link) == Some(shard));
                    // A damaged log may have lost the entry while others have the message.
                    if has_entry || self.sources[usize::from(self.before.owner_of(user).0)].is_damaged() {
                        shards.push(shard);
                    }
                }
            }
            Conversation::Group(_) => {
                let sees = (self.audiences.get(&conversation_key).into_iter().flatten())
                    .filter(|(_, from, through)| (*from..=*through).contains(&message.conversation_seq));
                shards.extend(sees.map(|(shard, ..)| *shard));
            }
        }
        shards.sort_unstable();
        shards.dedup();
        let newest =
            |shard: &ShardId| self.threads[usize::from(shard.0)].get(&conversation_key).map_or(Seq(0), |tail| tail.seq);
        shards.retain(|shard| newest(shard).0 < message.conversation_seq.0);
        shards
    }

    /// The links of the message's entries in inboxes of a shard.
    fn entries_on(
        &mut self,
        shard: ShardId,
        message: &Message,
        links: &[ThreadLink],
    ) -> Result<ThreadLinks, RewriteError> {
        let mut here = ThreadLinks::new();
        for link in links {
            let Some(user) = user_on(link.side, message).filter(|user| self.placement.owner_of(user) == shard) else {
                continue;
            };
            self.reach(shard, user, link.seq)?;
            here.push(self.tails.entry(user.clone()).or_default().link_to(link.side, link.seq));
        }
        Ok(here)
    }

    /// Writes places that the conversation's owner has lost and other logs still have, before the message.
    fn put_back_places(
        &mut self,
        shard: ShardId,
        conversation_key: Fingerprint,
        before: &Message,
    ) -> Result<(), RewriteError> {
        let tail = self.threads[usize::from(shard.0)].get(&conversation_key).copied().unwrap_or_default();
        let behind = ConversationSeq(tail.seq.next().0);
        let Some(lost) = self.lost_places.get(&conversation_key).filter(|_| behind < before.conversation_seq) else {
            return Ok(());
        };
        let places: Vec<RecordLocation> =
            lost.range(behind..before.conversation_seq).map(|(_, place)| *place).collect();
        for RecordLocation { log, position } in places {
            let record = self.sources[log].record_at(&self.logs[log], position)?;
            let Some((message, _)) = record.message() else { continue };
            let link = self.next_place(shard, conversation_key, message)?;
            self.carry(shard, conversation_key, message, ThreadLinks::from_iter([link]))?;
        }
        Ok(())
    }

    /// The message's link in the thread of a shard; records places that are missing before it.
    fn next_place(
        &mut self,
        shard: ShardId,
        conversation_key: Fingerprint,
        message: &Message,
    ) -> Result<ThreadLink, RewriteError> {
        let seq = message.conversation_seq;
        let tail = self.threads[usize::from(shard.0)].entry(conversation_key).or_default();
        let (missing, link) = (tail.seq.next().0 < seq.0, tail.link_to(Side::Conversation, Seq(seq.0)));
        if missing {
            let (conversation, seq) = (message.conversation.clone(), ConversationSeq(seq.0 - 1));
            self.append(shard, &Record::Conversation { conversation, seq, message: MessageId(0) })?;
        }
        Ok(link)
    }

    /// Appends the message with these links. Returns its position.
    fn carry(
        &mut self,
        shard: ShardId,
        conversation_key: Fingerprint,
        message: &Arc<Message>,
        links: ThreadLinks,
    ) -> Result<Position, RewriteError> {
        let is_erased = message.fact.is_none() && self.erased.contains(&message.author);
        let written = if is_erased { Arc::new(message.tombstone()) } else { message.clone() };
        let position = self.append(shard, &Record::Carried { message: written, links: links.clone() })?;
        for link in links {
            match user_on(link.side, message) {
                Some(user) => self.count(user, link, position, message.id),
                None => {
                    self.threads[usize::from(shard.0)].entry(conversation_key).or_default().advance(link, position);
                    count_place(&mut self.rewritten.threads, shard, conversation_key, message);
                }
            }
        }
        if let Conversation::Group(_) = message.conversation {
            self.bodies.entry(message.id).or_default().push((shard, position));
            if self.bodies.len() > BODIES_MAX {
                self.bodies.pop_first();
            }
        }
        Ok(position)
    }

    fn count(&mut self, user: &UserId, link: ThreadLink, position: Position, message: MessageId) {
        self.tails.entry(user.clone()).or_default().advance(link, position);
        self.rewritten.scan_counts.count(user, link.seq, message);
    }

    /// Writes members' entries of a group's message to the logs of their shards.
    fn fan_out(&mut self, log: usize, of: Position, links: &[MemberLink]) -> Result<(), RewriteError> {
        let Some(message) = self.sources[log].body_of(&self.logs[log], of)? else { return Ok(()) };
        let mut by_shard: BTreeMap<ShardId, Vec<&MemberLink>> = BTreeMap::new();
        for member in links {
            by_shard.entry(self.placement.owner_of(&member.user)).or_default().push(member);
        }
        for (shard, members) in by_shard {
            let mut here = Vec::with_capacity(members.len());
            for MemberLink { user, link } in members {
                self.reach(shard, user, link.seq)?;
                let link = self.tails.entry(user.clone()).or_default().link_to(Side::Peer, link.seq);
                here.push(MemberLink { user: user.clone(), link });
            }
            let of = self.body_on(shard, &message)?;
            let position = self.append(shard, &Record::Fanned { of, links: here.clone() })?;
            here.iter().for_each(|member| self.count(&member.user, member.link, position, message.id));
        }
        Ok(())
    }

    fn body_on(&mut self, shard: ShardId, message: &Arc<Message>) -> Result<Position, RewriteError> {
        let known = self.bodies.get(&message.id).into_iter().flatten();
        if let Some((_, position)) = known.into_iter().find(|(at, _)| *at == shard) {
            return Ok(*position);
        }
        let conversation_key = self.fingerprints.of_conversation(&message.conversation);
        self.carry(shard, conversation_key, message, ThreadLinks::new())
    }

    /// Brings an inbox to the point where `seq` is next, with restored entries for missing ones.
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
        let RecordLocation { log, position } = entry.place;
        let record = self.sources[log].record_at(&self.logs[log], position)?;
        let Some((message, _)) = record.message() else { return Ok(()) };
        let link = self.tails.entry(entry.user.clone()).or_default().link_to(entry.side, seq);
        let conversation_key = self.fingerprints.of_conversation(&message.conversation);
        self.carry(shard, conversation_key, message, ThreadLinks::from_iter([link]))?;
        let (user, conversation) = (entry.user.clone(), message.conversation.clone());
        self.returned.push(Returned { user, conversation, seq });
        self.rewritten.recovered += 1;
        Ok(())
    }

    /// Records that all missing entries before `seq` are missing for good.
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
        self.rewritten.records += 1;
        append(self.journals, shard, record)
    }

    /// Completes every inbox up to its old newest seq; then appends restored entries without an old seq.
    fn finish(&mut self, late: &[Recovered]) -> Result<(), RewriteError> {
        for source in self.sources {
            for (user, (newest, ..)) in &source.scan_counts.inboxes {
                self.reach(self.placement.owner_of(user), user, newest.next())?;
                let (seen, ..) = self.rewritten.scan_counts.inboxes.entry(user.clone()).or_default();
                *seen = (*seen).max(*newest);
            }
        }
        for entry in late {
            let seq = self.tails.get(&entry.user).copied().unwrap_or_default().seq.next();
            self.put_back(self.placement.owner_of(&entry.user), entry, seq)?;
        }
        Ok(())
    }
}

fn audiences(
    sources: &[SourceShard],
    fingerprints: Fingerprints,
    placement: Placement,
    hasher: FixedState,
) -> Audiences {
    let mut audiences = Audiences::with_hasher(hasher);
    for source in sources {
        let rows = source.state.rows().map(|(_, row)| row);
        for row in rows.filter(|row| matches!(row.conversation, Conversation::Group(_))) {
            let shards = audiences.entry(fingerprints.of_conversation(&row.conversation)).or_default();
            for seat in &row.seats {
                let shard = placement.owner_of(source.state.tables.inboxes.user_at(seat.user));
                match shards.iter_mut().find(|(at, ..)| *at == shard) {
                    Some((_, from, through)) => {
                        (*from, *through) = ((*from).min(seat.joined), (*through).max(seat.left));
                    }
                    None => shards.push((shard, seat.joined, seat.left)),
                }
            }
        }
    }
    audiences
}

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod recover_tests;
#[cfg(test)]
mod tests;
