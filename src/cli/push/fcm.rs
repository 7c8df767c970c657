//! Firebase Cloud Messaging, HTTP v1: a service account signs for access tokens, which are kept until they expire.

use crate::cli::push::config::FcmConfig;
use crate::cli::push::notification::Notification;
use crate::cli::push::signing::{RsaKey, read_secret};
use crate::cli::push::verdict::Verdict;
use crate::server::{AddressPolicy, Endpoint, OfferedHttp, OutboundAnswer, OutboundPool, wall_now};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Tokens are renewed so long before they expire.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);

/// The parts of the account's file that are used.
#[derive(Deserialize)]
struct ServiceAccount {
    project_id: String,
    client_email: String,
    private_key: String,
    token_uri: String,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

struct AccessToken {
    text: String,
    until: Instant,
}

pub struct FcmSender {
    account: ServiceAccount,
    key: RsaKey,
    url: String,
    pool: OutboundPool,
    access: Mutex<Option<AccessToken>>,
}

impl FcmSender {
    /// `Err` is a sentence.
    pub fn new(config: &FcmConfig, policy: AddressPolicy) -> Result<Self, String> {
        let path = config.service_account_file.display();
        let text = read_secret(&config.service_account_file)?;
        let account: ServiceAccount =
            serde_json::from_str(&text).map_err(|error| format!("{path}: is no service account: {error}"))?;
        let key = RsaKey::parse(&account.private_key).map_err(|fault| format!("{path}: private_key {fault}"))?;
        Endpoint::parse(&account.token_uri, policy).map_err(|fault| format!("{path}: token_uri {fault}"))?;
        let endpoint = config.endpoint.trim_end_matches('/');
        let url = format!("{endpoint}/v1/projects/{}/messages:send", account.project_id);
        Endpoint::parse(&url, policy).map_err(|fault| format!("{path}: project_id: {fault}"))?;
        let pool = OutboundPool::new(policy, OfferedHttp::Any).map_err(|error| error.to_string())?;
        Ok(Self { account, key, url, pool, access: Mutex::new(None) })
    }

    pub fn about(&self) -> String {
        format!("fcm: project {}", self.account.project_id)
    }

    /// The caller bounds the time.
    pub async fn send(&self, token: &str, notification: &Notification<'_>) -> Verdict {
        let access = match self.access().await {
            Ok(access) => access,
            Err(verdict) => return verdict,
        };
        let request = Request::post(&self.url)
            .header(AUTHORIZATION, format!("Bearer {access}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(message(token, notification).to_string())));
        let Ok(request) = request else { return Verdict::Refused("no request can be made of it".to_owned()) };
        match self.pool.send(request, ANSWER_BYTES_MAX).await {
            Ok(answer) if answer.status == 401 => {
                *self.access.lock().await = None;
                Verdict::Retry(None, "401: the access token was refused".to_owned())
            }
            Ok(answer) if is_unregistered(&answer) => Verdict::Dead,
            Ok(answer) => Verdict::of_status(&answer),
            Err(error) => Verdict::Retry(None, error.to_string()),
        }
    }

    async fn access(&self) -> Result<String, Verdict> {
        let mut access = self.access.lock().await;
        if let Some(token) = access.as_ref().filter(|token| token.until > Instant::now()) {
            return Ok(token.text.clone());
        }
        let now_s = wall_now().0 / 1_000;
        let claims = json!({
            "iss": self.account.client_email, "scope": SCOPE, "aud": self.account.token_uri,
            "iat": now_s, "exp": now_s + 3_600,
        });
        let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
        let body = format!("grant_type={grant}&assertion={}", self.key.sign(&claims));
        let request = Request::post(&self.account.token_uri)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)));
        let Ok(request) = request else { return Err(Verdict::Refused("token_uri is no URL".to_owned())) };
        let answer = self.pool.send(request, ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|error| Verdict::Retry(None, format!("no access token: {error}")))?;
        let granted = match Verdict::of_status(&answer) {
            Verdict::Delivered => serde_json::from_slice::<Granted>(&answer.body).ok(),
            // What is wrong with the account is wrong for every notification: it waits for the operator.
            Verdict::Refused(why) => return Err(Verdict::Retry(None, format!("no access token: {why}"))),
            verdict => return Err(verdict),
        };
        let Some(Granted { access_token: text, expires_in }) = granted else {
            return Err(Verdict::Retry(None, "no access token in the answer".to_owned()));
        };
        let until = Instant::now() + Duration::from_secs(expires_in).saturating_sub(RENEWED_BEFORE);
        *access = Some(AccessToken { text: text.clone(), until });
        Ok(text)
    }
}

fn message(token: &str, notification: &Notification<'_>) -> Value {
    let Notification { title, body, badge, collapse_id, data, ttl_s } = notification;
    json!({"message": {
        "token": token,
        "notification": {"title": title, "body": body},
        "data": data,
        "android": {
            "collapse_key": collapse_id,
            "priority": "HIGH",
            "ttl": format!("{ttl_s}s"),
            "notification": {"tag": collapse_id, "notification_count": badge},
        },
    }})
}

fn is_unregistered(answer: &OutboundAnswer) -> bool {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let details = body["error"]["details"].as_array();
    answer.status == 404 && details.is_some_and(|all| all.iter().any(|it| it["errorCode"] == "UNREGISTERED"))
}
