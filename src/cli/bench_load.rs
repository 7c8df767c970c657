//! The generator: pairs of connections, each author sending to its reader, a fixed number of messages under way.
//!
//! Closed loop: a message is under way until its author has the answer and its reader has the message. Invariant: each
//! reader must get its author's numbers once each and in order; whatever else happens is counted.

use super::bench_client::{Client, Happened};
use super::bench_template::{NUMBERS, Template};
use super::failure::Failure;
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

const READ_BYTES: usize = 64 << 10;
const EVENTS: usize = 1024;
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// A message under way.
#[derive(Clone, Copy)]
struct Slot {
    start: Instant,
    is_answered: bool,
    is_delivered: bool,
}

/// One author and one reader. Their clients are `2 * pair` and `2 * pair + 1`.
pub struct Pair {
    template: Template,
    slots: Vec<Slot>,
    sent: u32,
    /// All numbers below are answered and delivered.
    done: u32,
    /// The number that the reader is to get next.
    next: u32,
}

impl Pair {
    pub fn new(template: Template, in_flight: usize) -> Self {
        let slot = Slot { start: Instant::now(), is_answered: true, is_delivered: true };
        Self { template, slots: vec![slot; in_flight], sent: 0, done: 0, next: 0 }
    }

    fn slot(&mut self, number: u32) -> Option<&mut Slot> {
        let in_flight = self.slots.len();
        (self.done..self.sent).contains(&number).then(|| &mut self.slots[number as usize % in_flight])
    }

    fn settle(&mut self) {
        while self.done < self.sent {
            let slot = self.slots[self.done as usize % self.slots.len()];
            if !(slot.is_answered && slot.is_delivered) {
                return;
            }
            self.done += 1;
        }
    }

    fn fill(&mut self, now: Instant, out: &mut Vec<u8>) {
        let in_flight = self.slots.len();
        while self.sent - self.done < in_flight as u32 && self.sent < NUMBERS {
            self.slots[self.sent as usize % in_flight] = Slot { start: now, is_answered: false, is_delivered: false };
            self.template.push(self.sent, out);
            self.sent += 1;
        }
    }
}

/// What a span of the load came to.
pub struct Tally {
    pub accepted: u64,
    pub delivered: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
    pub refused: u64,
    pub first_refusal: Option<String>,
    /// From send to answer, ns.
    pub answer_ns: Histogram<u64>,
    /// From send to push, ns.
    pub push_ns: Histogram<u64>,
}

impl Tally {
    fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("the bounds are in order");
        Self {
            accepted: 0,
            delivered: 0,
            duplicated: 0,
            out_of_order: 0,
            refused: 0,
            first_refusal: None,
            answer_ns: histogram(),
            push_ns: histogram(),
        }
    }

    fn take(&mut self, pairs: &mut [Pair], author: usize, happened: Happened, now: Instant) {
        match happened {
            Happened::Accepted { number } => {
                self.accepted += 1;
                if let Some(slot) = pairs[author].slot(number) {
                    slot.is_answered = true;
                    self.answer_ns.saturating_record(nanoseconds(now - slot.start));
                }
            }
            Happened::Delivered { number, pair } if pair as usize == author => {
                let pair = &mut pairs[author];
                if number < pair.next {
                    self.duplicated += 1;
                    return;
                }
                self.out_of_order += u64::from(number > pair.next);
                pair.next = number + 1;
                self.delivered += 1;
                if let Some(slot) = pair.slot(number) {
                    slot.is_delivered = true;
                    self.push_ns.saturating_record(nanoseconds(now - slot.start));
                }
            }
            // Another pair's message.
            Happened::Delivered { .. } => self.out_of_order += 1,
            Happened::Refused(why) => {
                self.refused += 1;
                self.first_refusal.get_or_insert(why);
            }
        }
    }
}

pub struct Load {
    poll: Poll,
    clients: Vec<Client>,
    pairs: Vec<Pair>,
    buffer: Vec<u8>,
    /// Clients with something to write.
    dirty: Vec<usize>,
}

impl Load {
    /// `clients` holds author and reader of each pair, in turn.
    pub fn new(mut clients: Vec<Client>, pairs: Vec<Pair>) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        for (index, client) in clients.iter_mut().enumerate() {
            poll.registry().register(&mut client.stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        }
        Ok(Self { poll, clients, pairs, buffer: vec![0; READ_BYTES], dirty: Vec::new() })
    }

    /// Sends for so long, and tells what came of it.
    pub fn run(&mut self, duration: Duration) -> Result<Tally, Failure> {
        let mut tally = Tally::new();
        let deadline = Instant::now() + duration;
        for pair in 0..self.pairs.len() {
            self.fill(pair, Instant::now());
        }
        self.flush()?;
        let mut events = Events::with_capacity(EVENTS);
        while Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            self.step(&mut events, left, &mut tally, Sending::On)?;
        }
        Ok(tally)
    }

    /// Sends nothing new; waits, up to `patience`, until nothing is under way.
    pub fn drain(&mut self, patience: Duration) -> Result<Tally, Failure> {
        let mut tally = Tally::new();
        let mut events = Events::with_capacity(EVENTS);
        let deadline = Instant::now() + patience;
        while self.under_way() > 0 && Instant::now() < deadline {
            self.step(&mut events, Duration::from_millis(100), &mut tally, Sending::Off)?;
        }
        // What comes now is one too many.
        let linger = Instant::now() + Duration::from_millis(50);
        while Instant::now() < linger {
            self.step(&mut events, Duration::from_millis(10), &mut tally, Sending::Off)?;
        }
        Ok(tally)
    }

    /// Messages without an answer or without a delivery.
    pub fn under_way(&self) -> u64 {
        self.pairs.iter().map(|pair| u64::from(pair.sent - pair.done)).sum()
    }

    fn step(
        &mut self,
        events: &mut Events,
        patience: Duration,
        tally: &mut Tally,
        sending: Sending,
    ) -> Result<(), Failure> {
        match self.poll.poll(events, Some(patience)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            result => result.map_err(Failure::because("cannot wait for the sockets"))?,
        }
        for event in &*events {
            let index = event.token().0;
            let author = index / 2;
            if event.is_readable() {
                let (pairs, buffer) = (&mut self.pairs, &mut self.buffer);
                let now = Instant::now();
                self.clients[index].read(buffer, |happened| tally.take(pairs, author, happened, now))?;
                self.pairs[author].settle();
                if sending == Sending::On {
                    self.fill(author, now);
                }
            }
            self.dirty.push(index);
        }
        self.flush()
    }

    fn fill(&mut self, pair: usize, now: Instant) {
        self.pairs[pair].fill(now, &mut self.clients[2 * pair].out);
        self.dirty.push(2 * pair);
    }

    fn flush(&mut self) -> Result<(), Failure> {
        for index in self.dirty.drain(..) {
            self.clients[index].write()?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    On,
    Off,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench_template::Authorship;
    use crate::cli::chat::Protocol;

    fn pair(in_flight: usize) -> Pair {
        let authorship = Authorship { peer: "b", run: "r", pair: 0, body_bytes: 64 };
        Pair::new(Template::new(Protocol::Binary, &authorship), in_flight)
    }

    #[test]
    fn a_message_is_under_way_until_answered_and_delivered() {
        let mut pairs = [pair(2)];
        let (mut tally, mut out, now) = (Tally::new(), Vec::new(), Instant::now());
        pairs[0].fill(now, &mut out);
        assert_eq!(pairs[0].sent, 2);
        for happened in [Happened::Delivered { number: 0, pair: 0 }, Happened::Accepted { number: 1 }] {
            tally.take(&mut pairs, 0, happened, now);
        }
        pairs[0].settle();
        pairs[0].fill(now, &mut out);
        assert_eq!(pairs[0].sent, 2, "neither of the two is done");
        tally.take(&mut pairs, 0, Happened::Accepted { number: 0 }, now);
        pairs[0].settle();
        pairs[0].fill(now, &mut out);
        assert_eq!((pairs[0].done, pairs[0].sent), (1, 3));
        assert_eq!((tally.accepted, tally.delivered, tally.answer_ns.len(), tally.push_ns.len()), (2, 1, 2, 1));
    }

    #[test]
    fn a_number_twice_is_a_duplicate_and_a_number_too_early_is_out_of_order() {
        let mut pairs = [pair(4)];
        let (mut tally, now) = (Tally::new(), Instant::now());
        pairs[0].fill(now, &mut Vec::new());
        for number in [0, 0, 2, 1] {
            tally.take(&mut pairs, 0, Happened::Delivered { number, pair: 0 }, now);
        }
        tally.take(&mut pairs, 0, Happened::Delivered { number: 3, pair: 9 }, now);
        assert_eq!((tally.delivered, tally.duplicated, tally.out_of_order), (2, 2, 2));
    }
}
