//! Reshard and repair of real directories, stopped at every step, and of directories that retention and rough hands
//! have been at.

use super::*;
use crate::model::testing::{plain_send, user};
use crate::model::{Ack, Command, DeviceKey, Limits, Millis, Recipient, RequestTag, Seq, SessionId};
use crate::server::data::directory::DataDir;
use crate::server::disk::{checkpoints, segment};
use crate::server::{Offline, Options};
use crate::shard::{Input, Upkeep};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

const NOW: Millis = Millis(1_800_000_000_000);
const SEGMENT_BYTES: u32 = 512 << 10;
const ME: ShardId = ShardId(0);
const USERS: usize = 6;

fn send(to: usize, number: usize) -> Command {
    let recipient = Recipient::User(user(&format!("user-{to}")));
    Command::Send(plain_send(&format!("m{number}"), recipient, vec![b'x'; 7_000]))
}

/// A directory of one shard in which some users have talked, an hour between any two messages.
fn talked(data_dir: &Path, messages: usize, upkeep: Upkeep) {
    let limits = Limits { dedupe_window_ms: 60_000, ..Limits::default() };
    let options =
        Options { data_dir: data_dir.to_owned(), segment_bytes: SEGMENT_BYTES, limits, upkeep, ..Options::default() };
    let mut shard = Offline::open(&options, NOW).expect("opened");
    for number in 0..messages {
        let now = NOW.plus(number as u64 * 3_600_000);
        let session = SessionId(number as u64 + 1);
        let user = user(&format!("user-{}", number % USERS));
        let device = DeviceKey { flag: 0, id: "d".into() };
        assert!(shard.wait_for_room());
        shard.handle(
            now,
            Input::Opened {
                session,
                tag: RequestTag::None,
                user,
                device,
                catch_up: crate::shard::CatchUp::Sync,
                sizing: crate::model::Sizing::Verbatim,
            },
        );
        let acknowledged = Command::Ack(Ack::Through(Seq(number as u64 / 6)));
        for command in [send(number * 7 % (USERS - 1), number), acknowledged] {
            shard.handle(now, Input::Requested { session, tag: RequestTag::None, command });
        }
        shard.handle(now, Input::Closed { session });
        shard.handle(now, Input::Waived);
        shard.tick(now).expect("a checkpoint");
    }
    shard.close().expect("closed");
}

/// Everybody's inbox, in numbers; sound, or else an error.
fn scan_counts(data_dir: &Path) -> Result<ScanCounts, StartError> {
    let rebuild = Rebuild::open(data_dir, DamagePolicy::Refuse)?;
    let mut all = ScanCounts::default();
    rebuild.sources.into_iter().for_each(|source| all.merge(source.scan_counts));
    Ok(all)
}

fn never(_: RebuildStep) {}

fn repair(data_dir: &Path) -> Rebuilt {
    let rebuild = Rebuild::open(data_dir, DamagePolicy::Salvage).expect("whatever it is, it is read");
    assert!(rebuild.is_damaged());
    let shards = rebuild.shards();
    rebuild.run(shards, "repair", NOW, never).expect("repaired")
}

fn log_of(data_dir: &Path, number: u32) -> PathBuf {
    segment::path(&shard_path(data_dir, ME), number)
}

fn flip(data_dir: &Path, number: u32, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(log_of(data_dir, number)).expect("a segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("inside");
    file.write_all_at(&[byte[0] ^ 4], at).expect("inside");
}

fn copied(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to.parent().expect("a parent"));
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        fs::create_dir_all(to.join(&directory)).expect("made");
        for entry in fs::read_dir(from.join(&directory)).expect("a directory").flatten() {
            let path = directory.join(entry.file_name());
            match entry.path().is_dir() {
                true => directories.push(path),
                false => drop(fs::copy(from.join(&path), to.join(&path)).expect("copied")),
            }
        }
    }
}

/// The process is gone as soon as it has come to `last`.
fn stopped_at(data_dir: &Path, damage_policy: DamagePolicy, shards: u16, last: RebuildStep) {
    let rebuild = Rebuild::open(data_dir, damage_policy).expect("opened");
    let stop = |step| {
        if step == last {
            std::panic::resume_unwind(Box::new("stopped"))
        }
    };
    let ended = catch_unwind(AssertUnwindSafe(|| rebuild.run(shards, "reshard", NOW, stop)));
    assert!(ended.is_err(), "it comes to {last:?}");
}

const STEPS: [RebuildStep; 7] = [
    RebuildStep::Written(1),
    RebuildStep::Written(60),
    RebuildStep::Written(100),
    RebuildStep::Verified,
    RebuildStep::Complete,
    RebuildStep::PutAside,
    RebuildStep::Swapped,
];

#[test]
fn a_reshard_that_stops_at_any_step_leaves_the_old_directory_or_the_new_one_to_any_start() {
    let temporary = tempfile::tempdir().expect("a directory");
    let (pristine, data_dir) = (temporary.path().join("pristine"), temporary.path().join("there/data"));
    talked(&pristine, 120, Upkeep::default());
    fs::write(pristine.join("admin-token"), "a token").expect("written");
    let before = scan_counts(&pristine).expect("sound");
    for last in STEPS {
        copied(&pristine, &data_dir);
        stopped_at(&data_dir, DamagePolicy::Refuse, 3, last);
        let started = {
            let options = Options { data_dir: data_dir.clone(), ..Options::default() };
            DataDir::open(&options, 1, NOW).expect("a server finds it")
        };
        let expected = if [RebuildStep::PutAside, RebuildStep::Swapped].contains(&last) { 3 } else { 1 };
        assert_eq!(started.manifest.shards, expected, "{last:?}");
        drop(started);
        assert!(scan_counts(&data_dir).expect("sound") == before, "{last:?}");
        let again = Rebuild::open(&data_dir, DamagePolicy::Refuse).expect("opened");
        again.run(2, "reshard", NOW.plus(5_000), never).expect("and again, to the end");
        assert_eq!(fs::read(data_dir.join("admin-token")).expect("kept"), b"a token");
        assert!(scan_counts(&data_dir).expect("sound") == before, "{last:?}");
    }
}

#[test]
fn a_new_directory_that_rots_while_it_is_written_never_takes_the_old_ones_place() {
    let temporary = tempfile::tempdir().expect("a directory");
    let data_dir = temporary.path().join("data");
    talked(&data_dir, 120, Upkeep::default());
    let before = scan_counts(&data_dir).expect("sound");
    let new = swap::beside(&data_dir, "new-rebuild");
    let rot = |step| {
        if step == RebuildStep::Written(100) {
            flip(&new, 1, 100_000);
        }
    };
    let rebuild = Rebuild::open(&data_dir, DamagePolicy::Refuse).expect("opened");
    let error = rebuild.run(1, "reshard", NOW, rot).expect_err("it does not read back");
    assert!(error.exit_status() == 3 && error.to_string().contains("damaged"), "{error}");
    assert!(scan_counts(&data_dir).expect("sound") == before);
    let reshard = Rebuild::open(&data_dir, DamagePolicy::Refuse).expect("opened");
    reshard.run(2, "reshard", NOW, never).expect("what is left of it is in nobody's way");
    assert!(scan_counts(&data_dir).expect("sound") == before);
}

#[test]
fn what_is_read_back_is_compared_entry_by_entry_place_by_place_and_in_what_is_known_beside() {
    let temporary = tempfile::tempdir().expect("a directory");
    let (data_dir, copy) = (temporary.path().join("data"), temporary.path().join("there/copy"));
    talked(&data_dir, 60, Upkeep::default());
    copied(&data_dir, &copy);
    let rebuild = Rebuild::open(&data_dir, DamagePolicy::Refuse).expect("opened");
    let mut written = Rewritten { kept: Digest::of(&rebuild.sources, Placement::new(1)), ..Rewritten::default() };
    for source in &rebuild.sources {
        written.threads.merge(source.threads);
        written.scan_counts.merge(source.scan_counts.clone());
    }
    rebuild.verify(&copy, &written).expect("a copy is the same");
    for lacking in [
        Rewritten { scan_counts: ScanCounts::default(), ..written.clone() },
        Rewritten { threads: Digest::default(), ..written.clone() },
        Rewritten { kept: Digest::default(), ..written.clone() },
    ] {
        let error = rebuild.verify(&copy, &lacking).expect_err("its CRC differs");
        assert!(error.to_string().contains("differs from what was read"), "{error}");
    }
}

#[test]
fn a_repair_that_stops_at_any_step_can_be_run_again() {
    let temporary = tempfile::tempdir().expect("a directory");
    let (pristine, data_dir) = (temporary.path().join("pristine"), temporary.path().join("there/data"));
    talked(&pristine, 130, Upkeep::default());
    flip(&pristine, 2, 300_000);
    scan_counts(&pristine).expect_err("damaged");
    copied(&pristine, &data_dir);
    repair(&data_dir);
    let repaired = scan_counts(&data_dir).expect("sound");
    for last in STEPS {
        copied(&pristine, &data_dir);
        stopped_at(&data_dir, DamagePolicy::Salvage, 1, last);
        swap::finish(&data_dir).expect("what every start does first");
        if scan_counts(&data_dir).is_err() {
            repair(&data_dir);
        }
        assert!(scan_counts(&data_dir).expect("sound") == repaired, "{last:?}");
    }
}

/// Two checkpoints, and the first segments dropped.
fn retained(data_dir: &Path) -> u32 {
    talked(data_dir, 850, Upkeep { checkpoint_bytes: 1, retention_ms: 0, retention_bytes: 6 << 19 });
    let archive = Archive::open(data_dir).expect("opened");
    let first = archive.log(ME).expect("readable").segments().start;
    assert!(first > 2, "segments are dropped");
    assert_eq!(archive.checkpoints(ME).expect("listed").len(), 2);
    first
}

#[test]
fn a_directory_with_checkpoints_and_dropped_segments_is_resharded_and_everybody_keeps_their_seqs() {
    let temporary = tempfile::tempdir().expect("a directory");
    let data_dir = temporary.path().join("data");
    retained(&data_dir);
    let before = scan_counts(&data_dir).expect("sound");
    for shards in [3, 1, 4] {
        let rebuild = Rebuild::open(&data_dir, DamagePolicy::Refuse).expect("opened");
        rebuild.run(shards, "reshard", NOW.plus(u64::from(shards) * 1_000), never).expect("resharded");
        assert!(scan_counts(&data_dir).expect("sound") == before, "{shards} shards");
        let archive = Archive::open(&data_dir).expect("opened");
        for shard in archive.shards() {
            archive.expect_checkpointed(shard, &archive.log(shard).expect("readable")).expect("sound");
        }
    }
}

/// What is done to a directory, and whether it costs anything.
type Harm = (&'static str, fn(&Path, u32));

#[test]
fn whatever_is_done_to_a_directory_that_a_start_refuses_a_repair_makes_one_that_it_takes() {
    let temporary = tempfile::tempdir().expect("a directory");
    let (pristine, data_dir) = (temporary.path().join("pristine"), temporary.path().join("there/data"));
    let first = retained(&pristine);
    let cut = |path: &Path, bytes: u64| {
        OpenOptions::new().write(true).open(path).expect("a segment").set_len(bytes).expect("cut");
    };
    let harms: [Harm; 9] = [
        ("a segment is missing", |at, first| fs::remove_file(log_of(at, first + 1)).expect("removed")),
        ("two segments are missing", |at, first| {
            (1..3).for_each(|more| fs::remove_file(log_of(at, first + more)).expect("removed"));
        }),
        ("a segment is short", |at, first| {
            OpenOptions::new().write(true).open(log_of(at, first + 2)).expect("there").set_len(90_000).expect("cut");
        }),
        ("a segment is empty", |at, first| fs::write(log_of(at, first), b"").expect("written")),
        ("a segment is long", |at, first| {
            OpenOptions::new().write(true).open(log_of(at, first)).expect("there").set_len(600_000).expect("grown");
        }),
        ("two segments are swapped", |at, first| {
            let [one, other] = [first, first + 1].map(|it| fs::read(log_of(at, it)).expect("read"));
            fs::write(log_of(at, first), other).and_then(|()| fs::write(log_of(at, first + 1), one)).expect("swapped");
        }),
        ("no header is left", |at, first| (first..first + 6).for_each(|it| flip(at, it, 3))),
        ("the log is shorter than its checkpoint", |at, first| {
            (first + 2..first + 20).for_each(|it| drop(fs::remove_file(log_of(at, it))));
        }),
        ("the checkpoints are gone", |at, _| {
            let numbers = checkpoints::list(&shard_path(at, ME)).expect("listed");
            let paths = numbers.into_iter().map(|it| checkpoints::path(&shard_path(at, ME), it));
            paths.for_each(|path| fs::remove_file(path).expect("removed"));
        }),
    ];
    let whole = scan_counts(&pristine).expect("sound").entries();
    for (what, harm) in harms {
        copied(&pristine, &data_dir);
        harm(&data_dir, first);
        scan_counts(&data_dir).expect_err(what);
        repair(&data_dir);
        let left = scan_counts(&data_dir).unwrap_or_else(|error| panic!("{what}: {error}")).entries();
        println!("{what}: {left} of {whole} entries are left");
        assert!(left > whole / 8, "{what}: {left} of {whole} entries are left");
        let again = Rebuild::open(&data_dir, DamagePolicy::Salvage).expect("opened");
        assert!(!again.is_damaged(), "{what}");
    }
    // Nothing but zeros are cut off: nothing is lost, and yet a start refuses it.
    copied(&pristine, &data_dir);
    let newest = (first..).take_while(|it| log_of(&data_dir, *it).exists()).last().expect("segments");
    cut(&log_of(&data_dir, newest), 520_000);
    scan_counts(&data_dir).expect_err("short");
    repair(&data_dir);
    assert_eq!(scan_counts(&data_dir).expect("sound").entries(), whole);
}
