//! Rates at which people run a server: a fraction of what saturates it, where a message pays for a sleep and a wake-up of
//! its own. The reference is the relay on plain epoll, which sleeps in one system call.

use super::contest::{Rules, spread};
use super::{Contender, Route, hold, ratios, verdict};

/// The relay comes first: ratios are taken of it.
const CONTENDERS: [Contender; 5] = [
    Contender::Relay("epoll"),
    Contender::Server { protocol: "binary", durability: "none" },
    Contender::Server { protocol: "binary", durability: "fsync" },
    Contender::Server { protocol: "jsonrpc", durability: "none" },
    Contender::Server { protocol: "jsonrpc", durability: "fsync" },
];

/// Sends per second of all pairs together.
const RATES: [u32; 4] = [1_000, 3_000, 10_000, 30_000];

/// What the server may cost at most, times the relay.
const COST_MAX: [(&str, f64); 2] = [("none", 1.1), ("fsync", 1.5)];
/// What the median of a push may take more than the relay's, in µs; and its 99th percentile, times the relay's.
const P50_MORE_US_MAX: f64 = 30.0;
const P99_RATIO_MAX: f64 = 2.0;

pub fn measure() {
    let rules = Rules::read(&[100, 5_000], &[1]);
    for &connections in &rules.connections {
        RATES.into_iter().for_each(|rate| measure_at(&rules, connections, rate));
    }
}

fn measure_at(rules: &Rules, connections: usize, rate: u32) {
    let command = || rules.command(connections, ("--rate", rate.to_string()));
    let rounds = hold(rules, &CONTENDERS, |contender| contender.measure(rules, Route::Pairs, command()));
    println!("\n### open loop, {connections} connections, {rate} sends/s\n");
    println!("| | CPU µs per delivered | × the relay on epoll | push p50 µs | push p99 µs | p99 × the relay's | |");
    println!("|---|---:|---:|---:|---:|---:|---|");
    let relay_p50_us = spread(rounds[0].iter().map(|it| it.push_p50_us)).median;
    for (place, contender) in CONTENDERS.iter().enumerate() {
        let cost = spread(ratios(&rounds, place, |it| it.cpu_us));
        let p50_us = spread(rounds[place].iter().map(|it| it.push_p50_us)).median;
        let p99 = spread(ratios(&rounds, place, |it| it.push_p99_us));
        println!(
            "| {} | {:.1} | {cost:.2} | {p50_us:.0} | {:.0} | {p99:.2} | {} |",
            contender.name(),
            spread(rounds[place].iter().map(|it| it.cpu_us)),
            spread(rounds[place].iter().map(|it| it.push_p99_us)),
            cost_max(*contender).map_or("", |cost_max| {
                verdict(
                    cost.median <= cost_max && p50_us <= relay_p50_us + P50_MORE_US_MAX && p99.median <= P99_RATIO_MAX,
                )
            })
        );
    }
}

/// `None`: the relay.
fn cost_max(contender: Contender) -> Option<f64> {
    let Contender::Server { durability, .. } = contender else { return None };
    COST_MAX.iter().find(|(policy, _)| *policy == durability).map(|(_, cost_max)| *cost_max)
}
