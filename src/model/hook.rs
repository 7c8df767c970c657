//! The operator's say about a message before it is accepted: what the hook is asked about, and what it may answer.

use super::{Annotations, Extra, MessageContent, Send};
use compact_str::CompactString;

/// The kinds of sends, as far as the hook is asked about them or not. Typing notices have no content and are of no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendKind {
    /// A session's message that is to be stored.
    Stored,
    /// A session's message that is never stored (PROTOCOL 3.10).
    Unstored,
    /// A session's chunk of a stream (PROTOCOL 3.11), stored or not.
    Chunk,
    /// A message of the operator's backend in the name and with the permissions of a user.
    Backend,
    /// A message of the operator's backend with the permissions of the operator.
    System,
}

impl SendKind {
    /// Every kind, in the order of the configuration.
    pub const ALL: [Self; 5] = [Self::Stored, Self::Unstored, Self::Chunk, Self::Backend, Self::System];

    /// The kind of a session's send.
    pub fn of_session(send: &Send) -> Self {
        match send.annotations.as_deref() {
            Some(Annotations { chunk: Some(_), .. }) => Self::Chunk,
            Some(Annotations { header, .. }) if header.no_persist => Self::Unstored,
            _ => Self::Stored,
        }
    }

    /// The stable word for the kind in the configuration and in the hook's requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Unstored => "unstored",
            Self::Chunk => "chunk",
            Self::Backend => "backend",
            Self::System => "system",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendKinds(u8);

impl SendKinds {
    /// What clients send.
    pub const OF_CLIENTS: Self = Self(0b0_0111);

    /// Whether no kind is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the kind is in it.
    pub fn contains(self, kind: SendKind) -> bool {
        self.0 & kind.bit() != 0
    }
}

impl FromIterator<SendKind> for SendKinds {
    fn from_iter<T: IntoIterator<Item = SendKind>>(kinds: T) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | kind.bit()))
    }
}

/// What becomes of a message about which the hook gives no valid answer in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnHookFailure {
    /// The message is accepted as it is.
    Open,
    /// The message is refused.
    #[default]
    Closed,
}

/// Whether and when the hook is asked. The default: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookPolicy {
    /// The kinds about which it is asked.
    pub asked: SendKinds,
    /// What becomes of a message without an answer.
    pub on_failure: OnHookFailure,
}

/// A code of the operator's own, 128 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenialCode(u8);

impl DenialCode {
    /// Added to a code for the JSON-RPC protocol, whose own codes are below.
    pub const JSON_RPC_BASE: i32 = 2_000;

    /// `None`: the number is below 128 or above 255.
    pub fn new(number: u64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| *number >= 128).map(Self)
    }

    /// The number, as the hook has given it.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The binary protocol's error code: the number itself.
    pub fn error_code(self) -> i32 {
        self.0.into()
    }

    /// The JSON-RPC protocol's error code: 2000 more.
    pub fn json_rpc_code(self) -> i32 {
        Self::JSON_RPC_BASE + i32::from(self.0)
    }
}

/// The hook's "no" to a message, in the operator's words. Nothing is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The operator's code.
    pub code: DenialCode,
    /// The operator's text, at most `Denial::TEXT_BYTES_MAX` bytes.
    pub text: CompactString,
}

impl Denial {
    /// The most bytes of the text.
    pub const TEXT_BYTES_MAX: usize = 1_024;
}

/// What the hook puts in the place of a message's content. Author, recipient and ids stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The content.
    pub content: MessageContent,
    /// The type; `None`: as it was.
    pub message_type: Option<i32>,
    /// The extra; `None`: as it was.
    pub extra: Option<Extra>,
}

impl Replacement {
    /// Changes the send. It is marked, so that a repetition of what the author sent is recognised; a key that proves the
    /// author's content goes.
    pub fn apply(self, send: &mut Send) {
        send.content = self.content;
        if let Some(message_type) = self.message_type {
            send.message_type = message_type;
        }
        if let Some(extra) = self.extra {
            send.extra = extra;
        }
        let annotations = send.annotations.get_or_insert_default();
        annotations.is_replaced = true;
        annotations.message_key = None;
    }
}

/// The hook's answer about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookVerdict {
    /// The message may be sent as it is.
    Allowed,
    /// The message may not be sent.
    Denied(Box<Denial>),
    /// The message may be sent with other content.
    Replaced(Box<Replacement>),
    /// There is no valid answer, or none in time.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_above_those_of_most_protocols_and_fits_a_byte() {
        assert_eq!([127, 256, u64::MAX].map(DenialCode::new), [None; 3]);
        let codes = [128, 255].map(|number| DenialCode::new(number).expect("in range"));
        assert_eq!(codes.map(DenialCode::error_code), [128, 255]);
        assert_eq!(codes.map(DenialCode::json_rpc_code), [2_128, 2_255]);
    }

    #[test]
    fn a_set_has_what_was_put_in() {
        let all: SendKinds = SendKind::ALL.into_iter().collect();
        assert!(SendKind::ALL.into_iter().all(|kind| all.contains(kind)));
        let clients: Vec<&str> = SendKind::ALL
            .into_iter()
            .filter(|kind| SendKinds::OF_CLIENTS.contains(*kind))
            .map(SendKind::name)
            .collect();
        assert_eq!(clients, ["stored", "unstored", "chunk"]);
        assert!(SendKinds::default().is_empty() && !all.is_empty());
    }
}
