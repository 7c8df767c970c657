//! One connection as a value: handshake, frames, protocol. Fed bytes, asked for bytes; it can move between shards.
//!
//! Owned by whoever holds the socket. Invariants: once `closing` is set nothing is read and nothing more is queued; what
//! is queued is whole frames in order; an idle connection holds no buffer.

use super::chunk::Chunk;
use super::exchange::{ClientTraits, Exchange, Outcome};
use super::frame::{Kind, push_frame};
use super::handshake::{self, Handshake};
use super::jsonrpc_encode::Welcome;
use super::protobuf::im::CommandType;
use super::websocket::{Framer, MessageKind, Piece, Rules, close_code};
use super::{jsonrpc, jsonrpc_encode, protobuf, protobuf_encode};
use crate::model::{Closing, Command, DeviceKey, Event, Limits, Millis, Refusal, Refused, Reply, RequestTag, UserId};
use compact_str::CompactString;
use smallvec::SmallVec;

/// Syncs of one connection that are not answered yet.
const SYNCS_MAX: usize = 32;

/// What all connections of a server share.
pub struct Context {
    pub limits: Limits,
    pub server_version: &'static str,
    /// Base64 of the server's X25519 public key (PROTOCOL 3.3).
    pub server_key: String,
    pub node_id: u16,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    /// Frames are read, nobody is authenticated.
    Anonymous,
    /// Credentials were given out, the answer is awaited.
    Deciding,
    Open,
    Ended(Closing),
}

pub struct Connection {
    framer: Framer,
    state: State,
}

/// All but the reading of frames, so that a piece of the reader's bytes can be answered while it is borrowed.
struct State {
    phase: Phase,
    dialect: Dialect,
    traits: ClientTraits,
    salt: [u8; 16],
    user: Option<UserId>,
    outbox: Vec<u8>,
    /// The sequences of unanswered syncs: a refusal is sent in the response that belongs to its request.
    syncs: SmallVec<[u32; 4]>,
    malformed_in_a_row: u32,
    /// The end of the phase, whatever the client does; of an open session, of its token.
    due: Millis,
    last_inbound: Millis,
    idle_ms: u64,
}

impl Connection {
    pub fn new(now: Millis, context: &Context) -> Self {
        let state = State {
            phase: Phase::Handshake,
            dialect: Dialect::Binary,
            traits: ClientTraits::default(),
            salt: [b'0'; 16],
            user: None,
            outbox: Vec::new(),
            syncs: SmallVec::new(),
            malformed_in_a_row: 0,
            due: now.plus(context.limits.handshake_ms),
            last_inbound: now,
            idle_ms: 0,
        };
        Self { framer: Framer::default(), state }
    }

    /// The next thing the client asks for, out of stowed bytes and `chunk`. What needs no shard (handshake, heartbeat,
    /// ping, bad requests, the closing handshake) is answered on the way. `None`: more bytes are needed, or an
    /// authentication is being decided, or the connection has ended.
    pub fn next(&mut self, chunk: &mut Chunk<'_>, now: Millis, context: &Context) -> Option<Incoming> {
        loop {
            match self.state.phase {
                Phase::Handshake => {
                    if !self.shake_hands(chunk, now, context) {
                        return None;
                    }
                }
                Phase::Deciding => return None,
                Phase::Ended(_) => {
                    chunk.skip_all();
                    self.framer.discard();
                    return None;
                }
                Phase::Anonymous | Phase::Open => {
                    let rules = Rules {
                        message_bytes_max: context.limits.frame_bytes_max,
                        text_is_allowed: self.state.dialect != Dialect::Binary,
                    };
                    match self.framer.next(chunk, rules) {
                        Ok(None) => return None,
                        Ok(Some(piece)) => {
                            if let Some(incoming) = self.state.hear(piece, now, context) {
                                return Some(incoming);
                            }
                        }
                        Err(closing) => self.state.close(closing, now, context),
                    }
                }
            }
        }
    }

    /// Reads the upgrade request and answers it. Whether there is anything further to do.
    fn shake_hands(&mut self, chunk: &mut Chunk<'_>, now: Millis, context: &Context) -> bool {
        let limits = &context.limits;
        let is_in_chunk = self.framer.stowed_bytes() == 0;
        let bytes = if is_in_chunk { chunk.rest() } else { self.framer.gather(chunk, limits.handshake_bytes_max) };
        match handshake::answer(bytes, limits.handshake_bytes_max, &mut self.state.outbox) {
            Handshake::Partial => false,
            Handshake::Accepted { dialect, head_bytes } => {
                if is_in_chunk {
                    chunk.take(head_bytes);
                } else {
                    self.framer.consume(head_bytes);
                }
                self.state.upgraded(dialect, now, limits);
                true
            }
            Handshake::Refused => {
                self.state.end(Closing::HandshakeRefused, now, limits);
                true
            }
        }
    }

    /// Keeps what `next` has not taken, for when this connection is fed again.
    pub fn stow(&mut self, chunk: Chunk<'_>) {
        if self.closing().is_none() {
            self.framer.stow(chunk);
        }
    }

    /// Bytes kept by `stow`.
    pub fn stowed_bytes(&self) -> usize {
        self.framer.stowed_bytes()
    }

    /// The token is good: from here on this is `user`'s connection, until `expires`. `salt` is 16 random letters.
    pub fn authenticate(&mut self, user: UserId, expires: Millis, salt: [u8; 16], now: Millis, context: &Context) {
        let state = &mut self.state;
        if state.phase != Phase::Deciding {
            return;
        }
        state.phase = Phase::Open;
        state.user = Some(user);
        state.salt = salt;
        state.due = expires.plus(context.limits.token_grace_ms);
        state.last_inbound = now;
        state.idle_ms = match state.dialect {
            Dialect::Binary => context.limits.idle_binary_ms,
            Dialect::JsonRpc | Dialect::Wukong => context.limits.idle_json_rpc_ms,
        };
    }

    /// The token is not good: says so, and ends the connection.
    pub fn refuse_authentication(&mut self, tag: &RequestTag, refused: Refused, now: Millis, context: &Context) {
        let state = &mut self.state;
        if state.phase != Phase::Deciding {
            return;
        }
        match (state.dialect, tag) {
            (Dialect::Binary, RequestTag::Sequence(sequence, _)) => {
                protobuf_encode::push_refusal(&mut state.outbox, now, CommandType::CmdAuthRsp, *sequence, refused);
            }
            (Dialect::Binary, _) => {}
            (Dialect::JsonRpc | Dialect::Wukong, tag) => {
                jsonrpc_encode::push_refusal(&mut state.outbox, tag, refused);
            }
        }
        let expired = refused.refusal == Refusal::TokenExpired;
        state.close(if expired { Closing::TokenExpired } else { Closing::AuthFailed }, now, context);
    }

    pub fn user(&self) -> Option<&UserId> {
        self.state.user.as_ref()
    }

    /// Queues the reply to the request that carried `tag`.
    pub fn reply(&mut self, tag: &RequestTag, reply: &Reply, now: Millis, context: &Context) {
        if self.state.phase == Phase::Open {
            self.state.reply(tag, reply, now, context);
        }
    }

    /// Queues bytes made by `encode_event` for this connection's encoding and user.
    pub fn enqueue(&mut self, frame: &[u8]) {
        if self.state.phase == Phase::Open {
            self.state.outbox.extend_from_slice(frame);
        }
    }

    pub fn encoding(&self) -> Encoding {
        let version = self.state.traits.version;
        match self.state.dialect {
            Dialect::Binary => Encoding::Binary,
            Dialect::JsonRpc => Encoding::JsonRpc { version },
            Dialect::Wukong => Encoding::Wukong { version },
        }
    }

    /// Ends the connection from this side: the protocol's farewell where it has one, then the close frame. The first
    /// closing wins.
    pub fn close(&mut self, closing: Closing, now: Millis, context: &Context) {
        self.state.close(closing, now, context);
        self.framer.discard();
    }

    /// Set once the connection has ended: nothing more is read; the outbox is to be written, then the socket closed.
    pub fn closing(&self) -> Option<Closing> {
        match self.state.phase {
            Phase::Ended(closing) => Some(closing),
            _ => None,
        }
    }

    pub fn outbox_bytes(&self) -> usize {
        self.state.outbox.len()
    }

    /// Takes all bytes queued for the socket and leaves `spare` (empty) in their place.
    pub fn take_outbox(&mut self, spare: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.state.outbox, spare)
    }

    /// When `expire` is to be called next. It moves later with every inbound frame.
    pub fn deadline(&self) -> Millis {
        match self.state.phase {
            Phase::Open => self.state.due.min(self.state.last_inbound.plus(self.state.idle_ms)),
            _ => self.state.due,
        }
    }

    /// Ends the connection when its deadline has passed (handshake, authentication, idle, token); otherwise nothing.
    pub fn expire(&mut self, now: Millis, context: &Context) {
        if now < self.deadline() {
            return;
        }
        match self.state.phase {
            Phase::Handshake => self.close(Closing::HandshakeRefused, now, context),
            Phase::Anonymous | Phase::Deciding => self.close(Closing::AuthTooLate, now, context),
            Phase::Open if now >= self.state.due => self.close(Closing::TokenExpired, now, context),
            Phase::Open => self.close(Closing::Idle, now, context),
            Phase::Ended(_) => {}
        }
    }
}

impl State {
    fn upgraded(&mut self, dialect: Dialect, now: Millis, limits: &Limits) {
        let auth_ms = match dialect {
            Dialect::Binary => limits.auth_binary_ms,
            Dialect::JsonRpc | Dialect::Wukong => limits.auth_json_rpc_ms,
        };
        self.phase = Phase::Anonymous;
        self.dialect = dialect;
        self.due = now.plus(auth_ms);
    }

    fn hear(&mut self, piece: Piece<'_>, now: Millis, context: &Context) -> Option<Incoming> {
        self.last_inbound = now;
        let incoming = match piece {
            Piece::Fragment | Piece::Pong => None,
            Piece::Ping(payload) => {
                push_frame(&mut self.outbox, Kind::Pong, payload);
                None
            }
            Piece::Close(payload) => {
                self.answer_close(payload, now, context);
                None
            }
            Piece::Message(kind, bytes) => self.hear_message(kind, bytes, now, context),
        };
        if self.outbox.len() > context.limits.outbox_bytes_max {
            self.close(Closing::TooSlow, now, context);
            return None;
        }
        incoming
    }

    fn hear_message(
        &mut self,
        kind: MessageKind,
        bytes: &mut [u8],
        now: Millis,
        context: &Context,
    ) -> Option<Incoming> {
        let mut exchange = Exchange { user: self.user.as_ref(), limits: &context.limits, now, out: &mut self.outbox };
        let outcome = match (self.dialect, kind) {
            (Dialect::Binary, MessageKind::Binary) => protobuf::hear(bytes, &mut exchange),
            (Dialect::Binary, MessageKind::Text) => Outcome::Refused(Closing::WrongKind),
            (dialect, _) => jsonrpc::hear(bytes, dialect, &mut exchange),
        };
        if outcome != Outcome::Malformed {
            self.malformed_in_a_row = 0;
        }
        match outcome {
            Outcome::Answered => None,
            Outcome::Authenticate { credentials, traits } => {
                self.traits = traits;
                self.phase = Phase::Deciding;
                Some(Incoming::Authenticate(credentials))
            }
            Outcome::Request { tag, command } => self.admit(tag, command, now),
            Outcome::Malformed => {
                self.malformed_in_a_row += 1;
                if self.malformed_in_a_row >= context.limits.bad_requests_max {
                    self.close(Closing::TooManyBadRequests, now, context);
                }
                None
            }
            Outcome::Refused(closing) => {
                self.close(closing, now, context);
                None
            }
        }
    }

    /// Remembers which of a binary client's requests are syncs.
    fn admit(&mut self, tag: RequestTag, command: Command, now: Millis) -> Option<Incoming> {
        if let (RequestTag::Sequence(sequence, _), Command::Sync(_)) = (&tag, &command) {
            if self.syncs.len() == SYNCS_MAX {
                let refused = Refused::because(Refusal::SendTooFast, "too many unanswered syncs");
                protobuf_encode::push_refusal(&mut self.outbox, now, CommandType::CmdSyncRsp, *sequence, refused);
                return None;
            }
            self.syncs.push(*sequence);
        }
        Some(Incoming::Request { tag, command })
    }

    fn reply(&mut self, tag: &RequestTag, reply: &Reply, now: Millis, context: &Context) {
        let Some(user) = &self.user else { return };
        match (self.dialect, tag) {
            (Dialect::Binary, RequestTag::Sequence(sequence, _)) => {
                let response = refusal_response(&mut self.syncs, *sequence, reply);
                protobuf_encode::push_reply(&mut self.outbox, now, *sequence, user, reply, response);
            }
            (Dialect::Binary, _) => {}
            (dialect, tag) => {
                let welcome = Welcome {
                    server_key: &context.server_key,
                    server_version: context.server_version,
                    node_id: context.node_id,
                    salt: self.salt,
                    traits: self.traits,
                };
                jsonrpc_encode::push_reply(&mut self.outbox, dialect, tag, user, reply, &welcome);
            }
        }
    }

    fn close(&mut self, closing: Closing, now: Millis, context: &Context) {
        if let Phase::Ended(_) = self.phase {
            return;
        }
        if self.phase == Phase::Open {
            match self.dialect {
                Dialect::Binary => protobuf_encode::push_farewell(&mut self.outbox, now, closing),
                Dialect::JsonRpc | Dialect::Wukong => jsonrpc_encode::push_farewell(&mut self.outbox, closing),
            }
        }
        if self.phase != Phase::Handshake
            && let Some(code) = closing.code()
        {
            let payload = [code.to_be_bytes().as_slice(), closing.reason().as_bytes()].concat();
            push_frame(&mut self.outbox, Kind::Close, &payload);
        }
        self.end(closing, now, &context.limits);
    }

    fn answer_close(&mut self, payload: &[u8], now: Millis, context: &Context) {
        match close_code(payload) {
            Err(closing) => self.close(closing, now, context),
            Ok(code) => {
                let code = code.map(u16::to_be_bytes);
                push_frame(&mut self.outbox, Kind::Close, code.as_ref().map_or(&[], |code| code.as_slice()));
                self.end(Closing::Normal, now, &context.limits);
            }
        }
    }

    fn end(&mut self, closing: Closing, now: Millis, limits: &Limits) {
        self.phase = Phase::Ended(closing);
        self.due = now.plus(limits.linger_ms);
        self.syncs = SmallVec::new();
    }
}

/// The response in which a refusal of the request `sequence` is sent. An answered sync is forgotten.
fn refusal_response(syncs: &mut SmallVec<[u32; 4]>, sequence: u32, reply: &Reply) -> CommandType {
    let may_be_sync = matches!(reply, Reply::Synced { .. } | Reply::Refused(_));
    match syncs.iter().position(|sync| *sync == sequence) {
        Some(index) if may_be_sync => {
            syncs.swap_remove(index);
            CommandType::CmdSyncRsp
        }
        _ => CommandType::CmdSendMsgRsp,
    }
}

/// Appends to `out` the whole server frame that tells `event` to `viewer`.
pub fn encode_event(encoding: Encoding, viewer: &UserId, event: &Event, now: Millis, out: &mut Vec<u8>) {
    match encoding {
        Encoding::Binary => protobuf_encode::push_event(out, now, viewer, event),
        Encoding::JsonRpc { version: _ } => jsonrpc_encode::push_event(out, Dialect::JsonRpc, viewer, event),
        Encoding::Wukong { version: _ } => jsonrpc_encode::push_event(out, Dialect::Wukong, viewer, event),
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
pub(super) mod tests;
