//! What happens to single users, for those who look into a complaint: requests and their outcomes, pushes, the beginnings
//! and ends of sessions.
//!
//! Invariants: a line has verbs, codes, sizes and numbers, and never a token or what somebody wrote; nobody waits for
//! those who read the lines, and lines for which there is no room are counted; without a traced user a message costs one
//! look at an empty option.

use crate::model::UserId;
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// A user whose doings somebody follows.
#[derive(Debug)]
pub struct TracedUser {
    pub user: UserId,
    lines: mpsc::Sender<TraceLine>,
    lost: AtomicU64,
}

/// All users who are traced.
pub(in crate::server) type TracedList = Arc<Vec<Arc<TracedUser>>>;

/// One thing that happened to a traced user.
#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
pub struct TraceLine {
    /// The wall clock, in Unix milliseconds.
    pub at: u64,
    pub shard: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    #[serde(flatten)]
    pub step: TraceStep,
}

#[derive(Clone, Debug, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum TraceStep {
    /// The user's shard has begun to trace.
    Begun,
    Opened {
        protocol: &'static str,
        device: String,
    },
    LoginRefused {
        reason: &'static str,
    },
    Request {
        verb: &'static str,
        content_bytes: usize,
    },
    Reply {
        outcome: &'static str,
    },
    Push {
        event: &'static str,
        seq: u64,
        content_bytes: usize,
    },
    Closed {
        closing: &'static str,
        code: Option<u16>,
    },
}

impl TracedUser {
    pub fn new(user: UserId, lines: mpsc::Sender<TraceLine>) -> Self {
        Self { user, lines, lost: AtomicU64::new(0) }
    }

    /// Lines for which there was no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, line: TraceLine) {
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
