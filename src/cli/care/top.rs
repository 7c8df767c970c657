//! `mushan top`: a live view of a running server and of its shards, in a terminal.
//!
//! It reads `GET /v1/status` once a second, on a thread of its own: a server that does not answer delays no key. Invariant: however
//! it ends, the terminal is as it was.

use crate::cli::care::status::{bytes, micros};
use crate::terminal::admin_client::{ApiFlags, Call};
use crate::terminal::date::of_millis;
use crate::terminal::failure::Failure;
use hyper::Method;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGTERM};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const READ_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at keys, readings and signals.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A shard shows its numbers once a second.
const STALLED_MS: u64 = 5_000;

/// Watch a running server: its shards, rates, latencies, slow sessions and followers; q ends
///
/// Rates are those since the last reading, once a second; quantiles those of the whole run (upper bounds, powers of two). Slow
/// sessions are those whose sockets do not take what is queued for them. Without a terminal use `mushan status`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    api: ApiFlags,
}

pub fn run(Arguments { api }: &Arguments) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::new("top needs a terminal; `mushan status --json` prints the same numbers once"));
    }
    // Before the terminal changes: without a server there is nothing to show.
    let first = read(api)?;
    let is_told_to_end = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, is_told_to_end.clone())
            .map_err(Failure::because("cannot watch for signals"))?;
    }
    let read = read_every_second(api.clone());
    let mut terminal = ratatui::try_init().map_err(Failure::because("cannot use this terminal"))?;
    let shown = show(&mut terminal, StatusReadings::first(first), &read, &is_told_to_end);
    ratatui::restore();
    shown
}

/// One status, and when it was read.
struct StatusReading {
    status: Value,
    at: Instant,
}

fn read(api: &ApiFlags) -> Result<StatusReading, Failure> {
    let status = api.ask(Call::new(Method::GET, &["status"]))?;
    Ok(StatusReading { status, at: Instant::now() })
}

/// Reads until nobody receives.
fn read_every_second(api: ApiFlags) -> Receiver<Result<StatusReading, Failure>> {
    let (readings, received) = channel();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(READ_EVERY);
            if readings.send(read(&api)).is_err() {
                return;
            }
        }
    });
    received
}

/// Until a key, or a signal, asks for the end.
fn show(
    terminal: &mut ratatui::DefaultTerminal,
    mut readings: StatusReadings,
    received: &Receiver<Result<StatusReading, Failure>>,
    is_told_to_end: &AtomicBool,
) -> Result<(), Failure> {
    let mut is_changed = true;
    while !is_told_to_end.load(Ordering::Relaxed) {
        if std::mem::take(&mut is_changed) {
            terminal.draw(|frame| draw(frame, &readings)).map_err(Failure::because("cannot draw"))?;
        }
        let keyboard = || Failure::because::<std::io::Error>("cannot read the keyboard");
        if event::poll(LOOK_EVERY).map_err(keyboard())? {
            let event = event::read().map_err(keyboard())?;
            if wants_to_end(&event) {
                return Ok(());
            }
            is_changed = true;
        }
        while let Ok(reading) = received.try_recv() {
            readings.take(reading);
            is_changed = true;
        }
    }
    Ok(())
}

fn wants_to_end(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

/// The last two readings, by which rates are computed.
struct StatusReadings {
    before: Option<StatusReading>,
    now: StatusReading,
    /// Why the last attempt to read failed.
    failure: Option<String>,
}

impl StatusReadings {
    fn first(now: StatusReading) -> Self {
        Self { before: None, now, failure: None }
    }

    fn take(&mut self, reading: Result<StatusReading, Failure>) {
        match reading {
            Ok(reading) => {
                self.before = Some(std::mem::replace(&mut self.now, reading));
                self.failure = None;
            }
            Err(failure) => self.failure = Some(failure.sentence),
        }
    }

    fn shards(&self) -> &[Value] {
        self.now.status["shards"].as_array().map_or(&[], Vec::as_slice)
    }

    /// How much a shard's counter has grown in a second; 0 after a restart of the server.
    fn rate(&self, shard: usize, name: &str) -> u64 {
        let Some(before) = &self.before else { return 0 };
        let of = |reading: &StatusReading| reading.status["shards"][shard][name].as_u64().unwrap_or_default();
        let seconds = self.now.at.duration_since(before.at).as_secs_f64().max(0.001);
        (of(&self.now).saturating_sub(of(before)) as f64 / seconds).round() as u64
    }
}

fn draw(frame: &mut Frame<'_>, readings: &StatusReadings) {
    let (slow, followers) = (slow_lines(readings), follower_lines(&readings.now.status));
    let height = |lines: &[Line<'_>]| u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let shards = u16::try_from(readings.shards().len()).unwrap_or(u16::MAX).saturating_add(3);
    let heights = [
        Constraint::Length(4),
        Constraint::Max(shards),
        Constraint::Max(height(&slow)),
        Constraint::Max(height(&followers)),
        Constraint::Fill(1),
    ];
    let [head, middle, below, foot, _rest] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Paragraph::new(head_lines(readings)).block(Block::bordered().title(" mushan; q ends ")), head);
    frame.render_widget(shard_table(readings), middle);
    frame.render_widget(Paragraph::new(slow).block(Block::bordered().title(" slow sessions ")), below);
    frame.render_widget(Paragraph::new(followers).block(Block::bordered().title(" followers and backup ")), foot);
}

fn head_lines(readings: &StatusReadings) -> Vec<Line<'static>> {
    let status = &readings.now.status;
    let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let sum = |name: &str| -> u64 { readings.shards().iter().filter_map(|shard| shard[name].as_u64()).sum() };
    let rates = |name: &str| -> u64 { (0..readings.shards().len()).map(|shard| readings.rate(shard, name)).sum() };
    let phase = if status["draining"] == true { "draining".to_owned() } else { text("phase") };
    let is_well = phase == "ready" && status["disk"]["full"] != true;
    let first = match &readings.failure {
        Some(failure) => Line::from(format!("no answer: {failure}")).style(Color::Red),
        None => Line::from(format!(
            "{} ({})  {phase} since {}  durability {}",
            text("version"),
            text("commit"),
            of_millis(number(&status["started"])),
            text("durability")
        ))
        .style(if is_well { Color::Green } else { Color::Red }),
    };
    let second = format!(
        "{} sessions  {} messages/s  {} pushes/s  {} refused/s  disk {} of {} free",
        sum("sessions"),
        rates("messages_committed"),
        rates("events_pushed"),
        rates("requests_refused"),
        bytes(number(&status["disk"]["free_bytes"])),
        bytes(number(&status["disk"]["total_bytes"])),
    );
    vec![first, Line::from(second)]
}

const HEAD: [&str; 13] = [
    "shard",
    "sessions",
    "msgs/s",
    "push/s",
    "refused/s",
    "turns/s",
    "commit p99",
    "push p99",
    "sync p99",
    "turn p99",
    "waiting",
    "outbox",
    "log",
];

fn shard_table(readings: &StatusReadings) -> Table<'static> {
    let rows = readings.shards().iter().enumerate().map(|(index, shard)| {
        let number = |name: &str| shard[name].as_u64().unwrap_or_default();
        let p99 = |name: &str| shard[name]["p99"].as_u64().unwrap_or_default();
        let cells = [
            number("shard").to_string(),
            number("sessions").to_string(),
            readings.rate(index, "messages_committed").to_string(),
            readings.rate(index, "events_pushed").to_string(),
            readings.rate(index, "requests_refused").to_string(),
            readings.rate(index, "turns").to_string(),
            micros(p99("commit_us")),
            micros(p99("push_ms").saturating_mul(1_000)),
            micros(p99("sync_us")),
            micros(p99("turn_us")),
            number("pending_effects").saturating_add(number("lane_waiting")).to_string(),
            bytes(number("outbox_bytes")),
            bytes(number("log_bytes")),
        ];
        let is_well = number("age_ms") < STALLED_MS && shard["log_full"] != true;
        let row = Row::new(cells.map(Cell::from));
        if is_well { row } else { row.style(Style::new().fg(Color::Red)) }
    });
    let head = Row::new(HEAD.map(Cell::from)).style(Style::new().add_modifier(Modifier::BOLD));
    Table::new(rows, [Constraint::Fill(1); HEAD.len()]).header(head).block(Block::bordered().title(" shards "))
}

fn slow_lines(readings: &StatusReadings) -> Vec<Line<'static>> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let sessions = readings.shards().iter().flat_map(|shard| shard["slow_sessions"].as_array().into_iter().flatten());
    let lines: Vec<Line<'static>> = sessions
        .map(|session| {
            let user = session["user"].as_str().unwrap_or_default();
            let (queued, waiting_ms) = (bytes(number(&session["queued_bytes"])), number(&session["waiting_ms"]));
            Line::from(format!("{user}: {queued} queued, nothing taken for {} s", waiting_ms / 1_000))
        })
        .collect();
    if lines.is_empty() { vec![Line::from("none")] } else { lines }
}

fn follower_lines(status: &Value) -> Vec<Line<'static>> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let backup = status["last_backup"].as_u64().map_or_else(|| "never".to_owned(), of_millis);
    let streams = bytes(number(&status["event_stream_lag_bytes"]));
    let mut lines = vec![Line::from(format!("event streams {streams} behind  last backup {backup}"))];
    for webhook in status["webhooks"].as_array().into_iter().flatten() {
        let (lag_ms, dead) = (number(&webhook["lag_ms"]), number(&webhook["dead_letters"]));
        let name = webhook["name"].as_str().unwrap_or_default();
        lines.push(Line::from(format!("webhook {name}: {} s behind, {dead} dead letters", lag_ms / 1_000)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    fn status(committed: u64) -> Value {
        json!({
            "version": "1", "commit": "abc", "phase": "ready", "draining": false, "started": 0, "durability": "fsync",
            "disk": {"free_bytes": 1 << 30, "total_bytes": 1_u64 << 31, "full": false},
            "webhooks": [{"name": "orders", "lag_ms": 7000, "dead_letters": 3}],
            "event_stream_lag_bytes": 0, "last_backup": null,
            "shards": [{"shard": 0, "age_ms": 10, "sessions": 12, "messages_committed": committed, "commit_us": {"p99": 2048},
                "slow_sessions": [{"user": "mallory", "queued_bytes": 20480, "waiting_ms": 4000}]}]
        })
    }

    fn text_of(readings: &StatusReadings, (width, height): (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
        terminal.draw(|frame| draw(frame, readings)).expect("memory");
        let lines = terminal.backend().buffer().content().chunks(usize::from(width));
        lines.map(|cells| cells.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
    }

    #[test]
    fn a_picture_has_rates_latencies_slow_sessions_and_followers() {
        let at = Instant::now();
        let mut readings = StatusReadings::first(StatusReading { status: status(100), at });
        readings.take(Ok(StatusReading { status: status(350), at: at + Duration::from_millis(500) }));
        let text = text_of(&readings, (140, 24));
        for part in [
            "12 sessions  500 messages/s",
            "1024 MiB of 2048 MiB free",
            "mallory: 20 KiB queued, nothing taken for 4 s",
            "webhook orders: 7 s behind, 3 dead",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let row = text.lines().find(|line| line.contains("2 ms")).expect("the shard's row");
        assert_eq!(row.trim_matches('│').split_whitespace().take(3).collect::<Vec<_>>(), ["0", "12", "500"]);
        readings.take(Err(Failure::new("it is gone")));
        assert!(text_of(&readings, (140, 24)).contains("no answer: it is gone"), "the last numbers stay");
    }

    #[test]
    fn any_size_of_a_terminal_can_be_drawn() {
        let readings = StatusReadings::first(StatusReading { status: status(1), at: Instant::now() });
        for size in [(1, 1), (10, 3), (80, 24), (400, 100)] {
            text_of(&readings, size);
        }
        text_of(&StatusReadings::first(StatusReading { status: Value::Null, at: Instant::now() }), (80, 24));
    }
}
