//! One connection as a value: handshake, frames, protocol. Fed bytes, asked for bytes; it can move between shards.
//!
//! Owned by whoever holds the socket. Invariants: once `closing` is set nothing is read and nothing more is queued; what
//! is queued is whole frames in order; an idle connection holds no buffer.

pub(super) mod encoding;
pub(super) mod shared_frames;
#[cfg(test)]
pub(super) mod sizing_tests;

use super::{jsonrpc, protobuf};
use crate::model::{Closing, Event, Limits, Millis, Moment, Refusal, Refused, Reply, RequestTag, Steady, UserId, Verb};
use crate::wire::base::chunk::ReceivedBytes;
use crate::wire::base::dialect::Dialect;
use crate::wire::base::frame::{FrameKind, push_frame};
use crate::wire::base::scratch::Scratch;
use crate::wire::common::exchange::{ClientTraits, Exchange, Outcome};
use crate::wire::common::incoming::{Context, Incoming};
use crate::wire::connection::encoding::{Encoding, encode_event};
use crate::wire::json::message_key::MessageKey;
use crate::wire::jsonrpc::encode;
use crate::wire::jsonrpc::encode::Welcome;
use crate::wire::jsonrpc::message::Audience;
use crate::wire::protobuf::encode as protobuf_encode;
use crate::wire::websocket::framer::{Framer, MessageKind, Piece, Rules, close_code};
use crate::wire::websocket::handshake::{self, Handshake};

/// Requests of one connection that wait for their answers.
const UNANSWERED_MAX: u32 = 10_000;
/// What an answer says beside its tag, unless it is a page.
const ANSWER_BYTES: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionPhase {
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
    state: ConnectionState,
}

/// All but the reading of frames, so that a piece of the reader's bytes can be answered while it is borrowed.
struct ConnectionState {
    phase: ConnectionPhase,
    dialect: Dialect,
    traits: ClientTraits,
    salt: [u8; 16],
    /// Set when the client gave a key: then its messages must be proved, and so are those that it gets.
    message_key: Option<Box<MessageKey>>,
    user: Option<UserId>,
    outbox: Vec<u8>,
    /// Requests given out that want an answer and have none yet, and what their answers may take: each a line and its tag.
    unanswered: u32,
    promised_bytes: usize,
    malformed_in_a_row: u32,
    /// The end of the phase, whatever the client does. An open session has none.
    due: Steady,
    /// An open session ends with its token, and some time on.
    token_ends: Millis,
    last_inbound: Steady,
    idle_ms: u64,
}

impl Connection {
    pub fn new(now: Moment, context: &Context) -> Self {
        let state = ConnectionState {
            phase: ConnectionPhase::Handshake,
            dialect: Dialect::Binary,
            traits: ClientTraits::default(),
            salt: [b'0'; 16],
            message_key: None,
            user: None,
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

    /// The next thing the client asks for, out of stowed bytes and `chunk`. What needs no shard (handshake, heartbeat,
    /// ping, bad requests, the closing handshake) is answered on the way. `None`: more bytes are needed, or an
    /// authentication is being decided, or half of the outbox is full, or the connection has ended.
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

    /// Reads the upgrade request and answers it. Whether there is anything further to do.
    fn shake_hands(&mut self, chunk: &mut ReceivedBytes<'_>, now: Moment, context: &Context) -> bool {
        let limits = &context.limits;
        let is_in_chunk = self.framer.stowed_bytes() == 0;
        let bytes = if is_in_chunk { chunk.rest() } else { self.framer.gather(chunk, limits.handshake_bytes_max) };
        let (bytes_max, subprotocols) = (limits.handshake_bytes_max, &context.subprotocols[..]);
        match handshake::answer(bytes, bytes_max, subprotocols, &mut self.state.outbox) {
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
    pub fn buffer(&mut self, chunk: ReceivedBytes<'_>) {
        if self.closing().is_none() {
            self.framer.buffer(chunk);
        }
    }

    /// Bytes kept by `buffer`.
    pub fn stowed_bytes(&self) -> usize {
        self.framer.stowed_bytes()
    }

    /// The token is good: from here on this is `user`'s connection, until `expires`. `salt` is 16 random letters. An error
    /// says that the client's own key is of no use, and is to be told with `refuse_authentication`.
    pub fn authenticate(
        &mut self,
        user: UserId,
        expires: Millis,
        salt: [u8; 16],
        now: Moment,
        context: &Context,
    ) -> Result<(), Refused> {
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

    /// The session's fresh token is good until `expires`.
    pub fn renew(&mut self, expires: Millis, context: &Context) {
        if self.state.phase == ConnectionPhase::Open {
            self.state.token_ends = expires.plus(context.limits.token_grace_ms);
        }
    }

    /// The token is not good: says so, and ends the connection.
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

    /// Like `refuse_authentication`, where its user's core knows better than the one that called `authenticate`.
    pub fn turn_away(&mut self, tag: &RequestTag, refused: Refused, now: Moment, context: &Context) {
        if self.state.phase == ConnectionPhase::Open {
            self.state.phase = ConnectionPhase::Deciding;
            self.refuse_authentication(tag, refused, now, context);
        }
    }

    pub fn user(&self) -> Option<&UserId> {
        self.state.user.as_ref()
    }

    /// Queues the reply to the request that carried `tag`; each gets one.
    pub fn reply(&mut self, tag: &RequestTag, reply: &Reply, now: Moment, context: &Context) {
        if self.state.phase == ConnectionPhase::Open {
            self.state.reply(tag, reply, now, context);
        }
    }

    /// Queues bytes made by `encode_event` for this connection's encoding and user.
    pub fn enqueue(&mut self, frame: &[u8]) {
        if self.state.phase == ConnectionPhase::Open {
            self.state.outbox.extend_from_slice(frame);
        }
    }

    /// What others may share with this connection; `None` when its messages carry keys of its own: then `tell` it.
    pub fn encoding(&self) -> Option<Encoding> {
        let version = self.state.traits.version;
        match self.state.dialect {
            _ if self.state.message_key.is_some() => None,
            Dialect::Binary => Some(Encoding::Binary),
            Dialect::JsonRpc => Some(Encoding::JsonRpc { version }),
            Dialect::Wukong => Some(Encoding::Wukong { version }),
        }
    }

    /// Queues `event`, written for this connection alone.
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

    /// Ends the connection from this side: the protocol's farewell where it has one, then the close frame. The first
    /// closing wins.
    pub fn close(&mut self, closing: Closing, now: Moment, context: &Context) {
        self.state.close(closing, now, context);
        self.framer.discard();
    }

    /// Set once the connection has ended: nothing more is read; the outbox is to be written, then the socket closed.
    pub fn closing(&self) -> Option<Closing> {
        match self.state.phase {
            ConnectionPhase::Ended(closing) => Some(closing),
            _ => None,
        }
    }

    pub fn outbox_bytes(&self) -> usize {
        self.state.outbox.len()
    }

    /// What the answers that it still waits for may take, pages apart.
    pub fn promised_bytes(&self) -> usize {
        self.state.promised_bytes
    }

    /// Takes all bytes queued for the socket and leaves `spare` (empty) in their place.
    pub fn drain_outbox(&mut self, spare: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.state.outbox, spare)
    }

    /// When `expire` is to be called next. It moves later with every inbound frame. A token ends by the wall clock: when
    /// that is, goes by what the wall clock shows now; one that is set on meanwhile is noticed at the latest when the
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

    /// Ends the connection when its deadline has passed (handshake, authentication, idle, token); otherwise nothing.
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
            Piece::Message(kind, bytes) => self.receive_message((kind, bytes), now, context, scratch),
        }
    }

    fn is_congested(&self, context: &Context) -> bool {
        self.outbox.len() > context.limits.outbox_bytes_max / 2
    }

    fn receive_message(
        &mut self,
        (kind, bytes): (MessageKind, &mut [u8]),
        now: Moment,
        context: &Context,
        scratch: &mut Scratch,
    ) -> Option<Incoming> {
        let mut exchange = Exchange {
            user: self.user.as_ref(),
            message_key: self.message_key.as_deref(),
            limits: &context.limits,
            now: now.wall,
            out: &mut self.outbox,
            scratch,
        };
        let outcome = match (self.dialect, kind) {
            (Dialect::Binary, MessageKind::Binary) => protobuf::handle_message(bytes, &mut exchange),
            (Dialect::Binary, MessageKind::Text) => Outcome::Refused(Closing::WrongKind),
            (dialect, _) => jsonrpc::handle_message(bytes, dialect, &mut exchange),
        };
        if outcome != Outcome::Malformed {
            self.malformed_in_a_row = 0;
        }
        match outcome {
            Outcome::Answered => None,
            Outcome::Authenticate { credentials, traits } => {
                self.traits = traits;
                self.phase = ConnectionPhase::Deciding;
                Some(Incoming::Authenticate(credentials))
            }
            Outcome::Reauthenticate { tag, token } => {
                self.admit(&tag, Verb::Reauthenticate, now, scratch).then_some(Incoming::Reauthenticate { tag, token })
            }
            Outcome::Request { tag, command } => {
                self.admit(&tag, command.verb(), now, scratch).then_some(Incoming::Request { tag, command })
            }
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

    /// Whether there is room for one more request to be answered; if not, says so.
    fn admit(&mut self, tag: &RequestTag, verb: Verb, now: Moment, scratch: &mut Scratch) -> bool {
        if *tag == RequestTag::None {
            return true;
        }
        if self.unanswered < UNANSWERED_MAX {
            self.unanswered += 1;
            self.promised_bytes += answer_bytes(tag);
            return true;
        }
        let refused = Refused::because(Refusal::SendTooFast, "too many unanswered requests");
        scratch.count_refusal(refused.refusal);
        match tag {
            RequestTag::Sequence(sequence, _) => {
                protobuf_encode::push_refusal(&mut self.outbox, now.wall, verb, *sequence, refused);
            }
            tag => encode::push_refusal(&mut self.outbox, tag, refused),
        }
        false
    }

    fn reply(&mut self, tag: &RequestTag, reply: &Reply, now: Moment, context: &Context) {
        let Some(user) = &self.user else { return };
        if *tag != RequestTag::None {
            self.unanswered = self.unanswered.saturating_sub(1);
            self.promised_bytes = self.promised_bytes.saturating_sub(answer_bytes(tag));
        }
        match (self.dialect, tag) {
            (Dialect::Binary, RequestTag::Sequence(sequence, verb)) => {
                protobuf_encode::push_reply(&mut self.outbox, now.wall, (*sequence, *verb), user, reply, context);
            }
            (Dialect::Binary, _) => {}
            (dialect, tag) => {
                let key = self.message_key.as_deref();
                let audience = Audience { dialect, version: self.traits.version, viewer: user, key };
                let welcome = Welcome { context, salt: &self.salt, time_diff_ms: self.traits.time_diff_ms };
                encode::push_reply(&mut self.outbox, &audience, tag, reply, &welcome);
            }
        }
    }
}

/// What an answer that is no page takes at the most.
fn answer_bytes(tag: &RequestTag) -> usize {
    ANSWER_BYTES
        + match tag {
            RequestTag::None | RequestTag::Sequence(..) => 0,
            RequestTag::Number(digits) => digits.len(),
            // At the most, escaped.
            RequestTag::Text(id) => 6 * id.len(),
        }
}

mod ending;
#[cfg(test)]
#[path = "noise_tests.rs"]
mod noise;
#[cfg(test)]
mod renewal_tests;
#[cfg(test)]
#[path = "tests.rs"]
pub(super) mod tests;
