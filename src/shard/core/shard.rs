//! The shard: its settings, its log, its state, and what several verbs do with them.

use crate::log::{Batch, Journal, RecordRef, Storage};
use crate::model::{Event, Histogram, Message, Moment, Position, Refusal, Reply, RequestTag, SessionId, Verb};
use crate::shard::core::deferred::Pending;
use crate::shard::core::effect::Effect;
use crate::shard::core::settings::ShardSettings;
use crate::shard::core::state::State;
use crate::shard::rows::charge::Prices;
use crate::shard::rows::index::UserIndex;
use crate::shard::table::cost::Cost;
use crate::shard::table::message_pool::MessagePool;
use crate::shard::table::stats::Stats;
use crate::shard::table::trusted_clock::SettledClock;
use crate::shard::work::healing::Healing;
use crate::shard::work::retention::RetainedCheckpoints;
use std::sync::Arc;

/// One core's share of the users and conversations, without sockets, disks and clocks.
///
/// # How to drive it
///
/// 1. [`open`](Self::open) it over a storage. Once, before any input, call [`start`](Self::start), and carry out its
///    effects.
/// 2. Pass everything that happens to [`handle`](Self::handle) as an `Input`, and carry out the effects, in order.
///    Sessions are opened once [`is_ready`](Self::is_ready) holds for every shard.
/// 3. While [`awaits_log`](Self::awaits_log): [`seal`](Self::seal), sync the range that it returns, and pass
///    `Input::Synced`. Several inputs may share a sync.
/// 4. In each pass of the loop pass `Input::Continued` if [`has_more`](Self::has_more), and `Input::Ticked` at least
///    once a second.
/// 5. If [`checkpoint_due`](Self::checkpoint_due) names a segment, make a checkpoint by `survey` on another thread, and
///    pass `Input::Checkpointed`.
/// 6. To stop, go on without new requests until [`is_settled`](Self::is_settled), then [`close_log`](Self::close_log).
///
/// `examples/drive_shard.rs` is a complete driver.
///
/// ```
/// use mushan::log::MemoryStorage;
/// use mushan::model::{Answer, Limits, Millis, Moment, Order, Policies, ShardId, UserId};
/// use mushan::shard::{Effect, Input, Placement, Shard, ShardSettings, Ticket, Upkeep, Windows};
///
/// let now = Moment::told(Millis(1_700_000_000_000));
/// let (me, placement, limits) = (ShardId(0), Placement::new(1), Limits::default());
/// let (policies, windows, upkeep) = (Policies::default(), Windows::default(), Upkeep::default());
/// let settings =
///     ShardSettings { me, placement, limits, policies, windows, upkeep, seed: 1, fingerprint_seed: 2 };
/// let checkpoints: [&[u8]; 0] = [];
/// let (mut shard, _) =
///     Shard::open(settings, MemoryStorage::new(1 << 20, 8), &checkpoints, now).expect("an empty log");
/// let mut effects = Vec::new();
/// shard.start(&mut effects);
/// assert!(shard.is_ready());
///
/// let order = Order::KnowUser { user: UserId::new("alice").expect("a well-formed id") };
/// shard.handle(now, Input::Ordered { ticket: Ticket(1), order }, &mut effects);
/// // The answer waits until its record is durable.
/// assert!(effects.is_empty());
/// let batch = shard.seal().expect("an effect waits for the log");
/// shard.storage_mut().sync(batch);
/// shard.handle(now, Input::Synced { end: batch.to }, &mut effects);
/// assert_eq!(effects, [Effect::answer(Ticket(1), Answer::Done)]);
/// ```
pub struct Shard<S> {
    pub(in crate::shard) settings: ShardSettings,
    pub(in crate::shard) prices: Prices,
    pub(in crate::shard) log: ShardLog<S>,
    pub(in crate::shard) state: State,
    pub(in crate::shard) background: BackgroundProgress,
    /// Set until the losses of all logs are known and restored as far as possible.
    pub(in crate::shard) healing: Option<Box<Healing>>,
    pub(in crate::shard) spares: MessagePool,
    pub(in crate::shard) meters: Meters,
}

/// The shard's log, the acknowledged part of it, and the effects that wait.
pub(in crate::shard) struct ShardLog<S> {
    pub journal: Journal<S>,
    /// Effects of records before this position may leave: the records are durable, or the durability policy waives the
    /// sync.
    pub acknowledged: Position,
    /// The position to which `acknowledged` may move once the effects up to there have left.
    pub acknowledgeable: Position,
    /// The record that was appended last, for effects that wait for everything so far.
    pub newest_record: Position,
    pub pending: Pending,
}

impl<S: Storage> ShardLog<S> {
    /// A log after opening: the durable part is acknowledged, and nothing waits.
    pub fn new(journal: Journal<S>) -> Self {
        let acknowledged = journal.durable();
        let (newest_record, pending) = (Position::NONE, Pending::default());
        Self { journal, acknowledged, acknowledgeable: acknowledged, newest_record, pending }
    }
}

/// The progress of work that goes on from turn to turn, above all of dropping the oldest segments.
pub(in crate::shard) struct BackgroundProgress {
    pub checkpoints: RetainedCheckpoints,
    pub clock: SettledClock,
    /// The part of background work that is to go on next.
    pub next_part: u8,
}

/// The shard's counters.
#[derive(Default)]
pub(in crate::shard) struct Meters {
    pub stats: Stats,
    /// Requests of sessions, by index in `Verb::ALL`.
    pub requests: [u64; Verb::ALL.len()],
    /// The age of messages when they are pushed, in milliseconds.
    pub push_ms: Histogram,
    /// The cost of the last input.
    pub cost: Cost,
}

impl<S: Storage> Shard<S> {
    /// Whether the shard has all deliveries from before the start. No session is opened before every shard is ready: a
    /// repeated send must find the message that it repeats.
    pub fn is_ready(&self) -> bool {
        self.healing.is_none() && self.state.peers.outbound.is_replayed()
    }

    /// Takes back an event that the driver has encoded for its receivers; the memory of its message is used again.
    pub fn recycle_event(&mut self, event: Event) {
        if let Event::Entry(entry) = event {
            self.recycle_message(entry.message);
        }
    }

    /// Takes back a message that the driver has encoded for all receivers; its memory is used again.
    pub fn recycle_message(&mut self, message: Arc<Message>) {
        self.spares.keep(message);
    }

    /// The range of the log to sync, if an effect waits for it. After the sync pass `Input::Synced` with the end of the
    /// range.
    pub fn seal(&mut self) -> Option<Batch> {
        self.log.journal.seal()
    }

    /// The end of a run: makes the whole log durable through `sync`, and appends a mark of that, which the next start
    /// checks.
    ///
    /// # Errors
    ///
    /// Those of `sync`.
    pub fn close_log<E>(&mut self, sync: impl FnOnce(&mut S, Batch) -> Result<(), E>) -> Result<(), E> {
        // Records that nobody waits for are synced as well, so that the mark covers the whole log.
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

    /// Takes one query from the user's token bucket, if there is one.
    pub(in crate::shard) fn may_query(&mut self, now: Moment, user_index: UserIndex) -> bool {
        self.may_query_for(now, user_index, 1)
    }

    /// As `may_query`, for a request that counts as several queries.
    pub(in crate::shard) fn may_query_for(&mut self, now: Moment, user_index: UserIndex, queries: u32) -> bool {
        self.state.tables.inboxes.allowance_at(user_index, now).queries.take_queries(
            now.steady,
            &self.settings.limits,
            queries,
        )
    }

    /// Appends a record. `record_bytes` is its encoded length, for which the caller has found room.
    pub(in crate::shard) fn append<'a>(&mut self, record: impl Into<RecordRef<'a>>, record_bytes: usize) -> Position {
        self.meters.stats.records += 1;
        self.log.newest_record = self.log.journal.append_measured(record, record_bytes);
        self.log.newest_record
    }
}
