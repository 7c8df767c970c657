//! Ack (PROTOCOL 2.6): a device says what it has; its delivered position moves and never goes back.

use super::{Effect, Shard};
use crate::log::{Record, Storage};
use crate::model::{Ack, Reply, RequestTag, SessionId};

/// A record of a device's position with the longest ids, header and padding included.
const DEVICE_RECORD_BYTES_MAX: usize = 512;

impl<S: Storage> Shard<S> {
    /// The position is logged within a tick: losing the last one costs a message sent twice to the device, no more.
    pub(super) fn ack(&mut self, session: SessionId, tag: RequestTag, ack: Ack, effects: &mut Vec<Effect>) {
        let Some(row) = self.state.sessions.find_mut(session) else { return };
        let newest = self.state.inboxes.tail(&row.user).seq;
        if let Some(position) = row.acknowledge(ack, newest) {
            self.state.inboxes.deliver(&row.user, &row.device, position);
        }
        if tag != RequestTag::None {
            effects.push(Effect::Reply { session, tag, reply: Reply::Done });
        }
    }

    /// Without room the positions wait for the next tick.
    pub(super) fn log_delivered_positions(&mut self) {
        while self.journal.has_room(DEVICE_RECORD_BYTES_MAX) {
            let Some((user, device, position)) = self.state.inboxes.next_dirty() else { return };
            let record = Record::Device { user, device, position };
            assert!(record.encoded_bytes() <= DEVICE_RECORD_BYTES_MAX, "ids are bounded");
            self.journal.append_lazily(&record);
        }
    }
}
