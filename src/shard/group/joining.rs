//! Users who join groups by themselves: at once, or by a request that the owner or an admin answers (PROTOCOL 2.8).
//!
//! Lives on the group's owner shard. Invariants: a request is an entry of its user's inbox and of nobody else's; whoever
//! is a member has no request; an approval adds by the rules that hold for adding.

use crate::log::Storage;
use crate::model::{
    Answer, Conversation, Fact, GroupChange, GroupRequest, JoinPolicy, JoinRequest, JoinRequests, JoinStep,
    JoinVerdict, Moment, Refusal, Refused, UnsequencedMessage, UserId,
};
use crate::shard::Shard;
use crate::shard::core::waiting_orders::MemberSelection;
use crate::shard::group::changes::GroupEdit;
use crate::shard::group::rights::{Actor, GroupDeed, expect_right};
use crate::shard::write::commit::Hindrance;

const NOT_ASKED: Refused = Refused::because(Refusal::UserNotExist, "this user has not asked to join the group");

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn join_group(&mut self, now: Moment, change: GroupEdit<'_>) -> Result<Answer, Hindrance> {
        let group = self.group(change.group).ok_or(Refusal::ConversationNotExist)?;
        let (actor, author) = group.actor(change.by);
        if actor != Actor::User(None) {
            return Ok(Answer::Unchanged);
        }
        let is_full = group.members.len() >= self.settings.limits.group_members_max;
        match self.group_profile(change.group).map(|profile| profile.join).unwrap_or_default() {
            JoinPolicy::Closed => Err(Refusal::PermissionDenied.into()),
            JoinPolicy::Request => self.ask_to_join(now, change, author),
            JoinPolicy::Open if is_full => Err(Refusal::GroupFull.into()),
            JoinPolicy::Open => {
                let members = vec![author.clone()];
                self.commit_change(now, change, author, GroupChange::Added { members })
            }
        }
    }

    /// A repetition changes nothing until the request expires.
    fn ask_to_join(&mut self, now: Moment, change: GroupEdit<'_>, asker: UserId) -> Result<Answer, Hindrance> {
        let key = self.state.identity.fingerprints.of_conversation(&Conversation::Group(change.group.clone()));
        let requests = &self.state.groups.rosters.requests;
        if requests.contains(key, &asker, now.wall) {
            return Ok(Answer::Unchanged);
        }
        let waiting = requests.after(key, None, now.wall).count();
        self.state.rows_visited.count(waiting);
        if waiting >= self.settings.limits.group_requests_max {
            return Err(Refusal::TooManyJoinRequests.into());
        }
        self.commit_joining(now, change, asker, JoinStep::Asked)
    }

    /// Appends an entry for the user who has asked alone.
    fn commit_joining(
        &mut self,
        now: Moment,
        change: GroupEdit<'_>,
        asker: UserId,
        step: JoinStep,
    ) -> Result<Answer, Hindrance> {
        let conversation = Conversation::Group(change.group.clone());
        let conversation_key = self.state.identity.fingerprints.of_conversation(&conversation);
        if change.by.is_some() && self.is_too_busy(&conversation, conversation_key) {
            return Err(Refusal::GroupTooBusy.into());
        }
        let fact = Fact::Joining { asker: asker.clone(), step };
        let mut message = UnsequencedMessage::of_fact(now.wall, conversation, asker, fact);
        self.commit(now, (conversation_key, None), &mut message, None).map(|_| Answer::Done)
    }

    /// At most `limit` requests of users whose ids are above `after`.
    pub(in crate::shard) fn join_requests(
        &self,
        now: Moment,
        change: GroupEdit<'_>,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<JoinRequests, Refused> {
        let group = self.group(change.group).ok_or(Refusal::ConversationNotExist)?;
        expect_right(group.actor(change.by).0, GroupDeed::AnswerRequests)?;
        let key = self.state.identity.fingerprints.of_conversation(&Conversation::Group(change.group.clone()));
        let limit = limit.min(GroupRequest::SHOWN_MEMBERS_MAX);
        let mut left = self.state.groups.rosters.requests.after(key, after, now.wall);
        let shown = |(user, time): (&UserId, _)| JoinRequest { user: user.clone(), time };
        let requests: Vec<JoinRequest> = left.by_ref().take(limit).map(shown).collect();
        self.state.rows_visited.count(requests.len());
        Ok(JoinRequests { requests, has_more: left.next().is_some() })
    }

    /// Approves or declines. Who is a member meanwhile needs no answer.
    pub(in crate::shard) fn answer_join_request(
        &mut self,
        now: Moment,
        change: GroupEdit<'_>,
        asker: &UserId,
        verdict: JoinVerdict,
    ) -> Result<Answer, Hindrance> {
        let group = self.group(change.group).ok_or(Refusal::ConversationNotExist)?;
        let (actor, author) = group.actor(change.by);
        expect_right(actor, GroupDeed::AnswerRequests)?;
        let is_member = group.members.contains(asker);
        let key = self.state.identity.fingerprints.of_conversation(&Conversation::Group(change.group.clone()));
        if !self.state.groups.rosters.requests.contains(key, asker, now.wall) {
            return if is_member && verdict == JoinVerdict::Approve {
                Ok(Answer::Unchanged)
            } else {
                Err(NOT_ASKED.into())
            };
        }
        match verdict {
            JoinVerdict::Decline => self.commit_joining(now, change, asker.clone(), JoinStep::Declined { by: author }),
            JoinVerdict::Approve => {
                let (group, add) = (change.group.clone(), vec![asker.clone()]);
                let mut selection = MemberSelection::by(change.by.cloned(), group, add, Vec::new());
                loop {
                    if let Some(answer) = self.change_step(now, &mut selection)? {
                        return Ok(answer);
                    }
                }
            }
        }
    }
}
