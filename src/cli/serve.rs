//! `mushan serve`: the configuration, the server, and the signals that stop it.

use super::failure::Failure;
use super::sources::ConfigurationFlags;
use crate::admin::{self, AdminToken};
use crate::server::config::Config;
use crate::server::{KeySource, Server, Stopper, serve_attended};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::Write;
use std::path::Path;

/// Before the address, on the first line of stdout.
pub const LISTENING_ON: &str = "listening on ";

/// Start the server
///
/// With nothing given it uses the directory mushan-data, port 8081, one shard per core and the profile balanced.
/// SIGTERM or SIGINT stops it: it says goodbye to its sessions, syncs and exits with 0; a second signal ends it at once.
/// With --auth-jwks-file, SIGHUP reads that file again; when it is wrong, the keys stay as they were.
///
/// Every value of the configuration (`mushan check` lists them) can be set in a TOML file or by an environment variable
/// such as MUSHAN_LIMITS__FRAME_BYTES_MAX.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationFlags,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::read(&arguments.configuration.sources())?;
    // Before anything else runs: a signal during the start must not be lost.
    let signals = Signals::new([SIGTERM, SIGINT]).map_err(Failure::because("cannot watch for signals"))?;
    let default_data_dir = crate::server::Options::default().data_dir;
    let is_default_dir = config.options.data_dir == default_data_dir;
    let server = serve_attended(config.options, admin::attend)?;
    announce(&greeting(&server, config.profile, is_default_dir));
    heed(signals, server.stopper(), server.keys());
    let summary = server.wait()?;
    announce(&format!("stopped: {summary}"));
    Ok(())
}

/// In one write, so that who waits for the address has all of it. Nobody may be reading; the server runs all the same.
fn announce(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush());
}

fn greeting(server: &Server, profile: &str, is_default_dir: bool) -> String {
    let cores: Vec<String> = server.cores.iter().map(usize::to_string).collect();
    let flag = if is_default_dir { String::new() } else { format!(" --data-dir {}", quoted(&server.data_dir)) };
    let url = match server.address.port() {
        8081 => String::new(),
        port => format!(" --url ws://127.0.0.1:{port}"),
    };
    let durability = format!("{}: {}", server.durability.name(), server.durability.promise());
    format!(
        "{LISTENING_ON}{} (WebSocket: /ws binary, /rpc and /wukong JSON-RPC)\n\
         {:<12} {}, on {} {}\n\
         {:<12} {}\n\
         {:<12} {}\n\
         {:<12} {profile}\n\
         {:<12} {}\n\
         {:<12} mushan chat --user alice --to bob{flag}{url}\n\
         {:<12} mushan token --user alice{flag}",
        server.address,
        "shards",
        server.shards(),
        if cores.len() == 1 { "core" } else { "cores" },
        cores.join(", "),
        "data",
        server.data_dir.display(),
        "durability",
        durability,
        "profile",
        "admin",
        operated(server),
        "try",
        "or",
    )
}

fn operated(server: &Server) -> String {
    match server.admin {
        Some(address) => format!("http://{address}, token in {}", server.data_dir.join(AdminToken::FILE).display()),
        None => "off".to_owned(),
    }
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The first of the others stops the server, the second ends it.
fn heed(mut signals: Signals, stopper: Stopper, keys: KeySource) {
    // Without a file to read again, a terminal that is gone ends the server as it ends any program.
    if keys.has_file()
        && let Err(error) = signals.handle().add_signal(SIGHUP)
    {
        tracing::error!(%error, "SIGHUP will not be heard");
    }
    std::thread::spawn(move || {
        let mut is_stopping = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                read_again(&keys);
            } else if is_stopping {
                eprintln!("mushan: a second signal, ended at once");
                std::process::exit(128 + signal);
            } else {
                is_stopping = true;
                tracing::info!("stopping");
                stopper.stop();
            }
        }
    });
}

fn read_again(keys: &KeySource) {
    match keys.read_again() {
        Ok(summary) => announce(&format!("keys read again: {summary}")),
        Err(error) => tracing::error!(%error, "the keys stay as they were"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_printed_as_a_shell_takes_it() {
        assert_eq!(quoted(Path::new("/tmp/a-b_c.d")), "/tmp/a-b_c.d");
        assert_eq!(quoted(Path::new("/tmp/it's here")), r"'/tmp/it'\''s here'");
    }
}
