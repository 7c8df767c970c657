//! `[[webhooks]]`: tables of the configuration file, one for each receiver of events.

use crate::model::{GroupId, UserId};
use crate::server::base::error::ConfigurationError;
use crate::server::base::files;
use crate::server::event::filter::EventFilter;
use crate::server::event::types::event_type;
use crate::server::outbound::addresses::AddressPolicy;
use crate::server::outbound::endpoint::Endpoint;
use crate::server::outbound::signature::SigningSecret;
use figment::value::Value;
use serde::Deserialize;
use std::path::PathBuf;

/// The key under which the tables stand.
pub(super) const KEY: &str = "webhooks";
/// The most receivers.
const WEBHOOKS_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 32;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// One receiver of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookOptions {
    /// Names the receiver, and its files in the data directory.
    pub name: String,
    pub url: Endpoint,
    pub addresses: AddressPolicy,
    pub filter: EventFilter,
    pub secret_file: PathBuf,
    pub begin: WebhookBegin,
    pub numbers: WebhookNumbers,
}

/// Where a receiver begins that has no cursor, or whose cursor cannot be followed any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookBegin {
    /// With everything that retention has left: nothing is missed, and old events come, too.
    #[default]
    Oldest,
    /// With what is written from now on.
    Now,
}

/// The bounds of one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookNumbers {
    /// The most events of one request.
    pub batch_events_max: u64,
    /// Bytes of events after which a request is full; a single event may be larger.
    pub batch_bytes_max: u64,
    /// How long the first event of a request waits for more.
    pub linger_ms: u64,
    /// How long a request may take, the answer included.
    pub timeout_ms: u64,
    /// How long a request is tried again before its events become dead letters.
    pub age_max_ms: u64,
    /// The most bytes of dead letters; what comes when they are full is dropped.
    pub dead_letter_bytes_max: u64,
}

impl Default for WebhookNumbers {
    fn default() -> Self {
        Self {
            batch_events_max: 100,
            batch_bytes_max: 256 * KIB,
            linger_ms: 100,
            timeout_ms: 10_000,
            age_max_ms: DAY_MS,
            dead_letter_bytes_max: 16 * MIB,
        }
    }
}

/// A table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookTable {
    name: String,
    url: String,
    secret_file: PathBuf,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    addresses: WebhookAddresses,
    #[serde(default)]
    begin: WebhookBegin,
    batch_events_max: Option<u64>,
    batch_bytes_max: Option<u64>,
    linger_ms: Option<u64>,
    timeout_ms: Option<u64>,
    age_max_ms: Option<u64>,
    dead_letter_bytes_max: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WebhookAddresses {
    #[default]
    Public,
    Any,
}

/// One number of a table: its name, its value if there is one, its least and its most, and its place.
type NumberRow<'a> = (&'static str, Option<u64>, [u64; 2], &'a mut u64);

/// The receivers of a file's tables. What is wrong is added to `problems`, a sentence each.
pub(super) fn webhooks_of(value: &Value, problems: &mut Vec<String>) -> Vec<WebhookOptions> {
    let Value::Array(_, tables) = value else {
        problems.push("webhooks is a list of tables: each begins with a line [[webhooks]]".to_owned());
        return Vec::new();
    };
    let mut found: Vec<WebhookOptions> = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        let name = table.find_ref("name").and_then(Value::as_str).map_or_else(|| at.to_string(), str::to_owned);
        match table.deserialize::<WebhookTable>() {
            Ok(table) => {
                let mut faults = Vec::new();
                if found.iter().any(|other| other.name == table.name) {
                    faults.push("has the name of another webhook".to_owned());
                }
                found.extend(table.checked(&mut faults));
                problems.extend(faults.into_iter().map(|fault| format!("webhooks.{name} {fault}")));
            }
            Err(error) => {
                let place: String = error.path.iter().map(|part| format!("{part} ")).collect();
                problems.push(format!("webhooks.{name} {place}is not as it should be: {}", error.kind));
            }
        }
    }
    if found.len() > WEBHOOKS_MAX {
        problems.push(format!("webhooks are {}, more than {WEBHOOKS_MAX}", found.len()));
    }
    found
}

impl WebhookTable {
    /// `None` without a sound URL; other faults only tell of themselves.
    fn checked(self, faults: &mut Vec<String>) -> Option<WebhookOptions> {
        let is_name = !self.name.is_empty()
            && self.name.len() <= NAME_BYTES_MAX
            && self.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !is_name {
            faults.push(format!("has a name that is not 1 to {NAME_BYTES_MAX} small letters, digits and hyphens"));
        }
        let addresses = match self.addresses {
            WebhookAddresses::Public => AddressPolicy::Public,
            WebhookAddresses::Any => AddressPolicy::Any,
        };
        let numbers = self.numbers(faults);
        let filter = self.filter(faults);
        let url = Endpoint::parse(&self.url, addresses).map_err(|fault| faults.push(format!("url {fault}"))).ok()?;
        let Self { name, secret_file, begin, .. } = self;
        Some(WebhookOptions { name, url, addresses, filter, secret_file, begin, numbers })
    }

    fn numbers(&self, faults: &mut Vec<String>) -> WebhookNumbers {
        let mut numbers = WebhookNumbers::default();
        let rows: [NumberRow<'_>; 6] = [
            ("batch_events_max", self.batch_events_max, [1, 10_000], &mut numbers.batch_events_max),
            ("batch_bytes_max", self.batch_bytes_max, [KIB, 16 * MIB], &mut numbers.batch_bytes_max),
            ("linger_ms", self.linger_ms, [0, MINUTE_MS], &mut numbers.linger_ms),
            ("timeout_ms", self.timeout_ms, [100, 10 * MINUTE_MS], &mut numbers.timeout_ms),
            ("age_max_ms", self.age_max_ms, [0, 30 * DAY_MS], &mut numbers.age_max_ms),
            ("dead_letter_bytes_max", self.dead_letter_bytes_max, [0, KIB * MIB], &mut numbers.dead_letter_bytes_max),
        ];
        for (name, value, [least, most], place) in rows {
            match value {
                Some(value) if (least..=most).contains(&value) => *place = value,
                Some(value) => faults.push(format!("{name} = {value} is out of range, {least} to {most}")),
                None => {}
            }
        }
        numbers
    }

    fn filter(&self, faults: &mut Vec<String>) -> EventFilter {
        let mut filter = EventFilter::default();
        for name in &self.events {
            match event_type(name) {
                Ok(known) => filter.types.push(known),
                Err(fault) => faults.push(format!("events: {fault}")),
            }
        }
        for name in &self.users {
            match UserId::new(name) {
                Ok(user) => filter.users.push(user),
                Err(error) => faults.push(format!("users: {name:?} {error}")),
            }
        }
        for name in &self.groups {
            match GroupId::new(name) {
                Ok(group) => filter.groups.push(group),
                Err(error) => faults.push(format!("groups: {name:?} {error}")),
            }
        }
        filter
    }
}

impl WebhookOptions {
    /// The secret that signs requests.
    ///
    /// # Errors
    ///
    /// The file cannot be used, or users beyond its owner and its group can.
    pub fn secret(&self) -> Result<SigningSecret, ConfigurationError> {
        let path = &self.secret_file;
        let wrong =
            |fault: String| ConfigurationError::Settings(vec![format!("webhooks.{} secret_file {fault}", self.name)]);
        let secret = SigningSecret::load(path).map_err(wrong)?;
        match files::is_open_to_others(path) {
            Ok(false) => Ok(secret),
            Ok(true) => Err(wrong(format!(
                "{}: other users can read or write it; take that from them with chmod o=",
                path.display()
            ))),
            Err(error) => Err(wrong(format!("{}: its mode cannot be read: {error}", path.display()))),
        }
    }

    /// The table in force, as it would stand in a configuration file.
    pub fn lines(&self) -> Vec<String> {
        let text = |text: &str| toml::Value::from(text).to_string();
        let list = |texts: Vec<&str>| toml::Value::from(texts).to_string();
        let (filter, numbers) = (&self.filter, &self.numbers);
        let begin = match self.begin {
            WebhookBegin::Oldest => "oldest",
            WebhookBegin::Now => "now",
        };
        let addresses = match self.addresses {
            AddressPolicy::Public => "public",
            AddressPolicy::Any => "any",
        };
        let rows = [
            ("name", text(&self.name)),
            ("url", text(&self.url.to_string())),
            ("secret_file", text(&self.secret_file.display().to_string())),
            ("events", list(filter.types.clone())),
            ("users", list(filter.users.iter().map(UserId::as_str).collect())),
            ("groups", list(filter.groups.iter().map(GroupId::as_str).collect())),
            ("addresses", text(addresses)),
            ("begin", text(begin)),
            ("batch_events_max", numbers.batch_events_max.to_string()),
            ("batch_bytes_max", numbers.batch_bytes_max.to_string()),
            ("linger_ms", numbers.linger_ms.to_string()),
            ("timeout_ms", numbers.timeout_ms.to_string()),
            ("age_max_ms", numbers.age_max_ms.to_string()),
            ("dead_letter_bytes_max", numbers.dead_letter_bytes_max.to_string()),
        ];
        let rows = rows.into_iter().map(|(key, value)| format!("{key} = {value}"));
        std::iter::once("[[webhooks]]".to_owned()).chain(rows).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use figment::Figment;
    use figment::providers::{Format, Toml};

    fn read(text: &str) -> (Vec<WebhookOptions>, Vec<String>) {
        let value = Figment::from(Toml::string(text)).find_value(KEY).expect("there are tables");
        let mut problems = Vec::new();
        (webhooks_of(&value, &mut problems), problems)
    }

    const SOUND: &str = "[[webhooks]]\nname = \"orders\"\nurl = \"https://example.com/hook\"\nsecret_file = \"s\"\n";

    #[test]
    fn a_table_is_read_and_shown_as_one_that_is_read_alike() {
        let (found, problems) = read(&format!(
            "{SOUND}events = [\"message.created\"]\ngroups = [\"team\"]\nbegin = \"now\"\ntimeout_ms = 500\n"
        ));
        assert_eq!(problems, Vec::<String>::new());
        let [hook] = &found[..] else { panic!("{found:?}") };
        assert_eq!((hook.numbers.timeout_ms, hook.numbers.linger_ms, hook.begin), (500, 100, WebhookBegin::Now));
        assert_eq!(read(&hook.lines().join("\n")), (found.clone(), Vec::new()));
    }

    #[test]
    fn every_fault_is_told_with_the_name_of_its_webhook() {
        for (more, told) in [
            ("timeout_ms = 1\n", "webhooks.orders timeout_ms = 1 is out of range, 100 to 600000"),
            ("events = [\"weather\"]\n", "webhooks.orders events: \"weather\" is no event; there are message.created"),
            ("users = [\"\"]\n", "webhooks.orders users: \"\" is empty"),
            ("timeout = 1\n", "unknown field: found `timeout`"),
            ("timeout_ms = \"1\"\n", "webhooks.orders timeout_ms is not as it should be"),
            ("begin = \"middle\"\n", "webhooks.orders begin is not as it should be"),
            (SOUND, "webhooks.orders has the name of another webhook"),
        ] {
            let (_, problems) = read(&format!("{SOUND}{more}"));
            assert!(problems.len() == 1 && problems[0].contains(told), "{more}: {problems:?}");
        }
        for (from, to, told) in [
            ("https://example.com", "http://example.com", "use https"),
            ("https://example.com", "https://10.0.0.1", "private"),
            ("orders", "Orders", "small letters"),
            ("orders", "a/b", "small letters"),
            ("name = \"orders\"\n", "", "missing field `name`"),
        ] {
            let (_, problems) = read(&SOUND.replace(from, to));
            assert!(problems.len() == 1 && problems[0].contains(told), "{to}: {problems:?}");
        }
        assert_eq!(read("webhooks = 7\n").1.len(), 1);
        assert!(read(&format!("{}addresses = \"any\"\n", SOUND.replace("example.com", "10.0.0.1"))).1.is_empty());
    }
}
