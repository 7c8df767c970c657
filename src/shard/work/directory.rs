//! Requests that wait until another shard has said whether their recipient exists.
//!
//! Invariant: a pair with requests here has one question under way.

use crate::shard::peers::message::ConversationRequest;
use crate::shard::table::fingerprint::Fingerprint;
use std::collections::{BTreeMap, VecDeque};

/// Requests of this shard's users that wait for an answer about their recipient, by pair.
#[derive(Debug, Default)]
pub(in crate::shard) struct DirectoryQueries {
    pub waiting: BTreeMap<Fingerprint, PairQuery>,
}

/// The requests of one pair, in their order.
#[derive(Debug, Default)]
pub(in crate::shard) struct PairQuery {
    pub requests: VecDeque<ConversationRequest>,
    /// The first of them, which were here when the question was asked. The others came later, when the recipient may have
    /// been known: that it was unknown before does not refuse them.
    pub asked: usize,
}
