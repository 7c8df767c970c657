//! Seed 1's half of the wire (proto/im.proto): binary messages to vocabulary.
//!
//! Invariants: what cannot be decoded is answered, never trusted; a response has its request's sequence. The other
//! direction is `protobuf_encode`.

use super::connection::Credentials;
use super::exchange::{self, ClientTraits, Exchange, Outcome};
use super::protobuf_encode::{push_envelope, push_refusal};
use crate::model::{
    Ack, Closing, Command, ConversationName, DeviceKey, Extra, GroupId, Limits, Recipient, Refusal, Refused,
    RequestTag, Send, Seq, UserId, Verb,
};
use compact_str::CompactString;
use im::CommandType;
use prost::Message as _;
use std::collections::BTreeMap;

/// The types of proto/im.proto.
#[allow(dead_code, clippy::enum_variant_names)] // Some commands are not handled yet.
pub mod im {
    include!(concat!(env!("OUT_DIR"), "/im.rs"));
}

/// Takes one message of a client.
pub(super) fn hear(bytes: &[u8], exchange: &mut Exchange<'_>) -> Outcome {
    let Ok(envelope) = im::WebSocketMessage::decode(bytes) else {
        let refused = Refused::invalid("not a WebSocketMessage");
        push_refusal(exchange.out, exchange.now, CommandType::CmdUnknown, 0, refused);
        return Outcome::Malformed;
    };
    let command = CommandType::try_from(envelope.command).unwrap_or(CommandType::CmdUnknown);
    match (command, exchange.user) {
        (CommandType::CmdHeartbeatReq, _) => heartbeat(&envelope, exchange),
        (CommandType::CmdAuthReq, None) => authenticate(&envelope, exchange),
        (_, None) => refuse_stranger(command, envelope.sequence, exchange),
        (_, Some(user)) => request(command, &envelope, user.clone(), exchange),
    }
}

fn heartbeat(envelope: &im::WebSocketMessage, exchange: &mut Exchange<'_>) -> Outcome {
    let response = im::HeartbeatResponse { server_time: exchange.now.0.cast_signed() };
    push_envelope(exchange.out, exchange.now, CommandType::CmdHeartbeatRsp, envelope.sequence, &response);
    Outcome::Answered
}

fn authenticate(envelope: &im::WebSocketMessage, exchange: &mut Exchange<'_>) -> Outcome {
    let tag = RequestTag::Sequence(envelope.sequence, Verb::Authenticate);
    match credentials(tag, envelope, exchange.limits) {
        Ok(credentials) => Outcome::Authenticate { credentials, traits: ClientTraits::default() },
        Err(refused) => {
            push_refusal(exchange.out, exchange.now, CommandType::CmdAuthRsp, envelope.sequence, refused);
            Outcome::Refused(Closing::AuthFailed)
        }
    }
}

fn credentials(tag: RequestTag, envelope: &im::WebSocketMessage, limits: &Limits) -> Result<Credentials, Refused> {
    let request = decode::<im::AuthRequest>(envelope)?;
    if request.token.len() > limits.token_bytes_max {
        return Err(Refusal::AuthFailed.into());
    }
    if request.platform.len() > DeviceKey::ID_BYTES_MAX {
        return Err(Refused::invalid("platform is longer than 128 bytes"));
    }
    let user = UserId::new(&request.user_id).map_err(|_| Refusal::AuthFailed)?;
    let device = DeviceKey { flag: 0, id: request.platform.into() };
    Ok(Credentials { tag, user, token: request.token.into(), device })
}

/// PROTOCOL 2.2: before authentication, anything but auth and heartbeat gets its response, and the connection ends.
fn refuse_stranger(command: CommandType, sequence: u32, exchange: &mut Exchange<'_>) -> Outcome {
    let response = match command {
        CommandType::CmdMsgAck | CommandType::CmdTypingStatusReq => return Outcome::Refused(Closing::AuthFailed),
        CommandType::CmdReauthReq => CommandType::CmdReauthRsp,
        CommandType::CmdSendMsgReq => CommandType::CmdSendMsgRsp,
        CommandType::CmdRevokeMsgReq => CommandType::CmdRevokeMsgRsp,
        CommandType::CmdSyncReq => CommandType::CmdSyncRsp,
        CommandType::CmdReadReceiptReq => CommandType::CmdReadReceiptRsp,
        _ => CommandType::CmdUnknown,
    };
    push_refusal(exchange.out, exchange.now, response, sequence, Refusal::NotAuthenticated.into());
    Outcome::Refused(Closing::AuthFailed)
}

fn request(
    command: CommandType,
    envelope: &im::WebSocketMessage,
    user: UserId,
    exchange: &mut Exchange<'_>,
) -> Outcome {
    let (response, decoded) = match command {
        CommandType::CmdSendMsgReq => (CommandType::CmdSendMsgRsp, send(envelope, &user, exchange.limits)),
        CommandType::CmdSyncReq => (CommandType::CmdSyncRsp, sync(envelope, exchange.limits)),
        CommandType::CmdMsgAck => return acknowledge(envelope),
        CommandType::CmdAuthReq => (CommandType::CmdAuthRsp, Err(Refused::invalid("already authenticated"))),
        _ => (CommandType::CmdUnknown, Err(Refused::invalid("unknown command"))),
    };
    match decoded {
        Ok(command) => Outcome::Request { tag: RequestTag::Sequence(envelope.sequence, command.verb()), command },
        Err(refused) => {
            push_refusal(exchange.out, exchange.now, response, envelope.sequence, refused);
            Outcome::Answered
        }
    }
}

fn send(envelope: &im::WebSocketMessage, user: &UserId, limits: &Limits) -> Result<Command, Refused> {
    let request = decode::<im::SendMessageRequest>(envelope)?;
    if !request.sender_id.is_empty() && request.sender_id != user.as_str() {
        return Err(Refused::because(Refusal::PermissionDenied, "sender_id is not the authenticated user"));
    }
    if request.message_type < 1 {
        return Err(Refused::invalid("message_type is less than 1"));
    }
    Ok(Command::Send(Send {
        client_message_id: exchange::client_message_id(&request.client_msg_id)?,
        recipient: recipient(&request.receiver_id, &request.group_id)?,
        conversation_name: conversation_name(&request.conversation_id)?,
        message_type: request.message_type,
        content: request.content,
        send_time: request.send_time,
        extra: extra(request.extra, limits)?,
        annotations: None,
    }))
}

fn recipient(receiver: &str, group: &str) -> Result<Recipient, Refused> {
    match (receiver.is_empty(), group.is_empty()) {
        (false, true) => exchange::user_id(receiver, "receiver_id is malformed").map(Recipient::User),
        (true, false) => {
            let id = GroupId::new(group).map_err(|_| Refused::invalid("group_id is malformed"))?;
            Ok(Recipient::Group(id))
        }
        _ => Err(Refused::invalid("exactly one of receiver_id and group_id is needed")),
    }
}

fn conversation_name(text: &str) -> Result<Option<ConversationName>, Refused> {
    if text.is_empty() {
        return Ok(None);
    }
    ConversationName::new(text).map(Some).map_err(|_| Refused::invalid("conversation_id is malformed"))
}

fn extra(pairs: BTreeMap<String, String>, limits: &Limits) -> Result<Extra, Refused> {
    let pairs = pairs.into_iter().map(|(key, value)| (CompactString::from(key), CompactString::from(value)));
    let extra = Extra::new(pairs.collect());
    if extra.bytes() > limits.extra_bytes_max {
        return Err(Refused::because(Refusal::MessageTooLarge, "extra is too large"));
    }
    Ok(extra)
}

fn sync(envelope: &im::WebSocketMessage, limits: &Limits) -> Result<Command, Refused> {
    let request = decode::<im::SyncRequest>(envelope)?;
    exchange::sync(request.min_seq, request.max_seq, request.limit.into(), limits).map(Command::Sync)
}

/// An ack has no answer, not even to say that it is malformed.
fn acknowledge(envelope: &im::WebSocketMessage) -> Outcome {
    let Ok(request) = decode::<im::MessageAck>(envelope) else { return Outcome::Answered };
    let ack = match u64::try_from(request.seq) {
        Ok(0) => exchange::message_id(&request.message_id).map(Ack::Message),
        Ok(seq) => Some(Ack::Through(Seq(seq))),
        Err(_) => None,
    };
    ack.map_or(Outcome::Answered, |ack| Outcome::Request { tag: RequestTag::None, command: Command::Ack(ack) })
}

fn decode<M: prost::Message + Default>(envelope: &im::WebSocketMessage) -> Result<M, Refused> {
    M::decode(envelope.body.clone()).map_err(|_| Refused::invalid("the body does not decode"))
}

#[cfg(test)]
#[path = "protobuf_tests.rs"]
mod tests;
