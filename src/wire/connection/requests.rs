//! The requests of a connection and their replies: decoded and counted, and encoded into the outbox.
//!
//! Part of `connection`. Invariant: a request that was returned to the driver counts as unanswered until its reply.

use super::{ConnectionPhase, ConnectionState};
use crate::model::{Closing, Moment, Refusal, Refused, Reply, RequestTag, Verb};
use crate::wire::base::dialect::Dialect;
use crate::wire::base::scratch::Scratch;
use crate::wire::common::exchange::{Exchange, MessageFault};
use crate::wire::common::incoming::{Context, Incoming};
use crate::wire::jsonrpc;
use crate::wire::jsonrpc::audience::Audience;
use crate::wire::jsonrpc::encode;
use crate::wire::jsonrpc::encode::Welcome;
use crate::wire::protobuf::dispatch;
use crate::wire::protobuf::encode as protobuf_encode;
use crate::wire::protobuf::encode::AnsweredRequest;
use crate::wire::websocket::framer::Piece;

/// The most requests of one connection that wait for their replies.
pub(super) const UNANSWERED_MAX: u32 = 10_000;
/// The most bytes of a reply beside its tag, unless the reply is a page.
const ANSWER_BYTES: usize = 256;

impl ConnectionState {
    pub(super) fn receive_message(
        &mut self,
        message: Piece<'_>,
        now: Moment,
        context: &Context,
        scratch: &mut Scratch,
    ) -> Option<Incoming> {
        scratch.count_received(self.dialect);
        let mut exchange = Exchange {
            user: self.user.as_ref(),
            message_key: self.message_key.as_deref(),
            traits: &mut self.traits,
            limits: &context.limits,
            now: now.wall,
            out: &mut self.outbox,
            scratch,
        };
        let outcome = match (self.dialect, message) {
            (Dialect::Binary, Piece::Binary(bytes)) => dispatch::handle_message(bytes, &mut exchange),
            (Dialect::Binary, _) => Err(MessageFault::Fatal(Closing::WrongKind)),
            (dialect, Piece::Text(text)) => jsonrpc::handle_message(text, dialect, &mut exchange),
            (dialect, Piece::Binary(bytes)) => jsonrpc::handle_bytes(bytes, dialect, &mut exchange),
            (_, Piece::Fragment | Piece::Ping(_) | Piece::Pong | Piece::Close(_)) => Ok(None),
        };
        if !matches!(outcome, Err(MessageFault::Malformed)) {
            self.malformed_in_a_row = 0;
        }
        match outcome {
            Ok(None) => None,
            Ok(Some(incoming)) => self.admit(&incoming, now, scratch).then_some(incoming),
            Err(MessageFault::Malformed) => {
                self.malformed_in_a_row += 1;
                if self.malformed_in_a_row >= context.limits.bad_requests_max {
                    self.close(Closing::TooManyBadRequests, now, context);
                }
                None
            }
            Err(MessageFault::Fatal(closing)) => {
                self.close(closing, now, context);
                None
            }
        }
    }

    /// Whether one more request may be outstanding; if not, queues a refusal.
    fn admit(&mut self, incoming: &Incoming, now: Moment, scratch: &mut Scratch) -> bool {
        let (tag, verb) = match incoming {
            Incoming::Request { tag, command } => (tag, command.verb()),
            Incoming::Reauthenticate { tag, .. } => (tag, Verb::Reauthenticate),
            // `next` returns nothing more until the driver has decided, so there is one at the most.
            Incoming::Authenticate(_) => {
                self.phase = ConnectionPhase::Deciding;
                return true;
            }
        };
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

    pub(super) fn reply(&mut self, tag: &RequestTag, reply: &Reply, now: Moment, context: &Context) {
        let Some(user) = &self.user else { return };
        if *tag != RequestTag::None {
            self.unanswered = self.unanswered.saturating_sub(1);
            self.promised_bytes = self.promised_bytes.saturating_sub(answer_bytes(tag));
        }
        match (self.dialect, tag) {
            (Dialect::Binary, RequestTag::Sequence(sequence, verb)) => {
                let request = AnsweredRequest { sequence: *sequence, verb: *verb, viewer: user };
                protobuf_encode::push_reply(&mut self.outbox, now.wall, request, reply, context);
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

/// The most bytes of a reply to this tag, unless the reply is a page.
fn answer_bytes(tag: &RequestTag) -> usize {
    ANSWER_BYTES
        + match tag {
            RequestTag::None | RequestTag::Sequence(..) => 0,
            RequestTag::Number(digits) => digits.len(),
            // At the most, escaped.
            RequestTag::Text(id) => 6 * id.len(),
        }
}
