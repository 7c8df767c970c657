//! Words for the user, on stdout.

use crate::terminal::failure::Failure;
use std::io::Write;

/// One line or more for the user.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    was_printed(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Whoever reads a pipe may have read enough.
pub(crate) fn was_printed(printed: std::io::Result<()>) -> Result<(), Failure> {
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::because("cannot print")(error)),
        _ => Ok(()),
    }
}
