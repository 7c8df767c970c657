//! A real disk that fails for a moment: the server's data is on ext4 on a zram device whose memory is taken away. The
//! page cache keeps bytes that never reached the device, and a start must not mark these durable.
//!
//! The tests need root, zram and mkfs.ext4. Where one of them is missing they say so on stderr and pass.

use crate::common::binary::{SUCCESS, command, send_body};
use crate::common::model::testing::chance::Chance;
use crate::common::mounts::{skip, with_own_devices};
use crate::common::zram::{NEEDED, NO_JOURNAL, Zram};
use crate::common::{Home, Server, mushan, run};
use std::path::PathBuf;

/// Messages that the device does not take.
const LOST: u64 = 8;
/// Like ext2, which cannot preallocate space.
const NO_EXTENTS: &str = "^has_journal,^extents,^64bit,^metadata_csum,^flex_bg";

/// Bytes that the device cannot compress.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    std::iter::repeat_with(|| chance.next() as u8).take(bytes).collect()
}

async fn inbox(server: &Server) -> Vec<String> {
    let mut alice = server.binary("alice").await;
    alice.inbox().await.iter().map(|entry| entry.text("client_msg_id")).collect()
}

/// A home whose data directory is on the device, and where that is mounted.
fn home_on(device: &mut Zram) -> (Home, PathBuf) {
    let config = "[server]\nsegment_bytes = 1048576\n[log]\nreserve_bytes = 1048576\n\
        [durability]\ncommit_delay_ms = 300\n";
    let home = Home::new().with_config(config).with_shards(1);
    let at = device.hold(&home);
    (home, at)
}

#[test]
fn a_file_system_without_preallocation_is_refused_with_the_remedy() {
    const NAME: &str = "failing::a_file_system_without_preallocation_is_refused_with_the_remedy";
    with_own_devices(NAME, async {
        let Some(mut device) = Zram::make(NO_EXTENTS) else { return skip(NAME, NEEDED) };
        let (home, _) = home_on(&mut device);
        let refused = Server::try_start(home.serve("127.0.0.1:0")).err().expect("it cannot be used");
        assert!(refused.contains("fallocate") && refused.contains("ext4, xfs"), "{refused}");
        assert!(refused.starts_with("exit status: 3"), "{refused}");
    });
}

#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_not_marked_durable() {
    const NAME: &str = "failing::what_a_failed_sync_left_in_the_page_cache_is_not_marked_durable";
    with_own_devices(NAME, async {
        let Some(mut device) = Zram::make(NO_JOURNAL) else { return skip(NAME, NEEDED) };
        let (home, at) = home_on(&mut device);
        let server = home.start();
        let mut alice = server.binary("alice").await;
        for number in 0..3 {
            assert_eq!(alice.send("bob", &format!("kept-{number}"), b"small").await.number("error_code"), SUCCESS);
        }
        device.set("mem_limit", "4K");
        // One batch that the page cache writes in several pieces; a later batch would make it write the rest as well.
        for number in 0..LOST {
            let body = send_body("bob", &format!("lost-{number}"), &noise(60 << 10, number));
            alice.ask(command::SEND, &body).await;
        }
        while alice.receive().await.is_ok() {}
        let exit = server.wait();
        assert_eq!(exit.status.code(), Some(3), "{}", exit.errors);
        device.set("mem_limit", "0");

        let server = home.start();
        let mut alice = server.binary("alice").await;
        assert_eq!(alice.send("bob", "after", b"small").await.number("error_code"), SUCCESS);
        let told = inbox(&server).await;
        assert!(told.len() >= 4 && told.last().is_some_and(|id| id == "after"), "{told:?}");
        server.kill();
        device.unmount();
        device.mount(&at);
        let mut verify = mushan();
        verify.args(["log", "verify", "--data-dir"]).arg(home.data_dir());
        let verified = run(verify);
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
        let server = home.start();
        assert_eq!(inbox(&server).await, told, "every message that was acknowledged or pushed is on the device");
        assert!(server.stop().status.success());
        device.unmount();
    });
}
