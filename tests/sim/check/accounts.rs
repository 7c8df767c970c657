//! Accounts and tokens: an operator disables users and lets them back, revokes their tokens and makes guests known.
//! What it was answered holds from then on, through crashes.

use crate::chance::Chance;
use crate::check::ledger::Ledger;
use crate::client::speech::{Ask, Channel};
use crate::client::{Client, Expectation, Phase};
use crate::world::clocks::{BEGIN, TOKENS_END};
use crate::world::operator::Operator;
use crate::world::{SECRET, World};
use mushan::log::{MemoryStorage, Record, inspect};
use mushan::model::{AccountState, Millis, Order, ShardId, UserId, UserState};
use mushan::wire::token;
use std::collections::BTreeMap;

/// Users who are never here, and whom an operator may make known.
pub fn is_guest(user: &str) -> bool {
    user.starts_with("guest")
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub is_disabled: bool,
    /// Tokens issued before are revoked, at least.
    pub tokens_from_ms: u64,
    /// A guest whom the operator has made known.
    pub is_known: bool,
    pub is_erased: bool,
}

pub type Accounts = BTreeMap<String, Account>;

/// What the logs say of accounts.
pub fn remaining<'a>(disks: impl IntoIterator<Item = &'a MemoryStorage>) -> Accounts {
    let mut accounts = Accounts::new();
    for (me, disk) in (0..).map(ShardId).zip(disks) {
        let visit = |_, record: Record| match record {
            Record::Account { user, state, tokens_from } => {
                let account = accounts.entry(user.to_string()).or_default();
                account.is_disabled = state == AccountState::Disabled;
                account.tokens_from_ms = tokens_from.0;
            }
            Record::Seen { user, .. } if is_guest(user.as_str()) => {
                accounts.entry(user.to_string()).or_default().is_known = true;
            }
            _ => {}
        };
        inspect(disk, me, visit).expect("it opens");
    }
    accounts
}

/// Something that holds since an order was given and answered.
#[derive(Clone, Copy, Debug)]
struct Since {
    given: u64,
    answered: u64,
}

/// What users feel of it.
#[derive(Default)]
pub struct Bars {
    /// Until an operator says something else.
    disabled: BTreeMap<String, Since>,
    /// The newest revocation that was answered, and from when on tokens are good.
    revoked: BTreeMap<String, (Since, u64)>,
    known: BTreeMap<String, Since>,
    /// By user and kind of order: the step and the time when such an order was given last.
    given: BTreeMap<(String, &'static str), (u64, u64)>,
    /// The latest time at which the user's tokens may have been revoked.
    issued_from: BTreeMap<String, u64>,
}

fn subject(order: &Order) -> Option<(String, &'static str)> {
    match order {
        Order::SetAccount { user, state: AccountState::Disabled } => Some((user.to_string(), "disable")),
        Order::RevokeTokens { user, .. } => Some((user.to_string(), "revoke")),
        Order::KnowUser { user } => Some((user.to_string(), "know")),
        _ => None,
    }
}

impl Bars {
    pub fn given(&mut self, order: &Order, step: u64, wall: Millis) {
        if let Order::SetAccount { user, .. } = order {
            self.disabled.remove(user.as_str());
        }
        if let Order::RevokeTokens { user, .. } = order {
            let from_ms = self.issued_from.entry(user.to_string()).or_default();
            *from_ms = (wall.0 + 1).max(*from_ms);
        }
        if let Some(subject) = subject(order) {
            self.given.insert(subject, (step, wall.0));
        }
    }

    /// The order was answered, and holds.
    pub fn holds(&mut self, order: &Order, step: u64) {
        let Some(subject) = subject(order) else { return };
        let (given, wall_ms) = self.given[&subject];
        let (user, kind) = subject;
        let since = Since { given, answered: step };
        match kind {
            "disable" => drop(self.disabled.insert(user, since)),
            "revoke" => drop(self.revoked.insert(user, (since, wall_ms + 1))),
            _ => {
                self.known.entry(user).or_insert(since);
            }
        }
    }

    /// Whether the user may be turned away, now or by an order whose answer is not known.
    pub fn may_bar(&self, user: &str) -> bool {
        ["disable", "revoke"].iter().any(|kind| self.given.contains_key(&(user.to_owned(), *kind)))
    }

    pub fn may_know(&self, guest: &str) -> bool {
        self.given.contains_key(&(guest.to_owned(), "know"))
    }

    pub fn knew(&self, guest: &str, asked: u64) -> bool {
        self.known.get(guest).is_some_and(|since| since.answered < asked)
    }

    /// Issuers do not sign what may be revoked already, by a clock that was ahead.
    pub fn issued_from_ms(&self, user: &str) -> u64 {
        self.issued_from.get(user).copied().unwrap_or_default()
    }

    /// From when on a user's tokens are good, at least.
    pub fn tokens_from_ms(&self, user: &str) -> u64 {
        self.revoked.get(user).map_or(0, |(_, from_ms)| *from_ms)
    }

    /// Somebody was let in, or renewed, with such a token.
    pub fn check_let_in(&self, user: &str, issued_ms: u64, asked: u64) {
        let is_disabled = self.disabled.get(user).is_some_and(|since| since.answered < asked);
        assert!(!is_disabled, "{user} is disabled and was let in");
        let Some((since, from_ms)) = self.revoked.get(user) else { return };
        let is_revoked = since.answered < asked && issued_ms < *from_ms;
        assert!(!is_revoked, "{user} was let in with a token that was revoked: of {issued_ms}, good from {from_ms}");
    }

    /// What the backend asked for then in the user's name was taken for the first time.
    pub fn check_author(&self, user: &str, asked: u64) {
        let is_disabled = self.disabled.get(user).is_some_and(|since| since.answered < asked);
        assert!(!is_disabled, "{user} is disabled and writes");
    }

    /// What was asked for then was answered on a session that was there since `opened`.
    pub fn check_served(&self, user: &str, opened: u64, asked: u64) {
        let is_disabled = self.disabled.get(user).is_some_and(|since| since.answered < asked);
        assert!(!is_disabled, "{user} is disabled and was served");
        let revoked = self.revoked.get(user).map(|(since, _)| since);
        let is_over = revoked.is_some_and(|since| opened < since.given && since.answered < asked);
        assert!(!is_over, "{user} was served on a session whose token was revoked");
    }

    /// What logs have lost does not hold any more.
    pub fn lose(&mut self, left: &Accounts) {
        let of = |user: &String| left.get(user).copied().unwrap_or_default();
        self.disabled.retain(|user, _| of(user).is_disabled);
        self.known.retain(|user, _| of(user).is_known);
        self.revoked.retain(|user, (_, from_ms)| {
            *from_ms = of(user).tokens_from_ms.min(*from_ms);
            *from_ms > 0
        });
    }
}

impl Operator {
    pub fn think_of_account(&self, users: &[String], guests: &[String], chance: &mut Chance) -> Order {
        if !guests.is_empty() && chance.one_in(8) {
            return Order::KnowUser { user: id(chance.pick(guests)) };
        }
        let disabled = self.accounts.iter().find(|(_, account)| account.is_disabled);
        let user = match disabled {
            Some((user, account)) if chance.one_in(2) && !account.is_erased => user,
            _ => chance.pick(users),
        };
        let (user, is_disabled) = (id(user), self.account(user).is_disabled);
        match chance.below(10) {
            0..4 if is_disabled => Order::SetAccount { user, state: AccountState::Enabled },
            0..3 => Order::SetAccount { user, state: AccountState::Disabled },
            3 => Order::SetAccount { user, state: AccountState::Enabled },
            4..7 => Order::RevokeTokens { user, issued_before: None },
            _ => Order::ShowUser { user },
        }
    }

    pub fn account(&self, user: &str) -> Account {
        self.accounts.get(user).copied().unwrap_or_default()
    }

    /// Whether an order about a user changes anything.
    pub fn is_news(&self, order: &Order) -> bool {
        match order {
            Order::KnowUser { user } => !self.account(user.as_str()).is_known,
            Order::SetAccount { user, state } => {
                self.account(user.as_str()).is_disabled != (*state == AccountState::Disabled)
            }
            _ => true,
        }
    }

    pub fn apply_to_account(&mut self, order: &Order) {
        match order {
            Order::KnowUser { user } => self.accounts.entry(user.to_string()).or_default().is_known = true,
            Order::SetAccount { user, state } => {
                self.accounts.entry(user.to_string()).or_default().is_disabled = *state == AccountState::Disabled;
            }
            Order::EraseUser { user, .. } => {
                let account = self.accounts.entry(user.to_string()).or_default();
                (account.is_disabled, account.is_erased) = (true, true);
            }
            _ => {}
        }
    }

    pub fn check_shown(&self, shown: &UserState, tokens_from_ms: u64) {
        let account = self.account(shown.id.as_str());
        let is_disabled = shown.account == AccountState::Disabled;
        assert_eq!(is_disabled, account.is_disabled, "{} is shown as {shown:?}", shown.id);
        assert!(shown.sessions == 0 || !is_disabled, "a disabled user has sessions: {shown:?}");
        assert!(shown.tokens_from.0 >= tokens_from_ms, "a revocation is forgotten: {shown:?}, {tokens_from_ms}");
    }
}

fn id(user: impl AsRef<str>) -> UserId {
    UserId::new(user.as_ref()).unwrap()
}

impl Client {
    /// A fresh token, issued now.
    pub fn take_token(&mut self, wall: Millis, ledger: &Ledger) {
        self.issued_ms = wall.0.max(BEGIN.0).max(ledger.bars.issued_from_ms(&self.user));
        self.token = token::mint(SECRET, &id(&self.user), Millis(self.issued_ms), TOKENS_END);
    }

    /// Shows a fresh token, the one that it has, or somebody else's.
    pub fn renew(&mut self, users: &[String], ledger: &Ledger, chance: &mut Chance) -> Vec<u8> {
        let issued_ms = match chance.below(3) {
            0 => BEGIN.0,
            1 => ledger.moment.now_ms.max(BEGIN.0).max(ledger.bars.issued_from_ms(&self.user)),
            _ => self.issued_ms,
        };
        let of = if chance.one_in(4) { chance.pick(users).clone() } else { self.user.clone() };
        let is_own = of == self.user;
        let token = token::mint(SECRET, &id(&of), Millis(issued_ms), TOKENS_END);
        let ask = Ask::Renew { user: self.user.clone(), token: token.clone() };
        self.ask(&ask, Expectation::Renewed { token, issued_ms, is_own }, chance)
    }
}

impl World {
    /// Nobody who is disabled is here; then everybody is let back.
    pub fn pardon(&mut self) {
        self.calm();
        let disabled: Vec<String> = self
            .operator
            .accounts
            .iter()
            .filter(|(_, it)| it.is_disabled && !it.is_erased)
            .map(|(user, _)| user.clone())
            .collect();
        for user in disabled {
            let is_here = |client: &Client| client.user == user && client.phase == Phase::Open;
            assert!(!self.clients.iter().any(is_here), "{user} is disabled and here");
            self.order_now(Order::SetAccount { user: id(user), state: AccountState::Enabled });
        }
    }

    /// Whether messages to this channel are for a guest whom nobody has made known.
    pub fn show_users(&mut self) {
        for user in self.users.clone() {
            self.order_now(Order::ShowUser { user: id(user) });
        }
    }
}

/// A guest that a message is for.
pub fn guest_of(to: &Channel) -> Option<&str> {
    match to {
        Channel::Person(peer) if is_guest(peer) => Some(peer),
        _ => None,
    }
}
