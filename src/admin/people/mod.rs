//! Orders about users, their sessions and their groups; what is theirs, and how it goes.

pub mod all_sessions;
pub mod conversation_pages;
pub mod devices;
pub mod erasure;
pub mod export;
pub mod groups;
pub mod profiles;
pub mod sessions;
pub mod users;
