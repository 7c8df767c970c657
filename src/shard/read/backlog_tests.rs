//! What a device has not acknowledged reaches its new session: all of it, in order, once, a little at a time.

use crate::log::MemoryStorage;
use crate::model::testing::chance::Chance;
use crate::model::{Ack, Command, ConversationRef, Recipient, Reply, Revoke, Send, Seq, SessionId};
use crate::shard::testing::duo::*;
use crate::shard::*;

/// Bob's inbox gets so many entries.
fn fill(duo: &mut Duo, from: usize, to: usize) {
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    for number in from..to {
        duo.perform(1, ALICE, message(&format!("m-{number}"), BOB));
    }
    duo.close(1, ALICE);
    duo.outputs();
}

/// Lets the session's socket drain until nothing more comes.
fn drain(duo: &mut Duo, session: u64) {
    while duo.has_heard(&Effect::TellWhenDrained { session: SessionId(session) }) {
        let others = duo.outputs();
        duo.keep(others, session);
        duo.input(Duo::home(BOB), Input::Drained { session: SessionId(session) });
    }
}

#[test]
fn a_new_device_begins_a_backlog_below_the_newest_and_a_known_one_where_it_was() {
    let mut duo = Duo::with(|settings| settings.limits.backlog_entries_max = 20);
    fill(&mut duo, 0, 30);
    duo.connect(2, BOB, "phone", CatchUp::Backlog);
    drain(&mut duo, 2);
    assert!(matches!(duo.replies(2)[..], [Reply::Welcome { max_seq: Seq(30) }]));
    let entries = duo.entries(2);
    assert!(entries.iter().map(|entry| entry.seq.0).eq(11..=30));
    duo.request(2, BOB, Command::Ack(Ack::Message(entries[0].message.id)));
    duo.request(2, BOB, Command::Ack(Ack::Message(entries[1].message.id)));
    duo.tick_after(1_000);
    let mut duo = duo.restart();
    duo.connect(3, BOB, "phone", CatchUp::Backlog);
    duo.connect(4, BOB, "binary", CatchUp::Sync);
    drain(&mut duo, 3);
    assert!(duo.seqs(3).into_iter().eq(13..=30));
    assert!(duo.seqs(4).is_empty(), "who asks for what it missed is pushed only what is new");
}

#[test]
fn facts_come_in_their_place_and_what_was_revoked_comes_as_a_tombstone() {
    let mut duo = Duo::new();
    fill(&mut duo, 0, 1);
    duo.connect(1, ALICE, "desk", CatchUp::Sync);
    let first = duo.inbox(ALICE)[0].message.id;
    let conversation = ConversationRef::With(Recipient::User(user(BOB)));
    assert_eq!(duo.ask(1, ALICE, Command::Revoke(Revoke { message: first, conversation })), Reply::Done);
    duo.ask(1, ALICE, message("behind it", BOB));
    duo.connect(2, BOB, "phone", CatchUp::Backlog);
    let entries = duo.entries(2);
    let shape: Vec<_> =
        entries.iter().map(|it| (it.seq.0, it.message.fact.is_some(), it.message.content.len())).collect();
    assert_eq!(shape, [(1, false, 0), (2, true, 0), (3, false, 9)]);
}

/// Whatever arrives, however slowly the socket drains: every entry once, in order, and never more under way than the
/// outbox may hold.
#[test]
fn every_entry_is_pushed_once_and_in_order_whatever_arrives_meanwhile() {
    for seed in 0..16 {
        let mut chance = Chance::new(seed);
        let outbox_bytes_max = [16 << 10, 64 << 10][chance.below(2)];
        let cold = MemoryStorage::new(4_096, u32::MAX).with_cold_segments();
        let mut duo = Duo::on([cold.clone(), cold], |settings| settings.limits.outbox_bytes_max = outbox_bytes_max);
        let known = chance.below(300);
        fill(&mut duo, 0, known);
        duo.open(1, ALICE, "desk", CatchUp::Sync);
        duo.open(2, BOB, "phone", CatchUp::Backlog);
        let (mut seen, mut own, mut is_awaited, mut number) = (Vec::new(), Vec::new(), false, known);
        for _step in 0..300 {
            match chance.below(6) {
                0 => duo.request(1, ALICE, message(&format!("m-{number}"), BOB)),
                1 => {
                    duo.request(2, BOB, message(&format!("own-{number}"), ALICE));
                }
                2 => duo.sync(chance.below(2)),
                3 => duo.settle(),
                _ if is_awaited => {
                    is_awaited = false;
                    duo.input(0, Input::Drained { session: SessionId(2) });
                }
                _ => {}
            }
            number += 1;
            is_awaited |= duo.has_heard(&Effect::TellWhenDrained { session: SessionId(2) });
            let entries = duo.entries(2);
            let bytes: usize = entries.iter().map(|entry| 300 + entry.message.content.len()).sum();
            assert!(bytes <= outbox_bytes_max / 2, "seed {seed}: {bytes} at once");
            seen.extend(entries.iter().map(|entry| entry.seq.0));
            assert!(!duo.has_heard(&Effect::Pause { session: SessionId(2) }), "requests are not held up");
            duo.outputs();
        }
        duo.settle();
        loop {
            is_awaited |= duo.has_heard(&Effect::TellWhenDrained { session: SessionId(2) });
            seen.extend(duo.seqs(2));
            duo.outputs();
            if !std::mem::take(&mut is_awaited) {
                break;
            }
            duo.input(0, Input::Drained { session: SessionId(2) });
        }
        let inbox = duo.whole_inbox(BOB);
        own.extend(inbox.iter().filter(|entry| entry.message.author == user(BOB)).map(|entry| entry.seq.0));
        let expected: Vec<u64> = (1..=inbox.len() as u64).filter(|seq| !own.contains(seq)).collect();
        assert_eq!(seen, expected, "seed {seed}");
    }
}

#[test]
fn a_session_that_goes_while_its_backlog_is_read_leaves_nothing_behind() {
    let cold = MemoryStorage::new(4_096, u32::MAX).with_cold_segments();
    let mut duo = Duo::on([cold.clone(), cold], |_| {});
    fill(&mut duo, 0, 100);
    duo.hold_reads();
    duo.connect(2, BOB, "phone", CatchUp::Backlog);
    assert_eq!(duo.fetches.len(), 1, "the beginning is cold");
    assert!(duo.seqs(2).is_empty());
    duo.close(2, BOB);
    duo.read_held();
    assert!(duo.seqs(2).is_empty());
    let (mut effects, now) = (Vec::new(), duo.now);
    duo.shards[0].handle(now, Input::Drained { session: SessionId(2) }, &mut effects);
    assert_eq!(effects, []);
}

#[test]
fn large_messages_come_one_at_a_time() {
    let mut duo = Duo::new();
    duo.open(1, ALICE, "desk", CatchUp::Sync);
    for number in 0..5 {
        let content = vec![b'x'; 60 << 10].into();
        duo.perform(1, ALICE, Command::Send(Send { content, ..send(&number.to_string(), BOB) }));
    }
    duo.outputs();
    duo.connect(2, BOB, "phone", CatchUp::Backlog);
    let mut steps = Vec::new();
    loop {
        steps.push(duo.seqs(2).len());
        if !duo.outputs().contains(&Effect::TellWhenDrained { session: SessionId(2) }) {
            break;
        }
        duo.input(0, Input::Drained { session: SessionId(2) });
    }
    assert_eq!(steps, [1, 1, 1, 1, 1, 0], "the last has been taken, and what is new comes by itself");
}
