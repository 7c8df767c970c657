//! One core's connections and shard together, without the core's I/O. The reactor drives a `Turn` with sockets and
//! lanes, the simulator without either.
//!
//! Owned by one reactor. Invariants: a link's requests reach the shard in order, and never while it is paused; a
//! session's effects reach its link in order; a link is removed only by `release` or `detach`.

pub(super) mod action;
pub(super) mod admission;
pub(super) mod arrival;
pub(super) mod deadlines;
pub(super) mod effects;
mod inputs;
pub(super) mod link;
mod sampled;
pub(super) mod sampler;
pub(super) mod secured;
pub(super) mod sessions;
pub mod span;
pub(super) mod trace;
mod traced;
pub(super) mod traffic;
pub(super) mod withheld;

use crate::log::{Batch, Storage};
use crate::model::{Closing, Moment, SessionId, ShardId, Steady};
use crate::server::auth::keyring::Keyring;
use crate::server::peer::proxies::Proxies;
use crate::server::peer::rates::{AddressRates, Pace};
use crate::server::turn::deadlines::{Deadlines, Due};
use crate::server::turn::link::{LinkStage, Links};
use crate::server::turn::sampler::MessageSampler;
use crate::server::turn::trace::TracedList;
use crate::shard::{Effect, Input, Placement, Shard};
use crate::wire::{Context, Incoming, ReceivedBytes, Scratch, SharedFrames};
use std::collections::VecDeque;
use std::sync::Arc;

pub use crate::server::turn::action::Action;
pub use crate::server::turn::link::{Authenticated, LinkKey, MigratingConnection};
pub use crate::server::turn::trace::{TraceLine, TraceStep, TracedUser};
pub use crate::server::turn::traffic::Traffic;

/// Bytes that a link may hold while the turn does not serve it; beyond them its socket is not read.
const BUFFERED_BYTES_MAX: usize = 16 << 10;

/// The configuration that all turns of a server share.
#[derive(Clone)]
pub struct Common {
    /// The shard of this turn.
    pub me: ShardId,
    /// The division of users among the shards.
    pub placement: Placement,
    /// The configuration of connections.
    pub context: Arc<Context>,
    /// The keys that verify tokens.
    pub keyring: Keyring,
}

/// One core's connections and its shard, without sockets, disks and clocks.
///
/// # How to drive it
///
/// 1. Construct one turn for each core. Once all lanes are connected, call [`start`](Self::start), and accept
///    connections once [`is_ready`](Self::is_ready) holds for every core.
/// 2. Pass on what happens, in any order: [`accept`](Self::accept), [`adopt`](Self::adopt),
///    [`received`](Self::received), [`wrote`](Self::wrote), [`stalled`](Self::stalled), [`hung_up`](Self::hung_up),
///    [`arrived`](Self::arrived), [`synced`](Self::synced), [`fetched`](Self::fetched), [`ordered`](Self::ordered),
///    [`hook_answered`](Self::hook_answered), [`checkpointed`](Self::checkpointed).
/// 3. Once in each pass of the loop: [`continue_background`](Self::continue_background) if
///    [`has_more`](Self::has_more); [`judge`](Self::judge), after the sockets were read; [`seal`](Self::seal), and a
///    sync of the range that it returns; and [`tick`](Self::tick) at least once a second.
/// 4. After each of these calls carry out what [`take_actions`](Self::take_actions) returns, in order.
/// 5. To stop, call [`stop`](Self::stop) and repeat the loop until [`is_settled`](Self::is_settled) is true for every
///    core, or until a deadline, then [`close_sessions`](Self::close_sessions); then [`close_log`](Self::close_log).
///
/// ```
/// use mushan::log::MemoryStorage;
/// use mushan::model::{Limits, Millis, Moment, Policies, ShardId};
/// use mushan::server::Keyring;
/// use mushan::server::turn::{Action, Common, Turn};
/// use mushan::shard::{Placement, Shard, ShardSettings, Upkeep, Windows};
/// use mushan::wire::{Context, HandshakePolicy, ServerKey, token::Verifier};
/// let now = Moment::told(Millis(1_700_000_000_000));
/// let (me, placement, limits) = (ShardId(0), Placement::new(1), Limits::default());
/// let (policies, windows, upkeep) = (Policies::default(), Windows::default(), Upkeep::default());
/// let settings =
///     ShardSettings { me, placement, limits, policies, windows, upkeep, seed: 1, fingerprint_seed: 2 };
/// let checkpoints: [&[u8]; 0] = [];
/// let (shard, _) = Shard::open(settings, MemoryStorage::new(1 << 20, 8), &checkpoints, now).expect("an empty log");
///
/// let (handshake, server_version, server_key) = (HandshakePolicy::default(), "0.1.0", ServerKey::of([7; 32]));
/// let context = Context { limits, handshake, server_version, server_key, node_id: 1, inbox_epoch: 1 };
/// let keyring = Keyring::from(Verifier::hs256(b"a shared secret of 32 bytes ....", 5_000));
/// let common = Common { me, placement, context: context.into(), keyring };
/// let mut turn = Turn::new(shard, common, || *b"sixteen letters.");
/// turn.start(now);
/// assert!(turn.is_ready());
/// let link = turn.accept(now);
/// turn.received(now, link, &mut b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec());
/// assert!(turn.take_actions(Vec::new()).iter().any(|action| matches!(action, Action::End(ended) if *ended == link)));
/// assert!(turn.drain_outbox(link, Vec::new()).starts_with(b"HTTP/1.1 404 "));
/// ```
pub struct Turn<S> {
    pub(super) shard: Shard<S>,
    pub(super) common: Common,
    pub(super) salt: Box<dyn FnMut() -> [u8; 16]>,
    pub(super) links: Links,
    pub(super) deadlines: Deadlines,
    pub(super) proxies: Arc<Proxies>,
    pub(super) login_pace: Option<Pace>,
    pub(super) login_rates: Option<AddressRates>,
    /// The most bytes that a session may have queued before pushes to it wait in the log.
    pub(super) queued_bytes_max: usize,
    pub(super) effects: Vec<Effect>,
    /// The actions to carry out, in order.
    pub(super) actions: Vec<Action>,
    /// Links that are served again and may have stored requests.
    pub(super) resumed: VecDeque<LinkKey>,
    /// Sessions whose outboxes had no room for entries of this turn's effects.
    pub(super) congested: Vec<SessionId>,
    pub(super) frames: SharedFrames,
    decoding: Scratch,
    /// What the records of one receive say.
    plaintext: Vec<u8>,
    is_stopping: bool,
    pub(super) traffic: Traffic,
    /// `None`: nobody is traced.
    pub(super) traced: Option<TracedList>,
    /// `None`: no message is sampled.
    pub(super) sampler: Option<Box<MessageSampler>>,
}

impl<S: Storage> Turn<S> {
    /// A turn around an opened shard. `salt` returns 16 random letters for each session.
    pub fn new(shard: Shard<S>, common: Common, salt: impl FnMut() -> [u8; 16] + 'static) -> Self {
        let queued_bytes_max = common.context.limits.outbox_bytes_max / 2;
        Self {
            shard,
            common,
            salt: Box::new(salt),
            links: Links::default(),
            deadlines: Deadlines::default(),
            proxies: Arc::default(),
            login_pace: None,
            login_rates: None,
            queued_bytes_max,
            effects: Vec::new(),
            actions: Vec::new(),
            resumed: VecDeque::new(),
            congested: Vec::new(),
            frames: SharedFrames::default(),
            decoding: Scratch::default(),
            plaintext: Vec::new(),
            is_stopping: false,
            traffic: Traffic::default(),
            traced: None,
            sampler: None,
        }
    }

    /// As `Shard::number_run`. Before `start`.
    pub fn number_run(&mut self, number: u64) {
        self.shard.number_run(number);
    }

    /// Begins the run of the log, and sends the first messages to the other shards. Once, when all lanes are connected.
    pub fn start(&mut self, now: Moment) {
        self.shard.start(&mut self.effects);
        self.perform(now);
    }

    /// Whether sessions may be opened, as far as this shard knows. Connections are accepted once every shard is ready.
    pub fn is_ready(&self) -> bool {
        self.shard.is_ready()
    }

    /// Sets the inbox epoch that later sessions receive.
    pub fn set_inbox_epoch(&mut self, epoch: u64) {
        if self.common.context.inbox_epoch != epoch {
            Arc::make_mut(&mut self.common.context).inbox_epoch = epoch;
        }
    }

    /// A connection from another core whose user belongs here.
    pub fn adopt(&mut self, now: Moment, migrating: MigratingConnection) -> LinkKey {
        let key = self.links.insert(migrating.connection, migrating.layer);
        self.links[key].client = migrating.client;
        self.open(now, key, migrating.arrival);
        self.pump(now, key, ReceivedBytes::new(&mut []));
        self.settle(now);
        key
    }

    /// Bytes from the link's socket. They are changed in place.
    pub fn received(&mut self, now: Moment, key: LinkKey, bytes: &mut [u8]) {
        let link = &self.links[key];
        if link.proxy_header.is_some() {
            return self.received_proxy_header(now, key, bytes);
        } else if link.layer.is_some() {
            self.received_records(now, key, bytes);
        } else {
            self.pump(now, key, ReceivedBytes::new(bytes));
        }
        self.settle(now);
    }

    /// The peer has closed its side, or the socket failed.
    pub fn hung_up(&mut self, now: Moment, key: LinkKey) {
        self.links[key].connection.close(Closing::Gone, now, &self.common.context);
        self.after(now, key);
        self.settle(now);
    }

    /// Does the periodic work of the shard. To be called at least once a second.
    pub fn tick(&mut self, now: Moment) {
        self.handle(now, Input::Ticked);
        self.settle(now);
    }

    /// Ends or updates the links whose deadlines have passed. To be called at `next_deadline`, after the sockets were
    /// read.
    pub fn judge(&mut self, now: Moment) {
        if self.next_deadline().is_none_or(|deadline| deadline > now.steady) {
            return;
        }
        while let Some(due) = self.deadlines.pop_due(now.steady) {
            self.look_at(now, due);
        }
        self.settle(now);
    }

    /// When `judge` has work next, if ever.
    pub fn next_deadline(&self) -> Option<Steady> {
        self.deadlines.next()
    }

    /// Accepts no more requests. Once nothing is unfinished, closes every session with `Stopping`.
    pub fn stop(&mut self, now: Moment) {
        self.is_stopping = true;
        // Writes the positions that devices have acknowledged since the last tick to the log.
        self.handle(now, Input::Ticked);
        self.settle(now);
    }

    /// After `stop`: closes every session with `Stopping` now, without waiting for outstanding replies.
    pub fn close_sessions(&mut self, now: Moment) {
        self.send_close(now);
        self.settle(now);
    }

    /// After `stop`: whether no request between shards is unanswered, nothing waits for the log, and every link has
    /// ended.
    pub fn is_settled(&self) -> bool {
        self.is_stopping && self.shard.is_settled() && self.links.iter().all(|(_, link)| link.is_ended())
    }

    /// Takes the actions to carry out, in order; the empty list `spare` replaces them.
    pub fn take_actions(&mut self, spare: Vec<Action>) -> Vec<Action> {
        assert!(spare.is_empty(), "actions are carried out before others are taken");
        std::mem::replace(&mut self.actions, spare)
    }

    /// Whether to read the link's socket: not while the link is not served and already holds `BUFFERED_BYTES_MAX`.
    pub fn wants_read(&self, key: LinkKey) -> bool {
        let link = &self.links[key];
        match link.stage {
            LinkStage::Ended => false,
            _ if link.is_served() && !self.is_stopping => true,
            _ => link.connection.buffered_bytes() < BUFFERED_BYTES_MAX,
        }
    }

    /// Whether the link's token has been verified.
    pub fn is_authenticated(&self, key: LinkKey) -> bool {
        self.links[key].connection.user().is_some()
    }

    /// The number of bytes that `drain_outbox` would return.
    pub fn outbox_bytes(&self, key: LinkKey) -> usize {
        self.links[key].ready_bytes()
    }

    /// Bytes for the link that the kernel has not taken, including those in flight.
    pub fn queued_bytes(&self, key: LinkKey) -> usize {
        self.links[key].queued_bytes()
    }

    /// Takes the bytes to write from the link's outbox; the empty buffer `spare` replaces it.
    pub fn drain_outbox(&mut self, key: LinkKey, spare: Vec<u8>) -> Vec<u8> {
        let bytes = if self.links[key].layer.is_some() {
            self.drain_records(key, spare)
        } else {
            self.links[key].connection.drain_outbox(spare)
        };
        let link = &mut self.links[key];
        link.in_flight_bytes += bytes.len();
        link.is_dirty = false;
        bytes
    }

    /// `bytes` of those that `drain_outbox` returned have been written.
    pub fn wrote(&mut self, now: Moment, key: LinkKey, bytes: usize) {
        let resumed_below = self.queued_bytes_max / 2;
        let link = &mut self.links[key];
        link.in_flight_bytes = link.in_flight_bytes.checked_sub(bytes).expect("only what was taken is written");
        if link.queued_bytes() < resumed_below {
            if link.withheld.is_some() {
                self.send_withheld_presence(now, key);
            }
            let link = &mut self.links[key];
            if link.is_congested && link.connection.promised_bytes() < resumed_below {
                link.is_congested = false;
                self.serve_again(key);
            }
        }
        self.send_drained(now, key);
        self.settle(now);
    }

    /// The link's socket has taken no bytes for too long.
    pub fn stalled(&mut self, now: Moment, key: LinkKey) {
        match self.links[key].stage {
            LinkStage::Entering | LinkStage::Open => self.close(now, key, Closing::TooSlow),
            LinkStage::Departing(_) => self.actions.push(Action::Abandon(key)),
            // The peer has some time to read the reason of the end.
            LinkStage::Ended => {}
        }
        self.settle(now);
    }

    /// Removes a departing link, with everything that it has received.
    ///
    /// # Panics
    ///
    /// The link does not depart.
    pub fn detach(&mut self, key: LinkKey) -> MigratingConnection {
        let link = self.links.remove(key);
        let LinkStage::Departing(arrival) = link.stage else { panic!("only a departing link is detached") };
        self.traffic.handed_over += 1;
        MigratingConnection { connection: link.connection, layer: link.layer, client: link.client, arrival }
    }

    /// Removes a link whose socket is closed.
    ///
    /// # Panics
    ///
    /// The link has not ended.
    pub fn release(&mut self, key: LinkKey) {
        let link = self.links.remove(key);
        assert!(link.is_ended(), "a link ends before it is released");
    }

    /// The range of the log to sync, if an effect waits for it.
    pub fn seal(&mut self) -> Option<Batch> {
        self.shard.seal()
    }

    /// The end of a run: makes the whole log durable through `sync`, and appends a mark of that.
    ///
    /// # Errors
    ///
    /// Those of `sync`.
    pub fn close_log<E>(&mut self, sync: impl FnOnce(&mut S, Batch) -> Result<(), E>) -> Result<(), E> {
        self.shard.close_log(sync)
    }

    /// The shard.
    pub fn shard(&self) -> &Shard<S> {
        &self.shard
    }

    /// The shard's storage, for its owner, who allocates and syncs.
    pub fn storage_mut(&mut self) -> &mut S {
        self.shard.storage_mut()
    }

    /// The number of links.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Passes the link's requests to the shard while the link is served.
    pub(super) fn pump(&mut self, now: Moment, key: LinkKey, mut chunk: ReceivedBytes<'_>) {
        let mut is_looked_after = false;
        while !self.is_stopping {
            let link = &mut self.links[key];
            if !link.is_served() || link.connection.has_nothing_of(&chunk) {
                break;
            }
            is_looked_after = false;
            match link.connection.next(&mut chunk, now, &self.common.context, &mut self.decoding) {
                None => break,
                Some(Incoming::Authenticate(credentials)) => self.authenticate(now, key, credentials),
                Some(Incoming::Reauthenticate { tag, token }) => self.reauthenticate(now, key, tag, &token),
                Some(Incoming::Request { tag, command }) => {
                    let session = link.session;
                    if self.traced.is_some() {
                        self.trace_request(now, key, &command);
                    }
                    self.requested(now, session, tag, command);
                }
            }
            self.after(now, key);
            is_looked_after = true;
        }
        let link = &mut self.links[key];
        if !link.is_ended() {
            link.connection.buffer(chunk);
        }
        if !is_looked_after {
            self.after(now, key);
        }
    }

    fn look_at(&mut self, now: Moment, due: Due) {
        let Some((key, _)) = self.links.find(due.session) else { return };
        let link = &mut self.links[key];
        link.scheduled = Steady::NEVER;
        if !link.is_ended() {
            link.connection.expire(now, &self.common.context);
        } else if link.connection.deadline(now) <= now.steady {
            return self.actions.push(Action::Abandon(key));
        }
        self.after(now, key);
    }

    /// Completes an input: serves links again, and closes the sessions of a stopping server.
    pub(super) fn settle(&mut self, now: Moment) {
        self.perform(now);
        while let Some(key) = self.resumed.pop_front() {
            if self.links.contains(key) {
                self.pump(now, key, ReceivedBytes::new(&mut []));
            }
        }
        if self.is_stopping && self.shard.is_settled() {
            self.send_close(now);
        }
    }

    fn send_close(&mut self, now: Moment) {
        let open: Vec<LinkKey> = self.links.iter().filter(|(_, link)| !link.is_ended()).map(|(key, _)| key).collect();
        open.into_iter().for_each(|key| self.close(now, key, Closing::Stopping));
    }
}
