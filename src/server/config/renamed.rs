//! The former names of settings. A configuration that still uses one is refused with the name that took its place.

use crate::server::config::knobs::{KNOBS, Knob};

/// Former and present key.
static RENAMED: &[(&str, &str)] = &[
    ("server.gather_max", "server.events_per_turn_max"),
    ("server.posts_max", "server.shard_requests_max"),
    ("server.deliveries_max", "server.shard_deliveries_max"),
    ("limits.linger_ms", "limits.close_timeout_ms"),
    ("limits.fanned_at_once_max", "limits.fan_out_members_at_once_max"),
    ("limits.fanned_a_turn_max", "limits.fan_out_members_per_turn_max"),
    ("limits.fanned_messages_max", "limits.fan_out_messages_max"),
    ("limits.fanned_bytes_max", "limits.fan_out_bytes_max"),
    ("limits.group_messages_max", "limits.group_fan_out_messages_max"),
    ("limits.group_links_max", "limits.group_fan_out_entries_max"),
    ("limits.backlog_max", "limits.backlog_entries_max"),
    ("limits.subscriptions_max", "limits.presence_subscriptions_max"),
    ("limits.subscribers_max", "limits.presence_subscribers_max"),
];

/// The setting that was once called `key`.
pub fn present_name(key: &str) -> Option<&'static str> {
    let (_, present) = RENAMED.iter().find(|(former, _)| *former == key)?;
    KNOBS.iter().map(|knob: &Knob| knob.key).find(|known| known == present)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_name_is_no_setting_and_leads_to_one() {
        for (former, present) in RENAMED {
            assert!(Knob::named(former).is_none(), "{former} is a setting");
            assert_eq!(present_name(former), Some(*present));
        }
    }
}
