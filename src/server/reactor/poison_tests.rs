//! A disk that fails to sync, for real: under a running server the newest log's descriptor is replaced by a pipe's, on
//! which fdatasync fails. Writes go through the map and succeed, as they do on a dying disk.

use crate::model::{Limits, Millis, ShardId, UserId};
use crate::server::{Durability, Options, RunError, Secret, Server, serve};
use crate::shard::{Placement, Upkeep};
use crate::wire::token;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tungstenite::{Message, WebSocket};

const TIMEOUT: Duration = Duration::from_secs(30);
const SHARDS: u16 = 2;
const SEGMENT_BYTES: u32 = 1 << 20;
const POLL: Duration = Duration::from_millis(1);
const STOPPING: u16 = 1001;
/// From the failed sync to the end of the process; much of it is the machine being busy.
const BOUND: Duration = Duration::from_secs(5);

fn start(directory: &Path, durability: Durability) -> Server {
    let upkeep = Upkeep { checkpoint_bytes: u64::from(SEGMENT_BYTES), ..Upkeep::default() };
    start_with(directory, durability, upkeep)
}

fn start_with(directory: &Path, durability: Durability, upkeep: Upkeep) -> Server {
    let options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: directory.join("data"),
        shards: Some(SHARDS),
        segment_bytes: SEGMENT_BYTES,
        durability,
        upkeep,
        // Whole segments are filled at once: that is no user's share.
        limits: Limits { sends_burst: 10_000, ..Limits::default() },
        ..Options::default()
    };
    serve(options).expect("started")
}

fn user_of(shard: ShardId) -> String {
    let lives_here = |id: &String| Placement::new(SHARDS).owner_of(&UserId::new(id).expect("well formed")) == shard;
    (0..).map(|number| format!("user-{number}")).find(lives_here).expect("users without an end")
}

fn token_of(server: &Server, user: &str) -> String {
    let secret = Secret::load(&server.data_dir).expect("readable").expect("made at the start");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    token::mint(secret.bytes(), &UserId::new(user).expect("well formed"), Millis(now), Millis(now + 3_600_000))
}

/// The descriptor under which the server holds a shard's first segment.
struct LogDescriptor {
    number: RawFd,
    file: OwnedFd,
    path: PathBuf,
}

impl LogDescriptor {
    fn find(server: &Server, shard: ShardId) -> Self {
        let path = server.data_dir.canonicalize().expect("there").join(format!("shard-{:03}/00000001.log", shard.0));
        let entries = std::fs::read_dir("/proc/self/fd").expect("proc is mounted");
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
        let is_log = |number: &RawFd| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|it| it == path);
        let found: Vec<RawFd> = numbers.filter(is_log).collect();
        let [number] = found[..] else { panic!("{found:?} are {}", path.display()) };
        // SAFETY: the server holds the first segment open for as long as it runs; it is only duplicated here.
        let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        Self { number, file: borrowed.try_clone_to_owned().expect("a descriptor is free"), path }
    }

    /// From here on every sync fails with EINVAL.
    fn break_it(&self) {
        let now = std::fs::read_link(format!("/proc/self/fd/{}", self.number)).expect("the server runs");
        assert_eq!(now, self.path, "the server's log");
        let (_reader, writer) = std::io::pipe().expect("a pipe");
        self.put(&writer);
    }

    /// Unless the server has ended meanwhile: then the number may be another file's.
    fn mend(&self) {
        let now = std::fs::read_link(format!("/proc/self/fd/{}", self.number));
        if now.is_ok_and(|now| now.to_string_lossy().starts_with("pipe:")) {
            self.put(&self.file);
        }
    }

    fn put(&self, other: &impl AsFd) {
        // SAFETY: the number is the server's for as long as it runs, and stays an open descriptor of its own.
        let mut place = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(self.number) });
        rustix::io::dup2(other, &mut place).expect("both are open");
        assert_eq!(place.as_raw_fd(), self.number);
    }
}

struct Client(WebSocket<TcpStream>);

/// What a session was told until it was over.
#[derive(Debug, Default)]
struct Ending {
    messages: Vec<Value>,
    /// The code of the close frame; `None` when the connection was cut without one.
    closed: Option<u16>,
}

impl Client {
    fn login(server: &Server, user: &str) -> Self {
        let stream = TcpStream::connect(server.address).expect("connected");
        stream.set_read_timeout(Some(TIMEOUT)).expect("set");
        let (socket, _) = tungstenite::client(format!("ws://{}/rpc", server.address), stream).expect("upgraded");
        let mut client = Self(socket);
        let params = json!({"uid": user, "token": token_of(server, user), "deviceId": "d", "deviceFlag": 1});
        let welcome = client.call("connect", params);
        assert_eq!(welcome["error"], Value::Null, "{welcome}");
        client
    }

    fn ask(&mut self, id: &str, method: &str, params: Value) {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.0.send(Message::text(request.to_string())).expect("sent");
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.ask("call", method, params);
        self.answer_to("call")
    }

    /// Skips everything else.
    fn answer_to(&mut self, id: &str) -> Value {
        loop {
            let Message::Text(text) = self.0.read().expect("an answer") else { panic!("not a text") };
            let value: Value = serde_json::from_str(&text).expect("JSON");
            if value["id"] == id {
                return value;
            }
        }
    }

    fn send_params(to: &str, id: &str) -> Value {
        json!({"clientMsgNo": id, "channelId": to, "channelType": 1, "payload": {"type": 1, "content": id}})
    }

    /// Sends more than so many segments hold, and waits for no answer.
    fn fill(&mut self, to: &str, segments: u32) {
        let content = "x".repeat(40_000);
        for number in 0..segments * SEGMENT_BYTES / 40_000 + 2 {
            let mut params = Self::send_params(to, &number.to_string());
            params["payload"]["content"] = content.as_str().into();
            self.ask(&format!("filling {number}"), "send", params);
        }
    }

    fn inbox(&mut self) -> Vec<String> {
        let page = self.call("sync", json!({"maxSeq": 0, "limit": 100}));
        let messages = page["result"]["messages"].as_array().expect("messages");
        messages.iter().map(|message| message["clientMsgNo"].as_str().expect("a text").to_owned()).collect()
    }

    fn until_the_end(mut self) -> Ending {
        let mut ending = Ending::default();
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => ending.messages.push(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Close(frame)) => ending.closed = frame.map(|frame| frame.code.into()),
                Ok(other) => panic!("{other:?}"),
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("the connection stays open: {ending:?}")
                }
                Err(_over) => return ending,
            }
        }
    }
}

fn expect_a_disk_failure(server: Server, shard: ShardId) {
    let error = server.wait().expect_err("the disk failed");
    assert!(matches!(&error, RunError::Disk { shard: failed, .. } if *failed == shard), "{error:?}");
    assert_eq!(error.exit_status(), 3);
    let sentence =
        format!("shard {shard}: the log could not be synced, so nothing more can be acknowledged: Invalid argument");
    assert!(error.to_string().starts_with(&sentence), "{error}");
}

#[test]
fn what_could_not_be_synced_is_never_acknowledged_nor_tried_again_and_the_server_ends() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = start(temporary.path(), Durability::Fsync);
    let (alice, bob) = (user_of(ShardId(0)), user_of(ShardId(1)));
    let mut client = Client::login(&server, &alice);
    let bystander = Client::login(&server, &bob);
    let kept = client.call("send", Client::send_params(&alice, "kept"));
    assert_eq!(kept["error"], Value::Null, "{kept}");

    let log = LogDescriptor::find(&server, ShardId(0));
    log.break_it();
    let since = Instant::now();
    client.ask("lost", "send", Client::send_params(&alice, "lost"));
    while !server.has_failed() {
        assert!(since.elapsed() < TIMEOUT, "the sync has not failed");
        std::thread::sleep(POLL);
    }
    let failed = Instant::now();
    // A second try would succeed from here on, and would be wrong: the kernel has forgotten what it could not write.
    log.mend();
    let ending = client.until_the_end();
    assert_eq!(ending.messages, Vec::<Value>::new(), "nothing is acknowledged or pushed");
    assert_eq!(ending.closed, Some(STOPPING), "but the session is told");
    assert!(failed.elapsed() < BOUND, "and soon");
    assert_eq!(bystander.until_the_end().closed, Some(STOPPING), "the other shard's sessions are told");
    expect_a_disk_failure(server, ShardId(0));

    let server = start(temporary.path(), Durability::Fsync);
    let mut client = Client::login(&server, &alice);
    assert_eq!(client.inbox()[0], "kept");
    let again = client.call("send", Client::send_params(&alice, "lost"));
    assert_eq!(again["error"], Value::Null, "{again}");
    assert_eq!(client.inbox(), ["kept", "lost"], "once, whether or not the log still had it");
    server.stop();
    server.wait().expect("a sound disk");
}

#[test]
fn a_failed_sync_in_the_background_ends_the_server_too() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = start(temporary.path(), Durability::Interval { interval_ms: 50 });
    let alice = user_of(ShardId(1));
    let mut client = Client::login(&server, &alice);
    LogDescriptor::find(&server, ShardId(1)).break_it();
    // Under this policy the acknowledgement comes first.
    let taken = client.call("send", Client::send_params(&alice, "taken"));
    assert_eq!(taken["error"], Value::Null, "{taken}");
    assert_eq!(client.until_the_end().closed, Some(STOPPING));
    expect_a_disk_failure(server, ShardId(1));
}

#[test]
fn a_sync_that_fails_before_a_checkpoint_ends_the_server_though_the_policy_waits_for_none() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = start(temporary.path(), Durability::None);
    let alice = user_of(ShardId(0));
    let mut client = Client::login(&server, &alice);
    let log = LogDescriptor::find(&server, ShardId(0));
    log.break_it();
    // A checkpoint behind the first segment is due, and is to vouch for it.
    client.fill(&alice, 1);
    assert_eq!(client.until_the_end().closed, Some(STOPPING));
    expect_a_disk_failure(server, ShardId(0));
    assert!(!temporary.path().join("data/shard-000/00000001.checkpoint").exists(), "nothing says that it is durable");
}

#[test]
fn a_stop_syncs_every_segment_that_nothing_says_is_durable() {
    let temporary = tempfile::tempdir().expect("a directory");
    let server = start_with(temporary.path(), Durability::None, Upkeep::default());
    let alice = user_of(ShardId(0));
    let mut client = Client::login(&server, &alice);
    let oldest = LogDescriptor::find(&server, ShardId(0));
    client.fill(&alice, 3);
    let last = client.call("send", Client::send_params(&alice, "last"));
    assert_eq!(last["error"], Value::Null, "{last}");
    assert!(temporary.path().join("data/shard-000/00000004.log").exists(), "the oldest is none of the newest two");
    oldest.break_it();
    server.stop();
    expect_a_disk_failure(server, ShardId(0));
}
