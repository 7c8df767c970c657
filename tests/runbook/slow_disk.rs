//! A disk that is slow, and one that does not answer at all: the data is on a device in memory whose writes the kernel holds
//! back, and lets go again.
//!
//! The tests need root, zram, mkfs.ext4 and control groups that throttle block devices. Where one of them is missing they say
//! so on stderr and pass.

use crate::common::binary::{BinaryClient, SUCCESS, command, send_body};
use crate::common::http::Api;
use crate::common::mounts::{skip, with_own_devices};
use crate::common::zram::{NEEDED, NO_JOURNAL, Zram};
use crate::common::{Home, Server, wait_for};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the alert takes for slow, in seconds.
const SLOW_S: f64 = 0.1;

/// A control group of the server alone; gone when dropped.
struct Throttle {
    group: PathBuf,
    /// The file of the bound, and how it is written.
    bound: &'static str,
    device: String,
    unit: &'static str,
}

impl Throttle {
    /// `None` if this user may not have one.
    fn of(server: &Server, device: &Zram) -> Option<Self> {
        let name = format!("mushan-test-{}", server.pid());
        let (group, bound, unit) = if Path::new("/sys/fs/cgroup/blkio").exists() {
            (PathBuf::from("/sys/fs/cgroup/blkio").join(name), "blkio.throttle.write_iops_device", "")
        } else {
            std::fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+io").ok()?;
            (PathBuf::from("/sys/fs/cgroup").join(name), "io.max", "wiops=")
        };
        std::fs::create_dir(&group).ok()?;
        let throttle = Self { group, bound, device: device.numbers(), unit };
        let is_there = throttle.group.join(bound).exists();
        let joined = std::fs::write(throttle.group.join("cgroup.procs"), server.pid().to_string());
        (is_there && joined.is_ok()).then_some(throttle)
    }

    /// The most writes a second; a million is no bound for this test.
    fn allow(&self, writes_per_second: u32) {
        let line = format!("{} {}{writes_per_second}", self.device, self.unit);
        std::fs::write(self.group.join(self.bound), line).expect("our own group");
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.allow(1_000_000);
        let parent = self.group.parent().expect("it is in a group").join("cgroup.procs");
        let members = std::fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        members.lines().for_each(|pid| drop(std::fs::write(&parent, pid)));
        let _ = std::fs::remove_dir(&self.group);
    }
}

/// Syncs so far, and the seconds that they took.
fn syncs(api: &Api) -> (f64, f64) {
    (api.sample("mushan_log_sync_seconds_count"), api.sample("mushan_log_sync_seconds_sum"))
}

/// Sends a message, reads for as long as it is not answered, and returns how long it took and how long the longest read.
async fn send_and_read(alice: &mut BinaryClient, bob: &mut BinaryClient, id: &str) -> (Duration, Duration) {
    let began = Instant::now();
    let sequence = alice.ask(command::SEND, &send_body("carol", id, b"hello")).await;
    let has_answer = Cell::new(false);
    let answered = async {
        alice.answer(sequence).await.expect("answered");
        has_answer.set(true);
        began.elapsed()
    };
    let reading = async {
        let mut longest = Duration::ZERO;
        while !has_answer.get() {
            let asked = Instant::now();
            assert_eq!(bob.sync(0, 10).await.number("error_code"), SUCCESS);
            longest = longest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        longest
    };
    tokio::join!(answered, reading)
}

fn home_on(device: &mut Zram) -> Home {
    let config = "[server]\nsegment_bytes = 1048576\n[log]\nreserve_bytes = 1048576\n\
                  [limits]\nqueries_per_second = 1000000\nqueries_burst = 1000000\n";
    let home = Home::new().with_config(config).with_shards(1);
    device.hold(&home);
    home
}

#[test]
fn a_slow_disk_delays_replies_to_sends_and_nothing_else_until_it_is_fast_again() {
    const NAME: &str = "slow_disk::a_slow_disk_delays_replies_to_sends_and_nothing_else_until_it_is_fast_again";
    with_own_devices(NAME, async {
        let Some(mut device) = Zram::make(NO_JOURNAL) else { return skip(NAME, NEEDED) };
        let home = home_on(&mut device);
        let (server, api) = home.start_with_api();
        let Some(throttle) = Throttle::of(&server, &device) else { return skip(NAME, NEEDED) };
        let (mut alice, mut bob) = (server.binary("alice").await, server.binary("bob").await);
        let (fast, _) = send_and_read(&mut alice, &mut bob, "fast").await;
        wait_for("the first numbers", || (syncs(&api).0 >= 1.0).then_some(()));

        throttle.allow(4);
        let before = syncs(&api);
        let (mut sends, mut reads) = (Duration::ZERO, Duration::ZERO);
        for number in 0..12 {
            let (send, read) = send_and_read(&mut alice, &mut bob, &format!("slow-{number}")).await;
            (sends, reads) = (sends + send, reads.max(read));
        }
        assert!(
            sends / 12 > fast && sends.as_secs_f64() / 12.0 > SLOW_S,
            "{sends:?} for 12 messages, and {fast:?} for one"
        );
        assert!(reads < sends / 12, "reads are not late: {reads:?}, and sends take {:?}", sends / 12);
        wait_for("the metric of the alert", || {
            let after = syncs(&api);
            (after.0 >= before.0 + 12.0 && (after.1 - before.1) / (after.0 - before.0) > SLOW_S).then_some(())
        });

        throttle.allow(1_000_000);
        let (_, _) = send_and_read(&mut alice, &mut bob, "the last slow one").await;
        let (send, _) = send_and_read(&mut alice, &mut bob, "fast again").await;
        assert!(send < sends / 12, "{send:?}");
        drop(throttle);
        assert!(server.stop().status.success());
        device.unmount();
    });
}

#[test]
fn a_disk_that_does_not_answer_leaves_sends_without_a_reply_until_it_is_back() {
    const NAME: &str = "slow_disk::a_disk_that_does_not_answer_leaves_sends_without_a_reply_until_it_is_back";
    with_own_devices(NAME, async {
        let Some(mut device) = Zram::make(NO_JOURNAL) else { return skip(NAME, NEEDED) };
        let home = home_on(&mut device);
        let (server, api) = home.start_with_api();
        let Some(throttle) = Throttle::of(&server, &device) else { return skip(NAME, NEEDED) };
        let (mut alice, mut bob) = (server.binary("alice").await, server.binary("bob").await);
        send_and_read(&mut alice, &mut bob, "fast").await;
        // One write in a second, and many of them in one sync.
        throttle.allow(1);
        let mut asked = Vec::new();
        for number in 0..8 {
            asked.push(alice.ask(command::SEND, &send_body("carol", &format!("m{number}"), &[b'x'; 60_000])).await);
        }
        let pending = || api.sample("mushan_pending_effects{shard=\"0\"}");
        wait_for("the metric of the alert", || (pending() > 0.0).then_some(()));
        let synced = api.sample("mushan_log_syncs_total{");
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert!(pending() > 0.0 && api.sample("mushan_log_syncs_total{") <= synced + 1.0, "a sync does not end");
        assert_eq!(bob.sync(0, 10).await.number("error_code"), SUCCESS, "reads go on");
        throttle.allow(1_000_000);
        for sequence in asked {
            alice.answer(sequence).await.expect("what waited is answered");
        }
        drop(throttle);
        assert!(server.stop().status.success());
        device.unmount();
    });
}
