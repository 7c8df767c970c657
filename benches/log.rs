//! What the log costs: append, append and seal, opening, and a page from the far end of a long inbox. In memory, so
//! that it is the log's own work that is measured. `MUSHAN_BENCH_SMOKE=1` only proves that everything runs.

#![allow(clippy::disallowed_methods, reason = "a bench reads its environment")]

mod common;

use common::model::testing::{client_message_id, plain_message, user};
use common::{criterion, is_smoke};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mushan::log::{
    Journal, MemoryStorage, PageBounds, ReadMode, Record, SegmentStatus, Segments, Side, Storage, StorageError, Tail,
    Thread, ThreadLinks,
};
use mushan::model::{Message, Millis, Position, Room, Seq, ShardId, Sizing};
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const SEGMENT_BYTES: u32 = 64 << 20;

fn message(content_bytes: usize) -> Arc<Message> {
    Arc::new(Message {
        client_message_id: client_message_id("0b2f7f8e-7c55-4f10-9d0e-1c2d3e4f5a6b"),
        content: vec![b'x'; content_bytes].into(),
        send_time: 1,
        server_time: Millis(1),
        ..plain_message()
    })
}

fn new_log() -> Journal<MemoryStorage> {
    let storage = MemoryStorage::new(SEGMENT_BYTES, u32::MAX);
    Journal::open(storage, ShardId(0), Millis(1), None, |_, _| {}).expect("a new log").0
}

/// Two inboxes that take every message of one conversation.
#[derive(Default)]
struct Pair {
    author: Tail,
    peer: Tail,
}

impl Pair {
    fn record(&self, message: &Arc<Message>) -> Record {
        let links = ThreadLinks::from_iter([self.author.next_link(Side::Author), self.peer.next_link(Side::Peer)]);
        Record::Posted { message: Arc::clone(message), deliveries: Default::default(), links }
    }

    fn append(&mut self, journal: &mut Journal<MemoryStorage>, message: &Arc<Message>) -> Position {
        let record = self.record(message);
        let position = journal.append(&record);
        self.author.advance(self.author.next_link(Side::Author), position);
        self.peer.advance(self.peer.next_link(Side::Peer), position);
        position
    }
}

fn filled(records: u64, content_bytes: usize) -> (Journal<MemoryStorage>, Pair) {
    let (mut journal, mut pair, message) = (new_log(), Pair::default(), message(content_bytes));
    for number in 0..records {
        pair.append(&mut journal, &message);
        if number % 16 == 15 {
            seal(&mut journal);
        }
    }
    (journal, pair)
}

fn seal(journal: &mut Journal<MemoryStorage>) {
    if let Some(batch) = journal.seal() {
        journal.synced(black_box(batch).to);
    }
}

/// A small log is emptied and filled again and again: its pages are there, as preallocated ones would be.
fn append(criterion: &mut Criterion) {
    let records = if is_smoke() { 100 } else { 1_000 };
    let mut group = criterion.benchmark_group("log/append");
    group.throughput(Throughput::Elements(records));
    for content_bytes in [128, 4 << 10] {
        let record = Pair::default().record(&message(content_bytes));
        let segment_bytes = 4_096 + records as u32 * (record.encoded_bytes() as u32 + 64);
        for (name, sealed_every) in [("", u64::MAX), (", sealed every 16", 16), (", sealed every 1", 1)] {
            let mut storage = Some(MemoryStorage::new(segment_bytes, 1));
            group.bench_function(format!("{content_bytes} B{name}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..iterations {
                        let mut journal = emptied(storage.take().expect("given back"));
                        let before = now();
                        for number in 1..=records {
                            black_box(journal.append(black_box(&record)));
                            if number % sealed_every == 0 {
                                seal(&mut journal);
                            }
                        }
                        spent += before.elapsed();
                        storage = Some(journal.into_storage());
                    }
                    spent
                });
            });
        }
    }
    group.finish();
}

fn emptied(mut storage: MemoryStorage) -> Journal<MemoryStorage> {
    let end = Position::new(1, 0);
    storage.secure(SegmentStatus { marked_durable: end, end, torn_bytes: 0 }).expect("memory does not fail");
    Journal::open(storage, ShardId(0), Millis(1), None, |_, _| {}).expect("a new log").0
}

/// An intact log, all of it durable: clearing what is behind it costs nothing and is not measured.
struct Intact(MemoryStorage);

impl Segments for Intact {
    fn segments(&self) -> Range<u32> {
        self.0.segments()
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        self.0.bytes(segment)
    }
}

impl Storage for Intact {
    fn bytes_mut(&mut self, segment: u32, bytes: Range<usize>) -> &mut [u8] {
        self.0.bytes_mut(segment, bytes)
    }

    fn spare_bytes(&self) -> Option<u32> {
        self.0.spare_bytes()
    }

    fn take_spare(&mut self) -> u32 {
        self.0.take_spare()
    }

    fn drop_first(&mut self) {
        self.0.drop_first();
    }

    fn secure(&mut self, _: SegmentStatus) -> Result<(), StorageError> {
        Ok(())
    }
}

fn open(criterion: &mut Criterion) {
    let bytes = if is_smoke() { 1 << 20 } else { 256 << 20 };
    let mut group = criterion.benchmark_group("log/open");
    for content_bytes in [128, 4 << 10] {
        let record_bytes = Pair::default().record(&message(content_bytes)).encoded_bytes();
        let (journal, _) = filled(bytes / record_bytes as u64, content_bytes);
        let end = journal.end();
        let mut storage = Some(Intact(journal.into_storage()));
        group.throughput(Throughput::Bytes(
            u64::from(end.segment() - 1) * u64::from(SEGMENT_BYTES) + u64::from(end.offset()),
        ));
        group.bench_function(format!("{content_bytes} B"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let before = now();
                    let opened =
                        Journal::open(storage.take().expect("given back"), ShardId(0), Millis(2), None, |_, record| {
                            black_box(record);
                        });
                    spent += before.elapsed();
                    storage = Some(opened.expect("an intact log").0.into_storage());
                }
                spent
            });
        });
    }
    group.finish();
}

#[allow(clippy::disallowed_types, reason = "a bench reads the clock")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn far_page(criterion: &mut Criterion) {
    let entries = if is_smoke() { 10_000 } else { 1_000_000 };
    let (journal, pair) = filled(entries, 128);
    let bob = user("bob");
    let mut group = criterion.benchmark_group("log/page");
    for (name, after) in [("100 newest", entries - 100), ("100 of the far end", 100)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                pair.peer
                    .page_after(
                        journal.view(ReadMode::Unbounded),
                        Thread::Inbox(&bob),
                        black_box(Seq(after)),
                        PageBounds { entries_max: 100, room: Room { bytes_max: 1 << 20, sizing: Sizing::Verbatim } },
                    )
                    .expect("intact")
            });
        });
    }
    group.finish();
}

criterion_group! { name = log; config = criterion(Duration::from_secs(4)); targets = append, open, far_page }
criterion_main!(log);
