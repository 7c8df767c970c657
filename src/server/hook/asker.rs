//! The thread that asks the hook, and the channel on which shards give it questions.

use crate::model::{HookVerdict, Limits};
use crate::server::base::clock::wall_now;
use crate::server::base::error::{ConfigurationError, HostError, StartError};
use crate::server::base::helper_thread;
use crate::server::config::options::Options;
use crate::server::disk::reply::{JobResult, ReplySender};
use crate::server::hook::answer;
use crate::server::hook::meters::{HookFault, HookMeters, count};
use crate::server::hook::question;
use crate::server::outbound::client::{OutboundClient, OutboundError};
use crate::server::outbound::endpoint::Endpoint;
use crate::server::outbound::signature::SigningSecret;
use crate::shard::HookQuestion;
use bytes::Bytes;
use hyper::StatusCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

/// Bytes of an answer around the largest content in base64 or with escapes, and the extra.
const ANSWER_BYTES_BESIDE: usize = 64 << 10;
/// The least time between two warnings that the hook fails.
const WARNING: Duration = Duration::from_secs(60);

/// A question, and where its answer goes.
pub struct HookCall {
    pub question: Box<HookQuestion>,
    pub reply_sender: ReplySender,
}

/// Where shards put their questions. Bounded by them: one question for each author with a session or an order.
pub type HookSender = mpsc::UnboundedSender<HookCall>;

/// A hook that runs.
pub struct Hook {
    pub calls: HookSender,
    pub meters: Arc<HookMeters>,
    pub thread: JoinHandle<()>,
}

/// What all questions share.
struct HookCaller {
    secret: SigningSecret,
    client: OutboundClient,
    limits: Limits,
    timeout: Duration,
    slots: Semaphore,
    meters: Arc<HookMeters>,
    /// The first part of the ids of this run's questions.
    run: u64,
    questions: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

/// Starts the hook's thread, on `core` if there is a spare one; `None`: there is no hook. The thread ends when all
/// senders are gone.
pub fn start(options: &Options, core: Option<usize>, run: u64) -> Result<Option<Hook>, StartError> {
    let hook = &options.hook;
    let (Some(url), Some(secret_file)) = (&hook.url, &hook.secret_file) else { return Ok(None) };
    let wrong = |key: &str, why: String| ConfigurationError::Settings(vec![format!("{key}: {why}")]);
    let endpoint = Endpoint::parse(url, hook.addresses).map_err(|why| wrong("hook.url", why))?;
    let secret = SigningSecret::load(secret_file).map_err(|why| wrong("hook.secret_file", why))?;
    let system = HostError::system("prepare calls of the hook");
    let client = OutboundClient::new(endpoint, hook.addresses).map_err(system)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(HostError::system("start the hook's runtime"))?;
    let meters = Arc::new(HookMeters::default());
    let asker = Arc::new(HookCaller {
        secret,
        client,
        limits: options.limits,
        timeout: Duration::from_millis(hook.timeout_ms),
        slots: Semaphore::new(hook.concurrency_max),
        meters: meters.clone(),
        run,
        questions: AtomicU64::new(0),
        warned: Mutex::new(None),
    });
    let (calls, mut questions) = mpsc::unbounded_channel::<HookCall>();
    let serve = move || {
        runtime.block_on(async move {
            while let Some(call) = questions.recv().await {
                tokio::spawn(asker.clone().serve(call));
            }
        });
    };
    let thread = helper_thread::spawn("mushan-hook", core, serve).map_err(HostError::system("start a thread"))?;
    Ok(Some(Hook { calls, meters, thread }))
}

impl HookCaller {
    async fn serve(self: Arc<Self>, HookCall { question, reply_sender }: HookCall) {
        let began = Instant::now();
        count(&self.meters.asked);
        self.meters.under_way.fetch_add(1, Ordering::Relaxed);
        let verdict = match self.ask(&question, began + self.timeout).await {
            Ok(verdict) => {
                count(match verdict {
                    HookVerdict::Denied(_) => &self.meters.denied,
                    HookVerdict::Replaced(_) => &self.meters.replaced,
                    HookVerdict::Allowed | HookVerdict::Failed => &self.meters.allowed,
                });
                verdict
            }
            Err((fault, why)) => {
                self.meters.fail(fault);
                self.warn(began, fault, &why);
                HookVerdict::Failed
            }
        };
        self.meters.under_way.fetch_sub(1, Ordering::Relaxed);
        self.meters.note_latency(began.elapsed());
        reply_sender.tell(JobResult::HookAnswered(Box::new((question.ticket, verdict))));
    }

    async fn ask(&self, question: &HookQuestion, deadline: Instant) -> Result<HookVerdict, (HookFault, String)> {
        let late = || (HookFault::Timeout, "there is no answer in time".to_owned());
        let Ok(slot) = timeout_at(deadline, self.slots.acquire()).await else {
            return Err((HookFault::Busy, "too many questions are under way".to_owned()));
        };
        let _slot = slot.expect("the semaphore is never closed");
        timeout_at(deadline, self.call(question)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn call(&self, question: &HookQuestion) -> Result<HookVerdict, (HookFault, String)> {
        let now = wall_now();
        let body = Bytes::from(question::body(question, now.0));
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        let headers = self.secret.headers(&format!("hook_{:016x}_{number}", self.run), now.0 / 1_000, &body);
        let answer_bytes_max = 2 * self.limits.content_bytes_max + self.limits.extra_bytes_max + ANSWER_BYTES_BESIDE;
        let answered = self.client.post(headers, body, answer_bytes_max).await;
        let answered = answered.map_err(|error| match error {
            OutboundError::TooLarge(_) => (HookFault::Answer, error.to_string()),
            error => (HookFault::Connection, crate::server::base::error::sentence(&error)),
        })?;
        if answered.status != StatusCode::OK {
            return Err((HookFault::Status, format!("its status is {}", answered.status.as_u16())));
        }
        answer::verdict(&answered.body, &self.limits)
            .ok_or_else(|| (HookFault::Answer, "its answer is none of allow, deny and replace".to_owned()))
    }

    /// At most once a minute.
    fn warn(&self, now: Instant, fault: HookFault, why: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|warned| now.duration_since(warned) >= WARNING) {
            *warned = Some(now);
            tracing::warn!(url = %self.client.endpoint(), reason = fault.name(), "the hook fails: {why}");
        }
    }
}
