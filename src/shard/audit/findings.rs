//! The promises that an audit checks, and its findings.

use crate::model::{Conversation, Position, ShardId, UserId};

/// Violations that are reported; further ones are only counted.
const TOLD_MAX: usize = 1_000;

/// A promise of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// An inbox has the seqs 1 to n, without a hole.
    Inbox,
    /// A message is in the inbox of every user for whom it is.
    Entry,
    /// A client id of an author stands for one message.
    ClientId,
    /// Every link leads to the record that it names.
    Link,
    /// The stored number of unread messages is correct.
    Unread,
    /// All members see a conversation in one order, each seq once.
    Order,
    /// The members of a group are the users with a seat in it.
    Membership,
    /// Each delivery between shards arrives once, in order.
    Delivery,
    /// A group's message reaches each member once.
    FanOut,
    /// The logs of all shards are of one history: none holds what it had lost when a later run began.
    History,
}

impl Promise {
    /// The stable name of the promise in reports.
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
            Self::History => "history",
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
    /// The record that shows it; `Position::NONE` if no single record does.
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
            // The order of a group concerns every member; other violations of a group concern only the named user.
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
    /// Memberships of which some unread messages are no longer in the log: only bounds of their count can be checked.
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
    pub under_way: u64,
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
    /// If set, violations that do not concern this user are ignored.
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

    /// The log of this shard, which ends there, does not fit the others.
    pub fn note_misfit(&mut self, shard: ShardId, end: Position, why: &str) {
        let (promise, why) = (Promise::History, format!("the log {why}"));
        self.add(Violation { promise, shard, position: end, user: None, conversation: None, seq: 0, why });
    }

    pub(in crate::shard) fn wants(&self, user: &UserId) -> bool {
        self.only.as_ref().is_none_or(|only| only == user)
    }

    pub(in crate::shard) fn only(&self) -> Option<&UserId> {
        self.only.as_ref()
    }

    pub(in crate::shard) fn add(&mut self, violation: Violation) {
        if self.only.as_ref().is_some_and(|only| !violation.concerns(only)) {
            return;
        }
        self.count += 1;
        if self.violations.len() < TOLD_MAX {
            self.violations.push(violation);
        }
    }
}
