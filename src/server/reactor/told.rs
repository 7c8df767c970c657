//! What the log says of single turns and of ended connections.

use crate::model::Moment;
use crate::server::reactor::event_loop::Reactor;
use crate::server::turn::LinkKey;
use std::time::Duration;
use tracing::Level;

/// A turn that takes longer is told at the level `info`, any other slow one at `debug`.
const VERY_SLOW_TURN: Duration = Duration::from_millis(10);

impl Reactor {
    /// What a slow turn did.
    #[cold]
    pub(super) fn log_slow_turn(&self, took: Duration) {
        let (shard, took_us, work) = (self.me.0, took.as_micros() as u64, &self.work);
        let received_bytes = self.counters.received_bytes - work.received_before;
        let records = self.turn.shard().records_awaited() - work.records_before;
        macro_rules! tell {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    shard,
                    took_us,
                    completions = work.completions,
                    received_bytes,
                    shard_messages = work.shard_messages,
                    handovers = work.handovers,
                    job_results = work.job_results,
                    orders = work.orders,
                    actions = work.actions,
                    records,
                    has_ticked = work.has_ticked,
                    "a slow turn: much work, or waiting for the core or the disk"
                )
            };
        }
        if took > VERY_SLOW_TURN { tell!(Level::INFO) } else { tell!(Level::DEBUG) }
    }

    /// The end of a connection, with its code, its user and its address.
    pub(super) fn log_end(&mut self, now: Moment, key: LinkKey) {
        if !tracing::enabled!(Level::DEBUG) {
            return;
        }
        let Some(ended) = self.turn.ended(key) else { return };
        let address = self.turn.client(key);
        let lasted_ms = ended.lasted_ms(now);
        tracing::debug!(
            shard = self.me.0,
            session = ended.session.0,
            closing = ended.closing.name(),
            code = ended.closing.code(),
            user = ended.user.map(tracing::field::display),
            address = address.map(tracing::field::display),
            protocol = ended.protocol,
            lasted_ms,
            "connection ended"
        );
    }
}
