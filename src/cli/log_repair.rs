//! `mushan log repair`: a damaged directory made one that a server starts on, and what that costs whom.

use super::failure::Failure;
use super::progress::Progress;
use super::reshard::rebuild_with;
use super::token::now;
use super::{print, sources};
use crate::server::Rebuild;
use crate::shard::Care;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Cut what is damaged, and say which users lost which messages
///
/// All that can be trusted is written to a new directory in the old one's place. The old one stays beside it, and the cut
/// bytes are kept in files of their own.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Only say what would be cut and lost
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let rebuild = Rebuild::open(&sources::data_dir(arguments.data_dir.as_deref()), Care::Salvage)?;
    let mut report = findings(&rebuild);
    let is_damaged = rebuild.cuts().next().is_some();
    if !is_damaged || arguments.dry_run {
        tell(arguments, &report)?;
        let damaged = Failure::with_status(Failure::DISK, "the logs are damaged; nothing was changed");
        return if is_damaged { Err(damaged) } else { Ok(()) };
    }
    let kept = rebuild.keep_cuts(now())?;
    let shards = rebuild.shards();
    let messages = rebuild.messages();
    let progress = if arguments.json { Progress::none() } else { Progress::of_messages("repair", messages) };
    let done = rebuild_with(rebuild, shards, "repair", &progress)?;
    drop(progress);
    report["cut_bytes_are_in"] = json!(kept);
    report["old"] = json!(done.old);
    tell(arguments, &report)
}

fn findings(rebuild: &Rebuild) -> Value {
    let cut = |(shard, cut): (crate::model::ShardId, crate::log::Cut)| json!({"shard": shard.0, "segment": cut.from.segment(), "offset": cut.from.offset(), "bytes": cut.bytes});
    let lost = |it: &crate::shard::Lost| json!({"user": it.user.as_str(), "from": it.from.0, "through": it.through.0});
    let cuts: Vec<Value> = rebuild.cuts().map(cut).collect();
    let lost: Vec<Value> = rebuild.lost().map(lost).collect();
    json!({"cuts": cuts, "lost": lost})
}

fn tell(arguments: &Arguments, report: &Value) -> Result<(), Failure> {
    if arguments.json {
        return print(&report.to_string());
    }
    let rows = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    if rows("cuts").is_empty() {
        return print("every log is sound: nothing to repair");
    }
    for it in rows("cuts") {
        let (shard, segment, offset, bytes) = (&it["shard"], &it["segment"], &it["offset"], &it["bytes"]);
        print(&format!("shard {shard}: {bytes} bytes of segment {segment} from offset {offset} are damaged"))?;
    }
    for it in rows("lost") {
        let user = it["user"].as_str().unwrap_or_default();
        print(&format!("{user} lost seqs {} to {}", it["from"], it["through"]))?;
    }
    match (report["cut_bytes_are_in"].as_str(), report["old"].as_str()) {
        (Some(kept), Some(old)) => print(&format!(
            "repaired; the cut bytes are in {kept}, the old directory is {old}; remove it when you are content"
        )),
        _ => Ok(()),
    }
}
