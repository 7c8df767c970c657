//! Orders about users, their sessions and their groups.

pub mod groups;
pub mod sessions;
pub mod users;
