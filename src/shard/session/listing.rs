//! Orders that show sessions, presence, users and groups, and those that end sessions.
//!
//! Invariant: one order looks at a bounded number of rows.

use crate::log::Storage;
use crate::model::{
    Answer, Closing, Listed, ListedGroup, ListedUser, Millis, Order, PresenceState, Reply, Room, SessionId,
    SessionState, Sizing, UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use crate::shard::{Effect, Shard};

/// Rows that one order looks at: most conversations are no groups.
const ROWS_LOOKED_AT_MAX: u32 = 8_192;

impl<S: Storage> Shard<S> {
    /// The bytes of entries in one answer to an order.
    pub(in crate::shard) fn order_room(&self) -> Room {
        Room { bytes_max: self.settings.limits.sync_bytes_max, sizing: Sizing::Escaped }
    }

    /// What the shard knows of a user's sessions.
    pub(in crate::shard) fn show_sessions(&self, user: &UserId) -> Answer {
        Answer::Sessions(self.sessions_shown(user))
    }

    fn sessions_shown(&self, user: &UserId) -> Vec<SessionState> {
        let sessions = self.state.sessions_of(user).iter().filter_map(|id| {
            let session = self.state.live.sessions.find(*id)?;
            let (user, device, address) = (user.clone(), session.device.clone(), Default::default());
            Some(SessionState { user, id: *id, device, protocol: "", address, since: Millis(0), queued_bytes: 0 })
        });
        sessions.collect()
    }

    /// The sessions of all users from a row on.
    pub(in crate::shard) fn list_sessions(&self, from: u32, limit: usize) -> Answer {
        let inboxes = &self.state.tables.inboxes;
        let row = |user_index: UserIndex| {
            inboxes.is_online(user_index).then(|| self.sessions_shown(inboxes.user_at(user_index)))
        };
        // So many users cannot have more sessions than a page may have.
        let users_max = (Order::LISTED_MAX / self.settings.limits.sessions_per_user_max.max(1)).max(1);
        let limit = limit.min(users_max);
        let Listed { rows, next } = self.listed((from, inboxes.len() as u32), limit, |number| row(UserIndex(number)));
        let rows: Vec<SessionState> = rows.into_iter().flatten().collect();
        self.state.rows_visited.count(rows.len());
        Answer::AllSessions(Listed { rows, next })
    }

    pub(in crate::shard) fn end_sessions(
        &mut self,
        ctx: &mut Ctx<'_>,
        user: &UserId,
        only: Option<SessionId>,
    ) -> Answer {
        let mut sessions = self.state.sessions_of(user).to_vec();
        sessions.retain(|session| only.is_none_or(|only| *session == only));
        for session in &sessions {
            ctx.effects.push(Effect::Close { session: *session, closing: Closing::Kicked });
            self.end_session(ctx, *session);
        }
        if sessions.is_empty() { Answer::Unchanged } else { Answer::Done }
    }

    pub(in crate::shard) fn answer_presence(&self, users: Vec<UserId>) -> Answer {
        let inboxes = &self.state.tables.inboxes;
        let state = |user: UserId| {
            let user_index = inboxes.find(&user);
            let is_online = user_index.is_some_and(|user_index| inboxes.is_online(user_index));
            let last_seen =
                user_index.filter(|_| !is_online).map_or(Millis(0), |user_index| inboxes.last_seen(user_index));
            PresenceState { user, is_online, last_seen }
        };
        let states = users.into_iter().take(Order::LISTED_MAX).map(state).collect();
        Answer::Page(Box::new(Reply::Presence(states)))
    }

    /// Users who are known, or whose inboxes have entries.
    pub(in crate::shard) fn list_users(&self, from: u32, limit: usize) -> Answer {
        let inboxes = &self.state.tables.inboxes;
        let row = |user_index: UserIndex| {
            let (is_known, newest_seq) = (inboxes.is_known(user_index), inboxes.newest_at(user_index));
            let is_online = inboxes.is_online(user_index);
            let last_seen = if is_online { Millis(0) } else { inboxes.last_seen(user_index) };
            let is_somebody = is_known || newest_seq.0 > 0;
            is_somebody.then(|| ListedUser {
                id: inboxes.user_at(user_index).clone(),
                is_known,
                is_online,
                newest_seq,
                last_seen,
            })
        };
        Answer::Users(self.listed((from, inboxes.len() as u32), limit, |number| row(UserIndex(number))))
    }

    /// Groups that this shard owns and that are not dissolved.
    pub(in crate::shard) fn list_groups(&self, from: u32, limit: usize) -> Answer {
        let conversations = &self.state.tables.conversations;
        let row = |at: ConversationIndex| {
            let conversation = conversations.at(at).group()?;
            let group =
                self.state.groups.rosters.find(self.state.identity.fingerprints.of_conversation(conversation))?;
            let crate::model::Conversation::Group(id) = conversation else { return None };
            let (owner, created) = (group.owner.clone(), group.created);
            Some(ListedGroup { id: id.clone(), owner, created, member_count: group.members.len() as u64 })
        };
        Answer::Groups(self.listed((from, conversations.len() as u32), limit, |number| row(ConversationIndex(number))))
    }

    /// The rows from a number on that `row` shows.
    fn listed<T>(&self, (from, end): (u32, u32), limit: usize, row: impl Fn(u32) -> Option<T>) -> Listed<T> {
        let looked_at_end = end.min(from.saturating_add(ROWS_LOOKED_AT_MAX));
        let (mut rows, mut next) = (Vec::new(), from);
        while next < looked_at_end && rows.len() < limit.min(Order::LISTED_MAX) {
            rows.extend(row(next));
            next += 1;
        }
        self.state.rows_visited.count(next.saturating_sub(from) as usize);
        Listed { rows, next: (next < end).then_some(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MemoryStorage;
    use crate::model::{
        Conversation, ConversationSeq, Conversations, HistoryDirection, Refusal, Seq, ShardId, Sync, SyncDirection,
    };
    use crate::shard::testing::fixtures::{ALICE, BOB, Cluster, create, group, message, user};
    use crate::shard::{Input, Ticket, Windows};

    fn page(answer: Answer) -> Reply {
        match answer {
            Answer::Page(reply) => *reply,
            other => panic!("not a page: {other:?}"),
        }
    }

    #[test]
    fn what_an_operator_reads_is_what_the_user_is_shown_be_it_cold_or_not() {
        let disks = (0..2).map(|_| MemoryStorage::new(4_096, u32::MAX)).collect();
        let mut cluster = Cluster::on(Windows::default(), disks);
        cluster.connect(1, ALICE);
        for number in 0..150 {
            cluster.request(1, ALICE, message(&format!("m{number:03}"), BOB, &"x".repeat(40)));
        }
        cluster.settle();
        let expected = cluster.inbox(BOB);
        assert_eq!(expected.len(), 150);
        let disks = cluster.take_disks().into_iter().map(MemoryStorage::with_cold_segments).collect();
        let mut cluster = Cluster::on(Windows::default(), disks);
        let sync = Sync { direction: SyncDirection::After(Seq(0)), limit: 1_000 };
        let shown = page(cluster.order(Order::ShowInbox { user: user(BOB), sync }));
        assert!(matches!(&shown, Reply::Synced { entries, has_more: false, .. } if *entries == expected), "{shown:?}");
        let conversation = Conversation::pair(user(ALICE), user(BOB));
        let direction = HistoryDirection::After(ConversationSeq(0));
        let shown = page(cluster.order(Order::ShowHistory { conversation, direction, limit: 1_000 }));
        assert!(matches!(&shown, Reply::History { messages, .. } if messages.len() == 150), "{shown:?}");
        let list = Conversations { before: Seq(0), limit: 10 };
        let shown = page(cluster.order(Order::ShowConversations { user: user(BOB), list }));
        assert!(matches!(&shown, Reply::Conversations { rows, .. } if rows[0].unread == 150), "{shown:?}");
        assert!(cluster.shards.iter().any(|shard| shard.stats().fetched > 0), "some of it was cold");
    }

    #[test]
    fn an_ended_session_is_told_so_and_the_others_go_on() {
        let mut cluster = Cluster::new(2, Windows::default());
        cluster.connect(1, BOB);
        cluster.connect(2, BOB);
        cluster.outputs();
        let home = cluster.home(BOB);
        let order = Order::EndSessions { user: user(BOB), only: Some(SessionId(1)) };
        cluster.input(home, Input::Ordered { ticket: Ticket(9), order });
        let closed = |effects: Vec<Effect>| {
            let session = |effect| match effect {
                Effect::Close { session, closing: Closing::Kicked } => Some(session.0),
                _ => None,
            };
            effects.into_iter().filter_map(session).collect::<Vec<_>>()
        };
        assert_eq!(closed(cluster.outputs()), [1]);
        let another = Order::EndSessions { user: user(ALICE), only: Some(SessionId(2)) };
        assert_eq!(cluster.order(another), Answer::Unchanged, "a session is its user's");
        let Answer::Sessions(left) = cluster.order(Order::ShowSessions { user: user(BOB) }) else { panic!("sessions") };
        assert_eq!(left.iter().map(|session| session.id.0).collect::<Vec<_>>(), [2]);
        assert_eq!(cluster.order(Order::EndSessions { user: user(BOB), only: None }), Answer::Done);
    }

    #[test]
    fn lists_go_on_from_row_to_row_and_leave_out_who_is_nobody() {
        let mut cluster = Cluster::new(1, Windows::default());
        for number in 0..5 {
            cluster.order(Order::KnowUser { user: user(&format!("user-{number}")) });
            cluster.order(create(&format!("group-{number}"), "user-0", &[]));
        }
        cluster.order(Order::DissolveGroup { group: group("group-2") });
        let (mut users, mut groups, mut from) = (Vec::new(), Vec::new(), Some(0));
        while let Some(row) = from {
            let order = Order::ListUsers { shard: ShardId(0), from: row, limit: 2 };
            let Answer::Users(listed) = cluster.order(order) else { panic!("users") };
            users.extend(listed.rows.into_iter().map(|row| row.id.to_string()));
            from = listed.next;
        }
        assert_eq!(users, (0..5).map(|number| format!("user-{number}")).collect::<Vec<_>>());
        from = Some(0);
        while let Some(row) = from {
            let order = Order::ListGroups { shard: ShardId(0), from: row, limit: 3 };
            let Answer::Groups(listed) = cluster.order(order) else { panic!("groups") };
            groups.extend(listed.rows.into_iter().map(|row| row.id.to_string()));
            from = listed.next;
        }
        assert_eq!(groups, ["group-0", "group-1", "group-3", "group-4"]);
        let beyond = Order::ListUsers { shard: ShardId(0), from: 4_000_000_000, limit: 2 };
        assert_eq!(cluster.order(beyond), Answer::Users(Listed { rows: Vec::new(), next: None }));
    }

    #[test]
    fn sessions_are_listed_user_by_user_and_only_of_those_who_are_here() {
        let mut cluster = Cluster::new(1, Windows::default());
        for number in 0..5 {
            cluster.order(Order::KnowUser { user: user(&format!("user-{number}")) });
        }
        for (session, name) in [(1, "user-1"), (2, "user-3"), (3, "user-3"), (4, "user-4")] {
            cluster.connect(session, name);
        }
        let (mut seen, mut pages, mut from) = (Vec::new(), 0, Some(0));
        while let Some(row) = from {
            let order = Order::ListSessions { shard: ShardId(0), from: row, limit: 2 };
            let Answer::AllSessions(listed) = cluster.order(order) else { panic!("sessions") };
            seen.extend(listed.rows.into_iter().map(|row| (row.user.to_string(), row.id.0)));
            (from, pages) = (listed.next, pages + 1);
        }
        let expected = [("user-1", 1), ("user-3", 2), ("user-3", 3), ("user-4", 4)];
        assert_eq!(seen, expected.map(|(name, session)| (name.to_owned(), session)));
        assert_eq!(pages, 2, "a page has two users, however many sessions they have");
    }

    #[test]
    fn who_is_not_there_is_not_found() {
        let mut cluster = Cluster::new(2, Windows::default());
        let refused = |answer: Answer| match answer {
            Answer::Refused(refused) => Some(refused.refusal),
            _ => None,
        };
        let sync = Sync { direction: SyncDirection::After(Seq(0)), limit: 10 };
        let inbox = cluster.order(Order::ShowInbox { user: user("nobody"), sync });
        assert_eq!(refused(inbox), Some(Refusal::UserNotExist));
        let (conversation, direction) =
            (Conversation::Group(group("nowhere")), HistoryDirection::Before(ConversationSeq(0)));
        let history = cluster.order(Order::ShowHistory { conversation, direction, limit: 10 });
        assert_eq!(refused(history), Some(Refusal::ConversationNotExist));
    }
}
