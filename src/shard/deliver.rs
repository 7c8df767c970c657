//! What arrives from other shards: posts, deliveries, and the words that keep both flowing.

use super::pending::Owed;
use super::relay::{Arrival, Unconfirmed};
use super::{Effect, Parcel, Shard};
use crate::log::{Patience, Record, Storage};
use crate::model::{Message, Millis, ShardId};
use std::sync::Arc;

impl<S: Storage> Shard<S> {
    pub(super) fn arrived(&mut self, now: Millis, from: ShardId, parcel: Parcel, effects: &mut Vec<Effect>) {
        match parcel {
            Parcel::Post(post) => self.take_post(now, from, post, effects),
            Parcel::Declined { author, client_message_id, refused } => {
                self.declined(from, &author, &client_message_id, refused, effects);
            }
            Parcel::Deliver { number, message } => self.take_delivery(from, number, message, effects),
            Parcel::Confirm { through } => self.confirmed(from, through),
            Parcel::Hello { through } => self.greeted(from, through, effects),
            Parcel::NoRoom => self.state.relay.peer(from).ran_out_of_room(),
            Parcel::Again { through } => {
                self.state.relay.peer(from).has_room_again();
                self.resend(from, through, effects);
            }
            Parcel::Replayed => self.state.relay.peer(from).has_replayed(),
        }
    }

    /// A message of another shard's conversation, for inboxes here: taken once, in order, or not at all.
    fn take_delivery(&mut self, from: ShardId, number: u64, message: Arc<Message>, effects: &mut Vec<Effect>) {
        match self.state.relay.peer(from).classify(number) {
            Arrival::Next => {}
            Arrival::PastHole => {
                self.stats.ignored += 1;
                return;
            }
            Arrival::Repeated => {
                self.stats.ignored += 1;
                return self.confirm_again(from, effects);
            }
        }
        let links = self.links_of(&message);
        let record = Record::Delivered { source: from, number, message, links };
        let record_bytes = record.encoded_bytes();
        if !self.journal.has_room(record_bytes) {
            self.stats.ignored += 1;
            if self.state.relay.peer(from).miss(record_bytes) {
                effects.push(Effect::Forward { to: from, parcel: Parcel::NoRoom });
            }
            return;
        }
        let position = self.append(&record);
        let Record::Delivered { message, links, .. } = record else { unreachable!("made above") };
        self.stats.taken += 1;
        self.state.relay.peer(from).take(number);
        self.state.take_links(&message, &links, position);
        let mut origin = None;
        if let Some(seq) = super::commit::author_seq(&links) {
            for waiter in self.land(from, &message.author, &message.client_message_id) {
                origin = origin.or(Some(waiter.session));
                self.owe_sent(position, waiter, &message, seq);
            }
        }
        self.owe_pushes(position, &message, &links, origin);
        self.pending.owe(position, Owed::Confirm { to: from, through: number });
    }

    /// It did not hear, or not yet, that we have it.
    fn confirm_again(&mut self, from: ShardId, effects: &mut Vec<Effect>) {
        let through = self.state.relay.peer(from).taken();
        if self.newest_record < self.acknowledged {
            effects.push(Effect::Forward { to: from, parcel: Parcel::Confirm { through } });
        } else {
            self.pending.owe(self.newest_record, Owed::Confirm { to: from, through });
        }
    }

    fn confirmed(&mut self, from: ShardId, through: u64) {
        if self.state.relay.peer(from).confirmed(through) {
            self.log_confirmation(from, through);
        }
    }

    /// Without room it is said later; after a restart before that, the shard is asked, and confirms again.
    fn log_confirmation(&mut self, from: ShardId, through: u64) {
        let record = Record::Confirmed { target: from, through };
        let journal = &mut self.journal;
        self.state.relay.peer(from).log_confirmation(through, || {
            let has_room = journal.has_room(record.encoded_bytes());
            if has_room {
                journal.append_lazily(&record);
            }
            has_room
        });
    }

    /// Confirmations that the log had no room for.
    pub(super) fn log_confirmations(&mut self) {
        for from in self.state.relay.others() {
            if let Some(through) = self.state.relay.peer(from).unlogged() {
                self.log_confirmation(from, through);
            }
        }
    }

    fn greeted(&mut self, from: ShardId, through: u64, effects: &mut Vec<Effect>) {
        self.state.relay.peer(from).greet(through);
        self.confirmed(from, through);
        self.resend(from, through, effects);
        effects.push(Effect::Forward { to: from, parcel: Parcel::Replayed });
    }

    fn resend(&mut self, to: ShardId, through: u64, effects: &mut Vec<Effect>) {
        let due: Vec<_> = self.state.relay.peer(to).resend_after(through).collect();
        for Unconfirmed { number, record } in due {
            match self.journal.view(Patience::Unbounded).read(record) {
                Ok(Record::Posted { message, .. }) => {
                    effects.push(Effect::Forward { to, parcel: Parcel::Deliver { number, message } });
                }
                // It was whole when the log was opened. What follows it waits behind the hole; nothing wrong is sent.
                _ => return self.stats.unreadable += 1,
            }
        }
    }

    /// Deliveries for which there was no room are asked for once there is.
    pub(super) fn ask_again(&mut self, effects: &mut Vec<Effect>) {
        for to in self.state.relay.others() {
            let journal = &self.journal;
            let peer = self.state.relay.peer(to);
            if peer.ask_again(|record_bytes| journal.has_room(record_bytes)) {
                let through = peer.taken();
                effects.push(Effect::Forward { to, parcel: Parcel::Again { through } });
            }
        }
    }
}
