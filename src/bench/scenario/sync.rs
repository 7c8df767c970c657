//! `mushan bench sync`: readers read their whole inboxes, page by page, from a log in memory.

use crate::bench::load::client::{Client, Happened};
use crate::bench::load::crowd::{Crowd, histogram, nanoseconds};
use crate::bench::load::report::{Curves, Report, Shape, percentiles};
use crate::bench::load::server::{AdminApi, Prefill, ServerProcess};
use crate::bench::load::settings::ComparedSettings;
use crate::bench::load::target::{LoadRequest, LoadTarget, on_core};
use crate::bench::load::template::LoadDialect;
use crate::bench::scenario::history::{message, user};
use crate::bench::scenario::plan::{Scenario, ScenarioPlan};
use crate::model::{DeviceKey, Limits, Millis, RequestTag, SessionId, Sizing};
use crate::server::Offline;
use crate::shard::{CatchUp, Input};
use crate::terminal::failure::Failure;
use crate::terminal::progress::Progress;
use bytes::Bytes;
use hdrhistogram::Histogram;
use std::path::Path;
use std::time::{Duration, Instant};

/// Readers read their whole inboxes, again and again, page by page
///
/// The shard itself writes the inboxes before the server starts; they are read once before the measurement, so that the
/// log is in memory. Each page must follow the previous one without a hole.
#[derive(clap::Args)]
pub struct Arguments {
    /// Readers, each with a connection
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    users: u32,
    /// Entries of each inbox
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    entries: u64,
    /// Entries of a page; the server returns fewer if they would exceed limits.sync_bytes_max
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(i32).range(1..=1_000))]
    page: i32,
    #[command(flatten)]
    plan: ScenarioPlan,
}

const AUTHOR: &str = "author";
const FAULTS_SHOWN: usize = 5;
/// The time limit of the pass that only warms up.
const WARM_UP_MAX: Duration = Duration::from_secs(30);
/// After a login, the server may push entries by itself; they have all arrived when it has been silent for this time.
const SILENCE: Duration = Duration::from_millis(300);

impl Scenario for Arguments {
    fn plan(&self) -> &ScenarioPlan {
        &self.plan
    }

    fn measure(&self, dialect: LoadDialect, settings: &ComparedSettings) -> Result<Report, Failure> {
        let options = &self.plan.options;
        if options.url.is_some() {
            return Err(Failure::new("this scenario writes the inboxes itself and does not support --url"));
        }
        let (users, entries) =
            (options.scaled(self.users as usize, 2), if options.smoke { 2_500 } else { self.entries });
        let directory = ServerProcess::directory(&options.data_dir.clone().unwrap_or_else(std::env::temp_dir));
        let progress = options.progress_of("writing inboxes", users * entries as usize);
        fill(&directory, users, entries, (options.body_bytes, &progress))
            .inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
        drop(progress);
        let target = LoadTarget::open(
            options,
            dialect,
            users,
            LoadRequest { api: AdminApi::Off, contents: Prefill::KeptForTheLastTime, settings },
        )?;
        let report = on_core(options.client_core, || self.load(&target, users, entries))?;
        target.close()?;
        Ok(report)
    }
}

/// The progress of reading.
struct Reading {
    entries: u64,
    pages: u64,
    page_ns: Histogram<u64>,
    asked: Vec<Instant>,
    /// Inboxes that were read to their end.
    passes: u64,
    faults: Vec<String>,
}

impl Arguments {
    fn load(&self, target: &LoadTarget, users: usize, entries: u64) -> Result<Report, Failure> {
        let options = &self.plan.options;
        let mut crowd = Crowd::new()?;
        let client = |index| Client::begin(target.account(&reader(index))?, options.acks());
        target.let_in(&mut crowd, users, &Progress::none(), client)?;
        let mut last_input_at = Instant::now();
        while last_input_at.elapsed() < SILENCE {
            crowd.step(SILENCE, |_client, _happened, now| last_input_at = now)?;
        }
        read_on(&mut crowd, (entries, self.page), (WARM_UP_MAX, users as u64))?;
        let (cpu_before, _) = target.cpu()?;
        let began = Instant::now();
        let mut reading = read_on(&mut crowd, (entries, self.page), (options.span(), u64::MAX))?;
        let took = began.elapsed();
        let (cpu_after, _) = target.cpu()?;

        let shape = Shape {
            protocol: target.dialect.name(),
            connections: users,
            body_bytes: options.body_bytes,
            seconds: took.as_secs_f64(),
            ..Shape::default()
        };
        let mut report = Report::new("sync", target.conditions.clone(), shape);
        report.add_figure("entries", reading.entries as f64 / took.as_secs_f64(), "per second");
        if let Some(ns) = cpu_after.zip(cpu_before).map(|(after, before)| after.saturating_sub(before)) {
            let per_core = reading.entries as f64 / (ns.max(1) as f64 / 1e9);
            report.add_figure("per core", per_core, "entries per second of the server's CPU");
            report.add_figure("server CPU", ns as f64 / 1e3 / reading.entries.max(1) as f64, "µs per entry");
        }
        report.add_figure("inbox", entries as f64, "entries in each inbox");
        let page = percentiles(&reading.page_ns);
        report.add_figure("page p50", page.p50_us, "µs");
        report.add_figure("page p99", page.p99_us, "µs");
        report.add_figure("page max", page.max_us, "µs");
        report.faults.append(&mut reading.faults);
        if reading.entries == 0 {
            report.faults.push("nothing was read".to_owned());
        }
        report.curves =
            Some(Curves { latency_of: "of a page of a sync", latency_ns: reading.page_ns, timeline: Vec::new() });
        Ok(report)
    }
}

/// Reads all inboxes from their beginning, repeatedly, until the time is up or this many have been read to their end.
fn read_on(
    crowd: &mut Crowd,
    (entries, page): (u64, i32),
    (span, passes_max): (Duration, u64),
) -> Result<Reading, Failure> {
    let now = Instant::now();
    let mut reading = Reading {
        entries: 0,
        pages: 0,
        page_ns: histogram(),
        asked: vec![now; crowd.clients.len()],
        passes: 0,
        faults: Vec::new(),
    };
    let deadline = now + span;
    let mut next: Vec<(usize, u64)> = (0..crowd.clients.len()).map(|client| (client, 0)).collect();
    let mut under_way = 0;
    loop {
        let is_over = Instant::now() >= deadline || reading.passes >= passes_max;
        for (client, after) in next.drain(..).filter(|_| !is_over) {
            reading.asked[client] = Instant::now();
            crowd.clients[client].ask_for_page(after, page);
            crowd.note_dirty(client);
            under_way += 1;
        }
        crowd.flush()?;
        if under_way == 0 {
            return Ok(reading);
        }
        if Instant::now() >= deadline + WARM_UP_MAX {
            return Err(Failure::new("the server does not answer a sync"));
        }
        let mut turned = 0;
        crowd.step(Duration::from_millis(100), |client, happened, now| {
            if let Some(after) = reading.turn(client, &happened, now, entries) {
                next.push((client, after));
                turned += 1;
            }
        })?;
        under_way -= turned;
    }
}

impl Reading {
    /// The seq after which the client is to read on, if it is.
    fn turn(&mut self, client: usize, happened: &Happened, now: Instant, entries: u64) -> Option<u64> {
        let contents = match happened {
            Happened::Page(contents) => contents,
            Happened::Refused(why) => {
                self.add_fault(format!("refused: {why}"));
                return Some(0);
            }
            _ => return None,
        };
        self.pages += 1;
        self.entries += contents.entries;
        self.page_ns.saturating_record(nanoseconds(now - self.asked[client]));
        if contents.has_hole {
            self.add_fault(format!("a hole in the inbox of {}, before seq {}", reader(client), contents.last));
        }
        if contents.has_more {
            return Some(contents.last);
        }
        self.passes += 1;
        if contents.last != entries {
            self.add_fault(format!("the inbox of {} ends at {}, not {entries}", reader(client), contents.last));
        }
        Some(0)
    }

    /// Keeps only the first few faults.
    fn add_fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_SHOWN {
            self.faults.push(fault);
        }
    }
}

fn reader(index: usize) -> String {
    format!("reader-{index}")
}

/// One author writes to all readers in turn.
fn fill(directory: &Path, users: usize, entries: u64, (bytes, progress): (usize, &Progress)) -> Result<(), Failure> {
    let limits = Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() };
    let options =
        crate::server::Options { data_dir: directory.to_owned(), shards: Some(1), limits, ..Default::default() };
    let now = crate::terminal::date::now();
    let began = Millis(now.0.saturating_sub(3_600_000));
    let mut shard = Offline::open(&options, began)?;
    // A text that both protocols carry unchanged, with the numbers where a JSON-RPC push is scanned for them.
    let mut text = br#"{"type":1,"content":"00000000ffffffff"#.to_vec();
    text.resize(bytes.max(64) - 2, b'x');
    text.extend_from_slice(br#""}"#);
    let (content, readers): (Bytes, Vec<_>) = (text.into(), (0..users).map(|index| user(&reader(index))).collect());
    let session = SessionId(1);
    let device = DeviceKey { flag: 0, id: "bench".into() };
    shard.handle(
        began,
        Input::Opened {
            session,
            tag: RequestTag::None,
            user: user(AUTHOR),
            device,
            catch_up: CatchUp::Sync,
            sizing: Sizing::Verbatim,
        },
    );
    let mut written = 0_u64;
    for entry in 0..entries {
        let now = Millis(began.0 + entry * 3_600_000 / entries);
        for (place, reader) in readers.iter().enumerate() {
            if !shard.wait_for_room() {
                return Err(Failure::with_status(Failure::DISK, "there is no room for the log"));
            }
            let command = message(reader, format!("{entry}-{place}"), content.clone());
            shard.handle(now, Input::Requested { session, tag: RequestTag::None, command });
            written += 1;
            if written.is_multiple_of(1_024) {
                shard.handle(now, Input::Waived);
                shard.tick(now)?;
                progress.reach(written);
            }
        }
        shard.handle(now, Input::Waived);
    }
    shard.handle(now, Input::Waived);
    shard.tick(now)?;
    shard.close()?;
    Ok(())
}
