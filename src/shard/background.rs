//! Work that is divided among turns, so that no input takes long, and work that is done about once a second.

use super::Shard;
use crate::log::Storage;
use crate::shard::core::context::Ctx;
use crate::shard::table::cost::Cost;

/// The parts of background work, besides effects that wait for the log.
const PARTS: u8 = 11;
/// After this many rows a turn begins no further part.
const ROWS_A_TURN: u32 = 1_024;

impl<S: Storage> Shard<S> {
    /// Whether work is left that no single input may do: then the driver passes `Input::Continued` in its next turn.
    pub fn has_more(&self) -> bool {
        let may_heal = self.healing.as_ref().is_some_and(|healing| healing.has_put_off());
        may_heal
            || self.has_fan_out()
            || self.state.peers.outbound.has_put_off()
            || self.state.peers.outbound.first_unstallable().is_some()
            || self.has_unreleased()
            || self.has_transients()
            || self.has_presence()
            || self.has_positions()
            || self.has_ready_orders()
            || self.state.peers.outbound.is_resending()
            || self.has_listings()
            || self.state.reads.author_lines.has_ready()
            || self.state.groups.rosters.has_left()
            || self.state.live.hook_lines.has_ready()
            || self.has_cleared_unread()
            || self.state.has_forgotten()
    }

    /// One turn's share of the work that inputs began and that is too long for one turn. Effects that wait for the log
    /// leave first; the other parts are first in turn, and a part that finds the share spent waits for a later turn.
    pub(super) fn continue_background(&mut self, ctx: &mut Ctx<'_>) {
        let before = ctx.effects.len();
        self.release_some(ctx);
        for _part in 0..PARTS {
            let part = self.background.next_part;
            self.background.next_part = (part + 1) % PARTS;
            if self.continue_part(ctx, part) && self.has_spent_turn(ctx.effects.len() - before) {
                return;
            }
        }
    }

    /// Continues one part. Returns whether it had work.
    fn continue_part(&mut self, ctx: &mut Ctx<'_>, part: u8) -> bool {
        let has_work = match part {
            0 => self.has_fan_out(),
            1 => self.has_transients(),
            2 => self.has_presence(),
            3 => self.has_positions(),
            4 => self.has_ready_orders(),
            5 => self.state.peers.outbound.is_resending(),
            6 => self.has_listings(),
            7 => self.state.reads.author_lines.has_ready(),
            8 => self.state.groups.rosters.has_left(),
            9 => self.has_cleared_unread(),
            _ => self.state.has_forgotten(),
        };
        match part {
            _ if !has_work => {}
            0 => self.continue_fan_out(),
            1 => self.continue_transients(ctx.effects),
            2 => self.continue_presence(ctx.effects),
            3 => self.log_some_positions(),
            4 => self.continue_orders(ctx),
            5 => {
                self.continue_resending(ctx.effects);
                self.continue_giving_back(ctx.effects);
            }
            6 => self.continue_listings(ctx),
            7 => self.continue_author_lines(ctx),
            8 => self.state.groups.rosters.drop_some(),
            9 => self.read_some_cleared(ctx.effects),
            _ => self.state.forget_some(),
        }
        has_work
    }

    /// Whether the turn has spent its share, so that the rest is left to later turns.
    fn has_spent_turn(&self, effects: usize) -> bool {
        let Cost { effects: effects_max, .. } = Cost::SHARE;
        let rows = self.cost_so_far().rows;
        self.has_done_its_share() || effects >= effects_max as usize || rows >= ROWS_A_TURN
    }

    /// The housekeeping of about once a second.
    pub(super) fn tick(&mut self, ctx: &mut Ctx<'_>) {
        self.state.tables.dedupe.drop_some();
        self.note_presence(ctx.now);
        self.log.journal.append_durability_mark();
        self.log_delivered_positions();
        self.retry_fan_out();
        self.state.tables.cleared.retry_unread();
        self.state.live.typing.forget(ctx.now);
        self.ask_again(ctx.effects);
        self.end_idle_streams(ctx);
        self.log_confirmations();
        self.retire(ctx.now);
    }
}
