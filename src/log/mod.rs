//! F1, the log: one shard's append-only sequence of records in preallocated segments, over `Storage`. No file, memory
//! map or sync call appears here.
//!
//! Owned by the shard. Invariants: an appended record never changes; bytes after the durable position are shown to
//! nobody unless the durability policy says so; a log opens to its longest valid prefix, or is refused, and never opens
//! to wrong data. docs/FORMAT.md has every byte.

#![warn(missing_docs)]

pub(crate) mod record;

pub mod checkpoint;
mod end;
#[cfg(test)]
pub(crate) mod fixtures;
mod forward_scan;
mod index;
mod journal;
mod memory;
mod meter;
mod opening;
mod packed_tail;
mod salvage;
mod segment;
mod storage;
mod view;

pub use end::LogEnd;
pub use forward_scan::{LogScan, Onward};
pub use index::{Page, PageBounds, Tail};
pub use journal::{Batch, Journal};
pub use memory::{MemoryStorage, TornTail};
pub use meter::Meter;
pub use opening::{Inspection, OpenError, OpenedLog, expect_base, expect_beginning, inspect, survey};
pub use packed_tail::PackedTail;
pub use record::body::decode as decode_body;
pub use record::borrowed::RecordRef;
pub use record::kinds::{Delivery, FANNED_LINKS_MAX, MemberLink, Record, Side, Thread, ThreadLink, ThreadLinks};
pub use record::snapshot::{KEPT_PARTS_MAX, SnapshotMember, SnapshotMembership, SnapshotRecord};
pub use salvage::{Cut, LogIdentity, Salvage, made_at, salvage};
pub use segment::{FORMAT_VERSION, SEGMENT_HEADER_BYTES};
pub use storage::{SegmentStatus, Segments, Storage, StorageError};
pub use view::{Damage, ReadMode, Unread, View};
