//! A queue in which users take turns: a user with many items waits behind users with one.
//!
//! Invariant: there is one permit in the channel for each queued item, so a receiver with a permit finds an item. The
//! queue ends with the last of its senders.

use crate::model::UserId;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub fn fair_queue<T>() -> (FairSender<T>, FairReceiver<T>) {
    let (give, permits) = unbounded();
    let lines = Arc::new(Mutex::new(Lines { waiting: HashMap::new(), turns: VecDeque::new() }));
    (FairSender { lines: lines.clone(), permits: give }, FairReceiver { lines, permits })
}

pub struct FairSender<T> {
    lines: Arc<Mutex<Lines<T>>>,
    permits: Sender<()>,
}

impl<T> Clone for FairSender<T> {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), permits: self.permits.clone() }
    }
}

pub struct FairReceiver<T> {
    lines: Arc<Mutex<Lines<T>>>,
    permits: Receiver<()>,
}

impl<T> Clone for FairReceiver<T> {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), permits: self.permits.clone() }
    }
}

struct Lines<T> {
    waiting: HashMap<UserId, VecDeque<T>>,
    /// The users with queued items, each once.
    turns: VecDeque<UserId>,
}

impl<T> Lines<T> {
    fn add(&mut self, user: UserId, thing: T) {
        let line = self.waiting.entry(user.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(user);
        }
        line.push_back(thing);
    }

    fn next(&mut self) -> Option<T> {
        let user = self.turns.pop_front()?;
        let line = self.waiting.get_mut(&user)?;
        let thing = line.pop_front();
        if line.is_empty() {
            self.waiting.remove(&user);
        } else {
            self.turns.push_back(user);
        }
        thing
    }
}

impl<T> FairSender<T> {
    pub fn send(&self, user: UserId, thing: T) {
        locked(&self.lines).add(user, thing);
        // Fails if no receiver is left because the server has ended.
        let _ = self.permits.send(());
    }
}

/// No item arrived within the time.
#[derive(Debug)]
pub struct Late;

impl<T> FairReceiver<T> {
    /// Waits up to `timeout` for an item; `None` when all senders are gone.
    pub fn next_within(&self, timeout: Duration) -> Result<Option<T>, Late> {
        match self.permits.recv_timeout(timeout) {
            Ok(()) => Ok(locked(&self.lines).next()),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(Late),
        }
    }

    /// Queues an unfinished item behind those of other users, and takes the next one.
    pub fn exchange(&self, user: UserId, thing: T) -> Option<T> {
        let mut lines = locked(&self.lines);
        lines.add(user, thing);
        lines.next()
    }
}

/// A panic of a holder leaves the queue consistent, so a poisoned lock is used.
fn locked<T>(lines: &Mutex<Lines<T>>) -> MutexGuard<'_, Lines<T>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::user;

    fn next<T>(receiver: &FairReceiver<T>) -> Option<T> {
        receiver.next_within(Duration::from_secs(20)).expect("in time")
    }

    #[test]
    fn who_asks_once_waits_for_one_of_each_other_user_whatever_they_have_asked_for() {
        let (sender, receiver) = fair_queue();
        (0..1_000).for_each(|number| sender.send(user("many"), number));
        (0..3).for_each(|number| sender.send(user("few"), 10_000 + number));
        sender.send(user("once"), 20_000);
        let served: Vec<i32> = (0..6).filter_map(|_| next(&receiver)).collect();
        assert_eq!(served, [0, 10_000, 20_000, 1, 10_001, 2]);
        assert_eq!(receiver.exchange(user("late"), 30_000), Some(10_002), "who is not done gets in line again");
        assert_eq!(next(&receiver), Some(3));
        assert_eq!(next(&receiver), Some(30_000));
        let (idle, nothing) = fair_queue::<i32>();
        assert!(nothing.next_within(Duration::ZERO).is_err(), "nothing has come");
        drop((idle, sender));
        let rest = std::iter::from_fn(|| next(&receiver)).count();
        assert_eq!(rest, 1_000 - 4, "what was asked for is served, and the queue ends");
    }
}
