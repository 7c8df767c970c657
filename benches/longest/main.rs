//! How long is the longest input of a shard? Every input and every command at its worst, at the default limits (but for
//! how fast one may ask), without sockets and disks. Fails where one takes longer than a turn may: 1 ms.
//!
//! An input's time is the least of several repetitions of the same run, in CPU time of the thread: what other programs do
//! meanwhile counts for nothing. `MUSHAN_BENCH_SMOKE=1` has smaller worlds, fewer repetitions and a bound with a factor to
//! spare. A name as an argument (`cargo bench --bench longest -- group`) measures what begins with it. Without one, the
//! bench also fails if a kind of input is in no row.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench reads its environment and a clock")]

mod cold;
#[path = "../common/mod.rs"]
mod common;
mod groups;
mod hook;
mod kinds;
mod lanes;
mod orders;
mod people;
mod reads;
mod sessions;
mod stage;
mod upkeep;

use common::is_smoke;
use stage::{Stage, Timing};
use std::time::Duration;

/// What a turn may take.
const BOUND: Duration = Duration::from_millis(1);
/// On a machine of which nothing is known but that it compiles.
const SMOKE_FACTOR: u32 = 4;

/// A part of the bench, and what runs it once.
type Scene = (&'static str, fn(&mut Book));

/// Inputs by what they are part of, each with the least time of all repetitions.
#[derive(Default)]
pub struct Book {
    rows: Vec<(&'static str, Vec<Timing>)>,
}

impl Book {
    /// Measures the inputs of `work` under a name.
    fn measure(&mut self, name: &'static str, stage: &mut Stage, work: impl FnOnce(&mut Stage)) {
        let timings = stage.measure(work);
        assert!(!timings.is_empty(), "{name}: nothing happened");
        let Some((_, least)) = self.rows.iter_mut().find(|(other, _)| *other == name) else {
            return self.rows.push((name, timings));
        };
        assert_eq!(least.len(), timings.len(), "{name}: a repetition has the same inputs");
        for (least, timing) in least.iter_mut().zip(timings) {
            assert_eq!(least.kind, timing.kind, "{name}: a repetition has the same inputs");
            least.spent = least.spent.min(timing.spent);
        }
    }

    /// The kinds of inputs that no row has.
    fn missing(&self) -> Vec<&'static str> {
        let measured =
            |kind: &&str| self.rows.iter().flat_map(|(_, timings)| timings).any(|timing| timing.kind == *kind);
        kinds::all().filter(|kind| !measured(kind)).collect()
    }

    /// Prints the longest input of each row; the number of rows with one above the bound.
    fn judge(&self, bound: Duration) -> usize {
        println!("{:54} {:>7} {:>9}  {:18} cost of it", "", "inputs", "longest", "which is");
        let mut above = 0;
        for (name, timings) in &self.rows {
            let Some(longest) = timings.iter().max_by_key(|timing| timing.spent) else { continue };
            let Timing { kind, spent, cost } = longest;
            let is_above = *spent > bound;
            above += usize::from(is_above);
            let sign = if is_above { " ABOVE" } else { "" };
            println!(
                "{name:54} {:>7} {:>6} µs  {kind:18} {} records, {} KiB, {} rows, {} effects{sign}",
                timings.len(),
                spent.as_micros(),
                cost.records,
                cost.bytes >> 10,
                cost.rows,
                cost.effects,
            );
        }
        above
    }
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let rooms = [
        groups::SCENES,
        reads::SCENES,
        cold::SCENES,
        sessions::SCENES,
        people::SCENES,
        orders::SCENES,
        hook::SCENES,
        upkeep::SCENES,
        lanes::SCENES,
    ];
    let scenes: Vec<Scene> = rooms.concat();
    let repetitions = if is_smoke() { 3 } else { 5 };
    let mut book = Book::default();
    for (name, scene) in scenes.into_iter().filter(|(name, _)| name.starts_with(&wanted)) {
        let began = std::time::Instant::now();
        for _repetition in 0..repetitions {
            scene(&mut book);
        }
        eprintln!("{name}: {repetitions} repetitions in {:?}", began.elapsed());
    }
    let bound = if is_smoke() { BOUND * SMOKE_FACTOR } else { BOUND };
    let above = book.judge(bound);
    if above > 0 {
        println!("{above} of {} have an input that takes longer than {bound:?}", book.rows.len());
        std::process::exit(1);
    }
    let missing = book.missing();
    if wanted.is_empty() && !missing.is_empty() {
        println!("no row has an input of these kinds: {missing:?}");
        std::process::exit(1);
    }
}
