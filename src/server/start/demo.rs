//! The chat page of `mushan serve --demo`, and the tokens with which it logs in.
//!
//! Invariants: without the flag there is no page and no token; the page speaks for a few fixed people only.

use crate::model::{Millis, UserId};
use crate::server::auth::secret::Secret;
use crate::server::config::options::DemoAccess;
use crate::wire::{PageContent, PageHosts, PageSet};
use serde_json::json;

/// Where the page is.
pub const DEMO_PATH: &str = "/chat";
/// Whom the page can log in.
pub const DEMO_PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// The group that they are in; the first of them owns it.
pub const DEMO_GROUP: &str = "team";

/// How long the tokens of a start are valid.
const VALID_MS: u64 = 7 * 24 * 3_600 * 1_000;

const HTML: &[u8] = include_bytes!("../../../web/chat/dist/index.html");
const SCRIPT: &[u8] = include_bytes!("../../../web/chat/dist/app.js");
const STYLE: &[u8] = include_bytes!("../../../web/chat/dist/app.css");

/// What browsers are shown: nothing without `--demo`.
pub fn pages(demo: DemoAccess, secret: &Secret, now: Millis) -> PageSet {
    let hosts = match demo {
        DemoAccess::Off => return PageSet::default(),
        DemoAccess::Loopback => PageHosts::Loopback,
        DemoAccess::Anybody => PageHosts::Any,
    };
    let people = people(secret, now);
    let contents = [
        PageContent { path: DEMO_PATH, media_type: "text/html; charset=utf-8", body: HTML },
        PageContent { path: "/chat/app.js", media_type: "text/javascript; charset=utf-8", body: SCRIPT },
        PageContent { path: "/chat/app.css", media_type: "text/css; charset=utf-8", body: STYLE },
        PageContent { path: "/chat/people.json", media_type: "application/json", body: people.as_bytes() },
    ];
    PageSet::new(hosts, &contents)
}

/// The people of the page with their tokens.
fn people(secret: &Secret, now: Millis) -> String {
    let person = |name: &str| {
        let user = UserId::new(name).expect("a name of DEMO_PEOPLE is a user id");
        json!({ "user": name, "token": secret.mint(&user, None, now, now.plus(VALID_MS)) })
    };
    json!({ "people": DEMO_PEOPLE.map(person), "group": DEMO_GROUP }).to_string()
}
