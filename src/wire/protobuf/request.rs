//! Decodes the body of each request of the binary protocol to its command.

use crate::model::{
    Ack, Command, ConversationName, ConversationRef, GivenToken, GroupAct, GroupId, GroupRequest, IdError, Limits,
    Recipient, Refusal, Refused, Send, Seq, Typing, UserId, Verb, push_device_id,
};
use crate::wire::common::devices::{self, GivenSettings};
use crate::wire::common::exchange::{self, Exchange, HistoryRange};
use crate::wire::common::groups::{self, GivenProfile, Pairs};
use crate::wire::protobuf::fields::{Envelope, SendRequest};
use crate::wire::protobuf::im;
use std::collections::BTreeMap;

const MALFORMED: Refused = Refused::invalid("the body does not decode");

pub(in crate::wire) fn decode<M: prost::Message + Default>(envelope: &Envelope<'_>) -> Result<M, Refused> {
    M::decode(envelope.body).map_err(|_| MALFORMED)
}

pub(in crate::wire) fn command(
    verb: Verb,
    envelope: &Envelope<'_>,
    user: &UserId,
    exchange: &mut Exchange<'_>,
) -> Result<Command, Refused> {
    let limits = exchange.limits;
    match verb {
        Verb::Send => send(envelope, user, exchange).map(Command::Send),
        Verb::Sync => {
            let im::SyncRequest { min_seq, max_seq, limit } = decode(envelope)?;
            exchange::sync(min_seq, max_seq, limit.into(), limits).map(Command::Sync)
        }
        Verb::Revoke => {
            let im::RevokeMessageRequest { message_id, conversation_id } = decode(envelope)?;
            exchange::revoke(conversation(&conversation_id, user)?, &message_id).map(Command::Revoke)
        }
        Verb::Receipt => {
            let im::ReadReceiptRequest { message_ids, conversation_id } = decode(envelope)?;
            let messages = message_ids.iter().map(String::as_str);
            exchange::receipt(conversation(&conversation_id, user)?, messages).map(Command::Receipt)
        }
        Verb::Typing => {
            let im::TypingStatusRequest { conversation_id, status } = decode(envelope)?;
            Ok(Command::Typing(Typing { conversation: conversation(&conversation_id, user)?, status }))
        }
        Verb::History => {
            let im::HistoryRequest { conversation_id, after_seq, before_seq, limit, topic } = decode(envelope)?;
            let conversation = conversation(&conversation_id, user)?;
            let range = HistoryRange { after: after_seq, before: before_seq };
            exchange::history(conversation, range, limit.into(), &topic, limits).map(Command::History)
        }
        Verb::Conversations => {
            let im::ConversationsRequest { before_seq, limit } = decode(envelope)?;
            exchange::conversations(before_seq, limit.into()).map(Command::Conversations)
        }
        Verb::MarkRead => {
            let im::MarkReadRequest { conversation_id, through } = decode(envelope)?;
            exchange::mark_read(conversation(&conversation_id, user)?, through).map(Command::MarkRead)
        }
        Verb::ClearHistory | Verb::DeleteConversation => {
            let im::ClearRequest { conversation_id, through } = decode(envelope)?;
            exchange::clear(verb, conversation(&conversation_id, user)?, through).map(Command::Clear)
        }
        Verb::Presence => {
            let im::PresenceRequest { user_ids, action } = decode(envelope)?;
            exchange::presence(action.into(), user_ids.iter().map(String::as_str)).map(Command::Presence)
        }
        Verb::ShowGroup
        | Verb::ChangeMembers
        | Verb::ChangeMember
        | Verb::ChangeGroup
        | Verb::LeaveGroup
        | Verb::JoinGroup
        | Verb::ListRequests
        | Verb::AnswerRequest
        | Verb::DissolveGroup => group_request(verb, envelope, user, limits),
        Verb::ShowProfile => {
            let im::ProfileRequest { user_id } = decode(envelope)?;
            groups::user(&user_id).map(Command::ShowProfile)
        }
        Verb::SetProfile => set_profile(envelope, limits),
        Verb::RegisterDevice | Verb::UnregisterDevice | Verb::ShowDevices => device_request(verb, envelope),
        Verb::Authenticate | Verb::Reauthenticate | Verb::Ack => Err(Refused::invalid("unknown command")),
    }
}

fn set_profile(envelope: &Envelope<'_>, limits: &Limits) -> Result<Command, Refused> {
    let im::Profile { name, avatar, attributes } =
        decode::<im::SetProfileRequest>(envelope)?.profile.unwrap_or_default();
    let attributes = Some(pairs(attributes));
    let given = GivenProfile { name: Some(&name), avatar: Some(&avatar), attributes };
    groups::profile(given, limits).map(Box::new).map(Command::SetProfile)
}

/// A request about devices that push services wake.
fn device_request(verb: Verb, envelope: &Envelope<'_>) -> Result<Command, Refused> {
    match verb {
        Verb::RegisterDevice => {
            let im::DeviceRegisterRequest { device_id, provider, token, p256dh, auth, locale, muted, quiet } =
                decode(envelope)?;
            let given = GivenToken { provider: &provider, token: &token, p256dh: &p256dh, auth: &auth };
            let quiet = quiet.map(|it| [it.from.into(), it.until.into(), it.utc_offset.into()]);
            devices::register(&device_id, given, GivenSettings { locale: &locale, is_muted: muted, quiet })
        }
        Verb::UnregisterDevice => {
            let im::DeviceUnregisterRequest { device_id } = decode(envelope)?;
            push_device_id(&device_id).map(Command::UnregisterDevice)
        }
        _ => decode(envelope).map(|im::DevicesRequest {}| Command::ShowDevices),
    }
}

/// A request to a group.
fn group_request(verb: Verb, envelope: &Envelope<'_>, user: &UserId, limits: &Limits) -> Result<Command, Refused> {
    let (group, act) = match verb {
        Verb::ShowGroup => {
            let im::GroupInfoRequest { group_id, after, limit } = decode(envelope)?;
            (group_id, groups::show(&after, limit.into())?)
        }
        Verb::ListRequests => {
            let im::GroupRequestsRequest { group_id, after, limit } = decode(envelope)?;
            (group_id, groups::requests(&after, limit.into())?)
        }
        Verb::AnswerRequest => {
            let im::GroupAnswerRequest { group_id, user_id, answer } = decode(envelope)?;
            (group_id, groups::answer_request(&user_id, &answer)?)
        }
        Verb::ChangeMembers => {
            let im::GroupMembersRequest { group_id, add, remove } = decode(envelope)?;
            let (add, remove) = (add.iter().map(String::as_str), remove.iter().map(String::as_str));
            (group_id, groups::change_members(add, remove)?)
        }
        Verb::ChangeMember => {
            let im::GroupMemberRequest { group_id, user_id, role, muted_until } = decode(envelope)?;
            (group_id, groups::change_member(&user_id, role.as_deref(), muted_until)?)
        }
        Verb::ChangeGroup => {
            let im::GroupProfileRequest { group_id, name, avatar, attributes, join } = decode(envelope)?;
            let attributes = attributes.map(|im::Attributes { entries }| pairs(entries));
            let given = GivenProfile { name: name.as_deref(), avatar: avatar.as_deref(), attributes };
            (group_id, groups::change_profile(given, join.as_deref(), limits)?)
        }
        verb => {
            let im::GroupRequest { group_id } = decode(envelope)?;
            let act = match verb {
                Verb::LeaveGroup => groups::leave(user),
                Verb::JoinGroup => GroupAct::Join,
                _ => GroupAct::Dissolve,
            };
            (group_id, act)
        }
    };
    Ok(Command::Group(Box::new(GroupRequest { group: groups::group_id(&group)?, act })))
}

fn pairs(entries: BTreeMap<String, String>) -> Pairs {
    entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

pub(in crate::wire) fn ack(envelope: &Envelope<'_>) -> Option<Ack> {
    let request = decode::<im::MessageAck>(envelope).ok()?;
    match u64::try_from(request.seq) {
        Ok(0) => exchange::message_id(&request.message_id).map(Ack::Message),
        Ok(seq) => Some(Ack::Through(Seq(seq))),
        Err(_) => None,
    }
}

#[inline]
fn send(envelope: &Envelope<'_>, user: &UserId, exchange: &mut Exchange<'_>) -> Result<Send, Refused> {
    let request = SendRequest::read(envelope.body).ok_or(MALFORMED)?;
    if !request.sender_id.is_empty() && request.sender_id != user.as_str() {
        return Err(Refused::because(Refusal::PermissionDenied, "sender_id is not the authenticated user"));
    }
    if request.message_type < 1 {
        return Err(Refused::invalid("message_type is less than 1"));
    }
    let recipient = recipient(request.receiver_id, request.group_id)?;
    Ok(Send {
        client_message_id: exchange::client_message_id(request.client_msg_id)?,
        conversation_name: own_name(request.conversation_id, user, &recipient)?,
        recipient,
        message_type: request.message_type,
        extra: exchange::extra(request.extra, 0, exchange.limits)?,
        content: exchange.scratch.keep(request.content).into(),
        send_time: request.send_time,
        annotations: None,
    })
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

/// The author's own name for the conversation. The server's default name counts as none; it may be longer than a
/// client's name may be.
fn own_name(text: &str, user: &UserId, recipient: &Recipient) -> Result<Option<ConversationName>, Refused> {
    if text.is_empty() || is_filled(text, user, recipient) {
        return Ok(None);
    }
    ConversationName::new(text).map(Some).map_err(|_| Refused::invalid("conversation_id is malformed"))
}

/// Whether `text` is the server's default name (`Conversation::default_name`).
fn is_filled(text: &str, user: &UserId, recipient: &Recipient) -> bool {
    match recipient {
        Recipient::Group(group) => text.strip_prefix("group_") == Some(group.as_str()),
        Recipient::User(peer) => {
            let (first, second) = if user <= peer { (user, peer) } else { (peer, user) };
            let ids = text.strip_prefix("single_").and_then(|ids| ids.strip_prefix(first.as_str()));
            ids.and_then(|ids| ids.strip_prefix('_')) == Some(second.as_str())
        }
    }
}

/// The conversation that a client names. The default name of two long ids may exceed the bound of a client's name: it
/// is parsed.
fn conversation(text: &str, user: &UserId) -> Result<ConversationRef, Refused> {
    match ConversationName::new(text) {
        Ok(name) => Ok(ConversationRef::Named(name)),
        Err(IdError::Empty) => Err(Refused::invalid("conversation_id is missing")),
        Err(IdError::TooLong { .. }) => filled_peer(text, user)
            .map(|peer| ConversationRef::With(Recipient::User(peer)))
            .ok_or(Refused::invalid("conversation_id is longer than 128 bytes")),
        Err(IdError::ControlCharacter) => Err(Refused::invalid("conversation_id holds a control character")),
    }
}

/// The other user of the conversation whose default name is `text`.
fn filled_peer(text: &str, user: &UserId) -> Option<UserId> {
    let ids = text.strip_prefix("single_")?;
    let behind = ids.strip_prefix(user.as_str()).and_then(|ids| ids.strip_prefix('_'));
    let before = ids.strip_suffix(user.as_str()).and_then(|ids| ids.strip_suffix('_'));
    let is_filled_with = |peer: &UserId| is_filled(text, user, &Recipient::User(peer.clone()));
    [behind, before].into_iter().flatten().filter_map(|peer| UserId::new(peer).ok()).find(is_filled_with)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Conversation;
    use crate::model::testing::user;

    #[test]
    fn a_name_that_the_server_fills_is_no_name_of_ones_own() {
        for (me, peer) in [("alice", "bob"), ("bob", "alice"), ("alice", "alice"), ("a_b", "a"), ("a", "a_b")] {
            let (me, peer) = (user(me), user(peer));
            let filled = Conversation::pair(me.clone(), peer.clone()).default_name();
            assert_eq!(own_name(&filled, &me, &Recipient::User(peer.clone())), Ok(None), "{filled}");
            let other = own_name(&filled, &me, &Recipient::User(user("carol")));
            assert_eq!(other, Ok(Some(ConversationName::new(&filled).expect("well formed"))));
        }
        let team = Recipient::Group(GroupId::new("team").expect("well formed"));
        assert_eq!(own_name("group_team", &user("alice"), &team), Ok(None));
        assert!(own_name("group_teams", &user("alice"), &team).expect("a name").is_some());
    }

    #[test]
    fn a_filled_name_that_is_longer_than_ones_own_may_be_still_names_its_conversation() {
        let (me, peer) = (user(&"m".repeat(64)), user(&"p".repeat(64)));
        let filled = Conversation::pair(me.clone(), peer.clone()).default_name();
        assert_eq!(filled.len(), 136);
        assert_eq!(own_name(&filled, &me, &Recipient::User(peer.clone())), Ok(None));
        assert_eq!(conversation(&filled, &me), Ok(ConversationRef::With(Recipient::User(peer.clone()))));
        assert_eq!(conversation(&filled, &peer), Ok(ConversationRef::With(Recipient::User(me))));
        assert!(conversation(&filled, &user("alice")).is_err());
        assert!(conversation(&"x".repeat(129), &peer).is_err() && conversation("", &peer).is_err());
    }
}
