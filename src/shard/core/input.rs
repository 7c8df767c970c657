//! What a shard is told.

use crate::model::{Command, DeviceKey, Order, Position, RequestTag, Seq, SessionId, ShardId, Sizing, UserId};
use crate::shard::core::effect::Ticket;
use crate::shard::live::sessions::CatchUp;
use crate::shard::peers::message::ShardMessage;
use crate::shard::query::fetch::Fetched;

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
