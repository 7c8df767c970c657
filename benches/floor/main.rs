//! How far the server is from the floor of the machine. The floor is a relay that parses and keeps nothing: it
//! receives, answers the writer and pushes to the reader. It stands on the server's own way to its sockets (an io_uring
//! driven by a pinned glommio executor), on plain epoll, and on glommio's TcpStream. The server joins in both protocols
//! and under each durability policy. All have the same load generator, frames of the same length and the same core, in
//! turn, round by round; a ratio is taken within its round.
//!
//! `cargo bench --bench floor`; see `common/contest.rs` for what can be set. `MUSHAN_BENCH_PARTS=pairs,group,latency,half-idle`
//! names the parts: pairs at saturation, one author and a group at saturation, latencies of pairs at 30 % of what the
//! slowest delivers saturated (needs `pairs`), pairs at fixed rates. `MUSHAN_BENCH_SMOKE=1` only proves that everything runs.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench lives in the world")]

mod book;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/contest.rs"]
mod contest;
mod half_idle;
mod relay_epoll;
mod relay_glommio;
mod relay_ring;

use book::Route;
use contest::{Cell, Outcome, Rules, of_server, run, spread};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// Set in the process that is to be a relay, and on which core.
const RELAY: &str = "MUSHAN_FLOOR_RELAY";
const RELAY_CORE: &str = "MUSHAN_FLOOR_CORE";
/// Set as well when it is to relay to a group.
const RELAY_GROUP: &str = "MUSHAN_FLOOR_GROUP";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Relay(&'static str),
    Server { protocol: &'static str, durability: &'static str },
}

const FLOOR: Contender = Contender::Relay("ring");
const FOR_A_GROUP: [Contender; 6] = [
    FLOOR,
    Contender::Relay("epoll"),
    Contender::Server { protocol: "binary", durability: "none" },
    Contender::Server { protocol: "binary", durability: "fsync" },
    Contender::Server { protocol: "jsonrpc", durability: "none" },
    Contender::Server { protocol: "jsonrpc", durability: "fsync" },
];
const CONTENDERS: [Contender; 9] = [
    FLOOR,
    Contender::Relay("epoll"),
    Contender::Relay("glommio"),
    Contender::Server { protocol: "binary", durability: "none" },
    Contender::Server { protocol: "binary", durability: "interval" },
    Contender::Server { protocol: "binary", durability: "fsync" },
    Contender::Server { protocol: "jsonrpc", durability: "none" },
    Contender::Server { protocol: "jsonrpc", durability: "interval" },
    Contender::Server { protocol: "jsonrpc", durability: "fsync" },
];

/// What the server may cost at most, times the floor, at 100 connections and one in flight.
const TARGETS: [(&str, f64); 2] = [("binary", 1.3), ("jsonrpc", 1.5)];

/// The same for a message to a group of 1,000, for each member that it is delivered to.
const GROUP_TARGET: f64 = 1.2;

/// Of a core, what a contender uses at least when it is the limit.
const SATURATED: f64 = 0.8;

impl Contender {
    fn name(self) -> String {
        match self {
            Self::Relay(way) => format!("relay, {way}"),
            Self::Server { protocol, durability } => format!("mushan {protocol}, {durability}"),
        }
    }

    fn measure(self, rules: &Rules, route: Route, command: Command) -> Outcome {
        match self {
            Self::Server { protocol, durability } => run(of_server(command, protocol, durability)),
            Self::Relay(way) => {
                let relay = RelayProcess::start(way, route, rules.server_core);
                let mut command = command;
                command.args(["--protocol", "bare", "--url", &format!("tcp://{}", relay.address)]);
                command.args(["--server-pid", &relay.child.id().to_string()]);
                run(command)
            }
        }
    }
}

/// This program once more, as a relay; killed when dropped.
struct RelayProcess {
    child: Child,
    address: SocketAddr,
}

impl RelayProcess {
    fn start(way: &str, route: Route, core: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("my own program"));
        command.env(RELAY, way).env(RELAY_CORE, core.to_string());
        if route == Route::Group {
            command.env(RELAY_GROUP, "1");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a relay");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its address");
        let address = line.trim().parse().unwrap_or_else(|error| panic!("the relay says {line:?}: {error}"));
        Self { child, address }
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn be_a_relay(way: &str) {
    let core = std::env::var(RELAY_CORE).ok().and_then(|core| core.parse().ok()).expect("a core");
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let listening = |address: SocketAddr| {
        let mut out = std::io::stdout();
        writeln!(out, "{address}").and_then(|()| out.flush()).expect("somebody reads");
    };
    let route = if std::env::var_os(RELAY_GROUP).is_some() { Route::Group } else { Route::Pairs };
    match way {
        "ring" => relay_ring::serve(core, route, listening),
        "epoll" => relay_epoll::serve(route, listening),
        "glommio" => relay_glommio::serve(core, listening),
        other => panic!("no relay is called {other:?}"),
    }
}

/// The outcomes of all contenders in all rounds.
type Rounds = Vec<Vec<Outcome>>;

/// By contender; each comes first in some round, so that what one leaves behind is not always the same one's burden.
fn hold(rules: &Rules, contenders: &[Contender], measure: impl Fn(Contender) -> Outcome) -> Rounds {
    let mut rounds: Rounds = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..rules.rounds {
        for step in 0..contenders.len() {
            let place = (round * 4 + step) % contenders.len();
            rounds[place].push(measure(contenders[place]));
            eprint!(".");
        }
    }
    eprintln!();
    rounds
}

fn ratios<'a>(rounds: &'a Rounds, place: usize, of: impl Fn(&Outcome) -> f64 + 'a) -> impl Iterator<Item = f64> + 'a {
    rounds[place].iter().zip(&rounds[0]).map(move |(mine, floor)| of(mine) / of(floor))
}

fn print_saturation(load: &str, contenders: &[Contender], rounds: &Rounds) {
    println!("\n### saturated, {load}\n");
    println!(
        "| | CPU µs per delivered | × the relay on the ring | delivered/s | push p50 µs | push p99 µs | busy, generator |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (place, contender) in contenders.iter().enumerate() {
        let of = |field: fn(&Outcome) -> f64| spread(rounds[place].iter().map(field));
        println!(
            "| {} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} %, {:.0} % |",
            contender.name(),
            of(|it| it.cpu_us),
            spread(ratios(rounds, place, |it| it.cpu_us)),
            of(|it| it.delivered_per_s).median,
            of(|it| it.push_p50_us).median,
            of(|it| it.push_p99_us).median,
            100.0 * of(|it| it.server_busy).median,
            100.0 * of(|it| it.client_busy).median
        );
    }
    let busiest = spread(rounds.iter().map(|it| spread(it.iter().map(|it| it.server_busy)).median));
    if busiest.least < SATURATED {
        println!(
            "\nNOT SATURATED: a contender had or used only {:.0} % of its core. Something else runs here, or the generator is \
             the limit; a cost per message is higher then.",
            100.0 * busiest.least
        );
    }
}

/// The targets, and whether they hold in this run.
fn judge(cell: Cell, rounds: &Rounds) {
    let place_of = |protocol, durability| place_in(&CONTENDERS, protocol, durability);
    if cell == (Cell { connections: 100, in_flight: 1 }) {
        println!();
        for (protocol, most) in TARGETS {
            let ratio = spread(ratios(rounds, place_of(protocol, "fsync"), |it| it.cpu_us));
            println!("- {protocol}, fsync: {ratio:.2} × the floor, at most {most}: {}", verdict(ratio.median <= most));
            let costs = |durability| rounds[place_of(protocol, durability)].iter().map(|it| it.cpu_us);
            let dearer = spread(costs("fsync").zip(costs("none")).map(|(fsync, none)| fsync / none));
            println!("- {protocol}: fsync is {dearer:.2} × none, at most 1.15: {}", verdict(dearer.median <= 1.15));
        }
    }
    if cell == (Cell { connections: 100, in_flight: 16 }) {
        println!();
        for (protocol, _) in TARGETS {
            let cost = spread(rounds[place_of(protocol, "fsync")].iter().map(|it| it.cpu_us));
            println!("- {protocol}, fsync, 16 in flight: {cost:.2} µs, at most 2: {}", verdict(cost.median <= 2.0));
        }
    }
}

fn place_in(contenders: &[Contender], protocol: &'static str, durability: &'static str) -> usize {
    let wanted = Contender::Server { protocol, durability };
    contenders.iter().position(|it| *it == wanted).expect("it takes part")
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "MISSED" }
}

fn judge_group(members: usize, rounds: &Rounds) {
    if members != 1_000 {
        return;
    }
    println!();
    for (protocol, _) in TARGETS {
        let ratio = spread(ratios(rounds, place_in(&FOR_A_GROUP, protocol, "fsync"), |it| it.cpu_us));
        let holds = verdict(ratio.median <= GROUP_TARGET);
        println!("- {protocol}, fsync: {ratio:.2} × the bare fan-out, at most {GROUP_TARGET}: {holds}");
    }
}

fn print_latency(connections: usize, rate: f64, rounds: &Rounds) {
    println!("\n### open loop, {connections} connections, {rate:.0} sends/s: latency from the intended start\n");
    println!("| | answer p50 µs | answer p99 µs | push p50 µs | push p99 µs | push p99.9 µs | p99 × the relay's |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (place, contender) in CONTENDERS.iter().enumerate() {
        let of = |field: fn(&Outcome) -> f64| spread(rounds[place].iter().map(field));
        println!(
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} |",
            contender.name(),
            of(|it| it.answer_p50_us).median,
            of(|it| it.answer_p99_us).median,
            of(|it| it.push_p50_us).median,
            of(|it| it.push_p99_us),
            of(|it| it.push_p999_us).median,
            spread(ratios(rounds, place, |it| it.push_p99_us))
        );
    }
}

fn main() {
    if let Ok(way) = std::env::var(RELAY) {
        return be_a_relay(&way);
    }
    // One pair is the least.
    let rules = Rules::read(&[2, 8, 100, 1_000], &[1, 16]);
    println!("## floor\n\n{}", rules.conditions());
    let parts = std::env::var("MUSHAN_BENCH_PARTS").unwrap_or_else(|_| "pairs,group,latency,half-idle".into());
    let has_part = |part| parts.split(',').any(|it| it.trim() == part);
    let mut saturated_per_s = None;
    for cell in rules.cells().into_iter().filter(|_| has_part("pairs")) {
        let command = || rules.command(cell.connections, ("--in-flight", cell.in_flight.to_string()));
        let rounds = hold(&rules, &CONTENDERS, |contender| contender.measure(&rules, Route::Pairs, command()));
        let Cell { connections, in_flight } = cell;
        print_saturation(&format!("{connections} connections, {in_flight} in flight per pair"), &CONTENDERS, &rounds);
        judge(cell, &rounds);
        if cell.in_flight == 1 && (cell.connections == 100 || saturated_per_s.is_none()) {
            let slowest = rounds.iter().map(|it| spread(it.iter().map(|it| it.delivered_per_s)).median);
            saturated_per_s = Some((cell.connections, slowest.fold(f64::INFINITY, f64::min)));
        }
    }
    for (members, in_flight) in rules.groups().into_iter().filter(|_| has_part("group")) {
        let command = || rules.group_command(members, ("--in-flight", in_flight.to_string()));
        let rounds = hold(&rules, &FOR_A_GROUP, |contender| contender.measure(&rules, Route::Group, command()));
        print_saturation(&format!("a group of {members}, {in_flight} in flight"), &FOR_A_GROUP, &rounds);
        judge_group(members, &rounds);
    }
    if let Some((connections, per_s)) = saturated_per_s.filter(|_| has_part("latency")) {
        let rate = (0.3 * per_s).max(100.0).round();
        let command = || rules.command(connections, ("--rate", rate.to_string()));
        let rounds = hold(&rules, &CONTENDERS, |contender| contender.measure(&rules, Route::Pairs, command()));
        print_latency(connections, rate, &rounds);
    }
    if has_part("half-idle") {
        half_idle::measure();
    }
    println!("\nload average at the end {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}
