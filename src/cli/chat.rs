//! `mushan chat`: a small terminal client. Lines typed are sent, what arrives is printed.
//!
//! One thread owns the socket, another reads stdin. It ends at the end of input, once everything sent is answered.

use super::chat_binary::BinarySession;
use super::chat_json_rpc::JsonRpcSession;
use super::chat_session::{Heard, Identity, Outcome, Session};
use super::failure::Failure;
use super::link::{Ended, Link, PATIENCE};
use super::print;
use super::sources;
use super::token::{Minter, parse_user};
use crate::model::UserId;
use crate::server::console::{self, Stream};
use mio::{Events, Poll, Token, Waker};
use std::collections::VecDeque;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Talk to another user from the terminal
///
/// Type a line and it is sent; what arrives is printed as "bob: text". Ctrl-D ends it. On the server's machine the
/// token is made from the data directory's secret, and what arrived since this user was last here is shown first;
/// elsewhere give a token with --token.
#[derive(clap::Args)]
pub struct Arguments {
    /// Who you are
    #[arg(long, value_name = "ID")]
    user: String,
    /// Whom you talk to
    #[arg(long, value_name = "ID")]
    to: String,
    #[arg(long, value_enum, default_value_t = Protocol::Binary)]
    protocol: Protocol,
    #[arg(long, default_value = "ws://127.0.0.1:8081")]
    url: String,
    /// The server's data directory, for its token secret [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A token, instead of making one
    #[arg(long)]
    token: Option<String>,
    /// After the end of input, stay until so many messages of others have been shown
    #[arg(long, value_name = "N", default_value_t = 0)]
    receive: usize,
    /// After the end of input, stay so long; with --receive, give up (exit 1) after so long
    #[arg(long, value_name = "N")]
    wait_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    Binary,
    Jsonrpc,
}

impl Protocol {
    pub fn path(self) -> &'static str {
        match self {
            Self::Binary => "/ws",
            Self::Jsonrpc => "/rpc",
        }
    }
}

const TOKEN_TTL_MS: u64 = 24 * 3_600 * 1_000;
const SOCKET: Token = Token(0);
const STDIN: Token = Token(1);

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (user, peer) = (parse_user(&arguments.user)?, parse_user(&arguments.to)?);
    let (token, memory) = match &arguments.token {
        Some(token) => (token.clone(), None),
        None => {
            let data_dir = sources::data_dir(arguments.data_dir.as_deref());
            (Minter::open(&data_dir)?.mint(&user, TOKEN_TTL_MS), Some(Memory::of(&data_dir, &user)))
        }
    };
    let seen = memory.as_ref().map_or(0, Memory::recall);
    let identity = Identity { user: user.to_string(), peer: peer.to_string(), token, run: run_id()?, seen };
    let session = match arguments.protocol {
        Protocol::Binary => Session::Binary(BinarySession::new(identity)),
        Protocol::Jsonrpc => Session::JsonRpc(JsonRpcSession::new(identity)),
    };
    let link = Link::connect(&arguments.url, arguments.protocol.path())?;
    let mut chat = Chat::new(link, session, memory, arguments).map_err(Failure::because("cannot watch the socket"))?;
    chat.run()
}

struct Chat {
    poll: Poll,
    link: Link,
    session: Session,
    memory: Option<Memory>,
    lines: Receiver<String>,
    /// Typed before the session was open.
    waiting: VecDeque<String>,
    is_open: bool,
    /// Set at the end of input.
    input_ended: Option<Instant>,
    unanswered: usize,
    refused: usize,
    received: usize,
    receive: usize,
    wait: Option<Duration>,
    /// Since when nothing that is due has come.
    progress: Instant,
}

impl Chat {
    fn new(link: Link, session: Session, memory: Option<Memory>, arguments: &Arguments) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        link.register(poll.registry(), SOCKET)?;
        let lines = read_stdin(Waker::new(poll.registry(), STDIN)?);
        Ok(Self {
            poll,
            link,
            session,
            memory,
            lines,
            waiting: VecDeque::new(),
            is_open: false,
            input_ended: None,
            unanswered: 0,
            refused: 0,
            received: 0,
            receive: arguments.receive,
            wait: arguments.wait_ms.map(Duration::from_millis),
            progress: Instant::now(),
        })
    }

    fn run(&mut self) -> Result<(), Failure> {
        let mut outcome = Outcome::default();
        self.session.open(&mut outcome);
        self.carry_out(outcome)?;
        let mut events = Events::with_capacity(8);
        let keep_alive = Duration::from_secs(self.session.keep_alive_s());
        let mut keep_alive_due = Instant::now() + keep_alive;
        while !self.is_done()? {
            let patience = self.patience().min(keep_alive_due.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.map_err(Failure::because("cannot wait for the socket"))?,
            }
            self.take_lines();
            self.link.flush().map_err(ended)?;
            self.listen()?;
            self.speak()?;
            if Instant::now() >= keep_alive_due {
                let mut outcome = Outcome::default();
                self.session.keep_alive(&mut outcome);
                self.carry_out(outcome)?;
                keep_alive_due = Instant::now() + keep_alive;
            }
        }
        self.say_goodbye();
        match self.refused {
            0 => Ok(()),
            refused => Err(Failure::new(format!("the server refused {refused} of the messages"))),
        }
    }

    fn listen(&mut self) -> Result<(), Failure> {
        while let Some(message) = self.link.receive().map_err(ended)? {
            let mut outcome = Outcome::default();
            self.session.hear(&message, &mut outcome);
            self.progress = Instant::now();
            self.carry_out(outcome)?;
        }
        Ok(())
    }

    fn take_lines(&mut self) {
        loop {
            match self.lines.try_recv() {
                Ok(line) => self.waiting.push_back(line),
                Err(mpsc::TryRecvError::Empty) => return,
                Err(mpsc::TryRecvError::Disconnected) => {
                    self.input_ended.get_or_insert_with(Instant::now);
                    return;
                }
            }
        }
    }

    fn speak(&mut self) -> Result<(), Failure> {
        while self.is_open
            && let Some(line) = self.waiting.pop_front()
        {
            let mut outcome = Outcome::default();
            self.session.say(&line, &mut outcome);
            if self.unanswered == 0 {
                self.progress = Instant::now();
            }
            self.unanswered += 1;
            self.carry_out(outcome)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, outcome: Outcome) -> Result<(), Failure> {
        for message in outcome.write {
            self.link.send(message).map_err(ended)?;
        }
        for heard in outcome.heard {
            match heard {
                Heard::Opened => self.is_open = true,
                Heard::Text { from, text, seq } => self.show(&from, &text, seq)?,
                Heard::Accepted => self.unanswered = self.unanswered.saturating_sub(1),
                Heard::Refused(why) => {
                    self.unanswered = self.unanswered.saturating_sub(1);
                    self.refused += 1;
                    console::say(Stream::Errors, &format!("not sent: {why}"));
                }
                Heard::Farewell(why) => return Err(Failure::new(format!("the server says: {why}"))),
            }
        }
        Ok(())
    }

    fn show(&mut self, from: &str, text: &str, seq: Option<i64>) -> Result<(), Failure> {
        print(&format!("{from}: {text}"))?;
        if let (Some(memory), Some(seq)) = (&self.memory, seq) {
            memory.keep(seq);
        }
        if from != "you" {
            self.received += 1;
        }
        Ok(())
    }

    /// Whether all is sent, answered and received; `Err` when what is due does not come.
    fn is_done(&self) -> Result<bool, Failure> {
        if (!self.is_open || self.unanswered > 0) && self.progress.elapsed() > PATIENCE {
            return Err(Failure::new("the server does not answer"));
        }
        let Some(ended) = self.input_ended else { return Ok(false) };
        if !self.is_open || self.unanswered > 0 || !self.waiting.is_empty() {
            return Ok(false);
        }
        let waited = self.wait.is_none_or(|wait| ended.elapsed() >= wait);
        if self.receive == 0 {
            return Ok(waited);
        }
        if self.received < self.receive && self.wait.is_some() && waited {
            let (received, receive) = (self.received, self.receive);
            return Err(Failure::new(format!("only {received} of {receive} messages have arrived")));
        }
        Ok(self.received >= self.receive)
    }

    /// How long `is_done` may be left unasked.
    fn patience(&self) -> Duration {
        let left = self.input_ended.zip(self.wait).map(|(ended, wait)| wait.saturating_sub(ended.elapsed()));
        left.unwrap_or(PATIENCE).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    /// The closing handshake, for as long as a server in good health needs. What was sent is answered already.
    fn say_goodbye(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut events = Events::with_capacity(8);
        let mut open = self.link.close().is_ok();
        while open && Instant::now() < deadline {
            open = self.poll.poll(&mut events, Some(Duration::from_millis(100))).is_ok()
                && self.link.flush().is_ok()
                && self.link.receive().is_ok();
        }
    }
}

fn ended(ended: Ended) -> Failure {
    match ended {
        Ended::Closed(code, reason) => Failure::new(format!("the server closed the connection: {reason} ({code})")),
        Ended::Failed(error) => Failure::new(format!("the connection is lost: {error}")),
    }
}

/// Lines of stdin, empty ones left out. The channel closes at the end of input.
fn read_stdin(waker: Waker) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            let is_taken = line.is_empty() || sender.send(line).is_ok();
            if !is_taken || waker.wake().is_err() {
                return;
            }
        }
        drop(sender);
        // The chat may have ended by itself; then nobody is left to wake.
        let _ = waker.wake();
    });
    receiver
}

/// What a user has been shown: one number in a file beside the server's data.
struct Memory {
    path: PathBuf,
}

impl Memory {
    fn of(data_dir: &Path, user: &UserId) -> Self {
        let name: String = user.as_str().bytes().map(|byte| format!("{byte:02x}")).collect();
        Self { path: data_dir.join("chat").join(name) }
    }

    fn recall(&self) -> i64 {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Lost, it costs no more than showing some messages once more.
    fn keep(&self, seq: i64) {
        let temporary = self.path.with_extension("new");
        let kept = self.path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let kept = kept.and_then(|()| std::fs::write(&temporary, format!("{seq}\n")));
        if let Err(error) = kept.and_then(|()| std::fs::rename(&temporary, &self.path)) {
            tracing::warn!(%error, "cannot remember what was shown");
        }
    }
}

/// Client message ids of two runs must differ.
pub fn run_id() -> Result<String, Failure> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(Failure::because("no randomness"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_remembered_for_each_user_apart() {
        let dir = tempfile::tempdir().unwrap();
        let memory = |id| Memory::of(dir.path(), &UserId::new(id).unwrap());
        assert_eq!(memory("../a/b").recall(), 0);
        memory("../a/b").keep(41);
        memory("../a/b").keep(42);
        assert_eq!((memory("../a/b").recall(), memory("bob").recall()), (42, 0));
        assert_eq!(std::fs::read_dir(dir.path().join("chat")).unwrap().count(), 1);
    }
}
