//! What the service manager (systemd, by NOTIFY_SOCKET) is told of a server, and its watchdog.
//!
//! Invariant: a manager that is not there, or cannot be told, changes nothing.

use crate::server::ShardPulse;
use sd_notify::NotifyState;
use std::time::Duration;

/// Added to the time for which a service manager waits, in milliseconds.
const MARGIN_MS: u64 = 30_000;

/// The server accepts connections. From now on the manager's watchdog, if it has one, is told that all shards work.
pub fn tell_ready(pulse: ShardPulse) {
    tell(&[NotifyState::Ready]);
    if let Some(within) = sd_notify::watchdog_enabled() {
        std::thread::spawn(move || keep_alive(&pulse, within));
    }
}

pub fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The server drains for `length_ms`, and takes up to `stop_deadline_ms` to stop after that.
pub fn tell_draining(length_ms: u64, stop_deadline_ms: u64) {
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(patience_us(length_ms, stop_deadline_ms))]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// How long the manager is to wait for the end, in microseconds.
fn patience_us(length_ms: u64, stop_deadline_ms: u64) -> u32 {
    let millis = length_ms.saturating_add(stop_deadline_ms).saturating_add(MARGIN_MS);
    u32::try_from(millis.saturating_mul(1_000)).unwrap_or(u32::MAX)
}

/// Tells the watchdog three times in its time that no shard is stuck; a server with a stuck shard is silent, and the manager
/// ends it.
fn keep_alive(pulse: &ShardPulse, within: Duration) {
    loop {
        match pulse.stuck_shards().as_slice() {
            [] => tell(&[NotifyState::Watchdog]),
            stuck => tracing::error!(?stuck, "shards are stuck: the service manager's watchdog will end the server"),
        }
        std::thread::sleep(within / 3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_waits_for_the_drain_the_stop_and_some_more() {
        assert_eq!(patience_us(100, 5_000), 35_100_000);
        assert_eq!(patience_us(u64::MAX, 1), u32::MAX, "as long as it can be told");
    }
}
