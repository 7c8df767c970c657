//! The task of one receiver: reads a batch, sends it until it is acknowledged or given up, makes the cursor durable.

use crate::admin::api::Api;
use crate::admin::webhooks::backoff::{PAUSE_MAX, pause_after};
use crate::admin::webhooks::batch::{EventBatch, Events};
use crate::admin::webhooks::cursor_file::StoredCursor;
use crate::admin::webhooks::dead_letters::{DeadLetter, DeadLetterOutcome};
use crate::admin::webhooks::redaction::without_words;
use crate::admin::webhooks::webhook::{AttemptResult, Webhook, WebhookPhase};
use crate::server::follow::FollowError;
use crate::server::follow::cursor::Cursor;
use crate::server::follow::event_reader::{EventReader, Look, ReadFrom};
use crate::server::follow::log_follower::{CommittedEnd, ReadProgress};
use crate::server::{ServerPhase, WebhookBegin, wall_now};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The time between two looks at logs that had nothing new.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The pause after a log could not be read or a file not be written.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// The time between two writes of a cursor that only passes records without events.
const STORE_INTERVAL: Duration = Duration::from_secs(10);

struct WebhookTask {
    api: Arc<Api>,
    webhook: Arc<Webhook>,
    is_stopping: watch::Receiver<bool>,
}

/// The place in the logs. It is locked by one blocking thread at a time, never while another waits.
struct WebhookPlace {
    reader: Arc<Mutex<EventReader>>,
    /// After everything that was read.
    read: Cursor,
    /// What the file says.
    stored: Cursor,
    stored_at: Instant,
    /// Whether the last look found more than a batch.
    progress: ReadProgress,
}

/// What became of a batch.
enum Settled {
    /// Acknowledged, or given up.
    Done,
    Stopping,
}

/// Delivers events until the server stops.
pub async fn run(api: Arc<Api>, webhook: Arc<Webhook>, is_stopping: watch::Receiver<bool>) {
    let mut task = WebhookTask { api, webhook, is_stopping };
    let Some(mut place) = task.begin().await else { return };
    while let Some(batch) = task.next_batch(&mut place).await {
        let through = batch.through.clone();
        match task.settle(batch).await {
            Settled::Done => task.store(&mut place, through).await,
            Settled::Stopping => return,
        }
    }
    let read = place.read.clone();
    task.store(&mut place, read).await;
}

impl WebhookTask {
    fn name(&self) -> &str {
        &self.webhook.options.name
    }

    fn ends(&self) -> Vec<CommittedEnd> {
        self.api.orders.lanes.log_ends()
    }

    /// Returns whether the server goes on.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            _ = self.is_stopping.wait_for(|is_stopping| *is_stopping) => false,
        }
    }

    /// Notes what the disk does not do.
    fn trouble(&self, doing: &str, error: &dyn std::fmt::Display) {
        tracing::warn!(webhook = self.name(), %error, "a webhook cannot {doing}");
        self.webhook.note(format!("the server cannot {doing}: {error}"));
    }

    /// Waits for the server and finds the place in the logs; `None`: the server stops.
    async fn begin(&mut self) -> Option<WebhookPlace> {
        while self.api.orders.lanes.phase() == ServerPhase::Starting {
            if !self.pause(POLL_INTERVAL).await {
                return None;
            }
        }
        tokio::select! {
            () = self.api.erased.until_known() => {}
            _ = self.is_stopping.wait_for(|is_stopping| *is_stopping) => return None,
        }
        loop {
            let (api, webhook, ends) = (self.api.clone(), self.webhook.clone(), self.ends());
            match tokio::task::spawn_blocking(move || opened(&api, &webhook, &ends)).await.ok()? {
                Ok(reader) => {
                    let cursor = reader.cursor().clone();
                    let mut state = self.webhook.state();
                    state.phase = WebhookPhase::Delivering;
                    state.cursor = Some(cursor.to_string());
                    drop(state);
                    return Some(WebhookPlace {
                        reader: Arc::new(Mutex::new(reader)),
                        read: cursor.clone(),
                        stored: cursor,
                        stored_at: Instant::now(),
                        progress: ReadProgress::AtEnd,
                    });
                }
                Err(error) => self.trouble("find its place in the logs", &error),
            }
            if !self.pause(FAILURE_PAUSE).await {
                return None;
            }
        }
    }

    /// The next events; `None`: the server stops.
    async fn next_batch(&mut self, place: &mut WebhookPlace) -> Option<EventBatch> {
        loop {
            if *self.is_stopping.borrow() {
                return None;
            }
            let ends = self.ends();
            if !place.read.is_behind(&ends) && !place.read.is_beyond(&ends) {
                if !self.pause(POLL_INTERVAL).await {
                    return None;
                }
                continue;
            }
            let linger = Duration::from_millis(self.webhook.options.numbers.linger_ms);
            if place.progress == ReadProgress::AtEnd && !self.pause(linger).await {
                return None;
            }
            let (from, erased_users) = (place.read.clone(), self.api.erased.count());
            let (look, events, through) = self.look(place).await?;
            (place.read, place.progress) = (through.clone(), look.progress);
            let mut is_stuck = false;
            for error in look.failures {
                is_stuck |= !self.go_round(place, error).await;
            }
            if is_stuck && events.count == 0 && !self.pause(FAILURE_PAUSE).await {
                return None;
            }
            if events.count > 0 {
                return Some(EventBatch::new(self.name(), (&from, through), events, erased_users));
            }
            if place.stored_at.elapsed() >= STORE_INTERVAL && place.read != place.stored {
                let read = place.read.clone();
                self.store(place, read).await;
            }
        }
    }

    async fn look(&self, place: &WebhookPlace) -> Option<(Look, Events, Cursor)> {
        let (reader, ends, numbers) = (place.reader.clone(), self.ends(), self.webhook.options.numbers);
        let looked = tokio::task::spawn_blocking(move || {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            let mut events = Events::new(&numbers);
            let look = reader.look(&ends, Events::budget(&numbers), &mut events);
            (look, events, reader.cursor().clone())
        });
        looked.await.ok()
    }

    /// Begins anew in the log whose cursor cannot be followed any more. Returns whether it was that.
    async fn go_round(&self, place: &mut WebhookPlace, error: FollowError) -> bool {
        let (FollowError::Expired { shard, .. } | FollowError::NotInLog { shard, .. }) = error else {
            self.trouble("read a log", &error);
            return false;
        };
        let next = match self.webhook.options.begin {
            WebhookBegin::Oldest => None,
            WebhookBegin::Now => self.ends().get(usize::from(shard.0)).map(|end| end.written),
        };
        let reader = place.reader.clone();
        let placed = tokio::task::spawn_blocking(move || {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.place_anew(shard, next).map(|()| reader.cursor().clone())
        });
        match placed.await {
            Ok(Ok(cursor)) => {
                begins_anew(&self.webhook, &error);
                (place.read, place.progress) = (cursor, ReadProgress::Budget);
                true
            }
            Ok(Err(error)) => {
                self.trouble("list a log", &error);
                false
            }
            Err(_panicked) => false,
        }
    }

    /// Sends a batch until it is acknowledged or too old.
    async fn settle(&mut self, batch: EventBatch) -> Settled {
        let (mut events, mut erased_users) = (batch.events.json(), batch.erased_users);
        let age_max = Duration::from_millis(self.webhook.options.numbers.age_max_ms);
        self.webhook.state().behind_since = Some(batch.events.oldest);
        let (mut begun, mut failures) = (Instant::now(), 0);
        loop {
            self.leave_out(&mut events, &mut erased_users);
            let attempt = self.webhook.attempt(&batch.id, &events).await;
            match attempt.result {
                AttemptResult::Acknowledged => {
                    self.acknowledged(&batch, failures);
                    return Settled::Done;
                }
                AttemptResult::Gone => {
                    if !self.wait_until_back().await {
                        return Settled::Stopping;
                    }
                    (begun, failures) = (Instant::now(), 0);
                    continue;
                }
                AttemptResult::Refused | AttemptResult::Timeout | AttemptResult::Unreachable => {}
            }
            failures += 1;
            let error = attempt.error.unwrap_or_default();
            self.failed(failures, &error);
            let age = begun.elapsed();
            if age >= age_max && self.bury(&batch, &events, &error).await {
                return Settled::Done;
            }
            let left = if age >= age_max { PAUSE_MAX } else { age_max - age };
            let pause = pause_after(failures, chance(), attempt.retry_after).min(left);
            if !self.pause(pause).await {
                return Settled::Stopping;
            }
        }
    }

    /// Leaves out the words of users who were erased since the events were read, or were last looked through.
    fn leave_out(&self, events: &mut String, erased_users: &mut usize) {
        let now = self.api.erased.count();
        if std::mem::replace(erased_users, now) == now {
            return;
        }
        if let Some((without, _)) = without_words(events, &|user| self.api.erased.contains(user)) {
            *events = without;
        }
    }

    fn acknowledged(&self, batch: &EventBatch, failures: u32) {
        if failures > 0 {
            tracing::info!(webhook = self.name(), failures, "a webhook's receiver takes events again");
        }
        let mut state = self.webhook.state();
        state.phase = WebhookPhase::Delivering;
        state.delivered_events += batch.events.count as u64;
        (state.failures, state.behind_since) = (0, None);
    }

    fn failed(&self, failures: u32, error: &str) {
        if failures == 1 {
            tracing::warn!(
                webhook = self.name(),
                error,
                "a webhook's receiver does not take events: they are tried again"
            );
        }
        let mut state = self.webhook.state();
        (state.phase, state.failures) = (WebhookPhase::Retrying, failures);
    }

    /// Waits until a receiver that was gone has acknowledged a test. Returns whether the server goes on.
    async fn wait_until_back(&mut self) -> bool {
        tracing::warn!(
            webhook = self.name(),
            "a webhook's receiver answers 410 Gone: it gets nothing until `mushan webhook test` is acknowledged or the server starts again"
        );
        self.webhook.state().phase = WebhookPhase::Gone;
        let webhook = self.webhook.clone();
        tokio::select! {
            () = webhook.is_back.notified() => {}
            _ = self.is_stopping.wait_for(|is_stopping| *is_stopping) => return false,
        }
        webhook.state().phase = WebhookPhase::Retrying;
        true
    }

    /// Puts a batch with the dead letters. Returns whether the cursor may pass it.
    async fn bury(&self, batch: &EventBatch, events: &str, error: &str) -> bool {
        let mut letter = DeadLetter::new(&batch.id, wall_now(), error, events.to_owned());
        let mut letters = self.webhook.dead_letters.clone().lock_owned().await;
        // With the lock: an erasure that has left out the words of letters before has told whom it concerns.
        letter.leave_out(&|user| self.api.erased.contains(user));
        let added = tokio::task::spawn_blocking(move || {
            let added = letters.add(&letter);
            (added, letters.held)
        });
        let Ok((added, held)) = added.await else { return false };
        let burial = match added {
            Ok(burial) => burial,
            Err(error) => {
                self.trouble("store a dead letter", &error);
                return false;
            }
        };
        let (events, is_dropped) = (batch.events.count, burial == DeadLetterOutcome::Full);
        let mut state = self.webhook.state();
        state.dead = held;
        state.dropped_events += if is_dropped { events as u64 } else { 0 };
        (state.failures, state.behind_since) = (0, None);
        drop(state);
        tracing::error!(
            webhook = self.name(),
            events,
            is_dropped,
            error,
            "a webhook's receiver did not take events in time"
        );
        true
    }

    /// Makes a cursor durable. A failure is told, and the next cursor is stored instead: until then a crash lets the
    /// receiver get again what it had.
    async fn store(&self, place: &mut WebhookPlace, cursor: Cursor) {
        let (file, to_store) = (self.webhook.cursor_file.clone(), cursor.clone());
        let stored = tokio::task::spawn_blocking(move || file.store(&to_store)).await;
        self.webhook.state().cursor = Some(cursor.to_string());
        place.stored_at = Instant::now();
        match stored {
            Ok(Ok(())) => place.stored = cursor,
            Ok(Err(error)) => self.trouble("store its cursor", &error),
            Err(_panicked) => {}
        }
    }
}

/// A random number; where the kernel gives none, pauses have no jitter.
fn chance() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => u64::MAX,
    }
}

fn begins_anew(webhook: &Webhook, why: &dyn std::fmt::Display) {
    let begin = webhook.options.begin;
    tracing::warn!(webhook = webhook.options.name, %why, ?begin, "a webhook's cursor cannot be followed: it begins anew");
    webhook.state().begun_anew += 1;
    webhook.note(format!("its cursor could not be followed, it began anew: {why}"));
}

/// Opens the logs at the stored cursor, or where the settings say. The cursor is stored on return.
fn opened(api: &Api, webhook: &Webhook, ends: &[CommittedEnd]) -> Result<EventReader, OpenFailure> {
    let open = |from| {
        let filter = webhook.options.filter.clone();
        EventReader::open(&api.options.data_dir, ends, from, filter, api.erased.clone())
    };
    let begin = match webhook.options.begin {
        WebhookBegin::Oldest => ReadFrom::Oldest,
        WebhookBegin::Now => ReadFrom::Now,
    };
    let reader = match webhook.cursor_file.load()? {
        StoredCursor::Found(cursor) => match open(ReadFrom::After(cursor)) {
            Ok(reader) => return Ok(reader),
            Err(error @ FollowError::Superseded) => {
                begins_anew(webhook, &error);
                open(begin)?
            }
            Err(error) => return Err(error.into()),
        },
        StoredCursor::Damaged => {
            begins_anew(webhook, &"the cursor's file is damaged");
            open(begin)?
        }
        StoredCursor::Absent => open(begin)?,
    };
    webhook.cursor_file.store(reader.cursor())?;
    Ok(reader)
}

/// Why a receiver has no place in the logs.
#[derive(Debug, thiserror::Error)]
enum OpenFailure {
    #[error("the cursor's file: {0}")]
    File(#[from] std::io::Error),
    #[error(transparent)]
    Follow(#[from] FollowError),
}
