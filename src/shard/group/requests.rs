//! Requests of users to groups (PROTOCOL 2.8): charged on the user's shard, decided on the group's owner shard by the
//! rules of `rights`.
//!
//! Invariant: a request names a bounded number of users, so it takes one step. While an order waits, requests wait
//! behind it.

use crate::log::Storage;
use crate::model::{
    Authority, Command, Conversation, GroupAct, GroupRequest, JoinVerdict, Moment, Refusal, Reply, RequestTag,
    SessionId, UserId,
};
use crate::shard::Shard;
use crate::shard::core::context::Ctx;
use crate::shard::core::waiting_orders::MemberSelection;
use crate::shard::group::changes::{GroupEdit, NewStanding};
use crate::shard::peers::held_requests::HeldRequest;
use crate::shard::peers::message::{Asker, ConversationRequest, RequestKind};
use crate::shard::peers::pending_requests::Requester;
use crate::shard::peers::stalled::Stalled;
use crate::shard::rows::charge::Charge;
use crate::shard::rows::index::UserIndex;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::write::commit::Hindrance;
use crate::shard::write::request::RequestOutcome;

/// Members that a page shows for the price of one query.
const SHOWN_A_QUERY: usize = 50;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn group_request(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        request: Box<GroupRequest>,
    ) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, user_index) = (row.user.clone(), row.user_index);
        let conversation = Conversation::Group(request.group.clone());
        let conversation_key = self.state.identity.fingerprints.of_conversation(&conversation);
        let owner = self.settings.placement.owner_of_key(conversation_key);
        if !self.state.peers.outbound.may_request(owner) {
            return self.stall(ctx, owner, Stalled::Command { session, tag, command: Command::Group(request) });
        }
        let members = self.members_about(&conversation, conversation_key);
        if let Err(refusal) = self.charge_group_request(ctx.now, user_index, members, &request) {
            return self.refuse(session, tag, refusal, ctx.effects);
        }
        let key = self.state.peers.requests.next_key(self.state.identity.fingerprints, &user);
        let asker = Box::new(Asker { user, conversation, authority: Authority::User });
        let request = ConversationRequest { conversation_key, key, ask: RequestKind::Group(asker, request) };
        self.start_request(ctx, owner, request, Requester::Session { session, tag });
    }

    /// A page is a query for each `SHOWN_A_QUERY` members. A change costs what a message to the group costs, and each
    /// user whom it adds costs a new conversation: it takes as much memory.
    fn charge_group_request(
        &mut self,
        now: Moment,
        user_index: UserIndex,
        members: usize,
        request: &GroupRequest,
    ) -> Result<(), Refusal> {
        if let GroupAct::Show { limit, .. } | GroupAct::Requests { limit, .. } = &request.act {
            let queries = 1 + u32::try_from(limit / SHOWN_A_QUERY).unwrap_or(u32::MAX);
            return if self.may_query_for(now, user_index, queries) { Ok(()) } else { Err(Refusal::SendTooFast) };
        }
        let charge = Charge::of(request.held_bytes(), members, &self.settings.limits);
        let may_begin = self.charge(now, user_index, charge)?;
        let added = match &request.act {
            GroupAct::ChangeMembers { add, .. } => add.len(),
            GroupAct::Join | GroupAct::AnswerRequest { verdict: JoinVerdict::Approve, .. } => 1,
            _ => 0,
        };
        if added > 0 && !may_begin {
            return Err(Refusal::TooManyConversations);
        }
        for _added in 0..added {
            self.charge_conversation(now, user_index);
        }
        Ok(())
    }

    /// A request that waited behind orders.
    pub(in crate::shard) fn continue_group_request(
        &mut self,
        ctx: &mut Ctx<'_>,
        held: HeldRequest,
        admission: Result<(), Refusal>,
    ) {
        let HeldRequest { from, request, .. } = held;
        let outcome = match (&request.ask, admission) {
            (RequestKind::Group(asker, wanted), Ok(())) => self.commit_group_request(ctx.now, asker, wanted),
            (_, Err(refusal)) => RequestOutcome::refused(refusal),
            (_, Ok(())) => RequestOutcome::refused(Refusal::Busy),
        };
        self.conclude(ctx, from, request, outcome);
    }

    /// At the group's owner, where no order waits: carries the request out, unless it adds users for whom other shards have
    /// to be asked.
    pub(in crate::shard) fn admit_group_request(
        &mut self,
        now: Moment,
        group: Fingerprint,
        asker: &Asker,
        request: &GroupRequest,
    ) -> RequestOutcome {
        let users = self.added_by_request(now, asker, request);
        if users.is_empty() {
            return self.commit_group_request(now, asker, request);
        }
        match self.admit_at_once(now, group, users) {
            None => RequestOutcome::BehindOrders,
            Some(Err(refusal)) => RequestOutcome::refused(refusal),
            Some(Ok(())) => self.commit_group_request(now, asker, request),
        }
    }

    /// At the group's owner, where no order waits.
    pub(in crate::shard) fn commit_group_request(
        &mut self,
        now: Moment,
        asker: &Asker,
        request: &GroupRequest,
    ) -> RequestOutcome {
        let change = GroupEdit { group: &request.group, by: Some(&asker.user) };
        let done = match &request.act {
            GroupAct::Show { after, limit } => {
                let limit = (*limit).min(GroupRequest::SHOWN_MEMBERS_MAX);
                let state = self.group_state(change, after.as_ref(), limit).map_err(Hindrance::from);
                state.map(|state| Reply::Group(Box::new(state)))
            }
            GroupAct::ChangeMembers { add, remove } => {
                self.change_some_members(now, change, add, remove).map(|()| Reply::Done)
            }
            GroupAct::ChangeMember { member, role, muted_until } => {
                let new = NewStanding { role: *role, muted_until: *muted_until };
                self.change_member(now, change, member, new).map(|_| Reply::Done)
            }
            GroupAct::ChangeProfile(new) => self.change_profile(now, change, new).map(|_| Reply::Done),
            GroupAct::Dissolve => self.dissolve_group(now, change).map(|_| Reply::Done),
            GroupAct::Join => self.join_group(now, change).map(|_| Reply::Done),
            GroupAct::Requests { after, limit } => {
                let requests = self.join_requests(now, change, after.as_ref(), *limit).map_err(Hindrance::from);
                requests.map(|requests| Reply::JoinRequests(Box::new(requests)))
            }
            GroupAct::AnswerRequest { user, verdict } => {
                self.answer_join_request(now, change, user, *verdict).map(|_| Reply::Done)
            }
        };
        match done {
            Ok(reply) => RequestOutcome::Answered { after: Some(self.log.newest_record), reply },
            Err(hindrance) => hindrance.into(),
        }
    }

    /// Few enough for one step. Where the second half is hindered, a repetition of the request does it.
    fn change_some_members(
        &mut self,
        now: Moment,
        change: GroupEdit<'_>,
        add: &[UserId],
        remove: &[UserId],
    ) -> Result<(), Hindrance> {
        if add.len() + remove.len() > GroupRequest::MEMBERS_MAX {
            return Err(Refusal::InvalidParam.into());
        }
        let mut selection =
            MemberSelection::by(change.by.cloned(), change.group.clone(), add.to_vec(), remove.to_vec());
        while self.change_step(now, &mut selection)?.is_none() {}
        Ok(())
    }
}
