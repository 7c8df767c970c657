//! A user's position in a conversation moves: what stands behind it, of others, is unread.
//!
//! Invariant: the position never goes back, and `unread` is what a recount finds.

use super::fetch::Wanted;
use super::resolve::Seated;
use super::{Effect, Shard, State};
use crate::log::{Patience, Record, Segments, Storage, Tail, Thread, Unread, View};
use crate::model::{
    Conversation, ConversationSeq, MarkRead, Moment, Refusal, Reply, RequestTag, Seq, SessionId, UserId,
};

/// So many messages are recounted in a turn; more are recounted off the core.
const RECOUNT_AT_ONCE_MAX: u64 = 64;
const PAGE_ENTRIES: u32 = 256;
/// A record of a user's position with the longest ids, header and padding included.
pub(super) const READ_RECORD_BYTES_MAX: usize = 256;

/// How many messages of others a user has above `through`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recount {
    pub seated: Seated,
    pub user: UserId,
    conversation: Conversation,
    tail: Tail,
    pub through: ConversationSeq,
    /// The last that the user sees by now.
    newest: ConversationSeq,
    /// When it was asked for: what has come since is added.
    pub unread: u32,
    pub read: ConversationSeq,
}

impl Recount {
    /// All that a seat has not read, in a thread that is not its shard's own.
    pub fn of(state: &State, seated: Seated, tail: Tail) -> Self {
        let (conversation, seat) = state.seated(seated);
        Self {
            seated,
            user: state.inboxes.user_at(seat.user).clone(),
            conversation,
            tail,
            through: seat.read.max(ConversationSeq(seat.joined.0.saturating_sub(1))),
            newest: seat.left,
            unread: seat.unread,
            read: seat.read,
        }
    }

    pub fn answer<S: Segments>(&self, view: View<'_, S>) -> Result<u32, Unread> {
        let thread = Thread::Conversation(&self.conversation);
        let (mut after, mut unread) = (Seq(self.through.0), 0_u32);
        loop {
            let page = self.tail.page_after(view, thread, after, PAGE_ENTRIES, usize::MAX)?;
            let Some(last) = page.entries.last() else { return Ok(unread) };
            after = last.seq;
            let counts = page.entries.iter().filter(|entry| {
                let is_seen = ConversationSeq(entry.seq.0) <= self.newest;
                is_seen && entry.message.fact.is_none() && entry.message.author != self.user
            });
            unread = unread.saturating_add(counts.count() as u32);
            if !page.has_more || after.0 >= self.newest.0 {
                return Ok(unread);
            }
        }
    }
}

impl<S: Storage> Shard<S> {
    pub(super) fn mark_read(
        &mut self,
        now: Moment,
        session: SessionId,
        tag: RequestTag,
        mark: &MarkRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.sessions.find(session) else { return };
        let (user, place) = (row.user.clone(), row.place);
        let Some(seated) = self.state.resolve(&user, &mark.conversation) else {
            return self.refuse(session, tag, Refusal::ConversationNotExist, effects);
        };
        if !self.state.inboxes.allowance_at(place, now).sends.take(now.steady, &self.settings.limits) {
            return self.refuse(session, tag, Refusal::SendTooFast, effects);
        }
        if !self.journal.has_room(READ_RECORD_BYTES_MAX) {
            return self.refuse(session, tag, Refusal::StorageFull, effects);
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
        let seat = row.seat(seated.seat);
        let newest = self.state.seen_through(seated);
        let through = through.min(newest);
        if through <= seat.read {
            return;
        }
        let recount = Recount {
            seated,
            user: user.clone(),
            conversation: row.conversation(&self.state.inboxes),
            tail: row.tail.tail(),
            through,
            newest,
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
        let seat = self.state.conversations.at(seated.at).seat(seated.seat);
        if seat.read != recount.read {
            return;
        }
        let unread = unread.saturating_add(seat.unread.saturating_sub(recount.unread));
        let (user, conversation, through) = (user.clone(), conversation.clone(), *through);
        let record = Record::Read { user, conversation, through, unread };
        debug_assert!(record.encoded_bytes() <= READ_RECORD_BYTES_MAX, "ids are bounded");
        if self.journal.has_room(record.encoded_bytes()) {
            self.state.change_seat(seated.at, seated.seat, |seat| seat.mark_read(through, unread));
            self.journal.append_lazily(&record);
        }
    }
}
