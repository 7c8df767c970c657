//! `mushan reshard`: a stopped data directory, rewritten for another number of shards.

use super::failure::Failure;
use super::{print, sources};
use crate::model::Millis;
use crate::server::{Rebuild, Rebuilt};
use crate::shard::{Care, SLOTS};
use indicatif::ProgressBar;
use serde_json::json;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Rewrite a stopped server's data directory for another number of shards
///
/// The old directory stays beside the new one, under another name, until you remove it. If the machine stops between the
/// two renames at the end, run this again: it puts the old directory back and begins anew.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// How many shards there are to be
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(SLOTS)))]
    shards: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let rebuild = Rebuild::open(&sources::data_dir(arguments.data_dir.as_deref()), Care::Refuse)?;
    let (before, after) = (rebuild.shards(), arguments.shards);
    if before == after {
        let done = json!({"before": before, "after": after, "old": null});
        let sentence = format!("there are {after} shards already: nothing to do");
        return print(&if arguments.json { done.to_string() } else { sentence });
    }
    let Rebuilt { old, users, entries, completed } = rebuild_with_bar(rebuild, after, "reshard")?;
    let done = json!({
        "before": before, "after": after, "old": old, "users": users, "entries": entries, "completed": completed,
    });
    let sentence = format!(
        "{before} shards are {after} now: {entries} inbox entries of {users} users, verified\n\
         the old directory is {}; remove it when you are content",
        old.display()
    );
    print(&if arguments.json { done.to_string() } else { sentence })
}

pub fn rebuild_with_bar(rebuild: Rebuild, shards: u16, what: &str) -> Result<Rebuilt, Failure> {
    let bar = ProgressBar::new(rebuild.messages());
    let done = rebuild.run(shards, what, now(), |messages| bar.set_position(messages));
    bar.finish_and_clear();
    Ok(done?)
}

pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
