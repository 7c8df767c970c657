//! The lanes between shards: how long a hop takes to a core that spins and to one that sleeps, how many shard messages
//! a lane carries, and what it costs to look at N lanes rather than at one inbox that all share. `MUSHAN_BENCH_SMOKE=1`
//! only proves that everything runs.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench lives in the world")]

mod common;

use common::criterion;
use core_affinity::CoreId;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_channel::bounded;
use mushan::model::ShardId;
use mushan::server::base::waker::Waker;
use mushan::server::mesh::{Mesh, connect};
use mushan::shard::{ShardMessage, Windows};
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
/// The bound of one turn of a reactor.
const GATHER_MAX: usize = 1_024;

/// The behaviour of a shard without work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Spin,
    Sleep,
}

fn meshes(shards: usize) -> Vec<Mesh> {
    let wakers: Vec<Waker> = (0..shards).map(|_| Waker::new().expect("an eventfd")).collect();
    connect(Windows::default(), &wakers.into())
}

fn confirmation(through: u64) -> ShardMessage {
    ShardMessage::Confirm { through }
}

/// Two cores of this machine, or the same one twice.
fn cores() -> [CoreId; 2] {
    let all = core_affinity::get_core_ids().expect("this system has cores");
    [all[0], all[all.len() - 1]]
}

fn take(mesh: &mut Mesh) -> u64 {
    let mut taken = 0;
    mesh.receive(GATHER_MAX, |_from, confirmation| {
        black_box(confirmation);
        taken += 1;
    });
    taken
}

/// Sleeps as a reactor does: announces it, checks its lanes again, and reads the eventfd.
fn sleep(mesh: &Mesh, is_over: &AtomicBool) {
    mesh.waker().fall_asleep();
    if !mesh.has_incoming() && !is_over.load(Ordering::SeqCst) {
        rustix::io::read(mesh.waker().eventfd(), &mut [0; 8]).expect("an eventfd");
    }
    mesh.waker().get_up();
}

/// Runs `work` with A's mesh on one core, while B's thread answers each message (or counts it) on another.
fn beside_b<T>(rest: Rest, answers: Answers, work: impl FnOnce(&mut Mesh, &AtomicU64) -> T) -> T {
    let mut meshes = meshes(2);
    let mut b = meshes.pop().expect("two");
    let mut a = meshes.pop().expect("two");
    let (is_over, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (theirs, counter) = (is_over.clone(), taken.clone());
    let [mine, other] = cores();
    core_affinity::set_for_current(mine);
    let thread = std::thread::spawn(move || {
        core_affinity::set_for_current(other);
        while !theirs.load(Ordering::SeqCst) {
            let count = take(&mut b);
            if count == 0 {
                match rest {
                    Rest::Spin => spin_loop(),
                    Rest::Sleep => sleep(&b, &theirs),
                }
                continue;
            }
            counter.fetch_add(count, Ordering::Release);
            if answers == Answers::Sent {
                (0..count).for_each(|through| b.forward(A, confirmation(through)));
                b.flush();
            }
        }
    });
    let done = work(&mut a, &taken);
    is_over.store(true, Ordering::SeqCst);
    a.wake_all();
    thread.join().expect("it does not panic");
    done
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answers {
    Sent,
    None,
}

/// A round trip.
fn hop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh/there and back");
    for (name, rest) in [("to a core that spins", Rest::Spin), ("to a core that sleeps", Rest::Sleep)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                beside_b(rest, Answers::Sent, |a, _taken| {
                    let mut spent = Duration::ZERO;
                    for through in 0..iterations {
                        if rest == Rest::Sleep {
                            // Long enough for the other core to fall asleep.
                            std::thread::sleep(Duration::from_micros(100));
                        }
                        let began = Instant::now();
                        a.forward(B, confirmation(through));
                        a.flush();
                        while take(a) == 0 {
                            spin_loop();
                        }
                        spent += began.elapsed();
                    }
                    spent
                })
            });
        });
    }
    group.finish();
}

/// Shard messages through one lane, in batches of several sizes.
fn throughput(criterion: &mut Criterion) {
    const PARCELS: u64 = 16_384;
    let mut group = criterion.benchmark_group("mesh/one lane");
    group.throughput(Throughput::Elements(PARCELS));
    for batch in [1_u64, 16, 256] {
        group.bench_with_input(BenchmarkId::new("parcels a flush", batch), &batch, |bencher, &batch| {
            bencher.iter_custom(|iterations| {
                beside_b(Rest::Spin, Answers::None, |a, taken| {
                    let began = Instant::now();
                    let mut sent = 0;
                    for _ in 0..iterations {
                        for _flush in 0..PARCELS / batch {
                            (0..batch).for_each(|through| a.forward(B, confirmation(through)));
                            a.flush();
                            while a.has_waiting() {
                                spin_loop();
                                a.flush();
                            }
                        }
                        sent += PARCELS;
                    }
                    while taken.load(Ordering::Acquire) < sent {
                        spin_loop();
                    }
                    began.elapsed()
                })
            });
        });
    }
    group.finish();
}

/// The cost of looking for messages in a turn: a lane from each of N shards, or one inbox.
fn looking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh/looking");
    for shards in [2_usize, 8, 32] {
        let mut meshes = meshes(shards);
        group.bench_function(BenchmarkId::new("at N empty lanes", shards), |bencher| {
            bencher.iter(|| take(black_box(&mut meshes[0])));
        });
    }
    let (_sender, inbox) = bounded::<(ShardId, Vec<ShardMessage>)>(256);
    group.bench_function("at one empty inbox", |bencher| bencher.iter(|| black_box(&inbox).try_recv().is_ok()));
    group.finish();

    let mut group = criterion.benchmark_group("mesh/a batch of 16");
    group.throughput(Throughput::Elements(16));
    for shards in [2_usize, 8, 32] {
        let mut meshes = meshes(shards);
        let (first, rest) = meshes.split_at_mut(1);
        let from = rest.last_mut().expect("two at least");
        group.bench_function(BenchmarkId::new("through a lane of N", shards), |bencher| {
            bencher.iter(|| {
                (0..16).for_each(|through| from.forward(A, confirmation(through)));
                from.flush();
                take(&mut first[0])
            });
        });
    }
    let (sender, inbox) = bounded::<(ShardId, Vec<ShardMessage>)>(256);
    group.bench_function("through one inbox", |bencher| {
        bencher.iter(|| {
            let batch: Vec<ShardMessage> = (0..16).map(confirmation).collect();
            sender.try_send((B, batch)).expect("there is room");
            let mut taken = 0_u64;
            while let Ok((from, batch)) = inbox.try_recv() {
                for confirmation in batch {
                    black_box((from, confirmation));
                    taken += 1;
                }
            }
            taken
        });
    });
    group.finish();
}

/// Two senders at once: each into its lane, or both into one inbox.
fn contention(criterion: &mut Criterion) {
    const BATCHES: u64 = 4_096;
    let mut group = criterion.benchmark_group("mesh/two senders, batches of 16");
    group.throughput(Throughput::Elements(2 * BATCHES * 16));
    group.bench_function("a lane each", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut meshes = meshes(3);
            let senders = meshes.split_off(1);
            let began = Instant::now();
            std::thread::scope(|scope| {
                for mut sender in senders {
                    scope.spawn(move || {
                        for _ in 0..iterations * BATCHES {
                            (0..16).for_each(|through| sender.forward(A, confirmation(through)));
                            sender.flush();
                            while sender.has_waiting() {
                                std::thread::yield_now();
                                sender.flush();
                            }
                        }
                    });
                }
                let mut taken = 0;
                while taken < iterations * 2 * BATCHES * 16 {
                    match take(&mut meshes[0]) {
                        0 => std::thread::yield_now(),
                        count => taken += count,
                    }
                }
            });
            began.elapsed()
        });
    });
    group.bench_function("one inbox", |bencher| {
        bencher.iter_custom(|iterations| {
            let (sender, inbox) = bounded::<(ShardId, Vec<ShardMessage>)>(256);
            let began = Instant::now();
            std::thread::scope(|scope| {
                for from in [ShardId(1), ShardId(2)] {
                    let sender = sender.clone();
                    scope.spawn(move || {
                        for _ in 0..iterations * BATCHES {
                            let mut batch = (from, (0..16).map(confirmation).collect());
                            while let Err(full) = sender.try_send(batch) {
                                batch = full.into_inner();
                                std::thread::yield_now();
                            }
                        }
                    });
                }
                let mut taken = 0;
                while taken < iterations * 2 * BATCHES * 16 {
                    match inbox.try_recv() {
                        Ok((_from, batch)) => taken += black_box(batch).len() as u64,
                        Err(_) => std::thread::yield_now(),
                    }
                }
            });
            began.elapsed()
        });
    });
    group.finish();
}

criterion_group! {
    name = mesh;
    config = criterion(Duration::from_secs(3));
    targets = hop, throughput, looking, contention
}
criterion_main!(mesh);
