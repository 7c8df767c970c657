//! Decodes the params of each JSON-RPC method, the extensions of PROTOCOL 3.16 included, to its command.

use crate::model::{
    Ack, Annotations, ChunkPhase, Command, ConversationRef, GivenToken, GroupAct, GroupRequest, HeaderFlags, Limits,
    Presence, Receipt, Recipient, Refusal, Refused, Send, Seq, SettingFlags, StreamChunk, Typing, UserId, Verb,
    has_control_character, push_device_id,
};
use crate::wire::common::devices::{self, GivenSettings};
use crate::wire::common::exchange::HistoryRange;
use crate::wire::common::exchange::{self, Exchange, TOPIC_BYTES_MAX};
use crate::wire::common::groups::{self, GivenProfile};
use crate::wire::json::message_key::Proved;
use crate::wire::json::value::Value;
use crate::wire::jsonrpc::params::Params;
use crate::wire::jsonrpc::payload::Payload;
use compact_str::CompactString;

const ANNOTATION_BYTES_MAX: usize = TOPIC_BYTES_MAX;
const PAYLOAD: &str = "payload must be an object or a string";

/// The command of a method. `payload` is `params.payload`, when it is an object.
pub(in crate::wire) fn command(
    verb: Verb,
    params: &Params<'_, '_>,
    payload: Option<Payload>,
    user: &UserId,
    exchange: &Exchange<'_>,
) -> Result<Command, Refused> {
    let integer = |name, detail| params.integer(name, detail).map(Option::unwrap_or_default);
    let limit = || integer("limit", "limit must be an integer");
    match verb {
        Verb::Send => params.send(payload, user, exchange),
        Verb::Sync => {
            let min_seq = integer("minSeq", "minSeq must be an integer")?;
            let max_seq = integer("maxSeq", "maxSeq must be an integer")?;
            exchange::sync(min_seq, max_seq, limit()?, exchange.limits).map(Command::Sync)
        }
        Verb::Ack => params.ack().map(Command::Ack),
        Verb::Revoke => {
            let message = params.text("messageId", "messageId must be a string")?.unwrap_or_default();
            exchange::revoke(params.conversation()?, message).map(Command::Revoke)
        }
        Verb::Receipt => {
            let detail = "messageIds must be an array of at most 100 strings";
            let messages = params.texts("messageIds", Receipt::MESSAGES_MAX, detail)?;
            exchange::receipt(params.conversation()?, messages.into_iter()).map(Command::Receipt)
        }
        Verb::Typing => {
            let status = params.number("status", "status must be an integer of 32 bits")?;
            Ok(Command::Typing(Typing { conversation: params.conversation()?, status }))
        }
        Verb::History => {
            let after = params.integer("afterSeq", "afterSeq must be an integer")?;
            let before = params.integer("beforeSeq", "beforeSeq must be an integer")?;
            let topic = params.text("topic", "topic must be a string")?.unwrap_or_default();
            let conversation = params.conversation()?;
            exchange::history(conversation, HistoryRange { after, before }, limit()?, topic, exchange.limits)
                .map(Command::History)
        }
        Verb::Conversations => {
            let before = integer("beforeSeq", "beforeSeq must be an integer")?;
            exchange::conversations(before, limit()?).map(Command::Conversations)
        }
        Verb::MarkRead => {
            let through = integer("through", "through must be an integer")?;
            exchange::mark_read(params.conversation()?, through).map(Command::MarkRead)
        }
        Verb::ClearHistory | Verb::DeleteConversation => {
            let through = integer("through", "through must be an integer")?;
            exchange::clear(verb, params.conversation()?, through).map(Command::Clear)
        }
        Verb::Presence => {
            let action = integer("action", "action must be an integer")?;
            let detail = "userIds must be an array of at most 200 strings";
            let users = params.texts("userIds", Presence::USERS_MAX, detail)?;
            exchange::presence(action, users.into_iter()).map(Command::Presence)
        }
        Verb::ShowProfile => params.user().map(Command::ShowProfile),
        Verb::SetProfile => groups::profile(params.profile()?, exchange.limits).map(Box::new).map(Command::SetProfile),
        Verb::RegisterDevice | Verb::UnregisterDevice | Verb::ShowDevices => params.device_request(verb),
        Verb::Authenticate | Verb::Reauthenticate => Err(Refused::invalid("already connected")),
        group_verb => {
            let group = groups::group_id(params.text("groupId", "groupId must be a string")?.unwrap_or_default())?;
            let act = params.group_act(group_verb, user, exchange.limits)?;
            Ok(Command::Group(Box::new(GroupRequest { group, act })))
        }
    }
}

/// The bytes of the author's texts in the annotations.
fn companions_bytes(annotations: &Annotations) -> usize {
    let Annotations { topic, message_key, chunk, .. } = annotations;
    let texts = [topic.as_deref(), message_key.as_deref(), chunk.as_ref().map(|chunk| chunk.stream.as_str())];
    texts.into_iter().flatten().map(str::len).sum()
}

impl Params<'_, '_> {
    fn send(&self, payload: Option<Payload>, user: &UserId, exchange: &Exchange<'_>) -> Result<Command, Refused> {
        let number = self.text("clientMsgNo", "clientMsgNo must be a string")?.unwrap_or_default();
        let from = self.text("fromUid", "fromUid must be a string")?;
        if from.is_some_and(|from| !from.is_empty() && from != user.as_str()) {
            return Err(Refused::because(Refusal::PermissionDenied, "fromUid is not the authenticated user"));
        }
        // PROTOCOL 3.8.
        let text = if payload.is_none() { self.text("payload", PAYLOAD)? } else { None };
        let Payload { content, message_type } = match payload {
            Some(object) => object,
            None => Payload::of_text(text.ok_or(Refused::invalid(PAYLOAD))?),
        };
        let extra = self.pairs("extra", "extra must be an object of strings")?;
        let extra = extra.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let mut annotations = self.annotations()?;
        let recipient = self.recipient()?;
        if let Some(key) = exchange.message_key {
            let (channel_id, channel_type) = match &recipient {
                Recipient::User(peer) => (peer.as_str(), 1),
                Recipient::Group(group) => (group.as_str(), 2),
            };
            let payload = text.map_or(&content[..], str::as_bytes);
            let proved = Proved { client_message_id: number, channel_id, channel_type, payload };
            // It has done its work: it says nothing to anybody else, and another session repeats the message with
            // another.
            let given = annotations.message_key.take().unwrap_or_default();
            if !key.proves(&proved, &given) {
                return Err(Refusal::MessageKeyWrong.into());
            }
        }
        Ok(Command::Send(Send {
            client_message_id: exchange::client_message_id(number)?,
            recipient,
            conversation_name: None,
            message_type,
            content,
            send_time: 0,
            extra: exchange::extra(extra, companions_bytes(&annotations), exchange.limits)?,
            annotations: (annotations != Annotations::default()).then(|| Box::new(annotations)),
        }))
    }

    /// What a request does with its group.
    fn group_act(&self, verb: Verb, user: &UserId, limits: &Limits) -> Result<GroupAct, Refused> {
        match verb {
            Verb::ShowGroup => {
                let after = self.text("after", "after must be a string")?.unwrap_or_default();
                groups::show(after, self.integer("limit", "limit must be an integer")?.unwrap_or_default())
            }
            Verb::ListRequests => {
                let after = self.text("after", "after must be a string")?.unwrap_or_default();
                groups::requests(after, self.integer("limit", "limit must be an integer")?.unwrap_or_default())
            }
            Verb::AnswerRequest => {
                let asker = self.text("userId", "userId must be a string")?.unwrap_or_default();
                groups::answer_request(asker, self.text("answer", "answer must be a string")?.unwrap_or_default())
            }
            Verb::ChangeMembers => {
                const MEMBERS: &str = "add and remove must be arrays of at most 100 strings";
                let add = self.texts("add", GroupRequest::MEMBERS_MAX, MEMBERS)?;
                let remove = self.texts("remove", GroupRequest::MEMBERS_MAX, MEMBERS)?;
                groups::change_members(add.into_iter(), remove.into_iter())
            }
            Verb::ChangeMember => {
                let member = self.text("userId", "userId must be a string")?.unwrap_or_default();
                let role = self.text("role", "role must be a string")?;
                groups::change_member(member, role, self.integer("mutedUntil", "mutedUntil must be an integer")?)
            }
            Verb::ChangeGroup => {
                groups::change_profile(self.profile()?, self.text("join", "join must be a string")?, limits)
            }
            Verb::LeaveGroup => Ok(groups::leave(user)),
            Verb::JoinGroup => Ok(GroupAct::Join),
            Verb::DissolveGroup => Ok(GroupAct::Dissolve),
            _ => Err(Refused::invalid("unknown method")),
        }
    }

    fn user(&self) -> Result<UserId, Refused> {
        groups::user(self.text("userId", "userId must be a string")?.unwrap_or_default())
    }

    fn device_request(&self, verb: Verb) -> Result<Command, Refused> {
        let device = self.text("deviceId", "deviceId must be a string")?.unwrap_or_default();
        match verb {
            Verb::RegisterDevice => self.registration(device),
            Verb::UnregisterDevice => push_device_id(device).map(Command::UnregisterDevice),
            _ => Ok(Command::ShowDevices),
        }
    }

    fn registration(&self, device: &str) -> Result<Command, Refused> {
        const TEXT: &str = "provider, token, p256dh, auth and locale must be strings";
        const QUIET: &str = "quiet must be an object with the numbers from, until and utcOffset";
        let part = |name| self.text(name, TEXT).map(Option::unwrap_or_default);
        let muted = self.find("muted").map(|muted| muted.flag().ok_or(Refused::invalid("muted must be a boolean")));
        let [from, until, utc_offset] = self.inner("quiet", ["from", "until", "utcOffset"], QUIET)?;
        let quiet = if self.find("quiet").is_some() {
            let number =
                |value: Option<Value<'_, '_>>| value.and_then(|it| it.integer()).ok_or(Refused::invalid(QUIET));
            Some([number(from)?, number(until)?, number(utc_offset)?])
        } else {
            None
        };
        let (provider, token, p256dh, auth) = (part("provider")?, part("token")?, part("p256dh")?, part("auth")?);
        let settings =
            GivenSettings { locale: part("locale")?, is_muted: muted.transpose()?.unwrap_or_default(), quiet };
        devices::register(device, GivenToken { provider, token, p256dh, auth }, settings)
    }

    /// The parts of a profile that are there.
    fn profile(&self) -> Result<GivenProfile<'_>, Refused> {
        let attributes = match self.find("attributes") {
            Some(_) => Some(self.pairs("attributes", "attributes must be an object of strings")?),
            None => None,
        };
        let owned =
            |pairs: Vec<(&str, &str)>| pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Ok(GivenProfile {
            name: self.text("name", "name must be a string")?,
            avatar: self.text("avatar", "avatar must be a string")?,
            attributes: attributes.map(owned),
        })
    }

    fn conversation(&self) -> Result<ConversationRef, Refused> {
        self.recipient().map(ConversationRef::With)
    }

    /// One message, or as an extension everything up to a place of the inbox.
    fn ack(&self) -> Result<Ack, Refused> {
        let id = self.text("messageId", "messageId must be a string")?.unwrap_or_default();
        if let Some(id) = exchange::message_id(id) {
            return Ok(Ack::Message(id));
        }
        let seq = self.integer("inboxSeq", "inboxSeq must be an integer")?.unwrap_or_default();
        match u64::try_from(seq) {
            Ok(seq @ 1..) if id.is_empty() => Ok(Ack::Through(Seq(seq))),
            _ => Err(Refused::invalid("messageId must be a decimal number in a string")),
        }
    }

    /// PROTOCOL 3.10–3.13.
    fn annotations(&self) -> Result<Annotations, Refused> {
        const FLAG: &str = "a flag of header or setting must be a boolean";
        let header = ["noPersist", "redDot", "syncOnce", "dup"];
        let [no_persist, red_dot, sync_once, dup] = self.inner("header", header, "header must be an object")?;
        let setting = ["receipt", "topic", "stream"];
        let [receipt, topic, stream] = self.inner("setting", setting, "setting must be an object")?;
        // An absent flag is not set.
        let flag =
            |value: Option<Value<'_, '_>>| value.map_or(Ok(false), |value| value.flag().ok_or(Refused::invalid(FLAG)));
        let expire = self.integer("expire", "expire must be an integer")?.unwrap_or_default();
        Ok(Annotations {
            header: HeaderFlags {
                no_persist: flag(no_persist)?,
                red_dot: flag(red_dot)?,
                sync_once: flag(sync_once)?,
                dup: flag(dup)?,
            },
            setting: SettingFlags { receipt: flag(receipt)?, topic: flag(topic)? },
            topic: self
                .annotation("topic", "topic must be a string of at most 128 bytes without control characters")?,
            message_key: self
                .annotation("msgKey", "msgKey must be a string of at most 128 bytes without control characters")?,
            expire_s: u32::try_from(expire).map_err(|_| Refused::invalid("expire must be 0 to 4294967295"))?,
            chunk: if flag(stream)? { Some(self.chunk()?) } else { None },
            is_replaced: false,
        })
    }

    fn annotation(&self, name: &str, detail: &'static str) -> Result<Option<CompactString>, Refused> {
        match self.text(name, detail)? {
            Some(text) if text.len() > ANNOTATION_BYTES_MAX || has_control_character(text) => {
                Err(Refused::invalid(detail))
            }
            text => Ok(text.filter(|text| !text.is_empty()).map(CompactString::new)),
        }
    }

    /// PROTOCOL 3.11. The server numbers the chunks.
    fn chunk(&self) -> Result<StreamChunk, Refused> {
        let stream = self.text("streamNo", "streamNo must be a string")?.unwrap_or_default();
        if !(1..=StreamChunk::STREAM_BYTES_MAX).contains(&stream.len()) || has_control_character(stream) {
            return Err(Refused::invalid("streamNo must be 1 to 128 bytes without control characters"));
        }
        let phase = match self.integer("streamFlag", "streamFlag must be an integer")? {
            None | Some(0) => ChunkPhase::First,
            Some(1) => ChunkPhase::Next,
            Some(2) => ChunkPhase::Last,
            Some(_) => return Err(Refused::invalid("streamFlag must be 0, 1 or 2")),
        };
        Ok(StreamChunk { stream: stream.into(), number: 0, phase })
    }
}
