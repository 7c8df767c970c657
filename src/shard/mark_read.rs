//! A user's position in a conversation moves: what stands behind it, of others, is unread.
//!
//! Invariant: the position never goes back, and `unread` is what a recount finds.

use super::fetch::Wanted;
use super::resolve::Seated;
use super::{Effect, Shard};
use crate::log::{Patience, Record, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{
    Conversation, ConversationSeq, MarkRead, Millis, Refusal, Reply, RequestTag, Seq, SessionId, UserId,
};

/// So many messages are recounted in a turn; more are recounted off the core.
const RECOUNT_AT_ONCE_MAX: u64 = 64;
const PAGE_ENTRIES: u32 = 256;

/// How many messages of others a user has above `through`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recount {
    pub seated: Seated,
    pub user: UserId,
    conversation: Conversation,
    tail: Tail,
    pub through: ConversationSeq,
    /// The last that the user has.
    left: ConversationSeq,
    /// When it was asked for: what has come since is added.
    pub unread: u32,
    pub read: ConversationSeq,
}

impl Recount {
    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<u32, Unread> {
        let thread = Thread::Conversation(&self.conversation);
        let (mut after, mut unread) = (Seq(self.through.0), 0_u32);
        loop {
            let page = self.tail.page_after(view, thread, after, PAGE_ENTRIES, usize::MAX)?;
            let Some(last) = page.entries.last() else { return Ok(unread) };
            after = last.seq;
            let counts = page.entries.iter().filter(|entry| {
                let is_seen = ConversationSeq(entry.seq.0) <= self.left;
                is_seen && entry.message.fact.is_none() && entry.message.author != self.user
            });
            unread = unread.saturating_add(counts.count() as u32);
            if !page.has_more {
                return Ok(unread);
            }
        }
    }
}

impl<S: Storage> Shard<S> {
    pub(super) fn mark_read(
        &mut self,
        now: Millis,
        session: SessionId,
        tag: RequestTag,
        mark: &MarkRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let user = row.user.clone();
        let Some(seated) = self.state.resolve(&user, &mark.conversation) else {
            return self.refuse(session, tag, Refusal::ConversationNotExist, effects);
        };
        if !self.state.inboxes.bucket_of(&user).take(now, &self.settings.limits) {
            return self.refuse(session, tag, Refusal::SendTooFast, effects);
        }
        self.read_through(seated, &user, mark.through, effects);
        effects.push(Effect::Reply { session, tag, reply: Reply::Done });
    }

    /// The position is logged with what comes next; losing the last one leaves a few messages unread, no more.
    pub(super) fn read_through(
        &mut self,
        seated: Seated,
        user: &UserId,
        through: ConversationSeq,
        effects: &mut Vec<Effect>,
    ) {
        let row = self.state.conversations.at(seated.at);
        let seat = row.seats[seated.seat as usize];
        let newest = ConversationSeq(row.tail.seq.0).min(self.state.left_of(seated.at, &seat));
        let through = through.min(newest);
        if through <= seat.read {
            return;
        }
        let recount = Recount {
            seated,
            user: user.clone(),
            conversation: row.conversation.clone(),
            tail: row.tail,
            through,
            // What has not arrived in the inbox is counted when it does.
            left: seat.left.min(self.state.arrived_of(seated.at, seated.seat)),
            unread: seat.unread,
            read: seat.read,
        };
        if through == newest {
            return self.recounted(&recount, 0);
        }
        if newest.0 - through.0 <= RECOUNT_AT_ONCE_MAX
            && let Ok(unread) = recount.answer(self.journal.view(Patience::None))
        {
            return self.recounted(&recount, unread);
        }
        self.fetch_apart(Wanted::Recount(recount), effects);
    }

    /// Nobody else has moved the position meanwhile; what has come is unread.
    pub(super) fn recounted(&mut self, recount: &Recount, unread: u32) {
        let Recount { seated, user, conversation, through, .. } = recount;
        let seat = &mut self.state.conversations.at_mut(seated.at).seats[seated.seat as usize];
        if seat.read != recount.read {
            return;
        }
        let unread = unread.saturating_add(seat.unread.saturating_sub(recount.unread));
        let (user, conversation, through) = (user.clone(), conversation.clone(), *through);
        let record = Record::Read { user, conversation, through, unread };
        if self.journal.has_room(record.encoded_bytes()) {
            seat.mark_read(through, unread);
            self.journal.append_lazily(&record);
        }
    }
}
