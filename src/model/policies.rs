//! Choices that an operator makes between kinds of behaviour, where PROTOCOL.md leaves one.

/// What a server does where the protocols let it choose. The defaults are PROTOCOL.md's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    pub same_platform: SamePlatform,
    pub directory: Directory,
}

/// Whether a session of the binary protocol, which names no device, ends an older one of the same platform (PROTOCOL 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamePlatform {
    /// Several of one platform at once.
    #[default]
    Allow,
    /// A new one ends the older one of the same platform.
    Kick,
}

/// Who can be written to (PROTOCOL 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directory {
    /// Any well-formed user id is a user.
    #[default]
    Open,
    /// Only users whom the operator has made known, or who have been here.
    Closed,
}
