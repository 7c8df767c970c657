//! Watchers of presence: which of this shard's sessions watch a user, and which shards have sessions that watch one of
//! this shard's users.
//!
//! Invariants: messages under way between two shards are bounded, by a window of questions and one message of each
//! other kind; changes that cannot be sent yet are merged per user. Beginning and ending a watch cost the same however
//! many others watch.

use crate::model::{PresenceState, RequestTag, SessionId, ShardId, UserId};
use crate::shard::peers::message::{AckedKind, PRESENCE_QUESTIONS_MAX};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The most users that one message names.
const USERS_AT_ONCE_MAX: usize = 256;

pub(in crate::shard) struct Watch {
    watchers: HashMap<UserId, BTreeSet<SessionId>, FixedState>,
    shards: HashMap<UserId, SmallVec<[ShardId; 2]>, FixedState>,
    questions: HashMap<u64, PresenceQuery, FixedState>,
    /// The questions that each session waits for.
    asked_by: BTreeSet<(SessionId, u64)>,
    /// Users whose new state has not been sent to all watchers yet: that state, and the last watcher who has it.
    telling: BTreeMap<UserId, Telling>,
    newest_question: u64,
    peers: Vec<PeerWatch>,
}

/// A request that waits for the answers of other shards.
#[derive(Debug)]
pub(in crate::shard) struct PresenceQuery {
    pub session: SessionId,
    pub tag: RequestTag,
    /// The users, in the order of the request.
    pub users: Vec<UserId>,
    /// The states known so far, one for each user.
    pub states: Vec<Option<PresenceState>>,
    /// Shards that have not answered.
    pub open: usize,
}

#[derive(Debug)]
struct Telling {
    state: PresenceState,
    told_through: Option<SessionId>,
}

/// Another shard.
#[derive(Debug, Default)]
struct PeerWatch {
    questions: usize,
    news: Words<UserId>,
    unwatch: Words<UserId>,
    hide: Words<(UserId, UserId)>,
}

/// Users to be named to another shard, one shard message at a time.
#[derive(Debug)]
struct Words<T> {
    users: BTreeSet<T>,
    is_under_way: bool,
}

impl<T> Default for Words<T> {
    fn default() -> Self {
        Self { users: BTreeSet::new(), is_under_way: false }
    }
}

impl<T: Ord> Words<T> {
    /// What to say now, if anything may be said.
    fn next(&mut self) -> Option<Vec<T>> {
        if self.is_under_way || self.users.is_empty() {
            return None;
        }
        self.is_under_way = true;
        Some((0..USERS_AT_ONCE_MAX).map_while(|_| self.users.pop_first()).collect())
    }
}

impl Watch {
    pub fn new(seed: u64, shards: u16) -> Self {
        Self {
            watchers: HashMap::with_hasher(FixedState::with_seed(seed)),
            shards: HashMap::with_hasher(FixedState::with_seed(seed)),
            questions: HashMap::with_hasher(FixedState::with_seed(seed)),
            asked_by: BTreeSet::new(),
            telling: BTreeMap::new(),
            newest_question: 0,
            peers: (0..shards).map(|_| PeerWatch::default()).collect(),
        }
    }

    /// The sessions of this shard that watch the user.
    pub fn count_watchers(&self, user: &UserId) -> usize {
        self.watchers.get(user).map_or(0, BTreeSet::len)
    }

    /// Queues a state for all watchers of its user, replacing an earlier one.
    pub fn tell(&mut self, state: PresenceState) {
        if self.watchers.contains_key(&state.user) {
            self.telling.insert(state.user.clone(), Telling { state, told_through: None });
        }
    }

    pub fn is_telling(&self) -> bool {
        !self.telling.is_empty()
    }

    /// The next watchers to be notified, at most `count`, and the state; `None`: there are none.
    pub fn next_told(&mut self, count: usize) -> Option<(PresenceState, Vec<SessionId>)> {
        let (user, Telling { state, told_through }) = self.telling.pop_first()?;
        let from = told_through.map_or(Bound::Unbounded, Bound::Excluded);
        let watchers = self.watchers.get(&user);
        let told: Vec<SessionId> = watchers
            .into_iter()
            .flat_map(|watchers| watchers.range((from, Bound::Unbounded)).take(count).copied())
            .collect();
        if told.len() == count {
            self.telling.insert(user, Telling { state: state.clone(), told_through: told.last().copied() });
        }
        Some((state, told))
    }

    pub fn add_watcher(&mut self, user: &UserId, session: SessionId) {
        self.watchers.entry(user.clone()).or_default().insert(session);
    }

    /// Removes a watcher; returns whether the user has none left on this shard.
    pub fn remove_watcher(&mut self, user: &UserId, session: SessionId) -> bool {
        let Some(watchers) = self.watchers.get_mut(user) else { return false };
        watchers.remove(&session);
        let is_last = watchers.is_empty();
        if is_last {
            self.watchers.remove(user);
        }
        is_last
    }

    /// The other shards that watch the user.
    pub fn shards_of(&self, user: &UserId) -> SmallVec<[ShardId; 2]> {
        self.shards.get(user).cloned().unwrap_or_default()
    }

    pub fn add_shard(&mut self, user: &UserId, shard: ShardId) {
        let shards = self.shards.entry(user.clone()).or_default();
        if !shards.contains(&shard) {
            shards.push(shard);
        }
    }

    pub fn remove_shard(&mut self, user: &UserId, shard: ShardId) {
        let Some(shards) = self.shards.get_mut(user) else { return };
        shards.retain(|other| *other != shard);
        if shards.is_empty() {
            self.shards.remove(user);
        }
    }

    pub fn may_ask(&self, shard: ShardId) -> bool {
        self.peers[usize::from(shard.0)].questions < PRESENCE_QUESTIONS_MAX
    }

    pub fn next_question(&mut self) -> u64 {
        self.newest_question += 1;
        self.newest_question
    }

    pub fn ask(&mut self, number: u64, question: PresenceQuery) {
        self.asked_by.insert((question.session, number));
        self.questions.insert(number, question);
    }

    pub fn asked(&mut self, shard: ShardId) {
        self.peer(shard).questions += 1;
    }

    /// The shard has answered one.
    pub fn answered(&mut self, shard: ShardId, number: u64) -> Option<&mut PresenceQuery> {
        let peer = self.peer(shard);
        peer.questions = peer.questions.saturating_sub(1);
        self.questions.get_mut(&number)
    }

    pub fn on_query(&mut self, number: u64) -> Option<PresenceQuery> {
        let question = self.questions.remove(&number)?;
        self.asked_by.remove(&(question.session, number));
        Some(question)
    }

    /// The session has been told this: an answer of its that still waits for other shards leaves later, and must not
    /// say what was before.
    pub fn correct(&mut self, session: SessionId, state: &PresenceState) {
        for (_, number) in self.asked_by.range((session, 0)..=(session, u64::MAX)) {
            let Some(question) = self.questions.get_mut(number) else { continue };
            let known = question.users.iter().zip(&mut question.states).filter(|(user, _)| **user == state.user);
            known.filter_map(|(_, known)| known.as_mut()).for_each(|known| *known = state.clone());
        }
    }

    pub fn note_news(&mut self, shard: ShardId, user: &UserId) {
        self.peer(shard).news.users.insert(user.clone());
    }

    pub fn note_unwatch(&mut self, shard: ShardId, user: &UserId) {
        self.peer(shard).unwatch.users.insert(user.clone());
    }

    /// The first of the two hides from the second.
    pub fn note_hidden(&mut self, shard: ShardId, pair: (UserId, UserId)) {
        self.peer(shard).hide.users.insert(pair);
    }

    /// Users to be named to the shard now.
    pub fn next_news(&mut self, shard: ShardId) -> Option<Vec<UserId>> {
        self.peer(shard).news.next()
    }

    pub fn next_unwatch(&mut self, shard: ShardId) -> Option<Vec<UserId>> {
        self.peer(shard).unwatch.next()
    }

    pub fn next_hidden(&mut self, shard: ShardId) -> Option<Vec<(UserId, UserId)>> {
        self.peer(shard).hide.next()
    }

    /// It has taken what was under way.
    pub fn on_ack(&mut self, shard: ShardId, word: AckedKind) {
        let peer = self.peer(shard);
        match word {
            AckedKind::News => peer.news.is_under_way = false,
            AckedKind::Unwatch => peer.unwatch.is_under_way = false,
            AckedKind::Hide => peer.hide.is_under_way = false,
            // It has its own place, among the groups' loads.
            AckedKind::FannedOut => {}
        }
    }

    fn peer(&mut self, shard: ShardId) -> &mut PeerWatch {
        &mut self.peers[usize::from(shard.0)]
    }

    /// Users watched here and from elsewhere, and questions under way.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 3] {
        [self.watchers.len(), self.shards.len(), self.questions.len()]
    }
}
