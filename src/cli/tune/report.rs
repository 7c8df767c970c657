//! Output of findings: a table for people, JSON for programs, commands for a shell.

use crate::cli::tune::finding::{Change, CheckVerdict, Condition, Finding, Severity};
use crate::cli::tune::host::is_of_kernel;
use serde::Serialize;
use std::fmt::Write;

/// A condition and its finding.
pub struct FindingRow {
    pub condition: &'static Condition,
    pub finding: Finding,
}

impl FindingRow {
    pub fn is_failure(&self) -> bool {
        self.finding.verdict == CheckVerdict::Failed
    }

    pub fn is_fatal(&self) -> bool {
        self.is_failure() && self.condition.severity == Severity::Required
    }

    fn severity(&self) -> &'static str {
        match self.condition.severity {
            Severity::Required => "required",
            Severity::Advised => "advised",
        }
    }

    fn passed(&self) -> String {
        match &self.finding.verdict {
            CheckVerdict::Passed => "yes".to_owned(),
            CheckVerdict::Failed => "NO".to_owned(),
            CheckVerdict::Skipped(why) => format!("skipped: {why}"),
        }
    }

    /// The remedies of a failed condition: a command to run, manual work, or both.
    fn remedies(&self, profile: &str) -> Vec<String> {
        let is_failure = self.is_failure();
        let apply = (is_failure && !self.finding.changes.is_empty())
            .then(|| format!("mushan tune apply --profile {profile} --only {} --yes", self.condition.name));
        let advice = self.finding.advice.clone().filter(|_| is_failure);
        apply.into_iter().chain(advice).collect()
    }
}

const HEADER: [&str; 5] = ["Condition", "Required", "Current", "Severity", "Passed"];
/// Wider text continues in the next line of the table.
const CELL_MAX: usize = 40;

pub fn table(profile: &str, rows: &[FindingRow]) -> String {
    let mut lines = vec![HEADER.map(str::to_owned)];
    for row in rows {
        let Finding { required, current, .. } = &row.finding;
        let (mut required, mut current) = (cell(required).into_iter(), cell(current).into_iter());
        let (name, severity) = (row.condition.name.to_owned(), row.severity().to_owned());
        let next = |cell: &mut std::vec::IntoIter<String>| cell.next().unwrap_or_default();
        lines.push([name, next(&mut required), next(&mut current), severity, row.passed()]);
        while required.len() + current.len() > 0 {
            lines.push([String::new(), next(&mut required), next(&mut current), String::new(), String::new()]);
        }
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    for row in rows {
        for (index, remedy) in row.remedies(profile).iter().enumerate() {
            let separator = if index == 0 { format!("\n{}:", row.condition.name) } else { String::new() };
            let _ = write!(text, "{separator}\n    {remedy}");
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// The lines of a cell. A word that is wider than a cell gets a line of its own.
fn cell(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= CELL_MAX {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    if text.is_empty() { vec!["-".to_owned()] } else { lines }
}

#[derive(Serialize)]
struct ShownCell<'a> {
    profile: &'a str,
    passed: bool,
    conditions: Vec<ShownRow<'a>>,
}

#[derive(Serialize)]
struct ShownRow<'a> {
    name: &'a str,
    what: &'a str,
    required: &'a str,
    current: &'a str,
    severity: Severity,
    /// `null` if it was skipped.
    passed: Option<bool>,
    skipped: Option<&'a str>,
    remedy: Option<String>,
    changes: Vec<ShownChange<'a>>,
}

#[derive(Serialize)]
struct ShownChange<'a> {
    path: &'a str,
    to: &'a str,
}

pub fn json(profile: &str, rows: &[FindingRow]) -> String {
    let conditions = rows.iter().map(|row| ShownRow {
        name: row.condition.name,
        what: row.condition.what,
        required: &row.finding.required,
        current: &row.finding.current,
        severity: row.condition.severity,
        passed: match row.finding.verdict {
            CheckVerdict::Passed => Some(true),
            CheckVerdict::Failed => Some(false),
            CheckVerdict::Skipped(_) => None,
        },
        skipped: match &row.finding.verdict {
            CheckVerdict::Skipped(why) => Some(why),
            _ => None,
        },
        remedy: Some(row.remedies(profile).join("; ")).filter(|remedy| !remedy.is_empty()),
        changes: row.finding.changes.iter().map(|change| ShownChange { path: &change.path, to: &change.to }).collect(),
    });
    let shown = ShownCell { profile, passed: !rows.iter().any(FindingRow::is_fatal), conditions: conditions.collect() };
    serde_json::to_string_pretty(&shown).expect("it is plain data")
}

/// One change that is going to be made.
pub struct PlannedChange {
    pub condition: String,
    pub change: Change,
    /// `None`: the file does not exist.
    pub before: Option<String>,
}

/// The changes as text for a terminal.
pub fn steps(steps: &[PlannedChange]) -> String {
    let lines = steps.iter().map(|PlannedChange { condition, change, before }| {
        if is_of_kernel(&change.path) {
            let before = before.as_deref().unwrap_or("nothing");
            return format!("{condition}: {} from \"{before}\" to \"{}\"", change.path, change.to);
        }
        let doing = if before.is_some() { "rewrite" } else { "make" };
        let content: Vec<String> = change.to.trim_end().lines().map(|line| format!("    {line}")).collect();
        format!("{condition}: {doing} {}\n{}", change.path, content.join("\n"))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The changes as a shell script, to be read first and run by a user with the necessary rights.
pub fn script(profile: &str, steps: &[PlannedChange]) -> String {
    let mut text =
        format!("#!/bin/sh\n# What `mushan tune apply --profile {profile}` would change on this host.\nset -eu\n");
    for PlannedChange { condition, change, before } in steps {
        let path = quoted(&change.path);
        let was = before.as_deref().filter(|_| is_of_kernel(&change.path)).unwrap_or("another content, or not there");
        let _ = writeln!(text, "\n# {condition}; was: {was}");
        if is_of_kernel(&change.path) {
            let _ = writeln!(text, "printf '%s\\n' {} > {path}", quoted(&change.to));
        } else {
            let _ = writeln!(text, "cat > {path} <<'MUSHAN_END'\n{}\nMUSHAN_END", change.to.trim_end());
        }
    }
    text.truncate(text.trim_end().len());
    text
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_quoted_for_a_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        let change = Change { path: "/proc/sys/x".to_owned(), to: "4 5".to_owned() };
        let step = PlannedChange { condition: "x".to_owned(), change, before: Some("1 2".to_owned()) };
        let text = script("latency", &[step]);
        assert!(text.ends_with("# x; was: 1 2\nprintf '%s\\n' '4 5' > '/proc/sys/x'"), "{text}");
    }

    #[test]
    fn what_is_too_wide_goes_on_in_the_next_line() {
        assert_eq!(cell(""), ["-"]);
        assert_eq!(cell(&"x".repeat(99)), ["x".repeat(99)]);
        let wide = "tsc or kvm-clock or arch_sys_counter or hyperv_clocksource_tsc_page";
        assert_eq!(cell(wide), ["tsc or kvm-clock or arch_sys_counter or", "hyperv_clocksource_tsc_page"]);
    }
}
