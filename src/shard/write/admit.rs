//! Opens the verbs that write to a conversation which the user has: charges the user, finds the conversation and its
//! owner, and makes the request. A verb's own file has what only that verb does.
//!
//! A send begins a conversation where there is none, and is charged by what it carries once its owner has room for it, so
//! `begin_send` opens it, whoever sends (decision 0023). Invariant: a command that waits for room is charged once, when it
//! goes on.

use crate::log::Storage;
use crate::model::{Authority, Command, ConversationRef, Refusal, RequestTag, SessionId, ShardId, UserId};
use crate::shard::Shard;
use crate::shard::core::context::Ctx;
use crate::shard::peers::message::{Asker, ConversationRequest, RequestKind};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::peers::stalled::Stalled;
use crate::shard::rows::charge::Charge;
use crate::shard::rows::index::UserIndex;
use crate::shard::rows::seat::Seated;
use crate::shard::table::fingerprint::Fingerprint;

/// A request of a session that was charged, about a conversation of the session's user.
pub(in crate::shard) struct Admitted {
    pub session: SessionId,
    pub tag: RequestTag,
    pub user: UserId,
    pub user_index: UserIndex,
    pub seated: Seated,
}

/// Who asks a conversation, and where the conversation's owner is.
pub(in crate::shard) struct Addressed {
    pub asker: Asker,
    pub conversation_key: Fingerprint,
    pub owner: ShardId,
}

impl Admitted {
    pub fn requester(self) -> Requester {
        Requester::Session { session: self.session, tag: self.tag }
    }
}

impl<S: Storage> Shard<S> {
    /// Charges the session's user and finds the conversation. `None`: refused, or the session is gone.
    pub(in crate::shard) fn admit(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        named: &ConversationRef,
        charge: Charge,
    ) -> Option<Admitted> {
        let row = self.state.live.sessions.find(session)?;
        let (user, user_index) = (row.user.clone(), row.user_index);
        let refusal = match self.charge(ctx.now, user_index, charge) {
            Ok(_) => match self.state.resolve(&user, named) {
                Some(seated) => return Some(Admitted { session, tag, user, user_index, seated }),
                None => Refusal::ConversationNotExist,
            },
            Err(refusal) => refusal,
        };
        self.refuse(session, tag, refusal, ctx.effects);
        None
    }

    /// Finds the conversation's owner, if the owner's window has room for a request. If not, the command is tried and
    /// charged again once there is room, and the session waits until then.
    pub(in crate::shard) fn address(
        &mut self,
        ctx: &mut Ctx<'_>,
        admitted: &Admitted,
        command: impl FnOnce() -> Command,
    ) -> Option<Addressed> {
        let conversation = self.state.conversation_at(admitted.seated.at);
        let asker = Asker { user: admitted.user.clone(), conversation, authority: Authority::User };
        let addressed = self.addressed_by(asker);
        if self.state.peers.outbound.has_room_for_request(addressed.owner) {
            return Some(addressed);
        }
        let allowance = self.state.tables.inboxes.allowance_at(admitted.user_index, ctx.now);
        allowance.sends.give_back(&self.settings.limits);
        let (session, tag) = (admitted.session, admitted.tag.clone());
        self.stall(ctx, addressed.owner, Stalled::Command { session, tag, command: command() });
        None
    }

    pub(in crate::shard) fn addressed_by(&self, asker: Asker) -> Addressed {
        let conversation_key = self.state.identity.fingerprints.of_conversation(&asker.conversation);
        let owner = self.settings.placement.owner_of_key(conversation_key);
        Addressed { asker, conversation_key, owner }
    }

    /// Makes the request to the conversation's owner. The same request may be made twice.
    pub(in crate::shard) fn ask(
        &mut self,
        ctx: &mut Ctx<'_>,
        addressed: Addressed,
        waiter: Requester,
        kind: impl FnOnce(Box<Asker>) -> RequestKind,
    ) {
        let Addressed { asker, conversation_key, owner } = addressed;
        let key = self.state.peers.requests.next_key(self.state.identity.fingerprints, &asker.user);
        let request = ConversationRequest { conversation_key, key, ask: kind(Box::new(asker)) };
        self.start_request(ctx, owner, request, waiter);
    }
}
