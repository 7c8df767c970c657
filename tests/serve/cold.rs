//! History that the kernel has let go of: a shard never stops for it, however often pages leave while it reads.

use crate::common::{Home, Server, wait_for};
use rustix::fs::Advice;
use serde_json::json;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

const MESSAGES: usize = 1_500;
const TEXT_BYTES: usize = 4_000;
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

fn files(home: &Home) -> Vec<PathBuf> {
    let files = std::fs::read_dir(home.data_dir().join("shard-000")).expect("a shard's directory");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("readable").path()).collect();
    paths.sort();
    paths
}

fn segments(home: &Home) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|it| it == "log");
    files(home).into_iter().filter(is_segment).collect()
}

/// A start that finds one need not read, and map, what is before it.
fn newest_checkpoint(home: &Home) -> Option<u32> {
    let name = files(home).into_iter().rfind(|path| path.extension().is_some_and(|it| it == "checkpoint"))?;
    name.file_stem()?.to_str()?.parse().ok()
}

/// What nobody has mapped at this moment leaves the page cache.
fn evict(path: &Path) {
    let file = File::open(path).expect("there");
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).expect("taken");
}

/// Evicts these files over and over.
struct Evictor {
    is_done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Evictor {
    fn start(paths: Vec<PathBuf>) -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        let is_over = is_done.clone();
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                paths.iter().for_each(|path| evict(path));
            }
        });
        Self { is_done, thread }
    }

    fn stop(self) {
        self.is_done.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only evicts");
    }
}

/// Page faults of the shard's thread that waited for a disk.
fn major_faults(server: &Server) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("a process");
    let stats = threads.map(|thread| std::fs::read_to_string(thread.expect("readable").path().join("stat")));
    let stat = stats.flatten().find(|stat| stat.contains("(mushan-0)")).expect("the shard's thread");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    fields.split(' ').nth(9).and_then(|field| field.parse().ok()).expect("proc(5): majflt is the twelfth field")
}

fn fetches(home: &Home) -> u64 {
    let metrics = home.api().get("/metrics").body;
    let line = metrics.lines().find(|line| line.starts_with("mushan_fetches_total{")).expect("it is counted");
    line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_whole_inbox_is_read_while_its_pages_leave_memory_and_the_shard_never_waits_for_a_disk() {
    let home = Home::new().with_limits("[log]\ncheckpoint_bytes = 1048576\n").with_shards(1);
    let server = home.start();
    let mut ann = server.rpc("ann").await;
    for number in 0..MESSAGES {
        let text = format!("{number} {}", "x".repeat(TEXT_BYTES));
        let answer = ann.send("ben", &format!("m-{number}"), json!({"type": 1, "text": text})).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }
    drop(ann);
    wait_for("a checkpoint", || newest_checkpoint(&home).filter(|covered| *covered >= 4));
    assert!(server.stop().status.success());
    let segments = segments(&home);
    let cold = segments.len() - 3;
    assert!(cold >= 4, "{segments:?}");
    segments.iter().for_each(|path| evict(path));

    let server = home.start();
    let mut ben = server.rpc("ben").await;
    let before = major_faults(&server);
    let evictor = Evictor::start(segments[..cold].to_vec());
    let inbox = ben.inbox().await;
    assert_eq!(inbox, ben.inbox().await, "the same when it is read again");
    evictor.stop();
    assert_eq!(inbox.len(), MESSAGES);
    for (number, entry) in inbox.iter().enumerate() {
        let text = entry["payload"]["text"].as_str().expect("a text");
        assert!(text.starts_with(&format!("{number} x")) && text.len() > TEXT_BYTES, "{number}: {text}");
    }
    assert_eq!(major_faults(&server), before, "a turn stood still");
    let kind = rustix::fs::statfs(home.data_dir()).expect("a file system").f_type;
    // A file system in memory lets go of nothing.
    if kind != TMPFS {
        wait_for("history that is fetched, in the metrics", || Some(()).filter(|()| fetches(&home) > 0));
    }
    assert!(server.stop().status.success());
}
