//! Retention on a shard whose deliveries another shard has not confirmed.

use crate::log::MemoryStorage;
use crate::log::fixtures::Chance;
use crate::model::{Limits, Millis, Moment};
use crate::shard::testing::fixtures::{ALICE, BOB, Cluster, message, settings};
use crate::shard::{Input, ShardSettings, Upkeep, Windows};

const DAY_MS: u64 = 24 * 3_600_000;

fn first_segment(cluster: &Cluster, me: usize) -> u32 {
    cluster.shards[me].journal().segments().start
}

fn tick(cluster: &mut Cluster, me: usize) {
    cluster.input(me, Input::Ticked);
}

/// Alice writes to a neighbour on her shard, up to this segment.
fn write_up_to(cluster: &mut Cluster, segment: u32) {
    let me = cluster.home(ALICE);
    let neighbour = (0..).map(|n| format!("neighbour-{n}")).find(|id| cluster.home(id) == me).expect("some user");
    let mut number = 0;
    while cluster.shards[me].journal().end().segment() < segment {
        cluster.request(1, ALICE, message(&format!("to {segment}, {number}"), &neighbour, &"x".repeat(300)));
        cluster.sync(me);
        number += 1;
    }
}

/// Alice's shard, on which the delivery of a message to Bob is in the first segment of six, and has not arrived. Two
/// checkpoints cover all but the last of these, and all of them are old.
fn undelivered() -> (Cluster, usize) {
    let upkeep = Upkeep { retention_bytes: 1, ..Upkeep::default() };
    let settings = ShardSettings { upkeep, ..settings(0, 2, Windows::default(), Limits::default()) };
    let disks = (0..2).map(|_| MemoryStorage::new(4_096, u32::MAX)).collect();
    let mut cluster = Cluster::ready(settings, disks, Moment::told(Millis(1_700_000_000_000)));
    let me = cluster.home(ALICE);
    assert_ne!(me, cluster.home(BOB));
    cluster.open(1, ALICE);
    cluster.settle();
    cluster.request(1, ALICE, message("to be delivered", BOB, "x"));
    cluster.sync(me);
    assert_eq!(cluster.lanes.len(), 1, "the delivery is on its way");
    write_up_to(&mut cluster, 6);
    cluster.now = cluster.now.plus(2 * DAY_MS);
    [4, 5].into_iter().for_each(|through| cluster.input(me, Input::Checkpointed { through }));
    (cluster, me)
}

#[test]
fn a_segment_with_an_unconfirmed_delivery_stays_however_old_it_is() {
    let (mut cluster, me) = undelivered();
    for _tick in 0..10 {
        tick(&mut cluster, me);
        cluster.sync(me);
    }
    assert_eq!(first_segment(&cluster, me), 1);
}

/// The first segment is old, and the confirmation of the delivery in it stands in the sixth: a start from a checkpoint
/// that ends before that has to send the delivery again, if a power cut took the confirmation.
#[test]
fn a_segment_stays_until_both_checkpoints_have_the_confirmations_of_its_deliveries() {
    let (mut cluster, me) = undelivered();
    let other = cluster.home(BOB);
    cluster.carry_lanes();
    cluster.sync(other);
    cluster.carry_lanes();
    let confirmed_in = cluster.shards[me].journal().end().segment();
    assert_eq!((cluster.shards[me].unfinished().deliveries, confirmed_in), (0, 6), "confirmed, and not durable here");
    for _tick in 0..10 {
        tick(&mut cluster, me);
    }
    assert_eq!(first_segment(&cluster, me), 1, "the older checkpoint, of segment 4, does not have it");

    // Started without either checkpoint, as if both were damaged: the log alone says what is to be sent again.
    let disks = cluster.take_disks();
    let none = disks.iter().map(|_| Vec::new()).collect();
    let mut cluster = cluster.crashed(disks, none, &mut Chance::new(1));
    cluster.settle();
    assert_eq!(cluster.shards[me].unfinished().deliveries, 0);
    cluster.connect(1, ALICE);
    write_up_to(&mut cluster, 10);
    [7, 8].into_iter().for_each(|through| cluster.input(me, Input::Checkpointed { through }));
    cluster.now = cluster.now.plus(2 * DAY_MS);
    tick(&mut cluster, me);
    assert_eq!(first_segment(&cluster, me), 2, "both checkpoints have it");
}
