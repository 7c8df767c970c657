//! Streams: numbered without gaps, bounded, and ended for those who do not end them.

use crate::log::record::bytes::Reader;
use crate::model::{
    Annotations, ChunkPhase, Command, Conversation, Entry, Event, HeaderFlags, Limits, Order, Recipient, Refusal,
    Reply, Send, SessionId, StreamChunk,
};
use crate::shard::live::streams::{NewStream, Streams};
use crate::shard::testing::duo::*;
use crate::shard::testing::fixtures::{Cluster, create, group, to_group};
use crate::shard::*;

fn chunk(id: &str, to: &str, stream: &str, phase: ChunkPhase) -> Command {
    let chunk = Some(StreamChunk { stream: stream.into(), number: 0, phase });
    noted(id, to, Annotations { chunk, ..Annotations::default() })
}

fn next(id: &str, to: &str) -> Command {
    chunk(id, to, "s", ChunkPhase::Next)
}

/// Number and phase of each chunk.
fn chunks(entries: &[Entry]) -> Vec<(u64, ChunkPhase)> {
    entries.iter().filter_map(chunk_of).map(|chunk| (chunk.number, chunk.phase)).collect()
}

use ChunkPhase::{First, Last, Next};

/// Alice writes to bob: her own shard orders the pair. Bob writes to alice: hers does too, and his numbers.
#[test]
fn chunks_are_numbered_from_one_and_a_stream_ends_with_its_last() {
    for (author, peer) in [(ALICE, BOB), (BOB, ALICE)] {
        let mut duo = Duo::new();
        duo.open(1, author, "desk", CatchUp::Backlog);
        for id in ["a", "b", "c"] {
            duo.request(1, author, next(id, peer));
        }
        duo.settle();
        let repeated = duo.ask(1, author, next("b", peer));
        assert!(matches!(repeated, Reply::Sent { conversation_seq, .. } if conversation_seq.0 == 2), "{repeated:?}");
        duo.ask(1, author, chunk("d", peer, "s", Last));
        duo.ask(1, author, next("e", peer));
        let expected = [(1, First), (2, Next), (3, Next), (4, Last), (1, First)];
        assert_eq!(chunks(&duo.inbox(peer)), expected);
    }
}

#[test]
fn a_silent_stream_is_ended_in_its_author_s_name() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Backlog);
    duo.connect(2, BOB, "phone", CatchUp::Backlog);
    duo.ask(1, BOB, next("a", ALICE));
    duo.tick_after(59_000);
    assert_eq!(duo.inbox(ALICE).len(), 1);
    duo.tick_after(2_000);
    let inbox = duo.inbox(ALICE);
    assert_eq!(chunks(&inbox), [(1, First), (2, Last)]);
    assert!(inbox[1].message.author == user(BOB) && inbox[1].message.content.is_empty());
    duo.tick_after(120_000);
    assert_eq!(duo.inbox(ALICE).len(), 2, "once");
    assert!(duo.shards.iter().all(Shard::is_settled));
}

#[test]
fn a_stream_ends_with_its_author_s_session() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Backlog);
    duo.ask(1, BOB, next("a", ALICE));
    duo.request(1, BOB, next("still under way", ALICE));
    duo.disconnect(1, BOB);
    duo.tick_after(1_000);
    assert_eq!(chunks(&duo.inbox(ALICE)), [(1, First), (2, Next), (3, Last)]);
}

#[test]
fn a_stream_survives_a_restart_and_is_ended_once_it_has_been_silent() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Backlog);
    duo.ask(1, BOB, next("a", ALICE));
    duo.now = duo.now.plus(3_600_000);
    let mut duo = duo.restart();
    duo.tick_after(1_000);
    duo.connect(2, BOB, "desk", CatchUp::Backlog);
    duo.ask(2, BOB, next("b", ALICE));
    assert_eq!(chunks(&duo.inbox(ALICE)), [(1, First), (2, Next)], "the time that the server was away does not count");
    let mut duo = duo.restart();
    duo.tick_after(61_000);
    let mut duo = duo.restart();
    duo.tick_after(61_000);
    assert_eq!(chunks(&duo.inbox(ALICE)), [(1, First), (2, Next), (3, Last)]);
}

#[test]
fn too_many_open_streams_are_refused_until_one_ends() {
    let mut duo = Duo::with(|settings| settings.limits.open_streams_max = 2);
    duo.connect(1, BOB, "desk", CatchUp::Backlog);
    let refused: Vec<_> = ["x", "y", "z"]
        .map(|stream| refusal(&duo.ask(1, BOB, chunk(stream, ALICE, stream, Next))))
        .into_iter()
        .collect();
    assert_eq!(refused, [None, None, Some(Refusal::SendTooFast)]);
    duo.request(1, BOB, chunk("end of x", ALICE, "x", Last));
    duo.request(1, BOB, chunk("behind", ALICE, "x", Next));
    duo.settle();
    let answers: Vec<_> = duo.replies(1).iter().map(refusal).collect();
    assert_eq!(answers, [Some(Refusal::Busy), None], "behind an end that is under way; then the end");
    assert_eq!(refusal(&duo.ask(1, BOB, chunk("z", ALICE, "z", Next))), None);
}

#[test]
fn a_chunk_that_is_declined_takes_no_number() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Backlog);
    let block = |state| Order::Block { by: user(ALICE), other: user(BOB), state };
    duo.input(1, Input::Ordered { ticket: Ticket(1), order: block(crate::model::BlockState::Blocked) });
    assert_eq!(refusal(&duo.ask(1, BOB, next("a", ALICE))), Some(Refusal::PermissionDenied));
    duo.input(1, Input::Ordered { ticket: Ticket(2), order: block(crate::model::BlockState::Allowed) });
    duo.ask(1, BOB, next("b", ALICE));
    assert_eq!(chunks(&duo.inbox(ALICE)), [(1, First)]);
}

#[test]
fn a_stream_that_is_stored_nowhere_ends_where_it_was() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Backlog);
    duo.connect(2, ALICE, "desk", CatchUp::Backlog);
    let header = HeaderFlags { no_persist: true, ..HeaderFlags::default() };
    let chunk = Some(StreamChunk { stream: "s".into(), number: 0, phase: Next });
    duo.ask(1, BOB, noted("a", ALICE, Annotations { header, chunk, ..Annotations::default() }));
    duo.disconnect(1, BOB);
    let number = |event: Event| match event {
        Event::Transient(message, _) => message.annotations.as_ref()?.chunk.as_ref().map(|it| (it.number, it.phase)),
        _ => None,
    };
    let told: Vec<_> = duo.events(2).into_iter().filter_map(number).collect();
    assert_eq!(told, [(1, First), (2, Last)]);
    assert_eq!(duo.inbox(ALICE).len(), 0);
    duo.tick_after(120_000);
    assert!(duo.shards.iter().all(Shard::is_settled));
}

#[test]
fn an_author_who_guesses_the_id_of_the_end_harms_nobody() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "desk", CatchUp::Backlog);
    duo.connect(2, BOB, "phone", CatchUp::Backlog);
    duo.ask(1, BOB, next("a", ALICE));
    duo.tick_after(61_000);
    let end = duo.inbox(ALICE)[1].message.client_message_id.clone();
    let first = duo.inbox(ALICE)[0].message.id.to_string();
    duo.ask(1, BOB, next("b", ALICE));
    let second = duo.inbox(ALICE)[2].message.id.to_string();
    let guessed = crate::model::ClientMessageId::new(&end.as_str().replace(&first, &second)).expect("well formed");
    let recipient = Recipient::User(user(ALICE));
    duo.request(2, BOB, Command::Send(Send { client_message_id: guessed, recipient, ..send("x", ALICE) }));
    duo.disconnect(1, BOB);
    duo.tick_after(1_000);
    assert_eq!(chunks(&duo.inbox(ALICE)), [(1, First), (2, Last), (1, First), (2, Last)]);
}

/// One shard, and a group that takes one message at a time.
fn in_busy_group() -> Cluster {
    let limits = Limits { group_fan_out_messages_max: 1, fan_out_members_at_once_max: 1, ..Limits::default() };
    let disks = vec![crate::log::MemoryStorage::new(1 << 20, 16)];
    let mut cluster = Cluster::start(Windows::default(), limits, disks, vec![Vec::new()], NOW);
    cluster.order(create("g", BOB, &[ALICE]));
    cluster.connect(1, BOB);
    cluster.connect(2, ALICE);
    cluster
}

fn chunk_in_group(id: &str, phase: ChunkPhase) -> Command {
    let chunk = Some(StreamChunk { stream: "s".into(), number: 0, phase });
    let annotations = Some(Box::new(Annotations { chunk, ..Annotations::default() }));
    Command::Send(Send { recipient: Recipient::Group(group("g")), annotations, ..send(id, ALICE) })
}

#[test]
fn a_group_that_is_too_busy_for_the_end_of_a_stream_gets_it_later() {
    let mut cluster = in_busy_group();
    cluster.perform(1, BOB, chunk_in_group("a", Next));
    cluster.request(2, ALICE, to_group("on its way", "g", "x"));
    cluster.input(0, Input::Closed { session: SessionId(1) });
    cluster.settle();
    assert_eq!(chunks(&cluster.inbox(ALICE)), [(1, First)], "declined");
    cluster.now = cluster.now.plus(1_000);
    cluster.input(0, Input::Ticked);
    cluster.settle();
    assert_eq!(chunks(&cluster.inbox(ALICE)), [(1, First), (2, Last)]);
}

#[test]
fn an_author_whose_last_chunk_found_the_group_too_busy_says_it_again() {
    let mut cluster = in_busy_group();
    cluster.request(1, BOB, chunk_in_group("a", Next));
    cluster.settle_silently();
    cluster.request(2, ALICE, to_group("on its way", "g", "x"));
    cluster.request(1, BOB, chunk_in_group("b", Last));
    let refusals: Vec<_> = cluster.replies().iter().filter_map(|(_, reply)| refusal(reply)).collect();
    assert_eq!(refusals, [Refusal::GroupTooBusy]);
    cluster.settle();
    cluster.perform(1, BOB, chunk_in_group("b", Last));
    assert_eq!(chunks(&cluster.inbox(ALICE)), [(1, First), (2, Last)]);
}

/// Streams that are not silent yet hold it up as little as those that are declined again and again.
#[test]
fn an_end_that_was_declined_is_due_again_at_once() {
    const IDLE_MS: u64 = 60_000;
    let mut streams = Streams::default();
    let conversation = Conversation::pair(user(ALICE), user(BOB));
    let (author, name) = (crate::shard::rows::index::UserIndex(7), "s".into());
    let named = |number| {
        let key = (author, crate::shard::table::fingerprint::Fingerprint::of_halves([number, 0]));
        NewStream { key, conversation: &conversation, name: &name }
    };
    let (one, other) = (SessionId(1), SessionId(2));
    let mut now = NOW.steady;
    streams.number(now, named(1), Some(one), Next, 9).expect("room");
    for number in [2, 3] {
        let chunk = streams.number(now, named(number), Some(other), Next, 9).expect("room");
        streams.passed(named(number).key, &chunk);
    }
    streams.orphan(author, other);
    for number in [2, 3, 2] {
        now = now.plus(1_000);
        assert_eq!(streams.due(now, IDLE_MS, 1), [named(number).key], "in turn");
        let end = streams.number(now, named(number), None, Last, 9).expect("an end");
        streams.declined(now, IDLE_MS, named(number).key, &end, Refusal::StorageFull);
    }
}

#[test]
fn streams_read_back_as_written() {
    let mut streams = Streams::default();
    let conversation = Conversation::pair(user(ALICE), user(BOB));
    let name = "s".into();
    let fingerprint = crate::shard::table::fingerprint::Fingerprint::of_halves([3, 4]);
    let named = NewStream {
        key: (crate::shard::rows::index::UserIndex(7), fingerprint),
        conversation: &conversation,
        name: &name,
    };
    streams.number(NOW.steady, named, None, Next, 1).expect("room");
    let mut bytes = Vec::new();
    streams.put(&mut bytes);
    let mut reader = Reader::new(&bytes);
    let mut read = Streams::read(&mut reader).expect("as written");
    assert!(reader.is_at_end());
    let stream = read.find(named.key).expect("it is there");
    assert_eq!((&stream.conversation, stream.number), (&conversation, 1));
    read.wake(NOW.steady);
    assert_eq!(read.due(NOW.steady, 1, 9), [], "it has only just begun to be silent");
    assert_eq!(read.due(NOW.steady.plus(1), 1, 9), [named.key]);
    assert!((0..bytes.len()).all(|cut| Streams::read(&mut Reader::new(&bytes[..cut])).is_none()));
}
