//! `mushan serve --take-over`: the gap that clients see, that nothing acknowledged is lost or doubled, and that a server which
//! is not asked successfully goes on as before.

use crate::common::raw::{frame, opcode, upgrade_request};
use crate::common::{Home, Server, mushan, run, wait_for};
use mushan_client::{Client, ClientOptions, Protocol, RefusalKind, Target};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the gap may be on a machine that does other things as well. OPERATIONS.md has the figure of one that does not.
const GAP_MAX: Duration = Duration::from_secs(3);
const KITS: usize = 4;
const GAP: &str = "mushan_take_over_gap_seconds ";

fn take_over(home: &Home, address: SocketAddr) -> Command {
    let mut command = home.serve(&address.to_string());
    command.arg("--take-over");
    command
}

/// A server that is expected not to start.
fn refused(command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = run(command);
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

fn expect_serving(server: &Server) {
    let mut prober = Prober::connect(server.address, "zoe", &server.token("zoe")).expect("it serves");
    prober.send("still here").expect("an answer");
}

/// One session that sends without a pause, with nothing between it and the socket.
struct Prober {
    stream: TcpStream,
}

impl Prober {
    fn connect(address: SocketAddr, user: &str, token: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut prober = Self { stream };
        prober.stream.write_all(upgrade_request("/rpc").as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(prober.read::<1>()?[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()));
        }
        let params = json!({"uid": user, "token": token, "deviceId": "p", "deviceFlag": 1});
        prober.call("connect", &params)?;
        Ok(prober)
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.send_to("reader", text)
    }

    fn send_to(&mut self, user: &str, text: &str) -> io::Result<()> {
        let (id, payload) = (&text[..text.len().min(60)], json!({"type": 1, "content": text}));
        self.call("send", &json!({"clientMsgNo": id, "channelId": user, "channelType": 1, "payload": payload}))
    }

    fn call(&mut self, method: &str, params: &Value) -> io::Result<()> {
        let request = json!({"jsonrpc": "2.0", "id": "1", "method": method, "params": params}).to_string();
        self.stream.write_all(&frame(opcode::TEXT, request.as_bytes()))?;
        loop {
            let [first, second] = self.read()?;
            let length = match second {
                126 => usize::from(u16::from_be_bytes(self.read()?)),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload)?;
            if first & 0x0f == opcode::CLOSE {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let heard: Value = serde_json::from_slice(&payload)?;
            if heard["id"] == "1" {
                return if heard.get("result").is_some() { Ok(()) } else { Err(io::Error::other(heard.to_string())) };
            }
        }
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).map(|()| bytes)
    }
}

/// What a prober that reconnects at once has seen.
#[derive(Default)]
struct Seen {
    acknowledged: Vec<String>,
    longest_gap: Duration,
    /// Connections that nobody listened for.
    refused: usize,
}

fn probe(address: SocketAddr, token: String, is_over: Arc<AtomicBool>) -> JoinHandle<Seen> {
    std::thread::spawn(move || {
        let (mut seen, mut last, mut number) = (Seen::default(), Instant::now(), 0);
        while !is_over.load(Ordering::Relaxed) {
            let mut prober = match Prober::connect(address, "prober", &token) {
                Ok(prober) => prober,
                Err(error) => {
                    seen.refused += usize::from(error.kind() == ErrorKind::ConnectionRefused);
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
            };
            while !is_over.load(Ordering::Relaxed) {
                let text = format!("probe-{number}");
                if prober.send(&text).is_err() {
                    break;
                }
                seen.longest_gap = seen.longest_gap.max(last.elapsed());
                last = Instant::now();
                seen.acknowledged.push(text);
                number += 1;
            }
        }
        seen
    })
}

/// A user of the published kit who writes without a pause; what was acknowledged.
async fn write(client: Client, user: usize, acknowledged: Arc<Mutex<Vec<String>>>) {
    for number in 0.. {
        let text = format!("kit-{user}-{number}");
        match client.send_text(&Target::user("reader"), &text).await {
            Ok(_) => acknowledged.lock().expect("no panic inside").push(text),
            Err(refused) if refused.kind == RefusalKind::Stopped => return,
            Err(refused) => panic!("{refused}"),
        }
    }
}

fn wait_for_more(acknowledged: &Mutex<Vec<String>>) {
    let count = || acknowledged.lock().expect("no panic inside").len();
    let before = count();
    wait_for("the kit's sends", || (count() > before + 100).then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_takes_over_in_a_moment_and_what_was_acknowledged_is_there_once() {
    let config = "[server]\nsegment_bytes = 1048576\ntcp_notsent_lowat_bytes = 16384\nstop_deadline_ms = 30000\n\
                  [limits]\nsends_per_second = 1000000\nsends_burst = 1000000\nclose_timeout_ms = 30000\n";
    let home = Home::new().with_config(config).with_shards(2);
    let mut server = home.start();
    let address = server.address;
    // It reads nothing, so its socket takes no more, and never the word to go.
    let silent = Prober::connect(address, "silent", &home.token("silent")).expect("it serves");
    socket2::SockRef::from(&silent.stream).set_recv_buffer_size(4_096).expect("a socket");
    let mut stuffer = Prober::connect(address, "stuffer", &home.token("stuffer")).expect("it serves");
    (0..20)
        .for_each(|number| stuffer.send_to("silent", &format!("{number}-{}", "x".repeat(40_000))).expect("it serves"));
    drop(stuffer);
    let is_over = Arc::new(AtomicBool::new(false));
    let prober = probe(address, home.token("prober"), is_over.clone());
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let kits: Vec<Client> = (0..KITS)
        .map(|user| {
            let protocol = if user.is_multiple_of(2) { Protocol::Binary } else { Protocol::JsonRpc };
            let name = format!("kit-{user}");
            let options = ClientOptions::new(format!("ws://{address}"), name.clone(), home.token(&name));
            let (client, events) = Client::connect(options.protocol(protocol)).expect("there is no store");
            drop(events);
            tokio::spawn(write(client.clone(), user, acknowledged.clone()));
            client
        })
        .collect();
    // Twice, so that one that has taken over is taken over itself.
    for _again in 0..2 {
        wait_for_more(&acknowledged);
        let next = Server::try_start(take_over(&home, address)).expect("it takes over");
        let exit = server.wait();
        assert_eq!(exit.status.code(), Some(0), "{}", exit.errors);
        assert!(exit.output.contains(&format!("stopped for the server with pid {}", next.pid())), "{}", exit.output);
        assert!(next.output().contains("nobody served for"), "{}", next.output());
        let gap = next.api().sample(GAP);
        assert!(gap > 0.0 && gap < GAP_MAX.as_secs_f64(), "{gap}");
        println!("{} ms without a server", gap * 1_000.0);
        server = next;
    }
    wait_for_more(&acknowledged);
    is_over.store(true, Ordering::Relaxed);
    for kit in &kits {
        kit.close().await;
    }
    let mut seen = prober.join().expect("no panic");
    println!("{} ms from one answer to the next", seen.longest_gap.as_millis());
    assert!(seen.longest_gap < GAP_MAX, "{:?}", seen.longest_gap);
    assert_eq!(seen.refused, 0, "somebody listened at any time");

    seen.acknowledged.extend(acknowledged.lock().expect("no panic inside").drain(..));
    let mut reader = server.rpc("reader").await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for message in reader.inbox().await {
        let payload = &message["payload"];
        let text = payload["content"].as_str().or(payload["text"].as_str());
        *counts.entry(text.unwrap_or_else(|| panic!("{message}")).to_owned()).or_default() += 1;
    }
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let lost: Vec<_> = seen.acknowledged.iter().filter(|text| !counts.contains_key(*text)).collect();
    assert!(lost.is_empty(), "{} of {}: {lost:?}", lost.len(), seen.acknowledged.len());
    drop(reader);
    assert!(server.stop().status.success());
    let audit = home.run(&["audit"]);
    assert!(audit.status.success(), "{audit:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_keeps_its_directory_and_its_clients() {
    let home = Home::new().with_shards(1);
    let server = home.start();
    server.signal("STOP");
    let (status, errors) = refused(take_over(&home, server.address));
    server.signal("CONT");
    assert_eq!(status, Some(1), "{errors}");
    assert!(errors.contains("cannot take over") && errors.contains("does not answer within 5 s"), "{errors}");
    expect_serving(&server);
    // Without a server that waits, nobody stops it.
    let asked = server.api().post("/v1/hand-over", &json!({}));
    assert_eq!((asked.status, asked.body.contains("\"not_awaited\"")), (409, true), "{}", asked.body);
    expect_serving(&server);
    let next = Server::try_start(take_over(&home, server.address)).expect("it answers again");
    assert_eq!(server.wait().status.code(), Some(0));
    expect_serving(&next);
    // The file by which one waits is there now, and nobody holds it.
    let asked = next.api().post("/v1/hand-over", &json!({}));
    assert_eq!((asked.status, asked.body.contains("\"not_awaited\"")), (409, true), "{}", asked.body);
    let file = home.data_dir().join("successor");
    std::fs::remove_file(&file).and_then(|()| std::os::unix::fs::symlink(&file, &file)).expect("a link to itself");
    let asked = next.api().post("/v1/hand-over", &json!({}));
    assert_eq!((asked.status, asked.body.contains("\"unreadable\"")), (500, true), "{}", asked.body);
    expect_serving(&next);
}

#[test]
fn what_cannot_be_taken_over_is_refused_before_the_server_there_is_asked() {
    let mut home = Home::new().with_shards(1);
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let (status, errors) = refused(take_over(&home, nobody));
    assert!(status == Some(1) && errors.contains("no server with an HTTP API runs on"), "{errors}");
    assert!(!home.data_dir().exists(), "nothing was made");

    // Where nobody runs, a unit starts as usual.
    let mut first = home.serve("127.0.0.1:0");
    first.arg("--take-over=if-running");
    let server = Server::try_start(first).expect("it starts");
    let expect = |command: Command, status: i32, sentence: &str| {
        let (found, errors) = refused(command);
        assert_eq!(found, Some(status), "{errors}");
        assert!(errors.contains(sentence), "{errors}");
        expect_serving(&server);
    };
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    expect(take_over(&home, other.local_addr().expect("bound")), 1, "share it with nobody");

    home.set_shards(3);
    expect(take_over(&home, server.address), 1, "has 1 shards");
    home.set_shards(1);

    let path = home.data_dir().join("manifest.toml");
    let ours = std::fs::read_to_string(&path).expect("it is there");
    let (body, _crc) = ours.rsplit_once("crc = ").expect("its last line");
    let newer = body.replace("format = 1\n", "format = 2\n");
    assert_ne!(newer, body);
    std::fs::write(&path, format!("{newer}crc = {}\n", crc32c::crc32c(newer.as_bytes()))).expect("written");
    expect(take_over(&home, server.address), 3, "has format version 2; this server supports version 1");
    std::fs::write(&path, &ours).expect("written");

    let held = std::fs::File::create(home.data_dir().join("successor")).expect("a file");
    held.lock().expect("nobody else has it");
    expect(take_over(&home, server.address), 1, "another server is taking it over");
    drop(held);

    // SAFETY: it has no arguments and cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        let mut stranger = mushan();
        stranger.args(["serve", "--take-over", "--data-dir"]).arg(home.data_dir());
        std::os::unix::process::CommandExt::uid(&mut stranger, 65_534);
        // The binary may be where others cannot reach it: then nothing was tried.
        if let Ok(Output { status, stderr, .. }) = stranger.output() {
            let errors = String::from_utf8_lossy(&stderr);
            assert!(status.code() == Some(1) && errors.to_lowercase().contains("permission denied"), "{errors}");
            expect_serving(&server);
        }
    }
    let mut next = home.serve(&server.address.to_string());
    next.arg("--take-over=if-running");
    let next = Server::try_start(next).expect("nothing stands in the way");
    assert_eq!(server.wait().status.code(), Some(0));
    expect_serving(&next);
}
