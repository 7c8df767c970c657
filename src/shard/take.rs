//! What a record means to a shard, live and when the log is replayed: the one place where state follows from records.
//!
//! Invariant: everything here depends on records and on nothing else, so that a replay ends where the shard was.

use super::State;
use super::conversation::{ConversationAt, Seat};
use super::fan_out::Job;
use super::fingerprint::Fingerprint;
use super::inbox::{Place, SeatAt};
use crate::log::{Link, MemberLink, Record, Side};
use crate::model::{Conversation, ConversationSeq, Fact, Message, Position, Seq, ShardId, UserId};
use std::sync::Arc;

impl State {
    /// One record of the log, in order.
    pub(super) fn replay(&mut self, position: Position, record: Record, me: ShardId) {
        match record {
            Record::Start { .. } | Record::Mark { .. } => {}
            Record::Posted { message, deliveries, links } => {
                self.take_order(&message);
                self.take_message(position, &message, &links);
                for delivery in deliveries {
                    // A log of more shards than there are is refused by the data directory's manifest.
                    if delivery.target != me {
                        self.relay.peer(delivery.target).owe(delivery.number, position);
                    }
                }
            }
            Record::Delivered { source, number, message, links } => {
                self.relay.peer(source).take(number);
                self.take_message(position, &message, &links);
            }
            Record::Confirmed { target, through } => {
                if let Some(oldest) = self.relay.peer(target).confirmed(through) {
                    self.has_confirmed(oldest, position);
                }
            }
            Record::Device { user, device, position } => self.inboxes.restore_device(&user, &device, position),
            Record::Carried { message, links } => self.take_message(position, &message, &links),
            Record::Inbox { user, seq } => self.inboxes.tail_mut(&user).skip_to(seq),
            Record::Conversation { conversation, seq, message } => {
                let at = self.row_of(&conversation);
                self.conversations.at_mut(at).tail.skip_to(Seq(seq.0));
                self.conversations.skip_ids_to(message);
            }
            Record::Issued { message } => self.conversations.skip_ids_to(message),
            Record::Fanned { of, links } => self.take_fanned(position, of, &links),
            Record::Read { user, conversation, through, unread } => {
                let seat = self.inboxes.find(&user).zip(self.find_row(&conversation));
                if let Some((at, seat)) = seat.and_then(|(place, at)| Some((at, self.seat_of(place, at)?))) {
                    self.conversations.at_mut(at).seats[seat as usize].mark_read(through, unread);
                }
            }
            Record::Consumed { user, message } => self.consumed.insert(&user, message),
            Record::Block { by, other, state } => {
                let pair = self.fingerprints.of_conversation(&Conversation::pair(by.clone(), other.clone()));
                self.blocks.set(pair, &by, &other, state);
            }
            Record::Seen { user, last_seen } => {
                let place = self.inboxes.find_or_add(&user);
                self.inboxes.see(place, last_seen);
            }
        }
    }

    /// The record at `position` says of deliveries that records from `oldest` on owed that they are confirmed.
    pub(super) fn has_confirmed(&mut self, oldest: Position, position: Position) {
        (oldest.segment()..position.segment()).for_each(|segment| self.outlasted.note(segment, position.segment()));
    }

    pub(super) fn row_of(&mut self, conversation: &Conversation) -> ConversationAt {
        let name = self.fingerprints.of_conversation(conversation);
        self.conversations.find_or_add(name, conversation)
    }

    pub(super) fn find_row(&self, conversation: &Conversation) -> Option<ConversationAt> {
        self.conversations.find(self.fingerprints.of_conversation(conversation))
    }

    /// This shard, which orders the conversation, has given the message its place.
    pub(super) fn take_order(&mut self, message: &Message) {
        self.conversations.skip_ids_to(message.id);
        match message.fact.as_deref() {
            Some(Fact::Group(change)) => {
                self.groups.change(self.fingerprints.of_conversation(&message.conversation), message, change);
            }
            Some(Fact::Read { told: _, messages }) => {
                let name = self.fingerprints.of_reader(&message.conversation, &message.author);
                messages.iter().for_each(|read| self.receipts.insert(name, read.conversation_seq));
            }
            _ => {}
        }
    }

    /// The record at `position` has this message, and put it into these threads.
    pub(super) fn take_message(&mut self, position: Position, message: &Arc<Message>, links: &[Link]) {
        self.ages.note(position.segment(), message.server_time);
        let at = self.row_of(&message.conversation);
        for link in links {
            match user_on(link.side, message) {
                Some(user) => self.take_link(position, message, at, user, *link),
                None => self.conversations.at_mut(at).tail.advance(*link, position),
            }
        }
        if let Some(Fact::Revoked { message }) = message.fact.as_deref() {
            self.revoked.insert(*message);
        }
        if let Conversation::Group(_) = message.conversation {
            self.fan_out.add(at, Job::new(position, message.clone()));
            self.settle_fan_out(at, position);
        }
    }

    fn take_link(&mut self, position: Position, message: &Message, at: ConversationAt, user: &UserId, link: Link) {
        let place = self.inboxes.find_or_add(user);
        self.inboxes.tail_at_mut(place).advance(link, position);
        let is_author = link.side == Side::Author;
        if message.fact.is_none() && is_author {
            let key = self.fingerprints.of_client_message(&message.author, &message.client_message_id);
            self.dedupe.remember(key, position, message.server_time);
            if let Some(name) = &message.conversation_name {
                self.inboxes.set_name(place, at, name);
            }
        }
        if let Conversation::Pair(..) = message.conversation {
            let seat = self.seat_in_pair(at, place);
            self.note_entry(at, seat, message, link.seq, place);
        } else if let Some(seat) = self.seat_of(place, at) {
            self.note_entry(at, seat, message, link.seq, place);
        }
    }

    /// Members' entries of the group's record at `of`.
    pub(super) fn take_fanned(&mut self, position: Position, of: Position, links: &[MemberLink]) {
        let Some((at, message)) = self.fan_out.job_of(of) else { return };
        let mut newest_seat = None;
        for MemberLink { user, link } in links {
            let place = self.inboxes.find_or_add(user);
            self.inboxes.tail_at_mut(place).advance(*link, position);
            if let Some(seat) = self.seat_of(place, at) {
                self.note_entry(at, seat, &message, link.seq, Place(u32::MAX));
                newest_seat = newest_seat.max(Some(seat));
            }
        }
        self.fan_out.advance(at, newest_seat);
        self.settle_fan_out(at, position);
    }

    /// The seat has a new entry; whose it is does not count as unread. `author` is a place that may be the seat's own.
    fn note_entry(&mut self, at: ConversationAt, seat: u32, message: &Message, seq: Seq, author: Place) {
        let is_authors = author.0 != u32::MAX && *self.inboxes.user_at(author) == message.author;
        let seat = &mut self.conversations.at_mut(at).seats[seat as usize];
        seat.last = seq;
        if message.fact.is_none() && !is_authors && message.conversation_seq > seat.read {
            seat.unread = seat.unread.saturating_add(1);
        }
    }

    /// A user's seat in its conversation with another, or with itself: it has one from the first message on.
    fn seat_in_pair(&mut self, at: ConversationAt, user: Place) -> u32 {
        let row = self.conversations.at_mut(at);
        if let Some(seat) = row.seats.iter().position(|seat| seat.user == user) {
            return seat as u32;
        }
        row.seats.push(Seat::new(user, ConversationSeq(0)));
        let seat = row.seats.len() as u32 - 1;
        self.inboxes.add_seat(user, SeatAt { conversation: at, seat });
        seat
    }

    /// Which of the conversation's seats is this user's.
    pub(super) fn seat_of(&self, user: Place, at: ConversationAt) -> Option<u32> {
        let row = self.conversations.at(at);
        if let Conversation::Pair(..) = row.conversation {
            return row.seats.iter().position(|seat| seat.user == user).map(|seat| seat as u32);
        }
        let seats = self.inboxes.seats_of(user);
        seats.iter().rev().find(|seat| seat.conversation == at).map(|seat| seat.seat)
    }

    /// A user takes a seat in a group at `joined`, its old one if it has been there before.
    pub(super) fn seat(&mut self, at: ConversationAt, user: &UserId, joined: ConversationSeq) {
        let place = self.inboxes.find_or_add(user);
        let new = Seat::new(place, joined);
        let known = self.seat_of(place, at);
        let seats = &mut self.conversations.at_mut(at).seats;
        if let Some(seat) = known {
            let seat = &mut seats[seat as usize];
            *seat = Seat { last: seat.last, ..new };
            return;
        }
        seats.push(new);
        let seat = seats.len() as u32 - 1;
        self.inboxes.add_seat(place, SeatAt { conversation: at, seat });
    }
}

/// Whose inbox a side of a message is; a conversation's own thread is nobody's, and a group has no single peer.
pub(super) fn user_on(side: Side, message: &Message) -> Option<&UserId> {
    match side {
        Side::Author => Some(&message.author),
        Side::Peer => message.peer_of(&message.author),
        Side::Conversation => None,
    }
}

/// Whether the message takes a place in its conversation: what somebody wrote, and who came and went.
pub(super) fn takes_place(fact: Option<&Fact>) -> bool {
    matches!(fact, None | Some(Fact::Group(_)))
}

impl super::fingerprint::Fingerprints {
    /// A reader in a conversation: what it has told others that it has read.
    pub fn of_reader(self, conversation: &Conversation, reader: &UserId) -> Fingerprint {
        self.of_two(self.of_conversation(conversation), reader.as_str())
    }
}
