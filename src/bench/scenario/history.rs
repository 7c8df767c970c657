//! `mushan bench history`: the cost of a long history: starting, memory, and reading old entries.
//!
//! The shard itself writes a log of the given size; then the real server is started on it, and read over a socket.

use crate::bench::load::crowd::histogram;
use crate::bench::load::process::anonymous_bytes;
use crate::bench::load::report::Conditions;
use crate::bench::load::server::{AdminApi, Prefill, ServerPlan, ServerProcess};
use crate::model::{
    Ack, ClientMessageId, Command, DeviceKey, Extra, Limits, Millis, Recipient, RequestTag, Send, Seq, SessionId,
    Sizing, UserId,
};
use crate::server::{Offline, Options};
use crate::shard::{CatchUp, Input};
use crate::terminal::arguments::parse_user;
use crate::terminal::failure::Failure;
use crate::terminal::minter::Minter;
use crate::terminal::print::print;
use crate::terminal::server_url::TIMEOUT;
use bytes::Bytes;
use hdrhistogram::Histogram;
use mushan_client::{Answer, Begin, Client, ClientOptions, Phase, Request};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Write a long history, then start a server on it and read far back
///
/// Prints how long the server takes to start with and without its checkpoint, its memory per user who is not
/// connected and per conversation, and the time of a page of 100 entries at both ends of a long inbox (with the log in
/// the page cache). Memory depends on the users and hardly on the log: --gigabytes 0.3 --users 200000 --backlog 200000
/// shows it within a minute.
#[derive(clap::Args)]
pub struct Arguments {
    /// Length of the log, in GB
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    gigabytes: f64,
    /// Users with an inbox and a device
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    users: u64,
    /// Entries of the long inbox; all users write to it in turn
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    backlog: u64,
    /// Days that the history spans
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_650))]
    days: u64,
    #[arg(long, value_name = "N", default_value_t = 0)]
    server_core: usize,
    /// Directory for the temporary data directory [default: the system's]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Only prove that everything works, in a short and small run
    #[arg(long)]
    smoke: bool,
}

const READER: &str = "reader";
const ENTRY_BYTES: usize = 128;
const PAGE_ENTRIES: u32 = 100;
const PAGES: usize = 300;
/// Each user has a conversation with the reader and one with the next user; that with the previous user is counted
/// there.
const CONVERSATIONS_EACH: f64 = 2.0;
const DAY_MS: u64 = 24 * 3_600 * 1_000;
const TOKEN_TTL_MS: u64 = DAY_MS;
/// The bytes of a record beside its content: envelope, links and ids.
const RECORD_BYTES: u64 = 200;

#[derive(Debug, Serialize)]
struct HistoryReport {
    conditions: Conditions,
    log_bytes: u64,
    users: u64,
    backlog: u64,
    fill_seconds: f64,
    /// From the start of the process to listening, on an empty directory: the minimum of every start.
    start_empty_ms: f64,
    start_ms: f64,
    start_without_checkpoint_ms: f64,
    recovery_gb_per_s: f64,
    memory: MemoryShare,
    far_page_p50_ms: f64,
    far_page_p99_ms: f64,
    near_page_p50_ms: f64,
}

/// Anonymous memory beyond that of the empty server, divided. Includes ids of 24 bytes per user; longer ids take more.
#[derive(Clone, Copy, Debug, Serialize)]
struct MemoryShare {
    /// Each user has a device and two conversations.
    bytes_per_user: f64,
    /// The same if the host uses huge pages, which can extend beyond the used memory.
    bytes_per_user_as_hosted: f64,
    /// Each user has a device and has never sent a message.
    bytes_per_user_alone: f64,
    /// A conversation of two users, including both memberships.
    bytes_per_conversation: f64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let parent = arguments.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    let scale = if arguments.smoke {
        Scale { bytes: 96 << 20, users: 2_000, backlog: 4_000, span_ms: arguments.days * DAY_MS }
    } else {
        let bytes = (arguments.gigabytes.clamp(0.001, 100_000.0) * 1e9) as u64;
        Scale { bytes, users: arguments.users, backlog: arguments.backlog, span_ms: arguments.days * DAY_MS }
    };
    let without_huge_pages = [("MUSHAN_SERVER__HUGE_PAGES".to_owned(), "never".to_owned())];
    let plan = |contents| ServerPlan {
        core: arguments.server_core,
        spare_core: None,
        shards: 1,
        profile: "balanced",
        durability: "fsync",
        parent: &parent,
        contents,
        api: AdminApi::Off,
        environment: &[],
    };
    let small = |contents| ServerPlan { environment: &without_huge_pages, ..plan(contents) };
    let (start_empty_ms, hosted_empty) = start(&plan(Prefill::None), nothing)?;
    let (_, empty) = start(&small(Prefill::None), nothing)?;
    let directory = ServerProcess::directory(&parent);
    fill_alone(&directory, scale.users).inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
    let (_, alone) = start(&small(Prefill::KeptForTheLastTime), nothing)?;
    let began = Instant::now();
    let log_bytes = fill(&directory, &scale).inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
    let fill_seconds = began.elapsed().as_secs_f64();
    let mut pages = Pages { far: histogram(), near: histogram() };
    let (start_ms, hosted) = start(&plan(Prefill::Kept), |server| read_pages(server, &mut pages))?;
    let (_, whole) = start(&small(Prefill::Kept), nothing)?;
    drop_checkpoints(&directory)?;
    let (start_without_checkpoint_ms, _) = start(&plan(Prefill::KeptForTheLastTime), nothing)?;
    let Pages { far, near } = pages;
    let per_user = |with: u64, without: u64| (with as f64 - without as f64) / scale.users as f64;
    let memory = MemoryShare {
        bytes_per_user: per_user(whole, empty),
        bytes_per_user_as_hosted: per_user(hosted, hosted_empty),
        bytes_per_user_alone: per_user(alone, empty),
        bytes_per_conversation: per_user(whole, alone) / CONVERSATIONS_EACH,
    };
    let ms = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    let report = HistoryReport {
        conditions: Conditions::of_own_server(arguments.server_core, arguments.server_core, "balanced", "fsync"),
        log_bytes,
        users: scale.users,
        backlog: scale.backlog,
        fill_seconds,
        start_empty_ms,
        start_ms,
        start_without_checkpoint_ms,
        recovery_gb_per_s: log_bytes as f64 / 1e6 / (start_without_checkpoint_ms - start_empty_ms).max(1.0),
        memory,
        far_page_p50_ms: ms(&far, 0.5),
        far_page_p99_ms: ms(&far, 0.99),
        near_page_p50_ms: ms(&near, 0.5),
    };
    print(&if arguments.json { serde_json::to_string(&report).expect("plain data") } else { report.to_string() })
}

pub struct Scale {
    pub bytes: u64,
    pub users: u64,
    pub backlog: u64,
    pub span_ms: u64,
}

/// A log that the shard itself writes, with one user after the other.
struct Visits {
    shard: Offline,
    made: u64,
}

impl Visits {
    fn begin(directory: &Path, limits: Limits, at: Millis) -> Result<Self, Failure> {
        let options = Options { data_dir: directory.to_owned(), shards: Some(1), limits, ..Options::default() };
        Ok(Self { shard: Offline::open(&options, at)?, made: 0 })
    }

    /// Logs a user in with a device, sends the commands, and logs the user out.
    fn make<const N: usize>(&mut self, at: Millis, user: UserId, commands: [Command; N]) -> Result<(), Failure> {
        if !self.shard.wait_for_room() {
            return Err(Failure::with_status(Failure::DISK, "there is no room for the log"));
        }
        let (session, tag) = (SessionId(self.made + 1), RequestTag::None);
        let device = DeviceKey { flag: 0, id: "phone".into() };
        self.shard.handle(
            at,
            Input::Opened { session, tag, user, device, catch_up: CatchUp::Sync, sizing: Sizing::Verbatim },
        );
        for command in commands {
            self.shard.handle(at, Input::Requested { session, tag: RequestTag::None, command });
        }
        self.shard.handle(at, Input::Closed { session });
        if self.made.is_multiple_of(64) {
            self.shard.handle(at, Input::Waived);
        }
        if self.made.is_multiple_of(1_024) {
            self.shard.tick(at)?;
        }
        self.made += 1;
        Ok(())
    }

    /// Completes the log and returns its length.
    fn end(mut self, at: Millis) -> Result<u64, Failure> {
        self.shard.handle(at, Input::Waived);
        self.shard.tick(at)?;
        let log_bytes = self.shard.log_bytes();
        self.shard.close()?;
        Ok(log_bytes)
    }
}

/// Logs every user in once with a device; the inboxes stay empty.
fn fill_alone(directory: &Path, users: u64) -> Result<(), Failure> {
    let today = crate::terminal::date::now();
    let mut visits = Visits::begin(directory, Limits::default(), today)?;
    for number in 0..users {
        visits.make(today, user(&format!("user-{number}")), [Command::Ack(Ack::Through(Seq(0)))])?;
    }
    visits.end(today).map(drop)
}

/// Every user in turn writes a short message to the reader and a long one to the next user, and acknowledges its
/// entries. Returns the length of the log.
pub fn fill(directory: &Path, scale: &Scale) -> Result<u64, Failure> {
    let limits = Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() };
    let today = crate::terminal::date::now();
    let first_day = today.0 - scale.span_ms;
    let mut visits = Visits::begin(directory, limits, Millis(first_day))?;
    let per_step = (scale.bytes / scale.backlog).saturating_sub(2 * RECORD_BYTES + ENTRY_BYTES as u64);
    let filler = Bytes::from(vec![b'x'; (per_step as usize).clamp(1, limits.content_bytes_max)]);
    let entry = Bytes::from(vec![b'y'; ENTRY_BYTES]);
    let reader = user(READER);
    for step in 0..scale.backlog {
        let at = Millis(first_day + step * scale.span_ms / scale.backlog);
        let author = user(&format!("user-{}", step % scale.users));
        let next = user(&format!("user-{}", (step + 1) % scale.users));
        let short = message(&reader, format!("s{step}"), entry.clone());
        let long = message(&next, format!("l{step}"), filler.clone());
        visits.make(at, author, [short, long, Command::Ack(Ack::Through(Seq(1)))])?;
    }
    visits.end(today)
}

pub fn user(id: &str) -> UserId {
    UserId::new(id).expect("well formed")
}

pub fn message(to: &UserId, id: String, content: Bytes) -> Command {
    Command::Send(Send {
        client_message_id: ClientMessageId::new(&id).expect("well formed"),
        recipient: Recipient::User(to.clone()),
        conversation_name: None,
        message_type: 1,
        content: content.into(),
        send_time: 0,
        extra: Extra::default(),
        annotations: None,
    })
}

struct Pages {
    far: Histogram<u64>,
    near: Histogram<u64>,
}

/// Starts a server, measures the time that takes and its anonymous memory; then calls `work`.
fn start(
    plan: &ServerPlan<'_>,
    ask: impl FnOnce(&ServerProcess) -> Result<(), Failure>,
) -> Result<(f64, u64), Failure> {
    let began = Instant::now();
    let server = ServerProcess::start(plan)?;
    let start_ms = began.elapsed().as_secs_f64() * 1e3;
    // By then, memory that only the start needed has been returned.
    std::thread::sleep(Duration::from_millis(1_500));
    let memory = anonymous_bytes(server.pid())?;
    ask(&server)?;
    server.stop()?;
    Ok((start_ms, memory))
}

fn nothing(_server: &ServerProcess) -> Result<(), Failure> {
    Ok(())
}

fn read_pages(server: &ServerProcess, pages: &mut Pages) -> Result<(), Failure> {
    let token = Minter::open(&server.data_dir)?.mint(&parse_user(READER)?, TOKEN_TTL_MS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::because("cannot start"))?.block_on(async {
        let options = ClientOptions::new(&server.url, READER, token).device("bench").begin(Begin::Newest);
        // Nothing is pushed meanwhile.
        let (client, _events) = Client::connect(options).map_err(Failure::because("cannot begin"))?;
        let ready = tokio::time::timeout(TIMEOUT, client.until(Phase::Ready)).await;
        ready.map_err(Failure::because(&server.url))?.map_err(Failure::because(&server.url))?;
        let (_, newest) = page(&client, 0).await?;
        for number in 0..PAGES as u64 {
            // Each old page is a different one: nothing is read twice.
            let far = number * 3 % 1_000 * u64::from(PAGE_ENTRIES) % (newest / 2).max(1);
            for (after, histogram) in [(far, &mut pages.far), (newest - 100, &mut pages.near)] {
                let began = Instant::now();
                let (found, _) = page(&client, after).await?;
                if found != PAGE_ENTRIES as usize {
                    return Err(Failure::new(format!(
                        "a page of {PAGE_ENTRIES} entries after {after} has {found} entries"
                    )));
                }
                histogram.saturating_record(began.elapsed().as_nanos() as u64);
            }
        }
        Ok(())
    })
}

/// How many entries a page has, and the newest seq.
async fn page(client: &Client, after: u64) -> Result<(usize, u64), Failure> {
    let answer = client.request(Request::Sync { after, limit: PAGE_ENTRIES }).await;
    match answer.map_err(Failure::because("a page was refused"))? {
        Answer::Page { entries, server_max_seq, .. } => Ok((entries.len(), server_max_seq)),
        other => Err(Failure::new(format!("{other:?} is no page"))),
    }
}

fn drop_checkpoints(directory: &Path) -> Result<(), Failure> {
    let shard = directory.join("shard-000");
    for entry in std::fs::read_dir(&shard).map_err(Failure::because(shard.display()))?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "checkpoint") {
            std::fs::remove_file(entry.path()).map_err(Failure::because(entry.path().display()))?;
        }
    }
    Ok(())
}

impl std::fmt::Display for HistoryReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { log_bytes, users, backlog, .. } = self;
        writeln!(out, "a log of {:.2} GB, {users} users, an inbox of {backlog} entries", *log_bytes as f64 / 1e9)?;
        let Conditions { version, commit, build, kernel, machine_cores, .. } = &self.conditions;
        writeln!(out, "  mushan {version} ({commit}, {build}), Linux {kernel}, {machine_cores} cores, one shard")?;
        writeln!(out, "  written in         {:>9.1} s", self.fill_seconds)?;
        writeln!(
            out,
            "  start              {:>9.0} ms (on an empty directory {:.0} ms)",
            self.start_ms, self.start_empty_ms
        )?;
        let (without, rate) = (self.start_without_checkpoint_ms, self.recovery_gb_per_s);
        writeln!(out, "  without checkpoint {without:>9.0} ms, {rate:.2} GB/s")?;
        let MemoryShare { bytes_per_user, bytes_per_user_as_hosted, bytes_per_user_alone, bytes_per_conversation } =
            self.memory;
        writeln!(
            out,
            "  memory             {bytes_per_user:>9.0} bytes per user, with a device and two conversations \
             ({bytes_per_user_as_hosted:.0} where the host may give huge pages)"
        )?;
        writeln!(
            out,
            "                     {bytes_per_user_alone:>9.0} bytes per user with a device and no conversation"
        )?;
        writeln!(
            out,
            "                     {bytes_per_conversation:>9.0} bytes per conversation, both seats included"
        )?;
        let (far, far_p99, near) = (self.far_page_p50_ms, self.far_page_p99_ms, self.near_page_p50_ms);
        write!(
            out,
            "  a page of 100      {far:>9.2} ms at the far end (p99 {far_p99:.2} ms), {near:.2} ms at the near end"
        )
    }
}
