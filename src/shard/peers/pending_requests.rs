//! Requests of this shard's users that their owner has not answered, and the sessions and orders that wait for the
//! answers.
//!
//! Bounded by the windows of requests.

use crate::model::{RequestTag, SessionId, ShardId, UserId};
use crate::shard::peers::chunk::ChunkUnderWay;
use crate::shard::peers::message::ConversationRequest;
use crate::shard::peers::ticket::Ticket;
use crate::shard::table::fingerprint::{Fingerprint, Fingerprints};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use smallvec::SmallVec;

/// The session or the order that waits for the answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Requester {
    Session {
        session: SessionId,
        tag: RequestTag,
    },
    Order {
        ticket: Ticket,
        /// The order repeats an earlier send.
        is_repeated: bool,
    },
    /// The server itself acts in a user's name: nobody waits for the answer.
    Nobody,
}

#[derive(Debug)]
pub(in crate::shard) struct PendingRequest {
    /// The shard that answers, and whose window the request uses.
    owner: ShardId,
    /// The fingerprint of the conversation.
    conversation_key: Fingerprint,
    /// The fingerprint of the content, if it is a send: a repetition has the same.
    pub content: Option<Fingerprint>,
    pub chunk: Option<Box<ChunkUnderWay>>,
    /// The bytes that it occupies in the window.
    pub bytes: usize,
    /// The first one sent it; the others repeated it before it was answered. At least one.
    pub waiters: SmallVec<[Requester; 1]>,
}

pub(in crate::shard) struct PendingRequests {
    by_key: HashMap<Fingerprint, PendingRequest, FixedState>,
    /// The number of requests so far that have a key of their own.
    requests: u64,
}

/// The most repetitions of one send that wait for its answer; further ones of sessions are dropped, as if the network
/// had lost them.
const WAITERS_MAX: usize = 16;

impl Requester {
    pub fn order(ticket: Ticket) -> Self {
        Self::Order { ticket, is_repeated: false }
    }

    /// The session, which needs no push of a message that it sent itself.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Session { session, .. } => Some(*session),
            Self::Order { .. } | Self::Nobody => None,
        }
    }

    /// The same requester, whose send is known to repeat another one.
    pub fn repeating(self) -> Self {
        match self {
            Self::Order { ticket, .. } => Self::Order { ticket, is_repeated: true },
            other => other,
        }
    }
}

impl PendingRequest {
    pub fn of(owner: ShardId, request: &ConversationRequest, waiter: Requester) -> Self {
        let (content, chunk, bytes) = (None, None, request.bytes());
        Self {
            owner,
            conversation_key: request.conversation_key,
            content,
            chunk,
            bytes,
            waiters: SmallVec::from_buf([waiter]),
        }
    }

    /// Adds a repetition that waits for the same answer; returns it if too many wait.
    pub fn wait(&mut self, waiter: Requester) -> Result<(), Requester> {
        if self.waiters.len() >= WAITERS_MAX {
            return Err(waiter);
        }
        self.waiters.push(waiter.repeating());
        Ok(())
    }

    /// The session that sent it first.
    pub fn origin(&self) -> Option<SessionId> {
        self.waiters[0].session()
    }
}

impl PendingRequests {
    pub fn new(seed: u64) -> Self {
        Self { by_key: HashMap::with_hasher(FixedState::with_seed(seed)), requests: 0 }
    }

    pub fn find_mut(&mut self, key: Fingerprint) -> Option<&mut PendingRequest> {
        self.by_key.get_mut(&key)
    }

    pub fn start(&mut self, key: Fingerprint, pending: PendingRequest) {
        let replaced = self.by_key.insert(key, pending);
        assert!(replaced.is_none(), "one pending request per client message id");
    }

    /// A key for a request that may be made twice: each time it is a pending request of its own. An answer from before
    /// a restart may have the key of a newer request; both report success.
    pub fn next_key(&mut self, fingerprints: Fingerprints, by: &UserId) -> Fingerprint {
        fingerprints.of_request(by, self.next_request())
    }

    /// A number that no other request has.
    pub fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// The pending request that an answer of `owner` completes. An answer from before a restart may have the key of a
    /// newer request of another shard or about another conversation.
    pub fn complete(&mut self, owner: ShardId, key: Fingerprint, about: Option<Fingerprint>) -> Option<PendingRequest> {
        let Entry::Occupied(found) = self.by_key.entry(key) else { return None };
        let pending = found.get();
        let is_answered = pending.owner == owner && about.is_none_or(|about| pending.conversation_key == about);
        is_answered.then(|| found.remove())
    }
}
