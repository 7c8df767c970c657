//! F1, the wire: decodes untrusted bytes to the vocabulary of `model`, and encodes the vocabulary to bytes. A
//! connection's protocol state is a value; no socket appears here.
//!
//! Owned by the holder of the socket. Invariants: every length is checked before it is used; no input of a client
//! causes a panic; every refusal is a `model::Refusal`, and every end of a connection a `model::Closing`.

#![warn(missing_docs)]

mod auth;
mod base;
mod common;
mod connection;
mod json;
mod jsonrpc;
mod protobuf;
mod websocket;

pub use auth::public_key::{KeyFault, PublicKey, TokenAlgorithm};
pub use auth::token;
pub use auth::token_fault::TokenFault;
pub use base::chunk::ReceivedBytes;
pub use base::scratch::Scratch;
pub use common::incoming::{Context, Credentials, Incoming};
pub use connection::encoding::{Encoding, encode_event};
pub use connection::shared_frames::SharedFrames;
pub use connection::{Connection, SessionGrant};
pub use json::message_key::ServerKey;
pub use protobuf::im as proto;
pub use websocket::handshake::service_unavailable;
pub use websocket::pages::{PageContent, PageHosts, PageSet};
pub use websocket::policy::{AllowedOrigins, ForwardedHeader, HandshakePolicy};
