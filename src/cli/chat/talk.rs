//! A conversation at a terminal: lines go out, and what arrives is printed.
//!
//! Invariants: an entry counts as shown when it has been printed; the program ends with success only when all that was typed
//! is answered.

use crate::cli::chat::line::{ChatPair, Line, harmless};
use crate::server::base::console::{self, ConsoleStream};
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::server_url::TIMEOUT;
use mushan_client::{Client, ClientOptions, Event, Events, Outgoing, Phase, Refused, Status, text_content};
use std::io::BufRead;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Lines that are sent and not answered; further ones are not read yet.
const UNANSWERED_MAX: usize = 1_000;

/// How long to stay after the end of input.
pub struct Patience {
    /// Messages of others that are waited for.
    pub receive: usize,
    pub wait: Option<Duration>,
}

pub struct Talk {
    url: String,
    client: Client,
    events: Events,
    status: watch::Receiver<Status>,
    pair: ChatPair,
    patience: Patience,
    lines: mpsc::Receiver<String>,
    unanswered: JoinSet<Result<(), Refused>>,
    /// When the input ended.
    input_ended: Option<Instant>,
    is_open: bool,
    was_open: bool,
    said: u32,
    refused: usize,
    received: usize,
    /// When the server was last heard, or last had reason to answer.
    progress: Instant,
    last_note: Option<String>,
}

impl Talk {
    /// Begins to connect.
    pub fn begin(url: &str, options: ClientOptions, pair: ChatPair, patience: Patience) -> Result<Self, Failure> {
        let connected = Client::connect(options);
        let (client, events) = connected.map_err(Failure::because("cannot read what was shown"))?;
        let status = client.status();
        Ok(Self {
            url: url.to_owned(),
            client,
            events,
            status,
            pair,
            patience,
            lines: read_stdin(),
            unanswered: JoinSet::new(),
            input_ended: None,
            is_open: false,
            was_open: false,
            said: 0,
            refused: 0,
            received: 0,
            progress: Instant::now(),
            last_note: None,
        })
    }

    pub async fn run(mut self) -> Result<(), Failure> {
        loop {
            let (is_done, reads_lines, pause) = (self.is_done()?, self.reads_lines(), self.pause());
            // What has arrived is shown before the end.
            tokio::select! {
                biased;
                Ok(()) = self.status.changed() => self.observe()?,
                event = self.events.next() => self.hear(event)?,
                Some(answer) = self.unanswered.join_next() => self.answered(answer.expect("sending does not panic")),
                line = self.lines.recv(), if reads_lines => self.read(line),
                () = std::future::ready(()), if is_done => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.events.finish();
        // Everything sent has been answered; what is left is the closing handshake.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.client.close()).await;
        match self.refused {
            0 => Ok(()),
            refused => Err(Failure::new(format!("the server refused {refused} of the messages"))),
        }
    }

    fn reads_lines(&self) -> bool {
        self.input_ended.is_none() && self.was_open && self.unanswered.len() < UNANSWERED_MAX
    }

    fn read(&mut self, line: Option<String>) {
        let Some(line) = line else {
            self.input_ended = Some(Instant::now());
            return;
        };
        if self.unanswered.is_empty() {
            self.progress = Instant::now();
        }
        self.said += 1;
        let id = self.pair.client_message_id(self.said);
        let message = Outgoing::new(id, self.pair.peer.clone(), text_content(&line));
        let client = self.client.clone();
        self.unanswered.spawn(async move { client.send_outgoing(message).await.map(drop) });
    }

    fn answered(&mut self, answer: Result<(), Refused>) {
        self.progress = Instant::now();
        if let Err(refused) = answer {
            self.refused += 1;
            console::say(ConsoleStream::Errors, &format!("not sent: {}", harmless(&refused.text)));
        }
    }

    /// The connection has come, gone, or ended.
    fn observe(&mut self) -> Result<(), Failure> {
        let Status { phase, attempt, reason, .. } = self.status.borrow_and_update().clone();
        let reason = harmless(reason.as_deref().unwrap_or("no reason was given"));
        let was_open = std::mem::replace(&mut self.is_open, phase == Phase::Ready);
        // An attempt that fails is no sign of the server.
        if was_open != self.is_open {
            self.progress = Instant::now();
        }
        self.was_open |= self.is_open;
        match phase {
            Phase::Ended => Err(Failure::new(format!("the server ended the session: {reason}"))),
            Phase::Waiting if !self.was_open && attempt == 1 => {
                Err(Failure::new(format!("cannot talk to {}: {reason}", self.url)))
            }
            _ => {
                if was_open && !self.is_open {
                    let told = "the connection to the server is lost; reconnecting until it is back";
                    console::say(ConsoleStream::Errors, told);
                }
                Ok(())
            }
        }
    }

    /// `None`: the session has ended, of which its status tells.
    fn hear(&mut self, event: Option<Event>) -> Result<(), Failure> {
        self.progress = Instant::now();
        // Of a short connection the status may tell only that it is gone.
        self.was_open |= event.is_some();
        let line = match event {
            Some(Event::Entry(entry)) => self.pair.line_of(&entry.body),
            Some(Event::Transient(message)) => self.pair.line_of_message(&message),
            Some(Event::StoreFailed(why)) => {
                console::say(ConsoleStream::Errors, &format!("cannot remember what was shown: {why}"));
                Line::Nothing
            }
            Some(Event::Settled { .. } | Event::Typing(_) | Event::Presence(_) | Event::Epoch(_)) => Line::Nothing,
            None => {
                self.observe()?;
                return Err(Failure::new("the session has ended"));
            }
        };
        self.show(line)
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
        // At a terminal, a lost connection is waited for; after the end of input, and the first time, it is not for long.
        let is_waiting = !self.is_open || !self.unanswered.is_empty();
        if is_overdue && is_waiting && (self.is_open || !self.was_open || self.input_ended.is_some()) {
            return Err(Failure::new("the server does not answer"));
        }
        let Some(ended) = self.input_ended else { return Ok(false) };
        if is_waiting {
            return Ok(false);
        }
        let Patience { receive, wait } = self.patience;
        let waited = wait.is_none_or(|wait| ended.elapsed() >= wait);
        if receive == 0 {
            return Ok(waited);
        }
        let received = self.received;
        if received < receive && wait.is_some() && waited {
            return Err(Failure::new(format!("only {received} of {receive} messages have arrived")));
        }
        Ok(received >= receive)
    }

    /// How long nothing may happen before `is_done` must be asked again.
    fn pause(&self) -> Duration {
        let left = self.input_ended.zip(self.patience.wait).map(|(ended, wait)| wait.saturating_sub(ended.elapsed()));
        left.unwrap_or(TIMEOUT).clamp(Duration::from_millis(1), Duration::from_millis(500))
    }
}

/// Reads lines of stdin, except empty ones. The channel closes at the end of input.
fn read_stdin() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if !line.is_empty() && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
