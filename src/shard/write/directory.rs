//! The closed directory (PROTOCOL 2.4): only known users can receive messages. A user's own shard knows; the owner of a
//! pair asks that shard before the pair's first message, and never again.
//!
//! Invariants: one question for each pair is under way, and the requests that wait for it are bounded by their window;
//! one author's sends to one peer keep their order. Whoever becomes a member of a group is asked for
//! by `group::admission`; messages to a group ask nobody.

use crate::log::Storage;
use crate::model::{Conversation, Directory, Message, Refusal, ShardId, UserId};
use crate::shard::core::context::Ctx;
use crate::shard::peers::held_requests::HeldRequest;
use crate::shard::peers::message::{ConversationRequest, UserStatus};
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::write::request::RequestOutcome;
use crate::shard::{Effect, Shard, ShardMessage};

impl<S: Storage> Shard<S> {
    /// Why a message to the conversation with the fingerprint `pair` cannot be taken now, if it cannot.
    pub(in crate::shard) fn expect_known(&self, pair: Fingerprint, message: &Message) -> Option<RequestOutcome> {
        if self.settings.policies.directory == Directory::Open {
            return None;
        }
        let peer = message.peer_of(&message.author)?;
        // Later sends of the same author wait as well. Sends of the other user do not.
        if !self.state.is_home(peer) && self.state.peers.directory.waiting.contains_key(&pair) {
            return Some(RequestOutcome::Asking);
        }
        let row = self.state.tables.conversations.find(pair, &message.conversation, &self.state.tables.inboxes);
        if row.is_some_and(|at| self.state.tables.conversations.at(at).tail.seq().0 > 0) {
            return None;
        }
        if !self.state.is_home(peer) {
            return Some(RequestOutcome::Asking);
        }
        match self.standing_of(peer) {
            UserStatus::Known => None,
            UserStatus::Stranger => Some(RequestOutcome::refused(Refusal::UserNotExist)),
        }
    }

    pub(in crate::shard) fn standing_of(&self, user: &UserId) -> UserStatus {
        let user_index = self.state.tables.inboxes.find(user);
        let has_been_here = user_index.is_some_and(|user_index| self.state.tables.inboxes.is_known(user_index));
        // A session proves that the user exists, even if the log had no room to record it.
        match has_been_here || !self.state.sessions_of(user).is_empty() {
            true => UserStatus::Known,
            false => UserStatus::Stranger,
        }
    }

    /// The request waits for the answer of its recipient's shard. It is a request of this shard, because the other user
    /// is elsewhere.
    pub(in crate::shard) fn query_directory(&mut self, request: ConversationRequest, effects: &mut Vec<Effect>) {
        let (pair, Some(peer)) = (request.conversation_key, peer_of(&request)) else { return };
        let query = self.state.peers.directory.waiting.entry(pair).or_default();
        if query.requests.is_empty() {
            query.asked = 1;
            let to = self.settings.placement.owner_of(peer);
            effects.push(Effect::forward(to, ShardMessage::IsKnown { user: peer.clone(), pair }));
        }
        query.requests.push_back(request);
    }

    pub(in crate::shard) fn answer_known(
        &mut self,
        from: ShardId,
        user: &UserId,
        pair: Fingerprint,
        effects: &mut Vec<Effect>,
    ) {
        let shard_message = ShardMessage::Known { pair, standing: self.standing_of(user) };
        effects.push(Effect::forward(from, shard_message));
    }

    /// Continues the waiting requests in their order, or refuses those for which it was asked and asks once more for the
    /// others. Held requests came later and stay behind them.
    pub(in crate::shard) fn on_known(&mut self, ctx: &mut Ctx<'_>, pair: Fingerprint, standing: UserStatus) {
        let from = self.settings.me;
        let mut query = self.state.peers.directory.waiting.remove(&pair).unwrap_or_default();
        if standing == UserStatus::Known {
            let held = |request| HeldRequest { from, request, is_recipient_known: true };
            query.requests.into_iter().rev().for_each(|request| self.state.peers.outbound.hold_first(held(request)));
            return self.resume_held_requests(ctx);
        }
        for request in query.requests.drain(..query.asked) {
            self.conclude(ctx, from, request, RequestOutcome::refused(Refusal::UserNotExist));
        }
        query.requests.into_iter().for_each(|request| self.query_directory(request, ctx.effects));
        if let Some(again) = self.state.peers.directory.waiting.get_mut(&pair) {
            again.asked = again.requests.len();
        }
    }
}

/// The recipient of the request; `None` for a group.
fn peer_of(request: &ConversationRequest) -> Option<&UserId> {
    match request.conversation() {
        Conversation::Pair(a, b) => Some(if a == request.author() { b } else { a }),
        Conversation::Group(_) => None,
    }
}
