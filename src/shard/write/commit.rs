//! The commit point: a conversation of this shard accepts a message or a fact.

use crate::log::{Delivery, ReadMode, RecordRef, Side, Storage, Tail, ThreadLink, ThreadLinks};
use crate::model::{
    Authority, Conversation, ConversationSeq, Fact, GroupChange, Message, Millis, Moment, Position, Refusal, Refused,
    Role, Seq, SessionId, ShardId, UnsequencedMessage, UserId,
};
use crate::shard::core::deferred::DeferredEffect;
use crate::shard::peers::held_requests::Blocker;
use crate::shard::replay::apply::user_on;
use crate::shard::rows::conversation::takes_place;
use crate::shard::rows::groups::Group;
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use crate::shard::rows::packed_row::PairMembers;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::{Shard, ShardMessage, State};
use smallvec::SmallVec;
use std::sync::Arc;

/// Where a user's inbox ends, and whether the user has a session.
#[derive(Default)]
struct InboxEnd {
    tail: Tail,
    is_online: bool,
}

/// Why a message was not accepted; the state is unchanged.
#[derive(Debug)]
pub(in crate::shard) enum Hindrance {
    /// The message can be tried again once the blocker is gone.
    MustWait(Blocker),
    Refused(Refused),
}

impl<R: Into<Refused>> From<R> for Hindrance {
    fn from(refused: R) -> Self {
        Self::Refused(refused.into())
    }
}

/// The fingerprint of a message's conversation, and its key in the dedupe; a fact has no key.
pub(in crate::shard) type MessageKeys = (Fingerprint, Option<Fingerprint>);

impl<S: Storage> Shard<S> {
    /// Commits a message that `may_send` permits. Returns its record, and its seq in the author's inbox if that is on this
    /// shard.
    pub(in crate::shard) fn commit_send(
        &mut self,
        now: Moment,
        keys: MessageKeys,
        message: &mut UnsequencedMessage,
        origin: Option<SessionId>,
    ) -> Result<(Position, Option<Seq>), Hindrance> {
        if self.is_too_busy(&message.conversation, keys.0) {
            return Err(Refusal::GroupTooBusy.into());
        }
        self.commit(now, keys, message, origin)
    }

    /// Whether the message may be sent: by its author, or by the operator in the author's name, who may write to every
    /// existing group.
    pub(in crate::shard) fn may_send(
        &self,
        now: Moment,
        message: &Message,
        conversation_key: Fingerprint,
        authority: Authority,
    ) -> Result<(), Refusal> {
        if message.peer_of(&message.author).is_some_and(|peer| self.state.tables.erased.contains(peer)) {
            return Err(Refusal::UserNotExist);
        }
        match (authority, &message.conversation) {
            (Authority::User, conversation) => self.may_write(now, &message.author, conversation, conversation_key),
            (Authority::System, Conversation::Pair(..)) => Ok(()),
            (Authority::System, Conversation::Group(_)) => {
                self.state.groups.rosters.find(conversation_key).map(|_| ()).ok_or(Refusal::ConversationNotExist)
            }
        }
    }

    /// Whether the user may write: an unmuted member of a group; in a pair, a user whom the other has not blocked.
    pub(in crate::shard) fn may_write(
        &self,
        now: Moment,
        author: &UserId,
        conversation: &Conversation,
        conversation_key: Fingerprint,
    ) -> Result<(), Refusal> {
        match conversation {
            Conversation::Pair(a, b) => {
                let peer = if a == author { b } else { a };
                let is_blocked = self.state.tables.blocks.is_blocked(conversation_key, peer, author);
                if is_blocked { Err(Refusal::PermissionDenied) } else { Ok(()) }
            }
            Conversation::Group(_) => {
                let group = self.state.groups.rosters.find(conversation_key).ok_or(Refusal::ConversationNotExist)?;
                let standing = group.members.get(author).ok_or(Refusal::PermissionDenied)?;
                let is_muted = standing.muted_until > now.wall && standing.role == Role::Member;
                if is_muted { Err(Refusal::PermissionDenied) } else { Ok(()) }
            }
        }
    }

    /// Appends one record, which contains the conversation's order, the links of inboxes on this shard, and the
    /// deliveries to others. Returns what `commit_send` does.
    pub(in crate::shard) fn commit(
        &mut self,
        now: Moment,
        (conversation_key, key): MessageKeys,
        message: &mut UnsequencedMessage,
        origin: Option<SessionId>,
    ) -> Result<(Position, Option<Seq>), Hindrance> {
        let row =
            self.state.tables.conversations.find(conversation_key, &message.conversation, &self.state.tables.inboxes);
        let sides = row.map(|at| self.state.sides(at, message)).unwrap_or_default();
        let targets = match sides {
            // Both users are on this shard.
            PairMembers { author: Some(_), peer: Some(_) } => SmallVec::new(),
            _ => self.targets_of_message(message, key),
        };
        if self.is_stuck(&targets) {
            return Err(Refusal::StorageFull.into());
        }
        if let Some(blocker) = self.blocker(&targets) {
            return Err(Hindrance::MustWait(blocker));
        }
        if !self.may_fan_out(&message.conversation, &targets) {
            return Err(Refusal::GroupTooBusy.into());
        }
        self.place(now, message, row);
        let links = self.state.links_in(row, sides, message);
        let deliveries = self.deliveries_to(&targets);
        let record = RecordRef::Posted { message, deliveries: &deliveries, links: &links };
        let record_bytes = record.encoded_bytes();
        if !self.log.journal.has_room(record_bytes) {
            return Err(match self.log.journal.awaits_room(record_bytes) {
                true => Hindrance::MustWait(Blocker::Room),
                false => Refusal::StorageFull.into(),
            });
        }
        let position = self.append(record, record_bytes);
        let message = message.share();
        self.meters.stats.committed += 1;
        self.state.apply_order(&message);
        let at = row.unwrap_or_else(|| self.state.row_of(&message.conversation));
        let told = self.state.apply_message_at((at, sides), position, &message, &links);
        self.state.apply_own(told, position, &message, key);
        if sides.author.is_none() {
            self.note_begun(now, told, &message);
        }
        self.defer_pushes(position, told, &message, &links, origin);
        for Delivery { target, number } in deliveries {
            self.state.peers.outbound.peer(target).track(number, position, message.held_bytes());
            let shard_message = ShardMessage::Deliver { number, message: message.clone() };
            self.log.pending.defer(position, DeferredEffect::forward(target, shard_message));
            self.note_fanning_out(target, &message, conversation_key);
        }
        Ok((position, author_seq(&links)))
    }

    /// The next delivery to each of these shards.
    #[inline]
    fn deliveries_to(&mut self, targets: &[ShardId]) -> SmallVec<[Delivery; 2]> {
        let mut deliveries = SmallVec::new();
        for target in targets {
            deliveries
                .push(Delivery { target: *target, number: self.state.peers.outbound.peer(*target).next_number() });
        }
        deliveries
    }

    /// Charges the author of a pair's first message. The author began the pair if it had no seat in it and is on this
    /// shard.
    pub(in crate::shard) fn note_begun(&mut self, now: Moment, told: PairMembers, message: &Message) {
        if let (Conversation::Pair(..), Some(author), None) = (&message.conversation, told.author, &message.fact) {
            self.charge_conversation(now, author);
        }
    }

    /// Whether one of the shards is out of room and its window is full, so that nobody knows when it continues.
    pub(in crate::shard) fn is_stuck(&self, targets: &[ShardId]) -> bool {
        let relay = &self.state.peers.outbound;
        targets.iter().any(|target| !relay.may_deliver(*target) && relay.is_full(*target))
    }

    /// A shard of these whose window of deliveries is full.
    pub(in crate::shard) fn blocker(&self, targets: &[ShardId]) -> Option<Blocker> {
        targets
            .iter()
            .find(|target| !self.state.peers.outbound.may_deliver(**target))
            .map(|target| Blocker::Target(*target))
    }

    /// The same for a message that may have a dedupe key. Its author gets it even if the author is no member of the
    /// group; the key is in the author's slot.
    fn targets_of_message(&self, message: &Message, key: Option<Fingerprint>) -> SmallVec<[ShardId; 2]> {
        let mut targets = self.targets_of(&message.conversation, message.fact.as_deref());
        if let (Conversation::Group(_), Some(key)) = (&message.conversation, key) {
            let home = self.settings.placement.owner_of_key(key);
            if home != self.settings.me && !targets.contains(&home) {
                targets.push(home);
            }
        }
        targets
    }

    /// The other shards with users who get the message. For a revoked message of a group these are all shards: users
    /// who have left the group keep its earlier messages, which become tombstones.
    pub(in crate::shard) fn targets_of(
        &self,
        conversation: &Conversation,
        fact: Option<&Fact>,
    ) -> SmallVec<[ShardId; 2]> {
        let placement = self.settings.placement;
        let mut targets: SmallVec<[ShardId; 2]> = match (conversation, fact) {
            (
                _,
                Some(Fact::Read { told, .. } | Fact::Joining { asker: told, .. } | Fact::Cleared { user: told, .. }),
            ) => SmallVec::from_slice(&[placement.owner_of(told)]),
            (Conversation::Pair(a, b), _) => SmallVec::from_slice(&[placement.owner_of(a), placement.owner_of(b)]),
            (Conversation::Group(_), Some(Fact::Revoked { .. })) => placement.all().collect(),
            (Conversation::Group(_), fact) => {
                let conversation_key = self.state.identity.fingerprints.of_conversation(conversation);
                let members = self.state.groups.rosters.find(conversation_key).into_iter().flat_map(Group::shards);
                let named = match fact {
                    Some(Fact::Group(change @ (GroupChange::Created { .. } | GroupChange::Added { .. }))) => {
                        change.members()
                    }
                    _ => &[],
                };
                let mut targets: SmallVec<[ShardId; 2]> = members.collect();
                for user in named {
                    // Most changes have members on every shard already.
                    if targets.len() == usize::from(placement.shards()) {
                        break;
                    }
                    let target = placement.owner_of(user);
                    if !targets.contains(&target) {
                        targets.push(target);
                    }
                }
                targets
            }
        };
        targets.retain(|target| *target != self.settings.me);
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// Assigns id, conversation seq and date. A fact without a seq of its own has that of the newest message.
    fn place(&mut self, now: Moment, message: &mut UnsequencedMessage, row: Option<ConversationIndex>) {
        let newest = row.map_or(0, |at| self.state.tables.conversations.at(at).tail.seq().0);
        let seq = if takes_place(message.fact.as_deref()) { newest + 1 } else { newest };
        let date = self.date_in(now.wall, row);
        message.place(self.state.tables.conversations.next_id(date), ConversationSeq(seq), date);
    }

    /// The wall clock's time, but not before the conversation's newest date: dates never decrease within a
    /// conversation. Only a clock that was set back is before the newest id, which begins with a time.
    pub(in crate::shard) fn date_in(&self, wall: Millis, row: Option<ConversationIndex>) -> Millis {
        let newest = self.state.tables.conversations.newest_id_time();
        if wall >= newest {
            return wall;
        }
        let last = row.map_or(Position::NONE, |at| self.state.tables.conversations.at(at).tail.tail().last);
        if last.is_none() {
            return wall;
        }
        let view = self.log.journal.view(ReadMode::None);
        if view.is_gone(last) {
            return wall;
        }
        let dated = view.read(last).ok().and_then(|record| Some(record.message()?.0.server_time));
        // A record that is not in memory is not read here.
        wall.max(dated.unwrap_or(newest))
    }

    pub(in crate::shard) fn defer_pushes(
        &mut self,
        record: Position,
        told: PairMembers,
        message: &Arc<Message>,
        links: &[ThreadLink],
        origin: Option<SessionId>,
    ) {
        let entry_of = |side, user_index: Option<UserIndex>| user_index.zip(seq_on(side, links));
        let (author, peer) = (entry_of(Side::Author, told.author), entry_of(Side::Peer, told.peer));
        if author.is_some() || peer.is_some() {
            let message = message.clone();
            self.log.pending.defer(record, DeferredEffect::Push { message, author, peer, origin });
        }
    }
}

impl State {
    /// The links of a message in the threads of this shard, and the members of its pair who have a seat already.
    /// Members of a group other than the author follow by fan-out.
    pub(in crate::shard) fn links_of(&self, message: &Message) -> (ThreadLinks, PairMembers) {
        let row = self.find_row(&message.conversation);
        let sides = row.map(|at| self.sides(at, message)).unwrap_or_default();
        (self.links_in(row, sides, message), sides)
    }

    /// The same, if the conversation's row and its users' seats are known.
    fn links_in(&self, row: Option<ConversationIndex>, sides: PairMembers, message: &Message) -> ThreadLinks {
        let mut links = ThreadLinks::new();
        for side in [Side::Author, Side::Peer] {
            if let Some(inbox) = self.inbox_on(side, sides.on(side), message) {
                let is_away = side == Side::Peer && message.fact.is_none() && !inbox.is_online;
                links.push(ThreadLink { is_away, ..inbox.tail.next_link(side) });
            }
        }
        if takes_place(message.fact.as_deref()) {
            let tail = row.map(|at| self.tables.conversations.at(at).tail.tail()).unwrap_or_default();
            links.push(tail.link_to(Side::Conversation, Seq(message.conversation_seq.0)));
        }
        links
    }

    /// The inbox on this side, if it is on this shard and gets the message; `user_index` is its user's if the user has a
    /// seat in the pair.
    fn inbox_on(&self, side: Side, user_index: Option<UserIndex>, message: &Message) -> Option<InboxEnd> {
        // A user's message goes to both users of a pair.
        if let (Some(user_index), None) = (user_index, &message.fact) {
            return Some(self.end_of_inbox(user_index));
        }
        let user = user_on(side, message)?;
        let is_group = matches!(message.conversation, Conversation::Group(_));
        let is_told = match message.fact.as_deref() {
            None => side == Side::Author || *user != message.author,
            Some(fact) if fact.only_for().is_some() => side == Side::Author,
            Some(_) if is_group => false,
            Some(Fact::Read { told, .. }) => user == told && side == Side::Peer,
            Some(_) => side == Side::Author || *user != message.author,
        };
        match user_index {
            _ if !is_told => None,
            Some(user_index) => Some(self.end_of_inbox(user_index)),
            None if !self.is_home(user) => None,
            None => {
                let user_index = self.tables.inboxes.find(user);
                Some(user_index.map_or_else(InboxEnd::default, |user_index| self.end_of_inbox(user_index)))
            }
        }
    }

    fn end_of_inbox(&self, user_index: UserIndex) -> InboxEnd {
        let inboxes = &self.tables.inboxes;
        InboxEnd { tail: inboxes.tail_at(user_index), is_online: inboxes.is_online(user_index) }
    }
}

pub(in crate::shard) fn author_seq(links: &[ThreadLink]) -> Option<Seq> {
    seq_on(Side::Author, links)
}

fn seq_on(side: Side, links: &[ThreadLink]) -> Option<Seq> {
    links.iter().find(|link| link.side == side).map(|link| link.seq)
}
