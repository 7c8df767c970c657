//! Sends about which the operator's hook is asked, and the later sends of their authors, which wait behind them.
//!
//! In memory only: nobody was told that such a send is accepted. Invariants: of one author there is one question at a
//! time; sends behind it keep their order, and an order that left the line and comes back, because a window was full or a
//! disk had to be read, has the place that it had. Bounded: a session has at most one send in a line, which pauses it, and one
//! that is asked about; the control thread bounds those of orders.

use crate::model::{ClientMessageId, Command, Denial, Order, Recipient, Send, SendKind, SessionId, UserId};
use crate::shard::peers::authored_send::AskedSend;
use crate::shard::peers::stalled::Stalled;
use crate::shard::peers::ticket::Ticket;
use crate::shard::table::fingerprint::Fingerprint;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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
    /// Numbered in the order in which they came.
    waiting: VecDeque<(u64, Stalled)>,
    /// The number of the next send that waits.
    next_number: u64,
    /// The largest ticket that has waited here.
    newest: Option<Ticket>,
    denied: DeniedSends,
}

impl HookLine {
    fn new() -> Self {
        Self {
            head: LineHead::Free,
            waiting: VecDeque::new(),
            next_number: 0,
            newest: None,
            denied: DeniedSends::default(),
        }
    }
}

/// A send that the hook has denied.
#[derive(Debug)]
pub(in crate::shard) struct DeniedSend {
    pub client_message_id: ClientMessageId,
    pub recipient: Recipient,
    pub content: Fingerprint,
    pub denial: Box<Denial>,
}

/// The denied sends of an author whose repetitions may be in the line: those that came before the denial.
#[derive(Debug, Default)]
struct DeniedSends {
    /// With the number that follows those of the sends that waited then.
    sends: BTreeMap<ClientMessageId, (u64, Arc<DeniedSend>)>,
    /// In the order of these numbers.
    ends: VecDeque<(u64, ClientMessageId)>,
}

impl DeniedSends {
    fn insert(&mut self, end: u64, denied: DeniedSend) {
        self.ends.push_back((end, denied.client_message_id.clone()));
        self.sends.insert(denied.client_message_id.clone(), (end, Arc::new(denied)));
    }

    /// What the send of this number may repeat. Forgets what neither it nor a later one can repeat.
    fn find(&mut self, number: u64, send: &Send) -> Option<Arc<DeniedSend>> {
        while let Some((_, id)) = self.ends.pop_front_if(|(end, _)| *end <= number) {
            if self.sends.get(&id).is_some_and(|(end, _)| *end <= number) {
                self.sends.remove(&id);
            }
        }
        self.sends.get(&send.client_message_id).map(|(_, denied)| denied.clone())
    }
}

/// The send of a line whose turn it is, and the denied one that it may repeat.
#[derive(Debug)]
pub(in crate::shard) struct ServedSend {
    pub stalled: Stalled,
    pub denied: Option<Arc<DeniedSend>>,
}

/// The message of a send that waits.
fn send_of(stalled: &Stalled) -> Option<&Send> {
    match stalled {
        Stalled::Command { command: Command::Send(send), .. } => Some(send),
        Stalled::Order { order: Order::Send { send, .. }, .. } => Some(send),
        _ => None,
    }
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

    /// Puts a send at the end of the author's line, an order before those that came after it.
    pub fn wait(&mut self, author: &UserId, stalled: Stalled) {
        let line = self.lines.get_mut(author).expect("only behind another send");
        let ticket = stalled.ticket();
        let is_later = ticket.is_none() || ticket > line.newest;
        let place = match is_later {
            true => None,
            false => line.waiting.iter().position(|(_, other)| other.ticket() > ticket),
        };
        line.newest = line.newest.max(ticket);
        self.waiting += 1;
        match place {
            // Numbers ascend. It may repeat what was denied since the next one came, as that one may.
            Some(place) => line.waiting.insert(place, (line.waiting[place].0, stalled)),
            None => {
                line.waiting.push_back((line.next_number, stalled));
                line.next_number += 1;
            }
        }
    }

    /// Puts a send at the head of its author's line. Returns the mark of the question.
    pub fn ask(&mut self, asked: AskedSend) -> HookTicket {
        self.questions += 1;
        let (author, number) = (asked.sent.author.clone(), self.questions);
        let line = self.lines.entry(author.clone()).or_insert_with(HookLine::new);
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

    /// The hook has denied the author's first send. Those that wait and repeat it are denied when their turn comes.
    pub fn deny(&mut self, author: &UserId, denied: DeniedSend) {
        let Some(line) = self.lines.get_mut(author) else { return };
        if !line.waiting.is_empty() {
            line.denied.insert(line.next_number, denied);
        }
    }

    /// The next send whose turn it is. `served` follows when it is carried out.
    pub fn serve(&mut self) -> Option<ServedSend> {
        let author = self.ready.front()?.clone();
        let served = self.lines.get_mut(&author).and_then(|line| {
            let (number, stalled) = line.waiting.pop_front()?;
            let denied = send_of(&stalled).and_then(|send| line.denied.find(number, send));
            Some(ServedSend { stalled, denied })
        });
        self.waiting -= usize::from(served.is_some());
        self.served = Some(author);
        served
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
        let Some(line) = self.lines.get_mut(author) else { return };
        let before = line.waiting.len();
        line.waiting.retain(|(_, stalled)| !stalled.is_of(session));
        self.waiting -= before - line.waiting.len();
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
