//! Rot: a flipped bit or a lost tail anywhere in any file of a data directory. Every start ends in the right data, or
//! in a refusal that names the place; never in wrong data, never in a panic.
//!
//! `MUSHAN_ROT_FLIPS` sets how many bits are flipped, one at a time (30 when absent).

use crate::common::binary::{BinaryClient, SUCCESS};
use crate::common::model::testing::chance::Chance;
use crate::common::{Home, Server};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Owned by shard 1 of 2 and by shard 0.
const USERS: [&str; 2] = ["alice", "bob"];
const MESSAGES: usize = 900;
const SMALL: &str = "
content_bytes_max = 8192
extra_bytes_max = 1024
[log]
checkpoint_bytes = 65536
";

/// By user and seq: message id and content.
type Inboxes = BTreeMap<(String, i64), (String, Vec<u8>)>;

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn is_checkpoint(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "checkpoint")
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("inside"));
        fs::create_dir_all(target.parent().expect("a parent")).expect("made");
        fs::copy(&file, &target).expect("copied");
    }
}

/// Everything that the server shows, or `None` where it says that it cannot.
async fn read(server: &Server) -> Option<Inboxes> {
    let mut inboxes = Inboxes::new();
    let mut is_whole = true;
    for user in USERS {
        let mut client = server.binary(user).await;
        let mut after = 0;
        loop {
            let page = client.sync(after, 50).await;
            if page.number("error_code") != SUCCESS {
                is_whole = false;
                break;
            }
            for entry in page.list("messages") {
                after = entry.number("seq");
                inboxes.insert((user.to_owned(), after), (entry.text("message_id"), entry.bytes("content")));
            }
            if !page.flag("has_more") {
                break;
            }
        }
    }
    PARTIAL.with(|partial| partial.replace(inboxes.clone()));
    is_whole.then_some(inboxes)
}

thread_local! {
    /// What was shown before the server said that it cannot go on.
    static PARTIAL: std::cell::RefCell<Inboxes> = const { std::cell::RefCell::new(Inboxes::new()) };
}

async fn fill(home: &Home) -> Inboxes {
    let server = home.start();
    for (author, peer) in [(USERS[0], USERS[1]), (USERS[1], USERS[0])] {
        let mut client = server.binary(author).await;
        for number in 0..MESSAGES / 2 {
            let content = format!("{author} says {number} {}", "and so on ".repeat(number % 30));
            client.send(peer, &format!("{author}-{number}"), content.as_bytes()).await;
        }
    }
    let checkpoints = |shard: &str| files(&home.data_dir().join(shard)).iter().filter(|it| is_checkpoint(it)).count();
    let (mut client, _) = BinaryClient::login(server.address, USERS[0], &home.token(USERS[0])).await;
    let mut more = 0;
    // One checkpoint may cover all that was written before it: only what is written later brings the next.
    while checkpoints("shard-000") < 2 || checkpoints("shard-001") < 2 {
        client.send(USERS[1], &format!("more-{more}"), &[b'm'; 1_000]).await;
        more += 1;
        assert!(more < 2_000, "there are no two checkpoints");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let inboxes = read(&server).await.expect("nothing is damaged");
    assert_eq!(inboxes.len(), 2 * (MESSAGES + more));
    assert!(server.stop().status.success());
    inboxes
}

/// Starts a server on what is there. Returns whether it started, or else what it said.
async fn outcome(home: &Home, expected: &Inboxes) -> Result<bool, String> {
    let mut command = home.serve("127.0.0.1:0");
    command.env("RUST_LOG", "warn");
    let server = Server::try_start(command)?;
    let whole = read(&server).await;
    let shown = PARTIAL.with(|partial| partial.borrow().clone());
    assert!(shown.iter().all(|(place, entry)| expected.get(place) == Some(entry)), "wrong data was shown");
    if let Some(whole) = &whole {
        assert_eq!(whole.len(), expected.len(), "something is missing, and nothing was said");
    }
    server.kill();
    Ok(whole.is_some())
}

fn flips() -> usize {
    std::env::var("MUSHAN_ROT_FLIPS").map_or(30, |flips| flips.parse().expect("MUSHAN_ROT_FLIPS is a number"))
}

#[tokio::test]
async fn a_flipped_bit_or_a_lost_tail_in_any_file_never_shows_wrong_data() {
    let home = Home::new().with_segment_bytes(65_536).with_limits(SMALL);
    let expected = fill(&home).await;
    let pristine = home.data_dir().with_file_name("pristine");
    copy(&home.data_dir(), &pristine);
    let targets: Vec<PathBuf> =
        files(&pristine).into_iter().filter(|path| fs::metadata(path).expect("there").len() > 0).collect();
    let mut chance = Chance::new(2_026);
    let (mut whole, mut damaged, mut refused) = (0, 0, 0);
    for flip in 0..flips() {
        copy(&pristine, &home.data_dir());
        let target = &targets[flip % targets.len()];
        let path = home.data_dir().join(target.strip_prefix(&pristine).expect("inside"));
        let mut bytes = fs::read(&path).expect("readable");
        // Most of a newest segment is still zero: what is written is hit as often as what is not.
        let written = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        let reach = if chance.below(2) == 0 { written } else { bytes.len() };
        let at = chance.below(reach);
        let what = if flip % 5 == 4 {
            bytes.truncate(at);
            format!("{} cut at {at}", path.display())
        } else {
            bytes[at] ^= 1 << chance.below(8);
            format!("{} flipped at {at}", path.display())
        };
        fs::write(&path, &bytes).expect("written");
        println!("{what}");
        match outcome(&home, &expected).await {
            Ok(true) => whole += 1,
            Ok(false) => damaged += 1,
            Err(said) => {
                refused += 1;
                assert!(!said.contains("panicked"), "{what}: {said}");
                let names = [
                    "segment ",
                    "manifest.toml",
                    "runs.toml",
                    "token-secret",
                    "admin-token",
                    "read-token",
                    ".log",
                    ".checkpoint",
                ];
                assert!(names.iter().any(|name| said.contains(name)), "{what}: names no place: {said}");
            }
        }
    }
    println!("{} faults: {whole} starts with everything, {damaged} with answers refused, {refused} refused", flips());
    assert!(whole + damaged + refused == flips() && (flips() < 30 || whole > 0 && refused > 0));
}

/// Chance may pass over the few bytes that would be believed if nobody checked them.
#[tokio::test]
async fn a_digit_of_the_manifest_is_missed_and_a_flipped_checkpoint_is_set_aside() {
    let home = Home::new().with_segment_bytes(65_536).with_limits(SMALL);
    let expected = fill(&home).await;
    let pristine = home.data_dir().with_file_name("pristine");
    copy(&home.data_dir(), &pristine);
    let path = home.data_dir().join("manifest.toml");
    let text = fs::read(&path).expect("readable");
    let digits = (0..text.len()).filter(|at| text[*at].is_ascii_digit() && !text[at + 1].is_ascii_digit());
    for at in digits.collect::<Vec<_>>() {
        let mut bytes = text.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).expect("written");
        let said = outcome(&home, &expected).await.expect_err("another number than was written");
        assert!(said.contains("manifest.toml: is damaged"), "{at}: {said}");
    }
    let mut checkpoints = files(&pristine.join("shard-001")).into_iter().filter(|it| is_checkpoint(it));
    let newest = checkpoints.next_back().expect("there are two");
    let path = home.data_dir().join(newest.strip_prefix(&pristine).expect("inside"));
    for part in 1..5 {
        copy(&pristine, &home.data_dir());
        let mut bytes = fs::read(&path).expect("readable");
        let at = bytes.len() * part / 5;
        bytes[at] ^= 1;
        fs::write(&path, &bytes).expect("written");
        assert_eq!(outcome(&home, &expected).await, Ok(true), "the one before it, or the log, says it all");
        let aside = path.with_extension("checkpoint.damaged");
        assert_eq!(fs::read(aside).ok(), Some(bytes), "flipped at {at}: kept for a person to look at");
    }
}
