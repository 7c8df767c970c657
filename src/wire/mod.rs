//! F1, the wire: untrusted bytes in, vocabulary out, and back. One connection's protocol state is a value; there is no
//! socket here.
//!
//! Owned by whoever holds the socket. Invariants: every length is checked before it is used, nothing a client sends
//! panics, and every refusal comes from `model::Refusal`, every ending from `model::Closing`.

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
pub use connection::Connection;
pub use connection::encoding::{Encoding, encode_event};
pub use connection::shared_frames::SharedFrames;
pub use json::message_key::ServerKey;
pub use protobuf::im as proto;
pub use websocket::handshake::SERVICE_UNAVAILABLE;
