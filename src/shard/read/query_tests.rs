//! What reading costs, what names mean, and what a client may not say.

use crate::model::testing::name;
use crate::model::{
    Annotations, ChunkPhase, ClientMessageId, Command, Conversation, ConversationRef, ConversationRow, ConversationSeq,
    Conversations, Event, Extra, GroupId, HeaderFlags, MarkRead, MessageId, Position, Receipt, Recipient, Refusal,
    Reply, Revoke, Send, Seq, StreamChunk, Sync, SyncDirection, Typing,
};
use crate::shard::testing::duo::*;
use crate::shard::*;

fn expiring(id: &str, to: &str) -> Command {
    noted(id, to, Annotations { expire_s: 1, ..Annotations::default() })
}

fn called(text: &str, id: &str, to: &str) -> Command {
    Command::Send(Send { conversation_name: Some(name(text)), ..send(id, to) })
}

fn rows(duo: &mut Duo, session: u64, id: &str) -> Vec<ConversationRow> {
    let list = Command::Conversations(Conversations { before: Seq(0), limit: 100 });
    match duo.ask(session, id, list) {
        Reply::Conversations { rows, .. } => rows,
        other => panic!("a list is answered by a list, not {other:?}"),
    }
}

fn held_fetches(duo: &Duo) -> usize {
    duo.fetches.len()
}

/// Two messages of Bob to Alice, session 2, and between them some whose time is over.
fn hidden(count: usize) -> Duo {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    duo.connect(2, ALICE, "desk", CatchUp::Sync);
    duo.ask(1, BOB, message("first", ALICE));
    (0..count).for_each(|n| duo.request(1, BOB, expiring(&n.to_string(), ALICE)));
    duo.settle();
    duo.ask(1, BOB, message("last", ALICE));
    duo.now = duo.now.plus(2_000);
    duo
}

#[test]
fn a_turn_passes_over_few_hidden_entries_and_leaves_the_rest_to_the_fetch_threads() {
    for direction in [SyncDirection::After(Seq(1)), SyncDirection::Before(Seq(1_902))] {
        let mut duo = hidden(1_900);
        let before = duo.shards[Duo::home(ALICE)].stats().fetched;
        duo.hold_reads();
        duo.outputs();
        duo.perform(2, ALICE, Command::Sync(Sync { direction, limit: 1 }));
        assert_eq!((held_fetches(&duo), duo.replies(2).len()), (1, 0));
        let cost = duo.shards[Duo::home(ALICE)].stats().highest_cost;
        assert!(cost.records < 1_024, "{cost:?}");
        duo.read_held();
        let [Reply::Synced { entries, .. }] = &duo.replies(2)[..] else { panic!("a page") };
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq.0).collect();
        assert_eq!(seqs, [if direction == SyncDirection::After(Seq(1)) { 1_902 } else { 1 }]);
        let fetches = duo.shards[Duo::home(ALICE)].stats().fetched - before;
        assert!(fetches <= 6, "{fetches} reads for 1,900 entries");
    }
}

#[test]
fn a_search_among_hidden_entries_gives_no_more_than_was_asked_for_and_skips_nothing() {
    let mut duo = hidden(3);
    for n in 0..10 {
        duo.ask(1, BOB, message(&format!("more-{n}"), ALICE));
    }
    let mut page = |direction, limit| match duo.ask(2, ALICE, Command::Sync(Sync { direction, limit })) {
        Reply::Synced { entries, has_more, .. } => (entries.iter().map(|it| it.seq.0).collect::<Vec<_>>(), has_more),
        other => panic!("a page, not {other:?}"),
    };
    assert_eq!(page(SyncDirection::After(Seq(1)), 2), (vec![5, 6], true));
    assert_eq!(page(SyncDirection::After(Seq(1)), 1), (vec![5], true));
    assert_eq!(page(SyncDirection::Before(Seq(5)), 1), (vec![1], false));
    assert_eq!(page(SyncDirection::After(Seq(13)), 2), (vec![14, 15], false));
}

#[test]
fn a_page_says_that_more_follows_only_where_something_is_left_to_ask_for() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Sync);
    duo.connect(2, ALICE, "desk", CatchUp::Sync);
    let hide = |duo: &mut Duo, names: [&str; 3]| names.map(|id| duo.ask(1, BOB, expiring(id, ALICE)));
    hide(&mut duo, ["a", "b", "c"]);
    duo.ask(1, BOB, message("4", ALICE));
    hide(&mut duo, ["d", "e", "f"]);
    duo.ask(1, BOB, message("8", ALICE));
    hide(&mut duo, ["g", "h", "i"]);
    duo.now = duo.now.plus(2_000);
    let mut page = |direction, limit| match duo.ask(2, ALICE, Command::Sync(Sync { direction, limit })) {
        Reply::Synced { entries, has_more, .. } => (entries.iter().map(|it| it.seq.0).collect::<Vec<_>>(), has_more),
        other => panic!("a page, not {other:?}"),
    };
    for limit in [1, 2, 3, 20] {
        assert_eq!(page(SyncDirection::After(Seq(8)), limit), (vec![], false), "after the last, {limit} at a time");
        assert_eq!(page(SyncDirection::Before(Seq(4)), limit), (vec![], false), "before the first, {limit} at a time");
    }
    assert_eq!(page(SyncDirection::After(Seq(4)), 1), (vec![8], false));
    assert_eq!(page(SyncDirection::Before(Seq(8)), 1), (vec![4], false));
    assert_eq!(page(SyncDirection::After(Seq(0)), 1), (vec![4], true));
    assert_eq!(page(SyncDirection::Before(Seq(0)), 1), (vec![8], true));
}

#[test]
fn a_backlog_of_hidden_entries_is_not_gone_through_in_one_turn() {
    let mut duo = hidden(900);
    duo.hold_reads();
    duo.connect(3, ALICE, "new", CatchUp::Backlog);
    assert_eq!(held_fetches(&duo), 1);
    duo.read_held();
    assert_eq!(duo.seqs(3), [1, 902]);
}

#[test]
fn a_name_more_than_a_user_may_give_is_refused_and_one_that_is_given_may_change() {
    let mut duo = Duo::with(|settings| settings.limits.conversation_names_max = 2);
    duo.connect(1, ALICE, "desk", CatchUp::Sync);
    for (call, peer) in [("one", "p1"), ("two", "p2"), ("three", "p2")] {
        assert_eq!(refusal(&duo.ask(1, ALICE, called(call, call, peer))), None);
    }
    assert_eq!(refusal(&duo.ask(1, ALICE, called("four", "four", "p3"))), Some(Refusal::TooManyNames));
    assert_eq!(refusal(&duo.ask(1, ALICE, message("plain", "p3"))), None);
    assert_eq!(refusal(&duo.ask(1, ALICE, called("three", "again", "p1"))), Some(Refusal::InvalidParam));
}

#[test]
fn every_verb_takes_of_an_allowance_before_it_looks_for_anything() {
    let unknown = || ConversationRef::Named(name("nobody calls anything so"));
    let id = MessageId(1);
    let commands = [
        Command::Typing(Typing { conversation: unknown(), status: 1 }),
        Command::MarkRead(MarkRead { conversation: unknown(), through: ConversationSeq(1) }),
        Command::Receipt(Receipt { conversation: unknown(), messages: vec![id] }),
        Command::Revoke(Revoke { conversation: unknown(), message: id }),
    ];
    for command in commands {
        let mut duo = Duo::with(|settings| {
            (settings.limits.sends_per_second, settings.limits.sends_burst) = (1, 3);
        });
        duo.connect(1, ALICE, "desk", CatchUp::Sync);
        let refusals: Vec<_> = (0..5).map(|_| refusal(&duo.ask(1, ALICE, command.clone()))).collect();
        let expected = [[Refusal::ConversationNotExist; 3].as_slice(), &[Refusal::SendTooFast; 2]].concat();
        assert_eq!(refusals, expected.into_iter().map(Some).collect::<Vec<_>>(), "{command:?}");
    }
}

#[test]
fn two_conversations_with_one_default_name_are_told_apart_by_whoever_has_both() {
    let me = "a_b_a";
    let mut duo = Duo::new();
    for (session, id) in [(1, me), (2, "a_b"), (3, "b_a")] {
        duo.connect(session, id, "desk", CatchUp::Sync);
    }
    let default = "single_a_b_a_b_a";
    duo.ask(2, "a_b", message("from a_b", me));
    assert_eq!(rows(&mut duo, 1, me)[0].name, None, "it is the only one");
    duo.ask(3, "b_a", message("from b_a", me));
    let names = |rows: Vec<ConversationRow>| rows.into_iter().map(|row| row.name).collect::<Vec<_>>();
    assert_eq!(names(rows(&mut duo, 1, me)), [Some(name("peer:b_a")), None]);
    assert_eq!(names(rows(&mut duo, 3, "b_a")), [None], "the other has no other");
    let inbox = duo.inbox(me);
    assert_eq!(inbox.iter().map(|entry| entry.conversation_name()).collect::<Vec<_>>(), [default, "peer:b_a"]);
    for (text, peer, at) in [(default, "a_b", 0), ("peer:b_a", "b_a", 1), ("peer:a_b", "a_b", 0)] {
        let conversation = ConversationRef::Named(name(text));
        let receipt = Receipt { conversation: conversation.clone(), messages: vec![inbox[at].message.id] };
        assert_eq!(duo.ask(1, me, Command::Receipt(receipt)), Reply::Done);
        let told = duo.inbox(peer).iter().filter(|entry| entry.message.fact.is_some()).count();
        assert_eq!(told, 1, "{text} is the conversation with {peer}");
        let session = if peer == "a_b" { 2 } else { 3 };
        duo.now = duo.now.plus(2_000);
        duo.events(session);
        duo.ask(1, me, Command::Typing(Typing { conversation, status: 1 }));
        assert!(matches!(duo.events(session)[..], [Event::Typing(_)]), "{text}");
    }
    assert_eq!(refusal(&duo.ask(1, me, called("peer:b_a", "n", "a_b"))), Some(Refusal::InvalidParam));
}

#[test]
fn a_name_of_ones_own_that_is_anothers_default_names_one_of_them() {
    let mut duo = Duo::new();
    duo.connect(1, ALICE, "desk", CatchUp::Sync);
    duo.connect(2, BOB, "desk", CatchUp::Sync);
    duo.ask(1, ALICE, called("single_alice_bob", "a", "carol"));
    duo.ask(2, BOB, message("b", ALICE));
    let names: Vec<_> = rows(&mut duo, 1, ALICE).into_iter().map(|row| row.name).collect();
    assert_eq!(names, [Some(name("peer:bob")), Some(name("single_alice_bob"))]);
}

#[test]
fn no_client_passes_for_what_happened_or_for_the_server() {
    let mut duo = Duo::new();
    duo.connect(1, ALICE, "desk", CatchUp::Sync);
    let typed = |message_type| Send { message_type, ..send(&format!("type {message_type}"), BOB) };
    let extra = |key: &str| Send { extra: Extra::new(vec![(key.into(), "1".into())]), ..send(key, BOB) };
    let own_id =
        Send { client_message_id: ClientMessageId::new("stream-end-1").expect("well formed"), ..send("x", BOB) };
    for forged in [typed(1_001), typed(1_002), typed(1_003), typed(1_099), extra("revoked"), own_id] {
        assert_eq!(refusal(&duo.ask(1, ALICE, Command::Send(forged))), Some(Refusal::InvalidParam));
    }
    for honest in [typed(1_000), typed(1_100), extra("revoked?")] {
        assert_eq!(refusal(&duo.ask(1, ALICE, Command::Send(honest))), None);
    }
}

#[test]
fn the_end_of_a_stream_has_an_id_that_no_message_has_and_that_says_nothing_of_a_fingerprint() {
    let mut duo = Duo::new();
    duo.connect(1, ALICE, "desk", CatchUp::Backlog);
    let chunk = Some(StreamChunk { stream: "s".into(), number: 0, phase: ChunkPhase::Next });
    duo.ask(1, ALICE, noted("chunk", BOB, Annotations { chunk, ..Annotations::default() }));
    let began = duo.inbox(BOB)[0].message.id;
    let id = |attempt: u32| format!("stream-end-{began}-2-{attempt}");
    // As in a log of before clients were refused such an id.
    let (home, taken) = (Duo::home(ALICE), ClientMessageId::new(&id(0)).expect("well formed"));
    let state = &mut duo.shards[home].state;
    let key = state.identity.fingerprints.of_client_message(&user(ALICE), &taken);
    state.tables.dedupe.remember(key, Position::new(1, 64), NOW.wall);
    duo.tick_after(61_000);
    let inbox = duo.inbox(BOB);
    assert_eq!(inbox.len(), 2);
    assert_eq!(inbox[1].message.client_message_id.as_str(), id(1));
    assert_eq!(chunk_of(&inbox[1]).map(|chunk| chunk.phase), Some(ChunkPhase::Last));
}

#[test]
fn what_is_not_shown_any_more_is_not_counted_as_unread_and_what_was_taken_back_is() {
    let mut duo = Duo::new();
    duo.connect(1, ALICE, "desk", CatchUp::Sync);
    duo.connect(2, BOB, "desk", CatchUp::Sync);
    let Reply::Sent { message_id, .. } = duo.ask(1, ALICE, message("stays", BOB)) else { panic!("sent") };
    duo.ask(1, ALICE, expiring("goes", BOB));
    duo.ask(2, BOB, expiring("own", ALICE));
    let header = HeaderFlags { sync_once: true, ..HeaderFlags::default() };
    duo.ask(1, ALICE, noted("once", BOB, Annotations { header, ..Annotations::default() }));
    assert_eq!(rows(&mut duo, 2, BOB)[0].unread, 3);
    duo.now = duo.now.plus(2_000);
    assert_eq!(rows(&mut duo, 2, BOB)[0].unread, 2);
    let once = duo.inbox(BOB).last().map(|entry| entry.message.id).expect("it is there");
    duo.shards[Duo::home(BOB)].state.tables.consumed.insert(&user(BOB), once);
    assert_eq!(rows(&mut duo, 2, BOB)[0].unread, 1);
    let conversation = ConversationRef::With(Recipient::User(user(BOB)));
    assert_eq!(duo.ask(1, ALICE, Command::Revoke(Revoke { message: message_id, conversation })), Reply::Done);
    assert_eq!(rows(&mut duo, 2, BOB)[0].unread, 1);
}

#[test]
fn a_list_of_very_many_conversations_counts_as_more_than_one_query() {
    let mut duo = Duo::with(|settings| {
        (settings.limits.queries_per_second, settings.limits.queries_burst) = (1, 4);
    });
    duo.connect(1, ALICE, "desk", CatchUp::Sync);
    for n in 0..8_200 {
        let group = GroupId::new(&format!("g{n}")).expect("well formed");
        let state = &mut duo.shards[Duo::home(ALICE)].state;
        let at = state.row_of(&Conversation::Group(group));
        state.seat(at, &user(ALICE), ConversationSeq(1));
    }
    let list = Command::Conversations(Conversations { before: Seq(0), limit: 10 });
    assert_eq!(refusal(&duo.ask(1, ALICE, list.clone())), None);
    assert_eq!(refusal(&duo.ask(1, ALICE, list)), Some(Refusal::SendTooFast));
}
