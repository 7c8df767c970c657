//! The log on stderr: its format, its level, which can change while the server runs, and a bound on the lines that one
//! place in the program may write.
//!
//! Invariants: a line is written by `console`, so nobody waits for it; a place that repeats itself cannot push out what
//! others say; how many lines were left out is told with the place's next line.

use crate::server::base::console;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::io::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::metadata::LevelFilter;
use tracing::{Event, Metadata};
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// The most lines of one place in one window.
const LINES_MAX: u32 = 50;
const WINDOW: Duration = Duration::from_secs(10);

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object in each line.
    Json,
}

impl LogFormat {
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// What changes the level of a running process.
struct LevelControl {
    filter: reload::Handle<EnvFilter, Registry>,
    /// The filter in use, as it was given.
    text: Mutex<String>,
}

static CONTROL: OnceLock<LevelControl> = OnceLock::new();

/// From now on the log is written. To be called once.
pub fn start(filter: EnvFilter, format: LogFormat) {
    let text = Mutex::new(filter.to_string());
    let (filter, handle) = reload::Layer::new(filter);
    let limited = filter.and(PlaceLimit { format, places: Mutex::default() });
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(format == LogFormat::Text && std::io::stderr().is_terminal())
        .with_writer(|| console::ErrorLines)
        // Otherwise the logger would print its own write errors, and a failed print panics.
        .log_internal_errors(false);
    let layer = match format {
        LogFormat::Text => layer.with_filter(limited).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(limited).boxed(),
    };
    tracing_subscriber::registry().with(layer).init();
    let _ = CONTROL.set(LevelControl { filter: handle, text });
}

/// The level or the filter in use; empty before the start.
pub fn level() -> String {
    CONTROL
        .get()
        .map_or_else(String::new, |control| control.text.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Replaces the level.
///
/// # Errors
///
/// The text is no level and no filter; or there is no log.
pub fn set_level(text: &str) -> Result<(), String> {
    let filter = parse_filter(text)?;
    let control = CONTROL.get().ok_or("this process has no log")?;
    control.filter.reload(filter).map_err(|error| error.to_string())?;
    text.clone_into(&mut control.text.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(())
}

/// Parses a filter in the syntax of `RUST_LOG`. A single word must be a level: a misspelt level would otherwise be
/// taken for the name of a module.
///
/// # Errors
///
/// What is expected.
pub fn parse_filter(text: &str) -> Result<EnvFilter, String> {
    let is_named = |part: &str| !part.trim().is_empty() && part.trim().parse::<LevelFilter>().is_ok();
    let is_level = |part: &str| part.contains(['=', '[']) || is_named(part);
    match EnvFilter::try_new(text) {
        Ok(filter) if text.split(',').all(is_level) => Ok(filter),
        _ => {
            Err("expected error, warn, info, debug, trace or off, or a filter such as info,mushan::server=debug"
                .to_owned())
        }
    }
}

/// Lets a bounded number of lines of each place pass.
struct PlaceLimit {
    format: LogFormat,
    places: Mutex<HashMap<Identifier, PlaceWindow>>,
}

#[derive(Clone, Copy, Debug)]
struct PlaceWindow {
    began: Instant,
    written: u32,
    left_out: u64,
}

impl PlaceWindow {
    /// Whether one more line may be written, and how many were left out before it.
    fn admit(&mut self, now: Instant) -> (bool, u64) {
        if now.saturating_duration_since(self.began) >= WINDOW {
            let left_out = self.left_out;
            *self = Self { began: now, written: 1, left_out: 0 };
            return (true, left_out);
        }
        let is_admitted = self.written < LINES_MAX;
        self.written += u32::from(is_admitted);
        self.left_out += u64::from(!is_admitted);
        (is_admitted, 0)
    }
}

impl<S> Filter<S> for PlaceLimit {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let now = Instant::now();
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = PlaceWindow { began: now, written: 0, left_out: 0 };
        let (is_admitted, left_out) = places.entry(event.metadata().callsite()).or_insert(fresh).admit(now);
        drop(places);
        if left_out > 0 {
            self.tell(event.metadata(), left_out);
        }
        is_admitted
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

impl PlaceLimit {
    fn tell(&self, metadata: &Metadata<'_>, left_out: u64) {
        let (target, line) = (metadata.target(), metadata.line().unwrap_or_default());
        let text = match self.format {
            LogFormat::Text => {
                format!("mushan: {left_out} more lines like the next one were left out ({target}:{line})\n")
            }
            LogFormat::Json => format!(
                "{}\n",
                serde_json::json!({
                    "level": metadata.level().as_str(), "target": target, "line": line, "left_out": left_out,
                    "message": "lines like the next one were left out",
                })
            ),
        };
        // It always succeeds: what cannot be written is counted.
        let _ = console::ErrorLines.write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_level_is_a_level_or_a_filter() {
        for taken in ["warn", "off", "info,mushan::server=debug", "DEBUG"] {
            assert!(parse_filter(taken).is_ok(), "{taken}");
        }
        for refused in ["", "loud", "mushan=loud", "info,warning"] {
            assert!(parse_filter(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_place_that_repeats_itself_is_cut_short_and_says_so_later() {
        let began = Instant::now();
        let mut window = PlaceWindow { began, written: 0, left_out: 0 };
        let admitted = (0..LINES_MAX + 30).filter(|_| window.admit(began).0).count();
        assert_eq!(admitted as u32, LINES_MAX);
        assert_eq!(window.admit(began + WINDOW), (true, 30));
        assert_eq!(window.admit(began + WINDOW), (true, 0));
    }
}
