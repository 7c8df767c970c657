//! Operators' orders about groups, blocks and users, executed on the addressee's shard, and answered once stored.
//! `accounts` has those about accounts.

use crate::log::{Record, Storage};
use crate::model::{
    Addressee, Answer, BlockState, Conversation, GroupChange, GroupId, Millis, Moment, Order, Position, Refusal,
    Refused, UserId, UserState,
};
use crate::shard::core::context::Ctx;
use crate::shard::core::deferred::DeferredEffect;
use crate::shard::core::waiting_orders::{MemberSelection, OrderTask, WaitingOrder, WaitingWork};
use crate::shard::group::changes::{GroupEdit, NewStanding, refused_order};
use crate::shard::group::member_orders::{in_order, is_of_group, names_many};
use crate::shard::peers::authored_send::AuthoredSend;
use crate::shard::rows::accounts::Account;
use crate::shard::{Effect, Shard, Ticket};

impl<S: Storage> Shard<S> {
    /// Executes the order at once, unless it is about a group and takes more than a turn, or waits for one that does.
    pub(in crate::shard) fn ordered(&mut self, ctx: &mut Ctx<'_>, ticket: Ticket, order: Order) {
        let before = self.log.newest_record;
        let mut must_wait = is_of_group(&order) && (self.has_orders() || names_many(&order));
        if let Some((group, users)) = self.added_by_order(&order).filter(|_| !must_wait) {
            match self.admit_at_once(ctx.now, group, users) {
                None => must_wait = true,
                Some(Ok(())) => {}
                Some(Err(refusal)) => return self.answer_order(ctx, (ticket, before), Answer::Refused(refusal.into())),
            }
        }
        if must_wait {
            let waiting = WaitingOrder { ticket, before, task: OrderTask::of(order) };
            return self.line_up(ctx, WaitingWork::Order(waiting));
        }
        let Some(answer) = self.execute(ctx, ticket, order) else { return };
        self.answer_order(ctx, (ticket, before), answer);
    }

    /// The order or request waits for those before it. The first one asks at once for the users whom it adds.
    pub(in crate::shard) fn line_up(&mut self, ctx: &mut Ctx<'_>, work: WaitingWork) {
        let is_first = !self.has_orders();
        self.state.groups.orders.0.push_back(work);
        if is_first {
            self.continue_orders(ctx);
        }
    }

    /// Whether orders wait, or the change of one is not merged into the roster yet.
    pub(in crate::shard) fn has_orders(&self) -> bool {
        !self.state.groups.orders.0.is_empty() || self.state.groups.rosters.has_unmerged()
    }

    /// The same, if another shard need not answer first.
    pub(in crate::shard) fn has_ready_orders(&self) -> bool {
        self.has_orders() && !self.state.peers.admissions.is_awaiting()
    }

    /// Does a turn's share of the first order or request that waits, once the previous change is merged.
    pub(in crate::shard) fn continue_orders(&mut self, ctx: &mut Ctx<'_>) {
        if self.state.groups.rosters.has_unmerged() {
            let merged = self.state.groups.rosters.merge_some();
            return self.state.rows_visited.count(merged);
        }
        let Some(first) = self.state.groups.orders.0.pop_front() else { return };
        let Some(admission) = self.admit_first(ctx, &first) else {
            return self.state.groups.orders.0.push_front(first);
        };
        let WaitingOrder { ticket, before, task } = match first {
            WaitingWork::Order(order) => order,
            WaitingWork::Request(held) => return self.continue_group_request(ctx, *held, admission),
        };
        if let Err(refusal) = admission {
            return self.answer_order(ctx, (ticket, before), Answer::Refused(refusal.into()));
        }
        let answer = match task {
            OrderTask::Whole(order) => self.execute(ctx, ticket, order),
            OrderTask::Members(mut change) => {
                let answer = self.continue_change(ctx.now, &mut change);
                if answer.is_none() {
                    let task = OrderTask::Members(change);
                    let waiting = WaitingWork::Order(WaitingOrder { ticket, before, task });
                    return self.state.groups.orders.0.push_front(waiting);
                }
                answer
            }
        };
        if let Some(answer) = answer {
            self.answer_order(ctx, (ticket, before), answer);
        }
    }

    /// The answer also shows earlier changes, so it waits for their records. `before`: the newest record when the order
    /// came. A refusal that has stored nothing waits for nothing.
    fn answer_order(&mut self, ctx: &mut Ctx<'_>, (ticket, before): (Ticket, Position), answer: Answer) {
        let is_refusal = matches!(answer, Answer::Refused(_)) && before == self.log.newest_record;
        if is_refusal || self.log.newest_record < self.log.acknowledged {
            return ctx.effects.push(Effect::answer(ticket, answer));
        }
        self.log.pending.defer(self.log.newest_record, DeferredEffect::answer(ticket, answer));
    }

    /// `None`: the order also needs other shards or a disk; the answer follows when they have finished.
    fn execute(&mut self, ctx: &mut Ctx<'_>, ticket: Ticket, order: Order) -> Option<Answer> {
        if is_of_group(&order) {
            return Some(self.execute_of_group(ctx.now, order).unwrap_or_else(Answer::Refused));
        }
        let done = match order {
            Order::Block { by, other, state } => self.block(by, other, state, ctx.effects),
            Order::KnowUser { user } => self.know_user(user),
            Order::ShowUser { user } => Ok(self.show_user(user)),
            Order::SetProfile { user, profile } => self.set_profile(&user, profile),
            Order::ShowProfile { user } => Ok(Answer::Profile(Box::new(self.profile_of(&user)))),
            Order::RegisterDevice { user, change } => self.register_device(&user, *change),
            Order::UnregisterDevice { user, device, only } => self.unregister_device(&user, device, only.as_deref()),
            Order::ShowDevices { user } => Ok(self.show_devices(&user)),
            Order::SetAccount { user, state } => self.set_account(ctx, &user, state),
            Order::RevokeTokens { user, issued_before } => self.revoke_tokens(ctx, &user, issued_before),
            Order::EraseUser { user, .. } => self.erase_user(ctx, &user),
            Order::ListErased { after, limit, .. } => Ok(self.list_erased(after.as_ref(), limit)),
            Order::Send { author, send, authority } => {
                self.send_ordered(ctx, ticket, AuthoredSend { author, send: *send, authority });
                return None;
            }
            Order::Revoke { user, message } => {
                self.revoke_ordered(ctx, ticket, user, message);
                return None;
            }
            Order::ShowInbox { user, sync } => {
                self.show_inbox(ctx, ticket, user, sync);
                return None;
            }
            Order::ShowConversations { user, list } => {
                self.show_conversations(ctx, ticket, &user, list);
                return None;
            }
            Order::ShowHistory { conversation, direction, limit } => {
                self.show_history(ctx, ticket, conversation, (direction, limit));
                return None;
            }
            Order::ShowSessions { user } => Ok(self.show_sessions(&user)),
            Order::ListSessions { from, limit, .. } => Ok(self.list_sessions(from, limit)),
            Order::EndSessions { user, only } => Ok(self.end_sessions(ctx, &user, only)),
            Order::ShowPresence { users, .. } => Ok(self.answer_presence(users)),
            Order::ListUsers { from, limit, .. } => Ok(self.list_users(from, limit)),
            Order::ListGroups { from, limit, .. } => Ok(self.list_groups(from, limit)),
            Order::CreateGroup { .. }
            | Order::ChangeMembers { .. }
            | Order::ChangeMember { .. }
            | Order::ChangeProfile { .. }
            | Order::DissolveGroup { .. }
            | Order::ShowRequests { .. }
            | Order::AnswerRequest { .. }
            | Order::ShowGroup { .. } => Err(Refusal::InvalidParam),
        };
        Some(done.unwrap_or_else(|refusal| Answer::Refused(refusal.into())))
    }

    /// An order about one group; every other order is refused.
    fn execute_of_group(&mut self, now: Moment, order: Order) -> Result<Answer, Refused> {
        fn operators(group: &GroupId) -> GroupEdit<'_> {
            GroupEdit { group, by: None }
        }
        match order {
            Order::CreateGroup { group, owner, members } => self.create_group(now, &group, owner, members),
            Order::ChangeMembers { group, add, remove } => {
                Ok(self.change_members(now, MemberSelection::new(group, add, remove)))
            }
            Order::ChangeMember { group, member, role, muted_until } => self
                .change_member(now, operators(&group), &member, NewStanding { role, muted_until })
                .map_err(refused_order),
            Order::ChangeProfile { group, change } => {
                self.change_profile(now, operators(&group), &change).map_err(refused_order)
            }
            Order::ShowRequests { group, after, limit } => {
                let requests = self.join_requests(now, operators(&group), after.as_ref(), limit)?;
                Ok(Answer::JoinRequests(Box::new(requests)))
            }
            Order::AnswerRequest { group, user, verdict } => {
                self.answer_join_request(now, operators(&group), &user, verdict).map_err(refused_order)
            }
            Order::DissolveGroup { group } => self.dissolve_group(now, operators(&group)).map_err(refused_order),
            Order::ShowGroup { group, after, limit } => {
                let limit = limit.min(Order::SHOWN_MEMBERS_MAX);
                let state = self.group_state(operators(&group), after.as_ref(), limit)?;
                Ok(Answer::Group(Box::new(state)))
            }
            _ => Err(Refusal::InvalidParam.into()),
        }
    }

    /// Creates a group. A repetition returns the same group.
    fn create_group(
        &mut self,
        now: Moment,
        id: &GroupId,
        owner: UserId,
        members: Vec<UserId>,
    ) -> Result<Answer, Refused> {
        if members.len() > Order::MEMBERS_MAX {
            return Err(Refusal::InvalidParam.into());
        }
        let mut members = in_order(members);
        if let Err(at) = members.binary_search(&owner) {
            members.insert(at, owner.clone());
        }
        if let Some(group) = self.group(id) {
            let is_same = group.owner == owner && group.members.iter().map(|(user, _)| user).eq(&members);
            return if is_same { Ok(Answer::Unchanged) } else { Err(Refusal::GroupExists.into()) };
        }
        if members.len() > self.settings.limits.group_members_max {
            return Err(Refusal::GroupFull.into());
        }
        let change = GroupChange::Created { owner: owner.clone(), members };
        self.commit_change(now, GroupEdit { group: id, by: None }, owner, change).map_err(refused_order)
    }

    fn block(
        &mut self,
        by: UserId,
        other: UserId,
        state: BlockState,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, Refusal> {
        if by == other {
            return Err(Refusal::InvalidParam);
        }
        let pair = self.state.identity.fingerprints.of_conversation(&Conversation::pair(by.clone(), other.clone()));
        if self.state.tables.blocks.is_blocked(pair, &by, &other) == (state == BlockState::Blocked) {
            return Ok(Answer::Unchanged);
        }
        self.append_if_room(&Record::Block { by: by.clone(), other: other.clone(), state })?;
        self.state.tables.blocks.set(pair, &by, &other, state);
        if state == BlockState::Blocked {
            self.hide(&by, &other, effects);
        }
        Ok(Answer::Done)
    }

    fn know_user(&mut self, user: UserId) -> Result<Answer, Refusal> {
        if self.state.tables.erased.contains(&user) {
            return Err(Refusal::UserNotExist);
        }
        let user_index = self.state.tables.inboxes.find(&user);
        if user_index.is_some_and(|user_index| self.state.tables.inboxes.is_known(user_index)) {
            return Ok(Answer::Unchanged);
        }
        let record = Record::Seen { user: user.clone(), last_seen: Millis(0) };
        self.append_if_room(&record)?;
        let user_index = self.state.tables.inboxes.find_or_add(&user);
        self.state.tables.inboxes.see(user_index, Millis(0));
        Ok(Answer::Done)
    }

    fn show_user(&self, user: UserId) -> Answer {
        let user_index = self.state.tables.inboxes.find(&user);
        let inboxes = &self.state.tables.inboxes;
        let absent = user_index.filter(|user_index| !inboxes.is_online(*user_index));
        let Account { state: account, tokens_from } = self.state.tables.accounts.find(&user);
        Answer::User(Box::new(UserState {
            is_known: user_index.is_some_and(|user_index| inboxes.is_known(user_index)),
            sessions: self.state.sessions_of(&user).len() as u64,
            newest_seq: inboxes.tail(&user).seq,
            conversations: user_index.map_or(0, |user_index| inboxes.seats_of(user_index).count() as u64),
            last_seen: absent.map_or(Millis(0), |user_index| inboxes.last_seen(user_index)),
            account,
            tokens_from,
            id: user,
        }))
    }

    pub(in crate::shard) fn append_if_room(&mut self, record: &Record) -> Result<(), Refusal> {
        let record_bytes = record.encoded_bytes();
        if !self.log.journal.has_room(record_bytes) {
            let is_waiting = self.log.journal.awaits_room(record_bytes);
            return Err(if is_waiting { Refusal::Busy } else { Refusal::StorageFull });
        }
        self.append(record, record_bytes);
        Ok(())
    }

    /// Whether this shard must execute the order.
    pub fn is_addressee(&self, order: &Order) -> bool {
        let placement = self.settings.placement;
        let owner = match order.addressee() {
            Addressee::Conversation(conversation) => placement.owner_of_conversation(&conversation),
            Addressee::User(user) => placement.owner_of(&user),
            Addressee::Shard(shard) => shard,
        };
        owner == self.settings.me
    }
}
