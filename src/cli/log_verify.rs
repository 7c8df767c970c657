//! `mushan log verify`: would every log open, and with how much of what was written?

use super::failure::Failure;
use super::log::Place;
use super::print;
use crate::log::{Inspection, inspect};
use crate::model::ShardId;
use crate::server::ArchivedLog;
use serde::Serialize;

/// Check every record of every log
///
/// A torn tail is what a crash leaves of bytes that nobody was promised: the next start cuts it. Damage is acknowledged
/// data that is not what was written: the server refuses to start on it, and the exit status is 3.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Print one JSON object per shard
    #[arg(long)]
    json: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Verdict {
    shard: u16,
    records: u64,
    epoch: u64,
    /// Where the valid prefix ends.
    segment: u32,
    offset: u32,
    tail_bytes: u64,
    /// `None`: sound.
    damage: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let archive = arguments.place.open()?;
    let mut damaged = 0;
    for shard in archive.shards() {
        let verdict = judge(shard, &archive.log(shard)?);
        damaged += u32::from(verdict.damage.is_some());
        let json = || serde_json::to_string(&verdict).expect("numbers and texts always encode");
        print(&if arguments.json { json() } else { sentence(&verdict) })?;
    }
    if damaged == 0 {
        return Ok(());
    }
    Err(Failure::with_status(Failure::DISK, format!("{damaged} of {} logs are damaged", archive.manifest.shards)))
}

fn judge(shard: ShardId, log: &ArchivedLog) -> Verdict {
    let refused = |damage| Verdict {
        shard: shard.0,
        records: 0,
        epoch: 0,
        segment: 0,
        offset: 0,
        tail_bytes: 0,
        damage: Some(damage),
    };
    match inspect(log, shard, |_, _| {}) {
        Err(error) => refused(error.to_string()),
        Ok(Inspection { end, epoch, records, tail_bytes, damage }) => Verdict {
            shard: shard.0,
            records,
            epoch,
            segment: end.segment(),
            offset: end.offset(),
            tail_bytes,
            damage: damage.map(|damage| damage.to_string()),
        },
    }
}

fn sentence(verdict: &Verdict) -> String {
    let Verdict { shard, records, epoch, segment, offset, tail_bytes, damage } = verdict;
    if let Some(damage) = damage {
        return format!("shard {shard}: DAMAGED: {damage}; {records} records before it are sound");
    }
    let tail = match tail_bytes {
        0 => String::new(),
        bytes => format!(", then a torn tail of {bytes} bytes that nobody was promised"),
    };
    format!("shard {shard}: sound: {records} records, epoch {epoch}, to segment {segment} offset {offset}{tail}")
}
