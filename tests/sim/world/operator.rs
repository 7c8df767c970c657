//! The operator: orders about groups and blocks, each given again after a crash until it is answered.
//!
//! Of one pair or user, one order is under way at a time, so that its outcome is known beforehand. Members change groups
//! meanwhile: an order about a group is answered as the group was at some time while it was under way.

use crate::chance::Chance;
use crate::check::accounts::{Accounts, is_guest};
use crate::check::devices::{Device, DeviceNews};
use crate::check::group::Group;
use crate::check::group_book::{Asked, GroupBooks};
use crate::check::ledger::{Intent, Ledger};
use crate::client::groups;
use crate::client::speech::Channel;
use crate::world::World;
use crate::world::backend::Backend;
use crate::world::erasing::Erasing;
use mushan::model::{
    AccountState, Addressee, Answer, BlockState, Conversation, Fact, GroupChange, GroupId, JoinPolicy, JoinVerdict,
    Message, Millis, Order, ProfileChange, PushDevice, Refusal, Role, UserId,
};
use mushan::shard::Ticket;
use std::collections::{BTreeMap, BTreeSet};

pub const FOR_EVER: Millis = Millis(4_000_000_000_000);

/// What an order must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Unchanged,
    Refused(Refusal),
    /// It depends on what users do meanwhile.
    OfUsers,
}

#[derive(Clone, Debug)]
pub struct Task {
    order: Order,
    outcome: Outcome,
    /// At which step it was given.
    since: u64,
    /// It was given before, and may have been done.
    is_again: bool,
}

impl Task {
    /// An order that is to be done, or was done before.
    pub fn done_by(order: Order) -> Self {
        Self { order, outcome: Outcome::Done, since: 0, is_again: true }
    }

    /// An order that depends on what users do meanwhile.
    pub fn of_users(order: Order) -> Self {
        Self { order, outcome: Outcome::OfUsers, since: 0, is_again: false }
    }
}

#[derive(Default)]
pub struct Operator {
    pub names: Vec<String>,
    /// It disables users and revokes tokens.
    pub may_judge: bool,
    /// It erases users.
    pub may_erase: bool,
    /// Whom it is erasing.
    pub erasing: Option<Erasing>,
    pub guests: Vec<String>,
    pub accounts: Accounts,
    blocks: BTreeSet<(String, String)>,
    /// Who has ever blocked whom.
    hidden: BTreeSet<(String, String)>,
    /// An application's, which gives orders beside those of a person.
    pub backend: Backend,
    under_way: BTreeMap<u64, Task>,
    waiting: Vec<Task>,
    tickets: u64,
    /// Who may ever have run which group.
    ran: BTreeSet<(String, String)>,
    pub answered: u64,
    pub repeated: u64,
}

/// Users whom nobody ever is.
pub fn is_stranger(user: &str) -> bool {
    user.starts_with("stranger")
}

fn id(user: impl AsRef<str>) -> UserId {
    UserId::new(user.as_ref()).unwrap()
}

impl Operator {
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.waiting.is_empty() && self.erasing.is_none()
    }

    pub fn may_have_run(&self, group: &str, user: &str) -> bool {
        self.ran.contains(&(group.to_owned(), user.to_owned()))
    }

    /// Whether `user` ever blocked `other`: it may be hidden, and not be written to.
    pub fn may_hide(&self, user: &str, other: &str) -> bool {
        self.hidden.contains(&(user.to_owned(), other.to_owned()))
    }

    /// Whether a message is to be taken, when nothing is under way.
    pub fn may_write(&self, intent: &Intent, ledger: &Ledger) -> bool {
        let (author, is_systems) = (&intent.author, intent.is_systems());
        match &intent.to {
            Channel::Person(peer) => {
                let is_there = !is_stranger(peer) && (!is_guest(peer) || self.account(peer).is_known);
                let is_there = is_there && !ledger.erasures.may_be(peer);
                (is_systems || !self.blocks.contains(&(peer.clone(), author.clone()))) && is_there
            }
            Channel::Group(group) => {
                ledger.groups.now(group).is_some_and(|group| is_systems || group.may_write(author))
            }
        }
    }

    /// An order, unless another one about the same is under way.
    fn think(&mut self, users: &[String], groups: &GroupBooks, chance: &mut Chance) -> Option<Task> {
        let order = match chance.below(6) {
            0 if chance.one_in(3) => Order::ShowDevices { user: id(chance.pick(users)) },
            0 => block(users, chance),
            1..4 if self.may_judge => self.think_of_account(users, &self.guests, chance),
            _ => self.change(users, groups, chance)?,
        };
        let subject = order.addressee();
        if self.is_about(&subject) || self.is_about_erased(&order) {
            return None;
        }
        let outcome = self.outcome(&order);
        self.note_block(&order);
        Some(Task { order, outcome, since: 0, is_again: false })
    }

    /// Whether an order about this is under way.
    pub fn is_about(&self, subject: &Addressee) -> bool {
        self.under_way.values().chain(&self.waiting).any(|task| task.order.addressee() == *subject)
    }

    /// Whether the order may be refused, since the user is being erased.
    fn is_about_erased(&self, order: &Order) -> bool {
        let Some(erasing) = &self.erasing else { return false };
        matches!(order.addressee(), Addressee::User(user) if user.as_str() == erasing.user)
    }

    fn change(&self, users: &[String], groups: &GroupBooks, chance: &mut Chance) -> Option<Order> {
        if self.names.is_empty() {
            return None;
        }
        let name = chance.pick(&self.names);
        let group = GroupId::new(name).unwrap();
        let some = |chance: &mut Chance| users.iter().filter(|_| chance.one_in(2)).map(id).collect();
        if groups.now(name).is_none() || chance.one_in(12) {
            return Some(Order::CreateGroup { group, owner: id(chance.pick(users)), members: some(chance) });
        }
        Some(match chance.below(16) {
            12..14 => {
                let join = *chance.pick(&[JoinPolicy::Open, JoinPolicy::Request, JoinPolicy::Closed]);
                let change = ProfileChange { join: Some(join), ..ProfileChange::default() };
                Order::ChangeProfile { group, change: Box::new(change) }
            }
            14 => {
                let verdict = *chance.pick(&JoinVerdict::ALL);
                Order::AnswerRequest { group, user: id(chance.pick(users)), verdict }
            }
            15 => Order::ShowRequests { group, after: None, limit: 100 },
            0..5 => Order::ChangeMembers { group, add: some(chance), remove: Vec::new() },
            5..7 => {
                let (add, remove): (Vec<UserId>, Vec<UserId>) = (some(chance), vec![id(chance.pick(users))]);
                let add = add.into_iter().filter(|user| !remove.contains(user) || chance.one_in(8)).collect();
                Order::ChangeMembers { group, add, remove }
            }
            7..10 => {
                let role = *chance.pick(&[None, Some(Role::Admin), Some(Role::Member), Some(Role::Owner)]);
                let muted_until = *chance.pick(&[None, None, Some(Millis(0)), Some(FOR_EVER)]);
                Order::ChangeMember { group, member: id(chance.pick(users)), role, muted_until }
            }
            10 if chance.one_in(2) => Order::DissolveGroup { group },
            _ => Order::ShowGroup { group, after: None, limit: 100 },
        })
    }

    /// What is to come of it.
    fn outcome(&self, order: &Order) -> Outcome {
        match order {
            Order::Block { by, other, state } => {
                let is_blocked = self.blocks.contains(&(by.to_string(), other.to_string()));
                if by == other {
                    Outcome::Refused(Refusal::InvalidParam)
                } else if is_blocked == (*state == BlockState::Blocked) {
                    Outcome::Unchanged
                } else {
                    Outcome::Done
                }
            }
            Order::SetAccount { user, .. } if self.account(user.as_str()).is_erased => {
                Outcome::Refused(Refusal::UserNotExist)
            }
            Order::KnowUser { .. } | Order::ShowUser { .. } | Order::SetAccount { .. } | Order::RevokeTokens { .. } => {
                if self.is_news(order) {
                    Outcome::Done
                } else {
                    Outcome::Unchanged
                }
            }
            _ => Outcome::OfUsers,
        }
    }

    fn note_block(&mut self, order: &Order) {
        if let Order::Block { by, other, state: BlockState::Blocked } = order {
            self.hidden.insert((by.to_string(), other.to_string()));
        }
    }

    /// A group's entry may say who runs it.
    pub fn note_who_runs(&mut self, message: &Message) {
        let Conversation::Group(group) = &message.conversation else { return };
        let user = match message.fact.as_deref() {
            Some(Fact::Group(GroupChange::Created { owner, .. })) => owner,
            Some(Fact::Group(GroupChange::Changed { member, role: Role::Admin | Role::Owner, .. })) => member,
            _ => return,
        };
        self.ran.insert((group.to_string(), user.to_string()));
    }

    /// It is done.
    fn apply(&mut self, order: Order) {
        match order {
            Order::Block { by, other, state: BlockState::Blocked } => {
                self.blocks.insert((by.to_string(), other.to_string()));
            }
            Order::Block { by, other, state: BlockState::Allowed } => {
                self.blocks.remove(&(by.to_string(), other.to_string()));
            }
            Order::KnowUser { .. } | Order::SetAccount { .. } | Order::EraseUser { .. } => {
                self.apply_to_account(&order);
            }
            _ => {}
        }
    }

    /// Each order is answered once, and truly. What holds from now on, if it does.
    pub fn answered(&mut self, Ticket(ticket): Ticket, answer: &Answer, ledger: &mut Ledger) -> Option<Order> {
        let task = self.under_way.remove(&ticket).expect("an order is answered once");
        self.answered += 1;
        let is_busy = |refusal: Refusal| [Refusal::Busy, Refusal::StorageFull].contains(&refusal);
        let order = task.order.clone();
        match (task.outcome, answer) {
            (_, Answer::Refused(refused)) if is_busy(refused.refusal) => {
                self.waiting.push(Task { is_again: true, ..task });
                return None;
            }
            (Outcome::OfUsers, Answer::Devices { devices, .. }) => check_of_devices(&task, devices, ledger),
            (Outcome::OfUsers, answer) => check_of_group(&task, answer, &mut ledger.groups),
            (Outcome::Done, Answer::Done) => self.apply(task.order),
            (Outcome::Done, Answer::Unchanged) if task.is_again => self.apply(task.order),
            (Outcome::Unchanged, Answer::Unchanged) => {}
            (Outcome::Refused(expected), Answer::Refused(refused)) if refused.refusal == expected => {}
            (Outcome::Done, Answer::User(_)) => {}
            (outcome, answer) => panic!("{:?} came to {answer:?}, not to {outcome:?}", task.order),
        }
        Some(order)
    }

    /// Blocks are as they are left; nothing is under way any more.
    pub fn restore(&mut self, blocks: BTreeSet<(String, String)>) {
        self.under_way.clear();
        self.waiting.clear();
        self.blocks = blocks;
    }

    /// What was under way is given again.
    pub fn crashed(&mut self) {
        self.backend.crashed();
        let lost = std::mem::take(&mut self.under_way);
        self.repeated += lost.len() as u64;
        self.waiting.extend(lost.into_values().map(|task| Task { is_again: true, ..task }));
    }
}

/// An order about a group was answered as the group was while it was under way.
fn check_of_group(task: &Task, answer: &Answer, groups: &mut GroupBooks) {
    let Addressee::Conversation(Conversation::Group(name)) = task.order.addressee() else {
        panic!("{:?} came to {answer:?}", task.order)
    };
    let group = name.as_str();
    if let Order::CreateGroup { owner, members, .. } = &task.order {
        let members = members.iter().map(UserId::to_string).collect();
        return groups.check_created(group, &Group::new(owner.as_str(), &members), (task.since, answer));
    }
    let act = groups::act_of(&task.order);
    let asked = Asked { group, by: None, act: &act, since: task.since };
    match answer {
        Answer::Done | Answer::Unchanged => groups.check_done(asked),
        Answer::Group(state) => groups.check_shown(asked, groups::shown_to_operator(state)),
        Answer::JoinRequests(shown) => {
            let users = shown.requests.iter().map(|request| request.user.to_string()).collect();
            groups.check_requests(asked, &users);
        }
        Answer::Refused(refused) => groups.check_refused(asked, refused.refusal),
        answer => panic!("{:?} came to {answer:?}", task.order),
    }
}

/// A user's devices are shown as they were while the order was under way, with their tokens.
fn check_of_devices(task: &Task, shown: &[PushDevice], ledger: &Ledger) {
    let Order::ShowDevices { user } = &task.order else { panic!("{:?} came to {shown:?}", task.order) };
    let news = shown.iter().map(|it| DeviceNews::of(&it.id, Some(&it.registration)));
    let news: Vec<DeviceNews> = news.collect();
    let is_it = |devices: &[Device]| devices.iter().cloned().map(DeviceNews::Is).eq(news.iter().cloned());
    ledger.devices.check_shown(user.as_str(), task.since, is_it);
}

fn block(users: &[String], chance: &mut Chance) -> Order {
    let (by, other) = (id(chance.pick(users)), id(chance.pick(users)));
    let state = if chance.one_in(3) { BlockState::Blocked } else { BlockState::Allowed };
    Order::Block { by, other, state }
}

impl World {
    /// An order that occurs to the operator, or one that was not answered.
    pub fn order(&mut self) {
        if self.operator.may_erase && self.chance.one_in(3) {
            return self.erase_some();
        }
        if self.chance.one_in(2) {
            return self.backend_asks();
        }
        if self.chance.one_in(2) && !self.operator.waiting.is_empty() {
            return self.order_again();
        }
        let Some(task) = self.operator.think(&self.users, &self.ledger.groups, &mut self.chance) else { return };
        self.give(task);
    }

    pub fn order_again(&mut self) {
        if let Some(task) = self.operator.waiting.pop() {
            self.give(task);
        }
    }

    /// What the order does to its user's account: whoever is erased is disabled as well, by its own shard.
    fn as_to_account(&self, order: &Order) -> Option<Order> {
        match order {
            Order::EraseUser { shard, user } => {
                let disabled = || Order::SetAccount { user: user.clone(), state: AccountState::Disabled };
                (self.placement.owner_of(user) == *shard).then(disabled)
            }
            order => Some(order.clone()),
        }
    }

    /// To the shard that owns it, once all are ready: the control thread waits for that.
    pub fn give(&mut self, task: Task) {
        if !self.is_ready() {
            return self.operator.waiting.push(task);
        }
        self.operator.tickets += 1;
        let (ticket, order) = (self.operator.tickets, task.order.clone());
        let owner = match order.addressee() {
            Addressee::Conversation(conversation) => self.placement.owner_of_conversation(&conversation),
            Addressee::User(user) => self.placement.owner_of(&user),
            Addressee::Shard(shard) => shard,
        };
        let since = self.ledger.moment.step;
        self.operator.under_way.insert(ticket, Task { since, ..task });
        if let Some(order) = self.as_to_account(&order) {
            self.ledger.bars.given(&order, self.ledger.moment.step, self.now.wall);
        }
        let at = usize::from(owner.0);
        self.cores[at].turn.ordered(self.now, Ticket(ticket), order);
        self.carry_out(at);
    }

    pub fn answered(&mut self, ticket: Ticket, answer: &Answer) {
        if self.operator.backend.has(ticket) {
            return self.backend_is_answered(ticket, answer);
        }
        if let Answer::User(shown) = answer {
            self.operator.check_shown(shown, self.ledger.bars.tokens_from_ms(shown.id.as_str()));
        }
        if let Some(order) = self.operator.answered(ticket, answer, &mut self.ledger) {
            if let Some(order) = self.as_to_account(&order) {
                self.ledger.bars.holds(&order, self.ledger.moment.step);
            }
            if let Order::EraseUser { shard, .. } = order {
                self.erased_on(shard);
            }
        }
    }

    /// While nothing else about the same is under way.
    pub fn order_now(&mut self, order: Order) {
        let outcome = self.operator.outcome(&order);
        self.give(Task { order, outcome, since: 0, is_again: false });
    }

    /// Every user's devices are shown once more.
    pub fn show_devices(&mut self) {
        for user in self.users.clone() {
            self.order_now(Order::ShowDevices { user: id(user) });
        }
    }

    /// Every group is shown once more, and who has asked to join: what was ordered is there.
    pub fn show_groups(&mut self) {
        for name in self.operator.names.clone() {
            let group = GroupId::new(&name).unwrap();
            self.order_now(Order::ShowGroup { group: group.clone(), after: None, limit: 100 });
            self.order_now(Order::ShowRequests { group, after: None, limit: 100 });
        }
    }
}
