//! Clears a conversation for one user (PROTOCOL 2.10): its messages so far are hidden from that user alone, and the
//! conversation may leave the user's list until the next message (docs/decisions/0038).
//!
//! Invariants: what is hidden was in the user's inbox before, so no message is lost that the user was never given; nobody
//! else gets the entry, and nobody else sees less; what is hidden is read, also when a crash took the record of that.

use crate::log::Storage;
use crate::model::{
    Clear, Command, ConversationSeq, Fact, Moment, Refusal, Reply, RequestTag, SessionId, UnsequencedMessage,
};
use crate::shard::core::context::Ctx;
use crate::shard::peers::message::{Asker, RequestKind};
use crate::shard::rows::charge::Charge;
use crate::shard::rows::cleared::ClearedHistory;
use crate::shard::rows::seat::Seated;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::write::mark_read::READ_RECORD_BYTES_MAX;
use crate::shard::write::request::RequestOutcome;
use crate::shard::{Effect, Shard};

/// After this many rows a turn looks at no further one.
const ROWS_AT_ONCE_MAX: u32 = 1_024;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn clear(&mut self, ctx: &mut Ctx<'_>, session: SessionId, tag: RequestTag, clear: Clear) {
        let charge = Charge::of(0, 0, &self.settings.limits);
        let Some(admitted) = self.admit(ctx, session, tag, &clear.conversation, charge) else { return };
        let (seated, user_index, extent) = (admitted.seated, admitted.user_index, clear.extent);
        let newest = self.state.seen_through(seated);
        let through = match clear.through {
            ConversationSeq(0) => newest,
            named => named.min(newest),
        };
        let wanted = ClearedHistory { through, extent };
        if self.state.tables.cleared.find(user_index, seated.at).is_some_and(|before| before >= wanted) {
            let after = self.state.tables.cleared.newest_record();
            return self.answer_requester(ctx, Some(after), admitted.requester(), Reply::Done);
        }
        if !self.log.journal.has_room(READ_RECORD_BYTES_MAX) {
            return self.refuse(session, admitted.tag, Refusal::StorageFull, ctx.effects);
        }
        let Some(addressed) = self.address(ctx, &admitted, || Command::Clear(clear)) else { return };
        // What is hidden is not unread either.
        if let Err(refusal) = self.read_through(seated, through, ctx.effects) {
            return self.refuse(session, admitted.tag, refusal, ctx.effects);
        }
        self.ask(ctx, addressed, admitted.requester(), |asker| RequestKind::Clear(asker, through, extent));
    }

    /// At the conversation's owner: appends an entry for the user alone, whose shard hides the messages when it has the
    /// entry.
    pub(in crate::shard) fn commit_clear(
        &mut self,
        now: Moment,
        conversation_key: Fingerprint,
        Asker { user, conversation, .. }: &Asker,
        ClearedHistory { through, extent }: ClearedHistory,
    ) -> RequestOutcome {
        let fact = Fact::Cleared { user: user.clone(), through, extent };
        let mut message = UnsequencedMessage::of_fact(now.wall, conversation.clone(), user.clone(), fact);
        match self.commit(now, (conversation_key, None), &mut message, None) {
            Ok(_) => RequestOutcome::Answered { after: Some(self.log.newest_record), reply: Reply::Done },
            Err(hindrance) => hindrance.into(),
        }
    }

    /// Whether the shard has to look whether what is hidden counts as read. What other shards still give back belongs to
    /// the count.
    pub(in crate::shard) fn has_cleared_unread(&self) -> bool {
        self.state.tables.cleared.has_unread() && self.is_ready()
    }

    /// Looks at some of these rows, and moves the positions that are before what is hidden.
    pub(in crate::shard) fn read_some_cleared(&mut self, effects: &mut Vec<Effect>) {
        while let Some((user_index, at)) = self.state.tables.cleared.next_unread() {
            self.state.rows_visited.count(1);
            let hidden = self.state.tables.cleared.find(user_index, at);
            let seat = self.state.seat_of(user_index, at);
            if let (Some(hidden), Some(seat)) = (hidden, seat)
                && self.read_through(Seated { at, seat }, hidden.through, effects).is_err()
            {
                self.state.tables.cleared.put_off((user_index, at));
            }
            if self.has_done_its_share() || self.cost_so_far().rows >= ROWS_AT_ONCE_MAX {
                return;
            }
        }
    }
}
