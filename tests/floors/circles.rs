//! The graph of files: whom a file names, with re-exports followed to the file that declares the name. On a floor that
//! has been cleared of them no circle comes back, and no room is looked up at by way of a facade.

use super::rooms::{level_of, room_of};
use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// The floors whose files stand in an order: none leads back to itself. A glob (`use super::*`) is not followed.
const FLOORS_WITHOUT_CIRCLES: [&str; 9] =
    ["model", "log", "wire", "shard", "server", "admin", "terminal", "bench", "cli"];

/// Re-exports of re-exports that are followed.
const REEXPORTS_MAX: usize = 8;

type Module = Vec<String>;

/// The files outside tests, by their modules, and where each name leads that a module passes on.
struct FileGraph<'a> {
    files: BTreeMap<Module, &'a Source>,
    passed_on: BTreeMap<Module, Module>,
}

impl<'a> FileGraph<'a> {
    fn of(sources: &'a [Source]) -> Self {
        let files = sources.iter().filter(|source| !source.is_test).map(|source| (source.module(), source));
        let mut graph = Self { files: files.collect(), passed_on: BTreeMap::new() };
        for (module, source) in graph.files.clone() {
            for (alias, path) in source.imports() {
                if let Some(path) = graph.absolute(&module, &path) {
                    graph.passed_on.insert(joined(&module, &[alias]), path);
                }
            }
        }
        graph
    }

    /// From the crate's root: `None` for what another crate has.
    fn absolute(&self, module: &[String], path: &str) -> Option<Module> {
        let words: Module = path.split("::").map(str::to_owned).collect();
        if words[0] == "crate" {
            return Some(words[1..].to_vec());
        }
        self.files.contains_key(&joined(module, &words[..1])).then(|| joined(module, &words))
    }

    /// The module of the file that declares what the path names.
    fn file_of(&self, path: &[String]) -> Option<Module> {
        let mut path = path.to_vec();
        for _step in 0..REEXPORTS_MAX {
            let passed_on = (1..=path.len()).rev().find_map(|end| {
                let target = self.passed_on.get(&path[..end]).filter(|_| !self.files.contains_key(&path[..end]))?;
                Some(joined(target, &path[end..]))
            });
            match passed_on {
                Some(target) => path = target,
                None => break,
            }
        }
        (1..=path.len()).rev().map(|end| &path[..end]).find(|part| self.files.contains_key(*part)).map(<[_]>::to_vec)
    }

    /// Whom each file names on its own floor, with the line of the first mention.
    fn arrows(&self) -> BTreeMap<Module, BTreeMap<Module, usize>> {
        let arrows_of = |(module, source): (&Module, &&Source)| {
            let mut arrows = BTreeMap::new();
            for mention in source.mentions(false) {
                // `pub(in crate::shard)` says who may look here, and names nobody.
                let path = self.absolute(module, &mention.path).filter(|path| !module.starts_with(path));
                let target = path.and_then(|path| self.file_of(&path));
                if let Some(target) = target.filter(|target| target != module && target[0] == module[0]) {
                    arrows.entry(target).or_insert(mention.line);
                }
            }
            (module.clone(), arrows)
        };
        self.files.iter().filter(|(module, _)| !module.is_empty()).map(arrows_of).collect()
    }
}

fn joined(module: &[String], rest: &[String]) -> Module {
    module.iter().chain(rest).cloned().collect()
}

/// The files from which arrows lead back to themselves, each with the arrows that do.
fn circles(sources: &[Source], floors: &[&str]) -> Vec<String> {
    let graph = FileGraph::of(sources);
    let arrows = graph.arrows();
    let reach = |from: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = open.pop() {
            let next = arrows.get(&module).into_iter().flat_map(BTreeMap::keys);
            open.extend(next.filter(|next| seen.insert((*next).clone())).cloned());
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = arrows
        .keys()
        .filter(|module| floors.contains(&module[0].as_str()))
        .map(|module| (module, reach(module)))
        .collect();
    let mut found = Vec::new();
    for (module, seen) in &reached {
        for (target, line) in arrows[*module].iter().filter(|(target, _)| seen.contains(*target)) {
            if reached.get(target).is_some_and(|back| back.contains(*module)) {
                let what = format!("names {}, which leads back here", target.join("::"));
                found.push(graph.files[*module].at(*line, &what));
            }
        }
    }
    found
}

/// Rooms that are looked up at through a name that a facade passes on.
fn looks_up_by_a_facade(sources: &[Source]) -> Vec<String> {
    let graph = FileGraph::of(sources);
    let mut found = Vec::new();
    for (module, arrows) in graph.arrows() {
        let source = graph.files[&module];
        let Some(level) = room_of(source).and_then(|(floor, room)| level_of(floor, room)) else { continue };
        for (target, line) in arrows {
            let seen = graph.files[&target];
            if room_of(seen).and_then(|(floor, room)| level_of(floor, room)).is_some_and(|above| above > level) {
                found.push(source.at(line, &format!("looks up at {}", target.join("::"))));
            }
        }
    }
    found
}

#[test]
fn no_file_leads_back_to_itself() {
    assert_none(circles(&sources_below("src"), &FLOORS_WITHOUT_CIRCLES));
}

#[test]
fn no_room_looks_up_by_a_facade() {
    assert_none(looks_up_by_a_facade(&sources_below("src")));
}

#[test]
fn a_planted_circle_is_found_through_a_re_export_and_a_line_of_files_is_not() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned(), is_test: false };
    let facade = || source("src/shard/mod.rs", "pub use rows::inbox::Inbox; mod rows; use write::send::Sent;");
    let count = |sources: &[Source]| circles(sources, &["shard"]).len();
    let line = [
        facade(),
        source("src/shard/rows/mod.rs", "pub(super) mod inbox;"),
        source(
            "src/shard/rows/inbox.rs",
            "pub(in crate::shard) struct Inbox; #[cfg(test)] mod tests { use crate::shard::Sent; }",
        ),
        source("src/shard/write/mod.rs", "pub(super) mod send;"),
        source("src/shard/write/send.rs", "use crate::shard::Inbox; pub struct Sent;"),
    ];
    assert_eq!(count(&line), 0);
    assert_eq!(looks_up_by_a_facade(&line).len(), 0);
    let circle = [
        facade(),
        source("src/shard/rows/mod.rs", "pub(super) mod inbox;"),
        source("src/shard/rows/inbox.rs", "use super::super::Sent as Other; pub struct Inbox;"),
        source("src/shard/write/mod.rs", "pub(super) mod send;"),
        source("src/shard/write/send.rs", "use crate::shard::Inbox; pub struct Sent;"),
    ];
    assert_eq!(count(&circle), 2, "one arrow each way");
    assert_eq!(circles(&circle, &["log"]).len(), 0, "a floor that is not looked at");
    assert_eq!(looks_up_by_a_facade(&circle).len(), 1);
    let parent = [
        source("src/shard/mod.rs", "mod rows; fn start() { rows::inbox::open() }"),
        source("src/shard/rows/mod.rs", "pub(super) mod inbox;"),
        source("src/shard/rows/inbox.rs", "pub fn open() { crate::shard::start() }"),
    ];
    assert_eq!(count(&parent), 2, "a path in a body, into a folder and out of it");
}
