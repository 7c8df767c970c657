//! The golden vectors of devices that push services wake, in both protocols and both directions.

use crate::client::*;
use crate::vectors::Vectors;
use mushan::model::{
    Command, GivenToken, PushChange, PushDevice, PushRegistration, PushSettings, PushToken, QuietHours, Reply,
    RequestTag,
};
use mushan::wire::Incoming;

fn registration() -> PushRegistration {
    let given = GivenToken { provider: "fcm", token: "secret-token", p256dh: "", auth: "" };
    let quiet = QuietHours::new(1_320, 420, 120).expect("well formed");
    PushRegistration {
        token: PushToken::new(given).expect("well formed"),
        settings: PushSettings::new("de", true, Some(quiet)).expect("well formed"),
    }
}

fn register() -> Command {
    let PushRegistration { token, settings } = registration();
    Command::RegisterDevice(Box::new(PushChange { device: "phone".into(), token: Some(token), settings }))
}

fn devices() -> Reply {
    Reply::Devices(vec![PushDevice { id: "phone".into(), registration: registration() }])
}

#[test]
fn devices_in_binary_are_as_the_contract_has_them() {
    // "device register request", "device register response", "device unregister request",
    // "device unregister response", "devices request", "devices response"
    let vectors = Vectors::binary();
    for (what, sequence, command, reply) in [
        ("device register", 23, register(), Reply::Done),
        ("device unregister", 24, Command::UnregisterDevice("phone".into()), Reply::Done),
        ("devices", 25, Command::ShowDevices, devices()),
    ] {
        let (mut client, _, _) = Client::welcomed("/ws", &vectors.one("auth request"));
        let named = |kind: &str| vectors.one(&format!("{what} {kind}"));
        let tag = RequestTag::Sequence(sequence, command.verb());
        let expected = Some(Incoming::Request { tag: tag.clone(), command });
        assert_eq!(client.say(&named("request")), expected, "{what}");
        client.reply(&tag, &reply);
        assert_eq!(client.heard(), [named("response")], "{what}");
    }
}

#[test]
fn devices_in_json_rpc_are_as_the_contract_has_them() {
    // "register device request", "unregister device request", "devices request", "devices response"
    let vectors = Vectors::json_rpc();
    for (what, command, reply) in [
        ("register device", register(), None),
        ("unregister device", Command::UnregisterDevice("phone".into()), None),
        ("devices", Command::ShowDevices, Some(devices())),
    ] {
        expect_exchange(&vectors, what, command, reply);
    }
}
