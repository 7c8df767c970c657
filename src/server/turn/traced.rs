//! Tells those who trace a user what happens in a turn. Without a traced user nothing here is called.

use crate::log::Storage;
use crate::model::{Closing, Command, DeviceKey, Event, Moment, Reply, SessionId, UserId};
use crate::server::turn::Turn;
use crate::server::turn::link::LinkKey;
use crate::server::turn::trace::{TraceLine, TraceStep, TracedList, TracedUser};
use crate::wire::{Encoding, TokenFault};
use std::sync::Arc;

impl<S: Storage> Turn<S> {
    /// From now on these users are traced, and no others.
    #[cold]
    pub(in crate::server) fn trace(&mut self, now: Moment, traced: TracedList) {
        let before = self.traced.take().unwrap_or_default();
        let is_new = |user: &&Arc<TracedUser>| !before.iter().any(|other| Arc::ptr_eq(other, user));
        let (me, placement) = (self.common.me, self.common.placement);
        for user in traced.iter().filter(is_new).filter(|it| placement.owner_of(&it.user) == me) {
            user.tell(TraceLine { at: now.wall.0, shard: me.0, session: None, step: TraceStep::Begun });
        }
        self.traced = Some(traced).filter(|traced| !traced.is_empty());
    }

    fn tell_traced(&self, now: Moment, user: &UserId, session: Option<SessionId>, step: TraceStep) {
        let traced = self.traced.iter().flat_map(|traced| traced.iter());
        for traced in traced.filter(|traced| traced.user == *user) {
            let session = session.map(|session| session.0);
            traced.tell(TraceLine { at: now.wall.0, shard: self.common.me.0, session, step: step.clone() });
        }
    }

    fn tell_traced_link(&self, now: Moment, key: LinkKey, step: TraceStep) {
        let link = &self.links[key];
        if let Some(user) = link.connection.user() {
            self.tell_traced(now, user, Some(link.session), step);
        }
    }

    #[cold]
    pub(super) fn trace_opened(&self, now: Moment, key: LinkKey, device: &DeviceKey) {
        let protocol = self.links[key].connection.encoding().map_or("", Encoding::name);
        self.tell_traced_link(now, key, TraceStep::Opened { protocol, device: device.id.to_string() });
    }

    #[cold]
    pub(super) fn trace_refused_login(&self, now: Moment, user: &UserId, fault: TokenFault) {
        self.tell_traced(now, user, None, TraceStep::LoginRefused { reason: fault.name() });
    }

    #[cold]
    pub(super) fn trace_request(&self, now: Moment, key: LinkKey, command: &Command) {
        let content_bytes = match command {
            Command::Send(send) => send.content.bytes().len(),
            _ => 0,
        };
        self.tell_traced_link(now, key, TraceStep::Request { verb: command.verb().name(), content_bytes });
    }

    #[cold]
    pub(super) fn trace_reply(&self, now: Moment, key: LinkKey, reply: &Reply) {
        let outcome = match reply {
            Reply::Refused(refused) => refused.refusal.name(),
            Reply::Denied(_) => "denied",
            _ => "done",
        };
        self.tell_traced_link(now, key, TraceStep::Reply { outcome });
    }

    #[cold]
    pub(super) fn trace_push(&self, now: Moment, user: &UserId, sessions: &[SessionId], event: &Event) {
        let (event, seq, content_bytes) = match event {
            Event::Entry(entry) if entry.message.fact.is_some() => ("fact", entry.seq.0, 0),
            Event::Entry(entry) => ("message", entry.seq.0, entry.message.content.bytes().len()),
            Event::Transient(message, _) => ("transient", 0, message.content.bytes().len()),
            Event::Typing(_) => ("typing", 0, 0),
            Event::Presence(_) => ("presence", 0, 0),
        };
        for session in sessions {
            self.tell_traced(now, user, Some(*session), TraceStep::Push { event, seq, content_bytes });
        }
    }

    #[cold]
    pub(super) fn trace_closed(&self, now: Moment, key: LinkKey, closing: Closing) {
        self.tell_traced_link(now, key, TraceStep::Closed { closing: closing.name(), code: closing.code() });
    }
}
