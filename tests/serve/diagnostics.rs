//! What a server says on its standard streams, and that nothing about these ends it or holds it up.

use crate::common::{Home, Server, mushan, run, wait_for};
use std::fs::File;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write};
use std::process::{Child, Command, Stdio};

/// Serves with this standard error and every line that there is, is used, and stops when it is asked to.
async fn serves_and_stops(errors: Stdio) {
    let home = Home::new();
    let mut command = home.serve("127.0.0.1:0");
    command.args(["--log-level", "trace"]);
    let server = Server::try_start_with(command, errors).expect("it starts");
    let mut client = server.rpc("alice").await;
    for number in 0..20 {
        let params = serde_json::json!({"clientMsgNo": format!("m{number}"), "channelId": "bob", "channelType": 1,
            "payload": {"type": 1, "content": "hello"}});
        client.result("send", params).await;
    }
    // An answer of the API is one more thing that is worth a line at this level.
    assert_eq!(home.api().get("/healthz").status, 200);
    server.signal("HUP");
    let exit = server.stop();
    assert_eq!(exit.status.code(), Some(0), "{:?}", exit.status);
    assert!(exit.output.contains("stopped: "), "{}", exit.output);
}

fn lines_lost(home: &Home) -> u64 {
    let metrics = home.api().get("/metrics").body;
    let line = metrics.lines().find(|line| line.starts_with("mushan_diagnostics_lost_total "));
    line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or_else(|| panic!("no such metric: {metrics}"))
}

/// A pipe that holds not one byte more, and its other end, from which nobody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let flags = rustix::fs::fcntl_getfl(&writer).expect("our own pipe");
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).expect("our own pipe");
    loop {
        match writer.write(&[b'.'; 512]).map_err(|error| error.kind()) {
            Ok(_taken) => {}
            Err(ErrorKind::WouldBlock) => break,
            Err(kind) => panic!("{kind}"),
        }
    }
    rustix::fs::fcntl_setfl(&writer, flags).expect("our own pipe");
    (reader, writer)
}

#[tokio::test]
async fn a_server_lives_on_when_nobody_is_left_to_read_its_errors() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    serves_and_stops(writer.into()).await;
}

#[tokio::test]
async fn a_server_lives_on_when_the_disk_of_its_errors_is_full() {
    serves_and_stops(File::options().write(true).open("/dev/full").expect("it is there").into()).await;
}

#[tokio::test]
async fn a_server_is_not_held_up_by_a_pipe_that_nobody_reads() {
    let (_held, writer) = full_pipe();
    serves_and_stops(writer.into()).await;
}

#[test]
fn lines_that_cannot_be_written_are_counted() {
    let home = Home::new();
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    let mut command = home.serve("127.0.0.1:0");
    command.args(["--log-level", "info"]);
    let server = Server::try_start_with(command, full.into()).expect("it starts");
    wait_for("lost lines", || (lines_lost(&home) > 0).then_some(()));
    assert_eq!(server.stop().status.code(), Some(0));
}

/// As under a supervisor that gives both streams one pipe and hangs.
#[test]
fn a_server_starts_and_stops_though_both_streams_are_stuck() {
    let home = Home::new();
    let (_held, writer) = full_pipe();
    let output = writer.try_clone().expect("a descriptor");
    let mut command = home.serve("127.0.0.1:0");
    command.args(["--log-level", "debug"]);
    let mut child = Killed(command.stdout(output).stderr(writer).spawn().expect("the binary can be run"));
    wait_for("the API to be up", || home.data_dir().join("admin-url").exists().then_some(()));
    wait_for("it to be ready", || (home.api().get("/readyz").status == 200).then_some(()));
    let told = Command::new("/bin/sh").args(["-c", &format!("kill -TERM {}", child.0.id())]).status();
    assert!(told.expect("a shell").success());
    let status = wait_for("the end", || child.0.try_wait().expect("our own child"));
    assert_eq!(status.code(), Some(0), "{status}");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_hangup_without_a_keys_file_changes_nothing() {
    let home = Home::new();
    let mut command = home.serve("127.0.0.1:0");
    command.args(["--log-level", "info"]);
    let server = Server::try_start(command).expect("it starts");
    server.signal("HUP");
    wait_for("the line about it", || server.errors().contains("SIGHUP is ignored").then_some(()));
    assert_eq!(home.api().get("/readyz").status, 200);
    assert_eq!(server.stop().status.code(), Some(0));
}

#[test]
fn how_much_is_logged_is_a_flag_or_a_variable_and_the_flag_wins() {
    let said = |flag: Option<&str>, variable: &str| {
        let home = Home::new();
        let mut command = home.serve("127.0.0.1:0");
        command.args(flag.map(|level| ["--log-level", level]).into_iter().flatten()).env("RUST_LOG", variable);
        Server::try_start(command).expect("it starts").stop().errors
    };
    assert!(said(None, "info").contains("serving"));
    assert!(!said(Some("error"), "info").contains("serving"));
    assert!(said(None, "mushan=loud").contains("RUST_LOG is invalid"));
    let mut command = mushan();
    command.args(["serve", "--log-level", "loud"]);
    assert_eq!(run(command).status.code(), Some(1));
}
