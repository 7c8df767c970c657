//! The effect of each record on the state, live and in a replay: the one place where state follows from records.
//!
//! Invariant: everything here depends on records alone, so a replay ends in the state that the shard had.

use crate::log::{MemberLink, Record, Side, ThreadLink};
use crate::model::{
    AccountState, BlockState, Conversation, ConversationSeq, Fact, Message, Millis, Position, Seq, ShardId, UserId,
};
use crate::shard::State;
use crate::shard::rows::accounts::Account;
use crate::shard::rows::cleared::ClearedHistory;
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use crate::shard::rows::packed_row::{ConversationFields, PairMembers};
use crate::shard::rows::seat::{Membership, SeatAt};
use crate::shard::table::fingerprint::Fingerprint;
use std::sync::Arc;

/// Cost model: a walk past so many seats of a user's own list costs as much as visiting one row.
const SEATS_A_ROW: usize = 16;

impl State {
    /// Applies one record of the log. To be called for each record, in order.
    pub(in crate::shard) fn replay(&mut self, position: Position, record: Record, me: ShardId) {
        match record {
            Record::Start { time, .. } => self.begin_run(position.segment(), time),
            Record::Mark { .. } => {}
            Record::Posted { message, deliveries, links } => {
                self.apply_order(&message);
                self.groups.rosters.merge_all();
                self.replay_message(position, &message, &links);
                for delivery in deliveries {
                    // A log of more shards than there are is refused by the data directory's manifest.
                    if delivery.target != me {
                        self.peers.outbound.peer(delivery.target).track(
                            delivery.number,
                            position,
                            message.held_bytes(),
                        );
                    }
                }
            }
            Record::Delivered { source, number, message, links } => {
                self.peers.outbound.peer(source).take(number);
                self.replay_message(position, &message, &links);
            }
            Record::Forgone { source, through } => self.peers.outbound.peer(source).take(through),
            Record::Confirmed { target, through } => {
                self.peers.outbound.peer(target).use_up(through);
                if let Some(oldest) = self.peers.outbound.peer(target).confirmed(through) {
                    self.has_confirmed(oldest, position);
                }
            }
            Record::Device { user, device, position } => self.tables.inboxes.restore_device(&user, &device, position),
            Record::Carried { message, links } => {
                self.apply_carried(position, &message, &links);
            }
            Record::Kept(kept) => self.apply_snapshot(kept),
            Record::Inbox { user, seq } => self.tables.inboxes.tail_mut(&user).skip_to(seq),
            Record::Conversation { conversation, seq, message } => {
                let at = self.row_of(&conversation);
                self.tables.conversations.at_mut(at).tail.skip_to(Seq(seq.0));
                self.tables.conversations.skip_ids_to(message);
                self.note_skipped(&conversation);
            }
            Record::Issued { message } => self.tables.conversations.skip_ids_to(message),
            Record::Fanned { of, links } => self.apply_fanned(position, of, &links),
            Record::Read { user, conversation, through, unread } => {
                let seat = self.tables.inboxes.find(&user).zip(self.find_row(&conversation));
                if let Some((at, seat)) = seat.and_then(|(user_index, at)| Some((at, self.seat_of(user_index, at)?))) {
                    self.change_seat(at, seat, |seat| seat.mark_read(through, unread));
                }
            }
            Record::Consumed { user, message } => self.tables.consumed.insert(&user, message),
            Record::Block { by, other, state } => self.apply_block(&by, &other, state),
            Record::Account { user, state, tokens_from } => self.apply_account(&user, state, tokens_from),
            Record::Profile { user, profile } => self.tables.profiles.set(&user, profile),
            Record::PushDevice { user, device, registration: it } => self.tables.push_devices.set(&user, &device, it),
            Record::Seen { user, last_seen } => {
                let user_index = self.tables.inboxes.find_or_add(&user);
                self.tables.inboxes.see(user_index, last_seen);
                self.tables.presence.go(user_index, last_seen);
            }
            Record::Online { user, since } => {
                let user_index = self.tables.inboxes.find_or_add(&user);
                self.tables.inboxes.see(user_index, Millis(0));
                self.tables.presence.come(user_index, since);
            }
            Record::Erased { user, time } => self.apply_erased(position, &user, time),
            Record::Clock { time, jumped_ms } => self.tell_time(position.segment(), time, jumped_ms),
        }
    }

    /// While a shard runs, the entries of a group's members follow in steps.
    fn replay_message(&mut self, position: Position, message: &Arc<Message>, links: &[ThreadLink]) {
        let (at, _) = self.apply_message(position, message, links);
        self.settle_fan_out(at, position);
    }

    /// The record at `position` confirms deliveries whose records begin at `oldest`.
    pub(in crate::shard) fn has_confirmed(&mut self, oldest: Position, position: Position) {
        (oldest.segment()..position.segment())
            .for_each(|segment| self.segments.dependencies.note(segment, position.segment()));
    }

    pub(in crate::shard) fn row_of(&mut self, conversation: &Conversation) -> ConversationIndex {
        let conversation_key = self.identity.fingerprints.of_conversation(conversation);
        self.tables.conversations.find_or_add(conversation_key, conversation, &self.tables.inboxes)
    }

    /// The row of the group whose fingerprint is `conversation_key`.
    pub(in crate::shard) fn group_row(&self, conversation_key: Fingerprint) -> Option<ConversationIndex> {
        self.tables.conversations.find_group(conversation_key, self.identity.fingerprints)
    }

    /// The conversation that has this row.
    pub(in crate::shard) fn conversation_at(&self, at: ConversationIndex) -> Conversation {
        self.tables.conversations.at(at).conversation(&self.tables.inboxes)
    }

    /// Every conversation's row with its index, in order.
    pub(in crate::shard) fn rows(&self) -> impl Iterator<Item = (ConversationIndex, ConversationFields)> + '_ {
        self.tables.conversations.all(&self.tables.inboxes)
    }

    pub(in crate::shard) fn change_seat<R>(
        &mut self,
        at: ConversationIndex,
        seat: u32,
        change: impl FnOnce(&mut Membership) -> R,
    ) -> R {
        self.tables.conversations.at_mut(at).change_seat(seat, &self.tables.inboxes, change)
    }

    /// The same in a group, where the user may become a member by it, or be none any more.
    pub(in crate::shard) fn change_group_seat(
        &mut self,
        at: ConversationIndex,
        seat: u32,
        change: impl FnOnce(&mut Membership),
    ) {
        let (user_index, was_taken, is_taken) = self.change_seat(at, seat, |seat| {
            let was_taken = seat.is_taken();
            change(seat);
            (seat.user, was_taken, seat.is_taken())
        });
        match (was_taken, is_taken) {
            (false, true) => self.tables.inboxes.enter_group(user_index),
            (true, false) => self.tables.inboxes.leave_group(user_index),
            _ => {}
        }
    }

    pub(in crate::shard) fn find_row(&self, conversation: &Conversation) -> Option<ConversationIndex> {
        self.tables.conversations.find(
            self.identity.fingerprints.of_conversation(conversation),
            conversation,
            &self.tables.inboxes,
        )
    }

    /// Applies a message that this shard, the conversation's owner, has given a place.
    pub(in crate::shard) fn apply_order(&mut self, message: &Arc<Message>) {
        self.tables.conversations.skip_ids_to(message.id);
        self.segments.times.tell(message.server_time);
        self.groups.unmade.ordered(message);
        match message.fact.as_deref() {
            Some(Fact::Group(_) | Fact::Joining { .. }) => {
                let name = self.identity.fingerprints.of_conversation(&message.conversation);
                self.groups.rosters.change(name, message);
            }
            Some(Fact::Read { told: _, messages }) => {
                let name = self.identity.fingerprints.of_reader(&message.conversation, &message.author);
                messages.iter().for_each(|read| self.tables.receipts.insert(name, read.conversation_seq));
            }
            _ => {}
        }
    }

    /// Notes that places of the conversation are missing.
    pub(in crate::shard) fn note_skipped(&mut self, conversation: &Conversation) {
        let is_ours = self.identity.placement.owner_of_conversation(conversation) == self.identity.me;
        let is_there = self.groups.rosters.find(self.identity.fingerprints.of_conversation(conversation)).is_some();
        if is_ours && !is_there && matches!(conversation, Conversation::Group(_)) {
            self.groups.unmade.skipped(conversation);
        }
    }

    /// Applies the message of the record at `position` to these threads. Returns the users' indexes, and the
    /// conversation's.
    pub(in crate::shard) fn apply_message(
        &mut self,
        position: Position,
        message: &Arc<Message>,
        links: &[ThreadLink],
    ) -> (ConversationIndex, PairMembers) {
        let at = self.row_of(&message.conversation);
        let sides = self.sides(at, message);
        let told = self.apply_message_at((at, sides), position, message, links);
        self.apply_own(told, position, message, None);
        (at, told)
    }

    /// The same, if the conversation's row is known, without `apply_own`.
    pub(in crate::shard) fn apply_message_at(
        &mut self,
        (at, sides): (ConversationIndex, PairMembers),
        position: Position,
        message: &Arc<Message>,
        links: &[ThreadLink],
    ) -> PairMembers {
        let told = self.apply_links((at, sides), position, message, links);
        self.apply_name(at, message, links);
        match message.fact.as_deref() {
            Some(Fact::Revoked { message }) => self.tables.revoked.insert(*message, position),
            // Of an erased user nothing is kept. Its request may have come from another shard before that.
            Some(Fact::Cleared { through, extent, .. }) if !self.tables.erased.contains(&message.author) => {
                let cleared = ClearedHistory { through: *through, extent: *extent };
                let user = told.author.into_iter();
                user.for_each(|user_index| self.tables.cleared.set(user_index, at, cleared, position));
            }
            _ => {}
        }
        if let Conversation::Group(_) = message.conversation {
            self.groups.fan_out.add(at, position, message.clone());
        }
        told
    }

    /// Applies a message that a rewrite copied into these threads. Its effects on other state are in records of their
    /// own.
    pub(in crate::shard) fn apply_carried(
        &mut self,
        position: Position,
        message: &Arc<Message>,
        links: &[ThreadLink],
    ) -> ConversationIndex {
        let at = self.row_of(&message.conversation);
        let sides = self.sides(at, message);
        let told = self.apply_links((at, sides), position, message, links);
        self.apply_own(told, position, message, None);
        at
    }

    /// Applies the links to inboxes on this shard. Returns their users.
    fn apply_links(
        &mut self,
        (at, sides): (ConversationIndex, PairMembers),
        position: Position,
        message: &Message,
        links: &[ThreadLink],
    ) -> PairMembers {
        self.segments.times.note(position.segment(), message.server_time);
        let mut told = PairMembers::default();
        for link in links {
            let known = sides.on(link.side);
            let user_index =
                known.or_else(|| user_on(link.side, message).map(|user| self.tables.inboxes.find_or_add(user)));
            let Some(user_index) = user_index else {
                self.tables.conversations.at_mut(at).tail.advance(*link, position);
                continue;
            };
            self.apply_link(position, message, at, user_index, *link);
            match link.side {
                Side::Author => told.author = Some(user_index),
                Side::Peer | Side::Conversation => told.peer = Some(user_index),
            }
        }
        told
    }

    /// Applies a conversation name that the author gave.
    fn apply_name(&mut self, at: ConversationIndex, message: &Message, links: &[ThreadLink]) {
        let Some(name) = message.conversation_name.as_ref().filter(|_| message.fact.is_none()) else { return };
        if links.iter().any(|link| link.side == Side::Author) {
            let user_index = self.tables.inboxes.find_or_add(&message.author);
            self.tables.inboxes.set_name(user_index, at, name);
        }
    }

    /// Makes a message of this shard's user known to the dedupe, under its key if that is known. `told` are the users
    /// whose inboxes have it.
    pub(in crate::shard) fn apply_own(
        &mut self,
        told: PairMembers,
        position: Position,
        message: &Message,
        key: Option<Fingerprint>,
    ) {
        let (Some(author_index), None) = (told.author, &message.fact) else { return };
        let key = key.unwrap_or_else(|| {
            self.identity.fingerprints.of_client_message(&message.author, &message.client_message_id)
        });
        self.tables.dedupe.remember(key, position, message.server_time);
        self.on_chunk(author_index, message);
    }

    /// Applies one link to an inbox or a conversation's thread.
    fn apply_link(
        &mut self,
        position: Position,
        message: &Message,
        at: ConversationIndex,
        user_index: UserIndex,
        link: ThreadLink,
    ) {
        self.tables.inboxes.tail_at_mut(user_index).advance(link, position);
        let seat = match message.conversation {
            Conversation::Pair(..) => Some(self.seat_in_pair(at, user_index)),
            Conversation::Group(_) => self.seat_of(user_index, at),
        };
        let Some(seat) = seat else { return };
        self.change_seat(at, seat, |seat| match link.side == Side::Author {
            true => seat.note_own(link.seq),
            false => seat.note(link.seq, message),
        });
    }

    /// Applies the entries of members for the group's message at `of`.
    fn apply_fanned(&mut self, position: Position, of: Position, links: &[MemberLink]) {
        self.pass_over_jobs_before(of);
        let job = self.groups.fan_out.job_of(of);
        let mut next = 0;
        for MemberLink { user, link } in links {
            let user_index = self.tables.inboxes.find_or_add(user);
            let seated = job.as_ref().and_then(|(at, message)| Some((*at, message, self.seat_of(user_index, *at)?)));
            match seated {
                Some((at, message, seat)) => {
                    self.apply_member_entry(position, at, seat, *link, message);
                    next = seat + 1;
                }
                // Even if the group is gone, its inboxes have no holes.
                None => self.tables.inboxes.tail_at_mut(user_index).advance(*link, position),
            }
        }
        if let Some((at, _)) = job {
            self.groups.fan_out.advance(at, next);
            self.settle_fan_out(at, position);
        }
    }

    /// Applies a group's entry for the user on this seat, who is not its author. Returns the user's index.
    pub(in crate::shard) fn apply_member_entry(
        &mut self,
        position: Position,
        at: ConversationIndex,
        seat: u32,
        link: ThreadLink,
        message: &Message,
    ) -> UserIndex {
        let user = self.change_seat(at, seat, |seat| {
            seat.note(link.seq, message);
            seat.user
        });
        self.tables.inboxes.tail_at_mut(user).advance(link, position);
        user
    }

    /// The users with a seat in a pair; without hashing, because the row is known.
    pub(in crate::shard) fn sides(&self, at: ConversationIndex, message: &Message) -> PairMembers {
        self.tables.conversations.at(at).sides(&message.author, &self.tables.inboxes)
    }

    /// A user's seat in a pair; creates it at the first message.
    pub(in crate::shard) fn seat_in_pair(&mut self, at: ConversationIndex, user_index: UserIndex) -> u32 {
        let row = self.tables.conversations.at_mut(at);
        if let Some(seat) = row.seat_of(user_index) {
            return seat;
        }
        let seat = row.add_seat(Membership::new(user_index, ConversationSeq(0)), &self.tables.inboxes);
        self.tables.inboxes.add_seat(user_index, SeatAt { conversation: at, seat });
        seat
    }

    /// The number of the user's seat in the conversation.
    pub(in crate::shard) fn seat_of(&self, user_index: UserIndex, at: ConversationIndex) -> Option<u32> {
        let row = self.tables.conversations.at(at);
        if row.group().is_none() {
            return row.seat_of(user_index);
        }
        let mut looked_at = 0;
        let mut seats = self.tables.inboxes.seats_of(user_index).inspect(|_| looked_at += 1);
        let found = seats.find(|seat| seat.conversation == at).map(|seat| seat.seat);
        self.rows_visited.count(usize::div_ceil(looked_at, SEATS_A_ROW));
        found
    }

    /// Gives a user a seat in a group at `joined`; a former member gets its old seat.
    pub(in crate::shard) fn seat(&mut self, at: ConversationIndex, user: &UserId, joined: ConversationSeq) {
        let user_index = self.tables.inboxes.find_or_add(user);
        let new = Membership::new(user_index, joined);
        if !self.peers.admissions.granted.is_empty() {
            let group = self.identity.fingerprints.of_conversation(&self.conversation_at(at));
            self.peers.admissions.granted.settle(user, group);
        }
        if let Some(seat) = self.seat_of(user_index, at) {
            return self.change_group_seat(at, seat, |seat| *seat = Membership { last: seat.last, ..new });
        }
        let seat = self.tables.conversations.at_mut(at).add_seat(new, &self.tables.inboxes);
        self.tables.inboxes.enter_group(user_index);
        self.tables.inboxes.add_seat(user_index, SeatAt { conversation: at, seat });
    }
}

/// The user of a side of a message; none for a conversation's own thread and for the peers of a group.
pub(in crate::shard) fn user_on(side: Side, message: &Message) -> Option<&UserId> {
    match side {
        Side::Author => Some(&message.author),
        Side::Peer => message.peer_of(&message.author),
        Side::Conversation => None,
    }
}

impl State {
    /// The log says that it was `time`, and that the wall clock had just been set ahead by `jumped_ms`.
    pub(in crate::shard) fn tell_time(&mut self, segment: u32, time: Millis, jumped_ms: i64) {
        self.tables.presence.tell(time);
        match jumped_ms {
            0 => self.segments.times.show(time),
            _ => self.segments.times.note_jump(segment, time, jumped_ms),
        }
    }

    /// Another process opened the log at `time`: all sessions before had ended.
    fn begin_run(&mut self, segment: u32, time: Millis) {
        self.segments.times.begin_run(segment, time);
        self.end_presence();
    }

    /// Ends every session: the process that wrote the log so far has ended.
    pub(in crate::shard) fn end_presence(&mut self) {
        let (users, until) = self.tables.presence.end();
        for user in users {
            self.tables.inboxes.see(user, until);
        }
    }

    /// Nothing of the user stays but the seqs of its inbox, its entries and its places in conversations.
    pub(in crate::shard) fn apply_erased(&mut self, position: Position, user: &UserId, time: Millis) {
        self.tables.erased.insert(user, time, position);
        if self.identity.placement.owner_of(user) != self.identity.me {
            return;
        }
        let account = self.tables.accounts.find(user);
        self.tables.accounts.set(user, Account { state: AccountState::Disabled, ..account });
        self.tables.profiles.set(user, Box::default());
        self.tables.push_devices.forget(user);
        if let Some(user_index) = self.tables.inboxes.find(user) {
            self.tables.inboxes.erase(user_index);
            self.tables.cleared.forget(user_index);
            self.tables.presence.forget(user_index);
        }
    }

    fn apply_block(&mut self, by: &UserId, other: &UserId, state: BlockState) {
        let pair = self.identity.fingerprints.of_conversation(&Conversation::pair(by.clone(), other.clone()));
        self.tables.blocks.set(pair, by, other, state);
    }

    pub(in crate::shard) fn apply_account(&mut self, user: &UserId, state: AccountState, tokens_from: Millis) {
        self.tables.accounts.set(user, Account { state, tokens_from });
    }
}
