//! What packages are made of: manual pages, completions, the unit and what it promises its manager, containers.

use crate::common::{Home, Server, mushan, run, wait_for};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_command_has_a_manual_page_and_every_shell_its_completions() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut pages = Command::new("bash");
    pages.arg(root().join("packaging/pages")).arg(env!("CARGO_BIN_EXE_mushan")).arg(directory.path());
    let output = run(pages);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| {
        std::fs::read_to_string(directory.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for page in ["man/mushan.1", "man/mushan-serve.1", "man/mushan-user-disable.1"] {
        assert!(read(page).contains(".TH"), "{page}");
    }
    for script in ["mushan.bash", "_mushan", "mushan.fish"] {
        assert!(read(script).contains("revoke-tokens"), "{script}");
    }
    // What a package installs is in the repository or was just written.
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let assets = manifest.split_once("assets = [").expect("assets").1.split_once("\n]").expect("an end").0;
    for source in assets.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next()) {
        let generated = source.strip_prefix("target/package/").map(|name| name.replace("*.1", "mushan.1"));
        let is_there = match generated {
            Some(name) => directory.path().join(name).exists(),
            None => source == "target/release/mushan" || root().join(source).exists(),
        };
        assert!(is_there, "{source}");
    }
    for document in ["tuning/alerts/mushan.yml", "tuning/grafana/mushan.json", "docs/OPERATIONS.md"] {
        assert!(assets.contains(document), "who has the package alone finds {document}");
    }
    let mut check = mushan();
    check.args(["check", "--config"]).arg(root().join("packaging/mushan.toml"));
    assert!(run(check).status.success(), "the packaged configuration is valid");
}

#[test]
fn the_manager_is_told_of_the_start_the_drain_and_the_stop() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(crate::common::PATIENCE)).expect("a socket");
    let told = || {
        let mut text = [0; 512];
        let length = manager.recv(&mut text).expect("told");
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let home = Home::new().with_config("[server]\ndrain_ms = 100\n").with_shards(1);
    let mut command = home.serve("127.0.0.1:0");
    command.env("NOTIFY_SOCKET", &path);
    let server = Server::try_start(command).expect("it starts");
    assert_eq!(told().trim(), "READY=1");
    server.signal("TERM");
    let stopping = told();
    assert!(stopping.contains("STOPPING=1") && stopping.contains("EXTEND_TIMEOUT_USEC=35100000"), "{stopping}");
    assert!(server.wait().status.success());
}

/// One thread of the server is stopped, as a fault in it would: the others go on.
#[test]
fn a_shard_that_is_stuck_is_told_by_health_and_no_longer_to_the_watchdog() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(2))).expect("a socket");
    let told = || {
        let mut text = [0; 512];
        manager.recv(&mut text).map(|length| String::from_utf8_lossy(&text[..length]).trim().to_owned()).ok()
    };
    let home = Home::new().with_shards(2);
    let mut command = home.serve("127.0.0.1:0");
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "600000");
    let server = Server::try_start(command).expect("it starts");
    assert_eq!([told(), told(), told()].map(Option::unwrap_or_default), ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    let stopped = StoppedThread::of(server.pid(), "mushan-1");
    wait_for("the silence", || told().is_none().then_some(()));
    let answer = server.api().get("/healthz");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains('1'), "{}", answer.body);
    wait_for("the reason", || server.errors().contains("shards are stuck").then_some(()));
    drop(stopped);
    wait_for("the watchdog", || (told()? == "WATCHDOG=1").then_some(()));
    assert_eq!(server.api().get("/healthz").status, 200);
}

/// A thread that a debugger has stopped; it goes on when this is dropped.
struct StoppedThread(i32);

impl StoppedThread {
    fn of(pid: u32, name: &str) -> Self {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process").flatten();
        let mut named = threads
            .filter(|thread| std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
        let thread = named.next().unwrap_or_else(|| panic!("no thread {name}"));
        let id: i32 = thread.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number");
        // SAFETY: both calls take a thread of a child of this process and no memory.
        let stopped =
            unsafe { libc::ptrace(libc::PTRACE_SEIZE, id, 0, 0) | libc::ptrace(libc::PTRACE_INTERRUPT, id, 0, 0) };
        assert_eq!(stopped, 0, "{}", std::io::Error::last_os_error());
        Self(id)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        let mut status = 0;
        // SAFETY: waits for the stop of the thread that was interrupted, and lets it go on; `status` outlives the call.
        unsafe {
            libc::waitpid(self.0, &mut status, libc::__WALL);
            libc::ptrace(libc::PTRACE_DETACH, self.0, 0, 0);
        }
    }
}

#[test]
fn check_says_what_room_there_is_and_whether_outboxes_fit() {
    let room = |bytes: &str| {
        let output = run({
            let mut check = mushan();
            check.arg("check").env("MUSHAN_SERVER__OUTBOX_BYTES_TOTAL_MAX", bytes);
            check
        });
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().find(|line| line.starts_with("# room ")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let usual = room("0");
    assert!(usual.contains("MiB (") && !usual.contains("more than half"), "{usual}");
    assert!(room("9000000000000000").contains("more than half of the memory"), "{}", room("9000000000000000"));
}

/// A package as it is installed: only where the tool that makes it is.
#[test]
fn the_debian_package_holds_a_server_that_starts() {
    let Ok(deb) = std::env::var("MUSHAN_TEST_DEB") else {
        let how = "`just deb` makes one where cargo-deb is installed, which the gate does not build";
        return eprintln!("skipped: MUSHAN_TEST_DEB names no package: {how}");
    };
    let directory = tempfile::tempdir().expect("a directory");
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(&deb).arg(directory.path());
    assert!(run(unpack).status.success(), "{deb}");
    for file in ["lib/systemd/system/mushan.service", "usr/lib/systemd/system/mushan.service"] {
        if let Ok(unit) = std::fs::read_to_string(directory.path().join(file)) {
            assert!(unit.contains("Type=notify"), "{unit}");
        }
    }
    let home = Home::new().with_shards(1);
    let mut command = Command::new(directory.path().join("usr/bin/mushan"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--shards", "1", "--data-dir"]);
    command.arg(home.data_dir());
    command.env("MUSHAN_CONFIG", directory.path().join("etc/mushan/mushan.toml"));
    let server = Server::try_start(command).expect("it starts");
    wait_for("health", || (server.api().get("/healthz").status == 200).then_some(()));
    assert!(server.stop().status.success());
}
