//! The binary protocol (proto/im.proto): which request is allowed when, and which response answers it.
//!
//! Invariants: what cannot be decoded is answered, never trusted; a response has its request's sequence. `request`
//! decodes bodies, `encode` writes the other direction.

use crate::model::{Closing, Command, DeviceKey, Limits, Refusal, Refused, RequestTag, UserId, Verb};
use crate::wire::common::exchange::{self, ClientTraits, Exchange, Handled, MessageFault};
use crate::wire::common::incoming::{Credentials, Incoming};
use crate::wire::protobuf::encode::{push_envelope, push_refusal, push_unknown};
use crate::wire::protobuf::fields::Envelope;
use crate::wire::protobuf::im::{self, CommandType};
use crate::wire::protobuf::request::{self, decode};

/// Decodes one message of a client, and answers it or returns its request.
pub(in crate::wire) fn handle_message(bytes: &[u8], exchange: &mut Exchange<'_>) -> Handled {
    let Some(envelope) = Envelope::read(bytes) else {
        exchange.scratch.count_malformed();
        push_unknown(exchange.out, exchange.now, 0, Refused::invalid("not a WebSocketMessage"));
        return Err(MessageFault::Malformed);
    };
    let command = CommandType::try_from(envelope.command).unwrap_or(CommandType::CmdUnknown);
    if command == CommandType::CmdHeartbeatReq {
        return heartbeat(&envelope, exchange);
    }
    match (verb_of(command), exchange.user) {
        (Some(Verb::Authenticate), None) => authenticate(&envelope, exchange),
        (verb, None) => refuse_stranger(verb, envelope.sequence, exchange),
        (Some(verb), Some(user)) => request(verb, &envelope, user, exchange),
        (None, Some(_)) => {
            exchange.scratch.count_malformed();
            push_unknown(exchange.out, exchange.now, envelope.sequence, Refused::invalid("unknown command"));
            Ok(None)
        }
    }
}

/// The verb of a command code, if it is a request.
fn verb_of(command: CommandType) -> Option<Verb> {
    Some(match command {
        CommandType::CmdAuthReq => Verb::Authenticate,
        CommandType::CmdReauthReq => Verb::Reauthenticate,
        CommandType::CmdSendMsgReq => Verb::Send,
        CommandType::CmdSyncReq => Verb::Sync,
        CommandType::CmdMsgAck => Verb::Ack,
        CommandType::CmdRevokeMsgReq => Verb::Revoke,
        CommandType::CmdReadReceiptReq => Verb::Receipt,
        CommandType::CmdTypingStatusReq => Verb::Typing,
        CommandType::CmdHistoryReq => Verb::History,
        CommandType::CmdConversationsReq => Verb::Conversations,
        CommandType::CmdMarkReadReq => Verb::MarkRead,
        CommandType::CmdClearHistoryReq => Verb::ClearHistory,
        CommandType::CmdDeleteConversationReq => Verb::DeleteConversation,
        CommandType::CmdPresenceReq => Verb::Presence,
        CommandType::CmdGroupInfoReq => Verb::ShowGroup,
        CommandType::CmdGroupMembersReq => Verb::ChangeMembers,
        CommandType::CmdGroupMemberReq => Verb::ChangeMember,
        CommandType::CmdGroupProfileReq => Verb::ChangeGroup,
        CommandType::CmdGroupLeaveReq => Verb::LeaveGroup,
        CommandType::CmdGroupJoinReq => Verb::JoinGroup,
        CommandType::CmdGroupRequestsReq => Verb::ListRequests,
        CommandType::CmdGroupAnswerReq => Verb::AnswerRequest,
        CommandType::CmdGroupDissolveReq => Verb::DissolveGroup,
        CommandType::CmdProfileReq => Verb::ShowProfile,
        CommandType::CmdSetProfileReq => Verb::SetProfile,
        CommandType::CmdDeviceRegisterReq => Verb::RegisterDevice,
        CommandType::CmdDeviceUnregisterReq => Verb::UnregisterDevice,
        CommandType::CmdDevicesReq => Verb::ShowDevices,
        _ => return None,
    })
}

fn heartbeat(envelope: &Envelope<'_>, exchange: &mut Exchange<'_>) -> Handled {
    let response = im::HeartbeatResponse { server_time: exchange.now.0.cast_signed() };
    push_envelope(exchange.out, exchange.now, CommandType::CmdHeartbeatRsp, envelope.sequence, &response);
    Ok(None)
}

fn authenticate(envelope: &Envelope<'_>, exchange: &mut Exchange<'_>) -> Handled {
    let tag = RequestTag::Sequence(envelope.sequence, Verb::Authenticate);
    match credentials(tag, envelope, exchange.limits) {
        Ok(credentials) => {
            *exchange.traits = ClientTraits::default();
            Ok(Some(Incoming::Authenticate(credentials)))
        }
        Err(refused) => {
            exchange.scratch.count_refusal(refused.refusal);
            push_refusal(exchange.out, exchange.now, Verb::Authenticate, envelope.sequence, refused);
            Err(MessageFault::Fatal(Closing::AuthFailed))
        }
    }
}

fn credentials(tag: RequestTag, envelope: &Envelope<'_>, limits: &Limits) -> Result<Credentials, Refused> {
    let request = decode::<im::AuthRequest>(envelope)?;
    if request.token.len() > limits.token_bytes_max {
        return Err(Refusal::AuthFailed.into());
    }
    let user = UserId::new(&request.user_id).map_err(|_| Refusal::AuthFailed)?;
    let device = DeviceKey { flag: 0, id: exchange::device_id(&request.platform)? };
    Ok(Credentials { tag, user, token: request.token.into(), device })
}

/// Before authentication, every request other than authentication and heartbeat is refused, and the connection ends
/// (PROTOCOL 2.2).
fn refuse_stranger(verb: Option<Verb>, sequence: u32, exchange: &mut Exchange<'_>) -> Handled {
    let refused = Refused::from(Refusal::NotAuthenticated);
    exchange.scratch.count_refusal(refused.refusal);
    match verb {
        Some(Verb::Ack) => {}
        Some(verb) => push_refusal(exchange.out, exchange.now, verb, sequence, refused),
        None => push_unknown(exchange.out, exchange.now, sequence, refused),
    }
    Err(MessageFault::Fatal(Closing::AuthFailed))
}

fn request(verb: Verb, envelope: &Envelope<'_>, user: &UserId, exchange: &mut Exchange<'_>) -> Handled {
    let tag = RequestTag::Sequence(envelope.sequence, verb);
    let limits = exchange.limits;
    let decoded = match verb {
        Verb::Authenticate => Err(Refused::invalid("already authenticated")),
        Verb::Reauthenticate => {
            fresh_token(envelope, user, limits).map(|token| Incoming::Reauthenticate { tag, token })
        }
        Verb::Ack => {
            // An ack has no answer, not even to say that it is malformed.
            let ack = request::ack(envelope).map(Command::Ack);
            return Ok(ack.map(|command| Incoming::Request { tag: RequestTag::None, command }));
        }
        verb => request::command(verb, envelope, user, exchange).map(|command| Incoming::Request { tag, command }),
    };
    match decoded {
        Ok(incoming) => Ok(Some(incoming)),
        Err(refused) => {
            exchange.scratch.count_refusal(refused.refusal);
            push_refusal(exchange.out, exchange.now, verb, envelope.sequence, refused);
            Ok(None)
        }
    }
}

fn fresh_token(envelope: &Envelope<'_>, user: &UserId, limits: &Limits) -> Result<compact_str::CompactString, Refused> {
    let request = decode::<im::AuthRequest>(envelope)?;
    exchange::fresh_token(user, Some(&request.user_id), &request.token, limits)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
