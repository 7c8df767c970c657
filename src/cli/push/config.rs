//! The configuration of `mushan push`: a file of its own, with one table `[push]`.

use crate::cli::push::encryption;
use crate::server::{AddressPolicy, Endpoint};
use crate::terminal::failure::Failure;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PushFile {
    push: PushConfig,
}

/// docs/PUSH.md has each of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// Has the API's address and token of the server, where they are not named.
    pub data_dir: Option<PathBuf>,
    pub admin_url: Option<String>,
    pub admin_token_file: Option<PathBuf>,
    /// Whom to trust where the API speaks TLS. Absent: whom this machine trusts.
    pub admin_ca_file: Option<PathBuf>,
    /// Shown to an API that wants a certificate; both or none.
    pub admin_client_certificate_file: Option<PathBuf>,
    pub admin_client_key_file: Option<PathBuf>,
    #[serde(default = "cursor_file")]
    pub cursor_file: PathBuf,
    /// Absent: no metrics.
    pub metrics_listen: Option<SocketAddr>,
    #[serde(default)]
    pub content: PushedContent,
    #[serde(default = "window_ms")]
    pub window_ms: u64,
    #[serde(default = "message_age_max_s")]
    pub message_age_max_s: u64,
    #[serde(default = "retry_max_s")]
    pub retry_max_s: u64,
    #[serde(default = "ttl_s")]
    pub ttl_s: u64,
    #[serde(default = "concurrency_max")]
    pub concurrency_max: usize,
    #[serde(default = "title")]
    pub title: String,
    #[serde(default)]
    pub body: String,
    #[serde(default)]
    pub preview_chars_max: Option<usize>,
    #[serde(default)]
    pub addresses: AllowedAddresses,
    #[serde(default)]
    pub locales: BTreeMap<String, LocalText>,
    pub fcm: Option<FcmConfig>,
    pub apns: Option<ApnsConfig>,
    pub webpush: Option<WebPushConfig>,
}

/// What a notification says of its message.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum PushedContent {
    /// That there is one.
    #[default]
    None,
    /// Who wrote it, and how it begins.
    Preview,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum AllowedAddresses {
    #[default]
    Public,
    Any,
}

/// A notification's texts in one language.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalText {
    pub title: String,
    #[serde(default)]
    pub body: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcmConfig {
    pub service_account_file: PathBuf,
    #[serde(default = "fcm_endpoint")]
    pub endpoint: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApnsConfig {
    pub key_file: PathBuf,
    pub key_id: String,
    pub team_id: String,
    pub topic: String,
    #[serde(default = "apns_endpoint")]
    pub endpoint: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebPushConfig {
    pub key_file: PathBuf,
    /// How a push service reaches the operator: mailto: or https:.
    pub subject: String,
}

fn cursor_file() -> PathBuf {
    "push.cursor".into()
}

fn window_ms() -> u64 {
    1_000
}

fn message_age_max_s() -> u64 {
    600
}

fn retry_max_s() -> u64 {
    120
}

fn ttl_s() -> u64 {
    86_400
}

fn concurrency_max() -> usize {
    32
}

fn title() -> String {
    "New message".to_owned()
}

fn fcm_endpoint() -> String {
    "https://fcm.googleapis.com".to_owned()
}

fn apns_endpoint() -> String {
    "https://api.push.apple.com".to_owned()
}

impl PushConfig {
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(Failure::because(format!("cannot read the configuration {}", path.display())))?;
        let PushFile { push } = toml::from_str(&text)
            .map_err(Failure::because(format!("the configuration {} is invalid", path.display())))?;
        let wrong = push.problems();
        match wrong.is_empty() {
            true => Ok(push),
            false => Err(Failure::new("the configuration is invalid").with_details(wrong)),
        }
    }

    fn problems(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.data_dir.is_none() && (self.admin_url.is_none() || self.admin_token_file.is_none()) {
            wrong.push("data_dir, or admin_url and admin_token_file, must be given".to_owned());
        }
        if let Some(Err(fault)) = self.admin_url.as_ref().map(|url| Endpoint::parse(url, AddressPolicy::Any)) {
            wrong.push(format!("admin_url {fault}"));
        }
        for (name, endpoint) in [
            ("fcm.endpoint", self.fcm.as_ref().map(|it| &it.endpoint)),
            ("apns.endpoint", self.apns.as_ref().map(|it| &it.endpoint)),
        ] {
            if let Some(Err(fault)) = endpoint.map(|url| Endpoint::parse(url, self.policy())) {
                wrong.push(format!("{name} {fault}"));
            }
        }
        if self.fcm.is_none() && self.apns.is_none() && self.webpush.is_none() {
            wrong.push("none of [push.fcm], [push.apns] and [push.webpush] is there".to_owned());
        }
        if self.metrics_listen.is_some_and(|address| !address.ip().is_loopback()) {
            wrong.push("metrics_listen must be an address of this machine's loopback".to_owned());
        }
        if self.concurrency_max == 0 || self.window_ms == 0 {
            wrong.push("concurrency_max and window_ms must be at least 1".to_owned());
        }
        if self
            .webpush
            .as_ref()
            .is_some_and(|it| !it.subject.starts_with("mailto:") && !it.subject.starts_with("https:"))
        {
            wrong.push("webpush.subject must begin with mailto: or https:".to_owned());
        }
        let texts = self.locales.values().map(|it| it.title.len() + it.body.len());
        let longest = texts.chain([self.title.len() + self.body.len()]).max().unwrap_or_default();
        if longest > encryption::PLAIN_BYTES_MAX / 4 {
            wrong.push("a title and its body are longer than 998 bytes".to_owned());
        }
        wrong
    }

    pub fn policy(&self) -> AddressPolicy {
        match self.addresses {
            AllowedAddresses::Public => AddressPolicy::Public,
            AllowedAddresses::Any => AddressPolicy::Any,
        }
    }

    /// Title and body for this language tag: of `de-AT`, then of `de`, then the general ones.
    pub fn text(&self, locale: &str) -> (&str, &str) {
        let language = locale.split(['-', '_']).next().unwrap_or_default();
        let found = self.locales.get(locale).or_else(|| self.locales.get(language));
        found.map_or((&self.title, &self.body), |text| (&text.title, &text.body))
    }
}
