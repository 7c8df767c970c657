//! The bytes of a device's registration with a push service, in records and checkpoints (docs/FORMAT.md).
//!
//! Invariant: decoding is total and gives exactly what was written, or nothing.

use crate::log::record::bytes::{Put, Reader, text};
use crate::model::{GivenToken, PushProvider, PushRegistration, PushSettings, PushToken, QuietHours};

const MUTED: u8 = 1;
const QUIET: u8 = 2;

/// Exactly the bytes that `put_registration` appends.
pub(crate) fn registration_bytes(PushRegistration { token, settings }: &PushRegistration) -> usize {
    let quiet = if settings.quiet.is_some() { 6 } else { 0 };
    1 + 4 + 1 + 1 + token.bytes() + 1 + settings.locale().len() + 1 + quiet
}

pub(crate) fn put_registration(PushRegistration { token, settings }: &PushRegistration, out: &mut impl Put) {
    let (p256dh, auth) = token.keys();
    out.put_u8(match token.provider() {
        PushProvider::Fcm => 0,
        PushProvider::Apns => 1,
        PushProvider::WebPush => 2,
    });
    out.put_long(token.address().as_bytes());
    out.put_short(p256dh.as_bytes());
    out.put_short(auth.as_bytes());
    out.put_short(settings.locale().as_bytes());
    let muted = if settings.is_muted { MUTED } else { 0 };
    out.put_u8(muted | if settings.quiet.is_some() { QUIET } else { 0 });
    if let Some(quiet) = settings.quiet {
        let (from, until, utc_offset) = quiet.parts();
        out.put_u16(from);
        out.put_u16(until);
        out.put_u16(utc_offset.cast_unsigned());
    }
}

pub(crate) fn read_registration(reader: &mut Reader<'_>) -> Option<PushRegistration> {
    let provider = *PushProvider::ALL.get(usize::from(reader.u8()?))?;
    let token = text(reader.long()?)?;
    let (p256dh, auth) = (text(reader.short()?)?, text(reader.short()?)?);
    let token = PushToken::new(GivenToken { provider: provider.name(), token, p256dh, auth }).ok()?;
    // What a token is made of is normal already in what was written.
    if token.keys() != (p256dh, auth) {
        return None;
    }
    let locale = text(reader.short()?)?;
    let flags = reader.u8()?;
    if flags & !(MUTED | QUIET) != 0 {
        return None;
    }
    let quiet = if flags & QUIET == 0 {
        None
    } else {
        let (from, until, utc_offset) = (reader.u16()?, reader.u16()?, reader.u16()?.cast_signed());
        Some(QuietHours::new(from.into(), until.into(), utc_offset.into()).ok()?)
    };
    let settings = PushSettings::new(locale, flags & MUTED != 0, quiet).ok()?;
    Some(PushRegistration { token, settings })
}
