//! The entrance of the shard: passes one input to its verb, and does what follows every input.

use crate::log::Storage;
use crate::model::{Command, Millis, Moment, RequestTag, SessionId};
use crate::shard::core::context::Ctx;
use crate::shard::session::open::SessionRequest;
use crate::shard::table::cost::{self, Cost};
use crate::shard::{Effect, Input, Shard, ShardMessage};

impl<S: Storage> Shard<S> {
    /// Gives the run that `start` begins the number that all shards of a directory give it, above those of all earlier
    /// runs. Where nobody does, the log numbers its runs by itself.
    pub fn number_run(&mut self, number: u64) {
        self.log.journal.number_run(number);
    }

    /// Begins the run of the log, and sends the first messages to every other shard. Once, before any input.
    pub fn start(&mut self, effects: &mut Vec<Effect>) {
        self.log.journal.begin_run();
        for to in self.state.peers.outbound.others() {
            let peer = self.state.peers.outbound.peer(to);
            let shard_message = ShardMessage::Hello { taken: peer.taken(), newest: peer.newest() };
            effects.push(Effect::forward(to, shard_message));
        }
        self.heal(&mut Ctx { now: Moment::told(Millis::default()), effects });
        self.send_fan_out_load(effects);
    }

    /// Handles one input and appends its effects to `effects`. `now.steady` never goes back; the wall clock may.
    pub fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        cost::begin(&self.state.rows_visited, self.log.journal.meter());
        let before = effects.len();
        self.look_at_clock(now);
        self.state.tables.dedupe.rotate(now.steady);
        let ctx = &mut Ctx { now, effects };
        self.dispatch(ctx, input);
        self.resume_held_requests(ctx);
        self.resume_stalled(ctx);
        if self.has_hook() {
            self.resume_lines(ctx);
        }
        self.begin_fan_out();
        if self.healing.is_some() {
            self.heal(ctx);
        }
        self.send_fanned_out(ctx.effects);
        let asked = u32::try_from(ctx.effects.len() - before).unwrap_or(u32::MAX);
        self.meters.cost = Cost { effects: asked, ..self.cost_so_far() };
        self.meters.stats.highest_cost = self.meters.stats.highest_cost.max(self.meters.cost);
    }

    #[inline]
    fn dispatch(&mut self, ctx: &mut Ctx<'_>, input: Input) {
        match input {
            Input::Opened { session, tag, user, device, catch_up, sizing } => {
                self.open_session(ctx, SessionRequest { session, tag, user, device, catch_up, sizing });
            }
            Input::Requested { session, tag, command } => self.requested(ctx, session, tag, command),
            Input::Closed { session } => self.end_session(ctx, session),
            Input::Congested { session, first, own } => self.congested(session, first, &own, ctx.effects),
            Input::Drained { session } => self.drained(ctx, session),
            Input::Arrived { from, shard_message } => self.arrived(ctx, from, shard_message),
            Input::Synced { end } => self.synced(ctx, end),
            Input::Waived => self.acknowledge(ctx, self.log.journal.end()),
            Input::Ticked => self.tick(ctx),
            Input::Ordered { ticket, order } => self.ordered(ctx, ticket, order),
            Input::Continued => self.continue_background(ctx),
            Input::Fetched(fetched) => self.fetched(ctx, *fetched),
            Input::HookAnswered { ticket, verdict } => self.hook_answered(ctx, &ticket, verdict),
            Input::Checkpointed { through } => self.background.checkpoints.add(through),
            Input::InboxEpochRenewed => self.inbox_epoch_renewed(),
        }
    }

    #[inline]
    pub(in crate::shard) fn requested(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        command: Command,
    ) {
        self.meters.requests[command.verb() as usize] += 1;
        match command {
            Command::Send(send) => self.send(ctx, session, tag, send),
            Command::Sync(sync) => self.sync(ctx, session, tag, sync),
            Command::Ack(ack) => self.ack(session, tag, ack, ctx.effects),
            Command::Revoke(revoke) => self.revoke(ctx, session, tag, revoke),
            Command::Receipt(receipt) => self.receipt(ctx, session, tag, receipt),
            Command::Typing(typing) => self.typing(ctx, session, tag, &typing),
            Command::History(history) => self.history(ctx, session, tag, history),
            Command::Conversations(list) => self.conversations(ctx, session, tag, list),
            Command::Clear(clear) => self.clear(ctx, session, tag, clear),
            Command::MarkRead(mark) => self.mark_read(ctx, session, tag, &mark),
            Command::Presence(presence) => self.presence(ctx, session, tag, presence),
            Command::Group(request) => self.group_request(ctx, session, tag, request),
            Command::ShowProfile(user) => self.show_profile(ctx, session, tag, user),
            Command::SetProfile(profile) => self.set_own_profile(ctx, session, tag, profile),
            Command::RegisterDevice(change) => {
                self.change_own_device(ctx, session, tag, (change.device.clone(), Some(*change)));
            }
            Command::UnregisterDevice(device) => self.change_own_device(ctx, session, tag, (device, None)),
            Command::ShowDevices => self.show_own_devices(ctx, session, tag),
            Command::Reauthenticate => self.reauthenticated(ctx, session, tag),
        }
    }
}
