//! What a client asks of the devices that push services wake, in both protocols, and what it is told of them.

use crate::chance::Chance;
use crate::check::devices::{Device, DeviceWish};
use crate::check::hidden::When;
use crate::check::ledger::Ledger;
use crate::client::json::text;
use crate::client::speech::{Ask, No, Told};
use crate::client::{Client, Expectation};
use mushan::model::Refusal;
use mushan::wire::proto;
use prost::Message as _;
use serde_json::{Value, json};

pub fn method(wish: &DeviceWish) -> (&'static str, Value) {
    match wish {
        DeviceWish::Register { id, token: Some(token), locale } => {
            ("registerDevice", json!({"deviceId": id, "provider": "fcm", "token": token, "locale": locale}))
        }
        DeviceWish::Register { id, token: None, locale } => {
            ("registerDevice", json!({"deviceId": id, "locale": locale}))
        }
        DeviceWish::Unregister { id } => ("unregisterDevice", json!({"deviceId": id})),
        DeviceWish::List => ("devices", json!({})),
    }
}

pub fn request(wish: DeviceWish) -> (i32, Vec<u8>) {
    match wish {
        DeviceWish::Register { id: device_id, token, locale } => {
            let provider = token.as_ref().map_or("", |_| "fcm").to_owned();
            let token = token.unwrap_or_default();
            let request = proto::DeviceRegisterRequest { device_id, provider, token, locale, ..Default::default() };
            (750, request.encode_to_vec())
        }
        DeviceWish::Unregister { id: device_id } => (752, proto::DeviceUnregisterRequest { device_id }.encode_to_vec()),
        DeviceWish::List => (754, proto::DevicesRequest {}.encode_to_vec()),
    }
}

pub fn told_in_json(devices: &[Value]) -> Told {
    Told::Devices(devices.iter().map(|it| (text(it, "deviceId"), text(it, "locale"))).collect())
}

pub fn told_in_binary(answer: proto::DevicesResponse) -> Told {
    Told::Devices(answer.devices.into_iter().map(|it| (it.device_id, it.locale)).collect())
}

fn wish(chance: &mut Chance) -> DeviceWish {
    let id = format!("phone-{}", chance.below(40));
    let locale = (*chance.pick(&["en", "de-AT"])).to_owned();
    match chance.below(8) {
        0..5 => DeviceWish::Register { id, token: Some(format!("token-{}", chance.below(60))), locale },
        5 => DeviceWish::Register { id, token: None, locale },
        6 if chance.one_in(2) => DeviceWish::Unregister { id },
        _ => DeviceWish::List,
    }
}

impl Client {
    pub fn ask_of_devices(&mut self, chance: &mut Chance) -> Vec<u8> {
        let wish = wish(chance);
        self.ask(&Ask::Devices(wish.clone()), Expectation::Devices(wish), chance)
    }

    pub fn told_of_devices(&self, wish: &DeviceWish, since: When, told: Told, ledger: &mut Ledger) {
        let (user, devices) = (&self.user, &mut ledger.devices);
        match told {
            Told::Done => devices.check_done(user, wish, since.step),
            Told::Devices(shown) => {
                let is_it =
                    |of: &[Device]| of.iter().map(|it| (&it.id, &it.locale)).eq(shown.iter().map(|it| (&it.0, &it.1)));
                devices.check_shown(user, since.step, is_it);
            }
            Told::Refused(No::Trouble | No::Busy) => return,
            Told::Refused(No::Invalid) => devices.check_refused(user, wish, since.step, Refusal::InvalidParam),
            told => panic!("{wish:?} was answered by {told:?}"),
        }
        ledger.count("answers about push devices");
    }
}
