//! Groups, facts, names, blocks and receipts at random, and now and then all logs are written anew for another number of
//! shards: the oracle sees no difference, the audit finds nothing, and it goes on.

use super::super::checkpoint::survey;
use super::super::random_tests::{Driver, SEEDS};
use super::tests::{at_rest, expect_kept};
use super::*;
use crate::log::MemoryStorage;
use crate::model::Millis;
use crate::shard::Care;

/// What is there beside inboxes is there again; on the way, deliveries and fan-outs were cut short.
fn reshard(driver: &mut Driver) {
    let shards = driver.cluster.shards.len() as u16;
    let to = 1 + driver.chance.below(4) as u16;
    let old_settings: Vec<Settings> = (0..usize::from(shards)).map(|me| driver.cluster.settings(me)).collect();
    let mut disks = driver.cluster.take_disks();
    disks.iter_mut().for_each(|disk| disk.set_spares(10_000));
    let checkpoints = driver.checkpoints.clone();
    let read = |((settings, log), known): ((&Settings, &MemoryStorage), &Vec<Vec<u8>>)| {
        Past::read(settings, log, known, Care::Refuse).expect("readable")
    };
    let mut pasts: Vec<Past> = old_settings.iter().zip(&disks).zip(&checkpoints).map(read).collect();
    let recovery = Recovery::find(&old_settings[0], &pasts, &disks).expect("readable");
    let blank = |me| {
        let disk = MemoryStorage::new(super::super::random_tests::SEGMENT_BYTES, 10_000);
        Journal::open(disk, ShardId(me), driver.cluster.now, None, |_, _| {}).expect("a new log").0
    };
    let mut journals: Vec<_> = (0..to).map(blank).collect();
    let both = (&mut pasts[..], &disks[..]);
    let placement = Placement::new(to);
    let done = rewrite(&old_settings[0], both, &recovery, placement, &mut journals, |_| {}).expect("rewritten");
    assert!(recovery.lost.is_empty());
    let disks: Vec<MemoryStorage> = journals.into_iter().map(at_rest).collect();
    let of = |me| Settings { me: ShardId(me), placement, ..old_settings[0] };
    expect_kept(&of, &disks, &done);
    driver.checkpoints = vec![Vec::new(); usize::from(to)];
    // A start from a checkpoint knows the same.
    if driver.chance.below(2) == 0 {
        for (me, disk) in (0..).zip(&disks) {
            let last = disk.segments().end - 1;
            if last > 1 {
                let made = survey(&of(me), &[] as &[&[u8]], disk, last - 1).expect("sound");
                driver.checkpoints[usize::from(me)].push(made.bytes);
            }
        }
    }
    driver.restart_on(disks);
}

fn run(seed: u64) {
    let mut driver = Driver::new(seed);
    for _ in 0..3 {
        (0..80).for_each(|_| driver.step());
        if driver.chance.below(2) == 0 {
            driver.finish();
        }
        reshard(&mut driver);
        driver.finish();
        driver.check();
        reshard(&mut driver);
        (0..30).for_each(|_| driver.step());
        driver.finish();
        driver.check();
    }
    assert!(driver.cluster.now > Millis(0));
}

#[test]
fn a_reshard_at_any_moment_is_seen_by_nobody_in_any_group_or_pair() {
    for seed in 0..SEEDS / 2 {
        let result = std::panic::catch_unwind(|| run(seed + 500));
        assert!(result.is_ok(), "seed {seed}");
    }
}
