//! The server's HTTP API as `mushan push` uses it: the stream of events, users' devices, and tokens that are dead.
//!
//! Invariant: the admin token goes to the configured address alone, or to the one that the running server has written.

use crate::admin::{Address, AddressFile, AdminToken};
use crate::cli::push::config::PushConfig;
use crate::server::{AddressPolicy, Endpoint, OutboundPool};
use crate::terminal::admin_client::encoded;
use crate::terminal::failure::Failure;
use crate::terminal::tls_client;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION};
use hyper::{Method, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// The longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A stream that does not even send a heartbeat for so long is given up; it sends one every 15 seconds.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Far more than a message may have.
const LINE_BYTES_MAX: usize = 64 << 20;

pub struct PushApi {
    url: Option<String>,
    data_dir: PathBuf,
    token_file: PathBuf,
    pool: OutboundPool,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum ApiFault {
    #[error("the server refuses: {message} ({code})")]
    Refused { code: String, message: String },
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
}

/// What the server says of a user.
#[derive(Deserialize)]
pub struct WakeableUser {
    pub devices: Vec<WakeableDevice>,
    pub unread: u64,
    pub disabled: bool,
    pub online: bool,
}

/// What the server says of an author.
#[derive(Deserialize)]
struct KnownAuthor {
    erased: bool,
}

#[derive(Deserialize)]
pub struct WakeableDevice {
    pub id: String,
    pub provider: String,
    pub token_id: String,
    pub token: String,
    #[serde(default)]
    pub p256dh: String,
    #[serde(default)]
    pub auth: String,
    pub locale: String,
    pub muted: bool,
    pub quiet: Option<QuietMinutes>,
}

#[derive(Clone, Copy, Deserialize)]
pub struct QuietMinutes {
    pub from: i64,
    pub until: i64,
    pub utc_offset: i64,
}

/// The lines of a stream as they come.
pub struct EventLines {
    body: Incoming,
    buffer: BytesMut,
}

impl PushApi {
    /// # Errors
    ///
    /// A certificate or a key cannot be used, or this machine trusts no certificates.
    pub fn new(config: &PushConfig) -> Result<Self, Failure> {
        let PushConfig { admin_ca_file, admin_client_certificate_file, admin_client_key_file, .. } = config;
        let pair = match (admin_client_certificate_file.as_deref(), admin_client_key_file.as_deref()) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(Failure::new(
                    "push.admin_client_certificate_file and push.admin_client_key_file: name both",
                ));
            }
        };
        let tls = tls_client::trusting(admin_ca_file.as_deref(), pair)?;
        let pool = OutboundPool::with_tls(tls, AddressPolicy::Any);
        let data_dir = config.data_dir.clone().unwrap_or_default();
        let token_file = config.admin_token_file.clone().unwrap_or_else(|| data_dir.join(AdminToken::FILE));
        Ok(Self { url: config.admin_url.clone(), data_dir, token_file, pool })
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<Full<Bytes>>, ApiFault> {
        let unreachable = |why: String| ApiFault::Unreachable(why);
        let url = match &self.url {
            Some(url) => url.clone(),
            None => match AddressFile::read(&self.data_dir).map_err(|error| unreachable(error.to_string()))? {
                Address::Held(url) => url,
                Address::Absent => return Err(unreachable(format!("none runs on {}", self.data_dir.display()))),
            },
        };
        let url = format!("{}{path}", url.trim_end_matches('/'));
        let endpoint = Endpoint::parse(&url, AddressPolicy::Any).map_err(unreachable)?;
        let token = std::fs::read_to_string(&self.token_file);
        let token = token.map_err(|error| unreachable(format!("{}: {error}", self.token_file.display())))?;
        Request::builder()
            .method(method)
            .uri(endpoint.uri().clone())
            .header(AUTHORIZATION, format!("Bearer {}", token.trim()))
            .header(ACCEPT, "application/x-ndjson, application/json")
            .body(Full::default())
            .map_err(|error| unreachable(error.to_string()))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Value, ApiFault> {
        let request = self.request(method, path)?;
        let answered = timeout(TIMEOUT, self.pool.send(request, ANSWER_BYTES_MAX)).await;
        let answer = answered.map_err(|_elapsed| ApiFault::Unreachable("it does not answer".to_owned()))?;
        let answer = answer.map_err(|error| ApiFault::Unreachable(error.to_string()))?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() { Ok(body) } else { Err(refused(&body)) }
    }

    pub async fn devices(&self, user: &str) -> Result<WakeableUser, ApiFault> {
        self.look_up(&format!("/v1/users/{}/devices?tokens=full", encoded(user))).await
    }

    /// Whether nobody may be shown the user's words any more.
    pub async fn is_erased(&self, user: &str) -> Result<bool, ApiFault> {
        let author: KnownAuthor = self.look_up(&format!("/v1/users/{}", encoded(user))).await?;
        Ok(author.erased)
    }

    async fn look_up<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiFault> {
        let answer = self.ask(Method::GET, path).await?;
        serde_json::from_value(answer).map_err(|error| ApiFault::Unreachable(format!("its answer is none: {error}")))
    }

    /// Removes a device while it has this token.
    pub async fn remove(&self, user: &str, device: &WakeableDevice) -> Result<(), ApiFault> {
        let (user, id) = (encoded(user), encoded(&device.id));
        let path = format!("/v1/users/{user}/devices/{id}?token_id={}", device.token_id);
        self.ask(Method::DELETE, &path).await.map(drop)
    }

    /// The messages that found their recipients without a session, after a cursor or from now on.
    pub async fn events(&self, after: Option<&str>) -> Result<EventLines, ApiFault> {
        let after = after.map_or_else(String::new, |cursor| format!("&after={}", encoded(cursor)));
        let request = self.request(Method::GET, &format!("/v1/events?types=user.offline_message{after}"))?;
        let opened = timeout(TIMEOUT, self.pool.open(request)).await;
        let answer = opened.map_err(|_elapsed| ApiFault::Unreachable("it does not answer".to_owned()))?;
        let answer = answer.map_err(|error| ApiFault::Unreachable(error.to_string()))?;
        let (is_success, body) = (answer.status().is_success(), answer.into_body());
        let mut lines = EventLines { body, buffer: BytesMut::new() };
        if is_success {
            return Ok(lines);
        }
        Err(refused(&lines.next().await.unwrap_or_default()))
    }
}

fn refused(answer: &Value) -> ApiFault {
    let text = |name: &str| answer[name].as_str().unwrap_or("unknown").to_owned();
    ApiFault::Refused { code: text("code"), message: text("message") }
}

impl EventLines {
    /// The next object; `None` at the end of the stream, or where it is broken.
    pub async fn next(&mut self) -> Option<Value> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(searched + end + 1);
                return serde_json::from_slice(&line).ok();
            }
            searched = self.buffer.len();
            let Ok(Some(Ok(frame))) = timeout(HEARTBEAT_TIMEOUT, self.body.frame()).await else {
                let rest = std::mem::take(&mut self.buffer);
                return serde_json::from_slice(&rest).ok();
            };
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return None;
            }
        }
    }
}
