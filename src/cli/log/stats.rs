//! `mushan log stats`: counts the contents of the logs.

use crate::cli::log::selection::{LogSelection, entries, expect_whole, progress};
use crate::log::{Record, Segments, SnapshotRecord, ThreadLink, inspect};
use crate::model::{Message, Millis, ShardId, UserId};
use crate::server::{ArchivedLog, Watched};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::progress::Progress;
use serde::Serialize;
use std::collections::HashSet;

/// Count the records and messages of every log
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: LogSelection,
    /// Print one JSON object per shard
    #[arg(long)]
    json: bool,
}

/// The counts of one shard's valid records.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct LogStats {
    shard: u16,
    segments: usize,
    record_bytes: u64,
    /// Messages that conversations of this shard accepted.
    posted: u64,
    /// Messages of other shards' conversations in inboxes of this shard.
    delivered: u64,
    /// Messages that a reshard or a repair copied here.
    carried: u64,
    inbox_entries: u64,
    content_bytes: u64,
    users: usize,
    starts: u64,
    marks: u64,
    confirmations: u64,
    device_positions: u64,
    /// Facts, among the messages.
    facts: u64,
    /// Entries of group members, which refer to a message instead of containing it.
    fanned: u64,
    read_positions: u64,
    blocks: u64,
    oldest_ms: Option<u64>,
    newest_ms: Option<u64>,
    /// Why counting ended before the end of the log.
    damage: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let archive = arguments.place.open()?;
    let mut damaged = Ok(());
    for shard in archive.shards() {
        let log = archive.log(shard)?;
        let progress = if arguments.json { Progress::none() } else { progress(shard, &log) };
        let stats = count(shard, &log, &progress)?;
        drop(progress);
        let json = || serde_json::to_string(&stats).expect("numbers always encode");
        print(&if arguments.json { json() } else { lines(&stats) })?;
        damaged = damaged.and(expect_whole(shard, stats.damage.as_deref()));
    }
    damaged
}

fn count(shard: ShardId, log: &ArchivedLog, progress: &Progress) -> Result<LogStats, Failure> {
    let mut stats = LogStats { shard: shard.0, segments: log.segments().len(), ..LogStats::default() };
    let mut users: HashSet<UserId> = HashSet::new();
    let advance = |bytes| progress.advance(bytes);
    let inspected = inspect(&Watched::new(log, &advance), shard, |_, record| {
        stats.record_bytes += record.encoded_bytes() as u64;
        match record {
            Record::Posted { message, links, .. } => {
                stats.posted += 1;
                stats.take(&message, &links);
                users.extend(entries(&message, &links).map(|(user, _)| user.clone()));
            }
            Record::Delivered { message, links, .. } => {
                stats.delivered += 1;
                stats.take(&message, &links);
                users.extend(entries(&message, &links).map(|(user, _)| user.clone()));
            }
            Record::Carried { message, links } => {
                stats.carried += 1;
                stats.take(&message, &links);
                users.extend(entries(&message, &links).map(|(user, _)| user.clone()));
            }
            Record::Inbox { user, .. } => {
                users.insert(user);
            }
            Record::Fanned { links, .. } => {
                stats.inbox_entries += links.len() as u64;
                stats.fanned += links.len() as u64;
                users.extend(links.into_iter().map(|member| member.user));
            }
            Record::Read { .. } => stats.read_positions += 1,
            Record::Block { .. } => stats.blocks += 1,
            Record::Seen { user, .. }
            | Record::Online { user, .. }
            | Record::Account { user, .. }
            | Record::Profile { user, .. }
            | Record::PushDevice { user, .. }
            | Record::Erased { user, .. } => {
                users.insert(user);
            }
            Record::Kept(SnapshotRecord::Seat { user, .. } | SnapshotRecord::Named { user, .. }) => {
                users.insert(user);
            }
            Record::Forgone { .. }
            | Record::Kept(_)
            | Record::Conversation { .. }
            | Record::Issued { .. }
            | Record::Clock { .. }
            | Record::Consumed { .. } => {}
            Record::Start { .. } => stats.starts += 1,
            Record::Mark { .. } => stats.marks += 1,
            Record::Confirmed { .. } => stats.confirmations += 1,
            Record::Device { .. } => stats.device_positions += 1,
        }
    })
    .map_err(Failure::because_with(Failure::DISK, format!("shard {shard}")))?;
    stats.damage = inspected.damage.map(|damage| damage.to_string());
    stats.users = users.len();
    Ok(stats)
}

impl LogStats {
    fn take(&mut self, message: &Message, links: &[ThreadLink]) {
        let Millis(time) = message.server_time;
        self.inbox_entries += entries(message, links).count() as u64;
        self.facts += u64::from(message.fact.is_some());
        self.content_bytes += message.content.len() as u64;
        self.oldest_ms = Some(self.oldest_ms.map_or(time, |oldest| oldest.min(time)));
        self.newest_ms = Some(self.newest_ms.map_or(time, |newest| newest.max(time)));
    }
}

fn lines(stats: &LogStats) -> String {
    let LogStats { shard, segments, record_bytes, posted, delivered, inbox_entries, content_bytes, users, .. } = stats;
    let LogStats { starts, marks, confirmations, device_positions, facts, fanned, read_positions, blocks, .. } = stats;
    format!(
        "shard {shard}: {posted} messages posted, {delivered} delivered, {inbox_entries} inbox entries of {users} users\n  \
         {content_bytes} bytes of content in {record_bytes} bytes of records, {segments} segments\n  {starts} starts, \
         {marks} marks, {confirmations} confirmations, {device_positions} device positions\n  {facts} facts, {fanned} entries that \
         point to a group's message, {read_positions} read positions, {blocks} blocks"
    )
}
