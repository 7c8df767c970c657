//! Sends about which the operator's hook is asked, and the later sends of their authors, which wait behind them.
//!
//! In memory only: nobody was told that such a send is accepted. Invariants: of one author there is one question at a
//! time; sends behind it keep their order. Bounded: a session has at most one send in a line, which pauses it, and one
//! that is asked about; the control thread bounds those of orders.

use crate::model::{Send, SendKind, SessionId, UserId};
use crate::shard::peers::asked_send::AskedSend;
use crate::shard::peers::stalled::Stalled;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// The mark on a question to the hook, which the answer repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookTicket {
    author: UserId,
    number: u64,
}

/// A question to the hook: may this message be sent?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookQuestion {
    /// The mark for the answer.
    pub ticket: HookTicket,
    /// The kind of the send.
    pub kind: SendKind,
    /// The message.
    pub send: Send,
}

impl HookQuestion {
    /// The author of the message.
    pub fn author(&self) -> &UserId {
        &self.ticket.author
    }
}

/// What the sends of a line wait for.
#[derive(Debug)]
enum LineHead {
    /// The hook's answer to the question of this number.
    Asked(u64, Box<AskedSend>),
    /// The hook has answered, and the send waits for a window.
    Stalled,
    /// Nothing: they wait for their turn.
    Free,
}

#[derive(Debug)]
struct HookLine {
    head: LineHead,
    waiting: VecDeque<Stalled>,
}

/// The line of each author about whose send the hook is asked.
pub(in crate::shard) struct HookLines {
    lines: HashMap<UserId, HookLine, FixedState>,
    /// Authors whose lines go on, each once.
    ready: VecDeque<UserId>,
    /// The author whose line goes on right now: what it sends is the first of the line.
    served: Option<UserId>,
    questions: u64,
    waiting: usize,
}

impl HookLines {
    pub fn new(seed: u64) -> Self {
        let lines = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { lines, ready: VecDeque::new(), served: None, questions: 0, waiting: 0 }
    }

    /// Whether a send of the author has to wait.
    pub fn has_line(&self, author: &UserId) -> bool {
        self.served.as_ref() != Some(author) && self.lines.contains_key(author)
    }

    /// Puts a send at the end of the author's line.
    pub fn wait(&mut self, author: &UserId, stalled: Stalled) {
        let line = self.lines.get_mut(author).expect("only behind another send");
        line.waiting.push_back(stalled);
        self.waiting += 1;
    }

    /// Puts a send at the head of its author's line. Returns the mark of the question.
    pub fn ask(&mut self, asked: AskedSend) -> HookTicket {
        self.questions += 1;
        let (author, number) = (asked.author.clone(), self.questions);
        let line = self
            .lines
            .entry(author.clone())
            .or_insert_with(|| HookLine { head: LineHead::Free, waiting: VecDeque::new() });
        assert!(matches!(line.head, LineHead::Free), "one question of an author at a time");
        line.head = LineHead::Asked(number, Box::new(asked));
        HookTicket { author, number }
    }

    /// Takes the send that an answer is about; the line goes on when the send is released. `None`: answered before.
    pub fn answered(&mut self, ticket: &HookTicket) -> Option<AskedSend> {
        let line = self.lines.get_mut(&ticket.author)?;
        if !matches!(&line.head, LineHead::Asked(number, _) if *number == ticket.number) {
            return None;
        }
        let LineHead::Asked(_, asked) = std::mem::replace(&mut line.head, LineHead::Stalled) else { return None };
        Some(*asked)
    }

    /// The send at the head is done with.
    pub fn release(&mut self, author: &UserId) {
        let Some(line) = self.lines.get_mut(author) else { return };
        line.head = LineHead::Free;
        if line.waiting.is_empty() {
            self.lines.remove(author);
        } else if !self.ready.contains(author) {
            self.ready.push_back(author.clone());
        }
    }

    /// Takes the sends of the author's line that `is_meant` names.
    pub fn take_where(&mut self, author: &UserId, is_meant: impl Fn(&Stalled) -> bool) -> Vec<Stalled> {
        let Some(line) = self.lines.get_mut(author) else { return Vec::new() };
        let (taken, kept): (Vec<_>, Vec<_>) = line.waiting.drain(..).partition(is_meant);
        line.waiting = kept.into();
        self.waiting -= taken.len();
        taken
    }

    /// The next send whose turn it is. `served` follows when it is carried out.
    pub fn serve(&mut self) -> Option<Stalled> {
        let author = self.ready.front()?.clone();
        let stalled = self.lines.get_mut(&author).and_then(|line| line.waiting.pop_front());
        self.waiting -= usize::from(stalled.is_some());
        self.served = Some(author);
        stalled
    }

    /// The send that `serve` returned is carried out, or asked about.
    pub fn served(&mut self) {
        let (Some(author), Some(_)) = (self.served.take(), self.ready.pop_front()) else { return };
        let Some(line) = self.lines.get(&author) else { return };
        match line.head {
            LineHead::Free if line.waiting.is_empty() => drop(self.lines.remove(&author)),
            LineHead::Free => self.ready.push_back(author),
            LineHead::Asked(..) | LineHead::Stalled => {}
        }
    }

    /// Whether a send waits for nothing but its turn.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Drops the send of a session that is gone from the line. One that is asked about goes on.
    pub fn forget(&mut self, author: &UserId, session: SessionId) {
        self.take_where(author, |stalled| stalled.is_of(session));
    }

    /// Authors with a send that is asked about, or is behind one.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Sends behind one that is asked about.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}
