//! F0, the vocabulary: what a client can ask, what it is told, and what everybody calls it.
//!
//! Owned by nobody, used by every floor above. Invariants: no protocol, no bytes on a wire or a disk, no clock; every
//! type is a value, and a value that exists is well formed (ids are checked where they are made).

mod closing;
mod command;
mod ids;
mod limits;
mod message;
mod refusal;
mod reply;

pub use closing::Closing;
pub use command::{Ack, Command, DeviceKey, RequestTag, Send, Sync, SyncDirection};
pub use ids::{
    ClientMessageId, ConversationName, ConversationSeq, GroupId, IdError, MessageId, Millis, Position, Seq, SessionId,
    ShardId, Slot, UserId,
};
pub use limits::Limits;
pub use message::{Annotations, Conversation, Entry, Extra, HeaderFlags, Message, Recipient, SettingFlags};
pub use refusal::{Refusal, Refused};
pub use reply::{Event, Reply};
