//! What goes on from turn to turn, so that no input takes long, and what is done about once a second.

use super::Shard;
use crate::log::Storage;
use crate::shard::core::context::Ctx;

impl<S: Storage> Shard<S> {
    /// Whether work is left that no single input may do: then the driver passes `Input::Continued` in its next turn.
    pub fn has_more(&self) -> bool {
        let may_heal = self.healing.as_ref().is_some_and(|healing| healing.has_put_off());
        may_heal
            || self.has_fan_out()
            || self.state.peers.outbound.has_put_off()
            || self.has_unreleased()
            || self.has_transients()
            || self.has_presence()
            || self.has_positions()
            || self.state.groups.rosters.has_left()
    }

    /// A turn's share of what inputs began and no turn is to be held up by.
    pub(super) fn continue_background(&mut self, ctx: &mut Ctx<'_>) {
        self.release_some(ctx);
        self.continue_fan_out();
        self.continue_transients(ctx.effects);
        self.continue_presence(ctx.effects);
        self.log_some_positions();
        self.state.groups.rosters.drop_some();
    }

    /// The housekeeping of about once a second.
    pub(super) fn tick(&mut self, ctx: &mut Ctx<'_>) {
        self.state.tables.dedupe.rotate(ctx.now.steady);
        self.state.tables.dedupe.drop_some();
        self.note_presence(ctx.now);
        self.log.journal.append_durability_mark();
        self.log_delivered_positions();
        self.retry_fan_out();
        self.state.live.typing.forget(ctx.now);
        self.ask_again(ctx.effects);
        self.end_idle_streams(ctx);
        self.log_confirmations();
        self.retire(ctx.now);
    }
}
