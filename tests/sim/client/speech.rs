//! What a simulated client says and hears, in the words of neither protocol.

use crate::check::devices::DeviceWish;
use crate::check::group::Group;
use crate::client::binary;
use crate::client::frames::Protocol;
use crate::client::json;
use mushan::model::{ChunkPhase, GroupAct, StreamChunk};
use std::collections::BTreeSet;

/// Whom a message is for, as its author sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    Person(String),
    Group(String),
}

impl Channel {
    /// The name that the server fills, for `user`.
    pub fn conversation(&self, user: &str) -> String {
        match self {
            Self::Person(peer) if peer.as_str() < user => format!("single_{peer}_{user}"),
            Self::Person(peer) => format!("single_{user}_{peer}"),
            Self::Group(group) => format!("group_{group}"),
        }
    }

    /// What `user` calls the conversation of this name.
    pub fn of(user: &str, conversation: &str) -> Self {
        if let Some(group) = conversation.strip_prefix("group_") {
            return Self::Group(group.to_owned());
        }
        let (a, b) = pair_of(conversation);
        Self::Person(if a == user { b } else { a }.to_owned())
    }
}

/// The two of a conversation that is not a group's. Ids hold no underscore here.
pub fn pair_of(conversation: &str) -> (&str, &str) {
    conversation.strip_prefix("single_").and_then(|ids| ids.split_once('_')).expect("a pair's name")
}

pub fn group_of(conversation: &str) -> Option<&str> {
    conversation.strip_prefix("group_")
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub enum Ask {
    Authenticate {
        user: String,
        token: String,
        device: String,
    },
    Send {
        id: String,
        to: Channel,
        body: String,
        manner: Manner,
    },
    Sync {
        after: u64,
        limit: u64,
    },
    SyncBack {
        before: u64,
        limit: u64,
    },
    History {
        of: Channel,
        from: Edge,
        limit: u64,
    },
    Conversations {
        before: u64,
        limit: u64,
    },
    MarkRead {
        of: Channel,
        through: u64,
    },
    Revoke {
        of: Channel,
        message: u64,
    },
    Receipt {
        of: Channel,
        messages: Vec<u64>,
    },
    /// For oneself, up to a place; 0: to the newest.
    Clear {
        of: Channel,
        through: u64,
        is_deleted: bool,
    },
    Typing {
        of: Channel,
    },
    Ack {
        message: u64,
        seq: u64,
    },
    Presence {
        wish: Wish,
        users: Vec<String>,
    },
    /// A token in place of the one that the session has.
    Renew {
        user: String,
        token: String,
    },
    Group {
        group: String,
        act: GroupAct,
    },
    /// About devices that push services wake.
    Devices(DeviceWish),
    Beat,
}

/// What is told of a user's presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub user: String,
    pub is_online: bool,
    pub last_seen: u64,
}

/// What is wanted of others' presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Query,
    Watch,
    Unwatch,
}

/// How a message is sent. The binary protocol has no words for anything but the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manner {
    /// Never stored.
    pub is_passing: bool,
    /// For the first device that acknowledges it.
    pub is_once: bool,
    pub expire_s: u64,
    pub piece: Option<Piece>,
}

impl Manner {
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// It may be missing in an inbox that has a place for it.
    pub fn may_vanish(&self) -> bool {
        self.is_once || self.is_short()
    }

    /// Its time is over long before the end of a run.
    pub fn is_short(&self) -> bool {
        (1..=SHORT_S).contains(&self.expire_s)
    }
}

/// Messages that expire do so within as many seconds, or never in a run.
pub const SHORT_S: u64 = 3;

/// A piece of a stream, as its author says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Piece {
    pub stream: String,
    pub is_last: bool,
}

/// What the server made of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chunk {
    pub stream: String,
    pub number: u64,
    pub flag: u64,
}

impl Chunk {
    /// As a log has it.
    pub fn of(chunk: &StreamChunk) -> Self {
        let flag = match chunk.phase {
            ChunkPhase::First => 0,
            ChunkPhase::Next => 1,
            ChunkPhase::Last => 2,
        };
        Self { stream: chunk.stream.to_string(), number: chunk.number, flag }
    }
}

/// The client ids of what the server says to end a stream that was left behind.
pub const STREAM_END: &str = "stream-end-";

/// What the client ids begin with of what the operator says in users' names.
pub const SYSTEM: &str = "system-";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    After(u64),
    Before(u64),
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Body(String),
    Tombstone,
    Revoked(u64),
    Read(Vec<u64>),
    Group(Change),
    /// The author has cleared the conversation for itself.
    Cleared {
        through: u64,
        is_deleted: bool,
    },
    /// The author has asked to join, or was declined.
    Joining {
        is_asked: bool,
        by: String,
    },
}

impl Kind {
    pub fn is_message(&self) -> bool {
        matches!(self, Self::Body(_) | Self::Tombstone)
    }

    /// Whether its author may have it before what others did earlier.
    pub fn is_said_by_one(&self) -> bool {
        self.is_message() || matches!(self, Self::Joining { .. } | Self::Cleared { .. })
    }

    /// Whether it has a number of its own in its conversation.
    pub fn takes_place(&self) -> bool {
        self.is_message() || matches!(self, Self::Group(_))
    }

    /// The same, or taken back since.
    pub fn became(&self, later: &Self) -> bool {
        self == later || matches!((self, later), (Self::Body(_), Self::Tombstone))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub what: String,
    pub members: BTreeSet<String>,
    pub owner: Option<String>,
    pub role: Option<String>,
    pub is_muted: bool,
    pub name: Option<String>,
    pub join: Option<String>,
}

/// One entry as a client sees it. What a protocol does not tell is `None`, a message id 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub seq: Option<u64>,
    pub conversation: String,
    pub conversation_seq: Option<u64>,
    pub message: u64,
    pub client_id: String,
    pub author: String,
    pub kind: Kind,
    /// Told by one protocol only.
    pub chunk: Option<Chunk>,
    pub time: Option<u64>,
}

impl Shown {
    /// What every protocol tells in the same words.
    pub fn bare(&self) -> Self {
        Self { conversation_seq: None, chunk: None, time: None, ..self.clone() }
    }

    pub fn became(&self, later: &Self) -> bool {
        let (before, after) = (self.bare(), later.bare());
        before.kind.became(&after.kind) && before == Self { kind: before.kind.clone(), ..after }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub conversation: String,
    pub last: Option<Shown>,
    pub last_seq: u64,
    pub unread: u64,
    pub read_through: u64,
    pub newest_seq: u64,
}

/// Why not, whatever the protocol's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum No {
    Trouble,
    /// Too much of a group is on its way.
    Busy,
    Invalid,
    NotAllowed,
    /// The operator's hook has denied it.
    Denied,
    UnknownConversation,
    UnknownUser,
    /// The token is not good any more, or its user may have no session.
    Barred,
    Other(i64),
}

impl No {
    /// The same may be asked again, and be granted.
    pub fn passes(self) -> bool {
        matches!(self, Self::Trouble | Self::Busy)
    }
}

#[derive(Clone, Debug)]
pub enum Told {
    Welcome {
        max_seq: Option<u64>,
    },
    Sent {
        message: u64,
        seq: Option<u64>,
        conversation_seq: Option<u64>,
        time: Option<i64>,
    },
    Page {
        entries: Vec<Shown>,
        max_seq: u64,
        has_more: bool,
    },
    History {
        messages: Vec<Shown>,
        newest_seq: u64,
        /// Where to go on.
        reached: u64,
        has_more: bool,
    },
    List {
        rows: Vec<Row>,
        has_more: bool,
    },
    Done,
    Push(Shown),
    /// Pushed and never stored.
    Transient(Shown),
    Typing {
        conversation: String,
        user: String,
    },
    Presence(Vec<State>),
    /// One whom the session watches has come or gone.
    Came {
        user: String,
        is_online: bool,
    },
    /// As its members see it.
    Group(Box<Group>),
    /// Who has asked to join a group.
    Requests(BTreeSet<String>),
    /// Devices that push services wake, and their locales.
    Devices(Vec<(String, String)>),
    Refused(No),
    /// Heartbeats, farewells.
    Noise,
}

pub fn say(protocol: Protocol, user: &str, tag: u32, ask: &Ask) -> Vec<u8> {
    match protocol {
        Protocol::Binary => binary::say(user, tag, ask),
        Protocol::JsonRpc | Protocol::Wukong => json::say(user, tag, ask).to_string().into_bytes(),
    }
}

/// The tag that a message answers, if any, and what it says to `user`.
pub fn receive(protocol: Protocol, user: &str, payload: &[u8]) -> (Option<u32>, Told) {
    match protocol {
        Protocol::Binary => binary::receive(payload),
        Protocol::JsonRpc | Protocol::Wukong => json::receive(protocol, user, payload),
    }
}

/// What goes with a body: in JSON it takes up to six times as many bytes.
pub fn extra_of(body: &str) -> String {
    let letter = ["x", "\u{1}", "\"", "\u{1}"][body.len() % 4];
    // With a large body it would not fit into the smallest segments.
    let is_long = body.len().is_multiple_of(5) && body.len() <= 200;
    letter.repeat(if is_long { 10 * body.len() } else { body.len().min(3) })
}

/// The same bytes through both protocols, so that a retry through the other one repeats the message.
pub fn body_bytes(body: &str) -> Vec<u8> {
    format!(r#"{{"content":"{body}","type":1}}"#).into_bytes()
}
