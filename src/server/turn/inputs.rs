//! What comes to a turn from its core and from other shards, passed on to the shard.

use crate::log::Storage;
use crate::model::{Command, HookVerdict, Moment, Order, Position, RequestTag, SessionId, ShardId};
use crate::server::turn::Turn;
use crate::shard::{Fetched, HookTicket, Input, ShardMessage, Ticket};
use std::time::Duration;

impl<S: Storage> Turn<S> {
    /// A request of an open session.
    pub(super) fn requested(&mut self, now: Moment, session: SessionId, tag: RequestTag, command: Command) {
        let message = self.sampler.is_some().then(|| self.sampled_request(session, &tag, &command)).flatten();
        let input = Input::Requested { session, tag, command };
        match message {
            None => self.handle(now, input),
            Some(message) => self.handle_sampled(now, message, input),
        }
    }

    /// A message from another shard.
    pub fn arrived(&mut self, now: Moment, from: ShardId, shard_message: ShardMessage) {
        self.arrived_by_lane(now, (from, Duration::ZERO), shard_message);
    }

    /// The same, with the reading of the clock at which the other shard's turn began.
    pub(in crate::server) fn arrived_by_lane(
        &mut self,
        now: Moment,
        (from, sent): (ShardId, Duration),
        shard_message: ShardMessage,
    ) {
        let message = self.sampler.is_some().then(|| self.sampled_arrival((from, sent), &shard_message)).flatten();
        let input = Input::Arrived { from, shard_message };
        match message {
            None => self.handle(now, input),
            Some(message) => self.handle_sampled(now, message, input),
        }
        self.settle(now);
    }

    /// The log is on stable storage up to `end`.
    pub fn synced(&mut self, now: Moment, end: Position) {
        self.handle(now, Input::Synced { end });
        self.settle(now);
    }

    /// Whether `continue_background` has something to do.
    pub fn has_more(&self) -> bool {
        self.shard.has_more()
    }

    /// Does one bounded part of the work that earlier inputs began.
    pub fn continue_background(&mut self, now: Moment) {
        self.handle(now, Input::Continued);
        self.settle(now);
    }

    /// The result of an `ExternalEffect::Fetch`.
    pub fn fetched(&mut self, now: Moment, fetched: Fetched) {
        self.handle(now, Input::Fetched(Box::new(fetched)));
        self.settle(now);
    }

    /// The answer to an `ExternalEffect::AskHook`, or that there is none.
    pub fn hook_answered(&mut self, now: Moment, ticket: HookTicket, verdict: HookVerdict) {
        self.handle(now, Input::HookAnswered { ticket, verdict });
        self.settle(now);
    }

    /// An operator's order from the control thread. Answered once, by an `ExternalEffect::Answer` with this ticket.
    pub fn ordered(&mut self, now: Moment, ticket: Ticket, order: Order) {
        let message = self.sampler.is_some().then(|| self.sampled_order(ticket, &order)).flatten();
        let input = Input::Ordered { ticket, order };
        match message {
            None => self.handle(now, input),
            Some(message) => self.handle_sampled(now, message, input),
        }
        self.settle(now);
    }

    /// The new inbox epoch of an `ExternalEffect::RenewInboxEpoch` is durable.
    pub fn inbox_epoch_renewed(&mut self, now: Moment) {
        self.handle(now, Input::InboxEpochRenewed);
        self.settle(now);
    }

    /// A checkpoint at the end of segment `through` is on stable storage.
    pub fn checkpointed(&mut self, now: Moment, through: u32) {
        self.handle(now, Input::Checkpointed { through });
        self.settle(now);
    }

    /// Acknowledges everything in the log, synced or not (policies `interval` and `none`). Returns whether an effect
    /// waited for that.
    pub fn ack_without_sync(&mut self, now: Moment) -> bool {
        let was_awaited = self.shard.awaits_log();
        if was_awaited {
            self.handle(now, Input::Waived);
            self.settle(now);
        }
        was_awaited
    }
}
