//! Presence (codes 400–402): who is online, and changes of that. A user's own shard knows; other shards ask it, and
//! receive changes while one of their sessions watches.
//!
//! Invariants: a user is online from the welcome of its first session to the end of its last; a blocked user sees the
//! blocker as offline. A block is looked up where the pair is owned, and ends the subscriptions that it concerns on the
//! shard that has them. A user's watchers are notified in bounded numbers in each turn.

use crate::log::Storage;
use crate::model::{
    Conversation, Event, Millis, Presence, PresenceAction, PresenceState, Refusal, Reply, RequestTag, SessionId,
    ShardId, UserId,
};
use crate::shard::core::context::Ctx;
use crate::shard::live::watch::PresenceQuery;
use crate::shard::peers::message::{AckedKind, PresenceQuestion, VisiblePresence};
use crate::shard::{Effect, Shard, ShardMessage};
use smallvec::{SmallVec, smallvec};
use std::collections::{BTreeMap, BTreeSet};

/// The most watchers that one turn notifies.
const TOLD_A_TURN_MAX: usize = 512;

impl<S: Storage> Shard<S> {
    /// Replies with the current states, in the order of the request.
    pub(in crate::shard) fn presence(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        presence: Presence,
    ) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (by, user_index) = (row.user.clone(), row.user_index);
        if !self.may_query(ctx.now, user_index) {
            return self.refuse(session, tag, Refusal::SendTooFast, ctx.effects);
        }
        let Presence { action, users } = presence;
        let shards = self.group_by_shard(&by, &users);
        if let Err(refusal) = self.may_ask_for(session, action, &users, &shards) {
            return self.refuse(session, tag, refusal, ctx.effects);
        }
        match action {
            PresenceAction::Query => {}
            PresenceAction::Subscribe => shards.values().flatten().for_each(|user| self.watch_user(session, user)),
            PresenceAction::Unsubscribe => self.unwatch(session, users.iter().cloned(), ctx.effects),
        }
        let number = self.state.live.watch.next_question();
        let states = users.iter().map(|user| self.is_hidden(user, &by).then(|| absent(user.clone()))).collect();
        self.state.live.watch.ask(number, PresenceQuery { session, tag, users, states, open: shards.len() });
        for (to, users) in shards {
            let question = PresenceQuestion { number, by: by.clone(), action, users };
            if to == self.settings.me {
                let seen = self.look_at_users(&question);
                self.fill_in(to, number, seen, ctx.effects);
            } else {
                self.state.live.watch.asked(to);
                ctx.effects.push(Effect::forward(to, ShardMessage::AskPresence(Box::new(question))));
            }
        }
        // A reply may be long: its session is paused, so that there is one at a time.
        if self.answer_if_whole(number, ctx.effects).is_none() {
            ctx.effects.push(Effect::Pause { session });
        }
    }

    /// The users by shard, each once, without those whom this shard knows to have blocked `by`.
    fn group_by_shard(&self, by: &UserId, users: &[UserId]) -> BTreeMap<ShardId, Vec<UserId>> {
        let mut shards: BTreeMap<ShardId, Vec<UserId>> = BTreeMap::new();
        let mut named: BTreeSet<&UserId> = BTreeSet::new();
        for user in users.iter().filter(|user| !self.is_hidden(user, by)) {
            if named.insert(user) {
                shards.entry(self.settings.placement.owner_of(user)).or_default().push(user.clone());
            }
        }
        shards
    }

    fn may_ask_for(
        &self,
        session: SessionId,
        action: PresenceAction,
        users: &[UserId],
        shards: &BTreeMap<ShardId, Vec<UserId>>,
    ) -> Result<(), Refusal> {
        if users.len() > Presence::USERS_MAX {
            return Err(Refusal::InvalidParam);
        }
        if !shards.keys().all(|shard| self.state.live.watch.may_ask(*shard)) {
            return Err(Refusal::Busy);
        }
        if action != PresenceAction::Subscribe {
            return Ok(());
        }
        let limits = &self.settings.limits;
        let Some(watched) = self.state.live.sessions.find(session).map(|row| &row.watched) else { return Ok(()) };
        let added: Vec<&UserId> = shards.values().flatten().filter(|user| !watched.contains(*user)).collect();
        if watched.len() + added.len() > limits.presence_subscriptions_max {
            return Err(Refusal::InvalidParam);
        }
        let is_crowded = |user: &UserId| self.state.live.watch.count_watchers(user) >= limits.presence_subscribers_max;
        if added.into_iter().any(is_crowded) { Err(Refusal::Busy) } else { Ok(()) }
    }

    fn watch_user(&mut self, session: SessionId, user: &UserId) {
        let Some(row) = self.state.live.sessions.find_mut(session) else { return };
        row.watched.insert(user.clone());
        self.state.live.watch.add_watcher(user, session);
    }

    /// Ends the session's subscriptions to these users.
    pub(in crate::shard) fn unwatch(
        &mut self,
        session: SessionId,
        users: impl IntoIterator<Item = UserId>,
        effects: &mut Vec<Effect>,
    ) {
        for user in users {
            if let Some(row) = self.state.live.sessions.find_mut(session) {
                row.watched.remove(&user);
            }
            let owner = self.settings.placement.owner_of(&user);
            if self.state.live.watch.remove_watcher(&user, session) && owner != self.settings.me {
                self.state.live.watch.note_unwatch(owner, &user);
                self.send_unwatch(owner, effects);
            }
        }
    }

    fn send_unwatch(&mut self, to: ShardId, effects: &mut Vec<Effect>) {
        let Some(mut users) = self.state.live.watch.next_unwatch(to) else { return };
        // A session may have subscribed again: its question is already under way, and this later message must not undo
        // it.
        users.retain(|user| self.state.live.watch.count_watchers(user) == 0);
        effects.push(Effect::forward(to, ShardMessage::Unwatch { users }));
    }

    /// At the users' own shard: their states as the questioner may see them.
    fn look_at_users(&self, question: &PresenceQuestion) -> Vec<VisiblePresence> {
        let look = |user: &UserId| match self.is_hidden(user, &question.by) {
            true => VisiblePresence::Hidden(user.clone()),
            false => VisiblePresence::As(self.presence_of(user)),
        };
        question.users.iter().map(look).collect()
    }

    pub(in crate::shard) fn on_presence_query(
        &mut self,
        from: ShardId,
        question: &PresenceQuestion,
        effects: &mut Vec<Effect>,
    ) {
        let seen = self.look_at_users(question);
        if question.action == PresenceAction::Subscribe {
            for state in seen.iter().filter_map(shown) {
                self.state.live.watch.add_shard(&state.user, from);
            }
        }
        effects.push(Effect::forward(from, ShardMessage::TellPresence { number: question.number, seen }));
    }

    pub(in crate::shard) fn on_presence(
        &mut self,
        from: ShardId,
        number: u64,
        seen: Vec<VisiblePresence>,
        effects: &mut Vec<Effect>,
    ) {
        self.fill_in(from, number, seen, effects);
        if let Some(session) = self.answer_if_whole(number, effects) {
            effects.push(Effect::Resume { session });
        }
    }

    fn fill_in(&mut self, from: ShardId, number: u64, seen: Vec<VisiblePresence>, effects: &mut Vec<Effect>) {
        let Some(question) = self.state.live.watch.answered(from, number) else { return };
        question.open -= 1;
        let session = question.session;
        let mut hidden = Vec::new();
        let mut states: BTreeMap<UserId, PresenceState> = BTreeMap::new();
        for seen in seen {
            let state = match seen {
                VisiblePresence::As(state) => state,
                VisiblePresence::Hidden(user) => {
                    hidden.push(user.clone());
                    absent(user)
                }
            };
            states.insert(state.user.clone(), state);
        }
        for (user, known) in question.users.iter().zip(&mut question.states) {
            if let Some(state) = states.get(user) {
                *known = Some(state.clone());
            }
        }
        self.unwatch(session, hidden, effects);
    }

    /// Replies if all parts of the answer have arrived. Returns the session.
    fn answer_if_whole(&mut self, number: u64, effects: &mut Vec<Effect>) -> Option<SessionId> {
        let question = self.state.live.watch.on_query(number)?;
        if question.open > 0 {
            self.state.live.watch.ask(number, question);
            return None;
        }
        let PresenceQuery { session, tag, users, states, .. } = question;
        self.state.live.sessions.find(session)?;
        let states = users.into_iter().zip(states).map(|(user, state)| state.unwrap_or_else(|| absent(user)));
        effects.push(Effect::Reply { session, tag, reply: Reply::Presence(states.collect()) });
        Some(session)
    }

    /// Notes that a session of the user has been welcomed.
    pub(in crate::shard) fn show_presence(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let (user, user_index) = (row.user.clone(), row.user_index);
        if self.state.live.sessions.show(user_index) {
            self.send_presence_of(&user, effects);
        }
    }

    /// Notifies watchers that a user of this shard has come online or gone offline.
    pub(in crate::shard) fn send_presence_of(&mut self, user: &UserId, effects: &mut Vec<Effect>) {
        self.state.live.watch.tell(self.presence_of(user));
        self.continue_presence(effects);
        for to in self.state.live.watch.shards_of(user) {
            self.state.live.watch.note_news(to, user);
            self.send_presence_changes(to, effects);
        }
    }

    fn send_presence_changes(&mut self, to: ShardId, effects: &mut Vec<Effect>) {
        let Some(users) = self.state.live.watch.next_news(to) else { return };
        let states = users.iter().map(|user| self.presence_of(user)).collect();
        effects.push(Effect::forward(to, ShardMessage::PresenceNews { states }));
    }

    pub(in crate::shard) fn on_presence_changes(
        &mut self,
        from: ShardId,
        states: &[PresenceState],
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::forward(from, ShardMessage::Ack(AckedKind::News)));
        states.iter().for_each(|state| self.state.live.watch.tell(state.clone()));
        self.continue_presence(effects);
    }

    pub(in crate::shard) fn on_unwatch(&mut self, from: ShardId, users: &[UserId], effects: &mut Vec<Effect>) {
        effects.push(Effect::forward(from, ShardMessage::Ack(AckedKind::Unwatch)));
        users.iter().for_each(|user| self.state.live.watch.remove_shard(user, from));
    }

    pub(in crate::shard) fn on_presence_ack(&mut self, from: ShardId, word: AckedKind, effects: &mut Vec<Effect>) {
        match word {
            AckedKind::News | AckedKind::Unwatch | AckedKind::Hide => self.state.live.watch.on_ack(from, word),
            AckedKind::FannedOut => self.state.groups.loads.on_ack(from),
        }
        match word {
            AckedKind::News => self.send_presence_changes(from, effects),
            AckedKind::Unwatch => self.send_unwatch(from, effects),
            AckedKind::Hide => self.send_hidden(from, effects),
            // Handled at the end of this input.
            AckedKind::FannedOut => {}
        }
    }

    /// `by` has blocked `other`: ends the subscriptions of sessions of `other` to `by`.
    pub(in crate::shard) fn hide(&mut self, by: &UserId, other: &UserId, effects: &mut Vec<Effect>) {
        let to = self.settings.placement.owner_of(other);
        if to == self.settings.me {
            return self.end_subscriptions(by, other, effects);
        }
        self.state.live.watch.note_hidden(to, (by.clone(), other.clone()));
        self.send_hidden(to, effects);
    }

    fn send_hidden(&mut self, to: ShardId, effects: &mut Vec<Effect>) {
        if let Some(pairs) = self.state.live.watch.next_hidden(to) {
            effects.push(Effect::forward(to, ShardMessage::Hide { pairs }));
        }
    }

    pub(in crate::shard) fn on_hidden(&mut self, from: ShardId, pairs: &[(UserId, UserId)], effects: &mut Vec<Effect>) {
        effects.push(Effect::forward(from, ShardMessage::Ack(AckedKind::Hide)));
        pairs.iter().for_each(|(by, other)| self.end_subscriptions(by, other, effects));
    }

    /// Ends subscriptions of sessions of `other`, a user of this shard, to `by`, who has blocked it.
    fn end_subscriptions(&mut self, by: &UserId, other: &UserId, effects: &mut Vec<Effect>) {
        let sessions: SmallVec<[SessionId; 2]> = self.state.sessions_of(other).into();
        for session in sessions {
            self.unwatch(session, [by.clone()], effects);
        }
    }

    pub(in crate::shard) fn has_presence(&self) -> bool {
        self.state.live.watch.is_telling()
    }

    /// Notifies one turn's share of the watchers that wait.
    pub(in crate::shard) fn continue_presence(&mut self, effects: &mut Vec<Effect>) {
        let mut left = TOLD_A_TURN_MAX;
        while left > 0 {
            let Some((state, watchers)) = self.state.live.watch.next_told(left) else { return };
            left -= watchers.len().max(1);
            self.state.rows_visited.count(watchers.len());
            self.push_presence(&state, watchers, effects);
        }
    }

    /// Pushes a state to sessions of this shard that watch the user.
    fn push_presence(&mut self, state: &PresenceState, watchers: Vec<SessionId>, effects: &mut Vec<Effect>) {
        for session in watchers {
            let Some(row) = self.state.live.sessions.find(session) else { continue };
            if row.welcomed && !self.is_hidden(&state.user, &row.user) {
                let (user, sessions) = (row.user.clone(), smallvec![session]);
                effects.push(Effect::Push { user, sessions, event: Event::Presence(state.clone()) });
                self.state.live.watch.correct(session, state);
            }
        }
    }

    /// The state of a user of this shard.
    fn presence_of(&self, user: &UserId) -> PresenceState {
        let user_index = self.state.tables.inboxes.find(user);
        let is_online = user_index.is_some_and(|user_index| self.state.live.sessions.is_shown(user_index));
        let last_seen = user_index
            .filter(|_| !is_online)
            .map_or(Millis(0), |user_index| self.state.tables.inboxes.last_seen(user_index));
        PresenceState { user: user.clone(), is_online, last_seen }
    }

    /// Whether `user` has blocked `by`, as far as this shard owns the pair.
    pub(in crate::shard) fn is_hidden(&self, user: &UserId, by: &UserId) -> bool {
        if user == by {
            return false;
        }
        let pair = Conversation::pair(user.clone(), by.clone());
        let is_here = self.settings.placement.owner_of_conversation(&pair) == self.settings.me;
        is_here
            && self.state.tables.blocks.is_blocked(self.state.identity.fingerprints.of_conversation(&pair), user, by)
    }
}

fn absent(user: UserId) -> PresenceState {
    PresenceState { user, is_online: false, last_seen: Millis(0) }
}

fn shown(seen: &VisiblePresence) -> Option<&PresenceState> {
    match seen {
        VisiblePresence::As(state) => Some(state),
        VisiblePresence::Hidden(_) => None,
    }
}
