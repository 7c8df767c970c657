//! A client of the mushan server: it connects, comes back after cuts, and gives an application every entry of its inbox
//! once and in order, whatever happens between the two.
//!
//! [`Client`] has a socket and a task of tokio's. [`Session`] is the machine underneath, a value without socket, timer,
//! clock and chance: inputs go in, outputs come out. Both speak both protocols of the server, each by its [`Dialect`].
//!
//! Invariants: an entry is told once and in the order of the inbox, and is acknowledged after the application has
//! finished with it; a message has one id, under which it is written until the server has answered.

#![warn(missing_docs)]

mod client;
mod machine;
mod model;
mod options;
mod store;
mod streams;
mod wire;

pub use client::{Client, Events};
pub use machine::output::{Event, Output, Phase, Saved, SendOutcome, Status, Tuning};
pub use machine::session::{Begin, Session, SessionOptions};
pub use model::{
    Answer, ClearExtent, Cleared, ConversationRow, Entry, EntryBody, GroupChange, GroupInfo, GroupMember, HistoryPage,
    JoinAnswer, JoinRequest, Message, Outgoing, PageStart, PresenceAction, PresenceState, Profile, Receipt,
    RefusalKind, Refused, Request, Revoked, Sent, StreamChunk, Target, Typing, TypingState,
};
pub use options::{ClientOptions, Protocol, TokenFuture, TokenSource, TokenWish};
pub use store::{FileStore, Store};
pub use streams::{StreamReader, StreamText, StreamWriter};
pub use wire::dialect::{AnswerShape, Dialect, Frame, Heard};
pub use wire::proto;
pub use wire::text::{text_content, text_of};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;
