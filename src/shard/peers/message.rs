//! What travels on a lane between two shards: facts, one way. Nobody waits for another core.

use crate::model::{
    Conversation, ConversationSeq, Message, MessageId, PresenceAction, PresenceState, ReadMessage, Reply, Send,
    TypingNotice, UserId,
};
use crate::shard::table::fingerprint::Fingerprint;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardMessage {
    /// First of all after a start: "of your deliveries I have everything up to `taken`, and `newest` is the last that I
    /// know to have owed you". What one of the two has and the other lacks is then made good (`heal`).
    Hello {
        taken: u64,
        newest: u64,
    },
    /// "My log has lost what it owed you behind `after`: give it back." Asked once more for each part of the answer.
    GiveBack {
        after: u64,
    },
    /// A part of it.
    GivenBack(Box<GivenBack>),
    /// "Of the deliveries that you have not taken, those up to `through` are gone for good."
    Forgone {
        through: u64,
    },
    /// "What I owed you from before the start is ahead of this."
    Replayed,
    /// To a conversation's owner: do this. Answered by the author's `Deliver`, or by `Answered`.
    Post(Arc<ConversationRequest>),
    /// The owner's answer to a post whose author it delivers nothing to.
    Answered {
        key: Fingerprint,
        reply: Reply,
    },
    /// From a conversation's owner: the `number`-th message that it owes the inboxes of the receiving shard.
    Deliver {
        number: u64,
        message: Arc<Message>,
    },
    /// "Your deliveries up to `through` are durable here."
    Confirm {
        through: u64,
    },
    /// "For your next delivery I have no room, and ask again when I do."
    NoRoom,
    /// "I had no room; there is room again: send what is behind `through` once more."
    Again {
        through: u64,
    },
    /// A message for whoever is online, never stored (PROTOCOL 3.10). May be lost.
    Transient {
        message: Arc<Message>,
    },
    /// From a member's shard to the conversation's owner, and from there to the shards of its members. May be lost.
    Typing {
        notice: Box<TypingNotice>,
    },
    /// From the shard that orders a pair to its other user's, in a closed directory: may one write to it? One at a time
    /// a pair.
    IsKnown {
        user: UserId,
        pair: Fingerprint,
    },
    Known {
        pair: Fingerprint,
        standing: UserStatus,
    },
    /// To the shard of these users. Answered by `TellPresence` with the same number.
    AskPresence(Box<PresenceQuestion>),
    /// In the order in which they were asked for.
    TellPresence {
        number: u64,
        seen: Vec<VisiblePresence>,
    },
    /// Users of the sending shard have come or gone. One at a time; `Heard` says that the next may come.
    PresenceNews {
        states: Vec<PresenceState>,
    },
    /// Nobody on the sending shard is to be told of these users any more. One at a time, as above.
    Unwatch {
        users: Vec<UserId>,
    },
    /// To the second user's shard: the first of each pair hides from the second, and is not to be shown to it any more. One at a
    /// time, as above.
    Hide {
        pairs: Vec<(UserId, UserId)>,
    },
    Heard(PresenceMessage),
    /// First of all after a start, to a group's owner: so much of its groups is on its way to members here.
    FanningOut {
        groups: Vec<(Fingerprint, JobLoad)>,
    },
    /// To a group's owner: so much has come to all members here. One at a time, as above.
    FannedOut {
        groups: Vec<(Fingerprint, JobLoad)>,
    },
}

/// Entries of a group that are, or were, on their way to members on one shard, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobLoad {
    pub count: u32,
    pub bytes: u64,
}

/// Whether a user may be written to in a closed directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    Known,
    Stranger,
}

/// How these users are, and whether their shard is to tell of changes from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceQuestion {
    pub number: u64,
    pub by: UserId,
    pub action: PresenceAction,
    pub users: Vec<UserId>,
}

/// What one user may see of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VisiblePresence {
    As(PresenceState),
    /// The other has blocked it.
    Hidden(UserId),
}

/// Deliveries that a shard has taken and their source has lost, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenBack {
    pub deliveries: Vec<(u64, Arc<Message>)>,
    /// How far conversations had got whose messages are not there any more. Comes with the first part.
    pub reached: Vec<(Conversation, ConversationSeq)>,
    /// Every id that the source can have given is below it.
    pub ids_below: MessageId,
    pub has_more: bool,
}

/// What a shard has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceMessage {
    News,
    Unwatch,
    Hide,
    FannedOut,
}

impl ShardMessage {
    /// Whether it may be dropped rather than wait: nobody is promised it.
    pub fn is_volatile(&self) -> bool {
        matches!(self, Self::Transient { .. } | Self::Typing { .. })
    }
}

/// Something that a user wants of a conversation, on its way to the shard that orders it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRequest {
    pub author: UserId,
    pub conversation: Conversation,
    /// The conversation's.
    pub name: Fingerprint,
    /// Which flight of the author's shard is answered; a send's is the dedupe's too.
    pub key: Fingerprint,
    pub ask: RequestKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestKind {
    Send(Send),
    Revoke(MessageId),
    /// For each author what the post's author has read of it.
    Receipt(BTreeMap<UserId, Vec<ReadMessage>>),
}

impl JobLoad {
    pub fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// Those that are done are no more; never below nothing, whatever another shard says.
    pub fn take_off(&mut self, done: Self) {
        self.count = self.count.saturating_sub(done.count);
        self.bytes = if self.count == 0 { 0 } else { self.bytes.saturating_sub(done.bytes) };
    }
}

impl ConversationRequest {
    /// About how much memory it holds while it is on its way.
    pub fn bytes(&self) -> usize {
        match &self.ask {
            RequestKind::Send(send) => send.content.len() + send.extra.bytes(),
            RequestKind::Revoke(_) => 0,
            RequestKind::Receipt(read) => read.values().map(|messages| messages.len() * size_of::<ReadMessage>()).sum(),
        }
    }
}

/// Questions after presence to one shard that it has not answered.
pub(in crate::shard) const PRESENCE_QUESTIONS_MAX: usize = 256;

/// How many posts and deliveries may be on their way between two shards. Lanes are sized by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Posts to one shard that it has not answered.
    pub posts_max: usize,
    /// Deliveries to one shard that it has not confirmed.
    pub deliveries_max: usize,
    /// Bytes of posts to one shard, and of deliveries to it, with which no further one is sent.
    pub bytes_max: usize,
    /// Posts that waited for room and go on with one input, however much room it has made: no turn is held up.
    pub held_per_input_max: usize,
}

impl Windows {
    /// An upper bound of the parcels in one lane at once. One way: posts, deliveries and, after an `Again`, the same
    /// deliveries once more. For the other way's traffic: a no to each post, a confirmation of each delivery. And the
    /// three of a start, a question after what was lost and its answer, one `NoRoom` and one `Again`. A closed directory asks once
    /// more for each post, and is asked. Questions after presence, their answers, and one of each other word. What is fanned
    /// out. As much again for what may be dropped.
    pub fn lane_parcels_max(self) -> usize {
        let presence = 2 * PRESENCE_QUESTIONS_MAX + 6;
        let fanned = 3;
        2 * (4 * self.posts_max + 3 * self.deliveries_max + 7 + presence + fanned)
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self { posts_max: 4_096, deliveries_max: 4_096, bytes_max: 4 << 20, held_per_input_max: 256 }
    }
}
