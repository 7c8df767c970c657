//! The inputs of a shard: a closed enum of everything that can happen to it.

use crate::model::{
    Command, DeviceKey, HookVerdict, Order, Position, RequestTag, Seq, SessionId, ShardId, Sizing, UserId,
};
use crate::shard::live::sessions::CatchUp;
use crate::shard::peers::message::ShardMessage;
use crate::shard::peers::ticket::Ticket;
use crate::shard::query::fetch::Fetched;
use crate::shard::work::hook_lines::HookTicket;

/// Something that happens to a shard.
#[derive(Debug)]
pub enum Input {
    /// A user of this shard has authenticated on a connection. Answered with `Reply::Welcome`, or with a refusal.
    Opened {
        /// The session's id, never used before.
        session: SessionId,
        /// The tag of the login, for the reply.
        tag: RequestTag,
        /// The user.
        user: UserId,
        /// The device.
        device: DeviceKey,
        /// How the session obtains missed entries.
        catch_up: CatchUp,
        /// The size class of the session's protocol.
        sizing: Sizing,
    },
    /// A request of a session. Not while the session is paused.
    Requested {
        /// The session.
        session: SessionId,
        /// The tag for the reply.
        tag: RequestTag,
        /// The request.
        command: Command,
    },
    /// A session has ended.
    Closed {
        /// The session.
        session: SessionId,
    },
    /// The session's outbox was full, and pushes of its entries from `first` on were dropped.
    Congested {
        /// The session.
        session: SessionId,
        /// The first dropped entry.
        first: Seq,
        /// Entries after `first` that the session itself sent, in order: their replies were queued, so they need no
        /// push.
        own: Vec<Seq>,
    },
    /// The outbox is as empty as `Effect::TellWhenDrained` asked.
    Drained {
        /// The session.
        session: SessionId,
    },
    /// A message from another shard.
    Arrived {
        /// The other shard.
        from: ShardId,
        /// The message.
        shard_message: ShardMessage,
    },
    /// The log is on stable storage up to `end`.
    Synced {
        /// The end of the synced batch.
        end: Position,
    },
    /// Everything in the log counts as acknowledged, synced or not (policies `interval` and `none`).
    Waived,
    /// Time has passed. At least once a second.
    Ticked,
    /// Do a bounded part of the work that earlier inputs began. Once in each turn in which `Shard::has_more` holds.
    Continued,
    /// The result of an `ExternalEffect::Fetch`.
    Fetched(Box<Fetched>),
    /// The answer to an `ExternalEffect::AskHook`. Each question has exactly one, and not too late an answer: it holds up the
    /// author.
    HookAnswered {
        /// The mark of the question.
        ticket: HookTicket,
        /// What becomes of the message.
        verdict: HookVerdict,
    },
    /// An operator's order. Answered once, by an `ExternalEffect::Answer` with this ticket.
    Ordered {
        /// The mark for the answer.
        ticket: Ticket,
        /// The order.
        order: Order,
    },
    /// A checkpoint at the end of a segment is on stable storage.
    Checkpointed {
        /// The segment's number.
        through: u32,
    },
    /// The new inbox epoch of an `ExternalEffect::RenewInboxEpoch` is durable.
    InboxEpochRenewed,
}
