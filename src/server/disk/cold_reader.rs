//! The threads that read cold history: they wait for the disk so that no turn does.
//!
//! Long reads are done in parts, between the reads of other users. Each thread maps a shard's segments for itself,
//! read-only, when it first needs them. Before it touches a page it requests it from the kernel, so that an unreadable
//! sector is damage in one answer and not a signal that ends the process.

use crate::log::Segments;
use crate::model::Position;
use crate::server::base::fair_queue::FairReceiver;
use crate::server::base::helper_thread::spawn;
use crate::server::disk::populated_ranges::PopulatedRanges;
use crate::server::disk::reply::{JobResult, ReplySender};
use crate::server::disk::segment_reader::SegmentReader;
use crate::shard::{Fetch, FetchStep};
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An order to read from a log and to send the result through `reply_sender`.
pub struct FetchOrder {
    pub fetch: Box<Fetch>,
    pub directory: Arc<PathBuf>,
    pub segment_bytes: u32,
    /// The segments and the end of the log at the time of the order.
    pub segments: Range<u32>,
    pub end: Position,
    pub reply_sender: ReplySender,
}

pub fn start(number: usize, core: Option<usize>, orders: FairReceiver<FetchOrder>) -> io::Result<JoinHandle<()>> {
    spawn(&format!("mushan-fetch-{number}"), core, move || run(&orders))
}

/// A shard's segments are unmapped after this time without an order: the blocks of dropped segments become free only
/// when nobody maps them, and descriptors become available to others.
const IDLE: Duration = Duration::from_secs(5);

fn run(orders: &FairReceiver<FetchOrder>) {
    let mut open_segments: HashMap<Arc<PathBuf>, OpenSegments> = HashMap::new();
    let mut next = wait(orders, &mut open_segments);
    while let Some(order) = next {
        let FetchOrder { fetch, directory, segment_bytes, segments, end, reply_sender } = order;
        let open = open_segments
            .entry(directory.clone())
            .or_insert_with(|| OpenSegments::new(directory.clone(), segment_bytes));
        open.show(segments.clone(), end);
        next = match fetch.read_some(open) {
            FetchStep::Done(fetched) => {
                reply_sender.tell(JobResult::Fetched(fetched));
                wait(orders, &mut open_segments)
            }
            FetchStep::More(fetch) => {
                let user = fetch.user().clone();
                orders.exchange(user, FetchOrder { fetch, directory, segment_bytes, segments, end, reply_sender })
            }
        };
    }
}

/// The next order; `None` when all senders are gone.
fn wait(
    orders: &FairReceiver<FetchOrder>,
    open_segments: &mut HashMap<Arc<PathBuf>, OpenSegments>,
) -> Option<FetchOrder> {
    loop {
        open_segments.retain(|_directory, segments| segments.used.elapsed() < IDLE);
        let timeout = if open_segments.is_empty() { Duration::MAX } else { IDLE };
        if let Ok(order) = orders.next_within(timeout) {
            return order;
        }
    }
}

/// One shard's segments, each opened when it is first read.
pub struct OpenSegments {
    directory: Arc<PathBuf>,
    segment_bytes: u32,
    first: u32,
    /// The log's end as last reported: bytes before it are never written again.
    end: Position,
    /// The inner `None`: the segment could not be opened.
    segments: Vec<OnceCell<Option<SegmentReader>>>,
    /// Ranges that this order has already made resident.
    populated: PopulatedRanges,
    used: Instant,
}

/// An order that reads more windows than these seldom returns to one of them.
const POPULATED_WINDOWS: usize = 256;

impl OpenSegments {
    pub(in crate::server) fn new(directory: Arc<PathBuf>, segment_bytes: u32) -> Self {
        let populated = PopulatedRanges::new(POPULATED_WINDOWS);
        Self {
            directory,
            segment_bytes,
            first: 0,
            end: Position::NONE,
            segments: Vec::new(),
            populated,
            used: Instant::now(),
        }
    }

    /// Prepares for a new order: forgets dropped segments and adds slots for new ones. `end` is at most the log's end
    /// when the order was given; only bytes before it are returned.
    pub(in crate::server) fn show(&mut self, segments: Range<u32>, end: Position) {
        self.end = self.end.max(end);
        self.used = Instant::now();
        self.populated.forget();
        let dropped = segments.start.saturating_sub(self.first) as usize;
        self.segments.drain(..dropped.min(self.segments.len()));
        self.first = self.first.max(segments.start);
        let count = segments.end.saturating_sub(self.first) as usize;
        if self.segments.len() < count {
            self.segments.resize_with(count, OnceCell::new);
        }
    }

    pub(in crate::server) fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    fn segment(&self, number: u32) -> Option<&SegmentReader> {
        let place = self.segments.get(number.checked_sub(self.first)? as usize)?;
        let opened = place.get_or_init(|| {
            let opened = SegmentReader::open(&self.directory, number, self.segment_bytes);
            opened.inspect_err(|error| tracing::warn!(number, %error, "a segment cannot be opened for reading")).ok()
        });
        opened.as_ref()
    }
}

impl Segments for OpenSegments {
    fn segments(&self) -> Range<u32> {
        let count = u32::try_from(self.segments.len()).expect("segments are numbered in 32 bits");
        self.first..self.first + count
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        let written_end = match segment.cmp(&self.end.segment()) {
            Ordering::Less => usize::MAX,
            Ordering::Equal => self.end.offset() as usize,
            Ordering::Greater => 0,
        };
        self.segment(segment).map_or(&[], |found| found.bytes(written_end))
    }

    fn warm_from(&self) -> u32 {
        self.segments().end
    }

    fn is_readable(&self, segment: u32, bytes: Range<usize>) -> bool {
        let Some(found) = self.segment(segment) else { return false };
        let end = bytes.end.min(found.len());
        if self.populated.hold(segment, bytes.start..end, |window| found.populate(window).is_ok()) {
            return true;
        }
        // The window reaches past the readable bytes, but these bytes may still be readable.
        found.populate(bytes).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::base::fair_queue::fair_queue;
    use crate::server::disk::segment::Segment;
    use crate::server::disk::space::Space;

    #[test]
    fn a_segment_that_is_gone_or_unreadable_is_said_to_be_and_takes_nobody_down() {
        let temporary = tempfile::tempdir().expect("a directory");
        drop(Segment::prepare(temporary.path(), 4, 65_536, &Space::default()).expect("made"));
        let mut segments = OpenSegments::new(Arc::new(temporary.path().to_owned()), 65_536);
        segments.show(3..6, Position::new(6, 0));
        assert!(!segments.is_readable(3, 0..10) && segments.bytes(3).is_empty());
        assert!(segments.is_readable(4, 4_000..5_000) && segments.bytes(4).len() == 65_536);
        assert!(segments.is_readable(4, 65_530..70_000), "a range may reach past the end");
        // Simulates a disk that has lost blocks: reading the map would raise SIGBUS.
        let file =
            std::fs::OpenOptions::new().write(true).open(crate::server::disk::segment::path(temporary.path(), 4));
        file.expect("there").set_len(4_096).expect("cut");
        segments.show(3..6, Position::new(6, 0));
        assert!(segments.is_readable(4, 0..10));
        assert!(!segments.is_readable(4, 8_000..8_100));
        segments.show(5..6, Position::new(6, 0));
        assert_eq!(segments.segments(), 5..6);
        assert!(!segments.is_readable(4, 0..10));
    }

    #[test]
    fn what_is_dropped_or_not_asked_for_is_not_mapped_any_more() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Arc::new(temporary.path().to_owned());
        let is_mapped = |number: u32| {
            let path = crate::server::disk::segment::path(&directory, number);
            let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
            maps.contains(path.to_str().expect("a plain path"))
        };
        let mut segments = OpenSegments::new(directory.clone(), 65_536);
        segments.show(3..5, Position::new(5, 0));
        for number in [3, 4] {
            drop(Segment::prepare(&directory, number, 65_536, &Space::default()).expect("made"));
            assert!(segments.is_readable(number, 0..10) && is_mapped(number));
        }
        segments.show(4..5, Position::new(5, 0));
        assert!(!is_mapped(3) && is_mapped(4), "retention has dropped the first");
        let (sender, orders) = fair_queue();
        drop(sender);
        let mut open_segments = HashMap::from([(directory.clone(), segments)]);
        assert!(wait(&orders, &mut open_segments).is_none() && is_mapped(4), "asked for a moment ago");
        let segments = open_segments.get_mut(&directory).expect("kept");
        segments.used = segments.used.checked_sub(IDLE).expect("the host has been up for longer");
        assert!(wait(&orders, &mut open_segments).is_none() && !is_mapped(4), "not asked for since");
    }

    #[test]
    fn a_segment_is_shown_to_the_logs_end_and_one_behind_it_not_at_all() {
        let temporary = tempfile::tempdir().expect("a directory");
        for number in [3, 4, 5] {
            drop(Segment::prepare(temporary.path(), number, 65_536, &Space::default()).expect("made"));
        }
        let mut segments = OpenSegments::new(Arc::new(temporary.path().to_owned()), 65_536);
        segments.show(3..6, Position::new(4, 800));
        assert_eq!([3, 4, 5].map(|segment| segments.bytes(segment).len()), [65_536, 800, 0]);
        segments.show(3..6, Position::new(4, 80));
        assert_eq!(segments.bytes(4).len(), 800, "an order that was given earlier takes nothing back");
        segments.show(3..6, Position::new(5, 8));
        assert_eq!([3, 4, 5].map(|segment| segments.bytes(segment).len()), [65_536, 65_536, 8]);
    }
}
