//! Ack (PROTOCOL 2.6): a device acknowledges entries; its delivered position moves and never goes back.

use crate::log::{Record, Storage};
use crate::model::{Ack, MessageId, Reply, RequestTag, SessionId, UserId};
use crate::shard::live::unacknowledged::Acknowledged;
use crate::shard::{Effect, Shard};

/// A record of a device's position with the longest ids, header and padding included.
const DEVICE_RECORD_BYTES_MAX: usize = 512;
/// Positions that one turn logs.
const POSITIONS_A_TURN_MAX: usize = 1_024;

impl<S: Storage> Shard<S> {
    /// The position is logged within a tick. If a crash loses it, the device receives some messages twice.
    pub(in crate::shard) fn ack(&mut self, session: SessionId, tag: RequestTag, ack: Ack, effects: &mut Vec<Effect>) {
        let Some(row) = self.state.live.sessions.find_mut(session) else { return };
        let newest = self.state.tables.inboxes.newest_at(row.user_index);
        let Acknowledged { position, sync_once } = row.pushes.acknowledge(ack, newest);
        if let Some(position) = position {
            self.state.tables.inboxes.deliver(row.user_index, &row.device, position);
        }
        if !sync_once.is_empty() {
            let user = row.user.clone();
            sync_once.into_iter().for_each(|message| self.consume(&user, message));
        }
        if tag != RequestTag::None {
            effects.push(Effect::Reply { session, tag, reply: Reply::Done });
        }
    }

    /// The first of the user's devices to acknowledge a `syncOnce` message consumes it for all devices (PROTOCOL 3.10).
    /// Logged lazily, like positions: if the record is lost or has no room, one more device shows the message.
    fn consume(&mut self, user: &UserId, message: MessageId) {
        let record = Record::Consumed { user: user.clone(), message };
        if !self.state.tables.consumed.contains(user, message) && self.log.journal.has_room(record.encoded_bytes()) {
            self.log.journal.append_lazily(&record);
            self.state.tables.consumed.insert(user, message);
        }
    }

    /// Marks the positions that have moved as to be logged. Without room in the log they wait.
    pub(in crate::shard) fn log_delivered_positions(&mut self) {
        self.state.tables.inboxes.begin_logging();
        self.log_some_positions();
    }

    /// Whether positions are to be logged and there is room for one.
    pub(in crate::shard) fn has_positions(&self) -> bool {
        self.state.tables.inboxes.is_logging() && self.log.journal.has_room(DEVICE_RECORD_BYTES_MAX)
    }

    /// Logs one turn's share of positions.
    pub(in crate::shard) fn log_some_positions(&mut self) {
        for _position in 0..POSITIONS_A_TURN_MAX {
            if !self.log.journal.has_room(DEVICE_RECORD_BYTES_MAX) {
                return;
            }
            let Some((user, device, position)) = self.state.tables.inboxes.next_dirty() else { return };
            let record = Record::Device { user, device, position };
            assert!(record.encoded_bytes() <= DEVICE_RECORD_BYTES_MAX, "ids are bounded");
            self.log.journal.append_lazily(&record);
        }
    }
}
