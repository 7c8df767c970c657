//! A session opens, and the log tells a shard what it was: the two beginnings. What checkpoints say is in `checkpoint`.

use super::fingerprint::Fingerprint;
use super::pending::Owed;
use super::{Effect, Shard, State};
use crate::log::{Link, Record, Side, Storage};
use crate::model::{Closing, DeviceKey, Message, Position, Reply, RequestTag, SessionId, ShardId, UserId};

impl<S: Storage> Shard<S> {
    /// PROTOCOL 2.2, 4. The welcome carries the newest seq, and waits until that is durable.
    pub(super) fn open_session(
        &mut self,
        session: SessionId,
        tag: RequestTag,
        user: UserId,
        device: DeviceKey,
        effects: &mut Vec<Effect>,
    ) {
        let tail = self.state.inboxes.tail(&user);
        let sessions_max = self.settings.limits.sessions_per_user_max;
        if let Some(oldest) = self.state.sessions.open(session, user, device, sessions_max) {
            effects.push(Effect::Close { session: oldest, closing: Closing::Replaced });
        }
        self.tell_when_acknowledged(tail.last, session, tag, Reply::Welcome { max_seq: tail.seq }, effects);
    }

    /// The edge has taken the session's fresh token. The answer is the welcome's: the newest seq, once that is durable.
    pub(super) fn reauthenticated(&mut self, session: SessionId, tag: RequestTag, effects: &mut Vec<Effect>) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let tail = self.state.inboxes.tail(&row.user);
        self.tell_when_acknowledged(tail.last, session, tag, Reply::Reauthenticated { max_seq: tail.seq }, effects);
    }

    pub(super) fn close_session(&mut self, session: SessionId) {
        self.state.sessions.close(session);
        self.state.relay.forget_stalled(session);
    }

    /// A reply that shows what the record at `depends_on` brought about: said at once when that is acknowledged.
    pub(super) fn tell_when_acknowledged(
        &mut self,
        depends_on: Position,
        session: SessionId,
        tag: RequestTag,
        reply: Reply,
        effects: &mut Vec<Effect>,
    ) {
        let owed = Owed::Reply { session, tag, reply };
        if depends_on < self.acknowledged {
            self.let_out(owed, effects);
        } else {
            self.pending.owe(self.newest_record, owed);
        }
    }
}

impl State {
    /// One record of the log, in order.
    pub(super) fn replay(&mut self, position: Position, record: Record, me: ShardId) {
        match record {
            Record::Start { .. } | Record::Mark { .. } => {}
            Record::Posted { message, deliveries, links } => {
                let conversation = self.fingerprints.of_conversation(&message.conversation);
                self.conversations.take(conversation, message.conversation_seq, message.id);
                self.take_links(&message, &links, position);
                for delivery in deliveries {
                    // A log of more shards than there are is refused by the data directory's manifest.
                    if delivery.target != me {
                        self.relay.peer(delivery.target).owe(delivery.number, position);
                    }
                }
            }
            Record::Delivered { source, number, message, links } => {
                self.relay.peer(source).take(number);
                self.take_links(&message, &links, position);
            }
            Record::Confirmed { target, through } => {
                self.relay.peer(target).confirmed(through);
            }
            Record::Device { user, device, position } => self.inboxes.restore_device(&user, &device, position),
            Record::Carried { message, links } => self.take_links(&message, &links, position),
            Record::Inbox { user, seq } => self.inboxes.tail_mut(&user).skip_to(seq),
            Record::Conversation { fingerprint, seq, message } if seq.0 > 0 => {
                self.conversations.take(Fingerprint::of_halves(fingerprint), seq, message);
            }
            Record::Conversation { message, .. } => self.conversations.skip_ids_to(message),
            Record::Fanned { .. }
            | Record::Read { .. }
            | Record::Consumed { .. }
            | Record::Block { .. }
            | Record::Seen { .. } => {}
        }
    }

    /// The record at `position` put a message into these inboxes.
    pub(super) fn take_links(&mut self, message: &Message, links: &[Link], position: Position) {
        self.ages.note(position.segment(), message.server_time);
        for link in links {
            let Some(user) = user_on(link.side, message) else { continue };
            self.inboxes.tail_mut(user).advance(*link, position);
            if link.side == Side::Author {
                let key = self.fingerprints.of_client_message(&message.author, &message.client_message_id);
                self.dedupe.remember(key, position, message.server_time);
            }
        }
    }
}

/// Whose inbox a side of a message is; a group has no single peer.
pub(super) fn user_on(side: Side, message: &Message) -> Option<&UserId> {
    match side {
        Side::Author => Some(&message.author),
        Side::Peer => message.peer_of(&message.author),
        Side::Conversation => None,
    }
}
