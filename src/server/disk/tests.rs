//! The disk on a real file system: what it keeps, refuses and clears.

use super::*;
use crate::server::disk::segment_allocator;
use crossbeam_channel::unbounded;
use std::time::{Duration, Instant};

const BYTES: u32 = 65_536;

struct Rig {
    directory: tempfile::TempDir,
    jobs: Sender<AllocatorJob>,
    space: Arc<Space>,
}

impl Rig {
    fn new() -> Self {
        let (jobs, received) = unbounded();
        let space = Arc::<Space>::default();
        segment_allocator::start(None, space.clone(), received).expect("a thread");
        Self { directory: tempfile::tempdir().expect("a directory"), jobs, space }
    }

    fn open(&self) -> Result<Disk, StartError> {
        let supplies = Supplies { jobs: self.jobs.clone(), space: self.space.clone(), reply_sender: None };
        Disk::open(self.directory.path(), BYTES, supplies)
    }

    /// Leaves a log whose first segment is begun, and a spare beside it.
    fn leave_spare(&self) {
        let mut disk = self.open().expect("opened");
        disk.take_spare();
        disk.write(1, 0, b"x");
        wait_for_spare(&mut disk);
    }

    fn file(&self, number: u32) -> std::path::PathBuf {
        segment::path(self.directory.path(), number)
    }
}

/// No order is out then: a restart has a preparer of its own, and this one must not be at work in its directory.
fn wait_for_spare(disk: &mut Disk) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while disk.spare_bytes().is_none() || disk.ordered > 0 {
        assert!(Instant::now() < deadline, "no spare came");
        std::thread::sleep(Duration::from_millis(1));
        gather(disk);
    }
}

/// As a shard does in each turn that knows next to nothing.
fn gather(disk: &mut Disk) {
    let _ = disk.gather();
    disk.order_spares(0);
}

#[test]
fn a_new_log_has_a_spare_and_no_segment() {
    let rig = Rig::new();
    let mut disk = rig.open().expect("opened");
    assert_eq!((disk.segments(), disk.spare_bytes()), (1..1, Some(BYTES)));
    assert_eq!(disk.take_spare(), 1);
    assert_eq!((disk.segments(), disk.bytes(1).len()), (1..2, BYTES as usize));
}

/// Segments 1 to `last`, each with what `bytes_of` says from its beginning.
fn write_segments(disk: &mut Disk, last: u32, bytes_of: impl Fn(u32) -> Vec<u8>) {
    for number in 1..=last {
        wait_for_spare(disk);
        disk.take_spare();
        disk.write(number, 0, &bytes_of(number));
    }
}

#[test]
fn the_next_spare_is_made_ahead_and_what_was_written_is_found_again() {
    let rig = Rig::new();
    let mut disk = rig.open().expect("opened");
    for number in 1..=4 {
        wait_for_spare(&mut disk);
        assert_eq!(disk.take_spare(), number);
        disk.write(number, 100, format!("segment {number}").as_bytes());
    }
    disk.sync_from(1).expect("synced");
    // A real restart has a preparer of its own; this one must not still be at work on the fifth.
    wait_for_spare(&mut disk);
    drop(disk);
    let disk = rig.open().expect("opened again");
    assert_eq!(disk.segments(), 1..5);
    for number in 1..=4 {
        assert_eq!(&disk.bytes(number)[100..109], format!("segment {number}").as_bytes());
    }
}

#[test]
fn a_spare_that_was_never_used_is_the_spare_again() {
    let rig = Rig::new();
    rig.leave_spare();
    assert!(rig.file(2).exists());
    let mut disk = rig.open().expect("opened again");
    assert_eq!((disk.segments(), disk.spare_bytes()), (1..2, Some(BYTES)));
    assert_eq!(disk.take_spare(), 2);
}

#[test]
fn a_log_that_fills_fast_has_more_than_one_spare_and_finds_them_again() {
    let rig = Rig::new();
    let mut disk = rig.open().expect("opened");
    for number in 1..=8 {
        wait_for_spare(&mut disk);
        // However fast this disk is, the log fills segments faster.
        disk.spares.front_mut().expect("waited for").took = Duration::from_secs(60);
        disk.take_spare();
        disk.write(number, 0, b"x");
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while disk.spares.len() < disk.pace.wanted() {
        assert!(Instant::now() < deadline, "no spare came");
        gather(&mut disk);
    }
    let (made, end) = (disk.spares.len(), disk.segments().end);
    assert!(made > 1, "segments were taken as fast as they came");
    drop(disk);
    let disk = rig.open().expect("opened again");
    assert_eq!((disk.segments().end, disk.spares.len()), (end, made));
    let numbers: Vec<u32> = disk.spares.iter().map(|spare| spare.segment.number).collect();
    assert_eq!(numbers, (end..end + made as u32).collect::<Vec<_>>());
}

#[test]
fn a_start_leaves_the_room_of_the_next_checkpoint_free() {
    let rig = Rig::new();
    rig.leave_spare();
    std::fs::remove_file(rig.file(2)).expect("removed");
    // A sparse file has a length that no disk has room for.
    let checkpoint = std::fs::File::create(checkpoints::path(rig.directory.path(), 1)).expect("made");
    checkpoint.set_len(1 << 42).expect("sparse");
    let disk = rig.open().expect("a log stands on a full disk");
    assert!(disk.spare_bytes().is_none() && disk.is_full(), "a segment would have taken that room");
}

/// The shard has come to know much since a segment was ordered last.
#[test]
fn a_segment_is_ordered_with_what_the_shard_knows_by_then() {
    let rig = Rig::new();
    let mut disk = rig.open().expect("opened");
    gather(&mut disk);
    disk.take_spare();
    disk.write(1, 0, b"x");
    assert!(disk.wants_spares() && disk.ordered == 0, "ordered by what was known before");
    let all_there_is = u64::MAX / 8;
    disk.order_spares(all_there_is);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !disk.is_full() {
        assert!(Instant::now() < deadline && disk.ready.1.is_empty(), "a segment takes the room of the checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
    disk.order_spares(0);
    wait_for_spare(&mut disk);
}

#[test]
fn a_short_file_or_a_gap_is_refused() {
    let rig = Rig::new();
    let mut disk = rig.open().expect("opened");
    write_segments(&mut disk, 3, |_| b"x".to_vec());
    wait_for_spare(&mut disk);
    drop(disk);
    let file = std::fs::OpenOptions::new().write(true).open(rig.file(2)).expect("there");
    file.set_len(4_096).expect("cut");
    let error = rig.open().err().expect("a cut segment");
    assert_eq!(error.exit_status(), 3);
    assert!(error.to_string().contains("00000002.log"), "{error}");
    std::fs::remove_file(rig.file(2)).expect("removed");
    let error = rig.open().err().expect("a gap");
    assert!(error.to_string().contains("00000002.log is missing"), "{error}");
}

#[test]
fn clearing_zeroes_the_tail_and_later_segments_and_keeps_what_is_before() {
    let rig = Rig::new();
    let mut disk = rig.open().expect("opened");
    write_segments(&mut disk, 2, |_| vec![7; BYTES as usize]);
    let end = Position::new(1, 50_000);
    disk.secure(SegmentStatus { marked_durable: end, end, torn_bytes: 0 }).expect("cleared");
    assert!(disk.bytes(1)[..50_000].iter().all(|byte| *byte == 7));
    assert!(disk.bytes(1)[50_000..].iter().all(|byte| *byte == 0));
    assert!(disk.bytes(2).iter().all(|byte| *byte == 0));
    disk.write(1, 50_000, b"again");
    assert_eq!(&disk.bytes(1)[50_000..50_005], b"again");
}

/// A log of so many segments, each of them full of its number, as a restart finds it.
fn disk_of(rig: &Rig, segments: u32) -> Disk {
    let mut disk = rig.open().expect("opened");
    write_segments(&mut disk, segments, |number| vec![number as u8; BYTES as usize]);
    disk.sync_from(1).expect("synced");
    wait_for_spare(&mut disk);
    drop(disk);
    rig.open().expect("opened again")
}

#[test]
fn a_log_that_ends_before_the_newest_two_segments_goes_on_where_it_ends() {
    let rig = Rig::new();
    let mut disk = disk_of(&rig, 6);
    let end = Position::new(2, 1_000);
    disk.secure(SegmentStatus { marked_durable: Position::new(1, 64), end, torn_bytes: 9 }).expect("cleared");
    assert_eq!(disk.warm_from(), 1, "what is appended to and read is no cold segment, however old its number");
    disk.write(2, 1_000, b"on");
    disk.write(3, 0, b"header");
    assert_eq!((&disk.bytes(2)[998..1_003], disk.bytes(3)[0]), (&[2, 2, b'o', b'n', 0][..], b'h'));
    assert_eq!(disk.warm_from(), 2);
    for number in 4..=7 {
        if disk.segments().end == number {
            wait_for_spare(&mut disk);
            assert_eq!(disk.take_spare(), number);
        }
        disk.write(number, 0, b"header");
    }
    assert_eq!(disk.warm_from(), 6);
    assert!(disk.bytes(1).iter().all(|byte| *byte == 1), "what was marked durable is as it was");
}

#[test]
fn what_a_start_marks_durable_is_written_before_it_is_synced() {
    let rig = Rig::new();
    let mut disk = disk_of(&rig, 3);
    // Whoever writes to a file changes its time; a store into a map of a page that is written already does not.
    let changed = |number: u32| std::fs::metadata(rig.file(number)).expect("there").modified().expect("known");
    let set = |number: u32| {
        let file = std::fs::OpenOptions::new().write(true).open(rig.file(number)).expect("there");
        file.set_modified(std::time::UNIX_EPOCH).expect("set");
    };
    (1..=3).for_each(set);
    disk.secure(SegmentStatus { marked_durable: Position::new(2, 5_000), end: Position::new(3, BYTES), torn_bytes: 0 })
        .expect("synced");
    let is_written = |number: &u32| changed(*number) > std::time::UNIX_EPOCH;
    assert_eq!((1..=3).filter(is_written).collect::<Vec<_>>(), [2, 3], "and what was marked durable is left alone");
    assert!((2..=3).all(|number| disk.bytes(number).iter().all(|byte| *byte == number as u8)));
}

#[test]
fn what_is_to_be_written_to_has_its_blocks_once_a_log_is_open() {
    use std::os::unix::fs::MetadataExt;
    let rig = Rig::new();
    drop(disk_of(&rig, 2));
    // As a sparse copy leaves it.
    let bytes = std::fs::read(rig.file(2)).expect("read");
    std::fs::remove_file(rig.file(2)).expect("removed");
    let file = std::fs::File::create(rig.file(2)).expect("made");
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[..4_096], 0).expect("written");
    file.set_len(u64::from(BYTES)).expect("extended");
    let mut disk = rig.open().expect("opened");
    let end = Position::new(2, 4_096);
    disk.secure(SegmentStatus { marked_durable: end, end, torn_bytes: 0 }).expect("there is room");
    let blocks = std::fs::metadata(rig.file(2)).expect("there").blocks();
    assert!(blocks * 512 >= u64::from(BYTES), "a store into a hole on a full disk is SIGBUS");
}

#[test]
fn a_dropped_segment_is_gone_for_good_and_the_log_begins_behind_it() {
    let rig = Rig::new();
    let mut disk = rig.open().expect("opened");
    write_segments(&mut disk, 4, |_| b"x".to_vec());
    wait_for_spare(&mut disk);
    disk.drop_first();
    assert_eq!((disk.segments(), disk.warm_from()), (2..5, 3));
    assert_eq!(disk.bytes(2)[0], b'x');
    let deadline = Instant::now() + Duration::from_secs(20);
    while rig.file(1).exists() {
        assert!(Instant::now() < deadline, "the file stays");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(disk);
    assert_eq!(rig.open().expect("opened again").segments(), 2..5);
}

/// Cold segments as a restart finds them, each with its number at every eighth byte.
fn disk_with_cold_segments(rig: &Rig) -> Disk {
    let mut disk = rig.open().expect("opened");
    write_segments(&mut disk, 4, |number| {
        (0..BYTES / 8).flat_map(|place| [number, place * 8].map(u32::to_le_bytes)).flatten().collect()
    });
    disk.sync_from(1).expect("synced");
    wait_for_spare(&mut disk);
    drop(disk);
    let disk = rig.open().expect("opened again");
    assert_eq!((disk.segments(), disk.warm_from()), (1..5, 3));
    disk
}

/// Where these bytes stand in which segment, by what they say.
fn place_of(bytes: &[u8]) -> (u32, u32) {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (number(0), number(4))
}

#[test]
fn cold_bytes_that_are_in_memory_are_had_without_waiting_for_the_disk() {
    let rig = Rig::new();
    let disk = disk_with_cold_segments(&rig);
    assert_eq!(std::fs::read(rig.file(2)).expect("read into memory").len(), BYTES as usize);
    let block = BLOCK_BYTES as u32;
    for (offset, bytes_min) in [(64, 16), (block - 8, 8), (block - 8, 16), (block + 800, BLOCK_BYTES), (BYTES - 8, 8)] {
        let found = disk.resident_bytes(Position::new(2, offset), bytes_min).expect("in memory");
        assert!(found.len() >= bytes_min, "{} of {bytes_min}", found.len());
        assert_eq!(place_of(found), (2, offset));
    }
    let behind_the_end = disk.resident_bytes(Position::new(2, BYTES - 800), BLOCK_BYTES).expect("in memory");
    assert_eq!((place_of(behind_the_end), behind_the_end.len()), ((2, BYTES - 800), 800));
    assert_eq!(disk.resident_bytes(Position::new(2, 64), BLOCK_BYTES + 1), None, "too long for a turn");
}

#[test]
fn what_was_copied_is_there_after_the_file_is_not_and_nothing_else_is() {
    let rig = Rig::new();
    let mut disk = disk_with_cold_segments(&rig);
    std::fs::read(rig.file(1)).expect("read into memory");
    assert!(disk.resident_bytes(Position::new(1, 64), 16).is_some());
    // As good as a disk that lost its blocks: to touch the map there is SIGBUS.
    std::fs::OpenOptions::new().write(true).open(rig.file(1)).expect("there").set_len(64).expect("cut");
    for _turn in 0..3 {
        disk.begin_turn();
        let found = disk.resident_bytes(Position::new(1, 4_096), 16).expect("copied before");
        assert_eq!(place_of(found), (1, 4_096));
        assert_eq!(disk.resident_bytes(Position::new(1, 20_000), 16), None);
    }
}

#[test]
fn what_the_kernel_has_let_go_of_is_not_waited_for() {
    let rig = Rig::new();
    let mut disk = disk_with_cold_segments(&rig);
    let file = std::fs::File::open(rig.file(1)).expect("there");
    file.sync_all().expect("synced");
    // Advice: a file system in memory, for one, keeps it.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("taken");
    if disk.resident_bytes(Position::new(1, 64), 16).is_none() {
        std::fs::read(rig.file(1)).expect("read into memory");
        disk.begin_turn();
    }
    assert_eq!(disk.resident_bytes(Position::new(1, 64), 16).map(place_of), Some((1, 64)));
}

#[test]
fn what_turns_touch_is_in_memory_once_a_log_is_open() {
    let rig = Rig::new();
    drop(disk_with_cold_segments(&rig));
    for number in 1..=4 {
        let file = std::fs::File::open(rig.file(number)).expect("there");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("taken");
    }
    let disk = rig.open().expect("opened again");
    assert_eq!(disk.warm_from(), 3);
    let mut page = [0; BYTES as usize];
    for index in [2, 3] {
        assert_eq!(disk.segments[index].copy_resident(0, &mut page), Some(page.len()), "segment {}", index + 1);
    }
}
