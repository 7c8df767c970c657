//! One turn of a core, without the core: connections and shard together, sans-IO. The reactor drives it with sockets
//! and lanes, the simulator with neither.
//!
//! Owned by one reactor. Invariants: a link's requests reach the shard in order and never while it is paused; a
//! session's effects reach its link in order; a link is forgotten only by `release` or `detach`.

use crate::log::{Batch, Storage};
use crate::model::{DeviceKey, Millis, Position, RequestTag, ShardId, UserId};
use crate::shard::{Parcel, Shard};
use crate::wire::{Connection, Context, token::Verifier};
use std::sync::Arc;

/// A connection's place on this core. Reused after `release` or `detach`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey(pub u32);

/// A connection on its way to the core that owns its user: authenticated, half-received frame included.
pub struct Migrant {
    pub connection: Connection,
    pub user: UserId,
    pub device: DeviceKey,
    pub tag: RequestTag,
}

/// What the driver is to do after feeding a turn.
#[derive(Debug)]
pub enum Action {
    /// The link has bytes to write (`take_outbox`), if no write of it is in flight.
    Write(LinkKey),
    /// The link is being read again, if its reading was stopped.
    Read(LinkKey),
    /// The link belongs to another core: stop reading and writing it, wait for what is in flight, then `detach`.
    Depart(LinkKey, ShardId),
    /// The link has ended: write what is queued, bounded by its deadline, then close the socket and `release`.
    End(LinkKey),
    Forward(ShardId, Parcel),
}

pub struct Turn<S> {
    shard: Shard<S>,
}

impl<S: Storage> Turn<S> {
    /// `salt` yields 16 random letters for each welcome.
    pub fn new(
        _shard: Shard<S>,
        _context: Arc<Context>,
        _verifier: Arc<Verifier>,
        _salt: impl FnMut() -> [u8; 16] + 'static,
    ) -> Self {
        todo!()
    }

    /// Sends the first parcels. Once, when all lanes are connected.
    pub fn start(&mut self) {
        todo!()
    }

    /// Connections may come.
    pub fn is_ready(&self) -> bool {
        todo!()
    }

    /// A new connection, accepted here.
    pub fn accept(&mut self, _now: Millis) -> LinkKey {
        todo!()
    }

    /// A connection accepted elsewhere whose user is ours.
    pub fn adopt(&mut self, _now: Millis, _migrant: Migrant) -> LinkKey {
        todo!()
    }

    /// Bytes from the link's socket. They are changed in place.
    pub fn received(&mut self, _now: Millis, _key: LinkKey, _bytes: &mut [u8]) {
        todo!()
    }

    /// The peer is gone, or its socket failed.
    pub fn hung_up(&mut self, _now: Millis, _key: LinkKey) {
        todo!()
    }

    pub fn arrived(&mut self, _now: Millis, _from: ShardId, _parcel: Parcel) {
        todo!()
    }

    pub fn synced(&mut self, _now: Millis, _end: Position) {
        todo!()
    }

    /// Deadlines and the shard's own chores; about ten times a second.
    pub fn tick(&mut self, _now: Millis) {
        todo!()
    }

    /// Closes every session with `Stopping`, and takes no more requests.
    pub fn stop(&mut self, _now: Millis) {
        todo!()
    }

    /// After `stop`: nothing is owed to another shard or waits for the log.
    pub fn is_settled(&self) -> bool {
        todo!()
    }

    /// What there is to do, in order.
    pub fn actions(&mut self) -> std::vec::Drain<'_, Action> {
        todo!()
    }

    /// Whether the link's socket is to be read on: not while it is paused and holds more than it should.
    pub fn wants_read(&self, _key: LinkKey) -> bool {
        todo!()
    }

    pub fn outbox_bytes(&self, _key: LinkKey) -> usize {
        todo!()
    }

    /// The link's bytes to write; `spare` (empty) takes their place.
    pub fn take_outbox(&mut self, _key: LinkKey, _spare: Vec<u8>) -> Vec<u8> {
        todo!()
    }

    /// So many bytes taken from the link's outbox have been written.
    pub fn wrote(&mut self, _now: Millis, _key: LinkKey, _bytes: usize) {
        todo!()
    }

    /// Takes a departing link out, with all it has received.
    pub fn detach(&mut self, _key: LinkKey) -> Migrant {
        todo!()
    }

    /// Forgets a link whose socket is closed.
    pub fn release(&mut self, _key: LinkKey) {
        todo!()
    }

    /// What to sync, if somebody waits for it.
    pub fn seal(&mut self) -> Option<Batch> {
        self.shard.seal()
    }

    pub fn shard(&self) -> &Shard<S> {
        &self.shard
    }

    pub fn storage_mut(&mut self) -> &mut S {
        self.shard.storage_mut()
    }
}
