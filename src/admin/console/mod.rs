//! The console: its pages, its logins, and the audit trail of what operators did, whichever way they did it.

pub mod login;
pub mod logins;
pub mod pages;
pub mod trail;
pub mod trail_page;
