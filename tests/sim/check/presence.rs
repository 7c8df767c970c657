//! Who is online, as clients are told: what a session was told last of somebody whom it watches is so, once nothing is
//! on its way.

use crate::chance::Chance;
use crate::check::ledger::Ledger;
use crate::client::speech::{Ask, State, Wish};
use crate::client::{Client, Expectation, Phase};
use crate::world::failing::Power;
use crate::world::{Place, World};
use std::collections::{BTreeMap, BTreeSet};

/// Whom one session watches, and what it was told of them last.
#[derive(Default)]
pub struct Watching {
    told: BTreeMap<String, bool>,
    /// The newest answer to a question about everybody.
    answer: Option<Vec<State>>,
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

    pub fn told_presence(&mut self, wish: Wish, users: &[String], states: Vec<State>, ledger: &mut Ledger) {
        let told: Vec<&String> = states.iter().map(|state| &state.user).collect();
        assert!(told.iter().copied().eq(users), "asked for {users:?}, told of {told:?}");
        for State { user, is_online, .. } in &states {
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

/// So much too early may a start take whoever was here at a kill to have been seen last.
const UNTOLD_MS: u64 = 60_000;

/// When a user was here last: surely no earlier, and no later.
#[derive(Clone, Copy, Default)]
struct Sighting {
    from: u64,
    to: u64,
}

#[derive(Default)]
pub struct Sightings {
    users: BTreeMap<String, Sighting>,
    /// No log had room for what it is to say of who is here, and none has been able to say it since.
    is_unlogged: bool,
}

impl Sightings {
    /// A kill leaves what was written; anything else may take the log's last words.
    pub fn crashed(&mut self, power: Power) {
        if power == Power::Goes || self.is_unlogged {
            self.users.values_mut().for_each(|sighting| sighting.from = 0);
        }
    }

    pub fn lost_room(&mut self) {
        self.is_unlogged = true;
    }

    /// The logs could say all that they are to say.
    pub fn logged(&mut self) {
        self.is_unlogged = false;
    }

    fn check(&self, state: &State) {
        let Sighting { from, to } = self.users.get(&state.user).copied().unwrap_or_default();
        let is_right = (from.saturating_sub(UNTOLD_MS)..=to).contains(&state.last_seen);
        assert!(state.is_online || is_right, "{state:?}, which was here last at {from} at least, and at {to} at most");
    }
}

impl World {
    /// Who is here at this moment.
    pub fn look_around(&mut self) {
        let now = self.now.wall.0;
        self.ledger.here.clear();
        for (at, client) in self.clients.iter().enumerate() {
            let pipe = &self.pipes[at];
            if pipe.place == Place::Nowhere && !self.is_moving(at) {
                continue;
            }
            let is_here = client.phase == Phase::Open && !pipe.client_closed && !pipe.server_closed && !pipe.ending;
            let sighting = self.sightings.users.entry(client.user.clone()).or_default();
            sighting.to = now;
            if is_here {
                sighting.from = now;
                self.ledger.here.insert((client.device.clone(), client.since.step));
            }
        }
    }

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
            for state in client.watching.answer.iter().flatten() {
                let State { user, is_online, last_seen } = state;
                // Whom a user blocks sees it offline.
                if self.operator.may_hide(user, &client.user) {
                    continue;
                }
                assert_eq!(*is_online, online.contains(user), "{} was answered that {user} is online", client.user);
                assert!(!is_online || *last_seen == 0, "{state:?}");
                // A clock that was set dates what it likes.
                if self.clocks.times_set == 0 && !self.ledger.erasures.may_be(user) {
                    self.sightings.check(state);
                }
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
