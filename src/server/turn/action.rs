//! The actions of a turn: what it wants its driver to do.

use crate::model::ShardId;
use crate::server::turn::link::LinkKey;
use crate::shard::ExternalEffect;

/// What the driver must do after it has fed a turn.
///
/// A shard's effects that concern sessions end in the turn, which knows their links, and leave it as what the links
/// need; a shard's other effects leave it as they are.
#[derive(Debug)]
pub enum Action {
    /// The link has bytes to write: take them with `drain_outbox`, unless a write of it is in flight.
    Write(LinkKey),
    /// The link is served again: resume reading, if it was stopped.
    Read(LinkKey),
    /// The link's user belongs to another core: stop reading and writing, wait for what is in flight, then `detach` it
    /// and send it there.
    Depart(LinkKey, ShardId),
    /// The link has ended: write what is queued, close the socket, then `release` it.
    End(LinkKey),
    /// The peer of a link that has ended or departs does not read: close its socket, and `release` the link if it has
    /// ended.
    Abandon(LinkKey),
    /// Carry out an effect of the shard. What it asks for comes back by the turn's function of that name: `fetched`,
    /// `hook_answered` (within a bounded time in any case), `inbox_epoch_renewed`.
    External(ExternalEffect),
}
