//! docs/SPECIFICATION.md names tests that exist, and no row without one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of the test functions of a file.
fn tests_of(file: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut found = BTreeSet::new();
    let mut items = syntax.items;
    while let Some(item) = items.pop() {
        match item {
            syn::Item::Fn(item) if item.attrs.iter().any(is_test) => {
                found.insert(item.sig.ident.to_string());
            }
            syn::Item::Mod(module) => items.extend(module.content.into_iter().flat_map(|(_, items)| items)),
            _ => {}
        }
    }
    found
}

fn is_test(attribute: &syn::Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "test")
}

/// The cells of each row of each table, headings left out.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &str| line.starts_with("|---") || line.starts_with("| ---");
    let is_row = |at: &usize| {
        let heads = lines.get(at + 1).is_some_and(|next| is_rule(next));
        lines[*at].starts_with('|') && !is_rule(lines[*at]) && !heads
    };
    let cells = |at: usize| lines[at].trim_matches('|').split(" | ").map(str::trim).collect();
    (0..lines.len()).filter(is_row).map(cells).collect()
}

/// What is between backticks and names a test: a file below tests/ or src/, `::`, and a function.
fn named(cell: &str) -> impl Iterator<Item = (&str, &str)> {
    cell.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::"))
}

#[test]
fn every_row_names_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("docs/SPECIFICATION.md")).expect("the table is there");
    let rows = rows(&text);
    assert!(rows.len() > 150, "the table was not understood: {} rows", rows.len());
    let (mut wrong, mut tests) = (Vec::new(), BTreeMap::new());
    for row in &rows {
        let last = row.last().expect("a row has cells");
        if row.len() < 2 || named(last).next().is_none() && !last.starts_with("none: ") {
            wrong.push(format!("no test: {row:?}"));
        }
        for (file, test) in named(last) {
            if !tests.entry(file).or_insert_with(|| tests_of(&format!("{file}.rs"))).contains(test) {
                wrong.push(format!("{file}.rs has no test {test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_row_is_understood_and_a_missing_test_is_found() {
    let text = "| row | test |\n|---|---|\n| a | `tests/x.rs::t`, `src/y.rs::u` |\n\ntext\n";
    let rows = rows(text);
    assert_eq!(rows, [vec!["a", "`tests/x.rs::t`, `src/y.rs::u`"]]);
    assert_eq!(named(rows[0][1]).collect::<Vec<_>>(), [("tests/x", "t"), ("src/y", "u")]);
    assert!(tests_of("tests/rows/specification.rs").contains("a_row_is_understood_and_a_missing_test_is_found"));
    assert!(!tests_of("tests/rows/specification.rs").contains("is_test"));
}
