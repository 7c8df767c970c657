//! One user's side of a conversation, without a socket: what to write, and what was heard.

use tungstenite::Message;

/// For `ChatPair::seen`, when the inbox is shorter than what was remembered: it is another one.
pub const FROM_THE_START: i64 = 0;
/// Entries of the inbox that are looked through where nothing is remembered.
pub const NEWEST_ENTRIES: i32 = 500;
pub const SYNC_LIMIT: i32 = 100;

/// A conversation, as its user addresses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatPeer {
    User(String),
    Group(String),
}

/// How far an inbox has been shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    pub seq: i64,
    /// In which seqs stand for what they stood for; `None`: the server has told none.
    pub epoch: Option<u64>,
}

/// Who talks to whom.
pub struct ChatPair {
    pub user: String,
    pub peer: ChatPeer,
    pub token: String,
    /// Unique among all runs: the beginning of every client message id.
    pub run: String,
    /// The newest inbox seq that was shown in this conversation; `None`: it has not been shown on this machine.
    pub seen: Option<i64>,
    /// The inbox epoch in which `seen` holds, once a server has told it.
    pub epoch: Option<u64>,
}

impl ChatPair {
    pub fn client_message_id(&self, number: u32) -> String {
        format!("{}-{number}", self.run)
    }

    /// Whether it was said here, where it stands on the screen as it was typed.
    pub fn has_said(&self, client_message_id: &str) -> bool {
        client_message_id.strip_prefix(&self.run[..]).is_some_and(|rest| rest.starts_with('-'))
    }

    /// The server says in which epoch its inboxes are; 0 where it says nothing. In another one, seqs that were
    /// remembered stand for other messages.
    pub fn is_in_epoch(&mut self, epoch: u64) {
        if epoch == 0 {
            return;
        }
        if self.epoch.replace(epoch).is_some_and(|before| before != epoch) {
            self.seen = None;
        }
    }

    /// A message of this session took `seq`; nobody pushes it here. Whether nothing unseen stands before it.
    pub fn took(&mut self, seq: i64) -> bool {
        let is_next = seq > 0 && self.seen.is_some_and(|seen| seen + 1 == seq);
        if is_next {
            self.seen = Some(seq);
        }
        is_next
    }

    /// What the next sync asks for: entries above a seq, or below none a negative number of the newest.
    pub fn sync_range(&self) -> (i64, i32) {
        self.seen.map_or((0, -NEWEST_ENTRIES), |seen| (seen, SYNC_LIMIT))
    }
}

/// What an entry of the inbox says to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    Text { from: String, text: String },
    Note(String),
    Nothing,
}

#[derive(Debug, PartialEq, Eq)]
pub enum ChatEvent {
    /// What one types is sent from here on.
    Opened,
    /// `seq` is the inbox seq where the protocol tells it.
    Entry { seq: Option<i64>, line: Line },
    /// The answer to the `say` of this number.
    Accepted(u32),
    /// The other answer to a `say`.
    Refused(u32, String),
    /// The server ends this session; another one is welcome.
    Leaving,
    /// The server will not go on.
    Farewell(String),
    /// What came is not of this protocol.
    Unreadable,
}

/// What a session wants done, in order.
#[derive(Default)]
pub struct ChatAction {
    pub write: Vec<Message>,
    pub events: Vec<ChatEvent>,
}

impl ChatAction {
    /// A message was accepted, and took `seq`.
    pub fn accepted(&mut self, me: &mut ChatPair, number: u32, seq: i64) {
        self.events.push(ChatEvent::Accepted(number));
        if me.took(seq) {
            self.events.push(ChatEvent::Entry { seq: Some(seq), line: Line::Nothing });
        }
    }
}
