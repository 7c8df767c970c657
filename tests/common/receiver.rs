//! A receiver of webhooks on a port of this machine: an HTTP server of its own that keeps what it was sent and answers as a
//! test says.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// This status, with these lines of the head.
    Answer(u16, &'static str),
    /// Nothing, for longer than a test lasts.
    Hang,
}

/// One request, and the status that it was answered with.
#[derive(Clone, Debug)]
pub struct Received {
    pub head: Vec<(String, String)>,
    pub body: String,
    pub status: Option<u16>,
    pub at: Instant,
}

/// Listens until it is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    seen: Arc<Mutex<Vec<Received>>>,
    has_ended: Arc<AtomicBool>,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub fn events(&self) -> Vec<Value> {
        let body: Value = serde_json::from_str(&self.body).expect("a body is JSON");
        body["events"].as_array().expect("a list of events").clone()
    }

    pub fn is_acknowledged(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

impl Receiver {
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"))
    }

    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let receiver = Self {
            address: listener.local_addr().expect("it listens"),
            behaviour: Arc::new(Mutex::new(Behaviour::Answer(204, ""))),
            seen: Arc::default(),
            has_ended: Arc::default(),
        };
        let (behaviour, seen) = (receiver.behaviour.clone(), receiver.seen.clone());
        let has_ended = receiver.has_ended.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if has_ended.load(Ordering::SeqCst) {
                    return;
                }
                let (behaviour, seen, has_ended) = (behaviour.clone(), seen.clone(), has_ended.clone());
                std::thread::spawn(move || serve(stream, &behaviour, &seen, &has_ended));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("no panic") = behaviour;
    }

    pub fn seen(&self) -> Vec<Received> {
        self.seen.lock().expect("no panic").clone()
    }

    /// The client's ids of all messages that were acknowledged, in order.
    pub fn acknowledged(&self) -> Vec<String> {
        let batches = self.seen().into_iter().filter(Received::is_acknowledged);
        batches.flat_map(|batch| batch.events()).filter_map(|event| id_of(&event)).collect()
    }
}

/// The client's id of the message of an event.
pub fn id_of(event: &Value) -> Option<String> {
    event["message"]["client_msg_id"].as_str().map(str::to_owned)
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::SeqCst);
        // Lets the thread see it.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: TcpStream,
    behaviour: &Mutex<Behaviour>,
    seen: &Mutex<Vec<Received>>,
    has_ended: &AtomicBool,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            head.push((name.to_lowercase(), value.to_owned()));
        }
        let mut received = Received { head, body: String::new(), status: None, at: Instant::now() };
        let mut body = vec![0; received.header("content-length").parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        received.body = String::from_utf8(body).expect("JSON is text");
        if has_ended.load(Ordering::SeqCst) {
            return None;
        }
        let behaviour = *behaviour.lock().expect("no panic");
        let mut seen = seen.lock().expect("no panic");
        match behaviour {
            Behaviour::Answer(status, more) => {
                received.status = Some(status);
                seen.push(received);
                drop(seen);
                let answer = format!("HTTP/1.1 {status} Status\r\n{more}Content-Length: 2\r\n\r\nok");
                let answer = if status == 204 { "HTTP/1.1 204 No Content\r\n\r\n".to_owned() } else { answer };
                stream.write_all(answer.as_bytes()).ok()?;
            }
            Behaviour::Hang => {
                seen.push(received);
                drop(seen);
                std::thread::sleep(Duration::from_secs(60));
                return None;
            }
        }
    }
}
