//! The progress of long work: a bar on stderr if it is a terminal, nothing otherwise.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

const BYTES: &str = "{prefix} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
const CONVERSATIONS: &str = "{prefix} {wide_bar} {human_pos}/{human_len} conversations, {per_sec}, {eta} left";
const MESSAGES: &str = "{prefix} {wide_bar} {human_pos}/{human_len} messages, {per_sec}, {eta} left";

const SPAN: &str = "{prefix} {wide_bar} {elapsed}";
const COUNT: &str = "{prefix} {wide_bar} {human_pos}/{human_len}, {per_sec}, {eta} left";

/// A progress bar, removed from the screen when dropped.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for a number of bytes. indicatif draws nothing if stderr is not a terminal.
    pub fn of_bytes(doing: &str, bytes: u64) -> Self {
        Self::new(doing, bytes, BYTES)
    }

    /// A bar for a number of messages.
    pub fn of_messages(doing: &str, messages: u64) -> Self {
        Self::new(doing, messages, MESSAGES)
    }

    /// A bar for a time span.
    pub fn of_span(doing: &str, span: Duration) -> Self {
        Self::new(doing, milliseconds(span), SPAN)
    }

    /// A bar for a number of other things.
    pub fn of_count(doing: &str, count: u64) -> Self {
        Self::new(doing, count, COUNT)
    }

    /// A bar for conversations whose number is set later.
    pub fn of_conversations(doing: &str) -> Self {
        Self::new(doing, 0, CONVERSATIONS)
    }

    pub fn extend_to(&self, length: u64) {
        self.bar.set_length(length);
    }

    fn new(doing: &str, length: u64, template: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(template).expect("a constant that the tests parse"));
        bar.set_prefix(doing.to_owned());
        Self { bar }
    }

    /// No bar, for machine-readable output.
    pub fn none() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    pub fn advance(&self, by: u64) {
        self.bar.inc(by);
    }

    pub fn reach(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Limits redrawing, so that it can be called in a tight loop.
    pub fn reach_span(&self, passed: Duration) {
        let passed = milliseconds(passed);
        if !self.bar.is_hidden() && passed / REDRAWN_MS != self.bar.position() / REDRAWN_MS {
            self.bar.set_position(passed);
        }
    }
}

const REDRAWN_MS: u64 = 100;

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_counts_what_it_is_told() {
        let progress = Progress::of_bytes("copying", 100);
        progress.advance(30);
        progress.advance(20);
        assert_eq!((progress.bar.position(), progress.bar.length()), (50, Some(100)));
        let progress = Progress::of_messages("rewriting", 7);
        progress.reach(7);
        assert_eq!((progress.bar.position(), progress.bar.length()), (7, Some(7)));
        let progress = Progress::of_span("loading", Duration::from_secs(2));
        assert_eq!(progress.bar.length(), Some(2_000));
        assert_eq!(Progress::of_count("letting in", 9).bar.length(), Some(9));
    }
}
