//! The site of `docs/` (book.toml): its contents name every document once, under the title that a decision gives itself,
//! links of documents lead to files and headings that are there, those of the site within it, every picture is shown, and
//! the Chinese README says no other commands and figures than the English documents.

use super::{assert_none, root};
use std::collections::BTreeSet;
use std::path::Path;

/// Documents of the repository with their paths, in order.
fn documents_below(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).expect("documents are UTF-8");
                found.push((path.strip_prefix(root()).expect("below the root").display().to_string(), text));
            }
        }
    }
    found.sort();
    found
}

/// The titles and the targets of a document's links, outside blocks of code.
fn links(text: &str) -> Vec<(String, String)> {
    let prose = text.split("\n```").step_by(2).collect::<Vec<&str>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in prose.match_indices("](") {
        let title = prose[..at].rsplit('[').next().unwrap_or_default();
        let target = prose[at + 2..].split(')').next().unwrap_or_default();
        found.push((title.to_owned(), target.to_owned()));
    }
    found
}

/// The anchors of a document's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = text.split("\n```").step_by(2).collect::<Vec<&str>>().join("\n");
    let mut found = BTreeSet::new();
    for heading in prose.lines().filter(|line| line.starts_with('#')) {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        let anchor: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect();
        // The second heading of the same words is told apart by a number.
        let again = (1..).map(|count| format!("{anchor}-{count}"));
        let unused = std::iter::once(anchor.clone()).chain(again).find(|it| !found.contains(it));
        found.extend(unused);
    }
    found
}

/// Links of a document to headings that are not there, its own included; and of one of the site to files that the site lacks.
fn lost_links(path: &str, text: &str) -> Vec<String> {
    let folder = root().join(path).parent().map(Path::to_owned).unwrap_or_default();
    let site = root().join("docs").canonicalize().expect("it is there");
    let mut wrong = Vec::new();
    for (_, target) in links(text).into_iter().filter(|(_, target)| !target.contains("://")) {
        let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let Ok(file) = folder.join(file).canonicalize() else { continue };
        if path.starts_with("docs/") && !file.starts_with(&site) {
            wrong.push(format!("{path}: {target} is not in the site"));
        }
        let is_own = target.starts_with('#');
        let is_document = is_own || file.extension().is_some_and(|extension| extension == "md");
        if anchor.is_empty() || !is_document {
            continue;
        }
        let read = || std::fs::read_to_string(&file).expect("documents are UTF-8");
        let headings = if is_own { anchors(text) } else { anchors(&read()) };
        if !headings.contains(anchor) {
            wrong.push(format!("{path}: {target} has no such heading"));
        }
    }
    wrong
}

/// Links of a document to files that are not there.
fn dangling_links(path: &str, text: &str) -> Vec<String> {
    let folder = root().join(path).parent().map(Path::to_owned).unwrap_or_default();
    let targets = links(text).into_iter().map(|(_, target)| target);
    let ours = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    let missing = ours.filter(|target| !folder.join(target.split('#').next().unwrap_or_default()).exists());
    missing.map(|target| format!("{path}: {target} is not there")).collect()
}

/// What the contents lack or have too often.
fn wrong_contents(summary: &str, documents: &[(String, String)]) -> Vec<String> {
    let named: Vec<String> = links(summary).into_iter().map(|(_, target)| format!("docs/{target}")).collect();
    let once: BTreeSet<&String> = named.iter().collect();
    let mut wrong: Vec<String> = documents
        .iter()
        .filter(|(path, _)| path != "docs/SUMMARY.md" && !once.contains(path))
        .map(|(path, _)| format!("docs/SUMMARY.md lacks {path}"))
        .collect();
    if once.len() < named.len() {
        wrong.push("docs/SUMMARY.md names a document twice".to_owned());
    }
    wrong
}

#[test]
fn the_contents_of_the_site_name_every_document_once() {
    let documents = documents_below("docs");
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).expect("the contents are there");
    assert!(documents.len() > 50, "the documents were not found");
    assert_none(wrong_contents(&summary, &documents));
    for (title, target) in links(&summary).into_iter().filter(|(_, target)| target.starts_with("decisions/")) {
        let text = &documents.iter().find(|(path, _)| *path == format!("docs/{target}")).expect("it is there").1;
        assert_eq!(text.lines().next(), Some(&*format!("# {title}")), "{target}");
    }
    let planted = [("docs/NEW.md".to_owned(), String::new())];
    assert_eq!(wrong_contents("[one](ONE.md) [one](ONE.md)", &planted).len(), 2);
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut documents = documents_below("docs");
    documents.extend(documents_below("clients/rust"));
    for path in ["README.md", "README.zh.md", "CONTRIBUTING.md", "clients/js/README.md"] {
        documents.push((path.to_owned(), std::fs::read_to_string(root().join(path)).expect("it is there")));
    }
    let count: usize = documents.iter().map(|(_, text)| links(text).len()).sum();
    assert!(count > 60, "the documents were not understood: {count} links");
    assert_none(documents.iter().flat_map(|(path, text)| dangling_links(path, text)).collect());
    assert_none(documents.iter().flat_map(|(path, text)| lost_links(path, text)).collect());
    let planted = "# One, two\n## One, two\n[a](#one-two) [b](#one-two-1) [c](#one-two-2) [d](START.md#nowhere) [e](../README.md)";
    assert_eq!(lost_links("docs/X.md", planted).len(), 3, "{:?}", lost_links("docs/X.md", planted));
    assert_eq!(dangling_links("docs/X.md", "[a](README.md) [b](NOWHERE.md) [c](http://x/y)").len(), 1);
}

/// Pictures of pages that no document shows.
fn unused_pictures(pictures: &[String], documents: &[(String, String)]) -> Vec<String> {
    let is_shown = |name: &str| documents.iter().any(|(_, text)| links(text).iter().any(|(_, to)| to.ends_with(name)));
    pictures.iter().filter(|name| !is_shown(name)).map(|name| format!("nothing shows docs/pictures/{name}")).collect()
}

#[test]
fn every_picture_of_a_page_is_shown_and_all_together_are_small() {
    let entries = std::fs::read_dir(root().join("docs/pictures")).expect("a folder can be read");
    let entries: Vec<_> = entries.map(|entry| entry.expect("an entry")).collect();
    let name = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let pictures: Vec<_> = entries.iter().filter(|entry| name(entry).ends_with(".webp")).collect();
    let bytes: u64 = pictures.iter().map(|entry| entry.metadata().expect("it is there").len()).sum();
    assert!(pictures.len() > 10 && bytes < 1_200_000, "{} pictures have {bytes} bytes", pictures.len());
    let names: Vec<String> = pictures.into_iter().map(name).collect();
    let mut documents = documents_below("docs");
    documents.push(("README.md".to_owned(), std::fs::read_to_string(root().join("README.md")).expect("it is there")));
    assert_none(unused_pictures(&names, &documents));
    assert_eq!(unused_pictures(&["chat-0-grey.webp".to_owned()], &documents).len(), 1);
}

/// The blocks of commands of a document.
fn command_blocks(text: &str) -> BTreeSet<String> {
    text.split("\n```\n").skip(1).step_by(2).map(|block| block.trim().to_owned()).collect()
}

#[test]
fn the_chinese_readme_says_the_commands_and_figures_of_the_english_documents() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("it is there");
    let (chinese, english) = (read("README.zh.md"), read("README.md"));
    let commands = command_blocks(&chinese);
    assert!(commands.len() >= 4, "{commands:?}");
    let unknown = commands.difference(&command_blocks(&english)).cloned().collect::<Vec<String>>();
    assert_eq!(unknown, [""; 0], "README.md has no such commands");
    let performance = read("docs/PERFORMANCE.md");
    for figure in
        ["p50 0.28, p99 0.53 to 0.57 ms", "`fsync` 1.70", "`none` 1.07", "2,677 bytes", "2,857", "125 with a device"]
    {
        assert!(performance.contains(figure), "docs/PERFORMANCE.md has no longer {figure}");
    }
    for figure in ["0.28", "0.53 到 0.57", "1.70", "1.07", "2,677", "2,857", "125 字节"] {
        assert!(chinese.contains(figure), "README.zh.md lacks {figure}");
    }
    let limits = mushan::model::Limits::default();
    let said =
        [limits.group_members_max == 100_000, limits.sessions_per_user_max == 16, limits.content_bytes_max == 64 << 10];
    assert_eq!(said, [true; 3], "README.zh.md tells the limits: 100,000 members, 16 sessions, 64 KiB");
}
