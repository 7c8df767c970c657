//! The entries that a session has missed: those that its device had not acknowledged at the opening (PROTOCOL 3.14),
//! and those for which its outbox had no room. A cursor reads the inbox as the socket drains, until nothing is missed;
//! then entries are pushed live.
//!
//! Invariants: each entry after the session's start reaches its outbox once, in order, whatever arrives meanwhile; a
//! cursor never holds more than one page. The edge measures encoded bytes and drops pushes without room: the estimate
//! of a step's bytes decides only how much is read at once.

use crate::log::{Page, ReadMode, Storage, Unread};
use crate::model::{DeviceKey, Event, Room, Seq, SessionId, Sync, SyncDirection, UserId};
use crate::shard::core::context::Ctx;
use crate::shard::live::sessions::{CursorStep, OnEntry, Session, WaitsFor};
use crate::shard::query::fetch::ColdRead;
use crate::shard::query::sync::SyncQuery;
use crate::shard::{Effect, Shard};
use smallvec::smallvec;

/// One step may use this fraction of the outbox. A step begins when less than a quarter is queued, and may exceed its
/// share by a page of half its size.
const SHARES: usize = 8;
/// An estimate of a small entry's bytes.
const ENTRY_BYTES: usize = 512;
const PAGE_ENTRIES_MAX: usize = 64;
/// Entries that one turn examines, shown or not; the rest is read off the core.
const PASSED_AT_ONCE_MAX: usize = 256;

impl<S: Storage> Shard<S> {
    /// The seq after which a new session of the device begins: the device's delivered position, but not too far back.
    pub(in crate::shard) fn backlog_start(&self, user: &UserId, device: &DeviceKey, newest: Seq) -> Seq {
        let earliest = Seq(newest.0.saturating_sub(self.settings.limits.backlog_entries_max));
        let delivered = self.state.tables.inboxes.delivered(user, device).unwrap_or_default();
        delivered.max(earliest)
    }

    /// The outbox of a session that is behind has drained.
    pub(in crate::shard) fn drained(&mut self, ctx: &mut Ctx<'_>, session: SessionId) {
        let row = self.state.live.sessions.find_mut(session);
        if let Some(row) = row.filter(|row| row.cursor_waiting_for(WaitsFor::Socket).is_some()) {
            row.settle();
            self.resume_backlog(ctx, session, WaitsFor::Socket);
        }
    }

    /// The session's outbox had no room for its entries from `first` on; `own` are entries among them that the session
    /// sent itself.
    pub(in crate::shard) fn congested(
        &mut self,
        session: SessionId,
        first: Seq,
        own: &[Seq],
        effects: &mut Vec<Effect>,
    ) {
        let Some(row) = self.state.live.sessions.find_mut(session) else { return };
        if row.fall_back(first, own) {
            self.meters.stats.fell_behind += 1;
            effects.push(Effect::TellWhenDrained { session });
        }
    }

    /// Continues the session's cursor if it waits for `reason`.
    pub(in crate::shard) fn resume_backlog(&mut self, ctx: &mut Ctx<'_>, session: SessionId, reason: WaitsFor) {
        let row = self.state.live.sessions.find(session);
        if row.is_some_and(|row| row.cursor_waiting_for(reason).is_some()) {
            self.catch_up(ctx, session, 0);
        }
    }

    /// Does a step of the session's cursor; `pushed_bytes` of the step's share are used already.
    fn catch_up(&mut self, ctx: &mut Ctx<'_>, session: SessionId, mut pushed_bytes: usize) {
        let step_bytes = self.settings.limits.outbox_bytes_max / SHARES;
        let mut passed = 0;
        while let Some(question) = self.backlog_question(session, step_bytes) {
            let has_passed_all = self.state.live.sessions.find(session).is_some_and(Session::has_passed_all);
            if has_passed_all || pushed_bytes >= step_bytes {
                self.backlog_waits_for(session, WaitsFor::Socket);
                return ctx.effects.push(Effect::TellWhenDrained { session });
            }
            // The first page is read in any case.
            let found = match passed == 0 || passed < PASSED_AT_ONCE_MAX && !self.has_done_its_share() {
                true => question.answer(self.log.journal.view(ReadMode::None)),
                false => Err(Unread::Cold(question.tail.last)),
            };
            match found {
                Ok(page) => {
                    passed += page.entries.len();
                    pushed_bytes += self.push_page(ctx, session, &question, page);
                }
                Err(Unread::Cold(_)) => {
                    if let Some(row) = self.state.live.sessions.find_mut(session) {
                        row.wait_for_disk(pushed_bytes);
                    }
                    return self.fetch_backlog(session, ColdRead::Page(question), ctx.effects);
                }
                Err(Unread::Damaged(_)) => self.give_up_backlog(session),
            }
        }
    }

    /// The next page to read; `None` if the session is not behind, or gone.
    fn backlog_question(&self, session: SessionId, step_bytes: usize) -> Option<SyncQuery> {
        let row = self.state.live.sessions.find(session)?;
        let limit = (step_bytes / ENTRY_BYTES).clamp(1, PAGE_ENTRIES_MAX) as u32;
        let sync = Sync { direction: SyncDirection::After(row.cursor()?), limit };
        let tail = self.state.tables.inboxes.tail(&row.user);
        let room = Room { bytes_max: step_bytes / 2, sizing: row.sizing };
        Some(SyncQuery { user: row.user.clone(), tail, sync, entries_max: limit, room })
    }

    fn backlog_waits_for(&mut self, session: SessionId, what: WaitsFor) {
        if let Some(row) = self.state.live.sessions.find_mut(session) {
            row.wait_for(what);
        }
    }

    /// Continues with a page that was read off the core.
    pub(in crate::shard) fn backlog_read(
        &mut self,
        ctx: &mut Ctx<'_>,
        session: SessionId,
        question: &SyncQuery,
        page: Page,
    ) {
        let row = self.state.live.sessions.find(session);
        let asked_after = question.sync.direction;
        // A cursor that was set back meanwhile waits for another page.
        let is_awaited = |row: &&Session| {
            row.cursor_waiting_for(WaitsFor::Disk).is_some_and(|after| SyncDirection::After(after) == asked_after)
        };
        if let Some(row) = row.filter(is_awaited) {
            let before = row.pushed_bytes();
            let pushed_bytes = before + self.push_page(ctx, session, question, page);
            self.catch_up(ctx, session, pushed_bytes);
        }
    }

    /// Skips an unreadable backlog: the session continues with new entries, and a sync reports the error.
    pub(in crate::shard) fn give_up_backlog(&mut self, session: SessionId) {
        self.meters.stats.unreadable += 1;
        if let Some(row) = self.state.live.sessions.find_mut(session) {
            row.give_up();
        }
    }

    /// Pushes the acknowledged entries of the page that the session did not send itself. Returns an upper bound of
    /// their bytes.
    fn push_page(&mut self, ctx: &mut Ctx<'_>, session: SessionId, question: &SyncQuery, page: Page) -> usize {
        let covered = page_end(question, &page);
        let mut pushed_bytes = 0;
        for mut entry in page.entries {
            let Some(row) = self.state.live.sessions.find_mut(session) else { return pushed_bytes };
            let user_index = row.user_index;
            match row.pass(entry.seq) {
                CursorStep::TooEarly => break,
                CursorStep::Own => {
                    if let OnEntry::Delivered(position) = row.has_own(entry.seq) {
                        self.state.tables.inboxes.deliver(user_index, &row.device, position);
                    }
                    continue;
                }
                CursorStep::Push => {}
            }
            if !self.state.is_shown_to(ctx.now.wall, user_index, &entry.message)
                || self.state.is_cleared(user_index, &entry.message)
            {
                continue;
            }
            self.state.present_at_once(user_index, &mut entry);
            pushed_bytes += question.room.sizing.entry_bytes(&entry.message);
            if let Some(row) = self.state.live.sessions.find_mut(session) {
                row.pushes.pushed(&entry);
            }
            self.meters.stats.pushed += 1;
            let (user, sessions) = (question.user.clone(), smallvec![session]);
            ctx.effects.push(Effect::Push { user, sessions, event: Event::Entry(entry) });
        }
        if let Some(row) = self.state.live.sessions.find_mut(session) {
            row.pass_through(covered);
        }
        pushed_bytes
    }
}

/// The seq up to which the page covers the inbox: entries that it lacks below that are gone.
fn page_end(question: &SyncQuery, page: &Page) -> Seq {
    let SyncDirection::After(after) = question.sync.direction else { return Seq(0) };
    match page.entries.last() {
        _ if !page.has_more => question.tail.seq,
        Some(last) => last.seq,
        None => Seq(after.0 + u64::from(question.sync.limit)),
    }
}
