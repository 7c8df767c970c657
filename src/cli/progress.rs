//! How far long work has come: a bar on stderr for whoever sits at a terminal, nothing for anybody else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const TEMPLATE: &str = "{prefix} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";

/// Gone from the screen when dropped.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of so many bytes. indicatif draws nothing when stderr is no terminal.
    pub fn of_bytes(doing: &str, bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(TEMPLATE).expect("a constant that the tests parse"));
        bar.set_prefix(doing.to_owned());
        Self { bar }
    }

    /// For output that a machine reads.
    pub fn none() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
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
    }
}
