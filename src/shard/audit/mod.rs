//! Proves of a data directory's logs what clients rely on, and names the place where it is not so.
//!
//! Pure: logs are read, nothing is changed and no shard runs. `Examined::read` goes through one log and follows every
//! link (`audit_log`); `audit` recounts what is unread (`audit_unread`) and holds the shards against each other
//! (`audit_across`). Invariant: memory grows with users, conversations and the client ids of one window, never with
//! messages.

pub(super) mod across;
pub(super) mod groups;
pub(super) mod log;
pub(super) mod unread;

use super::{ShardSettings, State};
use crate::log::{Inspection, OpenError, ReadMode, Segments, View, inspect};
use crate::model::{Conversation, Position, ShardId, UserId};
use crate::shard::audit::across::PeerDeliveries;
use crate::shard::audit::log::{Gaps, Ledger};
use crate::shard::replay::checkpoint::UsableCheckpoint;
use crate::shard::table::fingerprint::Fingerprint;

/// So many violations are told; more are counted.
const TOLD_MAX: usize = 1_000;

/// What a server promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// An inbox's seqs are 1 to n.
    Inbox,
    /// A message is in the inboxes of all that it is for.
    Entry,
    /// An author's id of a message stands for one message.
    ClientId,
    /// A link leads where it says.
    Link,
    /// The stored count of what is unread is what a recount finds.
    Unread,
    /// All see a conversation in one order, each place taken once.
    Order,
    /// A group's members are those who have a seat.
    Membership,
    /// What one shard owes another arrives once, in order.
    Delivery,
    /// A group's message goes to each member once.
    FanOut,
}

impl Promise {
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Entry => "entry",
            Self::ClientId => "client-id",
            Self::Link => "link",
            Self::Unread => "unread",
            Self::Order => "order",
            Self::Membership => "membership",
            Self::Delivery => "delivery",
            Self::FanOut => "fan-out",
        }
    }
}

/// A promise that a log breaks, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub promise: Promise,
    pub shard: ShardId,
    /// The record that shows it; none where it is the sum of many.
    pub position: Position,
    pub user: Option<UserId>,
    pub conversation: Option<Conversation>,
    /// Of the inbox where a user is named, else of the conversation, or the number of a delivery.
    pub seq: u64,
    pub why: String,
}

impl Violation {
    fn concerns(&self, user: &UserId) -> bool {
        let is_in = match &self.conversation {
            Some(Conversation::Pair(a, b)) => a == user || b == user,
            // A group's order is every member's business, and of all others that of nobody.
            Some(Conversation::Group(_)) => self.user.is_none(),
            None => false,
        };
        is_in || self.user.as_ref() == Some(user)
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditTally {
    pub users: u64,
    pub entries: u64,
    /// Entries that retention has dropped.
    pub dropped: u64,
    /// Entries of which a log says that they are missing for good.
    pub missing: u64,
    pub client_ids: u64,
    pub seats: u64,
    /// Seats of which some unread messages are not in the log any more: there the count is only bounded.
    pub bounded_seats: u64,
    pub conversations: u64,
    /// Messages that were held against another shard's.
    pub compared: u64,
    pub groups: u64,
    pub members: u64,
    pub deliveries: u64,
    /// Deliveries owed and not taken yet.
    pub owed: u64,
    /// Messages on their way into their group's inboxes.
    pub fanning_out: u64,
}

/// What an audit has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first of them.
    pub violations: Vec<Violation>,
    /// All of them.
    pub count: u64,
    pub tally: AuditTally,
    /// Nobody else matters.
    only: Option<UserId>,
}

impl Findings {
    pub fn about(only: Option<UserId>) -> Self {
        Self { only, ..Self::default() }
    }

    pub fn is_sound(&self) -> bool {
        self.count == 0
    }

    pub(super) fn wants(&self, user: &UserId) -> bool {
        self.only.as_ref().is_none_or(|only| only == user)
    }

    pub(super) fn only(&self) -> Option<&UserId> {
        self.only.as_ref()
    }

    pub(super) fn add(&mut self, violation: Violation) {
        if self.only.as_ref().is_some_and(|only| !violation.concerns(only)) {
            return;
        }
        self.count += 1;
        if self.violations.len() < TOLD_MAX {
            self.violations.push(violation);
        }
    }
}

/// One shard's log, read up to `end`.
pub struct Examined<'a, S> {
    pub(super) me: ShardId,
    log: &'a S,
    end: Position,
    pub(super) state: State,
    /// What it has exchanged with each shard.
    pub(super) lanes: Vec<PeerDeliveries>,
    /// What a rewriting of the directory has said to be missing of conversations.
    gaps: Gaps,
}

impl<'a, S: Segments> Examined<'a, S> {
    /// Reads a shard's records before `end`, and takes up what the first of `checkpoints` (newest first) that can be
    /// used and the records behind it say, as a start would. The checkpoints end before `end`.
    pub fn read<C: AsRef<[u8]>>(
        settings: &ShardSettings,
        log: &'a S,
        checkpoints: &[C],
        end: Position,
        findings: &mut Findings,
    ) -> Result<Self, OpenError> {
        let mut found = UsableCheckpoint::among(settings, checkpoints)?;
        found.resume(log)?;
        let UsableCheckpoint { base, mut state, .. } = found;
        let first = log.segments().start;
        if base.is_none() && first > 1 {
            return Err(OpenError::BeginningMissing { segment: first });
        }
        let base = base.map_or(Position::NONE, |base| base.end);
        let mut ledger = Ledger::new(settings, log, findings);
        let inspected = inspect(log, settings.me, |position, record| {
            if position >= end {
                return;
            }
            ledger.take(position, &record);
            if position >= base {
                state.replay(position, record, settings.me);
            }
        })?;
        let Inspection { end: found, damage, .. } = inspected;
        if let Some(damage) = damage.filter(|_| found < end) {
            return Err(OpenError::Damaged(damage));
        }
        if found < base {
            return Err(OpenError::Shortened { end: base });
        }
        ledger.compare(&state);
        let (lanes, gaps) = ledger.close();
        Ok(Self { me: settings.me, log, end, state, lanes, gaps })
    }

    pub(super) fn view(&self) -> View<'a, S> {
        View::new(self.log, self.end, ReadMode::Unbounded)
    }

    /// Whether retention has dropped nothing.
    pub(super) fn is_whole(&self) -> bool {
        self.log.segments().start <= 1
    }

    /// How many of these places the log says to be missing from the conversation for good.
    pub(super) fn missing_between(&self, name: Fingerprint, from: u64, through: u64) -> u64 {
        let gaps = self.gaps.get(&name).into_iter().flatten();
        gaps.map(|(first, last)| (last.min(&through) + 1).saturating_sub(*first.max(&from))).sum()
    }
}

/// Recounts, and holds the shards against each other. `shards[n]` is shard n, up to ends that agree with each other.
/// `advance` is told of each conversation.
pub fn audit<S: Segments>(shards: &[Examined<'_, S>], findings: &mut Findings, advance: &dyn Fn(u64)) {
    for shard in shards {
        shard.recount(findings, advance);
    }
    crate::shard::audit::across::deliveries(shards, findings);
    crate::shard::audit::across::orders(shards, findings, advance);
    crate::shard::audit::groups::memberships(shards, findings);
}

/// How many conversations `audit` tells its `advance` of.
pub fn conversations<S>(shards: &[Examined<'_, S>]) -> u64 {
    2 * shards.iter().map(|shard| shard.state.conversations.len() as u64).sum::<u64>()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
