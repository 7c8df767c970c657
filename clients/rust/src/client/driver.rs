//! The task that owns a session: it has the socket, the clock and the store, and the application's promises.
//!
//! Invariant: after each input everything that the session puts out is carried out, in order, before the next input.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a driver has a clock")]

use super::socket::{Lost, Socket};
use super::{is_over, stopped};
use crate::machine::output::{Event, Output, Saved, SendOutcome, Status};
use crate::machine::session::{Session, SessionOptions};
use crate::model::{Answer, Outgoing, Refused, Request, Sent, Target, TypingState};
use crate::options::{ClientOptions, TokenSource, TokenWish};
use crate::store::Store;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::Connector;

/// Events without a place in the inbox that wait for the application; more are dropped.
const LOOSE_EVENTS_MAX: usize = 10_000;

type Asker<T> = oneshot::Sender<Result<T, Refused>>;

/// What the application asks.
pub enum Command {
    Send(Outgoing, Asker<Sent>),
    Ask(Request, Asker<Answer>),
    Typing(Target, TypingState),
    Watch(Vec<String>),
    Unwatch(Vec<String>),
    RetryNow,
    Stop(oneshot::Sender<()>),
}

/// The driver's ends of what it shares with the application.
pub struct Channels {
    pub asked: mpsc::Receiver<Command>,
    pub told: mpsc::UnboundedSender<Event>,
    pub done: mpsc::UnboundedReceiver<()>,
    pub show: watch::Sender<Status>,
    pub waiting: Arc<AtomicUsize>,
}

type Opening = Pin<Box<dyn Future<Output = Result<(Socket, String), Lost>> + Send>>;

/// The way to the server, of one attempt.
enum Link {
    None,
    Opening(Opening),
    Open(Socket),
}

enum Input {
    Command(Option<Command>),
    Finished,
    Opened(Result<(Socket, String), Lost>),
    Heard(Result<crate::wire::dialect::Frame, Lost>),
    Due,
}

pub struct Driver {
    session: Session,
    url: String,
    tokens: Arc<dyn TokenSource>,
    connector: Option<Connector>,
    store: Option<Box<dyn Store>>,
    channels: Channels,
    began: Instant,
    link: Link,
    attempt: u64,
    sends: BTreeMap<String, Vec<Asker<Sent>>>,
    asks: BTreeMap<u64, Asker<Answer>>,
    is_saving_well: bool,
}

impl Driver {
    pub fn new(options: ClientOptions, saved: Option<Saved>, channels: Channels) -> Self {
        let connector = connector_of(&options);
        let ClientOptions { url, user, tokens, protocol, device, begin, tuning, store, .. } = options;
        let dialect = protocol.dialect();
        let url = format!("{}{}", url.trim_end_matches('/'), dialect.path());
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).expect("the system has random numbers");
        let seed = u64::from_le_bytes(seed);
        let session = Session::new(SessionOptions { user, device, begin, saved, tuning, seed }, dialect);
        Self {
            session,
            url,
            tokens,
            connector,
            store,
            channels,
            began: Instant::now(),
            link: Link::None,
            attempt: 0,
            sends: BTreeMap::new(),
            asks: BTreeMap::new(),
            is_saving_well: true,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Until the session has ended.
    pub async fn run(mut self) {
        self.session.start(self.now());
        self.perform();
        while !is_over(&self.session) {
            let input = self.next_input().await;
            self.handle(input);
            self.perform();
        }
        // Dropped senders would say less.
        for asker in std::mem::take(&mut self.sends).into_values().flatten() {
            let _ = asker.send(Err(stopped()));
        }
    }

    async fn next_input(&mut self) -> Input {
        let due = self.session.deadline();
        let pause = Duration::from_millis(due.saturating_sub(self.now()).min(3_600_000));
        let link = &mut self.link;
        let from_link = async {
            match link {
                Link::None => std::future::pending().await,
                Link::Opening(opening) => Input::Opened(opening.await),
                Link::Open(socket) => Input::Heard(socket.next().await),
            }
        };
        tokio::select! {
            command = self.channels.asked.recv() => Input::Command(command),
            Some(()) = self.channels.done.recv() => Input::Finished,
            input = from_link => input,
            () = tokio::time::sleep(pause) => Input::Due,
        }
    }

    fn handle(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Command(Some(command)) => self.obey(command, now),
            // The last handle is gone.
            Input::Command(None) => self.session.stop(),
            Input::Finished => self.session.finished(now),
            Input::Opened(Ok((socket, token))) => {
                self.link = Link::Open(socket);
                self.session.opened(self.attempt, token, now);
            }
            Input::Heard(Ok(frame)) => self.session.received(self.attempt, &frame, now),
            Input::Opened(Err(Lost { code, reason })) | Input::Heard(Err(Lost { code, reason })) => {
                self.link = Link::None;
                self.session.lost(self.attempt, code, &reason, now);
            }
            Input::Due => self.session.wake(now),
        }
    }

    fn obey(&mut self, command: Command, now: u64) {
        match command {
            Command::Send(mut message, asker) => {
                if message.send_time_ms == 0 {
                    message.send_time_ms = wall_clock_ms();
                }
                let client_id = message.client_id.clone();
                match self.session.send(message, now) {
                    Ok(()) => self.sends.entry(client_id).or_default().push(asker),
                    Err(refused) => drop(asker.send(Err(refused))),
                }
            }
            Command::Ask(request, asker) => match self.session.request(request, now) {
                Ok(id) => drop(self.asks.insert(id, asker)),
                Err(refused) => drop(asker.send(Err(refused))),
            },
            Command::Typing(conversation, state) => self.session.typing(conversation, state, now),
            Command::Watch(users) => self.session.watch(users, now),
            Command::Unwatch(users) => self.session.unwatch(users, now),
            Command::RetryNow => self.session.retry_now(now),
            Command::Stop(done) => {
                // What the application has finished with is acknowledged and stored before the end.
                while self.channels.done.try_recv().is_ok() {
                    self.session.finished(now);
                }
                self.session.stop();
                self.perform();
                let _ = done.send(());
            }
        }
    }

    fn perform(&mut self) {
        let mut has_changed = false;
        for output in self.session.drain() {
            match output {
                Output::Open { attempt, is_token_stale } => self.open(attempt, is_token_stale),
                Output::Write { attempt, frame } => match &self.link {
                    Link::Open(socket) if attempt == self.attempt => socket.write(frame),
                    _ => {}
                },
                Output::Close { .. } => self.link = Link::None,
                Output::Status(status) => drop(self.channels.show.send_replace(status)),
                Output::Event(event) => self.tell(event),
                Output::Answered { id, answer } => {
                    if let Some(asker) = self.asks.remove(&id) {
                        // Who asked may have gone.
                        let _ = asker.send(answer);
                    }
                }
                Output::Changed => has_changed = true,
            }
        }
        if has_changed {
            self.save();
        }
    }

    fn open(&mut self, attempt: u64, is_token_stale: bool) {
        let wish = if is_token_stale { TokenWish::Fresh } else { TokenWish::Any };
        let (tokens, url, connector) = (Arc::clone(&self.tokens), self.url.clone(), self.connector.clone());
        self.attempt = attempt;
        self.link = Link::Opening(Box::pin(async move {
            let token = tokens.token(wish).await.map_err(Lost::by)?;
            Ok((Socket::open(&url, connector).await?, token))
        }));
    }

    fn tell(&mut self, event: Event) {
        let askers = match &event {
            Event::Settled { client_id, .. } => self.sends.remove(client_id).unwrap_or_default(),
            _ => Vec::new(),
        };
        if let (Event::Settled { outcome, .. }, false) = (&event, askers.is_empty()) {
            for asker in askers {
                let answer = match outcome {
                    SendOutcome::Sent(sent) => Ok(sent.clone()),
                    SendOutcome::Refused(refused) => Err(refused.clone()),
                };
                // Who sent it may have gone.
                let _ = asker.send(answer);
            }
            return;
        }
        let is_loose = !matches!(event, Event::Entry(_) | Event::Settled { .. });
        if is_loose && self.channels.waiting.load(Ordering::Relaxed) >= LOOSE_EVENTS_MAX {
            return;
        }
        // An application without ears: its entries stay at the server.
        if self.channels.told.send(event).is_ok() {
            self.channels.waiting.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn save(&mut self) {
        let Some(store) = &mut self.store else { return };
        let saved = store.save(&self.session.save());
        let was_well = std::mem::replace(&mut self.is_saving_well, saved.is_ok());
        if let Some(error) = saved.err().filter(|_| was_well) {
            self.tell(Event::StoreFailed(error.to_string()));
        }
    }
}

#[cfg(feature = "tls")]
fn connector_of(options: &ClientOptions) -> Option<Connector> {
    if let Some(configuration) = &options.tls {
        return Some(Connector::Rustls(Arc::clone(configuration)));
    }
    None
}

#[cfg(not(feature = "tls"))]
fn connector_of(_options: &ClientOptions) -> Option<Connector> {
    None
}

fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
