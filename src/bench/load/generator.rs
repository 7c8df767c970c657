//! The generator: streams of messages through many clients, in a closed loop (a fixed number under way) or an open loop
//! (a fixed rate whatever the server does; latencies run from the time at which a message was due).

use crate::bench::load::client::Happened;
use crate::bench::load::crowd::Crowd;
use crate::bench::load::stream::{ClientEvent, LoadStream, LoadTally};
use crate::bench::load::template::push_typing;
use crate::terminal::failure::Failure;
use crate::terminal::progress::Progress;
use std::time::{Duration, Instant};

/// If more messages than this are under way in an open loop, the server cannot keep up.
const UNDER_WAY_MAX: u64 = 1 << 20;
/// Shorter waits are spent polling.
const POLL_MIN: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug)]
pub enum LoadPace {
    /// Messages under way of each stream.
    Closed { in_flight: usize },
    /// Sends of all streams together.
    Open { per_second: f64 },
}

/// The actions of an open loop.
#[derive(Clone, Copy, Debug)]
pub enum Mix {
    /// Each stream sends in turn.
    Even,
    /// Of ten actions, seven are messages to one person, two messages to a group, one a typing notice; at intervals a
    /// reader disconnects and reconnects. The first `pairs` streams are to one person. An action without its kind of
    /// stream becomes a message to one person.
    Day { pairs: usize, reconnect_every: u64 },
}

pub struct Load {
    crowd: Crowd,
    streams: Vec<LoadStream>,
    /// The stream that a client writes, by client.
    own: Vec<Option<usize>>,
    pace: LoadPace,
    mix: Mix,
    turn: LoadTurn,
    pub typed: u64,
    pub reconnected: u64,
}

/// The next stream of each kind.
#[derive(Default)]
struct LoadTurn {
    due: u64,
    person: usize,
    group: usize,
    typing: usize,
    leaving: usize,
}

impl Load {
    pub fn new(crowd: Crowd, streams: Vec<LoadStream>, pace: LoadPace, mix: Mix) -> Self {
        let mut own = vec![None; crowd.clients.len()];
        for (index, stream) in streams.iter().enumerate() {
            own[stream.author] = Some(index);
        }
        Self { crowd, streams, own, pace, mix, turn: LoadTurn::default(), typed: 0, reconnected: 0 }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.pace, LoadPace::Open { .. })
    }

    /// Sends for `duration`, and returns the results.
    pub fn run(&mut self, duration: Duration, progress: &Progress) -> Result<LoadTally, Failure> {
        match self.pace {
            LoadPace::Closed { in_flight } => self.run_closed(duration, in_flight, progress),
            LoadPace::Open { per_second } => self.run_open(duration, per_second, progress),
        }
    }

    fn run_closed(&mut self, duration: Duration, in_flight: usize, progress: &Progress) -> Result<LoadTally, Failure> {
        let mut tally = LoadTally::new();
        let began = Instant::now();
        let deadline = began + duration;
        let mut touched: Vec<usize> = (0..self.streams.len()).collect();
        loop {
            let now = Instant::now();
            for stream in touched.drain(..) {
                self.fill(stream, in_flight, now);
            }
            self.crowd.flush()?;
            if now >= deadline {
                return Ok(tally);
            }
            progress.reach_span(now - began);
            let (streams, own) = (&mut self.streams, &self.own);
            self.crowd.step(deadline - now, |client, happened, now| {
                touched.extend(stream_of(own, client, &happened).filter(|stream| *stream < streams.len()));
                tally.take(streams, ClientEvent { client, own: own[client], happened }, now);
            })?;
        }
    }

    fn fill(&mut self, stream: usize, in_flight: usize, now: Instant) {
        let stream = &mut self.streams[stream];
        if stream.under_way() >= in_flight {
            return;
        }
        while stream.under_way() < in_flight {
            let before = stream.under_way();
            stream.push(now, &mut self.crowd.clients[stream.author].out);
            if stream.under_way() == before {
                return;
            }
        }
        self.crowd.note_dirty(stream.author);
    }

    fn run_open(&mut self, duration: Duration, per_second: f64, progress: &Progress) -> Result<LoadTally, Failure> {
        let mut tally = LoadTally::new();
        let began = Instant::now();
        let deadline = began + duration;
        let due = |number: u64| began + Duration::from_secs_f64(number as f64 / per_second);
        let mut number = 0_u64;
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Ok(tally);
            }
            while due(number) <= now {
                self.take_turn(due(number))?;
                number += 1;
            }
            self.crowd.flush()?;
            if number.is_multiple_of(256) && self.under_way() > UNDER_WAY_MAX {
                return Err(Failure::new(format!("the server cannot keep up: {UNDER_WAY_MAX} messages are under way")));
            }
            progress.reach_span(now - began);
            let left = due(number).min(deadline).saturating_duration_since(Instant::now());
            let timeout = if left > POLL_MIN { left - Duration::from_millis(1) } else { Duration::ZERO };
            self.step(timeout, &mut tally)?;
        }
    }

    /// Performs one action of the open loop, due at `start`.
    fn take_turn(&mut self, start: Instant) -> Result<(), Failure> {
        let due = self.turn.due;
        self.turn.due += 1;
        let Mix::Day { pairs, reconnect_every } = self.mix else {
            let stream = (due % self.streams.len() as u64) as usize;
            self.say(stream, start);
            return Ok(());
        };
        if due % reconnect_every == reconnect_every - 1 {
            self.turn.leaving = (self.turn.leaving + 1) % pairs;
            self.reconnect(2 * self.turn.leaving + 1, self.turn.leaving)?;
        }
        let groups = self.streams.len() - pairs;
        match due % 10 {
            7..9 if groups > 0 => {
                self.turn.group = (self.turn.group + 1) % groups;
                self.say(pairs + self.turn.group, start);
            }
            9 => {
                self.turn.typing = (self.turn.typing + 1) % pairs;
                self.type_in(2 * self.turn.typing, 2 * self.turn.typing + 1);
            }
            _ => {
                self.turn.person = (self.turn.person + 1) % pairs;
                self.say(self.turn.person, start);
            }
        }
        Ok(())
    }

    fn say(&mut self, stream: usize, start: Instant) {
        let stream = &mut self.streams[stream];
        stream.push(start, &mut self.crowd.clients[stream.author].out);
        self.crowd.note_dirty(stream.author);
    }

    fn type_in(&mut self, author: usize, reader: usize) {
        let peer = self.crowd.clients[reader].account.user.clone();
        let client = &mut self.crowd.clients[author];
        let me = client.account.user.clone();
        push_typing(client.account.dialect, &me, &peer, &mut client.out);
        self.crowd.note_dirty(author);
        self.typed += 1;
    }

    /// Reconnects a reader, unless it is still connecting or has messages to send.
    fn reconnect(&mut self, reader: usize, stream: usize) -> Result<(), Failure> {
        let client = &mut self.crowd.clients[reader];
        if !client.is_open() || !client.out.is_empty() {
            return Ok(());
        }
        self.streams[stream].left(reader);
        client.come_back()?;
        self.crowd.watch(reader)?;
        self.crowd.note_dirty(reader);
        self.reconnected += 1;
        Ok(())
    }

    fn step(&mut self, timeout: Duration, tally: &mut LoadTally) -> Result<(), Failure> {
        let (streams, own) = (&mut self.streams, &self.own);
        self.crowd.step(timeout, |client, happened, now| {
            // Only readers of pairs reconnect, and the author is the client before the reader.
            if happened == Happened::LoggedIn
                && let Some(stream) = client.checked_sub(1).and_then(|author| own[author])
            {
                streams[stream].returned(client, now);
            }
            tally.take(streams, ClientEvent { client, own: own[client], happened }, now);
        })
    }

    /// Sends nothing new; waits, up to `timeout`, until nothing is under way.
    pub fn drain(&mut self, timeout: Duration) -> Result<LoadTally, Failure> {
        let mut tally = LoadTally::new();
        let deadline = Instant::now() + timeout;
        while self.under_way() > 0 && Instant::now() < deadline {
            self.step(Duration::from_millis(20), &mut tally)?;
        }
        // Messages that arrive now are duplicates.
        let linger = Instant::now() + Duration::from_millis(50);
        while Instant::now() < linger {
            self.step(Duration::from_millis(10), &mut tally)?;
        }
        Ok(tally)
    }

    /// Messages without an answer, or not delivered to everybody.
    pub fn under_way(&self) -> u64 {
        self.streams.iter().map(|stream| stream.under_way() as u64).sum()
    }

    pub fn unanswered(&self) -> u64 {
        self.streams.iter().map(LoadStream::unanswered).sum()
    }
}

/// The stream that may continue after this event.
fn stream_of(own: &[Option<usize>], client: usize, happened: &Happened) -> Option<usize> {
    match happened {
        Happened::Delivered { stream, .. } => Some(*stream as usize),
        Happened::Accepted { .. } => own[client],
        _ => None,
    }
}
