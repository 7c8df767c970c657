//! Proves the promises of a server from the logs of a data directory, and names the place of each violation.
//!
//! Pure: logs are read, nothing is changed, and no shard runs. `Examined::read` reads one log and follows every link;
//! `audit` recounts unread messages and compares the shards with each other. Invariant: memory grows with users,
//! conversations and the client ids of one window, never with messages.

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

/// Violations that are reported; further ones are only counted.
const TOLD_MAX: usize = 1_000;

/// A promise of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// An inbox has the seqs 1 to n, without a hole.
    Inbox,
    /// A message is in the inbox of every user whom it concerns.
    Entry,
    /// A client id of an author stands for one message.
    ClientId,
    /// Every link leads to the record that it names.
    Link,
    /// The stored number of unread messages is the true one.
    Unread,
    /// All members see a conversation in one order, each seq once.
    Order,
    /// The members of a group are those who have a seat.
    Membership,
    /// Each delivery between shards arrives once, in order.
    Delivery,
    /// A group's message reaches each member once.
    FanOut,
}

impl Promise {
    /// The stable word for the promise in reports.
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

/// A broken promise and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// The shard whose log shows it.
    pub shard: ShardId,
    /// The record that shows it; `Position::NONE` where only many together do.
    pub position: Position,
    /// The user whom it concerns, if one.
    pub user: Option<UserId>,
    /// The conversation that it concerns, if one.
    pub conversation: Option<Conversation>,
    /// The inbox seq if a user is named; else the conversation seq, or the number of a delivery.
    pub seq: u64,
    /// The sentence for the operator.
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

/// Counts of what was examined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditTally {
    /// Users.
    pub users: u64,
    /// Entries of inboxes.
    pub entries: u64,
    /// Entries that retention has dropped.
    pub dropped: u64,
    /// Entries that a log records as missing for good.
    pub missing: u64,
    /// Client ids.
    pub client_ids: u64,
    /// Memberships.
    pub seats: u64,
    /// Memberships of which some unread messages are not in the log any more: their count is only bounded.
    pub bounded_seats: u64,
    /// Conversations.
    pub conversations: u64,
    /// Messages that were compared with another shard's.
    pub compared: u64,
    /// Groups.
    pub groups: u64,
    /// Members of groups.
    pub members: u64,
    /// Deliveries between shards.
    pub deliveries: u64,
    /// Deliveries that were not received yet.
    pub owed: u64,
    /// Group messages that not all members have yet.
    pub fanning_out: u64,
}

/// The result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first violations, at most 1,000.
    pub violations: Vec<Violation>,
    /// The number of all violations.
    pub count: u64,
    /// Counts of what was examined.
    pub tally: AuditTally,
    /// Nobody else matters.
    only: Option<UserId>,
}

impl Findings {
    /// Empty findings; with `only`, violations that do not concern this user are left out.
    pub fn about(only: Option<UserId>) -> Self {
        Self { only, ..Self::default() }
    }

    /// Whether no promise is broken.
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

/// One shard's log, read up to one position.
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
    /// Reads a shard's records before `end`, and rebuilds its state from the first usable one of `checkpoints` (newest
    /// first) and the records after it. The checkpoints end before `end`.
    ///
    /// # Errors
    ///
    /// The log cannot be read up to there.
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

/// Recounts unread messages, and compares the shards with each other. `shards[n]` is shard n, up to ends that agree
/// with each other. `advance` receives the number of conversations done.
pub fn audit<S: Segments>(shards: &[Examined<'_, S>], findings: &mut Findings, advance: &dyn Fn(u64)) {
    for shard in shards {
        shard.recount(findings, advance);
    }
    crate::shard::audit::across::deliveries(shards, findings);
    crate::shard::audit::across::orders(shards, findings, advance);
    crate::shard::audit::groups::memberships(shards, findings);
}

/// The number of conversations that `audit` examines.
pub fn conversations<S>(shards: &[Examined<'_, S>]) -> u64 {
    2 * shards.iter().map(|shard| shard.state.conversations.len() as u64).sum::<u64>()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
