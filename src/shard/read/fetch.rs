//! Sends questions off the core to be read from a disk, and continues with their results. A session that asked is
//! paused meanwhile, so a session has at most one question, and order is kept.
//!
//! Invariant: a verb that continues with a result looks up its rows again.

use crate::log::{Damage, ReadMode, Storage, Unread};
use crate::model::{Conversation, MessageId, RequestTag, SessionId, ShardId, UserId};
use crate::shard::core::context::Ctx;
use crate::shard::peers::authored_send::AuthoredSend;
use crate::shard::peers::message::ConversationRequest;
use crate::shard::peers::pending_requests::Requester;
use crate::shard::query::fetch::{ColdRead, Fetch, FetchOwner, FetchResult, Fetched, Lookup};
use crate::shard::query::recount::Recount;
use crate::shard::rows::index::ConversationIndex;
use crate::shard::{Effect, ExternalEffect, Shard, State};

impl State {
    /// `None` if this shard has no such conversation.
    pub(in crate::shard) fn lookup(&self, conversation: &Conversation, ids: Vec<MessageId>) -> Option<Lookup> {
        Some(self.lookup_at(self.find_row(conversation)?, ids))
    }

    pub(in crate::shard) fn lookup_at(&self, at: ConversationIndex, ids: Vec<MessageId>) -> Lookup {
        Lookup { at, conversation: self.conversation_at(at), tail: self.tables.conversations.at(at).tail.tail(), ids }
    }
}

impl<S: Storage> Shard<S> {
    pub(in crate::shard) fn fetch(
        &mut self,
        session: SessionId,
        tag: RequestTag,
        wanted: ColdRead,
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let user = row.user.clone();
        effects.push(Effect::Pause { session });
        self.order(user, FetchOwner::Session(session, tag), wanted, effects);
    }

    /// Reads for the requester, session or order.
    pub(in crate::shard) fn fetch_for(
        &mut self,
        waiter: Requester,
        user: &UserId,
        wanted: ColdRead,
        effects: &mut Vec<Effect>,
    ) {
        match waiter {
            Requester::Session { session, tag } => self.fetch(session, tag, wanted, effects),
            Requester::Order { ticket, .. } => self.order(user.clone(), FetchOwner::Order(ticket), wanted, effects),
            Requester::Nobody => {}
        }
    }

    /// Reads for a session that is behind.
    pub(in crate::shard) fn fetch_backlog(&mut self, session: SessionId, wanted: ColdRead, effects: &mut Vec<Effect>) {
        let Some(row) = self.state.live.sessions.find(session) else { return };
        let user = row.user.clone();
        self.order(user, FetchOwner::Backlog(session), wanted, effects);
    }

    /// Reads for a request, which waits for its answer in any case.
    pub(in crate::shard) fn fetch_for_request(
        &mut self,
        from: ShardId,
        request: ConversationRequest,
        wanted: ColdRead,
        effects: &mut Vec<Effect>,
    ) {
        self.order(request.author().clone(), FetchOwner::Request(from, request), wanted, effects);
    }

    /// Reads for a recount, for which nobody waits.
    pub(in crate::shard) fn fetch_recount(&mut self, recount: Recount, effects: &mut Vec<Effect>) {
        self.order(recount.user.clone(), FetchOwner::Nobody, ColdRead::Recount(recount), effects);
    }

    /// Whether the user may have one more read for which none of its sessions is paused.
    pub(in crate::shard) fn may_fetch_apart(&self, user: &UserId) -> bool {
        self.state.reads.apart.may_begin(user)
    }

    fn order(&mut self, user: UserId, whose: FetchOwner, wanted: ColdRead, effects: &mut Vec<Effect>) {
        self.meters.stats.fetched += 1;
        if whose.is_apart() {
            self.state.reads.apart.begin(&user);
        }
        let first_segment = self.log.journal.segments().start;
        let fetch = Box::new(Fetch { user, whose, end: self.log.journal.end(), first_segment, wanted });
        effects.push(Effect::External(ExternalEffect::Fetch(fetch)));
    }

    pub(in crate::shard) fn fetched(&mut self, ctx: &mut Ctx<'_>, fetched: Fetched) {
        let Fetched { fetch: Fetch { user, whose, wanted, first_segment, .. }, found } = fetched;
        if whose.is_apart() {
            self.state.reads.apart.end(&user);
        }
        if self.is_overtaken(first_segment, &found) {
            return self.order(user, whose, wanted.anew(), ctx.effects);
        }
        match whose {
            FetchOwner::Session(session, tag) => {
                if self.state.live.sessions.find(session).is_some() {
                    ctx.effects.push(Effect::Resume { session });
                    self.fetched_for_requester(ctx, (Requester::Session { session, tag }, user), wanted, found);
                }
            }
            FetchOwner::Order(ticket) => {
                if let ColdRead::First { .. } = wanted {
                    self.state.reads.author_lines.end(ticket, &user);
                }
                self.fetched_for_requester(ctx, (Requester::order(ticket), user), wanted, found);
            }
            FetchOwner::Backlog(session) => match (wanted, found) {
                (ColdRead::Page(question), Ok(FetchResult::Page(page))) => {
                    self.backlog_read(ctx, session, &question, page);
                }
                _ => self.give_up_backlog(session),
            },
            FetchOwner::Request(from, request) => self.fetched_for_request(ctx, from, request, found),
            FetchOwner::Nobody => {
                let ColdRead::Recount(recount) = wanted else { return };
                let counted = found.map(|found| if let FetchResult::Count(counted) = found { counted } else { 0 });
                self.recounted(&recount, counted, ctx.effects);
            }
        }
    }

    /// Whether retention has dropped during the read what was read or was to be read: then the question is repeated on
    /// the remaining log. A record that is gone is no damage, and of a message that is gone nobody knows any more that
    /// it was revoked or consumed.
    fn is_overtaken(&self, first_segment: u32, found: &Result<FetchResult, Unread>) -> bool {
        match found {
            Ok(found) => {
                let has_dropped = self.log.journal.segments().start > first_segment;
                has_dropped && found.has_older_than(self.state.segments.marks_from)
            }
            Err(Unread::Damaged(Damage { position })) => self.log.journal.view(ReadMode::None).is_gone(*position),
            Err(Unread::Cold(_)) => false,
        }
    }

    fn fetched_for_requester(
        &mut self,
        ctx: &mut Ctx<'_>,
        (waiter, user): (Requester, UserId),
        wanted: ColdRead,
        found: Result<FetchResult, Unread>,
    ) {
        match (wanted, found) {
            (ColdRead::Page(question), Ok(FetchResult::Page(page))) => {
                self.page_read(ctx, waiter, question, page);
            }
            (ColdRead::First { position, send, authority }, Ok(FetchResult::First(record))) => {
                let sent = AuthoredSend { author: user, send: *send, authority };
                self.first_read(ctx, waiter, (position, sent), record);
            }
            (ColdRead::History(question), Ok(FetchResult::History(page))) => {
                self.reply_history(ctx, waiter, &question, page);
            }
            (ColdRead::List(question), Ok(FetchResult::List(rows))) => {
                self.reply_conversations(ctx, waiter, &question, rows);
            }
            (ColdRead::Search(search), Ok(FetchResult::Found(found))) => {
                self.searched(ctx, waiter, (user, search), found);
            }
            (ColdRead::Receipt(lookup, receipt), Ok(FetchResult::Messages(found))) => {
                self.receipt_found(ctx, waiter, lookup.at, *receipt, &found);
            }
            _ => self.refuse_damaged(waiter, ctx.effects),
        }
    }
}
