//! `mushan backup`: a consistent copy of a data directory, while its server runs.

use crate::server::{Backup, BackupReport, ShardReport, last_backup};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::progress::Progress;
use crate::terminal::sources;
use std::path::PathBuf;

/// Copy a data directory, whether or not its server is running
///
/// Everything that was acknowledged before the backup began is in it, and its logs are consistent with each other. No
/// lock is taken, and a running server is not involved. The copy contains the token secret: protect it as you protect
/// the data directory.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Target of the backup: a directory that does not exist or is empty
    #[arg(long, value_name = "TARGET")]
    to: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let data_dir = sources::data_dir(arguments.data_dir.as_deref());
    let now = crate::terminal::date::now();
    let backup = Backup::open(&data_dir)?;
    let progress = if arguments.json { Progress::none() } else { Progress::of_bytes("backup", backup.bytes()?) };
    let report = backup.write(&arguments.to, now, &|bytes| progress.advance(bytes))?;
    drop(progress);
    if let Err(error) = last_backup::note(&data_dir, now) {
        tracing::warn!(%error, "the data directory cannot be told of its backup: mushan_backup_last_timestamp_seconds stays as it was");
    }
    if arguments.json {
        return print(&serde_json::to_string(&report).expect("numbers and texts always encode"));
    }
    let BackupReport { files, bytes, shards, .. } = &report;
    print(&format!(
        "backed up {} to {}: {files} files, {bytes} bytes\n{}",
        data_dir.display(),
        arguments.to.display(),
        shards.iter().map(line).collect::<Vec<_>>().join("\n")
    ))
}

fn line(report: &ShardReport) -> String {
    let ShardReport { shard, segment, offset, is_held_back } = report;
    let held_back =
        if *is_held_back { ", without records that were appended while other logs were copied" } else { "" };
    format!("shard {shard}: to segment {segment} offset {offset}{held_back}")
}
