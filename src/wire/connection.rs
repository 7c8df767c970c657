//! One connection as a value: handshake, frames, protocol. Fed bytes, asked for bytes; it can move between shards.

use crate::model::{Closing, Command, DeviceKey, Event, Limits, Millis, Refused, Reply, RequestTag, UserId};
use compact_str::CompactString;

/// What all connections of a server share.
pub struct Context {
    pub limits: Limits,
    pub server_version: &'static str,
    /// Base64 of the server's X25519 public key (PROTOCOL 3.3).
    pub server_key: String,
    pub node_id: u16,
}

/// Received bytes being taken in; frames are unmasked and parsed in place.
pub struct Chunk<'a> {
    bytes: &'a mut [u8],
    taken: usize,
}

impl<'a> Chunk<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, taken: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }
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
    /// The first thing asked for. Until `welcome_as` or `refuse` is called, `next` gives nothing more.
    Authenticate(Credentials),
    Request {
        tag: RequestTag,
        command: Command,
    },
}

/// Sessions with equal encodings get the same bytes for the same event and viewer: encode once, queue many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Binary,
    JsonRpc { version: u8 },
    Wukong { version: u8 },
}

pub struct Connection {}

impl Connection {
    pub fn new(_now: Millis, _context: &Context) -> Self {
        todo!()
    }

    /// The next thing the client asks for, out of stowed bytes and `chunk`. What needs no shard (handshake, heartbeat,
    /// ping, bad requests, the closing handshake) is answered on the way. `None`: more bytes are needed, or an
    /// authentication is being decided, or the connection has ended.
    pub fn next(&mut self, _chunk: &mut Chunk<'_>, _now: Millis, _context: &Context) -> Option<Incoming> {
        todo!()
    }

    /// Keeps what `next` has not taken, for when this connection is fed again.
    pub fn stow(&mut self, _chunk: Chunk<'_>) {
        todo!()
    }

    /// Bytes kept by `stow`.
    pub fn stowed_bytes(&self) -> usize {
        todo!()
    }

    /// The token is good: from here on this is `user`'s connection, until `expires`. `salt` is 16 random letters.
    pub fn authenticate(&mut self, _user: UserId, _expires: Millis, _salt: [u8; 16], _now: Millis, _context: &Context) {
        todo!()
    }

    /// The token is not good: says so, and ends the connection.
    pub fn refuse_authentication(&mut self, _tag: &RequestTag, _refused: Refused, _now: Millis, _context: &Context) {
        todo!()
    }

    pub fn user(&self) -> Option<&UserId> {
        todo!()
    }

    /// Queues the reply to the request that carried `tag`.
    pub fn reply(&mut self, _tag: &RequestTag, _reply: &Reply, _now: Millis, _context: &Context) {
        todo!()
    }

    /// Queues bytes made by `encode_event` for this connection's encoding and user.
    pub fn enqueue(&mut self, _frame: &[u8]) {
        todo!()
    }

    pub fn encoding(&self) -> Encoding {
        todo!()
    }

    /// Ends the connection from this side: the protocol's farewell where it has one, then the close frame. The first
    /// closing wins.
    pub fn close(&mut self, _closing: Closing, _now: Millis, _context: &Context) {
        todo!()
    }

    /// Set once the connection has ended: nothing more is read; the outbox is to be written, then the socket closed.
    pub fn closing(&self) -> Option<Closing> {
        todo!()
    }

    pub fn outbox_bytes(&self) -> usize {
        todo!()
    }

    /// Takes all bytes queued for the socket and leaves `spare` (empty) in their place.
    pub fn take_outbox(&mut self, _spare: Vec<u8>) -> Vec<u8> {
        todo!()
    }

    /// When `expire` is to be called next. It moves later with every inbound frame.
    pub fn deadline(&self) -> Millis {
        todo!()
    }

    /// Ends the connection when its deadline has passed (handshake, authentication, idle, token); otherwise nothing.
    pub fn expire(&mut self, _now: Millis, _context: &Context) {
        todo!()
    }
}

/// Appends to `out` the whole server frame that tells `event` to `viewer`.
pub fn encode_event(_encoding: Encoding, _viewer: &UserId, _event: &Event, _now: Millis, _out: &mut Vec<u8>) {
    todo!()
}
