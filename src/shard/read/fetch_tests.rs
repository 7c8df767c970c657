//! What was read off the core is of the time of its question: whoever goes on with it looks at the rows again.

use crate::log::{MemoryStorage, Segments, Storage};
use crate::model::{
    Clear, ClearExtent, Command, ConversationName, ConversationRef, ConversationRow, ConversationSeq, Conversations,
    Fact, MarkRead, Position, Receipt, Recipient, Refusal, Reply, Send, Seq,
};
use crate::shard::rows::cleared::ClearedHistory;
use crate::shard::testing::duo::*;
use crate::shard::*;

const HOUR_MS: u64 = 3_600_000;

fn with(peer: &str) -> ConversationRef {
    ConversationRef::With(Recipient::User(user(peer)))
}

fn mark(peer: &str, through: u64) -> Command {
    Command::MarkRead(MarkRead { conversation: with(peer), through: ConversationSeq(through) })
}

fn row(duo: &mut Duo, session: u64, id: &str) -> ConversationRow {
    let list = Command::Conversations(Conversations { before: Seq(0), limit: 10 });
    match duo.ask(session, id, list) {
        Reply::Conversations { mut rows, .. } => rows.remove(0),
        other => panic!("a list is answered by a list, not {other:?}"),
    }
}

/// Alice has written so much to Bob, who has two sessions, 2 and 3.
fn written(messages: usize) -> Duo {
    let mut duo = Duo::new();
    duo.connect(1, ALICE, "desk", CatchUp::Sync);
    duo.connect(2, BOB, "phone", CatchUp::Sync);
    duo.connect(3, BOB, "desk", CatchUp::Sync);
    for n in 0..messages {
        duo.request(1, ALICE, message(&format!("m{n}"), BOB));
    }
    duo.settle();
    duo
}

fn fetches_held(duo: &Duo) -> usize {
    duo.fetches.len()
}

/// On a disk whose older segments are cold, so that Bob's shard keeps as it is.
fn with_cold_history(messages: usize) -> Duo {
    let disks = [MemoryStorage::new(4_096, 200), MemoryStorage::new(4_096, 200)];
    let mut duo = Duo::on(disks.map(MemoryStorage::with_cold_segments), |settings| {
        settings.limits.dedupe_window_ms = HOUR_MS;
    });
    duo.connect(1, ALICE, "phone", CatchUp::Sync);
    duo.connect(2, ALICE, "tablet", CatchUp::Sync);
    duo.connect(3, BOB, "desk", CatchUp::Sync);
    for n in 0..messages {
        duo.ask(1, ALICE, message(&format!("m{n}"), BOB));
    }
    duo
}

#[test]
fn two_sessions_that_repeat_one_id_after_its_window_make_one_message() {
    let mut duo = with_cold_history(60);
    duo.tick_after(HOUR_MS);
    duo.hold_reads();
    duo.outputs();
    duo.request(1, ALICE, message("m0", BOB));
    duo.request(2, ALICE, message("m0", BOB));
    duo.settle();
    assert_eq!(fetches_held(&duo), 2, "the first is cold");
    duo.read_held();
    let (phone, tablet) = (duo.replies(1), duo.replies(2));
    assert!(matches!(phone[..], [Reply::Sent { .. }]) && phone == tablet, "{phone:?} {tablet:?}");
    let copies = duo.inbox(BOB).iter().filter(|entry| entry.message.content == "m0").count();
    assert_eq!(copies, 2, "one of before the window, one of after");
}

#[test]
fn what_a_shard_learns_of_after_a_standstill_is_known_for_a_whole_window() {
    let mut duo = Duo::with(|settings| settings.limits.dedupe_window_ms = HOUR_MS);
    let zoe = (0..9).map(|n| format!("zoe-{n}")).find(|id| Duo::home(id) != Duo::home(ALICE));
    let zoe = zoe.expect("some user is on the other shard");
    duo.connect(1, &zoe, "phone", CatchUp::Sync);
    duo.ask(1, &zoe, message("m0", ALICE));
    duo.request(1, &zoe, message("m1", ALICE));
    assert!(!duo.lanes.is_empty(), "the conversation is the other shard's");
    duo.now = duo.now.plus(3 * HOUR_MS);
    duo.settle();
    let first = duo.replies(1);
    assert!(matches!(first[..], [Reply::Sent { .. }]), "ordered when the lane moved again: {first:?}");
    duo.now = duo.now.plus(5);
    let again = duo.ask(1, &zoe, message("m1", ALICE));
    assert_eq!([again], first[..], "5 ms later");
}

#[test]
fn a_mark_that_follows_another_is_not_forgotten() {
    let mut duo = written(300);
    duo.hold_reads();
    assert_eq!(duo.ask(2, BOB, mark(ALICE, 100)), Reply::Done);
    assert_eq!(duo.ask(2, BOB, mark(ALICE, 150)), Reply::Done);
    duo.read_held();
    let row = row(&mut duo, 2, BOB);
    assert_eq!((row.read_through, row.unread), (ConversationSeq(150), 150));
}

#[test]
fn a_recount_that_ends_behind_the_position_moves_nothing_back() {
    let mut duo = written(300);
    duo.hold_reads();
    assert_eq!(duo.ask(2, BOB, mark(ALICE, 100)), Reply::Done);
    assert_eq!(duo.ask(3, BOB, mark(ALICE, 290)), Reply::Done, "counted at once");
    duo.perform(1, ALICE, message("one more", BOB));
    duo.read_held();
    let row = row(&mut duo, 2, BOB);
    assert_eq!((row.read_through, row.unread), (ConversationSeq(290), 11));
}

#[test]
fn a_seat_has_one_recount_under_way_and_the_furthest_mark_counts() {
    let mut duo = written(400);
    duo.hold_reads();
    for through in (10..200).step_by(10).chain([50]) {
        assert_eq!(duo.ask(2 + through % 20 / 10, BOB, mark(ALICE, through)), Reply::Done);
        assert_eq!(fetches_held(&duo), 1);
    }
    duo.perform(1, ALICE, message("meanwhile", BOB));
    duo.read_held();
    let row = row(&mut duo, 2, BOB);
    assert_eq!((row.read_through, row.unread), (ConversationSeq(190), 211));
}

/// Twenty users have written so much to Bob that a mark on it is counted off the core.
fn written_by_many() -> (Duo, Vec<String>) {
    let mut duo = Duo::new();
    duo.connect(2, BOB, "phone", CatchUp::Sync);
    let peers: Vec<String> = (0..20).map(|n| format!("peer-{n}")).collect();
    for (session, peer) in (10..).zip(&peers) {
        duo.connect(session, peer, "desk", CatchUp::Sync);
        (0..70).for_each(|n| duo.request(session, peer, message(&format!("m{n}"), BOB)));
        duo.settle();
    }
    (duo, peers)
}

#[test]
fn a_user_has_so_many_recounts_under_way_and_is_told_to_wait_with_more() {
    let (mut duo, peers) = written_by_many();
    duo.hold_reads();
    let mut refusals = Vec::new();
    for peer in &peers {
        refusals.push(refusal(&duo.ask(2, BOB, mark(peer, 1))));
    }
    assert_eq!(refusals.iter().filter(|refusal| refusal.is_none()).count(), 16);
    assert!(refusals[16..].iter().all(|refusal| *refusal == Some(Refusal::Busy)));
    duo.read_held();
    assert_eq!(duo.ask(2, BOB, mark(&peers[19], 1)), Reply::Done, "there is a place again");
}

#[test]
fn a_mark_counts_though_what_stands_behind_it_cannot_be_read() {
    let mut duo = with_cold_history(300);
    duo.hold_reads();
    assert_eq!(duo.ask(3, BOB, mark(ALICE, 100)), Reply::Done);
    assert_eq!(fetches_held(&duo), 1);
    let home = Duo::home(BOB);
    let middle = duo.shards[home].journal().segments().end / 2;
    duo.shards[home].storage_mut().lose(middle);
    duo.read_held();
    let row = row(&mut duo, 3, BOB);
    assert_eq!((row.read_through, row.unread), (ConversationSeq(100), 200));
}

/// What is hidden is read, whatever of the count after it was done when the process ended.
#[test]
fn a_count_that_a_crash_took_from_a_clearing_is_made_again_by_the_next_start() {
    let clear = |extent| Command::Clear(Clear { conversation: with(ALICE), through: ConversationSeq(100), extent });
    for extent in [ClearExtent::History, ClearExtent::Conversation] {
        let mut duo = written(300);
        duo.hold_reads();
        assert_eq!(duo.ask(2, BOB, clear(extent)), Reply::Done);
        assert_eq!(fetches_held(&duo), 1, "the count is under way");
        for _start in 0..2 {
            duo = duo.restart();
            duo.connect(2, BOB, "phone", CatchUp::Sync);
            let row = row(&mut duo, 2, BOB);
            assert_eq!((row.read_through, row.unread), (ConversationSeq(100), 200));
        }
    }
}

#[test]
fn what_is_hidden_while_no_count_may_begin_is_counted_later() {
    let (mut duo, peers) = written_by_many();
    duo.hold_reads();
    for peer in &peers[..16] {
        assert_eq!(duo.ask(2, BOB, mark(peer, 1)), Reply::Done);
    }
    // The entry of an earlier clearing comes from another shard.
    let state = &mut duo.shards[Duo::home(BOB)].state;
    let bob = state.tables.inboxes.find(&user(BOB)).expect("is known");
    let seated = state.resolve(&user(BOB), &with(&peers[19])).expect("has it");
    let hidden = ClearedHistory { through: ConversationSeq(1), extent: ClearExtent::History };
    state.tables.cleared.set(bob, seated.at, hidden, Position::NONE);
    duo.settle();
    assert_eq!(fetches_held(&duo), 16);
    duo.read_held();
    let unread = |duo: &mut Duo| row(duo, 2, BOB).unread;
    assert_eq!(unread(&mut duo), 70, "the newest conversation of the list");
    duo.tick_after(1_000);
    assert_eq!(unread(&mut duo), 69);
}

#[test]
fn what_retention_drops_while_it_is_read_is_not_called_damaged() {
    let mut duo = with_cold_history(300);
    duo.hold_reads();
    duo.outputs();
    let history = crate::model::History {
        conversation: with(ALICE),
        direction: crate::model::HistoryDirection::After(ConversationSeq(0)),
        limit: 10,
        topic: None,
    };
    duo.request(3, BOB, Command::History(history));
    duo.tick_after(HOUR_MS);
    duo.perform(1, ALICE, message("m0", BOB));
    let fetches = duo.take_held();
    assert_eq!(fetches.len(), 2);
    for (me, fetch) in fetches {
        // Who reads has files that are gone by the time.
        let mut gone = duo.shards[me].journal().storage().clone();
        (0..5).for_each(|_| gone.drop_first());
        let first = gone.segments().start;
        (0..5).for_each(|_| duo.shards[me].storage_mut().drop_first());
        let fetched = match fetch.read_some(&NoneBefore { storage: &gone, first }) {
            FetchStep::Done(fetched) => fetched,
            FetchStep::More(_) => panic!("a page is read at once"),
        };
        duo.input(me, Input::Fetched(fetched));
    }
    duo.settle();
    let [Reply::History { messages, .. }] = &duo.replies(3)[..] else { panic!("a page") };
    assert!(messages.len() == 10 && messages[0].message.conversation_seq > ConversationSeq(1));
    assert!(matches!(duo.replies(1)[..], [Reply::Sent { .. }]), "too old to be a repetition of what is gone");
}

/// A log that says that it has all its segments, though the first ones cannot be opened any more.
struct NoneBefore<'a> {
    storage: &'a MemoryStorage,
    first: u32,
}

impl Segments for NoneBefore<'_> {
    fn segments(&self) -> std::ops::Range<u32> {
        1..self.storage.segments().end
    }

    fn warm_from(&self) -> u32 {
        self.segments().end
    }

    fn is_readable(&self, segment: u32, _bytes: std::ops::Range<usize>) -> bool {
        segment >= self.first
    }

    fn bytes(&self, segment: u32) -> &[u8] {
        if segment >= self.first { self.storage.bytes(segment) } else { &[] }
    }
}

#[test]
fn a_receipt_is_about_the_conversation_that_was_meant_when_it_was_asked_for() {
    let mut duo = with_cold_history(60);
    let name = |name: &str| ConversationName::new(name).ok();
    let named = |id: &str, to: &str, conversation_name| Command::Send(Send { conversation_name, ..send(id, to) });
    duo.ask(3, BOB, named("b0", ALICE, name("first")));
    (0..60).for_each(|n| drop(duo.ask(1, ALICE, message(&format!("n{n}"), BOB))));
    let m0 = duo.whole_inbox(BOB)[0].message.id;
    duo.connect(4, BOB, "phone", CatchUp::Sync);
    duo.hold_reads();
    duo.outputs();
    let conversation = ConversationRef::Named(name("first").expect("well formed"));
    duo.perform(3, BOB, Command::Receipt(Receipt { messages: vec![m0], conversation }));
    assert_eq!(fetches_held(&duo), 1);
    duo.ask(4, BOB, named("b1", ALICE, name("second")));
    duo.ask(4, BOB, named("b2", "carol", name("first")));
    duo.read_held();
    let inbox = duo.whole_inbox(ALICE);
    let told: Vec<_> = inbox.iter().filter_map(|entry| entry.message.fact.as_deref()).collect();
    assert!(matches!(told[..], [Fact::Read { messages, .. }] if messages[0].id == m0), "{told:?}");
    assert_eq!(inbox.last().map(|entry| entry.message.conversation.default_name()), Some("single_alice_bob".into()));
}
