//! Devices that are woken, at the shards: who changes them, and what is left after a start, a checkpoint and an erasure.

use crate::model::{
    Answer, Command, GivenToken, Order, PushChange, PushSettings, PushToken, QuietHours, Refusal, Reply, ShardId,
};
use crate::shard::CatchUp;
use crate::shard::testing::duo::{ALICE, BOB, Duo, message, user};

fn change(device: &str, token: Option<&str>) -> PushChange {
    let made =
        |token| PushToken::new(GivenToken { provider: "fcm", token, p256dh: "", auth: "" }).expect("well formed");
    let quiet = QuietHours::new(1_320, 420, 60).expect("well formed");
    let settings = PushSettings::new("de", false, Some(quiet)).expect("well formed");
    PushChange { device: device.into(), token: token.map(made), settings }
}

fn register(device: &str, token: Option<&str>) -> Command {
    Command::RegisterDevice(Box::new(change(device, token)))
}

fn devices(duo: &mut Duo) -> (Vec<String>, u64) {
    match duo.order(Order::ShowDevices { user: user(BOB) }) {
        Answer::Devices { devices, unread, .. } => (devices.iter().map(|it| it.id.to_string()).collect(), unread),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_user_registers_devices_of_its_own_and_they_outlast_a_start() {
    let mut duo = Duo::new();
    duo.open(1, ALICE, "a", CatchUp::Sync);
    duo.open(2, BOB, "phone", CatchUp::Sync);
    assert_eq!(duo.ask(2, BOB, register("", Some("one"))), Reply::Done, "the session's own device");
    assert_eq!(duo.ask(2, BOB, register("desk", Some("two"))), Reply::Done);
    assert_eq!(duo.ask(2, BOB, register("tablet", None)), Reply::Refused(Refusal::InvalidParam.into()), "no token yet");
    let muted = PushChange { settings: PushSettings::new("en", true, None).expect("fine"), ..change("phone", None) };
    assert_eq!(duo.ask(2, BOB, Command::RegisterDevice(Box::new(muted))), Reply::Done);
    let Reply::Devices(own) = duo.ask(2, BOB, Command::ShowDevices) else { panic!("devices are shown") };
    let shown: Vec<_> = own.iter().map(|it| (&*it.id, it.registration.settings.is_muted)).collect();
    assert_eq!(shown, [("desk", false), ("phone", true)]);
    assert_eq!(own[1].registration.token.address(), "one", "a change without a token leaves it");
    for id in ["one", "two"] {
        assert!(matches!(duo.ask(1, ALICE, message(id, BOB)), Reply::Sent { .. }));
    }
    assert_eq!(duo.ask(2, BOB, Command::UnregisterDevice("desk".into())), Reply::Done);
    assert_eq!(duo.ask(2, BOB, Command::UnregisterDevice("desk".into())), Reply::Done, "twice is once");
    let expected = (vec!["phone".to_owned()], 2);
    assert_eq!(devices(&mut duo), expected);
    let mut duo = duo.restart();
    assert_eq!(devices(&mut duo), expected, "after a start");
}

#[test]
fn a_dead_token_is_removed_only_while_the_device_has_it() {
    let mut duo = Duo::new();
    let ordered = |token: &str| Order::RegisterDevice { user: user(BOB), change: Box::new(change("p", Some(token))) };
    let remove = |only: &str| Order::UnregisterDevice { user: user(BOB), device: "p".into(), only: Some(only.into()) };
    assert_eq!(duo.order(ordered("old")), Answer::Done);
    assert_eq!(duo.order(ordered("old")), Answer::Unchanged);
    assert_eq!(duo.order(ordered("new")), Answer::Done);
    assert_eq!(duo.order(remove("old")), Answer::Unchanged);
    assert_eq!(devices(&mut duo).0, ["p"]);
    assert_eq!(duo.order(remove("new")), Answer::Done);
    assert!(devices(&mut duo).0.is_empty());
}

#[test]
fn an_erased_user_has_no_device_and_gets_none() {
    let mut duo = Duo::new();
    let ordered = || Order::RegisterDevice { user: user(BOB), change: Box::new(change("p", Some("t"))) };
    assert_eq!(duo.order(ordered()), Answer::Done);
    let shard = ShardId(Duo::home(BOB) as u16);
    assert_eq!(duo.order(Order::EraseUser { shard, user: user(BOB) }), Answer::Done);
    for _start in 0..2 {
        assert!(devices(&mut duo).0.is_empty());
        let refused = duo.order(ordered());
        assert!(matches!(&refused, Answer::Refused(it) if it.refusal == Refusal::UserNotExist), "{refused:?}");
        duo = duo.restart();
    }
}
