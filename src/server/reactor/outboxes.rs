//! Keeps the memory of outboxes within its bound: sessions fall behind to their cursors sooner, nobody new is let in, and
//! if that does not suffice, sessions whose outboxes are the largest end.

use crate::model::Moment;
use crate::server::reactor::connections::abandon;
use crate::server::reactor::event_loop::Reactor;
use crate::server::state::counters::ConnectionRefusal;
use crate::server::turn::LinkKey;

impl Reactor {
    /// Adapts what a session may have queued. To be called in each turn.
    pub(in crate::server) fn adapt_outboxes(&mut self) {
        if let Some(pressure) = self.outboxes_held.changed_pressure() {
            let share = pressure.share(self.options.limits.outbox_bytes_max);
            self.turn.set_queued_bytes_max(share);
        }
    }

    /// Ends the sessions with the largest outboxes while memory stays short. To be called once a second.
    pub(in crate::server) fn relieve_outboxes(&mut self, now: Moment) {
        let mut excess = self.outboxes_held.lasting_excess();
        if excess == 0 {
            return;
        }
        let noted = self.sockets.all().filter(|socket| socket.noted_bytes > 0);
        let mut largest: Vec<(u64, LinkKey)> = noted.map(|socket| (socket.noted_bytes, socket.place.key)).collect();
        largest.sort_unstable_by(|one, other| other.cmp(one));
        for (bytes, key) in largest {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(bytes);
            self.turn.stalled(now, key);
            self.complain(now.steady, ConnectionRefusal::MemoryShort);
            // Who does not read would not read the reason either, and its memory is wanted now.
            if let Some(socket) = self.sockets.of(key) {
                abandon(socket);
            }
            self.touch(key);
        }
    }
}
