//! Requests that wait at the conversation's owner: for room in a window of deliveries, or in the log.
//!
//! Invariants: a conversation's requests keep their order, and requests after one that waits wait as well; no request
//! waits for room that only another conversation lacks. Conversations that can continue do so in turn.

use crate::model::ShardId;
use crate::shard::peers::message::ConversationRequest;
use crate::shard::table::fingerprint::Fingerprint;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// A request that waits.
#[derive(Debug)]
pub(in crate::shard) struct HeldRequest {
    pub from: ShardId,
    pub request: ConversationRequest,
    /// The recipient is known to exist: the directory is not asked again.
    pub is_recipient_known: bool,
}

/// The resource for which a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Blocker {
    /// A shard that has not confirmed enough deliveries.
    Target(ShardId),
    /// A segment that is being allocated.
    Room,
}

pub(in crate::shard) struct Waiting {
    /// The requests of each conversation, in its order.
    lines: HashMap<Fingerprint, VecDeque<HeldRequest>, FixedState>,
    /// Conversations whose first request can be tried.
    ready: VecDeque<Fingerprint>,
    /// Conversations whose first request waits for a shard, by shard.
    behind_target: Vec<VecDeque<Fingerprint>>,
    behind_room: VecDeque<Fingerprint>,
    count: usize,
}

/// The conversation that is being continued.
pub(in crate::shard) struct GroupTurn {
    conversation_key: Fingerprint,
    waited_for: Option<Blocker>,
}

impl Waiting {
    pub fn new(seed: u64, shards: u16) -> Self {
        Self {
            lines: HashMap::with_hasher(FixedState::with_seed(seed)),
            ready: VecDeque::new(),
            behind_target: (0..shards).map(|_| VecDeque::new()).collect(),
            behind_room: VecDeque::new(),
            count: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether a request of this conversation waits.
    pub fn has(&self, conversation_key: Fingerprint) -> bool {
        self.count > 0 && self.lines.contains_key(&conversation_key)
    }

    /// Adds a request after those of its conversation.
    pub fn hold(&mut self, held: HeldRequest, blocker: Blocker) {
        let conversation_key = held.request.conversation_key;
        self.count += 1;
        let line = self.lines.entry(conversation_key).or_default();
        line.push_back(held);
        if line.len() == 1 {
            self.queue(Some(blocker)).push_back(conversation_key);
        }
    }

    /// Adds a request before those of its conversation: it was released once to ask the directory, and later ones were
    /// held.
    pub fn hold_first(&mut self, held: HeldRequest) {
        let conversation_key = held.request.conversation_key;
        self.count += 1;
        let line = self.lines.entry(conversation_key).or_default();
        line.push_front(held);
        if line.len() == 1 {
            self.ready.push_back(conversation_key);
        }
    }

    /// Takes the next conversation and its first request; `is_free` tells whether a blocker may be gone. The caller
    /// then reports the result by `stay` or `go_on`.
    pub fn next_turn(&mut self, is_free: impl Fn(Blocker) -> bool) -> Option<(GroupTurn, HeldRequest)> {
        if self.count == 0 {
            return None;
        }
        let waited_for = self.next_queue(is_free)?;
        let conversation_key = self.queue(waited_for).pop_front()?;
        let first = self.lines.get_mut(&conversation_key)?.pop_front()?;
        Some((GroupTurn { conversation_key, waited_for }, first))
    }

    /// The first queue with a conversation that may continue: `None` is `ready`.
    fn next_queue(&self, is_free: impl Fn(Blocker) -> bool) -> Option<Option<Blocker>> {
        if !self.ready.is_empty() {
            return Some(None);
        }
        let targets = (0..).map(ShardId).zip(&self.behind_target).filter(|(_, queue)| !queue.is_empty());
        let blockers = targets.map(|(target, _)| Blocker::Target(target));
        let room = (!self.behind_room.is_empty()).then_some(Blocker::Room);
        blockers.chain(room).find(|blocker| is_free(*blocker)).map(Some)
    }

    /// Puts the first request back: it still has to wait.
    pub fn stay(&mut self, turn: &GroupTurn, first: HeldRequest, blocker: Blocker) {
        self.lines.entry(turn.conversation_key).or_default().push_front(first);
        self.queue(Some(blocker)).push_front(turn.conversation_key);
    }

    /// Notes that the first request was carried out; the next one of its conversation follows after other
    /// conversations.
    pub fn go_on(&mut self, turn: &GroupTurn) {
        self.count -= 1;
        if self.lines.get(&turn.conversation_key).is_none_or(VecDeque::is_empty) {
            self.lines.remove(&turn.conversation_key);
        } else {
            self.queue(turn.waited_for).push_back(turn.conversation_key);
        }
    }

    fn queue(&mut self, blocker: Option<Blocker>) -> &mut VecDeque<Fingerprint> {
        match blocker {
            None => &mut self.ready,
            Some(Blocker::Target(target)) => &mut self.behind_target[usize::from(target.0)],
            Some(Blocker::Room) => &mut self.behind_room,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Authority, Conversation, MessageId, UserId};
    use crate::shard::peers::message::{Asker, RequestKind};
    use crate::shard::table::fingerprint::Fingerprints;

    fn held(peer: &str, number: u64) -> HeldRequest {
        let user = |id: &str| UserId::new(id).expect("well formed");
        let (user, conversation) = (user("alice"), Conversation::pair(user("alice"), user(peer)));
        let conversation_key = Fingerprints::new(7).of_conversation(&conversation);
        let asker = Box::new(Asker { user, conversation, authority: Authority::User });
        let request = ConversationRequest {
            conversation_key,
            key: conversation_key,
            ask: RequestKind::Revoke(asker, MessageId(number)),
        };
        HeldRequest { from: ShardId(0), request, is_recipient_known: false }
    }

    fn number(held: &HeldRequest) -> u64 {
        match held.request.ask {
            RequestKind::Revoke(_, MessageId(number)) => number,
            _ => panic!("a revocation is held"),
        }
    }

    #[test]
    fn a_conversation_waits_for_its_own_blocker_only_and_they_take_turns() {
        let mut waiting = Waiting::new(1, 3);
        let slow = Blocker::Target(ShardId(1));
        for number in 0..3 {
            waiting.hold(held("bob", number), slow);
            waiting.hold(held("carol", 10 + number), Blocker::Room);
            waiting.hold(held("dave", 20 + number), Blocker::Room);
        }
        assert!(
            waiting.has(held("bob", 0).request.conversation_key)
                && !waiting.has(held("erin", 0).request.conversation_key)
        );
        let mut taken = Vec::new();
        while let Some((turn, first)) = waiting.next_turn(|blocker| blocker == Blocker::Room) {
            taken.push(number(&first));
            waiting.go_on(&turn);
        }
        assert_eq!(taken, [10, 20, 11, 21, 12, 22], "each conversation in its order, by turns");
        assert_eq!(waiting.len(), 3);
        let (turn, first) = waiting.next_turn(|_| true).expect("bob's window has room");
        assert!(waiting.has(first.request.conversation_key), "whose turn it is waits as well");
        waiting.stay(&turn, first, slow);
        waiting.hold_first(held("bob", 100));
        let (turn, first) = waiting.next_turn(|_| true).expect("still there");
        assert_eq!(number(&first), 100, "it comes before those that were behind it");
        waiting.go_on(&turn);
        assert_eq!(number(&waiting.next_turn(|_| true).expect("the rest").1), 0);
    }
}
