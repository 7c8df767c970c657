//! Who is online, as clients are told: what a session was told last of somebody whom it watches is so, once nothing is
//! on its way.

use crate::chance::Chance;
use crate::check::ledger::Ledger;
use crate::client::speech::{Ask, Wish};
use crate::client::{Client, Expectation, Phase};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// Whom one session watches, and what it was told of them last.
#[derive(Default)]
pub struct Watching {
    told: BTreeMap<String, bool>,
    /// The newest answer to a question about everybody.
    answer: Option<Vec<(String, bool)>>,
}

impl Client {
    /// One wish at a time: the answers of several may come in another order.
    pub fn wish(&mut self, users: &[String], chance: &mut Chance) -> Vec<u8> {
        let is_open = |expectation: &Expectation| matches!(expectation, Expectation::Presence { .. });
        if self.expected.values().any(is_open) {
            return Vec::new();
        }
        let wish = *chance.pick(&[Wish::Query, Wish::Watch, Wish::Watch, Wish::Unwatch]);
        let users: Vec<String> = users.iter().filter(|_| chance.one_in(2)).cloned().collect();
        self.ask_presence(wish, users, chance)
    }

    fn ask_presence(&mut self, wish: Wish, users: Vec<String>, chance: &mut Chance) -> Vec<u8> {
        let ask = Ask::Presence { wish, users: users.clone() };
        self.ask(&ask, Expectation::Presence { wish, users }, chance)
    }

    pub fn told_presence(&mut self, wish: Wish, users: &[String], states: Vec<(String, bool)>, ledger: &mut Ledger) {
        let told: Vec<&String> = states.iter().map(|(user, _)| user).collect();
        assert!(told.iter().copied().eq(users), "asked for {users:?}, told of {told:?}");
        for (user, is_online) in &states {
            match wish {
                Wish::Watch => drop(self.watching.told.insert(user.clone(), *is_online)),
                Wish::Unwatch => drop(self.watching.told.remove(user)),
                Wish::Query => {
                    self.watching.told.entry(user.clone()).and_modify(|told| *told = *is_online);
                }
            }
        }
        self.watching.answer = Some(states);
        ledger.count("presence answers");
    }

    pub fn told_of(&mut self, user: &str, is_online: bool, ledger: &mut Ledger) {
        let names = |expectation: &Expectation| match expectation {
            Expectation::Presence { wish: Wish::Watch, users } => users.iter().any(|other| other == user),
            _ => false,
        };
        let is_asked = self.expected.values().any(names);
        match self.watching.told.get_mut(user) {
            Some(told) => *told = is_online,
            None => assert!(is_asked, "{} is told of {user}, whom it does not watch", self.user),
        }
        ledger.count("comings and goings told");
    }
}

impl World {
    fn online(&self) -> BTreeSet<&String> {
        self.clients.iter().filter(|client| client.phase == Phase::Open).map(|client| &client.user).collect()
    }

    /// Nothing is on its way: whoever watches knows, and whoever asks is told.
    pub fn check_presence(&mut self) {
        for at in 0..self.clients.len() {
            if self.clients[at].phase == Phase::Open {
                let bytes = self.clients[at].ask_presence(Wish::Query, self.users.clone(), &mut self.chance);
                self.say(at, bytes);
            }
        }
        self.check_watchers();
        self.calm();
        self.check_watchers();
        let online = self.online();
        for client in self.clients.iter().filter(|client| client.phase == Phase::Open) {
            for (user, is_online) in client.watching.answer.iter().flatten() {
                // Whom a user blocks sees it offline.
                let is_right = *is_online == online.contains(user) || self.operator.may_hide(user, &client.user);
                assert!(is_right, "{} was answered that {user} is online: {is_online}", client.user);
            }
        }
    }

    fn check_watchers(&self) {
        let online = self.online();
        for client in self.clients.iter().filter(|client| client.phase == Phase::Open) {
            for (user, is_online) in &client.watching.told {
                let is_right = *is_online == online.contains(user) || self.operator.may_hide(user, &client.user);
                assert!(is_right, "{} watches {user}, and believes it to be online: {is_online}", client.user);
            }
        }
    }
}
