//! `mushan top` in a real terminal (a pseudo-terminal, whose screen a terminal emulator keeps) on a real server.

use crate::common::{Home, PATIENCE, mushan, run, wait_for};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A terminal with one program in it.
struct Screen {
    ours: File,
    /// Kept open, so that the terminal outlives its program.
    theirs: File,
    shown: Arc<Mutex<vt100::Parser>>,
    child: Child,
}

fn size(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).expect("a size")
}

impl Screen {
    fn start(mut command: Command, rows: u16, columns: u16) -> Self {
        let ours: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("a name").into_string().expect("text");
        let theirs = File::options().read(true).write(true).open(name).expect("its other side");
        let (ours, copy) = (File::from(ours), || Stdio::from(theirs.try_clone().expect("a copy")));
        command.stdin(copy()).stdout(copy()).stderr(copy());
        // SAFETY: between fork and exec only two system calls are made, and nothing is allocated.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
                Ok(())
            });
        }
        let shown = Arc::new(Mutex::new(vt100::Parser::new(size(rows), size(columns), 0)));
        let (mut reader, parser) = (ours.try_clone().expect("a copy"), shown.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                parser.lock().expect("no panic").process(&bytes[..length]);
            }
        });
        let mut screen = Self { ours, child: command.spawn().expect("it runs"), theirs, shown };
        screen.resize(rows, columns);
        screen
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        let window = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.ours, window).expect("a terminal");
        self.shown.lock().expect("no panic").screen_mut().set_size(size(rows), size(columns));
    }

    fn text(&self) -> String {
        self.shown.lock().expect("no panic").screen().contents()
    }

    fn is_alternate(&self) -> bool {
        self.shown.lock().expect("no panic").screen().alternate_screen()
    }

    /// Whether typed letters are echoed, line by line, as in a shell.
    fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.theirs).expect("a terminal").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    fn press(&mut self, keys: &[u8]) {
        self.ours.write_all(keys).expect("a terminal");
    }

    /// The end of the program, and whether the terminal is as before.
    fn end(mut self) {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(started.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        assert!(status.success(), "{status}: {}", self.text());
        wait_for("the screen as it was", || (!self.is_alternate()).then_some(()));
        assert!(self.is_cooked(), "lines are edited and echoed again");
        let is_hidden = self.shown.lock().expect("no panic").screen().hide_cursor();
        assert!(!is_hidden, "the cursor is back");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn top(home: &Home) -> Command {
    let mut command = mushan();
    command.arg("top").arg("--data-dir").arg(home.data_dir()).env("TERM", "xterm-256color");
    command
}

/// The number before a word on the screen.
fn number_before(text: &str, word: &str) -> Option<u64> {
    text.split(word)
        .next()?
        .split_whitespace()
        .next_back()?
        .trim_start_matches('│')
        .parse()
        .ok()
        .filter(|_| text.contains(word))
}

#[tokio::test]
async fn numbers_move_in_a_terminal_of_any_size_and_the_terminal_is_restored() {
    let home = Home::new().with_shards(2);
    let server = home.start();
    let (mut alice, _bob) = (server.rpc("alice").await, server.rpc("bob").await);
    let mut screen = Screen::start(top(&home), 24, 140);
    wait_for("the picture", || (screen.text().contains("ready since") && screen.is_alternate()).then_some(()));
    assert!(!screen.is_cooked(), "keys are read one by one");
    let started = Instant::now();
    let mut number = 0;
    // Messages, until their rate is seen.
    while number_before(&screen.text(), " messages/s").is_none_or(|rate| rate == 0) {
        alice.send("bob", &format!("m{number}"), json!({"type": 1, "content": "good morning"})).await;
        number += 1;
        assert!(started.elapsed() < PATIENCE, "{}", screen.text());
    }
    wait_for("the sessions", || (number_before(&screen.text(), " sessions ") == Some(2)).then_some(()));
    wait_for("rest", || (number_before(&screen.text(), " messages/s") == Some(0)).then_some(()));
    // In another size, the same picture is drawn anew.
    screen.resize(12, 60);
    wait_for("the narrow picture", || {
        let text = screen.text();
        let width = text.lines().next()?.trim_end().chars().count();
        (text.starts_with('┌') && width == 60).then_some(())
    });
    screen.resize(40, 160);
    wait_for("the wide one", || screen.text().contains("followers and backup").then_some(()));
    // While the server is away, keys work, and the picture says so.
    drop(server.stop());
    wait_for("the loss", || screen.text().contains("no answer: ").then_some(()));
    screen.press(b"q");
    screen.end();
}

#[test]
fn an_interrupt_and_a_signal_end_it_as_a_key_does() {
    let home = Home::new().with_shards(1);
    let _server = home.start();
    for end in ["interrupt", "signal"] {
        let mut screen = Screen::start(top(&home), 24, 100);
        wait_for("the picture", || screen.text().contains("shards").then_some(()));
        if end == "interrupt" {
            screen.press(b"\x03");
        } else {
            let pid = rustix::process::Pid::from_child(&screen.child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
        }
        screen.end();
    }
}

#[test]
fn without_a_terminal_or_a_server_it_says_so_and_changes_nothing() {
    let home = Home::new().with_shards(1);
    let server = home.start();
    let output = run(top(&home));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("needs a terminal") && errors.contains("mushan status") && output.stdout.is_empty(),
        "{errors}"
    );
    drop(server.stop());
    let mut screen = Screen::start(top(&home), 24, 100);
    let status = screen.child.wait().expect("a child");
    assert_eq!(status.code(), Some(1));
    wait_for("the reason", || screen.text().contains("no server").then_some(()));
    assert!(!screen.is_alternate() && screen.is_cooked());
}
