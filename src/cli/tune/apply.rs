//! `mushan tune apply` and `mushan tune undo`: apply changes for findings, and restore the former values.

use crate::cli::tune::finding::Change;
use crate::cli::tune::host::Host;
use crate::cli::tune::journal::{self, TuneEntry, TuneJournal};
use crate::cli::tune::report::{self, FindingRow, PlannedChange};
use crate::cli::tune::scope::{Below, HostFlags, condition_named};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use std::collections::BTreeMap;

const SYSCTL_FILE: &str = "/etc/sysctl.d/90-mushan.conf";
/// The name of that file among the conditions.
const KEPT: &str = "kept";
const SYSCTL_FOLDER: &str = "/proc/sys/";
const SYSCTL_HEAD: &str = "# Made by `mushan tune apply`; `mushan tune undo` removes it.";

/// Change the settings that `mushan tune check` reports as failed
///
/// Every former value is written to the state file before it is changed, and every value is read back after. Values of
/// /proc/sys are also stored in /etc/sysctl.d/90-mushan.conf for the next boot.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("how").required(true).args(["dry_run", "yes", "output_script"]))]
pub struct Apply {
    #[command(flatten)]
    host: HostFlags,
    #[command(flatten)]
    below: Below,
    /// Print the changes without making them
    #[arg(long)]
    dry_run: bool,
    /// Make the changes
    #[arg(long)]
    yes: bool,
    /// Print shell commands instead
    #[arg(long)]
    output_script: bool,
    /// Only this condition; can be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

/// Restore what `mushan tune apply` has changed
///
/// A value that was changed again by somebody else is left alone and named; the exit status is then 1.
#[derive(clap::Args)]
pub struct Undo {
    #[command(flatten)]
    below: Below,
    /// Only this condition; can be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
}

pub fn apply(arguments: &Apply) -> Result<(), Failure> {
    for name in &arguments.only {
        condition_named(name)?;
    }
    let (profile, rows) = arguments.host.look(&arguments.below)?;
    let host = arguments.below.host();
    let is_meant = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let rows: Vec<FindingRow> = rows.into_iter().filter(|row| is_meant(row.condition.name)).collect();
    let steps = steps(&host, &rows)?;
    if arguments.output_script {
        return print(&report::script(profile, &steps));
    }
    if steps.is_empty() {
        return print("there is nothing to change");
    }
    if arguments.dry_run {
        return print(&format!("{}\nnothing was changed (--yes changes it)", report::steps(&steps)));
    }
    make(&host, &arguments.below, &steps)
}

fn make(host: &Host, below: &Below, steps: &[PlannedChange]) -> Result<(), Failure> {
    let path = below.state();
    let mut journal = TuneJournal::open(&path)?;
    let mut faults = Vec::new();
    for step in steps {
        match journal.make(host, step) {
            Ok(()) => print(&report::steps(std::slice::from_ref(step)))?,
            Err(why) => faults.push(format!("{}: {why}", step.condition)),
        }
    }
    if !journal.is_empty() {
        print(&format!("the former values are in {}; `mushan tune undo` restores them", path.display()))?;
    }
    fail_with("could not change everything", faults)
}

pub fn undo(arguments: &Undo) -> Result<(), Failure> {
    let path = arguments.below.state();
    let mut journal = TuneJournal::open(&path)?;
    if journal.is_empty() {
        return print(&format!("{} does not exist: nothing to restore", path.display()));
    }
    let former = journal.entries().to_vec();
    let known: Vec<&str> = former.iter().map(|entry| entry.condition.as_str()).collect();
    if let Some(name) = arguments.only.iter().find(|only| !known.contains(&only.as_str())) {
        return Err(Failure::new(format!("nothing was changed for {name}; these were changed: {}", known.join(", "))));
    }
    let host = arguments.below.host();
    let is_meant = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    let mut told = Vec::new();
    let mut faults = journal.undo(&host, is_meant, |line| told.push(line))?;
    faults.extend(keep_no_longer(&host, &mut journal, &former).err());
    told.iter().try_for_each(|line| print(line))?;
    fail_with("could not restore everything", faults)
}

/// Removes restored values from the file that would set them again at the next boot.
fn keep_no_longer(host: &Host, journal: &mut TuneJournal, former: &[TuneEntry]) -> Result<(), String> {
    let Some(kept) = journal.entries().iter().find(|entry| entry.path == SYSCTL_FILE).cloned() else { return Ok(()) };
    let is_left = |entry: &TuneEntry| journal.entries().iter().any(|left| left.path == entry.path);
    let names = former.iter().filter(|entry| !is_left(entry)).filter_map(|entry| sysctl_name(&entry.path));
    let own = kept.before.as_deref().map(sysctls_of).unwrap_or_default();
    let mut values = sysctls_of(&kept.after);
    for name in names {
        match own.get(&name) {
            Some(value) => drop(values.insert(name, value.clone())),
            None => drop(values.remove(&name)),
        }
    }
    let before = journal::current(host, SYSCTL_FILE)?;
    if !before.as_deref().is_some_and(|now| journal::says(SYSCTL_FILE, now, &kept.after)) {
        return Err(format!("{SYSCTL_FILE}: changed by somebody else since; left alone"));
    }
    if values == own {
        return journal
            .undo(host, |name| name == KEPT, |_| ())
            .map_err(|failure| failure.sentence)?
            .pop()
            .map_or(Ok(()), Err);
    }
    let change = Change { path: SYSCTL_FILE.to_owned(), to: file_of(&values) };
    journal.make(host, &PlannedChange { condition: KEPT.to_owned(), change, before })
}

fn fail_with(sentence: &str, details: Vec<String>) -> Result<(), Failure> {
    if details.is_empty() { Ok(()) } else { Err(Failure::new(sentence).with_details(details)) }
}

/// The changes, one for each file, with the current value; last the file that stores the values of /proc/sys.
fn steps(host: &Host, rows: &[FindingRow]) -> Result<Vec<PlannedChange>, Failure> {
    let mut steps: Vec<PlannedChange> = Vec::new();
    for row in rows.iter().filter(|row| row.is_failure()) {
        for change in &row.finding.changes {
            if steps.iter().all(|step| step.change.path != change.path) {
                steps.push(step(host, row.condition.name, change.clone())?);
            }
        }
    }
    let former = journal::current(host, SYSCTL_FILE).map_err(Failure::new)?;
    let sysctls = steps.iter().filter_map(|step| Some((sysctl_name(&step.change.path)?, step.change.to.clone())));
    if let Some(to) = with_sysctls(former.as_deref(), sysctls.collect()) {
        steps.push(step(host, KEPT, Change { path: SYSCTL_FILE.to_owned(), to })?);
    }
    Ok(steps)
}

fn step(host: &Host, condition: &str, change: Change) -> Result<PlannedChange, Failure> {
    let before = journal::current(host, &change.path).map_err(Failure::new)?;
    Ok(PlannedChange { condition: condition.to_owned(), change, before })
}

/// The name that sysctl(8) has for `/proc/sys/net/core/somaxconn`.
fn sysctl_name(path: &str) -> Option<String> {
    path.strip_prefix(SYSCTL_FOLDER).map(|rest| rest.replace('/', "."))
}

/// The values in a sysctl.d file, by name.
pub fn sysctls_of(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| line.trim_start_matches('-').split_once('='));
    pairs.map(|(name, value)| (name.trim().replace('/', "."), value.trim().to_owned())).collect()
}

/// The file's new content; `None` if it does not change.
fn with_sysctls(former: Option<&str>, new: BTreeMap<String, String>) -> Option<String> {
    let before = former.map(sysctls_of).unwrap_or_default();
    let mut after = before.clone();
    after.extend(new);
    if after == before {
        return None;
    }
    Some(file_of(&after))
}

fn file_of(values: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("{SYSCTL_HEAD}\n{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_kept_over_a_restart_join_those_of_earlier_runs() {
        let new = |value: &str| BTreeMap::from([("vm.swappiness".to_owned(), value.to_owned())]);
        let text = with_sysctls(Some("# by hand\nnet/core/somaxconn=5\n"), new("10")).expect("it changes");
        assert_eq!(text, format!("{SYSCTL_HEAD}\nnet.core.somaxconn = 5\nvm.swappiness = 10\n"));
        assert_eq!(with_sysctls(Some(&text), new("10")), None);
        assert_eq!(with_sysctls(None, BTreeMap::new()), None);
        assert_eq!(sysctl_name("/proc/sys/vm/swappiness"), Some("vm.swappiness".to_owned()));
        assert_eq!(sysctl_name("/sys/block/vda/queue/scheduler"), None);
    }
}
