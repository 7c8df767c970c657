//! The server's lines on stdout and stderr, each stream written by a thread of its own.
//!
//! Invariants: no writer waits for a reader or a disk; no failure of a stream ends the process; a line that cannot be
//! written is dropped and counted, and the count is reported once lines can be written again. Without `start` (every
//! command but `serve`) lines are written synchronously, and errors are ignored.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The most lines that wait for a stream. Further ones are dropped.
const LINES_MAX: usize = 4_096;
/// How long the end of the process waits for the last lines.
const LAST_WORDS: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(1);

/// One of the two streams of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleStream {
    Output,
    Errors,
}

/// The sending side of one stream's thread.
struct ConsoleWriter {
    lines: Sender<Vec<u8>>,
    counts: &'static Counts,
}

struct Counts {
    waiting: AtomicU64,
    lost: AtomicU64,
}

static OUTPUT: OnceLock<ConsoleWriter> = OnceLock::new();
static ERRORS: OnceLock<ConsoleWriter> = OnceLock::new();
static OUTPUT_COUNTS: Counts = Counts::new();
static ERRORS_COUNTS: Counts = Counts::new();

impl Counts {
    const fn new() -> Self {
        Self { waiting: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }
}

/// From now on threads write the lines, panic messages included. To be called once, before the first line.
pub fn start() -> io::Result<()> {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    for (writer, counts, file) in [(&OUTPUT, &OUTPUT_COUNTS, stdout), (&ERRORS, &ERRORS_COUNTS, stderr)] {
        // A stream without a descriptor loses every line, and the server still runs.
        let Ok(file) = file else { continue };
        let lines = spawn(file, counts)?;
        let _ = writer.set(ConsoleWriter { lines, counts });
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let backtrace = Backtrace::capture();
        let trace = if backtrace.status() == BacktraceStatus::Captured { backtrace.to_string() } else { String::new() };
        say(ConsoleStream::Errors, &format!("thread '{}' {panic}\n{trace}", thread.name().unwrap_or("unnamed")));
        finish();
    }));
    Ok(())
}

fn spawn(file: impl Write + Send + 'static, counts: &'static Counts) -> io::Result<Sender<Vec<u8>>> {
    let (lines, received) = bounded(LINES_MAX);
    std::thread::Builder::new().name("mushan-console".to_owned()).spawn(move || write_all(file, &received, counts))?;
    Ok(lines)
}

fn write_all(mut file: impl Write, lines: &Receiver<Vec<u8>>, counts: &Counts) {
    let mut told = 0;
    for line in lines {
        let lost = counts.lost.load(Ordering::Relaxed);
        let mut written = Ok(());
        if lost > told {
            written = file.write_all(format!("mushan: {} lines could not be written here\n", lost - told).as_bytes());
        }
        match written.and_then(|()| file.write_all(&line)) {
            Ok(()) => told = lost,
            Err(_) => drop(counts.lost.fetch_add(1, Ordering::Relaxed)),
        }
        counts.waiting.fetch_sub(1, Ordering::Release);
    }
}

impl ConsoleWriter {
    fn send(&self, line: &[u8]) {
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if self.lines.try_send(line.to_vec()).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes `text` as one line.
pub fn say(stream: ConsoleStream, text: &str) {
    write(stream, format!("{}\n", text.trim_end()).as_bytes());
}

fn write(stream: ConsoleStream, line: &[u8]) {
    let (writer, counts) = match stream {
        ConsoleStream::Output => (OUTPUT.get(), &OUTPUT_COUNTS),
        ConsoleStream::Errors => (ERRORS.get(), &ERRORS_COUNTS),
    };
    if let Some(writer) = writer {
        return writer.send(line);
    }
    let written = match stream {
        ConsoleStream::Output => io::stdout().lock().write_all(line).and_then(|()| io::stdout().flush()),
        ConsoleStream::Errors => io::stderr().lock().write_all(line),
    };
    if written.is_err() {
        counts.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits a moment for the last lines. To be called before the process ends.
pub fn finish() {
    let began = Instant::now();
    let is_waiting =
        || [&OUTPUT_COUNTS, &ERRORS_COUNTS].iter().any(|counts| counts.waiting.load(Ordering::Acquire) > 0);
    while is_waiting() && began.elapsed() < LAST_WORDS {
        std::thread::sleep(POLL);
    }
}

/// The number of lines that could not be written so far.
pub fn lost() -> u64 {
    OUTPUT_COUNTS.lost.load(Ordering::Relaxed) + ERRORS_COUNTS.lost.load(Ordering::Relaxed)
}

/// A writer for a logger: each write is one line and always succeeds.
#[derive(Clone, Copy, Debug)]
pub struct ErrorLines;

impl Write for ErrorLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write(ConsoleStream::Errors, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A stream that fails while its flag is set.
    #[derive(Clone, Default)]
    struct Failing {
        is_failing: Arc<std::sync::atomic::AtomicBool>,
        text: Arc<Mutex<String>>,
    }

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_failing.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.lock().expect("no panic inside").push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn until(what: &str, holds: impl Fn() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(30), "{what}");
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn lines_that_a_stream_refuses_are_counted_and_told_once_it_takes_some_again() {
        static COUNTS: Counts = Counts::new();
        let stream = Failing::default();
        stream.is_failing.store(true, Ordering::SeqCst);
        let writer = ConsoleWriter { lines: spawn(stream.clone(), &COUNTS).expect("a thread"), counts: &COUNTS };
        writer.send(b"one\n");
        writer.send(b"two\n");
        until("both are tried", || COUNTS.waiting.load(Ordering::Acquire) == 0);
        assert_eq!(COUNTS.lost.load(Ordering::Relaxed), 2);
        stream.is_failing.store(false, Ordering::SeqCst);
        writer.send(b"three\n");
        until("it is written", || COUNTS.waiting.load(Ordering::Acquire) == 0);
        assert_eq!(*stream.text.lock().expect("no panic"), "mushan: 2 lines could not be written here\nthree\n");
    }

    #[test]
    fn who_says_something_never_waits_for_a_stream_that_is_stuck() {
        static COUNTS: Counts = Counts::new();
        struct Stuck(Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Blocks until the test ends.
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (_held, stuck) = bounded(0);
        let writer = ConsoleWriter { lines: spawn(Stuck(stuck), &COUNTS).expect("a thread"), counts: &COUNTS };
        for _line in 0..LINES_MAX + 10 {
            writer.send(b"line\n");
        }
        assert!((9..=10).contains(&COUNTS.lost.load(Ordering::Relaxed)), "all but those that wait are lost");
    }
}
