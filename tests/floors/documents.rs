//! What documents and comments refer to is there: paths, sections of `docs/PROTOCOL.md`, decisions; and the lists in
//! `docs/ARCHITECTURE.md` are those of the code.

use super::rooms::{FLOORS, named_types};
use super::{Source, assert_none, root, sources_below};
use std::collections::BTreeSet;
use std::path::Path;

/// The folders that a path of this repository begins with.
const FOLDERS: [&str; 12] = [
    "src/",
    "tests/",
    "docs/",
    "proto/",
    "benches/",
    "tuning/",
    "examples/",
    "clients/",
    "web/",
    "packaging/",
    ".ci/",
    ".github/",
];

/// Endings of files whose text is looked through.
const ENDINGS: [&str; 6] = [".rs", ".md", ".proto", ".toml", ".yml", "justfile"];

/// A file that is looked through.
struct Text {
    path: String,
    text: String,
}

/// Every text file of the package that people read, in order.
fn texts() -> Vec<Text> {
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("names are UTF-8").to_owned();
            let is_hidden = name.starts_with('.') && name != ".ci" && name != ".github";
            if is_hidden || name == "target" || name == "node_modules" || name.ends_with("-data") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                let text = std::fs::read_to_string(&path).expect("texts are UTF-8");
                let path = path.strip_prefix(root()).expect("below the root").display().to_string();
                found.push(Text { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

/// The lines in which a file speaks to people: all of a document, the comments of a source.
fn prose(text: &Text) -> impl Iterator<Item = (usize, &str)> {
    let is_code = text.path.ends_with(".rs");
    let lines = text.text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(move |(_, line)| !is_code || line.trim_start().starts_with("//"))
}

/// The paths of this repository that a line names, between backticks.
fn paths_in(line: &str) -> impl Iterator<Item = &str> {
    let codes = line.split('`').skip(1).step_by(2);
    codes.filter_map(|code| {
        let path = code.split("::").next()?.split(' ').next()?.trim_end_matches(['.', ',', ';', ':']);
        let is_pattern = path.contains(['*', '{', '<', '…', '$']) || path.contains("NNN");
        let is_ours = FOLDERS.iter().any(|folder| path.starts_with(folder));
        (is_ours && !is_pattern).then_some(path)
    })
}

/// Whether the path is there; in prose a file of `docs/decisions` may be named by its number.
fn exists(path: &str) -> bool {
    let path = path.split_once(".rs:").map_or(path.to_owned(), |(file, _line)| format!("{file}.rs"));
    match path.strip_prefix("docs/decisions/") {
        Some(number) if number.len() == 4 => decisions().contains(number),
        _ => root().join(path).exists(),
    }
}

fn decisions() -> BTreeSet<String> {
    let folder = std::fs::read_dir(root().join("docs/decisions")).expect("decisions are there");
    folder.map(|entry| entry.expect("readable").file_name().to_string_lossy().chars().take(4).collect()).collect()
}

/// The numbers that follow a word on a line: `PROTOCOL 2.4` has 2.4.
fn numbers_after<'a>(line: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(word).filter_map(move |(at, _)| {
        let rest = line[at + word.len()..].trim_start_matches(".md").strip_prefix(' ')?;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number = rest[..end].trim_end_matches('.');
        (!number.is_empty()).then_some(number)
    })
}

/// The numbers of a document's headings: `### 2.4 Send` has 2.4, `## 3. JSON-RPC` has 3.
fn headings(document: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(document)).expect("the document is there");
    let heads = text.lines().filter(|line| line.starts_with('#'));
    let numbers = heads.filter_map(|line| line.trim_start_matches('#').split_whitespace().next());
    numbers.map(|number| number.trim_end_matches('.').to_owned()).collect()
}

fn dangling_paths(text: &Text) -> Vec<String> {
    let missing = prose(text).flat_map(|(line, prose)| {
        paths_in(prose)
            .filter(|path| !exists(path))
            .map(move |path| format!("{}:{line}: {path} is not there", text.path))
    });
    missing.collect()
}

fn dangling_sections(text: &Text, sections: &BTreeSet<String>) -> Vec<String> {
    let missing = prose(text).flat_map(|(line, prose)| {
        let unknown = numbers_after(prose, "PROTOCOL").filter(|number| !sections.contains(*number));
        unknown.map(move |number| format!("{}:{line}: docs/PROTOCOL.md has no section {number}", text.path))
    });
    missing.collect()
}

fn dangling_decisions(text: &Text, decisions: &BTreeSet<String>) -> Vec<String> {
    let missing = prose(text).flat_map(|(line, prose)| {
        let numbers = numbers_after(prose, "decision").chain(numbers_after(prose, "Decision"));
        let unknown = numbers.filter(|number| number.len() == 4 && !decisions.contains(*number));
        unknown.map(move |number| format!("{}:{line}: there is no decision {number}", text.path))
    });
    missing.collect()
}

/// The variants of an enum, as `docs/ARCHITECTURE.md` writes them: in lower case, words apart.
fn variants(file: &str, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let syntax = syn::parse_file(&text).expect("it compiles");
    let found = syntax.items.into_iter().find_map(|item| match item {
        syn::Item::Enum(item) if item.ident == name => Some(item),
        _ => None,
    });
    let variants = found.unwrap_or_else(|| panic!("{file} has no enum {name}")).variants;
    variants.iter().map(|variant| words_of(&variant.ident.to_string())).collect()
}

/// `TellWhenDrained` is "tell when drained".
fn words_of(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// What follows "`Input`: " in a cell of ARCHITECTURE's table of values, up to the end of the cell.
fn listed(document: &str, name: &str) -> Vec<String> {
    let begin = format!("`{name}`: ");
    let cell = document.split('|').find_map(|cell| cell.trim().strip_prefix(&begin)).unwrap_or_default();
    cell.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_path_that_a_document_or_a_comment_names_is_there() {
    let texts = texts();
    let named: usize = texts.iter().map(|text| prose(text).flat_map(|(_, line)| paths_in(line)).count()).sum();
    assert!(named > 150, "the documents were not understood: {named} paths");
    assert_none(texts.iter().flat_map(dangling_paths).collect());
}

#[test]
fn every_section_and_decision_that_is_cited_is_there() {
    let (texts, sections, decisions) = (texts(), headings("docs/PROTOCOL.md"), decisions());
    assert!(sections.contains("2.4") && sections.contains("3.16") && decisions.contains("0001"), "not understood");
    assert_none(texts.iter().flat_map(|text| dangling_sections(text, &sections)).collect());
    assert_none(texts.iter().flat_map(|text| dangling_decisions(text, &decisions)).collect());
}

#[test]
fn no_two_decisions_share_a_number() {
    let count = std::fs::read_dir(root().join("docs/decisions")).expect("decisions are there").count();
    assert_eq!(decisions().len(), count, "a number in docs/decisions is used twice");
}

#[test]
fn the_lists_in_the_architecture_are_those_of_the_enums() {
    let document = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("it is there");
    for (file, name) in ENUMS {
        assert_eq!(listed(&document, name), variants(file, name), "docs/ARCHITECTURE.md's list of {name}, and {file}");
    }
}

/// The types of the table of a section that are declared in none of the files of their row, and the number of all.
fn misplaced_types(section: &str, sources: &[Source]) -> (Vec<String>, usize) {
    let named = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let (mut misplaced, mut count) = (Vec::new(), 0);
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.trim_matches('|').split('|').map(named);
        let (types, files) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        let source = |file: &String| sources.iter().find(|source| source.path == *file);
        let declared: Vec<String> = files.iter().filter_map(source).flat_map(named_types).collect();
        count += types.len();
        misplaced.extend(types.into_iter().filter(|name| !declared.contains(name)));
    }
    (misplaced, count)
}

#[test]
fn the_types_that_a_send_wears_are_where_the_architecture_says_and_no_more_than_it_says() {
    let document = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("it is there");
    let section = document.split("### The types on its way").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().expect("text before the next heading");
    let sources = sources_below("src");
    let (misplaced, count) = misplaced_types(section, &sources);
    assert_eq!(misplaced, [""; 0], "docs/ARCHITECTURE.md names types that are not there");
    assert!(section.contains(&format!("wears these {count} types")), "it lists {count}");
    let planted = "| `Send`, `NoSuch` | `src/model/command.rs` | words |\n| `Send` | `src/model/ids.rs` | words |";
    assert_eq!(misplaced_types(planted, &sources), (vec!["NoSuch".to_owned(), "Send".to_owned()], 3));
}

/// The states of a connection, and where they stand.
const STATES: [(&str, &str); 5] = [
    ("src/wire/connection/mod.rs", "ConnectionPhase"),
    ("src/server/turn/link.rs", "LinkStage"),
    ("src/server/state/socket.rs", "SocketPhase"),
    ("src/server/state/socket.rs", "PeerState"),
    ("src/server/state/socket.rs", "Receiving"),
];

/// The states that the tables of a section name in the column of an enum, each once, in words.
fn states_in_column(section: &str, name: &str) -> BTreeSet<String> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(str::to_owned).collect::<Vec<_>>();
    let mut column = None;
    let mut states = BTreeSet::new();
    for line in section.lines() {
        if !line.starts_with('|') {
            column = None;
            continue;
        }
        let cells = cells(line);
        match cells.iter().position(|cell| cell.contains(&format!("`{name}`"))) {
            Some(at) => column = Some(at),
            None => {
                let codes = column.and_then(|at| cells.get(at)).map_or("", String::as_str);
                states.extend(codes.split('`').skip(1).step_by(2).map(words_of));
            }
        }
    }
    states
}

#[test]
fn the_table_of_states_has_those_of_the_enums_and_no_others() {
    let document = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("it is there");
    let section = document.split("### The states of one connection").nth(1).expect("the section is there");
    let section = section.split("\n## ").next().expect("text before the next heading");
    for (file, name) in STATES {
        let declared: BTreeSet<String> = variants(file, name).into_iter().collect();
        assert_eq!(states_in_column(section, name), declared, "docs/ARCHITECTURE.md's states of {name}, and {file}");
    }
    let planted = "| a: `Phase` |\n|---|\n| `Open`, `NoSuch` |";
    assert_eq!(states_in_column(planted, "Phase").len(), 2);
}

/// The rooms in the table of a document, as paths, in order.
fn listed_rooms(document: &str) -> Vec<String> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `src/")?.split_once("` |"));
    rows.map(|(path, _)| path.to_owned()).filter(|path| path.contains('/') && !path.ends_with('/')).collect()
}

#[test]
fn the_rooms_in_the_architecture_and_in_its_picture_are_those_that_are_checked() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("it is there");
    let rooms: Vec<(&str, &str)> =
        FLOORS.iter().flat_map(|(floor, rooms)| rooms.iter().map(|room| (*floor, *room))).collect();
    let paths: Vec<String> = rooms.iter().map(|(floor, room)| format!("{floor}/{room}")).collect();
    let (document, picture) = (read("docs/ARCHITECTURE.md"), read("docs/pictures/layers.dot"));
    let listed: Vec<String> =
        listed_rooms(&document).into_iter().filter(|path| root().join("src").join(path).is_dir()).collect();
    assert_eq!(listed, paths, "the table of rooms in docs/ARCHITECTURE.md, and tests/floors/rooms.rs");
    let missing = rooms.iter().filter(|(_, room)| *room != "testing" && !picture.contains(&format!("<td>{room}</td>")));
    assert_none(missing.map(|(floor, room)| format!("docs/pictures/layers.dot lacks {floor}/{room}")).collect());
}

/// The enums that ARCHITECTURE lists, and where they stand.
const ENUMS: [(&str, &str); 4] = [
    ("src/shard/core/input.rs", "Input"),
    ("src/shard/core/effect.rs", "Effect"),
    ("src/shard/core/effect.rs", "ExternalEffect"),
    ("src/server/turn/action.rs", "Action"),
];

/// A word of the glossary: the types and the files that its row names.
struct GlossaryRow {
    word: String,
    types: Vec<String>,
    paths: Vec<String>,
}

fn glossary_rows(document: &str) -> Vec<GlossaryRow> {
    let codes = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| word |"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let &[word, _, _, types, path] = &cells[..] else { panic!("five cells: {line}") };
        GlossaryRow { word: word.to_owned(), types: codes(types), paths: codes(path) }
    })
    .collect()
}

/// What a glossary names and the sources do not have.
fn dangling_words(document: &str, types: &BTreeSet<String>) -> Vec<String> {
    let rows = glossary_rows(document).into_iter();
    let missing = rows.flat_map(|GlossaryRow { word, types: named, paths }| {
        let unknown = named.into_iter().filter(|name| !types.contains(name));
        let absent = paths.into_iter().filter(|path| !exists(path));
        unknown
            .chain(absent)
            .map(move |name| format!("docs/GLOSSARY.md, {word}: {name} is not there"))
            .collect::<Vec<_>>()
    });
    missing.collect()
}

#[test]
fn every_type_and_file_of_the_glossary_is_there() {
    let document = std::fs::read_to_string(root().join("docs/GLOSSARY.md")).expect("it is there");
    let sources = sources_below("src");
    let types: BTreeSet<String> = sources.iter().flat_map(named_types).collect();
    let rows = glossary_rows(&document);
    assert!((60..=80).contains(&rows.len()), "{} words", rows.len());
    assert!(rows.iter().all(|row| !row.paths.is_empty()), "each word stands somewhere");
    assert_none(dangling_words(&document, &types));
    let planted = "| w | x | y | `NoSuchType` | `src/nowhere.rs` |\n| v | x |  | `Shard` | `src/lib.rs` |";
    assert_eq!(dangling_words(planted, &types).len(), 2);
}

#[test]
fn a_dangling_reference_is_found_and_a_sound_one_is_not() {
    let text = |path: &str, text: &str| Text { path: path.to_owned(), text: text.to_owned() };
    let document = text("docs/X.md", "see `src/nowhere.rs`, `src/lib.rs`, `tests/none.rs::a_test` and `src/*.rs`");
    assert_eq!(dangling_paths(&document).len(), 2);
    let code =
        text("src/x.rs", "// see `src/nowhere.rs`\nlet path = \"`src/nowhere.rs`\"; // PROTOCOL 9.9\n//! PROTOCOL 9.9");
    assert_eq!(dangling_paths(&code).len(), 1, "strings are not prose");
    let sections = headings("docs/PROTOCOL.md");
    assert_eq!(dangling_sections(&code, &sections).len(), 1);
    assert_eq!(dangling_sections(&text("README.md", "PROTOCOL 2.4, PROTOCOL.md 3.14."), &sections).len(), 0);
    assert_eq!(dangling_decisions(&text("README.md", "decision 0001, decision 9999"), &decisions()).len(), 1);
    assert!(exists("docs/decisions/0006") && !exists("docs/decisions/0099"));
    assert!(Path::new("src/lib.rs").is_relative() && exists("src/lib.rs:4"));
    assert_eq!(words_of("TellWhenDrained"), "tell when drained");
}
