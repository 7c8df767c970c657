//! Whoever becomes a member of a group is admitted by its own shard first, which knows whether the user exists and in how
//! many groups it is (docs/decisions/0037).
//!
//! Invariants: a change that adds users is made after all their shards have agreed; what came after it waits behind it; a
//! question names a bounded number of users.

use crate::log::Storage;
use crate::model::{
    Addressee, Conversation, Directory, GroupAct, GroupId, GroupRequest, JoinPolicy, JoinVerdict, Moment, Order,
    Refusal, ShardId, UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::core::waiting_orders::{OrderTask, WaitingOrder, WaitingWork};
use crate::shard::group::rights::{GroupDeed, expect_right};
use crate::shard::peers::message::{Asker, RequestKind, UserStatus};
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::work::admissions::{AdmissionStage, UsersToAsk};
use crate::shard::{Effect, Shard, ShardMessage};

/// The most users of one question.
const ASKED_AT_ONCE_MAX: usize = 128;

impl<S: Storage> Shard<S> {
    /// The users whom a request would add, if it may. One that may not adds nobody, and is refused by whoever makes the
    /// change.
    pub(in crate::shard) fn added_by_request(&self, now: Moment, asker: &Asker, request: &GroupRequest) -> Vec<UserId> {
        let Some(group) = self.group(&request.group) else { return Vec::new() };
        let (actor, author) = group.actor(Some(&asker.user));
        let may = |deed| expect_right(actor, deed).is_ok();
        let policy = || self.group_profile(&request.group).map(|profile| profile.join).unwrap_or_default();
        match &request.act {
            GroupAct::ChangeMembers { add, .. } if may(GroupDeed::Add) => add.clone(),
            GroupAct::Join if policy() == JoinPolicy::Open => vec![author],
            GroupAct::AnswerRequest { user, verdict: JoinVerdict::Approve } if may(GroupDeed::AnswerRequests) => {
                let key = self.key_of_group(&request.group);
                let has_asked = self.state.groups.rosters.requests.contains(key, user, now.wall);
                if has_asked { vec![user.clone()] } else { Vec::new() }
            }
            _ => Vec::new(),
        }
    }

    /// The same of an order, with the group.
    pub(in crate::shard) fn added_by_order(&self, order: &Order) -> Option<(Fingerprint, Vec<UserId>)> {
        let is_there = |group| self.group(group).is_some();
        let (group, users): (_, Vec<UserId>) = match order {
            Order::CreateGroup { group, owner, members } if !is_there(group) => {
                (group, members.iter().chain([owner]).cloned().collect())
            }
            Order::ChangeMembers { group, add, .. } if is_there(group) => (group, add.clone()),
            Order::AnswerRequest { group, user, verdict: JoinVerdict::Approve } if is_there(group) => {
                (group, vec![user.clone()])
            }
            _ => return None,
        };
        // What is too large is refused before anybody is asked.
        let is_fitting = (1..=Order::MEMBERS_MAX + 1).contains(&users.len());
        is_fitting.then(|| (self.key_of_group(group), users))
    }

    fn key_of_group(&self, group: &GroupId) -> Fingerprint {
        self.state.identity.fingerprints.of_conversation(&Conversation::Group(group.clone()))
    }

    /// Whether all of them may become members, if this shard can say so in this turn; `None`: the change has to wait.
    pub(in crate::shard) fn admit_at_once(
        &mut self,
        now: Moment,
        group: Fingerprint,
        users: Vec<UserId>,
    ) -> Option<Result<(), Refusal>> {
        if users.len() > ASKED_AT_ONCE_MAX {
            return None;
        }
        let users = self.without_members(group, users);
        let is_own = users.iter().all(|user| self.state.is_home(user));
        is_own.then(|| self.admission_of(now, group, &users).map_or(Ok(()), Err))
    }

    /// Asks for the users whom the first waiting change adds. Returns the verdict, once it is known and if somebody had to
    /// be asked.
    pub(in crate::shard) fn admit_first(
        &mut self,
        ctx: &mut Ctx<'_>,
        first: &WaitingWork,
    ) -> Option<Result<(), Refusal>> {
        let mut left = match std::mem::take(&mut self.state.peers.admissions.stage) {
            AdmissionStage::Judged(refusal) => return Some(refusal.map_or(Ok(()), Err)),
            AdmissionStage::Asking(left) => left,
            AdmissionStage::Awaiting(_) => unreachable!("a change goes on when the answer is here"),
            AdmissionStage::NotBegun => UsersToAsk::of(self.added_by_first(ctx.now, first)),
        };
        let placement = self.settings.placement;
        self.state.rows_visited.count(left.sort_some(placement));
        let Some((to, users)) = left.take(placement, ASKED_AT_ONCE_MAX) else { return Some(Ok(())) };
        let group = self.group_of(first);
        let users = self.without_members(group, users);
        let admissions = &mut self.state.peers.admissions;
        if to == self.settings.me || users.is_empty() {
            admissions.stage = AdmissionStage::Asking(left);
            if let Some(refusal) = self.admission_of(ctx.now, group, &users) {
                self.state.peers.admissions.stage = AdmissionStage::Judged(Some(refusal));
            }
        } else {
            admissions.stage = AdmissionStage::Awaiting(left);
            ctx.effects.push(Effect::forward(to, ShardMessage::AskAdmission { group, users }));
        }
        None
    }

    fn added_by_first(&self, now: Moment, first: &WaitingWork) -> Vec<UserId> {
        match first {
            WaitingWork::Request(held) => match &held.request.ask {
                RequestKind::Group(asker, wanted) => self.added_by_request(now, asker, wanted),
                _ => Vec::new(),
            },
            WaitingWork::Order(WaitingOrder { task: OrderTask::Whole(order), .. }) => {
                self.added_by_order(order).map(|(_, users)| users).unwrap_or_default()
            }
            WaitingWork::Order(WaitingOrder { task: OrderTask::Members(change), .. }) => {
                match change.is_begun || self.may_begin(change).is_err() {
                    true => Vec::new(),
                    false => change.add.left().to_vec(),
                }
            }
        }
    }

    fn group_of(&self, first: &WaitingWork) -> Fingerprint {
        match first {
            WaitingWork::Request(held) => held.request.conversation_key,
            WaitingWork::Order(WaitingOrder { task: OrderTask::Members(change), .. }) => {
                self.key_of_group(&change.group)
            }
            WaitingWork::Order(WaitingOrder { task: OrderTask::Whole(order), .. }) => match order.addressee() {
                Addressee::Conversation(group) => self.state.identity.fingerprints.of_conversation(&group),
                Addressee::User(_) | Addressee::Shard(_) => unreachable!("orders about groups wait here"),
            },
        }
    }

    /// Members are passed over.
    fn without_members(&self, group: Fingerprint, mut users: Vec<UserId>) -> Vec<UserId> {
        if let Some(group) = self.state.groups.rosters.find(group) {
            self.state.rows_visited.count(users.len());
            users.retain(|user| !group.members.contains(user));
        }
        users
    }

    pub(in crate::shard) fn answer_admission(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: ShardId,
        group: Fingerprint,
        users: &[UserId],
    ) {
        let refusal = self.admission_of(ctx.now, group, users);
        ctx.effects.push(Effect::forward(from, ShardMessage::Admission { refusal }));
    }

    /// Another shard has answered for its users: the next ones are asked for, or the change is made.
    pub(in crate::shard) fn on_admission(&mut self, ctx: &mut Ctx<'_>, refusal: Option<Refusal>) {
        let stage = &mut self.state.peers.admissions.stage;
        let AdmissionStage::Awaiting(left) = stage else { return };
        *stage = match refusal {
            None => AdmissionStage::Asking(std::mem::take(left)),
            Some(_) => AdmissionStage::Judged(refusal),
        };
        self.continue_orders(ctx);
    }

    /// Why one of these users of this shard may not become a member of the group. Otherwise they count as members from
    /// now on.
    fn admission_of(&mut self, now: Moment, group: Fingerprint, users: &[UserId]) -> Option<Refusal> {
        self.state.peers.admissions.granted.forget_some(now.steady, 2 * ASKED_AT_ONCE_MAX);
        self.state.rows_visited.count(users.len());
        let refusal = users.iter().find_map(|user| self.hindrance_of(now, group, user));
        if refusal.is_none() {
            users.iter().for_each(|user| self.state.peers.admissions.granted.grant(now.steady, user, group));
        }
        refusal
    }

    fn hindrance_of(&self, now: Moment, group: Fingerprint, user: &UserId) -> Option<Refusal> {
        let is_closed = self.settings.policies.directory == Directory::Closed;
        let is_stranger = is_closed && self.standing_of(user) == UserStatus::Stranger;
        if is_stranger || self.state.tables.erased.contains(user) {
            return Some(Refusal::UserNotExist);
        }
        let inboxes = &self.state.tables.inboxes;
        let seated = inboxes.find(user).map_or(0, |user_index| inboxes.groups_of(user_index) as usize);
        let coming = self.state.peers.admissions.granted.others(now.steady, user, group);
        (seated + coming >= self.settings.limits.groups_per_user_max).then_some(Refusal::TooManyGroups)
    }
}
