//! Completes the work of stopped shards as if they had continued: deliveries arrive, and groups' entries reach their
//! members.
//!
//! Pure; writes only to memory. Invariant: the result consists of the records that the shards themselves would have
//! appended, in a possible order.

use crate::log::{Record, Segments};
use crate::model::{Message, ShardId};
use crate::shard::rewrite::source_log::{RewriteError, SourceShard};
use std::sync::Arc;

/// A delivery that its source has sent and its target has not received.
struct UndeliveredMessage {
    source: ShardId,
    number: u64,
    target: ShardId,
    message: Arc<Message>,
}

/// Completes all deliveries. Returns their number.
pub(in crate::shard) fn complete<S: Segments>(sources: &mut [SourceShard], logs: &[S]) -> Result<u64, RewriteError> {
    let mut undelivered = match sources.iter().any(SourceShard::is_damaged) {
        true => all_undelivered(sources, logs)?,
        false => known_undelivered(sources, logs)?,
    };
    undelivered.sort_by_key(|it| (it.source, it.number));
    sources.iter_mut().for_each(SourceShard::finish_deliveries);
    let completed = undelivered.len() as u64;
    for UndeliveredMessage { source, number, target, message } in undelivered {
        sources[usize::from(target.0)].deliver(source, number, message);
    }
    Ok(completed)
}

/// The deliveries that sound logs have as unconfirmed.
fn known_undelivered<S: Segments>(
    sources: &[SourceShard],
    logs: &[S],
) -> Result<Vec<UndeliveredMessage>, RewriteError> {
    let mut all = Vec::new();
    for (source, log) in sources.iter().zip(logs) {
        for (target, peer) in (0..).map(ShardId).zip(source.state.peers.outbound.peers()) {
            let taken = sources[usize::from(target.0)].taken()[usize::from(source.me.0)];
            for undelivered in peer.unconfirmed_deliveries().filter(|undelivered| undelivered.number > taken) {
                let record = source.view(log).read(undelivered.record)?;
                let Some((message, _)) = record.message() else { continue };
                all.push(UndeliveredMessage {
                    source: source.me,
                    number: undelivered.number,
                    target,
                    message: message.clone(),
                });
            }
        }
    }
    Ok(all)
}

/// All deliveries in any log: a damaged log may have lost deliveries that it had confirmed.
fn all_undelivered<S: Segments>(sources: &[SourceShard], logs: &[S]) -> Result<Vec<UndeliveredMessage>, RewriteError> {
    let taken: Vec<Vec<u64>> = sources.iter().map(SourceShard::taken).collect();
    let mut all = Vec::new();
    for (source, log) in sources.iter().zip(logs) {
        for position in &source.messages {
            let Record::Posted { deliveries, message, .. } = source.view(log).read(*position)? else { continue };
            for delivery in deliveries {
                let known = taken.get(usize::from(delivery.target.0)).map(|of| of[usize::from(source.me.0)]);
                if known.is_some_and(|known| delivery.number > known) {
                    let (number, target) = (delivery.number, delivery.target);
                    all.push(UndeliveredMessage { source: source.me, number, target, message: message.clone() });
                }
            }
        }
    }
    Ok(all)
}

impl SourceShard {
    /// Makes inboxes continue after seqs that are known to be lost, and completes all fan-outs.
    fn finish_deliveries(&mut self) {
        for (user, (newest, ..)) in &self.scan_counts.inboxes {
            self.state.tables.inboxes.tail_mut(user).skip_to(*newest);
        }
        self.fan_out();
    }

    fn deliver(&mut self, source: ShardId, number: u64, message: Arc<Message>) {
        let (mut links, _) = self.state.links_of(&message);
        links.iter_mut().for_each(|link| link.is_away = false);
        self.state.peers.outbound.peer(source).take(number);
        self.state.apply_message(self.next_position(), &message, &links);
        self.go_on_with(Record::Carried { message, links });
        self.fan_out();
    }

    fn fan_out(&mut self) {
        while let Some(at) = self.state.groups.fan_out.first_group() {
            while let Some(record) = self.state.fan_out_at(at, self.next_position()) {
                self.go_on_with(record);
            }
        }
    }
}
