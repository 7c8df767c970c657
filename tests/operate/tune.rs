//! `mushan tune` on hosts that are made up, and on this one where it may be changed; and the files in tuning/ that
//! other programs read.

use crate::common::mushan;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const PROFILES: [&str; 5] = ["balanced", "dev", "latency", "throughput", "durable"];

/// A server with four cores, one disk, one network card, and a distribution's defaults.
const HOST: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.8.0-45-generic"),
    ("proc/sys/kernel/io_uring_disabled", "2"),
    ("proc/self/status", "Name:\tmushan\nCapEff:\t0000000000000000\nCpus_allowed_list:\t0-3"),
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max open files            1024                 524288               files     \n\
         Max locked memory         1048576              1048576              bytes     ",
    ),
    ("proc/self/mounts", "/dev/root / ext4 rw,relatime 0 0\n/dev/nvme0n1p2 /var ext4 rw,relatime,discard 0 0"),
    ("proc/sys/net/core/somaxconn", "4096"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "2048"),
    ("proc/sys/net/core/netdev_max_backlog", "1000"),
    ("proc/sys/net/core/busy_read", "0"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304"),
    ("proc/sys/vm/swappiness", "60"),
    ("proc/sys/vm/dirty_background_ratio", "10"),
    ("proc/sys/vm/dirty_background_bytes", "0"),
    ("proc/sys/vm/dirty_ratio", "20"),
    ("proc/irq/40/smp_affinity_list", "0"),
    ("proc/irq/41/smp_affinity_list", "2-3"),
    ("sys/class/net/lo/queues/rx-0/rps_cpus", "0"),
    ("sys/class/net/eth0/device/msi_irqs/40", "msix"),
    ("sys/class/net/eth0/device/msi_irqs/41", "msix"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
    ("sys/block/nvme0n1/queue/scheduler", "none [mq-deadline] kyber"),
    ("sys/block/nvme0n1/queue/rotational", "0"),
    ("sys/block/nvme0n1/nvme0n1p2/partition", "2"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
    ("sys/kernel/mm/transparent_hugepage/defrag", "always defer defer+madvise [madvise] never"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet"),
    ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm"),
    ("sys/devices/system/cpu/isolated", ""),
    ("sys/devices/system/cpu/nohz_full", "(null)"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "schedutil"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state2/latency", "133"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state2/disable", "0"),
    ("sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us", "0"),
    ("sys/devices/system/node/node0/cpulist", "0-3"),
    ("etc/security/limits.d/README", ""),
    ("etc/sysctl.d/README", ""),
    ("var/lib/README", ""),
];

fn made_up(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::Builder::new().prefix("mushan-test-").tempdir().expect("a temporary directory");
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, format!("{text}\n")).expect("written");
    }
    root
}

/// `mushan tune`, on a host below `root`.
fn tune(root: &Path, arguments: &[&str]) -> Output {
    mushan().arg("tune").args(arguments).arg("--root").arg(root).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

fn check(root: &Path, profile: &str) -> BTreeMap<String, serde_json::Value> {
    let output = tune(root, &["check", "--json", "--profile", profile, "--data-dir", "/var/lib/mushan"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(report["passed"], output.status.success(), "the exit status says the same: {report}");
    let conditions = report["conditions"].as_array().expect("a list").clone();
    conditions.into_iter().map(|row| (row["name"].as_str().expect("a name").to_owned(), row)).collect()
}

fn failures(root: &Path, profile: &str) -> Vec<String> {
    let rows = check(root, profile).into_iter();
    rows.filter(|(_, row)| row["passed"] == false).map(|(name, _)| name).collect()
}

/// Every file below `root`, with its content.
fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), fs::read_to_string(&path).expect("read").trim_end().to_owned());
            }
        }
    }
    found
}

#[test]
fn what_a_host_lacks_is_shown_as_a_table() {
    let root = made_up(HOST);
    let output = tune(root.path(), &["check", "--profile", "latency", "--data-dir", "/var/lib/mushan"]);
    assert_eq!(output.status.code(), Some(1));
    let golden = include_str!("../vectors/tune-check.txt");
    assert_eq!(text(&output.stdout), golden, "tests/vectors/tune-check.txt has the golden rendering");
    assert_eq!(text(&output.stderr), "mushan: this host does not fit the profile latency: io_uring, memlock\n");
}

#[test]
fn every_command_that_a_check_prints_runs_as_it_is_printed() {
    let root = made_up(HOST);
    let output = tune(root.path(), &["check", "--profile", "latency", "--data-dir", "/var/lib/mushan"]);
    let said = text(&output.stdout);
    let commands: Vec<_> = said.lines().filter_map(|line| line.trim().strip_prefix("mushan tune ")).collect();
    assert!(commands.len() > 5, "{said}");
    for command in commands {
        let arguments: Vec<_> = command.split(' ').collect();
        let output = tune(root.path(), &arguments);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
}

#[test]
fn each_profile_asks_for_what_it_needs() {
    let root = made_up(HOST);
    assert_eq!(failures(root.path(), "dev"), ["io_uring", "memlock"], "a laptop is left as it is");
    let latency = failures(root.path(), "latency");
    let throughput = failures(root.path(), "throughput");
    for name in ["irq", "idle", "isolation", "discard"] {
        assert!(latency.contains(&name.to_owned()) && !throughput.contains(&name.to_owned()), "{name}: {latency:?}");
    }
    assert!(throughput.contains(&"rps".to_owned()) && throughput.contains(&"somaxconn".to_owned()), "{throughput:?}");
    assert!(!latency.contains(&"somaxconn".to_owned()), "4096 are enough for it");
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let root = made_up(HOST);
    let before = contents(root.path());
    let output = tune(root.path(), &["apply", "--dry-run", "--profile", "latency"]);
    assert!(output.status.success());
    let said = text(&output.stdout);
    assert!(said.contains("swappiness: /proc/sys/vm/swappiness from \"60\" to \"10\""), "{said}");
    assert!(said.contains("irq: /proc/irq/41/smp_affinity_list from \"2-3\" to \"0\""), "{said}");
    assert!(said.contains("make /etc/security/limits.d/90-mushan.conf"), "{said}");
    let script = tune(root.path(), &["apply", "--output-script", "--profile", "latency"]);
    assert!(script.status.success());
    let mut shell = std::process::Command::new("sh");
    let path = root.path().with_extension("sh");
    fs::write(&path, &script.stdout).expect("written");
    let understood = shell.arg("-n").arg(&path).status().expect("there is a shell");
    fs::remove_file(&path).expect("removed");
    assert!(understood.success(), "{}", text(&script.stdout));
    assert_eq!(contents(root.path()), before);
    assert_eq!(tune(root.path(), &["apply"]).status.code(), Some(1), "it has to be told which");
}

#[test]
fn what_is_applied_passes_and_is_put_back_to_the_last_byte_of_meaning() {
    let root = made_up(HOST);
    let before = contents(root.path());
    let applied = tune(root.path(), &["apply", "--yes", "--profile", "latency", "--data-dir", "/var/lib/mushan"]);
    assert!(applied.status.success(), "{}", text(&applied.stderr));
    // Limits hold from the next login on, isolation from the next boot on; discard is a mount option.
    let left = failures(root.path(), "latency");
    assert_eq!(left, ["discard", "isolation", "memlock"], "{}", text(&applied.stdout));
    let kept = fs::read_to_string(root.path().join("etc/sysctl.d/90-mushan.conf")).expect("made");
    assert!(kept.contains("vm.swappiness = 10\n") && !kept.contains("irq"), "{kept}");

    let again = tune(root.path(), &["apply", "--yes", "--profile", "throughput"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let undone = tune(root.path(), &["undo"]);
    assert!(undone.status.success(), "{}", text(&undone.stderr));
    let mut expected = before;
    // The kernel itself would write its choices again.
    expected.insert(root.path().join("sys/block/nvme0n1/queue/scheduler"), "mq-deadline".to_owned());
    assert_eq!(contents(root.path()), expected, "{}", text(&undone.stdout));
    assert!(text(&tune(root.path(), &["undo"]).stdout).contains("nothing to restore"));
}

#[test]
fn one_condition_alone_can_be_applied_and_undone() {
    let root = made_up(HOST);
    let swappiness = || fs::read_to_string(root.path().join("proc/sys/vm/swappiness")).expect("there");
    assert!(
        tune(root.path(), &["apply", "--yes", "--only", "swappiness", "--only", "netdev_backlog"]).status.success()
    );
    assert_eq!(swappiness(), "10\n");
    assert!(tune(root.path(), &["undo", "--only", "swappiness"]).status.success());
    assert_eq!(swappiness(), "60\n");
    let kept = root.path().join("etc/sysctl.d/90-mushan.conf");
    let text = fs::read_to_string(&kept).expect("one value is left");
    assert!(text.contains("netdev_max_backlog") && !text.contains("swappiness"), "not set again at the next start");
    assert_eq!(tune(root.path(), &["undo", "--only", "swappiness"]).status.code(), Some(1), "it is undone");
    assert_eq!(tune(root.path(), &["apply", "--yes", "--only", "swapiness"]).status.code(), Some(1), "misspelled");
    assert!(tune(root.path(), &["undo", "--only", "netdev_backlog"]).status.success());
    assert!(!kept.exists(), "nothing is left to keep");
}

#[test]
fn what_somebody_else_has_changed_since_is_left_alone_and_named() {
    let root = made_up(HOST);
    assert!(tune(root.path(), &["apply", "--yes", "--only", "swappiness"]).status.success());
    let path = root.path().join("proc/sys/vm/swappiness");
    fs::write(&path, "33\n").expect("written");
    let undone = tune(root.path(), &["undo"]);
    assert_eq!(undone.status.code(), Some(1));
    assert!(text(&undone.stderr).contains("/proc/sys/vm/swappiness: changed by somebody else since"));
    assert_eq!(fs::read_to_string(&path).expect("there"), "33\n");
    fs::write(&path, "10\n").expect("written");
    assert!(tune(root.path(), &["undo"]).status.success(), "the journal still knows");
    assert_eq!(fs::read_to_string(&path).expect("there"), "60\n");
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_the_rest_is_changed() {
    let root = made_up(HOST);
    fs::remove_dir_all(root.path().join("etc/sysctl.d")).expect("removed");
    let applied = tune(root.path(), &["apply", "--yes", "--only", "swappiness"]);
    assert_eq!(applied.status.code(), Some(1));
    assert!(text(&applied.stderr).contains("/etc/sysctl.d/90-mushan.conf cannot be written"));
    assert!(tune(root.path(), &["undo"]).status.success());
    assert_eq!(fs::read_to_string(root.path().join("proc/sys/vm/swappiness")).expect("there"), "60\n");
    let torn = root.path().join("torn.json");
    fs::write(&torn, "{\"version\":1,").expect("written");
    let refused = mushan().args(["tune", "undo", "--state"]).arg(&torn).output().expect("it runs");
    assert!(text(&refused.stderr).contains("is not a journal"), "{}", text(&refused.stderr));
}

#[test]
fn a_host_without_anything_and_one_full_of_nonsense_are_skipped_with_reasons() {
    let empty = made_up(&[]);
    for profile in PROFILES {
        for (name, row) in check(empty.path(), profile) {
            assert!(row["passed"].is_null() || name == "rps", "{profile}: {row}");
            assert!(row["skipped"].is_string() || name == "rps", "{profile}: {row}");
        }
        for nonsense in ["", "\u{0}", "999999999999999999999999", "-1", "[", "] x [", "a b c d", "0-99999999999"] {
            let files: Vec<(&str, &str)> = HOST.iter().map(|(path, _)| (*path, nonsense)).collect();
            let root = made_up(&files);
            check(root.path(), profile);
            let dry = tune(root.path(), &["apply", "--dry-run", "--profile", profile]);
            assert!(dry.status.success(), "{nonsense:?}: {}", text(&dry.stderr));
        }
    }
}

#[test]
fn every_condition_is_listed_and_explained() {
    let listed = text(&mushan().args(["tune", "list"]).output().expect("it runs").stdout);
    let page = include_str!("../../tuning/README.md");
    for line in listed.lines() {
        let name = line.split(' ').next().expect("a name");
        let explained = mushan().args(["tune", "help", name]).output().expect("it runs");
        assert!(explained.status.success() && text(&explained.stdout).contains("why "), "{name}");
        assert!(page.contains(&format!("`{name}`")), "tuning/README.md does not say {name}");
    }
    let knob = mushan().args(["tune", "help", "server.spin_us"]).output().expect("it runs");
    assert!(text(&knob.stdout).contains("\nlatency    500"), "{}", text(&knob.stdout));
    assert_eq!(mushan().args(["tune", "help", "nothing"]).output().expect("it runs").status.code(), Some(1));
}

/// Takes back what the test has changed, whatever becomes of the test.
struct Restored<'a>(&'a Path);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        let _ = mushan().args(["tune", "undo", "--state"]).arg(self.0).output();
    }
}

#[test]
fn this_host_is_changed_and_put_back_where_it_may_be() {
    const PATH: &str = "/proc/sys/net/core/netdev_max_backlog";
    const KEPT: &str = "/etc/sysctl.d/90-mushan.conf";
    let is_writable = fs::OpenOptions::new().write(true).open(PATH).is_ok();
    let before = fs::read_to_string(PATH).unwrap_or_default();
    let is_low = before.trim().parse::<u64>().is_ok_and(|number| number < 16_384);
    if !is_writable || !is_low || Path::new(KEPT).exists() || !Path::new("/etc/sysctl.d").is_dir() {
        eprintln!("this host's sysctls are not ours to change: skipped");
        return;
    }
    let home = tempfile::tempdir().expect("a temporary directory");
    let state = home.path().join("undo.json");
    let _restored = Restored(&state);
    let run = |arguments: &[&str]| {
        let output = mushan().arg("tune").args(arguments).arg("--state").arg(&state).output().expect("it runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    run(&["apply", "--yes", "--profile", "throughput", "--only", "netdev_backlog"]);
    assert_eq!(fs::read_to_string(PATH).expect("there"), "16384\n");
    assert!(Path::new(KEPT).exists());
    run(&["undo"]);
    assert_eq!(fs::read_to_string(PATH).expect("there"), before);
    assert!(!Path::new(KEPT).exists() && !state.exists());
}

/// `key = value` lines by section, as systemd, tuned and sysctl read them.
fn parsed(text: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut sections: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("neither section nor assignment: {line}"));
        let pair = (key.trim().to_owned(), value.trim().to_owned());
        let pairs = sections.entry(section.clone()).or_default();
        // One line allows calls, the next takes some of them out again.
        let is_list = pair.0 == "SystemCallFilter";
        assert!(is_list || pairs.iter().all(|(known, _)| *known != pair.0), "{} stands twice", pair.0);
        pairs.push(pair);
    }
    sections
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_sysctls_that_are_shipped_satisfy_every_profile() {
    let sections = parsed(&shipped("sysctl.d/90-mushan.conf"));
    let values = &sections[""];
    let root = made_up(HOST);
    for (name, value) in values {
        let path = root.path().join("proc/sys").join(name.replace('.', "/"));
        assert!(path.exists(), "{name} is none that is looked at");
        fs::write(path, format!("{value}\n")).expect("written");
    }
    for profile in PROFILES {
        for (name, row) in check(root.path(), profile) {
            let changes = row["changes"].to_string();
            assert!(!changes.contains("/proc/sys/"), "{profile}, {name}: {changes}");
        }
    }
    let tuned = parsed(&shipped("mushan/tuned.conf"));
    assert_eq!(tuned["main"][1], ("include".to_owned(), "network-latency".to_owned()));
    let differs = tuned["sysctl"].iter().filter(|pair| !values.contains(pair) && pair.0 != "net.core.busy_poll");
    assert_eq!(differs.collect::<Vec<_>>(), [] as [&(String, String); 0]);
}

/// systemd's own figure, in tenths, from 0 (nothing is permitted) to 100.
#[test]
fn the_unit_that_is_shipped_is_exposed_to_little() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/mushan.service");
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", "--threshold=20"]).arg(unit);
    let Ok(output) = analyze.output() else { return eprintln!("skipped: systemd-analyze is not installed") };
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.contains("Overall exposure level"), "{said}");
}

#[test]
fn the_unit_that_is_shipped_is_hardened_and_does_not_restart_what_cannot_start() {
    let unit = parsed(&shipped("mushan.service"));
    let service: BTreeMap<_, _> = unit["Service"].iter().cloned().collect();
    let expected = [
        ("Type", "notify"),
        ("User", "mushan"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "1 2"),
        ("ProtectSystem", "strict"),
        ("ReadWritePaths", "/var/lib/mushan"),
        ("NoNewPrivileges", "yes"),
        ("AmbientCapabilities", ""),
        ("CapabilityBoundingSet", ""),
        ("LimitMEMLOCK", "64M"),
        ("LimitNOFILE", "1048576"),
    ];
    for (key, value) in expected {
        assert_eq!(service.get(key).map(String::as_str), Some(value), "{key}");
    }
    let before: Vec<&str> = service["ExecStartPre"].split(' ').collect();
    // RestartPreventExitStatus counts for the server alone, which finds the same faults.
    assert_eq!(before[..2], ["-/usr/bin/mushan", "check"], "a wrong configuration is not tried again and again");
    let starts = service["ExecStart"].strip_suffix(" --take-over=if-running").expect("it takes over");
    assert_eq!(before[2..], starts.split(' ').collect::<Vec<_>>()[2..], "what is checked is what starts");
    assert_eq!(unit["Install"], [("WantedBy".to_owned(), "multi-user.target".to_owned())]);
    let command: Vec<&str> = starts.split(' ').skip(2).collect();
    let understood = mushan().arg("check").args(&command).output().expect("it runs");
    assert!(understood.status.success(), "{command:?}: {}", text(&understood.stderr));
    let stop_s: u64 = service["TimeoutStopSec"].parse().expect("seconds");
    for profile in PROFILES {
        let known = text(&mushan().args(["check", "--profile", profile]).output().expect("it runs").stdout);
        let deadline = known.lines().find_map(|line| line.strip_prefix("server.stop_deadline_ms = ")).expect("a knob");
        let deadline_ms: u64 = deadline.split(' ').next().expect("a number").parse().expect("a number");
        assert!(stop_s * 1_000 > deadline_ms, "{profile}");
    }
}

#[test]
fn the_limits_that_are_shipped_are_enough_for_every_profile() {
    let text = shipped("limits.d/90-mushan.conf");
    let lines: Vec<Vec<&str>> =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.iter().all(|line| line.len() == 4 && line[0] == "mushan"), "{lines:?}");
    let hard = |item: &str| -> u64 {
        let line = lines.iter().find(|line| line[1] == "hard" && line[2] == item).expect("it is there");
        line[3].parse().expect("a number")
    };
    let limits =
        format!("Max open files 1024 {} files\nMax locked memory 1 {} bytes", hard("nofile"), 1_024 * hard("memlock"));
    let mut files = HOST.to_vec();
    files.retain(|(path, _)| *path != "proc/self/limits");
    files.push(("proc/self/limits", &limits));
    let root = made_up(&files);
    for profile in PROFILES {
        let amiss = failures(root.path(), profile);
        assert!(amiss.iter().all(|name| name != "memlock" && !name.starts_with("nofile")), "{profile}: {amiss:?}");
    }
}
