//! Which logs belong to the history of their directory, and which do not.

use super::*;

fn end(epoch: u64, segment: u32, offset: u32) -> LogEnd {
    LogEnd { log: Millis(5), epoch, position: Position::new(segment, offset) }
}

fn other_log(epoch: u64, segment: u32, offset: u32) -> LogEnd {
    LogEnd { log: Millis(6), ..end(epoch, segment, offset) }
}

/// Two shards; of the second, the log had lost its end when the third run began.
fn history() -> (Runs, [u64; 3]) {
    let mut runs = Runs::default();
    let first = runs.begin(&[end(0, 1, 64), end(0, 1, 64)], 10);
    let second = runs.begin(&[end(first, 1, 800), end(first, 2, 400)], 0);
    let third = runs.begin(&[end(second, 3, 640), end(second, 2, 720)], 7);
    (runs, [first, second, third])
}

#[test]
fn a_log_of_the_last_run_and_any_beginning_of_it_fit() {
    let (runs, [first, second, third]) = history();
    for second_shard in [
        end(0, 1, 64),
        end(first, 1, 120),
        end(first, 2, 400),
        end(second, 2, 456),
        end(second, 2, 720),
        end(third, 2, 776),
        end(third, 9, 64),
    ] {
        assert_eq!(runs.misfit(&[end(third, 3, 696), second_shard]), None, "{second_shard:?}");
    }
    // Nothing was cut, however little was written before the next start.
    assert_eq!(runs.misfit(&[end(second, 3, 640), end(second, 2, 720)]), None);
}

#[test]
fn a_log_that_goes_on_where_it_had_ended_when_a_later_run_began_does_not_fit() {
    let (runs, [first, second, third]) = history();
    let sound = end(third, 3, 696);
    for (second_shard, why) in [
        (end(second, 2, 728), Misfit::Parted),
        (end(second, 5, 64), Misfit::Parted),
        (end(first, 2, 408), Misfit::Parted),
        (end(first, 7, 64), Misfit::Parted),
        (end(third + 1, 7, 64), Misfit::Unlisted),
        (end(second - 1, 2, 500), Misfit::Parted),
        (end(3, 2, 500), Misfit::Unlisted),
        (other_log(third, 3, 64), Misfit::Foreign),
    ] {
        let found = runs.misfit(&[sound, second_shard]);
        assert_eq!(found, Some((ShardId(1), why)), "{second_shard:?}");
    }
    assert_eq!(second - 1, first, "the step was 0");
}

#[test]
fn a_shard_whose_directory_was_removed_begins_again_and_its_old_one_does_not_come_back() {
    let (mut runs, [_, _, third]) = history();
    let sound = end(third, 3, 696);
    let emptied = LogEnd { log: Millis(6), epoch: 1, position: Position::new(1, 64) };
    assert_eq!(runs.misfit(&[sound, emptied]), None);
    let fourth = runs.begin(&[sound, emptied], 3);
    let sound = end(fourth, 3, 752);
    assert_eq!(runs.misfit(&[sound, other_log(fourth, 1, 400)]), None);
    assert_eq!(runs.misfit(&[sound, end(third, 2, 776)]), Some((ShardId(1), Misfit::Foreign)));
}

#[test]
fn logs_of_one_run_fit_each_other_and_what_was_listed_since_does_not_fit_them() {
    let (mut runs, [_, second, third]) = history();
    // Of one shard there is nothing to contradict it; the other one is empty.
    assert_eq!(runs.misfit(&[end(0, 1, 64), end(second, 5, 64)]), None);
    let copies = [end(second, 3, 700), end(second, 5, 64)];
    assert_eq!(runs.misfit(&copies), None);
    assert_eq!(runs.misfit(&[copies[0], other_log(second, 5, 64)]), Some((ShardId(1), Misfit::Foreign)));
    let fourth = runs.begin(&copies, 2);
    assert!(fourth > third);
    let sound = end(fourth, 3, 756);
    assert_eq!(runs.misfit(&[sound, end(fourth, 5, 120)]), None);
    for stray in [end(third, 2, 776), end(third, 6, 64), end(second, 2, 500)] {
        let found = runs.misfit(&[sound, stray]);
        assert!(matches!(found, Some((ShardId(1), Misfit::Unlisted | Misfit::Forgotten))), "{stray:?}: {found:?}");
    }
}

#[test]
fn numbers_go_up_whatever_the_logs_say_and_are_not_given_twice() {
    let mut runs = Runs::default();
    assert_eq!(runs.begin(&[end(7, 1, 800), end(3, 1, 800)], 0), 8, "logs of before the first listed run");
    assert_eq!(runs.begin(&[end(8, 1, 900), end(8, 1, 900)], 4), 13);
    assert_eq!(runs.begin(&[end(0, 1, 64), end(0, 1, 64)], 0), 14, "though the logs have lost everything");
    // A restored copy of the directory, and the directory itself, go on apart.
    let mut restored = runs.clone();
    let number = runs.begin(&[end(14, 1, 500), end(14, 1, 500)], 1_000);
    restored.begin(&[end(14, 1, 500), end(14, 1, 500)], 2_000);
    let stray = end(number, 4, 64);
    assert_eq!(restored.misfit(&[stray, end(14, 1, 500)]), Some((ShardId(0), Misfit::Unlisted)));
}

#[test]
fn what_is_older_than_all_listed_runs_is_not_believed() {
    let mut runs = Runs::default();
    for n in 0..RUNS_MAX as u32 {
        let found = end(n.into(), 1 + n, 64 + n);
        runs.begin(&[found, found], 0);
    }
    let newest = end(RUNS_MAX as u64, RUNS_MAX as u32 + 1, 64);
    assert_eq!(runs.misfit(&[end(1, 1, 65), newest]), None, "all is listed");
    runs.begin(&[newest, newest], 0);
    assert_eq!(runs.runs.len(), RUNS_MAX);
    assert_eq!(runs.misfit(&[end(2, 2, 100), newest]), None);
    assert_eq!(runs.misfit(&[end(1, 1, 65), newest]), Some((ShardId(0), Misfit::Forgotten)));
    assert_eq!(runs.misfit(&[end(0, 1, 64), newest]), None, "an empty log is no older one");
}

#[test]
fn runs_read_back_as_written_and_no_bit_of_them_can_change() {
    let directory = tempfile::tempdir().expect("a directory");
    assert_eq!(Runs::load(directory.path(), 2).expect("none"), Runs::default());
    let (runs, _) = history();
    runs.store(directory.path()).expect("stored");
    assert_eq!(Runs::load(directory.path(), 2).expect("readable"), runs);
    assert!(Runs::load(directory.path(), 3).is_err(), "another number of shards");
    let text = runs.text().expect("small numbers").into_bytes();
    for at in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        let parsed =
            String::from_utf8(flipped).map_err(|_| FileFault::Unfit("no text")).and_then(|it| Runs::parse(&it, 2));
        assert!(parsed.is_err(), "bit {at}");
    }
}
