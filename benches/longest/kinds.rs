//! The names of all kinds of inputs, by patterns without a wildcard: a new kind does not compile without a name, and the
//! bench fails while no row has an input of that name.

use mushan::model::{Command, GroupAct, Order};
use mushan::shard::{ConversationRequest, FetchKind, Input, RequestKind, ShardMessage};

/// A function that names each variant, and a list of the names of those that are inputs by themselves. Variants after
/// `in` are named by another function.
macro_rules! kinds {
    ($name_of:ident, $all:ident, $of:ty, { $($pattern:pat => $name:literal,)* } $(in { $($inner:pat => $name_inner:expr,)* })?) => {
        pub fn $name_of(value: &$of) -> &'static str {
            match value {
                $($pattern => $name,)*
                $($($inner => $name_inner,)*)?
            }
        }

        const $all: &[&str] = &[$($name),*];
    };
}

kinds!(kind_of, INPUTS, Input, {
    Input::Opened { .. } => "Opened",
    Input::Closed { .. } => "Closed",
    Input::Congested { .. } => "Congested",
    Input::Drained { .. } => "Drained",
    Input::Synced { .. } => "Synced",
    Input::Waived => "Waived",
    Input::Ticked => "Ticked",
    Input::Continued => "Continued",
    Input::HookAnswered { .. } => "HookAnswered",
    Input::Checkpointed { .. } => "Checkpointed",
    Input::InboxEpochRenewed => "InboxEpochRenewed",
} in {
    Input::Requested { command, .. } => kind_of_command(command),
    Input::Arrived { shard_message, .. } => kind_of_shard_message(shard_message),
    Input::Fetched(fetched) => kind_of_fetch(&fetched.kind()),
    Input::Ordered { order, .. } => kind_of_order(order),
});

kinds!(kind_of_command, COMMANDS, Command, {
    Command::Send(_) => "Send",
    Command::Sync(_) => "Sync",
    Command::Ack(_) => "Ack",
    Command::Revoke(_) => "Revoke",
    Command::Receipt(_) => "Receipt",
    Command::Typing(_) => "Typing",
    Command::History(_) => "History",
    Command::Conversations(_) => "Conversations",
    Command::MarkRead(_) => "MarkRead",
    Command::Clear(_) => "Clear",
    Command::Presence(_) => "Presence",
    Command::ShowProfile(_) => "ShowProfile",
    Command::SetProfile(_) => "SetProfile",
    Command::Reauthenticate => "Reauthenticate",
    Command::RegisterDevice(_) => "RegisterDevice",
    Command::UnregisterDevice(_) => "UnregisterDevice",
    Command::ShowDevices => "ShowDevices",
} in {
    Command::Group(request) => kind_of_act(&request.act),
});

kinds!(kind_of_act, ACTS, GroupAct, {
    GroupAct::Show { .. } => "ShowGroup",
    GroupAct::ChangeMembers { .. } => "ChangeMembers",
    GroupAct::ChangeMember { .. } => "ChangeMember",
    GroupAct::ChangeProfile(_) => "ChangeGroup",
    GroupAct::Dissolve => "DissolveGroup",
    GroupAct::Join => "JoinGroup",
    GroupAct::Requests { .. } => "ListRequests",
    GroupAct::AnswerRequest { .. } => "AnswerRequest",
});

kinds!(kind_of_order, ORDERS, Order, {
    Order::CreateGroup { .. } => "order CreateGroup",
    Order::ChangeMembers { .. } => "order ChangeMembers",
    Order::ChangeMember { .. } => "order ChangeMember",
    Order::ChangeProfile { .. } => "order ChangeProfile",
    Order::DissolveGroup { .. } => "order DissolveGroup",
    Order::ShowGroup { .. } => "order ShowGroup",
    Order::Block { .. } => "order Block",
    Order::KnowUser { .. } => "order KnowUser",
    Order::ShowUser { .. } => "order ShowUser",
    Order::SetProfile { .. } => "order SetProfile",
    Order::ShowProfile { .. } => "order ShowProfile",
    Order::SetAccount { .. } => "order SetAccount",
    Order::RevokeTokens { .. } => "order RevokeTokens",
    Order::EraseUser { .. } => "order EraseUser",
    Order::ListErased { .. } => "order ListErased",
    Order::Send { .. } => "order Send",
    Order::ShowInbox { .. } => "order ShowInbox",
    Order::ShowConversations { .. } => "order ShowConversations",
    Order::ShowHistory { .. } => "order ShowHistory",
    Order::ShowSessions { .. } => "order ShowSessions",
    Order::ListSessions { .. } => "order ListSessions",
    Order::EndSessions { .. } => "order EndSessions",
    Order::ShowPresence { .. } => "order ShowPresence",
    Order::ListUsers { .. } => "order ListUsers",
    Order::ListGroups { .. } => "order ListGroups",
    Order::Revoke { .. } => "order Revoke",
    Order::ShowRequests { .. } => "order ShowRequests",
    Order::AnswerRequest { .. } => "order AnswerRequest",
    Order::RegisterDevice { .. } => "order RegisterDevice",
    Order::UnregisterDevice { .. } => "order UnregisterDevice",
    Order::ShowDevices { .. } => "order ShowDevices",
});

kinds!(kind_of_fetch, FETCHES, FetchKind, {
    FetchKind::Page => "fetched page",
    FetchKind::Backlog => "fetched backlog",
    FetchKind::First => "fetched first",
    FetchKind::History => "fetched history",
    FetchKind::List => "fetched list",
    FetchKind::Messages => "fetched messages",
    FetchKind::Receipt => "fetched receipt",
    FetchKind::Recount => "fetched recount",
    FetchKind::Search => "fetched search",
});

kinds!(kind_of_shard_message, SHARD_MESSAGES, ShardMessage, {
    ShardMessage::Hello { .. } => "Hello",
    ShardMessage::GiveBack { .. } => "GiveBack",
    ShardMessage::GivenBack(_) => "GivenBack",
    ShardMessage::Forgone { .. } => "Forgone",
    ShardMessage::Replayed => "Replayed",
    ShardMessage::Answered { .. } => "Answered",
    ShardMessage::Deliver { .. } => "Deliver",
    ShardMessage::Confirm { .. } => "Confirm",
    ShardMessage::NoRoom => "NoRoom",
    ShardMessage::ResendAfter { .. } => "ResendAfter",
    ShardMessage::Transient { .. } => "Transient",
    ShardMessage::Typing { .. } => "typing from a shard",
    ShardMessage::IsKnown { .. } => "IsKnown",
    ShardMessage::Known { .. } => "Known",
    ShardMessage::AskAdmission { .. } => "AskAdmission",
    ShardMessage::Admission { .. } => "Admission",
    ShardMessage::AskPresence(_) => "AskPresence",
    ShardMessage::TellPresence { .. } => "TellPresence",
    ShardMessage::PresenceNews { .. } => "PresenceNews",
    ShardMessage::Unwatch { .. } => "Unwatch",
    ShardMessage::Hide { .. } => "Hide",
    ShardMessage::Ack(_) => "ack from a shard",
    ShardMessage::FanningOut { .. } => "FanningOut",
    ShardMessage::FannedOut { .. } => "FannedOut",
} in {
    ShardMessage::Request(ConversationRequest { ask, .. }) => kind_of_request(ask),
});

kinds!(kind_of_request, REQUESTS, RequestKind, {
    RequestKind::Send(..) => "request Send",
    RequestKind::Revoke(..) => "request Revoke",
    RequestKind::Receipt(..) => "request Receipt",
    RequestKind::Group(..) => "request Group",
    RequestKind::Clear(..) => "request Clear",
    RequestKind::Profile(_) => "request Profile",
});

/// Every kind.
pub fn all() -> impl Iterator<Item = &'static str> {
    let lists = [INPUTS, COMMANDS, ACTS, ORDERS, FETCHES, SHARD_MESSAGES, REQUESTS];
    lists.into_iter().flatten().copied()
}
