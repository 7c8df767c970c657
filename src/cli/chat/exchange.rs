//! One user's side of a conversation, without a socket: the messages to write, and the events received.

use tungstenite::Message;

/// For `ChatPair::seen`, if the inbox is shorter than the remembered seq and therefore another one.
pub const FROM_THE_START: i64 = 0;
/// The number of newest entries that are searched if no seq is remembered.
pub const NEWEST_ENTRIES: i32 = 500;
pub const SYNC_LIMIT: i32 = 100;

/// The other side of a conversation, as its user addresses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatPeer {
    User(String),
    Group(String),
}

/// The newest inbox seq that has been shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub seq: i64,
    /// The inbox epoch of `seq`; `None`: the server has not sent one.
    pub epoch: Option<u64>,
}

/// The two sides of a conversation.
pub struct ChatPair {
    pub user: String,
    pub peer: ChatPeer,
    pub token: String,
    /// Unique among all runs: the prefix of every client message id.
    pub run: String,
    /// The newest inbox seq that was shown in this conversation; `None`: it has not been shown on this machine.
    pub seen: Option<i64>,
    /// The inbox epoch in which `seen` is valid, once a server has sent it.
    pub epoch: Option<u64>,
}

impl ChatPair {
    pub fn client_message_id(&self, number: u32) -> String {
        format!("{}-{number}", self.run)
    }

    /// Whether this run sent the message: then its text is on the screen already.
    pub fn has_said(&self, client_message_id: &str) -> bool {
        client_message_id.strip_prefix(&self.run[..]).is_some_and(|rest| rest.starts_with('-'))
    }

    /// Notes the server's inbox epoch; 0 if it sent none. In another epoch the remembered seq stands for another
    /// message.
    pub fn is_in_epoch(&mut self, epoch: u64) {
        if epoch == 0 {
            return;
        }
        if self.epoch.replace(epoch).is_some_and(|before| before != epoch) {
            self.seen = None;
        }
    }

    /// Notes that a message of this session got the inbox seq `seq`, which is not pushed to this session. Returns
    /// whether no unseen entry precedes it.
    pub fn took(&mut self, seq: i64) -> bool {
        let is_next = seq > 0 && self.seen.is_some_and(|seen| seen + 1 == seq);
        if is_next {
            self.seen = Some(seq);
        }
        is_next
    }

    /// The range of the next sync: entries after a seq, or a negative number of newest entries.
    pub fn sync_range(&self) -> (i64, i32) {
        self.seen.map_or((0, -NEWEST_ENTRIES), |seen| (seen, SYNC_LIMIT))
    }
}

/// The line that an entry of the inbox is shown as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Text { from: String, text: String },
    Note(String),
    Nothing,
}

#[derive(Debug, PartialEq, Eq)]
pub enum ChatEvent {
    /// The session is open: typed lines are sent from now on.
    Opened,
    /// `seq` is the inbox seq, if the protocol sends it.
    Entry { seq: Option<i64>, line: Line },
    /// The message with this number was accepted.
    Accepted(u32),
    /// The message with this number was refused, with the reason.
    Refused(u32, String),
    /// The server ends this session; the client may reconnect.
    Leaving,
    /// The server ends this session, with the reason; reconnecting is useless.
    Farewell(String),
    /// A received message is not of this protocol.
    Unreadable,
}

/// The messages to write and the events, in order.
#[derive(Default)]
pub struct ChatAction {
    pub write: Vec<Message>,
    pub events: Vec<ChatEvent>,
}

impl ChatAction {
    /// Notes that a message was accepted with the inbox seq `seq`.
    pub fn accepted(&mut self, me: &mut ChatPair, number: u32, seq: i64) {
        self.events.push(ChatEvent::Accepted(number));
        if me.took(seq) {
            self.events.push(ChatEvent::Entry { seq: Some(seq), line: Line::Nothing });
        }
    }
}
