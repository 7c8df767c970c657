//! Profiles of users (PROTOCOL 2.8): set by the users themselves or by the operator, on the users' own shards, and read
//! by others there.
//!
//! Invariant: a blocked user does not see the blocker's profile. A block is looked up where the pair is owned, which is
//! on the shard of one of the two.

use crate::log::{Record, Storage};
use crate::model::{
    Answer, Authority, Command, Conversation, Directory, Profile, Refusal, Reply, RequestTag, SessionId, UserId,
    UserProfile,
};
use crate::shard::Shard;
use crate::shard::core::context::Ctx;
use crate::shard::peers::message::{Asker, ConversationRequest, RequestKind, UserStatus};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::peers::stalled::Stalled;
use crate::shard::rows::charge::Charge;
use crate::shard::write::request::RequestOutcome;

impl<S: Storage> Shard<S> {
    /// Sets the profile of a user of this shard.
    pub(in crate::shard) fn set_profile(&mut self, user: &UserId, profile: Box<Profile>) -> Result<Answer, Refusal> {
        if self.state.tables.erased.contains(user) {
            return Err(Refusal::UserNotExist);
        }
        if self.profile_of(user) == *profile {
            return Ok(Answer::Unchanged);
        }
        self.append_if_room(&Record::Profile { user: user.clone(), profile: profile.clone() })?;
        self.state.tables.profiles.set(user, profile);
        Ok(Answer::Done)
    }

    pub(in crate::shard) fn profile_of(&self, user: &UserId) -> Profile {
        self.state.tables.profiles.find(user).cloned().unwrap_or_default()
    }

    /// A change costs what a message of as many bytes costs.
    pub(in crate::shard) fn set_own_profile(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        profile: Box<Profile>,
    ) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, user_index) = (row.user.clone(), row.user_index);
        let charge = Charge::of(profile.bytes(), 0, &self.settings.limits);
        let done = self.charge(ctx.now, user_index, charge).and_then(|_| self.set_profile(&user, profile));
        match done {
            Ok(_) => self.reply_when_acknowledged(ctx, self.log.newest_record, session, tag, Reply::Done),
            Err(refusal) => self.refuse(session, tag, refusal, ctx.effects),
        }
    }

    pub(in crate::shard) fn show_profile(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        of: UserId,
    ) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, user_index) = (row.user.clone(), row.user_index);
        let home = self.settings.placement.owner_of(&of);
        if !self.state.peers.outbound.may_request(home) {
            return self.stall(ctx, home, Stalled::Command { session, tag, command: Command::ShowProfile(of) });
        }
        if !self.may_query(ctx.now, user_index) {
            return self.refuse(session, tag, Refusal::SendTooFast, ctx.effects);
        }
        if self.is_hidden(&of, &user) {
            return self.refuse(session, tag, Refusal::PermissionDenied, ctx.effects);
        }
        let conversation = Conversation::pair(user.clone(), of);
        let conversation_key = self.state.identity.fingerprints.of_conversation(&conversation);
        let key = self.state.peers.requests.next_key(self.state.identity.fingerprints, &user);
        let asker = Box::new(Asker { user, conversation, authority: Authority::User });
        let request = ConversationRequest { conversation_key, key, ask: RequestKind::Profile(asker) };
        self.start_request(ctx, home, request, Requester::Session { session, tag });
    }

    /// At the shard of the user whose profile is read.
    pub(in crate::shard) fn answer_profile(&self, asker: &Asker) -> RequestOutcome {
        let Conversation::Pair(one, other) = &asker.conversation else {
            return RequestOutcome::refused(Refusal::InvalidParam);
        };
        let user = if *one == asker.user { other } else { one };
        if self.is_hidden(user, &asker.user) {
            return RequestOutcome::refused(Refusal::PermissionDenied);
        }
        let is_closed = self.settings.policies.directory == Directory::Closed;
        if is_closed && self.standing_of(user) == UserStatus::Stranger {
            return RequestOutcome::refused(Refusal::UserNotExist);
        }
        let shown = UserProfile { user: user.clone(), profile: self.profile_of(user) };
        RequestOutcome::Answered { after: Some(self.log.newest_record), reply: Reply::Profile(Box::new(shown)) }
    }
}
