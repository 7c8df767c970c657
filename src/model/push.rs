//! Devices that a push service wakes: a token of the service's, and what the user wants of it.
//!
//! Invariants: values are well formed, since they are checked where they are made; a token is never shown by `Debug`.

use super::{Refused, has_control_character};
use compact_str::CompactString;
use std::fmt;

/// A service that wakes devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushProvider {
    /// Firebase Cloud Messaging.
    Fcm,
    /// The Apple Push Notification service.
    Apns,
    /// A push service of a browser (RFC 8030).
    WebPush,
}

impl PushProvider {
    /// Every provider.
    pub const ALL: [Self; 3] = [Self::Fcm, Self::Apns, Self::WebPush];

    /// The stable word for the provider.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Apns => "apns",
            Self::WebPush => "webpush",
        }
    }

    /// The provider with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }
}

/// By what a push service knows a device. Whoever has it may be able to notify the device.
#[derive(Clone, PartialEq, Eq)]
pub struct PushToken {
    provider: PushProvider,
    address: CompactString,
    p256dh: CompactString,
    auth: CompactString,
}

/// The parts of a token as a client gives them; those of Web Push are empty for the others.
#[derive(Clone, Copy)]
pub struct GivenToken<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The token, or the endpoint's URL for Web Push.
    pub token: &'a str,
    /// The receiver's public key for Web Push, in base64url.
    pub p256dh: &'a str,
    /// The receiver's authentication secret for Web Push, in base64url.
    pub auth: &'a str,
}

impl PushToken {
    /// The most bytes of a token or an endpoint.
    pub const BYTES_MAX: usize = 4_096;

    /// A token with these parts.
    ///
    /// # Errors
    ///
    /// A part is missing, too long or malformed.
    pub fn new(given: GivenToken<'_>) -> Result<Self, Refused> {
        let GivenToken { provider, token, p256dh, auth } = given;
        let provider =
            PushProvider::named(provider).ok_or(Refused::invalid("provider must be fcm, apns or webpush"))?;
        if !(1..=Self::BYTES_MAX).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Refused::invalid("token must be 1 to 4096 printable ASCII characters without spaces"));
        }
        let (p256dh, auth) = (p256dh.trim_end_matches('='), auth.trim_end_matches('='));
        match provider {
            // As many characters as base64url has for 65 and for 16 bytes.
            PushProvider::WebPush if p256dh.len() != 87 || auth.len() != 22 || !is_base64url(p256dh, auth) => {
                return Err(Refused::invalid("p256dh and auth must be base64url of 65 and 16 bytes"));
            }
            PushProvider::WebPush if !is_endpoint(token) => {
                return Err(Refused::invalid("token must be an https URL"));
            }
            PushProvider::Fcm | PushProvider::Apns if !p256dh.is_empty() || !auth.is_empty() => {
                return Err(Refused::invalid("only webpush has p256dh and auth"));
            }
            // It becomes part of a path.
            PushProvider::Apns if !token.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                return Err(Refused::invalid("a token of apns is hexadecimal"));
            }
            _ => {}
        }
        Ok(Self { provider, address: token.into(), p256dh: p256dh.into(), auth: auth.into() })
    }

    /// Which service it is for.
    pub fn provider(&self) -> PushProvider {
        self.provider
    }

    /// The token, or the endpoint's URL for Web Push.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The keys for Web Push, in base64url without padding: the public key, and the authentication secret. Empty for the
    /// others.
    pub fn keys(&self) -> (&str, &str) {
        (&self.p256dh, &self.auth)
    }

    /// The bytes of all texts.
    pub fn bytes(&self) -> usize {
        self.address.len() + self.p256dh.len() + self.auth.len()
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PushToken({}, {} bytes)", self.provider.name(), self.address.len())
    }
}

fn is_base64url(one: &str, other: &str) -> bool {
    one.bytes().chain(other.bytes()).all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Where push services may be: by https, or on the machine of `mushan push` where a test is.
fn is_endpoint(url: &str) -> bool {
    ["https://", "http://127.0.0.1:", "http://localhost:"].iter().any(|prefix| url.starts_with(prefix))
}

/// A time of every day, in minutes of the device's own clock: from `from` until before `until`, past midnight where
/// `until` is the lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    from: u16,
    until: u16,
    utc_offset: i16,
}

const MINUTES_A_DAY: i64 = 24 * 60;

impl QuietHours {
    /// From minute `from` until minute `until` of each day, at a clock that is `utc_offset` minutes ahead of UTC.
    ///
    /// # Errors
    ///
    /// A minute is not one of a day, the two are the same, or the offset is none of this world.
    pub fn new(from: i64, until: i64, utc_offset: i64) -> Result<Self, Refused> {
        let minute = |minute: i64| u16::try_from(minute).ok().filter(|minute| i64::from(*minute) < MINUTES_A_DAY);
        let (Some(from), Some(until)) = (minute(from), minute(until)) else {
            return Err(Refused::invalid("quiet hours begin and end at a minute of the day, 0 to 1439"));
        };
        if from == until {
            return Err(Refused::invalid("quiet hours begin and end at the same minute"));
        }
        let utc_offset = i16::try_from(utc_offset).ok().filter(|offset| (-14 * 60..=14 * 60).contains(offset));
        let utc_offset = utc_offset.ok_or(Refused::invalid("the offset from UTC must be -840 to 840 minutes"))?;
        Ok(Self { from, until, utc_offset })
    }

    /// The minutes `from` and `until`, and the offset.
    pub fn parts(self) -> (u16, u16, i16) {
        (self.from, self.until, self.utc_offset)
    }

    /// Whether this time, in Unix milliseconds, is within the quiet hours.
    pub fn covers(self, unix_ms: u64) -> bool {
        let utc_minutes = i64::try_from(unix_ms / 60_000).unwrap_or(i64::MAX / 2);
        let minute = (utc_minutes + i64::from(self.utc_offset)).rem_euclid(MINUTES_A_DAY);
        let (from, until) = (i64::from(self.from), i64::from(self.until));
        if from < until { (from..until).contains(&minute) } else { minute >= from || minute < until }
    }
}

/// What the user wants of a device's notifications.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushSettings {
    locale: CompactString,
    /// The device is not to be notified.
    pub is_muted: bool,
    /// When the device is not to be notified.
    pub quiet: Option<QuietHours>,
}

impl PushSettings {
    /// The most bytes of a locale.
    pub const LOCALE_BYTES_MAX: usize = 35;

    /// Settings with this locale, a language tag (BCP 47), which may be empty.
    ///
    /// # Errors
    ///
    /// The locale is too long or has other characters than letters, digits, `-` and `_`.
    pub fn new(locale: &str, is_muted: bool, quiet: Option<QuietHours>) -> Result<Self, Refused> {
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if locale.len() > Self::LOCALE_BYTES_MAX || !locale.bytes().all(is_tag) {
            return Err(Refused::invalid("locale must be a language tag of at most 35 characters"));
        }
        Ok(Self { locale: locale.into(), is_muted, quiet })
    }

    /// The language of notifications; empty: not given.
    pub fn locale(&self) -> &str {
        &self.locale
    }
}

/// How a device is woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRegistration {
    /// By what its push service knows it.
    pub token: PushToken,
    /// What the user wants.
    pub settings: PushSettings,
}

/// A registration, or a change of one: where the token is absent, the earlier one stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushChange {
    /// The device. Empty: the session's own.
    pub device: CompactString,
    /// Its token.
    pub token: Option<PushToken>,
    /// What the user wants, all of it.
    pub settings: PushSettings,
}

impl PushChange {
    /// The most devices of a user; one more replaces the one that was registered first.
    pub const DEVICES_MAX: usize = 16;
    /// The most bytes of a device's id.
    pub const DEVICE_BYTES_MAX: usize = 128;

    /// The bytes of all texts.
    pub fn bytes(&self) -> usize {
        self.device.len() + self.token.as_ref().map_or(0, PushToken::bytes) + self.settings.locale.len()
    }
}

/// One of a user's devices that can be woken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushDevice {
    /// The application's id of it.
    pub id: CompactString,
    /// How it is woken.
    pub registration: PushRegistration,
}

/// The id of a device.
///
/// # Errors
///
/// It is too long or holds a control character.
pub fn push_device_id(text: &str) -> Result<CompactString, Refused> {
    if text.len() > PushChange::DEVICE_BYTES_MAX || has_control_character(text) {
        return Err(Refused::invalid("a device's id has at most 128 bytes and no control characters"));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(provider: &str, token: &str, p256dh: &str, auth: &str) -> Result<PushToken, Refused> {
        PushToken::new(GivenToken { provider, token, p256dh, auth })
    }

    #[test]
    fn a_token_is_of_a_known_provider_and_has_the_parts_that_the_provider_needs() {
        let (p256dh, auth) = ("B".repeat(87), "a".repeat(22));
        for (provider, address, p256dh, auth) in [
            ("fcm", "fcm:token_-", "", ""),
            ("apns", "00aaff", "", ""),
            ("webpush", "https://push.example/1", &p256dh[..], &auth[..]),
            ("webpush", "https://push.example/1", &format!("{p256dh}="), &format!("{auth}==")),
        ] {
            let made = token(provider, address, p256dh, auth).expect(provider);
            assert_eq!((made.provider().name(), made.address()), (provider, address));
            assert!(!format!("{made:?}").contains(address), "{made:?}");
        }
        for (provider, address, p256dh, auth) in [
            ("wns", "x", "", ""),
            ("fcm", "", "", ""),
            ("fcm", "a b", "", ""),
            ("fcm", "a\n", "", ""),
            ("fcm", "x", &p256dh[..], &auth[..]),
            ("apns", "../x", "", ""),
            ("webpush", "https://push.example/1", "", ""),
            ("webpush", "https://push.example/1", &p256dh[1..], &auth[..]),
            ("webpush", "http://push.example/1", &p256dh[..], &auth[..]),
        ] {
            assert!(token(provider, address, p256dh, auth).is_err(), "{provider} {address}");
        }
        assert!(token("fcm", &"x".repeat(4_096), "", "").is_ok() && token("fcm", &"x".repeat(4_097), "", "").is_err());
    }

    #[test]
    fn quiet_hours_are_of_the_devices_own_clock_and_may_pass_midnight() {
        let at = |hour: u64, minute: u64| (20_000 * 24 + hour) * 3_600_000 + minute * 60_000;
        let night = QuietHours::new(22 * 60, 7 * 60, 120).expect("well formed");
        for (hour, minute, expected) in [(19, 59, false), (20, 0, true), (23, 30, true), (4, 59, true), (5, 0, false)] {
            assert_eq!(night.covers(at(hour, minute)), expected, "{hour}:{minute} UTC");
        }
        let noon = QuietHours::new(12 * 60, 13 * 60, -720).expect("well formed");
        assert!(noon.covers(at(0, 30)) && !noon.covers(at(1, 0)) && !noon.covers(at(12, 30)));
        for (from, until, offset) in [(0, 0, 0), (-1, 5, 0), (0, 1_440, 0), (0, 1, 841), (0, 1, i64::MIN)] {
            assert!(QuietHours::new(from, until, offset).is_err(), "{from} {until} {offset}");
        }
        assert!(!night.covers(u64::MAX) || night.covers(u64::MAX), "any time has an answer");
    }
}
