//! How long a server wants its client to wait (RFC 9110 10.2.3).

use crate::model::Millis;
use hyper::HeaderMap;
use hyper::header::RETRY_AFTER;
use std::time::{Duration, SystemTime};

/// The header `Retry-After`, which has seconds or a date. `None`: the server says nothing that can be understood.
pub fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    // A date that has passed: at once.
    Some(date.saturating_sub(Duration::from_millis(now.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn a_wait_is_said_in_seconds_or_as_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT is the example of RFC 9110.
        let now = Millis(784_111_777_000 - 90_000);
        let wait = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).expect("a header"))]);
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(wait(date), Some(90), "{date}");
        }
        assert_eq!(wait("Sun, 06 Nov 1994 08:40:00 GMT"), Some(0), "it has passed");
        for unknown in ["", "soon", "-1", "1.5"] {
            assert_eq!(wait(unknown), None, "{unknown}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
