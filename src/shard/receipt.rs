//! Read receipts (PROTOCOL 2.6): a reader names messages; their authors are told, once per reader and message.
//!
//! The reader's own shard moves the reader's position in the conversation; the conversation's owner knows who wrote what
//! and what was told already.

use super::commit::{Commit, Draft};
use super::fetch::{Lookup, Wanted};
use super::in_flight::Waiter;
use super::parcel::{Ask, Post};
use super::post::Verdict;
use super::relay::Stalled;
use super::resolve::Seated;
use super::{Effect, Shard};
use crate::log::{Patience, Storage, Unread};
use crate::model::{
    Command, Conversation, Fact, Message, MessageId, Millis, ReadMessage, Receipt, Refusal, Reply, RequestTag,
    SessionId, UserId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

impl<S: Storage> Shard<S> {
    pub(super) fn receipt(
        &mut self,
        now: Millis,
        session: SessionId,
        tag: RequestTag,
        mut receipt: Receipt,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let reader = row.user.clone();
        let Some(seated) = self.state.resolve(&reader, &receipt.conversation) else {
            return self.refuse(session, tag, Refusal::ConversationNotExist, effects);
        };
        let conversation = self.state.seated(seated).0.clone();
        let owner = self.settings.placement.owner_of_conversation(&conversation);
        if !self.state.relay.may_post(owner) {
            self.state.relay.peer(owner).stall(Stalled { session, tag, command: Command::Receipt(receipt) });
            return effects.push(Effect::Pause { session });
        }
        if !self.state.inboxes.bucket_of(&reader).take(now, &self.settings.limits) {
            return self.refuse(session, tag, Refusal::SendTooFast, effects);
        }
        receipt.messages.sort_unstable();
        receipt.messages.dedup();
        let newest = receipt.messages.pop();
        let Some(newest) = newest else { return self.refuse(session, tag, Refusal::InvalidParam, effects) };
        receipt.messages.push(newest);
        let lookup = Lookup::of(&self.state, &conversation, vec![newest]);
        let found = lookup.as_ref().map(|lookup| lookup.answer(self.journal.view(Patience::None)));
        match (lookup, found) {
            (Some(_), Some(Ok(mut found))) => {
                let found = found.pop().flatten();
                self.receipt_found(now, Waiter { session, tag }, seated, receipt, found, effects);
            }
            (Some(lookup), Some(Err(Unread::Cold(_)))) => {
                self.fetch(session, tag, Wanted::Receipt(lookup, Box::new(receipt)), effects);
            }
            _ => self.refuse(session, tag, Refusal::StorageDamaged, effects),
        }
    }

    /// The newest of the messages named is known, or known not to be there.
    pub(super) fn receipt_found(
        &mut self,
        now: Millis,
        waiter: Waiter,
        seated: Seated,
        receipt: Receipt,
        newest: Option<Arc<Message>>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(waiter.session) else { return };
        let reader = row.user.clone();
        if let Some(message) = newest {
            self.read_through(seated, &reader, message.conversation_seq, effects);
        }
        let conversation = self.state.seated(seated).0.clone();
        let owner = self.settings.placement.owner_of_conversation(&conversation);
        if !self.state.relay.may_post(owner) {
            // The window has filled up while the disk was read.
            let (Waiter { session, tag }, command) = (waiter, Command::Receipt(receipt));
            self.state.relay.peer(owner).stall(Stalled { session, tag, command });
            return effects.push(Effect::Pause { session });
        }
        let key = self.state.in_flight.next_key(self.state.fingerprints, &reader);
        let post = Post { author: reader, conversation, key, ask: Ask::Receipt(receipt.messages) };
        self.post(now, owner, Arc::new(post), waiter, effects);
    }

    /// At the conversation's owner: one fact for each author who learns something.
    pub(super) fn commit_receipts(
        &mut self,
        now: Millis,
        post: &Post,
        messages: &[MessageId],
        found: Option<Vec<Option<Arc<Message>>>>,
    ) -> Verdict {
        let found = match found {
            Some(found) => found,
            None => {
                let Some(lookup) = Lookup::of(&self.state, &post.conversation, messages.to_vec()) else {
                    return Verdict::refused(Refusal::ConversationNotExist);
                };
                match lookup.answer(self.journal.view(Patience::None)) {
                    Ok(found) => found,
                    Err(Unread::Cold(_)) => return Verdict::Reading(Wanted::Messages(lookup)),
                    Err(Unread::Damaged(_)) => return Verdict::refused(Refusal::StorageDamaged),
                }
            }
        };
        if !self.is_in(&post.author, &post.conversation) {
            return Verdict::refused(Refusal::PermissionDenied);
        }
        for (told, messages) in self.news_by_author(post, &found) {
            let fact = Fact::Read { told, messages };
            let draft = Draft::of_fact(post.conversation.clone(), post.author.clone(), now, fact);
            match self.commit(now, draft, None) {
                Commit::Taken { .. } => {}
                // What was told before stays told: this one goes on from there.
                Commit::MustWait => return Verdict::MustWait,
                Commit::Refused(refusal) => return Verdict::refused(refusal),
            }
        }
        Verdict::Answered { after: Some(self.newest_record), reply: Reply::Done }
    }

    /// Messages of others that the reader has not told them about.
    fn news_by_author(&self, post: &Post, found: &[Option<Arc<Message>>]) -> BTreeMap<UserId, Vec<ReadMessage>> {
        let reader = self.state.fingerprints.of_reader(&post.conversation, &post.author);
        let mut news: BTreeMap<UserId, Vec<ReadMessage>> = BTreeMap::new();
        for message in found.iter().flatten() {
            let is_news = message.fact.is_none()
                && message.author != post.author
                && !self.state.receipts.contains(reader, message.conversation_seq);
            if is_news {
                let read = ReadMessage { id: message.id, conversation_seq: message.conversation_seq };
                news.entry(message.author.clone()).or_default().push(read);
            }
        }
        news
    }

    /// Whether a user is in the conversation, as its owner knows it.
    pub(super) fn is_in(&self, user: &UserId, conversation: &Conversation) -> bool {
        match conversation {
            Conversation::Pair(a, b) => a == user || b == user,
            Conversation::Group(_) => {
                let name = self.state.fingerprints.of_conversation(conversation);
                self.state.groups.find(name).is_some_and(|group| group.members.contains_key(user))
            }
        }
    }
}
