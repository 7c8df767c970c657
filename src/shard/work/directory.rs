//! Requests that wait until another shard has said whether their recipient exists.
//!
//! Invariant: a pair with requests here has one question under way.

use crate::shard::peers::message::ConversationRequest;
use crate::shard::table::fingerprint::Fingerprint;
use std::collections::{BTreeMap, VecDeque};

/// Requests of this shard's users that wait for an answer about their recipient, by pair.
#[derive(Debug, Default)]
pub(in crate::shard) struct DirectoryQueries {
    pub waiting: BTreeMap<Fingerprint, VecDeque<ConversationRequest>>,
}
