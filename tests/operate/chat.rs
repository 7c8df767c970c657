//! `mushan chat` on a real server: one conversation at a time, whatever else is in the inbox, and through a restart.

use crate::common::{Home, Server, mushan, run, wait_for};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn chat(home: &Home, server: &Server, arguments: &[&str]) -> Command {
    let mut command = mushan();
    command.arg("chat").args(arguments).arg("--data-dir").arg(home.data_dir());
    command.arg("--url").arg(format!("ws://{}", server.address));
    command
}

/// What a chat prints that has nothing to say.
fn shown(command: Command) -> Vec<String> {
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    lines.lines().map(str::to_owned).collect()
}

fn group(home: &Home, arguments: &[&str]) {
    let output = home.run(&[&["group"], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn one_conversation_is_shown_whatever_else_is_in_the_inbox() {
    let home = Home::new();
    let server = home.start();
    let login = async |user: &str| server.rpc(user).await;
    let (mut alice, mut bob, mut carol) = (login("alice").await, login("bob").await, login("carol").await);
    let text = |text: &str| json!({"type": 1, "content": text});
    group(&home, &["create", "team", "--owner", "alice", "--members", "bob"]);
    alice.send("bob", "1", text("one")).await;
    let id = bob.send("alice", "2", text("two")).await["result"]["messageId"].clone();
    carol.send("bob", "3", text("secret")).await;
    alice.call("receipt", json!({"channelId": "bob", "channelType": 1, "messageIds": [id.clone()]})).await;
    bob.call("revoke", json!({"channelId": "alice", "channelType": 1, "messageId": id})).await;
    alice
        .call("send", json!({"clientMsgNo": "4", "channelId": "team", "channelType": 2, "payload": text("all")}))
        .await;
    drop((alice, bob, carol));
    for (protocol, peer, expected) in [
        ("binary", ["--to", "alice"], "alice: one"),
        ("jsonrpc", ["--to", "alice"], "alice: one"),
        ("binary", ["--group", "team"], "alice: all"),
        ("jsonrpc", ["--group", "team"], "alice: all"),
    ] {
        // What one protocol has shown the other does not show again; so each has a directory of its own.
        std::fs::remove_dir_all(home.data_dir().join("chat")).ok();
        let arguments = [&["--user", "bob", "--protocol", protocol][..], &peer].concat();
        let lines = shown(chat(&home, &server, &arguments));
        assert!(lines.iter().any(|line| line == expected), "{protocol}: {lines:?}");
        assert!(lines.iter().any(|line| line == "* alice created the group team with alice, bob"), "{lines:?}");
        let elsewhere = lines.iter().any(|line| line.starts_with("* carol wrote to you (mushan chat "));
        assert!(elsewhere && !lines.iter().any(|line| line.contains("secret")), "{protocol}: {lines:?}");
        assert_eq!(shown(chat(&home, &server, &arguments)), [""; 0], "it has been shown");
    }
    let told = run(chat(&home, &server, &["--user", "bob"]));
    assert_eq!(told.status.code(), Some(1), "with nobody to talk to");
}

/// A chat that runs, and the lines that it prints.
struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Talk {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it runs");
        let (sender, lines) = channel();
        let output = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { input: child.stdin.take(), child, lines }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("not ended"), "{line}").expect("it reads");
    }

    fn hears(&self, expected: &str) {
        let line = self.lines.recv_timeout(crate::common::PATIENCE).expect("a line");
        assert_eq!(line, expected);
    }

    /// Ends its input, and gives what it still printed.
    fn end(mut self) -> Vec<String> {
        self.input = None;
        let status = wait_for("the chat to end", || self.child.try_wait().expect("our own child"));
        assert_eq!(status.code(), Some(0));
        let rest = std::iter::from_fn(|| self.lines.recv_timeout(Duration::from_secs(5)).ok());
        rest.collect()
    }
}

#[test]
fn a_talk_goes_on_after_the_server_was_killed_or_stopped() {
    let home = Home::new();
    let mut server = home.start();
    let peers = |one: &'static str, other: &'static str, protocol: &'static str| {
        ["--user", one, "--to", other, "--protocol", protocol]
    };
    let mut alice = Talk::start(chat(&home, &server, &peers("alice", "bob", "binary")));
    let mut bob = Talk::start(chat(&home, &server, &peers("bob", "alice", "jsonrpc")));
    alice.say("1");
    bob.hears("alice: 1");
    for round in 0..2 {
        let address = server.address;
        if round == 0 {
            server.kill()
        } else {
            drop(server.stop())
        }
        // Said while nobody listens, and while both come back.
        let (one, other) = (format!("a{round}"), format!("b{round}"));
        alice.say(&one);
        server = home.start_at(address);
        bob.say(&other);
        bob.hears(&format!("alice: {one}"));
        alice.hears(&format!("bob: {other}"));
    }
    assert_eq!((alice.end(), bob.end()), (Vec::new(), Vec::new()), "nothing is shown twice");
}

#[test]
fn after_the_end_of_input_a_server_that_is_gone_is_not_waited_for() {
    let home = Home::new();
    let server = home.start();
    let mut alice = Talk::start(chat(&home, &server, &["--user", "alice", "--to", "bob", "--receive", "1"]));
    alice.say("hello");
    let heard = shown(chat(&home, &server, &["--user", "bob", "--to", "alice", "--receive", "1"]));
    assert_eq!(heard, ["alice: hello"]);
    alice.input = None;
    server.kill();
    let status = wait_for("the chat to give up", || alice.child.try_wait().expect("our own child"));
    assert_eq!(status.code(), Some(1));
}

#[test]
fn lines_are_stored_in_their_order_also_where_the_server_refuses_some_for_a_while() {
    let home = Home::new().with_config("[limits]\nsends_per_second = 20\n");
    let server = home.start();
    let mut alice = Talk::start(chat(&home, &server, &["--user", "alice", "--to", "bob"]));
    let lines: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    lines.iter().for_each(|line| alice.say(line));
    assert_eq!(alice.end(), [""; 0]);
    let expected: Vec<String> = lines.iter().map(|line| format!("alice: {line}")).collect();
    assert_eq!(shown(chat(&home, &server, &["--user", "bob", "--to", "alice"])), expected);
}
