//! Nobody is answered before the record of what the answer says is durable, and nobody is shown what a crash could take back.

use crate::model::{
    Answer, BlockState, Clear, ClearExtent, Command, ConversationSeq, GivenToken, History, HistoryDirection, Order,
    Profile, PushChange, PushSettings, PushToken, Recipient, Reply, Seq, ShardId, Sync, SyncDirection,
};
use crate::shard::testing::fixtures::*;
use crate::shard::*;

fn change(token: &str) -> Box<PushChange> {
    let token = PushToken::new(GivenToken { provider: "fcm", token, p256dh: "", auth: "" }).expect("well formed");
    let settings = PushSettings::new("en", false, None).expect("well formed");
    Box::new(PushChange { device: "phone".into(), token: Some(token), settings })
}

fn profile(name: &str) -> Box<Profile> {
    Box::new(Profile { name: name.into(), ..Profile::default() })
}

fn clear(through: u64, extent: ClearExtent) -> Command {
    Command::Clear(Clear { conversation: with(ALICE), through: ConversationSeq(through), extent })
}

/// Alice has written to Bob, who has two sessions, 1 and 2. Alice decides about the conversation.
fn written(shards: u16) -> Cluster {
    let mut cluster = Cluster::new(shards, Windows::default());
    for id in ["one", "two", "three"] {
        cluster.say(ALICE, id, Recipient::User(user(BOB)));
    }
    cluster.connect(1, BOB);
    cluster.connect(2, BOB);
    cluster.outputs();
    cluster
}

fn answers(cluster: &mut Cluster) -> Vec<Answer> {
    let answer = |effect| match effect {
        Effect::External(ExternalEffect::Answer { answer, .. }) => Some(answer),
        _ => None,
    };
    cluster.outputs().into_iter().filter_map(answer).collect()
}

#[test]
fn no_request_is_answered_before_its_record_is_durable() {
    for shards in 1..=2 {
        let mut cluster = written(shards);
        for command in [
            Command::RegisterDevice(change("one")),
            Command::RegisterDevice(change("two")),
            Command::UnregisterDevice("phone".into()),
            Command::SetProfile(profile("Bob")),
            clear(1, ClearExtent::History),
            clear(3, ClearExtent::History),
            clear(0, ClearExtent::Conversation),
        ] {
            let what = format!("{command:?} with {shards} shards");
            cluster.request(1, BOB, command);
            cluster.carry_lanes();
            assert_eq!(cluster.replies(), [], "{what}");
            cluster.settle();
            assert_eq!(cluster.replies(), [(1, Reply::Done)], "{what}");
        }
    }
}

#[test]
fn no_order_is_answered_before_its_record_is_durable() {
    for shards in 1..=2_u16 {
        let mut cluster = written(shards);
        let erasures = (0..shards).map(|shard| Order::EraseUser { shard: ShardId(shard), user: user(BOB) });
        let orders = [
            Order::RegisterDevice { user: user(BOB), change: change("one") },
            Order::UnregisterDevice { user: user(BOB), device: "phone".into(), only: None },
            Order::SetProfile { user: user(BOB), profile: profile("Bob") },
            Order::KnowUser { user: user("carol") },
            Order::Block { by: user(ALICE), other: user("carol"), state: BlockState::Blocked },
            create("g", ALICE, &[BOB]),
        ];
        for order in orders.into_iter().chain(erasures) {
            let (at, what) = (cluster.addressee(&order), format!("{order:?} with {shards} shards"));
            cluster.input(at, Input::Ordered { ticket: Ticket(1_000), order });
            cluster.carry_lanes();
            assert_eq!(answers(&mut cluster), [], "{what}");
            cluster.settle();
            assert_eq!(answers(&mut cluster), [Answer::Done], "{what}");
        }
    }
}

#[test]
fn what_an_erasure_or_a_clearing_takes_from_a_page_waits_until_that_is_durable() {
    let after = |conversation| History {
        conversation,
        direction: HistoryDirection::After(ConversationSeq(0)),
        limit: 10,
        topic: None,
    };
    let pages = || {
        let sync = Command::Sync(Sync { direction: SyncDirection::After(Seq(0)), limit: 2 });
        [sync, Command::History(after(with(ALICE)))]
    };
    for page in pages() {
        let mut cluster = written(1);
        let order = Order::EraseUser { shard: ShardId(0), user: user(ALICE) };
        cluster.input(0, Input::Ordered { ticket: Ticket(1_000), order });
        cluster.request(1, BOB, page.clone());
        assert_eq!(cluster.replies(), [], "{page:?} behind an erasure");
        cluster.settle();
        assert_eq!(cluster.replies().len(), 1);

        let mut cluster = written(1);
        cluster.request(1, BOB, clear(2, ClearExtent::History));
        cluster.request(2, BOB, page.clone());
        assert_eq!(cluster.replies(), [], "{page:?} behind a clearing");
        cluster.settle();
        assert_eq!(cluster.replies().len(), 2);
    }
}
