//! `mushan push`: a process of its own that wakes sleeping phones. It follows the server's events and notifies devices
//! by FCM, APNs and Web Push.
//!
//! Invariants: at least once: the cursor in the file stands before every event whose notifications are not done; no
//! token, key or content is logged.

mod api;
mod apns;
mod config;
mod cursor_file;
mod delivery;
mod encryption;
mod fcm;
mod follower;
mod meters;
mod notification;
mod signing;
mod verdict;
mod web_push;

use crate::cli::push::api::PushApi;
use crate::cli::push::config::PushConfig;
use crate::cli::push::cursor_file::PushCursorFile;
use crate::cli::push::delivery::{PushDelivery, Senders, WaitingMessages};
use crate::cli::push::follower::FollowedEvent;
use crate::cli::push::meters::PushMeters;
use crate::cli::push::notification::WaitingMessage;
use crate::server::base::console::{self, ConsoleStream};
use crate::terminal::failure::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Events that wait to become notifications.
const EVENTS_MAX: usize = 1_024;
/// Events of one batch.
const BATCH_EVENTS_MAX: usize = 4_096;
/// Batches under way.
const BATCHES_MAX: usize = 32;
/// What is under way at a stop may take so long.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Notify sleeping phones of new messages, by FCM, APNs and Web Push
///
/// A process of its own beside `mushan serve`: it follows the event user.offline_message over the server's HTTP API and
/// keeps its cursor in a file, so it misses nothing over kills and restarts of either. docs/PUSH.md has the configuration,
/// what applications register, and what they get. SIGTERM or SIGINT stops it.
#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration, a TOML file with a table [push]
    #[arg(long, value_name = "FILE", default_value = "push.toml")]
    config: PathBuf,
    /// Check the configuration and the keys, print what is configured, and send nothing
    #[arg(long)]
    check: bool,
}

/// A batch under way, and the cursor after it.
struct PushBatch {
    cursor: String,
    task: JoinHandle<()>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    console::start().map_err(Failure::because("cannot start a thread"))?;
    let config = PushConfig::read(&arguments.config)?;
    let senders = Senders::new(&config).map_err(Failure::new)?;
    let about = senders.about().join("\n");
    // The certificates are checked with the rest.
    let api = PushApi::new(&config)?;
    if arguments.check {
        console::say(ConsoleStream::Output, &format!("{about}\nthe configuration is valid"));
        return Ok(());
    }
    let cursor_file = PushCursorFile(config.cursor_file.clone());
    let from = cursor_file.load().map_err(Failure::because_with(
        Failure::DISK,
        format!(
            "cannot read the cursor in {}: remove the file to begin with what is sent from now on",
            cursor_file.0.display()
        ),
    ))?;
    let (stop, stopped) = watch::channel(());
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Failure::because("cannot watch for signals"))?;
    let watching = move || {
        signals.forever().next();
        drop(stop);
    };
    crate::server::spawn_helper("mushan-signals", None, watching).map_err(Failure::because("cannot start a thread"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::because("cannot start"))?;
    runtime.block_on(serve(PushStart { config, api, senders, cursor_file, from }, stopped))?;
    console::say(ConsoleStream::Output, "stopped");
    Ok(())
}

/// What has been checked and opened before the first event.
struct PushStart {
    config: PushConfig,
    api: PushApi,
    senders: Senders,
    cursor_file: PushCursorFile,
    /// The cursor after which to follow; `None`: what is sent from now on.
    from: Option<String>,
}

async fn serve(start: PushStart, mut stopped: watch::Receiver<()>) -> Result<(), Failure> {
    let PushStart { config, api, senders, cursor_file, from } = start;
    let meters = Arc::new(PushMeters::default());
    let mut greeting = senders.about().join("\n");
    if let Some(listen) = config.metrics_listen {
        let address = meters::serve(listen, meters.clone()).await;
        let address = address.map_err(Failure::because(format!("cannot listen on {listen}")))?;
        greeting.push_str(&format!("\nmetrics on http://{address}/metrics"));
    }
    let api = Arc::new(api);
    let window = Duration::from_millis(config.window_ms);
    let delivery = Arc::new(PushDelivery::new(config, api.clone(), meters.clone(), senders));
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let following = tokio::spawn(follower::follow(api, meters, from, sender));
    console::say(ConsoleStream::Output, &format!("{greeting}\nfollowing"));
    let mut under_way: VecDeque<PushBatch> = VecDeque::new();
    let (mut gathered, mut number) = (None, 0);
    // Each branch may be dropped at any time without a loss: what was received is in `gathered`.
    loop {
        let has_place = under_way.len() < BATCHES_MAX;
        let end = gathered.as_ref().map(|it: &GatheredEvents| it.end);
        tokio::select! {
            event = events.recv(), if has_place => match event {
                Some(event) => GatheredEvents::add(&mut gathered, event, window, &delivery.meters),
                None => break,
            },
            () = until(end), if has_place => {
                let Some(GatheredEvents { cursor, waiting, .. }) = gathered.take() else { continue };
                number += 1;
                under_way.push_back(PushBatch { cursor, task: tokio::spawn(delivery.clone().deliver(number, waiting)) });
            }
            () = finish_first(&mut under_way, &cursor_file) => {}
            _ = stopped.changed() => break,
        }
    }
    following.abort();
    let finishing = async {
        while !under_way.is_empty() {
            finish_first(&mut under_way, &cursor_file).await;
        }
    };
    // What is not done by then is done again after the next start.
    let _ = tokio::time::timeout(STOP_TIMEOUT, finishing).await;
    Ok(())
}

/// Waits until the oldest batch is done, and stores the cursor after it. Waits for ever if there is none. Nothing is
/// lost where the caller stops waiting.
async fn finish_first(under_way: &mut VecDeque<PushBatch>, cursor_file: &PushCursorFile) {
    let Some(first) = under_way.front_mut() else { return std::future::pending().await };
    if let Err(error) = (&mut first.task).await {
        tracing::error!(%error, "notifications have failed");
    }
    let Some(PushBatch { cursor, .. }) = under_way.pop_front() else { return };
    if let Err(error) = cursor_file.store(&cursor) {
        tracing::error!(%error, path = %cursor_file.0.display(), "the cursor cannot be written: after a crash notifications come twice");
    }
}

/// The events of one window, which begins with the first of them.
struct GatheredEvents {
    /// The cursor after them.
    cursor: String,
    waiting: WaitingMessages,
    count: usize,
    end: Instant,
}

impl GatheredEvents {
    fn add(gathered: &mut Option<Self>, followed: FollowedEvent, window: Duration, meters: &PushMeters) {
        let FollowedEvent { cursor, event } = followed;
        let message = WaitingMessage::of_event(&event);
        // A heartbeat alone only moves the cursor.
        let wait = if message.is_some() { window } else { Duration::ZERO };
        let (waiting, end) = (WaitingMessages::new(), Instant::now() + wait);
        let all = gathered.get_or_insert(Self { cursor: String::new(), waiting, count: 0, end });
        all.cursor = cursor;
        all.count += 1;
        if all.count >= BATCH_EVENTS_MAX {
            all.end = Instant::now();
        }
        let Some((users, message)) = message else { return };
        meters.count_event();
        let collapse_id = message.collapse_id();
        for user in users {
            all.waiting.entry(user).or_default().insert(collapse_id.clone(), message.clone());
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}
