//! F1, the wire: untrusted bytes in, vocabulary out, and back. One connection's protocol state is a value; there is no
//! socket here.
//!
//! Owned by whoever holds the socket. Invariants: every length is checked before it is used, nothing a client sends
//! panics, and every refusal comes from `model::Refusal`, every ending from `model::Closing`.

pub mod token;

mod chunk;
mod connection;
mod exchange;
mod frame;
mod handshake;
mod json_payload;
mod json_scan;
mod jsonrpc;
mod jsonrpc_encode;
mod protobuf;
mod protobuf_encode;
mod websocket;

pub use chunk::Chunk;
pub use connection::{Connection, Context, Credentials, Encoding, Incoming, encode_event};
pub use protobuf::im as proto;
