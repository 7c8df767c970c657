//! What a session tells its driver to do, and what it tells the application.

use crate::model::{Answer, Entry, Message, Outgoing, PresenceState, Refused, Sent, Typing};
use crate::wire::dialect::Frame;
use serde::{Deserialize, Serialize};

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not started.
    Idle,
    /// Waits for the next attempt.
    Waiting,
    /// A socket is being opened.
    Connecting,
    /// Logs in.
    Login,
    /// Logged in, and the missing entries are being read.
    Resync,
    /// Nothing is missing, and messages are sent.
    Ready,
    /// Ended for good.
    Ended,
}

/// The phase and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where the session is.
    pub phase: Phase,
    /// The attempt to connect, from 1.
    pub attempt: u64,
    /// When the next attempt is due, on the driver's clock.
    pub retry_at_ms: Option<u64>,
    /// Why it waits or has ended.
    pub reason: Option<String>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Stored, or for unstored messages: pushed.
    Sent(Sent),
    /// Refused for good.
    Refused(Refused),
}

/// What an application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The next entry of the inbox. It is acknowledged when the application has finished with it.
    Entry(Entry),
    /// A message that is never stored.
    Transient(Message),
    /// The server has answered a message.
    Settled {
        /// The message's own id.
        client_id: String,
        /// What became of it.
        outcome: SendOutcome,
    },
    /// Somebody types.
    Typing(Typing),
    /// A watched user came or went.
    Presence(PresenceState),
    /// The seqs of before are void; entries come again from the first, those that this client has had left out.
    Epoch(u64),
    /// The store did not take what was to be kept: a restart will tell some entries again. The text says why.
    StoreFailed(String),
}

/// What a driver has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a socket. `opened`, `received` and `lost` name the attempt.
    Open {
        /// The attempt.
        attempt: u64,
        /// The server has refused the last token.
        is_token_stale: bool,
    },
    /// Write a frame to the socket of this attempt, or drop it if that is gone.
    Write {
        /// The attempt.
        attempt: u64,
        /// The frame.
        frame: Frame,
    },
    /// Close the socket of this attempt; nothing more is heard of it.
    Close {
        /// The attempt.
        attempt: u64,
    },
    /// The phase has changed.
    Status(Status),
    /// Tell the application.
    Event(Event),
    /// A request of the application's is answered.
    Answered {
        /// What `request` returned.
        id: u64,
        /// The answer.
        answer: Result<Answer, Refused>,
    },
    /// What `save` returns has changed.
    Changed,
}

/// What a store keeps between sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The epoch in which `through` is valid; 0: none yet.
    pub epoch: u64,
    /// The seq up to which the application has finished with the inbox; absent: nothing has been read yet.
    pub through: Option<u64>,
    /// The messages that the server has not answered.
    pub outgoing: Vec<Outgoing>,
}

/// Times and bounds. Times are milliseconds.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// The bound of the first pause before a reconnect.
    pub retry_first_ms: u64,
    /// The bound of the last.
    pub retry_max_ms: u64,
    /// A connection that was ready for so long makes the pauses short again.
    pub stable_ms: u64,
    /// How long opening and logging in may take.
    pub open_ms: u64,
    /// How often an idle client is heard.
    pub heartbeat_ms: u64,
    /// With an answer outstanding, a silence of this length is tested by a heartbeat.
    pub probe_ms: u64,
    /// How long a heartbeat may go without an answer.
    pub dead_ms: u64,
    /// Finished entries are acknowledged together.
    pub ack_ms: u64,
    /// How long an entry may be missing before it is asked for.
    pub gap_ms: u64,
    /// How long a request may take, reconnects included.
    pub request_ms: u64,
    /// Entries of a page.
    pub page_entries: u32,
    /// Entries that the application has not finished with; beyond it they stay at the server.
    pub entries_max: usize,
    /// Messages that the server has not answered, on this connection. With 1 their order holds even where it refuses one
    /// for a while.
    pub sends_max: usize,
    /// Messages that wait in the outbox; more are refused.
    pub outbox_max: usize,
    /// Requests that wait for their answers; more are refused.
    pub requests_max: usize,
    /// Refused tokens in a row, after which the session ends.
    pub token_failures_max: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            retry_first_ms: 500,
            retry_max_ms: 30_000,
            stable_ms: 5_000,
            open_ms: 15_000,
            heartbeat_ms: 30_000,
            probe_ms: 5_000,
            dead_ms: 10_000,
            ack_ms: 100,
            gap_ms: 50,
            request_ms: 30_000,
            page_entries: 200,
            entries_max: 2_000,
            sends_max: 32,
            outbox_max: 10_000,
            requests_max: 1_000,
            token_failures_max: 2,
        }
    }
}
