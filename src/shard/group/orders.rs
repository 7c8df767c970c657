//! Operators' orders about groups, blocks and users, executed on the addressee's shard, and answered once stored.
//! `accounts` has those about accounts.

use crate::log::{Record, Storage};
use crate::model::{
    Addressee, Answer, BlockState, Conversation, ConversationSeq, Fact, GroupChange, GroupId, GroupState, Member,
    Millis, Moment, Order, Position, Refusal, Refused, Role, UnsequencedMessage, UserId, UserState,
};
use crate::shard::core::context::Ctx;
use crate::shard::core::deferred::DeferredEffect;
use crate::shard::core::waiting_orders::{MemberSelection, OrderTask, WaitingOrder};
use crate::shard::group::member_orders::{OWNER_STAYS, in_order, is_of_group, names_many};
use crate::shard::peers::authored_send::AuthoredSend;
use crate::shard::rows::accounts::Account;
use crate::shard::rows::groups::Group;
use crate::shard::table::roster::MemberStatus;
use crate::shard::write::commit::Hindrance;
use crate::shard::{Effect, Shard, Ticket};

impl<S: Storage> Shard<S> {
    /// Executes the order at once, unless it is about a group and takes more than a turn, or waits for one that does.
    pub(in crate::shard) fn ordered(&mut self, ctx: &mut Ctx<'_>, ticket: Ticket, order: Order) {
        let before = self.log.newest_record;
        if is_of_group(&order) && (self.has_orders() || names_many(&order)) {
            let waiting = WaitingOrder { ticket, before, task: OrderTask::of(order) };
            return self.state.groups.orders.0.push_back(waiting);
        }
        let Some(answer) = self.execute(ctx, ticket, order) else { return };
        self.answer_order(ctx, (ticket, before), answer);
    }

    /// Whether orders wait, or the change of one is not merged into the roster yet.
    pub(in crate::shard) fn has_orders(&self) -> bool {
        !self.state.groups.orders.0.is_empty() || self.state.groups.rosters.has_unmerged()
    }

    /// Does a turn's share of the first order that waits, once the previous change is merged.
    pub(in crate::shard) fn continue_orders(&mut self, ctx: &mut Ctx<'_>) {
        if self.state.groups.rosters.has_unmerged() {
            let merged = self.state.groups.rosters.merge_some();
            return self.state.rows_visited.count(merged);
        }
        let Some(WaitingOrder { ticket, before, task }) = self.state.groups.orders.0.pop_front() else { return };
        let answer = match task {
            OrderTask::Whole(order) => self.execute(ctx, ticket, order),
            OrderTask::Members(mut change) => {
                let answer = self.continue_change(ctx.now, &mut change);
                if answer.is_none() {
                    let task = OrderTask::Members(change);
                    return self.state.groups.orders.0.push_front(WaitingOrder { ticket, before, task });
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
            return ctx.effects.push(Effect::Answer { ticket, answer });
        }
        self.log.pending.defer(self.log.newest_record, DeferredEffect::Answer { ticket, answer });
    }

    /// `None`: the order also needs other shards or a disk; the answer follows when they have finished.
    fn execute(&mut self, ctx: &mut Ctx<'_>, ticket: Ticket, order: Order) -> Option<Answer> {
        let done = match order {
            Order::CreateGroup { group, owner, members } => self.create_group(ctx.now, &group, owner, members),
            Order::ChangeMembers { group, add, remove } => {
                return Some(self.change_members(ctx.now, MemberSelection::new(group, add, remove)));
            }
            Order::ChangeMember { group, member, role, muted_until } => {
                let changed = self.change_member(ctx.now, &group, &member, role, muted_until);
                return Some(changed.unwrap_or_else(Answer::Refused));
            }
            Order::DissolveGroup { group } => self.dissolve_group(ctx.now, &group),
            Order::ShowGroup { group, after, limit } => self.show_group(&group, after.as_ref(), limit),
            Order::Block { by, other, state } => self.block(by, other, state, ctx.effects),
            Order::KnowUser { user } => self.know_user(user),
            Order::ShowUser { user } => Ok(self.show_user(user)),
            Order::SetAccount { user, state } => self.set_account(ctx, &user, state),
            Order::RevokeTokens { user } => self.revoke_tokens(ctx, &user),
            Order::EraseUser { user, .. } => self.erase_user(ctx, &user),
            Order::ListErased { after, limit, .. } => Ok(self.list_erased(after.as_ref(), limit)),
            Order::Send { author, send, authority } => {
                self.send_ordered(ctx, ticket, AuthoredSend { author, send, authority });
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
            Order::EndSessions { user, only } => Ok(self.end_sessions(ctx, &user, only)),
            Order::ShowPresence { users, .. } => Ok(self.answer_presence(users)),
            Order::ListUsers { from, limit, .. } => Ok(self.list_users(from, limit)),
            Order::ListGroups { from, limit, .. } => Ok(self.list_groups(from, limit)),
        };
        Some(done.unwrap_or_else(|refusal| Answer::Refused(refusal.into())))
    }

    pub(in crate::shard) fn group(&self, group: &GroupId) -> Option<&Group> {
        let conversation_key = self.state.identity.fingerprints.of_conversation(&Conversation::Group(group.clone()));
        self.state.groups.rosters.find(conversation_key)
    }

    /// Creates a group. A repetition returns the same group.
    fn create_group(
        &mut self,
        now: Moment,
        id: &GroupId,
        owner: UserId,
        members: Vec<UserId>,
    ) -> Result<Answer, Refusal> {
        if members.len() > Order::MEMBERS_MAX {
            return Err(Refusal::InvalidParam);
        }
        let mut members = in_order(members);
        if let Err(at) = members.binary_search(&owner) {
            members.insert(at, owner.clone());
        }
        if let Some(group) = self.group(id) {
            let is_same = group.owner == owner && group.members.iter().map(|(user, _)| user).eq(&members);
            return if is_same { Ok(Answer::Unchanged) } else { Err(Refusal::GroupExists) };
        }
        let change = GroupChange::Created { owner: owner.clone(), members };
        self.change_group(now, id, owner, change)
    }

    /// Changes a member. A group has one owner: a new owner makes the previous one an admin, and an owner cannot resign
    /// otherwise.
    fn change_member(
        &mut self,
        now: Moment,
        id: &GroupId,
        member: &UserId,
        role: Option<Role>,
        muted_until: Option<Millis>,
    ) -> Result<Answer, Refused> {
        let group = self.group(id).ok_or(Refusal::ConversationNotExist)?;
        let standing = group.members.get(member).ok_or(Refusal::UserNotExist)?;
        let role = role.unwrap_or(standing.role);
        let muted_until = muted_until.unwrap_or(standing.muted_until);
        if standing.role == Role::Owner && role != Role::Owner {
            return Err(Refused::invalid(OWNER_STAYS));
        }
        if (role, muted_until) == (standing.role, standing.muted_until) {
            return Ok(Answer::Unchanged);
        }
        let owner = group.owner.clone();
        let change = GroupChange::Changed { member: member.clone(), role, muted_until };
        Ok(self.change_group(now, id, owner, change)?)
    }

    fn dissolve_group(&mut self, now: Moment, id: &GroupId) -> Result<Answer, Refusal> {
        let Some(group) = self.group(id) else {
            let was_there = self.state.find_row(&Conversation::Group(id.clone())).is_some();
            return if was_there { Ok(Answer::Unchanged) } else { Err(Refusal::ConversationNotExist) };
        };
        let owner = group.owner.clone();
        self.change_group(now, id, owner, GroupChange::Dissolved)
    }

    pub(in crate::shard) fn change_group(
        &mut self,
        now: Moment,
        id: &GroupId,
        owner: UserId,
        change: GroupChange,
    ) -> Result<Answer, Refusal> {
        let conversation = Conversation::Group(id.clone());
        let conversation_key = self.state.identity.fingerprints.of_conversation(&conversation);
        let mut message = UnsequencedMessage::of_fact(now.wall, conversation, owner, Fact::Group(change));
        match self.commit(now, (conversation_key, None), &mut message, None) {
            Ok(_) => Ok(Answer::Done),
            Err(Hindrance::MustWait(_) | Hindrance::Refused(Refusal::GroupTooBusy)) => Err(Refusal::Busy),
            Err(Hindrance::Refused(refusal)) => Err(refusal),
        }
    }

    fn show_group(&self, id: &GroupId, after: Option<&UserId>, limit: usize) -> Result<Answer, Refusal> {
        let group = self.group(id).ok_or(Refusal::ConversationNotExist)?;
        let members = group.members.after(after);
        let member = |(user, standing): (&UserId, &MemberStatus)| Member {
            user: user.clone(),
            role: standing.role,
            muted_until: standing.muted_until,
        };
        let at = self.state.find_row(&Conversation::Group(id.clone()));
        Ok(Answer::Group(Box::new(GroupState {
            id: id.clone(),
            owner: group.owner.clone(),
            created: group.created,
            member_count: group.members.len() as u64,
            members: members.take(limit.min(Order::SHOWN_MEMBERS_MAX)).map(member).collect(),
            newest_seq: ConversationSeq(at.map_or(0, |at| self.state.tables.conversations.at(at).tail.seq().0)),
        })))
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
