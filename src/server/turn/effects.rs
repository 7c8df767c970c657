//! Applies a shard's effects to their links, and updates a link after a change.

use crate::log::Storage;
use crate::model::{Closing, Event, Moment, Refused, Reply, SessionId, UserId};
use crate::server::turn::deadlines::Due;
use crate::server::turn::link::{LinkKey, LinkStage};
use crate::server::turn::sampler::{SendWaiter, outcome_of, outcome_of_order};
use crate::server::turn::{Action, Turn};
use crate::shard::{Effect, ExternalEffect, Input};

impl<S: Storage> Turn<S> {
    pub(in crate::server) fn handle(&mut self, now: Moment, input: Input) {
        self.shard.handle(now, input, &mut self.effects);
        self.perform(now);
    }

    pub(in crate::server) fn perform(&mut self, now: Moment) {
        // Most inputs cause no effect.
        if self.effects.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Reply { session, tag, reply } => {
                    if let Reply::Refused(refused) = &reply {
                        self.traffic.refused.count(refused.refusal);
                        self.log_refusal(session, *refused);
                    }
                    if self.sampler.is_some() {
                        self.sample_answer(&SendWaiter::Session(session, tag.clone()), outcome_of(&reply));
                    }
                    let Some(key) = self.open_link(session) else { continue };
                    if self.traced.is_some() {
                        self.trace_reply(now, key, &reply);
                    }
                    let link = &mut self.links[key];
                    if let Some(withheld) = &mut link.withheld {
                        withheld.answered(&reply);
                    }
                    link.connection.reply(&tag, &reply, now, &self.common.context);
                    self.after(now, key);
                }
                Effect::Push { user, sessions, event } => {
                    self.push(now, &user, &sessions, &event);
                    self.shard.recycle_event(event);
                }
                Effect::External(mut external) => {
                    self.look_at_answer(&mut external);
                    self.actions.push(Action::External(external));
                }
                Effect::Close { session, closing } => {
                    let Some(key) = self.open_link(session) else { continue };
                    self.close(now, key, closing);
                }
                Effect::TellWhenDrained { session } => {
                    let Some(key) = self.open_link(session) else { continue };
                    self.links[key].is_awaited = true;
                    self.send_drained(now, key);
                }
                Effect::Pause { session } => {
                    let Some(key) = self.open_link(session) else { continue };
                    self.links[key].is_paused = true;
                }
                Effect::Resume { session } => {
                    let Some(key) = self.open_link(session) else { continue };
                    self.links[key].is_paused = false;
                    self.serve_again(key);
                }
            }
        }
        if let Some(message) = self.frames.finish() {
            self.shard.recycle_message(message);
        }
        self.send_congested(now);
        // Links that ended meanwhile may have added effects: their sessions were closed in the shard.
        std::mem::swap(&mut self.effects, &mut effects);
        if !effects.is_empty() {
            self.effects.append(&mut effects);
            self.perform(now);
        }
    }

    /// An answer to an order tells of sessions what only their links know.
    fn look_at_answer(&mut self, external: &mut ExternalEffect) {
        let ExternalEffect::Answer { ticket, answer } = external else { return };
        if self.sampler.is_some() {
            self.sample_answer(&SendWaiter::Order(*ticket), outcome_of_order(answer));
        }
        if let Some(sessions) = answer.sessions_mut() {
            self.complete_sessions(sessions);
        }
    }

    /// The link of a session that is open on this core.
    pub(in crate::server) fn open_link(&self, session: SessionId) -> Option<LinkKey> {
        let (key, link) = self.links.find(session)?;
        matches!(link.stage, LinkStage::Open).then_some(key)
    }

    /// Pushes an event to sessions. It is encoded once for all sessions with the same encoding; sessions that prove
    /// their messages get bytes of their own.
    fn push(&mut self, now: Moment, user: &UserId, sessions: &[SessionId], event: &Event) {
        if self.traced.is_some() {
            self.trace_push(now, user, sessions, event);
        }
        if self.sampler.is_some() {
            self.sample_push(sessions.len(), event);
        }
        self.frames.turn_to(event, now.wall);
        // Most events that are not for a group have one session and are encoded straight into its outbox.
        if let [session] = sessions
            && !self.frames.are_shared()
        {
            let Some(key) = self.open_link(*session) else { return };
            if self.is_full(key) {
                return self.withhold(key, event);
            }
            self.links[key].connection.tell(event, now.wall);
            return self.after(now, key);
        }
        for session in sessions {
            let Some(key) = self.open_link(*session) else { continue };
            if self.is_full(key) {
                self.withhold(key, event);
                continue;
            }
            let connection = &mut self.links[key].connection;
            match connection.encoding() {
                Some(encoding) => connection.enqueue(self.frames.frame(encoding, user, event, now.wall)),
                None => connection.tell(event, now.wall),
            }
            self.after(now, key);
        }
    }

    /// A refused request: the reason, and never what was asked.
    fn log_refusal(&self, session: SessionId, refused: Refused) {
        let user = self.links.find(session).and_then(|(_, link)| link.connection.user());
        tracing::debug!(
            shard = self.common.me.0,
            session = session.0,
            user = user.map(tracing::field::display),
            reason = refused.refusal.name(),
            detail = refused.detail,
            "request refused"
        );
    }

    /// Whether pushes to the link are withheld: half of its outbox is reserved for replies.
    fn is_full(&self, key: LinkKey) -> bool {
        self.links[key].queued_bytes() > self.queued_bytes_max
    }

    #[cold]
    fn withhold(&mut self, key: LinkKey, event: &Event) {
        let link = &mut self.links[key];
        if link.withheld.get_or_insert_default().leave_out(event) {
            self.congested.push(link.session);
        }
    }

    /// Tells the shard from which entries on sessions lack pushes of this turn.
    fn send_congested(&mut self, now: Moment) {
        while let Some(session) = self.congested.pop() {
            let Some(key) = self.open_link(session) else { continue };
            let Some(withheld) = &mut self.links[key].withheld else { continue };
            let Some((first, own)) = withheld.take_entries() else { continue };
            if withheld.is_empty() {
                self.links[key].withheld = None;
            }
            self.shard.handle(now, Input::Congested { session, first, own }, &mut self.effects);
        }
    }

    /// Sends withheld presence states once the link's outbox has room again.
    pub(in crate::server) fn send_withheld_presence(&mut self, now: Moment, key: LinkKey) {
        let Some(mut withheld) = self.links[key].withheld.take() else { return };
        for state in withheld.take_presence() {
            self.links[key].connection.tell(&Event::Presence(state), now.wall);
        }
        if !withheld.is_empty() {
            self.links[key].withheld = Some(withheld);
        }
        self.after(now, key);
    }

    pub(in crate::server) fn close(&mut self, now: Moment, key: LinkKey, closing: Closing) {
        self.links[key].connection.close(closing, now, &self.common.context);
        self.after(now, key);
    }

    /// Tells the shard to continue a session's backlog once the socket has taken most of the outbox.
    pub(in crate::server) fn send_drained(&mut self, now: Moment, key: LinkKey) {
        let resumed_below = self.queued_bytes_max / 2;
        let link = &mut self.links[key];
        if link.is_awaited && link.queued_bytes() < resumed_below && matches!(link.stage, LinkStage::Open) {
            link.is_awaited = false;
            self.shard.handle(now, Input::Drained { session: link.session }, &mut self.effects);
        }
    }

    pub(in crate::server) fn serve_again(&mut self, key: LinkKey) {
        self.resumed.push_back(key);
        self.actions.push(Action::Read(key));
    }

    /// To be called after any change of a link: handles its outbox, its end and its deadline.
    pub(in crate::server) fn after(&mut self, now: Moment, key: LinkKey) {
        let queued_bytes_max = self.queued_bytes_max;
        let mut link = &mut self.links[key];
        let queued_bytes = link.queued_bytes();
        link.is_congested |= queued_bytes.max(link.connection.promised_bytes()) > queued_bytes_max;
        if link.ready_bytes() > 0 && !link.is_dirty {
            link.is_dirty = true;
            self.actions.push(Action::Write(key));
        }
        if let Some(closing) = link.connection.closing() {
            self.end(now, key, closing);
            link = &mut self.links[key];
        }
        let (at, session) = (link.connection.deadline(now), link.session);
        if at < link.scheduled {
            link.scheduled = at;
            self.deadlines.schedule(Due { at, session });
        }
    }

    fn end(&mut self, now: Moment, key: LinkKey, closing: Closing) {
        let link = &mut self.links[key];
        if link.is_ended() {
            return;
        }
        let (was_open, session) = (matches!(link.stage, LinkStage::Open), link.session);
        link.stage = LinkStage::Ended;
        link.finish_records();
        if self.traced.is_some() {
            self.trace_closed(now, key, closing);
        }
        let row = Closing::ALL.iter().position(|other| *other == closing).expect("the table is whole");
        self.traffic.ended[row] += 1;
        self.actions.push(Action::End(key));
        if was_open {
            self.shard.handle(now, Input::Closed { session }, &mut self.effects);
        }
    }
}
