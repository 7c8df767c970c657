//! Notifies the devices of a batch of messages: one notification of each conversation for each device.
//!
//! Invariants: a batch is done when each of its notifications was taken, given up or not wanted; what was newer
//! meanwhile replaces what waits to be tried again; no try has words of a user who was erased before it.

use crate::admin::pause_after;
use crate::cli::push::api::{PushApi, WakeableDevice, WakeableUser};
use crate::cli::push::apns::ApnsSender;
use crate::cli::push::config::{PushConfig, PushedContent};
use crate::cli::push::fcm::FcmSender;
use crate::cli::push::meters::PushMeters;
use crate::cli::push::notification::{Notification, WaitingMessage};
use crate::cli::push::verdict::Verdict;
use crate::cli::push::web_push::{WebPushSender, WebPushTarget};
use crate::model::{PushProvider, QuietHours};
use crate::server::wall_now;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Users who are asked about at once.
const USERS_AT_ONCE: usize = 16;

/// The newest message of each conversation, by user and the conversation's collapse id.
pub type WaitingMessages = BTreeMap<String, BTreeMap<String, WaitingMessage>>;

/// The services that the operator has configured.
pub struct Senders {
    fcm: Option<FcmSender>,
    apns: Option<ApnsSender>,
    web_push: Option<WebPushSender>,
}

pub struct PushDelivery {
    config: PushConfig,
    api: Arc<PushApi>,
    pub meters: Arc<PushMeters>,
    senders: Senders,
    /// Requests under way, by provider.
    places: [Semaphore; PushProvider::ALL.len()],
    asking: Semaphore,
    /// It was told that the server does not answer, and it has not answered since.
    is_server_gone: AtomicBool,
    /// The newest batch with a message of this user and conversation, while it is under way.
    newest: Mutex<HashMap<(String, String), u64>>,
}

/// One message on its way to one user.
struct Errand {
    batch: u64,
    user: String,
    conversation: String,
    message: WaitingMessage,
    badge: u64,
}

impl Senders {
    /// `Err` is a sentence.
    pub fn new(config: &PushConfig) -> Result<Self, String> {
        let policy = config.policy();
        Ok(Self {
            fcm: config.fcm.as_ref().map(|it| FcmSender::new(it, policy)).transpose()?,
            apns: config.apns.as_ref().map(|it| ApnsSender::new(it, policy)).transpose()?,
            web_push: config.webpush.as_ref().map(|it| WebPushSender::new(it, policy)).transpose()?,
        })
    }

    /// A line for each service.
    pub fn about(&self) -> Vec<String> {
        let fcm = self.fcm.as_ref().map(FcmSender::about);
        let apns = self.apns.as_ref().map(ApnsSender::about);
        fcm.into_iter().chain(apns).chain(self.web_push.as_ref().map(WebPushSender::about)).collect()
    }

    /// `None`: the operator has not configured the service.
    async fn send(
        &self,
        provider: PushProvider,
        device: &WakeableDevice,
        notification: &Notification<'_>,
    ) -> Option<Verdict> {
        Some(match provider {
            PushProvider::Fcm => self.fcm.as_ref()?.send(&device.token, notification).await,
            PushProvider::Apns => self.apns.as_ref()?.send(&device.token, notification).await,
            PushProvider::WebPush => {
                let WakeableDevice { token: endpoint, p256dh, auth, .. } = device;
                self.web_push.as_ref()?.send(&WebPushTarget { endpoint, p256dh, auth }, notification).await
            }
        })
    }
}

impl PushDelivery {
    pub fn new(config: PushConfig, api: Arc<PushApi>, meters: Arc<PushMeters>, senders: Senders) -> Self {
        let places = PushProvider::ALL.map(|_| Semaphore::new(config.concurrency_max));
        let (asking, newest) = (Semaphore::new(USERS_AT_ONCE), Mutex::default());
        Self { config, api, meters, senders, places, asking, is_server_gone: AtomicBool::new(false), newest }
    }

    /// Returns when the batch is done. `number` grows from batch to batch.
    pub async fn deliver(self: Arc<Self>, number: u64, waiting: WaitingMessages) {
        let mut users = JoinSet::new();
        for (user, messages) in waiting {
            let delivery = self.clone();
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            newest.extend(messages.keys().map(|conversation| ((user.clone(), conversation.clone()), number)));
            drop(newest);
            users.spawn(async move {
                delivery.notify_user(number, &user, &messages).await;
                let mut newest = delivery.newest.lock().unwrap_or_else(PoisonError::into_inner);
                for conversation in messages.into_keys() {
                    let key = (user.clone(), conversation);
                    if newest.get(&key) == Some(&number) {
                        newest.remove(&key);
                    }
                }
            });
        }
        users.join_all().await;
    }

    async fn notify_user(self: &Arc<Self>, batch: u64, user: &str, messages: &BTreeMap<String, WaitingMessage>) {
        let fresh = messages.iter().filter(|(_, message)| self.is_fresh(message));
        let fresh: Vec<(&String, &WaitingMessage)> = fresh.collect();
        if fresh.is_empty() {
            return;
        }
        let WakeableUser { devices, unread, disabled, online } = self.asked(user).await;
        let reason = match () {
            () if devices.is_empty() => Some("no_device"),
            () if disabled => Some("disabled"),
            () if online => Some("online"),
            () if unread == 0 => Some("read"),
            () => None,
        };
        if let Some(reason) = reason {
            return self.meters.skip(reason);
        }
        let devices: Vec<Arc<WakeableDevice>> = devices.into_iter().map(Arc::new).collect();
        // No device waits for another one's service.
        let mut under_way = JoinSet::new();
        for (conversation, message) in fresh {
            let (user, conversation) = (user.to_owned(), conversation.clone());
            let errand = Arc::new(Errand { batch, user, conversation, message: message.clone(), badge: unread });
            for device in &devices {
                let (delivery, errand, device) = (self.clone(), errand.clone(), device.clone());
                under_way.spawn(async move { delivery.notify_device(&errand, &device).await });
            }
        }
        under_way.join_all().await;
    }

    /// Whether the message is neither too old nor expired.
    fn is_fresh(&self, message: &WaitingMessage) -> bool {
        let now = wall_now().0;
        let is_old = now.saturating_sub(message.time) > self.config.message_age_max_s.saturating_mul(1_000);
        let is_expired = message.expires.is_some_and(|expires| expires <= now);
        if is_old || is_expired {
            self.meters.skip(if is_old { "old" } else { "expired" });
        }
        !is_old && !is_expired
    }

    /// Asked until the server answers: it may be starting.
    async fn asked(&self, user: &str) -> WakeableUser {
        let mut failures = 0;
        loop {
            let permit = self.asking.acquire().await.expect("the semaphore is never closed");
            let answer = self.api.devices(user).await;
            drop(permit);
            match answer {
                Ok(answer) => {
                    self.is_server_gone.store(false, Ordering::Relaxed);
                    return answer;
                }
                Err(fault) => {
                    failures += 1;
                    if !self.is_server_gone.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%fault, "users' devices cannot be read; tried again until they can");
                    }
                    tokio::time::sleep(pause_after(failures.min(5), chance(), None)).await;
                }
            }
        }
    }

    /// What may be shown now of the author's messages; `None`: the author was erased. Where the server does not say, nothing
    /// is shown.
    async fn content_from(&self, author: &str) -> Option<PushedContent> {
        if self.config.content == PushedContent::None {
            return Some(PushedContent::None);
        }
        match tokio::time::timeout(TIMEOUT, self.api.is_erased(author)).await {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some(self.config.content),
            Ok(Err(_)) | Err(_) => Some(PushedContent::None),
        }
    }

    async fn notify_device(&self, errand: &Errand, device: &WakeableDevice) {
        let quiet = device.quiet.and_then(|it| QuietHours::new(it.from, it.until, it.utc_offset).ok());
        let Some(provider) = PushProvider::named(&device.provider) else { return self.meters.skip("unknown_provider") };
        if device.muted {
            return self.meters.skip("muted");
        }
        if quiet.is_some_and(|quiet| quiet.covers(wall_now().0)) {
            return self.meters.skip("quiet_hours");
        }
        let (begun, mut failures) = (Instant::now(), 0);
        loop {
            let verdict = match self.tried(provider, errand, device).await {
                Ok(verdict) => verdict,
                Err(reason) => return self.meters.skip(reason),
            };
            self.meters.count_request(provider.name(), &verdict);
            let (wished, why) = match verdict {
                Verdict::Delivered => {
                    return self.meters.note_lag(wall_now().0.saturating_sub(errand.message.time));
                }
                Verdict::Dead => return self.remove(&errand.user, device).await,
                Verdict::Refused(why) => {
                    let why = without_token(&why, device);
                    return tracing::warn!(provider = provider.name(), why, "a notification was refused");
                }
                Verdict::Retry(wished, why) => (wished, why),
            };
            failures += 1;
            let pause = pause_after(failures, chance(), wished);
            if begun.elapsed() + pause > Duration::from_secs(self.config.retry_max_s) {
                let why = without_token(&why, device);
                tracing::warn!(provider = provider.name(), why, failures, "a notification was given up");
                return self.meters.skip("given_up");
            }
            tokio::time::sleep(pause).await;
            if self.is_replaced(errand) {
                return self.meters.skip("replaced");
            }
        }
    }

    /// `Err`: why nothing is sent.
    async fn tried(
        &self,
        provider: PushProvider,
        errand: &Errand,
        device: &WakeableDevice,
    ) -> Result<Verdict, &'static str> {
        let _place = self.places[provider as usize].acquire().await.expect("the semaphore is never closed");
        // Asked behind everything that has to be waited for.
        let Some(content) = self.content_from(&errand.message.from).await else { return Err("erased") };
        let (collapse_id, badge) = (&errand.conversation[..], errand.badge);
        let (title, body) = errand.message.texts(&self.config, content, &device.locale);
        let mut data = errand.message.data(content, collapse_id);
        data.insert("locale".to_owned(), device.locale.clone().into());
        let now = wall_now().0;
        let left_s = errand.message.expires.map_or(u64::MAX, |expires| expires.saturating_sub(now).div_ceil(1_000));
        let ttl_s = self.config.ttl_s.min(left_s);
        let notification = Notification { title: &title, body: &body, badge, collapse_id, data, ttl_s };
        let sent = tokio::time::timeout(TIMEOUT, self.senders.send(provider, device, &notification)).await;
        let verdict = sent.unwrap_or_else(|_elapsed| Some(Verdict::Retry(None, "no answer in time".to_owned())));
        verdict.ok_or("not_configured")
    }

    fn is_replaced(&self, errand: &Errand) -> bool {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (errand.user.clone(), errand.conversation.clone());
        newest.get(&key).is_some_and(|batch| *batch > errand.batch)
    }

    async fn remove(&self, user: &str, device: &WakeableDevice) {
        match self.api.remove(user, device).await {
            Ok(()) => {
                tracing::info!(user, device = device.id, provider = device.provider, "a dead token was removed");
                self.meters.count_removed_token();
            }
            // The next message of this user finds it again.
            Err(fault) => tracing::warn!(%fault, user, device = device.id, "a dead token cannot be removed"),
        }
    }
}

/// A service may repeat the token in what it says.
fn without_token(text: &str, device: &WakeableDevice) -> String {
    text.replace(&device.token, "the token")
}

/// Any number, by which pauses differ.
fn chance() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => wall_now().0,
    }
}
