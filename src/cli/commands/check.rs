//! `mushan check`: prints the configuration that the server would use.

use crate::server::config::Config;
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::sources::{ConfigurationFlags, read_keys};

/// Print the effective configuration and the source of each value; starts nothing
///
/// The output is a valid configuration file. All problems are listed, and then the exit status is 1.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationFlags,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::read(&arguments.configuration.sources())?;
    let lines: Vec<String> = config.lines().collect();
    let tokens = format!("# tokens {}", read_keys(&config.options)?.summary(&config.options.auth));
    let durability = config.options.durability;
    let promise = format!("# durability {}: {}", durability.name(), durability.promise());
    let room = format!("# {}", crate::server::room_of_this_host(&config.options));
    print(&format!("# profile {}\n{promise}\n{tokens}\n{room}\n{}", config.profile, lines.join("\n")))
}
