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

pub struct Shard<S> {
    pub(in crate::shard) settings: ShardSettings,
    pub(in crate::shard) prices: Prices,
    pub(in crate::shard) journal: Journal<S>,
    /// What stands before it may be shown: it is durable, or the durability policy does not ask for that.
    pub(in crate::shard) acknowledged: Position,
    /// What stands before it may be acknowledged as soon as what waits for it has left.
    pub(in crate::shard) acknowledgeable: Position,
    /// The record appended last: what waits for "everything so far" waits for it.
    pub(in crate::shard) newest_record: Position,
    pub(in crate::shard) state: State,
    pub(in crate::shard) pending: Pending,
    pub(in crate::shard) checkpoints: RetainedCheckpoints,
    pub(in crate::shard) leaving: Option<Leaving>,
    /// What logs have lost is being made good, or it is not known yet whether they have; `None` once that is done.
    pub(in crate::shard) healing: Option<Box<Healing>>,
    pub(in crate::shard) clock: SettledClock,
    pub(in crate::shard) spares: MessagePool,
    pub(in crate::shard) stats: Stats,
    pub(in crate::shard) cost: Cost,
}

impl<S: Storage> Shard<S> {
    /// Whether every shard has sent what it owed from before the start. No session is opened earlier: a retry must
    /// find the message that it repeats.
    pub fn is_ready(&self) -> bool {
        self.healing.is_none() && self.state.relay.is_replayed()
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
        self.journal.seal()
    }

    /// The end of a run: `sync` makes durable what may not be, and the log says so, for the next start to check.
    pub fn close_log<E>(&mut self, sync: impl FnOnce(&mut S, Batch) -> Result<(), E>) -> Result<(), E> {
        // What nobody has waited for yet is vouched for as well.
        let _sealed = self.journal.seal();
        let batch = Batch { from: self.journal.durable(), to: self.journal.end() };
        sync(self.journal.storage_mut(), batch)?;
        self.journal.synced(batch.to);
        self.journal.append_durability_mark();
        Ok(())
    }

    pub(in crate::shard) fn refuse(
        &mut self,
        session: SessionId,
        tag: RequestTag,
        refusal: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        self.stats.refused += 1;
        effects.push(Effect::Reply { session, tag, reply: Reply::Refused(refusal.into()) });
    }

    /// Whether the user may ask for more just now.
    pub(in crate::shard) fn may_query(&mut self, now: Moment, user: UserIndex) -> bool {
        self.may_query_for(now, user, 1)
    }

    /// The same for what costs as much as so many queries.
    pub(in crate::shard) fn may_query_for(&mut self, now: Moment, user: UserIndex, queries: u32) -> bool {
        self.state.inboxes.allowance_at(user, now).queries.take_queries(now.steady, &self.settings.limits, queries)
    }

    /// `record_bytes` is its length, for which there was found to be room.
    pub(in crate::shard) fn append(&mut self, record: &Record, record_bytes: usize) -> Position {
        self.stats.records += 1;
        self.newest_record = self.journal.append_measured(record, record_bytes);
        self.newest_record
    }
}
