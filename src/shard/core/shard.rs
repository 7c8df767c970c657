//! The shard: its settings, its log, its state, and what every verb does with them.

use crate::log::{Batch, Journal, Record, Storage};
use crate::model::{Event, Message, Moment, Position, Refusal, Reply, RequestTag, SessionId};
use crate::shard::core::deferred::Pending;
use crate::shard::core::effect::Effect;
use crate::shard::core::settings::ShardSettings;
use crate::shard::core::state::State;
use crate::shard::rows::charge::Prices;
use crate::shard::rows::index::UserIndex;
use crate::shard::rows::trusted_clock::SettledClock;
use crate::shard::table::cost::Cost;
use crate::shard::table::message_pool::MessagePool;
use crate::shard::table::stats::Stats;
use crate::shard::work::healing::Healing;
use crate::shard::work::retention::{Leaving, RetainedCheckpoints};
use std::sync::Arc;

/// One core's share of the users and conversations. Driven by `Shard::handle`.
pub struct Shard<S> {
    pub(in crate::shard) settings: ShardSettings,
    pub(in crate::shard) prices: Prices,
    pub(in crate::shard) log: ShardLog<S>,
    pub(in crate::shard) state: State,
    pub(in crate::shard) retention: RetentionProgress,
    /// What logs have lost is being made good, or it is not known yet whether they have; `None` once that is done.
    pub(in crate::shard) healing: Option<Box<Healing>>,
    pub(in crate::shard) spares: MessagePool,
    pub(in crate::shard) meters: Meters,
}

/// The shard's log, how far of it counts as acknowledged, and what waits for that.
pub(in crate::shard) struct ShardLog<S> {
    pub journal: Journal<S>,
    /// What stands before it may be shown: it is durable, or the durability policy does not ask for that.
    pub acknowledged: Position,
    /// What stands before it may be acknowledged as soon as what waits for it has left.
    pub acknowledgeable: Position,
    /// The record appended last: what waits for "everything so far" waits for it.
    pub newest_record: Position,
    pub pending: Pending,
}

impl<S: Storage> ShardLog<S> {
    /// As opened: what is durable is acknowledged, and nothing waits.
    pub fn new(journal: Journal<S>) -> Self {
        let acknowledged = journal.durable();
        let (newest_record, pending) = (Position::NONE, Pending::default());
        Self { journal, acknowledged, acknowledgeable: acknowledged, newest_record, pending }
    }
}

/// How far the oldest segments are from being dropped.
pub(in crate::shard) struct RetentionProgress {
    pub checkpoints: RetainedCheckpoints,
    pub leaving: Option<Leaving>,
    pub clock: SettledClock,
}

/// What the shard counts of itself.
#[derive(Default)]
pub(in crate::shard) struct Meters {
    pub stats: Stats,
    /// Of the last input.
    pub cost: Cost,
}

impl<S: Storage> Shard<S> {
    /// Whether every shard has sent what it owed from before the start. No session is opened earlier: a retry must
    /// find the message that it repeats.
    pub fn is_ready(&self) -> bool {
        self.healing.is_none() && self.state.peers.outbound.is_replayed()
    }

    /// The edge has shown `event` to whom it is for; what it held is used again.
    pub fn recycle_event(&mut self, event: Event) {
        if let Event::Entry(entry) = event {
            self.recycle_message(entry.message);
        }
    }

    /// The edge has shown the message to all whom it had to show it to; its memory is used again.
    pub fn recycle_message(&mut self, message: Arc<Message>) {
        self.spares.keep(message);
    }

    /// What to sync, if somebody waits for it.
    pub fn seal(&mut self) -> Option<Batch> {
        self.log.journal.seal()
    }

    /// The end of a run: `sync` makes durable what may not be, and the log says so, for the next start to check.
    pub fn close_log<E>(&mut self, sync: impl FnOnce(&mut S, Batch) -> Result<(), E>) -> Result<(), E> {
        // What nobody has waited for yet is vouched for as well.
        let _sealed = self.log.journal.seal();
        let batch = Batch { from: self.log.journal.durable(), to: self.log.journal.end() };
        sync(self.log.journal.storage_mut(), batch)?;
        self.log.journal.synced(batch.to);
        self.log.journal.append_durability_mark();
        Ok(())
    }

    pub(in crate::shard) fn refuse(
        &mut self,
        session: SessionId,
        tag: RequestTag,
        refusal: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        self.meters.stats.refused += 1;
        effects.push(Effect::Reply { session, tag, reply: Reply::Refused(refusal.into()) });
    }

    /// Whether the user may ask for more just now.
    pub(in crate::shard) fn may_query(&mut self, now: Moment, user: UserIndex) -> bool {
        self.may_query_for(now, user, 1)
    }

    /// The same for what costs as much as so many queries.
    pub(in crate::shard) fn may_query_for(&mut self, now: Moment, user: UserIndex, queries: u32) -> bool {
        self.state.tables.inboxes.allowance_at(user, now).queries.take_queries(
            now.steady,
            &self.settings.limits,
            queries,
        )
    }

    /// `record_bytes` is its length, for which there was found to be room.
    pub(in crate::shard) fn append(&mut self, record: &Record, record_bytes: usize) -> Position {
        self.meters.stats.records += 1;
        self.log.newest_record = self.log.journal.append_measured(record, record_bytes);
        self.log.newest_record
    }
}
