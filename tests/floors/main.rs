//! The rules of the house, read from the sources themselves: who may look at whom, what keeps the floors below the edge
//! pure, and what a file may look like. Each rule has a test that plants a violation and sees it found.

// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod bodies;
mod book;
mod circles;
mod documents;
mod kit;
mod planted;
mod rooms;
mod source;

use bodies::bodies;
use source::{Mention, Source, Word, is_test_only, words};
use std::collections::BTreeSet;
use std::path::Path;

/// A room under src/: the rooms it may look at, and the crates it may use (`None`: any).
struct Room {
    name: &'static str,
    below: &'static [&'static str],
    crates: Option<&'static [&'static str]>,
}

/// The floors of docs/ARCHITECTURE.md. A new room or a new crate below the edge is entered here, or the build fails.
const ROOMS: [Room; 11] = [
    Room { name: "model", below: &[], crates: Some(&["arrayvec", "bytes", "compact_str", "smallvec", "thiserror"]) },
    Room {
        name: "wire",
        below: &["model"],
        crates: Some(&[
            "aws_lc_rs",
            "base64",
            "bytes",
            "compact_str",
            "httparse",
            "jsonwebtoken",
            "prost",
            "serde",
            "simd_json",
            "simdutf8",
            "smallvec",
            "thiserror",
            "tungstenite",
            "x25519_dalek",
        ]),
    },
    Room { name: "log", below: &["model"], crates: Some(&["bytes", "compact_str", "crc32c", "smallvec", "thiserror"]) },
    Room {
        name: "shard",
        below: &["model", "log"],
        crates: Some(&[
            "bytes",
            "compact_str",
            "foldhash",
            "hashbrown",
            "slab",
            "smallvec",
            "thiserror",
            "xxhash_rust",
        ]),
    },
    Room { name: "server", below: &["model", "wire", "log", "shard"], crates: None },
    Room { name: "admin", below: &["model", "log", "shard", "server"], crates: None },
    Room { name: "terminal", below: &["model", "wire", "log", "shard", "server", "admin"], crates: None },
    Room { name: "bench", below: &["model", "wire", "log", "shard", "server", "admin", "terminal"], crates: None },
    Room {
        name: "cli",
        below: &["model", "wire", "log", "shard", "server", "admin", "terminal", "bench"],
        crates: None,
    },
    Room {
        name: "lib",
        below: &["model", "wire", "log", "shard", "server", "admin", "terminal", "bench", "cli"],
        crates: None,
    },
    Room { name: "main", below: &["cli"], crates: None },
];

/// What reaches for the world, or keeps state outside a value. Not below the edge.
const WORLDLY: [&str; 24] = [
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::collections::hash_map",
    "std::collections::hash_set",
    "std::env",
    "std::fs",
    "std::future",
    "std::hash::RandomState",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::os",
    "std::process",
    "std::sync::Condvar",
    "std::sync::LazyLock",
    "std::sync::Mutex",
    "std::sync::OnceLock",
    "std::sync::RwLock",
    "std::sync::atomic",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;

/// Files that are longer, and why that is better than a cut.
const LONG_FILES: [(&str, &str); 0] = [];

fn room_named(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

/// Floors only look down.
fn looks_up(source: &Source) -> Vec<String> {
    let Some(room) = room_named(source.room()) else {
        return vec![source.at(1, &format!("room {:?} is not in the table of floors", source.room()))];
    };
    let mentions = source.mentions(true).into_iter().filter_map(|mention| {
        let seen = mention.path.strip_prefix("crate::")?.split("::").next()?.to_owned();
        let is_allowed = seen == room.name || room.below.contains(&seen.as_str()) || room_named(&seen).is_none();
        (!is_allowed).then(|| source.at(mention.line, &format!("{} looks at {seen}", room.name)))
    });
    mentions.collect()
}

/// Below the edge: only the crates of the table, and nothing of the world.
fn is_worldly(source: &Source, dependencies: &BTreeSet<String>) -> Vec<String> {
    let Some(allowed) = room_named(source.room()).and_then(|room| room.crates) else { return Vec::new() };
    if source.is_test {
        return Vec::new();
    }
    let mut found = Vec::new();
    for Mention { path, line } in source.mentions(false) {
        let first = path.split("::").next().unwrap_or_default();
        if dependencies.contains(first) && !allowed.contains(&first) {
            found.push(source.at(line, &format!("crate {first} is not allowed in {}", source.room())));
        }
        let begins_with = |banned: &str| path == banned || path.starts_with(&format!("{banned}::"));
        if let Some(banned) = WORLDLY.iter().find(|banned| begins_with(banned)) {
            found.push(source.at(line, &format!("{banned} belongs to the edge")));
        }
    }
    found.extend(words(source).into_iter().filter_map(|Word { text, next, line }| {
        let is_banned = matches!(text.as_str(), "async" | "await")
            || (next == Some('!')
                && matches!(text.as_str(), "println" | "eprintln" | "print" | "dbg" | "thread_local"));
        is_banned.then(|| source.at(line, &format!("`{text}` belongs to the edge")))
    }));
    found
}

fn has_unwrap(source: &Source) -> Vec<String> {
    let unwraps = words(source).into_iter().filter(|word| word.text == "unwrap");
    unwraps.map(|word| source.at(word.line, "unwrap outside tests; `expect` says why it cannot fail")).collect()
}

fn has_gaps(source: &Source) -> Vec<String> {
    let gaps = words(source)
        .into_iter()
        .filter(|word| word.next == Some('!') && matches!(word.text.as_str(), "todo" | "unimplemented"));
    gaps.map(|word| source.at(word.line, &format!("{}! is left", word.text))).collect()
}

fn has_no_opening(source: &Source) -> Vec<String> {
    if source.text.starts_with("//!") { Vec::new() } else { vec![source.at(1, "does not open with //!")] }
}

fn is_too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines <= FILE_LINES_MAX || LONG_FILES.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    vec![source.at(lines, &format!("longer than {FILE_LINES_MAX} lines"))]
}

fn is_too_deep(source: &Source) -> Vec<String> {
    let depth = source.path.matches('/').count();
    if depth <= 3 { Vec::new() } else { vec![source.at(1, "more than two levels of folders below src/")] }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source below `folder`, in order.
fn sources_below(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
                let path = path.strip_prefix(root()).expect("below the root").display().to_string();
                found.push(Source { path, text, is_test: false });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    let test_files: BTreeSet<String> = found.iter().flat_map(test_files_of).collect();
    for source in &mut found {
        source.is_test = is_of_tests(&source.path, &test_files);
    }
    found
}

/// Whether a module for tests alone is in this file, or holds the folder that it is in.
fn is_of_tests(path: &str, test_files: &BTreeSet<String>) -> bool {
    let folders = path.match_indices('/').map(|(end, _)| format!("{}.rs", &path[..end]));
    test_files.contains(path) || folders.into_iter().any(|module| test_files.contains(&module))
}

/// The files that a source declares with `#[cfg(test)] mod name;`.
fn test_files_of(source: &Source) -> Vec<String> {
    let folder = match source.path.strip_suffix("mod.rs").or(source.path.strip_suffix("lib.rs")) {
        Some(folder) => folder.to_owned(),
        None => source.path.trim_end_matches(".rs").to_owned() + "/",
    };
    let beside = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for item in source.syntax().items {
        let syn::Item::Mod(module) = item else { continue };
        if module.content.is_some() || !is_test_only(&module.attrs) {
            continue;
        }
        let named = module.attrs.iter().find(|attribute| attribute.path().is_ident("path"));
        match named.and_then(|attribute| attribute.meta.require_name_value().ok()) {
            Some(syn::MetaNameValue { value: syn::Expr::Lit(literal), .. }) => {
                let syn::Lit::Str(name) = &literal.lit else { continue };
                found.push(format!("{beside}/{}", name.value()));
            }
            _ => found.push(format!("{folder}{}.rs", module.ident)),
        }
    }
    found
}

/// The crates that the library and the binary may link, as paths spell them.
fn dependencies() -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a package has a manifest");
    let section = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    let names = section.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split_once('='));
    names.map(|(name, _)| name.trim().replace('-', "_")).collect()
}

fn assert_none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn assert_in_src(rule: impl Fn(&Source) -> Vec<String>) {
    assert_none(sources_below("src").iter().flat_map(rule).collect());
}

#[test]
fn floors_only_look_down() {
    assert_in_src(looks_up);
}

#[test]
fn below_the_edge_nothing_reaches_for_the_world() {
    let dependencies = dependencies();
    assert!(dependencies.contains("glommio") && dependencies.contains("io_uring"), "the manifest was not understood");
    assert_in_src(|source| is_worldly(source, &dependencies));
}

#[test]
fn there_is_no_unwrap_outside_tests() {
    assert_in_src(has_unwrap);
}

#[test]
fn nothing_is_left_to_do() {
    assert_in_src(has_gaps);
}

#[test]
fn every_file_says_first_what_it_is() {
    assert_in_src(has_no_opening);
    assert_none(sources_below("tests").iter().flat_map(has_no_opening).collect());
}

#[test]
fn no_file_needs_a_map() {
    assert_in_src(is_too_long);
    assert_none(sources_below("tests").iter().flat_map(is_too_long).collect());
    assert_in_src(is_too_deep);
}

#[test]
fn no_function_needs_scrolling() {
    assert_in_src(|source| bodies(source).long_functions);
}

#[test]
fn a_function_has_few_parameters() {
    assert_in_src(|source| bodies(source).many_parameters);
}

#[test]
fn unsafe_stays_at_the_edge_and_says_why_it_is_sound() {
    assert_in_src(|source| bodies(source).bare_unsafe);
}
