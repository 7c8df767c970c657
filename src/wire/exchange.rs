//! What connection and codecs say to each other about one message from a client.

use super::connection::Credentials;
use crate::model::{
    ClientMessageId, Closing, Command, IdError, Limits, MessageId, Millis, Refused, RequestTag, Seq, Sync,
    SyncDirection, UserId,
};

/// What a codec needs beside the message.
pub(super) struct Exchange<'a> {
    /// Whose session it is; `None` before authentication.
    pub user: Option<&'a UserId>,
    pub limits: &'a Limits,
    pub now: Millis,
    /// Where answers go.
    pub out: &'a mut Vec<u8>,
}

/// What a message comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Authenticate {
        credentials: Credentials,
        traits: ClientTraits,
    },
    Request {
        tag: RequestTag,
        command: Command,
    },
    /// Nothing is left to do: it was answered, or asks for no answer.
    Answered,
    /// It is not even a request; it was answered, and counts.
    Malformed,
    /// It was answered, and the connection ends.
    Refused(Closing),
}

/// What a JSON-RPC client says about itself in `connect`; binary clients have the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientTraits {
    pub version: u8,
    /// The server's clock minus the client's.
    pub time_diff_ms: i64,
}

pub(super) fn user_id(text: &str, detail: &'static str) -> Result<UserId, Refused> {
    UserId::new(text).map_err(|_| Refused::invalid(detail))
}

pub(super) fn client_message_id(text: &str) -> Result<ClientMessageId, Refused> {
    ClientMessageId::new(text).map_err(|error| {
        Refused::invalid(match error {
            IdError::Empty => "the client message id is missing",
            IdError::TooLong { .. } => "the client message id is longer than 128 bytes",
            IdError::ControlCharacter => "the client message id holds a control character",
        })
    })
}

/// The server's ids are decimal, without sign.
pub(super) fn message_id(text: &str) -> Option<MessageId> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| text.parse().ok().map(MessageId)).flatten()
}

/// PROTOCOL 2.5: the sign of `limit` is the direction.
pub(super) fn sync(min_seq: i64, max_seq: i64, limit: i64, limits: &Limits) -> Result<Sync, Refused> {
    let (Ok(min_seq), Ok(max_seq)) = (u64::try_from(min_seq), u64::try_from(max_seq)) else {
        return Err(Refused::invalid("a seq is negative"));
    };
    let direction = if limit < 0 { SyncDirection::Before(Seq(min_seq)) } else { SyncDirection::After(Seq(max_seq)) };
    let wanted = match limit {
        0 => limits.sync_entries_default,
        _ => u32::try_from(limit.unsigned_abs()).unwrap_or(u32::MAX),
    };
    Ok(Sync { direction, limit: wanted.clamp(1, limits.sync_entries_max) })
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
    fn a_message_id_is_a_decimal_number_without_sign() {
        assert_eq!(message_id("18446744073709551615"), Some(MessageId(u64::MAX)));
        for malformed in ["", "+1", "-1", "1a", " 1", "18446744073709551616", "٣"] {
            assert_eq!(message_id(malformed), None, "{malformed}");
        }
    }
}
