//! The generator's connections under one poll: a bounded number logs in at a time, and then their events are reported.

use crate::bench::load::client::{Client, Happened};
use crate::terminal::failure::Failure;
use crate::terminal::progress::Progress;
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

const READ_BYTES: usize = 64 << 10;
/// Socket events of one poll.
const EVENTS: usize = 1_024;
/// If no login completes for this long, opening fails.
const TIMEOUT: Duration = Duration::from_secs(20);
pub const LATENCY_NS_MAX: u64 = 60_000_000_000;

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are in order")
}

pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// All clients of the generator, and the poll that tells which of their sockets are ready.
pub struct Crowd {
    poll: Poll,
    events: Option<Events>,
    pub clients: Vec<Client>,
    buffer: Vec<u8>,
    /// Clients with bytes to write.
    dirty: Vec<usize>,
}

/// The result of opening all connections.
pub struct CrowdOpened {
    pub took: Duration,
    /// Time from the beginning of connecting to the answer to the login.
    pub login_ns: Histogram<u64>,
}

impl Crowd {
    pub fn new() -> Result<Self, Failure> {
        let poll = Poll::new().map_err(Failure::because("cannot watch the sockets"))?;
        let events = Some(Events::with_capacity(EVENTS));
        Ok(Self { poll, events, clients: Vec::new(), buffer: vec![0; READ_BYTES], dirty: Vec::new() })
    }

    /// Opens `count` connections, at most `at_once` of them at a time.
    pub fn let_in(
        &mut self,
        count: usize,
        at_once: usize,
        progress: &Progress,
        mut next: impl FnMut(usize) -> Result<Client, Failure>,
    ) -> Result<CrowdOpened, Failure> {
        let (began, mut login_ns) = (Instant::now(), histogram());
        let first = self.clients.len();
        let mut since: Vec<Instant> = Vec::with_capacity(count);
        let (mut done, mut moved) = (0, began);
        while done < count {
            while since.len() < count && since.len() - done < at_once {
                since.push(Instant::now());
                let client = next(first + since.len() - 1)?;
                self.add(client)?;
            }
            let before = done;
            self.step(Duration::from_millis(100), |index, happened, now| {
                if happened == Happened::LoggedIn {
                    done += 1;
                    login_ns.saturating_record(nanoseconds(now - since[index - first]));
                }
            })?;
            progress.reach(done as u64);
            if done > before {
                moved = Instant::now();
            } else if moved.elapsed() > TIMEOUT {
                return Err(Failure::new(format!("only {done} of {count} connections were opened within {TIMEOUT:?}")));
            }
        }
        Ok(CrowdOpened { took: began.elapsed(), login_ns })
    }

    fn add(&mut self, client: Client) -> Result<(), Failure> {
        self.clients.push(client);
        let index = self.clients.len() - 1;
        self.watch(index)?;
        self.dirty.push(index);
        self.flush()
    }

    /// Registers the new socket of a client.
    pub fn watch(&mut self, index: usize) -> Result<(), Failure> {
        let (registry, stream) = (self.poll.registry(), &mut self.clients[index].stream.tcp);
        let registered = registry.register(stream, Token(index), Interest::READABLE | Interest::WRITABLE);
        registered.map_err(Failure::because("cannot watch a socket"))
    }

    /// Waits up to `timeout` for events and reports them; then writes what is queued.
    pub fn step(&mut self, timeout: Duration, mut tell: impl FnMut(usize, Happened, Instant)) -> Result<(), Failure> {
        let mut events = self.events.take().unwrap_or_else(|| Events::with_capacity(EVENTS));
        match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => events.clear(),
            result => result.map_err(Failure::because("cannot wait for the sockets"))?,
        }
        for event in &events {
            let index = event.token().0;
            if event.is_readable() {
                let now = Instant::now();
                self.clients[index].read(&mut self.buffer, &mut |happened| tell(index, happened, now))?;
            }
            self.dirty.push(index);
        }
        self.events = Some(events);
        self.flush()
    }

    pub fn note_dirty(&mut self, index: usize) {
        self.dirty.push(index);
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        for index in self.dirty.drain(..) {
            self.clients[index].write()?;
        }
        Ok(())
    }
}
