//! Which sessions are told of an event in the same bytes.

use crate::model::{Entry, Event, Millis, Seq, UserId};
use crate::wire::base::dialect::Dialect;
use crate::wire::json::text::decimal;
use crate::wire::jsonrpc::encode;
use crate::wire::jsonrpc::message::Audience;
use crate::wire::protobuf::encode as protobuf_encode;
use crate::wire::protobuf::fields::put_varint;

/// Sessions with equal encodings get the same bytes for the same event and viewer: encode once, queue many times.
/// Versions are those of `connect` (PROTOCOL 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Binary,
    JsonRpc { version: u8 },
    Wukong { version: u8 },
}

impl Encoding {
    /// The dialect and the client's version of it; the binary protocol has only one version.
    fn spoken(self) -> (Dialect, u8) {
        match self {
            Self::Binary => (Dialect::Binary, 0),
            Self::JsonRpc { version } => (Dialect::JsonRpc, version),
            Self::Wukong { version } => (Dialect::Wukong, version),
        }
    }
}

/// Appends to `out` the whole server frame that tells `event` to `viewer`.
pub fn encode_event(encoding: Encoding, viewer: &UserId, event: &Event, now: Millis, out: &mut Vec<u8>) {
    match encoding.spoken() {
        (Dialect::Binary, _) => protobuf_encode::push_event(out, now, viewer, event),
        (dialect, version) => {
            encode::push_event(out, &Audience { dialect, version, viewer, key: None }, event);
        }
    }
}

/// The same for an entry that is a message, not a fact. How many bytes of the frame stand behind what `push_seq` appends.
pub(in crate::wire) fn encode_message(
    encoding: Encoding,
    viewer: &UserId,
    entry: &Entry,
    now: Millis,
    out: &mut Vec<u8>,
) -> usize {
    match encoding.spoken() {
        (Dialect::Binary, _) => protobuf_encode::push_shown(out, now, viewer, entry),
        (dialect, version) => {
            let audience = Audience { dialect, version, viewer, key: None };
            encode::push_recv(out, &audience, &entry.message, entry.seq)
        }
    }
}

/// Appends an inbox's seq as the frame of a message holds it; the dialect `Wukong` leaves it out.
pub(in crate::wire) fn push_seq(encoding: Encoding, seq: Seq, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Binary => put_varint(out, seq.0),
        Encoding::JsonRpc { .. } => decimal(out, seq.0),
        Encoding::Wukong { .. } => {}
    }
}
