//! Backups of logs that change while they are read, or are damaged, on a real file system.

use super::*;
use crate::log::{Journal, Record, ThreadLinks};
use crate::model::testing::{client_message_id, plain_message};
use crate::model::{ConversationSeq, Message, MessageId, Millis, ShardId};
use crate::server::Manifest;
use crate::server::disk::segment_allocator;
use crate::server::disk::{Disk, Supplies};
use crossbeam_channel::unbounded;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const BYTES: u32 = 65_536;

fn posted(number: u64) -> Record {
    let message = Message {
        id: MessageId(number),
        conversation_seq: ConversationSeq(number),
        client_message_id: client_message_id(&number.to_string()),
        content: vec![b'x'; 1_000].into(),
        ..plain_message()
    };
    Record::Posted { message: Arc::new(message), deliveries: Default::default(), links: ThreadLinks::new() }
}

/// A data directory of one shard whose log has a few records, all marked durable, and the positions of these.
fn data_dir() -> (tempfile::TempDir, Vec<Position>) {
    let temporary = tempfile::tempdir().expect("a directory");
    Manifest::new(1, BYTES, Millis(1)).expect("randomness").store(temporary.path()).expect("stored");
    let directory = temporary.path().join("shard-000");
    std::fs::create_dir(&directory).expect("made");
    let (jobs, received) = unbounded();
    let preparer = segment_allocator::start(None, Arc::default(), received).expect("a thread");
    let disk =
        Disk::open(&directory, BYTES, Supplies { jobs, space: Arc::default(), reply_sender: None }).expect("opened");
    let (mut journal, _) = Journal::open(disk, ShardId(0), Millis(1), None, |_, _| {}).expect("a new log");
    let mut positions = Vec::new();
    for number in 1..=10 {
        positions.push(journal.append(&posted(number)));
        let batch = journal.seal().expect("somebody waits");
        journal.synced(batch.to);
    }
    journal.append_durability_mark();
    drop(journal);
    // It still makes a spare: nobody changes the directory afterwards.
    preparer.join().expect("it ends with its orders");
    (temporary, positions)
}

fn number_of(target: &Path) -> usize {
    let log = ArchivedLog::open(&target.join("shard-000"), BYTES).expect("a log");
    let mut count = 0;
    let inspected =
        inspect(&log, ShardId(0), |_, record| count += usize::from(matches!(record, Record::Posted { .. })));
    assert_eq!(inspected.expect("a log").damage, None);
    count
}

fn zero_a_record(file: &File, position: Position) {
    file.write_all_at(&[0; 64], u64::from(position.offset())).expect("written");
}

#[test]
fn a_reader_that_was_overtaken_reads_again() {
    let (source, positions) = data_dir();
    let temporary = tempfile::tempdir().expect("a directory");
    let backup = Backup::open(source.path()).expect("opened");
    let mut target = BackupTarget::claim(&temporary.path().join("copy"), temporary.path()).expect("claimed");
    let log = &backup.source.logs[0];
    let mut copied = backup.copy_log(log, &mut target, &|_| {}).expect("copied");
    // As if the fifth record had been written after its place was read, and the sixth before.
    zero_a_record(&copied.segments[0].file, positions[4]);
    let trail = copied.read_back(log, Position::NONE, &|_| {}).expect("the source is sound");
    assert_eq!(trail.end(), log.end_now().expect("readable"));
    copied.finish(trail.end(), &mut target).expect("finished");
    assert_eq!(number_of(&target.root), 10);
}

#[test]
fn a_hole_that_stays_is_damage_and_leaves_no_backup() {
    let (source, positions) = data_dir();
    let temporary = tempfile::tempdir().expect("a directory");
    let target = temporary.path().join("copy");
    let segment = File::options().write(true).open(source.path().join("shard-000/00000001.log")).expect("there");
    zero_a_record(&segment, positions[4]);
    let backup = Backup::open(source.path()).expect("opened");
    let error = backup.write(&target, Millis(2), &|_| {}).expect_err("damaged");
    assert!(error.exit_status() == 3 && error.to_string().contains("damaged"), "{error}");
    assert!(!target.exists());
}

#[test]
fn a_copy_ends_at_its_cut_and_is_zero_behind_it() {
    let (source, positions) = data_dir();
    let temporary = tempfile::tempdir().expect("a directory");
    let backup = Backup::open(source.path()).expect("opened");
    let mut target = BackupTarget::claim(&temporary.path().join("copy"), temporary.path()).expect("claimed");
    let log = &backup.source.logs[0];
    let copied = backup.copy_log(log, &mut target, &|_| {}).expect("copied");
    let listed = copied.finish(positions[7], &mut target).expect("finished");
    assert_eq!(number_of(&target.root), 7);
    let bytes = std::fs::read(target.root.join(&listed[0].path)).expect("there");
    assert!(bytes.len() == BYTES as usize && listed[0].is_of(crc32c::crc32c(&bytes)));
    assert!(bytes[positions[7].offset() as usize..].iter().all(|byte| *byte == 0));
}

#[test]
fn progress_ends_at_what_was_announced_and_checkpoints_that_end_before_the_cut_come_along() {
    let (source, _) = data_dir();
    for name in ["00000000.checkpoint", "00000001.checkpoint", "00000000.checkpoint.damaged"] {
        std::fs::write(source.path().join("shard-000").join(name), "opaque").expect("written");
    }
    std::fs::write(source.path().join("shard-000/spare.tmp"), "not ours").expect("written");
    let temporary = tempfile::tempdir().expect("a directory");
    let target = temporary.path().join("copy");
    let backup = Backup::open(source.path()).expect("opened");
    let seen = std::cell::Cell::new(0);
    let report = backup.write(&target, Millis(2), &|bytes| seen.set(seen.get() + bytes)).expect("written");
    assert_eq!(seen.get(), backup.bytes().expect("readable"));
    // Manifest, segment 1, and the checkpoint that ends before it.
    assert_eq!((report.files, target.join("shard-000/spare.tmp").exists()), (3, false));
    assert_eq!(std::fs::read(target.join("shard-000/00000000.checkpoint")).expect("there"), b"opaque");
}
