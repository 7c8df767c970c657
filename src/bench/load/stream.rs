//! One author's numbered messages to one audience: those under way, and the results of the others.
//!
//! A message is under way until its author has the answer and its whole audience has the message. Invariant: each
//! member of the audience must get each number once and in order; everything else is counted in the tally.

use crate::bench::load::client::{Happened, LoginPath};
use crate::bench::load::crowd::{histogram, nanoseconds};
use crate::bench::load::template::{NUMBERS, Template};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// A message under way.
#[derive(Clone, Copy)]
struct MessageSlot {
    start: Instant,
    is_answered: bool,
    /// The number of members of the audience that do not have the message.
    missing: u32,
}

pub struct LoadStream {
    /// A client writes at most one stream.
    pub author: usize,
    /// Clients; if the author is among them, its own messages are not delivered to it.
    audience: Range<usize>,
    template: Template,
    slots: VecDeque<MessageSlot>,
    /// All lower numbers are answered and delivered.
    done: u32,
    /// The next number that each member of the audience expects.
    next: Vec<u32>,
    /// When each member of the audience last reconnected.
    away_until: Vec<Option<Instant>>,
}

impl LoadStream {
    pub fn new(author: usize, audience: Range<usize>, template: Template) -> Self {
        let count = audience.len();
        Self {
            author,
            audience,
            template,
            slots: VecDeque::new(),
            done: 0,
            next: vec![0; count],
            away_until: vec![None; count],
        }
    }

    /// The number of deliveries of each message.
    pub fn recipients(&self) -> u32 {
        let count = self.audience.len() - usize::from(self.audience.contains(&self.author));
        u32::try_from(count).expect("clients are bounded by descriptors")
    }

    pub fn under_way(&self) -> usize {
        self.slots.len()
    }

    pub fn unanswered(&self) -> u64 {
        self.slots.iter().filter(|slot| !slot.is_answered).count() as u64
    }

    /// Appends the next message; its latency runs from `start`.
    pub fn push(&mut self, start: Instant, out: &mut Vec<u8>) {
        let number = self.done + u32::try_from(self.slots.len()).expect("below NUMBERS");
        if number >= NUMBERS {
            return;
        }
        let missing = self.recipients();
        self.slots.push_back(MessageSlot { start, is_answered: false, missing });
        self.template.push(number, out);
    }

    /// Notes that a member of the audience has disconnected.
    pub fn left(&mut self, client: usize) {
        let place = client - self.audience.start;
        self.away_until[place] = Some(Instant::now() + Duration::from_secs(3_600));
    }

    pub fn returned(&mut self, client: usize, now: Instant) {
        self.away_until[client - self.audience.start] = Some(now);
    }

    fn slot(&mut self, number: u32) -> Option<&mut MessageSlot> {
        self.slots.get_mut(number.checked_sub(self.done)? as usize)
    }

    fn settle(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.is_answered && slot.missing == 0) {
            self.slots.pop_front();
            self.done += 1;
        }
    }
}

/// An event at a client; `own` is the stream that the client writes.
pub struct ClientEvent {
    pub client: usize,
    pub own: Option<usize>,
    pub happened: Happened,
}

/// The arrival of message `number` of a stream at one of its readers.
struct LoadDelivery {
    client: usize,
    number: u32,
    way: LoginPath,
}

/// The results of a time span of the load.
pub struct LoadTally {
    began: Instant,
    pub accepted: u64,
    /// Deliveries that the accepted messages require.
    pub expected: u64,
    pub delivered: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
    /// Pushed again to a client that had reconnected and read the message; a client recognises it by its inbox seq.
    pub repeated: u64,
    pub refused: u64,
    pub first_refusal: Option<String>,
    pub receipts: u64,
    pub logins: u64,
    /// Time from the start (in an open loop: the due time) to the answer, ns.
    pub answer_ns: Histogram<u64>,
    /// Time from the start to the push, ns.
    pub push_ns: Histogram<u64>,
    /// Time from the start to the delivery to clients that were disconnected meanwhile, ns.
    pub missed_ns: Histogram<u64>,
    /// Deliveries in each `BIN`.
    pub timeline: Vec<u64>,
}

pub const BIN: Duration = Duration::from_millis(100);

impl LoadTally {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            accepted: 0,
            expected: 0,
            delivered: 0,
            duplicated: 0,
            out_of_order: 0,
            repeated: 0,
            refused: 0,
            first_refusal: None,
            receipts: 0,
            logins: 0,
            answer_ns: histogram(),
            push_ns: histogram(),
            missed_ns: histogram(),
            timeline: Vec::new(),
        }
    }

    /// Counts an event at a client.
    pub fn take(
        &mut self,
        streams: &mut [LoadStream],
        ClientEvent { client, own, happened }: ClientEvent,
        now: Instant,
    ) {
        match happened {
            Happened::Accepted { number } => {
                let Some(stream) = own.map(|own| &mut streams[own]) else { return };
                self.accepted += 1;
                self.expected += u64::from(stream.recipients());
                if let Some(slot) = stream.slot(number) {
                    slot.is_answered = true;
                    self.answer_ns.saturating_record(nanoseconds(now - slot.start));
                }
                stream.settle();
            }
            Happened::Delivered { number, stream, way } => match streams.get_mut(stream as usize) {
                Some(stream) if stream.audience.contains(&client) => {
                    self.deliver(stream, LoadDelivery { client, number, way }, now);
                }
                // A message of an unknown stream.
                _ => self.out_of_order += 1,
            },
            Happened::Refused(why) => {
                self.refused += 1;
                self.first_refusal.get_or_insert(why);
            }
            Happened::Repeated => self.repeated += 1,
            Happened::Noted => self.receipts += 1,
            Happened::LoggedIn => self.logins += 1,
            Happened::CaughtUp | Happened::Page(_) => {}
        }
    }

    fn deliver(&mut self, stream: &mut LoadStream, delivery: LoadDelivery, now: Instant) {
        let LoadDelivery { client, number, way } = delivery;
        let place = client - stream.audience.start;
        if number < stream.next[place] {
            self.duplicated += 1;
            return;
        }
        self.out_of_order += u64::from(number > stream.next[place]);
        stream.next[place] = number + 1;
        self.delivered += 1;
        let bin = ((now - self.began).as_nanos() / BIN.as_nanos()) as usize;
        if self.timeline.len() <= bin {
            self.timeline.resize(bin + 1, 0);
        }
        self.timeline[bin] += 1;
        let away_until = stream.away_until[place];
        if let Some(slot) = stream.slot(number) {
            slot.missing = slot.missing.saturating_sub(1);
            let was_missed = way == LoginPath::Synced || away_until.is_some_and(|until| slot.start < until);
            let histogram = if was_missed { &mut self.missed_ns } else { &mut self.push_ns };
            histogram.saturating_record(nanoseconds(now - slot.start));
        }
        stream.settle();
    }

    /// Adds the latencies of a drain to the span before it, if nothing else was under way.
    pub fn add_latencies(&mut self, later: &Self) {
        for (mine, theirs) in [
            (&mut self.answer_ns, &later.answer_ns),
            (&mut self.push_ns, &later.push_ns),
            (&mut self.missed_ns, &later.missed_ns),
        ] {
            mine.add(theirs).expect("all have the same bounds");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::template::{Authorship, LoadDialect, To};

    fn stream(author: usize, audience: Range<usize>) -> LoadStream {
        let authorship = Authorship { to: To::User("b"), run: "r", stream: 0, body_bytes: 64 };
        LoadStream::new(author, audience, Template::new(LoadDialect::Binary, &authorship))
    }

    fn delivered(number: u32, stream: u32) -> Happened {
        Happened::Delivered { number, stream, way: LoginPath::Pushed }
    }

    #[test]
    fn a_message_is_under_way_until_answered_and_delivered_to_all() {
        let mut streams = [stream(0, 0..3)];
        let (mut tally, now) = (LoadTally::new(), Instant::now());
        streams[0].push(now, &mut Vec::new());
        for (client, happened) in [(1, delivered(0, 0)), (0, Happened::Accepted { number: 0 })] {
            tally.take(&mut streams, ClientEvent { client, own: Some(0), happened }, now);
            assert_eq!(streams[0].under_way(), 1);
        }
        tally.take(&mut streams, ClientEvent { client: 2, own: None, happened: delivered(0, 0) }, now);
        assert_eq!(streams[0].under_way(), 0);
        assert_eq!((tally.accepted, tally.expected, tally.delivered), (1, 2, 2));
        assert_eq!((tally.answer_ns.len(), tally.push_ns.len()), (1, 2));
    }

    #[test]
    fn a_number_twice_is_a_duplicate_and_a_number_too_early_is_out_of_order() {
        let mut streams = [stream(0, 1..2)];
        let (mut tally, now) = (LoadTally::new(), Instant::now());
        (0..4).for_each(|_| streams[0].push(now, &mut Vec::new()));
        for number in [0, 0, 2, 1] {
            tally.take(&mut streams, ClientEvent { client: 1, own: None, happened: delivered(number, 0) }, now);
        }
        tally.take(&mut streams, ClientEvent { client: 1, own: None, happened: delivered(3, 9) }, now);
        assert_eq!((tally.delivered, tally.duplicated, tally.out_of_order), (2, 2, 2));
    }

    #[test]
    fn what_was_sent_while_a_reader_was_away_has_latencies_of_its_own() {
        let mut streams = [stream(0, 1..2)];
        let (mut tally, now) = (LoadTally::new(), Instant::now());
        streams[0].push(now, &mut Vec::new());
        streams[0].left(1);
        streams[0].returned(1, Instant::now());
        tally.take(&mut streams, ClientEvent { client: 1, own: None, happened: delivered(0, 0) }, Instant::now());
        assert_eq!((tally.delivered, tally.missed_ns.len(), tally.push_ns.len()), (1, 1, 0));
    }
}
