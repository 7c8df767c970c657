//! The shard's promises, one at a time, with disks and lanes in the test's own hands.

use super::*;
use crate::log::MemoryStorage;
use crate::model::{Ack, ClientMessageId, Entry, Extra, Recipient, Send, Seq, Sync, SyncDirection, Verb};
use std::collections::VecDeque;

/// Owned by shard 1 of 2 (slot 688) and by shard 0 (slot 229): see placement.
const ALICE: &str = "alice";
const BOB: &str = "bob";
const NO_CHECKPOINTS: &[&[u8]] = &[];
const NOW: Millis = Millis(1_700_000_000_000);

struct Pair {
    shards: Vec<Shard<MemoryStorage>>,
    lanes: VecDeque<(ShardId, ShardId, Parcel)>,
    heard: Vec<Effect>,
    now: Millis,
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("well formed")
}

fn settings(me: u16, windows: Windows) -> Settings {
    Settings {
        me: ShardId(me),
        placement: Placement::new(2),
        limits: Limits::default(),
        policies: Policies::default(),
        windows,
        upkeep: Upkeep::default(),
        seed: 5,
        fingerprint_seed: 6,
    }
}

fn message(id: &str, to: &str, content: &'static str) -> Command {
    Command::Send(Send {
        client_message_id: ClientMessageId::new(id).expect("well formed"),
        recipient: Recipient::User(user(to)),
        conversation_name: None,
        message_type: 1,
        content: content.into(),
        send_time: 0,
        extra: Extra::default(),
        annotations: None,
    })
}

impl Pair {
    fn new(windows: Windows) -> Self {
        Self::on(windows, [0, 1].map(|_| MemoryStorage::new(1 << 20, 4)))
    }

    fn on(windows: Windows, disks: [MemoryStorage; 2]) -> Self {
        let open = |(me, disk)| Shard::open(settings(me, windows), disk, NO_CHECKPOINTS, NOW).expect("opens").0;
        let shards = (0..).zip(disks).map(open).collect();
        let mut pair = Self { shards, lanes: VecDeque::new(), heard: Vec::new(), now: NOW };
        for me in 0..2 {
            let mut effects = Vec::new();
            pair.shards[me].start(&mut effects);
            pair.carry(me, effects);
        }
        pair.settle();
        assert!(pair.shards.iter().all(Shard::is_ready));
        pair
    }

    /// The process ends, having written all that it wrote, and starts again.
    fn restart(mut self, windows: Windows) -> Self {
        let mut disks = self.shards.iter_mut().map(|it| std::mem::replace(it.storage_mut(), MemoryStorage::new(8, 0)));
        let disks = [disks.next().expect("two"), disks.next().expect("two")];
        Self::on(windows, disks)
    }

    fn carry(&mut self, me: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Forward { to, parcel } => self.lanes.push_back((ShardId(me as u16), to, parcel)),
                other => self.heard.push(other),
            }
        }
    }

    fn input(&mut self, me: usize, input: Input) {
        let mut effects = Vec::new();
        self.shards[me].handle(self.now, input, &mut effects);
        self.carry(me, effects);
    }

    fn sync(&mut self, me: usize) {
        if let Some(batch) = self.shards[me].seal() {
            self.shards[me].storage_mut().sync(batch);
            self.input(me, Input::Synced { end: batch.to });
        }
    }

    fn carry_lanes(&mut self) {
        while let Some((from, to, parcel)) = self.lanes.pop_front() {
            self.input(usize::from(to.0), Input::Arrived { from, parcel });
        }
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            self.carry_lanes();
            self.sync(0);
            self.sync(1);
        }
    }

    fn open(&mut self, session: u64, id: &str) {
        let me = usize::from(Placement::new(2).owner_of(&user(id)).0);
        let device = DeviceKey { flag: 0, id: "test".into() };
        let session = SessionId(session);
        self.input(
            me,
            Input::Opened {
                session,
                tag: RequestTag::Sequence(0, Verb::Send),
                user: user(id),
                device,
                catching: Catching::Sync,
            },
        );
    }

    fn request(&mut self, session: u64, id: &str, command: Command) {
        let me = usize::from(Placement::new(2).owner_of(&user(id)).0);
        self.input(
            me,
            Input::Requested { session: SessionId(session), tag: RequestTag::Sequence(1, Verb::Send), command },
        );
    }

    fn heard(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.heard)
    }

    fn replies(&mut self) -> Vec<(u64, Reply)> {
        let reply = |effect| match effect {
            Effect::Reply { session, reply, .. } => Some((session.0, reply)),
            _ => None,
        };
        self.heard().into_iter().filter_map(reply).collect()
    }

    fn inbox(&mut self, id: &str) -> Vec<Entry> {
        self.open(999, id);
        self.heard();
        let sync = Sync { direction: SyncDirection::After(Seq(0)), limit: 1_000 };
        self.request(999, id, Command::Sync(sync));
        self.settle();
        let replies = self.replies();
        let me = usize::from(Placement::new(2).owner_of(&user(id)).0);
        self.input(me, Input::Closed { session: SessionId(999) });
        match replies.into_iter().next() {
            Some((_, Reply::Synced { entries, .. })) => entries,
            other => panic!("a sync is answered by a page, not {other:?}"),
        }
    }
}

fn refusals(replies: Vec<(u64, Reply)>) -> Vec<Refusal> {
    let refusal = |(_, reply)| match reply {
        Reply::Refused(refused) => Some(refused.refusal),
        _ => None,
    };
    replies.into_iter().filter_map(refusal).collect()
}

#[test]
fn nothing_is_answered_pushed_or_forwarded_before_it_is_durable() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, BOB);
    pair.open(2, BOB);
    pair.heard();
    pair.request(1, BOB, message("m", BOB, "to myself"));
    assert_eq!(pair.heard(), [], "the record is appended, not durable");
    pair.sync(0);
    let heard = pair.heard();
    assert!(
        heard.iter().any(|it| matches!(it, Effect::Reply { session: SessionId(1), reply: Reply::Sent { .. }, .. }))
    );
    assert!(heard.iter().any(|it| matches!(it, Effect::Push { sessions, .. } if sessions[..] == [SessionId(2)])));
}

#[test]
fn a_message_between_two_shards_reaches_both_inboxes_whichever_side_sends() {
    for (author, peer) in [(ALICE, BOB), (BOB, ALICE)] {
        let mut pair = Pair::new(Windows::default());
        pair.open(1, author);
        pair.open(2, peer);
        pair.heard();
        pair.request(1, author, message("m", peer, "hello"));
        pair.settle();
        let heard = pair.heard();
        assert!(heard.iter().any(|it| matches!(it, Effect::Reply { reply: Reply::Sent { seq: Seq(1), .. }, .. })));
        assert!(heard.iter().any(|it| matches!(it, Effect::Push { user, .. } if user.as_str() == peer)));
        assert_eq!(pair.inbox(author), pair.inbox(peer));
        assert!(pair.shards.iter().all(Shard::is_settled));
    }
}

#[test]
fn a_repeated_send_gets_the_first_answer_even_after_a_restart() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, ALICE);
    pair.heard();
    pair.request(1, ALICE, message("m", BOB, "hello"));
    pair.settle();
    let first = pair.replies();
    pair.request(1, ALICE, message("m", BOB, "hello"));
    assert_eq!(pair.replies(), first);
    let mut pair = pair.restart(Windows::default());
    pair.open(1, ALICE);
    pair.heard();
    pair.request(1, ALICE, message("m", BOB, "hello"));
    assert_eq!(pair.replies(), first);
    assert_eq!(pair.inbox(BOB).len(), 1);
}

#[test]
fn a_send_repeated_before_its_answer_waits_for_that_answer() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, ALICE);
    pair.open(2, ALICE);
    pair.settle();
    pair.heard();
    // Bob's shard owns nothing of this pair but the peer: alice < bob, so alice's shard takes it. The other way round
    // the post travels.
    pair.open(3, BOB);
    pair.heard();
    pair.request(3, BOB, message("m", ALICE, "hello"));
    pair.request(3, BOB, message("m", ALICE, "hello"));
    pair.settle();
    let replies = pair.replies();
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0], replies[1]);
    assert_eq!(pair.inbox(ALICE).len(), 1);
}

#[test]
fn a_client_message_id_used_for_something_else_is_refused() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, BOB);
    pair.request(1, BOB, message("m", ALICE, "hello"));
    pair.request(1, BOB, message("m", ALICE, "while the first is on its way"));
    pair.settle();
    pair.request(1, BOB, message("m", BOB, "hello"));
    assert_eq!(refusals(pair.replies()), [Refusal::ClientMessageIdReused; 2]);
    assert_eq!(pair.inbox(BOB).len(), 1);
}

#[test]
fn an_id_may_be_used_again_when_the_window_is_over() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, BOB);
    pair.request(1, BOB, message("m", BOB, "first"));
    pair.settle();
    pair.now = NOW.plus(Limits::default().dedupe_window_ms);
    pair.request(1, BOB, message("m", BOB, "second"));
    pair.settle();
    assert_eq!(pair.inbox(BOB).len(), 2);
}

#[test]
fn what_a_crash_kept_from_being_confirmed_is_delivered_once() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, ALICE);
    pair.request(1, ALICE, message("m", BOB, "hello"));
    pair.sync(1);
    assert!(pair.lanes.iter().any(|(.., parcel)| matches!(parcel, Parcel::Deliver { number: 1, .. })));
    let mut pair = pair.restart(Windows::default());
    assert_eq!(pair.inbox(BOB).len(), 1);
    let mut pair = pair.restart(Windows::default());
    assert_eq!(pair.inbox(BOB).len(), 1);
}

#[test]
fn a_delivery_past_a_hole_is_not_taken() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, ALICE);
    pair.request(1, ALICE, message("1", BOB, "lost"));
    pair.request(1, ALICE, message("2", BOB, "past the hole"));
    pair.sync(1);
    let first = pair.lanes.iter().position(|(.., parcel)| matches!(parcel, Parcel::Deliver { number: 1, .. }));
    pair.lanes.remove(first.expect("sent"));
    pair.settle();
    assert_eq!(pair.inbox(BOB), []);
    assert_eq!(pair.shards[0].stats().ignored, 1);
}

#[test]
fn a_full_window_pauses_the_session_and_an_answer_lets_it_go_on() {
    let windows = Windows { posts_max: 1, deliveries_max: 1 };
    let mut pair = Pair::new(windows);
    pair.open(1, BOB);
    pair.heard();
    pair.request(1, BOB, message("1", ALICE, "one"));
    pair.request(1, BOB, message("2", ALICE, "two"));
    assert_eq!(pair.heard(), [Effect::Pause { session: SessionId(1) }]);
    pair.settle();
    let heard = pair.heard();
    assert!(heard.contains(&Effect::Resume { session: SessionId(1) }));
    assert_eq!(heard.iter().filter(|it| matches!(it, Effect::Reply { .. })).count(), 2);
    assert_eq!(pair.inbox(ALICE).len(), 2);
    assert!(pair.shards.iter().all(Shard::is_settled));
}

#[test]
fn a_session_that_goes_while_it_is_paused_leaves_nothing_behind() {
    let mut pair = Pair::new(Windows { posts_max: 1, deliveries_max: 1 });
    pair.open(1, BOB);
    pair.request(1, BOB, message("1", ALICE, "one"));
    pair.request(1, BOB, message("2", ALICE, "never sent"));
    pair.input(0, Input::Closed { session: SessionId(1) });
    pair.settle();
    assert_eq!(pair.inbox(ALICE).len(), 1);
    assert!(pair.shards.iter().all(Shard::is_settled));
}

#[test]
fn a_full_disk_refuses_sends_and_answers_reads() {
    let disks = [0, 1].map(|_| MemoryStorage::new(4_096, 1));
    let mut pair = Pair::on(Windows::default(), disks);
    pair.open(1, BOB);
    pair.heard();
    for n in 0..100 {
        pair.request(1, BOB, message(&n.to_string(), BOB, "hello"));
        pair.settle();
    }
    let replies = pair.replies();
    let sent = replies.iter().filter(|(_, reply)| matches!(reply, Reply::Sent { .. })).count();
    let refused = refusals(replies);
    assert!(sent > 0 && refused.len() == 100 - sent && refused.iter().all(|it| *it == Refusal::StorageFull));
    assert_eq!(pair.inbox(BOB).len(), sent);
    pair.shards[0].storage_mut().set_spares(4);
    pair.request(1, BOB, message("again", BOB, "there is room"));
    pair.settle();
    assert_eq!(pair.inbox(BOB).len(), sent + 1);
}

#[test]
fn a_delivery_that_found_no_room_comes_again_when_there_is_some() {
    let disks = [MemoryStorage::new(1_024, 1), MemoryStorage::new(1 << 20, 4)];
    let mut pair = Pair::on(Windows::default(), disks);
    pair.open(1, ALICE);
    for n in 0..20 {
        pair.request(1, ALICE, message(&n.to_string(), BOB, "hello"));
        pair.settle();
    }
    let before = pair.inbox(BOB).len();
    assert!(before < 20, "bob's disk is full");
    pair.shards[0].storage_mut().set_spares(16);
    pair.input(0, Input::Ticked);
    pair.settle();
    assert_eq!(pair.inbox(BOB).len(), 20);
    assert!(pair.shards.iter().all(Shard::is_settled));
}

#[test]
fn too_much_too_fast_and_to_no_group_are_refused() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, BOB);
    pair.heard();
    let Command::Send(mut big) = message("big", BOB, "") else { unreachable!("a send") };
    big.content = vec![0; Limits::default().content_bytes_max + 1].into();
    pair.request(1, BOB, Command::Send(big));
    let Command::Send(mut to_group) = message("group", BOB, "") else { unreachable!("a send") };
    to_group.recipient = Recipient::Group(crate::model::GroupId::new("g").expect("well formed"));
    pair.request(1, BOB, Command::Send(to_group));
    pair.settle();
    for n in 0..Limits::default().sends_burst {
        pair.request(1, BOB, message(&n.to_string(), BOB, "hello"));
    }
    let refused = refusals(pair.replies());
    assert_eq!(refused, [Refusal::MessageTooLarge, Refusal::ConversationNotExist, Refusal::SendTooFast]);
}

#[test]
fn a_new_connection_is_no_new_allowance() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, BOB);
    for n in 0..Limits::default().sends_burst {
        pair.request(1, BOB, message(&n.to_string(), BOB, "hello"));
    }
    pair.input(0, Input::Closed { session: SessionId(1) });
    pair.open(2, BOB);
    pair.settle();
    pair.heard();
    pair.request(2, BOB, message("one more", BOB, "hello"));
    assert_eq!(refusals(pair.replies()), [Refusal::SendTooFast]);
}

#[test]
fn an_acknowledged_position_survives_a_restart() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, BOB);
    pair.request(1, BOB, message("m", BOB, "hello"));
    pair.settle();
    pair.request(1, BOB, Command::Ack(Ack::Through(Seq(7))));
    pair.request(1, BOB, Command::Ack(Ack::Through(Seq(1))));
    pair.input(0, Input::Ticked);
    let pair = pair.restart(Windows::default());
    let device = DeviceKey { flag: 0, id: "test".into() };
    assert_eq!(pair.shards[0].delivered(&user(BOB), &device), Some(Seq(1)));
}

#[test]
fn a_seventeenth_session_closes_the_first() {
    let mut pair = Pair::new(Windows::default());
    (1..=17).for_each(|session| pair.open(session, BOB));
    let closed = Effect::Close { session: SessionId(1), closing: Closing::Replaced };
    assert!(pair.heard().contains(&closed));
}

#[test]
fn a_policy_that_waives_the_sync_acknowledges_and_calls_nothing_durable() {
    let mut pair = Pair::new(Windows::default());
    pair.open(1, BOB);
    pair.heard();
    let durable = pair.shards[0].journal().durable();
    pair.request(1, BOB, message("m", BOB, "hello"));
    assert!(pair.shards[0].awaits_log());
    pair.input(0, Input::Waived);
    assert!(matches!(pair.replies()[..], [(1, Reply::Sent { .. })]));
    assert_eq!(pair.shards[0].journal().durable(), durable);
}
