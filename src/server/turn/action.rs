//! The actions of a turn: what it wants its driver to do.

use crate::model::{Answer, ShardId};
use crate::server::turn::link::LinkKey;
use crate::shard::{Fetch, HookQuestion, ShardMessage, Ticket};

/// What the driver must do after it has fed a turn.
///
/// `Forward`, `Answer`, `Fetch` and `RenewInboxEpoch` pass on a shard's effects of these names. They are variants of
/// both enums, because the others are not: a shard knows no links, and a driver sees neither replies nor events. The
/// order of actions, in which links take part, is not that of the effects, so an effect is moved in either case.
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
    /// Send a message to another shard.
    Forward(ShardId, ShardMessage),
    /// Send an answer to the control thread.
    Answer(Ticket, Answer),
    /// Read off the core, then call `fetched`.
    Fetch(Box<Fetch>),
    /// Ask the operator's hook, then call `hook_answered`, within a bounded time in any case.
    AskHook(Box<HookQuestion>),
    /// Make another inbox epoch durable, then call `inbox_epoch_renewed`.
    RenewInboxEpoch,
}
