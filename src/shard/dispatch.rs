//! One input at a time: which verb it is for, and what follows every input.

use crate::log::Storage;
use crate::model::{Command, Millis, Moment, RequestTag, SessionId};
use crate::shard::session::open::SessionRequest;
use crate::shard::table::cost::{self, Cost};
use crate::shard::{Effect, Input, Shard, ShardMessage};

impl<S: Storage> Shard<S> {
    /// The first parcels to every other shard. Once, before any input.
    pub fn start(&mut self, effects: &mut Vec<Effect>) {
        for to in self.state.peers.outbound.others() {
            let peer = self.state.peers.outbound.peer(to);
            let parcel = ShardMessage::Hello { taken: peer.taken(), newest: peer.newest() };
            effects.push(Effect::Forward { to, parcel });
        }
        self.heal(Moment::told(Millis::default()), effects);
        self.send_fan_out_load(effects);
    }

    /// One input, its effects appended to `effects`. `now.steady` never goes back; the wall clock may.
    pub fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        cost::begin(&self.state.rows_visited, self.log.journal.meter());
        let before = effects.len();
        self.look_at_clock(now);
        self.dispatch(now, input, effects);
        self.resume_held_requests(now, effects);
        self.resume_stalled(now, effects);
        self.begin_fan_out();
        if self.healing.is_some() {
            self.heal(now, effects);
        }
        self.send_fanned_out(effects);
        let asked = u32::try_from(effects.len() - before).unwrap_or(u32::MAX);
        self.meters.cost = Cost { effects: asked, ..self.cost_so_far() };
        self.meters.stats.dearest = self.meters.stats.dearest.max(self.meters.cost);
    }

    fn dispatch(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Opened { session, tag, user, device, catching, sizing } => {
                self.open_session(now, SessionRequest { session, tag, user, device, catching, sizing }, effects);
            }
            Input::Requested { session, tag, command } => self.requested(now, session, tag, command, effects),
            Input::Closed { session } => self.end_session(now, session, effects),
            Input::Congested { session, first, own } => self.congested(session, first, &own, effects),
            Input::Drained { session } => self.drained(now, session, effects),
            Input::Arrived { from, parcel } => self.arrived(now, from, parcel, effects),
            Input::Synced { end } => self.synced(now, end, effects),
            Input::Waived => self.acknowledge(now, self.log.journal.end(), effects),
            Input::Ticked => self.tick(now, effects),
            Input::Ordered { ticket, order } => self.ordered(now, ticket, order, effects),
            Input::Continued => self.continue_background(now, effects),
            Input::Fetched(fetched) => self.fetched(now, *fetched, effects),
            Input::Checkpointed { through } => self.retention.checkpoints.add(through),
            Input::InboxEpochRenewed => self.inbox_epoch_renewed(),
        }
    }

    pub(in crate::shard) fn requested(
        &mut self,
        now: Moment,
        session: SessionId,
        tag: RequestTag,
        command: Command,
        effects: &mut Vec<Effect>,
    ) {
        match command {
            Command::Send(send) => self.send(now, session, tag, send, effects),
            Command::Sync(sync) => self.sync(now, session, tag, sync, effects),
            Command::Ack(ack) => self.ack(session, tag, ack, effects),
            Command::Revoke(revoke) => self.revoke(now, session, tag, revoke, effects),
            Command::Receipt(receipt) => self.receipt(now, session, tag, receipt, effects),
            Command::Typing(typing) => self.typing(now, session, tag, &typing, effects),
            Command::History(history) => self.history(now, session, tag, history, effects),
            Command::Conversations(list) => self.conversations(now, session, tag, list, effects),
            Command::MarkRead(mark) => self.mark_read(now, session, tag, &mark, effects),
            Command::Presence(presence) => self.presence(now, session, tag, presence, effects),
            Command::Reauthenticate => self.reauthenticated(now, session, tag, effects),
        }
    }
}
