//! The end of a connection: the notification in the client's protocol, the HTTP status or the close frame, and the time
//! that the client has to read it.
//!
//! Part of `connection`. Invariant: a connection ends once; the first closing counts.

use super::{ConnectionPhase, ConnectionState, Context, Dialect};
use crate::model::{Closing, Limits, Moment};
use crate::wire::base::frame::{FrameKind, push_frame};
use crate::wire::jsonrpc::encode;
use crate::wire::protobuf::encode as protobuf_encode;
use crate::wire::websocket::framer::close_code;
use crate::wire::websocket::handshake;
use crate::wire::websocket::http_refusal::HttpRefusal;

impl ConnectionState {
    pub(super) fn close(&mut self, closing: Closing, now: Moment, context: &Context) {
        if let ConnectionPhase::Ended(_) = self.phase {
            return;
        }
        if self.phase == ConnectionPhase::Open {
            match self.dialect {
                Dialect::Binary => protobuf_encode::push_closing(&mut self.outbox, now.wall, closing),
                Dialect::JsonRpc | Dialect::Wukong => encode::push_closing(&mut self.outbox, closing),
            }
        }
        if self.phase == ConnectionPhase::Handshake {
            match closing {
                Closing::Crowded => {
                    self.outbox.extend_from_slice(handshake::service_unavailable(closing.name()).as_bytes());
                }
                Closing::ProxyHeaderMissing => HttpRefusal::BadRequest.write(&mut self.outbox),
                _ => {}
            }
        } else if let Some(code) = closing.code() {
            let payload = [code.to_be_bytes().as_slice(), closing.reason().as_bytes()].concat();
            push_frame(&mut self.outbox, FrameKind::Close, &payload);
        }
        self.end(closing, now, &context.limits);
    }

    pub(super) fn answer_close(&mut self, payload: &[u8], now: Moment, context: &Context) {
        match close_code(payload) {
            Err(closing) => self.close(closing, now, context),
            Ok(code) => {
                let code = code.map(u16::to_be_bytes);
                push_frame(&mut self.outbox, FrameKind::Close, code.as_ref().map_or(&[], |code| code.as_slice()));
                self.end(Closing::Normal, now, &context.limits);
            }
        }
    }

    pub(super) fn end(&mut self, closing: Closing, now: Moment, limits: &Limits) {
        self.phase = ConnectionPhase::Ended(closing);
        self.due = now.steady.plus(limits.close_timeout_ms);
    }
}
