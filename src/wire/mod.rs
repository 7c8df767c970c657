//! F1, the wire: untrusted bytes in, vocabulary out, and back. One connection's protocol state is a value; there is no
//! socket here.
//!
//! Owned by whoever holds the socket. Invariants: every length is checked before it is used, nothing a client sends
//! panics, and every refusal comes from `model::Refusal`, every ending from `model::Closing`.

pub mod token;
mod token_fault;

mod chunk;
mod connection;
mod encoding;
mod exchange;
mod frame;
mod handshake;
mod incoming;
mod json_fact;
mod json_message;
mod json_params;
mod json_payload;
mod json_plain;
mod json_scan;
mod json_survey;
mod json_text;
mod json_value;
mod jsonrpc;
mod jsonrpc_encode;
mod jsonrpc_request;
mod message_key;
mod protobuf;
mod protobuf_body;
mod protobuf_encode;
mod protobuf_fact;
mod protobuf_fields;
mod protobuf_request;
mod public_key;
mod scratch;
mod shared_frames;
mod upgrade;
mod websocket;

pub use chunk::Chunk;
pub use connection::Connection;
pub use encoding::{Encoding, encode_event};
pub use handshake::SERVICE_UNAVAILABLE;
pub use incoming::{Context, Credentials, Incoming};
pub use message_key::ServerKey;
pub use protobuf::im as proto;
pub use public_key::{KeyFault, PublicKey, TokenAlgorithm};
pub use scratch::Scratch;
pub use shared_frames::SharedFrames;
pub use token_fault::TokenFault;

#[cfg(test)]
mod sizing_tests;
