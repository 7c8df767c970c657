//! Drives a `Shard` over memory, without a socket, a disk or a clock: inputs go in, effects come out, and nothing that
//! depends on a record leaves before that record is durable. Run it with `cargo run --example drive_shard`.

use mushan::log::MemoryStorage;
use mushan::model::{
    ClientMessageId, Command, DeviceKey, Event, Extra, Limits, Millis, Moment, Policies, Recipient, Reply, RequestTag,
    Send, Seq, SessionId, ShardId, Sizing, Sync, SyncDirection, UserId, Verb,
};
use mushan::shard::{CatchUp, Effect, Input, Placement, Shard, ShardSettings, Upkeep, Windows};

const NO_CHECKPOINTS: &[&[u8]] = &[];
const SEGMENT_BYTES: u32 = 1 << 20;
const ALICE: SessionId = SessionId(1);
const BOB: SessionId = SessionId(2);

fn user(id: &str) -> UserId {
    UserId::new(id).expect("a well-formed id")
}

fn settings() -> ShardSettings {
    ShardSettings {
        me: ShardId(0),
        placement: Placement::new(1),
        limits: Limits::default(),
        policies: Policies::default(),
        windows: Windows::default(),
        upkeep: Upkeep::default(),
        seed: 1,
        fingerprint_seed: 2,
    }
}

/// A shard with what its driver keeps for it: the clock, and a place for effects.
struct Driver {
    shard: Shard<MemoryStorage>,
    now: Moment,
}

impl Driver {
    fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.shard.handle(self.now, input, &mut effects);
        effects
    }

    fn open(&mut self, session: SessionId, id: &str) -> Vec<Effect> {
        let device = DeviceKey { flag: 0, id: "example".into() };
        let tag = RequestTag::Sequence(0, Verb::Send);
        let (catch_up, sizing) = (CatchUp::Sync, Sizing::Verbatim);
        self.handle(Input::Opened { session, tag, user: user(id), device, catch_up, sizing })
    }

    fn request(&mut self, session: SessionId, command: Command) -> Vec<Effect> {
        let tag = RequestTag::Sequence(1, command.verb());
        self.handle(Input::Requested { session, tag, command })
    }

    /// Makes what somebody waits for durable, and tells the shard so.
    fn sync(&mut self) -> Vec<Effect> {
        let Some(batch) = self.shard.seal() else { return Vec::new() };
        self.shard.storage_mut().sync(batch);
        self.handle(Input::Synced { end: batch.to })
    }
}

pub fn main() {
    let now = Moment::told(Millis(1_700_000_000_000));
    let storage = MemoryStorage::new(SEGMENT_BYTES, 8);
    let (shard, _checkpoints) = Shard::open(settings(), storage, NO_CHECKPOINTS, now).expect("an empty log opens");
    let mut driver = Driver { shard, now };

    // 1. Once, before any input: the greetings for the other shards, of which there are none here.
    let mut effects = Vec::new();
    driver.shard.start(&mut effects);
    assert!(effects.is_empty() && driver.shard.is_ready());

    // 2. Sessions of users whom this shard owns.
    for (session, id) in [(ALICE, "alice"), (BOB, "bob")] {
        let effects = driver.open(session, id);
        assert!(matches!(&effects[..], [Effect::Reply { reply: Reply::Welcome { max_seq: Seq(0) }, .. }]));
    }

    // 3. A send appends a record. Its reply and its push wait until the record is durable.
    let effects = driver.request(
        ALICE,
        Command::Send(Send {
            client_message_id: ClientMessageId::new("c-1").expect("a well-formed id"),
            recipient: Recipient::User(user("bob")),
            conversation_name: None,
            message_type: 1,
            content: "hello".into(),
            send_time: 0,
            extra: Extra::default(),
            annotations: None,
        }),
    );
    assert!(effects.is_empty() && driver.shard.awaits_log());
    let effects = driver.sync();
    assert!(!driver.shard.awaits_log());
    for effect in &effects {
        match effect {
            Effect::Reply { session, reply, .. } => println!("reply to {session}: {reply:?}"),
            Effect::Push { sessions, event, .. } => println!("push to {sessions:?}: {event:?}"),
            other => println!("{other:?}"),
        }
    }
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Push { event: Event::Entry(_), .. })));

    // 4. A sync reads the inbox from the log and waits for nothing.
    let effects = driver.request(BOB, Command::Sync(Sync { direction: SyncDirection::After(Seq(0)), limit: 10 }));
    let [Effect::Reply { reply: Reply::Synced { entries, .. }, .. }] = &effects[..] else { panic!("one page") };
    println!("bob's inbox: {entries:?}");
    assert_eq!(entries.len(), 1);
}
