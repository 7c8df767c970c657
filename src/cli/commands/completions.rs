//! `mushan completions`: what a shell needs to complete this command line.

use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use clap::Command;
use clap_complete::Shell;

/// Print the completions of a shell
///
/// Such as: mushan completions bash > /usr/share/bash-completion/completions/mushan
#[derive(clap::Args)]
pub struct Arguments {
    shell: Shell,
}

pub fn run(arguments: &Arguments, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "mushan", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}
