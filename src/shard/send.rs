//! Send (PROTOCOL 2.4): checked and deduplicated where the author is, taken where its conversation is.

use super::commit::{Commit, author_seq};
use super::fetch::Wanted;
use super::fingerprint::Fingerprint;
use super::in_flight::Waiter;
use super::parcel::Post;
use super::pending::Owed;
use super::relay::Stalled;
use super::{Effect, Parcel, Shard};
use crate::log::{Patience, Record, Storage, Unread};
use crate::model::{
    Annotations, ClientMessageId, Conversation, ConversationName, Extra, Message, Millis, Position, Recipient, Refusal,
    Refused, Reply, RequestTag, Send, Seq, SessionId, ShardId, UserId,
};
use smallvec::SmallVec;
use std::sync::Arc;

impl<S: Storage> Shard<S> {
    pub(super) fn send(
        &mut self,
        now: Millis,
        session: SessionId,
        tag: RequestTag,
        send: Send,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let author = row.user.clone();
        let conversation = match self.check(&author, &send) {
            Ok(conversation) => conversation,
            Err(refusal) => return self.refuse(session, tag, refusal, effects),
        };
        let owner = self.settings.placement.owner_of_conversation(&conversation);
        if !self.state.relay.may_post(owner) {
            self.state.relay.peer(owner).stall(Stalled { session, tag, send });
            effects.push(Effect::Pause { session });
            return;
        }
        if !self.state.inboxes.bucket_of(&author).take(now, &self.settings.limits) {
            return self.refuse(session, tag, Refusal::SendTooFast, effects);
        }
        let key = self.state.fingerprints.of_client_message(&author, &send.client_message_id);
        let waiter = Waiter { session, tag };
        let Some(waiter) = self.answer_repetition(now, key, waiter, &send, effects) else { return };
        self.post(now, key, owner, Arc::new(Post { author, conversation, send }), waiter, effects);
    }

    /// What can be said about a send without knowing anybody.
    fn check(&self, author: &UserId, send: &Send) -> Result<Conversation, Refusal> {
        if send.content.len() > self.settings.limits.content_bytes_max {
            return Err(Refusal::MessageTooLarge);
        }
        match &send.recipient {
            Recipient::User(peer) => Ok(Conversation::pair(author.clone(), peer.clone())),
            // No group has been made yet, so none can be written to.
            Recipient::Group(_) => Err(Refusal::ConversationNotExist),
        }
    }

    /// Answers a send whose client message id was used before; gives the waiter back when it was not.
    fn answer_repetition(
        &mut self,
        now: Millis,
        key: Fingerprint,
        waiter: Waiter,
        send: &Send,
        effects: &mut Vec<Effect>,
    ) -> Option<Waiter> {
        if let Some(flight) = self.state.in_flight.find_mut(key) {
            if repeats_send(send, &flight.post.send) {
                self.stats.repeated += 1;
                flight.wait(waiter);
            } else {
                self.refuse(waiter.session, waiter.tag, Refusal::ClientMessageIdReused, effects);
            }
            return None;
        }
        let Some(position) = self.state.dedupe.find(key) else { return Some(waiter) };
        let view = self.journal.view(Patience::None);
        if view.is_gone(position) {
            return Some(waiter);
        }
        match view.read(position) {
            Ok(record) => return self.repeat(now, waiter, send, (position, record), effects),
            Err(Unread::Damaged(_)) => self.refuse(waiter.session, waiter.tag, Refusal::StorageDamaged, effects),
            Err(Unread::Cold(_)) => {
                let wanted = Wanted::First { position, send: Box::new(send.clone()) };
                self.fetch(waiter.session, waiter.tag, wanted, effects);
            }
        }
        None
    }

    /// Answers a send with what the record of its first said; gives the waiter back when that is too old to count.
    pub(super) fn repeat(
        &mut self,
        now: Millis,
        waiter: Waiter,
        send: &Send,
        (position, record): (Position, Record),
        effects: &mut Vec<Effect>,
    ) -> Option<Waiter> {
        let first = match record {
            Record::Posted { message, links, .. }
            | Record::Delivered { message, links, .. }
            | Record::Carried { message, links } => author_seq(&links).map(|seq| (message, seq)),
            _ => None,
        };
        let Some((message, seq)) = first else {
            self.refuse(waiter.session, waiter.tag, Refusal::StorageDamaged, effects);
            return None;
        };
        if now.since(message.server_time) >= self.settings.limits.dedupe_window_ms {
            return Some(waiter);
        }
        if repeats_message(send, &message) {
            self.stats.repeated += 1;
            self.tell_when_acknowledged(position, waiter.session, waiter.tag, sent(&message, seq), effects);
        } else {
            self.refuse(waiter.session, waiter.tag, Refusal::ClientMessageIdReused, effects);
        }
        None
    }

    /// Takes the message here, or sends it to the shard that does.
    fn post(
        &mut self,
        now: Millis,
        key: Fingerprint,
        owner: ShardId,
        post: Arc<Post>,
        waiter: Waiter,
        effects: &mut Vec<Effect>,
    ) {
        if owner != self.settings.me {
            self.state.relay.peer(owner).post_sent();
            self.state.in_flight.start(key, post.clone(), waiter);
            effects.push(Effect::Forward { to: owner, parcel: Parcel::Post(post) });
            return;
        }
        let commit = match self.state.relay.is_holding() {
            true => Commit::MustWait,
            false => self.commit(now, &post, Some(waiter.session)),
        };
        match commit {
            Commit::Taken { record, message, author_seq } => {
                let seq = author_seq.expect("the author's inbox is on the author's shard");
                self.owe_sent(record, waiter, &message, seq);
            }
            Commit::MustWait => {
                self.state.relay.peer(owner).post_sent();
                self.state.in_flight.start(key, post.clone(), waiter);
                self.state.relay.hold(owner, post);
            }
            Commit::Full => self.refuse(waiter.session, waiter.tag, Refusal::StorageFull, effects),
        }
    }

    /// A post of another shard's user, for a conversation of ours.
    pub(super) fn take_post(&mut self, now: Millis, from: ShardId, post: Arc<Post>, effects: &mut Vec<Effect>) {
        if self.state.relay.is_holding() {
            return self.state.relay.hold(from, post);
        }
        match self.commit(now, &post, None) {
            // The author's shard answers, once its inbox has the message.
            Commit::Taken { .. } => {}
            Commit::MustWait => self.state.relay.hold(from, post),
            Commit::Full => self.decline(from, &post, effects),
        }
    }

    /// Posts that waited for a window, as far as there is room now.
    pub(super) fn take_held_posts(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        while let Some((from, post)) = self.state.relay.first_held() {
            let key = self.state.fingerprints.of_client_message(&post.author, &post.send.client_message_id);
            let is_own = from == self.settings.me;
            let origin = self.state.in_flight.find_mut(key).filter(|_| is_own).map(|flight| flight.origin());
            match self.commit(now, &post, origin) {
                Commit::MustWait => return,
                Commit::Full => self.decline(from, &post, effects),
                Commit::Taken { record, message, author_seq } if is_own => {
                    let seq = author_seq.expect("the author's inbox is on the author's shard");
                    for waiter in self.land(from, &message.author, &message.client_message_id) {
                        self.owe_sent(record, waiter, &message, seq);
                    }
                }
                Commit::Taken { .. } => {}
            }
            self.state.relay.let_go_of_first();
        }
    }

    fn decline(&mut self, from: ShardId, post: &Post, effects: &mut Vec<Effect>) {
        let refused = Refusal::StorageFull.into();
        let (author, client_message_id) = (post.author.clone(), post.send.client_message_id.clone());
        if from == self.settings.me {
            return self.declined(from, &author, &client_message_id, refused, effects);
        }
        effects.push(Effect::Forward { to: from, parcel: Parcel::Declined { author, client_message_id, refused } });
    }

    /// The owner of the conversation said no.
    pub(super) fn declined(
        &mut self,
        owner: ShardId,
        author: &UserId,
        client_message_id: &ClientMessageId,
        refused: Refused,
        effects: &mut Vec<Effect>,
    ) {
        for Waiter { session, tag } in self.land(owner, author, client_message_id) {
            self.stats.refused += 1;
            effects.push(Effect::Reply { session, tag, reply: Reply::Refused(refused) });
        }
    }

    /// A send has its answer: those who wait for it. Nobody does when it was sent before a restart.
    pub(super) fn land(
        &mut self,
        owner: ShardId,
        author: &UserId,
        client_message_id: &ClientMessageId,
    ) -> SmallVec<[Waiter; 1]> {
        let key = self.state.fingerprints.of_client_message(author, client_message_id);
        let Some(flight) = self.state.in_flight.land(key) else { return SmallVec::new() };
        self.state.relay.peer(owner).post_answered();
        flight.waiters
    }

    pub(super) fn owe_sent(&mut self, record: Position, waiter: Waiter, message: &Message, seq: Seq) {
        if waiter.tag == RequestTag::None {
            return;
        }
        self.pending.owe(record, Owed::Reply { session: waiter.session, tag: waiter.tag, reply: sent(message, seq) });
    }

    /// Sends that found a window full go on as far as there is room now.
    pub(super) fn resume_stalled(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        while let Some(owner) = self.state.relay.first_unstallable() {
            let Some(Stalled { session, tag, send }) = self.state.relay.peer(owner).next_stalled() else { return };
            effects.push(Effect::Resume { session });
            self.send(now, session, tag, send, effects);
        }
    }
}

fn sent(message: &Message, seq: Seq) -> Reply {
    Reply::Sent {
        message_id: message.id,
        seq,
        conversation_seq: message.conversation_seq,
        server_time: message.server_time,
    }
}

/// What a send says, whoever holds it: the author's clock is no part of it.
#[derive(PartialEq)]
struct Said<'a> {
    recipient: Recipient,
    conversation_name: Option<&'a ConversationName>,
    message_type: i32,
    content: &'a [u8],
    extra: &'a Extra,
}

impl<'a> Said<'a> {
    fn by_send(send: &'a Send) -> Self {
        Self {
            recipient: send.recipient.clone(),
            conversation_name: send.conversation_name.as_ref(),
            message_type: send.message_type,
            content: &send.content,
            extra: &send.extra,
        }
    }

    fn by_message(message: &'a Message) -> Self {
        Self {
            recipient: message.recipient(),
            conversation_name: message.conversation_name.as_ref(),
            message_type: message.message_type,
            content: &message.content,
            extra: &message.extra,
        }
    }
}

fn repeats_send(send: &Send, first: &Send) -> bool {
    Said::by_send(send) == Said::by_send(first)
        && same_annotations(send.annotations.as_deref(), first.annotations.as_deref())
}

fn repeats_message(send: &Send, first: &Message) -> bool {
    Said::by_send(send) == Said::by_message(first)
        && same_annotations(send.annotations.as_deref(), first.annotations.as_deref())
}

/// Whether two sends are noted alike; that one is marked as a duplicate does not tell them apart.
fn same_annotations(one: Option<&Annotations>, other: Option<&Annotations>) -> bool {
    let without_dup = |annotations: Option<&Annotations>| {
        let mut annotations = annotations.cloned().unwrap_or_default();
        annotations.header.dup = false;
        annotations
    };
    without_dup(one) == without_dup(other)
}
