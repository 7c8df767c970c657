//! A shard's counters, with one writer, and their sum over all shards.

use crate::model::{Closing, RefusalCounts};
use crate::server::base::clock::micros;
use crate::server::state::histograms::ShardHistograms;
use crate::server::turn::Traffic;
use crate::wire::{Encoding, TokenFault};
use std::time::Duration;

/// Why a connection is refused before authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// The shard has as many connections as it may have.
    ShardFull,
    /// The process has as many open files as it may have.
    FilesExhausted,
    /// All shards together have as many connections as the server may have.
    ServerFull,
    /// More connections come in a second than the shard may accept.
    TooFast,
    /// More connections come from the address in a minute than may.
    AddressTooFast,
    /// The address has as many connections as it may have.
    AddressCrowded,
    /// Outboxes use as much memory as they may.
    MemoryShort,
    /// The address has as many unauthenticated connections as it may have, and a newer one replaced it.
    AddressFull,
    /// The proxy has as many connections without their PROXY header as it may have, and a newer one replaced it.
    ProxyFull,
}

impl ConnectionRefusal {
    pub const ALL: [Self; 9] = [
        Self::ShardFull,
        Self::FilesExhausted,
        Self::ServerFull,
        Self::TooFast,
        Self::AddressTooFast,
        Self::AddressCrowded,
        Self::MemoryShort,
        Self::AddressFull,
        Self::ProxyFull,
    ];

    /// The stable name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ShardFull => "shard_full",
            Self::FilesExhausted => "files_exhausted",
            Self::ServerFull => "server_full",
            Self::TooFast => "too_fast",
            Self::AddressTooFast => "address_too_fast",
            Self::AddressCrowded => "address_crowded",
            Self::MemoryShort => "memory_short",
            Self::AddressFull => "address_full",
            Self::ProxyFull => "proxy_full",
        }
    }

    pub fn sentence(self) -> &'static str {
        match self {
            Self::ShardFull => "the shard has as many as server.connections_max and the limit of open files allow",
            Self::FilesExhausted => {
                "no open file is left for them: raise the limit (ulimit -n, or LimitNOFILE= in the unit)"
            }
            Self::ServerFull => "the server has as many as server.connections_total_max",
            Self::TooFast => "more come in a second than server.accepts_per_second",
            Self::AddressTooFast => {
                "more come from one address in a minute than server.accepts_per_address_per_minute; if it is a proxy, name \
                 it in server.trusted_proxies"
            }
            Self::AddressCrowded => {
                "one address has as many as server.connections_per_address_max; if it is a proxy, name it in \
                 server.trusted_proxies"
            }
            Self::MemoryShort => {
                "clients that do not read hold as much memory as server.outbox_bytes_total_max; those with the largest \
                 outboxes are ended if that lasts"
            }
            Self::AddressFull => {
                "one address has more that do not log in than server.handshakes_per_address_max; if it is a proxy, name it \
                 in server.trusted_proxies"
            }
            Self::ProxyFull => {
                "a network in server.proxy_protocol_from opens more without their PROXY header than \
                 server.unannounced_per_proxy_max"
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub accepted: u64,
    /// By index in `ConnectionRefusal::ALL`.
    turned_away: [u64; ConnectionRefusal::ALL.len()],
    pub handed_over: u64,
    pub tls_handshakes: u64,
    /// Sessions opened, by index in `Encoding::NAMES`.
    opened: [u64; Encoding::NAMES.len()],
    /// Messages of clients, by index in `Encoding::NAMES`.
    received: [u64; Encoding::NAMES.len()],
    pub refused: RefusalCounts,
    pub logins_refused: RefusalCounts,
    /// By index in `Closing::ALL`.
    closed: [u64; Closing::ALL.len()],
    /// By index in `TokenFault::ALL`.
    refused_tokens: [u64; TokenFault::ALL.len()],
    pub received_bytes: u64,
    pub sent_bytes: u64,
    pub sends: u64,
    /// Receives that ended because no receive buffer was left.
    pub receives_starved: u64,
    /// Records for which somebody waited, and the syncs that made them durable.
    pub records: u64,
    pub syncs: u64,
    pub checkpoints: u64,
    /// Turns that had work, those of them that took longer than `SLOW_TURN`, and the longest one.
    pub turns: u64,
    pub slow_turns: u64,
    pub longest_turn: Duration,
    pub sleeps: u64,
    pub histograms: ShardHistograms,
}

/// A turn that takes longer counts as slow. No single input takes that long, so a slow turn had many inputs or waited
/// for its core.
pub const SLOW_TURN: Duration = Duration::from_millis(1);

impl Counters {
    pub fn add_traffic(&mut self, traffic: &Traffic) {
        self.accepted += traffic.accepted;
        self.handed_over += traffic.handed_over;
        self.tls_handshakes += traffic.tls_handshakes;
        add_all(&mut self.opened, &traffic.opened);
        add_all(&mut self.received, &traffic.received);
        self.refused.add(&traffic.refused);
        self.logins_refused.add(&traffic.logins_refused);
        self.closed.iter_mut().zip(traffic.ended).for_each(|(sum, count)| *sum += count);
        self.refused_tokens.iter_mut().zip(traffic.refused_tokens).for_each(|(sum, count)| *sum += count);
    }

    /// Sessions opened, by protocol.
    pub fn opened(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Encoding::NAMES.into_iter().zip(self.opened)
    }

    /// Messages of clients, by protocol.
    pub fn received(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Encoding::NAMES.into_iter().zip(self.received)
    }

    /// Records a turn that had work; `took` ends where the next turn begins.
    pub fn note_turn(&mut self, took: Duration) {
        self.turns += 1;
        self.slow_turns += u64::from(took > SLOW_TURN);
        self.longest_turn = self.longest_turn.max(took);
        self.histograms.turn_us.note(micros(took));
    }

    pub fn turn_away(&mut self, reason: ConnectionRefusal) {
        self.turned_away[reason as usize] += 1;
    }

    pub fn turned_away(&self) -> impl Iterator<Item = (ConnectionRefusal, u64)> {
        ConnectionRefusal::ALL.into_iter().zip(self.turned_away)
    }

    pub fn closed(&self) -> impl Iterator<Item = (Closing, u64)> {
        Closing::ALL.into_iter().zip(self.closed)
    }

    pub fn refused_tokens(&self) -> impl Iterator<Item = (TokenFault, u64)> {
        TokenFault::ALL.into_iter().zip(self.refused_tokens)
    }

    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.turned_away.iter_mut().zip(other.turned_away).for_each(|(sum, count)| *sum += count);
        self.handed_over += other.handed_over;
        self.tls_handshakes += other.tls_handshakes;
        add_all(&mut self.opened, &other.opened);
        add_all(&mut self.received, &other.received);
        self.refused.add(&other.refused);
        self.logins_refused.add(&other.logins_refused);
        self.closed.iter_mut().zip(other.closed).for_each(|(sum, count)| *sum += count);
        self.refused_tokens.iter_mut().zip(other.refused_tokens).for_each(|(sum, count)| *sum += count);
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
        self.sends += other.sends;
        self.receives_starved += other.receives_starved;
        self.records += other.records;
        self.syncs += other.syncs;
        self.checkpoints += other.checkpoints;
        self.turns += other.turns;
        self.slow_turns += other.slow_turns;
        self.longest_turn = self.longest_turn.max(other.longest_turn);
        self.sleeps += other.sleeps;
        self.histograms.add(&other.histograms);
    }
}

fn add_all(sums: &mut [u64], counts: &[u64]) {
    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

/// The sum of all shards' counters, for the server's last line.
pub type Summary = Counters;

/// The name in metrics, with spaces.
fn in_words(closing: Closing) -> String {
    closing.name().replace('_', " ")
}

impl std::fmt::Display for Counters {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} connections accepted, {} handed over, closed:", self.accepted, self.handed_over)?;
        let mut closed = self.closed().filter(|(_closing, count)| *count > 0).peekable();
        if closed.peek().is_none() {
            out.write_str(" none")?;
        }
        while let Some((closing, count)) = closed.next() {
            let separator = if closed.peek().is_some() { "," } else { "" };
            write!(out, " {count} {}{separator}", in_words(closing))?;
        }
        write!(out, "; {} bytes in, {} out", self.received_bytes, self.sent_bytes)?;
        write!(out, "; {} records, {} syncs", self.records, self.syncs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_longer_than_an_input_may_take_is_counted_and_the_longest_is_kept() {
        let mut one = Counters::default();
        [3, 1_000, 1_001, 40].into_iter().for_each(|took| one.note_turn(Duration::from_micros(took)));
        let mut sum = Counters { longest_turn: Duration::from_micros(2_000), ..Counters::default() };
        sum.add(&one);
        assert_eq!((sum.turns, sum.slow_turns, sum.longest_turn), (4, 1, Duration::from_micros(2_000)));
    }

    #[test]
    fn a_summary_names_the_ways_connections_ended() {
        let mut sum = Counters { accepted: 3, ..Counters::default() };
        assert_eq!(
            sum.to_string(),
            "3 connections accepted, 0 handed over, closed: none; 0 bytes in, 0 out; 0 records, 0 syncs"
        );
        let mut other = Counters { syncs: 2, ..Counters::default() };
        let mut traffic = Traffic { accepted: 2, ..Traffic::default() };
        for closing in [Closing::Idle, Closing::Gone, Closing::Gone] {
            traffic.ended[Closing::ALL.iter().position(|other| *other == closing).expect("listed")] += 1;
        }
        other.add_traffic(&traffic);
        sum.add(&other);
        let text =
            "5 connections accepted, 0 handed over, closed: 1 idle, 2 gone; 0 bytes in, 0 out; 0 records, 2 syncs";
        assert_eq!(sum.to_string(), text);
    }
}
