//! `GET /v1/storage`: each shard's log, its segments and its checkpoints.

use crate::admin::api::Api;
use crate::admin::base::answer::Answered;
use crate::admin::base::error::ApiError;
use crate::model::ShardId;
use crate::server::event::schema::MillisSchema;
use crate::server::{DiskRoom, Snapshot, last_backup, shard_path};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Files of one shard that are listed; the newest ones.
const FILES_MAX: usize = 64;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Storage")]
pub struct ShownStorage {
    free_bytes: Option<u64>,
    total_bytes: Option<u64>,
    reserve_bytes: u64,
    /// When the last complete backup began.
    #[schemars(with = "Option<MillisSchema>")]
    last_backup: Option<u64>,
    shards: Vec<ShownLog>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ShardStorage")]
struct ShownLog {
    segments: u64,
    /// Of one segment.
    segment_bytes: u64,
    log_bytes: u64,
    /// Appended and not yet durable.
    durable_lag_bytes: u64,
    full: bool,
    /// Checkpoints written since the start.
    checkpoints: u64,
    checkpoint_bytes: u64,
    /// Age of the last checkpoint of this run; null: this run has written none.
    checkpoint_age_ms: Option<u64>,
    /// What opening the log took at the start.
    recovery_ms: u64,
    recovered_records: u64,
    /// The newest first.
    files: Vec<ShownFile>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "StorageFile")]
struct ShownFile {
    name: String,
    bytes: u64,
    #[schemars(with = "MillisSchema")]
    modified: u64,
}

pub async fn show(State(api): State<Arc<Api>>) -> Result<Answered<ShownStorage>, ApiError> {
    // Folders are read where a slow disk holds up nobody.
    let looked = tokio::task::spawn_blocking(move || look(&api)).await.map_err(|_| ApiError::Internal)?;
    Ok(Answered::of(&looked))
}

fn look(api: &Api) -> ShownStorage {
    let data_dir = &api.options.data_dir;
    let disk = DiskRoom::of(data_dir).ok();
    // A shard that does not run yet is left out, and the others keep their numbers.
    let shown = (0..).zip(api.orders.lanes.snapshots()).filter_map(|(shard, shown)| Some((shard, shown?)));
    let shards = shown.map(|(shard, shown)| log_of(&shown, &shard_path(data_dir, ShardId(shard))));
    ShownStorage {
        free_bytes: disk.map(|disk| disk.free_bytes),
        total_bytes: disk.map(|disk| disk.total_bytes),
        reserve_bytes: api.options.reserve_bytes,
        last_backup: last_backup::read(data_dir).map(|at| at.0),
        shards: shards.collect(),
    }
}

fn log_of(shown: &Snapshot, directory: &Path) -> ShownLog {
    ShownLog {
        segments: shown.log.segments,
        segment_bytes: shown.log.bytes.checked_div(shown.log.segments).unwrap_or_default(),
        log_bytes: shown.log.bytes,
        durable_lag_bytes: shown.log.lag_bytes,
        full: shown.log.is_full,
        checkpoints: shown.counters.checkpoints,
        checkpoint_bytes: shown.checkpoint_bytes,
        checkpoint_age_ms: shown.checkpointed.map(|at| at.elapsed().as_millis() as u64),
        recovery_ms: shown.recovery.took.as_millis() as u64,
        recovered_records: shown.recovery.records,
        files: files_of(directory),
    }
}

/// A file that goes while the folder is read is left out.
fn files_of(directory: &Path) -> Vec<ShownFile> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<ShownFile> = entries
        .filter_map(|entry| {
            let known = entry.metadata().ok()?;
            let modified = known.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_millis() as u64;
            Some(ShownFile { name: entry.file_name().to_string_lossy().into_owned(), bytes: known.len(), modified })
        })
        .collect();
    files.sort_by(|one, other| other.name.cmp(&one.name));
    files.truncate(FILES_MAX);
    files
}
