//! The Apple Push Notification service: HTTP/2, with provider tokens.

use crate::cli::push::config::ApnsConfig;
use crate::cli::push::notification::Notification;
use crate::cli::push::signing::{EcKey, read_secret};
use crate::cli::push::verdict::Verdict;
use crate::server::{AddressPolicy, OfferedHttp, OutboundAnswer, OutboundPool, wall_now};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::AUTHORIZATION;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const ANSWER_BYTES_MAX: usize = 16 << 10;
/// A token is good for an hour, and may not be renewed more often than every 20 minutes.
const TOKEN_LIFE: Duration = Duration::from_secs(45 * 60);
const TOKEN_LIFE_MIN: Duration = Duration::from_secs(20 * 60);

struct ProviderToken {
    text: String,
    made: Instant,
}

pub struct ApnsSender {
    config: ApnsConfig,
    key: EcKey,
    pool: OutboundPool,
    token: Mutex<Option<ProviderToken>>,
}

impl ApnsSender {
    /// `Err` is a sentence.
    pub fn new(config: &ApnsConfig, policy: AddressPolicy) -> Result<Self, String> {
        let path = config.key_file.display();
        let key = EcKey::parse(&read_secret(&config.key_file)?).map_err(|fault| format!("{path}: {fault}"))?;
        let pool = OutboundPool::new(policy, OfferedHttp::Two).map_err(|error| error.to_string())?;
        Ok(Self { config: config.clone(), key, pool, token: Mutex::new(None) })
    }

    pub fn about(&self) -> String {
        format!("apns: topic {}", self.config.topic)
    }

    /// The caller bounds the time.
    pub async fn send(&self, token: &str, notification: &Notification<'_>) -> Verdict {
        let now_s = wall_now().0 / 1_000;
        let Notification { title, body, badge, collapse_id, data, ttl_s } = notification;
        let mut whole = json!({"aps": {
            "alert": {"title": title, "body": body}, "badge": badge, "sound": "default", "thread-id": collapse_id,
        }});
        whole["mushan"] = data.clone().into();
        let url = format!("{}/3/device/{token}", self.config.endpoint.trim_end_matches('/'));
        let request = Request::post(url)
            .header(AUTHORIZATION, format!("bearer {}", self.provider_token()))
            .header("apns-topic", &self.config.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", "10")
            .header("apns-expiration", (now_s + ttl_s).to_string())
            .header("apns-collapse-id", *collapse_id)
            .body(Full::new(Bytes::from(whole.to_string())));
        let Ok(request) = request else { return Verdict::Refused("no request can be made of it".to_owned()) };
        match self.pool.send(request, ANSWER_BYTES_MAX).await {
            Ok(answer) => self.judge(&answer),
            Err(error) => Verdict::Retry(None, error.to_string()),
        }
    }

    fn judge(&self, answer: &OutboundAnswer) -> Verdict {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let reason = body["reason"].as_str().unwrap_or_default();
        match (answer.status, reason) {
            (StatusCode::GONE, _) | (StatusCode::BAD_REQUEST, "BadDeviceToken") => Verdict::Dead,
            (StatusCode::FORBIDDEN, "ExpiredProviderToken") => {
                self.forget_old_token();
                Verdict::Retry(None, "403: the provider token has expired".to_owned())
            }
            _ => Verdict::of_status(answer),
        }
    }

    fn forget_old_token(&self) {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|token| token.made.elapsed() > TOKEN_LIFE_MIN) {
            *kept = None;
        }
    }

    fn provider_token(&self) -> String {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = kept.as_ref().filter(|token| token.made.elapsed() < TOKEN_LIFE) {
            return token.text.clone();
        }
        let claims = json!({"iss": self.config.team_id, "iat": wall_now().0 / 1_000});
        let text = self.key.sign(Some(&self.config.key_id), &claims);
        *kept = Some(ProviderToken { text: text.clone(), made: Instant::now() });
        text
    }
}
