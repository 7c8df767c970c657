//! Makes damaged state consistent: a group's members with their seats, restored entries with the list of conversations,
//! unread counts with messages.
//!
//! Invariant: the state of sound logs is not changed.

use crate::log::{Journal, ReadMode, Segments, Storage};
use crate::model::{Conversation, ConversationSeq, Fact, GroupChange, Message, Seq, ShardId, UserId};
use crate::shard::rewrite::recover::RecordLocation;
use crate::shard::rewrite::source_log::{RewriteError, SourceShard, Threads};
use crate::shard::rows::conversation::takes_place;
use crate::shard::rows::groups::Groups;
use crate::shard::rows::seat::Seated;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::{Placement, ShardSettings};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An entry that was restored to its user's inbox.
#[derive(Debug)]
pub(in crate::shard) struct Returned {
    pub user: UserId,
    pub conversation: Conversation,
    pub seq: Seq,
}

/// Gives groups with a damaged log the members that all logs together show, and gives all members seats.
pub(in crate::shard) fn reconcile<S: Segments>(
    settings: &ShardSettings,
    sources: &mut [SourceShard],
    logs: &[S],
) -> Result<(), RewriteError> {
    if !sources.iter().any(SourceShard::is_damaged) {
        return Ok(());
    }
    for (conversation, changes) in changes(settings, sources, logs)? {
        let home = usize::from(settings.placement.owner_of_conversation(&conversation).0);
        sources[home].regroup(settings, &conversation, changes.into_values());
    }
    let (lacking, vacant) = (lacking_seats(settings, sources), vacant_seats(settings, sources));
    for (home, conversation, user, joined) in lacking {
        let state = &mut sources[home].state;
        let at = state.row_of(&conversation);
        state.seat(at, &user, joined);
    }
    for (home, seated, left) in vacant {
        sources[home].state.change_group_seat(seated.at, seated.seat, |seat| seat.left = left);
    }
    Ok(())
}

/// For each group with a damaged log, the membership changes, by their places.
type Changes = BTreeMap<Conversation, BTreeMap<ConversationSeq, Arc<Message>>>;

fn changes<S: Segments>(
    settings: &ShardSettings,
    sources: &[SourceShard],
    logs: &[S],
) -> Result<Changes, RewriteError> {
    let mut changes = Changes::new();
    for (source, log) in sources.iter().zip(logs) {
        for position in &source.messages {
            let record = source.record_at(log, *position)?;
            let Some((message, _)) = record.message() else { continue };
            let owner = settings.placement.owner_of_conversation(&message.conversation);
            let is_change = matches!(message.fact.as_deref(), Some(Fact::Group(_)));
            if is_change && sources[usize::from(owner.0)].is_damaged() {
                let places = changes.entry(message.conversation.clone()).or_default();
                places.insert(message.conversation_seq, message.clone());
            }
        }
    }
    Ok(changes)
}

/// For each conversation, the places that its owner's log has lost, and the records of them in other logs.
pub(in crate::shard) type LostPlaces = HashMap<Fingerprint, BTreeMap<ConversationSeq, RecordLocation>, FixedState>;

pub(in crate::shard) fn lost_places<S: Segments>(
    settings: &ShardSettings,
    sources: &[SourceShard],
    logs: &[S],
) -> Result<LostPlaces, RewriteError> {
    let mut lost = LostPlaces::with_hasher(FixedState::with_seed(settings.seed));
    if !sources.iter().any(SourceShard::is_damaged) {
        return Ok(lost);
    }
    for (log, source) in sources.iter().enumerate() {
        for position in &source.messages {
            let record = source.record_at(&logs[log], *position)?;
            let Some((message, _)) = record.message() else { continue };
            let owner = usize::from(settings.placement.owner_of_conversation(&message.conversation).0);
            if owner != log && takes_place(message.fact.as_deref()) && sources[owner].has_lost_place(message.id) {
                let conversation_key = source.state.identity.fingerprints.of_conversation(&message.conversation);
                let place = RecordLocation { log, position: *position };
                lost.entry(conversation_key).or_default().insert(message.conversation_seq, place);
            }
        }
    }
    Ok(lost)
}

/// A place in the group that every log of its members knows.
fn newest_of(sources: &[SourceShard], conversation: &Conversation) -> ConversationSeq {
    let rows = sources.iter().filter_map(|source| {
        let at = source.state.find_row(conversation)?;
        Some(source.state.tables.conversations.at(at).tail.seq().0)
    });
    ConversationSeq(rows.max().unwrap_or_default())
}

type Lacking = (usize, Conversation, UserId, ConversationSeq);

/// Members without a seat. It is unknown since when they are members, so they see later messages only.
fn lacking_seats(settings: &ShardSettings, sources: &[SourceShard]) -> Vec<Lacking> {
    let mut lacking = Vec::new();
    for source in sources {
        for (conversation_key, group) in source.state.groups.rosters.all() {
            let Some(at) = source.state.group_row(conversation_key) else { continue };
            let conversation = &source.state.conversation_at(at);
            for user in group.members.iter().map(|(user, _)| user) {
                let home = usize::from(settings.placement.owner_of(user).0);
                if !sources[home].is_seated(user, conversation) {
                    let joined = ConversationSeq(newest_of(sources, conversation).0 + 1);
                    lacking.push((home, conversation.clone(), user.clone(), joined));
                }
            }
        }
    }
    lacking
}

/// Seats of users who are not members.
fn vacant_seats(settings: &ShardSettings, sources: &[SourceShard]) -> Vec<(usize, Seated, ConversationSeq)> {
    let mut vacant = Vec::new();
    for (home, source) in sources.iter().enumerate() {
        for (at, row) in source.state.rows() {
            if let Conversation::Pair(..) = row.conversation {
                continue;
            }
            let owner = settings.placement.owner_of_conversation(&row.conversation);
            let owner = &sources[usize::from(owner.0)].state;
            let group = owner.groups.rosters.find(owner.identity.fingerprints.of_conversation(&row.conversation));
            for (seat, taken) in (0..).zip(&row.seats).filter(|(_, seat)| seat.is_taken()) {
                let user = source.state.tables.inboxes.user_at(taken.user);
                if !group.is_some_and(|group| group.members.contains(user)) {
                    vacant.push((home, Seated { at, seat }, newest_of(sources, &row.conversation)));
                }
            }
        }
    }
    vacant
}

impl SourceShard {
    fn is_seated(&self, user: &UserId, conversation: &Conversation) -> bool {
        let state = &self.state;
        let seat = state.find_row(conversation).zip(state.tables.inboxes.find(user)).and_then(|(at, place)| {
            let seat = state.seat_of(place, at)?;
            Some(state.tables.conversations.at(at).seat(seat))
        });
        seat.is_some_and(|seat| seat.is_taken())
    }

    /// Rebuilds a group's members from its changes, on top of a checkpoint if there is one.
    fn regroup(
        &mut self,
        settings: &ShardSettings,
        conversation: &Conversation,
        changes: impl Iterator<Item = Arc<Message>>,
    ) {
        if self.has_checkpoint {
            return;
        }
        let conversation_key = self.state.identity.fingerprints.of_conversation(conversation);
        let mut groups = Groups::new(settings.seed, settings.placement);
        let mut was_created = false;
        for message in changes {
            if let Some(Fact::Group(change)) = message.fact.as_deref() {
                was_created |= matches!(change, GroupChange::Created { .. });
                groups.change(conversation_key, &message);
            }
        }
        groups.merge_all();
        if was_created {
            self.state.row_of(conversation);
            self.state.groups.rosters.replace(conversation_key, groups);
        }
    }
}

/// Updates conversations' newest entries for restored ones.
pub(in crate::shard) fn take_back(settings: &ShardSettings, sources: &mut [SourceShard], returned: &[Returned]) {
    for Returned { user, conversation, seq } in returned {
        let state = &mut sources[usize::from(settings.placement.owner_of(user).0)].state;
        let (at, place) = (state.row_of(conversation), state.tables.inboxes.find_or_add(user));
        let seat = state.seat_in_pair(at, place);
        state.change_seat(at, seat, |seat| seat.last = seat.last.max(*seq));
    }
}

/// Whether one shard has confirmed or received deliveries that another does not have: a power cut under a weak policy,
/// or rot in the last batch, has removed the end of a log.
pub(in crate::shard) fn disagree(sources: &[SourceShard]) -> bool {
    let differs = |from: &SourceShard, to: &SourceShard| {
        let peer = &from.state.peers.outbound.peers()[usize::from(to.me.0)];
        let newest = peer.next_number() - 1;
        let confirmed = peer.unconfirmed_deliveries().next().map_or(newest, |unconfirmed| unconfirmed.number - 1);
        let taken = to.state.peers.outbound.peers()[usize::from(from.me.0)].taken();
        from.me != to.me && (taken > newest || taken < confirmed)
    };
    sources.iter().any(|from| sources.iter().any(|to| differs(from, to)))
}

/// Recounts the unread messages of users of damaged logs in the new threads. Other users' threads may contain more than
/// their old log had, and lack messages that retention has dropped.
pub(in crate::shard) fn recount<S: Storage>(
    sources: &mut [SourceShard],
    placement: Placement,
    threads: &[Threads],
    journals: &[Journal<S>],
) -> Result<(), RewriteError> {
    for source in sources {
        let mut counted = Vec::new();
        for (at, row) in source.state.rows() {
            let conversation_key = source.state.identity.fingerprints.of_conversation(&row.conversation);
            for (seat, taken) in (0..).zip(&row.seats) {
                let ShardId(home) = placement.owner_of(source.state.tables.inboxes.user_at(taken.user));
                let tail = threads[usize::from(home)].get(&conversation_key).copied().unwrap_or_default();
                let seated = Seated { at, seat };
                let view = journals[usize::from(home)].view(ReadMode::Unbounded);
                let found = source.state.recount_of_all(seated, tail).answer(view)?;
                let stored = if source.is_damaged() { 0 } else { taken.unread };
                counted.push((seated, found.max(stored)));
            }
        }
        for (Seated { at, seat }, unread) in counted {
            source.state.change_seat(at, seat, |seat| seat.unread = unread);
        }
    }
    Ok(())
}
