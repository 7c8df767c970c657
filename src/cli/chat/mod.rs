//! `mushan chat`: a small terminal client. It sends typed lines and prints what arrives.
//!
//! One thread owns the socket, another reads stdin. The program ends at the end of input, once everything sent is
//! answered. When the connection is lost it reconnects, sends unanswered messages again under their client ids, which
//! the server recognises, and continues to read the inbox at its position.

pub(super) mod binary;
pub(super) mod exchange;
pub(super) mod json_rpc;
pub(super) mod line;
pub(super) mod memory;
pub(super) mod session;
pub(super) mod target;

use crate::cli::chat::binary::BinarySession;
use crate::cli::chat::exchange::{ChatAction, ChatEvent, ChatPair, ChatPeer, Line, Shown};
use crate::cli::chat::json_rpc::JsonRpcSession;
use crate::cli::chat::line::harmless;
use crate::cli::chat::memory::Memory;
use crate::cli::chat::session::ChatSession;
use crate::cli::chat::target::ChatTarget;
use crate::model::GroupId;
use crate::server::base::console::{self, ConsoleStream};
use crate::terminal::arguments::parse_user;
use crate::terminal::failure::Failure;
use crate::terminal::minter::Minter;
use crate::terminal::print::print;
use crate::terminal::run_id::run_id;
use crate::terminal::sources;
use crate::terminal::tcp_client::{StreamEnd, TIMEOUT, TcpClient, path_of};
use crate::terminal::tls_client::TlsFlags;
use mio::{Events, Poll, Token, Waker};
use std::collections::VecDeque;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Talk to another user, or in a group, from the terminal
///
/// Each line that you type is sent. Messages of this conversation are printed as "bob: text"; for other conversations a
/// note names where to read them. Ctrl-D ends the program. After a restart of the server it reconnects. On the server's
/// machine the token is made from the data directory's secret, and missed messages are shown first; elsewhere give a
/// token with --token.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("peer").required(true).args(["to", "group"])))]
pub struct Arguments {
    /// Your user id
    #[arg(long, value_name = "ID")]
    user: String,
    /// The user to talk to
    #[arg(long, value_name = "ID")]
    to: Option<String>,
    /// The group to talk in
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// [default: the protocol of the path of --url; binary if it has no path]
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    #[arg(long, default_value = "ws://127.0.0.1:8081")]
    url: String,
    #[command(flatten)]
    tls: TlsFlags,
    /// The server's data directory, for its token secret [default: mushan-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A token, instead of making one
    #[arg(long)]
    token: Option<String>,
    /// After the end of input, stay until this many messages of others have been shown
    #[arg(long, value_name = "N", default_value_t = 0)]
    receive: usize,
    /// After the end of input, stay for this time; with --receive, give up after it (exit status 1)
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

    /// The protocol of a URL: that of its path, or the wanted one if it has no path.
    fn of_url(url: &str, wanted: Option<Self>) -> Result<Self, Failure> {
        let spoken = match path_of(url) {
            Some("/ws") => Some(Self::Binary),
            Some("/rpc" | "/wukong") => Some(Self::Jsonrpc),
            _ => None,
        };
        match (spoken, wanted) {
            (Some(spoken), Some(wanted)) if spoken != wanted => {
                let (path, flag) =
                    (path_of(url).unwrap_or_default(), if spoken == Self::Binary { "binary" } else { "jsonrpc" });
                Err(Failure::new(format!(
                    "the path {path} of {url} is for another protocol; use --protocol {flag}, or leave it out"
                )))
            }
            (spoken, wanted) => Ok(spoken.or(wanted).unwrap_or(Self::Binary)),
        }
    }
}

const TOKEN_TTL_MS: u64 = 24 * 3_600 * 1_000;
const SOCKET: Token = Token(0);
const STDIN: Token = Token(1);

/// The delay before reconnecting, and between attempts.
const RETRY: Duration = Duration::from_secs(1);

/// Close codes after which reconnecting would fail in the same way: authentication, bad requests, replaced by another
/// session, the token, the account.
const FINAL_CODES: [u16; 5] = [4001, 4004, 4006, 4007, 4008];

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (user, peer) = (parse_user(&arguments.user)?, arguments.peer()?);
    let protocol = Protocol::of_url(&arguments.url, arguments.protocol)?;
    let (token, memory) = match &arguments.token {
        Some(token) => (token.clone(), None),
        None => {
            let data_dir = sources::data_dir(arguments.data_dir.as_deref());
            (Minter::open(&data_dir)?.mint(&user, TOKEN_TTL_MS), Some(Memory::of(&data_dir, &user, &peer)))
        }
    };
    let shown = memory.as_ref().and_then(Memory::recall);
    let (seen, epoch) = (shown.map(|shown| shown.seq), shown.and_then(|shown| shown.epoch));
    let header = match &peer {
        ChatPeer::User(peer) => format!("you are {user}, talking to {peer}; Ctrl-D ends"),
        ChatPeer::Group(group) => format!("you are {user}, talking in the group {group}; Ctrl-D ends"),
    };
    let identity = ChatPair { user: user.to_string(), peer, token, run: run_id()?, seen, epoch };
    let session = match protocol {
        Protocol::Binary => ChatSession::Binary(BinarySession::new(identity)),
        Protocol::Jsonrpc => ChatSession::JsonRpc(JsonRpcSession::new(identity)),
    };
    let target = ChatTarget::new(&arguments.url, protocol.path(), &arguments.tls)?;
    let link = target.connect()?;
    let mut chat =
        Chat::new(target, session, memory, arguments).map_err(Failure::because("cannot watch the socket"))?;
    console::say(ConsoleStream::Errors, &header);
    chat.connected(link)?;
    chat.run()
}

impl Arguments {
    fn peer(&self) -> Result<ChatPeer, Failure> {
        match (&self.to, &self.group) {
            (_, Some(group)) => {
                let group = GroupId::new(group)
                    .map_err(|error| Failure::new(format!("the group id {group:?} {error}")).caused_by(error))?;
                Ok(ChatPeer::Group(group.to_string()))
            }
            (to, None) => Ok(ChatPeer::User(parse_user(to.as_deref().unwrap_or_default())?.to_string())),
        }
    }
}

struct Chat {
    poll: Poll,
    target: ChatTarget,
    /// `None`: the connection was lost and must be made again.
    link: Option<TcpClient>,
    retry_due: Instant,
    session: ChatSession,
    memory: Option<Memory>,
    lines: Receiver<String>,
    /// Lines typed before the session was open.
    waiting: VecDeque<String>,
    is_open: bool,
    /// When the input ended.
    input_ended: Option<Instant>,
    said: u32,
    /// Messages without an answer, by number.
    unanswered: VecDeque<(u32, String)>,
    refused: usize,
    received: usize,
    receive: usize,
    wait: Option<Duration>,
    keep_alive_due: Instant,
    /// When the last expected message arrived.
    progress: Instant,
    last_note: Option<String>,
}

impl Chat {
    fn new(
        target: ChatTarget,
        session: ChatSession,
        memory: Option<Memory>,
        arguments: &Arguments,
    ) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let lines = read_stdin(Waker::new(poll.registry(), STDIN)?);
        let now = Instant::now();
        Ok(Self {
            poll,
            target,
            link: None,
            retry_due: now,
            session,
            memory,
            lines,
            waiting: VecDeque::new(),
            is_open: false,
            input_ended: None,
            said: 0,
            unanswered: VecDeque::new(),
            refused: 0,
            received: 0,
            receive: arguments.receive,
            wait: arguments.wait_ms.map(Duration::from_millis),
            keep_alive_due: now,
            progress: now,
            last_note: None,
        })
    }

    fn run(&mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(8);
        while !self.is_done()? {
            match self.poll.poll(&mut events, Some(self.poll_timeout())) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.map_err(Failure::because("cannot wait for the socket"))?,
            }
            self.drain_lines();
            if self.link.is_none() && Instant::now() >= self.retry_due {
                self.connect_again()?;
            }
            self.with_link(TcpClient::flush)?;
            self.listen()?;
            self.speak()?;
            if self.is_open && Instant::now() >= self.keep_alive_due {
                let mut outcome = ChatAction::default();
                self.session.keep_alive(&mut outcome);
                self.carry_out(outcome)?;
                self.keep_alive_due = Instant::now() + Duration::from_secs(self.session.keep_alive_s());
            }
        }
        self.say_goodbye();
        match self.refused {
            0 => Ok(()),
            refused => Err(Failure::new(format!("the server refused {refused} of the messages"))),
        }
    }

    /// Continues over a new connection.
    fn connected(&mut self, link: TcpClient) -> Result<(), Failure> {
        link.register(self.poll.registry(), SOCKET).map_err(Failure::because("cannot watch the socket"))?;
        self.link = Some(link);
        self.progress = Instant::now();
        self.keep_alive_due = Instant::now() + Duration::from_secs(self.session.keep_alive_s());
        let mut outcome = ChatAction::default();
        self.session.open(&mut outcome);
        self.carry_out(outcome)
    }

    fn connect_again(&mut self) -> Result<(), Failure> {
        match self.target.connect() {
            Ok(link) => self.connected(link),
            Err(_) => {
                self.retry_due = Instant::now() + RETRY;
                Ok(())
            }
        }
    }

    /// Calls `work` with the connection, if there is one. A lost connection that can be replaced is not a failure.
    fn with_link<T>(
        &mut self,
        use_it: impl FnOnce(&mut TcpClient) -> Result<T, StreamEnd>,
    ) -> Result<Option<T>, Failure> {
        let Some(link) = &mut self.link else { return Ok(None) };
        match use_it(link) {
            Ok(value) => Ok(Some(value)),
            Err(StreamEnd::Closed(code, reason)) if FINAL_CODES.contains(&code) => {
                Err(Failure::new(format!("the server closed the connection: {reason} ({code})")))
            }
            Err(_) => {
                self.lost();
                Ok(None)
            }
        }
    }

    fn lost(&mut self) {
        self.link = None;
        self.retry_due = Instant::now() + RETRY;
        if std::mem::take(&mut self.is_open) {
            self.progress = Instant::now();
            console::say(ConsoleStream::Errors, "the connection to the server is lost; reconnecting every second");
        }
    }

    fn listen(&mut self) -> Result<(), Failure> {
        while let Some(message) = self.with_link(TcpClient::receive)?.flatten() {
            let mut outcome = ChatAction::default();
            self.session.receive(&message, &mut outcome);
            self.progress = Instant::now();
            self.carry_out(outcome)?;
        }
        Ok(())
    }

    fn drain_lines(&mut self) {
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
            if self.unanswered.is_empty() {
                self.progress = Instant::now();
            }
            self.said += 1;
            self.unanswered.push_back((self.said, line.clone()));
            self.say(self.said, &line)?;
        }
        Ok(())
    }

    fn say(&mut self, number: u32, line: &str) -> Result<(), Failure> {
        let mut outcome = ChatAction::default();
        self.session.say(number, line, &mut outcome);
        self.carry_out(outcome)
    }

    fn carry_out(&mut self, outcome: ChatAction) -> Result<(), Failure> {
        for message in outcome.write {
            self.with_link(|link| link.send(message))?;
        }
        let mut newest = None;
        for events in outcome.events {
            match events {
                ChatEvent::Opened => self.opened()?,
                ChatEvent::Entry { seq, line } => {
                    self.show(line)?;
                    newest = seq.or(newest);
                }
                ChatEvent::Accepted(number) => self.answered(number),
                ChatEvent::Refused(number, why) => {
                    self.answered(number);
                    self.refused += 1;
                    console::say(ConsoleStream::Errors, &format!("not sent: {}", harmless(&why)));
                }
                ChatEvent::Leaving => self.lost(),
                ChatEvent::Farewell(why) => {
                    return Err(Failure::new(format!("the server ended the session: {}", harmless(&why))));
                }
                ChatEvent::Unreadable => {
                    let url = &self.target.url;
                    return Err(Failure::new(format!(
                        "cannot decode the server's answer; is {url} a mushan server of this version, and is --protocol right?"
                    )));
                }
            }
        }
        if let (Some(memory), Some(seq)) = (&self.memory, newest) {
            memory.keep(Shown { seq, epoch: self.session.epoch() });
        }
        Ok(())
    }

    /// Sends the messages again that have no answer: the server recognises their ids.
    fn opened(&mut self) -> Result<(), Failure> {
        self.is_open = true;
        for (number, line) in self.unanswered.clone() {
            self.say(number, &line)?;
        }
        Ok(())
    }

    fn answered(&mut self, number: u32) {
        self.unanswered.retain(|(unanswered, _)| *unanswered != number);
    }

    fn show(&mut self, line: Line) -> Result<(), Failure> {
        match line {
            Line::Nothing => Ok(()),
            Line::Note(note) if self.last_note.as_ref() == Some(&note) => Ok(()),
            Line::Note(note) => {
                let shown = print(&format!("* {}", harmless(&note)));
                self.last_note = Some(note);
                shown
            }
            Line::Text { from, text } => {
                self.last_note = None;
                self.received += usize::from(from != "you");
                print(&format!("{}: {}", harmless(&from), harmless(&text)))
            }
        }
    }

    /// Whether everything is sent, answered and received. Fails if an expected message does not arrive.
    fn is_done(&self) -> Result<bool, Failure> {
        let is_overdue = self.progress.elapsed() > TIMEOUT;
        // At a terminal, a lost connection is waited for; after the end of input only answers are.
        let is_waiting = if self.link.is_some() { !self.is_open || !self.unanswered.is_empty() } else { false };
        if is_overdue && (is_waiting || (self.link.is_none() && self.input_ended.is_some())) {
            return Err(Failure::new("the server does not answer"));
        }
        let Some(ended) = self.input_ended else { return Ok(false) };
        if !self.unanswered.is_empty() || !self.waiting.is_empty() || !self.is_open {
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

    /// How long the poll may block before `is_done` must be called again.
    fn poll_timeout(&self) -> Duration {
        let left = self.input_ended.zip(self.wait).map(|(ended, wait)| wait.saturating_sub(ended.elapsed()));
        left.unwrap_or(TIMEOUT).clamp(Duration::from_millis(1), Duration::from_millis(500))
    }

    /// Performs the closing handshake, for as long as a healthy server needs. Everything sent has been answered.
    fn say_goodbye(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut events = Events::with_capacity(8);
        let Some(link) = &mut self.link else { return };
        let mut open = link.close().is_ok();
        while open && Instant::now() < deadline {
            open = self.poll.poll(&mut events, Some(Duration::from_millis(100))).is_ok()
                && link.flush().is_ok()
                && link.receive().is_ok();
        }
    }
}

/// Reads lines of stdin, except empty ones. The channel closes at the end of input.
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
        // The chat may have ended already; then there is nobody to wake.
        let _ = waker.wake();
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_picks_the_protocol_and_a_contradiction_is_told() {
        let of = |path: &str, wanted| Protocol::of_url(&format!("ws://h:1{path}"), wanted).map_err(|it| it.sentence);
        for (path, wanted, protocol) in [
            ("", None, Protocol::Binary),
            ("", Some(Protocol::Jsonrpc), Protocol::Jsonrpc),
            ("/", Some(Protocol::Jsonrpc), Protocol::Jsonrpc),
            ("/rpc", None, Protocol::Jsonrpc),
            ("/wukong", None, Protocol::Jsonrpc),
            ("/ws", Some(Protocol::Binary), Protocol::Binary),
        ] {
            assert_eq!(of(path, wanted), Ok(protocol), "{path}");
        }
        let told = of("/rpc", Some(Protocol::Binary)).expect_err("they contradict each other");
        assert!(told.contains("--protocol jsonrpc"), "{told}");
    }
}
