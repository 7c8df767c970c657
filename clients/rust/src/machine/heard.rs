//! What a session makes of what the server says: answers, entries, pages of the inbox. One half of `Session`; its inputs
//! are in the other one (`session.rs`), with its invariants.

use super::output::{Event, Output, Phase, SendOutcome};
use super::requests::Asked;
use super::session::{Begin, FOREVER, Session};
use crate::model::{Answer, Entry, EntryBody, Message, Outgoing, PresenceAction, Refused, Request, Sent};
use crate::wire::dialect::{AnswerShape, Heard};

/// Users of one presence request.
const PRESENCE_USERS_MAX: usize = 200;

impl Session {
    pub(super) fn handle(&mut self, heard: Heard, now: u64) {
        match heard {
            Heard::Answer { tag, answer } => self.answered(tag, answer, now),
            Heard::Refused { tag, refused } => self.refused(tag, refused, now),
            Heard::Entry(entry) => self.take(entry, now),
            Heard::Typing(typing) => self.tell(Event::Typing(typing)),
            Heard::Presence(state) => self.tell(Event::Presence(state)),
            Heard::Farewell { is_final, reason } => self.farewell = is_final.then_some(reason),
            Heard::Noise => {}
        }
    }

    fn answered(&mut self, tag: u32, answer: Answer, now: u64) {
        match (self.requests.answered(tag), answer) {
            (Some(Asked::Application(id)), answer) => self.answer(id, Ok(answer)),
            (Some(Asked::Login), Answer::Login { epoch }) => self.logged_in(epoch, now),
            (Some(Asked::Sync { after }), Answer::Page { entries, server_max_seq, has_more }) => {
                self.synced(after, (entries, server_max_seq, has_more), now);
            }
            (Some(Asked::SyncNewest), Answer::Page { server_max_seq, .. }) => {
                self.is_syncing = false;
                let wanted = if let Begin::Last(entries) = self.begin { entries.min(server_max_seq) } else { 0 };
                let entries = self.inbox.begin(server_max_seq - wanted);
                self.deliver(entries, now);
                if wanted > 0 {
                    return self.sync(now);
                }
                self.caught_up(now);
            }
            (Some(Asked::Watch), Answer::Presence(states)) => {
                states.into_iter().for_each(|state| self.tell(Event::Presence(state)));
            }
            (Some(Asked::Send { client_id }), Answer::Sent(sent)) => self.stored(&client_id, sent, now),
            _ => {}
        }
    }

    pub(super) fn refused(&mut self, tag: u32, refused: Refused, now: u64) {
        match self.requests.answered(tag) {
            Some(Asked::Application(id)) => self.answer(id, Err(refused)),
            Some(Asked::Send { client_id }) => self.refused_send(client_id, refused, now),
            Some(Asked::Sync { .. } | Asked::SyncNewest) => {
                self.is_syncing = false;
                self.due.sync = now + self.pausing.next(500, &mut self.chance);
            }
            // A refused login: the server closes, and the close code says why.
            _ => {}
        }
    }

    fn logged_in(&mut self, epoch: u64, now: u64) {
        self.token_failures = 0;
        self.due.open = FOREVER;
        if self.inbox.enter(epoch) {
            self.tell(Event::Epoch(epoch));
        }
        self.enter(Phase::Resync, None);
        self.sync(now);
    }

    /// Asks for the entries that are missing, one page at a time.
    pub(super) fn sync(&mut self, now: u64) {
        self.due.sync = FOREVER;
        if self.is_syncing || !matches!(self.phase, Phase::Resync | Phase::Ready) {
            return;
        }
        // After a login the pages are read even without room: they may have this user's own messages.
        if self.phase == Phase::Ready && self.inbox.is_full() {
            return;
        }
        self.is_syncing = true;
        self.inbox.asking();
        match self.passed_over.or(self.inbox.through) {
            None => {
                let tag = self.requests.own(Asked::SyncNewest, AnswerShape::Page);
                self.write(&Request::SyncNewest, tag, now);
            }
            Some(after) => {
                let tag = self.requests.own(Asked::Sync { after }, AnswerShape::Page);
                self.write(&Request::Sync { after, limit: self.tuning.page_entries }, tag, now);
            }
        }
    }

    fn synced(&mut self, after: u64, page: (Vec<Entry>, u64, bool), now: u64) {
        let (entries, server_max_seq, has_more) = page;
        self.is_syncing = false;
        self.pausing.reset();
        if server_max_seq < after {
            // The server has less than this client: its seqs stand for other entries.
            self.inbox.restart();
            self.passed_over = None;
            self.tell(Event::Epoch(self.inbox.epoch));
            return self.sync(now);
        }
        let last = entries.last().map(|entry| entry.seq).filter(|_| has_more);
        let end = last.unwrap_or(server_max_seq);
        if self.passed_over.is_some() || self.inbox.is_full() {
            entries.iter().for_each(|entry| self.recognise(entry));
            self.inbox.skip_page(end);
            self.passed_over = Some(end);
        } else {
            let entries = self.inbox.take_page(entries, after, end);
            self.deliver(entries, now);
        }
        if last.is_some() {
            if self.phase == Phase::Resync || !self.inbox.is_full() {
                return self.sync(now);
            }
            self.inbox.skip_page(server_max_seq);
        }
        self.passed_over = None;
        self.caught_up(now);
    }

    fn caught_up(&mut self, now: u64) {
        if self.inbox.has_gap() && !self.inbox.is_full() {
            self.due.sync = now + self.tuning.gap_ms;
        }
        if self.phase != Phase::Ready {
            self.ready_since = Some(now);
            self.enter(Phase::Ready, None);
            let watched: Vec<String> = self.watched.iter().cloned().collect();
            self.subscribe(&watched, PresenceAction::Subscribe, now);
            self.flush(now);
        }
    }

    pub(super) fn subscribe(&mut self, users: &[String], action: PresenceAction, now: u64) {
        for users in users.chunks(PRESENCE_USERS_MAX) {
            let tag = self.requests.own(Asked::Watch, AnswerShape::Presence);
            self.write(&Request::Presence { users: users.to_vec(), action }, tag, now);
        }
    }

    fn take(&mut self, entry: Entry, now: u64) {
        if let Entry { seq: 0, body: EntryBody::Message(message), .. } = entry {
            return self.tell(Event::Transient(message));
        }
        let entries = self.inbox.take(entry);
        self.deliver(entries, now);
        let has_room = !self.inbox.is_full() && self.phase == Phase::Ready;
        if has_room && self.inbox.has_gap() && self.due.sync == FOREVER {
            self.due.sync = now + self.tuning.gap_ms;
        }
    }

    fn deliver(&mut self, entries: Vec<Entry>, now: u64) {
        for entry in entries {
            self.recognise(&entry);
            self.tell(Event::Entry(entry));
        }
        self.finished_further(now);
    }

    pub(super) fn finished_further(&mut self, now: u64) {
        if self.inbox.finished.unwrap_or(0) > self.acknowledged {
            self.due.ack = self.due.ack.min(now + self.tuning.ack_ms);
            self.outputs.push(Output::Changed);
        }
    }

    /// This user's own message is in the inbox: it needs no answer any more.
    fn recognise(&mut self, entry: &Entry) {
        let EntryBody::Message(message) = &entry.body else { return };
        if message.from == self.user && self.outbox.has(&message.client_id) {
            let Message { id, seq, conversation_seq, time_ms, .. } = message.clone();
            self.settle(
                &message.client_id,
                SendOutcome::Sent(Sent { id, seq, conversation_seq, time_ms: Some(time_ms) }),
            );
        }
    }

    fn settle(&mut self, client_id: &str, outcome: SendOutcome) -> Option<Outgoing> {
        let message = self.outbox.settle(client_id)?;
        self.outputs.push(Output::Changed);
        self.tell(Event::Settled { client_id: client_id.to_owned(), outcome });
        Some(message)
    }

    pub(super) fn acknowledge(&mut self) {
        self.due.ack = FOREVER;
        let through = self.inbox.finished.unwrap_or(0);
        if through > self.acknowledged && matches!(self.phase, Phase::Ready | Phase::Resync) {
            self.acknowledged = through;
            self.write(&Request::Ack { seq: through }, 0, 0);
        }
    }

    fn stored(&mut self, client_id: &str, sent: Sent, now: u64) {
        self.pausing.reset();
        let settled = self.settle(client_id, SendOutcome::Sent(sent.clone()));
        if let Some(message) = settled.filter(|_| sent.seq > 0) {
            self.take(own_entry(message, &self.user, sent), now);
        }
        self.flush(now);
    }

    fn refused_send(&mut self, client_id: String, refused: Refused, now: u64) {
        if refused.is_temporary() {
            let pause = self.pausing.next(0, &mut self.chance);
            self.outbox.postpone(&client_id, now + pause);
        } else {
            self.settle(&client_id, SendOutcome::Refused(refused));
        }
        self.flush(now);
    }
}

/// The entry that the inbox has of this user's own message.
fn own_entry(message: Outgoing, user: &str, sent: Sent) -> Entry {
    let body = EntryBody::Message(Message {
        id: sent.id.clone(),
        client_id: message.client_id,
        conversation: message.to,
        from: user.to_owned(),
        message_type: message.message_type,
        content: message.content,
        time_ms: sent.time_ms.unwrap_or(message.send_time_ms),
        seq: sent.seq,
        conversation_seq: sent.conversation_seq,
        extra: message.extra,
        is_revoked: false,
        wants_receipt: message.wants_receipt,
        topic: message.topic,
        expire_seconds: message.expire_seconds,
        stream: message.stream,
    });
    Entry { seq: sent.seq, id: sent.id, body }
}
