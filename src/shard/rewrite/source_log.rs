//! One old log, read completely: the input of a rewrite, and a record of what is lost.
//!
//! Pure. Invariants: a damaged log is refused, or salvaged and marked as damaged; nothing of another log, shard or
//! directory is trusted; entries that retention has dropped, or that an earlier repair has recorded as lost, are not
//! reported as lost again.

use crate::log::checkpoint::{Base, Checkpoint, CheckpointError};
use crate::log::{
    Cut, Damage, LogIdentity, OpenError, ReadMode, Record, Salvage, Segments, Side, Tail, Unread, View, expect_base,
    expect_beginning, inspect, made_at, salvage,
};
use crate::model::{Conversation, ConversationSeq, Message, MessageId, Position, Seq, ShardId, UserId};
use crate::shard::replay::apply::user_on;
use crate::shard::replay::checkpoint::UsableCheckpoint;
use crate::shard::rewrite::digest::Digest;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::{ShardSettings, State};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

/// How a damaged log is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamagePolicy {
    /// It is an error.
    Refuse,
    /// Every record that can be trusted is used.
    Salvage,
}

/// Lost seqs of a user's inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The user.
    pub user: UserId,
    /// The first seq.
    pub from: Seq,
    /// The last seq.
    pub through: Seq,
}

/// The reason why a directory cannot be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// A log cannot be opened.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// A record that was sound cannot be read.
    #[error(transparent)]
    Unread(#[from] Unread),
    /// The disk has no room for a new log.
    #[error("there is no room for the log of shard {shard}")]
    NoRoom {
        /// The shard of the new log.
        shard: ShardId,
    },
}

/// For each inbox its newest seq, its number of entries, and a digest of their seqs and message ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanCounts {
    pub(in crate::shard) inboxes: HashMap<UserId, (Seq, u64, u64), FixedState>,
}

impl Default for ScanCounts {
    fn default() -> Self {
        Self { inboxes: HashMap::with_hasher(FixedState::with_seed(0)) }
    }
}

impl ScanCounts {
    pub(in crate::shard) fn count(&mut self, user: &UserId, seq: Seq, message: MessageId) {
        let mut both = [0; 16];
        both[..8].copy_from_slice(&seq.0.to_le_bytes());
        both[8..].copy_from_slice(&message.0.to_le_bytes());
        let (newest, entries, digest) = self.inboxes.entry(user.clone()).or_default();
        *newest = (*newest).max(seq);
        *entries += 1;
        *digest = digest.wrapping_add(xxhash_rust::xxh3::xxh3_64(&both));
    }

    /// Adds the users of another log.
    pub fn merge(&mut self, other: Self) {
        self.inboxes.extend(other.inboxes);
    }

    pub(in crate::shard) fn knows(&self, user: &UserId) -> bool {
        self.inboxes.contains_key(user)
    }

    /// The number of users.
    pub fn users(&self) -> usize {
        self.inboxes.len()
    }

    /// The number of entries.
    pub fn entries(&self) -> u64 {
        self.inboxes.values().map(|(_, entries, _)| entries).sum()
    }
}

/// The message of a fanned-out entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FannedBody {
    There(MessageId),
    /// Retention has dropped the message.
    Dropped,
    Lost,
}

/// One old log, read completely.
pub struct SourceShard {
    pub(in crate::shard) me: ShardId,
    pub(in crate::shard) state: State,
    /// The records that put messages into inboxes and conversations, in order.
    pub(in crate::shard) messages: Vec<Position>,
    /// Records that the shard would have appended next: deliveries under way, and entries of groups' members.
    pub(in crate::shard) more: Vec<Record>,
    /// The oldest remaining place of each conversation in its thread here.
    pub(in crate::shard) oldest: HashMap<Fingerprint, ConversationSeq, FixedState>,
    /// A digest of every seq of every thread.
    pub threads: Digest,
    /// The message of the latest fan-out record, and whether it can be read.
    body: Option<(Position, FannedBody)>,
    /// In a damaged log, the remaining messages, by the side of their links.
    pub(in crate::shard) left: [HashSet<MessageId, FixedState>; 3],
    /// The log has its first segment.
    is_whole: bool,
    /// The state was rebuilt from a checkpoint.
    pub(in crate::shard) has_checkpoint: bool,
    first_segment: u32,
    end: Position,
    /// Counts of the inboxes.
    pub scan_counts: ScanCounts,
    /// Lost seqs.
    pub lost: Vec<Lost>,
    /// Damaged ranges of bytes.
    pub cuts: Vec<Cut>,
    /// Other damage.
    pub faults: Vec<OpenError>,
}

/// The tails of the threads of one new log.
pub(in crate::shard) type Threads = HashMap<Fingerprint, Tail, FixedState>;

impl SourceShard {
    /// Reads a shard's log and the newest usable one of `checkpoints`.
    ///
    /// # Errors
    ///
    /// The log is of another shard or version, or it is damaged and the policy refuses that.
    pub fn read<S: Segments, C: AsRef<[u8]>>(
        settings: &ShardSettings,
        log: &S,
        checkpoints: &[C],
        damage_policy: DamagePolicy,
    ) -> Result<Self, RewriteError> {
        match damage_policy {
            DamagePolicy::Refuse => Self::read_sound(settings, log, checkpoints),
            DamagePolicy::Salvage => Self::read_damaged(settings, log, checkpoints),
        }
    }

    fn read_sound<S: Segments, C: AsRef<[u8]>>(
        settings: &ShardSettings,
        log: &S,
        checkpoints: &[C],
    ) -> Result<Self, RewriteError> {
        let mut found = UsableCheckpoint::among(settings, checkpoints)?;
        expect_beginning(log, found.base.as_ref())?;
        if let Some(base) = &found.base {
            expect_base(log, settings.me, base)?;
        }
        found.resume(log)?;
        let UsableCheckpoint { base, state, .. } = found;
        let mut source = Self::new(settings, state, log);
        source.has_checkpoint = base.is_some();
        let base = base.map_or(Position::NONE, |base| base.end);
        let seen = inspect(log, settings.me, |position, record| {
            source.take(log, position, record, base, DamagePolicy::Refuse)
        })?;
        if let Some(damage) = seen.damage {
            return Err(OpenError::Damaged(damage).into());
        }
        if let Some(fault) = source.faults.pop().or_else(|| source.missing_debt()) {
            return Err(fault.into());
        }
        source.state.end_presence();
        source.find_lost_ends();
        Ok(source)
    }

    fn read_damaged<S: Segments, C: AsRef<[u8]>>(
        settings: &ShardSettings,
        log: &S,
        checkpoints: &[C],
    ) -> Result<Self, RewriteError> {
        let me = settings.me;
        let base_of = |it: &C| Checkpoint::decode(it.as_ref(), me).ok().map(|it| it.base);
        let made = made_at(log, me).or_else(|| checkpoints.iter().find_map(base_of).map(|base| base.log));
        let own: Vec<&[u8]> = {
            let is_own = |it: &&C| match Checkpoint::decode(it.as_ref(), me) {
                Ok(Checkpoint { base, .. }) => Some(base.log) == made,
                // Another version's checkpoint is kept, so that it is refused.
                Err(why) => matches!(why, CheckpointError::Version { .. }),
            };
            checkpoints.iter().filter(is_own).map(AsRef::as_ref).collect()
        };
        let mut found = UsableCheckpoint::among(settings, &own)?;
        let unread = found.resume_readable(log);
        let UsableCheckpoint { base, state, .. } = found;
        let mut source = Self::new(settings, state, log);
        source.faults.extend(unread);
        source.has_checkpoint = base.is_some();
        let durable = base.map_or(Position::NONE, |base| base.end);
        let identity = made.map(|log| LogIdentity { log, durable });
        let visit = |position, record| source.take(log, position, record, durable, DamagePolicy::Salvage);
        let Salvage { cuts, missing_to, .. } = salvage(log, me, identity, visit)?;
        source.cuts = cuts;
        source.find_faults(log, base.as_ref(), missing_to);
        source.state.end_presence();
        source.find_lost_ends();
        Ok(source)
    }

    fn new<S: Segments>(settings: &ShardSettings, state: State, log: &S) -> Self {
        let segments = log.segments();
        let none = || HashSet::with_hasher(FixedState::with_seed(settings.seed));
        Self {
            me: settings.me,
            state,
            messages: Vec::new(),
            more: Vec::new(),
            oldest: HashMap::with_hasher(FixedState::with_seed(settings.seed)),
            threads: Digest::default(),
            body: None,
            left: [none(), none(), none()],
            is_whole: segments.start == 1,
            has_checkpoint: false,
            first_segment: segments.start,
            end: Position::new(segments.end, 0),
            scan_counts: ScanCounts::default(),
            lost: Vec::new(),
            cuts: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Finds faults that keep a server from starting although every remaining record is sound.
    fn find_faults<S: Segments>(&mut self, log: &S, base: Option<&Base>, missing_to: Option<Position>) {
        self.faults.extend(expect_beginning(log, base).err());
        self.faults.extend(missing_to.map(|end| OpenError::Shortened { end }));
        if self.cuts.is_empty() && self.faults.is_empty() {
            self.faults.extend(base.and_then(|base| expect_base(log, self.me, base).err()));
        }
        self.faults.extend(self.missing_debt());
    }

    /// An unconfirmed delivery whose message is in a missing segment.
    fn missing_debt(&self) -> Option<OpenError> {
        let mut unconfirmed = self.state.peers.outbound.unconfirmed();
        let position = unconfirmed.find(|record| record.segment() < self.first_segment)?;
        Some(OpenError::Damaged(Damage { position }))
    }

    /// Whether acknowledged data is missing.
    pub fn is_damaged(&self) -> bool {
        !self.cuts.is_empty() || !self.faults.is_empty()
    }

    fn take<S: Segments>(
        &mut self,
        log: &S,
        position: Position,
        record: Record,
        base: Position,
        damage_policy: DamagePolicy,
    ) {
        if let Some((message, links)) = record.message() {
            self.messages.push(position);
            for link in links {
                match user_on(link.side, message) {
                    Some(user) => self.visit_entry(user, link.seq, message.id),
                    None => self.visit_place(message),
                }
                if damage_policy == DamagePolicy::Salvage {
                    self.left[index_of(link.side)].insert(message.id);
                }
            }
        }
        if let Record::Fanned { of, links } = &record {
            self.messages.push(position);
            let body = self.body_at(log, position, *of);
            links.iter().for_each(|member| self.visit_fanned(&member.user, member.link.seq, body));
        }
        if let Record::Inbox { user, seq } = &record {
            let (newest, ..) = self.scan_counts.inboxes.entry(user.clone()).or_default();
            *newest = (*newest).max(*seq);
        }
        if position >= base {
            self.state.replay(position, record, self.me);
        }
    }

    fn visit_entry(&mut self, user: &UserId, seq: Seq, message: MessageId) {
        self.expect_next(user, seq);
        self.scan_counts.count(user, seq, message);
    }

    fn visit_place(&mut self, message: &Message) {
        let conversation_key = self.state.identity.fingerprints.of_conversation(&message.conversation);
        self.oldest.entry(conversation_key).or_insert(message.conversation_seq);
        count_place(&mut self.threads, self.me, conversation_key, message);
    }

    /// An entry whose message is lost is lost, too: the next entry of its inbox, or the inbox's tail, shows the gap.
    fn visit_fanned(&mut self, user: &UserId, seq: Seq, body: FannedBody) {
        match body {
            FannedBody::There(message) => self.visit_entry(user, seq, message),
            FannedBody::Dropped => {
                self.expect_next(user, seq);
                let (newest, ..) = self.scan_counts.inboxes.entry(user.clone()).or_default();
                *newest = (*newest).max(seq);
            }
            FannedBody::Lost => {}
        }
    }

    fn body_at<S: Segments>(&mut self, log: &S, position: Position, of: Position) -> FannedBody {
        if let Some((_, body)) = self.body.filter(|(at, _)| *at == of) {
            return body;
        }
        let view = View::new(log, position, ReadMode::Unbounded);
        let is_there = self.messages.binary_search(&of).is_ok();
        let body = match view.read(of) {
            _ if view.is_gone(of) => FannedBody::Dropped,
            Ok(record) if is_there => {
                record.message().map_or(FannedBody::Lost, |(message, _)| FannedBody::There(message.id))
            }
            _ => FannedBody::Lost,
        };
        if body == FannedBody::Lost {
            self.faults.push(OpenError::Damaged(Damage { position: of }));
        }
        self.body = Some((of, body));
        body
    }

    /// Notes lost seqs before `seq`, unless retention has dropped them.
    fn expect_next(&mut self, user: &UserId, seq: Seq) {
        let newest = self.scan_counts.inboxes.get(user).map(|(newest, ..)| *newest);
        let Some(newest) = newest.or(self.is_whole.then_some(Seq(0))) else { return };
        if newest.next() < seq {
            self.lost.push(Lost { user: user.clone(), from: newest.next(), through: Seq(seq.0 - 1) });
        }
    }

    /// Finds lost entries after the newest remaining one, of which checkpoints and devices know.
    fn find_lost_ends(&mut self) {
        let known: Vec<(UserId, Seq, Position)> = {
            let tails = self.state.tables.inboxes.tails().map(|(user, tail)| (user, tail.seq, tail.last));
            let devices =
                self.state.tables.inboxes.devices().map(|(user, _, delivered)| (user, delivered, Position::NONE));
            tails.chain(devices).map(|(user, seq, last)| (user.clone(), seq, last)).collect()
        };
        for (user, seq, last) in known {
            let Some((newest, entries, _)) = self.scan_counts.inboxes.get_mut(&user) else {
                self.find_lost_inbox(user, seq, last);
                continue;
            };
            if *newest < seq {
                if *entries > 0 || self.is_whole {
                    self.lost.push(Lost { user, from: newest.next(), through: seq });
                }
                *newest = seq;
            }
        }
    }

    /// Finds a lost inbox: if nothing is left of the user and retention did not drop all of it, at least the newest
    /// entry should be there.
    fn find_lost_inbox(&mut self, user: UserId, seq: Seq, last: Position) {
        if seq.0 == 0 {
            return;
        }
        if self.is_whole {
            self.lost.push(Lost { user: user.clone(), from: Seq(1), through: seq });
        } else if last.segment() >= self.first_segment {
            self.lost.push(Lost { user: user.clone(), from: seq, through: seq });
        }
        self.scan_counts.inboxes.insert(user, (seq, 0, 0));
    }

    pub(in crate::shard) fn view<'a, S: Segments>(&self, log: &'a S) -> View<'a, S> {
        View::new(log, self.end, ReadMode::Unbounded)
    }

    /// The record at `position`, which may be one of `more`, after the log's end.
    pub(in crate::shard) fn record_at<S: Segments>(&self, log: &S, position: Position) -> Result<Record, RewriteError> {
        match self.more.get(position.0.wrapping_sub(self.end.0) as usize) {
            Some(record) => Ok(record.clone()),
            None => Ok(self.view(log).read(position)?),
        }
    }

    /// The message of a fanned-out entry, if it is left.
    pub(in crate::shard) fn body_of<S: Segments>(
        &self,
        log: &S,
        of: Position,
    ) -> Result<Option<Arc<Message>>, RewriteError> {
        if self.messages.binary_search(&of).is_err() {
            return Ok(None);
        }
        Ok(self.record_at(log, of)?.message().map(|(message, _)| message.clone()))
    }

    /// Adds a record after the log's end, as the shard would have appended it.
    pub(in crate::shard) fn go_on_with(&mut self, record: Record) {
        self.messages.push(self.next_position());
        self.more.push(record);
    }

    pub(in crate::shard) fn next_position(&self) -> Position {
        Position(self.end.0 + self.more.len() as u64)
    }

    /// The newest received delivery of each shard.
    pub(in crate::shard) fn taken(&self) -> Vec<u64> {
        self.state.peers.outbound.peers().iter().map(crate::shard::peers::peer_shard::PeerShard::taken).collect()
    }

    /// Whether this log's thread of a conversation may lack the message while other logs have it.
    pub(in crate::shard) fn has_lost_place(&self, message: MessageId) -> bool {
        self.is_damaged() && !self.left[index_of(Side::Conversation)].contains(&message)
    }

    /// Whether nothing was dropped from the beginning of the log.
    pub(in crate::shard) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The number of records that put messages into inboxes.
    pub fn messages(&self) -> u64 {
        self.messages.len() as u64
    }

    /// Every conversation of this log and its newest seq.
    pub fn conversations(&self) -> Vec<(Conversation, ConversationSeq)> {
        let rows = self.state.rows();
        rows.map(|(_, row)| (row.conversation.clone(), ConversationSeq(row.tail.seq.0))).collect()
    }
}

/// Checks that a log of sound records has everything that its newest checkpoint proves, and every unconfirmed delivery.
///
/// # Errors
///
/// Something is missing.
pub fn expect_checkpointed<S: Segments, C: AsRef<[u8]>>(
    settings: &ShardSettings,
    log: &S,
    checkpoints: &[C],
) -> Result<(), RewriteError> {
    if log.segments().start == 1 {
        let UsableCheckpoint { base, .. } = UsableCheckpoint::among(settings, checkpoints)?;
        return Ok(base.map_or(Ok(()), |base| expect_base(log, settings.me, &base))?);
    }
    SourceShard::read(settings, log, checkpoints, DamagePolicy::Refuse).map(|_| ())
}

/// Counts the place of a message in its conversation's thread in the log of a shard.
pub(in crate::shard) fn count_place(
    threads: &mut Digest,
    shard: ShardId,
    conversation_key: Fingerprint,
    message: &Message,
) {
    let [first, second] = conversation_key.halves();
    let numbers = [first, second, message.conversation_seq.0, message.id.0].map(u64::to_le_bytes);
    threads.add(shard, 0, &numbers.concat());
}

pub(in crate::shard) fn index_of(side: Side) -> usize {
    match side {
        Side::Author => 0,
        Side::Peer => 1,
        Side::Conversation => 2,
    }
}
