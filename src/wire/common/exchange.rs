//! The interface between a connection and the codecs, for one message of a client.

use crate::model::{
    Clear, ClearExtent, ClientMessageId, Closing, ConversationRef, ConversationSeq, Conversations, DeviceKey, Extra,
    History, HistoryDirection, IdError, Limits, MarkRead, MessageId, Millis, Presence, PresenceAction, Receipt,
    Refusal, Refused, Revoke, Seq, Sync, SyncDirection, UserId, Verb, has_control_character,
};
use crate::wire::base::scratch::Scratch;
use crate::wire::common::incoming::Incoming;
use crate::wire::json::message_key::{ClientKey, MessageKey};
use compact_str::CompactString;

/// The most bytes of a topic.
pub(in crate::wire) const TOPIC_BYTES_MAX: usize = 128;

/// The state of the connection that a codec needs beside the message.
pub(in crate::wire) struct Exchange<'a> {
    /// The session's user; `None` before authentication.
    pub user: Option<&'a UserId>,
    /// The key that must prove the session's messages, if the client gave one.
    pub message_key: Option<&'a MessageKey>,
    /// Set by a codec that returns credentials.
    pub traits: &'a mut ClientTraits,
    pub limits: &'a Limits,
    pub now: Millis,
    /// The outbox, to which replies are appended.
    pub out: &'a mut Vec<u8>,
    pub scratch: &'a mut Scratch,
}

/// What a codec has made of a message: a request for the driver, nothing (the codec has answered it, or it needs no
/// answer), or a fault of the client.
pub(in crate::wire) type Handled = Result<Option<Incoming>, MessageFault>;

/// Why a message counts against its connection.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::wire) enum MessageFault {
    /// The bytes are not a request. The codec has appended an error, and the connection counts it.
    Malformed,
    /// The codec has appended a reply, and the connection ends.
    Fatal(Closing),
}

/// The properties that a JSON-RPC client states in `connect`; binary clients have the defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::wire) struct ClientTraits {
    pub version: u8,
    /// The server's clock minus the client's, in milliseconds.
    pub time_diff_ms: i64,
    pub client_key: Option<ClientKey>,
}

pub(in crate::wire) fn user_id(text: &str, detail: &'static str) -> Result<UserId, Refused> {
    UserId::new(text).map_err(|_| Refused::invalid(detail))
}

pub(in crate::wire) fn client_message_id(text: &str) -> Result<ClientMessageId, Refused> {
    ClientMessageId::new(text).map_err(|error| {
        Refused::invalid(match error {
            IdError::Empty => "the client message id is missing",
            IdError::TooLong { .. } => "the client message id is longer than 128 bytes",
            IdError::ControlCharacter => "the client message id holds a control character",
        })
    })
}

/// Checks the text that distinguishes a user's devices.
pub(in crate::wire) fn device_id(text: &str) -> Result<CompactString, Refused> {
    if text.len() > DeviceKey::ID_BYTES_MAX {
        return Err(Refused::invalid("deviceId or platform is longer than 128 bytes"));
    }
    if has_control_character(text) {
        return Err(Refused::invalid("deviceId or platform holds a control character"));
    }
    Ok(text.into())
}

/// A message id: decimal digits without a sign.
pub(in crate::wire) fn message_id(text: &str) -> Option<MessageId> {
    let add = |sum: u64, byte: u8| {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 { sum.checked_mul(10)?.checked_add(digit.into()) } else { None }
    };
    if text.is_empty() { None } else { text.bytes().try_fold(0, add).map(MessageId) }
}

fn seq(number: i64) -> Result<u64, Refused> {
    u64::try_from(number).map_err(|_| Refused::invalid("a seq is negative"))
}

/// The number of items of a page: 0 is the default, and larger values are cut to `max`.
fn limit(number: i64, default: u32, max: u32) -> Result<u32, Refused> {
    match number {
        ..0 => Err(Refused::invalid("limit is negative")),
        0 => Ok(default.clamp(1, max)),
        _ => Ok(u32::try_from(number).unwrap_or(u32::MAX).min(max)),
    }
}

/// A sync request: the sign of `limit` is the direction (PROTOCOL 2.5).
pub(in crate::wire) fn sync(min_seq: i64, max_seq: i64, limit: i64, limits: &Limits) -> Result<Sync, Refused> {
    let (min_seq, max_seq) = (seq(min_seq)?, seq(max_seq)?);
    let direction = if limit < 0 { SyncDirection::Before(Seq(min_seq)) } else { SyncDirection::After(Seq(max_seq)) };
    let wanted = match limit {
        0 => limits.sync_entries_default,
        _ => u32::try_from(limit.unsigned_abs()).unwrap_or(u32::MAX),
    };
    Ok(Sync { direction, limit: wanted.clamp(1, limits.sync_entries_max) })
}

/// Between which seqs of a conversation a client asks for history.
pub(in crate::wire) struct HistoryRange {
    pub after: Option<i64>,
    pub before: Option<i64>,
}

/// A history request: up from `after`, or down from `before`; without either, down from the newest.
pub(in crate::wire) fn history(
    conversation: ConversationRef,
    HistoryRange { after, before }: HistoryRange,
    wanted: i64,
    topic: &str,
    limits: &Limits,
) -> Result<History, Refused> {
    let direction = match (after, before) {
        (Some(after), None) => HistoryDirection::After(ConversationSeq(seq(after)?)),
        (None, before) => HistoryDirection::Before(ConversationSeq(seq(before.unwrap_or_default())?)),
        (Some(_), Some(_)) => return Err(Refused::invalid("history goes up or down, not both")),
    };
    if topic.len() > TOPIC_BYTES_MAX {
        return Err(Refused::invalid("topic is longer than 128 bytes"));
    }
    let limit = limit(wanted, limits.sync_entries_default, limits.sync_entries_max)?;
    let topic = (!topic.is_empty()).then(|| CompactString::new(topic));
    Ok(History { conversation, direction, limit, topic })
}

pub(in crate::wire) fn conversations(before: i64, wanted: i64) -> Result<Conversations, Refused> {
    let limit = limit(wanted, Conversations::LIMIT_DEFAULT, Conversations::LIMIT_MAX)?;
    Ok(Conversations { before: Seq(seq(before)?), limit })
}

pub(in crate::wire) fn mark_read(conversation: ConversationRef, through: i64) -> Result<MarkRead, Refused> {
    Ok(MarkRead { conversation, through: ConversationSeq(seq(through)?) })
}

/// `verb` is one of the two that clear a conversation.
pub(in crate::wire) fn clear(verb: Verb, conversation: ConversationRef, through: i64) -> Result<Clear, Refused> {
    let extent = match verb {
        Verb::DeleteConversation => ClearExtent::Conversation,
        _ => ClearExtent::History,
    };
    Ok(Clear { conversation, through: ConversationSeq(seq(through)?), extent })
}

pub(in crate::wire) fn revoke(conversation: ConversationRef, message: &str) -> Result<Revoke, Refused> {
    let message = message_id(message).ok_or(Refused::invalid("a message id is a decimal number"))?;
    Ok(Revoke { message, conversation })
}

/// A read receipt (PROTOCOL 2.6). A malformed id is unknown, and unknown ids are ignored.
pub(in crate::wire) fn receipt<'a>(
    conversation: ConversationRef,
    messages: impl ExactSizeIterator<Item = &'a str>,
) -> Result<Receipt, Refused> {
    match messages.len() {
        1..=Receipt::MESSAGES_MAX => {}
        0 => return Err(Refused::invalid("a receipt names no message")),
        _ => return Err(Refused::invalid("a receipt names more than 100 messages")),
    }
    let messages = messages.map(|text| message_id(text).unwrap_or_default()).collect();
    Ok(Receipt { messages, conversation })
}

pub(in crate::wire) fn presence<'a>(
    action: i64,
    users: impl ExactSizeIterator<Item = &'a str>,
) -> Result<Presence, Refused> {
    let action = match action {
        0 => PresenceAction::Query,
        1 => PresenceAction::Subscribe,
        2 => PresenceAction::Unsubscribe,
        _ => return Err(Refused::invalid("action must be 0, 1 or 2")),
    };
    if users.len() > Presence::USERS_MAX {
        return Err(Refused::invalid("more than 200 users at once"));
    }
    let users = users.map(|id| user_id(id, "a user id is malformed")).collect::<Result<_, _>>()?;
    Ok(Presence { action, users })
}

/// Checks `extra`. `companions_bytes` are the bytes of the other texts beside the content, which share its limit.
pub(in crate::wire) fn extra(
    pairs: Vec<(CompactString, CompactString)>,
    companions_bytes: usize,
    limits: &Limits,
) -> Result<Extra, Refused> {
    let extra = Extra::new(pairs);
    if extra.bytes() + companions_bytes > limits.extra_bytes_max {
        return Err(Refused::because(Refusal::MessageTooLarge, "extra is too large"));
    }
    if extra.iter().any(|(key, _)| has_control_character(key)) {
        return Err(Refused::invalid("a key of extra holds a control character"));
    }
    Ok(extra)
}

/// A fresh token on a live session (PROTOCOL 2.2). `named` is the user that the client names, if any.
pub(in crate::wire) fn fresh_token(
    user: &UserId,
    named: Option<&str>,
    token: &str,
    limits: &Limits,
) -> Result<CompactString, Refused> {
    if named.is_some_and(|named| named != user.as_str()) {
        return Err(Refused::because(Refusal::AuthFailed, "a session stays its user's"));
    }
    if token.len() > limits.token_bytes_max {
        return Err(Refusal::AuthFailed.into());
    }
    Ok(token.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_of_a_sync_limit_is_its_direction_and_its_size_is_clamped() {
        let limits = Limits::default();
        for (limit, direction, count) in [
            (0, SyncDirection::After(Seq(7)), 100),
            (5, SyncDirection::After(Seq(7)), 5),
            (5_000, SyncDirection::After(Seq(7)), 1_000),
            (-5, SyncDirection::Before(Seq(3)), 5),
            (i64::from(i32::MIN), SyncDirection::Before(Seq(3)), 1_000),
            (i64::MIN, SyncDirection::Before(Seq(3)), 1_000),
        ] {
            assert_eq!(sync(3, 7, limit, &limits), Ok(Sync { direction, limit: count }), "{limit}");
        }
        assert!(sync(-1, 0, 0, &limits).is_err());
        assert!(sync(0, -1, 0, &limits).is_err());
    }

    #[test]
    fn a_limit_is_never_negative_and_never_more_than_the_most() {
        let found: Vec<_> = [0, 1, 200, 201, i64::MAX].map(|wanted| limit(wanted, 100, 200)).into();
        assert_eq!(found, [100, 1, 200, 200, 200].map(Ok));
        assert!(limit(-1, 100, 200).is_err() && limit(i64::MIN, 100, 200).is_err());
    }

    #[test]
    fn a_message_id_is_a_decimal_number_without_sign() {
        assert_eq!(message_id("18446744073709551615"), Some(MessageId(u64::MAX)));
        for malformed in ["", "+1", "-1", "1a", " 1", "18446744073709551616", "٣"] {
            assert_eq!(message_id(malformed), None, "{malformed}");
        }
    }
}
