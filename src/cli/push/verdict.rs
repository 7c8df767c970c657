//! What a push service's answer means for a notification.

use crate::server::{OutboundAnswer, retry_after, wall_now};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    /// The service knows the token no more.
    Dead,
    /// The service will not take this notification, and would not take it later either.
    Refused(String),
    /// Later, after this time at least.
    Retry(Option<Duration>, String),
}

impl Verdict {
    /// For statuses that mean the same to all services.
    pub fn of_status(answer: &OutboundAnswer) -> Self {
        let status = answer.status;
        let said = || {
            let body = String::from_utf8_lossy(&answer.body);
            let line: String = body.chars().filter(|char| !char.is_control()).take(200).collect();
            format!("{}: {line}", status.as_u16())
        };
        match status.as_u16() {
            200..=299 => Self::Delivered,
            429 | 500..=599 => Self::Retry(retry_after(&answer.headers, wall_now()), said()),
            _ => Self::Refused(said()),
        }
    }
}
