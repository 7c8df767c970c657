//! Waking a shard that sleeps, without a system call when it does not, and without losing a wake-up.
//!
//! The argument. A sender first makes its work visible (a push into a lane, a flag), then `wake`s; a sleeper first
//! calls `fall_asleep`, then looks once more for work, and only then sleeps in its ring, where a read of the eventfd
//! waits. Both put a sequentially consistent fence between their store and their load, so in the order of fences one comes first: if the sender's, the
//! sleeper's look finds the work; if the sleeper's, the sender finds `sleeping` set and writes the eventfd. That is a
//! counter: a write before the read starts completes the read at once. Of several senders only the one that clears
//! `sleeping` writes.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};

#[derive(Debug)]
pub struct Waker {
    sleeping: AtomicBool,
    eventfd: OwnedFd,
}

impl Waker {
    pub fn new() -> io::Result<Self> {
        // Blocking, so that io_uring waits for it instead of failing with EAGAIN.
        Ok(Self { sleeping: AtomicBool::new(false), eventfd: eventfd(0, EventfdFlags::CLOEXEC)? })
    }

    /// To be called after work has been made visible.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed) {
            let written = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
            written.expect("an eventfd counts to 2^64 - 2 before a write fails");
        }
    }

    /// To be called before looking for work one last time.
    pub fn fall_asleep(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Marks the shard as awake, whatever the reason.
    pub fn get_up(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    pub fn eventfd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    const ROUNDS: u64 = 50_000;

    /// Two threads wake each other in turn: after one lost wake-up both would sleep for ever.
    fn play(mine: &Waker, other: &Waker, seen: &AtomicU64, told: &AtomicU64) {
        for round in 1..=ROUNDS {
            told.store(round, Ordering::Relaxed);
            other.wake();
            while seen.load(Ordering::Relaxed) < round {
                mine.fall_asleep();
                if seen.load(Ordering::Relaxed) < round {
                    let mut count = [0; 8];
                    rustix::io::read(mine.eventfd(), &mut count).expect("an eventfd");
                }
                mine.get_up();
            }
        }
    }

    #[test]
    fn no_wake_up_is_lost_between_two_threads() {
        let shared = Arc::new([(); 2].map(|()| (Waker::new().expect("an eventfd"), AtomicU64::new(0))));
        let theirs = shared.clone();
        let (done, is_done) = std::sync::mpsc::channel();
        let other = done.clone();
        std::thread::spawn(move || {
            play(&theirs[1].0, &theirs[0].0, &theirs[1].1, &theirs[0].1);
            other.send(()).expect("the test waits");
        });
        std::thread::spawn(move || {
            play(&shared[0].0, &shared[1].0, &shared[0].1, &shared[1].1);
            done.send(()).expect("the test waits");
        });
        for _side in 0..2 {
            is_done.recv_timeout(std::time::Duration::from_secs(60)).expect("a wake-up was lost: both sides sleep");
        }
    }
}
