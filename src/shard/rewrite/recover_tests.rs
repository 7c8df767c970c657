//! Logs are damaged under users who talk across shards: what another shard still has comes back, at its old seq or at a
//! new one, and whatever is not there is said to be lost.

use super::tests::{self, Chance, NONE, NOW, USERS, answer, begin, blank, reshard, send, settings, user};
use super::*;
use crate::log::MemoryStorage;
use crate::shard::testing::fixtures::{Cluster, close_log};
use crate::shard::{DamagePolicy, Lost, survey};
use std::collections::BTreeSet;
use std::ops::Range;

type Inbox = BTreeMap<Seq, MessageId>;

fn inbox(cluster: &mut Cluster, id: &str) -> Inbox {
    tests::inbox(cluster, id).into_iter().map(|(seq, message)| (seq, message.id)).collect()
}

/// Users who have talked, and their logs at rest.
fn talk(seed: u64, shards: usize) -> (Vec<Inbox>, Vec<MemoryStorage>) {
    let mut chance = Chance::new(seed);
    let mut cluster = begin(vec![MemoryStorage::new(1 << 12, 100); shards], NOW);
    for number in 0..80 + chance.below(100) {
        let (from, to) = (chance.below(USERS.len()), chance.below(USERS.len()));
        cluster.now = cluster.now.plus(chance.below(3) as u64);
        answer(&mut cluster, USERS[from], send(from, to, number));
    }
    let inboxes = USERS.iter().map(|id| inbox(&mut cluster, id)).collect();
    cluster.shards.iter_mut().for_each(close_log);
    (inboxes, cluster.take_disks())
}

/// Rubbish, zeros, or a segment that the disk does not give back.
fn damage(log: &mut MemoryStorage, chance: &mut Chance) {
    let segments = log.segments();
    let segment = segments.start + chance.below(segments.len()) as u32;
    let length = log.bytes(segment).len();
    let from = chance.below(length);
    let bytes = (1 + chance.below(2_000)).min(length - from);
    match chance.below(4) {
        0 => log.lose(segment),
        1 => log.corrupt(segment, from as u32, &vec![0; bytes]),
        2 => log.flip(Position::new(segment, from as u32), 1 << chance.below(8)),
        _ => log.corrupt(segment, from as u32, &(0..bytes).map(|_| chance.next() as u8).collect::<Vec<u8>>()),
    }
}

/// What is where it was, what came back at a new seq, and that the rest is said to be lost. `newest` is the newest
/// entry of which anything was left.
fn check(before: &Inbox, after: &Inbox, newest: Seq, lost: &[Lost], id: &str) -> usize {
    let mut moved = 0;
    let was: BTreeSet<MessageId> = before.values().copied().collect();
    let is: BTreeSet<MessageId> = after.values().copied().collect();
    assert_eq!(is.len(), after.len(), "{id} has a message twice");
    for (seq, message) in after {
        assert!(was.contains(message), "{id} has what was never there");
        if before.get(seq) != Some(message) {
            // Only behind the newest of which anything is left: how far the inbox got from there, nothing says.
            assert!(*seq > newest, "{id} is shown another message at {seq:?}");
            moved += 1;
        }
    }
    for seq in before.keys().filter(|seq| !after.contains_key(*seq)) {
        let is_said = lost.iter().any(|it| it.user == user(id) && (it.from..=it.through).contains(seq));
        assert!(is_said || *seq > newest, "{id} lost {seq:?}, and nothing was said");
    }
    moved
}

#[test]
fn what_one_log_has_lost_and_another_still_has_comes_back_and_nothing_takes_anothers_place() {
    let (mut damaged, mut recovered, mut moved) = (0, 0, 0);
    for seed in 0..150 {
        let mut chance = Chance::new(seed + 7_000);
        let shards = 2 + chance.below(3);
        let (before, mut disks) = talk(seed, shards);
        let victim = chance.below(shards);
        damage(&mut disks[victim], &mut chance);
        let log = &disks[victim];
        let source = SourceShard::read(&settings(victim as u16, shards as u16), log, NONE, DamagePolicy::Salvage)
            .expect("salvaged");
        if !source.is_damaged() {
            // It hit free space, or the last batch, which no mark covers yet: to every reader this is a torn tail.
            continue;
        }
        damaged += 1;
        let is_away = |id: &str| usize::from(Placement::new(shards as u16).owner_of(&user(id)).0) != victim;
        let (disks, done, lost) = reshard(&disks, shards as u16, DamagePolicy::Salvage);
        let (again, _, lost_again) = reshard(&disks, 1 + chance.below(4) as u16, DamagePolicy::Salvage);
        assert_eq!(lost_again, [], "seed {seed}: what is known to be lost is not lost again");
        recovered += done.recovered;
        let mut cluster = begin(again, NOW.plus(1_000));
        let after: Vec<Inbox> = USERS.iter().map(|id| inbox(&mut cluster, id)).collect();
        for (at, id) in USERS.iter().enumerate() {
            let is_left = before[at].keys().next_back().copied().filter(|_| is_away(id));
            let newest = is_left.or_else(|| source.scan_counts.inboxes.get(&user(id)).map(|(newest, ..)| *newest));
            moved += check(&before[at], &after[at], newest.unwrap_or_default(), &lost, id);
            // What another shard's user has of a conversation, both have.
            for (other, peer) in USERS.iter().enumerate().filter(|(_, peer)| is_away(peer)) {
                let shared = |inbox: &Inbox| -> BTreeSet<MessageId> { inbox.values().copied().collect() };
                let (mine, theirs) = (shared(&before[at]), shared(&before[other]));
                let both: BTreeSet<_> = mine.intersection(&theirs).collect();
                assert!(
                    both.iter().all(|it| after[at].values().any(|kept| *kept == **it)),
                    "seed {seed}: {id}, {peer}"
                );
            }
        }
        let reply = answer(&mut cluster, "alice", send(0, 1, 9_999));
        assert!(matches!(reply, crate::model::Reply::Sent { .. }), "{reply:?}");
    }
    let counts = format!("{damaged} damaged, {recovered} entries recovered, {moved} at new seqs");
    assert!(damaged > 80 && recovered > 200 && moved > 20, "{counts}");
}

#[test]
fn a_delivery_lost_between_two_others_is_at_its_old_seq_again() {
    let mut cluster = begin(vec![blank(); 2], NOW);
    let (alice, bob) = (cluster.home("alice"), cluster.home("bob"));
    assert_ne!(alice, bob);
    for number in 0..20 {
        answer(&mut cluster, "alice", send(0, 1, number));
    }
    let before = inbox(&mut cluster, "bob");
    cluster.shards.iter_mut().for_each(close_log);
    let mut disks = cluster.take_disks();
    let place = (0..1 << 14).find(|at| disks[bob].bytes(1)[*at..].starts_with(b"number 7")).expect("there");
    disks[bob].flip(Position::new(1, place as u32), 1);
    let (disks, done, lost) = reshard(&disks, 2, DamagePolicy::Salvage);
    assert_eq!((done.recovered, lost), (1, Vec::new()));
    let mut cluster = begin(disks, NOW);
    assert!(inbox(&mut cluster, "bob") == before, "as if nothing had happened");
    let (disks, ..) = reshard(&cluster.take_disks(), 3, DamagePolicy::Refuse);
    assert!(inbox(&mut begin(disks, NOW), "bob") == before, "and through a reshard");
}

/// A log of which the last segments, or the first ones, are gone.
struct Left<'a> {
    log: &'a MemoryStorage,
    segments: Range<u32>,
}

impl Segments for Left<'_> {
    fn segments(&self) -> Range<u32> {
        self.segments.clone()
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        self.log.bytes(segment)
    }
}

#[test]
fn a_log_shorter_than_its_checkpoint_is_damaged_and_the_checkpoint_says_who_lost_what() {
    let (before, disks) = talk(5, 1);
    let log = &disks[0];
    let Range { start, end } = log.segments();
    let made = survey(&settings(0, 1), NONE, log, end - 2).expect("a sound log");
    let left = Left { log, segments: start..end - 2 };
    let refused = SourceShard::read(&settings(0, 1), &left, &[&made.bytes], DamagePolicy::Refuse);
    assert!(refused.is_err_and(|error| error.to_string().contains("a checkpoint proves")));
    let source = SourceShard::read(&settings(0, 1), &left, &[&made.bytes], DamagePolicy::Salvage).expect("salvaged");
    assert!(source.is_damaged() && source.faults.len() == 1, "{:?}", source.faults);
    let whole = SourceShard::read(&settings(0, 1), &left, NONE, DamagePolicy::Salvage).expect("salvaged");
    assert!(!whole.is_damaged(), "without the checkpoint nobody knows");
    let total: u64 = source.lost.iter().map(|it| it.through.0 - it.from.0 + 1).sum();
    assert!(total > 10 && total <= before.iter().map(|it| it.len() as u64).sum(), "{total} seqs are said to be lost");
}

#[test]
fn a_log_without_its_beginning_or_any_header_is_repaired_with_what_is_left() {
    let (_, disks) = talk(6, 1);
    let log = &disks[0];
    let Range { start, end } = log.segments();
    let left = Left { log, segments: start + 1..end };
    assert!(SourceShard::read(&settings(0, 1), &left, NONE, DamagePolicy::Refuse).is_err());
    let source = SourceShard::read(&settings(0, 1), &left, NONE, DamagePolicy::Salvage).expect("salvaged");
    assert!(source.is_damaged() && source.messages() > 10);

    let made = survey(&settings(0, 1), NONE, log, end - 2).expect("a sound log");
    let mut headless = log.clone();
    (start..end).for_each(|segment| headless.flip(Position::new(segment, 0), 1));
    let source = |log: &MemoryStorage, checkpoints: &[&[u8]]| {
        SourceShard::read(&settings(0, 1), log, checkpoints, DamagePolicy::Salvage).expect("salvaged")
    };
    let whole = source(log, &[]).messages();
    assert!(source(&headless, &[]).messages() * 10 > whole * 8, "the log's first record says which log it is");
    headless.flip(Position::new(start, 70), 1);
    assert!(source(&headless, &[&made.bytes]).messages() * 10 > whole * 7, "or a checkpoint does");
    let nothing = source(&headless, &[]);
    assert!(nothing.is_damaged() && nothing.messages() == 0, "or nothing is believed");
}

#[test]
fn another_logs_segment_is_left_out_whole() {
    let (_, disks) = talk(8, 2);
    let mut mixed = disks[0].clone();
    let foreign = disks[1].bytes(1).to_vec();
    mixed.corrupt(1, 0, &foreign);
    let source = SourceShard::read(&settings(0, 2), &mixed, NONE, DamagePolicy::Salvage).expect("salvaged");
    assert_eq!(source.cuts[0], crate::log::Cut { from: Position::new(1, 0), bytes: foreign.len() as u32 });
    assert!(source.messages.iter().all(|position| position.segment() > 1));
}
