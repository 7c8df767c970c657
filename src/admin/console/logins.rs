//! Who is logged in to the console, and how many wrong tokens an address has tried.
//!
//! Invariants: a login is a random secret in a cookie, known to this process only and compared in constant time; the
//! number of logins and of remembered addresses is bounded; a login ends after `LOGIN_LASTS`, or with the server.

use crate::admin::base::identity::LoggedIn;
use crate::admin::base::token::OperatorRole;
use crate::model::Millis;
use crate::server::{Secret, StartError, hex, random_bytes};
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// A working day with overtime.
pub const LOGIN_LASTS: Duration = Duration::from_secs(12 * 60 * 60);
/// One more ends the oldest.
const LOGINS_MAX: usize = 64;
/// Wrong tokens of one address within `FAULTS_LAST`.
const FAULTS_MAX: usize = 10;
const FAULTS_LAST: Duration = Duration::from_secs(60);
/// Wrong tokens that are remembered, of all addresses.
const REMEMBERED_FAULTS_MAX: usize = 1_024;

/// Whether browsers get the cookie's protections that need TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieScope {
    Plain,
    Secure,
}

pub struct ConsoleLogins {
    scope: CookieScope,
    /// Oldest first.
    open: Mutex<VecDeque<OpenLogin>>,
    /// Addresses of wrong tokens, oldest first.
    faults: Mutex<VecDeque<(Instant, IpAddr)>>,
}

struct OpenLogin {
    secret: [u8; 32],
    login: LoggedIn,
    ends: Instant,
}

impl ConsoleLogins {
    pub fn new(scope: CookieScope) -> Self {
        Self { scope, open: Mutex::default(), faults: Mutex::default() }
    }

    /// A browser sends a cookie with this prefix only to the host that has set it, over TLS.
    fn cookie_name(&self) -> &'static str {
        match self.scope {
            CookieScope::Plain => "mushan_console",
            CookieScope::Secure => "__Host-mushan_console",
        }
    }

    /// Opens a login; returns it with the value of `Set-Cookie`.
    pub fn open(&self, role: OperatorRole, now: (Instant, Millis)) -> Result<(LoggedIn, String), StartError> {
        let secret: [u8; 32] = random_bytes()?;
        let label = hex(&random_bytes::<4>()?);
        let lasts_ms = LOGIN_LASTS.as_millis() as u64;
        let login = LoggedIn { role, label, expires: now.1.plus(lasts_ms) };
        let mut open = self.open_logins();
        if open.len() >= LOGINS_MAX {
            open.pop_front();
        }
        open.push_back(OpenLogin { secret, login: login.clone(), ends: now.0 + LOGIN_LASTS });
        Ok((login, self.cookie(&hex(&secret), LOGIN_LASTS)))
    }

    /// The value of `Set-Cookie` that makes a browser forget the cookie.
    pub fn no_cookie(&self) -> String {
        self.cookie("", Duration::ZERO)
    }

    fn cookie(&self, value: &str, lasts: Duration) -> String {
        let secure = if self.scope == CookieScope::Secure { "; Secure" } else { "" };
        let (name, seconds) = (self.cookie_name(), lasts.as_secs());
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }

    /// The login of a request's cookie.
    pub fn find(&self, headers: &HeaderMap, now: Instant) -> Option<LoggedIn> {
        let secret = self.secret_in(headers)?;
        let mut open = self.open_logins();
        open.retain(|it| it.ends > now);
        let mut found = None;
        for it in open.iter() {
            if it.secret.ct_eq(secret.bytes()).into() {
                found = Some(it.login.clone());
            }
        }
        found
    }

    /// Whether a login goes on.
    pub fn is_open(&self, login: &LoggedIn, now: Instant) -> bool {
        self.open_logins().iter().any(|it| it.login.label == login.label && it.ends > now)
    }

    pub fn close(&self, login: &LoggedIn) {
        self.open_logins().retain(|it| it.login.label != login.label);
    }

    /// Whether the address may try a token.
    pub fn may_try(&self, address: IpAddr, now: Instant) -> bool {
        let mut faults = self.faults();
        while faults.front().is_some_and(|(at, _)| now.duration_since(*at) >= FAULTS_LAST) {
            faults.pop_front();
        }
        let network = network_of(address);
        faults.iter().filter(|(_, of)| *of == network).count() < FAULTS_MAX
    }

    pub fn note_fault(&self, address: IpAddr, now: Instant) {
        let mut faults = self.faults();
        if faults.len() >= REMEMBERED_FAULTS_MAX {
            faults.pop_front();
        }
        faults.push_back((now, network_of(address)));
    }

    fn secret_in(&self, headers: &HeaderMap) -> Option<Secret> {
        let lines = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.cookie_name()).and_then(|(_, value)| Secret::parse(value))
    }

    fn open_logins(&self) -> MutexGuard<'_, VecDeque<OpenLogin>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, VecDeque<(Instant, IpAddr)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client has a /64 of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn cookie_of(set: &str) -> HeaderMap {
        let pair = set.split(';').next().expect("a pair");
        let line = HeaderValue::from_str(&format!("other=1; {pair}")).expect("a header");
        HeaderMap::from_iter([(COOKIE, line)])
    }

    #[test]
    fn a_login_lasts_until_its_end_or_its_logout() {
        let (logins, now) = (ConsoleLogins::new(CookieScope::Plain), Instant::now());
        let (one, cookie) = logins.open(OperatorRole::Full, (now, Millis(1))).expect("random");
        let (other, of_other) = logins.open(OperatorRole::ReadOnly, (now, Millis(1))).expect("random");
        assert_eq!(logins.find(&cookie_of(&cookie), now), Some(one.clone()));
        assert_eq!(logins.find(&cookie_of(&of_other), now), Some(other.clone()));
        assert_eq!(logins.find(&cookie_of(&logins.no_cookie()), now), None);
        logins.close(&one);
        assert_eq!(logins.find(&cookie_of(&cookie), now), None);
        assert!(!logins.is_open(&one, now) && logins.is_open(&other, now));
        assert_eq!(logins.find(&cookie_of(&of_other), now + LOGIN_LASTS), None);
    }

    #[test]
    fn logins_are_bounded_and_the_oldest_goes_first() {
        let (logins, now) = (ConsoleLogins::new(CookieScope::Secure), Instant::now());
        let cookies: Vec<String> =
            (0..=LOGINS_MAX).map(|_| logins.open(OperatorRole::Full, (now, Millis(0))).expect("random").1).collect();
        assert!(cookies[0].starts_with("__Host-mushan_console=") && cookies[0].ends_with("; SameSite=Strict; Secure"));
        assert_eq!(logins.find(&cookie_of(&cookies[0]), now), None);
        assert!(cookies[1..].iter().all(|cookie| logins.find(&cookie_of(cookie), now).is_some()));
    }

    #[test]
    fn an_address_tries_wrong_tokens_a_few_times_a_minute() {
        let (logins, now) = (ConsoleLogins::new(CookieScope::Plain), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for _fault in 0..FAULTS_MAX {
            assert!(logins.may_try(address("2001:db8::1"), now));
            logins.note_fault(address("2001:db8::1"), now);
        }
        assert!(!logins.may_try(address("2001:db8::2"), now), "of the same network");
        assert!(logins.may_try(address("10.0.0.1"), now));
        assert!(logins.may_try(address("2001:db8::1"), now + FAULTS_LAST));
        for _fault in 0..2 * REMEMBERED_FAULTS_MAX {
            logins.note_fault(address("10.0.0.2"), now);
        }
        assert_eq!(logins.faults().len(), REMEMBERED_FAULTS_MAX);
    }
}
