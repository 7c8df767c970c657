//! A shard's state beside messages, as records of its own kinds: written by a rewrite of the directory, and applied at
//! a start. Both directions are in this file, and a rewrite is verified by exporting its result again.
//!
//! Invariant: applied in any order, the records give the state from which they were made.

use crate::log::{KEPT_PARTS_MAX, Record, SnapshotMember, SnapshotMembership, SnapshotRecord};
use crate::model::{Conversation, ConversationSeq, GroupId, MessageId, Millis, Position, ShardId, UserId};
use crate::shard::rewrite::digest::Digest;
use crate::shard::rewrite::source_log::{RewriteError, SourceShard};
use crate::shard::rows::cleared::ClearedHistory;
use crate::shard::rows::groups::Group;
use crate::shard::rows::seat::Membership;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::table::roster::MemberStatus;
use crate::shard::{Placement, State};
use std::collections::{BTreeMap, BTreeSet};

/// Appends a record to the log of a shard.
type RecordSink<'a> = &'a mut dyn FnMut(ShardId, Record) -> Result<(), RewriteError>;

impl State {
    pub(in crate::shard) fn apply_snapshot(&mut self, kept: SnapshotRecord) {
        match kept {
            SnapshotRecord::Seat { user, conversation, seat } => self.restore_seat(&user, &conversation, seat),
            SnapshotRecord::Named { user, conversation, name } => {
                let at = self.row_of(&conversation);
                let user_index = self.tables.inboxes.find_or_add(&user);
                self.tables.inboxes.restore_name(user_index, at, &name);
            }
            SnapshotRecord::Roster { group, owner, created, members } => {
                let conversation = Conversation::Group(group);
                let conversation_key = self.identity.fingerprints.of_conversation(&conversation);
                self.row_of(&conversation);
                let standing =
                    |it: SnapshotMember| (it.user, MemberStatus { role: it.role, muted_until: it.muted_until });
                let members: Vec<_> = members.into_iter().map(standing).collect();
                self.groups.rosters.restore(conversation_key, &owner, created, &members);
            }
            SnapshotRecord::Revoked { messages } => {
                messages.into_iter().for_each(|message| self.tables.revoked.restore(message))
            }
            SnapshotRecord::Told { reader, ranges } => {
                self.tables.receipts.restore(Fingerprint::of_halves(reader), &ranges)
            }
            SnapshotRecord::Described { group, profile } => {
                let conversation_key = self.identity.fingerprints.of_conversation(&Conversation::Group(group));
                self.groups.rosters.profiles.set(conversation_key, profile);
            }
            SnapshotRecord::Asked { group, requests } => {
                let conversation_key = self.identity.fingerprints.of_conversation(&Conversation::Group(group));
                for (user, time) in requests {
                    self.groups.rosters.requests.restore(conversation_key, &user, time);
                }
            }
            SnapshotRecord::Cleared { user, conversation, through, extent } => {
                let at = self.row_of(&conversation);
                let user_index = self.tables.inboxes.find_or_add(&user);
                self.tables.cleared.set(user_index, at, ClearedHistory { through, extent }, Position::NONE);
            }
            SnapshotRecord::Blocked { pair, bits } => self.tables.blocks.restore(Fingerprint::of_halves(pair), bits),
        }
    }

    fn restore_seat(&mut self, user: &UserId, conversation: &Conversation, kept: SnapshotMembership) {
        let at = self.row_of(conversation);
        let user_index = self.tables.inboxes.find_or_add(user);
        let number = match (self.seat_of(user_index, at), conversation) {
            (Some(number), _) => number,
            (None, Conversation::Pair(..)) => self.seat_in_pair(at, user_index),
            (None, Conversation::Group(_)) => {
                self.seat(at, user, kept.joined);
                self.tables.conversations.at(at).full_seats().len() as u32 - 1
            }
        };
        let SnapshotMembership { joined, left, read, last, unread } = kept;
        let change = |seat: &mut Membership| *seat = Membership { user: user_index, unread, joined, left, read, last };
        match conversation {
            Conversation::Pair(..) => self.change_seat(at, number, change),
            Conversation::Group(_) => self.change_group_seat(at, number, change),
        }
    }

    fn put_seats(&self, placement: Placement, put: RecordSink<'_>) -> Result<(), RewriteError> {
        for (_, row) in self.rows() {
            for seat in &row.seats {
                let Membership { user, unread, joined, left, read, last } = *seat;
                let (user, conversation) = (self.tables.inboxes.user_at(user).clone(), row.conversation.clone());
                let seat = SnapshotMembership { joined, left, read, last, unread };
                put(placement.owner_of(&user), Record::Kept(SnapshotRecord::Seat { user, conversation, seat }))?;
            }
        }
        for (user, at, name) in self.tables.inboxes.names() {
            let conversation = self.conversation_at(at);
            let kept = SnapshotRecord::Named { user: user.clone(), conversation, name: name.clone() };
            put(placement.owner_of(user), Record::Kept(kept))?;
        }
        for (user, at, ClearedHistory { through, extent }) in self.tables.cleared.all() {
            let (user, conversation) = (self.tables.inboxes.user_at(user).clone(), self.conversation_at(at));
            let to = placement.owner_of(&user);
            put(to, Record::Kept(SnapshotRecord::Cleared { user, conversation, through, extent }))?;
        }
        Ok(())
    }

    fn put_users(&self, placement: Placement, put: RecordSink<'_>) -> Result<(), RewriteError> {
        for (user, last_seen) in self.tables.inboxes.known() {
            put(placement.owner_of(user), Record::Seen { user: user.clone(), last_seen })?;
        }
        for (user, device, position) in self.tables.inboxes.devices() {
            let record = Record::Device { user: user.clone(), device, position };
            put(placement.owner_of(user), record)?;
        }
        for (user, record) in self.tables.accounts.records() {
            put(placement.owner_of(user), record)?;
        }
        for (user, record) in self.tables.profiles.records() {
            put(placement.owner_of(user), record)?;
        }
        for (user, record) in self.tables.push_devices.records() {
            put(placement.owner_of(user), record)?;
        }
        for (message, user) in self.tables.consumed.all() {
            put(placement.owner_of(user), Record::Consumed { user: user.clone(), message })?;
        }
        Ok(())
    }

    fn put_owned(&self, placement: Placement, put: RecordSink<'_>) -> Result<(), RewriteError> {
        for (conversation_key, group) in self.groups.rosters.all() {
            let Some(at) = self.group_row(conversation_key) else { continue };
            if let Some(Conversation::Group(id)) = self.tables.conversations.at(at).group() {
                let shard = placement.owner_of_slot(conversation_key.slot());
                put_roster(id, group, shard, put)?;
                if let Some(profile) = self.groups.rosters.profiles.find(conversation_key) {
                    let kept = SnapshotRecord::Described { group: id.clone(), profile: Box::new(profile.clone()) };
                    put(shard, Record::Kept(kept))?;
                }
                let requests = self.groups.rosters.requests.of(conversation_key);
                let requests: Vec<_> = requests.map(|(user, time)| (user.clone(), time)).collect();
                for some in requests.chunks(KEPT_PARTS_MAX) {
                    let kept = SnapshotRecord::Asked { group: id.clone(), requests: some.to_vec() };
                    put(shard, Record::Kept(kept))?;
                }
            }
        }
        for (pair, bits) in self.tables.blocks.all() {
            let kept = SnapshotRecord::Blocked { pair: pair.halves(), bits };
            put(placement.owner_of_slot(pair.slot()), Record::Kept(kept))?;
        }
        for (reader, ranges) in self.tables.receipts.all() {
            let kept = SnapshotRecord::Told { reader: reader.halves(), ranges: ranges.to_vec() };
            put(placement.owner_of_slot(reader.slot()), Record::Kept(kept))?;
        }
        Ok(())
    }
}

fn put_roster(id: &GroupId, group: &Group, shard: ShardId, put: RecordSink<'_>) -> Result<(), RewriteError> {
    let member = |(user, standing): (&UserId, &MemberStatus)| {
        let MemberStatus { role, muted_until } = *standing;
        SnapshotMember { user: user.clone(), role, muted_until }
    };
    let mut members = group.members.iter().map(member).peekable();
    loop {
        let some: Vec<SnapshotMember> = members.by_ref().take(KEPT_PARTS_MAX).collect();
        let (group_id, owner, created) = (id.clone(), group.owner.clone(), group.created);
        put(shard, Record::Kept(SnapshotRecord::Roster { group: group_id, owner, created, members: some }))?;
        if members.peek().is_none() {
            return Ok(());
        }
    }
}

/// Writes the state of a directory's shards beside messages, for the shards of `placement`.
pub(in crate::shard) fn put_kept(
    sources: &[SourceShard],
    placement: Placement,
    newest: MessageId,
    put: RecordSink<'_>,
) -> Result<(), RewriteError> {
    let mut revoked: BTreeSet<MessageId> = BTreeSet::new();
    for source in sources {
        source.state.put_seats(placement, put)?;
        source.state.put_users(placement, put)?;
        source.state.put_owned(placement, put)?;
        revoked.extend(source.state.tables.revoked.all());
    }
    let revoked: Vec<MessageId> = revoked.into_iter().collect();
    for messages in revoked.chunks(KEPT_PARTS_MAX) {
        for shard in placement.all() {
            put(shard, Record::Kept(SnapshotRecord::Revoked { messages: messages.to_vec() }))?;
        }
    }
    let erased: BTreeMap<&UserId, Millis> =
        sources.iter().flat_map(|source| source.state.tables.erased.all()).collect();
    for (user, time) in erased {
        for shard in placement.all() {
            put(shard, Record::Erased { user: user.clone(), time })?;
        }
    }
    for (conversation, (seq, shards)) in reaches(sources, placement) {
        for shard in shards {
            put(shard, Record::Conversation { conversation: conversation.clone(), seq, message: newest })?;
        }
    }
    placement.all().try_for_each(|shard| put(shard, Record::Issued { message: newest }))
}

/// The newest place of each conversation, and the shards that must know it: its owner, and those of its users.
type Reaches = BTreeMap<Conversation, (ConversationSeq, BTreeSet<ShardId>)>;

fn reaches(sources: &[SourceShard], placement: Placement) -> Reaches {
    let mut reaches = Reaches::new();
    for source in sources {
        for (_, row) in source.state.rows() {
            let (newest, shards) = reaches.entry(row.conversation.clone()).or_default();
            *newest = (*newest).max(ConversationSeq(row.tail.seq.0));
            shards.insert(placement.owner_of_conversation(&row.conversation));
            shards.extend(
                row.seats.iter().map(|seat| placement.owner_of(source.state.tables.inboxes.user_at(seat.user))),
            );
        }
    }
    reaches
}

impl Digest {
    /// The state of these shards beside messages, as shards of `placement` would write it.
    pub fn of(sources: &[SourceShard], placement: Placement) -> Self {
        let newest =
            sources.iter().map(|source| source.state.tables.conversations.newest_message()).max().unwrap_or_default();
        let mut digest = Self::default();
        let mut put = |shard, record: Record| {
            let (kind, body) = record.plain();
            digest.add(shard, kind, &body);
            Ok(())
        };
        put_kept(sources, placement, newest, &mut put).expect("counting fails nowhere");
        digest
    }
}
