//! Changes of groups on their owner shard: for operators' orders and for users' requests alike, by the rules of
//! `rights`.
//!
//! Invariant: whoever makes the change, it is one entry of the group (two, where members are removed and added).

use crate::log::Storage;
use crate::model::{
    Answer, Conversation, ConversationSeq, Fact, GroupChange, GroupId, GroupProfile, GroupState, Member, Millis,
    Moment, ProfileChange, Refusal, Refused, Role, UnsequencedMessage, UserId,
};
use crate::shard::Shard;
use crate::shard::group::rights::{Actor, GroupDeed, expect_right};
use crate::shard::rows::groups::Group;
use crate::shard::table::roster::MemberStatus;
use crate::shard::write::commit::Hindrance;

/// Who changes which group.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct GroupEdit<'a> {
    pub group: &'a GroupId,
    /// The user who makes it; `None`: the operator, in the owner's name.
    pub by: Option<&'a UserId>,
}

/// What becomes of one member; `None` leaves an attribute as it is.
#[derive(Clone, Copy, Debug)]
pub(in crate::shard) struct NewStanding {
    pub role: Option<Role>,
    pub muted_until: Option<Millis>,
}

impl Group {
    /// Who acts, and the author of the entry.
    pub fn actor(&self, by: Option<&UserId>) -> (Actor, UserId) {
        match by {
            Some(user) => (Actor::User(self.members.get(user).map(|standing| standing.role)), user.clone()),
            None => (Actor::Operator, self.owner.clone()),
        }
    }
}

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn group(&self, group: &GroupId) -> Option<&Group> {
        let conversation_key = self.state.identity.fingerprints.of_conversation(&Conversation::Group(group.clone()));
        self.state.groups.rosters.find(conversation_key)
    }

    pub(in crate::shard) fn group_profile(&self, group: &GroupId) -> Option<&GroupProfile> {
        let conversation_key = self.state.identity.fingerprints.of_conversation(&Conversation::Group(group.clone()));
        self.state.groups.rosters.profiles.find(conversation_key)
    }

    /// Changes a member. A new owner makes the previous one an admin.
    pub(in crate::shard) fn change_member(
        &mut self,
        now: Moment,
        change: GroupEdit<'_>,
        member: &UserId,
        new: NewStanding,
    ) -> Result<Answer, Hindrance> {
        let group = self.group(change.group).ok_or(Refusal::ConversationNotExist)?;
        let (actor, author) = group.actor(change.by);
        expect_right(actor, GroupDeed::Show)?;
        let standing = group.members.get(member).ok_or(Refusal::UserNotExist)?;
        let role = new.role.unwrap_or(standing.role);
        let muted_until = new.muted_until.unwrap_or(standing.muted_until);
        if new.role.is_some() {
            expect_right(actor, GroupDeed::SetRole(standing.role, role))?;
        }
        if new.muted_until.is_some() {
            expect_right(actor, GroupDeed::Mute(standing.role))?;
        }
        if (role, muted_until) == (standing.role, standing.muted_until) {
            return Ok(Answer::Unchanged);
        }
        self.commit_change(now, change, author, GroupChange::Changed { member: member.clone(), role, muted_until })
    }

    pub(in crate::shard) fn change_profile(
        &mut self,
        now: Moment,
        change: GroupEdit<'_>,
        new: &ProfileChange,
    ) -> Result<Answer, Hindrance> {
        let group = self.group(change.group).ok_or(Refusal::ConversationNotExist)?;
        let (actor, author) = group.actor(change.by);
        expect_right(actor, GroupDeed::ChangeProfile)?;
        let before = self.group_profile(change.group).cloned().unwrap_or_default();
        let after = new.applied_to(&before);
        if after == before {
            return Ok(Answer::Unchanged);
        }
        self.commit_change(now, change, author, GroupChange::Profiled(Box::new(after)))
    }

    pub(in crate::shard) fn dissolve_group(&mut self, now: Moment, change: GroupEdit<'_>) -> Result<Answer, Hindrance> {
        let Some(group) = self.group(change.group) else {
            let was_there = self.state.find_row(&Conversation::Group(change.group.clone())).is_some();
            let is_repeated = was_there && change.by.is_none();
            return if is_repeated { Ok(Answer::Unchanged) } else { Err(Refusal::ConversationNotExist.into()) };
        };
        let (actor, author) = group.actor(change.by);
        expect_right(actor, GroupDeed::Dissolve)?;
        self.commit_change(now, change, author, GroupChange::Dissolved)
    }

    /// Appends the change, as an entry of the group. What users do waits for a group whose messages are under way; what
    /// the operator does, only for the shards.
    pub(in crate::shard) fn commit_change(
        &mut self,
        now: Moment,
        change: GroupEdit<'_>,
        author: UserId,
        entry: GroupChange,
    ) -> Result<Answer, Hindrance> {
        let conversation = Conversation::Group(change.group.clone());
        let conversation_key = self.state.identity.fingerprints.of_conversation(&conversation);
        if change.by.is_some() && self.is_too_busy(&conversation, conversation_key) {
            return Err(Refusal::GroupTooBusy.into());
        }
        let mut message = UnsequencedMessage::of_fact(now.wall, conversation, author, Fact::Group(entry));
        self.commit(now, (conversation_key, None), &mut message, None).map(|_| Answer::Done)
    }

    /// The group with at most `limit` members whose ids are above `after`.
    pub(in crate::shard) fn group_state(
        &self,
        change: GroupEdit<'_>,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<GroupState, Refused> {
        let group = self.group(change.group).ok_or(Refusal::ConversationNotExist)?;
        let (actor, _) = group.actor(change.by);
        expect_right(actor, GroupDeed::Show)?;
        let member = |(user, standing): (&UserId, &MemberStatus)| Member {
            user: user.clone(),
            role: standing.role,
            muted_until: standing.muted_until,
        };
        let profile = self.group_profile(change.group).cloned();
        let at = self.state.find_row(&Conversation::Group(change.group.clone()));
        let members: Vec<Member> = group.members.after(after).take(limit).map(member).collect();
        self.state.rows_visited.count(members.len());
        Ok(GroupState {
            id: change.group.clone(),
            owner: group.owner.clone(),
            created: group.created,
            member_count: group.members.len() as u64,
            members,
            newest_seq: ConversationSeq(at.map_or(0, |at| self.state.tables.conversations.at(at).tail.seq().0)),
            profile: profile.unwrap_or_default(),
        })
    }
}

/// What an order is told of a change that was not made: the operator repeats it.
pub(in crate::shard) fn refused_order(hindrance: Hindrance) -> Refused {
    match hindrance {
        Hindrance::MustWait(_) => Refusal::Busy.into(),
        Hindrance::Refused(Refused { refusal: Refusal::GroupTooBusy, .. }) => Refusal::Busy.into(),
        Hindrance::Refused(refused) => refused,
    }
}
