//! The progress of a shard's healing: restoring after a start what logs have lost.

use crate::log::Delivery;
use crate::model::{Conversation, ConversationSeq, Message, ShardId};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How far the logs have been held against each other.
#[derive(Debug, Default)]
pub(in crate::shard) struct Healing {
    pub stage: HealStage,
    /// By the shards that know more of our deliveries than our log does.
    pub returns: BTreeMap<ShardId, Return>,
    /// How far conversations had got of which nothing can be given back.
    pub reached: Vec<(Conversation, ConversationSeq)>,
    /// As much was taken as one input may.
    pub has_put_off: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::shard) enum HealStage {
    /// Not every shard has said how far it is.
    #[default]
    Greeting,
    /// Logs have lost something: no trace of that may be mended before the inbox epoch has changed.
    Renewing,
    /// Our log is given back what it has lost.
    Returning,
    /// That is to become durable.
    Settling,
}

/// What one shard gives back: a part of it at a time.
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

    /// The oldest message that any shard has to give, and how each of those numbers it that give it.
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
