//! A disk that loses bits: of a log that a server is reading, and of one that it is to start on.

use crate::common::binary::SUCCESS;
use crate::common::{Home, Server, run, wait_for};
use std::os::unix::fs::FileExt;

const BROKEN: &[u8] = b"what the disk will lose";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Flips a bit of the message's record in the file of the log.
fn damage(home: &Home, shard: &str) {
    let path = home.data_dir().join(shard).join("00000001.log");
    let bytes = std::fs::read(&path).expect("a segment");
    let at = bytes.windows(BROKEN.len()).position(|window| window == BROKEN).expect("it is in the log");
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("it can be written");
    file.write_all_at(&[bytes[at] ^ 1], at as u64).expect("written");
}

async fn send(server: &Server, id: &str, content: &[u8]) {
    let answer = server.binary("alice").await.send("bob", id, content).await;
    assert_eq!(answer.number("error_code"), SUCCESS, "{}", answer.text("error_msg"));
}

#[tokio::test]
async fn a_segment_that_rots_is_counted_never_shown_refused_by_a_start_and_repaired_but_for_what_is_lost() {
    let home = Home::new().with_shards(1);
    let (server, api) = home.start_with_api();
    for (id, content) in [("one", b"small".as_slice()), ("broken", BROKEN), ("three", b"small")] {
        send(&server, id, content).await;
    }
    damage(&home, "shard-000");
    let page = server.binary("bob").await.sync(0, 10).await;
    let shown: Vec<String> = page.list("messages").iter().map(|entry| entry.text("client_msg_id")).collect();
    assert!(page.number("error_code") != SUCCESS && !shown.contains(&"broken".to_owned()), "{shown:?}");
    let series = "mushan_log_records_unreadable_total{shard=\"0\"}";
    wait_for("the metric of the alert", || (api.sample(series) >= 1.0).then_some(()));
    send(&server, "four", b"what has nothing to do with it goes on").await;
    server.kill();

    let refused = run(home.serve("127.0.0.1:0"));
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("mushan log verify"), "{}", text(&refused.stderr));
    let verified = home.run(&["log", "verify"]);
    assert!(verified.status.code() == Some(3) && text(&verified.stdout).contains("DAMAGED"), "{verified:?}");
    let planned = home.run(&["log", "repair", "--dry-run"]);
    assert!(planned.status.code() == Some(3) && text(&planned.stdout).contains("bob lost seqs 2 to 2"), "{planned:?}");
    let repaired = home.run(&["log", "repair"]);
    assert!(repaired.status.success(), "{repaired:?}");

    let server = home.start();
    let page = server.binary("bob").await.sync(0, 10).await;
    let ids: Vec<String> = page.list("messages").iter().map(|entry| entry.text("client_msg_id")).collect();
    assert_eq!(ids, ["one", "three", "four"], "its place in the inbox stays empty");
    let audit = home.run(&["audit"]);
    assert!(audit.status.success(), "{audit:?}");
    assert!(server.stop().status.success());
}
