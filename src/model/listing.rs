//! What an operator is shown of sessions, users and groups, one page at a time.

use super::{DeviceKey, GroupId, Millis, Seq, SessionId, UserId};
use compact_str::CompactString;

/// One session of a user. The shard knows the device; the core that holds the connection adds the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionState {
    /// The session.
    pub id: SessionId,
    /// The device.
    pub device: DeviceKey,
    /// The name of the protocol: `binary`, `jsonrpc` or `wukong`.
    pub protocol: &'static str,
    /// The address and port of the socket's other end: a proxy's where there is one. Empty if it is gone already.
    pub address: CompactString,
    /// The wall-clock time at which the session was opened.
    pub since: Millis,
    /// Bytes for the session that the kernel has not taken yet.
    pub queued_bytes: u64,
}

/// One user in a list of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUser {
    /// The user's id.
    pub id: UserId,
    /// The user is in the directory: an operator has added it, or it has had a session.
    pub is_known: bool,
    /// The user has a session.
    pub is_online: bool,
    /// The newest inbox seq; 0: the inbox is empty.
    pub newest_seq: Seq,
    /// The wall-clock time at which the last session ended; 0: online, or never seen.
    pub last_seen: Millis,
}

/// One group in a list of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group's id.
    pub id: GroupId,
    /// The user with the role `Owner`.
    pub owner: UserId,
    /// The wall-clock time of the creation.
    pub created: Millis,
    /// All members.
    pub member_count: u64,
}

/// A part of a list of one shard's rows, in the order of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows. There may be none although more follow.
    pub rows: Vec<T>,
    /// The row at which the next part begins; `None`: there is none.
    pub next: Option<u32>,
}
