//! `mushan reshard`: rewrites a stopped data directory for another number of shards.

use crate::server::{Rebuild, RebuildStep, Rebuilt};
use crate::shard::{DamagePolicy, SLOTS};
use crate::terminal::date::now;
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::progress::Progress;
use crate::terminal::sources;
use serde_json::json;
use std::path::PathBuf;

/// Rewrite a stopped server's data directory for another number of shards
///
/// The old directory stays beside the new one, under another name, until you remove it. After an interruption either
/// the old directory is unchanged, or the new one is complete: the next start, or this command, finishes the swap.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The new number of shards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(SLOTS)))]
    shards: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let rebuild = Rebuild::open(&sources::data_dir(arguments.data_dir.as_deref()), DamagePolicy::Refuse)?;
    let (before, after) = (rebuild.shards(), arguments.shards);
    if before == after {
        let done = json!({"before": before, "after": after, "old": null});
        let sentence = format!("the directory has {after} shards already: nothing to do");
        return print(&if arguments.json { done.to_string() } else { sentence });
    }
    let messages = rebuild.messages();
    let progress = if arguments.json { Progress::none() } else { Progress::of_messages("reshard", messages) };
    let Rebuilt { old, users, entries, completed, .. } = rebuild_with(rebuild, after, "reshard", &progress)?;
    drop(progress);
    let done = json!({
        "before": before, "after": after, "old": old, "users": users, "entries": entries, "completed": completed,
    });
    let sentence = format!(
        "{before} shards are {after} now: {entries} inbox entries of {users} users, verified\n\
         the old directory is {}; keep it until you have checked the result, then remove it",
        old.display()
    );
    print(&if arguments.json { done.to_string() } else { sentence })
}

/// Rewrites the directory and reports the progress.
pub fn rebuild_with(rebuild: Rebuild, shards: u16, what: &str, progress: &Progress) -> Result<Rebuilt, Failure> {
    let step = |step| {
        if let RebuildStep::Written(messages) = step {
            progress.reach(messages);
        }
    };
    Ok(rebuild.run(shards, what, now(), step)?)
}
