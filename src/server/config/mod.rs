//! Reads the configuration: profile, then file, then environment, then flags; a later source wins.
//!
//! Invariants: every source is checked completely, and all problems are reported together; a key that is not a setting
//! is refused. `knobs` has the table.

pub(super) mod acme;
mod acme_parsers;
pub(super) mod hook_parsers;
pub(super) mod in_force;
pub(super) mod knob_parsers;
pub(super) mod knobs;
pub(super) mod options;
mod peer_parsers;
mod renamed;
pub(super) mod telemetry;
mod telemetry_parsers;
pub(super) mod tls;
pub(super) mod tls_parsers;
pub(super) mod webhooks;

use crate::server::config::knobs::{KNOBS, Knob};
use crate::server::config::options::Options;
use crate::server::config::webhooks::WebhookOptions;
use crate::wire::TokenAlgorithm;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Num, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The embedded profiles; the first is the default.
pub const PROFILES: [(&str, &str); 5] = [
    ("balanced", include_str!("../../../tuning/balanced.toml")),
    ("dev", include_str!("../../../tuning/dev.toml")),
    ("latency", include_str!("../../../tuning/latency.toml")),
    ("throughput", include_str!("../../../tuning/throughput.toml")),
    ("durable", include_str!("../../../tuning/durable.toml")),
];

/// Bytes of a login beside its token, with a margin.
const LOGIN_BESIDE_TOKEN: usize = 2 << 10;

const ENVIRONMENT_PREFIX: &str = "MUSHAN_";

/// The origin of a value that no source has.
const DEFAULT_ORIGIN: &str = "default";

/// Variables of the project's own build, tests and benchmarks; they configure no server.
const NOT_OURS: [&str; 5] = ["bench_", "commit", "crash_", "sim_", "test_"];

/// The sources of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub profile: Option<String>,
    pub file: Option<PathBuf>,
    /// All variables of the process, or none; those that do not start with `MUSHAN_` are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Knob and value, as typed.
    pub flags: Vec<(&'static str, String)>,
}

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    pub profile: &'static str,
    pub options: Options,
    /// The source of each knob's value, in the order of `KNOBS`.
    origins: Vec<String>,
}

/// All problems of a configuration, one sentence each.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} in the configuration:", counted(.0.len()))]
pub struct Problems(pub Vec<String>);

fn counted(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

#[derive(Clone, Debug)]
enum SettingOrigin {
    Profile(&'static str),
    File(PathBuf),
    Environment,
    Flag,
}

/// One source, flattened: dotted keys and their values.
struct Layer {
    origin: SettingOrigin,
    entries: Vec<(String, Value)>,
}

impl Config {
    pub fn read(sources: &Sources) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut environment = environment_layer(&sources.environment);
        let file = sources.file.clone().or_else(|| take_text(&mut environment, "config").map(PathBuf::from));
        let mut file = file.and_then(|path| file_layer(path, &mut problems));
        let webhooks = file.as_mut().map_or_else(Vec::new, |layer| layer.take_webhooks(&mut problems));
        let in_file = file.as_mut().and_then(|layer| take_text(layer, "profile"));
        let in_environment = take_text(&mut environment, "profile");
        let wanted = sources.profile.clone().or(in_environment).or(in_file);
        let (profile, text) = chosen_profile(wanted.as_deref(), &mut problems);

        let mut layers = vec![toml_layer(SettingOrigin::Profile(profile), text, &mut problems)];
        layers.extend(file);
        layers.push(environment);
        layers.push(flag_layer(&sources.flags));
        let mut figment = Figment::new();
        for layer in &mut layers {
            layer.keep_sound(&mut problems);
            figment = figment.merge(&*layer);
        }
        let (mut options, origins) = effective(&figment);
        options.webhooks = webhooks;
        options.sources.clone_from(&origins);
        problems.extend(options.problems().into_iter().map(|problem| with_origin(&problem, &origins)));
        problems.extend(contradictions(&options));
        if problems.is_empty() { Ok(Self { profile, options, origins }) } else { Err(Problems(problems)) }
    }

    /// Whether no source has this setting.
    pub fn is_default(&self, key: &str) -> bool {
        KNOBS.iter().zip(&self.origins).any(|(knob, origin)| knob.key == key && origin == DEFAULT_ORIGIN)
    }

    /// As TOML: one line for each knob, its value and the source of that value; then the webhooks.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let knobs = KNOBS.iter().zip(&self.origins).map(|(knob, origin)| {
            let assignment = format!("{} = {}", knob.key, knob.shown(&self.options));
            format!("{assignment:<48} # {origin:<18} {}", knob.doc)
        });
        knobs.chain(self.options.webhooks.iter().flat_map(WebhookOptions::lines))
    }
}

/// A knob's meaning, range and value in each profile; `None` if there is no such knob.
pub fn explain(key: &str) -> Option<String> {
    let knob = Knob::named(key)?;
    let range = knob.range().map_or_else(String::new, |(least, most)| format!("\nrange     {least} to {most}"));
    let values = PROFILES.iter().map(|(name, _)| {
        let config = Config::read(&Sources { profile: Some((*name).to_owned()), ..Sources::default() });
        let value = config.map_or_else(|_| "?".to_owned(), |config| knob.shown(&config.options));
        format!("\n{name:<10} {value}")
    });
    let why = reason(key).map_or_else(String::new, |why| format!("\nwhy       {why}"));
    Some(format!("{key}: {}{why}{range}{}", knob.doc, values.collect::<String>()))
}

/// The reason for a knob's value from the tables of tuning/README.md: the second cell of the row whose first cell names
/// the knob.
fn reason(key: &str) -> Option<String> {
    let rows = include_str!("../../../tuning/README.md").lines().filter_map(|line| {
        let (names, why) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        (!why.contains(" | ")).then_some((names, why))
    });
    let rows: Vec<_> = rows.collect();
    let named = |is_meant: fn(&str, &str) -> bool| {
        let is_of = |names: &str| names.split('`').skip(1).step_by(2).any(|name| is_meant(name, key));
        rows.iter().find(|(names, _)| is_of(names)).map(|(_, why)| why.replace('`', ""))
    };
    let matches_star = |name: &str, key: &str| {
        name.split_once('*').is_some_and(|(start, end)| key.starts_with(start) && key.ends_with(end))
    };
    named(|name, key| name == key).or_else(|| named(matches_star))
}

/// Sets every knob that has a value in a source. Also returns which source each value is from.
fn effective(figment: &Figment) -> (Options, Vec<String>) {
    let mut options = Options::default();
    let origins = KNOBS.iter().map(|knob| {
        let Ok(value) = figment.find_value(knob.key) else { return DEFAULT_ORIGIN.to_owned() };
        set(knob, &mut options, &value).expect("only sound entries are merged");
        figment.find_metadata(knob.key).map_or_else(String::new, |metadata| metadata.name.to_string())
    });
    let origins = origins.collect();
    (options, origins)
}

fn set(knob: &Knob, options: &mut Options, value: &Value) -> Result<(), String> {
    match value {
        Value::Num(_, number) => match whole(*number) {
            Some(number) if knob.is_number() => knob.set_number(options, number),
            Some(_) => Err("is a number; a text in quotes is expected".to_owned()),
            None => Err("is not a whole number of 0 or more".to_owned()),
        },
        Value::String(_, text) => knob.set_text(options, text),
        Value::Char(_, letter) => knob.set_text(options, &letter.to_string()),
        Value::Bool(_, flag) if knob.is_switch() => knob.set_text(options, &flag.to_string()),
        _ if knob.is_switch() => Err("must be true or false".to_owned()),
        _ if knob.is_number() => Err("must be a whole number".to_owned()),
        _ => Err("must be a text".to_owned()),
    }
}

/// Sources type numbers differently: TOML's integers are all signed.
fn whole(number: Num) -> Option<u64> {
    let signed = number.to_i128().and_then(|number| u64::try_from(number).ok());
    signed.or_else(|| number.to_u128().and_then(|number| u64::try_from(number).ok()))
}

/// Appends the source of the value to a problem, which begins with the knob's key.
fn with_origin(problem: &str, origins: &[String]) -> String {
    let key = problem.split(' ').next().unwrap_or_default();
    let at = KNOBS.iter().position(|knob| knob.key == key);
    at.map_or_else(|| problem.to_owned(), |at| format!("{}: {problem}", origins[at]))
}

/// Values that are valid on their own and contradict each other.
fn contradictions(options: &Options) -> Vec<String> {
    let limits = &options.limits;
    let content = limits.content_bytes_max + limits.extra_bytes_max;
    let table = [
        (
            content > limits.frame_bytes_max,
            "limits.content_bytes_max and limits.extra_bytes_max together exceed limits.frame_bytes_max: \
             the largest message would not fit into a frame",
        ),
        (
            options.auth.jwks_file.is_none() && !options.auth.allows(TokenAlgorithm::Hs256),
            "auth.algorithms does not contain HS256 and auth.jwks_file names no public keys: no token would be valid",
        ),
        (
            limits.token_bytes_max + LOGIN_BESIDE_TOKEN > limits.login_frame_bytes_max
                || limits.login_frame_bytes_max > limits.frame_bytes_max,
            "limits.login_frame_bytes_max is to be between limits.token_bytes_max and 2048 more, for what else a login \
             says, and limits.frame_bytes_max",
        ),
        (
            options.admin.listen.is_some_and(|admin| overlap(admin, options.listen)),
            "listen and admin.listen have the same port: the HTTP API needs another port (--admin-listen, or off)",
        ),
        (
            options.admin.listen.is_none() && !options.webhooks.is_empty(),
            "admin.listen is off and there are webhooks: they need the HTTP API, which also tests them and sends again \
             what they did not take",
        ),
        (
            limits.sync_entries_default > limits.sync_entries_max,
            "limits.sync_entries_default exceeds limits.sync_entries_max",
        ),
        (
            content > limits.outbox_bytes_max || limits.sync_bytes_max > limits.outbox_bytes_max,
            "limits.outbox_bytes_max is below one message or one sync (limits.content_bytes_max and \
             limits.extra_bytes_max, limits.sync_bytes_max): what a session may be told would not fit",
        ),
        (
            content.saturating_mul(2) > options.segment_bytes as usize,
            "server.segment_bytes is below twice the largest message: a record would not fit into a segment",
        ),
        (
            options.receive_buffer_bytes as usize > options.receive_bytes_per_turn_max,
            "server.receive_buffer_bytes exceeds server.receive_bytes_per_turn_max",
        ),
    ];
    table.into_iter().filter(|(wrong, _)| *wrong).map(|(_, sentence)| sentence.to_owned()).collect()
}

/// Whether listening on both addresses would fail.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_same = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    is_same && one.port() == other.port() && one.port() != 0
}

fn chosen_profile(wanted: Option<&str>, problems: &mut Vec<String>) -> (&'static str, &'static str) {
    let Some(wanted) = wanted else { return PROFILES[0] };
    PROFILES.into_iter().find(|(name, _)| *name == wanted).unwrap_or_else(|| {
        let known = PROFILES.map(|(name, _)| name).join(", ");
        problems.push(format!("there is no profile \"{wanted}\"; the profiles are {known}"));
        PROFILES[0]
    })
}

fn file_layer(path: PathBuf, problems: &mut Vec<String>) -> Option<Layer> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(toml_layer(SettingOrigin::File(path), &text, problems)),
        Err(error) => {
            problems.push(format!("file {}: cannot be read: {error}", path.display()));
            None
        }
    }
}

fn toml_layer(origin: SettingOrigin, text: &str, problems: &mut Vec<String>) -> Layer {
    let mut entries = Vec::new();
    match Toml::from_str::<Dict>(text) {
        Ok(dict) => flatten("", dict, &mut entries),
        Err(error) => {
            let before = error.span().map_or("", |span| &text[..span.start]);
            let line = 1 + before.matches('\n').count();
            let column = 1 + before.chars().rev().take_while(|letter| *letter != '\n').count();
            let what = error.message().trim().replace('\n', ", ");
            problems.push(format!("{origin}: line {line}, column {column}: {what}"));
        }
    }
    Layer { origin, entries }
}

fn flatten(prefix: &str, dict: Dict, entries: &mut Vec<(String, Value)>) {
    for (name, value) in dict {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Dict(_, inner) if Knob::named(&key).is_none() => flatten(&key, inner, entries),
            value => entries.push((key, value)),
        }
    }
}

fn environment_layer(variables: &[(OsString, OsString)]) -> Layer {
    let ours = variables.iter().filter_map(|(name, value)| {
        let key = name.to_str()?.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase().replace("__", ".");
        let is_ours = !NOT_OURS.iter().any(|prefix| key.starts_with(prefix));
        is_ours.then(|| (key.clone(), typed(&key, &value.to_string_lossy())))
    });
    let mut entries: Vec<_> = ours.collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    Layer { origin: SettingOrigin::Environment, entries }
}

fn flag_layer(flags: &[(&'static str, String)]) -> Layer {
    let entries = flags.iter().map(|(key, text)| ((*key).to_owned(), typed(key, text))).collect();
    Layer { origin: SettingOrigin::Flag, entries }
}

/// The environment and flags contain only text: a knob that takes a number gets a number if the text is one.
fn typed(key: &str, text: &str) -> Value {
    let wants_number = Knob::named(key).is_some_and(Knob::is_number);
    match text.trim().parse::<u64>() {
        Ok(number) if wants_number => Value::from(number),
        _ => Value::from(text),
    }
}

fn take_text(layer: &mut Layer, key: &str) -> Option<String> {
    let index = layer.entries.iter().position(|(name, value)| name == key && value.as_str().is_some())?;
    layer.entries.remove(index).1.into_string()
}

impl Layer {
    /// Removes the tables of webhooks and reads them.
    fn take_webhooks(&mut self, problems: &mut Vec<String>) -> Vec<WebhookOptions> {
        let Some(at) = self.entries.iter().position(|(key, _)| key == webhooks::KEY) else { return Vec::new() };
        let (_, tables) = self.entries.remove(at);
        let mut faults = Vec::new();
        let found = webhooks::webhooks_of(&tables, &mut faults);
        problems.extend(faults.into_iter().map(|fault| format!("{}: {fault}", self.origin)));
        found
    }

    /// Removes entries that cannot be set, and reports why.
    fn keep_sound(&mut self, problems: &mut Vec<String>) {
        let origin = &self.origin;
        self.entries.retain(|(key, value)| {
            let fault = match Knob::named(key) {
                Some(knob) => set(knob, &mut Options::default(), value).err(),
                None => Some(unknown(origin, key)),
            };
            let Some(fault) = fault else { return true };
            problems.push(format!("{origin}: {} {}", origin.spelled(key), fault_as_clause(&fault)));
            false
        });
    }
}

fn fault_as_clause(fault: &str) -> String {
    if fault.starts_with(['i', 't']) { fault.to_owned() } else { format!("= {fault}") }
}

fn unknown(origin: &SettingOrigin, key: &str) -> String {
    if KNOBS.iter().any(|knob| knob.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))) {
        let separator = if matches!(origin, SettingOrigin::Environment) { "__" } else { "." };
        let sections = format!("{}{separator}…", origin.spelled(key));
        let logging = if key == "log" { "; for more messages set RUST_LOG=info" } else { "" };
        return format!("is a section, not a value; its values are {sections}{logging}");
    }
    if let Some(present) = renamed::present_name(key) {
        return format!("is now called {}", origin.spelled(present));
    }
    match nearest(key) {
        Some(known) => format!("is unknown; did you mean {}?", origin.spelled(known)),
        None => "is unknown; `mushan check` lists all".to_owned(),
    }
}

/// The knob that `key` was probably meant to be: a misspelled key, or the right name in the wrong section.
fn nearest(key: &str) -> Option<&'static str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let by_distance = KNOBS.iter().map(|knob| {
        let misplaced = if last(knob.key) == last(key) { 1 } else { usize::MAX };
        (distance(knob.key, key).min(misplaced), knob.key)
    });
    by_distance.min().filter(|(distance, _)| *distance <= 2 + key.len() / 8).map(|(_, key)| key)
}

/// The Levenshtein distance, in bytes.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

impl SettingOrigin {
    /// The key as it is written in this source.
    fn spelled(&self, key: &str) -> String {
        match self {
            Self::Environment => format!("{ENVIRONMENT_PREFIX}{}", key.to_ascii_uppercase().replace('.', "__")),
            Self::Flag => format!("--{}", key.replace(['_', '.'], "-")),
            Self::Profile(_) | Self::File(_) => key.to_owned(),
        }
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(name) => write!(out, "profile {name}"),
            Self::File(path) => write!(out, "file {}", Path::display(path)),
            Self::Environment => out.write_str("environment"),
            Self::Flag => out.write_str("flag"),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let mut dict = Dict::new();
        for (key, value) in &self.entries {
            match key.split_once('.') {
                None => drop(dict.insert(key.clone(), value.clone())),
                Some((section, name)) => {
                    let section = dict.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
                    if let Value::Dict(_, inner) = section {
                        inner.insert(name.to_owned(), value.clone());
                    }
                }
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}

#[cfg(test)]
mod tests;
