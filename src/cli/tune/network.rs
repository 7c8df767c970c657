//! Conditions of the network stack: lengths of queues, and the cores that process packets.

use crate::cli::tune::finding::{
    Aim, Change, CheckVerdict, Condition, Finding, Needs, Severity, number_within, verdict,
};
use crate::cli::tune::host::{Host, value_of};
use crate::server::{cores_of, list_of};

pub const CONDITIONS: &[Condition] = &[
    Condition {
        name: "somaxconn",
        severity: Severity::Advised,
        what: "queue of connections to be accepted",
        why: "it bounds server.listen_backlog; a connection that does not fit is dropped, and the client retries after a second",
        look: |host, needs| at_least(host, "/proc/sys/net/core/somaxconn", u64::from(needs.options.listen_backlog)),
    },
    Condition {
        name: "syn_backlog",
        severity: Severity::Advised,
        what: "queue of unfinished TCP handshakes",
        why: "after a restart all clients reconnect at once",
        look: |host, needs| {
            at_least(host, "/proc/sys/net/ipv4/tcp_max_syn_backlog", u64::from(needs.options.listen_backlog))
        },
    },
    Condition {
        name: "netdev_backlog",
        severity: Severity::Advised,
        what: "queue of packets for one core",
        why: "packets for a busy core, and those over loopback, wait here; those that do not fit are dropped",
        look: |host, needs| {
            let least = if needs.aim == Aim::Throughput { 16_384 } else { 4_096 };
            at_least(host, "/proc/sys/net/core/netdev_max_backlog", least)
        },
    },
    Condition {
        name: "tcp_rmem",
        severity: Severity::Advised,
        what: "largest TCP receive buffer",
        why: "two frames of the largest size should fit, so that a sender does not wait in the middle of one",
        look: |host, needs| {
            largest_at_least(host, "/proc/sys/net/ipv4/tcp_rmem", 2 * needs.options.limits.frame_bytes_max as u64)
        },
    },
    Condition {
        name: "tcp_wmem",
        severity: Severity::Advised,
        what: "largest TCP send buffer",
        why: "an outbox should fit, so that one write passes all of it to the kernel",
        look: |host, needs| {
            largest_at_least(host, "/proc/sys/net/ipv4/tcp_wmem", needs.options.limits.outbox_bytes_max as u64)
        },
    },
    Condition {
        name: "busy_read",
        severity: Severity::Advised,
        what: "receives do not poll the network card",
        why: "a shard's own spin finds its work; a busy read would poll the card once more at each receive",
        look: |host, _| number_within(host, "/proc/sys/net/core/busy_read", 0..=0),
    },
    Condition {
        name: "irq",
        severity: Severity::Advised,
        what: "the network card interrupts only cores without a shard",
        why: "an interrupt on a shard's core delays all its sessions; irqbalance must be configured as well",
        look: interrupts,
    },
    Condition {
        name: "rps",
        severity: Severity::Advised,
        what: "a card with fewer queues than shards has its packets spread over their cores",
        why: "with one queue one core does all the work of TCP",
        look: packet_steering,
    },
];

fn at_least(host: &Host, path: &str, least: u64) -> Finding {
    number_within(host, path, least..=u64::MAX)
}

/// Checks the third of three numbers and leaves the other two unchanged.
fn largest_at_least(host: &Host, path: &str, least: u64) -> Finding {
    let text = match host.read(path) {
        Ok(text) => value_of(&text),
        Err(why) => return Finding::skipped(why),
    };
    let numbers: Vec<u64> = text.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [first, second, third] = numbers[..] else {
        return Finding::skipped(format!("{path} says \"{text}\", which is not three numbers"));
    };
    Finding::judged(format!("max >= {least}"), third.to_string(), verdict(third >= least))
        .with_change(path, format!("{first} {second} {least}"))
}

/// Network interfaces with a hardware device.
fn cards(host: &Host) -> Vec<String> {
    let names = host.list("/sys/class/net").into_iter();
    names.filter(|name| host.exists(&format!("/sys/class/net/{name}/device"))).collect()
}

fn interrupts(host: &Host, needs: &Needs) -> Finding {
    if needs.free.is_empty() {
        return Finding::skipped("shards use every core, so interrupts share them (server.cores_left_free)");
    }
    let mut current = Vec::new();
    let mut changes = Vec::new();
    for interrupt in cards(host).iter().flat_map(|card| interrupts_of(host, card)) {
        let path = format!("/proc/irq/{interrupt}/smp_affinity_list");
        let Some(cores) = host.read(&path).ok().and_then(|text| cores_of(&text)) else { continue };
        current.push(format!("{interrupt}:{}", list_of(&cores)));
        if cores.iter().any(|core| needs.cores.contains(core)) {
            changes.push(Change { path, to: list_of(&needs.free) });
        }
    }
    if current.is_empty() {
        return Finding::skipped("no network card lists its interrupts");
    }
    Finding::judged(format!("on {}", list_of(&needs.free)), current.join(" "), verdict(changes.is_empty()))
        .with_changes(changes)
}

/// A virtual card's interrupts are listed at the bus device above it.
fn interrupts_of(host: &Host, card: &str) -> Vec<String> {
    let own = host.list(&format!("/sys/class/net/{card}/device/msi_irqs"));
    if own.is_empty() { host.list(&format!("/sys/class/net/{card}/device/../msi_irqs")) } else { own }
}

fn packet_steering(host: &Host, needs: &Needs) -> Finding {
    if needs.aim != Aim::Throughput {
        return Finding::skipped("only the profile throughput requires it");
    }
    let wanted = mask_of(&needs.cores);
    let mut current = Vec::new();
    let mut changes = Vec::new();
    for card in cards(host) {
        let folder = format!("/sys/class/net/{card}/queues");
        let queues: Vec<String> = host.list(&folder).into_iter().filter(|name| name.starts_with("rx-")).collect();
        if queues.len() >= needs.cores.len() {
            continue;
        }
        for queue in queues {
            let path = format!("{folder}/{queue}/rps_cpus");
            let Ok(mask) = host.read(&path) else { continue };
            current.push(format!("{card} {queue} {mask}"));
            if digits(&mask) != digits(&wanted) {
                changes.push(Change { path, to: wanted.clone() });
            }
        }
    }
    if current.is_empty() {
        return Finding::judged("a queue for each core", "has them", CheckVerdict::Passed);
    }
    Finding::judged(wanted, current.join("; "), verdict(changes.is_empty())).with_changes(changes)
}

/// A set of cores in the kernel's format: hexadecimal, in groups of 32, the highest first.
fn mask_of(cores: &[usize]) -> String {
    let groups = cores.iter().max().map_or(1, |core| core / 32 + 1);
    let mut words = vec![0_u32; groups];
    cores.iter().for_each(|core| words[core / 32] |= 1 << (core % 32));
    let mut text: Vec<String> = words.iter().rev().map(|word| format!("{word:08x}")).collect();
    text[0] = text[0].trim_start_matches('0').to_owned();
    if text[0].is_empty() {
        "0".clone_into(&mut text[0]);
    }
    text.join(",")
}

/// A mask without separators and leading zeros, which kernels write differently.
pub fn digits(mask: &str) -> String {
    mask.replace(',', "").trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_written_as_the_kernel_writes_it() {
        assert_eq!(mask_of(&[0, 1]), "3");
        assert_eq!(mask_of(&[33, 0]), "2,00000001");
        assert_eq!(mask_of(&[]), "0");
        assert_eq!(digits("00000000,00000003"), digits("3"));
    }
}
