//! Output for the user, on stdout.

use crate::terminal::failure::Failure;
use std::io::Write;

/// Prints one or more lines.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    was_printed(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// A closed pipe is no failure: its reader may have read enough.
pub(crate) fn was_printed(printed: std::io::Result<()>) -> Result<(), Failure> {
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::because("cannot print")(error)),
        _ => Ok(()),
    }
}
