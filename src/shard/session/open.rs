//! Opens and ends sessions.

use crate::log::Storage;
use crate::model::{Closing, DeviceKey, Position, Reply, RequestTag, Room, SessionId, Sizing, UserId};
use crate::shard::core::context::Ctx;
use crate::shard::core::deferred::DeferredEffect;
use crate::shard::live::sessions::{CatchUp, Session, SessionOpening};
use crate::shard::{Effect, Shard};

/// A session to be opened.
#[derive(Debug)]
pub(in crate::shard) struct SessionRequest {
    pub session: SessionId,
    pub tag: RequestTag,
    pub user: UserId,
    pub device: DeviceKey,
    pub catch_up: CatchUp,
    pub sizing: Sizing,
}

impl<S: Storage> Shard<S> {
    /// Opens a session (PROTOCOL 2.2, 4). The welcome contains the newest seq and waits until that is acknowledged.
    pub(in crate::shard) fn open_session(&mut self, ctx: &mut Ctx<'_>, opening: SessionRequest) {
        let SessionRequest { session, tag, user, device, catch_up, sizing } = opening;
        let tail = self.state.tables.inboxes.tail(&user);
        let user_index = self.state.tables.inboxes.find_or_add(&user);
        self.state.tables.inboxes.arrive(user_index);
        self.note_arrival(ctx.now, user_index);
        let start = self.backlog_start(&user, &device, tail.seq);
        let row = SessionOpening { user, user_index, device, catch_up, sizing, start, newest: tail.seq };
        self.state.live.sessions.open(session, Session::new(row));
        let (same_platform, per_user_max) =
            (self.settings.policies.same_platform, self.settings.limits.sessions_per_user_max);
        for old in self.state.live.sessions.displaced_by(session, same_platform, per_user_max) {
            ctx.effects.push(Effect::Close { session: old, closing: Closing::Replaced });
            self.end_session(ctx, old);
        }
        self.reply_when_acknowledged(ctx, tail.last, session, tag, Reply::Welcome { max_seq: tail.seq });
    }

    /// The edge has accepted the session's fresh token. The reply is that of a welcome: the newest seq, once that is
    /// acknowledged.
    pub(in crate::shard) fn reauthenticated(&mut self, ctx: &mut Ctx<'_>, session: SessionId, tag: RequestTag) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let tail = self.state.tables.inboxes.tail(&row.user);
        self.reply_when_acknowledged(ctx, tail.last, session, tag, Reply::Reauthenticated { max_seq: tail.seq });
    }

    /// Closes a session. Replies under way to it are discarded.
    pub(in crate::shard) fn end_session(&mut self, ctx: &mut Ctx<'_>, session: SessionId) {
        let Some(ended) = self.state.live.sessions.close(session) else { return };
        let user = ended.session.user;
        let user_index = self.state.tables.inboxes.find_or_add(&user);
        self.state.tables.inboxes.depart(user_index);
        self.state.peers.outbound.forget_stalled(session);
        if self.has_hook() {
            self.state.live.hook_lines.forget(&user, session);
        }
        self.unwatch(session, ended.session.watched, ctx.effects);
        self.end_streams_of(ctx, user_index, session);
        if ended.was_last {
            self.note_departure(user_index, ctx.now.wall);
        }
        if ended.was_shown {
            self.send_presence_of(&user, ctx.effects);
        }
    }

    /// Sends a reply that shows the effect of the record at `depends_on`: at once if that is acknowledged, later
    /// otherwise.
    pub(in crate::shard) fn reply_when_acknowledged(
        &mut self,
        ctx: &mut Ctx<'_>,
        depends_on: Position,
        session: SessionId,
        tag: RequestTag,
        reply: Reply,
    ) {
        let effect = DeferredEffect::Reply { session, tag, reply };
        if depends_on < self.log.acknowledged {
            self.release_effects(ctx, effect);
        } else {
            self.log.pending.defer(self.log.newest_record, effect);
        }
    }

    /// The same for a reply that may need all the outbox's room for replies: its session is paused meanwhile, so that
    /// there is one such reply at a time.
    pub(in crate::shard) fn reply_page_when_acknowledged(
        &mut self,
        ctx: &mut Ctx<'_>,
        depends_on: Position,
        (session, tag): (SessionId, RequestTag),
        reply: Reply,
    ) {
        if depends_on < self.log.acknowledged {
            return self.release_effects(ctx, DeferredEffect::Reply { session, tag, reply });
        }
        self.log.pending.defer(self.log.newest_record, DeferredEffect::Page { session, tag, reply });
        ctx.effects.push(Effect::Pause { session });
    }

    /// The room in the session's outbox for the entries of one reply.
    pub(in crate::shard) fn answer_room(&self, row: &Session) -> Room {
        let limits = &self.settings.limits;
        Room { bytes_max: limits.sync_bytes_max.min(limits.outbox_bytes_max / 2), sizing: row.sizing }
    }
}
