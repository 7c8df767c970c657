//! One connection as a value: handshake, frames and protocol state. It consumes bytes and produces bytes, and can move
//! between shards.
//!
//! Owned by the holder of the socket. Invariants: once `closing` is set, nothing is read and nothing more is queued;
//! the outbox holds whole frames in order; an idle connection holds no buffer.

pub(super) mod encoding;
pub(super) mod shared_frames;
#[cfg(test)]
pub(super) mod sizing_tests;

use crate::model::{Closing, Event, Limits, Millis, Moment, Refused, Reply, RequestTag, Steady, UserId};
use crate::wire::base::chunk::ReceivedBytes;
use crate::wire::base::dialect::Dialect;
use crate::wire::base::frame::{FrameKind, push_frame};
use crate::wire::base::scratch::Scratch;
use crate::wire::common::exchange::ClientTraits;
use crate::wire::common::incoming::{Context, Incoming};
use crate::wire::connection::encoding::{Encoding, encode_event};
use crate::wire::json::message_key::MessageKey;
use crate::wire::jsonrpc::audience::Audience;
use crate::wire::jsonrpc::encode;
use crate::wire::protobuf::encode as protobuf_encode;
use crate::wire::websocket::framer::{Framer, Piece, Rules};
use crate::wire::websocket::handshake::{self, Handshake};
use crate::wire::websocket::http_refusal::HttpRefusal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionPhase {
    Handshake,
    /// Frames are read, and the client has not authenticated.
    Anonymous,
    /// Credentials were returned to the driver, whose decision is awaited.
    Deciding,
    Open,
    Ended(Closing),
}

/// What a valid token gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGrant {
    /// Whose session it is.
    pub user: UserId,
    /// The wall-clock time at which the session ends.
    pub expires: Millis,
    /// 16 random letters (PROTOCOL 3.13).
    pub salt: [u8; 16],
}

/// One client's connection, without its socket. It consumes received bytes, returns the requests that its driver must
/// decide, and queues the bytes to write.
///
/// # How to drive it
///
/// 1. After each receive, call [`next`](Self::next) with the bytes until it returns `None`, then
///    [`buffer`](Self::buffer) with the rest.
/// 2. Decide every [`Incoming`] that `next` returns. `Authenticate`: [`authenticate`](Self::authenticate) and a
///    [`reply`](Self::reply) of `Reply::Welcome`, or [`refuse_authentication`](Self::refuse_authentication); afterwards
///    call `next` again, since stored bytes may hold requests. `Reauthenticate`: [`renew`](Self::renew), and a reply.
///    `Request`: exactly one reply under the request's tag, at any later time and in any order.
/// 3. Push events: [`enqueue`](Self::enqueue) frames of [`encode_event`] for the connection's
///    [`encoding`](Self::encoding), or [`tell`](Self::tell) where it shares none.
/// 4. After any of these calls, write what [`drain_outbox`](Self::drain_outbox) returns. A full outbox stops `next`:
///    call it again once the socket has taken the bytes.
/// 5. At [`deadline`](Self::deadline), call [`expire`](Self::expire). The deadline moves with every frame.
/// 6. When [`closing`](Self::closing) returns a reason, write the outbox and close the socket. All other methods may
///    still be called and do nothing.
///
/// `examples/drive_connection.rs` is a complete driver.
///
/// ```
/// use mushan::model::{Closing, Limits, Millis, Moment};
/// use mushan::wire::{Connection, Context, HandshakePolicy, ReceivedBytes, Scratch, ServerKey};
///
/// let (limits, server_key) = (Limits::default(), ServerKey::of([7; 32]));
/// let (handshake, server_version) = (HandshakePolicy::default(), "0.1.0");
/// let context = Context { limits, handshake, server_version, server_key, node_id: 1, inbox_epoch: 1 };
/// let now = Moment::told(Millis(1_700_000_000_000));
/// let mut scratch = Scratch::default();
/// let mut connection = Connection::new(now, &context);
///
/// let mut received = *b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// let mut chunk = ReceivedBytes::new(&mut received);
/// assert_eq!(connection.next(&mut chunk, now, &context, &mut scratch), None);
/// connection.buffer(chunk);
/// // No protocol has this path: the response is queued, and the connection has ended.
/// assert!(connection.drain_outbox(Vec::new()).starts_with(b"HTTP/1.1 404 "));
/// assert_eq!(connection.closing(), Some(Closing::HandshakeRefused));
/// ```
pub struct Connection {
    framer: Framer,
    state: ConnectionState,
}

/// Everything but the reader of frames, so that a piece that borrows the reader's bytes can be answered.
struct ConnectionState {
    phase: ConnectionPhase,
    dialect: Dialect,
    traits: ClientTraits,
    salt: [u8; 16],
    /// Set when the client gave a key: then the messages that it sends and receives carry proofs (PROTOCOL 3.13).
    message_key: Option<Box<MessageKey>>,
    user: Option<UserId>,
    /// What proxies said of the client in the upgrade request, until the driver takes it.
    forwarded: Option<Box<str>>,
    outbox: Vec<u8>,
    /// Requests that were returned to the driver and wait for their replies.
    unanswered: u32,
    promised_bytes: usize,
    malformed_in_a_row: u32,
    /// The deadline of the phase; an open session has none.
    due: Steady,
    /// The wall-clock time at which an open session ends with its token, the grace period included.
    token_ends: Millis,
    last_inbound: Steady,
    idle_ms: u64,
}

impl Connection {
    /// A connection that was accepted at `now` and has received nothing.
    pub fn new(now: Moment, context: &Context) -> Self {
        let state = ConnectionState {
            phase: ConnectionPhase::Handshake,
            dialect: Dialect::Binary,
            traits: ClientTraits::default(),
            salt: [b'0'; 16],
            message_key: None,
            user: None,
            forwarded: None,
            outbox: Vec::new(),
            unanswered: 0,
            promised_bytes: 0,
            malformed_in_a_row: 0,
            due: now.steady.plus(context.limits.handshake_ms),
            token_ends: Millis(u64::MAX),
            last_inbound: now.steady,
            idle_ms: 0,
        };
        Self { framer: Framer::default(), state }
    }

    /// The next request for the driver, out of stored bytes and `chunk`. Whatever needs no decision (handshake,
    /// heartbeat, ping, malformed requests, the closing handshake) is answered in the outbox. `None`: more bytes are
    /// needed, or an authentication is being decided, or half of the outbox is full, or the connection has ended.
    pub fn next(
        &mut self,
        chunk: &mut ReceivedBytes<'_>,
        now: Moment,
        context: &Context,
        scratch: &mut Scratch,
    ) -> Option<Incoming> {
        loop {
            match self.state.phase {
                ConnectionPhase::Handshake => {
                    if !self.shake_hands(chunk, now, context) {
                        return None;
                    }
                }
                ConnectionPhase::Deciding => return None,
                ConnectionPhase::Ended(_) => {
                    chunk.skip_all();
                    self.framer.discard();
                    return None;
                }
                // What asks for no shard is answered here: no more than there is room for.
                ConnectionPhase::Anonymous | ConnectionPhase::Open if self.state.is_congested(context) => return None,
                ConnectionPhase::Anonymous | ConnectionPhase::Open => {
                    let limits = &context.limits;
                    let is_open = self.state.phase == ConnectionPhase::Open;
                    let rules = Rules {
                        message_bytes_max: if is_open { limits.frame_bytes_max } else { limits.login_frame_bytes_max },
                        text_is_allowed: self.state.dialect != Dialect::Binary,
                    };
                    match self.framer.next(chunk, rules) {
                        Ok(None) => return None,
                        Ok(Some(piece)) => {
                            if let Some(incoming) = self.state.handle_message(piece, now, context, scratch) {
                                return Some(incoming);
                            }
                        }
                        Err(closing) => self.state.close(closing, now, context),
                    }
                }
            }
        }
    }

    /// Reads the upgrade request and answers it. Returns whether the connection can go on at once.
    fn shake_hands(&mut self, chunk: &mut ReceivedBytes<'_>, now: Moment, context: &Context) -> bool {
        let limits = &context.limits;
        let is_in_chunk = self.framer.buffered_bytes() == 0;
        let bytes = if is_in_chunk { chunk.rest() } else { self.framer.gather(chunk, limits.handshake_bytes_max) };
        match handshake::answer(bytes, limits.handshake_bytes_max, &context.handshake, &mut self.state.outbox) {
            Handshake::Partial => false,
            Handshake::Accepted { dialect, head_bytes, forwarded } => {
                if is_in_chunk {
                    chunk.take(head_bytes);
                } else {
                    self.framer.consume(head_bytes);
                }
                self.state.forwarded = forwarded;
                self.state.upgraded(dialect, now, limits);
                true
            }
            Handshake::Shown => {
                self.state.end(Closing::Normal, now, limits);
                true
            }
            Handshake::Refused(refusal) => {
                let is_for_origin = refusal == HttpRefusal::OriginRefused;
                let closing = if is_for_origin { Closing::OriginRefused } else { Closing::HandshakeRefused };
                self.state.end(closing, now, limits);
                true
            }
        }
    }

    /// Whether `next` has no bytes to consume, neither in `chunk` nor stored.
    pub fn has_nothing_of(&self, chunk: &ReceivedBytes<'_>) -> bool {
        chunk.is_empty() && self.framer.buffered_bytes() == 0
    }

    /// Stores the bytes that `next` has not consumed, for the next call.
    pub fn buffer(&mut self, chunk: ReceivedBytes<'_>) {
        if self.closing().is_none() {
            self.framer.buffer(chunk);
        }
    }

    /// Bytes that `buffer` stores.
    pub fn buffered_bytes(&self) -> usize {
        self.framer.buffered_bytes()
    }

    /// The token is valid: from now on the connection is a session of the grant's user.
    ///
    /// # Errors
    ///
    /// The client's own key is useless. The driver passes the error to `refuse_authentication`.
    pub fn authenticate(&mut self, grant: SessionGrant, now: Moment, context: &Context) -> Result<(), Refused> {
        let SessionGrant { user, expires, salt } = grant;
        let state = &mut self.state;
        if state.phase != ConnectionPhase::Deciding {
            return Ok(());
        }
        if let Some(client_key) = state.traits.client_key {
            let agreed = context.server_key.agree(client_key, &salt);
            let key = agreed.ok_or(Refused::invalid("clientKey gives everybody the same secret"))?;
            state.message_key = Some(Box::new(key));
        }
        state.phase = ConnectionPhase::Open;
        state.user = Some(user);
        state.salt = salt;
        state.token_ends = expires.plus(context.limits.token_grace_ms);
        state.last_inbound = now.steady;
        state.idle_ms = match state.dialect {
            Dialect::Binary => context.limits.idle_binary_ms,
            Dialect::JsonRpc | Dialect::Wukong => context.limits.idle_json_rpc_ms,
        };
        Ok(())
    }

    /// The session's fresh token is valid until the wall-clock time `expires`.
    pub fn renew(&mut self, expires: Millis, context: &Context) {
        if self.state.phase == ConnectionPhase::Open {
            self.state.token_ends = expires.plus(context.limits.token_grace_ms);
        }
    }

    /// The token is invalid: queues the refusal and ends the connection (PROTOCOL 2.2, 3.3).
    pub fn refuse_authentication(&mut self, tag: &RequestTag, refused: Refused, now: Moment, context: &Context) {
        let state = &mut self.state;
        if state.phase != ConnectionPhase::Deciding {
            return;
        }
        match (state.dialect, tag) {
            (Dialect::Binary, RequestTag::Sequence(sequence, verb)) => {
                protobuf_encode::push_refusal(&mut state.outbox, now.wall, *verb, *sequence, refused);
            }
            (Dialect::Binary, _) => {}
            (Dialect::JsonRpc | Dialect::Wukong, tag) => {
                encode::push_refusal(&mut state.outbox, tag, refused);
            }
        }
        state.close(Closing::of_stranger(refused.refusal), now, context);
    }

    /// As `refuse_authentication`, for a user's own core that refuses after another core has called `authenticate`.
    pub fn turn_away(&mut self, tag: &RequestTag, refused: Refused, now: Moment, context: &Context) {
        if self.state.phase == ConnectionPhase::Open {
            self.state.phase = ConnectionPhase::Deciding;
            self.refuse_authentication(tag, refused, now, context);
        }
    }

    /// The session's user; `None` before authentication.
    pub fn user(&self) -> Option<&UserId> {
        self.state.user.as_ref()
    }

    /// The list in `HandshakePolicy::forwarded` of the upgrade request, once. The driver decides whether it is true.
    pub fn take_forwarded(&mut self) -> Option<Box<str>> {
        self.state.forwarded.take()
    }

    /// Queues the reply to the request that carried `tag`. Each request gets exactly one.
    pub fn reply(&mut self, tag: &RequestTag, reply: &Reply, now: Moment, context: &Context) {
        if self.state.phase == ConnectionPhase::Open {
            self.state.reply(tag, reply, now, context);
        }
    }

    /// Queues a frame that `encode_event` made for this connection's encoding and user.
    pub fn enqueue(&mut self, frame: &[u8]) {
        if self.state.phase == ConnectionPhase::Open {
            self.state.outbox.extend_from_slice(frame);
        }
    }

    /// The encoding that this connection shares with others; `None` when its messages carry keys of its own: then
    /// `tell` writes its events.
    pub fn encoding(&self) -> Option<Encoding> {
        let version = self.state.traits.version;
        match self.state.dialect {
            _ if self.state.message_key.is_some() => None,
            Dialect::Binary => Some(Encoding::Binary),
            Dialect::JsonRpc => Some(Encoding::JsonRpc { version }),
            Dialect::Wukong => Some(Encoding::Wukong { version }),
        }
    }

    /// Queues `event`, encoded for this connection alone. `now` is the wall clock.
    pub fn tell(&mut self, event: &Event, now: Millis) {
        let (encoding, state) = (self.encoding(), &mut self.state);
        let (ConnectionPhase::Open, Some(user)) = (state.phase, &state.user) else { return };
        match encoding {
            Some(encoding) => encode_event(encoding, user, event, now, &mut state.outbox),
            None => {
                let key = state.message_key.as_deref();
                let audience = Audience { dialect: state.dialect, version: state.traits.version, viewer: user, key };
                encode::push_event(&mut state.outbox, &audience, event);
            }
        }
    }

    /// Ends the connection from the server's side: queues the protocol's notification where it has one, and the close
    /// frame (PROTOCOL 5). The first closing wins.
    pub fn close(&mut self, closing: Closing, now: Moment, context: &Context) {
        self.state.close(closing, now, context);
        self.framer.discard();
    }

    /// Why the connection has ended, if it has: then nothing more is read, and the driver writes the outbox and closes
    /// the socket.
    pub fn closing(&self) -> Option<Closing> {
        match self.state.phase {
            ConnectionPhase::Ended(closing) => Some(closing),
            _ => None,
        }
    }

    /// Bytes queued for the socket.
    pub fn outbox_bytes(&self) -> usize {
        self.state.outbox.len()
    }

    /// The most bytes of the outstanding replies, pages excluded.
    pub fn promised_bytes(&self) -> usize {
        self.state.promised_bytes
    }

    /// Takes all bytes queued for the socket and leaves `spare`, an empty buffer, in their place.
    pub fn drain_outbox(&mut self, spare: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.state.outbox, spare)
    }

    /// When the driver must call `expire`. Every inbound frame moves it. A token expires by the wall clock, and the
    /// deadline assumes that nobody sets that clock; if somebody does, the expiry is noticed at the latest when the
    /// session could have been idle.
    pub fn deadline(&self, now: Moment) -> Steady {
        match self.state.phase {
            ConnectionPhase::Open => {
                let token_ends = now.steady.plus(self.state.token_ends.since(now.wall));
                token_ends.min(self.state.last_inbound.plus(self.state.idle_ms))
            }
            _ => self.state.due,
        }
    }

    /// Ends the connection if its deadline has passed (handshake, authentication, idle time, token); otherwise does
    /// nothing.
    pub fn expire(&mut self, now: Moment, context: &Context) {
        if now.steady < self.deadline(now) {
            return;
        }
        match self.state.phase {
            ConnectionPhase::Handshake => self.close(Closing::HandshakeRefused, now, context),
            ConnectionPhase::Anonymous | ConnectionPhase::Deciding => self.close(Closing::AuthTooLate, now, context),
            ConnectionPhase::Open if now.wall >= self.state.token_ends => {
                self.close(Closing::TokenExpired, now, context)
            }
            ConnectionPhase::Open => self.close(Closing::Idle, now, context),
            ConnectionPhase::Ended(_) => {}
        }
    }
}

impl ConnectionState {
    fn upgraded(&mut self, dialect: Dialect, now: Moment, limits: &Limits) {
        let auth_ms = match dialect {
            Dialect::Binary => limits.auth_binary_ms,
            Dialect::JsonRpc | Dialect::Wukong => limits.auth_json_rpc_ms,
        };
        self.phase = ConnectionPhase::Anonymous;
        self.dialect = dialect;
        self.due = now.steady.plus(auth_ms);
    }

    fn handle_message(
        &mut self,
        piece: Piece<'_>,
        now: Moment,
        context: &Context,
        scratch: &mut Scratch,
    ) -> Option<Incoming> {
        self.last_inbound = now.steady;
        match piece {
            Piece::Fragment | Piece::Pong => None,
            Piece::Ping(payload) => {
                push_frame(&mut self.outbox, FrameKind::Pong, payload);
                None
            }
            Piece::Close(payload) => {
                self.answer_close(payload, now, context);
                None
            }
            Piece::Text(_) | Piece::Binary(_) => self.receive_message(piece, now, context, scratch),
        }
    }

    fn is_congested(&self, context: &Context) -> bool {
        self.outbox.len() > context.limits.outbox_bytes_max / 2
    }
}

mod ending;
#[cfg(test)]
#[path = "noise_tests.rs"]
mod noise;
#[cfg(test)]
mod renewal_tests;
mod requests;
#[cfg(test)]
#[path = "tests.rs"]
pub(super) mod tests;
