//! A real server: the program that KIT_SERVER names, or the one that `cargo build` made beside this test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn binary() -> PathBuf {
    let beside = || {
        let test = std::env::current_exe().expect("this program has a path");
        test.ancestors().nth(2).expect("target/PROFILE/deps").join("mushan")
    };
    let binary = std::env::var_os("KIT_SERVER").map_or_else(beside, PathBuf::from);
    assert!(binary.exists(), "{} is not there: cargo build, or name a server in KIT_SERVER", binary.display());
    binary
}

pub struct TestServer {
    directory: TempDir,
    child: Option<Child>,
    address: String,
}

impl TestServer {
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("mushan-kit-").tempdir().expect("a temporary directory");
        let mut server = Self { directory, child: None, address: "127.0.0.1:0".to_owned() };
        server.start_again();
        server
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Where the one before it was.
    pub fn start_again(&mut self) {
        let mut command = self.command(&["serve"]);
        command.args(["--listen", &self.address, "--admin-listen", "127.0.0.1:0", "--shards", "2", "--profile", "dev"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server can be run");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        self.child = Some(child);
        let mut lines = output.lines().map_while(Result::ok);
        let address = lines.find_map(|line| {
            let rest = line.split_once("listening on ")?.1;
            rest.split_whitespace().next().map(str::to_owned)
        });
        self.address = address.expect("the server says where it listens");
        // It is written to until it ends.
        std::thread::spawn(move || lines.for_each(drop));
    }

    /// `kill -9`, and the end of the process.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child");
            child.wait().expect("our own child");
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--data-dir").arg(self.directory.path().join("data")).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the server's tools can be run");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    pub fn token(&self, user: &str) -> String {
        self.run(&["token", "--user", user])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again and again until it is so.
pub async fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
