//! Looking after a server: its status, what is wrong with it, and what a report of a fault needs.

pub(super) mod bundle;
pub(super) mod doctor;
mod examined;
pub(super) mod status;
pub(super) mod top;
