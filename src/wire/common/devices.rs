//! Requests about devices that push services wake, as both codecs check them (PROTOCOL 2.9).

use crate::model::{Command, GivenToken, PushChange, PushSettings, PushToken, QuietHours, Refused, push_device_id};

/// What a client says that the user wants of a device.
pub(in crate::wire) struct GivenSettings<'a> {
    pub locale: &'a str,
    pub is_muted: bool,
    /// From minute, until minute, minutes ahead of UTC.
    pub quiet: Option<[i64; 3]>,
}

/// Without a provider and a token the device keeps the token that it has.
pub(in crate::wire) fn register(
    device: &str,
    given: GivenToken<'_>,
    settings: GivenSettings<'_>,
) -> Result<Command, Refused> {
    let is_absent = [given.provider, given.token, given.p256dh, given.auth].iter().all(|part| part.is_empty());
    let token = if is_absent { None } else { Some(PushToken::new(given)?) };
    let quiet = settings.quiet.map(|[from, until, utc_offset]| QuietHours::new(from, until, utc_offset)).transpose()?;
    let settings = PushSettings::new(settings.locale, settings.is_muted, quiet)?;
    Ok(Command::RegisterDevice(Box::new(PushChange { device: push_device_id(device)?, token, settings })))
}
