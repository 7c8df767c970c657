//! F2, the shard: one core's share of users and conversations, pure and deterministic.
//!
//! `Shard::handle` is the only way in and its effects the only way out; time, chance, disk and network are arguments.
//! Invariants: what depends on a record leaves only after `Synced` covers that record, in order; every queue is
//! bounded by a window or a limit; nothing that a client, a peer shard or a disk says is an assertion.

mod placement;

pub use placement::{Placement, SLOTS};

use crate::log::{Batch, Journal, OpenError, Opening, Storage};
use crate::model::{
    ClientMessageId, Closing, Command, Conversation, ConversationName, DeviceKey, Event, Limits, Message, Millis,
    Position, Refused, Reply, RequestTag, SessionId, ShardId, UserId,
};
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
    Arrived {
        from: ShardId,
        parcel: Parcel,
    },
    /// The log is durable up to here, as far as the durability policy goes.
    Synced {
        end: Position,
    },
    /// At least once a second.
    Ticked,
}

/// What a shard wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    Reply {
        session: SessionId,
        tag: RequestTag,
        reply: Reply,
    },
    /// The same event to sessions of one user.
    Push {
        user: UserId,
        sessions: SmallVec<[SessionId; 2]>,
        event: Event,
    },
    Forward {
        to: ShardId,
        parcel: Parcel,
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
}

/// What travels on a lane. Facts, one way; nobody waits for another core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// First of all after a start: "of your deliveries I have everything up to `through`".
    Hello { through: u64 },
    /// "What I owed you from before the start is ahead of this."
    Replayed,
    /// To a conversation's owner: take this message.
    Post(Box<Post>),
    /// The owner's no to a post.
    Declined { author: UserId, client_message_id: ClientMessageId, refused: Refused },
    /// From a conversation's owner: the `number`-th message that it owes the inboxes of the receiving shard.
    Deliver { number: u64, message: Arc<Message> },
    /// "Your deliveries up to `through` are durable here."
    Confirm { through: u64 },
    /// "I had no room; there is room again: send what is behind `through` once more."
    Again { through: u64 },
}

/// A send on its way to the owner of its conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub author: UserId,
    pub conversation: Conversation,
    pub send: crate::model::Send,
}

/// How many posts and deliveries may be on their way between two shards. Lanes are sized by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Posts to one shard that it has not answered.
    pub posts_max: usize,
    /// Deliveries to one shard that it has not confirmed.
    pub deliveries_max: usize,
}

impl Windows {
    /// Parcels that can be in one lane at once: posts one way and the answers to posts the other, deliveries and their
    /// repetition, confirmations (one for each delivery at the most), and the three of a start.
    pub fn lane_parcels_max(self) -> usize {
        2 * self.posts_max + 3 * self.deliveries_max + 4
    }
}

/// What one shard is told at its birth.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub me: ShardId,
    pub placement: Placement,
    pub limits: Limits,
    pub windows: Windows,
    /// For hash maps: user ids are chosen by strangers.
    pub seed: u64,
}

pub struct Shard<S> {
    journal: Journal<S>,
}

impl<S: Storage> Shard<S> {
    /// Opens the log and takes up what it says.
    pub fn open(_settings: Settings, _storage: S, _now: Millis) -> Result<(Self, Opening), OpenError> {
        todo!()
    }

    /// The first parcels to every other shard. Once, before any input.
    pub fn start(&mut self, _effects: &mut Vec<Effect>) {
        todo!()
    }

    /// Whether every shard has sent what it owed from before the start. No session is opened earlier: a retry must
    /// find the message that it repeats.
    pub fn is_ready(&self) -> bool {
        todo!()
    }

    pub fn handle(&mut self, _now: Millis, _input: Input, _effects: &mut Vec<Effect>) {
        todo!()
    }

    /// What to sync, if somebody waits for it.
    pub fn seal(&mut self) -> Option<Batch> {
        todo!()
    }

    /// Nothing is owed to anybody: no pending effect, no unanswered post, no unconfirmed delivery.
    pub fn is_settled(&self) -> bool {
        todo!()
    }

    pub fn journal(&self) -> &Journal<S> {
        &self.journal
    }

    /// For the storage's owner, who prepares spares and syncs.
    pub fn storage_mut(&mut self) -> &mut S {
        self.journal.storage_mut()
    }
}
