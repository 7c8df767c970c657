//! What a path speaks, and which sessions are told of an event in the same bytes.

use super::json_message::Audience;
use super::{jsonrpc_encode, protobuf_encode};
use crate::model::{Event, Millis, UserId};

/// What a path speaks (PROTOCOL 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Binary,
    JsonRpc,
    Wukong,
}

impl Dialect {
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "/ws" => Some(Self::Binary),
            "/rpc" | "/" => Some(Self::JsonRpc),
            "/wukong" => Some(Self::Wukong),
            _ => None,
        }
    }
}

/// Sessions with equal encodings get the same bytes for the same event and viewer: encode once, queue many times.
/// Versions are those of `connect` (PROTOCOL 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Binary,
    JsonRpc { version: u8 },
    Wukong { version: u8 },
}

/// Appends to `out` the whole server frame that tells `event` to `viewer`.
pub fn encode_event(encoding: Encoding, viewer: &UserId, event: &Event, now: Millis, out: &mut Vec<u8>) {
    let (dialect, version) = match encoding {
        Encoding::Binary => return protobuf_encode::push_event(out, now, viewer, event),
        Encoding::JsonRpc { version } => (Dialect::JsonRpc, version),
        Encoding::Wukong { version } => (Dialect::Wukong, version),
    };
    jsonrpc_encode::push_event(out, &Audience { dialect, version, viewer, key: None }, event);
}
