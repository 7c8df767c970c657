//! What the process tests share: a real server on its own directory and port, and clients that nobody here wrote.
//!
//! Every wait is bounded by `PATIENCE`, which is long, because the machine may be busy; nothing sleeps where it can
//! wait for something.

// Each test program uses its own part of this.
#![allow(dead_code)]
// clippy.toml's bans keep the floors pure; a test lives in the world.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod binary;
pub mod binary_fields;
pub mod http;
pub mod issuer;
pub mod keys;
pub mod model;
pub mod mounts;
pub mod raw;
pub mod receiver;
pub mod rpc;
pub mod socket;
pub mod tls;
pub mod zram;

use binary::BinaryClient;
use rpc::RpcClient;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take before a test says that it does not happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Limits that tests never run into unless they mean to, and small segments so that logs rotate.
const CONFIG: &str = "
[server]
segment_bytes = 1048576
[limits]
sends_per_second = 1000000
sends_burst = 1000000
queries_per_second = 1000000
queries_burst = 1000000
";

/// A data directory with its configuration; servers come and go on it.
pub struct Home {
    directory: Arc<TempDir>,
    config: String,
    shards: u16,
}

/// A running `mushan serve`; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    data_dir: PathBuf,
    /// The directory of a home that is dropped before its server.
    directory: Option<Arc<TempDir>>,
    output: Arc<Mutex<String>>,
    errors: Arc<Mutex<String>>,
}

/// What a server left behind.
pub struct Exit {
    pub status: ExitStatus,
    pub output: String,
    pub errors: String,
}

pub fn mushan() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mushan"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSHAN_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

impl Home {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("mushan-test-").tempdir().expect("a temporary directory");
        Self { directory: Arc::new(directory), config: CONFIG.to_owned(), shards: 2 }
    }

    /// More lines for the section `[limits]`, and for sections after it.
    pub fn with_limits(mut self, lines: &str) -> Self {
        self.config.push_str(lines);
        self
    }

    /// Segments of another size.
    pub fn with_segment_bytes(mut self, bytes: u32) -> Self {
        self.config = self.config.replace("segment_bytes = 1048576", &format!("segment_bytes = {bytes}"));
        self
    }

    /// A whole configuration instead of the usual one.
    pub fn with_config(mut self, config: &str) -> Self {
        config.clone_into(&mut self.config);
        self
    }

    pub fn with_shards(mut self, shards: u16) -> Self {
        self.shards = shards;
        self
    }

    pub fn set_shards(&mut self, shards: u16) {
        self.shards = shards;
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// `mushan serve` on this home, not started yet.
    pub fn serve(&self, listen: &str) -> Command {
        let config = self.directory.path().join("mushan.toml");
        std::fs::write(&config, &self.config).expect("the configuration can be written");
        let mut command = mushan();
        command.arg("serve").arg("--data-dir").arg(self.data_dir()).arg("--config").arg(config);
        command.args(["--listen", listen, "--admin-listen", "127.0.0.1:0", "--shards", &self.shards.to_string()]);
        command
    }

    pub fn start(&self) -> Server {
        self.start_on("127.0.0.1:0")
    }

    /// Starts a server where another one was, for clients that come back.
    pub fn start_at(&self, address: SocketAddr) -> Server {
        self.start_on(&address.to_string())
    }

    fn start_on(&self, listen: &str) -> Server {
        let server = Server::try_start(self.serve(listen));
        let mut server = server.unwrap_or_else(|said| panic!("the server did not start: {said}"));
        server.directory = Some(Arc::clone(&self.directory));
        server
    }

    /// Runs `mushan` with these arguments on the data directory, to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = mushan();
        command.args(arguments).arg("--data-dir").arg(self.data_dir());
        run(command)
    }

    pub fn token(&self, user: &str) -> String {
        self.token_for(user, "1h")
    }

    pub fn token_for(&self, user: &str, ttl: &str) -> String {
        token(&self.data_dir(), user, ttl)
    }
}

fn token(data_dir: &Path, user: &str, ttl: &str) -> String {
    let output = mushan()
        .args(["token", "--user", user, "--ttl", ttl, "--data-dir"])
        .arg(data_dir)
        .output()
        .expect("mushan token can be run");
    assert!(output.status.success(), "mushan token failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("a token is text");
    text.lines().last().expect("a last line").to_owned()
}

impl Server {
    /// A server that accepts, or what it said before it ended.
    pub fn try_start(command: Command) -> Result<Self, String> {
        Self::try_start_with(command, Stdio::piped())
    }

    /// The same with a standard error of the test's own; what is written there is not collected.
    pub fn try_start_with(mut command: Command, errors: Stdio) -> Result<Self, String> {
        let data_dir = command.get_args().skip_while(|argument| *argument != "--data-dir").nth(1);
        let data_dir = data_dir.map(PathBuf::from).unwrap_or_default();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().expect("the binary can be run");
        let output = collect(child.stdout.take().expect("piped"));
        let errors = child.stderr.take().map_or_else(Arc::default, collect);
        let address = wait_for("the server to accept", || {
            if let Some(status) = child.try_wait().expect("our own child") {
                wait_for("the last errors", || (Arc::strong_count(&errors) == 1).then_some(()));
                return Some(Err(format!("{status}: {}", errors.lock().expect("no panic inside"))));
            }
            let address = printed_address(&output.lock().expect("no panic inside"))?;
            TcpStream::connect(address).ok().map(|_| Ok(address))
        });
        Ok(Self { child, address: address?, data_dir, directory: None, output, errors })
    }

    pub fn output(&self) -> String {
        self.output.lock().expect("no panic inside").clone()
    }

    pub fn errors(&self) -> String {
        self.errors.lock().expect("no panic inside").clone()
    }

    pub fn token(&self, user: &str) -> String {
        token(&self.data_dir, user, "1h")
    }

    /// A client of the binary protocol, authenticated.
    pub async fn binary(&self, user: &str) -> BinaryClient {
        BinaryClient::login(self.address, user, &self.token(user)).await.0
    }

    /// A client of the JSON-RPC protocol, connected.
    pub async fn rpc(&self, user: &str) -> RpcClient {
        RpcClient::login(self.address, "/rpc", user, &self.token(user)).await
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; gone when this returns.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("/bin/sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(status.expect("a shell").success(), "kill -{name}");
    }

    pub fn wait(mut self) -> Exit {
        let status = wait_for("the server to end", || self.child.try_wait().expect("our own child"));
        // Both ends are closed now; the readers see it in a moment.
        wait_for("the last output", || (Arc::strong_count(&self.output) == 1).then_some(()));
        wait_for("the last errors", || (Arc::strong_count(&self.errors) == 1).then_some(()));
        let errors = self.errors.lock().expect("no panic inside").clone();
        Exit { status, output: self.output(), errors }
    }

    /// Kills it in even rounds, and stops it in the others.
    pub fn end_in_turn(self, round: usize) {
        if round.is_multiple_of(2) {
            self.kill();
        } else {
            drop(self.stop());
        }
    }

    /// Asks it to stop, and waits.
    pub fn stop(self) -> Exit {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's output\n{}--- its errors", self.output());
            eprintln!("{}---", self.errors.lock().map(|errors| errors.clone()).unwrap_or_default());
        }
    }
}

/// Reads a pipe to its end on a thread of its own; the thread's share is dropped with the pipe.
fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let share = Arc::clone(&text);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut text = share.lock().expect("no panic inside");
            text.push_str(&line);
            text.push('\n');
        }
    });
    text
}

/// The first address with a real port on 127.0.0.1 in what was printed.
fn printed_address(output: &str) -> Option<SocketAddr> {
    const HOST: &str = "127.0.0.1:";
    let ports = output.match_indices(HOST).filter_map(|(at, _)| {
        let rest = &output[at + HOST.len()..];
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        rest[..digits].parse::<u16>().ok()
    });
    ports.into_iter().find(|port| *port != 0).map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Asks again and again until there is an answer.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a command to its end, which must come.
pub fn run(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary can be run");
    let (output, errors) = (collect(child.stdout.take().expect("piped")), collect(child.stderr.take().expect("piped")));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("our own child") {
            break status;
        }
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("it does not end: {}", output.lock().expect("no panic inside"));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = |pipe: Arc<Mutex<String>>| {
        wait_for("the end of a pipe", || (Arc::strong_count(&pipe) == 1).then_some(()));
        pipe.lock().expect("no panic inside").clone().into_bytes()
    };
    Output { status, stdout: text(output), stderr: text(errors) }
}
