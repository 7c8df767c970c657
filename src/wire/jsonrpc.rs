//! Seed 2's half of the wire (proto/jsonrpc.md): JSON-RPC requests to vocabulary, parsed in place by simd-json.
//!
//! Invariants: text is bounded by `json_scan` before it is parsed; what came without an id is never answered; of equal
//! keys the last counts. The other direction is `jsonrpc_encode`.

use super::connection::{Credentials, Dialect};
use super::exchange::{self, ClientTraits, Exchange, Outcome};
use super::json_payload::{self, Payload};
use super::json_scan;
use super::jsonrpc_encode::{push_error, push_nameless_error, push_pong, push_refusal};
use crate::model::{
    Ack, Annotations, Closing, Command, DeviceKey, Extra, GroupId, HeaderFlags, Recipient, Refusal, Refused,
    RequestTag, Send, SettingFlags, UserId,
};
use bytes::Bytes;
use compact_str::CompactString;
use simd_json::prelude::*;
use simd_json::tape::{Object, Value};

pub(super) const PARSE_ERROR: i32 = -32700;
pub(super) const INVALID_REQUEST: i32 = -32600;
pub(super) const METHOD_NOT_FOUND: i32 = -32601;

const TAG_BYTES_MAX: usize = 256;
const ANNOTATION_BYTES_MAX: usize = 128;
/// What a client understands that does not say it.
const VERSION_DEFAULT: u8 = 3;

/// What must be kept as it was sent, copied before the parser changes the text.
struct Verbatim {
    id: Option<CompactString>,
    payload: Option<Bytes>,
}

/// A well-formed request.
struct Request<'t, 'i> {
    tag: RequestTag,
    method: &'i str,
    params: Params<'t, 'i>,
    payload: Option<Bytes>,
}

/// An object's members by name; null counts as absent.
#[derive(Clone, Copy)]
struct Params<'t, 'i>(Option<Value<'t, 'i>>);

/// Takes one message of a client. The bytes are changed.
pub(super) fn hear(bytes: &mut [u8], dialect: Dialect, exchange: &mut Exchange<'_>) -> Outcome {
    let Some(verbatim) = Verbatim::of(bytes) else { return parse_error(exchange) };
    let Ok(tape) = simd_json::to_tape(bytes) else { return parse_error(exchange) };
    match Request::of(tape.as_value(), verbatim) {
        Ok(request) => request.carry_out(dialect, exchange),
        Err((tag, detail)) => {
            match tag {
                RequestTag::None => push_nameless_error(exchange.out, INVALID_REQUEST, detail),
                tag => push_error(exchange.out, &tag, INVALID_REQUEST, detail),
            }
            answered(exchange)
        }
    }
}

fn parse_error(exchange: &mut Exchange<'_>) -> Outcome {
    push_nameless_error(exchange.out, PARSE_ERROR, "parse error");
    Outcome::Malformed
}

/// A stranger has one try.
fn answered(exchange: &Exchange<'_>) -> Outcome {
    if exchange.user.is_none() { Outcome::Refused(Closing::AuthFailed) } else { Outcome::Answered }
}

impl Verbatim {
    fn of(text: &[u8]) -> Option<Self> {
        let outline = json_scan::outline(text)?;
        let id = match outline.id.map(|span| &text[span]) {
            Some(raw @ [b'-' | b'0'..=b'9', ..]) => Some(CompactString::from_utf8(raw).ok()?),
            _ => None,
        };
        let payload = match outline.payload.map(|span| &text[span]) {
            Some(raw @ [b'{', ..]) => Some(Bytes::copy_from_slice(raw)),
            _ => None,
        };
        Some(Self { id, payload })
    }
}

impl<'t, 'i> Request<'t, 'i> {
    /// Says what is wrong with a message that is no request, and to whom.
    fn of(value: Value<'t, 'i>, verbatim: Verbatim) -> Result<Self, (RequestTag, &'static str)> {
        if value.is_array() {
            return Err((RequestTag::None, "batches are not supported"));
        }
        if !value.is_object() {
            return Err((RequestTag::None, "a request is an object"));
        }
        let members = Params(Some(value));
        let tag = match (verbatim.id, members.find("id")) {
            (Some(number), _) => RequestTag::Number(number),
            (None, None) => RequestTag::None,
            (None, Some(id)) => match id.as_str() {
                Some(text) if text.len() <= TAG_BYTES_MAX => RequestTag::Text(text.into()),
                _ => return Err((RequestTag::None, "id must be a string of at most 256 bytes or a number")),
            },
        };
        if members.find("jsonrpc").is_some_and(|version| version.as_str() != Some("2.0")) {
            return Err((tag, "jsonrpc must be \"2.0\""));
        }
        let Some(method) = members.find("method").and_then(|method| method.into_string()) else {
            return Err((tag, "method must be a string"));
        };
        Ok(Self { tag, method, params: Params(members.find("params")), payload: verbatim.payload })
    }

    fn carry_out(self, dialect: Dialect, exchange: &mut Exchange<'_>) -> Outcome {
        let Some(user) = exchange.user else { return self.connect(exchange) };
        let decoded = match self.method {
            _ if !self.params.is_object_or_absent() => Err(Refused::invalid("params must be an object")),
            "send" => self.send(user),
            "recvack" => self.acknowledge(),
            "sync" => self.sync(exchange),
            "ping" => {
                push_pong(exchange.out, dialect, &self.tag);
                return Outcome::Answered;
            }
            "connect" => {
                push_error(exchange.out, &self.tag, INVALID_REQUEST, "already connected");
                return Outcome::Answered;
            }
            _ => {
                push_error(exchange.out, &self.tag, METHOD_NOT_FOUND, "method not found");
                return Outcome::Answered;
            }
        };
        match decoded {
            Ok(command) => Outcome::Request { tag: self.tag, command },
            Err(refused) => {
                push_refusal(exchange.out, &self.tag, refused);
                Outcome::Answered
            }
        }
    }

    /// PROTOCOL 3.3: the first request, and the only one of a stranger.
    fn connect(self, exchange: &mut Exchange<'_>) -> Outcome {
        let decoded = match self.method {
            "connect" => self.credentials(exchange),
            _ => Err(Refusal::NotAuthenticated.into()),
        };
        match decoded {
            Ok((credentials, traits)) => Outcome::Authenticate { credentials, traits },
            Err(refused) => {
                push_refusal(exchange.out, &self.tag, refused);
                Outcome::Refused(Closing::AuthFailed)
            }
        }
    }

    fn credentials(&self, exchange: &Exchange<'_>) -> Result<(Credentials, ClientTraits), Refused> {
        let params = self.params;
        let uid = params.text("uid", "uid must be a string")?.ok_or(Refused::invalid("uid is missing"))?;
        let token = params.text("token", "token must be a string")?.ok_or(Refused::invalid("token is missing"))?;
        if token.len() > exchange.limits.token_bytes_max {
            return Err(Refusal::AuthFailed.into());
        }
        let user = UserId::new(uid).map_err(|_| Refusal::AuthFailed)?;
        let id = params.text("deviceId", "deviceId must be a string")?.unwrap_or_default();
        if id.len() > DeviceKey::ID_BYTES_MAX {
            return Err(Refused::invalid("deviceId is longer than 128 bytes"));
        }
        let flag = params.integer("deviceFlag", "deviceFlag must be an integer")?.unwrap_or_default();
        let flag = u8::try_from(flag).map_err(|_| Refused::invalid("deviceFlag must be 0 to 255"))?;
        let version = params.integer("version", "version must be an integer")?;
        let timestamp = params.integer("clientTimestamp", "clientTimestamp must be an integer")?;
        let traits = ClientTraits {
            version: version.map_or(VERSION_DEFAULT, |version| version.clamp(0, 255) as u8),
            time_diff_ms: timestamp.map_or(0, |then| exchange.now.0.cast_signed().saturating_sub(then)),
        };
        let device = DeviceKey { flag, id: id.into() };
        Ok((Credentials { tag: self.tag.clone(), user, token: token.into(), device }, traits))
    }

    fn send(&self, user: &UserId) -> Result<Command, Refused> {
        let params = self.params;
        let number = params.text("clientMsgNo", "clientMsgNo must be a string")?.unwrap_or_default();
        let from = params.text("fromUid", "fromUid must be a string")?;
        if from.is_some_and(|from| !from.is_empty() && from != user.as_str()) {
            return Err(Refused::because(Refusal::PermissionDenied, "fromUid is not the authenticated user"));
        }
        let expire = params.integer("expire", "expire must be an integer")?.unwrap_or_default();
        match expire {
            0 => {}
            1.. => return Err(Refused::invalid("expire is not supported yet")),
            _ => return Err(Refused::invalid("expire is negative")),
        }
        let Payload { content, message_type } = self.payload()?;
        Ok(Command::Send(Send {
            client_message_id: exchange::client_message_id(number)?,
            recipient: params.recipient()?,
            conversation_name: None,
            message_type,
            content,
            send_time: 0,
            extra: Extra::default(),
            annotations: params.annotations()?,
        }))
    }

    /// PROTOCOL 3.8.
    fn payload(&self) -> Result<Payload, Refused> {
        let value = self.params.find("payload").ok_or(Refused::invalid("payload is missing"))?;
        match (&self.payload, value.as_str()) {
            (Some(verbatim), _) => {
                let message_type = json_payload::message_type(Params(Some(value)).find("type"));
                Ok(Payload { content: verbatim.clone(), message_type })
            }
            (None, Some(text)) => Ok(Payload::of_text(text)),
            (None, None) => Err(Refused::invalid("payload must be an object or a string")),
        }
    }

    fn acknowledge(&self) -> Result<Command, Refused> {
        let id = self.params.text("messageId", "messageId must be a string")?.unwrap_or_default();
        let id = exchange::message_id(id).ok_or(Refused::invalid("messageId must be a decimal number in a string"))?;
        Ok(Command::Ack(Ack::Message(id)))
    }

    fn sync(&self, exchange: &Exchange<'_>) -> Result<Command, Refused> {
        let min_seq = self.params.integer("minSeq", "minSeq must be an integer")?.unwrap_or_default();
        let max_seq = self.params.integer("maxSeq", "maxSeq must be an integer")?.unwrap_or_default();
        let limit = self.params.integer("limit", "limit must be an integer")?.unwrap_or_default();
        exchange::sync(min_seq, max_seq, limit, exchange.limits).map(Command::Sync)
    }
}

impl<'t, 'i> Params<'t, 'i> {
    fn find(self, name: &str) -> Option<Value<'t, 'i>> {
        let object: Object<'t, 'i> = self.0?.as_object()?;
        let found = object.iter().filter(|(key, _)| *key == name).last();
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn is_object_or_absent(self) -> bool {
        self.0.is_none_or(|value| value.is_object())
    }

    fn text(self, name: &str, detail: &'static str) -> Result<Option<&'i str>, Refused> {
        self.find(name).map(|value| value.into_string().ok_or(Refused::invalid(detail))).transpose()
    }

    fn integer(self, name: &str, detail: &'static str) -> Result<Option<i64>, Refused> {
        self.find(name).map(|value| value.as_i64().ok_or(Refused::invalid(detail))).transpose()
    }

    /// An absent flag is not set.
    fn flag(self, name: &str, detail: &'static str) -> Result<bool, Refused> {
        self.find(name).map_or(Ok(false), |value| value.as_bool().ok_or(Refused::invalid(detail)))
    }

    fn object(self, name: &str, detail: &'static str) -> Result<Self, Refused> {
        let inner = Self(self.find(name));
        if inner.is_object_or_absent() { Ok(inner) } else { Err(Refused::invalid(detail)) }
    }

    /// PROTOCOL 3.4.
    fn recipient(self) -> Result<Recipient, Refused> {
        let id = self.text("channelId", "channelId must be a string")?.unwrap_or_default();
        match self.integer("channelType", "channelType must be an integer")? {
            Some(1) => exchange::user_id(id, "channelId is malformed").map(Recipient::User),
            Some(2) => {
                let id = GroupId::new(id).map_err(|_| Refused::invalid("channelId is malformed"))?;
                Ok(Recipient::Group(id))
            }
            _ => Err(Refused::invalid("channelType must be 1 or 2")),
        }
    }

    /// PROTOCOL 3.10, 3.11. What would change a message's fate and is not built yet is refused, not dropped.
    fn annotations(self) -> Result<Option<Box<Annotations>>, Refused> {
        const FLAG: &str = "a flag of header or setting must be a boolean";
        let header = self.object("header", "header must be an object")?;
        let setting = self.object("setting", "setting must be an object")?;
        if header.flag("noPersist", FLAG)? {
            return Err(Refused::invalid("header.noPersist is not supported yet"));
        }
        if header.flag("syncOnce", FLAG)? {
            return Err(Refused::invalid("header.syncOnce is not supported yet"));
        }
        if setting.flag("stream", FLAG)? {
            return Err(Refused::invalid("setting.stream is not supported yet"));
        }
        let annotations = Annotations {
            header: HeaderFlags {
                red_dot: header.flag("redDot", FLAG)?,
                dup: header.flag("dup", FLAG)?,
                ..HeaderFlags::default()
            },
            setting: SettingFlags { receipt: setting.flag("receipt", FLAG)?, topic: setting.flag("topic", FLAG)? },
            topic: self.annotation("topic", "topic must be a string of at most 128 bytes")?,
            message_key: self.annotation("msgKey", "msgKey must be a string of at most 128 bytes")?,
            ..Annotations::default()
        };
        Ok((annotations != Annotations::default()).then(|| Box::new(annotations)))
    }

    fn annotation(self, name: &str, detail: &'static str) -> Result<Option<CompactString>, Refused> {
        match self.text(name, detail)? {
            Some(text) if text.len() > ANNOTATION_BYTES_MAX => Err(Refused::invalid(detail)),
            text => Ok(text.filter(|text| !text.is_empty()).map(CompactString::new)),
        }
    }
}

#[cfg(test)]
#[path = "jsonrpc_tests.rs"]
mod tests;
