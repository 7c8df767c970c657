//! Pages and walks against naive copies of the same inboxes, on sound logs and damaged ones.

use super::*;
use crate::log::fixtures::{self, Chance};
use crate::log::{Journal, MemoryStorage, ReadMode, ThreadLinks};
use crate::model::{Sizing, UserId};

/// Inboxes of a few users in one log, and a naive copy of each.
struct Inboxes {
    journal: Journal<MemoryStorage>,
    users: Vec<UserId>,
    tails: Vec<Tail>,
    naive: Vec<Vec<Entry>>,
}

impl Inboxes {
    fn new(users: usize, segment_bytes: u32) -> Self {
        Self {
            journal: fixtures::open(MemoryStorage::new(segment_bytes, 100_000)).expect("a new log").0,
            users: (0..users).map(|number| fixtures::user(&format!("user{number}"))).collect(),
            tails: vec![Tail::default(); users],
            naive: vec![Vec::new(); users],
        }
    }

    fn view(&self) -> View<'_, MemoryStorage> {
        self.journal.view(ReadMode::Unbounded)
    }

    fn post(&mut self, author: usize, peer: usize, content_bytes: usize) {
        let message = fixtures::message(&self.users[author], &self.users[peer], content_bytes);
        let mut links = ThreadLinks::from_iter([self.tails[author].next_link(Side::Author)]);
        if author != peer {
            links.push(self.tails[peer].next_link(Side::Peer));
        }
        let record = fixtures::posted(&message, links.clone());
        let position = self.journal.append(&record);
        for (link, owner) in links.into_iter().zip([author, peer]) {
            self.tails[owner].advance(link, position);
            self.naive[owner].push(Entry { seq: link.seq, message: message.clone(), name: None });
        }
    }
}

fn bounds(entries_max: u32, bytes_max: usize) -> PageBounds {
    PageBounds { entries_max, room: Room { bytes_max, sizing: Sizing::Verbatim } }
}

fn naive_page(entries: &[Entry], limit: usize, bytes_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&Entry| {
        bytes += Sizing::Verbatim.entry_bytes(&entry.message);
        bytes <= bytes_max
    };
    entries.iter().take(limit).take_while(fits).count().max(entries.len().min(limit).min(1))
}

#[test]
fn pages_are_those_of_a_naive_inbox() {
    let mut chance = Chance::new(11);
    let mut inboxes = Inboxes::new(4, 1 << 16);
    for _ in 0..8_000 {
        let author = [0, 0, 0, 1, 2, 3][chance.below(6)];
        inboxes.post(author, chance.below(4), chance.below(60));
    }
    assert!(inboxes.naive[0].len() > 64 * 64, "level 2 is used");
    for _ in 0..3_000 {
        let owner = chance.below(4);
        let (tail, naive) = (inboxes.tails[owner], &inboxes.naive[owner]);
        let pivot = chance.below(naive.len() + 3);
        let (limit, bytes_max) = (chance.below(70), chance.below(20_000));
        let (view, user) = (inboxes.view(), &inboxes.users[owner]);

        let after = Seq(pivot as u64);
        let page =
            tail.page_after(view, Thread::Inbox(user), after, bounds(limit as u32, bytes_max)).expect("an intact log");
        let above = &naive[pivot.min(naive.len())..];
        let count = naive_page(above, limit, bytes_max);
        assert_eq!(page.entries, above[..count]);
        assert_eq!(page.has_more, count < above.len());

        let page =
            tail.page_before(view, Thread::Inbox(user), after, bounds(limit as u32, bytes_max)).expect("an intact log");
        let below = if pivot == 0 { &naive[..] } else { &naive[..(pivot - 1).min(naive.len())] };
        let reversed: Vec<_> = below.iter().rev().cloned().collect();
        let count = naive_page(&reversed, limit, bytes_max);
        assert_eq!(page.entries, below[below.len() - count..]);
        assert_eq!(page.has_more, count < below.len());
    }
}

#[test]
fn entries_that_a_repair_left_out_are_skipped_and_no_others() {
    let mut chance = Chance::new(29);
    for _ in 0..20 {
        let mut inboxes = Inboxes::new(1, 1 << 16);
        let owner = inboxes.users[0].clone();
        let message = fixtures::message(&owner, &owner, 5);
        let (mut seq, mut kept) = (0, Vec::new());
        for _ in 0..600 {
            seq += if chance.below(10) == 0 { 1 + chance.below(300) as u64 } else { 1 };
            let link = inboxes.tails[0].link_to(Side::Author, Seq(seq));
            let position = inboxes.journal.append(&fixtures::posted(&message, ThreadLinks::from_iter([link])));
            inboxes.tails[0].advance(link, position);
            kept.push(seq);
        }
        for _ in 0..200 {
            let (pivot, limit) = (chance.below(seq as usize + 2) as u64, 1 + chance.below(40));
            let (tail, view) = (inboxes.tails[0], inboxes.view());
            let page = tail
                .page_after(view, Thread::Inbox(&owner), Seq(pivot), bounds(limit as u32, 1 << 20))
                .expect("intact");
            let seqs: Vec<u64> = page.entries.iter().map(|entry| entry.seq.0).collect();
            let mut expected: Vec<u64> = kept.iter().copied().filter(|seq| *seq > pivot).collect();
            assert!(expected.starts_with(&seqs) && (expected.is_empty() || !seqs.is_empty()));
            assert_eq!(page.has_more, seqs.len() < expected.len());
            let page = tail
                .page_before(view, Thread::Inbox(&owner), Seq(pivot), bounds(limit as u32, 1 << 20))
                .expect("intact");
            let seqs: Vec<u64> = page.entries.iter().map(|entry| entry.seq.0).collect();
            expected = kept.iter().copied().filter(|seq| pivot == 0 || *seq < pivot).collect();
            assert_eq!(seqs[..], expected[expected.len().saturating_sub(limit)..]);
            assert_eq!(page.has_more, seqs.len() < expected.len());
        }
    }
}

#[test]
fn any_entry_of_a_million_is_a_few_hundred_hops_away() {
    let mut inboxes = Inboxes::new(1, 16 << 20);
    let (author, peer) = (fixtures::user("user0"), fixtures::user("peer"));
    let message = fixtures::message(&author, &peer, 0);
    for _ in 0..1_000_000 {
        let link = inboxes.tails[0].next_link(Side::Author);
        let position = inboxes.journal.append(&fixtures::posted(&message, ThreadLinks::from_iter([link])));
        inboxes.tails[0].advance(link, position);
    }
    let mut chance = Chance::new(5);
    let near_the_ends = [1, 2, 64, 65, 4_095, 4_096, 262_143, 262_144, 999_999, 1_000_000];
    for target in near_the_ends.into_iter().chain((0..200).map(|_| 1 + chance.below(1_000_000) as u64)) {
        let mut walk =
            InboxWalk::from_tail(&inboxes.tails[0], inboxes.view(), Thread::Inbox(&author)).expect("an intact log");
        walk.go_to(Seq(target)).expect("an intact log");
        assert_eq!(walk.seq(), Seq(target));
        assert!(walk.hops <= 400, "{} hops to {target}", walk.hops);
    }
    let page = inboxes.tails[0]
        .page_after(inboxes.view(), Thread::Inbox(&author), Seq(100), bounds(100, 1 << 20))
        .expect("intact");
    assert_eq!(page.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), (101..=200).collect::<Vec<_>>());
    assert!(page.has_more);
}

#[test]
fn the_first_entry_is_given_whatever_it_weighs() {
    let mut inboxes = Inboxes::new(2, 1 << 16);
    inboxes.post(0, 1, 1_000);
    inboxes.post(1, 0, 1_000);
    let (tail, user) = (inboxes.tails[0], &inboxes.users[0]);
    let page = tail.page_after(inboxes.view(), Thread::Inbox(user), Seq(0), bounds(10, 1)).expect("intact");
    assert_eq!((page.entries.len(), page.entries[0].seq, page.has_more), (1, Seq(1), true));
    let page = tail.page_before(inboxes.view(), Thread::Inbox(user), Seq(0), bounds(10, 1)).expect("intact");
    assert_eq!((page.entries.len(), page.entries[0].seq, page.has_more), (1, Seq(2), true));
}

#[test]
fn a_flipped_byte_in_a_page_is_damage_and_never_another_entry() {
    let mut chance = Chance::new(23);
    let mut inboxes = Inboxes::new(2, 1 << 16);
    for _ in 0..200 {
        inboxes.post(chance.below(2), chance.below(2), 20);
    }
    let (tail, user, naive) = (inboxes.tails[0], inboxes.users[0].clone(), inboxes.naive[0].clone());
    let mut damaged = 0;
    for _ in 0..3_000 {
        let place = Position::new(1, 64 + chance.below(inboxes.journal.end().offset() as usize - 64) as u32);
        let mask = 1 << chance.below(8);
        inboxes.journal.storage_mut().flip(place, mask);
        let after = chance.below(naive.len());
        match tail.page_after(inboxes.view(), Thread::Inbox(&user), Seq(after as u64), bounds(10, 1 << 20)) {
            Ok(page) => assert_eq!(page.entries, naive[after..naive.len().min(after + 10)]),
            Err(_) => damaged += 1,
        }
        inboxes.journal.storage_mut().flip(place, mask);
    }
    assert!(damaged > 100, "only {damaged} flips were met");
}

#[test]
fn a_stranger_at_the_end_of_a_tail_is_damage() {
    let mut inboxes = Inboxes::new(2, 1 << 16);
    inboxes.post(0, 0, 1);
    let stranger = fixtures::user("stranger");
    assert!(inboxes.tails[0].page_after(inboxes.view(), Thread::Inbox(&stranger), Seq(0), bounds(10, 100)).is_err());
    assert!(inboxes.tails[0].page_before(inboxes.view(), Thread::Inbox(&stranger), Seq(0), bounds(10, 100)).is_err());
}

#[test]
fn messages_are_found_by_their_ids_many_on_one_way_and_not_far_within_a_turn() {
    const MESSAGES: u64 = 20_000;
    let mut journal = fixtures::open(MemoryStorage::new(1 << 20, 100)).expect("a new log").0;
    let (alice, mut tail) = (fixtures::user("alice"), Tail::default());
    for number in 1..=MESSAGES {
        let message = Message { id: MessageId(number * 2), ..(*fixtures::message(&alice, &alice, 9)).clone() };
        let link = tail.next_link(Side::Author);
        let position = journal.append(&fixtures::posted(&Arc::new(message), ThreadLinks::from_iter([link])));
        tail.advance(link, position);
    }
    let thread = Thread::Inbox(&alice);
    let mut chance = Chance::new(5);
    for round in 0..100 {
        let spread = [50, 3_000, MESSAGES as usize * 2 + 9][round % 3];
        let from = chance.below(MESSAGES as usize * 2 + 10 - spread) as u64;
        let mut ids: Vec<_> = (0..40).map(|_| MessageId(from + chance.below(spread) as u64)).collect();
        ids.sort_unstable();
        ids.dedup();
        let found = tail.find_messages(journal.view(ReadMode::Unbounded), thread, &ids).expect("an intact log");
        let found = found.into_iter().map(|it| it.map(|(_, message)| message.id));
        let is_there = |id: &MessageId| id.0 > 0 && id.0 <= MESSAGES * 2 && id.0.is_multiple_of(2);
        assert!(found.eq(ids.iter().map(|id| Some(*id).filter(is_there))), "{ids:?}");
    }
    let view = journal.view(ReadMode::None);
    let near: Vec<_> = (0..100).map(|n| MessageId(MESSAGES + n * 2)).collect();
    assert!(tail.find_messages(view, thread, &near).is_ok(), "one way leads to all of them");
    let far: Vec<_> = (1..=100).map(|n| MessageId(MESSAGES / 50 * n)).collect();
    assert!(matches!(tail.find_messages(view, thread, &far), Err(Unread::Cold(_))));
}
