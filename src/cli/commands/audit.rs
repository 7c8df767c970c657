//! `mushan audit`: checks that a data directory keeps what the server promises, also while a server runs.

use crate::model::{Position, ShardId};
use crate::server::config::{Config, Sources};
use crate::server::{Audit, Audited};
use crate::shard::{AuditTally, Findings, Violation};
use crate::terminal::arguments::parse_user;
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::progress::Progress;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Prove for every user that no entry is missing, duplicated or out of order, whether or not the server is running
///
/// It checks that inboxes have seqs 1 to n, that a client id stands for one message, that counts of unread messages are
/// right, that all shards agree on the order of a conversation and the members of a group, that every delivery between
/// shards has arrived or is still unconfirmed, and that links lead to the records that they name. Entries that
/// retention has dropped or a repair has left out are counted and are no violation. Nothing is locked or changed. Exit
/// status 3 when a promise is broken.
#[derive(clap::Args)]
pub struct Arguments {
    /// The server's data directory [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The server's TOML file, for its limits: client ids are unique within `dedupe_window_ms`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Report only violations that concern this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let only = arguments.user.as_deref().map(parse_user).transpose()?;
    let sources = Sources {
        file: arguments.config.clone(),
        environment: std::env::vars_os().collect(),
        flags: arguments.data_dir.iter().map(|directory| ("data_dir", directory.clone())).collect(),
        ..Sources::default()
    };
    let options = Config::read(&sources)?.options;
    let audit = Audit::open(&options.data_dir, options.limits)?;
    let reading = if arguments.json { Progress::none() } else { Progress::of_bytes("reading", audit.bytes()?) };
    let comparing = if arguments.json { Progress::none() } else { Progress::of_conversations("comparing") };
    let audited = audit.run(only.clone(), &|bytes| reading.advance(bytes), &|done, all| {
        comparing.extend_to(all);
        comparing.advance(done);
    })?;
    drop((reading, comparing));
    let Audited { findings, ends } = &audited;
    if let Some(user) = only.filter(|_| findings.tally.users == 0 && findings.is_sound()) {
        return Err(Failure::new(format!("{} has no inbox of {user}", options.data_dir.display())));
    }
    print(&if arguments.json { object(findings, ends).to_string() } else { lines(findings, ends) })?;
    if findings.is_sound() {
        return Ok(());
    }
    Err(Failure::with_status(Failure::DISK, "the data directory breaks a promise; the report above says which"))
}

fn lines(findings: &Findings, ends: &[Position]) -> String {
    let AuditTally { users, entries, dropped, missing, client_ids, .. } = findings.tally;
    let AuditTally { seats, bounded_seats, conversations, compared, groups, members, .. } = findings.tally;
    let AuditTally { deliveries, under_way, fanning_out, .. } = findings.tally;
    let bounded = match bounded_seats {
        0 => String::new(),
        seats => format!(", {seats} of them only for the messages that are still in the log"),
    };
    let verdict = match findings.count {
        0 => format!("OK: {users} users, {entries} entries, no promise broken"),
        1 => "BROKEN: 1 violation".to_owned(),
        count => format!("BROKEN: {count} violations"),
    };
    let mut lines = vec![
        verdict,
        format!("{users} inboxes, {entries} entries; {dropped} dropped by retention, {missing} missing for good"),
        format!("{client_ids} client ids, {seats} unread counts{bounded}"),
        format!("{conversations} conversations, {compared} messages compared with another shard's copy"),
        format!("{groups} groups of {members} members, {fanning_out} messages under way to them"),
        format!("{deliveries} deliveries between shards, {under_way} of them under way"),
    ];
    for (shard, end) in ends.iter().enumerate() {
        lines.push(format!("shard {shard}: up to segment {} offset {}", end.segment(), end.offset()));
    }
    lines.extend(findings.violations.iter().map(sentence));
    let untold = findings.count - findings.violations.len() as u64;
    if untold > 0 {
        lines.push(format!("… and {untold} more"));
    }
    lines.join("\n")
}

fn sentence(violation: &Violation) -> String {
    let Violation { promise, shard: ShardId(shard), position, user, conversation, seq, why } = violation;
    let user = user.as_ref().map(|user| format!(" the inbox of {user}")).unwrap_or_default();
    let conversation = conversation.as_ref().map(|it| format!(" in {}", it.default_name())).unwrap_or_default();
    let place = match position.is_none() {
        true => String::new(),
        false => format!(", segment {} offset {}", position.segment(), position.offset()),
    };
    format!("VIOLATED {}:{user}{conversation} at {seq} (shard {shard}{place}): {why}", promise.name())
}

fn object(findings: &Findings, ends: &[Position]) -> Value {
    let AuditTally { users, entries, dropped, missing, client_ids, seats, bounded_seats, .. } = findings.tally;
    let AuditTally { conversations, compared, groups, members, deliveries, under_way, fanning_out, .. } =
        findings.tally;
    let end =
        |(shard, end): (usize, &Position)| json!({"shard": shard, "segment": end.segment(), "offset": end.offset()});
    json!({
        "sound": findings.is_sound(),
        "violation_count": findings.count,
        "violations": findings.violations.iter().map(told).collect::<Vec<_>>(),
        "shards": ends.iter().enumerate().map(end).collect::<Vec<_>>(),
        "users": users,
        "entries": entries,
        "dropped_by_retention": dropped,
        "missing_for_good": missing,
        "client_ids": client_ids,
        "unread_counts": seats,
        "unread_counts_bounded": bounded_seats,
        "conversations": conversations,
        "messages_compared": compared,
        "groups": groups,
        "members": members,
        "fanning_out": fanning_out,
        "deliveries": deliveries,
        "deliveries_under_way": under_way,
    })
}

fn told(violation: &Violation) -> Value {
    let Violation { promise, shard, position, user, conversation, seq, why } = violation;
    json!({
        "promise": promise.name(),
        "shard": shard.0,
        "segment": position.segment(),
        "offset": position.offset(),
        "user": user.as_ref().map(|user| user.as_str()),
        "conversation": conversation.as_ref().map(|it| it.default_name().to_string()),
        "seq": seq,
        "why": why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UserId;
    use crate::shard::Promise;

    #[test]
    fn a_violation_names_user_seq_shard_and_place() {
        let violation = Violation {
            promise: Promise::Inbox,
            shard: ShardId(1),
            position: Position::new(2, 640),
            user: Some(UserId::new("alice").expect("well formed")),
            conversation: None,
            seq: 7,
            why: "seq 7 stands where 6 follows".to_owned(),
        };
        let said = sentence(&violation);
        for part in ["inbox", "alice", "at 7", "shard 1", "segment 2 offset 640", "where 6 follows"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(told(&violation)["offset"], 640);
    }
}
