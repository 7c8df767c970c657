//! The progress of a shard's healing: restoring after a start what logs have lost.

use crate::log::{Delivery, LogScan};
use crate::model::{Conversation, ConversationSeq, Message, ShardId};
use crate::shard::peers::greeting::Unconfirmed;
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The progress of comparing the logs.
#[derive(Debug, Default)]
pub(in crate::shard) struct Healing {
    pub stage: HealStage,
    /// The shards that have more of our deliveries than our log, and what they return.
    pub returns: BTreeMap<ShardId, Return>,
    /// The newest known places of conversations of which nothing can be returned.
    pub reached: Vec<(Conversation, ConversationSeq)>,
    /// One input has handled as many messages as it may; more are left.
    pub has_put_off: bool,
    /// What other shards have lost of our deliveries, as far as it is found.
    pub lost: VecDeque<LostDeliveries>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) enum HealStage {
    /// Not every shard has sent its greeting.
    #[default]
    Greeting,
    /// Logs have lost something: nothing may be restored before the inbox epoch has changed.
    Renewing,
    /// Other shards return the deliveries that our log has lost.
    Returning,
    /// Waits until the restored records are durable.
    Settling,
    /// Our log is searched for deliveries that others have lost.
    Searching,
}

/// Deliveries that one shard has lost, and our log may still have.
#[derive(Debug)]
pub(in crate::shard) struct LostDeliveries {
    pub by: ShardId,
    /// Their numbers.
    pub first: u64,
    pub last: u64,
    pub scan: LogScan,
    pub found: Vec<Unconfirmed>,
}

/// The deliveries that one shard returns, part by part.
#[derive(Debug, Default)]
pub(in crate::shard) struct Return {
    pub given: VecDeque<(u64, Arc<Message>)>,
    pub is_asked: bool,
    pub is_over: bool,
}

impl Healing {
    pub fn has_put_off(&self) -> bool {
        self.has_put_off
    }

    pub fn awaits_log(&self) -> bool {
        self.stage == HealStage::Settling
    }

    /// The oldest message that any shard returns, and its delivery numbers at the shards that return it.
    pub fn next(&self) -> Option<(Arc<Message>, SmallVec<[Delivery; 2]>)> {
        let fronts = self.returns.values().filter_map(|it| it.given.front());
        let message = fronts.map(|(_, message)| message.clone()).min_by_key(|message| message.id)?;
        let numbers = self.returns.iter().filter_map(|(target, it)| {
            let (number, other) = it.given.front()?;
            (other.id == message.id).then_some(Delivery { target: *target, number: *number })
        });
        Some((message.clone(), numbers.collect()))
    }
}
