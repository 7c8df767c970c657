//! Follows the server's events for `mushan push`, over restarts of the server.

use crate::cli::push::api::{ApiFault, PushApi};
use crate::cli::push::meters::PushMeters;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// The pauses between two connections that fail.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// An event or a heartbeat, and the cursor after it.
pub struct FollowedEvent {
    pub cursor: String,
    pub event: Value,
}

/// Sends what comes after `from`, or from now on, until nobody takes it any more.
pub async fn follow(
    api: Arc<PushApi>,
    meters: Arc<PushMeters>,
    mut from: Option<String>,
    out: mpsc::Sender<FollowedEvent>,
) {
    let mut pause = PAUSE_MIN;
    let mut is_told = false;
    while !out.is_closed() {
        match api.events(from.as_deref()).await {
            Ok(mut lines) => {
                meters.count_connection();
                (pause, is_told) = (PAUSE_MIN, false);
                while let Some(event) = lines.next().await {
                    let Some(cursor) = event["cursor"].as_str().map(str::to_owned) else { break };
                    from = Some(cursor.clone());
                    if out.send(FollowedEvent { cursor, event }).await.is_err() {
                        return;
                    }
                }
            }
            // Retention has passed it, or the logs are others: old messages are passed over by their age.
            Err(ApiFault::Refused { code, .. }) if code == "cursor_expired" || code == "cursor_superseded" => {
                tracing::warn!(
                    code,
                    "the cursor cannot be followed: notifications begin with the oldest event that is left"
                );
                from = Some("begin".to_owned());
            }
            Err(fault) => {
                if !is_told {
                    tracing::warn!(%fault, "the events cannot be followed; tried again until they can");
                    is_told = true;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
