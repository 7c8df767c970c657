//! `mushan restore`: creates a data directory from a backup.

use crate::server::{Restore, RestoreReport};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::progress::Progress;
use std::path::PathBuf;

/// Create a data directory from a backup
///
/// Every file is checked while it is copied, and every log is read. A backup whose bytes have changed is refused with
/// exit status 3, naming the file, and nothing is left behind.
#[derive(clap::Args)]
pub struct Arguments {
    /// The directory that `mushan backup` has written
    #[arg(long, value_name = "BACKUP")]
    from: PathBuf,
    /// The new data directory: it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let restore = Restore::open(&arguments.from)?;
    let progress = if arguments.json { Progress::none() } else { Progress::of_bytes("restore", restore.bytes()) };
    let report = restore.write(&arguments.data_dir, &|bytes| progress.advance(bytes))?;
    drop(progress);
    if arguments.json {
        return print(&serde_json::to_string(&report).expect("numbers and texts always encode"));
    }
    let RestoreReport { shards, files, bytes, records, .. } = &report;
    print(&format!(
        "restored {} from {}: {shards} shards, {files} files, {bytes} bytes, {records} sound records",
        arguments.data_dir.display(),
        arguments.from.display()
    ))
}
