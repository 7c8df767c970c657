//! Charges a user for messages and new conversations, before they are written.

use crate::log::Storage;
use crate::model::{Conversation, Moment, Refusal, Send, UserId};
use crate::shard::Shard;
use crate::shard::rows::charge::{Charge, MICROS_PER_DAY};
use crate::shard::rows::index::UserIndex;
use crate::shard::table::fingerprint::Fingerprint;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn charge_of(
        &self,
        send: &Send,
        conversation: &Conversation,
        conversation_key: Fingerprint,
    ) -> Charge {
        let bytes = send.content.len() + send.extra.bytes();
        Charge::of(bytes, self.members_about(conversation, conversation_key), &self.settings.limits)
    }

    /// The group's size, estimated from this shard: all shards are assumed to have as many members as this one.
    pub(in crate::shard) fn members_about(&self, conversation: &Conversation, conversation_key: Fingerprint) -> usize {
        let Conversation::Group(_) = conversation else { return 0 };
        let at = self.state.tables.conversations.find(conversation_key, conversation, &self.state.tables.inboxes);
        let here = at.map_or(0, |at| self.state.tables.conversations.at(at).full_seats().len());
        here * usize::from(self.settings.placement.shards())
    }

    /// Takes the charge; an error is the refusal. Returns whether the user may also begin a conversation.
    pub(in crate::shard) fn charge(
        &mut self,
        now: Moment,
        user_index: UserIndex,
        charge: Charge,
    ) -> Result<bool, Refusal> {
        let (limits, prices) = (&self.settings.limits, self.prices);
        let allowance = self.state.tables.inboxes.allowance_at(user_index, now);
        if !allowance.sends.take(now.steady, charge.sends, limits) {
            return Err(Refusal::SendTooFast);
        }
        if let Some(bytes) = charge.bytes
            && !allowance.day.take_us(now.steady, prices.share_us(bytes), MICROS_PER_DAY)
        {
            return Err(Refusal::DailyShareUsed);
        }
        Ok(allowance.begun.has_us(now.steady, prices.conversation_us, MICROS_PER_DAY))
    }

    /// Charges a user for a conversation that it has begun. The message is in the log already, so the charge may exceed
    /// the allowance; then the user begins no other conversation until the debt has expired.
    pub(in crate::shard) fn charge_conversation(&mut self, now: Moment, user_index: UserIndex) {
        let price_us = self.prices.conversation_us;
        self.state.tables.inboxes.allowance_at(user_index, now).begun.spend_us(now.steady, price_us);
    }

    /// Whether the user would begin this conversation with a message.
    pub(in crate::shard) fn would_begin(
        &self,
        user: &UserId,
        conversation: &Conversation,
        conversation_key: Fingerprint,
    ) -> bool {
        let Conversation::Pair(..) = conversation else { return false };
        let at = self.state.tables.conversations.find(conversation_key, conversation, &self.state.tables.inboxes);
        at.is_none_or(|at| {
            self.state.tables.conversations.at(at).sides(user, &self.state.tables.inboxes).author.is_none()
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::model::{Command, Limits, Refusal};
    use crate::shard::rows::charge::DAY_MS;
    use crate::shard::testing::fixtures::{self, Cluster, NOW, message, refusals, to_group};
    use crate::shard::*;

    fn cluster(limits: Limits) -> Cluster {
        let disks = vec![crate::log::MemoryStorage::new(1 << 20, 64)];
        let mut cluster = Cluster::start(Windows::default(), limits, disks, vec![Vec::new()], NOW);
        cluster.settle();
        cluster.connect(1, "alice");
        cluster.outputs();
        cluster
    }

    /// The refusals of the requests, without waiting.
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
        cluster.settle_silently();
        assert_eq!(refused(&mut cluster, [message("answer", "bob", "x")]), [], "who was written to may answer");
        cluster.now = cluster.now.plus(DAY_MS);
        assert_eq!(refused(&mut cluster, [to(7)]), []);
    }
}
