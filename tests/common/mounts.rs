//! Tests that mount something: each runs once more in a mount namespace of its own, so that nothing is left mounted
//! however it ends.

use std::io::Write;
use std::process::{Command, Stdio};

/// Set for the run inside the namespace.
const INSIDE: &str = "MUSHAN_TEST_HAS_OWN_MOUNTS";
/// Written by the run inside when it has come to its end.
const DONE: &str = "done";
/// As who one mounts.
const AS_IS: &[&str] = &["--mount"];
const AS_ROOT_OF_ITS_OWN: &[&str] = &["--user", "--map-root-user", "--mount"];

/// Runs `scenario`, which is all of the test `name`, where it may mount a tmpfs.
pub fn with_own_mounts(name: &str, scenario: impl Future<Output = ()>) {
    run(name, &[AS_IS, AS_ROOT_OF_ITS_OWN], scenario);
}

/// The same where it may mount block devices: not in a user namespace.
pub fn with_own_devices(name: &str, scenario: impl Future<Output = ()>) {
    run(name, &[AS_IS], scenario);
}

pub fn skip(name: &str, why: &str) {
    let line = format!("SKIPPED {name}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
}

fn run(name: &str, ways: &[&[&str]], scenario: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(scenario);
        return std::fs::write(std::env::temp_dir().join(DONE), "").expect("outside there is room");
    }
    let Some(way) = ways.iter().find(|way| can_mount(way)) else {
        return skip(name, "this user may not mount what it needs");
    };
    // What is made inside lies in here; from outside nothing is mounted on it, so that it can be removed.
    let outside = tempfile::tempdir().expect("a directory");
    let mut again = Command::new("unshare");
    again.args(*way).arg(std::env::current_exe().expect("a test is a file"));
    again.args(["--exact", name, "--nocapture"]);
    again.env(INSIDE, "1").env("TMPDIR", outside.path());
    assert!(again.status().expect("unshare was there a moment ago").success(), "{name} failed in its own namespace");
    assert!(outside.path().join(DONE).exists(), "{name} was not run to its end in its own namespace");
}

fn can_mount(way: &[&str]) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let mut probe = Command::new("unshare");
    probe.args(way).args(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(directory.path());
    probe.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
