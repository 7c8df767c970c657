//! Conditions of the processor: clock frequency, sleep states, and other programs on shards' cores.

use crate::cli::tune::finding::{
    Aim, Change, CheckVerdict, Condition, Finding, Needs, Severity, number_within, verdict,
};
use crate::cli::tune::host::Host;
use crate::server::{cores_of, list_of};

/// The longest time in which a core may wake up, in microseconds.
const WAKE_US_MAX: u64 = 20;
const CPU: &str = "/sys/devices/system/cpu";

pub const CONDITIONS: &[Condition] = &[
    Condition {
        name: "governor",
        severity: Severity::Advised,
        what: "shards' cores run at full clock",
        why: "a core runs slowly after a moment of idleness, so each burst begins slowly",
        look: governor,
    },
    Condition {
        name: "idle",
        severity: Severity::Advised,
        what: "shards' cores use only sleep states with a short wake-up",
        why: "leaving a deep C-state takes 100 microseconds and more; PM QoS bounds it for each core",
        look: idle,
    },
    Condition {
        name: "isolation",
        severity: Severity::Advised,
        what: "nothing else is scheduled on shards' cores, and no tick interrupts them",
        why: "another program on a shard's core delays its sessions by a time slice",
        look: isolation,
    },
    Condition {
        name: "numa",
        severity: Severity::Advised,
        what: "memory is not moved between nodes",
        why: "shards stay on their cores; balancing unmaps their pages only to see which core touches them",
        look: numa,
    },
];

fn governor(host: &Host, needs: &Needs) -> Finding {
    const WANTED: &str = "performance";
    if !matches!(needs.aim, Aim::Latency | Aim::Throughput) {
        return Finding::skipped("only the profiles latency and throughput require it");
    }
    let mut found = Vec::new();
    let mut changes = Vec::new();
    for core in &needs.cores {
        let path = format!("{CPU}/cpu{core}/cpufreq/scaling_governor");
        let Ok(governor) = host.read(&path) else { continue };
        if governor != WANTED {
            changes.push(Change { path, to: WANTED.to_owned() });
        }
        if !found.contains(&governor) {
            found.push(governor);
        }
    }
    if found.is_empty() {
        return Finding::skipped(format!("{CPU}/cpu*/cpufreq does not exist: the host controls the clock frequency"));
    }
    Finding::judged(WANTED, found.join(", "), verdict(changes.is_empty())).with_changes(changes)
}

fn idle(host: &Host, needs: &Needs) -> Finding {
    if needs.aim != Aim::Latency {
        return Finding::skipped("only the profile latency requires it");
    }
    let mut changes = Vec::new();
    let mut deepest_us = None;
    for &core in &needs.cores {
        let Some(wake_us) = wake_us(host, core) else { continue };
        deepest_us = deepest_us.max(Some(wake_us));
        let path = format!("{CPU}/cpu{core}/power/pm_qos_resume_latency_us");
        if wake_us > WAKE_US_MAX && host.exists(&path) {
            changes.push(Change { path, to: WAKE_US_MAX.to_string() });
        }
    }
    let Some(deepest_us) = deepest_us else {
        return Finding::skipped(format!("{CPU}/cpu*/cpuidle does not exist: the host controls sleep states"));
    };
    let required = format!("<= {WAKE_US_MAX} µs");
    let finding = Finding::judged(required, format!("{deepest_us} µs"), verdict(deepest_us <= WAKE_US_MAX));
    if changes.is_empty() {
        return finding.with_advice("this kernel has no PM QoS for cores: limit C-states on the kernel's command line");
    }
    finding.with_changes(changes)
}

/// The longest wake-up time of a core, from the deepest state that it may enter.
fn wake_us(host: &Host, core: usize) -> Option<u64> {
    let folder = format!("{CPU}/cpu{core}/cpuidle");
    let number = |path: String| host.read(&path).ok().and_then(|text| text.parse::<u64>().ok());
    let states = host.list(&folder).into_iter().filter(|name| name.starts_with("state"));
    let open = states.filter(|state| number(format!("{folder}/{state}/disable")) != Some(1));
    let deepest = open.filter_map(|state| number(format!("{folder}/{state}/latency"))).max()?;
    // 0 means no bound, "n/a" no sleep at all.
    match host.read(&format!("{CPU}/cpu{core}/power/pm_qos_resume_latency_us")) {
        Ok(text) if text == "n/a" => Some(0),
        Ok(text) => Some(text.parse().ok().filter(|&bound| bound > 0).map_or(deepest, |bound| deepest.min(bound))),
        Err(_) => Some(deepest),
    }
}

fn isolation(host: &Host, needs: &Needs) -> Finding {
    if needs.aim != Aim::Latency {
        return Finding::skipped("only the profile latency requires it");
    }
    if needs.free.is_empty() {
        return Finding::skipped("shards use every core: none is left for other programs");
    }
    let isolated = match host.read(&format!("{CPU}/isolated")) {
        Ok(text) => cores_of(&text).unwrap_or_default(),
        Err(why) => return Finding::skipped(why),
    };
    let tickless = host.read(&format!("{CPU}/nohz_full")).ok().map(|text| cores_of(&text).unwrap_or_default());
    let covers = |cores: &[usize]| needs.cores.iter().all(|core| cores.contains(core));
    let holds = covers(&isolated) && tickless.as_deref().is_none_or(covers);
    let list = list_of(&needs.cores);
    let shown = |cores: &[usize]| if cores.is_empty() { "none".to_owned() } else { list_of(cores) };
    let tick = tickless.as_deref().map_or_else(|| "not in this kernel".to_owned(), shown);
    let current = format!("isolated {}, nohz_full {tick}", shown(&isolated));
    Finding::judged(format!("cores {list}"), current, verdict(holds)).with_advice(format!(
        "boot with isolcpus=managed_irq,domain,{list} nohz_full={list} rcu_nocbs={list}; the server pins its shards itself"
    ))
}

fn numa(host: &Host, _: &Needs) -> Finding {
    let names = host.list("/sys/devices/system/node");
    let nodes = names.iter().filter(|name| {
        name.strip_prefix("node").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    });
    if nodes.count() < 2 {
        return Finding::skipped("this machine has one memory node");
    }
    match number_within(host, "/proc/sys/kernel/numa_balancing", 0..=0) {
        Finding { verdict: CheckVerdict::Skipped(_), .. } => Finding::skipped("this kernel does not balance"),
        finding => finding,
    }
}
