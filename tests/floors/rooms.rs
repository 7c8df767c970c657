//! The rooms below a floor: each room of `src/<floor>/` may look only at the rooms that stand before it, folders stay
//! small, file names do not repeat their folder's, and no type name has two meanings.

use super::*;
use std::collections::BTreeMap;

/// The rooms of each floor, bottom first. A new room is entered here and in docs/ARCHITECTURE.md, or the build fails.
pub(super) const FLOORS: [(&str, &[&str]); 8] = [
    ("model", &["testing"]),
    ("log", &["record"]),
    ("wire", &["base", "websocket", "auth", "json", "common", "protobuf", "jsonrpc", "connection"]),
    (
        "shard",
        &[
            "table", "rows", "peers", "live", "query", "work", "core", "replay", "read", "write", "group", "session",
            "heal", "rewrite", "audit", "testing",
        ],
    ),
    (
        "server",
        &[
            "base", "outbound", "event", "peer", "config", "auth", "tls", "turn", "ring", "disk", "hook", "data",
            "acme", "follow", "host", "state", "reactor", "start", "backup", "offline",
        ],
    ),
    ("admin", &["base", "messages", "people", "events", "webhooks", "watch", "overview", "console"]),
    ("bench", &["load", "scenario"]),
    ("cli", &["commands", "tune", "log", "chat", "push", "care"]),
];

/// Sources in one folder, its own `mod.rs` included.
const FOLDER_FILES_MAX: usize = 21;

/// The values that every verb of a shard can reach: with few fields, a signature that names one says what it touches.
const CORE_TYPES: [(&str, &str); 2] = [("src/shard/core/shard.rs", "Shard"), ("src/shard/core/state.rs", "State")];
const CORE_FIELDS_MAX: usize = 8;

/// Type names that are declared more than once outside tests, and why one name is right for all of them.
const SHARED_NAMES: [(&str, &str); 1] =
    [("Arguments", "what clap reads for a subcommand; each stands in its subcommand's file")];

/// The floor and the room that a source stands in, where it stands in a room.
pub fn room_of(source: &Source) -> Option<(&str, &str)> {
    let mut parts = source.path.strip_prefix("src/")?.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(floor), Some(room), Some(_file)) => Some((floor, room)),
        _ => None,
    }
}

/// How high the room stands on its floor.
pub fn level_of(floor: &str, room: &str) -> Option<usize> {
    let (_, rooms) = FLOORS.iter().find(|(name, _)| *name == floor)?;
    rooms.iter().position(|name| *name == room)
}

/// A room looks down only. What is compiled for tests alone may look anywhere on its floor.
fn looks_up_a_room(source: &Source) -> Vec<String> {
    let Some((floor, room)) = room_of(source) else { return Vec::new() };
    let rooms = FLOORS.iter().find(|(name, _)| *name == floor).map_or(&[][..], |(_, rooms)| rooms);
    let Some(level) = rooms.iter().position(|name| *name == room) else {
        return vec![source.at(1, &format!("room {room:?} of {floor} is not in the table of rooms"))];
    };
    if source.is_test {
        return Vec::new();
    }
    let mentions = source.mentions(false).into_iter().filter_map(|mention| {
        let inner = mention.path.strip_prefix("crate::")?.strip_prefix(floor)?.strip_prefix("::")?;
        let seen = inner.split("::").next()?;
        let above = rooms.iter().position(|name| *name == seen)?;
        (above > level).then(|| source.at(mention.line, &format!("{floor}/{room} looks up at {seen}")))
    });
    mentions.collect()
}

/// A file's name does not say again what its folder says.
fn repeats_its_folder(source: &Source) -> Vec<String> {
    let mut parts = source.path.rsplit('/');
    let (Some(file), Some(folder)) = (parts.next(), parts.next()) else { return Vec::new() };
    let stem = file.trim_end_matches(".rs");
    let repeats = stem == folder || stem.strip_prefix(folder).is_some_and(|rest| rest.starts_with('_'));
    if repeats && folder != "src" { vec![source.at(1, "the name of the file repeats its folder")] } else { Vec::new() }
}

/// Folders with too many sources for one look.
fn crowded_folders(sources: &[Source]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for source in sources {
        let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        *counts.entry(folder).or_default() += 1;
    }
    let crowded = counts.into_iter().filter(|(_, count)| *count > FOLDER_FILES_MAX);
    crowded.map(|(folder, count)| format!("{folder} has {count} files: which rooms are in it?")).collect()
}

/// The types that a source declares outside tests, with their lines.
fn declared_types(source: &Source) -> Vec<(String, usize)> {
    if source.is_test {
        return Vec::new();
    }
    let items = source.syntax().items;
    let declared = items.iter().filter_map(|item| match item {
        syn::Item::Struct(item) if !is_test_only(&item.attrs) => Some(&item.ident),
        syn::Item::Enum(item) if !is_test_only(&item.attrs) => Some(&item.ident),
        syn::Item::Trait(item) if !is_test_only(&item.attrs) => Some(&item.ident),
        syn::Item::Type(item) if !is_test_only(&item.attrs) => Some(&item.ident),
        syn::Item::Union(item) if !is_test_only(&item.attrs) => Some(&item.ident),
        _ => None,
    });
    declared.map(|name| (name.to_string(), name.span().start().line)).collect()
}

/// The names of the types that a source declares; those of the macros in model/ids.rs stand in lines of `Name(Inner)`.
pub(super) fn named_types(source: &Source) -> Vec<String> {
    let is_of_macros = source.path == "src/model/ids.rs";
    let lines = source.text.lines().filter(|_| is_of_macros);
    let made = lines.filter_map(|line| line.strip_prefix("    ")?.split_once('('));
    let made = made.filter(|(name, _)| name.chars().all(char::is_alphanumeric)).map(|(name, _)| name.to_owned());
    declared_types(source).into_iter().map(|(name, _)| name).chain(made).collect()
}

/// Type names with more than one meaning.
fn names_with_two_meanings(sources: &[Source]) -> Vec<String> {
    let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources {
        for (name, line) in declared_types(source) {
            let at = source.at(line, &format!("{name} is declared elsewhere, too"));
            declared.entry(name).or_default().push(at);
        }
    }
    let is_excepted = |name: &str| SHARED_NAMES.iter().any(|(excepted, _)| *excepted == name);
    declared
        .into_iter()
        .filter(|(name, places)| places.len() > 1 && !is_excepted(name))
        .flat_map(|(_, at)| at)
        .collect()
}

/// The fields of a struct; 0 if the file has no such struct.
fn fields_of(source: &Source, name: &str) -> usize {
    let found = source.syntax().items.into_iter().find_map(|item| match item {
        syn::Item::Struct(item) if item.ident == name => Some(item.fields.len()),
        _ => None,
    });
    found.unwrap_or(0)
}

#[test]
fn the_core_of_a_shard_has_few_fields() {
    for (path, name) in CORE_TYPES {
        let text = std::fs::read_to_string(root().join(path)).expect("it is there");
        let fields = fields_of(&Source { path: path.to_owned(), text, is_test: false }, name);
        assert!((1..=CORE_FIELDS_MAX).contains(&fields), "{path}: {name} has {fields} fields: which belong together?");
    }
}

#[test]
fn rooms_only_look_down() {
    assert_in_src(looks_up_a_room);
}

#[test]
fn no_folder_is_crowded_and_no_file_repeats_its_folder() {
    assert_none(crowded_folders(&sources_below("src")));
    assert_none(crowded_folders(&sources_below("tests")));
    assert_in_src(repeats_its_folder);
}

#[test]
fn a_type_name_has_one_meaning() {
    assert_none(names_with_two_meanings(&sources_below("src")));
}

#[test]
fn a_planted_look_up_from_room_to_room_is_found_and_a_look_down_is_not() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned(), is_test: false };
    let count = |path: &str, text: &str| looks_up_a_room(&source(path, text)).len();
    assert_eq!(count("src/shard/rows/inbox.rs", "use crate::shard::write::send::Admitted;"), 1);
    assert_eq!(count("src/shard/rows/inbox.rs", "use super::super::write::send::Admitted;"), 1);
    assert_eq!(
        count("src/shard/write/send.rs", "use crate::shard::rows::inbox::InboxTable; use crate::shard::Shard;"),
        0
    );
    assert_eq!(count("src/shard/rows/inbox.rs", "#[cfg(test)] mod tests { use crate::shard::write::send::X; }"), 0);
    assert_eq!(count("src/shard/attic/mod.rs", ""), 1, "an unknown room");
    assert_eq!(count("src/shard/mod.rs", "use crate::shard::write::send::Admitted;"), 0, "a floor sees all its rooms");
    assert_eq!(repeats_its_folder(&source("src/cli/chat/chat_day.rs", "")).len(), 1);
    assert_eq!(repeats_its_folder(&source("src/cli/chat/chat.rs", "")).len(), 1);
    assert_eq!(repeats_its_folder(&source("src/cli/chat/chatter.rs", "")).len(), 0);
    let twice = [source("src/log/a.rs", "struct Place;"), source("src/wire/b.rs", "enum Place { X }")];
    assert_eq!(names_with_two_meanings(&twice).len(), 2);
    let in_tests = source("src/wire/c.rs", "#[cfg(test)] struct Place;");
    assert_eq!(names_with_two_meanings(&[source("src/log/a.rs", "struct Place;"), in_tests]).len(), 0);
    let many: Vec<Source> = (0..=FOLDER_FILES_MAX).map(|n| source(&format!("src/log/f{n}.rs"), "")).collect();
    assert_eq!(crowded_folders(&many).len(), 1);
}
