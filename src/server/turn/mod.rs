//! One turn of a core, without the core: connections and shard together, sans-IO. The reactor drives it with sockets
//! and lanes, the simulator with neither.
//!
//! Owned by one reactor. Invariants: a link's requests reach the shard in order and never while it is paused; a
//! session's effects reach its link in order; a link is forgotten only by `release` or `detach`.

pub(super) mod admission;
pub(super) mod deadlines;
pub(super) mod effects;
pub(super) mod link;
pub(super) mod withheld;

use crate::log::{Batch, Storage};
use crate::model::{Answer, Closing, Moment, Order, Position, Refusal, RefusalCounts, SessionId, ShardId, Steady};
use crate::server::auth::keyring::Keyring;
use crate::server::turn::deadlines::{Deadlines, Due};
use crate::server::turn::link::{LinkStage, Links};
use crate::shard::{Effect, Fetch, Fetched, Input, Placement, Shard, ShardMessage, Ticket};
use crate::wire::{Connection, Context, Incoming, ReceivedBytes, Scratch, SharedFrames, TokenFault};
use std::collections::VecDeque;
use std::sync::Arc;

pub use crate::server::turn::link::{Authenticated, LinkKey, MigratingConnection};

/// A link that is not being served is read on only until it holds this much.
const STOWED_BYTES_MAX: usize = 16 << 10;

/// What the driver is to do after feeding a turn.
#[derive(Debug)]
pub enum Action {
    /// The link has bytes to write (`drain_outbox`), if no write of it is in flight.
    Write(LinkKey),
    /// The link is being served again: read on, if its reading was stopped.
    Read(LinkKey),
    /// The link belongs to another core: stop reading and writing it, wait for what is in flight, then `detach`.
    Depart(LinkKey, ShardId),
    /// The link has ended: write what is queued, then close the socket and `release`.
    End(LinkKey),
    /// The peer of a link that has ended, or departs, does not read: give its socket up, and `release` one that has ended.
    Abandon(LinkKey),
    Forward(ShardId, ShardMessage),
    /// To the control thread.
    Answer(Ticket, Answer),
    /// Read it off the core, then `fetched`.
    Fetch(Box<Fetch>),
    /// Then `inbox_epoch_renewed`.
    RenewInboxEpoch,
}

/// What every turn of a server shares.
#[derive(Clone)]
pub struct Common {
    pub me: ShardId,
    pub placement: Placement,
    pub context: Arc<Context>,
    pub keyring: Keyring,
}

/// How connections came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Accepted here, whoever they turned out to be.
    pub accepted: u64,
    /// Accepted here and handed over to another core.
    pub handed_over: u64,
    /// Sessions opened here.
    pub opened: u64,
    pub refused: RefusalCounts,
    pub logins_refused: RefusalCounts,
    /// By `Closing`, in the order of `Closing::ALL`.
    pub ended: [u64; Closing::ALL.len()],
    /// Tokens refused, of new sessions and of open ones, in the order of `TokenFault::ALL`.
    pub refused_tokens: [u64; TokenFault::ALL.len()],
}

pub struct Turn<S> {
    pub(super) shard: Shard<S>,
    pub(super) common: Common,
    pub(super) salt: Box<dyn FnMut() -> [u8; 16]>,
    pub(super) links: Links,
    pub(super) deadlines: Deadlines,
    pub(super) effects: Vec<Effect>,
    pub(super) actions: Vec<Action>,
    /// Links that are served again and may have stowed requests.
    pub(super) resumed: VecDeque<LinkKey>,
    /// Sessions that this turn's effects had entries for which their outboxes had no room for.
    pub(super) congested: Vec<SessionId>,
    pub(super) frames: SharedFrames,
    decoding: Scratch,
    is_stopping: bool,
    pub(super) traffic: Traffic,
}

impl<S: Storage> Turn<S> {
    /// `salt` yields 16 random letters for each welcome.
    pub fn new(shard: Shard<S>, common: Common, salt: impl FnMut() -> [u8; 16] + 'static) -> Self {
        Self {
            shard,
            common,
            salt: Box::new(salt),
            links: Links::default(),
            deadlines: Deadlines::default(),
            effects: Vec::new(),
            actions: Vec::new(),
            resumed: VecDeque::new(),
            congested: Vec::new(),
            frames: SharedFrames::default(),
            decoding: Scratch::default(),
            is_stopping: false,
            traffic: Traffic::default(),
        }
    }

    /// Sends the first parcels. Once, when all lanes are connected.
    pub fn start(&mut self, now: Moment) {
        self.shard.start(&mut self.effects);
        self.perform(now);
    }

    /// Connections may come, once this holds for every shard.
    pub fn is_ready(&self) -> bool {
        self.shard.is_ready()
    }

    /// What the connections to come are told.
    pub fn set_inbox_epoch(&mut self, epoch: u64) {
        if self.common.context.inbox_epoch != epoch {
            Arc::make_mut(&mut self.common.context).inbox_epoch = epoch;
        }
    }

    /// A new connection, accepted here.
    pub fn accept(&mut self, now: Moment) -> LinkKey {
        self.traffic.accepted += 1;
        let connection = Connection::new(now, &self.common.context);
        let key = self.links.insert(connection);
        self.after(now, key);
        key
    }

    /// A new connection for which there is no room. It is told so.
    pub fn turn_away(&mut self, now: Moment) -> LinkKey {
        let key = self.links.insert(Connection::new(now, &self.common.context));
        self.crowd_out(now, key);
        key
    }

    /// Ends a connection in favour of another.
    pub fn crowd_out(&mut self, now: Moment, key: LinkKey) {
        self.close(now, key, Closing::Crowded);
        self.settle(now);
    }

    /// A connection accepted elsewhere whose user is ours, and for which there is no room.
    pub fn turn_away_migrant(&mut self, now: Moment, migrant: MigratingConnection) -> LinkKey {
        let key = self.links.insert(migrant.connection);
        let link = &mut self.links[key];
        self.traffic.logins_refused.count(Refusal::Busy);
        link.connection.turn_away(&migrant.arrival.tag, Refusal::Busy.into(), now, &self.common.context);
        self.after(now, key);
        self.settle(now);
        key
    }

    /// A connection accepted elsewhere whose user is ours.
    pub fn adopt(&mut self, now: Moment, migrant: MigratingConnection) -> LinkKey {
        let key = self.links.insert(migrant.connection);
        self.open(now, key, migrant.arrival);
        self.pump(now, key, ReceivedBytes::new(&mut []));
        self.settle(now);
        key
    }

    /// Bytes from the link's socket. They are changed in place.
    pub fn received(&mut self, now: Moment, key: LinkKey, bytes: &mut [u8]) {
        self.pump(now, key, ReceivedBytes::new(bytes));
        self.settle(now);
    }

    /// The peer is gone, or its socket failed.
    pub fn hung_up(&mut self, now: Moment, key: LinkKey) {
        self.links[key].connection.close(Closing::Gone, now, &self.common.context);
        self.after(now, key);
        self.settle(now);
    }

    pub fn arrived(&mut self, now: Moment, from: ShardId, parcel: ShardMessage) {
        self.handle(now, Input::Arrived { from, parcel });
        self.settle(now);
    }

    pub fn synced(&mut self, now: Moment, end: Position) {
        self.handle(now, Input::Synced { end });
        self.settle(now);
    }

    /// Whether `continue_background` has something to do.
    pub fn has_more(&self) -> bool {
        self.shard.has_more()
    }

    /// A turn's share of what one input began and no turn is to be held up by.
    pub fn continue_background(&mut self, now: Moment) {
        self.handle(now, Input::Continued);
        self.settle(now);
    }

    /// What an `Action::Fetch` asked for.
    pub fn fetched(&mut self, now: Moment, fetched: Fetched) {
        self.handle(now, Input::Fetched(Box::new(fetched)));
        self.settle(now);
    }

    /// From the control thread; answered by an `Action::Answer`.
    pub fn ordered(&mut self, now: Moment, ticket: Ticket, order: Order) {
        self.handle(now, Input::Ordered { ticket, order });
        self.settle(now);
    }

    /// What `Action::RenewInboxEpoch` asked for is done, durably.
    pub fn inbox_epoch_renewed(&mut self, now: Moment) {
        self.handle(now, Input::InboxEpochRenewed);
        self.settle(now);
    }

    /// A checkpoint behind segment `through` is on stable storage.
    pub fn checkpointed(&mut self, now: Moment, through: u32) {
        self.handle(now, Input::Checkpointed { through });
        self.settle(now);
    }

    /// What is in the log counts as acknowledged, synced or not; returns whether anybody waited for that.
    pub fn ack_without_sync(&mut self, now: Moment) -> bool {
        let was_awaited = self.shard.awaits_log();
        if was_awaited {
            self.handle(now, Input::Waived);
            self.settle(now);
        }
        was_awaited
    }

    /// The shard's chores. At least once a second.
    pub fn tick(&mut self, now: Moment) {
        self.handle(now, Input::Ticked);
        self.settle(now);
    }

    /// Looks at the links whose deadlines have passed, if any have. At `next_deadline`, after the sockets were read.
    pub fn judge(&mut self, now: Moment) {
        if self.next_deadline().is_none_or(|deadline| deadline > now.steady) {
            return;
        }
        while let Some(due) = self.deadlines.pop_due(now.steady) {
            self.look_at(now, due);
        }
        self.settle(now);
    }

    /// When `judge` has links to look at, if it has.
    pub fn next_deadline(&self) -> Option<Steady> {
        self.deadlines.next()
    }

    /// Takes no more requests; once nothing is owed, closes every session with `Stopping`.
    pub fn stop(&mut self, now: Moment) {
        self.is_stopping = true;
        // What devices have acknowledged since the last tick is to be in the log.
        self.handle(now, Input::Ticked);
        self.settle(now);
    }

    /// After `stop`: closes every session with `Stopping` now, whatever is owed. What they wait for they do not hear.
    pub fn close_sessions(&mut self, now: Moment) {
        self.send_close(now);
        self.settle(now);
    }

    /// After `stop`: nothing is owed to another shard or waits for the log, and every link has ended.
    pub fn is_settled(&self) -> bool {
        self.is_stopping && self.shard.is_settled() && self.links.iter().all(|(_, link)| link.is_ended())
    }

    /// What there is to do, in order.
    pub fn actions(&mut self) -> std::vec::Drain<'_, Action> {
        self.actions.drain(..)
    }

    /// Whether the link's socket is to be read on: not while it is not served and holds more than it should.
    pub fn wants_read(&self, key: LinkKey) -> bool {
        let link = &self.links[key];
        match link.stage {
            LinkStage::Ended => false,
            _ if link.is_served() && !self.is_stopping => true,
            _ => link.connection.stowed_bytes() < STOWED_BYTES_MAX,
        }
    }

    /// The link's user is known and its token good.
    pub fn is_authenticated(&self, key: LinkKey) -> bool {
        self.links[key].connection.user().is_some()
    }

    pub fn outbox_bytes(&self, key: LinkKey) -> usize {
        self.links[key].connection.outbox_bytes()
    }

    /// Bytes for the link that its socket has not taken yet.
    pub fn queued_bytes(&self, key: LinkKey) -> usize {
        self.links[key].queued_bytes()
    }

    /// The link's bytes to write; `spare` (empty) takes their place.
    pub fn drain_outbox(&mut self, key: LinkKey, spare: Vec<u8>) -> Vec<u8> {
        let link = &mut self.links[key];
        let bytes = link.connection.drain_outbox(spare);
        link.in_flight_bytes += bytes.len();
        link.is_dirty = false;
        bytes
    }

    /// So many bytes taken from the link's outbox have been written.
    pub fn wrote(&mut self, now: Moment, key: LinkKey, bytes: usize) {
        let outbox_bytes_max = self.shard.limits().outbox_bytes_max;
        let link = &mut self.links[key];
        link.in_flight_bytes = link.in_flight_bytes.checked_sub(bytes).expect("only what was taken is written");
        if link.queued_bytes() < outbox_bytes_max / 4 {
            if link.withheld.is_some() {
                self.send_withheld_presence(now, key);
            }
            let link = &mut self.links[key];
            if link.is_congested && link.connection.promised_bytes() < outbox_bytes_max / 4 {
                link.is_congested = false;
                self.serve_again(key);
            }
        }
        self.send_drained(now, key);
        self.settle(now);
    }

    /// The link's socket has taken nothing of what is written to it for too long.
    pub fn stalled(&mut self, now: Moment, key: LinkKey) {
        match self.links[key].stage {
            LinkStage::Entering | LinkStage::Open => self.close(now, key, Closing::TooSlow),
            LinkStage::Departing(_) => self.actions.push(Action::Abandon(key)),
            // It has some time to read its goodbye.
            LinkStage::Ended => {}
        }
        self.settle(now);
    }

    /// Takes a departing link out, with all it has received.
    pub fn detach(&mut self, key: LinkKey) -> MigratingConnection {
        let link = self.links.remove(key);
        let LinkStage::Departing(arrival) = link.stage else { panic!("only a departing link is detached") };
        self.traffic.handed_over += 1;
        MigratingConnection { connection: link.connection, arrival }
    }

    /// Forgets a link whose socket is closed.
    pub fn release(&mut self, key: LinkKey) {
        let link = self.links.remove(key);
        assert!(link.is_ended(), "a link ends before it is released");
    }

    /// What to sync, if somebody waits for it.
    pub fn seal(&mut self) -> Option<Batch> {
        self.shard.seal()
    }

    /// The end of a run: `sync` makes durable what may not be, and the log says so.
    pub fn close_log<E>(&mut self, sync: impl FnOnce(&mut S, Batch) -> Result<(), E>) -> Result<(), E> {
        self.shard.close_log(sync)
    }

    pub fn shard(&self) -> &Shard<S> {
        &self.shard
    }

    pub fn storage_mut(&mut self) -> &mut S {
        self.shard.storage_mut()
    }

    pub fn traffic(&self) -> Traffic {
        let mut traffic = self.traffic;
        traffic.refused.add(self.decoding.refusals());
        traffic
    }

    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Gives the shard what the link asks for, as long as it is served.
    fn pump(&mut self, now: Moment, key: LinkKey, mut chunk: ReceivedBytes<'_>) {
        while !self.is_stopping {
            let link = &mut self.links[key];
            if !link.is_served() {
                break;
            }
            match link.connection.next(&mut chunk, now, &self.common.context, &mut self.decoding) {
                None => break,
                Some(Incoming::Authenticate(credentials)) => self.authenticate(now, key, credentials),
                Some(Incoming::Reauthenticate { tag, token }) => self.reauthenticate(now, key, tag, &token),
                Some(Incoming::Request { tag, command }) => {
                    let session = link.session;
                    self.handle(now, Input::Requested { session, tag, command });
                }
            }
            self.after(now, key);
        }
        let link = &mut self.links[key];
        if !link.is_ended() {
            link.connection.buffer(chunk);
        }
        self.after(now, key);
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

    /// Ends what one input began: links served again, sessions to be told goodbye.
    fn settle(&mut self, now: Moment) {
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
        for key in open {
            self.close(now, key, Closing::Stopping);
        }
    }
}
