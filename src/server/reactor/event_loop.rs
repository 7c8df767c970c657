//! The loop of one core: collects what has arrived, feeds the turn, carries out its actions, and flushes once.
//!
//! Owns everything of its shard and shares only lanes and flags. Invariants: every step is bounded; all submissions of
//! a pass go to the kernel in one system call; the core sleeps only after looking for work everywhere once more.

use crate::model::ShardId;
use crate::model::{Moment, Position, Steady};
use crate::server::base::clock::Clock;
use crate::server::base::error::RunError;
use crate::server::base::spinning::Spinning;
use crate::server::config::options::Options;
use crate::server::data::epoch::Epoch;
use crate::server::disk::Disk;
use crate::server::disk::jobs::Jobs;
use crate::server::hook::asker::HookSender;
use crate::server::ring::{Completion, Ring};
use crate::server::state::accepting::Accepting;
use crate::server::state::complaints::Complaints;
use crate::server::state::control::ControlEndpoint;
use crate::server::state::counters::{Counters, SLOW_TURN};
use crate::server::state::draining::Draining;
use crate::server::state::group_commit::GroupCommit;
use crate::server::state::histograms::UnacknowledgedTurns;
use crate::server::state::judging::Judging;
use crate::server::state::mesh::Mesh;
use crate::server::state::outboxes::{Outboxes, SlowSession};
use crate::server::state::shared::Shared;
use crate::server::state::snapshot::LogRecovery;
use crate::server::state::socket::SWEEP_PARTS;
use crate::server::state::socket::Sockets;
use crate::server::state::stopping::Stopping;
use crate::server::state::turn_work::TurnWork;
use crate::server::turn::{Action, LinkKey, Turn};
use crate::shard::{ExternalEffect, Stats};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The interval of periodic tasks without a deadline of their own, in milliseconds.
const CHORES_MS: u64 = 1_000;
/// How soon a full lane is tried again, in milliseconds.
const LANE_RETRY_MS: u64 = 1;

pub struct Reactor {
    pub(super) me: ShardId,
    pub(super) options: Arc<Options>,
    pub(super) shared: Arc<Shared>,
    pub(super) turn: Turn<Disk>,
    pub(super) ring: Ring,
    pub(super) mesh: Mesh,
    pub(super) accepting: Accepting,
    pub(super) sockets: Sockets,
    pub(super) jobs: Jobs,
    pub(super) hook: Option<HookSender>,
    pub(super) endpoint: ControlEndpoint,
    epoch: Arc<Epoch>,
    pub(super) recovery: LogRecovery,
    pub(super) commit: GroupCommit,
    pub(super) counters: Counters,
    unacknowledged: UnacknowledgedTurns,
    pub(super) work: TurnWork,
    /// Where the log ended when the turn had gathered its inputs, and the messages that were written until then.
    appended: (Position, (u64, u64)),
    pub(super) clock: Clock,
    pub(super) stopping: Option<Stopping>,
    pub(super) draining: Option<Draining>,
    pub(super) failure: Option<RunError>,
    /// Connections to which something has happened in this turn.
    pub(super) touched: VecDeque<LinkKey>,
    /// Connections with bytes beyond the last turn's budget.
    pub(super) backlogged: Vec<LinkKey>,
    /// Emptied outboxes for reuse.
    pub(super) spares: Vec<Vec<u8>>,
    /// Bytes queued for the sockets of each sweep part, as of its last sweep.
    pub(super) outboxes: [u64; SWEEP_PARTS],
    pub(super) outboxes_held: Outboxes,
    /// The slowest sessions of each sweep part, as of its last sweep.
    pub(super) slow_sessions: [Vec<SlowSession>; SWEEP_PARTS],
    pub(super) complaints: Complaints,
    /// When the last checkpoint of this run was written.
    pub(super) checkpointed: Option<Instant>,
    /// Bytes and connections received as of the last periodic tasks.
    received_before: u64,
    has_memory_to_give: bool,
    pub(super) turn_number: u64,
    pub(super) judging: Judging,
    pub(super) has_worked: bool,
    actions: Vec<Action>,
    is_ready: bool,
    housekeeping_at: Steady,
    spinning: Spinning,
}

pub struct Parts {
    pub me: ShardId,
    pub options: Arc<Options>,
    pub shared: Arc<Shared>,
    pub turn: Turn<Disk>,
    pub ring: Ring,
    pub mesh: Mesh,
    pub accepting: Accepting,
    pub outboxes: Outboxes,
    pub clock: Clock,
    pub jobs: Jobs,
    pub hook: Option<HookSender>,
    pub endpoint: ControlEndpoint,
    pub epoch: Arc<Epoch>,
    pub recovery: LogRecovery,
}

impl Reactor {
    pub fn new(parts: Parts) -> Self {
        let spinning = Spinning::new(Duration::from_micros(parts.options.spin_us));
        Self {
            commit: GroupCommit::new(parts.options.durability, parts.options.commit_delay_ms),
            me: parts.me,
            options: parts.options,
            shared: parts.shared,
            turn: parts.turn,
            ring: parts.ring,
            mesh: parts.mesh,
            accepting: parts.accepting,
            sockets: Sockets::default(),
            jobs: parts.jobs,
            hook: parts.hook,
            endpoint: parts.endpoint,
            epoch: parts.epoch,
            recovery: parts.recovery,
            counters: Counters::default(),
            unacknowledged: UnacknowledgedTurns::default(),
            work: TurnWork::default(),
            appended: (Position::NONE, (0, 0)),
            clock: parts.clock,
            stopping: None,
            draining: None,
            failure: None,
            touched: VecDeque::new(),
            backlogged: Vec::new(),
            spares: Vec::new(),
            outboxes: [0; SWEEP_PARTS],
            outboxes_held: parts.outboxes,
            slow_sessions: Default::default(),
            complaints: Complaints::default(),
            checkpointed: None,
            received_before: 0,
            has_memory_to_give: false,
            turn_number: 0,
            judging: Judging::default(),
            has_worked: false,
            actions: Vec::new(),
            is_ready: false,
            housekeeping_at: Steady::default(),
            spinning,
        }
    }

    /// Runs, as the run of this number, until the server stops or this shard fails.
    pub fn run(mut self, number: u64) -> (Counters, Option<RunError>) {
        let now = self.clock.read();
        self.turn.number_run(number);
        self.turn.start(now);
        self.ring.await_waker(self.mesh.waker().eventfd());
        let mut working_since: Option<Duration> = None;
        loop {
            let (now, at) = self.clock.read_finely();
            if let Some(since) = working_since.take() {
                self.measure_turn(since, at);
            }
            self.mesh.begin_turn(at);
            self.turn.begin_sampled_turn(at);
            self.run_turn(now);
            if self.is_done(now) {
                return self.finish();
            }
            if self.has_worked {
                self.spinning.worked(at);
                working_since = Some(at);
            } else if self.spinning.looks_again(at) {
                std::hint::spin_loop();
            } else {
                self.sleep(now);
            }
        }
    }

    fn run_turn(&mut self, now: Moment) {
        self.turn_number += 1;
        self.judging.turn(now.steady);
        self.has_worked = false;
        self.work = TurnWork {
            received_before: self.counters.received_bytes,
            records_before: self.turn.shard().records_awaited(),
            ..TurnWork::default()
        };
        self.gather(now);
        let shard = self.turn.shard();
        self.appended = (shard.journal().end(), shard.messages_written());
        self.commit(now);
        self.perform(now);
        self.adapt_outboxes();
        self.publish();
        self.flush();
    }

    /// Measures a turn that had work, from its beginning to the reading of the clock after it.
    fn measure_turn(&mut self, began: Duration, ended: Duration) {
        let took = ended.saturating_sub(began);
        self.counters.note_turn(took);
        if took > SLOW_TURN {
            self.log_slow_turn(took);
        }
        let (end, written) = self.appended;
        self.unacknowledged.wrote(began, end, written);
        let acknowledged = self.turn.shard().acknowledged();
        self.unacknowledged.acknowledged(ended, acknowledged, &mut self.counters.histograms);
        self.turn.end_sampled_turn(ended, self.commit.synced);
    }

    fn gather(&mut self, now: Moment) {
        self.observe_drain(now);
        self.observe_stop(now);
        self.turn.storage_mut().begin_turn();
        let has_room = self.turn.storage_mut().gather();
        self.order_spares();
        if has_room {
            // Work that waited for room can continue.
            self.turn.continue_background(now);
        }
        self.drain_completions(now);
        self.drain_backlog(now);
        self.drain_lanes(now);
        self.drain_migrating(now);
        self.drain_answers(now);
        if self.turn.has_more() {
            self.has_worked = true;
            self.turn.continue_background(now);
        }
        self.drain_orders(now);
        self.tick(now);
        self.drive_listener(now);
    }

    fn drain_completions(&mut self, now: Moment) {
        for _taken in 0..self.options.events_per_turn_max {
            let Some(completion) = self.ring.next() else { return };
            self.has_worked = true;
            self.work.completions += 1;
            match completion {
                Completion::Accepted { result, next } => self.accepted(now, result, next),
                Completion::Received { place, result, next } => self.received(now, place, result, next),
                Completion::ReceiveCancelled { place, result } => self.receive_cancelled(place, result),
                Completion::Sent { place, result, send } => self.sent(now, place, result, send),
                Completion::Synced { result } => self.synced(now, result),
                Completion::Woken => self.ring.await_waker(self.mesh.waker().eventfd()),
                Completion::Chore => {}
            }
        }
    }

    fn drain_lanes(&mut self, now: Moment) {
        let (turn, has_worked, work) = (&mut self.turn, &mut self.has_worked, &mut self.work);
        self.mesh.receive(self.options.events_per_turn_max, |sent, shard_message| {
            *has_worked = true;
            work.shard_messages += 1;
            turn.arrived_by_lane(now, sent, shard_message);
        });
    }

    fn tick(&mut self, now: Moment) {
        let has_chores = now.steady >= self.housekeeping_at;
        if has_chores {
            self.housekeeping_at = now.steady.plus(CHORES_MS);
            self.work.has_ticked = true;
            if let Some(traced) = self.endpoint.new_traces() {
                self.turn.trace(now, traced);
            }
            if self.judging.may_judge(now.steady) {
                self.sweep(now);
            }
            self.order_due_checkpoint(now);
            self.complain_again(now.steady);
            self.give_memory_back();
            self.turn.tick(now);
            self.warn_of_jumps(now);
            self.show();
            self.shed(now);
            self.relieve_outboxes(now);
        }
        if self.judging.may_judge(now.steady) {
            self.turn.judge(now);
        }
    }

    /// Returns memory to the kernel, once after each period of activity: an idle server does not keep what bursts
    /// needed.
    fn give_memory_back(&mut self) {
        let received = self.counters.received_bytes + self.turn.traffic().accepted;
        if received != self.received_before {
            self.received_before = received;
            self.has_memory_to_give = true;
        } else if std::mem::take(&mut self.has_memory_to_give) {
            self.spares = Vec::new();
            crate::server::host::memory::give_back();
        }
    }

    /// Carries out the turn's actions until there are none.
    fn perform(&mut self, now: Moment) {
        let mut actions = std::mem::take(&mut self.actions);
        loop {
            actions = self.turn.take_actions(actions);
            self.work.actions += actions.len() as u32;
            self.has_worked |= !actions.is_empty();
            for action in actions.drain(..) {
                self.act(now, action);
            }
            // All actions are applied before a link is driven, so that its decisions are up to date.
            let Some(key) = self.touched.pop_front() else { break };
            self.drive_connection(now, key);
        }
        self.actions = actions;
    }

    fn act(&mut self, now: Moment, action: Action) {
        match action {
            Action::Write(key) | Action::Read(key) => self.touch(key),
            Action::Depart(key, to) => self.depart(key, to),
            Action::End(key) => {
                self.log_end(now, key);
                self.end(key);
            }
            Action::Abandon(key) => self.abandon(key),
            Action::External(ExternalEffect::Forward { to, shard_message }) => self.mesh.forward(to, shard_message),
            Action::External(ExternalEffect::Answer { ticket, answer }) => self.answer(ticket, answer),
            Action::External(ExternalEffect::Fetch(fetch)) => self.order_fetch(fetch),
            Action::External(ExternalEffect::AskHook(question)) => self.ask_hook(now, question),
            Action::External(ExternalEffect::RenewInboxEpoch) => match self.epoch.renew() {
                Ok(()) => self.turn.inbox_epoch_renewed(now),
                Err(error) => self.fail(RunError::Epoch { shard: self.me, source: Arc::new(error) }),
            },
        }
    }

    /// Reports this shard's progress to the other shards.
    fn publish(&mut self) {
        if !self.is_ready && self.turn.is_ready() {
            self.is_ready = true;
            // All shards have finished restoring lost entries, so nobody changes the epoch any more.
            self.turn.set_inbox_epoch(self.epoch.now());
            self.log_healing();
            self.show();
            self.shared.count_ready();
            self.mesh.wake_all();
        }
        self.publish_settled();
        self.publish_end();
    }

    /// Logs the losses in logs that this shard knows of, and what was restored.
    fn log_healing(&self) {
        let Stats { given_back, redelivered, forgone, missing_places, contradictions, .. } = self.turn.shard().stats();
        if [given_back, redelivered, forgone, missing_places, contradictions].iter().any(|count| *count > 0) {
            tracing::warn!(
                shard = self.me.0,
                given_back,
                sent_again = redelivered,
                lost_deliveries = forgone,
                lost_places = missing_places,
                contradictions,
                "the logs of the shards disagreed: at least one had lost its newest records"
            );
        }
    }

    fn flush(&mut self) {
        self.mesh.flush();
        if let Err(error) = self.ring.enter() {
            let what = "io_uring failed";
            self.fail(RunError::Host { shard: self.me, what, source: Arc::new(error) });
        }
    }

    /// Sleeps until something has arrived or is due. A turn without work has left nothing to flush.
    fn sleep(&mut self, now: Moment) {
        self.mesh.waker().fall_asleep();
        if !self.has_work() {
            self.counters.sleeps += 1;
            let longest = Duration::from_millis(now.steady.until(self.next_due(now.steady)).max(1));
            if let Err(error) = self.ring.sleep(longest) {
                let what = "io_uring failed";
                self.fail(RunError::Host { shard: self.me, what, source: Arc::new(error) });
            }
        }
        self.mesh.waker().get_up();
    }

    fn has_work(&mut self) -> bool {
        self.ring.has_work()
            || self.mesh.has_incoming()
            || self.jobs.has_answers()
            || self.turn.has_more()
            || self.endpoint.has_orders()
            || !self.backlogged.is_empty()
            || self.shared.is_stopping() && self.stopping.is_none()
            || self.shared.drain_ms().is_some()
                && self.accepting.is_open
                && self.draining.is_none()
                && self.stopping.is_none()
            || self.stopping.is_some() && self.shared.are_all_settled() && self.sockets.is_empty()
            || self.stopping.is_none()
                && self.draining.is_none()
                && !self.accepting.is_open
                && self.shared.are_all_ready()
    }

    fn next_due(&self, now: Steady) -> Steady {
        let mut due = self.housekeeping_at;
        if let Some(deadline) = self.turn.next_deadline() {
            due = due.min(deadline);
        }
        if self.mesh.has_waiting() {
            due = due.min(now.plus(LANE_RETRY_MS));
        }
        let others = [
            self.accepting.again_at,
            self.commit.due(),
            self.stopping.as_ref().map(crate::server::state::stopping::Stopping::due),
            self.draining.as_ref().map(|draining| draining.due(now)),
        ];
        others.into_iter().flatten().fold(due, Steady::min)
    }
}
