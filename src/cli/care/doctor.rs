//! `mushan doctor`: looks at configuration, host, disk, clock, certificates, backups and the running server, and says what
//! to do about each finding. It changes nothing.

use crate::cli::care::examined::{ExaminedPart, PartHealth};
use crate::cli::care::status::bytes;
use crate::cli::tune::report::FindingRow;
use crate::cli::tune::scope::HostFlags;
use crate::server::config::Config;
use crate::server::{
    DiskRoom, Identities, Options, acme_certificate_file, clock_is_synchronised, is_open_to_others, last_backup,
    stored_certificate,
};
use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::date::{now, of_millis};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::sources::read_keys;
use crate::terminal::tls_client::TlsFlags;
use hyper::Method;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::Path;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const BACKUP_AGE_MS_MAX: u64 = 36 * 60 * 60 * 1_000;
const CERTIFICATE_DAYS_MIN: i64 = 14;
/// A shard shows its numbers once a second.
const STALLED_MS: u64 = 10_000;

/// Look for what is wrong with a server or with its machine, and say what to do
///
/// Looks at the configuration, the host, the disk, the clock, certificates, the last backup and the running server.
/// Nothing is changed. Exits with 1 if something is bad; warnings alone give 0. docs/OPERATIONS.md has more on each.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    host: HostFlags,
    #[command(flatten)]
    tls: TlsFlags,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(Arguments { host, tls, json }: &Arguments) -> Result<(), Failure> {
    let parts = examine(host, tls);
    if *json {
        print(&serde_json::json!({"parts": parts}).to_string())?;
    } else {
        print(&parts.iter().map(ExaminedPart::line).collect::<Vec<_>>().join("\n"))?;
    }
    let bad: Vec<&str> = parts.iter().filter(|part| part.health == PartHealth::Bad).map(|part| part.part).collect();
    if bad.is_empty() { Ok(()) } else { Err(Failure::new(format!("something is bad: {}", bad.join(", ")))) }
}

/// Everything that `mushan doctor` finds.
pub fn examine(flags: &HostFlags, tls: &TlsFlags) -> Vec<ExaminedPart> {
    let config = match flags.config() {
        Ok(config) => config,
        Err(failure) => {
            let advice = "change these settings; `mushan check` prints all values and where they come from";
            return vec![ExaminedPart::bad("configuration", failure.sentence, advice)];
        }
    };
    let options = &config.options;
    let mut parts = vec![configuration(&config)];
    parts.extend(host(flags));
    parts.push(disk(options));
    parts.push(secrets(&options.data_dir));
    parts.push(clock());
    parts.extend(certificates(options));
    parts.push(backup(&options.data_dir));
    parts.extend(server(options, tls));
    parts
}

fn configuration(config: &Config) -> ExaminedPart {
    if let Err(error) = read_keys(&config.options) {
        let advice = "mend the file of keys or of a secret that the configuration names";
        return ExaminedPart::bad("configuration", error.to_string(), advice);
    }
    ExaminedPart::good("configuration", format!("profile {}, durability {}", config.profile, config.options.durability))
}

fn host(flags: &HostFlags) -> Vec<ExaminedPart> {
    let (profile, rows) = match flags.look_below(Path::new("/")) {
        Ok(looked) => looked,
        Err(failure) => return vec![ExaminedPart::bad("host", failure.sentence, "run `mushan tune check`")],
    };
    let names = |is_meant: fn(&FindingRow) -> bool| -> Vec<&str> {
        rows.iter().filter(|row| is_meant(row)).map(|row| row.condition.name).collect()
    };
    let fatal = names(FindingRow::is_fatal);
    let advised = names(|row| row.is_failure() && !row.is_fatal());
    let see = |names: &[&str]| {
        format!("`mushan tune check --profile {profile}` shows each, `mushan tune help {}` its reason", names[0])
    };
    let mut parts = Vec::new();
    if !fatal.is_empty() {
        parts.push(ExaminedPart::bad(
            "host",
            format!("does not have what is required: {}", fatal.join(", ")),
            see(&fatal),
        ));
    }
    if !advised.is_empty() {
        parts.push(ExaminedPart::warning(
            "host",
            format!("does not have what is advised: {}", advised.join(", ")),
            see(&advised),
        ));
    }
    if parts.is_empty() {
        parts.push(ExaminedPart::good("host", format!("has all that the profile {profile} needs")));
    }
    parts
}

fn disk(options: &Options) -> ExaminedPart {
    let directory = &options.data_dir;
    // The directory may be made by the first start.
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or_else(|| Path::new("."));
    let Ok(DiskRoom { free_bytes: free, total_bytes: total }) = DiskRoom::of(existing) else {
        return ExaminedPart::bad(
            "disk",
            format!("{} cannot be read", existing.display()),
            "see whether it is mounted",
        );
    };
    let found = format!("{} of {} free at {}", bytes(free), bytes(total), existing.display());
    let needed = options.reserve_bytes.saturating_add(2 * u64::from(options.segment_bytes));
    let advice = "give it room, or limit history with log.retention_ms or log.retention_bytes (OPERATIONS.md, MushanDiskFillsUp)";
    if free < needed {
        ExaminedPart::bad("disk", format!("{found}, less than the reserve and two segments: {}", bytes(needed)), advice)
    } else if free < total / 10 {
        ExaminedPart::warning("disk", found, advice)
    } else {
        ExaminedPart::good("disk", found)
    }
}

fn secrets(data_dir: &Path) -> ExaminedPart {
    let names = ["token-secret", "admin-token", "read-token"];
    let mut open = Vec::new();
    for name in names {
        match is_open_to_others(&data_dir.join(name)) {
            Ok(true) => open.push(name),
            Ok(false) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let advice = "run it as root, or as the user of the server";
                return ExaminedPart::warning("secrets", format!("{name} cannot be looked at: {error}"), advice);
            }
        }
    }
    if open.is_empty() {
        return ExaminedPart::good("secrets", "others cannot read them");
    }
    let advice = format!(
        "chmod 600 {}/{{{}}}; whoever read the token secret can log in as any user: `mushan token --new-secret`",
        data_dir.display(),
        open.join(",")
    );
    ExaminedPart::bad("secrets", format!("others can read {}", open.join(" and ")), advice)
}

fn clock() -> ExaminedPart {
    match clock_is_synchronised() {
        Some(true) => ExaminedPart::good("clock", "synchronised"),
        Some(false) => ExaminedPart::warning(
            "clock",
            "the kernel says that nothing synchronises it",
            "run chrony or systemd-timesyncd: tokens are judged and messages dated by this clock (OPERATIONS.md, MushanClockJumped)",
        ),
        None => ExaminedPart::warning(
            "clock",
            "the kernel does not say whether it is synchronised",
            "`timedatectl` may know",
        ),
    }
}

fn certificates(options: &Options) -> Vec<ExaminedPart> {
    let identities = match Identities::configured(options) {
        Ok(identities) => identities,
        Err(error) => return vec![ExaminedPart::bad("certificate", error.to_string(), "mend or replace these files")],
    };
    let now = now().0 as i64 / 1_000;
    let judge = |listener: &str, file: &Path, expires: Option<i64>| {
        let advice = "replace both files; a running server reads them within five seconds (OPERATIONS.md, MushanCertificateExpires)";
        let Some(expires) = expires else {
            return ExaminedPart::warning("certificate", format!("{}: its end cannot be read", file.display()), advice);
        };
        let date = of_millis(u64::try_from(expires).unwrap_or_default().saturating_mul(1_000));
        let found = format!("of {listener}, {}, valid until {date}", file.display());
        match (expires - now) / (24 * 60 * 60) {
            _ if expires < now => ExaminedPart::bad("certificate", found, advice),
            days if days < CERTIFICATE_DAYS_MIN => ExaminedPart::warning("certificate", found, advice),
            _ => ExaminedPart::good("certificate", found),
        }
    };
    let file = acme_certificate_file(&options.data_dir);
    let ordered = options.acme.is_on().then(|| match stored_certificate(&file).filter(|stored| !stored.is_own) {
        Some(issued) => judge("clients", &file, Some(issued.ends)),
        None => ExaminedPart::warning(
            "certificate",
            format!("{} has issued none yet", options.acme.directory_url),
            "read in the server's log why; names and ports: README.md, \"Operate it\"",
        ),
    });
    let named = identities.named();
    let named = named.map(|(listener, identity)| judge(listener, identity.certificate_file(), identity.expires()));
    named.chain(ordered).collect()
}

fn backup(data_dir: &Path) -> ExaminedPart {
    let advice =
        format!("mushan backup --data-dir {} --to TARGET (OPERATIONS.md, MushanBackupOld)", data_dir.display());
    match last_backup::read(data_dir) {
        None => ExaminedPart::warning("backup", "none is known of this directory", advice),
        Some(at) if now().0.saturating_sub(at.0) > BACKUP_AGE_MS_MAX => {
            let days = now().0.saturating_sub(at.0) / DAY_MS;
            ExaminedPart::warning("backup", format!("the last one began {}, {days} days ago", of_millis(at.0)), advice)
        }
        Some(at) => ExaminedPart::good("backup", format!("the last one began {}", of_millis(at.0))),
    }
}

/// The running server, as it says itself.
fn server(options: &Options, tls: &TlsFlags) -> Vec<ExaminedPart> {
    let api = ApiFlags::of_data_dir(&options.data_dir).with_tls(tls);
    let status = match api.ask(Call::new(Method::GET, &["status"])) {
        Ok(status) => status,
        Err(failure) => {
            let advice = "start it, or see why it ended: `journalctl -u mushan` (OPERATIONS.md, MushanDown)";
            return vec![ExaminedPart::warning("server", failure.sentence, advice)];
        }
    };
    judge_server(&status)
}

fn judge_server(status: &Value) -> Vec<ExaminedPart> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let shards: Vec<&Value> = status["shards"].as_array().into_iter().flatten().collect();
    let shards_with = |is_meant: &dyn Fn(&&&Value) -> bool| -> String {
        shards.iter().filter(is_meant).map(|shard| number(&shard["shard"]).to_string()).collect::<Vec<_>>().join(", ")
    };
    let (stalled, full) =
        (shards_with(&|shard| number(&shard["age_ms"]) > STALLED_MS), shards_with(&|shard| shard["log_full"] == true));
    let mut parts = Vec::new();
    if !stalled.is_empty() {
        let advice = "see whether its thread runs and what else is on its core (OPERATIONS.md, MushanShardStalled)";
        parts.push(ExaminedPart::bad(
            "server",
            format!("shard {stalled} has shown no numbers for more than 10 s"),
            advice,
        ));
    }
    if !full.is_empty() {
        let advice = "make room on the file system; never delete segments yourself (OPERATIONS.md, MushanLogFull)";
        parts.push(ExaminedPart::bad("server", format!("no room for the next segment of shard {full}"), advice));
    }
    if shards.iter().any(|shard| number(&shard["clock_jumps"]) > 0) {
        let advice = "`chronyc tracking` or `timedatectl` (OPERATIONS.md, MushanClockJumped)";
        parts.push(ExaminedPart::warning("server", "the wall clock has jumped since the start", advice));
    }
    for webhook in status["webhooks"].as_array().into_iter().flatten().filter(|it| number(&it["dead_letters"]) > 0) {
        let (name, dead) = (webhook["name"].as_str().unwrap_or_default(), number(&webhook["dead_letters"]));
        let advice =
            format!("mend the receiver, then `mushan webhook replay {name}` (OPERATIONS.md, MushanWebhookDeadLetters)");
        parts.push(ExaminedPart::warning("server", format!("{dead} dead letters of the webhook {name}"), advice));
    }
    let (version, commit) =
        (status["version"].as_str().unwrap_or_default(), status["commit"].as_str().unwrap_or_default());
    if (version, commit) != (env!("CARGO_PKG_VERSION"), env!("MUSHAN_COMMIT")) {
        let advice = "restart it to run what is installed";
        parts.push(ExaminedPart::warning(
            "server",
            format!("it runs {version} ({commit}), which is not this program's version"),
            advice,
        ));
    }
    if parts.is_empty() {
        let phase = if status["draining"] == true { &json!("draining") } else { &status["phase"] };
        parts.push(ExaminedPart::good(
            "server",
            format!("{}, {} shards", phase.as_str().unwrap_or_default(), shards.len()),
        ));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(shard: Value) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"), "commit": env!("MUSHAN_COMMIT"), "phase": "ready", "draining": false,
            "webhooks": [], "shards": [shard]
        })
    }

    #[test]
    fn a_server_without_faults_is_good() {
        let parts = judge_server(&status(json!({"shard": 0, "age_ms": 900, "log_full": false, "clock_jumps": 0})));
        assert_eq!(parts, [ExaminedPart::good("server", "ready, 1 shards")]);
    }

    #[test]
    fn each_fault_of_a_server_has_its_advice() {
        let mut status = status(json!({"shard": 3, "age_ms": 30_000, "log_full": true, "clock_jumps": 1}));
        status["webhooks"] = json!([{"name": "orders", "dead_letters": 2}]);
        status["commit"] = json!("another");
        let parts = judge_server(&status);
        let found: Vec<(PartHealth, &str)> = parts.iter().map(|part| (part.health, part.found.as_str())).collect();
        let expected = [
            (PartHealth::Bad, "shard 3 has shown"),
            (PartHealth::Bad, "no room for the next segment of shard 3"),
            (PartHealth::Warning, "the wall clock has jumped"),
            (PartHealth::Warning, "2 dead letters of the webhook orders"),
            (PartHealth::Warning, "it runs"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((health, text), (expected, begin)) in found.iter().zip(expected) {
            assert!(*health == expected && text.starts_with(begin), "{text}");
        }
        assert!(parts.iter().all(|part| part.advice.is_some()));
    }
}
