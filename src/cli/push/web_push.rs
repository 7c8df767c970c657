//! Web Push (RFC 8030): encrypted for the receiver (RFC 8291), signed for the service (RFC 8292).

use crate::cli::push::config::WebPushConfig;
use crate::cli::push::encryption::{PLAIN_BYTES_MAX, Subscription, encrypt};
use crate::cli::push::notification::Notification;
use crate::cli::push::signing::{EcKey, read_secret};
use crate::cli::push::verdict::Verdict;
use crate::server::{AddressPolicy, Endpoint, OfferedHttp, OutboundPool, wall_now};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Request, StatusCode};
use serde_json::json;
use std::net::IpAddr;

const ANSWER_BYTES_MAX: usize = 16 << 10;
/// A signature is good for at most a day.
const SIGNED_FOR_S: u64 = 12 * 3_600;

/// A subscription as a browser gave it.
pub struct WebPushTarget<'a> {
    pub endpoint: &'a str,
    pub p256dh: &'a str,
    pub auth: &'a str,
}

pub struct WebPushSender {
    subject: String,
    key: EcKey,
    policy: AddressPolicy,
    pool: OutboundPool,
}

impl WebPushSender {
    /// `Err` is a sentence.
    pub fn new(config: &WebPushConfig, policy: AddressPolicy) -> Result<Self, String> {
        let path = config.key_file.display();
        let key = EcKey::parse(&read_secret(&config.key_file)?).map_err(|fault| format!("{path}: {fault}"))?;
        let pool = OutboundPool::new(policy, OfferedHttp::Any).map_err(|error| error.to_string())?;
        Ok(Self { subject: config.subject.clone(), key, policy, pool })
    }

    pub fn about(&self) -> String {
        format!("webpush: applicationServerKey {}", self.key.public())
    }

    /// The caller bounds the time.
    pub async fn send(&self, target: &WebPushTarget<'_>, notification: &Notification<'_>) -> Verdict {
        let request = match self.request(target, notification) {
            Ok(request) => request,
            Err(why) => return Verdict::Refused(why),
        };
        match self.pool.send(request, ANSWER_BYTES_MAX).await {
            Ok(answer) if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) => Verdict::Dead,
            Ok(answer) => Verdict::of_status(&answer),
            Err(error) => Verdict::Retry(None, error.to_string()),
        }
    }

    fn request(
        &self,
        target: &WebPushTarget<'_>,
        notification: &Notification<'_>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let Notification { title, body, badge, collapse_id, data, ttl_s } = notification;
        // A URL of a client: no other one may be reached than the operator allows.
        let endpoint = Endpoint::parse(target.endpoint, self.policy)?;
        if self.policy == AddressPolicy::Public && is_of_this_machine(&endpoint) {
            return Err("the endpoint is on this machine".to_owned());
        }
        let key = |text: &str| BASE64URL.decode(text).map_err(|_| "a key is no base64url".to_owned());
        let (p256dh, auth) = (key(target.p256dh)?, key(target.auth)?);
        let whole = json!({"title": title, "body": body, "badge": badge, "tag": collapse_id, "data": data}).to_string();
        let plain = if whole.len() <= PLAIN_BYTES_MAX { whole } else { json!({"badge": badge}).to_string() };
        let subscription = Subscription { p256dh: &p256dh, auth: &auth };
        let encrypted = encrypt(&subscription, plain.as_bytes()).map_err(|_| "p256dh is no point".to_owned())?;
        let uri = endpoint.uri();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let origin = format!("{}://{authority}", uri.scheme_str().unwrap_or_default());
        let claims = json!({"aud": origin, "exp": wall_now().0 / 1_000 + SIGNED_FOR_S, "sub": self.subject});
        let vapid = format!("vapid t={}, k={}", self.key.sign(None, &claims), self.key.public());
        Request::post(uri.clone())
            .header(AUTHORIZATION, vapid)
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("TTL", ttl_s.to_string())
            .header("Urgency", "high")
            .header("Topic", *collapse_id)
            .body(Full::new(Bytes::from(encrypted)))
            .map_err(|error| error.to_string())
    }
}

/// What the operator configures may be here; what a client gives may not.
fn is_of_this_machine(endpoint: &Endpoint) -> bool {
    let host = endpoint.uri().host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.to_canonical().is_loopback())
}
