//! The binary protocol (proto/im.proto): requests to commands, replies and events to frames.

pub(super) mod body;
pub(super) mod dispatch;
pub(super) mod encode;
pub(super) mod fact;
pub(super) mod fields;
pub mod im;
pub(super) mod name;
pub(super) mod request;
