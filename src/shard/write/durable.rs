//! Releases deferred effects: replies, pushes and shard messages whose records are acknowledged.

use crate::log::Storage;
use crate::model::{Entry, Event, Position, Reply, SessionId};
use crate::shard::core::context::Ctx;
use crate::shard::core::deferred::DeferredEffect;
use crate::shard::live::sessions::{OnEntry, WaitsFor};
use crate::shard::rows::index::UserIndex;
use crate::shard::{Effect, ExternalEffect, Shard, ShardMessage};
use smallvec::SmallVec;

/// The approximate number of effects that leave with one input.
const EFFECTS_RELEASED_MAX: usize = 1_024;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn synced(&mut self, ctx: &mut Ctx<'_>, end: Position) {
        self.log.journal.synced(end);
        self.acknowledge(ctx, end);
    }

    /// Effects of records before `end` may leave: a bounded number now, the others in later turns.
    pub(in crate::shard) fn acknowledge(&mut self, ctx: &mut Ctx<'_>, end: Position) {
        self.log.acknowledgeable = self.log.acknowledgeable.max(end);
        self.release_some(ctx);
    }

    /// Releases a bounded number of effects. The acknowledged position follows them, so all leave in order: while some
    /// still wait for a record, nothing new that depends on it overtakes them.
    pub(in crate::shard) fn release_some(&mut self, ctx: &mut Ctx<'_>) {
        let effects_max = ctx.effects.len() + EFFECTS_RELEASED_MAX;
        loop {
            let record = self.log.pending.next_record().filter(|record| *record < self.log.acknowledgeable);
            self.log.acknowledged = self.log.acknowledged.max(record.unwrap_or(self.log.acknowledgeable));
            if record.is_none() || ctx.effects.len() >= effects_max || self.has_done_its_share() {
                break;
            }
            if let Some((_, effect)) = self.log.pending.release() {
                self.release_effects(ctx, effect);
            }
        }
        self.state.tables.revoked.acknowledged(self.log.acknowledged);
        self.state.tables.erased.acknowledged(self.log.acknowledged);
        self.confirm(ctx.effects);
    }

    /// Whether more effects may leave.
    pub(in crate::shard) fn has_unreleased(&self) -> bool {
        self.log.acknowledged < self.log.acknowledgeable
    }

    pub(in crate::shard) fn release_effects(&mut self, ctx: &mut Ctx<'_>, effect: DeferredEffect) {
        match effect {
            DeferredEffect::Reply { session, tag, reply } => {
                let Some(row) = self.state.live.sessions.find_mut(session) else { return };
                let is_welcome = matches!(reply, Reply::Welcome { .. });
                row.welcomed |= is_welcome;
                ctx.effects.push(Effect::Reply { session, tag, reply });
                if is_welcome {
                    self.show_presence(session, ctx.effects);
                    self.resume_backlog(ctx, session, WaitsFor::Welcome);
                }
            }
            DeferredEffect::Page { session, tag, reply } => {
                if self.state.live.sessions.find(session).is_some() {
                    ctx.effects.push(Effect::Reply { session, tag, reply });
                    ctx.effects.push(Effect::Resume { session });
                }
            }
            DeferredEffect::Push { message, author, peer, origin } => {
                if let Some((user_index, seq)) = author {
                    self.push(ctx, user_index, origin, Entry { seq, message: message.clone(), name: None });
                }
                if let Some((user_index, seq)) = peer {
                    self.push(ctx, user_index, None, Entry { seq, message, name: None });
                }
            }
            DeferredEffect::Fanned { message, members } => {
                for (user_index, seq) in members {
                    self.push(ctx, user_index, None, Entry { seq, message: message.clone(), name: None });
                }
            }
            DeferredEffect::External(external) => {
                let is_next = match &external {
                    ExternalEffect::Forward { to, shard_message: ShardMessage::Deliver { number, .. } } => {
                        self.state.peers.outbound.peer(*to).release(*number)
                    }
                    _ => true,
                };
                if is_next {
                    ctx.effects.push(Effect::External(external));
                }
            }
            DeferredEffect::Confirm { to, through } => self.state.peers.outbound.peer(to).queue_confirmation(through),
        }
    }

    fn push(&mut self, ctx: &mut Ctx<'_>, user_index: UserIndex, origin: Option<SessionId>, mut entry: Entry) {
        if !self.state.tables.inboxes.is_online(user_index)
            || !self.state.is_shown_to(ctx.now.wall, user_index, &entry.message)
        {
            return;
        }
        let mut sessions: SmallVec<[SessionId; 2]> = SmallVec::new();
        let inboxes = &mut self.state.tables.inboxes;
        self.state.live.sessions.for_each_of(user_index, |id, session| {
            match session.on_entry(entry.seq, Some(id) == origin) {
                OnEntry::Push => {
                    session.pushes.pushed(&entry);
                    sessions.push(id);
                }
                OnEntry::Nothing => {}
                OnEntry::Delivered(position) => inboxes.deliver(user_index, &session.device, position),
            }
        });
        if sessions.is_empty() {
            return;
        }
        self.meters.stats.pushed += sessions.len() as u64;
        self.meters.push_ms.note(self.background.clock.age_ms(ctx.now, entry.message.server_time));
        self.state.present_at_once(user_index, &mut entry);
        let user = self.state.tables.inboxes.user_at(user_index).clone();
        ctx.effects.push(Effect::Push { user, sessions, event: Event::Entry(entry) });
    }

    /// Sends one confirmation to each shard whose deliveries have become durable.
    fn confirm(&mut self, effects: &mut Vec<Effect>) {
        for to in self.state.peers.outbound.others() {
            if let Some(through) = self.state.peers.outbound.peer(to).due_confirmation() {
                effects.push(Effect::forward(to, ShardMessage::Confirm { through }));
            }
        }
    }
}
