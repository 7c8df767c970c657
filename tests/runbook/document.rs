//! The table of faults in docs/OPERATIONS.md: each row's section and test are there.

use std::collections::BTreeSet;
use std::path::Path;

/// What the table has a row about.
const FAULTS: [&str; 10] = [
    "full disk",
    "damaged segment",
    "expired certificate",
    "dead receiver of webhooks",
    "jump of the clock",
    "too few open files",
    "flood",
    "slow disk",
    "stuck or killed thread",
    "lost host",
];

pub fn operations() -> String {
    read("docs/OPERATIONS.md").expect("the document is there")
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// The code between backticks in a text.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether what is named as path, two colons and a name is a test.
pub fn is_test(named: &str) -> bool {
    let Some((path, name)) = named.split_once("::") else { return false };
    let Some(text) = read(path) else { return false };
    let syntax = syn::parse_file(&text).expect("it compiles");
    let is_test = |function: &syn::ItemFn| {
        function.attrs.iter().any(|it| it.path().segments.last().is_some_and(|last| last.ident == "test"))
    };
    syntax.items.iter().any(|item| matches!(item, syn::Item::Fn(it) if it.sig.ident == name && is_test(it)))
}

/// What is wrong with the table of a document, and the faults that its rows are about.
fn judged(document: &str) -> (Vec<String>, BTreeSet<String>) {
    let sections: BTreeSet<&str> = document
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    let table = document.split("| fault |").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    let (mut wrong, mut faults) = (Vec::new(), BTreeSet::new());
    for row in table.lines().skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [fault, _, section, tests] = &cells[..] else {
            wrong.push(format!("four cells: {row}"));
            continue;
        };
        faults.insert((*fault).to_owned());
        if !section.split(", ").all(|section| sections.contains(section)) {
            wrong.push(format!("{fault}: no section {section}"));
        }
        if codes(tests).next().is_none() {
            wrong.push(format!("{fault}: no test"));
        }
        wrong.extend(codes(tests).filter(|it| !is_test(it)).map(|it| format!("{fault}: {it} is no test")));
    }
    (wrong, faults)
}

#[test]
fn every_fault_of_the_table_has_its_section_and_its_test() {
    let (wrong, faults) = judged(&operations());
    assert_eq!(wrong, [""; 0]);
    assert_eq!(faults, FAULTS.map(str::to_owned).into());
    let planted = "## Here\n\n| fault | a | b | c |\n|---|---|---|---|\n\
        | one | x | Here | `tests/runbook/document.rs::every_fault_of_the_table_has_its_section_and_its_test` |\n\
        | two | x | Nowhere | `tests/runbook/document.rs::no_such_test` |\n| three | x | Here | none |\n\n";
    let (wrong, faults) = judged(planted);
    assert_eq!((wrong.len(), faults.len()), (3, 3), "{wrong:?}");
    assert!(!is_test("tests/runbook/document.rs::is_test"), "a function that is no test");
}
