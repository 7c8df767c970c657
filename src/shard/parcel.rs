//! What travels on a lane between two shards: facts, one way. Nobody waits for another core.

use crate::model::{ClientMessageId, Conversation, Message, Refused, Send, UserId};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// First of all after a start: "of your deliveries I have everything up to `through`".
    Hello { through: u64 },
    /// "What I owed you from before the start is ahead of this."
    Replayed,
    /// To a conversation's owner: take this message. Answered by the author's `Deliver`, or by `Declined`.
    Post(Arc<Post>),
    /// The owner's no to a post.
    Declined { author: UserId, client_message_id: ClientMessageId, refused: Refused },
    /// From a conversation's owner: the `number`-th message that it owes the inboxes of the receiving shard.
    Deliver { number: u64, message: Arc<Message> },
    /// "Your deliveries up to `through` are durable here."
    Confirm { through: u64 },
    /// "For your next delivery I have no room, and ask again when I do."
    NoRoom,
    /// "I had no room; there is room again: send what is behind `through` once more."
    Again { through: u64 },
}

/// A send on its way to the owner of its conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub author: UserId,
    pub conversation: Conversation,
    pub send: Send,
}

/// How many posts and deliveries may be on their way between two shards. Lanes are sized by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Posts to one shard that it has not answered.
    pub posts_max: usize,
    /// Deliveries to one shard that it has not confirmed.
    pub deliveries_max: usize,
}

impl Windows {
    /// An upper bound of the parcels in one lane at once. One way: posts, deliveries and, after an `Again`, the same
    /// deliveries once more. For the other way's traffic: a no to each post, a confirmation of each delivery. And the
    /// three of a start, one `NoRoom` and one `Again`: after either, the other comes next.
    pub fn lane_parcels_max(self) -> usize {
        2 * self.posts_max + 3 * self.deliveries_max + 5
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self { posts_max: 4_096, deliveries_max: 4_096 }
    }
}
