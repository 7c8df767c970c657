//! The operator's choices of behaviour, where docs/PROTOCOL.md leaves a choice.

use super::HookPolicy;

/// Behaviour that the protocols leave to the server. The defaults are those of docs/PROTOCOL.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// Whether a session replaces an older one of the same platform.
    pub same_platform: SamePlatform,
    /// Which users exist.
    pub directory: Directory,
    /// About which messages the operator's hook is asked before they are accepted.
    pub hook: HookPolicy,
}

/// Whether a session of the binary protocol, which names no device, ends an older one of the same platform (PROTOCOL
/// 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamePlatform {
    /// Several sessions of one platform may be open at once.
    #[default]
    Allow,
    /// A new session ends the older one of the same platform.
    Kick,
}

/// Which users can receive messages (PROTOCOL 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directory {
    /// Every well-formed user id is a user.
    #[default]
    Open,
    /// Only users whom an operator has added, or who have had a session.
    Closed,
}
