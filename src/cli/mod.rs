//! F3, the command line: one file for each subcommand. Results go to stdout, errors to stderr.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod care;
mod chat;
mod commands;
mod log;
mod push;
mod tune;

#[cfg(feature = "bench")]
use crate::bench;
use crate::server::base::console;
use crate::server::base::logging::LogFormat;
use crate::terminal::failure::Failure;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// An instant-messaging server for one Linux machine.
///
/// `mushan serve` starts it; in two other terminals, `mushan chat --user alice --to bob` and `mushan chat --user bob
/// --to alice --protocol jsonrpc` talk through it.
#[derive(Parser)]
#[command(name = "mushan", version = VERSION, max_term_width = 100, after_help = EXIT_STATUSES)]
struct Arguments {
    #[command(subcommand)]
    command: CliCommand,
}

/// The version, and the commit that it was built from.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("MUSHAN_COMMIT"), ")");

const EXIT_STATUSES: &str =
    "Exit statuses: 0 done or asked to stop, 1 configuration or request, 2 host not fit, 3 disk.";

#[derive(Subcommand)]
enum CliCommand {
    Serve(Box<commands::serve::Arguments>),
    Token(commands::token::Arguments),
    Check(commands::check::Arguments),
    Chat(chat::Arguments),
    Group(commands::group::Arguments),
    User(commands::user::Arguments),
    Webhook(commands::webhook::Arguments),
    Drain(commands::drain::Arguments),
    LogLevel(commands::log_level::Arguments),
    Status(care::status::Arguments),
    Top(care::top::Arguments),
    Doctor(care::doctor::Arguments),
    DebugBundle(care::bundle::Arguments),
    Trace(commands::trace::Arguments),
    Push(push::Arguments),
    #[cfg(feature = "bench")]
    Bench(bench::Arguments),
    Log(log::Arguments),
    Audit(commands::audit::Arguments),
    Backup(commands::backup::Arguments),
    Restore(commands::restore::Arguments),
    Reshard(commands::reshard::Arguments),
    Tune(tune::Arguments),
    Completions(commands::completions::Arguments),
    Man(commands::man::Arguments),
}

/// Parses the command line, runs the command, and returns the exit status.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    // The server's log has a format, which its configuration names.
    if !matches!(arguments.command, CliCommand::Serve(_)) {
        commands::serve::start_logging(None, LogFormat::Text);
    }
    let done = match arguments.command {
        CliCommand::Serve(arguments) => commands::serve::run(&arguments),
        CliCommand::Token(arguments) => commands::token::run(&arguments),
        CliCommand::Check(arguments) => commands::check::run(&arguments),
        CliCommand::Chat(arguments) => chat::run(&arguments),
        CliCommand::Group(arguments) => commands::group::run(&arguments),
        CliCommand::User(arguments) => commands::user::run(&arguments),
        CliCommand::Drain(arguments) => commands::drain::run(&arguments),
        CliCommand::Status(arguments) => care::status::run(&arguments),
        CliCommand::Top(arguments) => care::top::run(&arguments),
        CliCommand::Doctor(arguments) => care::doctor::run(&arguments),
        CliCommand::DebugBundle(arguments) => care::bundle::run(&arguments),
        CliCommand::LogLevel(arguments) => commands::log_level::run(&arguments),
        CliCommand::Trace(arguments) => commands::trace::run(&arguments),
        CliCommand::Webhook(arguments) => commands::webhook::run(&arguments),
        CliCommand::Push(arguments) => push::run(&arguments),
        #[cfg(feature = "bench")]
        CliCommand::Bench(arguments) => bench::run(&arguments),
        CliCommand::Log(arguments) => log::run(&arguments),
        CliCommand::Audit(arguments) => commands::audit::run(&arguments),
        CliCommand::Backup(arguments) => commands::backup::run(&arguments),
        CliCommand::Restore(arguments) => commands::restore::run(&arguments),
        CliCommand::Reshard(arguments) => commands::reshard::run(&arguments),
        CliCommand::Tune(arguments) => tune::run(&arguments),
        CliCommand::Completions(arguments) => commands::completions::run(&arguments, Arguments::command()),
        CliCommand::Man(arguments) => commands::man::run(&arguments, Arguments::command()),
    };
    let status = done.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS);
    console::finish();
    status
}

/// Help is a result; a wrong flag is a wrong configuration.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing can be done if the stream is closed.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(Failure::CONFIGURATION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_spellings_that_are_a_contract_are_understood() {
        let lines = [
            "mushan serve",
            "mushan serve --data-dir d --listen 127.0.0.1:0 --shards 2 --profile dev --config f.toml",
            "mushan check --data-dir d --listen 127.0.0.1:0 --shards 2 --profile dev --config f.toml",
            "mushan token --data-dir d --user alice --ttl 1h",
            "mushan token --user alice",
            "mushan chat --user alice --to bob",
            "mushan chat --user alice --to bob --protocol jsonrpc --url ws://127.0.0.1:8081 --data-dir d --token t",
            "mushan bench p2p --smoke",
            "mushan bench p2p --rate 1000 --chart c.svg --report r.md --syscalls",
            "mushan bench p2p --protocol bare --url tcp://127.0.0.1:1 --server-pid 2 --no-acks",
            "mushan bench group --members 10 --authors 2 --smoke",
            "mushan bench storm --connections 10 --at-once 5",
            "mushan bench idle --connections 10 --senders 2 --rate 10",
            "mushan bench sync --users 10 --entries 1000",
            "mushan bench day --rate 1000 --members 5",
            "mushan bench size --users 10 --gigabytes 0 --rounds 1",
            "mushan serve --admin-listen off",
            "mushan serve --log-level debug --log-format json",
            "mushan log-level",
            "mushan status --json",
            "mushan doctor --data-dir d --json",
            "mushan debug-bundle --config f.toml --to b.txt",
            "mushan log-level debug --data-dir d",
            "mushan trace --user alice --for 60s --json",
            "mushan group create team --owner alice --members bob carol --data-dir d --json",
            "mushan group show team --after bob --limit 10 --url http://127.0.0.1:8080 --token-file t",
            "mushan group add team bob carol",
            "mushan group remove team bob --json",
            "mushan group set team bob --role admin --muted-until 0",
            "mushan group set team bob --mute-for 1h",
            "mushan group dissolve team",
            "mushan user add alice",
            "mushan user show alice --json",
            "mushan user block alice bob",
            "mushan user unblock alice bob",
            "mushan user disable alice",
            "mushan user enable alice --json",
            "mushan user revoke-tokens alice",
            "mushan push --config push.toml --check",
            "mushan serve --auth-jwks-file keys.json",
            "mushan check --auth-jwks-file keys.json",
            "mushan tune check --profile latency --json --root r --data-dir d",
            "mushan completions bash",
            "mushan man target/man",
            "mushan tune list",
            "mushan tune help somaxconn",
            "mushan tune apply --dry-run --only thp --only irq",
            "mushan tune apply --yes --profile throughput --state s --root r",
            "mushan tune apply --output-script",
            "mushan tune undo --only thp",
            "mushan bench day --set server.spin_us=0 --rounds 2",
            "mushan bench p2p --set server.spin_us=0 --against server.spin_us=50 --rounds 5 --json",
            "mushan log verify --data-dir d --json",
            "mushan log stats --data-dir d",
            "mushan audit --data-dir d --user alice --json",
            "mushan audit --config f.toml",
            "mushan backup --data-dir d --to t --json",
            "mushan restore --from t --data-dir d --json",
            "mushan log repair --data-dir d --dry-run --json",
            "mushan reshard --data-dir d --shards 3 --json",
            "mushan log dump --data-dir d --shard 1 --user alice --content",
            "mushan bench p2p --protocol both --connections 4 --in-flight 2 --seconds 1 --body-bytes 64 --json",
        ];
        for line in lines {
            assert!(Arguments::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
