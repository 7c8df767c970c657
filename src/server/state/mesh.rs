//! The lanes: how messages and migrating connections get from shard to shard.
//!
//! All lanes are connected before the first shard runs, and none is removed while one runs. Messages for a full lane
//! wait at the sender, in order, and leave with the next batch. Their number is bounded: messages by the windows, which
//! count everything under way between two shards, connections by the shard's limit. A receiver takes equally many
//! messages of each lane in a pass, however many one of them holds, and begins with another lane each time.

use crate::model::{Histogram, ShardId};
use crate::server::base::clock::micros;
use crate::server::base::descriptors::Descriptor;
use crate::server::base::waker::Waker;
use crate::server::turn::MigratingConnection;
use crate::shard::{ShardMessage, Windows};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// The most batches in one lane; a sender adds one in each turn. A lane's memory is touched when it is created, and the
/// number of lanes grows with the square of the shards.
const BATCHES_MAX: usize = 256;
/// The most connections in one lane.
const HANDOVERS_MAX: usize = 256;

/// A connection on its way to the shard that owns its user.
pub struct Handover {
    pub socket: Descriptor,
    pub connection: MigratingConnection,
}

/// One shard's ends of all its lanes, including the lane to itself.
pub struct Mesh {
    wakers: Arc<[Waker]>,
    me: ShardId,
    lane_messages_max: usize,
    outgoing: Vec<Outgoing>,
    incoming: Vec<IncomingLanes>,
    /// The lane from which the next messages are taken first.
    first_lane: usize,
    /// The lane from which the next connection is taken.
    next_lane: usize,
    /// When the turn began, by the clock that all shards share.
    turn_began: Duration,
    hops_us: Histogram,
}

/// Messages of one turn for one shard, and of earlier turns that found the lane full.
struct LaneBatch {
    /// When the turn of the first of them began.
    sent: Duration,
    messages: Vec<ShardMessage>,
}

struct Outgoing {
    messages: Sender<LaneBatch>,
    handovers: Sender<Handover>,
    /// Messages of this turn for the other shard, and those of earlier turns that found the lane full.
    batch: Vec<ShardMessage>,
    /// When the turn began from which on messages of the batch have found the lane full.
    waiting_since: Option<Duration>,
    waiting: VecDeque<Handover>,
}

struct IncomingLanes {
    from: ShardId,
    messages: Receiver<LaneBatch>,
    /// The messages of the batch that was taken last, without those that an earlier pass has passed on.
    begun: std::vec::IntoIter<ShardMessage>,
    /// When the turn of the first of them began.
    sent: Duration,
    handovers: Receiver<Handover>,
}

/// The load of one shard's lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneLoad {
    /// Messages and connections that wait at the sender because their lane is full.
    pub waiting: u64,
    /// Batches and connections of other shards that this shard has not taken yet.
    pub incoming: u64,
}

/// The meshes of all shards, in order.
pub fn connect(windows: Windows, wakers: &Arc<[Waker]>) -> Vec<Mesh> {
    let shards = u16::try_from(wakers.len()).expect("at most 1,024 shards");
    let mut meshes: Vec<Mesh> = (0..shards)
        .map(|me| Mesh {
            wakers: wakers.clone(),
            me: ShardId(me),
            lane_messages_max: windows.lane_messages_max(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            first_lane: 0,
            next_lane: 0,
            turn_began: Duration::ZERO,
            hops_us: Histogram::default(),
        })
        .collect();
    for from in 0..usize::from(shards) {
        for to in 0..usize::from(shards) {
            let (messages_in, messages_out) = bounded(BATCHES_MAX);
            let (handovers_in, handovers_out) = bounded(HANDOVERS_MAX);
            meshes[from].outgoing.push(Outgoing {
                messages: messages_in,
                handovers: handovers_in,
                batch: Vec::new(),
                waiting_since: None,
                waiting: VecDeque::new(),
            });
            let from = meshes[from].me;
            let begun = Vec::new().into_iter();
            let sent = Duration::ZERO;
            let incoming = IncomingLanes { from, messages: messages_out, begun, sent, handovers: handovers_out };
            meshes[to].incoming.push(incoming);
        }
    }
    meshes
}

impl Mesh {
    /// To be called once in each turn: batches carry this time, by which their way is measured.
    #[inline]
    pub fn begin_turn(&mut self, at: Duration) {
        self.turn_began = at;
    }

    /// From the turn that made a batch's first message to the one that took it, waiting on a full lane included, in
    /// microseconds.
    pub fn hops_us(&self) -> &Histogram {
        &self.hops_us
    }

    pub fn waker(&self) -> &Waker {
        &self.wakers[usize::from(self.me.0)]
    }

    pub fn wakers(&self) -> Arc<[Waker]> {
        self.wakers.clone()
    }

    pub fn wake_all(&self) {
        self.wakers.iter().for_each(Waker::wake);
    }

    /// Adds a message to the turn's batch. Volatile messages are dropped when much is already waiting.
    pub fn forward(&mut self, to: ShardId, shard_message: ShardMessage) {
        let batch = &mut self.outgoing[usize::from(to.0)].batch;
        if shard_message.is_volatile() && batch.len() >= self.lane_messages_max / 2 {
            return;
        }
        assert!(batch.len() < self.lane_messages_max, "windows bound what is under way to one shard");
        batch.push(shard_message);
    }

    pub fn hand_over(&mut self, to: ShardId, handover: Handover) {
        self.outgoing[usize::from(to.0)].waiting.push_back(handover);
    }

    /// Sends everything that the turn has gathered: one push and at most one wake-up for each lane that was used.
    pub fn flush(&mut self) {
        for (outgoing, waker) in self.outgoing.iter_mut().zip(self.wakers.iter()) {
            let sent_messages = outgoing.send_messages(self.turn_began);
            let sent_handovers = outgoing.send_handovers();
            if sent_messages || sent_handovers {
                waker.wake();
            }
        }
    }

    /// Whether something still waits at the sender, so that its lane must be tried again soon.
    pub fn has_waiting(&self) -> bool {
        self.outgoing.iter().any(|outgoing| !outgoing.batch.is_empty() || !outgoing.waiting.is_empty())
    }

    /// Whether something has arrived.
    pub fn has_incoming(&self) -> bool {
        self.incoming.iter().any(|incoming| incoming.has_messages() || !incoming.handovers.is_empty())
    }

    pub fn load(&self) -> LaneLoad {
        let waiting = self.outgoing.iter().map(|lane| lane.batch.len() + lane.waiting.len()).sum::<usize>();
        let incoming = self.incoming.iter().map(IncomingLanes::load).sum::<usize>();
        LaneLoad { waiting: waiting as u64, incoming: incoming as u64 }
    }

    /// Passes messages to `take`, of each lane at most `messages_max`, with their shard and the beginning of the turn that sent
    /// them.
    pub fn receive(&mut self, messages_max: usize, mut take: impl FnMut((ShardId, Duration), ShardMessage)) {
        let (before, from_first) = self.incoming.split_at_mut(self.first_lane);
        self.first_lane = if from_first.len() > 1 { self.first_lane + 1 } else { 0 };
        for incoming in from_first.iter_mut().chain(before) {
            for _taken in 0..messages_max {
                let Some(shard_message) = incoming.next_message(self.turn_began, &mut self.hops_us) else { break };
                take((incoming.from, incoming.sent), shard_message);
            }
        }
    }

    /// The next arrived connection; the lanes take turns.
    pub fn next_handover(&mut self) -> Option<Handover> {
        let lanes = self.incoming.len();
        let mut in_turn = (0..lanes).map(|ahead| (self.next_lane + ahead) % lanes);
        let (lane, handover) = in_turn.find_map(|lane| Some((lane, self.incoming[lane].handovers.try_recv().ok()?)))?;
        self.next_lane = lane + 1;
        Some(handover)
    }
}

impl IncomingLanes {
    fn next_message(&mut self, now: Duration, hops_us: &mut Histogram) -> Option<ShardMessage> {
        loop {
            if let Some(shard_message) = self.begun.next() {
                return Some(shard_message);
            }
            // An idle lane keeps no batch's memory.
            self.begun = Vec::new().into_iter();
            let batch = self.messages.try_recv().ok()?;
            hops_us.note(micros(now.saturating_sub(batch.sent)));
            self.sent = batch.sent;
            self.begun = batch.messages.into_iter();
        }
    }

    fn load(&self) -> usize {
        usize::from(self.begun.len() > 0) + self.messages.len() + self.handovers.len()
    }

    fn has_messages(&self) -> bool {
        self.begun.len() > 0 || !self.messages.is_empty()
    }
}

impl Outgoing {
    fn send_messages(&mut self, turn_began: Duration) -> bool {
        if self.batch.is_empty() {
            return false;
        }
        let sent = self.waiting_since.take().unwrap_or(turn_began);
        match self.messages.try_send(LaneBatch { sent, messages: std::mem::take(&mut self.batch) }) {
            Ok(()) => true,
            // The other shard has stopped: no deliveries between the two are unfinished, or its deadline has passed.
            Err(TrySendError::Disconnected(_)) => false,
            Err(TrySendError::Full(batch)) => {
                self.waiting_since = Some(sent);
                self.batch = batch.messages;
                false
            }
        }
    }

    fn send_handovers(&mut self) -> bool {
        let mut has_sent = false;
        while let Some(handover) = self.waiting.pop_front() {
            match self.handovers.try_send(handover) {
                Ok(()) => has_sent = true,
                Err(TrySendError::Full(handover)) => {
                    self.waiting.push_front(handover);
                    break;
                }
                // The other shard has stopped; the client reconnects to the next server.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
        has_sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: Windows = Windows { requests_max: 2, deliveries_max: 2, held_per_input_max: 1, bytes_max: 1 << 20 };

    fn meshes(shards: usize) -> Vec<Mesh> {
        let wakers: Vec<Waker> = (0..shards).map(|_| Waker::new().expect("an eventfd")).collect();
        connect(WINDOWS, &wakers.into())
    }

    fn received(mesh: &mut Mesh, messages_max: usize) -> Vec<(ShardId, ShardMessage)> {
        let mut messages = Vec::new();
        mesh.receive(messages_max, |(from, _), shard_message| messages.push((from, shard_message)));
        messages
    }

    #[test]
    fn messages_arrive_in_the_order_in_which_they_were_sent() {
        let mut meshes = meshes(3);
        for through in 0..3 {
            meshes[0].forward(ShardId(2), ShardMessage::Confirm { through });
        }
        meshes[1].forward(ShardId(2), ShardMessage::Replayed);
        meshes[2].forward(ShardId(2), ShardMessage::Hello { taken: 9, newest: 7 });
        assert!(!meshes[2].has_incoming(), "nothing leaves before the flush");
        meshes.iter_mut().for_each(Mesh::flush);
        assert!(meshes[2].has_incoming());
        let expected = [
            (ShardId(0), ShardMessage::Confirm { through: 0 }),
            (ShardId(0), ShardMessage::Confirm { through: 1 }),
            (ShardId(0), ShardMessage::Confirm { through: 2 }),
            (ShardId(1), ShardMessage::Replayed),
            (ShardId(2), ShardMessage::Hello { taken: 9, newest: 7 }),
        ];
        assert_eq!(received(&mut meshes[2], 100), expected);
        assert!(!meshes[2].has_incoming() && received(&mut meshes[1], 100).is_empty());
    }

    #[test]
    fn the_way_of_a_batch_is_measured_from_turn_to_turn() {
        let mut meshes = meshes(2);
        meshes[0].begin_turn(Duration::from_micros(100));
        meshes[0].forward(ShardId(1), ShardMessage::Replayed);
        meshes[0].forward(ShardId(1), ShardMessage::Replayed);
        meshes[0].flush();
        meshes[1].begin_turn(Duration::from_micros(107));
        assert_eq!(received(&mut meshes[1], 1).len(), 1);
        meshes[1].begin_turn(Duration::from_micros(900));
        assert_eq!(received(&mut meshes[1], 1).len(), 1);
        let hops = meshes[1].hops_us();
        assert_eq!((hops.count(), hops.sum()), (1, 7), "one batch, however many turns take its messages");
    }

    #[test]
    fn waiting_on_a_full_lane_is_part_of_a_batchs_way() {
        let mut meshes = meshes(2);
        let at = |us: u64| Duration::from_micros(1_000 + us);
        for _batch in 0..BATCHES_MAX {
            meshes[0].begin_turn(at(0));
            meshes[0].forward(ShardId(1), ShardMessage::Replayed);
            meshes[0].flush();
        }
        // Two turns find the lane full; their messages leave as one batch.
        for us in [10, 20] {
            meshes[0].begin_turn(at(us));
            meshes[0].forward(ShardId(1), ShardMessage::Replayed);
            meshes[0].flush();
        }
        meshes[1].begin_turn(at(0));
        assert_eq!(received(&mut meshes[1], usize::MAX).len(), BATCHES_MAX);
        meshes[0].begin_turn(at(500));
        meshes[0].flush();
        meshes[1].begin_turn(at(510));
        assert_eq!(received(&mut meshes[1], usize::MAX).len(), 2);
        assert_eq!(meshes[1].hops_us().sum(), 500, "from the turn of the first of them");
        // The next batch has waited for nothing.
        meshes[0].begin_turn(at(600));
        meshes[0].forward(ShardId(1), ShardMessage::Replayed);
        meshes[0].flush();
        meshes[1].begin_turn(at(603));
        assert_eq!((received(&mut meshes[1], usize::MAX).len(), meshes[1].hops_us().sum()), (1, 503));
    }

    #[test]
    fn gathering_is_bounded_by_lane_and_takes_the_rest_later() {
        let mut meshes = meshes(2);
        for through in 0..4 {
            meshes[0].forward(ShardId(1), ShardMessage::Confirm { through });
            meshes[0].flush();
        }
        assert_eq!(received(&mut meshes[1], 3).len(), 3);
        assert_eq!(received(&mut meshes[1], 3), [(ShardId(0), ShardMessage::Confirm { through: 3 })]);
    }

    /// The messages that come before the first one of the shard `from`, over passes of `messages_max`.
    fn before_the_first_of(mesh: &mut Mesh, from: ShardId, messages_max: usize) -> usize {
        let messages = received(mesh, messages_max);
        messages.iter().position(|(other, _)| *other == from).expect("each pass takes something of each lane")
    }

    #[test]
    fn a_lane_that_is_full_of_one_shards_messages_holds_up_no_other() {
        for (noisy, calm) in [(0, 1), (1, 0)] {
            let mut meshes = meshes(3);
            let (noisy_id, calm_id) = (meshes[noisy].me, meshes[calm].me);
            // As many batches as the lane takes, each as large as a turn may make one.
            for _batch in 0..BATCHES_MAX {
                for through in 0..WINDOWS.lane_messages_max() as u64 {
                    meshes[noisy].forward(ShardId(2), ShardMessage::Confirm { through });
                }
                meshes[noisy].flush();
            }
            for through in 0..20 {
                meshes[calm].forward(ShardId(2), ShardMessage::Confirm { through });
                meshes[calm].flush();
                let waited_for = before_the_first_of(&mut meshes[2], calm_id, 2);
                assert!(waited_for <= 2, "{waited_for} messages of {noisy_id} came first");
            }
            let expected = BATCHES_MAX * WINDOWS.lane_messages_max() - 20 * 2;
            assert_eq!(received(&mut meshes[2], usize::MAX).len(), expected, "and nothing is lost");
        }
    }

    #[test]
    fn each_pass_begins_with_another_lane() {
        let mut meshes = meshes(3);
        for sender in &mut meshes {
            (0..4).for_each(|through| sender.forward(ShardId(2), ShardMessage::Confirm { through }));
            sender.flush();
        }
        let firsts: Vec<u16> = (0..4).map(|_pass| received(&mut meshes[2], 1)[0].0.0).collect();
        assert_eq!(firsts, [0, 1, 2, 0]);
    }

    #[test]
    fn what_finds_its_lane_full_waits_at_home_in_order() {
        const MESSAGES: u64 = BATCHES_MAX as u64 + 10;
        let mut meshes = meshes(2);
        for through in 0..MESSAGES {
            meshes[0].forward(ShardId(1), ShardMessage::Confirm { through });
            meshes[0].flush();
        }
        assert!(meshes[0].has_waiting());
        let mut messages = received(&mut meshes[1], usize::MAX);
        meshes[0].flush();
        assert!(!meshes[0].has_waiting());
        messages.extend(received(&mut meshes[1], usize::MAX));
        let expected: Vec<_> = (0..MESSAGES).map(|through| (ShardId(0), ShardMessage::Confirm { through })).collect();
        assert_eq!(messages, expected);
    }

    #[test]
    #[should_panic(expected = "windows bound")]
    fn more_than_windows_allow_is_a_bug() {
        let mut meshes = meshes(2);
        for through in 0..=WINDOWS.lane_messages_max() as u64 {
            meshes[0].forward(ShardId(1), ShardMessage::Confirm { through });
        }
    }
}
