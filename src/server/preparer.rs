//! The helper thread that makes segments ahead of need, so that no turn ever creates, fills or syncs a file.
//!
//! One for all shards, off their cores where a core is left. When the disk is full it tries again every second.

use super::segment::Segment;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, unbounded};
use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

const RETRY: Duration = Duration::from_secs(1);

/// Make this segment and send it there.
#[derive(Debug)]
pub struct Order {
    pub directory: PathBuf,
    pub number: u32,
    pub bytes: u32,
    pub ready: Sender<Segment>,
}

/// Ends when all senders of orders are gone.
pub struct Preparer {
    pub orders: Sender<Order>,
    pub thread: JoinHandle<()>,
}

impl Preparer {
    /// Orders are bounded by their makers: each shard has one out.
    pub fn start(core: Option<usize>) -> io::Result<Self> {
        let (orders, received) = unbounded();
        let thread = std::thread::Builder::new().name("mushan-segments".to_owned()).spawn(move || {
            if let Some(id) = core {
                core_affinity::set_for_current(core_affinity::CoreId { id });
            }
            run(&received);
        })?;
        Ok(Self { orders, thread })
    }
}

fn run(orders: &Receiver<Order>) {
    let mut open: Vec<Order> = Vec::new();
    let mut is_failing = false;
    loop {
        let patience = if open.is_empty() { Duration::from_secs(3_600) } else { RETRY };
        match orders.recv_timeout(patience) {
            Ok(order) => open.push(order),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let before = open.len();
        open.retain(|order| !fill(order, &mut is_failing));
        if is_failing && open.len() < before && open.is_empty() {
            is_failing = false;
            tracing::info!("segments can be prepared again");
        }
    }
}

/// Whether the order is done with.
fn fill(order: &Order, is_failing: &mut bool) -> bool {
    match Segment::prepare(&order.directory, order.number, order.bytes) {
        Ok(segment) => {
            tracing::debug!(directory = %order.directory.display(), number = order.number, "segment prepared");
            !matches!(order.ready.try_send(segment), Err(TrySendError::Full(_)))
        }
        Err(error) => {
            if !*is_failing {
                *is_failing = true;
                tracing::warn!(directory = %order.directory.display(), %error, "no room for the next segment, trying on");
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    #[test]
    fn a_segment_that_cannot_be_made_is_tried_again_until_it_can() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = temporary.path().join("not there yet");
        let preparer = Preparer::start(None).expect("a thread");
        let (ready, made) = bounded(1);
        let order = Order { directory: directory.clone(), number: 7, bytes: 65_536, ready };
        preparer.orders.send(order).expect("the preparer listens");
        assert!(made.recv_timeout(Duration::from_millis(100)).is_err(), "there is nowhere to make it");
        std::fs::create_dir(&directory).expect("made");
        let segment = made.recv_timeout(Duration::from_secs(30)).expect("tried again");
        assert_eq!((segment.number, segment.bytes().len(), segment.is_blank()), (7, 65_536, true));
        drop(preparer.orders);
        preparer.thread.join().expect("it ends with its orders");
    }
}
