//! Spans of the way of sampled messages: which messages are sampled, and how spans leave the cores.
//!
//! Every shard decides for itself by a hash of author and client message id, so that all agree and nothing of it crosses a
//! lane. Invariants: a span has ids, sizes, times and codes, and never a token or what somebody wrote; nobody waits for whoever
//! takes the spans, and spans for which there is no room are counted.

use crate::model::{ClientMessageId, MessageId, ShardId, UserId};
use crate::server::base::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::Xxh3;

/// Spans that wait for the control thread.
const SPANS_MAX: usize = 4_096;

/// A part of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanStage {
    /// From the turn that read the send to the one that replied to its author: the root of the trace.
    Send,
    /// From the turn that sent it to another shard to the one that took it.
    Lane,
    /// From the turn of the conversation's shard that wrote it to the end of the one that acknowledged it.
    Commit,
    /// The sync of the log that made it durable, on either shard.
    Sync,
    /// On a member's shard: from the turn that took it to the end of the one that acknowledged it there.
    Delivery,
    /// The turn that pushed it to sessions.
    Push,
}

impl SpanStage {
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Lane => "lane",
            Self::Commit => "commit",
            Self::Sync => "sync",
            Self::Delivery => "delivery",
            Self::Push => "push",
        }
    }
}

/// A message that was chosen, as every shard can know it.
#[derive(Debug, PartialEq, Eq)]
pub struct SampledMessage {
    /// The id of its trace, not 0.
    pub trace: u128,
    pub author: UserId,
    pub client_message_id: ClientMessageId,
    pub content_bytes: usize,
}

/// One span that has ended.
#[derive(Clone, Debug)]
pub struct SampledSpan {
    pub message: Arc<SampledMessage>,
    pub stage: SpanStage,
    pub shard: ShardId,
    /// By the clock that all shards share.
    pub began: Duration,
    pub ended: Duration,
    /// The stage that it is a part of: `Send`, or for a sync what waited for it, with the time at which that began.
    pub within: (SpanStage, Duration),
    /// The server's id, where it is known.
    pub message_id: Option<MessageId>,
    /// The shard that sent it, of a lane.
    pub from: Option<ShardId>,
    /// Sessions to which it was pushed.
    pub sessions: usize,
    /// What became of a send.
    pub outcome: Option<&'static str>,
}

/// Which messages are sampled, and the channel to the control thread.
#[derive(Debug)]
pub struct Sampling {
    one_in: u64,
    seed: u64,
    /// The wall clock when the shards' clock began, since 1970.
    wall_at_start: Duration,
    spans: mpsc::Sender<SampledSpan>,
    /// Spans for which there was no room.
    overflowed: AtomicU64,
    /// Spans that the receiver did not take.
    untaken: AtomicU64,
    exported: AtomicU64,
}

/// The numbers at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanNumbers {
    pub exported: u64,
    pub overflowed: u64,
    pub untaken: u64,
}

impl Sampling {
    /// One of `one_in` messages, chosen by a secret `seed`; and where the spans come out.
    pub fn begin(one_in: u64, seed: u64, clock: Clock) -> (Arc<Self>, mpsc::Receiver<SampledSpan>) {
        let (spans, taken) = mpsc::channel(SPANS_MAX);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_at_start = since_epoch.saturating_sub(clock.read_finely().1);
        let (overflowed, untaken, exported) = Default::default();
        (Arc::new(Self { one_in, seed, wall_at_start, spans, overflowed, untaken, exported }), taken)
    }

    /// The message if it is sampled.
    pub fn choose(&self, author: &UserId, id: &ClientMessageId, content_bytes: usize) -> Option<Arc<SampledMessage>> {
        let mut hasher = Xxh3::with_seed(self.seed);
        hasher.update(author.as_str().as_bytes());
        // No id has this byte.
        hasher.update(&[0xff]);
        hasher.update(id.as_str().as_bytes());
        let hash = hasher.digest128();
        (hash as u64).is_multiple_of(self.one_in).then(|| {
            let (author, client_message_id) = (author.clone(), id.clone());
            Arc::new(SampledMessage { trace: hash.max(1), author, client_message_id, content_bytes })
        })
    }

    /// Hands a span over. It is lost where there is no room.
    pub fn tell(&self, span: SampledSpan) {
        if self.spans.try_send(span).is_err() {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts spans that the receiver has taken.
    pub fn note_exported(&self, spans: usize) {
        self.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// Counts spans that the receiver has not taken.
    pub fn note_untaken(&self, spans: usize) {
        self.untaken.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub fn numbers(&self) -> SpanNumbers {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SpanNumbers { exported: read(&self.exported), overflowed: read(&self.overflowed), untaken: read(&self.untaken) }
    }

    /// A time of the shards' clock, in nanoseconds since 1970. Jumps of the wall clock since the start do not count.
    pub fn unix_ns(&self, at: Duration) -> u64 {
        u64::try_from((self.wall_at_start + at).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::user;

    fn span(message: &Arc<SampledMessage>) -> SampledSpan {
        SampledSpan {
            message: message.clone(),
            stage: SpanStage::Push,
            shard: ShardId(0),
            began: Duration::ZERO,
            ended: Duration::ZERO,
            within: (SpanStage::Send, Duration::ZERO),
            message_id: None,
            from: None,
            sessions: 1,
            outcome: None,
        }
    }

    #[test]
    fn shards_agree_on_what_is_sampled_and_about_one_of_so_many_is() {
        let ((one, _), (other, _)) = (Sampling::begin(10, 7, Clock::start()), Sampling::begin(10, 7, Clock::start()));
        let id = |number: u32| ClientMessageId::new(&format!("m{number}")).expect("an id");
        let chosen: Vec<u32> =
            (0..10_000).filter(|number| one.choose(&user("alice"), &id(*number), 5).is_some()).collect();
        assert!((800..1_200).contains(&chosen.len()), "{} of 10,000", chosen.len());
        for number in chosen {
            assert_eq!(one.choose(&user("alice"), &id(number), 5), other.choose(&user("alice"), &id(number), 5));
        }
        let all = Sampling::begin(1, 7, Clock::start()).0;
        let [a, b] = ["alice", "bob"].map(|name| all.choose(&user(name), &id(1), 5).expect("all are").trace);
        assert_ne!(a, b);
    }

    #[test]
    fn spans_that_nobody_takes_are_counted_and_hold_nobody_up() {
        let (sampling, taken) = Sampling::begin(1, 7, Clock::start());
        let message = sampling.choose(&user("alice"), &ClientMessageId::new("m").expect("an id"), 5).expect("all are");
        for _again in 0..SPANS_MAX + 3 {
            sampling.tell(span(&message));
        }
        assert_eq!(sampling.numbers(), SpanNumbers { overflowed: 3, ..SpanNumbers::default() });
        drop(taken);
        sampling.tell(span(&message));
        assert_eq!(sampling.numbers().overflowed, 4);
    }
}
