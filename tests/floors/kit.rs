//! The client kit for Rust, a crate of its own, keeps the rules of files and functions; and its machine and codecs have no
//! socket, no clock and no task.

use super::*;

/// Made from the contract, and compared with it by `tests/wire/kit.rs`.
const GENERATED: &str = "clients/rust/src/wire/generated/";

/// What below `clients/rust/src` is a value without the world.
const PURE: [&str; 3] = ["clients/rust/src/machine/", "clients/rust/src/wire/", "clients/rust/src/model/"];

fn kit() -> Vec<Source> {
    let mut sources = sources_below("clients/rust/src");
    sources.extend(sources_below("clients/rust/examples"));
    sources.retain(|source| !source.path.starts_with(GENERATED));
    sources
}

/// What of the world a pure source of the kit uses.
fn reaches_out(source: &Source) -> Vec<String> {
    if !PURE.iter().any(|pure| source.path.starts_with(pure)) {
        return Vec::new();
    }
    let begins_with = |path: &str, banned: &str| path == banned || path.starts_with(&format!("{banned}::"));
    let mut banned = WORLDLY.to_vec();
    banned.extend([
        "tokio",
        "tokio_tungstenite",
        "getrandom",
        "rustls",
        "crate::client",
        "crate::options",
        "crate::store",
    ]);
    let mentions = source.mentions(false).into_iter();
    let mut found: Vec<String> = mentions
        .filter(|mention| banned.iter().any(|banned| begins_with(&mention.path, banned)))
        .map(|mention| source.at(mention.line, &format!("{} is the driver's", mention.path)))
        .collect();
    let words = words(source).into_iter().filter(|word| matches!(word.text.as_str(), "async" | "await"));
    found.extend(words.map(|word| source.at(word.line, "a machine waits for nothing")));
    found
}

#[test]
fn the_kit_keeps_the_rules_of_files_and_functions() {
    let sources = kit();
    assert!(sources.len() > 15, "the kit was not found");
    for rule in [has_unwrap, has_gaps, has_no_opening, is_too_long] {
        assert_none(sources.iter().flat_map(rule).collect());
    }
    for source in &sources {
        let bodies = bodies(source);
        assert_none([bodies.long_functions, bodies.many_parameters, bodies.bare_unsafe].concat());
    }
    let tests = sources_below("clients/rust/tests");
    assert_none(tests.iter().flat_map(has_no_opening).chain(tests.iter().flat_map(is_too_long)).collect());
}

#[test]
fn the_kits_machine_and_codecs_reach_for_nothing_of_the_world() {
    assert_none(kit().iter().flat_map(reaches_out).collect());
    let planted = |path: &str| {
        let text = "use std::time::Instant; use tokio::time; async fn wait() {}".to_owned();
        reaches_out(&Source { path: path.to_owned(), text, is_test: false }).len()
    };
    assert_eq!((planted("clients/rust/src/machine/inbox.rs"), planted("clients/rust/src/client.rs")), (3, 0));
}
