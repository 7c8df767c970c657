//! How a command fails: an exit status, one sentence, and a list of details if there are any.

use crate::server::base::console::{self, ConsoleStream};
use crate::server::config::Problems;
use crate::server::{RunError, StartError, sentence};
use std::fmt::Display;
use std::process::ExitCode;

#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: u8,
    pub sentence: String,
    pub details: Vec<String>,
}

impl Failure {
    pub const CONFIGURATION: u8 = 1;
    pub const DISK: u8 = 3;

    /// A failure with the status of a wrong configuration or request.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self::with_status(Self::CONFIGURATION, sentence)
    }

    pub fn with_status(status: u8, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into(), details: Vec::new() }
    }

    /// For `map_err`: the sentence "`doing`: cause".
    pub fn because<E: Display>(doing: impl Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new(format!("{doing}: {error}"))
    }

    pub fn report(&self) -> ExitCode {
        console::say(ConsoleStream::Errors, &format!("mushan: {}", self.sentence));
        for detail in &self.details {
            console::say(ConsoleStream::Errors, &format!("  - {detail}"));
        }
        console::finish();
        ExitCode::from(self.status)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self { status: Self::CONFIGURATION, sentence: problems.to_string(), details: problems.0 }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::with_status(error.exit_status(), sentence(&error))
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::with_status(error.exit_status(), sentence(&error))
    }
}
