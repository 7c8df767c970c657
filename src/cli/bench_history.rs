//! `mushan bench history`: what a long history costs a server: its start, its memory, and reading far back in it.
//!
//! A log of the given size is written by the shard itself; then the real server is started on it, and asked over a
//! socket.

use super::bench_crowd::histogram;
use super::bench_process::anonymous_bytes;
use super::bench_report::Conditions;
use super::bench_server::{Api, Contents, ServerPlan, ServerProcess};
use super::failure::Failure;
use super::link::{Ended, Link};
use super::print;
use super::token::{Minter, parse_user};
use crate::model::{
    Ack, ClientMessageId, Command, DeviceKey, Extra, Limits, Millis, Recipient, RequestTag, Send, Seq, SessionId,
    UserId,
};
use crate::server::{Offline, Options};
use crate::shard::{Catching, Input};
use crate::wire::proto::{AuthRequest, CommandType, SyncRequest, SyncResponse, WebSocketMessage};
use bytes::Bytes;
use hdrhistogram::Histogram;
use prost::Message as _;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tungstenite::Message;

/// Write a long history, then start a server on it and read far back
///
/// Prints how long the server takes to start with and without its checkpoint, its memory per user who is not
/// connected and per conversation, and the time of a page of 100 entries at both ends of a long inbox (with the log in
/// the page cache).
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
    /// Where to make the temporary data directory [default: the system's]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// A short and small run that only proves the way through
    #[arg(long)]
    smoke: bool,
}

const READER: &str = "reader";
const ENTRY_BYTES: usize = 128;
const PAGE_ENTRIES: i32 = 100;
const PAGES: usize = 300;
/// So many tell what one costs.
const MEASURED_USERS_MAX: u64 = 200_000;
/// Of the user's id in its row; longer ones than 24 bytes take more.
const ID_BYTES: f64 = 24.0;
const DAY_MS: u64 = 24 * 3_600 * 1_000;
const TOKEN_TTL_MS: u64 = DAY_MS;
/// A record's envelope, links and ids beside its content.
const RECORD_BYTES: u64 = 200;

#[derive(Debug, Serialize)]
struct Report {
    conditions: Conditions,
    log_bytes: u64,
    users: u64,
    backlog: u64,
    fill_seconds: f64,
    /// From the start of the process to its listening, on an empty directory: what each start takes anyway.
    start_empty_ms: f64,
    start_ms: f64,
    start_without_checkpoint_ms: f64,
    recovery_gb_per_s: f64,
    /// Anonymous memory beyond that of the empty server, divided by the users. Each has a device and three conversations:
    /// one with the reader, two with its neighbours; so there are twice as many conversations as users.
    memory_bytes_per_user: f64,
    /// Of a user with a device, without its id and its conversations: from the difference of smaller logs.
    idle_user_bytes: f64,
    /// Of a conversation of two users of this server, with both of their seats.
    conversation_bytes: f64,
    far_page_p50_ms: f64,
    far_page_p99_ms: f64,
    near_page_p50_ms: f64,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let parent = arguments.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    let span_ms = arguments.days * DAY_MS;
    let scale = if arguments.smoke {
        Scale { bytes: 96 << 20, users: 2_000, backlog: 4_000, span_ms, circle: Circle::Wider }
    } else {
        let bytes = (arguments.gigabytes.clamp(0.001, 100_000.0) * 1e9) as u64;
        Scale { bytes, users: arguments.users, backlog: arguments.backlog, span_ms, circle: Circle::Wider }
    };
    let plan = |contents| ServerPlan {
        core: arguments.server_core,
        shards: 1,
        profile: "balanced",
        durability: "fsync",
        parent: &parent,
        contents,
        api: Api::Off,
        environment: &[],
    };
    let (start_empty_ms, memory_empty, _) = measure(&plan(Contents::None))?;
    let directory = ServerProcess::directory(&parent);
    let began = Instant::now();
    let log_bytes = fill(&directory, &scale).inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
    let fill_seconds = began.elapsed().as_secs_f64();
    let (start_ms, memory, pages) = measure(&plan(Contents::Kept))?;
    drop_checkpoints(&directory)?;
    let (start_without_checkpoint_ms, ..) = measure(&plan(Contents::KeptForTheLastTime))?;
    let measured = scale.users.min(MEASURED_USERS_MAX);
    let memory_with = |circle| -> Result<f64, Failure> {
        let scale = Scale { bytes: measured * 1_000, users: measured, backlog: measured, span_ms, circle };
        fill(&directory, &scale).inspect_err(|_| drop(std::fs::remove_dir_all(&directory)))?;
        let (_, memory, _) = measure(&plan(Contents::KeptForTheLastTime))?;
        Ok((memory as f64 - memory_empty as f64) / measured as f64)
    };
    let (narrow, wider) = (memory_with(Circle::Narrow)?, memory_with(Circle::Wider)?);
    let conversation_bytes = wider - narrow;
    let Pages { far, near } = pages.ok_or_else(|| Failure::new("no page was read"))?;
    let ms = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    let report = Report {
        conditions: Conditions::of_own_server(arguments.server_core, arguments.server_core, "balanced", "fsync"),
        log_bytes,
        users: scale.users,
        backlog: scale.backlog,
        fill_seconds,
        start_empty_ms,
        start_ms,
        start_without_checkpoint_ms,
        recovery_gb_per_s: log_bytes as f64 / 1e6 / (start_without_checkpoint_ms - start_empty_ms).max(1.0),
        memory_bytes_per_user: (memory as f64 - memory_empty as f64) / scale.users as f64,
        idle_user_bytes: narrow - conversation_bytes - ID_BYTES,
        conversation_bytes,
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
    pub circle: Circle,
}

/// Whom each user writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circle {
    /// The reader: a conversation each.
    Narrow,
    /// The next user as well: two of them each, counted once.
    Wider,
}

/// Everybody in turn writes a short message to the reader and, in the wider circle, a long one to the next user, and
/// acknowledges what it has; returns the length of the log.
pub fn fill(directory: &Path, scale: &Scale) -> Result<u64, Failure> {
    let limits = Limits { sends_per_second: 1_000_000, sends_burst: 1_000_000, ..Limits::default() };
    let options = Options { data_dir: directory.to_owned(), shards: Some(1), limits, ..Options::default() };
    let span = scale.span_ms;
    let today = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Failure::because("the clock"))?.as_millis() as u64;
    let mut shard = Offline::open(&options, Millis(today - span))?;
    let per_step = (scale.bytes / scale.backlog).saturating_sub(2 * RECORD_BYTES + ENTRY_BYTES as u64);
    let filler = Bytes::from(vec![b'x'; (per_step as usize).clamp(1, limits.content_bytes_max)]);
    let entry = Bytes::from(vec![b'y'; ENTRY_BYTES]);
    let reader = user(READER);
    for step in 0..scale.backlog {
        if !shard.wait_for_room() {
            return Err(Failure::with_status(Failure::DISK, "there is no room for the log"));
        }
        let now = Millis(today - span + step * span / scale.backlog);
        let author = user(&format!("user-{}", step % scale.users));
        let next = user(&format!("user-{}", (step + 1) % scale.users));
        let session = SessionId(step + 1);
        let device = DeviceKey { flag: 0, id: "phone".into() };
        shard.handle(
            now,
            Input::Opened { session, tag: RequestTag::None, user: author, device, catching: Catching::Sync },
        );
        let short = message(&reader, format!("s{step}"), entry.clone());
        let long = message(&next, format!("l{step}"), filler.clone());
        let long = (scale.circle == Circle::Wider).then_some(long);
        let ack = Command::Ack(Ack::Through(Seq(1)));
        for command in [Some(short), long, Some(ack)].into_iter().flatten() {
            shard.handle(now, Input::Requested { session, tag: RequestTag::None, command });
        }
        shard.handle(now, Input::Closed { session });
        if step % 64 == 0 {
            shard.handle(now, Input::Waived);
        }
        if step % 1_024 == 0 {
            shard.tick(now)?;
        }
    }
    shard.handle(Millis(today), Input::Waived);
    shard.tick(Millis(today))?;
    let log_bytes = shard.log_bytes();
    shard.close()?;
    Ok(log_bytes)
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
        content,
        send_time: 0,
        extra: Extra::default(),
        annotations: None,
    })
}

struct Pages {
    far: Histogram<u64>,
    near: Histogram<u64>,
}

/// Starts a server, and says how long that took, how much anonymous memory it has, and how long pages took.
fn measure(plan: &ServerPlan<'_>) -> Result<(f64, u64, Option<Pages>), Failure> {
    let began = Instant::now();
    let server = ServerProcess::start(plan)?;
    let start_ms = began.elapsed().as_secs_f64() * 1e3;
    // What the start itself needed has been given back by then.
    std::thread::sleep(Duration::from_millis(1_500));
    let memory = anonymous_bytes(server.pid())?;
    let pages = match plan.contents {
        Contents::None => None,
        Contents::Kept | Contents::KeptForTheLastTime => Some(read_pages(&server)?),
    };
    server.stop()?;
    Ok((start_ms, memory, pages))
}

fn read_pages(server: &ServerProcess) -> Result<Pages, Failure> {
    let token = Minter::open(&server.data_dir)?.mint(&parse_user(READER)?, TOKEN_TTL_MS);
    let mut link = Link::connect(&server.url, "/ws")?;
    let login = AuthRequest { user_id: READER.to_owned(), token, platform: "bench".to_owned() };
    ask(&mut link, CommandType::CmdAuthReq, &login)?;
    let mut pages = Pages { far: histogram(), near: histogram() };
    let newest = page(&mut link, 0)?.server_max_seq;
    for number in 0..PAGES as i64 {
        // Each far page is another one: nothing is read twice.
        let far = number * 3 % 1_000 * i64::from(PAGE_ENTRIES) % (newest / 2).max(1);
        for (after, histogram) in [(far, &mut pages.far), (newest - 100, &mut pages.near)] {
            let began = Instant::now();
            let found = page(&mut link, after)?.messages.len();
            if found != PAGE_ENTRIES as usize {
                return Err(Failure::new(format!("a page of {PAGE_ENTRIES} behind {after} has {found} entries")));
            }
            histogram.saturating_record(began.elapsed().as_nanos() as u64);
        }
    }
    Ok(pages)
}

fn page(link: &mut Link, after: i64) -> Result<SyncResponse, Failure> {
    let body = ask(link, CommandType::CmdSyncReq, &SyncRequest { min_seq: 0, max_seq: after, limit: PAGE_ENTRIES })?;
    SyncResponse::decode(body).map_err(Failure::because("an answer is not understood"))
}

fn ask(link: &mut Link, command: CommandType, body: &impl prost::Message) -> Result<Bytes, Failure> {
    let lost = |ended| match ended {
        Ended::Closed(code, reason) => Failure::new(format!("the server closed: {code} {reason}")),
        Ended::Failed(why) => Failure::new(format!("the connection failed: {why}")),
    };
    let message = WebSocketMessage {
        command: command.into(),
        sequence: 1,
        body: body.encode_to_vec().into(),
        ..Default::default()
    };
    link.send(Message::Binary(message.encode_to_vec().into())).map_err(lost)?;
    loop {
        if let Some(Message::Binary(bytes)) = link.receive().map_err(lost)? {
            let answer = WebSocketMessage::decode(bytes).map_err(Failure::because("an answer is not understood"))?;
            return Ok(answer.body);
        }
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

impl std::fmt::Display for Report {
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
        writeln!(
            out,
            "  memory             {:>9.0} bytes per user, with a device and three conversations (each of two users)",
            self.memory_bytes_per_user
        )?;
        writeln!(
            out,
            "  made up of         {:>9.0} bytes for the user and a device beyond its id, {:.0} for a conversation",
            self.idle_user_bytes, self.conversation_bytes
        )?;
        let (far, far_p99, near) = (self.far_page_p50_ms, self.far_page_p99_ms, self.near_page_p50_ms);
        write!(
            out,
            "  a page of 100      {far:>9.2} ms at the far end (p99 {far_p99:.2} ms), {near:.2} ms at the near end"
        )
    }
}
