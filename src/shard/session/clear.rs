//! Clears a conversation for one user (PROTOCOL 2.10): its messages so far are hidden from that user alone, and the
//! conversation may leave the user's list until the next message (docs/decisions/0038).
//!
//! Invariants: what is hidden was in the user's inbox before, so no message is lost that the user was never given; nobody
//! else gets the entry, and nobody else sees less.

use crate::log::Storage;
use crate::model::{
    Clear, Command, ConversationSeq, Fact, Moment, Refusal, Reply, RequestTag, SessionId, UnsequencedMessage,
};
use crate::shard::Shard;
use crate::shard::core::context::Ctx;
use crate::shard::peers::message::{Asker, RequestKind};
use crate::shard::rows::charge::Charge;
use crate::shard::rows::cleared::ClearedHistory;
use crate::shard::table::fingerprint::Fingerprint;
use crate::shard::write::mark_read::READ_RECORD_BYTES_MAX;
use crate::shard::write::request::RequestOutcome;

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
}
