//! `mushan serve`: the configuration, the server, and the signals that stop it.

use crate::admin::{self, AdminToken};
use crate::cli::commands::manager;
use crate::cli::commands::take_over::TakeOverFlags;
use crate::server::base::console::{self, ConsoleStream};
use crate::server::base::logging::{self, LogFormat};
use crate::server::config::Config;
use crate::server::{
    DrainStarted, Identities, KeySource, Predecessor, Reload, Server, Stopper, read_certificate_again,
    serve_with_operator,
};
use crate::terminal::LISTENING_ON;
use crate::terminal::failure::Failure;
use crate::terminal::sources::ConfigurationFlags;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use tracing_subscriber::EnvFilter;

/// Start the server
///
/// Without arguments it uses the directory mushan-data, port 8081, one shard per core and the profile balanced. SIGTERM
/// or SIGINT stops it: it notifies its sessions, syncs and exits with status 0; a second signal ends it at once. SIGHUP
/// reads the certificates and the file of --auth-jwks-file again; if one is invalid, the previous one stays in use.
///
/// Every value of the configuration (`mushan check` lists them) can be set in a TOML file or by an environment variable
/// such as MUSHAN_LIMITS__FRAME_BYTES_MAX.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationFlags,
    #[command(flatten)]
    demo: crate::cli::commands::demo::DemoFlags,
    #[command(flatten)]
    take_over: TakeOverFlags,
    /// Log level on stderr: error, warn, info, debug, trace, or a filter such as info,mushan::server=debug; overrides
    /// the variable RUST_LOG [default: warn]
    #[arg(long, value_name = "LEVEL", value_parser = logging::parse_filter)]
    log_level: Option<EnvFilter>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    console::start().map_err(Failure::because("cannot start a thread"))?;
    let config = Config::read(&arguments.configuration.sources())?;
    start_logging(arguments.log_level.as_ref(), config.options.log_format);
    // First of all: a signal during the start must not be lost.
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(Failure::because("cannot watch for signals"))?;
    let default_data_dir = crate::server::Options::default().data_dir;
    let is_default_dir = config.options.data_dir == default_data_dir;
    let (profile, stop_deadline_ms) = (config.profile, config.options.stop_deadline_ms);
    let predecessor = arguments.take_over.predecessor(&config.options)?;
    let predecessor = predecessor.as_ref().map(|it| it as &dyn Predecessor);
    let server = serve_with_operator(arguments.demo.applied_to(config), predecessor, admin::serve)?;
    announce(&greeting(&server, profile, is_default_dir));
    announce_gap(&server);
    arguments.demo.announce(&server);
    manager::tell_ready(server.pulse());
    let reloaded = Reloaded { keys: server.keys(), identities: server.identities() };
    let stopper = server.stopper();
    handle_signals(signals, stopper.clone(), reloaded, stop_deadline_ms);
    let summary = server.wait()?;
    let to = stopper.successor().map_or_else(String::new, |pid| format!(" for the server with pid {pid}"));
    announce(&format!("stopped{to}: {summary}"));
    Ok(())
}

/// The log goes to stderr, filtered by the level that was asked for or else by `RUST_LOG`.
pub fn start_logging(asked: Option<&EnvFilter>, format: LogFormat) {
    // The start checks itself what glommio warns of, and names the remedy in its own message.
    const DEFAULT: &str = "warn,glommio=error";
    let from_environment = || std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|filter| !filter.is_empty());
    let asked = asked.map(EnvFilter::to_string).or_else(from_environment);
    let parsed = asked.as_deref().map(EnvFilter::try_new);
    let (filter, fault) = match parsed {
        None => (EnvFilter::new(DEFAULT), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(fault)) => (EnvFilter::new(DEFAULT), Some(fault)),
    };
    logging::start(filter, format);
    if let Some(fault) = fault {
        tracing::warn!(%fault, "RUST_LOG is invalid and ignored");
    }
}

/// Prints in one write, so that a program that waits for the address gets the whole text. If stdout is closed, the
/// server runs nevertheless.
fn announce(text: &str) {
    console::say(ConsoleStream::Output, text);
}

fn greeting(server: &Server, profile: &str, is_default_dir: bool) -> String {
    let cores: Vec<String> = server.cores.iter().map(usize::to_string).collect();
    let flag = if is_default_dir { String::new() } else { format!(" --data-dir {}", quoted(&server.data_dir)) };
    let durability = format!("{}: {}", server.durability.name(), server.durability.promise());
    format!(
        "{LISTENING_ON}{} (WebSocket: /ws binary, /rpc and /wukong JSON-RPC)\n\
         {:<12} {}, on {} {}\n\
         {:<12} {} per shard\n\
         {:<12} {}\n\
         {:<12} {}\n\
         {:<12} {profile}\n\
         {:<12} {}\n\
         {}",
        server.address,
        "shards",
        server.shards(),
        if cores.len() == 1 { "core" } else { "cores" },
        cores.join(", "),
        "connections",
        server.connections_max,
        "data",
        server.data_dir.display(),
        "durability",
        durability,
        "profile",
        "admin",
        operated(server),
        first_steps(server, &flag),
    )
}

fn announce_gap(server: &Server) {
    if let Some(gap) = server.gap {
        let told =
            format!("{:<12} from the server before this one; nobody served for {} ms", "took over", gap.as_millis());
        announce(&told);
    }
}

/// Commands that work with this server. With TLS, the name of its certificate is the operator's to fill in.
fn first_steps(server: &Server, flag: &str) -> String {
    let port = server.address.port();
    let token = format!("mushan token --user alice{flag}");
    if server.identities().clients.is_some() {
        let chat = format!("mushan chat --user alice --to bob{flag} --url wss://NAME:{port}");
        return format!(
            "{:<12} {chat} (NAME as in the certificate; --ca-file for a private CA)\n{:<12} {token}",
            "try", "or"
        );
    }
    let url = if port == 8081 { String::new() } else { format!(" --url ws://127.0.0.1:{port}") };
    format!("{:<12} mushan chat --user alice --to bob{flag}{url}\n{:<12} {token}", "try", "or")
}

fn operated(server: &Server) -> String {
    match server.admin {
        Some(address) => format!(
            "{}://{address}, token in {}",
            server.admin_scheme(),
            server.data_dir.join(AdminToken::FILE).display()
        ),
        None => "off".to_owned(),
    }
}

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// SIGHUP reads keys and certificates again. The first SIGTERM or SIGINT drains the server, where it has time for that; the
/// next stops it, and one more ends it at once.
fn handle_signals(mut signals: Signals, stopper: Stopper, reloaded: Reloaded, stop_deadline_ms: u64) {
    std::thread::spawn(move || {
        let mut signal_count = 0;
        let mut begun = DrainStarted::Stopping;
        for signal in signals.forever() {
            if signal == SIGHUP {
                reloaded.read_again();
                continue;
            }
            signal_count += 1;
            match (signal_count, begun) {
                (1, _) => {
                    begun = stopper.drain();
                    match begun {
                        DrainStarted::Stopping => {
                            manager::tell_stopping();
                            tracing::info!("stopping");
                        }
                        DrainStarted::Draining { length_ms } => {
                            manager::tell_draining(length_ms, stop_deadline_ms);
                            announce(&format!("draining: {length_ms} ms"));
                        }
                    }
                }
                (2, DrainStarted::Draining { .. }) => stopper.stop(),
                _ => {
                    console::say(ConsoleStream::Errors, "mushan: another signal: ending at once");
                    console::finish();
                    std::process::exit(128 + signal);
                }
            }
        }
    });
}

/// What SIGHUP reads again.
struct Reloaded {
    keys: KeySource,
    identities: Identities,
}

impl Reloaded {
    fn read_again(&self) {
        if !self.keys.has_file() && self.identities.iter().next().is_none() {
            return tracing::info!("SIGHUP is ignored: neither auth.jwks_file nor a certificate is set");
        }
        for identity in self.identities.iter() {
            if read_certificate_again(identity) == Reload::Done {
                announce(&format!("certificate reloaded: {}", identity.certificate_file().display()));
            }
        }
        if !self.keys.has_file() {
            return;
        }
        match self.keys.read_again() {
            Ok(summary) => announce(&format!("keys reloaded: {summary}")),
            Err(error) => tracing::error!(%error, "reading the keys failed; the previous keys stay in use"),
        }
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
