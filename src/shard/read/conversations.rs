//! The list of a user's conversations: those with the newest entries first, each with its last message.

use crate::log::{ReadMode, Storage, Unread};
use crate::model::{Conversations, MessageId, Millis, Refusal, Reply, RequestTag, Room, Seq, SessionId, UserId};
use crate::shard::core::context::Ctx;
use crate::shard::peers::pending_requests::Requester;
use crate::shard::query::fetch::ColdRead;
use crate::shard::query::list::{ListQuestion, ListRow, ListedRow};
use crate::shard::query::list_search::ListSearch;
use crate::shard::rows::index::UserIndex;
use crate::shard::rows::seat::{SeatAt, Seated};
use crate::shard::{Effect, Shard, Ticket};

/// A list visits all of a user's seats, so it is charged one more query for each of this many seats.
const SEATS_A_QUERY: usize = 4_096;
/// Seats that one turn looks at.
const SEATS_A_TURN: usize = 8_192;

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn conversations(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        tag: RequestTag,
        list: Conversations,
    ) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let user_index = row.user_index;
        let seats = self.state.tables.inboxes.seat_words_of(user_index);
        if !self.may_query_for(ctx.now, user_index, 1 + (seats / SEATS_A_QUERY) as u32) {
            return self.refuse(session, tag, Refusal::SendTooFast, ctx.effects);
        }
        let listing = ListSearch::new(Requester::Session { session, tag }, user_index, list, seats);
        self.begin_listing(ctx, listing);
    }

    /// The same for an order: what the user would be shown.
    pub(in crate::shard) fn show_conversations(
        &mut self,
        ctx: &mut Ctx<'_>,
        ticket: Ticket,
        user: &UserId,
        list: Conversations,
    ) {
        let waiter = Requester::order(ticket);
        let Some(user_index) = self.state.tables.inboxes.find(user) else {
            return self.refuse_requester(waiter, Refusal::UserNotExist, ctx.effects);
        };
        let seats = self.state.tables.inboxes.seat_words_of(user_index);
        self.begin_listing(ctx, ListSearch::new(waiter, user_index, list, seats));
    }

    fn begin_listing(&mut self, ctx: &mut Ctx<'_>, mut listing: ListSearch) {
        if self.list_some(&mut listing) {
            return self.answer_listing(ctx, listing);
        }
        if let Some(session) = listing.waiter.session() {
            ctx.effects.push(Effect::Pause { session });
        }
        self.state.reads.listings.push_back(listing);
    }

    pub(in crate::shard) fn has_listings(&self) -> bool {
        !self.state.reads.listings.is_empty()
    }

    /// A turn's share of the lists of users who have very many conversations; they take turns.
    pub(in crate::shard) fn continue_listings(&mut self, ctx: &mut Ctx<'_>) {
        let Some(mut listing) = self.state.reads.listings.pop_front() else { return };
        let session = listing.waiter.session();
        if session.is_some_and(|session| self.state.live.sessions.find(session).is_none()) {
            return;
        }
        if self.list_some(&mut listing) {
            ctx.effects.extend(session.map(|session| Effect::Resume { session }));
            return self.answer_listing(ctx, listing);
        }
        self.state.reads.listings.push_back(listing);
    }

    /// Looks at some seats; whether those were the last.
    fn list_some(&self, listing: &mut ListSearch) -> bool {
        let seats = self.state.tables.inboxes.seats_before(listing.user_index, listing.words_left);
        let has_cleared = self.state.tables.cleared.has(listing.user_index);
        let mut words_left = 0;
        for (looked_at, (seat, words)) in seats.enumerate() {
            if looked_at == SEATS_A_TURN {
                break;
            }
            words_left = words;
            let seated = Seated { at: seat.conversation, seat: seat.seat };
            if has_cleared && self.state.is_left_out(listing.user_index, seated) {
                continue;
            }
            listing.look_at(self.state.tables.conversations.at(seat.conversation).seat(seat.seat).last, seat);
        }
        self.state.rows_visited.count((listing.words_left - words_left).min(SEATS_A_TURN));
        listing.words_left = words_left;
        listing.prune();
        words_left == 0
    }

    fn answer_listing(&mut self, ctx: &mut Ctx<'_>, listing: ListSearch) {
        let (waiter, user_index) = (listing.waiter.clone(), listing.user_index);
        let room = match waiter.session() {
            Some(session) => {
                let Some(row) = self.state.live.sessions.find(session) else { return };
                self.answer_room(row)
            }
            None => self.order_room(),
        };
        let question = self.list_question(ctx.now.wall, (user_index, room), listing.finish());
        match question.answer(self.log.journal.view(ReadMode::None)) {
            Ok(rows) => self.reply_conversations(ctx, waiter, &question, rows),
            Err(Unread::Damaged(_)) => self.refuse_damaged(waiter, ctx.effects),
            Err(Unread::Cold(_)) => {
                let user = question.user.clone();
                self.fetch_for(waiter, &user, ColdRead::List(question), ctx.effects);
            }
        }
    }

    fn list_question(
        &self,
        now: Millis,
        (user, room): (UserIndex, Room),
        (newest, has_more): (Vec<(Seq, SeatAt)>, bool),
    ) -> ListQuestion {
        let row = |(last, SeatAt { conversation, seat }): &(Seq, SeatAt)| {
            let row = self.state.tables.conversations.at(*conversation);
            let seated = Seated { at: *conversation, seat: *seat };
            let newest = self.state.seen_through(seated);
            let seat = row.seat(*seat);
            ListRow {
                conversation: row.conversation(&self.state.tables.inboxes),
                tail: row.tail.tail(),
                joined: self.state.first_shown(seated),
                newest,
                unread: seat.unread.into(),
                read: seat.read.min(newest),
                last: *last,
            }
        };
        let rows = newest.iter().map(row).collect();
        ListQuestion { rows, has_more, room, user: self.state.tables.inboxes.user_at(user).clone(), now }
    }

    pub(in crate::shard) fn reply_conversations(
        &mut self,
        ctx: &mut Ctx<'_>,
        waiter: Requester,
        question: &ListQuestion,
        rows: Vec<ListedRow>,
    ) {
        let Some(user_index) = self.state.tables.inboxes.find(&question.user) else { return };
        let has_more = question.has_more || rows.len() < question.rows.len();
        let is_consumed = |message: &&MessageId| self.state.tables.consumed.contains(&question.user, **message);
        let shown = |ListedRow { mut row, once }| {
            row.unread = row.unread.saturating_sub(once.iter().filter(is_consumed).count() as u64);
            row.name = self.state.name_for(user_index, &row.conversation);
            row.last = row.last.take().and_then(|mut entry| {
                let is_shown = self.state.present(ctx.now.wall, user_index, &mut entry);
                is_shown.then_some(entry)
            });
            row
        };
        let rows = rows.into_iter().map(shown).collect();
        let reply = Reply::Conversations { rows, has_more };
        self.answer_page(ctx, self.log.newest_record, waiter, reply);
    }
}
