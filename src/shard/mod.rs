//! F2, the shard: one core's share of users and conversations, pure and deterministic.
//!
//! `Shard::handle` is the only way in and its effects the only way out; time, chance, disk and network are arguments.
//! Invariants: what depends on a record leaves only after `Synced` (or `Waived`) covers that record, in order; every queue is
//! bounded by a window or a limit; nothing that a client, a peer shard or a disk says is an assertion.

mod audit;
mod group;
mod heal;
mod live;
mod peers;
mod read;
mod replay;
mod rewrite;
mod rows;
mod session;
mod table;
#[cfg(test)]
mod testing;
mod write;

mod background;
mod inspect;

pub use audit::{AuditTally, Examined, Findings, Promise, Violation, audit, conversations as audited_conversations};
pub use live::sessions::CatchUp;
pub use peers::message::{
    Asker, ConversationRequest, GivenBack, JobLoad, PresenceMessage, PresenceQuestion, RequestKind, ShardMessage,
    UserStatus, VisiblePresence, Windows,
};
pub use read::fetch::{Fetch, Fetched, Step as FetchStep};
pub use replay::checkpoint::{CheckpointBuilder, Made, survey};
pub use replay::retention::Upkeep;
pub use rewrite::export::Digest;
pub use rewrite::recover::{Recovery, Restored};
pub use rewrite::source_log::{DamagePolicy, Lost, RewriteError, ScanCounts, SourceShard, expect_checkpointed};
pub use rewrite::{Rewritten, rewrite};
pub use table::cost::Cost;
pub use table::outstanding::Debts;
pub use table::placement::{Placement, SLOTS};
pub use table::stats::Stats;

use crate::log::{Batch, Journal, Record, Storage};
use crate::model::{
    Answer, Closing, Command, DeviceKey, Event, Limits, Message, Millis, Moment, Order, Policies, Position, Refusal,
    Reply, RequestTag, Seq, SessionId, ShardId, Sizing, UserId,
};
use session::open::SessionRequest;
use smallvec::SmallVec;
use std::sync::Arc;

/// What a shard is told.
#[derive(Debug)]
pub enum Input {
    /// An authenticated connection of a user of this shard; answered with `Reply::Welcome`.
    Opened {
        session: SessionId,
        tag: RequestTag,
        user: UserId,
        device: DeviceKey,
        catching: CatchUp,
        sizing: Sizing,
    },
    /// Not while the session is paused.
    Requested {
        session: SessionId,
        tag: RequestTag,
        command: Command,
    },
    Closed {
        session: SessionId,
    },
    /// The session's outbox was full: its entries from `first` on have been left out. In the order in which it was told
    /// of them, it was answered that it sent `own` itself.
    Congested {
        session: SessionId,
        first: Seq,
        own: Vec<Seq>,
    },
    /// What an `Effect::TellWhenDrained` asked for.
    Drained {
        session: SessionId,
    },
    Arrived {
        from: ShardId,
        parcel: ShardMessage,
    },
    /// The log is on stable storage up to here.
    Synced {
        end: Position,
    },
    /// The durability policy does not wait for a sync: what is in the log counts as acknowledged.
    Waived,
    /// At least once a second.
    Ticked,
    /// Once a turn while `has_more`.
    Continued,
    /// What an `Effect::Fetch` asked for.
    Fetched(Box<Fetched>),
    /// An operator's order, from the control thread; answered once by `Effect::Answer` with the same ticket.
    Ordered {
        ticket: Ticket,
        order: Order,
    },
    /// A checkpoint behind segment `through` is on stable storage.
    Checkpointed {
        through: u32,
    },
    /// What `Effect::RenewInboxEpoch` asked for is done, durably.
    InboxEpochRenewed,
}

/// What a shard wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    Reply {
        session: SessionId,
        tag: RequestTag,
        reply: Reply,
    },
    /// The same event to sessions of one user. The edge leaves it out where an outbox is full: of an entry it says so by
    /// `Input::Congested`.
    Push {
        user: UserId,
        sessions: SmallVec<[SessionId; 2]>,
        event: Event,
    },
    Forward {
        to: ShardId,
        parcel: ShardMessage,
    },
    Close {
        session: SessionId,
        closing: Closing,
    },
    /// Give no further request of this session, until `Resume`.
    Pause {
        session: SessionId,
    },
    Resume {
        session: SessionId,
    },
    /// Say `Input::Drained` once less than a quarter of its outbox budget is queued for the session.
    TellWhenDrained {
        session: SessionId,
    },
    Answer {
        ticket: Ticket,
        answer: Answer,
    },
    /// Read this where nobody minds waiting for a disk, and bring it back as `Input::Fetched`.
    Fetch(Box<Fetch>),
    /// Seqs of inboxes may stand for other messages from here on: clients are to be told another epoch. At most once, and
    /// before the shard is ready; answered by `Input::InboxEpochRenewed`.
    RenewInboxEpoch,
}

/// The control thread's own mark on an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What one shard is told at its birth.
#[derive(Clone, Copy, Debug)]
pub struct ShardSettings {
    pub me: ShardId,
    pub placement: Placement,
    pub limits: Limits,
    pub policies: Policies,
    pub windows: Windows,
    pub upkeep: Upkeep,
    /// For hash maps: user ids are chosen by strangers.
    pub seed: u64,
    /// For the names that tables and checkpoints hold in place of long keys: the data directory's own, for ever.
    pub fingerprint_seed: u64,
}

pub struct Shard<S> {
    settings: ShardSettings,
    prices: rows::charge::Prices,
    journal: Journal<S>,
    /// What stands before it may be shown: it is durable, or the durability policy does not ask for that.
    acknowledged: Position,
    /// What stands before it may be acknowledged as soon as what waits for it has left.
    acknowledgeable: Position,
    /// The record appended last: what waits for "everything so far" waits for it.
    newest_record: Position,
    state: State,
    pending: peers::deferred::Pending,
    checkpoints: replay::retention::RetainedCheckpoints,
    leaving: Option<replay::retention::Leaving>,
    /// What logs have lost is being made good, or it is not known yet whether they have; `None` once that is done.
    healing: Option<Box<heal::Healing>>,
    clock: rows::trusted_clock::SettledClock,
    spares: table::message_pool::MessagePool,
    stats: Stats,
    cost: Cost,
}

/// What the log tells a shard about itself, and what its sessions add while it runs.
struct State {
    fingerprints: table::fingerprint::Fingerprints,
    sessions: live::sessions::Sessions,
    inboxes: rows::inbox::InboxTable,
    conversations: rows::conversation::ConversationTable,
    dedupe: rows::dedupe::Dedupe,
    in_flight: peers::pending_requests::PendingRequests,
    relay: peers::outbound::Outbound,
    ages: rows::segment_times::SegmentTimes,
    outlasted: replay::retention::SegmentDependencies,
    fan_out: group::fan_out::FanOut,
    groups: rows::groups::Groups,
    loads: group::load::GroupLoads,
    accounts: rows::accounts::Accounts,
    unmade_groups: rows::unmade::UnmadeGroups,
    blocks: rows::marks::Blocks,
    revoked: rows::marks::Revoked,
    consumed: rows::marks::Consumed,
    receipts: rows::marks::Receipts,
    recounts: read::recounts::Recounts,
    apart: read::fetch::Apart,
    typing: write::transient::TypingTimes,
    transients: group::transients::Transients,
    streams: live::streams::Streams,
    vouching: write::directory::DirectoryQueries,
    watch: live::watch::Watch,
    /// Rows that the input being handled has visited.
    rows_visited: table::cost::RowMeter,
    me: ShardId,
    placement: Placement,
}

impl<S: Storage> Shard<S> {
    /// The first parcels to every other shard. Once, before any input.
    pub fn start(&mut self, effects: &mut Vec<Effect>) {
        for to in self.state.relay.others() {
            let peer = self.state.relay.peer(to);
            let parcel = ShardMessage::Hello { taken: peer.taken(), newest: peer.newest() };
            effects.push(Effect::Forward { to, parcel });
        }
        self.heal(Moment::told(Millis::default()), effects);
        self.send_fan_out_load(effects);
    }

    /// Whether every shard has sent what it owed from before the start. No session is opened earlier: a retry must
    /// find the message that it repeats.
    pub fn is_ready(&self) -> bool {
        self.healing.is_none() && self.state.relay.is_replayed()
    }

    /// One input, its effects appended to `effects`. `now.steady` never goes back; the wall clock may.
    pub fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        table::cost::begin(&self.state.rows_visited, self.journal.meter());
        let before = effects.len();
        self.look_at_clock(now);
        self.dispatch(now, input, effects);
        self.resume_held_requests(now, effects);
        self.resume_stalled(now, effects);
        self.begin_fan_out();
        if self.healing.is_some() {
            self.heal(now, effects);
        }
        self.send_fanned_out(effects);
        let asked = u32::try_from(effects.len() - before).unwrap_or(u32::MAX);
        self.cost = Cost { effects: asked, ..self.cost_so_far() };
        self.stats.dearest = self.stats.dearest.max(self.cost);
    }

    fn dispatch(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Opened { session, tag, user, device, catching, sizing } => {
                self.open_session(now, SessionRequest { session, tag, user, device, catching, sizing }, effects);
            }
            Input::Requested { session, tag, command } => self.requested(now, session, tag, command, effects),
            Input::Closed { session } => self.end_session(now, session, effects),
            Input::Congested { session, first, own } => self.congested(session, first, &own, effects),
            Input::Drained { session } => self.drained(now, session, effects),
            Input::Arrived { from, parcel } => self.arrived(now, from, parcel, effects),
            Input::Synced { end } => self.synced(now, end, effects),
            Input::Waived => self.acknowledge(now, self.journal.end(), effects),
            Input::Ticked => self.tick(now, effects),
            Input::Ordered { ticket, order } => self.ordered(now, ticket, order, effects),
            Input::Continued => self.continue_background(now, effects),
            Input::Fetched(fetched) => self.fetched(now, *fetched, effects),
            Input::Checkpointed { through } => self.checkpoints.add(through),
            Input::InboxEpochRenewed => self.inbox_epoch_renewed(),
        }
    }

    fn requested(
        &mut self,
        now: Moment,
        session: SessionId,
        tag: RequestTag,
        command: Command,
        effects: &mut Vec<Effect>,
    ) {
        match command {
            Command::Send(send) => self.send(now, session, tag, send, effects),
            Command::Sync(sync) => self.sync(now, session, tag, sync, effects),
            Command::Ack(ack) => self.ack(session, tag, ack, effects),
            Command::Revoke(revoke) => self.revoke(now, session, tag, revoke, effects),
            Command::Receipt(receipt) => self.receipt(now, session, tag, receipt, effects),
            Command::Typing(typing) => self.typing(now, session, tag, &typing, effects),
            Command::History(history) => self.history(now, session, tag, history, effects),
            Command::Conversations(list) => self.conversations(now, session, tag, list, effects),
            Command::MarkRead(mark) => self.mark_read(now, session, tag, &mark, effects),
            Command::Presence(presence) => self.presence(now, session, tag, presence, effects),
            Command::Reauthenticate => self.reauthenticated(now, session, tag, effects),
        }
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

    fn refuse(&mut self, session: SessionId, tag: RequestTag, refusal: Refusal, effects: &mut Vec<Effect>) {
        self.stats.refused += 1;
        effects.push(Effect::Reply { session, tag, reply: Reply::Refused(refusal.into()) });
    }

    /// Whether the user may ask for more just now.
    fn may_query(&mut self, now: Moment, user: rows::inbox::UserIndex) -> bool {
        self.may_query_for(now, user, 1)
    }

    /// The same for what costs as much as so many queries.
    fn may_query_for(&mut self, now: Moment, user: rows::inbox::UserIndex, queries: u32) -> bool {
        self.state.inboxes.allowance_at(user, now).queries.take_queries(now.steady, &self.settings.limits, queries)
    }

    /// `record_bytes` is its length, for which there was found to be room.
    fn append(&mut self, record: &Record, record_bytes: usize) -> Position {
        self.stats.records += 1;
        self.newest_record = self.journal.append_measured(record, record_bytes);
        self.newest_record
    }
}

impl State {
    fn new(settings: &ShardSettings) -> Self {
        let ShardSettings { me, seed, fingerprint_seed, windows, .. } = *settings;
        Self {
            fingerprints: table::fingerprint::Fingerprints::new(fingerprint_seed),
            sessions: live::sessions::Sessions::new(seed),
            inboxes: rows::inbox::InboxTable::new(seed),
            conversations: rows::conversation::ConversationTable::new(me),
            dedupe: rows::dedupe::Dedupe::new(settings.limits.dedupe_window_ms),
            in_flight: peers::pending_requests::PendingRequests::new(seed),
            relay: peers::outbound::Outbound::new(me, settings.placement.shards(), windows, seed),
            ages: rows::segment_times::SegmentTimes::default(),
            outlasted: replay::retention::SegmentDependencies::default(),
            fan_out: group::fan_out::FanOut::new(seed),
            groups: rows::groups::Groups::new(seed, settings.placement),
            loads: group::load::GroupLoads::new(seed, settings.placement.shards()),
            accounts: rows::accounts::Accounts::default(),
            unmade_groups: rows::unmade::UnmadeGroups::default(),
            blocks: rows::marks::Blocks::default(),
            revoked: rows::marks::Revoked::default(),
            consumed: rows::marks::Consumed::default(),
            receipts: rows::marks::Receipts::new(seed),
            recounts: read::recounts::Recounts::default(),
            apart: read::fetch::Apart::default(),
            typing: write::transient::TypingTimes::default(),
            transients: group::transients::Transients::default(),
            streams: live::streams::Streams::default(),
            vouching: write::directory::DirectoryQueries::default(),
            watch: live::watch::Watch::new(seed, settings.placement.shards()),
            rows_visited: table::cost::RowMeter::default(),
            me,
            placement: settings.placement,
        }
    }
}

#[cfg(test)]
mod clock_tests;
