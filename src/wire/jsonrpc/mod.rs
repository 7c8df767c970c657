//! The JSON-RPC protocol (proto/jsonrpc.md): requests, and which of them a connection may make. `plain` reads most
//! requests in place; other texts are parsed in place by simd-json.
//!
//! Invariants: text is bounded by `scan` before it is parsed, apart from an object as payload, which the parser never
//! reads; JSON beyond the bounds is refused under its id; a notification is never answered. `request` decodes params;
//! `encode` writes the other direction.

pub(super) mod audience;
pub(super) mod encode;
pub(super) mod fact;
pub(super) mod message;
pub(super) mod params;
pub(super) mod payload;
pub(super) mod plain;
pub(super) mod request;

use crate::model::{Closing, DeviceKey, Refusal, Refused, RequestTag, UserId, Verb};
use crate::wire::base::dialect::Dialect;
use crate::wire::base::scratch::Scratch;
use crate::wire::common::exchange::{self, ClientTraits, Exchange, Handled, MessageFault};
use crate::wire::common::incoming::{Credentials, Incoming};
use crate::wire::json::message_key::ClientKey;
use crate::wire::json::scan;
use crate::wire::json::survey::{self, Excess, Survey};
use crate::wire::json::value::Value;
use crate::wire::jsonrpc::encode::{push_error, push_nameless_error, push_pong, push_refusal};
use crate::wire::jsonrpc::params::Params;
use crate::wire::jsonrpc::payload::Payload;
use crate::wire::jsonrpc::plain::Plain;
use compact_str::CompactString;
use simd_json::tape;

pub(super) const PARSE_ERROR: i32 = -32700;
pub(super) const INVALID_REQUEST: i32 = -32600;
pub(super) const METHOD_NOT_FOUND: i32 = -32601;

const TAG_BYTES_MAX: usize = 256;
const UNFIT_ID: &str = "id must be a string or a number of at most 256 bytes";
/// The newest version that there is; a client that says nothing understands it, and one that says more no more than it.
const VERSION_MAX: u8 = 3;

/// What must be kept as it was sent, copied before the parser changes the text.
struct Verbatim {
    /// The id, when it came as a number.
    id: Option<CompactString>,
    /// `params.payload`, when it is an object.
    payload: Option<Payload>,
}

/// The members of a request. Of equal ones the last counts.
struct RequestMembers<'p, 't, 'i> {
    id: Option<Value<'t, 'i>>,
    /// The id, when it came as a number.
    number: Option<CompactString>,
    jsonrpc: Option<Value<'t, 'i>>,
    method: Option<Value<'t, 'i>>,
    params: &'p Params<'t, 'i>,
    /// `params.payload`, when it is an object.
    payload: Option<Payload>,
}

/// A well-formed request.
struct Request<'p, 't, 'i> {
    tag: RequestTag,
    method: &'i str,
    params: &'p Params<'t, 'i>,
    payload: Option<Payload>,
}

/// Takes one message of a client, if it is text.
pub(super) fn handle_bytes(bytes: &[u8], dialect: Dialect, exchange: &mut Exchange<'_>) -> Handled {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => handle_message(text, dialect, exchange),
        Err(_) => parse_error(exchange),
    }
}

/// Takes one message of a client.
pub(super) fn handle_message(text: &str, dialect: Dialect, exchange: &mut Exchange<'_>) -> Handled {
    let mut plain = Plain::default();
    if plain.read(text).is_some() {
        return answer(RequestMembers::plain(&plain, exchange.scratch), dialect, exchange);
    }
    drop(plain);
    handle_parsed(text, dialect, exchange)
}

/// `handle_message`, whatever the text is like: the parser changes a copy of it.
fn handle_parsed(text: &str, dialect: Dialect, exchange: &mut Exchange<'_>) -> Handled {
    let bytes = &mut text.as_bytes().to_vec()[..];
    let Some(survey) = survey::of_request(bytes) else { return parse_error(exchange) };
    if let Some(excess) = survey.excess {
        if !survey.is_object {
            return invalid(RequestTag::None, "a request is an object", exchange);
        }
        return too_much(excess, survey.id.map(|span| &bytes[span]), exchange);
    }
    let verbatim = Verbatim::take(bytes, survey, exchange.scratch);
    let Some(tape) = exchange.scratch.parse(bytes) else { return parse_error(exchange) };
    let outcome = handle_value(tape.as_value(), verbatim, dialect, exchange);
    exchange.scratch.rewind(tape);
    outcome
}

fn handle_value(
    value: tape::Value<'_, '_>,
    verbatim: Verbatim,
    dialect: Dialect,
    exchange: &mut Exchange<'_>,
) -> Handled {
    if value.is_array() {
        return invalid(RequestTag::None, "batches are not supported", exchange);
    }
    if !value.is_object() {
        return invalid(RequestTag::None, "a request is an object", exchange);
    }
    let members = Params::of(Some(Value::Parsed(value)));
    let params = Params::of(members.find("params"));
    answer(RequestMembers::parsed(&members, &params, verbatim), dialect, exchange)
}

fn answer(envelope: RequestMembers<'_, '_, '_>, dialect: Dialect, exchange: &mut Exchange<'_>) -> Handled {
    match Request::of(envelope) {
        Ok(request) => request.execute(dialect, exchange),
        Err((tag, detail)) => invalid(tag, detail, exchange),
    }
}

fn invalid(tag: RequestTag, detail: &'static str, exchange: &mut Exchange<'_>) -> Handled {
    exchange.scratch.count_malformed();
    match tag {
        RequestTag::None => push_nameless_error(exchange.out, INVALID_REQUEST, detail),
        tag => push_error(exchange.out, &tag, INVALID_REQUEST, detail),
    }
    answered(exchange)
}

/// Refuses an object beyond the bounds; `id` is the JSON text of its id.
#[cold]
fn too_much(excess: Excess, id: Option<&[u8]>, exchange: &mut Exchange<'_>) -> Handled {
    let refused = excess.refused();
    exchange.scratch.count_refusal(refused.refusal);
    match id.map_or(Some(RequestTag::None), |raw| tag_of(raw, exchange.scratch)) {
        Some(tag) => push_refusal(exchange.out, &tag, refused),
        None => push_nameless_error(exchange.out, INVALID_REQUEST, UNFIT_ID),
    }
    answered(exchange)
}

/// `None`: no request has such an id.
fn tag_of(raw: &[u8], scratch: &mut Scratch) -> Option<RequestTag> {
    match raw {
        b"null" => Some(RequestTag::None),
        [b'-' | b'0'..=b'9', ..] => number_tag(raw).map(RequestTag::Number),
        _ => {
            scan::outline(raw)?;
            let mut text = raw.to_vec();
            let tape = scratch.parse(&mut text)?;
            let tag = Value::Parsed(tape.as_value()).text().filter(|text| text.len() <= TAG_BYTES_MAX);
            let tag = tag.map(|text| RequestTag::Text(text.into()));
            scratch.rewind(tape);
            tag
        }
    }
}

fn number_tag(raw: &[u8]) -> Option<CompactString> {
    if raw.len() <= TAG_BYTES_MAX { CompactString::from_utf8(raw).ok() } else { None }
}

fn parse_error(exchange: &mut Exchange<'_>) -> Handled {
    exchange.scratch.count_malformed();
    push_nameless_error(exchange.out, PARSE_ERROR, "parse error");
    Err(MessageFault::Malformed)
}

/// A stranger has one try.
fn answered(exchange: &Exchange<'_>) -> Handled {
    if exchange.user.is_none() { Err(MessageFault::Fatal(Closing::AuthFailed)) } else { Ok(None) }
}

impl Verbatim {
    /// Takes what `survey` found out of `text`, and leaves there what any parser takes.
    fn take(text: &mut [u8], survey: Survey, scratch: &mut Scratch) -> Self {
        let mut verbatim = Self { id: None, payload: None };
        if let Some(payload) = survey.payload.map(|span| &mut text[span]) {
            verbatim.payload = Some(Payload::of_any_object(payload, scratch));
            payload.fill(b' ');
            payload[..2].copy_from_slice(b"{}");
        }
        if let Some(id @ [b'-' | b'0'..=b'9', ..]) = survey.id.map(|span| &mut text[span]) {
            verbatim.id = number_tag(id);
            id.fill(b' ');
            id[0] = b'0';
        }
        verbatim
    }
}

impl<'p, 'i> RequestMembers<'p, 'i, 'i> {
    fn plain(plain: &'p Plain<'i>, scratch: &mut Scratch) -> Self {
        let number = plain.id.filter(|id| id.starts_with(|first: char| first == '-' || first.is_ascii_digit()));
        Self {
            id: plain.id.map(Value::Plain),
            number: number.map(CompactString::new),
            jsonrpc: plain.jsonrpc.map(Value::Plain),
            method: plain.method.map(Value::Plain),
            params: &plain.params,
            payload: plain.payload.as_ref().map(|payload| Payload::of_object(payload, scratch)),
        }
    }
}

impl<'p, 't, 'i> RequestMembers<'p, 't, 'i> {
    fn parsed(members: &Params<'t, 'i>, params: &'p Params<'t, 'i>, verbatim: Verbatim) -> Self {
        let (id, jsonrpc, method) = (members.find("id"), members.find("jsonrpc"), members.find("method"));
        Self { id, number: verbatim.id, jsonrpc, method, params, payload: verbatim.payload }
    }
}

impl<'p, 't, 'i> Request<'p, 't, 'i> {
    /// Says what is wrong with a message that is no request, and to whom.
    fn of(envelope: RequestMembers<'p, 't, 'i>) -> Result<Self, (RequestTag, &'static str)> {
        let RequestMembers { id, number, jsonrpc, method, params, payload } = envelope;
        let tag = match (number, id.filter(|id| !id.is_null())) {
            (Some(number), _) => RequestTag::Number(number),
            (None, None) => RequestTag::None,
            (None, Some(id)) => match id.text() {
                Some(text) if text.len() <= TAG_BYTES_MAX => RequestTag::Text(text.into()),
                _ => return Err((RequestTag::None, UNFIT_ID)),
            },
        };
        if jsonrpc.is_some_and(|version| !version.is_null() && version.text() != Some("2.0")) {
            return Err((tag, "jsonrpc must be \"2.0\""));
        }
        let Some(method) = method.and_then(Value::text) else {
            return Err((tag, "method must be a string"));
        };
        Ok(Self { tag, method, params, payload })
    }

    fn execute(self, dialect: Dialect, exchange: &mut Exchange<'_>) -> Handled {
        let Some(user) = exchange.user else { return self.connect(exchange) };
        let decoded = match verb_of(self.method) {
            _ if !self.params.is_object_or_absent() => Err(Refused::invalid("params must be an object")),
            Some(Verb::Authenticate) => {
                exchange.scratch.count_malformed();
                push_error(exchange.out, &self.tag, INVALID_REQUEST, "already connected");
                return Ok(None);
            }
            Some(Verb::Reauthenticate) => self.fresh_token(user, exchange),
            Some(verb) => match request::command(verb, self.params, self.payload, user, exchange) {
                Ok(command) => return Ok(Some(Incoming::Request { tag: self.tag, command })),
                Err(refused) => Err(refused),
            },
            None if self.method == "ping" => {
                push_pong(exchange.out, dialect, &self.tag);
                return Ok(None);
            }
            None => {
                exchange.scratch.count_malformed();
                push_error(exchange.out, &self.tag, METHOD_NOT_FOUND, "method not found");
                return Ok(None);
            }
        };
        match decoded {
            Ok(incoming) => Ok(Some(incoming)),
            Err(refused) => {
                exchange.scratch.count_refusal(refused.refusal);
                push_refusal(exchange.out, &self.tag, refused);
                Ok(None)
            }
        }
    }

    /// A live session's fresh token; it need not say again whose.
    fn fresh_token(&self, user: &UserId, exchange: &Exchange<'_>) -> Result<Incoming, Refused> {
        let uid = self.params.text("uid", "uid must be a string")?;
        let token = self.params.text("token", "token must be a string")?;
        let token = token.ok_or(Refused::invalid("token is missing"))?;
        let token = exchange::fresh_token(user, uid, token, exchange.limits)?;
        Ok(Incoming::Reauthenticate { tag: self.tag.clone(), token })
    }

    /// PROTOCOL 3.3: the first request, and the only one of a stranger.
    fn connect(self, exchange: &mut Exchange<'_>) -> Handled {
        let decoded = match self.method {
            "connect" => self.credentials(exchange),
            _ => Err(Refusal::NotAuthenticated.into()),
        };
        match decoded {
            Ok((credentials, traits)) => {
                *exchange.traits = traits;
                Ok(Some(Incoming::Authenticate(credentials)))
            }
            Err(refused) => {
                exchange.scratch.count_refusal(refused.refusal);
                push_refusal(exchange.out, &self.tag, refused);
                Err(MessageFault::Fatal(Closing::AuthFailed))
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
        let id = exchange::device_id(id)?;
        let flag = params.integer("deviceFlag", "deviceFlag must be an integer")?.unwrap_or_default();
        let flag = u8::try_from(flag).map_err(|_| Refused::invalid("deviceFlag must be 0 to 255"))?;
        let version = params.integer("version", "version must be an integer")?;
        let timestamp = params.integer("clientTimestamp", "clientTimestamp must be an integer")?;
        let traits = ClientTraits {
            version: version.map_or(VERSION_MAX, |version| version.clamp(0, VERSION_MAX.into()) as u8),
            time_diff_ms: timestamp.map_or(0, |then| exchange.now.0.cast_signed().saturating_sub(then)),
            client_key: self.client_key()?,
        };
        let device = DeviceKey { flag, id };
        Ok((Credentials { tag: self.tag.clone(), user, token: token.into(), device }, traits))
    }

    /// An empty key is none.
    fn client_key(&self) -> Result<Option<ClientKey>, Refused> {
        match self.params.text("clientKey", "clientKey must be a string")? {
            None | Some("") => Ok(None),
            Some(text) => {
                let key = ClientKey::parse(text);
                key.map(Some).ok_or(Refused::invalid("clientKey must be base64 of an X25519 public key of 32 bytes"))
            }
        }
    }
}

/// What a method asks for; `ping` needs no shard.
fn verb_of(method: &str) -> Option<Verb> {
    Some(match method {
        "connect" => Verb::Authenticate,
        "reauth" => Verb::Reauthenticate,
        "send" => Verb::Send,
        "sync" => Verb::Sync,
        "recvack" => Verb::Ack,
        "revoke" => Verb::Revoke,
        "receipt" => Verb::Receipt,
        "typing" => Verb::Typing,
        "history" => Verb::History,
        "conversations" => Verb::Conversations,
        "markRead" => Verb::MarkRead,
        "clearHistory" => Verb::ClearHistory,
        "deleteConversation" => Verb::DeleteConversation,
        "presence" => Verb::Presence,
        "groupInfo" => Verb::ShowGroup,
        "groupMembers" => Verb::ChangeMembers,
        "groupMember" => Verb::ChangeMember,
        "groupProfile" => Verb::ChangeGroup,
        "leaveGroup" => Verb::LeaveGroup,
        "joinGroup" => Verb::JoinGroup,
        "groupRequests" => Verb::ListRequests,
        "groupAnswer" => Verb::AnswerRequest,
        "dissolveGroup" => Verb::DissolveGroup,
        "profile" => Verb::ShowProfile,
        "setProfile" => Verb::SetProfile,
        "registerDevice" => Verb::RegisterDevice,
        "unregisterDevice" => Verb::UnregisterDevice,
        "devices" => Verb::ShowDevices,
        _ => return None,
    })
}

#[cfg(test)]
mod alike_tests;
#[cfg(test)]
mod tests;
