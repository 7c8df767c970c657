//! Conditions of the host, the findings of a check, and common checks of one value.

use crate::cli::tune::host::{Host, choices_of, value_of};
use crate::server::{Options, choose_cores};
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Without it the server does not start, or does not keep its promises.
    Required,
    Advised,
}

/// A requirement that a profile has of the host.
pub struct Condition {
    pub name: &'static str,
    pub severity: Severity,
    pub what: &'static str,
    pub why: &'static str,
    pub look: fn(&Host, &Needs) -> Finding,
}

/// The server for which the host is checked.
pub struct Needs {
    pub aim: Aim,
    pub options: Options,
    pub shards: u64,
    /// Cores of the shards.
    pub cores: Vec<usize>,
    /// Cores without a shard.
    pub free: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    Dev,
    Balanced,
    Latency,
    Throughput,
    Durable,
}

impl Aim {
    pub fn of(profile: &str) -> Self {
        match profile {
            "dev" => Self::Dev,
            "latency" => Self::Latency,
            "throughput" => Self::Throughput,
            "durable" => Self::Durable,
            _ => Self::Balanced,
        }
    }
}

impl Needs {
    pub fn new(profile: &str, options: Options, host: &Host) -> Self {
        let all = host.cores().unwrap_or_default();
        let chosen = choose_cores(&all, &options.cores, options.cores_left_free);
        let cores = chosen.unwrap_or_else(|_| options.cores.clone());
        let free = all.into_iter().filter(|core| !cores.contains(core)).collect();
        let shards = options.shards.map_or(cores.len().max(1) as u64, u64::from);
        Self { aim: Aim::of(profile), options, shards, cores, free }
    }
}

/// The new content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    pub to: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckVerdict {
    Passed,
    Failed,
    /// Not checked, and why.
    Skipped(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub required: String,
    pub current: String,
    pub verdict: CheckVerdict,
    /// The changes that `tune apply` would make.
    pub changes: Vec<Change>,
    /// What has to be done by hand.
    pub advice: Option<String>,
}

impl Finding {
    pub fn skipped(why: impl Into<String>) -> Self {
        Self {
            required: String::new(),
            current: String::new(),
            verdict: CheckVerdict::Skipped(why.into()),
            changes: Vec::new(),
            advice: None,
        }
    }

    pub fn judged(required: impl Into<String>, current: impl Into<String>, verdict: CheckVerdict) -> Self {
        Self { required: required.into(), current: current.into(), verdict, changes: Vec::new(), advice: None }
    }

    pub fn with_change(mut self, path: &str, to: impl Into<String>) -> Self {
        if self.verdict == CheckVerdict::Failed {
            self.changes.push(Change { path: path.to_owned(), to: to.into() });
        }
        self
    }

    pub fn with_changes(mut self, changes: Vec<Change>) -> Self {
        self.changes = changes;
        self
    }

    pub fn with_advice(mut self, advice: impl Into<String>) -> Self {
        if self.verdict == CheckVerdict::Failed {
            self.advice = Some(advice.into());
        }
        self
    }
}

/// Checks a condition. The profile dev skips conditions that are only advised.
pub fn look(condition: &Condition, host: &Host, needs: &Needs) -> Finding {
    if needs.aim == Aim::Dev && condition.severity == Severity::Advised {
        return Finding::skipped("the profile dev does not require it");
    }
    (condition.look)(host, needs)
}

pub fn verdict(holds: bool) -> CheckVerdict {
    if holds { CheckVerdict::Passed } else { CheckVerdict::Failed }
}

/// Checks a file that contains one number, which should lie in `range`; the change sets it to the nearer end.
pub fn number_within(host: &Host, path: &str, range: std::ops::RangeInclusive<u64>) -> Finding {
    let text = match host.read(path) {
        Ok(text) => text,
        Err(why) => return Finding::skipped(why),
    };
    let Ok(number) = text.parse::<u64>() else {
        return Finding::skipped(format!("{path} says \"{text}\", which is not a number"));
    };
    let (least, most) = range.into_inner();
    let required = match (least, most) {
        (least, u64::MAX) => format!(">= {least}"),
        (0, most) if most > 0 => format!("<= {most}"),
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    };
    let to = if number < least { least } else { most };
    Finding::judged(required, text, verdict((least..=most).contains(&number))).with_change(path, to.to_string())
}

/// Checks a file that contains a choice, which should be one of `accepted`; the change sets it to the first of these
/// that the file offers.
pub fn choice_among(host: &Host, path: &str, accepted: &[&str]) -> Finding {
    let text = match host.read(path) {
        Ok(text) => text,
        Err(why) => return Finding::skipped(why),
    };
    let value = value_of(&text);
    let finding = Finding::judged(accepted.join(" or "), &value, verdict(accepted.contains(&value.as_str())));
    let offered = choices_of(&text);
    match accepted.iter().find(|choice| offered.iter().any(|offer| offer == *choice)) {
        Some(choice) => finding.with_change(path, *choice),
        None => finding.with_advice(format!("{path} offers only {}", offered.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("value"), text).unwrap();
        let host = Host::new(root.path());
        (root, host)
    }

    #[test]
    fn a_number_outside_is_changed_to_the_end_that_it_missed() {
        let (_root, host) = host("128\n");
        let look = |range| number_within(&host, "/value", range);
        let changed = |range| look(range).changes.pop().map(|change| change.to);
        assert_eq!(look(4_096..=u64::MAX).required, ">= 4096");
        assert_eq!(changed(4_096..=u64::MAX), Some("4096".to_owned()));
        assert_eq!(changed(0..=10), Some("10".to_owned()));
        assert_eq!(changed(100..=200), None);
        let missing = number_within(&host, "/none", 0..=1);
        assert_eq!(missing.verdict, CheckVerdict::Skipped("/none does not exist".to_owned()));
    }

    #[test]
    fn odd_text_is_skipped_and_never_changed() {
        let (_root, host) = host("n/a");
        let finding = number_within(&host, "/value", 0..=10);
        assert!(matches!(finding.verdict, CheckVerdict::Skipped(why) if why.contains("not a number")));
        assert_eq!(finding.changes, []);
    }

    #[test]
    fn a_choice_is_changed_to_the_first_accepted_one_that_is_offered() {
        let (_root, host) = host("[always] madvise never");
        let finding = choice_among(&host, "/value", &["inherit", "madvise", "never"]);
        assert_eq!(finding.changes, [Change { path: "/value".to_owned(), to: "madvise".to_owned() }]);
        let none = choice_among(&host, "/value", &["defer"]);
        assert_eq!((none.changes.len(), none.advice.is_some()), (0, true));
    }
}
