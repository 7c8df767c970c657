//! The operator's hook of a real server, with a real receiver: what it allows, denies and replaces, when it is slow, broken
//! or gone, and a server that is killed meanwhile.

use crate::common::binary::{command, send_body};
use crate::common::rpc::RpcClient;
use crate::common::{Home, Server, mushan, run, wait_for};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver of the hook's questions, which answers by what the message says.
struct Receiver {
    address: SocketAddr,
    heard: Arc<Heard>,
    _secret: TempDir,
    config: String,
}

#[derive(Default)]
struct Heard {
    /// What each message said, in the order of the questions.
    texts: Mutex<Vec<String>>,
    /// Whether questions that hang are answered by now.
    released: Mutex<bool>,
    release: Condvar,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let heard = Arc::new(Heard::default());
        let shared = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, heard) = (stream.expect("accepts"), shared.clone());
                std::thread::spawn(move || while answer(&stream, &heard).is_some() {});
            }
        });
        let secret = TempDir::new().expect("a temporary directory");
        let file = secret.path().join("hook.secret");
        std::fs::write(&file, format!("whsec_{SECRET}\n")).expect("a file");
        let config = format!("[hook]\nurl = \"http://{address}/hook\"\nsecret_file = \"{}\"\n", file.display());
        Self { address, heard, _secret: secret, config }
    }

    /// A server with this hook, and these lines about it.
    fn home(&self, lines: &str) -> Home {
        Home::new().with_limits(&format!("{}{lines}\n", self.config))
    }

    fn texts(&self) -> Vec<String> {
        self.heard.texts.lock().expect("no panic inside").clone()
    }

    fn release(&self) {
        *self.heard.released.lock().expect("no panic inside") = true;
        self.heard.release.notify_all();
    }
}

/// Reads one question from the connection and answers it; `None` at its end.
fn answer(stream: &TcpStream, heard: &Heard) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let found =
            head.iter().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned()).unwrap_or_else(|| panic!("{name} in {head:?}"))
    };
    let mut body = vec![0; header("content-length").parse().expect("a length")];
    reader.read_exact(&mut body).ok()?;
    assert_eq!(head[0], "POST /hook HTTP/1.1");
    let signed = [format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes(), &body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(SECRET).expect("base64"));
    assert_eq!(header("webhook-signature"), format!("v1,{}", BASE64.encode(hmac::sign(&key, &signed))));

    let question: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(question["type"], "message.send");
    let message = &question["message"];
    let text = match message["content"].as_str() {
        Some(content) => String::from_utf8(BASE64.decode(content).expect("base64")).expect("text"),
        None => message["payload"]["content"].as_str().expect("a text").to_owned(),
    };
    heard.texts.lock().expect("no panic inside").push(text.clone());
    if text.contains("hang") {
        let mut released = heard.released.lock().expect("no panic inside");
        while !*released {
            released = heard.release.wait(released).expect("no panic inside");
        }
    }
    let (status, answer) = match text.as_str() {
        text if text.contains("bad word") => {
            (200, json!({"verdict": "deny", "code": 150, "text": "mind your \"words\", ä"}))
        }
        text if text.contains("swap bytes") => {
            (200, json!({"verdict": "replace", "content": BASE64.encode("swapped")}))
        }
        text if text.contains("swap") => {
            let payload = json!({"type": 1, "content": "swapped"});
            (200, json!({"verdict": "replace", "payload": payload, "extra": {"by": message["from"]}}))
        }
        text if text.contains("broken status") => (500, json!({"verdict": "allow"})),
        text if text.contains("broken answer") => (200, json!({"verdict": "perhaps"})),
        text if text.contains("moved") => (302, json!({"verdict": "allow"})),
        _ => (200, json!({"verdict": "allow"})),
    };
    let answer = answer.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nLocation: /elsewhere\r\nContent-Length: {}\r\n\r\n", answer.len());
    (&*stream).write_all(format!("{head}{answer}").as_bytes()).ok()
}

fn says(text: &str) -> Value {
    json!({"type": 1, "content": text})
}

fn error_of(answer: &Value) -> (i64, &str) {
    let error = &answer["error"];
    (error["code"].as_i64().unwrap_or_else(|| panic!("{answer}")), error["message"].as_str().expect("a text"))
}

const DENIAL: &str = "mind your \"words\", ä";

#[tokio::test]
async fn a_word_is_denied_and_another_replaced_in_both_protocols_and_over_http() {
    let receiver = Receiver::start();
    let home = receiver.home("on_failure = \"closed\"\nasked = \"stored,backend\"");
    let server = home.start();
    let mut bob = server.rpc("bob").await;
    let mut alice = server.rpc("alice").await;
    let fine = alice.send("bob", "1", says("hello")).await;
    assert!(fine.get("error").is_none(), "{fine}");
    let denied = alice.send("bob", "2", says("a bad word")).await;
    assert_eq!(error_of(&denied), (2150, DENIAL));
    let swapped = alice.send("bob", "3", says("swap this")).await;
    let again = alice.send("bob", "3", says("swap this")).await;
    assert_eq!(again["result"]["messageId"], swapped["result"]["messageId"], "{swapped} {again}");

    let mut carol = server.binary("carol").await;
    let answer = carol.request(command::SEND, &send_body("bob", "1", b"a bad word"), "SendMessageResponse").await;
    assert_eq!((answer.number("error_code"), answer.text("error_msg")), (150, DENIAL.to_owned()));
    let answer = carol.request(command::SEND, &send_body("bob", "2", b"swap bytes"), "SendMessageResponse").await;
    assert_eq!(answer.number("error_code"), 0);

    let api = home.api();
    let message = |id: &str, text: &str| json!({"from": "dave", "to": {"user": "bob"}, "client_msg_id": id, "payload": says(text)});
    let answer = api.post("/v1/messages", &message("1", "a bad word"));
    assert_eq!((answer.status, answer.json()), (403, json!({"code": "denied", "message": DENIAL, "hook_code": 150})));
    let batch = json!({"messages": [message("2", "a bad word"), message("3", "fine")]});
    let answers = api.post("/v1/messages/batch", &batch).json();
    assert_eq!((&answers["answers"][0]["status"], &answers["answers"][1]["status"]), (&json!(403), &json!(201)));
    assert_eq!(answers["answers"][0]["error"]["hook_code"], 150);

    let inbox = bob.inbox().await;
    let read: Vec<(&Value, &Value)> = inbox.iter().map(|entry| (&entry["fromUid"], &entry["payload"])).collect();
    let expected = [
        ("alice", says("hello")),
        ("alice", says("swapped")),
        ("carol", json!(BASE64.encode("swapped"))),
        ("dave", says("fine")),
    ];
    let expected: Vec<(Value, Value)> = expected.map(|(from, payload)| (json!(from), payload)).into();
    assert_eq!(read.len(), expected.len(), "{inbox:?}");
    for ((from, payload), (author, content)) in read.iter().zip(&expected) {
        assert_eq!(*from, author);
        assert!(*payload == content || author == "carol", "{payload} is not {content}");
    }
    assert_eq!(inbox[1]["extra"], json!({"by": "alice"}));
    assert_eq!(server.api().sample("mushan_hook_questions_total"), 8.0, "the repetition was not asked about");
    assert_eq!(server.api().sample("mushan_hook_answers_total{verdict=\"deny\"}"), 4.0);
    assert_eq!(server.api().sample("mushan_hook_answers_total{verdict=\"replace\"}"), 2.0);
    assert_eq!(server.api().sample("mushan_hook_seconds_count"), 8.0);
    assert_eq!(server.api().sample("mushan_hook_under_way"), 0.0);
}

#[tokio::test]
async fn without_an_answer_in_time_the_operators_choice_counts() {
    for (on_failure, expected) in [("open", None), ("closed", Some(1500))] {
        let receiver = Receiver::start();
        let home = receiver.home(&format!("on_failure = \"{on_failure}\"\ntimeout_ms = 200"));
        let server = home.start();
        let mut alice = server.rpc("alice").await;
        let texts = ["hang", "broken status", "broken answer", "moved"];
        for text in texts {
            let answer = alice.send("bob", text, says(text)).await;
            assert_eq!(answer.get("error").map(|_| error_of(&answer).0), expected, "{text}: {answer}");
        }
        for (reason, count) in [("timeout", 1.0), ("status", 2.0), ("answer", 1.0)] {
            assert_eq!(
                server.api().sample(&format!("mushan_hook_failures_total{{reason=\"{reason}\"}}")),
                count,
                "{reason}"
            );
        }
        let stored = if expected.is_none() { texts.len() } else { 0 };
        assert_eq!(server.rpc("bob").await.inbox().await.len(), stored);
        assert_eq!(receiver.texts(), texts, "a redirect is not followed");
        receiver.release();
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_once_and_its_answers_count_when_it_is_back() {
    let receiver = Receiver::start();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = free.local_addr().expect("bound");
    drop(free);
    let config = receiver.config.replace(&receiver.address.to_string(), &gone.to_string());
    let server = Home::new().with_limits(&format!("{config}on_failure = \"closed\"\n")).start();
    let mut alice = server.rpc("alice").await;
    for number in 0..5 {
        let answer = alice.send("bob", &number.to_string(), says("hello")).await;
        assert_eq!(error_of(&answer).0, 1500);
    }
    assert_eq!(server.api().sample("mushan_hook_failures_total{reason=\"connection\"}"), 5.0);
    let back = TcpListener::bind(gone).expect("the port is still free");
    let heard = receiver.heard.clone();
    std::thread::spawn(move || {
        for stream in back.incoming() {
            let (stream, heard) = (stream.expect("accepts"), heard.clone());
            std::thread::spawn(move || while answer(&stream, &heard).is_some() {});
        }
    });
    let answer = alice.send("bob", "0", says("hello")).await;
    assert!(answer.get("error").is_none(), "what was refused may be sent again: {answer}");
    let exit = server.stop();
    assert_eq!(exit.errors.matches("the hook fails").count(), 1, "{}", exit.errors);
}

#[tokio::test]
async fn a_question_that_hangs_holds_up_its_author_and_nobody_else() {
    let receiver = Receiver::start();
    let home = receiver.home("on_failure = \"closed\"\ntimeout_ms = 60000\nconcurrency_max = 2");
    let server = home.start();
    let mut alice = server.rpc("alice").await;
    let params = json!({"uid": "alice", "token": home.token("alice"), "deviceId": "desk", "deviceFlag": 1});
    let (mut desk, _) = RpcClient::login_with(server.address, "/rpc", params).await;
    let mut bob = server.rpc("bob").await;
    let send = |id: &str, text: &str| json!({"clientMsgNo": id, "channelId": "carol", "channelType": 1, "payload": says(text)});
    let mut asked = vec![alice.ask("send", send("1", "hang 1")).await];
    wait_for("the first question", || (receiver.texts().len() == 1).then_some(()));
    for number in 2..=4 {
        asked.push(alice.ask("send", send(&number.to_string(), &format!("{number}"))).await);
    }
    let desks = desk.ask("send", send("5", "5")).await;
    for number in 0..200 {
        let answer = bob.send("carol", &number.to_string(), says("bob")).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }
    let by_alice = receiver.texts().into_iter().filter(|text| text != "bob").collect::<Vec<_>>();
    assert_eq!(by_alice, ["hang 1"], "what she sends later is not even asked about");
    receiver.release();
    for id in asked {
        let answer = alice.answer(&json!(id)).await.expect("open");
        assert!(answer.get("error").is_none(), "{answer}");
    }
    desk.answer(&json!(desks)).await.expect("open");
    let inbox = server.rpc("carol").await.inbox().await;
    let texts = inbox.iter().filter(|entry| entry["fromUid"] == "alice").map(|entry| &entry["payload"]["content"]);
    let texts: Vec<&Value> = texts.filter(|text| **text != "5").collect();
    assert_eq!(texts, ["hang 1", "2", "3", "4"], "in her order");
}

#[tokio::test]
async fn a_server_killed_during_a_question_has_not_accepted_the_message_and_takes_its_repetition_once() {
    let receiver = Receiver::start();
    let home = receiver.home("on_failure = \"open\"\ntimeout_ms = 60000");
    let server = home.start();
    let mut alice = server.rpc("alice").await;
    let payload = says("hang");
    let params = json!({"clientMsgNo": "1", "channelId": "bob", "channelType": 1, "payload": payload});
    alice.ask("send", params).await;
    wait_for("the question", || (receiver.texts().len() == 1).then_some(()));
    server.kill();
    receiver.release();
    let server = home.start();
    let mut bob = server.rpc("bob").await;
    assert!(bob.inbox().await.is_empty());
    let mut alice = server.rpc("alice").await;
    let first = alice.send("bob", "1", payload.clone()).await;
    let again = alice.send("bob", "1", payload).await;
    assert_eq!(first["result"]["messageId"], again["result"]["messageId"], "{first}");
    assert_eq!(bob.inbox().await.len(), 1);
    assert_eq!(receiver.texts().len(), 2);
}

#[tokio::test]
async fn a_stop_waits_for_the_answer_within_its_deadline() {
    let receiver = Receiver::start();
    let home = receiver.home("on_failure = \"closed\"\ntimeout_ms = 60000");
    let server = home.start();
    let mut alice = server.rpc("alice").await;
    let id = alice
        .ask("send", json!({"clientMsgNo": "1", "channelId": "bob", "channelType": 1, "payload": says("hang")}))
        .await;
    wait_for("the question", || (receiver.texts().len() == 1).then_some(()));
    server.signal("TERM");
    tokio::time::sleep(Duration::from_millis(200)).await;
    receiver.release();
    let answer = alice.answer(&json!(id)).await.expect("it is answered before the end");
    assert!(answer.get("error").is_none(), "{answer}");
    assert!(server.wait().status.success());
}

/// The hook of the README, as it stands there.
#[tokio::test]
async fn the_hook_of_the_readme_denies_a_word() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return eprintln!("skipped: there is no python3");
    }
    let readme = include_str!("../../README.md");
    let program = readme.split("```python\n").find(|block| block.contains("class Hook")).expect("a hook in Python");
    let program = program.split("```").next().expect("a block ends");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let program = program.replace("(\"127.0.0.1\", 9000)", &format!("(\"127.0.0.1\", {})", free.port()));
    let mut python = std::process::Command::new("python3");
    let mut hook = python.args(["-c", &program]).stderr(std::process::Stdio::null()).spawn().expect("python3 runs");
    wait_for("the hook", || TcpStream::connect(free).ok());
    let receiver = Receiver::start();
    let config = receiver.config.replace(&receiver.address.to_string(), &free.to_string());
    let server = Home::new().with_limits(&format!("{config}on_failure = \"closed\"\n")).start();
    let mut alice = server.rpc("alice").await;
    let fine = alice.send("bob", "1", says("hello")).await;
    let denied = alice.send("bob", "2", says("how rude")).await;
    hook.kill().and_then(|()| hook.wait()).expect("our own child");
    assert!(fine.get("error").is_none(), "{fine}");
    assert_eq!(error_of(&denied), (2150, "mind your words"));
}

#[test]
fn a_hook_without_a_choice_or_to_elsewhere_is_refused_at_the_start() {
    let receiver = Receiver::start();
    let refused = |config: &str| {
        let home = Home::new().with_limits(config);
        let said = Server::try_start(home.serve("127.0.0.1:0")).err();
        said.unwrap_or_else(|| panic!("it starts with {config}"))
    };
    assert!(refused(&receiver.config).contains("hook.on_failure must be open or closed"));
    let elsewhere = receiver.config.replace(&receiver.address.to_string(), "example.com");
    assert!(refused(&format!("{elsewhere}on_failure = \"open\"\n")).contains("use https"));
    let no_secret = receiver.config.replace("hook.secret", "nothing");
    assert!(refused(&format!("{no_secret}on_failure = \"open\"\n")).contains("nothing cannot be read"));
    let mut check = mushan();
    check.arg("check");
    let shown = String::from_utf8(run(check).stdout).expect("text");
    assert!(
        shown.contains("hook.timeout_ms = 1000") && shown.contains("hook.asked = \"stored,unstored,chunk\""),
        "{shown}"
    );
}
