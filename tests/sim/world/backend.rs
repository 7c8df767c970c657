//! An application's backend: it sends in users' names over orders, several at once, says the same again, as the author's
//! devices do, and takes messages back as the operator.
//!
//! What it was answered goes into the ledger beside what clients were answered, so that the oracle knows of one message
//! for each client id, whoever said it.

use crate::check::accounts::is_guest;
use crate::check::hidden::When;
use crate::check::hook::replaced;
use crate::check::ledger::Ledger;
use crate::client::speech::{Channel, Manner, No, SHORT_S, SYSTEM, Told, body_bytes, extra_of};
use crate::world::World;
use crate::world::operator::is_stranger;
use mushan::model::{
    Addressee, Annotations, Answer, Authority, ClientMessageId, Entry, Extra, GroupId, HeaderFlags, MessageId, Order,
    Recipient, Refusal, Reply, Send, SentMessage, Seq, Sync, SyncDirection, UserId,
};
use mushan::shard::Ticket;
use std::collections::{BTreeMap, BTreeSet};

/// Its tickets, beside the operator's.
const FIRST_TICKET: u64 = 1 << 32;

#[derive(Default)]
pub struct Backend {
    under_way: BTreeMap<u64, Asked>,
    /// Orders whose answers nobody waits for any more.
    given_up: BTreeSet<u64>,
    tickets: u64,
    /// Intents of its own, which no device may be able to say again.
    own: Vec<usize>,
    pub answered: u64,
    pub repeated: u64,
    pub revoked: u64,
    pub pages: u64,
}

#[derive(Clone)]
enum Asked {
    Send {
        intent: usize,
        since: When,
        /// Some answer had named the message before this was asked.
        is_known: bool,
    },
    Revoke {
        message: u64,
        is_in_group: bool,
        /// Its author need not be in the group, in which it is then not found.
        is_systems: bool,
    },
    Inbox {
        user: String,
        after: u64,
        since: u64,
    },
}

impl Backend {
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty() && self.given_up.is_empty()
    }

    pub fn has(&self, Ticket(ticket): Ticket) -> bool {
        ticket >= FIRST_TICKET
    }

    /// The orders under way are gone with the process.
    pub fn crashed(&mut self) {
        self.under_way.clear();
        self.given_up.clear();
    }

    /// Waits no longer for what is under way; the intents of the sends among it.
    pub fn gives_up(&mut self) -> Vec<usize> {
        let under_way = std::mem::take(&mut self.under_way);
        self.given_up.extend(under_way.keys());
        let intent = |asked: Asked| match asked {
            Asked::Send { intent, .. } => Some(intent),
            Asked::Revoke { .. } | Asked::Inbox { .. } => None,
        };
        under_way.into_values().filter_map(intent).collect()
    }
}

impl World {
    /// Some orders, one right after another.
    pub fn backend_asks(&mut self) {
        // A start believes a clock that is where the newest message is, and with it that an older one is forgotten.
        if !self.is_ready() || self.clocks.times_set > 0 {
            return;
        }
        for _order in 0..self.chance.between(1, 4) {
            match self.chance.below(10) {
                0 => self.backend_revokes(),
                8.. => self.backend_reads(),
                1..3 => self.backend_repeats(),
                _ => self.backend_sends(),
            }
        }
    }

    fn backend_sends(&mut self) {
        let author = self.chance.pick(&self.users).clone();
        let to = if !self.operator.names.is_empty() && self.chance.one_in(2) {
            Channel::Group(self.chance.pick(&self.operator.names).clone())
        } else {
            let is_stranger = !self.strangers.is_empty() && self.chance.one_in(8);
            let users = if is_stranger { &self.strangers } else { &self.users };
            Channel::Person(self.chance.pick(users).clone())
        };
        let manner = match self.chance.below(8) {
            0 if !self.ledger.may_drop => Manner { is_once: true, ..Manner::default() },
            1 if !self.ledger.may_drop => {
                Manner { expire_s: self.chance.between(1, SHORT_S as usize) as u64, ..Manner::default() }
            }
            _ => Manner::default(),
        };
        let body = "x".repeat(if self.chance.one_in(8) { self.chance.below(3_000) } else { self.chance.below(60) });
        let whose = if self.chance.one_in(4) { SYSTEM } else { "backend-" };
        let client_id = format!("{whose}{}", self.ledger.intents.len() + self.ledger.transients.len());
        let at = self.ledger.intend(&author, to, client_id, body, manner);
        // One line of orders to the author's shard, until that is gone.
        self.ledger.intents[at].by = Some((format!("backend of {author}"), self.crashes));
        self.operator.backend.own.push(at);
        self.backend_says(at);
    }

    /// One message, and the same again before it can be durable: whoever repeats it is promised as much as who said it
    /// first.
    pub fn backend_says_twice(&mut self) {
        if !self.is_ready() || self.clocks.times_set > 0 {
            return;
        }
        let before = self.ledger.intents.len();
        self.backend_sends();
        self.backend_says(before);
    }

    /// The same again, be it that a device of the author said it first.
    fn backend_repeats(&mut self) {
        let range = self.ledger.repeatable();
        if range.is_empty() {
            return;
        }
        let at = range.start + self.chance.below(range.len());
        if self.ledger.intents[at].manner.piece.is_none() {
            self.backend_says(at);
        }
    }

    /// What it has no answer to is said once more.
    pub fn backend_repeats_unanswered(&mut self) {
        let aged = self.ledger.repeatable().start;
        for at in self.operator.backend.own.clone() {
            let is_out = self.ledger.erasures.may_be(&self.ledger.intents[at].author);
            if at >= aged && !is_out && !self.ledger.intents[at].answer.is_final() {
                self.backend_says(at);
            }
        }
    }

    fn backend_says(&mut self, at: usize) {
        let (client_id, is_systems) = (self.ledger.says(at).client_id.clone(), self.ledger.intents[at].is_systems());
        let hook = &self.ledger.hook;
        if !(if is_systems { hook.asks_system } else { hook.asks_backend }) {
            self.ledger.hook.note(&client_id, |answers| answers.passed = true);
        }
        let is_known = self.ledger.intents[at].answer.message.is_some() && !self.ledger.left_open.contains(&at);
        let intent = &self.ledger.intents[at];
        let order = Order::Send {
            author: id(&intent.author),
            send: Box::new(send_of(&intent.to, &intent.client_id, &intent.body, &intent.manner)),
            authority: if is_systems { Authority::System } else { Authority::User },
        };
        self.backend_gives(order, Asked::Send { intent: at, since: self.ledger.moment, is_known });
    }

    fn backend_revokes(&mut self) {
        let range = self.ledger.repeatable();
        let known = range.filter_map(|at| {
            let intent = &self.ledger.intents[at];
            let is_in_group = matches!(intent.to, Channel::Group(_));
            let message = intent.answer.message?;
            Some((intent.author.clone(), Asked::Revoke { message, is_in_group, is_systems: intent.is_systems() }))
        });
        let known: Vec<_> = known.collect();
        if known.is_empty() {
            return;
        }
        let (author, asked) = self.chance.pick(&known).clone();
        let Asked::Revoke { message, .. } = asked else { unreachable!("only revocations are picked") };
        self.ledger.asked_to_revoke.insert((author.clone(), message));
        let order = Order::Revoke { user: id(&author), message: MessageId(message) };
        self.backend_gives(order, asked);
    }

    fn backend_reads(&mut self) {
        let user = self.chance.pick(&self.users).clone();
        let (after, limit) = (self.chance.below(30) as u64, self.chance.between(1, 20) as u32);
        let sync = Sync { direction: SyncDirection::After(Seq(after)), limit };
        let since = self.ledger.moment.step;
        self.backend_gives(Order::ShowInbox { user: id(&user), sync }, Asked::Inbox { user, after, since });
    }

    fn backend_gives(&mut self, order: Order, asked: Asked) {
        self.operator.backend.tickets += 1;
        let ticket = FIRST_TICKET + self.operator.backend.tickets;
        self.operator.backend.under_way.insert(ticket, asked);
        let Addressee::User(user) = order.addressee() else { unreachable!("both go to a user's shard") };
        let at = usize::from(self.placement.owner_of(&user).0);
        self.cores[at].turn.ordered(self.now, Ticket(ticket), order);
        self.carry_out(at);
    }

    pub fn backend_is_answered(&mut self, Ticket(ticket): Ticket, answer: &Answer) {
        if self.operator.backend.given_up.remove(&ticket) {
            return;
        }
        let asked = self.operator.backend.under_way.remove(&ticket).expect("an order is answered once");
        self.operator.backend.answered += 1;
        match (asked, answer) {
            (Asked::Send { intent, is_known, since }, Answer::Sent(sent)) => {
                let SentMessage { id, conversation_seq, server_time, is_repeated } = sent;
                let sent = &self.ledger.intents[intent];
                if !is_repeated && !sent.is_systems() {
                    self.ledger.bars.check_author(&sent.author, since.step);
                }
                assert!(*is_repeated || !is_known, "a known message is said to be new");
                self.operator.backend.repeated += u64::from(*is_repeated);
                let told = Told::Sent {
                    message: id.0,
                    seq: None,
                    conversation_seq: Some(conversation_seq.0),
                    time: Some(server_time.0.cast_signed()),
                };
                self.ledger.answered(intent, &told);
            }
            (Asked::Send { intent, since, .. }, Answer::Refused(refused)) => {
                self.ledger.backend_is_refused(intent, refused.refusal, since);
            }
            (Asked::Send { intent, since, .. }, Answer::Denied(_)) => self.ledger.refused(intent, No::Denied, since),
            (Asked::Revoke { message, is_in_group, .. }, Answer::Done) => {
                self.operator.backend.revoked += 1;
                // Of a group that is dissolved, nobody hears of it.
                if !is_in_group {
                    self.ledger.revoked.insert(message);
                }
            }
            (Asked::Revoke { is_in_group, is_systems, .. }, Answer::Refused(refused)) => {
                let is_passing =
                    [Refusal::Busy, Refusal::StorageFull, Refusal::GroupTooBusy].contains(&refused.refusal);
                let may_be_lost = self.has_lost || self.ledger.may_drop;
                let may_be_out = is_in_group && is_systems && refused.refusal == Refusal::ConversationNotExist;
                assert!(is_passing || may_be_lost || may_be_out, "what is there is not taken back: {refused:?}");
            }
            (Asked::Inbox { user, after, since }, Answer::Page(reply)) => {
                let Reply::Synced { entries, .. } = &**reply else { panic!("an inbox is shown as {reply:?}") };
                self.operator.backend.pages += 1;
                self.ledger.backend_is_shown(&user, (after, since), entries);
            }
            // Of somebody who has not been here, or of a log that has lost it.
            (Asked::Inbox { .. }, Answer::Refused(_)) => {}
            (_, answer) => panic!("a backend is answered {answer:?}"),
        }
    }
}

impl Ledger {
    /// An inbox is shown in order, with what its user is shown there and what was said.
    fn backend_is_shown(&self, user: &str, (after, since): (u64, u64), entries: &[Entry]) {
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq.0).collect();
        let is_ordered = seqs.windows(2).all(|pair| pair[0] < pair[1]) && seqs.first().is_none_or(|seq| *seq > after);
        assert!(is_ordered, "the inbox of {user} behind {after} is shown as {seqs:?}");
        for Entry { seq, message, .. } in entries {
            let has_words = !message.content.is_empty() && self.erasures.was(message.author.as_str(), since);
            assert!(
                !has_words || message.fact.is_some(),
                "the backend is shown what an erased user wrote: {message:?}"
            );
            let known = self.shown.get(user).and_then(|shown| shown.get(&seq.0));
            assert!(known.is_none_or(|known| known.message == message.id.0), "{user} was shown {known:?} at {seq}");
            let intent = self.intent_of(message.author.as_str(), message.client_message_id.as_str());
            let Some(intent) = intent.filter(|_| message.fact.is_none()).map(|at| &self.intents[at]) else { continue };
            let may_be_replaced = self.hook.was_replaced(&intent.client_id);
            let is_same = message.content.is_empty()
                || message.content == *body_bytes(&intent.body)
                || may_be_replaced && message.content == *body_bytes(&replaced(&intent.body));
            assert!(is_same, "a body came out changed: {message:?}");
        }
    }

    fn backend_is_refused(&mut self, at: usize, refusal: Refusal, since: When) {
        let author = self.intents[at].author.clone();
        let no = match refusal {
            Refusal::UserNotExist if self.erasures.may_be(&author) => return,
            Refusal::AccountDisabled => {
                let may_be = self.bars.may_bar(&author) && !self.intents[at].is_systems();
                assert!(may_be, "{author} is not disabled: {:?}", self.intents[at]);
                return;
            }
            // Of its author, unless that is known: then of the other.
            Refusal::UserNotExist if !self.is_unknown(at, since) && !self.known_users.contains_key(&author) => {
                assert!(self.is_closed, "everybody exists in an open directory");
                return;
            }
            Refusal::StorageFull | Refusal::StorageDamaged | Refusal::Busy | Refusal::HookFailed => No::Trouble,
            Refusal::GroupTooBusy => No::Busy,
            Refusal::PermissionDenied => No::NotAllowed,
            Refusal::ConversationNotExist => No::UnknownConversation,
            Refusal::UserNotExist => No::UnknownUser,
            other => panic!("a backend's send is refused with {other:?}"),
        };
        self.refused(at, no, since);
    }

    /// Whether it is for somebody who is never here, or whom no operator had made known.
    fn is_unknown(&self, at: usize, since: When) -> bool {
        let Channel::Person(peer) = &self.intents[at].to else { return false };
        is_stranger(peer) || self.erasures.may_be(peer) || is_guest(peer) && !self.bars.knew(peer, since.step)
    }
}

fn id(user: &str) -> UserId {
    UserId::new(user).unwrap()
}

/// As both protocols say it.
fn send_of(to: &Channel, client_id: &str, body: &str, manner: &Manner) -> Send {
    let recipient = match to {
        Channel::Person(peer) => Recipient::User(id(peer)),
        Channel::Group(group) => Recipient::Group(GroupId::new(group).unwrap()),
    };
    let header = HeaderFlags { sync_once: manner.is_once, ..HeaderFlags::default() };
    let annotations = Annotations { header, expire_s: manner.expire_s as u32, ..Annotations::default() };
    Send {
        client_message_id: ClientMessageId::new(client_id).unwrap(),
        recipient,
        conversation_name: None,
        message_type: 1,
        content: body_bytes(body).into(),
        send_time: 0,
        extra: Extra::new(vec![("k".into(), extra_of(body).into())]),
        annotations: (!manner.is_plain()).then(|| Box::new(annotations)),
    }
}
