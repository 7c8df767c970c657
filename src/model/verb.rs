//! What a session can ask for, without what it asks: the one name that codecs, metrics and tests share.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Authenticate,
    Reauthenticate,
    Send,
    Sync,
    Ack,
    Revoke,
    Receipt,
    Typing,
    History,
    Conversations,
    MarkRead,
    Presence,
}

impl Verb {
    pub const ALL: [Self; 12] = [
        Self::Authenticate,
        Self::Reauthenticate,
        Self::Send,
        Self::Sync,
        Self::Ack,
        Self::Revoke,
        Self::Receipt,
        Self::Typing,
        Self::History,
        Self::Conversations,
        Self::MarkRead,
        Self::Presence,
    ];
}
