//! Conditions of the kernel and of this process's limits, most of which the server needs to start.

use crate::cli::tune::finding::{
    Aim, CheckVerdict, Condition, Finding, Needs, Severity, choice_among, number_within, verdict,
};
use crate::cli::tune::host::Host;
use crate::server::{locked_bytes_of_shard, maps_of_logs, segments_in};

pub const LIMITS_FILE: &str = "/etc/security/limits.d/90-mushan.conf";
pub const LIMITS: &str = include_str!("../../../tuning/limits.d/90-mushan.conf");

const KERNEL_LEAST: (u32, u32) = (6, 1);
const FILES_LEAST: u64 = 4_096;
const FILES_LEAST_DEV: u64 = 1_024;
/// Descriptors of one shard that are not client sockets.
const FILES_BESIDE_SOCKETS: u64 = 64;
const CAP_IPC_LOCK: u32 = 14;

pub const CONDITIONS: &[Condition] = &[
    Condition {
        name: "kernel",
        severity: Severity::Required,
        what: "Linux 6.1 or newer",
        why: "the shards' rings need DEFER_TASKRUN, multishot receive and rings of provided buffers",
        look: kernel,
    },
    Condition {
        name: "io_uring",
        severity: Severity::Required,
        what: "io_uring is enabled",
        why: "sockets, syncs and sleep all go through io_uring; hardened hosts disable it by a sysctl",
        look: |host, _| number_within(host, "/proc/sys/kernel/io_uring_disabled", 0..=0),
    },
    Condition {
        name: "memlock",
        severity: Severity::Required,
        what: "memory that this process may lock",
        why: "registered buffers and rings count against it; with too little, a shard does not start",
        look: memlock,
    },
    Condition {
        name: "nofile",
        severity: Severity::Required,
        what: "files that this process may open",
        why: "each connection is a file; the server raises its own limit up to the hard limit",
        look: nofile,
    },
    Condition {
        name: "nofile_all",
        severity: Severity::Advised,
        what: "files for as many connections as are configured",
        why: "with fewer, the server accepts fewer connections than server.connections_max",
        look: nofile_all,
    },
    Condition {
        name: "max_map_count",
        severity: Severity::Advised,
        what: "mappings for twice the history that the data directory has",
        why: "each segment is mapped by its shard and by the threads that read cold history; with none left, no segment can be made",
        look: max_map_count,
    },
    Condition {
        name: "clock",
        severity: Severity::Advised,
        what: "a clock that is read without a system call",
        why: "each turn reads the clock; hpet and acpi_pm take a microsecond or more each time",
        look: clock,
    },
];

fn kernel(host: &Host, _: &Needs) -> Finding {
    let release = match host.read("/proc/sys/kernel/osrelease") {
        Ok(release) => release,
        Err(why) => return Finding::skipped(why),
    };
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Finding::skipped(format!("/proc/sys/kernel/osrelease says \"{release}\""));
    };
    let (least_major, least_minor) = KERNEL_LEAST;
    Finding::judged(format!(">= {least_major}.{least_minor}"), release, verdict((major, minor) >= KERNEL_LEAST))
        .with_advice("boot a newer kernel")
}

/// The hard limit in that line of `/proc/self/limits`; `None` if unlimited.
fn hard_limit(host: &Host, name: &str) -> Result<Option<u64>, String> {
    const PATH: &str = "/proc/self/limits";
    let text = host.read(PATH)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("{PATH} lacks {name}"))?;
    match line.split_whitespace().nth(1) {
        Some("unlimited") => Ok(None),
        Some(number) => number.parse().map(Some).map_err(|_| format!("{PATH} says \"{number}\" for {name}")),
        None => Err(format!("{PATH} has no value for {name}")),
    }
}

fn limit_at_least(host: &Host, name: &str, least: u64) -> Finding {
    match hard_limit(host, name) {
        Err(why) => Finding::skipped(why),
        Ok(None) => Finding::judged(format!(">= {least}"), "unlimited", CheckVerdict::Passed),
        Ok(Some(limit)) => Finding::judged(format!(">= {least}"), limit.to_string(), verdict(limit >= least))
            .with_change(LIMITS_FILE, LIMITS)
            .with_advice(
                "limits apply from the next login; under systemd the unit's LimitMEMLOCK and LimitNOFILE apply",
            ),
    }
}

fn memlock(host: &Host, needs: &Needs) -> Finding {
    let finding = limit_at_least(host, "Max locked memory", locked_bytes_of_shard(&needs.options) * needs.shards);
    if finding.verdict == CheckVerdict::Failed && has_capability(host, CAP_IPC_LOCK) {
        let current = format!("{}, and CAP_IPC_LOCK", finding.current);
        return Finding::judged(finding.required, current, CheckVerdict::Passed);
    }
    finding
}

fn has_capability(host: &Host, capability: u32) -> bool {
    let status = host.read("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|bits| bits >> capability & 1 == 1)
}

fn nofile(host: &Host, needs: &Needs) -> Finding {
    let least = if needs.aim == Aim::Dev { FILES_LEAST_DEV } else { FILES_LEAST };
    limit_at_least(host, "Max open files", least)
}

fn nofile_all(host: &Host, needs: &Needs) -> Finding {
    let of_shard = needs.options.connections_max as u64 + FILES_BESIDE_SOCKETS;
    limit_at_least(host, "Max open files", of_shard * needs.shards + FILES_BESIDE_SOCKETS)
}

fn max_map_count(host: &Host, needs: &Needs) -> Finding {
    let segments = segments_in(&needs.options.data_dir);
    let least = maps_of_logs(2 * segments, needs.options.fetch_threads);
    number_within(host, "/proc/sys/vm/max_map_count", least..=u64::MAX)
}

fn clock(host: &Host, _: &Needs) -> Finding {
    const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";
    const GOOD: [&str; 4] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];
    let current = format!("{FOLDER}/current_clocksource");
    let finding = choice_among(host, &current, &GOOD);
    if finding.verdict != CheckVerdict::Failed {
        return finding;
    }
    let available = host.read(&format!("{FOLDER}/available_clocksource")).unwrap_or_default();
    let best = available.split_whitespace().find(|source| GOOD.contains(source));
    let finding = Finding { changes: Vec::new(), advice: None, ..finding };
    match best {
        Some(best) => finding.with_change(&current, best),
        None => finding.with_advice("this machine offers no better clock"),
    }
}
