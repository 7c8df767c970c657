//! Retention drops what is being read off the core: nobody knows any more of it that it was revoked or consumed.

use super::*;
use crate::model::{Command, ConversationRef, MessageId, Refusal, Revoke};
use crate::shard::{Fetch, FetchKind, Fetched};

/// The first message that Ben wrote to Ann, and its id.
const NUMBER: usize = 1;

impl Rig {
    /// Reads for the shard until it asks for a read of this kind, which is left to the caller.
    fn until_read(&mut self, input: Input, kind: FetchKind) -> Box<Fetch> {
        let mut effects = self.handle(input);
        loop {
            let fetch = effects.into_iter().find_map(|effect| match effect {
                Effect::External(ExternalEffect::Fetch(fetch)) => Some(fetch),
                _ => None,
            });
            let fetch = fetch.expect("something is to be read");
            if fetch.kind() == kind {
                return fetch;
            }
            let fetched = fetch.read(self.shard.journal().storage());
            effects = self.handle(Input::Fetched(Box::new(fetched)));
        }
    }

    /// It was read, then days pass and its segment is dropped, then it comes back.
    fn read_late(&mut self, fetch: Fetch) -> Vec<Effect> {
        let fetched: Fetched = fetch.read(self.shard.journal().storage());
        let before = self.first_segment();
        self.wait(3);
        (0..9).for_each(|_| drop(self.handle(Input::Continued)));
        assert!(self.first_segment() > before + 3, "{} is the first segment", self.first_segment());
        self.with_fetches(Input::Fetched(Box::new(fetched))).0
    }
}

/// Ben's message is taken back, and long ago by then.
fn with_revoked_message() -> (Rig, MessageId) {
    let mut rig = Rig::new(Upkeep { retention_ms: 2 * DAY_MS, ..Upkeep::default() });
    talk(&mut rig, 0, 20);
    let Reply::Sent { message_id, .. } = repeat(&mut rig, NUMBER) else { panic!("it is there") };
    let conversation = ConversationRef::With(Recipient::User(user("ann")));
    let (reply, _) = rig.ask("ben", Command::Revoke(Revoke { message: message_id, conversation }));
    assert_eq!(reply, Reply::Done);
    rig.now = rig.now.plus(DAY_MS / 2);
    talk(&mut rig, 20, 160);
    (rig, message_id)
}

#[test]
fn what_was_taken_back_is_not_shown_when_it_is_dropped_while_it_is_read() {
    let history = crate::model::History {
        conversation: ConversationRef::With(Recipient::User(user("ben"))),
        direction: crate::model::HistoryDirection::After(crate::model::ConversationSeq(0)),
        limit: 10,
        topic: None,
    };
    let page = Command::Sync(Sync { direction: SyncDirection::After(Seq(0)), limit: 20 });
    for (kind, command) in [(FetchKind::Page, page), (FetchKind::History, Command::History(history))] {
        let (mut rig, message) = with_revoked_message();
        let is_there = |rig: &mut Rig| rig.inbox("ann").iter().any(|entry| entry.message.id == message);
        assert!(is_there(&mut rig), "as a tombstone");
        let session = rig.open("ann");
        let tag = RequestTag::Sequence(1, Verb::Send);
        let fetch = rig.until_read(Input::Requested { session, tag, command }, kind);
        let effects = rig.read_late(*fetch);
        let entries = effects.into_iter().find_map(|effect| match effect {
            Effect::Reply { reply: Reply::Synced { entries, .. }, .. } => Some(entries),
            Effect::Reply { reply: Reply::History { messages, .. }, .. } => Some(messages),
            _ => None,
        });
        let entries = entries.expect("a page");
        let shown: Vec<_> = entries.iter().filter(|entry| entry.message.id == message).collect();
        assert!(shown.is_empty(), "{kind:?} shows {shown:?}");
    }
}

#[test]
fn a_message_is_not_taken_back_once_more_when_it_is_dropped_while_it_is_looked_for() {
    let (mut rig, message) = with_revoked_message();
    let order = Order::Revoke { user: user("ben"), message };
    let fetch = rig.until_read(Input::Ordered { ticket: Ticket(1), order }, FetchKind::Messages);
    let effects = rig.read_late(*fetch);
    let answer = effects.into_iter().find_map(|effect| match effect {
        Effect::External(ExternalEffect::Answer { answer, .. }) => Some(answer),
        _ => None,
    });
    let Some(Answer::Refused(refused)) = answer else { panic!("it is gone, and {answer:?}") };
    assert_eq!(refused.refusal, Refusal::InvalidParam);
}
