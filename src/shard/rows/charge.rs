//! What a user's message is charged, beside being one: for its bytes, and for the members of its group. And what one user
//! may write and begin in a day.
//!
//! Invariants: a message costs at least one of the user's sends and at most as many as it may save up, so that none is
//! refused for ever; how many client ids of one user are remembered, and how much of the disk one user takes, follows
//! from the day's share.

use crate::log::Storage;
use crate::model::{Conversation, Limits, Moment, Refusal, Send, UserId};
use crate::shard::Shard;
use crate::shard::rows::inbox::UserIndex;
use crate::shard::table::fingerprint::Fingerprint;

const DAY_MS: u64 = 24 * 3_600 * 1_000;
const MICROS_PER_DAY: u64 = DAY_MS * 1_000;
/// A record's envelope, links and ids, and what is remembered of the message's client id.
const MESSAGE_BYTES: u64 = 256;
/// One member's entry in the log.
const LINK_BYTES: u64 = 32;
/// Where a limit of a day is 0: hours at the full rate of sends, and bytes of each of them.
const HOURS_A_DAY: u64 = 6;
const BYTES_A_SEND: u64 = 4 << 10;
const CONVERSATIONS_PER_SECOND_OF_SENDS: u64 = 100;

/// What one thing costs, in microseconds of a bucket that a day fills.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct Prices {
    send_us: u64,
    /// Of 1 MiB: a byte's is far below one.
    mebibyte_us: u64,
    conversation_us: u64,
}

/// What a message is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Charge {
    /// Of the user's sends.
    pub sends: u32,
    /// About what it takes in the log.
    pub bytes: u64,
}

impl Prices {
    pub fn of(limits: &Limits) -> Self {
        let or = |limit: u64, derived: u64| if limit == 0 { derived } else { limit };
        let per_second = u64::from(limits.sends_per_second);
        let sends = or(limits.sends_per_day, per_second * 3_600 * HOURS_A_DAY);
        let bytes = or(limits.written_bytes_per_day, sends.saturating_mul(BYTES_A_SEND));
        let conversations = or(limits.new_conversations_per_day, per_second * CONVERSATIONS_PER_SECOND_OF_SENDS);
        Self {
            send_us: MICROS_PER_DAY / sends,
            mebibyte_us: u64::try_from((u128::from(MICROS_PER_DAY) << 20) / u128::from(bytes)).unwrap_or(u64::MAX),
            conversation_us: MICROS_PER_DAY / conversations,
        }
    }

    /// Of a message that takes so much of the log.
    fn share_us(self, bytes: u64) -> u64 {
        self.send_us.saturating_add(self.mebibyte_us.saturating_mul(bytes) >> 20)
    }
}

impl Charge {
    /// `members`: of the group.
    pub fn of(content_bytes: usize, members: usize, limits: &Limits) -> Self {
        let units = content_bytes / limits.send_unit_bytes.max(1) + members / limits.send_unit_members.max(1);
        Self {
            sends: u32::try_from(1 + units).unwrap_or(u32::MAX),
            bytes: MESSAGE_BYTES + content_bytes as u64 + LINK_BYTES * members as u64,
        }
    }
}

impl Charge {
    /// What the members of a group cost beyond the message itself.
    pub fn of_members(members: usize, limits: &Limits) -> Self {
        let sends = u32::try_from(members / limits.send_unit_members.max(1)).unwrap_or(u32::MAX);
        Self { sends, bytes: LINK_BYTES * members as u64 }
    }
}

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn charge_of(&self, send: &Send, conversation: &Conversation, name: Fingerprint) -> Charge {
        let bytes = send.content.len() + send.extra.bytes();
        Charge::of(bytes, self.members_about(conversation, name), &self.settings.limits)
    }

    /// How many members the group has, as far as a shard of one of them can say: as many on every shard as here.
    pub(in crate::shard) fn members_about(&self, conversation: &Conversation, name: Fingerprint) -> usize {
        let Conversation::Group(_) = conversation else { return 0 };
        let at = self.state.conversations.find(name, conversation, &self.state.inboxes);
        let here = at.map_or(0, |at| self.state.conversations.at(at).full_seats().len());
        here * usize::from(self.settings.placement.shards())
    }

    /// Takes the charge, or says why it cannot be taken. Whether the user may also begin a conversation.
    pub(in crate::shard) fn charge(&mut self, now: Moment, user: UserIndex, charge: Charge) -> Result<bool, Refusal> {
        let (limits, prices) = (&self.settings.limits, self.prices);
        let allowance = self.state.inboxes.allowance_at(user, now);
        if !allowance.sends.take(now.steady, charge.sends, limits) {
            return Err(Refusal::SendTooFast);
        }
        match allowance.day.take_us(now.steady, prices.share_us(charge.bytes), MICROS_PER_DAY) {
            true => Ok(allowance.begun.has_us(now.steady, prices.conversation_us, MICROS_PER_DAY)),
            false => Err(Refusal::DailyShareUsed),
        }
    }

    /// The user has written its first message of a conversation. It is in the log: what it is more than the user may is
    /// owed, and nothing new is begun until then.
    pub(in crate::shard) fn charge_conversation(&mut self, now: Moment, user: UserIndex) {
        let price_us = self.prices.conversation_us;
        self.state.inboxes.allowance_at(user, now).begun.owe_us(now.steady, price_us);
    }

    /// Whether the user would begin this conversation by writing to it.
    pub(in crate::shard) fn would_begin(&self, user: &UserId, conversation: &Conversation, name: Fingerprint) -> bool {
        let Conversation::Pair(..) = conversation else { return false };
        let at = self.state.conversations.find(name, conversation, &self.state.inboxes);
        at.is_none_or(|at| self.state.conversations.at(at).sides(user, &self.state.inboxes).author.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::testing::fixtures::{self, Cluster, NOW, message, refusals, to_group};
    use crate::shard::*;

    fn cluster(limits: Limits) -> Cluster {
        let disks = vec![crate::log::MemoryStorage::new(1 << 20, 64)];
        let mut cluster = Cluster::start(Windows::default(), limits, disks, vec![Vec::new()], NOW);
        cluster.settle();
        cluster.open(1, "alice");
        cluster.settle();
        cluster.heard();
        cluster
    }

    /// What the requests are refused with, at once.
    fn refused(cluster: &mut Cluster, commands: impl IntoIterator<Item = Command>) -> Vec<Refusal> {
        commands.into_iter().for_each(|command| cluster.request(1, "alice", command));
        cluster.settle();
        refusals(cluster.replies())
    }

    #[test]
    fn a_large_message_takes_as_many_sends_as_it_has_units_of_bytes() {
        let mut cluster = cluster(Limits { sends_per_second: 1, sends_burst: 10, ..Limits::default() });
        let large = "x".repeat(64 << 10);
        assert_eq!(refused(&mut cluster, [message("a", "bob", &large)]), []);
        assert_eq!(refused(&mut cluster, [message("b", "bob", "x")]), [], "the tenth");
        assert_eq!(refused(&mut cluster, [message("c", "bob", "x")]), [Refusal::SendTooFast]);
    }

    #[test]
    fn a_send_that_costs_more_than_can_be_saved_up_is_let_through_when_everything_is_saved_up() {
        let mut cluster = cluster(Limits { sends_per_second: 1, sends_burst: 3, ..Limits::default() });
        let large = "x".repeat(64 << 10);
        assert_eq!(refused(&mut cluster, [message("a", "bob", &large)]), []);
        assert_eq!(refused(&mut cluster, [message("b", "bob", "x")]), [Refusal::SendTooFast]);
    }

    #[test]
    fn a_group_send_is_charged_by_its_members() {
        let limits = Limits { sends_per_second: 1, sends_burst: 10, send_unit_members: 20, ..Limits::default() };
        let mut cluster = cluster(limits);
        let members: Vec<String> = (0..99).map(|number| format!("member-{number}")).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        cluster.order(fixtures::create("crowd", "alice", &members));
        assert_eq!(
            refused(&mut cluster, [to_group("a", "crowd", "x"), to_group("b", "crowd", "x")]),
            [Refusal::SendTooFast]
        );
    }

    #[test]
    fn a_day_has_a_share_of_messages_and_of_bytes_and_it_comes_back() {
        let limits = Limits { sends_per_day: 10, written_bytes_per_day: 1 << 20, ..Limits::default() };
        let mut messages = cluster(limits);
        let few = |from: u32| (from..from + 12).map(|number| message(&format!("m{number}"), "bob", "x"));
        assert_eq!(refused(&mut messages, few(0)), [Refusal::DailyShareUsed; 3], "and 10 KB of records");
        messages.now = messages.now.plus(DAY_MS / 2);
        assert_eq!(refused(&mut messages, few(100)).len(), 7, "half a day, half a share");
        let mut bytes = cluster(Limits { written_bytes_per_day: 100 << 10, ..Limits::default() });
        let large = "x".repeat(60 << 10);
        let two = [message("a", "bob", &large), message("b", "bob", &large)];
        assert_eq!(refused(&mut bytes, two), [Refusal::DailyShareUsed]);
    }

    #[test]
    fn so_many_conversations_are_begun_in_a_day_and_those_that_are_there_go_on() {
        let mut cluster = cluster(Limits { new_conversations_per_day: 5, ..Limits::default() });
        let to = |number: u32| message(&format!("m{number}"), &format!("stranger-{number}"), "x");
        for number in 0..5 {
            assert_eq!(refused(&mut cluster, [to(number)]), []);
        }
        assert_eq!(refused(&mut cluster, [to(5), to(6)]), [Refusal::TooManyConversations; 2]);
        assert_eq!(refused(&mut cluster, [message("again", "stranger-0", "x")]), []);
        assert_eq!(cluster.shards[0].stats().conversations, 5, "no row is made for a refusal");
        cluster.open(2, "bob");
        cluster.request(2, "bob", message("hello", "alice", "x"));
        cluster.settle();
        cluster.heard();
        assert_eq!(refused(&mut cluster, [message("answer", "bob", "x")]), [], "who was written to may answer");
        cluster.now = cluster.now.plus(DAY_MS);
        assert_eq!(refused(&mut cluster, [to(7)]), []);
    }

    #[test]
    fn a_limit_of_a_day_that_is_0_follows_from_the_rate_of_sends() {
        let prices = Prices::of(&Limits::default());
        assert_eq!(MICROS_PER_DAY / prices.send_us, 2_160_000);
        assert_eq!(MICROS_PER_DAY / prices.conversation_us, 10_000);
        let fast = Prices::of(&Limits { sends_per_second: 100_000_000, ..Limits::default() });
        assert_eq!((fast.send_us, fast.conversation_us), (0, 8), "who may send without a limit may do so all day");
    }
}
