//! Lanes between cores: messages arrive in their order, at random moments.

use crate::world::{Reading, World};
use mushan::model::ShardId;
use mushan::shard::{ExternalEffect, ShardMessage};
use std::collections::VecDeque;

impl World {
    pub fn deliver_lane_messages(&mut self) {
        let moves = |((from, _), lane): &(&(usize, usize), &VecDeque<ShardMessage>)| {
            !lane.is_empty() && self.frozen != Some(*from)
        };
        let busy: Vec<(usize, usize)> = self.lanes.iter().filter(moves).map(|(k, _)| *k).collect();
        if busy.is_empty() {
            return;
        }
        let (from, to) = *self.chance.pick(&busy);
        for _ in 0..self.chance.between(1, 4) {
            let Some(shard_message) = self.lanes.get_mut(&(from, to)).and_then(VecDeque::pop_front) else { break };
            self.cores[to].turn.arrived(self.now, ShardId(from as u16), shard_message);
            self.carry_out(to);
        }
    }

    /// What concerns no session: to another core, to the operator, to the threads that read and ask the hook.
    pub fn take_external(&mut self, at: usize, external: ExternalEffect) {
        match external {
            ExternalEffect::Answer { ticket, answer } => self.answered(ticket, &answer),
            ExternalEffect::Fetch(fetch) => self.cores[at].fetches.push(Reading::Asked(fetch)),
            ExternalEffect::AskHook(question) => self.cores[at].questions.push(*question),
            ExternalEffect::Forward { to, shard_message } => self.forward(at, usize::from(to.0), shard_message),
            ExternalEffect::RenewInboxEpoch => unreachable!("the caller renews the epoch"),
        }
    }

    /// What nobody is promised may be lost on the way.
    pub fn forward(&mut self, from: usize, to: usize, shard_message: ShardMessage) {
        let messages_max = self.scale.windows.lane_messages_max();
        let lane = self.lanes.entry((from, to)).or_default();
        if shard_message.is_volatile() && (lane.len() >= messages_max / 2 || self.chance.one_in(16)) {
            return;
        }
        lane.push_back(shard_message);
        assert!(lane.len() <= messages_max, "a lane overflows");
    }
}
