//! `mushan debug-bundle`: what a report of a fault needs, in one file of text.
//!
//! Invariant: no token, no secret and nothing that a user wrote gets into it; names of files, addresses and settings do,
//! and so do the names of webhooks. Of URLs it has the scheme and the host: a path or a query may be a secret.

use crate::cli::care::doctor::examine;
use crate::cli::care::examined::ExaminedPart;
use crate::cli::tune::scope::HostFlags;
use crate::server::config::Config;
use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::date::{now, of_millis};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::tls_client::TlsFlags;
use hyper::Method;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files of the kernel that say what machine this is and how it is doing.
const KERNEL_FILES: [&str; 8] = [
    "/proc/version",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/memory",
    "/proc/sys/kernel/io_uring_disabled",
    "/etc/os-release",
];

/// Write what a report of a fault needs into one file
///
/// Versions, the configuration with the source of each value, what `mushan doctor` finds, the server's status and
/// metrics, the kernel's view of the machine, and names and sizes of the data directory's files. No token, no secret,
/// and nothing that users wrote; read it before you send it.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    host: HostFlags,
    #[command(flatten)]
    tls: TlsFlags,
    /// The file to write; it must not exist
    #[arg(long, value_name = "FILE", default_value = "mushan-debug.txt")]
    to: PathBuf,
}

pub fn run(Arguments { host, tls, to }: &Arguments) -> Result<(), Failure> {
    let cannot = || Failure::because(format!("cannot write {}", to.display()));
    let text: String =
        sections(host, tls).into_iter().map(|(name, text)| format!("==== {name}\n{}\n\n", text.trim_end())).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(cannot())?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot())?;
    print(&format!("wrote {}: read it before you send it", to.display()))
}

fn sections(flags: &HostFlags, tls: &TlsFlags) -> Vec<(String, String)> {
    let mut sections = vec![
        ("version".to_owned(), format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("MUSHAN_COMMIT"))),
        ("time".to_owned(), of_millis(now().0)),
        ("doctor".to_owned(), examine(flags, tls).iter().map(ExaminedPart::line).collect::<Vec<_>>().join("\n")),
    ];
    let config = flags.config();
    let shown = config.as_ref().map_or_else(
        |failure| failure.sentence.clone(),
        |config| config.lines().map(without_path).collect::<Vec<_>>().join("\n"),
    );
    sections.push(("configuration".to_owned(), shown));
    if let Ok(Config { options, .. }) = &config {
        let api = ApiFlags::of_data_dir(&options.data_dir).with_tls(tls);
        let status = api.ask(Call::new(Method::GET, &["status"])).map(|status| format!("{:#}", without_users(status)));
        sections.push(("status".to_owned(), status.unwrap_or_else(|failure| failure.sentence)));
        let metrics = api.text(Call::at("/metrics"));
        sections.push(("metrics".to_owned(), metrics.unwrap_or_else(|failure| failure.sentence)));
        sections.push(("files".to_owned(), files_below(&options.data_dir).join("\n")));
    }
    let read =
        |path: &&str| (path.to_string(), std::fs::read_to_string(path).unwrap_or_else(|error| error.to_string()));
    sections.extend(KERNEL_FILES.iter().map(read));
    sections
}

/// A status without those whose sessions are slow.
fn without_users(mut status: Value) -> Value {
    for shard in status["shards"].as_array_mut().into_iter().flatten() {
        shard["slow_sessions"] = Value::Null;
    }
    status
}

/// A line of the configuration without what follows the host of a URL.
fn without_path(line: String) -> String {
    let Some(host) = line.find("://").map(|at| at + "://".len()) else { return line };
    let is_end = |byte: &u8| matches!(byte, b'"' | b' ');
    let end = line.bytes().skip(host).position(|byte| is_end(&byte)).map_or(line.len(), |length| host + length);
    match line[host..end].find(['/', '?', '#']) {
        Some(path) => format!("{}/...{}", &line[..host + path], &line[end..]),
        None => line,
    }
}

/// Names, sizes and modes, in order; no contents.
fn files_below(directory: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                found.push(format!("{}: {error}", folder.display()));
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            // Names in there are users'.
            if metadata.is_dir() && entry.file_name() != "chat" {
                folders.push(entry.path());
            } else {
                let allocated = metadata.blocks() * 512;
                found.push(format!(
                    "{:o} {:>12} {allocated:>12} {}",
                    metadata.mode() & 0o7777,
                    metadata.len(),
                    entry.path().display()
                ));
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_scheme_and_host_are_told() {
        for (line, told) in [
            (
                "hook.url = \"https://h.example:8443/k/s3cret\"  # file",
                "hook.url = \"https://h.example:8443/...\"  # file",
            ),
            ("url = \"https://h.example?key=s3cret\"", "url = \"https://h.example/...\""),
            ("url = \"https://h.example\"", "url = \"https://h.example\""),
            ("server.listen = 0.0.0.0:8081", "server.listen = 0.0.0.0:8081"),
        ] {
            assert_eq!(without_path(line.to_owned()), told);
        }
    }
}
