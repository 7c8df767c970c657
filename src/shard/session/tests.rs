//! Sessions and devices (PROTOCOL 4), what a device consumes for all, and every no that a shard can say.

use crate::model::{
    Ack, Annotations, Closing, Command, ConversationRef, Conversations, GroupId, HeaderFlags, History,
    HistoryDirection, Limits, MessageId, Presence, PresenceAction, Recipient, Refusal, Reply, Revoke, SamePlatform,
    Send, Seq, SessionId, Sync, SyncDirection,
};
use crate::shard::testing::duo::*;
use crate::shard::*;

#[test]
fn a_new_session_of_a_device_ends_the_older_one_and_gets_none_of_its_answers() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "phone", CatchUp::Backlog);
    duo.connect(2, BOB, "tablet", CatchUp::Backlog);
    duo.outputs();
    duo.request(1, BOB, message("m", ALICE));
    duo.open(3, BOB, "phone", CatchUp::Backlog);
    assert!(duo.has_heard(&Effect::Close { session: SessionId(1), closing: Closing::Replaced }));
    duo.settle();
    duo.close(1, BOB);
    assert_eq!(duo.replies(1), [], "nobody is there to be told");
    assert!(matches!(duo.replies(3)[..], [Reply::Welcome { max_seq: Seq(0) }]));
    assert_eq!((duo.seqs(2), duo.seqs(3)), (vec![1], vec![1]), "its message is an entry like any other");
    assert_eq!(duo.shards[0].stats().sessions, 2);
}

#[test]
fn a_device_is_not_pushed_what_it_sent_before_and_the_user_s_others_are() {
    let mut duo = Duo::new();
    duo.connect(1, BOB, "phone", CatchUp::Backlog);
    duo.ask(1, BOB, message("a", ALICE));
    duo.ask(1, BOB, message("b", BOB));
    duo.tick_after(1_000);
    let mut duo = duo.restart();
    duo.connect(2, BOB, "phone", CatchUp::Backlog);
    duo.connect(3, BOB, "tablet", CatchUp::Backlog);
    assert_eq!((duo.seqs(2), duo.seqs(3)), (vec![], vec![1, 2]));
}

#[test]
fn a_binary_session_ends_one_of_its_platform_only_where_the_operator_wants_that() {
    for (same_platform, sessions) in [(SamePlatform::Allow, 2), (SamePlatform::Kick, 1)] {
        let mut duo = Duo::with(|settings| settings.policies.same_platform = same_platform);
        duo.connect(1, BOB, "ios", CatchUp::Sync);
        duo.connect(2, BOB, "ios", CatchUp::Sync);
        assert_eq!(duo.shards[0].stats().sessions, sessions);
    }
}

#[test]
fn the_first_device_to_acknowledge_a_sync_once_message_has_it_for_all() {
    let mut duo = Duo::new();
    duo.open(1, ALICE, "desk", CatchUp::Backlog);
    for (session, device) in [(2, "phone"), (3, "tablet")] {
        duo.open(session, BOB, device, CatchUp::Backlog);
    }
    duo.settle();
    let header = HeaderFlags { sync_once: true, ..HeaderFlags::default() };
    duo.perform(1, ALICE, noted("once", BOB, Annotations { header, ..Annotations::default() }));
    let id = duo.entries(2)[0].message.id;
    assert_eq!(duo.seqs(3), [1], "whoever is online has it already");
    assert_eq!(duo.inbox(BOB).len(), 1);
    assert_eq!(duo.ask(3, BOB, Command::Ack(Ack::Message(id))), Reply::Done);
    duo.perform(1, ALICE, message("next", BOB));
    let mut duo = duo.restart();
    for (session, device) in [(4, "new"), (5, "phone")] {
        duo.connect(session, BOB, device, CatchUp::Backlog);
        assert_eq!(duo.seqs(session), [2], "seq 1 stays and is shown to nobody");
    }
}

#[test]
fn who_reads_without_end_is_told_to_slow_down_and_may_still_write() {
    let mut duo = Duo::with(|settings| settings.limits.queries_burst = 4);
    duo.connect(1, BOB, "ios", CatchUp::Sync);
    duo.ask(1, BOB, message("m", ALICE));
    let queries = [
        Command::Sync(Sync { direction: SyncDirection::After(Seq(0)), limit: 1 }),
        Command::History(History {
            conversation: ConversationRef::With(Recipient::User(user(ALICE))),
            direction: HistoryDirection::Before(crate::model::ConversationSeq(0)),
            limit: 1,
            topic: None,
        }),
        Command::Conversations(Conversations { before: Seq(0), limit: 1 }),
        Command::Presence(Presence { action: PresenceAction::Query, users: vec![user(ALICE)] }),
    ];
    for query in &queries {
        assert_eq!(refusal(&duo.ask(1, BOB, query.clone())), None);
    }
    for query in queries {
        assert_eq!(refusal(&duo.ask(1, BOB, query)), Some(Refusal::SendTooFast));
    }
    assert!(matches!(duo.ask(1, BOB, message("n", ALICE)), Reply::Sent { .. }));
}

/// What needs an operator (GroupExists), a full disk (StorageFull), a broken one (StorageDamaged) or a crowd (Busy) is
/// beside the tests of groups, `tests`, `upkeep_tests`, `stream_tests`; who is not let in never gets here.
#[test]
fn every_no_of_the_protocols_that_a_client_earns_is_said() {
    let mut duo = Duo::with(|settings| {
        settings.policies.directory = crate::model::Directory::Closed;
        settings.limits.sends_burst = 8;
        settings.limits.sends_per_second = 1;
    });
    duo.connect(1, BOB, "ios", CatchUp::Sync);
    duo.connect(2, ALICE, "ios", CatchUp::Sync);
    let named = |name: &str| Some(crate::model::ConversationName::new(name).expect("well formed"));
    let Reply::Sent { message_id: first, .. } = duo.ask(1, BOB, message("first", ALICE)) else { panic!("sent") };
    let Reply::Sent { message_id: hers, .. } = duo.ask(2, ALICE, message("hers", BOB)) else { panic!("sent") };
    assert!(first != hers);
    let revoke = |message: MessageId, peer: &str| {
        let conversation = ConversationRef::With(Recipient::User(user(peer)));
        Command::Revoke(Revoke { message, conversation })
    };
    let group = Recipient::Group(GroupId::new("nowhere").expect("well formed"));
    let big = vec![0; Limits::default().content_bytes_max + 1].into();
    let earned = [
        (Command::Send(Send { content: big, ..send("big", ALICE) }), Refusal::MessageTooLarge),
        (Command::Send(Send { recipient: group, ..send("group", ALICE) }), Refusal::ConversationNotExist),
        (message("stranger", "nobody"), Refusal::UserNotExist),
        (message("first", BOB), Refusal::ClientMessageIdReused),
        (Command::Send(Send { conversation_name: named("single_alice_bob"), ..send("n", BOB) }), Refusal::InvalidParam),
        (revoke(hers, ALICE), Refusal::PermissionDenied),
        (revoke(first, "nobody"), Refusal::ConversationNotExist),
    ];
    for (command, expected) in earned {
        assert_eq!(refusal(&duo.ask(1, BOB, command.clone())), Some(expected), "{command:?}");
    }
    let too_fast = (0..8).map(|n| refusal(&duo.ask(1, BOB, message(&n.to_string(), BOB)))).last();
    assert_eq!(too_fast, Some(Some(Refusal::SendTooFast)));
}
