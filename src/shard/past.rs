//! One old log, read whole: what a rewriting begins with, and what is known to be gone.
//!
//! Pure. Invariants: a damaged log is refused, or salvaged and said to be damaged; nothing of another log, shard or
//! directory is believed; what retention has dropped, or an earlier repair has given up, is not lost once more.

use super::checkpoint::Found;
use super::take::user_on;
use super::{Settings, State};
use crate::log::checkpoint::{Base, Checkpoint};
use crate::log::{
    Cut, Damage, Identity, OpenError, Patience, Record, Salvage, Segments, Side, Unread, View, expect_base,
    expect_beginning, inspect, made_at, salvage,
};
use crate::model::{Conversation, ConversationSeq, MessageId, Position, Seq, ShardId, UserId};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

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
    pub(super) inboxes: HashMap<UserId, (Seq, u64, u64), FixedState>,
}

impl Default for Census {
    fn default() -> Self {
        Self { inboxes: HashMap::with_hasher(FixedState::with_seed(0)) }
    }
}

impl Census {
    pub(super) fn count(&mut self, user: &UserId, seq: Seq, message: MessageId) {
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

    pub(super) fn knows(&self, user: &UserId) -> bool {
        self.inboxes.contains_key(user)
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
    pub(super) me: ShardId,
    pub(super) state: State,
    /// The records that put messages into inboxes, in order.
    pub(super) messages: Vec<Position>,
    /// In a damaged log, the messages that are left, by the side that they were for.
    pub(super) left: [HashSet<MessageId, FixedState>; 2],
    /// The log goes back to its beginning.
    is_whole: bool,
    first_segment: u32,
    end: Position,
    pub census: Census,
    pub lost: Vec<Lost>,
    pub cuts: Vec<Cut>,
    /// What is wrong with it besides.
    pub faults: Vec<OpenError>,
}

impl Past {
    /// Reads a shard's log and the newest of `checkpoints` that can be used.
    pub fn read<S: Segments, C: AsRef<[u8]>>(
        settings: &Settings,
        log: &S,
        checkpoints: &[C],
        care: Care,
    ) -> Result<Self, RewriteError> {
        match care {
            Care::Refuse => Self::read_sound(settings, log, checkpoints),
            Care::Salvage => Self::read_damaged(settings, log, checkpoints),
        }
    }

    fn read_sound<S: Segments, C: AsRef<[u8]>>(
        settings: &Settings,
        log: &S,
        checkpoints: &[C],
    ) -> Result<Self, RewriteError> {
        let Found { base, state, .. } = Found::among(settings, checkpoints);
        expect_beginning(log, base.as_ref())?;
        if let Some(base) = &base {
            expect_base(log, settings.me, base)?;
        }
        let mut past = Self::new(settings, state, log);
        let base = base.map_or(Position::NONE, |base| base.end);
        let seen = inspect(log, settings.me, |position, record| past.take(position, record, base, Care::Refuse))?;
        if let Some(damage) = seen.damage {
            return Err(OpenError::Damaged(damage).into());
        }
        if let Some(fault) = past.missing_debt() {
            return Err(fault.into());
        }
        past.find_lost_ends();
        Ok(past)
    }

    fn read_damaged<S: Segments, C: AsRef<[u8]>>(
        settings: &Settings,
        log: &S,
        checkpoints: &[C],
    ) -> Result<Self, RewriteError> {
        let me = settings.me;
        let base_of = |it: &C| Checkpoint::decode(it.as_ref(), me).ok().map(|it| it.base);
        let made = made_at(log, me).or_else(|| checkpoints.iter().find_map(base_of).map(|base| base.log));
        let own: Vec<&[u8]> = {
            let is_own = |it: &&C| base_of(it).is_some_and(|base| Some(base.log) == made);
            checkpoints.iter().filter(is_own).map(AsRef::as_ref).collect()
        };
        let Found { base, state, .. } = Found::among(settings, &own);
        let mut past = Self::new(settings, state, log);
        let durable = base.map_or(Position::NONE, |base| base.end);
        let identity = made.map(|log| Identity { log, durable });
        let visit = |position, record| past.take(position, record, durable, Care::Salvage);
        let Salvage { cuts, missing_to, .. } = salvage(log, me, identity, visit)?;
        past.cuts = cuts;
        past.find_faults(log, base.as_ref(), missing_to);
        past.find_lost_ends();
        Ok(past)
    }

    fn new<S: Segments>(settings: &Settings, state: State, log: &S) -> Self {
        let segments = log.segments();
        let none = || HashSet::with_hasher(FixedState::with_seed(settings.seed));
        Self {
            me: settings.me,
            state,
            messages: Vec::new(),
            left: [none(), none()],
            is_whole: segments.start == 1,
            first_segment: segments.start,
            end: Position::new(segments.end, 0),
            census: Census::default(),
            lost: Vec::new(),
            cuts: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// What a start would refuse though every record that is left is whole.
    fn find_faults<S: Segments>(&mut self, log: &S, base: Option<&Base>, missing_to: Option<Position>) {
        self.faults.extend(expect_beginning(log, base).err());
        self.faults.extend(missing_to.map(|end| OpenError::Shortened { end }));
        if self.cuts.is_empty() && self.faults.is_empty() {
            self.faults.extend(base.and_then(|base| expect_base(log, self.me, base).err()));
        }
        self.faults.extend(self.missing_debt());
    }

    /// A delivery is owed whose message is in a segment that is not there.
    fn missing_debt(&self) -> Option<OpenError> {
        let mut owed = self.state.relay.unconfirmed();
        let position = owed.find(|record| record.segment() < self.first_segment)?;
        Some(OpenError::Damaged(Damage { position }))
    }

    /// Something is missing that was acknowledged.
    pub fn is_damaged(&self) -> bool {
        !self.cuts.is_empty() || !self.faults.is_empty()
    }

    fn take(&mut self, position: Position, record: Record, base: Position, care: Care) {
        if let Some((message, links)) = record.message() {
            self.messages.push(position);
            for link in links {
                let Some(user) = user_on(link.side, message) else { continue };
                self.expect_next(user, link.seq);
                self.census.count(user, link.seq, message.id);
                if care == Care::Salvage {
                    self.left[index_of(link.side)].insert(message.id);
                }
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
    fn expect_next(&mut self, user: &UserId, seq: Seq) {
        let newest = self.census.inboxes.get(user).map(|(newest, ..)| *newest);
        let Some(newest) = newest.or(self.is_whole.then_some(Seq(0))) else { return };
        if newest.next() < seq {
            self.lost.push(Lost { user: user.clone(), from: newest.next(), through: Seq(seq.0 - 1) });
        }
    }

    /// Checkpoints and devices may know of entries behind the newest that is left.
    fn find_lost_ends(&mut self) {
        let known: Vec<(UserId, Seq, Position)> = {
            let tails = self.state.inboxes.tails().map(|(user, tail)| (user, tail.seq, tail.last));
            let devices = self.state.inboxes.devices().map(|(user, _, delivered)| (user, delivered, Position::NONE));
            tails.chain(devices).map(|(user, seq, last)| (user.clone(), seq, last)).collect()
        };
        for (user, seq, last) in known {
            let Some((newest, entries, _)) = self.census.inboxes.get_mut(&user) else {
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

    /// Of this user nothing is left. Unless retention dropped it all, at least the newest entry should be.
    fn find_lost_inbox(&mut self, user: UserId, seq: Seq, last: Position) {
        if seq.0 == 0 {
            return;
        }
        if self.is_whole {
            self.lost.push(Lost { user: user.clone(), from: Seq(1), through: seq });
        } else if last.segment() >= self.first_segment {
            self.lost.push(Lost { user: user.clone(), from: seq, through: seq });
        }
        self.census.inboxes.insert(user, (seq, 0, 0));
    }

    pub(super) fn view<'a, S: Segments>(&self, log: &'a S) -> View<'a, S> {
        View::new(log, self.end, Patience::Unbounded)
    }

    /// The newest delivery of each shard that this one had taken.
    pub(super) fn taken(&self) -> Vec<u64> {
        self.state.relay.peers().iter().map(super::relay::Peer::taken).collect()
    }

    /// Whether something may have been dropped from its beginning.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
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

/// Whether a log whose records are sound has all that its newest checkpoint vouches for, and all that is owed.
pub fn expect_checkpointed<S: Segments, C: AsRef<[u8]>>(
    settings: &Settings,
    log: &S,
    checkpoints: &[C],
) -> Result<(), RewriteError> {
    if log.segments().start == 1 {
        let Found { base, .. } = Found::among(settings, checkpoints);
        return Ok(base.map_or(Ok(()), |base| expect_base(log, settings.me, &base))?);
    }
    Past::read(settings, log, checkpoints, Care::Refuse).map(|_| ())
}

pub(super) fn index_of(side: Side) -> usize {
    match side {
        Side::Author => 0,
        Side::Peer => 1,
        Side::Conversation => 2,
    }
}
