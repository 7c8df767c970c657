//! F0, the vocabulary: the types of what a client can ask, of what a client receives, and of the names both protocols
//! share.
//!
//! Every layer above uses these types. Invariants: no protocol, no bytes of a wire or a disk, and no clock in here;
//! every type is a value, and a value that exists is well formed (ids are checked where they are constructed).

#![warn(missing_docs)]

mod closing;
mod command;
mod content;
mod fact;
mod group;
mod histogram;
mod hook;
mod ids;
mod limits;
mod message;
mod moment;
mod order;
mod policies;
mod push;
mod refusal;
mod reply;
mod short_text;
mod sizing;
#[cfg(test)]
pub(crate) mod testing;
mod unsequenced;
mod verb;

pub use closing::Closing;
pub use command::{
    Ack, Clear, Command, ConversationRef, Conversations, DeviceKey, History, HistoryDirection, MarkRead, Presence,
    PresenceAction, Receipt, RequestTag, Revoke, Send, Sync, SyncDirection, Typing,
};
pub use content::{Extra, MessageContent};
pub use fact::{ClearExtent, Fact, GroupChange, JoinStep, ReadMessage};
pub use group::{
    GroupAct, GroupProfile, GroupRequest, GroupState, JoinPolicy, JoinRequest, JoinRequests, JoinVerdict, Member,
    Profile, ProfileChange, Role,
};
pub use histogram::Histogram;
pub use hook::{Denial, DenialCode, HookPolicy, HookVerdict, OnHookFailure, Replacement, SendKind, SendKinds};
pub use ids::{
    ClientMessageId, ConversationName, ConversationSeq, GroupId, IdError, MessageId, Millis, Position, Seq, SessionId,
    ShardId, Slot, UserId, has_control_character,
};
pub use limits::Limits;
pub use message::{
    Annotations, ChunkPhase, Conversation, Entry, HeaderFlags, Message, Recipient, SettingFlags, StreamChunk,
};
pub use moment::{Moment, Steady};
pub use order::{
    AccountState, Addressee, Answer, Authority, BlockState, Listed, ListedGroup, ListedUser, Order, SentMessage,
    SessionState, UserState,
};
pub use policies::{Directory, Policies, SamePlatform};
pub use push::{
    GivenToken, PushChange, PushDevice, PushProvider, PushRegistration, PushSettings, PushToken, QuietHours,
    push_device_id,
};
pub use refusal::{Refusal, RefusalCounts, Refused};
pub use reply::{ConversationRow, Event, PresenceState, Reply, TypingNotice, UserProfile};
pub use sizing::{Room, Sizing};
pub use unsequenced::UnsequencedMessage;
pub use verb::Verb;
