//! The pushes of a session that it has not acknowledged, from which follows how far its device has got.
//!
//! Invariants: a delivered position never passes a message that is not acknowledged; every list here is bounded.

use crate::model::{Ack, Entry, MessageId, Seq};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Unacknowledged pushes of a session, beyond which the oldest are forgotten: a whole backlog and some. Only
/// acknowledging by message needs them; the delivered position then stays below the forgotten ones.
const PUSHES_MAX: usize = 2_048;
/// `syncOnce` messages that a session has received and not acknowledged; the oldest is forgotten, and stays unconsumed.
const SYNC_ONCE_MAX: usize = 256;

#[derive(Debug, Default)]
pub(in crate::shard) struct Unacknowledged {
    /// Ascending.
    pushes: VecDeque<Push>,
    newest: Seq,
    /// The first of the forgotten pushes.
    forgotten: Option<Seq>,
    sync_once: VecDeque<(MessageId, Seq)>,
}

#[derive(Clone, Copy, Debug)]
struct Push {
    message: MessageId,
    seq: Seq,
    /// It was pushed as a notification, which some clients do not acknowledge: an acknowledgement of the next message
    /// counts for it too.
    is_fact: bool,
}

/// What an acknowledgement proves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::shard) struct Acknowledged {
    /// Everything at and below has reached the device.
    pub position: Option<Seq>,
    /// `syncOnce` messages among it.
    pub sync_once: SmallVec<[MessageId; 1]>,
}

impl Unacknowledged {
    /// The entry is on its way to the session.
    pub fn pushed(&mut self, entry: &Entry) {
        if self.pushes.len() == PUSHES_MAX {
            let oldest = self.pushes.pop_front().map(|push| push.seq);
            self.forgotten = self.forgotten.or(oldest);
        }
        let Entry { seq, message, .. } = entry;
        self.pushes.push_back(Push { message: message.id, seq: *seq, is_fact: message.fact.is_some() });
        self.newest = *seq;
        self.shown(entry);
    }

    /// The entries from `first` on have not left: they are pushed again.
    pub fn take_back(&mut self, first: Seq) {
        while self.pushes.back().is_some_and(|push| push.seq >= first) {
            self.pushes.pop_back();
        }
        self.newest = self.newest.min(Seq(first.0.saturating_sub(1)));
    }

    /// The session sent the entry at `seq` itself: it needs no acknowledgement. The position, if nothing below is open.
    pub fn sent(&mut self, seq: Seq) -> Option<Seq> {
        self.newest = seq;
        (self.pushes.is_empty() && self.forgotten.is_none()).then_some(seq)
    }

    /// The session has seen the entry, pushed or in a page that it asked for.
    pub fn shown(&mut self, entry: &Entry) {
        if !entry.message.header().sync_once {
            return;
        }
        if self.sync_once.len() == SYNC_ONCE_MAX {
            self.sync_once.pop_front();
        }
        self.sync_once.push_back((entry.message.id, entry.seq));
    }

    /// `newest` is the inbox's newest seq: what is above it was never pushed.
    pub fn acknowledge(&mut self, ack: Ack, newest: Seq) -> Acknowledged {
        let position = match ack {
            Ack::Through(seq) if seq > newest => return Acknowledged::default(),
            Ack::Through(seq) => {
                while self.pushes.front().is_some_and(|push| push.seq <= seq) {
                    self.pushes.pop_front();
                }
                self.forgotten = self.forgotten.filter(|forgotten| *forgotten > seq);
                Some(seq)
            }
            Ack::Message(id) => self.acknowledge_message(id),
        };
        if self.pushes.is_empty() {
            self.pushes.shrink_to(16);
        }
        if self.sync_once.is_empty() {
            return Acknowledged { position, ..Acknowledged::default() };
        }
        let is_meant = |(message, seq): &(MessageId, Seq)| match ack {
            Ack::Through(through) => *seq <= through,
            Ack::Message(id) => *message == id,
        };
        let sync_once = self.sync_once.iter().filter(|shown| is_meant(shown)).map(|(message, _)| *message).collect();
        self.sync_once.retain(|shown| !is_meant(shown));
        Acknowledged { position, sync_once }
    }

    fn acknowledge_message(&mut self, id: MessageId) -> Option<Seq> {
        let at = self.pushes.iter().position(|push| push.message == id)?;
        self.pushes.remove(at);
        // What was sent before it on the same connection has come before it; mostly that is nothing.
        if at > 0 {
            let mut before = 0;
            self.pushes.retain(|push| {
                before += 1;
                before > at || !push.is_fact
            });
        }
        let first_open = self.forgotten.or(self.pushes.front().map(|push| push.seq));
        Some(first_open.map_or(self.newest, |open| Seq(open.0 - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::plain_message;
    use crate::model::{Annotations, ConversationSeq, Fact, HeaderFlags, Message};
    use std::sync::Arc;

    fn entry(seq: u64, fact: Option<Fact>, header: HeaderFlags) -> Entry {
        let message = Message {
            id: MessageId(100 + seq),
            conversation_seq: ConversationSeq(seq),
            annotations: Some(Box::new(Annotations { header, ..Annotations::default() })),
            fact: fact.map(Arc::new),
            ..plain_message()
        };
        Entry { seq: Seq(seq), message: Arc::new(message), name: None }
    }

    fn message(seq: u64) -> Entry {
        entry(seq, None, HeaderFlags::default())
    }

    fn position(pushes: &mut Unacknowledged, ack: Ack, newest: u64) -> Option<Seq> {
        pushes.acknowledge(ack, Seq(newest)).position
    }

    #[test]
    fn a_position_never_passes_a_message_that_is_not_acknowledged() {
        let mut pushes = Unacknowledged::default();
        (5..=8).for_each(|seq| pushes.pushed(&message(seq)));
        assert_eq!(position(&mut pushes, Ack::Message(MessageId(106)), 8), Some(Seq(4)));
        assert_eq!(position(&mut pushes, Ack::Message(MessageId(105)), 8), Some(Seq(6)));
        assert_eq!(position(&mut pushes, Ack::Message(MessageId(105)), 8), None, "acknowledged already");
        assert_eq!(position(&mut pushes, Ack::Through(Seq(9)), 8), None, "never pushed");
        assert_eq!(position(&mut pushes, Ack::Through(Seq(8)), 8), Some(Seq(8)));
    }

    #[test]
    fn what_the_session_sent_itself_is_delivered_with_what_is_below() {
        let mut pushes = Unacknowledged::default();
        assert_eq!(pushes.sent(Seq(1)), Some(Seq(1)));
        pushes.pushed(&message(2));
        assert_eq!(pushes.sent(Seq(3)), None);
        assert_eq!(position(&mut pushes, Ack::Message(MessageId(102)), 3), Some(Seq(3)));
    }

    #[test]
    fn a_position_stays_below_a_push_that_was_forgotten() {
        let mut pushes = Unacknowledged::default();
        let newest = PUSHES_MAX as u64 + 3;
        (1..=newest).for_each(|seq| pushes.pushed(&message(seq)));
        assert_eq!(position(&mut pushes, Ack::Message(MessageId(100 + newest)), newest), Some(Seq(0)));
        assert_eq!(position(&mut pushes, Ack::Through(Seq(2)), newest), Some(Seq(2)));
    }

    #[test]
    fn an_acknowledgement_speaks_for_the_facts_before_it_and_for_none_behind() {
        let fact = || Some(Fact::Revoked { message: MessageId(1) });
        let mut pushes = Unacknowledged::default();
        pushes.pushed(&entry(1, fact(), HeaderFlags::default()));
        pushes.pushed(&message(2));
        pushes.pushed(&entry(3, fact(), HeaderFlags::default()));
        assert_eq!(position(&mut pushes, Ack::Message(MessageId(102)), 3), Some(Seq(2)));
        pushes.pushed(&message(4));
        assert_eq!(position(&mut pushes, Ack::Message(MessageId(104)), 4), Some(Seq(4)));
    }

    #[test]
    fn who_acknowledges_a_sync_once_message_is_the_one_that_consumes_it() {
        let once = HeaderFlags { sync_once: true, ..HeaderFlags::default() };
        let mut pushes = Unacknowledged::default();
        pushes.pushed(&entry(1, None, once));
        pushes.shown(&entry(2, None, once));
        pushes.pushed(&message(3));
        assert_eq!(pushes.acknowledge(Ack::Message(MessageId(101)), Seq(3)).sync_once[..], [MessageId(101)]);
        assert_eq!(pushes.acknowledge(Ack::Message(MessageId(101)), Seq(3)).sync_once[..], [], "once");
        assert_eq!(pushes.acknowledge(Ack::Through(Seq(3)), Seq(3)).sync_once[..], [MessageId(102)]);
    }
}
