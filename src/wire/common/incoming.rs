//! What a connection hands to whoever holds it, and what it is told at its birth.

use crate::model::{Command, DeviceKey, Limits, RequestTag, UserId};
use crate::wire::json::message_key::ServerKey;
use compact_str::CompactString;

/// What all connections of a server share.
#[derive(Clone)]
pub struct Context {
    pub limits: Limits,
    /// Chosen in the handshake when a client asks for one of them, beside the protocol's own name.
    pub subprotocols: Vec<String>,
    pub server_version: &'static str,
    pub server_key: ServerKey,
    pub node_id: u16,
    /// In what epoch a client's memory of inbox seqs is good (PROTOCOL 2.2). Below 2^53.
    pub inbox_epoch: u64,
}

/// What a client claims about itself; nothing in it is checked yet but its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub tag: RequestTag,
    pub user: UserId,
    pub token: CompactString,
    pub device: DeviceKey,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The first thing asked for. Until `authenticate` or `refuse_authentication` is called, `next` gives nothing more.
    Authenticate(Credentials),
    /// A fresh token on a live session. If it is good and the session's user's: `renew`, then `Command::Reauthenticate` to
    /// the shard; if not, a refusal is the reply, and the session goes on as before.
    Reauthenticate {
        tag: RequestTag,
        token: CompactString,
    },
    Request {
        tag: RequestTag,
        command: Command,
    },
}
