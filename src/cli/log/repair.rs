//! `mushan log repair`: makes a damaged directory usable again, and reports who lost what.

use crate::cli::commands::reshard::rebuild_with;
use crate::log::Cut;
use crate::model::ShardId;
use crate::server::Rebuild;
use crate::shard::{DamagePolicy, Lost};
use crate::terminal::date::now;
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::progress::Progress;
use crate::terminal::sources;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Remove damaged records, and report which users lost which messages
///
/// All records that can be trusted are written to a new directory, which takes the old one's place. The old one stays
/// beside it, and the removed bytes are kept in files. Messages that another shard still has are restored from there.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Only print what would be removed and lost
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let rebuild = Rebuild::open(&sources::data_dir(arguments.data_dir.as_deref()), DamagePolicy::Salvage)?;
    let mut report = findings(&rebuild);
    let is_damaged = rebuild.is_damaged();
    if !is_damaged || arguments.dry_run {
        tell(arguments, &report)?;
        let damaged = Failure::with_status(Failure::DISK, "the logs are damaged; nothing was changed");
        return if is_damaged { Err(damaged) } else { Ok(()) };
    }
    if rebuild.cuts().next().is_some() {
        report["cut_bytes_are_in"] = json!(rebuild.keep_cuts(now())?);
    }
    let shards = rebuild.shards();
    let messages = rebuild.messages();
    let progress = if arguments.json { Progress::none() } else { Progress::of_messages("repair", messages) };
    let done = rebuild_with(rebuild, shards, "repair", &progress)?;
    drop(progress);
    report["old"] = json!(done.old);
    tell(arguments, &report)
}

fn findings(rebuild: &Rebuild) -> Value {
    let cut = |(shard, cut): (ShardId, Cut)| json!({"shard": shard.0, "segment": cut.from.segment(), "offset": cut.from.offset(), "bytes": cut.bytes});
    let absences = rebuild.absences().map(|(shard, absence)| (shard, absence.to_string()));
    let faults: Vec<Value> =
        absences.chain(rebuild.faults()).map(|(shard, what)| json!({"shard": shard.0, "what": what})).collect();
    let lost = |it: &Lost| json!({"user": it.user.as_str(), "from": it.from.0, "through": it.through.0});
    let restored: Vec<Value> = rebuild
        .recovery()
        .restored()
        .into_iter()
        .map(|(user, it)| json!({"user": user.as_str(), "at_old_seqs": it.at_old_seqs, "at_new_seqs": it.at_new_seqs}))
        .collect();
    json!({
        "faults": faults,
        "cuts": rebuild.cuts().map(cut).collect::<Vec<_>>(),
        "lost": rebuild.recovery().lost.iter().map(lost).collect::<Vec<_>>(),
        "restored": restored,
    })
}

fn tell(arguments: &Arguments, report: &Value) -> Result<(), Failure> {
    if arguments.json {
        return print(&report.to_string());
    }
    let rows = |key: &str| report[key].as_array().cloned().unwrap_or_default();
    if rows("cuts").is_empty() && rows("faults").is_empty() {
        return print("every log is sound: nothing to repair");
    }
    for it in rows("faults") {
        print(&format!("shard {}: {}", it["shard"], it["what"].as_str().unwrap_or_default()))?;
    }
    for it in rows("cuts") {
        let (shard, segment, offset, bytes) = (&it["shard"], &it["segment"], &it["offset"], &it["bytes"]);
        print(&format!("shard {shard}: {bytes} bytes of segment {segment} from offset {offset} are damaged"))?;
    }
    for it in rows("lost") {
        let user = it["user"].as_str().unwrap_or_default();
        print(&format!("{user} lost seqs {} to {}", it["from"], it["through"]))?;
    }
    for it in rows("restored") {
        let (user, old, new) = (it["user"].as_str().unwrap_or_default(), &it["at_old_seqs"], &it["at_new_seqs"]);
        print(&format!("{user} gets back from other shards: {old} entries at their old seqs, {new} at new ones"))?;
    }
    let Some(old) = report["old"].as_str() else { return Ok(()) };
    if let Some(kept) = report["cut_bytes_are_in"].as_str() {
        print(&format!("the cut bytes are in {kept}"))?;
    }
    print(&format!("repaired; the old directory is {old}; keep it until you have checked the result, then remove it"))
}
