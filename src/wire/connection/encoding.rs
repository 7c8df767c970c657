//! Encodings of events: sessions with equal encodings receive equal bytes.

use crate::model::{Entry, Event, Millis, Seq, UserId};
use crate::wire::base::dialect::Dialect;
use crate::wire::json::text::decimal;
use crate::wire::jsonrpc::audience::Audience;
use crate::wire::jsonrpc::encode;
use crate::wire::protobuf::encode as protobuf_encode;
use crate::wire::protobuf::fields::put_varint;

/// The protocol and version of a session. Sessions with equal encodings receive the same bytes for the same event and
/// viewer: encode once, enqueue many times. Versions are those of `connect` (PROTOCOL 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The binary protocol.
    Binary,
    /// The JSON-RPC protocol.
    JsonRpc {
        /// The client's version, from `connect`.
        version: u8,
    },
    /// The JSON-RPC protocol with the conventions of the path `/wukong` (PROTOCOL 3.9).
    Wukong {
        /// The client's version, from `connect`.
        version: u8,
    },
}

impl Encoding {
    /// The names of the protocols.
    pub const NAMES: [&'static str; 3] = ["binary", "jsonrpc", "wukong"];

    /// The stable word for the protocol in the operator's HTTP API and in metrics.
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// The place of its name in `NAMES`.
    #[inline]
    pub fn index(self) -> usize {
        match self {
            Self::Binary => 0,
            Self::JsonRpc { .. } => 1,
            Self::Wukong { .. } => 2,
        }
    }

    /// The dialect and the client's version of it; the binary protocol has only one version.
    fn spoken(self) -> (Dialect, u8) {
        match self {
            Self::Binary => (Dialect::Binary, 0),
            Self::JsonRpc { version } => (Dialect::JsonRpc, version),
            Self::Wukong { version } => (Dialect::Wukong, version),
        }
    }
}

/// Appends to `out` the whole server frame that carries `event` to `viewer`. `now` is the wall clock, for the
/// envelope's timestamp.
pub fn encode_event(encoding: Encoding, viewer: &UserId, event: &Event, now: Millis, out: &mut Vec<u8>) {
    match encoding.spoken() {
        (Dialect::Binary, _) => protobuf_encode::push_event(out, now, viewer, event),
        (dialect, version) => {
            encode::push_event(out, &Audience { dialect, version, viewer, key: None }, event);
        }
    }
}

/// As `encode_event`, for an entry that is a message and not a fact. Returns the bytes of the frame after those that
/// `push_seq` appends.
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
