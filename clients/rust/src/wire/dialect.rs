//! One of the two protocols, as a session sees it.

use crate::model::{Answer, Entry, PresenceState, Refused, Request, Typing};
use bytes::Bytes;

/// One WebSocket message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A binary message.
    Binary(Bytes),
    /// A text message.
    Text(String),
}

/// What the answer to a request looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "as the variants of Answer")]
pub enum AnswerShape {
    Login,
    Sent,
    Page,
    History,
    Conversations,
    Presence,
    Group,
    JoinRequests,
    Profile,
    Done,
}

impl AnswerShape {
    /// The shape of the answer to `request`.
    pub fn of(request: &Request) -> Self {
        match request {
            Request::Login { .. } => Self::Login,
            Request::Send(_) => Self::Sent,
            Request::Sync { .. } | Request::SyncNewest => Self::Page,
            Request::History { .. } => Self::History,
            Request::Conversations { .. } => Self::Conversations,
            Request::Presence { .. } => Self::Presence,
            Request::GroupInfo { .. } => Self::Group,
            Request::GroupRequests { .. } => Self::JoinRequests,
            Request::Profile { .. } => Self::Profile,
            _ => Self::Done,
        }
    }
}

/// One thing that the server says. `tag` is the request's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Heard {
    Answer {
        tag: u32,
        answer: Answer,
    },
    Refused {
        tag: u32,
        refused: Refused,
    },
    Entry(Entry),
    Typing(Typing),
    Presence(PresenceState),
    /// The session ends; after a final one coming back is of no use.
    Farewell {
        is_final: bool,
        reason: String,
    },
    /// Nothing that this client knows.
    Noise,
}

/// A protocol. It has no state but names that it learned.
pub trait Dialect: Send {
    /// Where the server speaks it.
    fn path(&self) -> &'static str;

    /// The frame of a request, or `RefusalKind::Unsupported`.
    ///
    /// # Errors
    ///
    /// The protocol has no such request.
    fn encode(&mut self, request: &Request, tag: u32) -> Result<Frame, Refused>;

    /// What a frame says. `shape_of` gives the shape of the unanswered request with a tag.
    fn decode(&mut self, frame: &Frame, shape_of: &dyn Fn(u32) -> Option<AnswerShape>) -> Heard;
}
