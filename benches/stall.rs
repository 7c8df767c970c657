//! The worst stall of a turn: how long a core's own thread is held up by putting its records into the log, when they
//! are stored into the segment's map, and when they are written through the ring (docs/decisions/0006).
//!
//! A pinned thread takes turns at a fixed rate; each appends a batch. A sync is always in flight, the next one starts
//! with the turn after it. Segments are made ahead by another thread, as the server makes them, and kept.
//! `MUSHAN_BENCH_SMOKE=1` only proves that everything runs; `MUSHAN_BENCH_TURNS` sets the turns per second,
//! `MUSHAN_BENCH_SECONDS` the length of a run, and `MUSHAN_BENCH_DIR` the disk.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench measures the world")]

mod common;

use common::{is_smoke, thread_clock};
use crossbeam_channel::{Receiver, bounded};
use hdrhistogram::Histogram;
use io_uring::{IoUring, opcode, squeue, types};
use memmap2::{MmapMut, MmapOptions};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SEGMENT_BYTES: usize = 64 << 20;
const RECORD_BYTES: usize = 288;
const RECORDS_PER_TURN: usize = 16;
const BATCH_BYTES: usize = RECORD_BYTES * RECORDS_PER_TURN;
const BLOCK_BYTES: u64 = 4_096;
const RING_ENTRIES: u32 = 4_096;
/// More than this behind the disk, and a turn is left out instead.
const BEHIND_BYTES_MAX: u64 = SEGMENT_BYTES as u64;
const SYNC: u64 = 0;

/// How a turn's records get into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// They do not: the stalls that the machine itself causes to a thread that only copies.
    Nothing,
    /// Stores into the shared map, then fdatasync through the ring.
    Map,
    /// One buffered write of the batch through the ring; fdatasync when all before it have completed.
    Write,
    /// One write with O_DIRECT and O_DSYNC of all records since the last one.
    Direct,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Nothing, "0 copy only, no disk"),
    (Way::Map, "A stores into the map"),
    (Way::Write, "B writes through the ring"),
    (Way::Direct, "C O_DIRECT|O_DSYNC"),
];

struct Segment {
    file: File,
    /// Where records are copied to: the file's map, or memory that is written from.
    image: MmapMut,
}

/// Makes a segment as src/server/disk/segment.rs does: allocated, filled with zeros, synced, renamed, mapped with its
/// pages.
fn prepare(directory: &Path, number: usize, way: Way) -> io::Result<Segment> {
    let (temporary, path) = (directory.join("spare.tmp"), directory.join(format!("{number:08}.log")));
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&temporary)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SEGMENT_BYTES as u64)?;
    let zeros = vec![0; 1 << 16];
    for _ in 0..SEGMENT_BYTES / zeros.len() {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    File::open(directory)?.sync_all()?;
    let image = match way {
        // SAFETY: the directory is this process's own; nobody shortens the file.
        Way::Map => unsafe { MmapOptions::new().populate().map_mut(&file)? },
        _ => MmapOptions::new().populate().len(SEGMENT_BYTES).map_anon()?,
    };
    if way == Way::Direct {
        file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT | libc::O_DSYNC).open(&path)?;
    }
    Ok(Segment { file, image })
}

/// Makes segments in advance until the receiver is dropped, on another core than the turns if there is one.
struct Preparer {
    segments: Receiver<Segment>,
    cpu_ns: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Preparer {
    fn start(directory: PathBuf, way: Way) -> Self {
        let (ready, segments) = bounded(1);
        let cpu_ns = Arc::new(AtomicU64::new(0));
        let used_ns = Arc::clone(&cpu_ns);
        let thread = std::thread::spawn(move || {
            core_affinity::set_for_current(cores()[0]);
            for number in 1.. {
                let segment = prepare(&directory, number, way).expect("the disk takes segments");
                used_ns.store(thread_clock().as_nanos() as u64, Ordering::Relaxed);
                if ready.send(segment).is_err() {
                    return;
                }
            }
        });
        Self { segments, cpu_ns, thread }
    }

    fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed))
    }
}

/// Positions count on through all segments: segment number times its length, plus the offset.
struct Log {
    way: Way,
    segments: Vec<Segment>,
    spares: Receiver<Segment>,
    uring: IoUring,
    end: u64,
    durable: u64,
    /// Ends of writes in flight, in order, and whether each has completed.
    writes: VecDeque<(u64, bool)>,
    /// Everything before it is written, as far as `Way::Write` goes.
    written: u64,
    sync_target: Option<u64>,
    syncs_in_flight: usize,
    syncs: u64,
    /// Where each turn ended and when, until it is durable.
    waiting: VecDeque<(u64, Instant)>,
    latency: Histogram<u64>,
}

impl Log {
    fn new(way: Way, spares: Receiver<Segment>) -> io::Result<Self> {
        let mut uring = IoUring::builder();
        uring.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_cqsize(4 * RING_ENTRIES);
        Ok(Self {
            way,
            segments: vec![spares.recv().expect("the preparer lives")],
            spares,
            uring: uring.build(RING_ENTRIES)?,
            end: 0,
            durable: 0,
            writes: VecDeque::new(),
            written: 0,
            sync_target: None,
            syncs_in_flight: 0,
            syncs: 0,
            waiting: VecDeque::new(),
            latency: histogram(),
        })
    }

    /// Whether a batch can be taken; begins the next segment if it must.
    fn has_room(&mut self) -> bool {
        let offset = self.end as usize % SEGMENT_BYTES;
        let begins_segment = self.end as usize / SEGMENT_BYTES == self.segments.len();
        if begins_segment || offset + BATCH_BYTES > SEGMENT_BYTES {
            let Ok(spare) = self.spares.try_recv() else { return false };
            self.segments.push(spare);
            self.end = (self.segments.len() as u64 - 1) * SEGMENT_BYTES as u64;
        }
        self.end - self.durable < BEHIND_BYTES_MAX && self.writes.len() < RING_ENTRIES as usize / 2
    }

    fn append(&mut self, record: &[u8; RECORD_BYTES]) {
        let (segment, offset) = (self.end as usize / SEGMENT_BYTES, self.end as usize % SEGMENT_BYTES);
        let segment = &mut self.segments[segment];
        let place = &mut segment.image[offset..offset + BATCH_BYTES];
        for place in place.chunks_exact_mut(RECORD_BYTES) {
            place.copy_from_slice(record);
        }
        let write = opcode::Write::new(types::Fd(segment.file.as_raw_fd()), place.as_ptr(), BATCH_BYTES as u32);
        self.end += BATCH_BYTES as u64;
        if self.way == Way::Write {
            self.writes.push_back((self.end, false));
            self.push(write.offset(offset as u64).build().user_data(self.end));
        }
    }

    fn commit(&mut self) {
        if self.syncs_in_flight > 0 || self.end == self.durable {
            return;
        }
        match self.way {
            Way::Nothing => self.synced(self.end),
            Way::Map => {
                self.sync_target = Some(self.end);
                self.push_for_each_segment(|segment, _| {
                    opcode::Fsync::new(types::Fd(segment.file.as_raw_fd())).flags(types::FsyncFlags::DATASYNC).build()
                });
            }
            Way::Write => {
                let target = *self.sync_target.get_or_insert(self.end);
                if self.written >= target {
                    self.push_for_each_segment(|segment, _| {
                        let file = types::Fd(segment.file.as_raw_fd());
                        opcode::Fsync::new(file).flags(types::FsyncFlags::DATASYNC).build()
                    });
                }
            }
            Way::Direct => {
                self.sync_target = Some(self.end);
                self.push_for_each_segment(|segment, range| {
                    let bytes = segment.image[range.start as usize..].as_ptr();
                    let length = (range.end - range.start) as u32;
                    let write = opcode::Write::new(types::Fd(segment.file.as_raw_fd()), bytes, length);
                    write.offset(range.start).build()
                });
            }
        }
    }

    /// One submission for each segment between what is durable and the target, with the whole blocks that it concerns.
    fn push_for_each_segment(&mut self, entry: impl Fn(&Segment, std::ops::Range<u64>) -> squeue::Entry) {
        let target = self.sync_target.expect("set by the caller");
        let length = SEGMENT_BYTES as u64;
        for number in self.durable / length..=(target - 1) / length {
            let from = self.durable.max(number * length) - number * length;
            let to = target.min((number + 1) * length) - number * length;
            let blocks = from / BLOCK_BYTES * BLOCK_BYTES..to.next_multiple_of(BLOCK_BYTES);
            let entry = entry(&self.segments[number as usize], blocks).user_data(SYNC);
            self.push(entry);
            self.syncs_in_flight += 1;
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: it points into a segment's image, which lives as long as the log, which waits for its completions.
        unsafe { self.uring.submission().push(&entry) }.expect("the queue is larger than what is in flight");
    }

    /// Submits what is queued and lets deferred completions happen, in one call, as the server's ring does.
    fn enter(&mut self) {
        const GETEVENTS: u32 = 1;
        let queue = self.uring.submission();
        let (queued, has_deferred) = (queue.len() as u32, queue.taskrun() || queue.cq_overflow());
        drop(queue);
        if queued > 0 || has_deferred {
            // SAFETY: it waits for nothing and passes no argument.
            unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, GETEVENTS, None) }.expect("entered");
        }
    }

    fn gather(&mut self) {
        loop {
            let next = self.uring.completion().next();
            let Some(completion) = next else { return };
            assert!(completion.result() >= 0, "{}", io::Error::from_raw_os_error(-completion.result()));
            if completion.user_data() == SYNC {
                self.syncs_in_flight -= 1;
                if self.syncs_in_flight == 0 {
                    let target = self.sync_target.take().expect("a sync has a target");
                    self.synced(target);
                }
                continue;
            }
            assert_eq!(completion.result() as usize, BATCH_BYTES, "a short write");
            let at = self.writes.binary_search_by_key(&completion.user_data(), |(end, _)| *end).expect("in flight");
            self.writes[at].1 = true;
            while let Some((end, _)) = self.writes.pop_front_if(|(_, is_done)| *is_done) {
                self.written = end;
            }
        }
    }

    fn synced(&mut self, target: u64) {
        self.durable = target;
        self.syncs += 1;
        while let Some((_, since)) = self.waiting.pop_front_if(|(end, _)| *end <= target) {
            self.latency.saturating_record(since.elapsed().as_nanos() as u64);
        }
    }

    /// Waits until nothing is in flight, so that the kernel has let go of the images.
    fn settle(&mut self) {
        while self.syncs_in_flight > 0 || !self.writes.is_empty() {
            self.enter();
            self.gather();
        }
    }
}

/// The results of a run, with times in nanoseconds.
struct Run {
    /// The copying, and for `Way::Write` its queueing.
    append: Histogram<u64>,
    /// The copying, and submitting what follows from it.
    turn: Histogram<u64>,
    /// From the end of a turn until its records were durable.
    latency: Histogram<u64>,
    records: u64,
    syncs: u64,
    seconds: f64,
    left_out: u64,
    thread_cpu: Duration,
    /// The CPU time of the kernel for the ring.
    workers_cpu: Duration,
    preemptions: i64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("sound bounds")
}

/// CPU time and involuntary switches of this thread or of the whole process.
fn usage(who: i32) -> (Duration, i64) {
    // SAFETY: all zero is a value of this plain struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills the struct that it is given.
    assert_eq!(unsafe { libc::getrusage(who, &raw mut usage) }, 0);
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000);
    (of(usage.ru_utime) + of(usage.ru_stime), usage.ru_nivcsw)
}

fn run(way: Way, turns_per_second: u64, length: Duration, directory: &Path) -> Run {
    let preparer = Preparer::start(directory.to_owned(), way);
    let mut log = Log::new(way, preparer.segments.clone()).expect("a ring");
    let mut record = [0; RECORD_BYTES];
    record.iter_mut().zip(1_u8..).for_each(|(byte, n)| *byte = n.wrapping_mul(167) | 1);
    let (mut append, mut turn) = (histogram(), histogram());
    let (mut thread_cpu, mut left_out) = (Duration::ZERO, 0);
    let period = Duration::from_nanos(1_000_000_000 / turns_per_second);
    let before = (usage(libc::RUSAGE_THREAD), usage(libc::RUSAGE_SELF).0, preparer.cpu());
    let began = Instant::now();
    let mut due = began;
    while began.elapsed() < length {
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        due += period;
        let cpu = thread_clock();
        log.gather();
        let has_room = log.has_room();
        let start = Instant::now();
        if has_room {
            log.append(&record);
            append.saturating_record(start.elapsed().as_nanos() as u64);
            log.waiting.push_back((log.end, start));
        } else {
            left_out += 1;
        }
        log.commit();
        log.enter();
        turn.saturating_record(start.elapsed().as_nanos() as u64);
        thread_cpu += thread_clock() - cpu;
    }
    let seconds = began.elapsed().as_secs_f64();
    let after = (usage(libc::RUSAGE_THREAD), usage(libc::RUSAGE_SELF).0, preparer.cpu());
    let others_cpu = (after.1 - before.1).saturating_sub(after.0.0 - before.0.0);
    log.settle();
    let (latency, syncs) = (log.latency.clone(), log.syncs);
    drop((log, preparer.segments));
    preparer.thread.join().expect("the preparer does not panic");
    Run {
        records: append.len() * RECORDS_PER_TURN as u64,
        append,
        turn,
        latency,
        syncs,
        seconds,
        left_out,
        thread_cpu,
        workers_cpu: others_cpu.saturating_sub(after.2 - before.2),
        preemptions: after.0.1 - before.0.1,
    }
}

impl Run {
    /// In the order of `COLUMNS`.
    fn figures(&self) -> Vec<f64> {
        let us = |histogram: &Histogram<u64>, q: f64| histogram.value_at_quantile(q) as f64 / 1e3;
        let mut figures = Vec::new();
        for histogram in [&self.append, &self.turn] {
            figures.extend([0.5, 0.99, 0.999, 0.9999, 1.0].map(|q| us(histogram, q)));
        }
        figures.extend([0.5, 0.999, 1.0].map(|q| us(&self.latency, q)));
        let per_record = |cpu: Duration| cpu.as_nanos() as f64 / self.records.max(1) as f64;
        figures.extend([per_record(self.thread_cpu), per_record(self.workers_cpu)]);
        figures.extend([self.syncs as f64 / self.seconds, self.records as f64 / self.seconds]);
        figures.extend([self.left_out as f64, self.preemptions as f64]);
        figures
    }
}

const COLUMNS: [(&str, usize); 19] = [
    ("append p50 us", 1),
    ("append p99 us", 1),
    ("append p99.9 us", 1),
    ("append p99.99 us", 1),
    ("append max us", 1),
    ("append + submit p50 us", 1),
    ("append + submit p99 us", 1),
    ("append + submit p99.9 us", 1),
    ("append + submit p99.99 us", 1),
    ("append + submit max us", 1),
    ("durable after p50 us", 0),
    ("durable after p99.9 us", 0),
    ("durable after max us", 0),
    ("turn thread CPU ns/record", 0),
    ("ring workers CPU ns/record", 0),
    ("syncs/s", 0),
    ("records/s", 0),
    ("turns left out", 0),
    ("involuntary switches", 0),
];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A row for each figure: the median of the runs for each way, and in brackets the least and the most.
fn print_table(runs: &[(Way, Vec<Run>)]) {
    print!("| median of runs (least–most) |");
    WAYS.iter().for_each(|(_, name)| print!(" {name} |"));
    print!("\n|---|");
    WAYS.iter().for_each(|_| print!("---:|"));
    println!();
    for (column, (name, digits)) in COLUMNS.iter().enumerate() {
        print!("| {name} |");
        for (_, runs) in runs {
            let values: Vec<f64> = runs.iter().map(|run| run.figures()[column]).collect();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(0.0, f64::max);
            print!(" {:.digits$} ({least:.digits$}–{most:.digits$}) |", median(values));
        }
        println!();
    }
}

/// All cores that this process may use, independent of this thread's affinity.
fn cores() -> &'static [core_affinity::CoreId] {
    static CORES: OnceLock<Vec<core_affinity::CoreId>> = OnceLock::new();
    CORES.get_or_init(|| core_affinity::get_core_ids().expect("this system has cores"))
}

fn number_from(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn main() {
    let (rounds, seconds) = if is_smoke() { (1, 0) } else { (3, 10) };
    let turns_per_second = number_from("MUSHAN_BENCH_TURNS").unwrap_or(20_000);
    let length = match number_from("MUSHAN_BENCH_SECONDS").unwrap_or(seconds) {
        0 => Duration::from_millis(100),
        seconds => Duration::from_secs(seconds),
    };
    let root = std::env::var_os("MUSHAN_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let cores = cores();
    core_affinity::set_for_current(*cores.last().expect("at least one"));
    println!(
        "{turns_per_second} turns/s of {RECORDS_PER_TURN} records of {RECORD_BYTES} bytes, {length:?} a run, {rounds} \
         rounds, in {}; {} cores, load {}",
        root.display(),
        cores.len(),
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim()
    );
    let mut runs: Vec<(Way, Vec<Run>)> = WAYS.iter().map(|(way, _)| (*way, Vec::new())).collect();
    for round in 0..rounds {
        // Each way runs first in one round, so that unfinished disk work of a run does not always burden the same way.
        for place in 0..runs.len() {
            let (way, runs) = &mut runs[(round + place) % WAYS.len()];
            let directory = tempfile::Builder::new().prefix("mushan-stall-").tempdir_in(&root).expect("a directory");
            if *way == Way::Direct && !has_direct_io(directory.path()) {
                println!("no O_DIRECT in {}: its column means nothing", root.display());
                continue;
            }
            runs.push(run(*way, turns_per_second, length, directory.path()));
        }
    }
    print_table(&runs);
    println!("load at the end {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

fn has_direct_io(directory: &Path) -> bool {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DIRECT)
        .open(directory.join("probe"))
        .is_ok()
}
