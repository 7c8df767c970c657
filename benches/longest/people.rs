//! Users of other shards: who is known, who is blocked, profiles, tokens, and what a shard without room says.

use crate::common::is_smoke;
use crate::stage::{Choices, Stage, to_user, user, with};
use crate::{Book, Scene};
use mushan::model::{
    BlockState, Clear, ClearExtent, Command, Directory, Extra, GivenToken, MarkRead, Order, Policies, Presence,
    PresenceAction, Profile, PushChange, PushSettings, PushToken, Receipt, Revoke, SessionId, ShardId, Typing, UserId,
};
use mushan::shard::{CatchUp, Input, ShardMessage};

pub const SCENES: &[Scene] = &[
    ("people in a directory", directory),
    ("people who are blocked", blocked),
    ("people and what they show", profiles),
    ("people and their devices", devices),
    ("people of another shard", across),
];

const ALICE: &str = "alice";

/// Users by whose names the conversation with Alice belongs to the shard where they are not.
fn others(stage: &Stage, count: usize) -> Vec<String> {
    let names = (0..).map(|n| format!("somebody-{n}"));
    names.filter(|name| stage.home(name) != stage.home(ALICE)).take(count).collect()
}

/// Very much waits until a shard has said that the recipient is known.
fn directory(book: &mut Book) {
    let policies = Policies { directory: Directory::Closed, ..Policies::default() };
    let mut stage = Stage::chosen(2, Choices { policies, ..Choices::default() });
    let bob = others(&stage, 1).remove(0);
    for id in [ALICE, &bob] {
        stage.order(Order::KnowUser { user: user(id) });
    }
    let alice = stage.open(ALICE, CatchUp::Sync);
    stage.settle();
    let many = if is_smoke() { 500 } else { 4_000 };
    book.measure("very much waits for the directory", &mut stage, |stage| {
        (0..many).for_each(|n| stage.request(alice, ALICE, to_user(&n.to_string(), &bob, 512)));
        stage.settle();
    });
    let session = stage.open(&bob, CatchUp::Sync);
    stage.settle();
    book.measure("very much waits for a stranger", &mut stage, |stage| {
        (0..many).for_each(|n| stage.request(session, &bob, to_user(&n.to_string(), "stranger", 512)));
        stage.settle();
    });
}

fn watch(users: Vec<UserId>) -> Command {
    Command::Presence(Presence { action: PresenceAction::Subscribe, users })
}

/// One whom very many watch blocks them.
fn blocked(book: &mut Book) {
    let mut stage = Stage::new(2);
    let names = others(&stage, if is_smoke() { 500 } else { 2_000 });
    for name in &names {
        let session = stage.open(name, CatchUp::Sync);
        stage.settle();
        stage.request(session, name, watch(vec![user(ALICE)]));
        stage.settle();
    }
    book.measure("very many who watch are blocked", &mut stage, |stage| {
        for name in &names {
            let (by, other) = (user(ALICE), user(name));
            stage.begin_order(Order::Block { by, other, state: BlockState::Blocked });
        }
        stage.settle();
    });
}

fn profiles(book: &mut Book) {
    let mut stage = Stage::new(2);
    let bob = others(&stage, 1).remove(0);
    let sessions = [ALICE, &bob].map(|id| (stage.open(id, CatchUp::Sync), id.to_owned()));
    stage.settle();
    let attributes = Extra::new(vec![("k".into(), "v".repeat(4_000).into())]);
    let profile = Profile { name: "n".repeat(256).into(), avatar: "a".repeat(1 << 10).into(), attributes };
    let [(alice, _), (bobs, _)] = &sessions;
    book.measure("set the largest profile", &mut stage, |stage| {
        stage.request(*alice, ALICE, Command::SetProfile(Box::new(profile)));
        stage.settle();
    });
    book.measure("read it from another shard", &mut stage, |stage| {
        stage.request(*bobs, &bob, Command::ShowProfile(user(ALICE)));
        stage.settle();
    });
    book.measure("a fresh token", &mut stage, |stage| {
        stage.request(*alice, ALICE, Command::Reauthenticate);
        stage.settle();
    });
}

/// The largest registrations with push services, and the unread messages of very many conversations.
fn devices(book: &mut Book) {
    let mut stage = Stage::new(1);
    for n in 0..if is_smoke() { 2_000 } else { 20_000 } {
        stage.say_once(&format!("peer-{n}"), to_user("hello", ALICE, 1));
        if n % 64 == 0 {
            stage.settle();
        }
    }
    let alice = stage.open(ALICE, CatchUp::Sync);
    stage.settle();
    let id = |n: usize| format!("{n:0width$}", width = PushChange::DEVICE_BYTES_MAX);
    let change = |n: usize| {
        let token = format!("{n:0width$}", width = PushToken::BYTES_MAX);
        let token = PushToken::new(GivenToken { provider: "fcm", token: &token, p256dh: "", auth: "" });
        let token = Some(token.expect("well formed"));
        Box::new(PushChange { device: id(n).into(), token, settings: PushSettings::default() })
    };
    let user = user(ALICE);
    book.measure("register 17 of the largest devices", &mut stage, |stage| {
        for n in 0..=PushChange::DEVICES_MAX {
            stage.request(alice, ALICE, Command::RegisterDevice(change(n)));
            stage.settle();
        }
    });
    book.measure("devices, and orders about them", &mut stage, |stage| {
        stage.request(alice, ALICE, Command::ShowDevices);
        stage.settle();
        stage.request(alice, ALICE, Command::UnregisterDevice(id(3).into()));
        stage.settle();
        stage.order(Order::RegisterDevice { user: user.clone(), change: change(99) });
        stage.order(Order::UnregisterDevice { user: user.clone(), device: id(99).into(), only: None });
    });
    book.measure("devices and unread messages of very many", &mut stage, |stage| {
        stage.order(Order::ShowDevices { user });
    });
}

/// What two users of two shards ask of the shard that owns their conversation, in either direction.
fn across(book: &mut Book) {
    let mut stage = Stage::new(2);
    let bob = others(&stage, 1).remove(0);
    let ids = [ALICE, &bob];
    let sessions: Vec<SessionId> = ids.iter().map(|id| stage.open(id, CatchUp::Sync)).collect();
    stage.settle();
    let mut sent = Vec::new();
    for n in 0..if is_smoke() { 2_000 } else { 20_000 } {
        let (me, peer) = (n % 2, 1 - n % 2);
        stage.request(sessions[me], ids[me], to_user(&n.to_string(), ids[peer], 1));
        if n % 64 == 0 {
            stage.settle();
        }
    }
    stage.settle();
    sent.append(&mut stage.sent);
    for (me, name) in [(0, "requests of one side to the other's shard"), (1, "requests of the other side")] {
        let (session, id, peer) = (sessions[me], ids[me], ids[1 - me]);
        book.measure(name, &mut stage, |stage| {
            let conversation = || with(peer);
            let messages = sent.iter().step_by(sent.len() / 100).copied().take(100).collect();
            for command in [
                Command::Receipt(Receipt { messages, conversation: conversation() }),
                Command::Typing(Typing { conversation: conversation(), status: 1 }),
                Command::MarkRead(MarkRead {
                    conversation: conversation(),
                    through: mushan::model::ConversationSeq(9),
                }),
                Command::Clear(Clear {
                    conversation: conversation(),
                    through: mushan::model::ConversationSeq(9),
                    extent: ClearExtent::History,
                }),
                Command::Revoke(Revoke { message: sent[me], conversation: conversation() }),
                Command::Revoke(Revoke { message: sent[me + 1], conversation: conversation() }),
            ] {
                stage.request(session, id, command);
                stage.settle();
            }
        });
    }
    book.measure("a shard has no room for a window of deliveries", &mut stage, |stage| {
        for n in 0..2_000 {
            let (me, peer) = (n % 2, 1 - n % 2);
            stage.request(sessions[me], ids[me], to_user(&format!("more-{n}"), ids[peer], 1));
        }
        while stage.deliver_next() {}
        for me in [0, 1].map(ShardId) {
            stage.handle(me, Input::Arrived { from: ShardId(1 - me.0), shard_message: ShardMessage::NoRoom });
            stage.tick_all();
        }
        stage.settle();
    });
}
