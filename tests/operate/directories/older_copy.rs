//! Shards' directories that are put back from copies: an older one is healed, and one that holds what its log has lost
//! since is refused, with the way out, by the server and by what would rewrite the directory.

use crate::common::binary::{BinaryClient, SUCCESS};
use crate::common::{Home, Server, mushan, run};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// On both shards.
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const SHARDS: [&str; 2] = ["shard-000", "shard-001"];

const LOST_SINCE: &str = "holds what the shard's log had lost when a later run began";

/// A data directory of two shards, and what has been kept of it.
struct Place {
    home: Home,
}

impl Place {
    fn new() -> Self {
        Self { home: Home::new() }
    }

    fn kept(&self, name: &str) -> PathBuf {
        self.home.data_dir().with_file_name(name)
    }

    /// Copies the whole directory of a stopped server.
    fn keep(&self, name: &str) {
        copy(&self.home.data_dir(), &self.kept(name));
    }

    fn put_back(&self, name: &str, parts: &[&str]) {
        for part in parts {
            let (from, to) = (self.kept(name).join(part), self.home.data_dir().join(part));
            if to.is_dir() { fs::remove_dir_all(&to) } else { fs::remove_file(&to) }.expect("removed");
            copy(&from, &to);
        }
    }

    /// Everybody writes to everybody.
    async fn talk(&self, round: &str) {
        let server = self.home.start();
        for author in USERS {
            let (mut client, _) = BinaryClient::login(server.address, author, &self.home.token(author)).await;
            for peer in USERS {
                let answer = client.send(peer, &format!("{round}: {author}, {peer}"), b"content").await;
                assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
            }
        }
        stop(server);
    }

    /// The client ids in everybody's inbox, in order.
    async fn inboxes(&self) -> BTreeMap<&'static str, Vec<String>> {
        let server = self.home.start();
        let mut inboxes = BTreeMap::new();
        for user in USERS {
            let (mut client, _) = BinaryClient::login(server.address, user, &self.home.token(user)).await;
            inboxes.insert(user, client.inbox().await.iter().map(|entry| entry.text("client_msg_id")).collect());
        }
        stop(server);
        inboxes
    }

    fn tool(&self, arguments: &[&str]) -> Output {
        let mut command = mushan();
        command.args(arguments).arg("--data-dir").arg(self.home.data_dir());
        run(command)
    }

    fn succeed(&self, arguments: &[&str]) {
        let output = self.tool(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The start says which shard it is, what is wrong and what to do; and nothing is written to any log.
    fn expect_refused(&self, shard: usize, why: &str) {
        let before = SHARDS.map(|shard| contents(&self.home.data_dir().join(shard)));
        let refused = run(self.home.serve("127.0.0.1:0"));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{said}");
        let sentence = format!("shard {shard}: the log in {}", self.home.data_dir().join(SHARDS[shard]).display());
        for part in [&*sentence, why, "`mushan restore`"] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(said.lines().filter(|line| line.contains("the log in")).count(), 1, "one sentence: {said}");
        assert_eq!(SHARDS.map(|shard| contents(&self.home.data_dir().join(shard))), before);
        for arguments in [&["log", "verify"][..], &["audit"]] {
            let told = self.tool(arguments);
            let said = [told.stdout, told.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(told.status.code() == Some(3) && said.contains(why), "{said}");
        }
        self.expect_not_rewritten(shard, why);
    }

    /// No tool makes another directory of logs that contradict each other, as that one would be vouched for.
    fn expect_not_rewritten(&self, shard: usize, why: &str) {
        let (before, beside) = (contents_of_all(&self.home.data_dir()), self.names_beside());
        let rewriting = [&["reshard", "--shards", "3"][..], &["reshard", "--shards", "1"], &["log", "repair"]];
        for arguments in rewriting.into_iter().chain([&["log", "repair", "--dry-run"][..]]) {
            let refused = self.tool(arguments);
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(3), "{arguments:?}: {said}");
            let log = self.home.data_dir().join(SHARDS[shard]);
            assert!(said.contains(why) && said.contains(&log.display().to_string()), "{arguments:?}: {said}");
            assert_eq!(contents_of_all(&self.home.data_dir()), before, "{arguments:?} has written");
            assert_eq!(self.names_beside(), beside, "{arguments:?} has left something");
        }
    }

    fn names_beside(&self) -> BTreeSet<PathBuf> {
        let data_dir = self.home.data_dir();
        let home = fs::read_dir(data_dir.parent().expect("a parent")).expect("a directory");
        home.map(|entry| entry.expect("an entry").path()).collect()
    }

    fn expect_sound(&self) {
        for arguments in [&["log", "verify"][..], &["audit"]] {
            let told = self.tool(arguments);
            assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&told.stdout));
        }
    }
}

fn stop(server: Server) {
    let exit = server.stop();
    assert!(exit.status.success(), "{}", exit.errors);
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().expect("cp").success());
}

fn contents_of_all(data_dir: &Path) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
    let shards = SHARDS.map(|shard| contents(&data_dir.join(shard)));
    shards.into_iter().chain([BTreeMap::from([("runs.toml".into(), runs_of(data_dir))])]).collect()
}

fn runs_of(data_dir: &Path) -> Vec<u8> {
    fs::read(data_dir.join("runs.toml")).expect("listed")
}

/// The written segments of a shard. Spares come and go.
fn contents(shard: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(shard).expect("a directory").map(|entry| entry.expect("an entry").path());
    let read = files.map(|path| (path.clone(), fs::read(path).expect("readable")));
    read.filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).collect()
}

/// Both logs lose the same end, as a power cut may do under a weak policy, and other messages take its places.
async fn lose_and_go_on(place: &Place) {
    place.talk("kept").await;
    place.keep("before");
    place.talk("lost").await;
    place.keep("whole");
    place.put_back("before", &SHARDS);
    place.talk("new").await;
    place.keep("after");
}

#[tokio::test]
async fn a_shard_that_holds_what_its_log_has_lost_since_is_refused_until_the_right_one_is_back() {
    let place = Place::new();
    lose_and_go_on(&place).await;
    let inboxes = place.inboxes().await;
    for (at, shard) in SHARDS.into_iter().enumerate() {
        place.put_back("whole", &[shard]);
        place.expect_refused(at, LOST_SINCE);
        // A start that was refused has not made it one that fits.
        place.expect_refused(at, LOST_SINCE);
        place.put_back("after", &[shard]);
    }
    assert_eq!(place.inboxes().await, inboxes, "with the directories that were there");
    place.expect_sound();

    // Without the right directory, none at all: what the other shard has comes back.
    let lacking = |id: &String| !id.starts_with("lost");
    for shard in SHARDS {
        fs::remove_dir_all(place.home.data_dir().join(shard)).expect("removed");
        let left = place.inboxes().await;
        assert!(left.values().flatten().all(lacking) && left.values().any(|ids| !ids.is_empty()), "{left:?}");
        place.talk(&format!("without {shard}")).await;
        place.expect_sound();
        place.put_back("after", &SHARDS);
        place.put_back("after", &["runs.toml"]);
    }

    // All shards of one time fit each other, and from then on none of the time that they replace.
    place.put_back("whole", &SHARDS);
    assert!(place.inboxes().await.values().all(|ids| ids.iter().any(|id| id.starts_with("lost"))));
    place.expect_sound();
    place.put_back("after", &[SHARDS[1]]);
    place.expect_refused(1, "runs.toml");
}

#[tokio::test]
async fn an_older_copy_of_a_shard_is_healed_after_a_loss_too() {
    for shard in SHARDS {
        let place = Place::new();
        lose_and_go_on(&place).await;
        place.put_back("before", &[shard]);
        let inboxes = place.inboxes().await;
        for (user, ids) in inboxes {
            let others: Vec<&str> = USERS.into_iter().filter(|it| *it != user).collect();
            assert!(!ids.iter().any(|id| id.starts_with("lost")), "{ids:?}");
            // What the user's own shard alone had may be gone with the newer directory.
            let has_from = |round: &str, author: &str| ids.contains(&format!("{round}: {author}, {user}"));
            assert!(others.iter().all(|author| has_from("kept", author)), "{user}: {ids:?}");
        }
        place.talk("and on").await;
        place.expect_sound();
    }
}

#[tokio::test]
async fn a_backup_brings_its_runs_along_and_a_shard_of_another_time_is_refused_there() {
    let place = Place::new();
    place.talk("kept").await;
    let backup = place.kept("backup");
    place.succeed(&["backup", "--to", backup.to_str().expect("a name in UTF-8")]);
    place.talk("lost").await;
    place.keep("whole");
    fs::remove_dir_all(place.home.data_dir()).expect("removed");
    place.succeed(&["restore", "--from", backup.to_str().expect("a name in UTF-8")]);
    assert_eq!(
        fs::read(place.home.data_dir().join("runs.toml")).expect("restored"),
        fs::read(backup.join("runs.toml")).expect("listed")
    );
    place.talk("new").await;
    place.keep("after");
    place.put_back("whole", &["shard-001"]);
    let refused = run(place.home.serve("127.0.0.1:0"));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(3) && said.contains("does not list"), "{said}");
    place.expect_not_rewritten(1, "does not list");
    place.put_back("after", &["shard-001"]);
    place.talk("and on").await;
    place.expect_sound();
}

#[tokio::test]
async fn a_shard_of_before_a_reshard_is_another_log() {
    let place = Place::new();
    place.talk("kept").await;
    place.keep("before");
    for shards in ["1", "2"] {
        place.succeed(&["reshard", "--shards", shards]);
    }
    place.keep("rewritten");
    place.put_back("before", &["shard-000"]);
    let refused = run(place.home.serve("127.0.0.1:0"));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(3) && said.contains("is another log than"), "{said}");
    place.expect_not_rewritten(0, "is another log than");
    place.put_back("rewritten", &["shard-000"]);
    place.talk("and on").await;
    place.expect_sound();
}
