//! The commands of docs/OPERATIONS.md, run in its order as they stand there against a real server. Only what stands for the
//! reader's own (directories, names, addresses) is replaced. This test is the service manager: it does what systemctl is told.

use crate::common::receiver::Receiver;
use crate::common::tls::Authority;
use crate::common::{Home, Server, run, wait_for};
use crate::document::{is_test, operations};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CHAIN: &str = "chain.pem";

/// Programs with which a command between backticks begins.
const PROGRAMS: [&str; 8] = ["mushan", "kill", "systemctl", "journalctl", "iostat", "dmesg", "chronyc", "ssh"];

/// What this test does not run: how the command begins, and why.
const ELSEWHERE: [(&str, &str); 13] = [
    (
        "apt-get install",
        "installs into this machine; `tests/operate/packages.rs::the_debian_package_holds_a_server_that_starts`",
    ),
    ("curl -sO https://", "another machine's server"),
    ("docker run", "there is no container engine in a test"),
    ("ssh -L", "another machine"),
    ("journalctl", "the journal of systemd"),
    ("systemctl status", "systemd"),
    ("cp /usr/lib/systemd/system", "systemd"),
    ("systemctl edit", "an editor"),
    ("dmesg", "the kernel's log belongs to root"),
    ("iostat", "runs until it is ended, and is seldom installed"),
    ("chronyc", "the host's clock"),
    (
        "mushan top",
        "a terminal; `tests/operate/watch/top.rs::numbers_move_in_a_terminal_of_any_size_and_the_terminal_is_restored`",
    ),
    ("mushan bench", "measures for half a minute; .ci/run runs its scenarios"),
];

/// Commands that say by status 1 what they find on this machine.
const JUDGES: [&str; 3] = ["mushan tune", "mushan doctor", "mushan token --check"];

/// The commands of a document: lines of blocks without a language, and codes that begin with a program. A code that is only the
/// beginning of another command mentions it.
fn commands(document: &str) -> Vec<String> {
    let parts = || document.split("```").enumerate();
    let blocks = parts().filter(|(number, _)| number % 2 == 1).filter_map(|(_, block)| block.strip_prefix('\n'));
    let in_blocks: Vec<String> =
        blocks.flat_map(|block| block.replace("\\\n", " ").lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let is_mention = |code: &str| {
        let codes = document.split('`').map(|code| code.replace('\n', " "));
        in_blocks.iter().cloned().chain(codes).any(|other| other.starts_with(&format!("{code} ")))
    };
    let is_command = |code: &String| {
        code.split_once(' ').is_some_and(|(program, _)| PROGRAMS.contains(&program)) && !is_mention(code)
    };
    let mut blocks = in_blocks.iter();
    let mut found = Vec::new();
    for (number, part) in parts() {
        if number % 2 == 0 {
            let codes = part.split('`').skip(1).step_by(2).map(|code| code.replace('\n', " "));
            found.extend(codes.filter(is_command));
        } else if let Some(block) = part.strip_prefix('\n') {
            found.extend(blocks.by_ref().take(block.replace("\\\n", " ").lines().count()).cloned());
        }
    }
    found
}

/// A server that this test manages, and where the names in the document lead.
struct Managed {
    directory: TempDir,
    home: Home,
    server: Option<Server>,
    backups: usize,
    _receiver: Receiver,
}

impl Managed {
    fn new() -> Self {
        let (directory, receiver) = (tempfile::tempdir().expect("a directory"), Receiver::start());
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("secret"), SECRET).expect("written");
        std::fs::set_permissions(path("secret"), std::fs::Permissions::from_mode(0o600)).expect("its mode");
        let config = format!(
            "[server]\nsegment_bytes = 1048576\n[[webhooks]]\nname = \"orders\"\nurl = \"{}\"\nsecret_file = \"{}\"\n",
            receiver.url(),
            path("secret").display()
        );
        std::fs::write(path("mushan.toml"), &config).expect("written");
        std::fs::write(path("default.json"), "{\"syscalls\": []}").expect("written");
        std::fs::write(path(".curlrc"), "fail\n").expect("written");
        std::fs::write(path(CHAIN), Authority::new().issue().certificate).expect("written");
        let home = Home::new().with_config(&config).with_shards(2);
        // What a command takes for the data directory if it is not told another one.
        std::os::unix::fs::symlink(home.data_dir(), path("mushan-data")).expect("a link");
        let server = Some(home.start());
        Self { directory, home, server, backups: 0, _receiver: receiver }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The command with this test's own directories, names and addresses.
    fn own(&mut self, command: &str) -> String {
        self.backups += usize::from(command.contains("--to BACKUP"));
        let shown = |path: PathBuf| path.display().to_string();
        let mut own = vec![
            ("/etc/mushan/mushan.toml", shown(self.path("mushan.toml"))),
            ("/etc/mushan/chain.pem", shown(self.path(CHAIN))),
            ("DATA_DIR", shown(self.home.data_dir())),
            ("BACKUP", shown(self.path(&format!("backup-{}", self.backups)))),
            ("RESTORED", shown(self.path("restored"))),
            ("COPY", shown(self.path("copy"))),
            ("FILE", shown(self.path("bundle"))),
            ("DIR", shown(self.path("pages"))),
            ("SHELL", "bash".to_owned()),
            ("USER", "dave".to_owned()),
            ("NAME", "orders".to_owned()),
            ("60s", "1s".to_owned()),
        ];
        if let Some(server) = &self.server {
            own.push(("$(pidof mushan)", server.pid().to_string()));
            own.push((":8081", format!(":{}", server.address.port())));
            own.push(("127.0.0.1:8080", server.api().address.to_string()));
            own.push(("TOKEN", server.token("alice")));
        }
        own.into_iter().fold(command.to_owned(), |command, (name, ours)| command.replace(name, &ours))
    }

    /// Another server instead of the one that runs, which ends well.
    fn take_over(&mut self) {
        let server = self.server.take().expect("it runs");
        let mut serve = self.home.serve(&server.address.to_string());
        serve.arg("--take-over=if-running");
        self.server = Some(Server::try_start(serve).unwrap_or_else(|said| panic!("{said}")));
        assert!(server.wait().status.success());
    }

    fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            let exit = server.stop();
            assert!(exit.status.success(), "{}", exit.errors);
        }
    }

    /// What systemd does with the unit that is shipped; whether it is that.
    fn manage(&mut self, command: &str) -> bool {
        match command {
            "systemctl start mushan" | "systemctl enable --now mushan" => {
                self.server.get_or_insert_with(|| self.home.start());
            }
            "systemctl stop mushan" => self.stop(),
            "systemctl daemon-reload" => {}
            "systemctl start mushan-b" => self.take_over(),
            "systemctl restart mushan" => {
                self.stop();
                self.server = Some(self.home.start());
            }
            "systemctl reload mushan" => self.server.as_ref().expect("it runs").signal("HUP"),
            _ => return false,
        }
        true
    }

    /// A server in the foreground, which is ended as soon as it serves.
    fn serve(&self, arguments: &str) {
        let mut serve = Command::new(env!("CARGO_BIN_EXE_mushan"));
        serve.args(arguments.split(' ')).args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        serve.current_dir(self.directory.path());
        let server = Server::try_start(serve).unwrap_or_else(|said| panic!("{arguments}: {said}"));
        assert!(server.stop().status.success());
    }

    fn shell(&self, command: &str) -> std::process::Output {
        let bin = Path::new(env!("CARGO_BIN_EXE_mushan")).parent().expect("it is in a directory");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", command]).current_dir(self.directory.path());
        shell.env("PATH", format!("{}:{path}", bin.display())).env("CURL_HOME", self.directory.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSHAN_")) {
            shell.env_remove(name);
        }
        run(shell)
    }

    fn run(&mut self, command: &str) {
        let own = self.own(command);
        if own.starts_with("mushan serve --take-over") {
            return self.take_over();
        }
        if let Some(arguments) = own.strip_prefix("mushan ").filter(|rest| rest.starts_with("serve ")) {
            return self.serve(arguments);
        }
        let program = own.split(' ').next().expect("a program");
        if !self.shell(&format!("command -v {program}")).status.success() {
            return println!("{program} is not here: {command}");
        }
        let output = self.shell(&own);
        let is_judge = JUDGES.iter().any(|judge| command.starts_with(judge));
        let is_fine = output.status.success() || is_judge && output.status.code() == Some(1);
        assert!(is_fine, "{command}\n{own}\n{output:?}");
        if command.starts_with("mushan reshard") {
            self.home.set_shards(4);
        }
        // Both end the server, which ends well.
        if command.starts_with("mushan drain") || command.starts_with("kill -TERM") {
            let server = self.server.take().expect("it runs");
            assert!(server.wait().status.success(), "{command}");
        }
    }
}

#[test]
fn every_command_of_the_document_runs_as_it_stands_there() {
    let commands = commands(&operations());
    assert!(commands.len() > 50, "the document was not understood: {commands:#?}");
    for (beginning, why) in ELSEWHERE {
        assert!(commands.iter().any(|command| command.starts_with(beginning)), "{beginning} is not in the document");
        let tests: Vec<&str> = why.split('`').skip(1).step_by(2).collect();
        assert!(tests.into_iter().all(is_test), "{why}");
    }
    let mut managed = Managed::new();
    for command in &commands {
        if ELSEWHERE.iter().any(|(beginning, _)| command.starts_with(beginning)) || managed.manage(command) {
            continue;
        }
        println!("{command}");
        managed.run(command);
    }
    managed.stop();
    let left = std::fs::read_to_string(managed.path("io_uring.json")).unwrap_or_default();
    assert!(left.is_empty() || left.contains("io_uring_enter"), "{left}");
}

#[test]
fn a_command_that_is_wrong_is_found_and_a_mention_is_none() {
    let document = "```\nmushan status \\\n  --json\nls\n```\n`mushan status` and `mushan user show USER`, `fsync`\n```yaml\nmushan: x\n```\n";
    assert_eq!(commands(document), ["mushan status    --json", "ls", "mushan user show USER"]);
    let mut managed = Managed::new();
    let told = wait_for("a status", || Some(managed.shell("mushan status --jsn")));
    assert!(!told.status.success());
    let wrong = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| managed.run("mushan status --jsn")));
    assert!(wrong.is_err(), "a command that does not run is told");
}
