//! The output of a connection to its driver, and the configuration that all connections share.

use crate::model::{Command, DeviceKey, Limits, RequestTag, UserId};
use crate::wire::json::message_key::ServerKey;
use crate::wire::websocket::policy::HandshakePolicy;
use compact_str::CompactString;

/// The configuration that all connections of a server share.
#[derive(Clone)]
pub struct Context {
    /// The limits of connections and sessions.
    pub limits: Limits,
    /// How upgrade requests are judged (PROTOCOL 1).
    pub handshake: HandshakePolicy,
    /// The version that `connect` returns.
    pub server_version: &'static str,
    /// The X25519 key pair for message keys (PROTOCOL 3.13).
    pub server_key: ServerKey,
    /// The node's number that `connect` returns.
    pub node_id: u16,
    /// The epoch in which a client's seqs are valid (PROTOCOL 2.2). From 1, below 2^53.
    pub inbox_epoch: u64,
}

/// The claims of a client that wants to authenticate. Only their form is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The mark under which the reply goes back.
    pub tag: RequestTag,
    /// The user that the client claims to be.
    pub user: UserId,
    /// The token, not verified.
    pub token: CompactString,
    /// The device that the client names.
    pub device: DeviceKey,
}

/// A request that the driver of the connection must decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The first request. `Connection::next` returns nothing more until the driver has called `authenticate` or
    /// `refuse_authentication`.
    Authenticate(Credentials),
    /// A fresh token on a live session. If it is valid and belongs to the session's user, the driver calls `renew` and
    /// passes `Command::Reauthenticate` to the shard. Otherwise it replies with a refusal, and the session continues on
    /// its token.
    Reauthenticate {
        /// The mark under which the reply goes back.
        tag: RequestTag,
        /// The token, not verified.
        token: CompactString,
    },
    /// A request of the session for its user's shard.
    Request {
        /// The mark under which the reply goes back.
        tag: RequestTag,
        /// The request.
        command: Command,
    },
}
