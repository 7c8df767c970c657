//! Moves a user's read position in a conversation; messages of others after it are unread.
//!
//! Invariant: the position never goes back, and `unread` equals a recount.

use crate::log::{ReadMode, Record, Storage, Unread};
use crate::model::{ConversationSeq, MarkRead, Refusal, Reply, RequestTag, SessionId};
use crate::shard::core::context::Ctx;
use crate::shard::query::recount::Recount;
use crate::shard::rows::charge::Charge;
use crate::shard::rows::seat::Seated;
use crate::shard::write::admit::Admitted;
use crate::shard::{Effect, Shard};

/// Messages that are recounted within a turn; more are recounted off the core.
const RECOUNT_AT_ONCE_MAX: u64 = 64;
/// A record of a user's position with the longest ids, header and padding included.
pub(in crate::shard) const READ_RECORD_BYTES_MAX: usize = 256;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn mark_read(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        mark: &MarkRead,
    ) {
        let charge = Charge::of(0, 0, &self.settings.limits);
        let Some(admitted) = self.admit(ctx, session, tag, &mark.conversation, charge) else { return };
        let Admitted { tag, seated, .. } = admitted;
        if !self.log.journal.has_room(READ_RECORD_BYTES_MAX) {
            return self.refuse(session, tag, Refusal::StorageFull, ctx.effects);
        }
        match self.read_through(seated, mark.through, ctx.effects) {
            Ok(()) => ctx.effects.push(Effect::Reply { session, tag, reply: Reply::Done }),
            Err(refusal) => self.refuse(session, tag, refusal, ctx.effects),
        }
    }

    /// Moves the position, at once or when the count after it is known. The record shares the next sync; losing it
    /// leaves a few messages unread.
    pub(in crate::shard) fn read_through(
        &mut self,
        seated: Seated,
        through: ConversationSeq,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let row = self.state.tables.conversations.at(seated.at);
        let (seat, tail) = (row.seat(seated.seat), row.tail.tail());
        let newest = self.state.seen_through(seated);
        // The author of a message knows its place before the members here have its predecessors: those up to the mark
        // count as read when they arrive.
        let through = through.min(self.state.placed_through(seated));
        if through <= seat.read {
            return Ok(());
        }
        if through >= newest {
            self.move_position(seated, through, 0);
            return Ok(());
        }
        let mut recount = self.state.recount_of(seated, tail, through, newest);
        if newest.0 - through.0 <= RECOUNT_AT_ONCE_MAX
            && let Ok(Some(unread)) = recount.count_page(self.log.journal.view(ReadMode::None))
        {
            self.move_position(seated, through, unread);
            return Ok(());
        }
        if self.state.reads.recounts.wait(seated, through) {
            return Ok(());
        }
        if !self.may_fetch_apart(&recount.user) {
            return Err(Refusal::Busy);
        }
        self.state.reads.recounts.begin(seated);
        let recount = self.state.recount_of(seated, tail, through, newest);
        self.fetch_recount(recount, effects);
        Ok(())
    }

    /// Completes a recount; messages that have arrived since are unread. If the position has moved meanwhile, or the
    /// user has rejoined the group, the count is outdated and made again, unless the mark is before the position by
    /// now.
    pub(in crate::shard) fn recounted(
        &mut self,
        recount: &Recount,
        counted: Result<u32, Unread>,
        effects: &mut Vec<Effect>,
    ) {
        let Recount { seated, through, .. } = *recount;
        let waiting = self.state.reads.recounts.end(seated);
        let seat = self.state.tables.conversations.at(seated.at).seat(seated.seat);
        let mut again = waiting;
        if seat.read < through {
            match counted {
                Ok(counted) if seat.read == recount.read => {
                    let unread = counted.saturating_add(seat.unread.saturating_sub(recount.unread));
                    self.move_position(seated, through, unread);
                }
                Ok(_) => again = again.max(Some(through)),
                // The client was told that the mark is done. Unreadable messages are counted as if others had written
                // them.
                Err(_) => {
                    self.meters.stats.unreadable += 1;
                    let behind = self.state.seen_through(seated).0.saturating_sub(through.0);
                    let unread = seat.unread.min(u32::try_from(behind).unwrap_or(u32::MAX));
                    self.move_position(seated, through, unread);
                }
            }
        }
        if let Some(through) = again {
            let begun = self.read_through(seated, through, effects);
            debug_assert!(begun.is_ok(), "the recount that has ended has freed its slot");
        }
    }

    /// Without room in the log the position is not recorded, as if its record had been lost.
    fn move_position(&mut self, seated: Seated, through: ConversationSeq, unread: u32) {
        let (conversation, seat) = self.state.seated(seated);
        let user = self.state.tables.inboxes.user_at(seat.user).clone();
        let record = Record::Read { user, conversation, through, unread };
        debug_assert!(record.encoded_bytes() <= READ_RECORD_BYTES_MAX, "ids are bounded");
        self.state.change_seat(seated.at, seated.seat, |seat| seat.mark_read(through, unread));
        if self.log.journal.has_room(record.encoded_bytes()) {
            self.log.journal.append_lazily(&record);
        }
    }
}
