//! The params of seed 2's methods, and of those that mirror seed 1, each to the command that it is.

use super::exchange::{self, Exchange, TOPIC_BYTES_MAX};
use super::json_params::Params;
use super::json_payload::{self, Payload};
use super::message_key::Proved;
use crate::model::{
    Ack, Annotations, Chunk, ChunkPhase, Command, ConversationRef, HeaderFlags, Presence, Receipt, Recipient, Refusal,
    Refused, Send, Seq, SettingFlags, Typing, UserId, Verb,
};
use bytes::Bytes;
use compact_str::CompactString;

const ANNOTATION_BYTES_MAX: usize = TOPIC_BYTES_MAX;

/// What a request says.
pub(super) struct Asked<'t, 'i> {
    pub params: Params<'t, 'i>,
    /// `params.payload` as it was sent, when it is an object.
    pub payload: Option<Bytes>,
}

pub(super) fn command(
    verb: Verb,
    asked: &Asked<'_, '_>,
    user: &UserId,
    exchange: &Exchange<'_>,
) -> Result<Command, Refused> {
    let params = &asked.params;
    let integer = |name, detail| params.integer(name, detail).map(Option::unwrap_or_default);
    let limit = || integer("limit", "limit must be an integer");
    match verb {
        Verb::Send => asked.send(user, exchange).map(Command::Send),
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
            exchange::history(conversation, (after, before), limit()?, topic, exchange.limits).map(Command::History)
        }
        Verb::Conversations => {
            let before = integer("beforeSeq", "beforeSeq must be an integer")?;
            exchange::conversations(before, limit()?).map(Command::Conversations)
        }
        Verb::MarkRead => {
            let through = integer("through", "through must be an integer")?;
            exchange::mark_read(params.conversation()?, through).map(Command::MarkRead)
        }
        Verb::Presence => {
            let action = integer("action", "action must be an integer")?;
            let detail = "userIds must be an array of at most 200 strings";
            let users = params.texts("userIds", Presence::USERS_MAX, detail)?;
            exchange::presence(action, users.into_iter()).map(Command::Presence)
        }
        Verb::Authenticate | Verb::Reauthenticate => Err(Refused::invalid("already connected")),
    }
}

impl Asked<'_, '_> {
    fn send(&self, user: &UserId, exchange: &Exchange<'_>) -> Result<Send, Refused> {
        let params = &self.params;
        let number = params.text("clientMsgNo", "clientMsgNo must be a string")?.unwrap_or_default();
        let from = params.text("fromUid", "fromUid must be a string")?;
        if from.is_some_and(|from| !from.is_empty() && from != user.as_str()) {
            return Err(Refused::because(Refusal::PermissionDenied, "fromUid is not the authenticated user"));
        }
        let (Payload { content, message_type }, payload) = self.payload()?;
        let extra = params.pairs("extra", "extra must be an object of strings")?;
        let extra = extra.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let mut annotations = params.annotations()?;
        let recipient = params.recipient()?;
        if let Some(key) = exchange.message_key {
            let (channel_id, channel_type) = match &recipient {
                Recipient::User(peer) => (peer.as_str(), 1),
                Recipient::Group(group) => (group.as_str(), 2),
            };
            let proved = Proved { client_message_id: number, channel_id, channel_type, payload };
            // It has done its work: it says nothing to anybody else, and another session repeats the message with another.
            let given = annotations.message_key.take().unwrap_or_default();
            if !key.proves(&proved, &given) {
                return Err(Refusal::MessageKeyWrong.into());
            }
        }
        Ok(Send {
            client_message_id: exchange::client_message_id(number)?,
            recipient,
            conversation_name: None,
            message_type,
            content,
            send_time: 0,
            extra: exchange::extra(extra, exchange.limits)?,
            annotations: (annotations != Annotations::default()).then(|| Box::new(annotations)),
        })
    }

    /// PROTOCOL 3.8; and the payload as it was sent, an object's text or a string's own bytes.
    fn payload(&self) -> Result<(Payload, &[u8]), Refused> {
        const DETAIL: &str = "payload must be an object or a string";
        if let Some(verbatim) = &self.payload {
            let message_type = self.params.find("payload").map_or(1, json_payload::message_type);
            return Ok((Payload { content: verbatim.clone(), message_type }, verbatim));
        }
        let text = self.params.text("payload", DETAIL)?.ok_or(Refused::invalid(DETAIL))?;
        Ok((Payload::of_text(text), text.as_bytes()))
    }
}

impl Params<'_, '_> {
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
        let header = self.object("header", "header must be an object")?;
        let setting = self.object("setting", "setting must be an object")?;
        let expire = self.integer("expire", "expire must be an integer")?.unwrap_or_default();
        Ok(Annotations {
            header: HeaderFlags {
                no_persist: header.flag("noPersist", FLAG)?,
                red_dot: header.flag("redDot", FLAG)?,
                sync_once: header.flag("syncOnce", FLAG)?,
                dup: header.flag("dup", FLAG)?,
            },
            setting: SettingFlags { receipt: setting.flag("receipt", FLAG)?, topic: setting.flag("topic", FLAG)? },
            topic: self.annotation("topic", "topic must be a string of at most 128 bytes")?,
            message_key: self.annotation("msgKey", "msgKey must be a string of at most 128 bytes")?,
            expire_s: u32::try_from(expire).map_err(|_| Refused::invalid("expire must be 0 to 4294967295"))?,
            chunk: if setting.flag("stream", FLAG)? { Some(self.chunk()?) } else { None },
        })
    }

    fn annotation(&self, name: &str, detail: &'static str) -> Result<Option<CompactString>, Refused> {
        match self.text(name, detail)? {
            Some(text) if text.len() > ANNOTATION_BYTES_MAX => Err(Refused::invalid(detail)),
            text => Ok(text.filter(|text| !text.is_empty()).map(CompactString::new)),
        }
    }

    /// PROTOCOL 3.11. The server numbers the chunks.
    fn chunk(&self) -> Result<Chunk, Refused> {
        let stream = self.text("streamNo", "streamNo must be a string")?.unwrap_or_default();
        if !(1..=Chunk::STREAM_BYTES_MAX).contains(&stream.len()) {
            return Err(Refused::invalid("streamNo must be 1 to 128 bytes"));
        }
        let phase = match self.integer("streamFlag", "streamFlag must be an integer")? {
            None | Some(0) => ChunkPhase::First,
            Some(1) => ChunkPhase::Next,
            Some(2) => ChunkPhase::Last,
            Some(_) => return Err(Refused::invalid("streamFlag must be 0, 1 or 2")),
        };
        Ok(Chunk { stream: stream.into(), number: 0, phase })
    }
}
