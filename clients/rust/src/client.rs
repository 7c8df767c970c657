//! The application's side of a client: a handle that asks, and the events that it is told. The driver's task (`driver`)
//! owns the session.

mod driver;
mod socket;

use crate::machine::output::{Event, Phase, Status};
use crate::machine::session::Session;
use crate::model::{
    Answer, ClearExtent, ConversationRow, GroupInfo, HistoryPage, Outgoing, PageStart, RefusalKind, Refused, Request,
    Sent, Target, TypingState,
};
use crate::options::ClientOptions;
use crate::streams::StreamWriter;
use crate::wire::text::text_content;
use driver::{Command, Driver};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot, watch};

/// What the application asks, not yet taken by the driver.
const COMMANDS_MAX: usize = 256;

/// An id that nobody else has.
pub(crate) fn new_id() -> String {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A handle of a session. Its clones are the same session, which ends when the last of them is gone.
#[derive(Clone)]
pub struct Client {
    user: Arc<str>,
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
}

/// What the application is told, in order.
pub struct Events {
    events: mpsc::UnboundedReceiver<Event>,
    finished: mpsc::UnboundedSender<()>,
    waiting: Arc<AtomicUsize>,
    has_entry: bool,
}

impl Events {
    /// The next event; `None` when the session has ended. Asking for it says that the application has finished with the
    /// one before: an entry is acknowledged, and stored as read, only then.
    pub async fn next(&mut self) -> Option<Event> {
        self.finish();
        let event = self.events.recv().await?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.has_entry = matches!(event, Event::Entry(_));
        Some(event)
    }

    /// Says that the application has finished with the last event, without asking for another one: before a `close`, say.
    pub fn finish(&mut self) {
        if std::mem::take(&mut self.has_entry) {
            // The session has ended: the entry is told again by the next one.
            let _ = self.finished.send(());
        }
    }
}

impl Client {
    /// Begins to connect, on a task of the current tokio runtime.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn connect(mut options: ClientOptions) -> io::Result<(Self, Events)> {
        let saved = match &mut options.store {
            Some(store) => store.load()?,
            None => None,
        };
        let (commands, asked) = mpsc::channel(COMMANDS_MAX);
        let (told, events) = mpsc::unbounded_channel();
        let (finished, done) = mpsc::unbounded_channel();
        let idle = Status { phase: Phase::Idle, attempt: 0, retry_at_ms: None, reason: None };
        let (show, status) = watch::channel(idle);
        let waiting = Arc::new(AtomicUsize::new(0));
        let user = options.user.as_str().into();
        let driver =
            Driver::new(options, saved, driver::Channels { asked, told, done, show, waiting: Arc::clone(&waiting) });
        tokio::spawn(driver.run());
        Ok((Self { user, commands, status }, Events { events, finished, waiting, has_entry: false }))
    }

    /// Who this client is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The phase, now and as it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until the session is in `phase`.
    ///
    /// # Errors
    ///
    /// It ends before.
    pub async fn until(&self, phase: Phase) -> Result<(), Refused> {
        let mut status = self.status.clone();
        let seen = status.wait_for(|status| status.phase == phase || status.phase == Phase::Ended).await;
        match seen {
            Ok(status) if status.phase == phase => Ok(()),
            Ok(status) => Err(Refused::own(RefusalKind::Stopped, status.reason.clone().unwrap_or_default())),
            Err(_) => Err(stopped()),
        }
    }

    /// Sends a text. Returns when the server has stored it, however often the connection is cut until then.
    ///
    /// # Errors
    ///
    /// The server refuses it for good, too many messages wait, or the session ends.
    pub async fn send_text(&self, to: &Target, text: &str) -> Result<Sent, Refused> {
        self.send_outgoing(Outgoing::new(new_id(), to.clone(), text_content(text))).await
    }

    /// The same with everything that a message can have, under an id of the caller's.
    ///
    /// # Errors
    ///
    /// As `send_text`.
    pub async fn send_outgoing(&self, message: Outgoing) -> Result<Sent, Refused> {
        self.ask(|answer| Command::Send(message, answer)).await
    }

    /// A text that is written bit by bit; every reader sees it grow.
    pub fn stream(&self, to: &Target) -> StreamWriter {
        StreamWriter::new(self.clone(), to.clone())
    }

    /// Any request of either protocol. It is asked again after a cut, and gives up after `Tuning::request_ms`.
    ///
    /// # Errors
    ///
    /// The server refuses it, it gets no answer in time, or the session ends.
    pub async fn request(&self, request: Request) -> Result<Answer, Refused> {
        self.ask(|answer| Command::Ask(request, answer)).await
    }

    /// Says that this user types or stopped. Dropped without a connection, and where too much waits.
    pub fn typing(&self, conversation: &Target, state: TypingState) {
        // Nobody misses a typing notice.
        let _ = self.commands.try_send(Command::Typing(conversation.clone(), state));
    }

    /// Users whose presence is told from now on, also after reconnects.
    pub async fn watch(&self, users: Vec<String>) {
        // A session that has ended tells nothing.
        let _ = self.commands.send(Command::Watch(users)).await;
    }

    /// Users whose presence is of no interest any more.
    pub async fn unwatch(&self, users: Vec<String>) {
        let _ = self.commands.send(Command::Unwatch(users)).await;
    }

    /// Gives the session a fresh token before the old one expires; later logins use what the token source gives.
    ///
    /// # Errors
    ///
    /// The server does not take it: the session goes on with the old one.
    pub async fn renew(&self, token: impl Into<String>) -> Result<(), Refused> {
        self.request(Request::Reauth { token: token.into() }).await.map(drop)
    }

    /// Takes a message back.
    ///
    /// # Errors
    ///
    /// As `request`, here and below.
    pub async fn revoke(&self, conversation: &Target, message_id: impl Into<String>) -> Result<(), Refused> {
        let message_id = message_id.into();
        self.request(Request::Revoke { conversation: conversation.clone(), message_id }).await.map(drop)
    }

    /// Tells the authors that this user has read their messages.
    pub async fn receipt(&self, conversation: &Target, message_ids: Vec<String>) -> Result<(), Refused> {
        self.request(Request::Receipt { conversation: conversation.clone(), message_ids }).await.map(drop)
    }

    /// This user has read a conversation up to a seq of it.
    pub async fn mark_read(&self, conversation: &Target, through: u64) -> Result<(), Refused> {
        self.request(Request::MarkRead { conversation: conversation.clone(), through }).await.map(drop)
    }

    /// Hides a conversation's messages so far from this user alone.
    pub async fn clear(&self, conversation: &Target, extent: ClearExtent) -> Result<(), Refused> {
        let conversation = conversation.clone();
        self.request(Request::Clear { conversation, through: 0, extent }).await.map(drop)
    }

    /// A page of a conversation.
    pub async fn history(&self, conversation: &Target, start: PageStart) -> Result<HistoryPage, Refused> {
        let conversation = conversation.clone();
        match self.request(Request::History { conversation, start, limit: 100, topic: None }).await? {
            Answer::History(page) => Ok(page),
            _ => Err(unexpected()),
        }
    }

    /// The newest conversations.
    pub async fn conversations(&self) -> Result<Vec<ConversationRow>, Refused> {
        match self.request(Request::Conversations { before_seq: 0, limit: 0 }).await? {
            Answer::Conversations { rows, .. } => Ok(rows),
            _ => Err(unexpected()),
        }
    }

    /// A group and its first members.
    pub async fn group(&self, group: impl Into<String>) -> Result<GroupInfo, Refused> {
        match self.request(Request::GroupInfo { group: group.into(), after: String::new(), limit: 0 }).await? {
            Answer::Group(group) => Ok(group),
            _ => Err(unexpected()),
        }
    }

    /// Ends a pause before the next attempt.
    pub async fn retry_now(&self) {
        let _ = self.commands.send(Command::RetryNow).await;
    }

    /// Ends the session for good, and returns when it has acknowledged and stored what it had to.
    pub async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).await.is_ok() {
            let _ = ended.await;
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Command) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| stopped())?;
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> Refused {
    Refused::own(RefusalKind::Stopped, "the session has ended")
}

fn unexpected() -> Refused {
    Refused::own(RefusalKind::Unknown, "the answer is of another request")
}

/// For the driver, which has no user of its own.
fn is_over(session: &Session) -> bool {
    session.phase() == Phase::Ended
}
