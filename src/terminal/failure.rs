//! How a command fails: an exit status, one sentence, its cause, and a list of details if there are any.

use crate::server::base::console::{self, ConsoleStream};
use crate::server::config::Problems;
use crate::server::{RunError, StartError, sentence};
use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

/// The cause of a failure, which is only printed, never matched.
type FailureSource = Box<dyn Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    pub status: u8,
    /// The sentence for the user; it contains the message of the cause.
    pub sentence: String,
    pub details: Vec<String>,
    source: Option<FailureSource>,
}

impl Failure {
    pub const CONFIGURATION: u8 = 1;
    pub const DISK: u8 = 3;

    /// A failure with the status of a wrong configuration or request.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self::with_status(Self::CONFIGURATION, sentence)
    }

    pub fn with_status(status: u8, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), details: Vec::new(), source: None }
    }

    /// For `map_err`: the sentence "`doing`: cause".
    pub fn because<E: Into<FailureSource>>(doing: impl Display) -> impl FnOnce(E) -> Self {
        Self::because_with(Self::CONFIGURATION, doing)
    }

    /// The same with another status.
    pub fn because_with<E: Into<FailureSource>>(status: u8, doing: impl Display) -> impl FnOnce(E) -> Self {
        move |error| {
            let cause = error.into();
            Self::with_status(status, format!("{doing}: {cause}")).caused_by(cause)
        }
    }

    /// The same failure with its cause, whose message the sentence contains already.
    pub fn caused_by(self, cause: impl Into<FailureSource>) -> Self {
        Self { source: Some(cause.into()), ..self }
    }

    pub fn with_details(self, details: Vec<String>) -> Self {
        Self { details, ..self }
    }

    pub fn report(&self) -> ExitCode {
        console::say(ConsoleStream::Errors, &format!("mushan: {}", sentence(self)));
        for detail in &self.details {
            console::say(ConsoleStream::Errors, &format!("  - {detail}"));
        }
        console::finish();
        ExitCode::from(self.status)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(problems.to_string()).with_details(problems.0)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::with_status(error.exit_status(), sentence(&error)).caused_by(error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::with_status(error.exit_status(), sentence(&error)).caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_cause_and_prints_it_once() {
        let missing = std::fs::read("/nowhere/at/all").expect_err("there is no such file");
        let failure = Failure::because("cannot read /nowhere/at/all")(missing);
        let cause = failure.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()).expect("an I/O error");
        assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
        let printed = sentence(&failure);
        assert_eq!(printed.matches(&cause.to_string()).count(), 1, "{printed}");
    }
}
