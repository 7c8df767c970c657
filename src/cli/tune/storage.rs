//! Conditions of memory and disk: huge pages, writeback, and the file system of the logs.

use crate::cli::tune::finding::{Aim, Condition, Finding, Needs, Severity, choice_among, number_within, verdict};
use crate::cli::tune::host::Host;
use crate::server::{Durability, HugePages};
use std::path::Path;

pub const CONDITIONS: &[Condition] = &[
    Condition {
        name: "thp",
        severity: Severity::Advised,
        what: "huge pages on request",
        why: "with \"always\" memory grows in steps of 2 MiB; with \"never\" server.huge_pages has no effect",
        look: |host, needs| {
            const PATH: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
            match needs.options.huge_pages {
                HugePages::Advise => choice_among(host, PATH, &["madvise", "always"]),
                HugePages::Host => choice_among(host, PATH, &["madvise", "never"]),
                HugePages::Never => Finding::skipped("server.huge_pages is never: the process uses none"),
            }
        },
    },
    Condition {
        name: "thp_defrag",
        severity: Severity::Advised,
        what: "no page fault compacts memory",
        why: "with \"always\", any page fault may compact memory first",
        look: |host, _| {
            let accepted = ["madvise", "defer+madvise", "defer", "never"];
            choice_among(host, "/sys/kernel/mm/transparent_hugepage/defrag", &accepted)
        },
    },
    Condition {
        name: "swappiness",
        severity: Severity::Advised,
        what: "memory of idle sessions stays in memory",
        why: "swapped-out memory is read back inside a turn, which delays the whole core",
        look: |host, _| number_within(host, "/proc/sys/vm/swappiness", 0..=10),
    },
    Condition {
        name: "dirty_background",
        severity: Severity::Advised,
        what: "share of memory that may be dirty before the kernel writes it back",
        why: "a sync of the log waits for the dirty pages of others; new segments are files of zeros",
        look: |host, _| ratio(host, "/proc/sys/vm/dirty_background_ratio", "/proc/sys/vm/dirty_background_bytes", 5),
    },
    Condition {
        name: "dirty",
        severity: Severity::Advised,
        what: "share of memory that may be dirty before writers must wait",
        why: "the more dirty pages there are, the longer one sync can take",
        look: |host, _| ratio(host, "/proc/sys/vm/dirty_ratio", "/proc/sys/vm/dirty_bytes", 20),
    },
    Condition {
        name: "filesystem",
        severity: Severity::Required,
        what: "the data directory is on a disk with reliable syncs",
        why: "an acknowledged message is on stable storage only if a sync reaches it",
        look: file_system,
    },
    Condition {
        name: "barriers",
        severity: Severity::Required,
        what: "a sync empties the disk's own cache",
        why: "mounted without barriers, a power cut loses acknowledged messages",
        look: barriers,
    },
    Condition {
        name: "discard",
        severity: Severity::Advised,
        what: "freed blocks are not discarded at once",
        why: "retention frees whole segments; discarding them inside the journal's commit delays syncs",
        look: discard,
    },
    Condition {
        name: "scheduler",
        severity: Severity::Advised,
        what: "no scheduler in front of a fast disk",
        why: "the log is one writer that waits for each of its syncs; there is nothing to reorder",
        look: scheduler,
    },
];

/// If the byte count is set, the kernel shows the ratio as 0 and does not use it.
fn ratio(host: &Host, path: &str, bytes_path: &str, most: u64) -> Finding {
    match host.read(bytes_path) {
        Ok(bytes) if bytes != "0" => Finding::skipped(format!("{bytes_path} is set to {bytes} instead")),
        _ => number_within(host, path, 0..=most),
    }
}

struct Mount {
    device: String,
    kind: String,
    options: Vec<String>,
}

/// The mount of the data directory, or of the nearest existing directory above it.
fn mount_of(host: &Host, data_dir: &Path) -> Result<Mount, String> {
    let table = host.read("/proc/self/mounts").or_else(|_| host.read("/proc/mounts"))?;
    let absolute = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let path = host.resolved(&absolute);
    let mounts = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (device, point, kind, options) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let point = point.replace("\\040", " ");
        let options = options.split(',').map(str::to_owned).collect();
        path.starts_with(&point)
            .then(|| (point.len(), Mount { device: device.to_owned(), kind: kind.to_owned(), options }))
    });
    // Of two mounts at one point the later one hides the earlier one.
    let found = mounts.max_by_key(|(length, _)| *length).map(|(_, mount)| mount);
    found.ok_or_else(|| format!("no mount contains {}", path.display()))
}

fn file_system(host: &Host, needs: &Needs) -> Finding {
    const KNOWN: [&str; 2] = ["ext4", "xfs"];
    const FORGETFUL: [&str; 2] = ["tmpfs", "ramfs"];
    const DISTANT: [&str; 5] = ["nfs", "cifs", "smb", "fuse", "9p"];
    let mount = match mount_of(host, &needs.options.data_dir) {
        Ok(mount) => mount,
        Err(why) => return Finding::skipped(why),
    };
    let kind = mount.kind.as_str();
    let is_unfit = FORGETFUL.contains(&kind) || DISTANT.iter().any(|name| kind.starts_with(name));
    if needs.options.durability != Durability::Fsync {
        return Finding::skipped(format!("{kind}; the policy {} promises no stable storage", needs.options.durability));
    }
    if !is_unfit && !KNOWN.contains(&kind) {
        return Finding::skipped(format!("{kind}: this server is tested on {}", KNOWN.join(" and ")));
    }
    Finding::judged(KNOWN.join(" or "), kind, verdict(!is_unfit)).with_advice("choose another --data-dir")
}

fn barriers(host: &Host, needs: &Needs) -> Finding {
    let mount = match mount_of(host, &needs.options.data_dir) {
        Ok(mount) => mount,
        Err(why) => return Finding::skipped(why),
    };
    if needs.options.durability != Durability::Fsync {
        return Finding::skipped(format!("the policy {} promises no stable storage", needs.options.durability));
    }
    let off = mount.options.iter().find(|option| ["nobarrier", "barrier=0"].contains(&option.as_str()));
    let current = off.map_or("with barriers", String::as_str);
    Finding::judged("with barriers", current, verdict(off.is_none())).with_advice("mount it with barriers")
}

fn discard(host: &Host, needs: &Needs) -> Finding {
    if !matches!(needs.aim, Aim::Latency | Aim::Durable) {
        return Finding::skipped("only the profiles latency and durable require it");
    }
    let mount = match mount_of(host, &needs.options.data_dir) {
        Ok(mount) => mount,
        Err(why) => return Finding::skipped(why),
    };
    let is_on = mount.options.iter().any(|option| option == "discard");
    let current = if is_on { "discard" } else { "not at once" };
    Finding::judged("not at once", current, verdict(!is_on))
        .with_advice("mount it without discard and run fstrim once a week (fstrim.timer)")
}

fn scheduler(host: &Host, needs: &Needs) -> Finding {
    let mount = match mount_of(host, &needs.options.data_dir) {
        Ok(mount) => mount,
        Err(why) => return Finding::skipped(why),
    };
    let Some(disk) = disk_of(host, &mount.device) else {
        return Finding::skipped(format!("this host has no disk {}", mount.device));
    };
    let folder = format!("/sys/block/{disk}/queue");
    if host.read(&format!("{folder}/rotational")).is_ok_and(|text| text == "1") {
        return Finding::skipped(format!("the host reports {disk} as a rotating disk"));
    }
    choice_among(host, &format!("{folder}/scheduler"), &["none"])
}

/// The whole disk to which a partition belongs.
fn disk_of(host: &Host, device: &str) -> Option<String> {
    let name = device.strip_prefix("/dev/")?;
    let mut disks = host.list("/sys/block").into_iter();
    disks.find(|disk| disk == name || host.exists(&format!("/sys/block/{disk}/{name}")))
}
