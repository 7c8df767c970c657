//! The channels of the operator's control thread: orders to every shard, the answers, and the numbers that each shard
//! publishes.
//!
//! The control thread owns `ControlLanes` and `Answers`, each shard its `ControlEndpoint`. Invariants: at most
//! `orders_max` orders are under way, also those for which nobody waits any more, and each is answered once, so no
//! channel is ever full; no shard waits for the control thread; shards that stop wait, within their deadline, until the
//! control thread has all its answers.

use crate::model::{Addressee, Answer, Order, Position, ShardId, UserId};
use crate::server::acme::renewal::AcmeMeters;
use crate::server::base::waker::Waker;
use crate::server::config::options::Options;
use crate::server::follow::log_follower::CommittedEnd;
use crate::server::hook::meters::HookMeters;
use crate::server::state::pulse::ShardPulse;
use crate::server::state::shared::Shared;
use crate::server::state::snapshot::Snapshot;
use crate::server::state::tracing_list::{Trace, TracedUsers};
use crate::server::tls::identity::TlsIdentity;
use crate::server::turn::span::{SampledSpan, Sampling};
use crate::server::turn::trace::TracedList;
use crate::shard::{Placement, Ticket};
use arc_swap::ArcSwapOption;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// Everything that the control thread is given at the start of a server.
pub struct Control {
    pub options: Arc<Options>,
    /// A core on which no shard runs, if there is one.
    pub core: Option<usize>,
    pub lanes: ControlLanes,
    pub answers: Answers,
    pub keep_serving: KeepServing,
    /// The hook's numbers, if there is a hook.
    pub hook: Option<Arc<HookMeters>>,
    /// The spans of sampled messages, if messages are sampled.
    pub spans: Option<(Arc<Sampling>, mpsc::Receiver<SampledSpan>)>,
    /// The certificate of the HTTP API, if it speaks TLS.
    pub tls: Option<TlsIdentity>,
    /// The certificates of all listeners that speak TLS, by the listener.
    pub certificates: Vec<(&'static str, TlsIdentity)>,
    /// Where an authority issues the certificate of the listener of clients.
    pub acme: Option<Arc<AcmeMeters>>,
}

/// The control thread's channels to the shards.
pub struct ControlLanes {
    placement: Placement,
    shared: Arc<Shared>,
    wakers: Arc<[Waker]>,
    orders: Vec<Sender<(Ticket, Order)>>,
    shown: Arc<[ArcSwapOption<Snapshot>]>,
    ends: Arc<[PublishedEnd]>,
    traced: Arc<TracedUsers>,
}

/// The shards' answers. The channel ends when every shard has ended.
pub struct Answers(mpsc::Receiver<(Ticket, Answer)>);

/// A guard: while it exists, stopping shards continue to answer orders.
pub struct KeepServing {
    shared: Arc<Shared>,
    wakers: Arc<[Waker]>,
}

/// The phase of a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerPhase {
    /// A shard has not yet completed the deliveries from before the start.
    Starting,
    Ready,
    Stopping,
}

impl ServerPhase {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

/// The shard has ended.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard has ended")]
pub struct ShardEnded;

/// One shard's ends of the control channels.
pub struct ControlEndpoint {
    me: ShardId,
    pub orders: Receiver<(Ticket, Order)>,
    answers: mpsc::Sender<(Ticket, Answer)>,
    shown: Arc<[ArcSwapOption<Snapshot>]>,
    ends: Arc<[PublishedEnd]>,
    /// What was published last.
    end: CommittedEnd,
    traced: Arc<TracedUsers>,
    /// The list of traced users that the shard knows.
    traced_known: TracedList,
}

/// Where one shard's log ends, for readers on other cores; a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct PublishedEnd {
    acknowledged: AtomicU64,
    written: AtomicU64,
}

impl PublishedEnd {
    fn write(&self, end: CommittedEnd) {
        self.written.store(end.written.0, Ordering::Release);
        self.acknowledged.store(end.acknowledged.0, Ordering::Release);
    }

    /// What is written is read last: it covers at least what is acknowledged.
    fn read(&self) -> CommittedEnd {
        let acknowledged = Position(self.acknowledged.load(Ordering::Acquire));
        CommittedEnd { acknowledged, written: Position(self.written.load(Ordering::Acquire)) }
    }
}

/// The control thread's ends, and every shard's, in order.
pub fn connect(
    options: Arc<Options>,
    core: Option<usize>,
    shared: &Arc<Shared>,
    wakers: &Arc<[Waker]>,
) -> (Control, Vec<ControlEndpoint>) {
    let placement = Placement::new(u16::try_from(wakers.len()).expect("at most 1,024 shards"));
    let shown: Arc<[_]> = placement.all().map(|_shard| ArcSwapOption::empty()).collect();
    let ends: Arc<[_]> = placement.all().map(|_shard| PublishedEnd::default()).collect();
    let orders_max = options.admin.orders_max;
    let traced = Arc::new(TracedUsers::default());
    let (answers, answered) = mpsc::channel(orders_max);
    let (orders, endpoints) = placement
        .all()
        .map(|me| {
            let (sender, orders) = bounded(orders_max);
            let (shown, ends, answers) = (shown.clone(), ends.clone(), answers.clone());
            let (end, traced, traced_known) = (CommittedEnd::default(), traced.clone(), TracedList::default());
            (sender, ControlEndpoint { me, orders, answers, shown, ends, end, traced, traced_known })
        })
        .unzip();
    let (shared, wakers) = (shared.clone(), wakers.clone());
    let keep_serving = KeepServing::begin(shared.clone(), wakers.clone());
    let lanes = ControlLanes { placement, shared, wakers, orders, shown, ends: ends.clone(), traced };
    let answers = Answers(answered);
    let (hook, spans, tls, certificates, acme) = (None, None, None, Vec::new(), None);
    (Control { options, core, lanes, answers, keep_serving, hook, spans, tls, certificates, acme }, endpoints)
}

impl ControlLanes {
    /// Sends an order to the shard that owns its addressee. The caller must keep fewer than `orders_max` under way.
    pub fn give(&self, ticket: Ticket, order: Order) -> Result<(), ShardEnded> {
        let to = match order.addressee() {
            Addressee::Conversation(conversation) => self.placement.owner_of_conversation(&conversation),
            Addressee::User(user) => self.placement.owner_of(&user),
            Addressee::Shard(shard) => shard,
        };
        let to = usize::from(to.0);
        match self.orders[to].try_send((ticket, order)) {
            Ok(()) => self.wakers[to].wake(),
            Err(TrySendError::Disconnected(_)) => return Err(ShardEnded),
            Err(TrySendError::Full(_)) => panic!("no more orders are under way than each lane holds"),
        }
        Ok(())
    }

    /// Begins to trace a user; `None` if too many are traced.
    pub fn trace(&self, user: UserId) -> Option<Trace> {
        Trace::begin(&self.traced, user)
    }

    pub fn shards(&self) -> u16 {
        self.placement.shards()
    }

    pub fn owner_of(&self, user: &UserId) -> ShardId {
        self.placement.owner_of(user)
    }

    /// Begins to drain the server.
    pub fn drain(&self, length_ms: u64) {
        self.shared.drain(length_ms);
        self.wakers.iter().for_each(Waker::wake);
    }

    /// Stops the server at once in favour of the process that waits for its directory. `false` if it stops already.
    pub fn hand_over(&self, successor: u32) -> bool {
        let has_begun = self.shared.hand_over(successor);
        self.wakers.iter().for_each(Waker::wake);
        has_begun
    }

    /// How long a stop waits for what is unfinished, in milliseconds, if it may take `deadline_ms`.
    pub fn stop_deadline_ms(&self, deadline_ms: u64) -> u64 {
        self.shared.stop_deadline_ms(deadline_ms)
    }

    /// How long nobody served when this server took over from another one; `None` if it did not.
    pub fn gap(&self) -> Option<Duration> {
        self.shared.gap()
    }

    /// Whether the server accepts no more clients, before it stops.
    pub fn is_draining(&self) -> bool {
        self.shared.drain_ms().is_some()
    }

    pub fn phase(&self) -> ServerPhase {
        if self.shared.is_stopping() {
            ServerPhase::Stopping
        } else if self.shared.are_all_ready() {
            ServerPhase::Ready
        } else {
            ServerPhase::Starting
        }
    }

    /// Returns when the server begins to stop. Only one task may wait at a time.
    pub async fn told_to_stop(&self) {
        self.shared.told_to_stop().await;
    }

    /// Where each shard's log ends, in order.
    pub fn log_ends(&self) -> Vec<CommittedEnd> {
        self.ends.iter().map(PublishedEnd::read).collect()
    }

    /// Whether each shard runs.
    pub fn pulse(&self) -> ShardPulse {
        ShardPulse(self.shown.clone())
    }

    /// The numbers that each shard last published, in order; `None` for a shard that does not run yet.
    pub fn snapshots(&self) -> Vec<Option<Arc<Snapshot>>> {
        self.shown.iter().map(ArcSwapOption::load_full).collect()
    }
}

impl Answers {
    /// `None` when every shard has ended.
    pub async fn next(&mut self) -> Option<(Ticket, Answer)> {
        self.0.recv().await
    }
}

impl KeepServing {
    fn begin(shared: Arc<Shared>, wakers: Arc<[Waker]>) -> Self {
        shared.count_unsettled();
        Self { shared, wakers }
    }
}

impl Drop for KeepServing {
    fn drop(&mut self) {
        self.shared.count_settled();
        self.wakers.iter().for_each(Waker::wake);
    }
}

impl ControlEndpoint {
    pub fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    pub fn answer(&self, ticket: Ticket, answer: Answer) {
        match self.answers.try_send((ticket, answer)) {
            // Nobody waits for the answer if the control thread has ended.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => panic!("each order is answered once"),
        }
    }

    /// Tells followers where the log ends now.
    pub fn publish_end(&mut self, end: CommittedEnd) {
        if end != self.end {
            self.end = end;
            self.ends[usize::from(self.me.0)].write(end);
        }
    }

    /// The users to trace, if they are others than at the last call.
    pub fn new_traces(&mut self) -> Option<TracedList> {
        let now = self.traced.now();
        (!Arc::ptr_eq(&now, &self.traced_known)).then(|| {
            self.traced_known = now.clone();
            now
        })
    }

    pub fn show(&self, snapshot: Snapshot) {
        self.shown[usize::from(self.me.0)].store(Some(Arc::new(snapshot)));
    }
}

/// A control thread's ends, where a test takes the place of the shards.
#[cfg(test)]
pub struct ControlTestBench {
    pub control: Control,
    pub endpoints: Vec<ControlEndpoint>,
    pub shared: Arc<Shared>,
}

#[cfg(test)]
impl ControlTestBench {
    pub fn new(options: Options, shards: u16) -> Self {
        let shared = Arc::new(Shared::new(shards));
        let wakers: Arc<[Waker]> = (0..shards).map(|_shard| Waker::new().expect("an eventfd")).collect();
        let (control, endpoints) = connect(Arc::new(options), None, &shared, &wakers);
        Self { control, endpoints, shared }
    }
}

#[cfg(test)]
impl ControlEndpoint {
    /// Waits for the next order; the test answers it.
    pub fn take(&self) -> (Ticket, Order) {
        self.orders.recv_timeout(std::time::Duration::from_secs(60)).expect("an order")
    }

    pub fn reply(&self, ticket: Ticket, answer: Answer) {
        self.answer(ticket, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::AdminOptions;

    fn rig(orders_max: usize) -> (Control, Vec<ControlEndpoint>, Arc<Shared>) {
        let admin = AdminOptions { orders_max, ..AdminOptions::default() };
        let ControlTestBench { control, endpoints, shared } =
            ControlTestBench::new(Options { admin, ..Options::default() }, 2);
        (control, endpoints, shared)
    }

    fn show(user: &str) -> Order {
        Order::ShowUser { user: UserId::new(user).expect("well formed") }
    }

    #[test]
    fn an_order_goes_to_the_shard_that_owns_what_it_names() {
        let (control, endpoints, _shared) = rig(8);
        // Their slots are 688 and 229 of 1,024.
        control.lanes.give(Ticket(1), show("alice")).expect("there");
        control.lanes.give(Ticket(2), show("bob")).expect("there");
        let taken =
            |endpoint: &ControlEndpoint| endpoint.orders.try_iter().map(|(ticket, _)| ticket).collect::<Vec<_>>();
        assert_eq!((taken(&endpoints[0]), taken(&endpoints[1])), (vec![Ticket(2)], vec![Ticket(1)]));
    }

    #[test]
    fn answers_come_back_from_every_shard_and_end_with_the_last() {
        let (mut control, endpoints, _shared) = rig(8);
        endpoints[1].answer(Ticket(1), Answer::Done);
        endpoints[0].answer(Ticket(2), Answer::Unchanged);
        drop(endpoints);
        let answers = std::iter::from_fn(|| control.answers.0.blocking_recv());
        assert_eq!(answers.collect::<Vec<_>>(), [(Ticket(1), Answer::Done), (Ticket(2), Answer::Unchanged)]);
        assert_eq!(control.lanes.give(Ticket(3), show("alice")), Err(ShardEnded));
    }

    #[test]
    fn shards_are_not_settled_before_the_control_thread_is() {
        let (control, _desks, shared) = rig(8);
        shared.count_settled();
        shared.count_settled();
        assert!(!shared.are_all_settled(), "an answer may still be waited for");
        drop(control);
        assert!(shared.are_all_settled());
    }

    #[test]
    fn a_phase_follows_what_the_shards_say() {
        let (control, _desks, shared) = rig(8);
        assert_eq!(control.lanes.phase(), ServerPhase::Starting);
        shared.count_ready();
        shared.count_ready();
        assert_eq!(control.lanes.phase(), ServerPhase::Ready);
        shared.stop();
        assert_eq!(control.lanes.phase(), ServerPhase::Stopping);
    }
}
