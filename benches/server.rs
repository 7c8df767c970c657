//! The real server on loopback: what a p2p message costs in both protocols under each durability policy. The contenders
//! take turns, round by round (`common/contest.rs` says what can be set); `cargo bench --bench floor` puts the same
//! figures beside the floor of the machine. `MUSHAN_BENCH_SMOKE=1` only proves that everything runs.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench lives in the world")]

mod common;
#[path = "common/contest.rs"]
mod contest;

use contest::{Cell, Outcome, Rules, of_server, run, spread};

const CONTENDERS: [(&str, &str); 6] = [
    ("binary", "none"),
    ("binary", "interval"),
    ("binary", "fsync"),
    ("jsonrpc", "none"),
    ("jsonrpc", "interval"),
    ("jsonrpc", "fsync"),
];

fn measure(rules: &Rules, Cell { connections, in_flight }: Cell) -> Vec<Vec<Outcome>> {
    let mut rounds: Vec<Vec<Outcome>> = CONTENDERS.iter().map(|_| Vec::new()).collect();
    for round in 0..rules.rounds {
        for step in 0..CONTENDERS.len() {
            let place = (round * 5 + step) % CONTENDERS.len();
            let (protocol, durability) = CONTENDERS[place];
            let command = rules.command(connections, ("--in-flight", in_flight.to_string()));
            rounds[place].push(run(of_server(command, protocol, durability)));
            eprint!(".");
        }
    }
    eprintln!();
    rounds
}

fn print(Cell { connections, in_flight }: Cell, rounds: &[Vec<Outcome>]) {
    println!("\n### {connections} connections, {in_flight} in flight per pair\n");
    println!(
        "| | CPU µs per delivered | delivered/s | answer p50 µs | answer p99 µs | push p99 µs | records per sync |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for ((protocol, durability), outcomes) in CONTENDERS.iter().zip(rounds) {
        let of = |field: fn(&Outcome) -> f64| spread(outcomes.iter().map(field));
        let shared = outcomes.iter().filter_map(|it| it.records_per_sync).next_back();
        println!(
            "| {protocol}, {durability} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
            of(|it| it.cpu_us),
            of(|it| it.delivered_per_s),
            of(|it| it.answer_p50_us).median,
            of(|it| it.answer_p99_us).median,
            of(|it| it.push_p99_us).median,
            shared.map_or_else(String::new, |shared| format!("{shared:.1}"))
        );
    }
}

fn main() {
    let rules = Rules::read(&[100], &[1, 16]);
    println!("## server, p2p\n\n{}", rules.conditions());
    for cell in rules.cells() {
        print(cell, &measure(&rules, cell));
    }
}
