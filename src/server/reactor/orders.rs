//! Handles the operator's orders from the control thread, answers them, and publishes the shard's numbers.

use crate::model::Answer;
use crate::model::Moment;
use crate::server::follow::log_follower::CommittedEnd;
use crate::server::reactor::event_loop::Reactor;
use crate::shard::Ticket;
use compact_str::ToCompactString;

/// The most orders in one turn: one order may name thousands of members.
const ORDERS_PER_TURN_MAX: usize = 4;

impl Reactor {
    pub(in crate::server) fn drain_orders(&mut self, now: Moment) {
        for _taken in 0..ORDERS_PER_TURN_MAX {
            let Ok((ticket, order)) = self.endpoint.orders.try_recv() else { return };
            self.has_worked = true;
            self.work.orders += 1;
            self.turn.ordered(now, ticket, order);
        }
    }

    pub(in crate::server) fn answer(&mut self, ticket: Ticket, mut answer: Answer) {
        for session in answer.sessions_mut().into_iter().flatten() {
            let address = self.turn.open_link(session.id).and_then(|key| self.turn.client(key));
            session.address = address.map(|address| address.to_compact_string()).unwrap_or_default();
        }
        self.endpoint.answer(ticket, answer);
    }

    /// Publishes where the log ends, for followers.
    pub(in crate::server) fn publish_end(&mut self) {
        let shard = self.turn.shard();
        let end = CommittedEnd { acknowledged: shard.acknowledged(), written: shard.journal().end() };
        self.endpoint.publish_end(end);
    }

    /// Publishes the shard's numbers for the control thread.
    pub(in crate::server) fn show(&mut self) {
        self.accepting
            .descriptors
            .note_log(self.me, self.turn.storage_mut().files() * (1 + self.options.fetch_threads));
        let snapshot = self.snapshot();
        self.endpoint.show(snapshot);
    }
}
