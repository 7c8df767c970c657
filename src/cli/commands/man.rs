//! `mushan man`: the manual pages of this command line.

use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use clap::Command;
use std::path::PathBuf;

/// Write the manual pages, one for each command, into a directory
#[derive(clap::Args)]
pub struct Arguments {
    /// Created if it is not there
    directory: PathBuf,
}

pub fn run(Arguments { directory }: &Arguments, command: Command) -> Result<(), Failure> {
    let failed =
        || Failure::because_with(Failure::DISK, format!("cannot write manual pages to {}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed())?;
    clap_mangen::generate_to(command, directory).map_err(failed())?;
    print(&format!("manual pages written to {}", directory.display()))
}
