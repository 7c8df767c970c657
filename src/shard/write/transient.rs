//! Messages for users who are online, never stored: those marked noPersist (PROTOCOL 3.10), and typing notices
//! (PROTOCOL 2.6).

use crate::log::Storage;
use crate::model::{
    Conversation, ConversationSeq, Event, Message, Refusal, Reply, RequestTag, Seq, SessionId, Typing, TypingNotice,
    UnsequencedMessage, UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::rows::charge::Charge;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::work::transients::TransientNotice;
use crate::shard::write::admit::Admitted;
use crate::shard::write::request::RequestOutcome;
use crate::shard::{Effect, Shard, ShardMessage};
use smallvec::SmallVec;
use std::sync::Arc;

impl<S: Storage> Shard<S> {
    /// At the conversation's owner: forwards the message to every shard with members.
    pub(in crate::shard) fn forward_transient(
        &mut self,
        ctx: &mut Ctx<'_>,
        conversation_key: Fingerprint,
        message: &mut UnsequencedMessage,
        origin: Option<SessionId>,
    ) -> RequestOutcome {
        if !self.may_pass_on(&message.conversation, conversation_key) {
            return RequestOutcome::refused(Refusal::GroupTooBusy);
        }
        message.place(self.state.tables.conversations.next_id(ctx.now.wall), ConversationSeq(0), ctx.now.wall);
        let message = message.share();
        let targets = self.targets_of(&message.conversation, None);
        self.state.tables.conversations.skip_ids_to(message.id);
        for to in targets {
            ctx.effects.push(Effect::forward(to, ShardMessage::Transient { message: message.clone() }));
        }
        self.push_transient(&message, origin, ctx.effects);
        RequestOutcome::now(Reply::Sent {
            message_id: message.id,
            seq: Seq(0),
            conversation_seq: ConversationSeq(0),
            server_time: message.server_time,
        })
    }

    /// Pushes the message to the sessions of members on this shard; for a large group in several turns.
    pub(in crate::shard) fn push_transient(
        &mut self,
        message: &Arc<Message>,
        origin: Option<SessionId>,
        effects: &mut Vec<Effect>,
    ) {
        let key = self.state.identity.fingerprints.of_client_message(&message.author, &message.client_message_id);
        let origin = origin.or_else(|| self.state.peers.requests.find_mut(key)?.origin());
        if let Conversation::Group(_) = message.conversation {
            let Some(at) = self.state.find_row(&message.conversation) else { return };
            return self.begin_transient(at, TransientNotice::Message(message.clone(), origin), effects);
        }
        for user in self.pair_online(&message.conversation) {
            self.push_transient_to(user, message, origin, effects);
        }
    }

    pub(in crate::shard) fn push_transient_to(
        &self,
        user: UserId,
        message: &Arc<Message>,
        origin: Option<SessionId>,
        effects: &mut Vec<Effect>,
    ) {
        let sessions = self.welcomed_sessions(&user, origin);
        if !sessions.is_empty() {
            let name = self.state.name_for_user(&user, &message.conversation);
            effects.push(Effect::Push { user, sessions, event: Event::Transient(message.clone(), name) });
        }
    }

    pub(in crate::shard) fn typing(&mut self, ctx: &mut Ctx<'_>, session: SessionId, tag: RequestTag, typing: &Typing) {
        let Some(admitted) = self.admit(ctx, session, tag, &typing.conversation, Charge::of_notice()) else { return };
        let Admitted { tag, user, user_index, seated, .. } = admitted;
        let (conversation, seat) = self.state.seated(seated);
        if !seat.is_taken() {
            return self.refuse(session, tag, Refusal::PermissionDenied, ctx.effects);
        }
        if tag != RequestTag::None {
            ctx.effects.push(Effect::Reply { session, tag, reply: Reply::Done });
        }
        if !self.state.live.typing.may_tell(ctx.now, seated.at, user_index) {
            return;
        }
        let owner = self.settings.placement.owner_of_conversation(&conversation);
        let notice = Box::new(TypingNotice { conversation, name: None, user, status: typing.status });
        if owner == self.settings.me {
            return self.on_typing(ctx, notice);
        }
        ctx.effects.push(Effect::forward(owner, ShardMessage::Typing { notice }));
    }

    /// At the conversation's owner: forwards the notice to the shards of its members; there, to members who are online.
    pub(in crate::shard) fn on_typing(&mut self, ctx: &mut Ctx<'_>, notice: Box<TypingNotice>) {
        let owner = self.settings.placement.owner_of_conversation(&notice.conversation);
        if owner == self.settings.me {
            let conversation_key = self.state.identity.fingerprints.of_conversation(&notice.conversation);
            if self.may_write(ctx.now, &notice.user, &notice.conversation, conversation_key).is_err()
                || !self.is_small(conversation_key)
            {
                return;
            }
            for to in self.targets_of(&notice.conversation, None) {
                ctx.effects.push(Effect::forward(to, ShardMessage::Typing { notice: notice.clone() }));
            }
        }
        if let Conversation::Group(_) = notice.conversation {
            let Some(at) = self.state.find_row(&notice.conversation) else { return };
            return self.begin_transient(at, TransientNotice::Typing(Arc::new(*notice)), ctx.effects);
        }
        for user in self.pair_online(&notice.conversation) {
            self.push_typing_to(user, &notice, ctx.effects);
        }
    }

    /// To a user who is online, unless it is the one who types.
    pub(in crate::shard) fn push_typing_to(&self, user: UserId, notice: &TypingNotice, effects: &mut Vec<Effect>) {
        if user == notice.user {
            return;
        }
        let sessions = self.welcomed_sessions(&user, None);
        if !sessions.is_empty() {
            let name = self.state.name_for_user(&user, &notice.conversation);
            let notice = Box::new(TypingNotice { name, ..notice.clone() });
            effects.push(Effect::Push { user, sessions, event: Event::Typing(notice) });
        }
    }

    fn is_small(&self, conversation_key: Fingerprint) -> bool {
        let members = self.state.groups.rosters.find(conversation_key).map_or(0, |group| group.members.len());
        members <= self.settings.limits.typing_members_max
    }

    fn pair_online(&self, conversation: &Conversation) -> Vec<UserId> {
        let Conversation::Pair(a, b) = conversation else { return Vec::new() };
        let mut both: SmallVec<[&UserId; 2]> = SmallVec::from_slice(&[a, b]);
        both.dedup();
        let is_online = |user: &&&UserId| !self.state.sessions_of(user).is_empty();
        both.iter().filter(is_online).map(|user| (*user).clone()).collect()
    }

    /// Welcomed sessions of the users, except the one that the message is from.
    pub(in crate::shard) fn welcomed_sessions(
        &self,
        user: &UserId,
        origin: Option<SessionId>,
    ) -> SmallVec<[SessionId; 2]> {
        let sessions = self.state.sessions_of(user).iter().copied();
        let is_told = |session: &SessionId| {
            Some(*session) != origin && self.state.live.sessions.find(*session).is_some_and(|row| row.welcomed)
        };
        sessions.filter(is_told).collect()
    }
}
