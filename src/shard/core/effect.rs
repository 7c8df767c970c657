//! What a shard wants done.

use crate::model::{Answer, Closing, Event, Reply, RequestTag, SessionId, ShardId, UserId};
use crate::shard::peers::message::ShardMessage;
use crate::shard::query::fetch::Fetch;
use smallvec::SmallVec;

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
