//! The operator: orders about groups and blocks, each given again after a crash until it is answered, and what the
//! groups must be like if every answer is true.
//!
//! Of one group, or of one pair, one order is under way at a time, so that its outcome is known beforehand.

use crate::chance::Chance;
use crate::check::accounts::{Accounts, is_guest};
use crate::client::speech::Channel;
use crate::world::World;
use crate::world::backend::Backend;
use mushan::model::{Addressee, Answer, BlockState, GroupId, Millis, Order, Refusal, Role, UserId};
use mushan::shard::Ticket;
use std::collections::{BTreeMap, BTreeSet};

pub const FOR_EVER: Millis = Millis(4_000_000_000_000);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub role: Role,
    pub is_muted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub owner: String,
    pub members: BTreeMap<String, Standing>,
}

/// What an order must come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Unchanged,
    Refused(Refusal),
}

#[derive(Clone, Debug)]
struct Task {
    order: Order,
    outcome: Outcome,
    /// It was given before, and may have been done.
    is_again: bool,
}

#[derive(Default)]
pub struct Operator {
    pub names: Vec<String>,
    pub groups: BTreeMap<String, Group>,
    /// It disables users and revokes tokens.
    pub may_judge: bool,
    pub guests: Vec<String>,
    /// Only known users become members.
    pub is_closed: bool,
    /// Users whom the server has said to know.
    known: BTreeSet<String>,
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
        self.under_way.is_empty() && self.waiting.is_empty()
    }

    pub fn may_have_run(&self, group: &str, user: &str) -> bool {
        self.ran.contains(&(group.to_owned(), user.to_owned()))
    }

    /// Whether `user` ever blocked `other`: it may be hidden, and not be written to.
    pub fn may_hide(&self, user: &str, other: &str) -> bool {
        self.hidden.contains(&(user.to_owned(), other.to_owned()))
    }

    /// Whether a message of `author` to a conversation is to be taken, when nothing is under way.
    pub fn may_write(&self, author: &str, to: &Channel) -> bool {
        match to {
            Channel::Person(peer) => {
                let is_there = !is_stranger(peer) && (!is_guest(peer) || self.account(peer).is_known);
                !self.blocks.contains(&(peer.clone(), author.to_owned())) && is_there
            }
            Channel::Group(group) => {
                let standing = self.groups.get(group).and_then(|group| group.members.get(author));
                standing.is_some_and(|standing| !standing.is_muted || standing.role != Role::Member)
            }
        }
    }

    /// An order, unless another one about the same is under way.
    fn think(&mut self, users: &[String], chance: &mut Chance) -> Option<Task> {
        let order = match chance.below(6) {
            0 => block(users, chance),
            1..4 if self.may_judge => self.think_of_account(users, &self.guests, chance),
            _ => self.change(users, chance)?,
        };
        let subject = order.addressee();
        let tasks = self.under_way.values().chain(&self.waiting);
        if tasks.into_iter().any(|task| task.order.addressee() == subject) {
            return None;
        }
        let outcome = self.outcome(&order);
        self.note_who_runs(&order);
        Some(Task { order, outcome, is_again: false })
    }

    fn change(&self, users: &[String], chance: &mut Chance) -> Option<Order> {
        if self.names.is_empty() {
            return None;
        }
        let name = chance.pick(&self.names);
        let group = GroupId::new(name).unwrap();
        let some = |chance: &mut Chance| users.iter().filter(|_| chance.one_in(2)).map(id).collect();
        if !self.groups.contains_key(name) || chance.one_in(12) {
            return Some(Order::CreateGroup { group, owner: id(chance.pick(users)), members: some(chance) });
        }
        Some(match chance.below(12) {
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

    /// What is to come of it, and what the groups are like then.
    fn outcome(&self, order: &Order) -> Outcome {
        let missing = Outcome::Refused(Refusal::ConversationNotExist);
        let known = |group: &GroupId| self.groups.get(group.as_str());
        match order {
            Order::CreateGroup { group, owner, members } => match known(group) {
                None => Outcome::Done,
                Some(there) => {
                    let all: BTreeSet<&str> = members.iter().chain([owner]).map(UserId::as_str).collect();
                    let is_same = there.owner == owner.as_str() && there.members.keys().map(String::as_str).eq(all);
                    if is_same { Outcome::Unchanged } else { Outcome::Refused(Refusal::GroupExists) }
                }
            },
            Order::ChangeMembers { group, add, remove } => {
                let Some(there) = known(group) else { return missing };
                if remove.contains(&id(&there.owner)) || add.iter().any(|user| remove.contains(user)) {
                    return Outcome::Refused(Refusal::InvalidParam);
                }
                let is_in = |user: &UserId| there.members.contains_key(user.as_str());
                let is_change = !add.iter().all(is_in) || remove.iter().any(is_in);
                if is_change { Outcome::Done } else { Outcome::Unchanged }
            }
            Order::ChangeMember { group, member, role, muted_until } => {
                let Some(there) = known(group) else { return missing };
                let Some(now) = there.members.get(member.as_str()) else {
                    return Outcome::Refused(Refusal::UserNotExist);
                };
                let role = role.unwrap_or(now.role);
                if now.role == Role::Owner && role != Role::Owner {
                    return Outcome::Refused(Refusal::InvalidParam);
                }
                let is_muted = muted_until.map_or(now.is_muted, |until| until == FOR_EVER);
                if *now == (Standing { role, is_muted }) { Outcome::Unchanged } else { Outcome::Done }
            }
            Order::DissolveGroup { group } | Order::ShowGroup { group, .. } => {
                if known(group).is_some() {
                    Outcome::Done
                } else {
                    missing
                }
            }
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
            Order::KnowUser { .. } | Order::ShowUser { .. } | Order::SetAccount { .. } | Order::RevokeTokens { .. } => {
                if self.is_news(order) {
                    Outcome::Done
                } else {
                    Outcome::Unchanged
                }
            }
            other => unreachable!("the backend's: {other:?}"),
        }
    }

    fn note_who_runs(&mut self, order: &Order) {
        match order {
            Order::CreateGroup { group, owner: user, .. }
            | Order::ChangeMember { group, member: user, role: Some(Role::Admin | Role::Owner), .. } => {
                self.ran.insert((group.to_string(), user.to_string()));
            }
            Order::Block { by, other, state: BlockState::Blocked } => {
                self.hidden.insert((by.to_string(), other.to_string()));
            }
            _ => {}
        }
    }

    /// It is done: this is what the groups are like now.
    fn apply(&mut self, order: Order) {
        match order {
            Order::CreateGroup { group, owner, members } => {
                let owner = owner.to_string();
                let mut all: BTreeMap<_, _> = members.iter().map(|it| (it.to_string(), Standing::default())).collect();
                all.insert(owner.clone(), Standing { role: Role::Owner, is_muted: false });
                self.groups.insert(group.to_string(), Group { owner, members: all });
            }
            Order::ChangeMembers { group, add, remove } => {
                let there = self.groups.get_mut(group.as_str()).expect("it was done");
                for user in remove {
                    there.members.remove(user.as_str());
                }
                for user in add {
                    there.members.entry(user.to_string()).or_default();
                }
            }
            Order::ChangeMember { group, member, role, muted_until } => {
                let there = self.groups.get_mut(group.as_str()).expect("it was done");
                if role == Some(Role::Owner) {
                    let before = std::mem::replace(&mut there.owner, member.to_string());
                    there.members.get_mut(&before).expect("the owner is in").role = Role::Admin;
                }
                let standing = there.members.get_mut(member.as_str()).expect("it was done");
                standing.role = role.unwrap_or(standing.role);
                standing.is_muted = muted_until.map_or(standing.is_muted, |until| until == FOR_EVER);
            }
            Order::DissolveGroup { group } => drop(self.groups.remove(group.as_str())),
            Order::Block { by, other, state: BlockState::Blocked } => {
                self.blocks.insert((by.to_string(), other.to_string()));
            }
            Order::Block { by, other, state: BlockState::Allowed } => {
                self.blocks.remove(&(by.to_string(), other.to_string()));
            }
            Order::KnowUser { .. } | Order::SetAccount { .. } => {
                if let Order::KnowUser { user } = &order {
                    self.known.insert(user.to_string());
                }
                self.apply_to_account(&order);
            }
            Order::ShowGroup { .. } | Order::ShowUser { .. } | Order::RevokeTokens { .. } => {}
            other => unreachable!("the backend's: {other:?}"),
        }
    }

    /// Each order is answered once, and truly. What holds from now on, if it does.
    pub fn answered(&mut self, Ticket(ticket): Ticket, answer: &Answer) -> Option<Order> {
        let task = self.under_way.remove(&ticket).expect("an order is answered once");
        self.answered += 1;
        let is_busy = |refusal: Refusal| [Refusal::Busy, Refusal::StorageFull].contains(&refusal);
        let order = task.order.clone();
        match (task.outcome, answer) {
            (_, Answer::Refused(refused)) if is_busy(refused.refusal) => {
                self.waiting.push(Task { is_again: true, ..task });
                return None;
            }
            (_, Answer::Refused(refused)) if self.adds_unknown(&order, refused.refusal) => return None,
            (Outcome::Done, Answer::Done) => self.apply(task.order),
            (Outcome::Done, Answer::Unchanged) if task.is_again => self.apply(task.order),
            (Outcome::Unchanged, Answer::Unchanged) => {}
            (Outcome::Refused(expected), Answer::Refused(refused)) if refused.refusal == expected => {}
            (Outcome::Done, Answer::Group(state)) => {
                let name = state.id.as_str();
                let standing = |role, until| Standing { role, is_muted: until == FOR_EVER };
                let members = state.members.iter();
                let members = members.map(|it| (it.user.to_string(), standing(it.role, it.muted_until))).collect();
                let shown = Group { owner: state.owner.to_string(), members };
                assert_eq!(Some(&shown), self.groups.get(name), "group {name} is not what was ordered");
            }
            (Outcome::Done, Answer::User(_)) => {}
            (outcome, answer) => panic!("{:?} came to {answer:?}, not to {outcome:?}", task.order),
        }
        Some(order)
    }

    /// Whether the order is refused because a user whom it adds may be unknown.
    fn adds_unknown(&self, order: &Order, refusal: Refusal) -> bool {
        let is_unknown = |user: &UserId| !self.known.contains(user.as_str());
        let adds = match order {
            Order::CreateGroup { owner, members, .. } => members.iter().chain([owner]).any(is_unknown),
            Order::ChangeMembers { group, add, .. } => {
                let there = self.groups.get(group.as_str());
                let is_in = |user: &UserId| there.is_some_and(|there| there.members.contains_key(user.as_str()));
                add.iter().any(|user| is_unknown(user) && !is_in(user))
            }
            _ => false,
        };
        self.is_closed && refusal == Refusal::UserNotExist && adds
    }

    /// Groups and blocks are as they are left; nothing is under way any more.
    pub fn restore(&mut self, groups: BTreeMap<String, Group>, blocks: BTreeSet<(String, String)>) {
        self.under_way.clear();
        self.waiting.clear();
        self.known.clear();
        (self.groups, self.blocks) = (groups, blocks);
    }

    /// What was under way is given again.
    pub fn crashed(&mut self) {
        self.backend.crashed();
        let lost = std::mem::take(&mut self.under_way);
        self.repeated += lost.len() as u64;
        self.waiting.extend(lost.into_values().map(|task| Task { is_again: true, ..task }));
    }
}

fn block(users: &[String], chance: &mut Chance) -> Order {
    let (by, other) = (id(chance.pick(users)), id(chance.pick(users)));
    let state = if chance.one_in(3) { BlockState::Blocked } else { BlockState::Allowed };
    Order::Block { by, other, state }
}

impl World {
    /// An order that occurs to the operator, or one that was not answered.
    pub fn order(&mut self) {
        if self.chance.one_in(2) {
            return self.backend_asks();
        }
        if self.chance.one_in(2) && !self.operator.waiting.is_empty() {
            return self.order_again();
        }
        let Some(task) = self.operator.think(&self.users, &mut self.chance) else { return };
        self.give(task);
    }

    pub fn order_again(&mut self) {
        if let Some(task) = self.operator.waiting.pop() {
            self.give(task);
        }
    }

    /// To the shard that owns it, once all are ready: the control thread waits for that.
    fn give(&mut self, task: Task) {
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
        self.operator.under_way.insert(ticket, task);
        self.ledger.bars.given(&order, self.ledger.moment.step, self.now.wall);
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
        if let Some(order) = self.operator.answered(ticket, answer) {
            self.ledger.bars.holds(&order, self.ledger.moment.step);
        }
    }

    /// While nothing else about the same is under way.
    pub fn order_now(&mut self, order: Order) {
        let outcome = self.operator.outcome(&order);
        self.give(Task { order, outcome, is_again: false });
    }

    /// Every group is shown once more: what was ordered is there.
    pub fn show_groups(&mut self) {
        for name in self.operator.names.clone() {
            let group = GroupId::new(&name).unwrap();
            let order = Order::ShowGroup { group, after: None, limit: 100 };
            let outcome = self.operator.outcome(&order);
            self.give(Task { order, outcome, is_again: false });
        }
    }
}
