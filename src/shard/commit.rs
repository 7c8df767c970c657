//! The commit point: a conversation of this shard takes a message.

use super::open::user_on;
use super::parcel::Post;
use super::pending::Owed;
use super::{Parcel, Shard};
use crate::log::{Delivery, Link, Links, Record, Side, Storage};
use crate::model::{Entry, Message, MessageId, Millis, Position, Seq, SessionId, ShardId};
use smallvec::SmallVec;
use std::sync::Arc;

pub(super) enum Commit {
    /// `author_seq` where the author's inbox is here.
    Taken { record: Position, message: Arc<Message>, author_seq: Option<Seq> },
    /// A shard that is to have it has not confirmed enough of what it was sent.
    MustWait,
    /// There is no room in the log, or none in that of a shard that is owed all it may be; nothing has changed.
    Full,
}

impl<S: Storage> Shard<S> {
    /// One append does it all: the conversation's order, the inboxes that are here, the deliveries owed to others.
    pub(super) fn commit(&mut self, now: Millis, post: &Post, origin: Option<SessionId>) -> Commit {
        let targets = self.targets_of(post);
        if let Some(target) = targets.iter().find(|target| !self.state.relay.may_deliver(**target)) {
            return if self.state.relay.is_full(*target) { Commit::Full } else { Commit::MustWait };
        }
        let message = self.message_of(now, post);
        let links = self.links_of(&message);
        let deliveries = targets
            .iter()
            .map(|target| Delivery { target: *target, number: self.state.relay.peer(*target).next_number() })
            .collect();
        let record = Record::Posted { message, deliveries, links };
        if !self.journal.has_room(record.encoded_bytes()) {
            return Commit::Full;
        }
        let position = self.append(&record);
        let Record::Posted { message, deliveries, links } = record else { unreachable!("made above") };
        self.stats.committed += 1;
        let conversation = self.state.fingerprints.of_conversation(&message.conversation);
        self.state.conversations.take(conversation, message.conversation_seq, message.id);
        self.state.take_links(&message, &links, position);
        self.owe_pushes(position, &message, &links, origin);
        for Delivery { target, number } in deliveries {
            self.state.relay.peer(target).owe(number, position);
            let parcel = Parcel::Deliver { number, message: message.clone() };
            self.pending.owe(position, Owed::Parcel { to: target, parcel });
        }
        Commit::Taken { record: position, author_seq: author_seq(&links), message }
    }

    /// The other shards that have an inbox of this conversation.
    fn targets_of(&self, post: &Post) -> SmallVec<[ShardId; 2]> {
        let placement = self.settings.placement;
        let crate::model::Conversation::Pair(a, b) = &post.conversation else { return SmallVec::new() };
        let mut targets: SmallVec<[ShardId; 2]> = SmallVec::new();
        for shard in [placement.owner_of(a), placement.owner_of(b)] {
            if shard != self.settings.me && !targets.contains(&shard) {
                targets.push(shard);
            }
        }
        targets
    }

    fn message_of(&self, now: Millis, post: &Post) -> Arc<Message> {
        let conversation = self.state.fingerprints.of_conversation(&post.conversation);
        let (conversation_seq, id): (_, MessageId) = self.state.conversations.next(conversation, now);
        let send = &post.send;
        Arc::new(Message {
            id,
            conversation: post.conversation.clone(),
            conversation_seq,
            author: post.author.clone(),
            client_message_id: send.client_message_id.clone(),
            conversation_name: send.conversation_name.clone(),
            message_type: send.message_type,
            content: send.content.clone(),
            send_time: send.send_time,
            server_time: now,
            extra: send.extra.clone(),
            annotations: send.annotations.clone(),
        })
    }

    /// Where a message goes in the inboxes of this shard.
    pub(super) fn links_of(&self, message: &Message) -> Links {
        let mut links = Links::new();
        for side in [Side::Author, Side::Peer] {
            let Some(user) = user_on(side, message) else { continue };
            let is_told_already = side == Side::Peer && *user == message.author;
            if !is_told_already && self.settings.placement.owner_of(user) == self.settings.me {
                links.push(self.state.inboxes.tail(user).next_link(side));
            }
        }
        links
    }

    pub(super) fn owe_pushes(
        &mut self,
        record: Position,
        message: &Arc<Message>,
        links: &[Link],
        origin: Option<SessionId>,
    ) {
        for link in links {
            let Some(user) = user_on(link.side, message) else { continue };
            let entry = Entry { seq: link.seq, message: message.clone() };
            let origin = origin.filter(|_| link.side == Side::Author);
            self.pending.owe(record, Owed::Push { user: user.clone(), origin, entry });
        }
    }
}

pub(super) fn author_seq(links: &[Link]) -> Option<Seq> {
    links.iter().find(|link| link.side == Side::Author).map(|link| link.seq)
}
