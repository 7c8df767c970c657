//! Who is told of whose presence: which of this shard's sessions watch a user, and which shards have sessions that watch
//! one of this shard's users.
//!
//! Invariants: what is under way between two shards is bounded, by a window of questions and one word of each other kind;
//! what cannot be said yet is remembered once a user, and said as it is then.

use super::parcel::{PRESENCE_QUESTIONS_MAX, Word};
use crate::model::{PresenceState, RequestTag, SessionId, ShardId, UserId};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeSet;

/// Users that one parcel names at the most.
const USERS_AT_ONCE_MAX: usize = 256;

pub(super) struct Watch {
    watchers: HashMap<UserId, SmallVec<[SessionId; 1]>, FixedState>,
    shards: HashMap<UserId, SmallVec<[ShardId; 2]>, FixedState>,
    questions: HashMap<u64, Question, FixedState>,
    newest_question: u64,
    peers: Vec<Peer>,
}

/// A request that waits for the answers of other shards.
#[derive(Debug)]
pub(super) struct Question {
    pub session: SessionId,
    pub tag: RequestTag,
    /// In the order asked for.
    pub users: Vec<UserId>,
    /// What is known so far, of each of these.
    pub states: Vec<Option<PresenceState>>,
    /// Shards that have not answered.
    pub open: usize,
}

/// Another shard.
#[derive(Debug, Default)]
struct Peer {
    questions: usize,
    news: Words,
    unwatch: Words,
}

/// Users to be named to another shard, one parcel at a time.
#[derive(Debug, Default)]
struct Words {
    users: BTreeSet<UserId>,
    is_under_way: bool,
}

impl Words {
    /// What to say now, if anything may be said.
    fn next(&mut self) -> Option<Vec<UserId>> {
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
            newest_question: 0,
            peers: (0..shards).map(|_| Peer::default()).collect(),
        }
    }

    /// The sessions of this shard that watch the user.
    pub fn watchers_of(&self, user: &UserId) -> &[SessionId] {
        self.watchers.get(user).map_or(&[], |watchers| watchers)
    }

    pub fn add_watcher(&mut self, user: &UserId, session: SessionId) {
        let watchers = self.watchers.entry(user.clone()).or_default();
        if !watchers.contains(&session) {
            watchers.push(session);
        }
    }

    /// Whether nobody of this shard watches the user any more.
    pub fn remove_watcher(&mut self, user: &UserId, session: SessionId) -> bool {
        let Some(watchers) = self.watchers.get_mut(user) else { return false };
        watchers.retain(|other| *other != session);
        let is_last = watchers.is_empty();
        if is_last {
            self.watchers.remove(user);
        }
        is_last
    }

    /// The other shards that are told of the user.
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

    pub fn ask(&mut self, number: u64, question: Question) {
        self.questions.insert(number, question);
    }

    pub fn asked(&mut self, shard: ShardId) {
        self.peer(shard).questions += 1;
    }

    /// The shard has answered one.
    pub fn answered(&mut self, shard: ShardId, number: u64) -> Option<&mut Question> {
        let peer = self.peer(shard);
        peer.questions = peer.questions.saturating_sub(1);
        self.questions.get_mut(&number)
    }

    pub fn take_question(&mut self, number: u64) -> Option<Question> {
        self.questions.remove(&number)
    }

    /// The session has been told this: an answer of its that still waits for other shards leaves later, and must not say
    /// what was before.
    pub fn correct(&mut self, session: SessionId, state: &PresenceState) {
        for question in self.questions.values_mut().filter(|question| question.session == session) {
            let known = question.users.iter().zip(&mut question.states).filter(|(user, _)| **user == state.user);
            known.filter_map(|(_, known)| known.as_mut()).for_each(|known| *known = state.clone());
        }
    }

    pub fn note(&mut self, shard: ShardId, word: Word, user: &UserId) {
        self.words(shard, word).users.insert(user.clone());
    }

    /// Users to be named to the shard now.
    pub fn next_words(&mut self, shard: ShardId, word: Word) -> Option<Vec<UserId>> {
        self.words(shard, word).next()
    }

    /// It has taken what was under way.
    pub fn heard(&mut self, shard: ShardId, word: Word) {
        self.words(shard, word).is_under_way = false;
    }

    fn words(&mut self, shard: ShardId, word: Word) -> &mut Words {
        let peer = self.peer(shard);
        match word {
            Word::News => &mut peer.news,
            Word::Unwatch => &mut peer.unwatch,
        }
    }

    fn peer(&mut self, shard: ShardId) -> &mut Peer {
        &mut self.peers[usize::from(shard.0)]
    }

    /// Users watched here and from elsewhere, and questions under way.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 3] {
        [self.watchers.len(), self.shards.len(), self.questions.len()]
    }
}
