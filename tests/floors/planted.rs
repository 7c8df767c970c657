//! Each rule finds the violation that is planted for it, and lets pass what is right beside it.

use super::*;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned(), is_test: false }
}

/// How many violations a rule finds in a file with this text.
fn count(rule: impl Fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&source(path, text)).len()
}

#[test]
fn a_look_up_is_found_however_it_is_spelled() {
    let spellings = [
        "use crate::shard::Shard;",
        "use crate::{model::Seq, shard::{Shard, Effect}};",
        "use super::shard;",
        "mod tests { use super::super::shard::Shard; }",
        "fn f() { crate::shard::f() }",
        "fn f() -> crate::shard::T { todo!() }",
        "macro_rules! m { () => { $crate::shard::f() } }",
        "fn f() { vec![crate::shard::f()]; }",
        "#[cfg(test)] mod tests { use crate::shard::Shard; }",
        "use mushan::shard::Shard;",
    ];
    for text in spellings {
        assert!(count(looks_up, "src/log/mod.rs", text) > 0, "not found: {text}");
    }
    assert_eq!(count(looks_up, "src/log/index.rs", "use super::super::wire::Connection;"), 1);
    assert_eq!(count(looks_up, "src/server/turn/mod.rs", "use crate::cli::Args;"), 1);
    assert_eq!(count(looks_up, "src/server/start/mod.rs", "use crate::admin::attend;"), 1);
    assert_eq!(count(looks_up, "src/admin/thread.rs", "use crate::wire::Connection;"), 1);
    assert_eq!(count(looks_up, "src/model/ids.rs", "use crate::log::Tail;"), 1);
    assert_eq!(count(looks_up, "src/wire/mod.rs", "use crate::log::Tail;"), 1);
    assert_eq!(count(looks_up, "src/attic/mod.rs", ""), 1, "an unknown room");
}

#[test]
fn a_look_down_or_aside_is_right() {
    let text = "use crate::model::{Seq, Millis}; use super::{Journal, record}; use self::x::Y; mod x { use super::Z; }";
    assert_eq!(count(looks_up, "src/log/index.rs", text), 0);
    assert_eq!(count(looks_up, "src/shard/mod.rs", "use crate::log::Journal; use crate::model::Seq;"), 0);
    assert_eq!(count(looks_up, "src/admin/thread.rs", "use crate::server::Control; use crate::shard::Ticket;"), 0);
    assert_eq!(count(looks_up, "src/cli/commands/serve.rs", "use crate::server::Options; use super::shared::x;"), 0);
}

#[test]
fn a_worldly_crate_or_path_is_found_below_the_edge() {
    let dependencies = dependencies();
    let rule = |source: &Source| is_worldly(source, &dependencies);
    let spellings = [
        "use glommio::LocalExecutor;",
        "fn f() { libc::getpid(); }",
        "use crossbeam_channel::{Receiver, Sender};",
        "use memmap2::MmapMut;",
        "fn f() { tracing::info!(1); }",
        "use std::collections::HashMap;",
        "use std::{collections::{BTreeMap, HashSet}, fmt};",
        "use std::fs::File;",
        "use std::net::TcpStream;",
        "fn f() -> std::time::Instant { todo!() }",
        "use std::time::{Duration, SystemTime};",
        "use std::sync::{Arc, Mutex};",
        "use std::sync::atomic::AtomicU64;",
        "use std::env;",
        "use std::thread;",
        "use std::process::id;",
        "async fn f() {}",
        "thread_local! { static X: u8 = 1; }",
        "fn f() { println!(); }",
        "fn f() { let _ = getrandom::fill(&mut []); }",
    ];
    for text in spellings {
        assert!(count(rule, "src/shard/write/send.rs", text) > 0, "not found: {text}");
        assert_eq!(count(rule, "src/server/disk/mod.rs", text), 0, "allowed at the edge: {text}");
    }
    assert_eq!(count(rule, "src/log/mod.rs", "use hashbrown::HashMap;"), 1, "not in the log's list");
}

#[test]
fn what_is_pure_passes_below_the_edge() {
    let dependencies = dependencies();
    let rule = |source: &Source| is_worldly(source, &dependencies);
    let text = "use std::{collections::BTreeMap, sync::Arc, time::Duration}; use hashbrown::HashMap; use bytes::Bytes;
        #[cfg(test)] mod tests { use std::collections::HashMap; use std::time::Instant; }";
    assert_eq!(count(rule, "src/shard/write/send.rs", text), 0);
}

#[test]
fn an_unwrap_is_found_outside_tests_only() {
    let text = "fn f() { Some(1).unwrap(); }
        fn g() { assert_eq!(1, Some(1).unwrap()); }
        impl T { fn h() { Some(1).unwrap_or(2); } }
        #[cfg(test)] mod tests { fn t() { Some(1).unwrap(); } }
        #[test] fn u() { Some(1).unwrap(); }";
    assert_eq!(count(has_unwrap, "src/cli/mod.rs", text), 2);
    let tests = Source { path: "src/log/tests.rs".into(), text: text.into(), is_test: true };
    assert_eq!(has_unwrap(&tests).len(), 0);
}

#[test]
fn a_file_of_tests_is_known_by_its_declaration() {
    let text = "#[cfg(test)] mod tests; mod other; #[cfg(test)] #[path = \"index_tests.rs\"] mod more;";
    assert_eq!(test_files_of(&source("src/log/mod.rs", text)), ["src/log/tests.rs", "src/log/index_tests.rs"]);
    assert_eq!(test_files_of(&source("src/log/index.rs", "#[cfg(test)] mod tests;")), ["src/log/index/tests.rs"]);
}

#[test]
fn a_gap_is_found() {
    assert_eq!(count(has_gaps, "src/cli/mod.rs", "fn f() { todo!() } fn g() { unimplemented!(\"later\") }"), 2);
    assert_eq!(count(has_gaps, "src/cli/mod.rs", "fn todo() { todo(); }"), 0);
}

#[test]
fn a_file_without_an_opening_is_found() {
    assert_eq!(count(has_no_opening, "src/cli/mod.rs", "use std::fmt;\n//! late"), 1);
    assert_eq!(count(has_no_opening, "src/cli/mod.rs", "//! F3."), 0);
}

#[test]
fn a_long_file_and_a_deep_folder_are_found() {
    assert_eq!(count(is_too_long, "src/cli/mod.rs", &"\n".repeat(501)), 1);
    assert_eq!(count(is_too_long, "src/cli/mod.rs", &"\n".repeat(500)), 0);
    assert_eq!(count(is_too_deep, "src/cli/chat/binary/frames.rs", ""), 1);
    assert_eq!(count(is_too_deep, "src/cli/chat/mod.rs", ""), 0);
}

#[test]
fn a_long_function_is_found_wherever_it_stands() {
    let long = format!("fn f() {{{}}}", "\n".repeat(70));
    let fits = format!("fn f() {{{}}}", "\n".repeat(69));
    let rule = |source: &Source| bodies(source).long_functions;
    assert_eq!(count(rule, "src/cli/mod.rs", &long), 1);
    assert_eq!(count(rule, "src/cli/mod.rs", &format!("impl T {{ {long} }}")), 1);
    assert_eq!(count(rule, "src/cli/mod.rs", &format!("mod m {{ {fits} }}")), 0);
}

#[test]
fn a_function_with_many_parameters_is_found_and_a_tuple_counts_by_its_parts() {
    let rule = |source: &Source| bodies(source).many_parameters;
    let fits = "impl T { fn f(&self, a: u8, (b, c): (u8, u8), d: u8, e: &mut [u8]) {} }";
    assert_eq!(count(rule, "src/shard/x.rs", fits), 0);
    assert_eq!(count(rule, "src/shard/x.rs", &fits.replace("(u8, u8)", "(u8, u8, u8)")), 1);
    assert_eq!(count(rule, "src/shard/x.rs", &fits.replace("(b, c): (u8, u8)", "(b, c, x): Three")), 1);
    assert_eq!(count(rule, "src/shard/x.rs", "fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}"), 1);
}

#[test]
fn unsafe_without_a_reason_or_out_of_place_is_found() {
    let rule = |source: &Source| bodies(source).bare_unsafe;
    let reasoned = "fn f() {\n    // SAFETY: the pointer\n    // is good.\n    let x =\n        unsafe { g() };\n}";
    assert_eq!(count(rule, "src/server/ring/mod.rs", reasoned), 0);
    assert_eq!(count(rule, "src/wire/mod.rs", reasoned), 1);
    let arm = "fn f() {\n    match 1 {\n        // SAFETY: it is 1.\n        1 => g(\n            unsafe { h() },\n        ),\n    }\n}";
    assert_eq!(count(rule, "src/server/ring/mod.rs", arm), 0);
    for text in [
        "fn f() {\n    unsafe { g() };\n}",
        "fn f() {\n    // SAFETY: too far.\n\n    unsafe { g() };\n}",
        "// It is safe.\nunsafe impl Send for T {}",
        "fn f() {\n    // SAFETY: one reason does not do for two.\n    unsafe { g() };\n    unsafe { g() };\n}",
    ] {
        assert_eq!(count(rule, "src/server/ring/mod.rs", text), 1, "not found: {text}");
    }
}
