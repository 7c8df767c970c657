//! What an inbox says, in short, for tests that compare what happened.

use crate::model::{ClearExtent, Entry, Fact, GroupChange, JoinStep, UserId};

/// What an inbox says, in short: a text, or what happened.
pub(in crate::shard) fn told(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(said).collect()
}

fn said(entry: &Entry) -> String {
    let ids = |users: &[UserId]| users.iter().map(UserId::as_str).collect::<Vec<_>>().join(" ");
    match entry.message.fact.as_deref() {
        None if !entry.message.extra.is_empty() => "(revoked)".to_owned(),
        None => String::from_utf8_lossy(&entry.message.content).into_owned(),
        Some(Fact::Revoked { .. }) => format!("{} revoked", entry.message.author),
        Some(Fact::Read { messages, .. }) => format!("{} read {}", entry.message.author, messages.len()),
        Some(Fact::Group(change)) => match change {
            GroupChange::Created { members, .. } => format!("created {}", ids(members)),
            GroupChange::Added { members } => format!("added {}", ids(members)),
            GroupChange::Removed { members } => format!("removed {}", ids(members)),
            GroupChange::Changed { member, .. } => format!("changed {member}"),
            GroupChange::Dissolved => "dissolved".to_owned(),
            GroupChange::Profiled(profile) => format!("profile {}", profile.about.name),
        },
        Some(Fact::Joining { asker, step: JoinStep::Asked }) => format!("{asker} asked"),
        Some(Fact::Cleared { through, extent: ClearExtent::History, .. }) => format!("cleared through {through}"),
        Some(Fact::Cleared { through, extent: ClearExtent::Conversation, .. }) => format!("deleted through {through}"),
        Some(Fact::Joining { asker, step: JoinStep::Declined { by } }) => format!("{asker} declined by {by}"),
    }
}
