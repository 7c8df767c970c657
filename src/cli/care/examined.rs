//! One result of `mushan doctor`: what was looked at, what was found, and what to do about it.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartHealth {
    Good,
    /// To be seen to before it becomes a fault.
    Warning,
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExaminedPart {
    pub part: &'static str,
    pub health: PartHealth,
    pub found: String,
    /// What to do; `None` where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl ExaminedPart {
    pub fn good(part: &'static str, found: impl Into<String>) -> Self {
        Self { part, health: PartHealth::Good, found: found.into(), advice: None }
    }

    pub fn warning(part: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { part, health: PartHealth::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    pub fn bad(part: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { health: PartHealth::Bad, ..Self::warning(part, found, advice) }
    }

    pub fn line(&self) -> String {
        let word = match self.health {
            PartHealth::Good => "good",
            PartHealth::Warning => "WARNING",
            PartHealth::Bad => "BAD",
        };
        let advice = self.advice.as_ref().map_or_else(String::new, |advice| format!("\n{:24} -> {advice}", ""));
        format!("{word:<8} {:<15} {}{advice}", self.part, self.found)
    }
}
