//! Recounts unread messages: all seats of a conversation in one walk back from its newest message.
//!
//! Invariant: the count depends only on messages: those of other users in the conversation's thread that the seat sees
//! and has not read, without those still under way to it.

use crate::log::{PageBounds, Segments, Tail, Thread, Unread, View};
use crate::model::{Conversation, ConversationSeq, Entry, Position, Room, Seq, Sizing};
use crate::shard::State;
use crate::shard::audit::examined::Examined;
use crate::shard::audit::findings::{Findings, Promise, Violation};
use crate::shard::rows::index::{ConversationIndex, UserIndex};
use crate::shard::rows::packed_row::ConversationFields;
use crate::shard::rows::seat::Membership;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

const PAGE_ENTRIES: u32 = 256;
const PAGE_ROOM: Room = Room { bytes_max: 4 << 20, sizing: Sizing::Verbatim };

/// A walk back through the messages of one conversation in one log.
pub(in crate::shard) struct ConversationWalk<'a, S> {
    view: View<'a, S>,
    conversation: Conversation,
    tail: Tail,
    before: Seq,
    /// Ascending.
    page: Vec<Entry>,
    is_at_end: bool,
}

impl<'a, S: Segments> ConversationWalk<'a, S> {
    pub fn new(view: View<'a, S>, row: &ConversationFields) -> Self {
        let (conversation, tail) = (row.conversation.clone(), row.tail);
        Self { view, conversation, tail, before: Seq(0), page: Vec::new(), is_at_end: false }
    }

    /// The next older message.
    pub fn next(&mut self) -> Result<Option<Entry>, Unread> {
        if self.page.is_empty() && !self.is_at_end {
            let thread = Thread::Conversation(&self.conversation);
            let bounds = PageBounds { entries_max: PAGE_ENTRIES, room: PAGE_ROOM };
            let page = self.tail.page_before(self.view, thread, self.before, bounds)?;
            let oldest = page.entries.first().map(|entry| entry.seq);
            self.is_at_end = !page.has_more || oldest.is_none_or(|oldest| oldest <= Seq(1));
            self.before = oldest.unwrap_or(self.before);
            self.page = page.entries;
        }
        Ok(self.page.pop())
    }
}

/// The first and the last unread place of a seat.
#[derive(Clone, Copy)]
struct SeatSpan {
    from: u64,
    through: u64,
}

impl SeatSpan {
    fn of(seat: &Membership, newest: Seq) -> Self {
        let from = seat.read.0.saturating_add(1).max(seat.joined.0).max(1);
        Self { from, through: seat.left.0.min(newest.0) }
    }

    fn is_empty(self) -> bool {
        self.from > self.through
    }

    fn holds(self, seq: ConversationSeq) -> bool {
        (self.from..=self.through).contains(&seq.0)
    }
}

/// The places that the walk has passed, the messages among them, and one user's own messages among these.
#[derive(Clone, Copy, Default)]
struct PassedCounts {
    places: u64,
    messages: u64,
    own: u64,
}

/// The unread span of one seat, while the walk has not passed its beginning.
struct UnreadSpan {
    seat: u32,
    span: SeatSpan,
    user: UserIndex,
    /// The counts when the walk reached the end of the span.
    before: PassedCounts,
    /// The counts within the span.
    within: PassedCounts,
}

/// Where the walk enters or leaves a span.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Enters,
    Leaves,
}

impl<S: Segments> Examined<'_, S> {
    /// Recounts every seat of every conversation.
    pub(in crate::shard) fn recount(&self, findings: &mut Findings, advance: &dyn Fn(u64)) {
        for (at, row) in self.state.rows() {
            let mut open = Vec::new();
            for (number, seat) in (0..).zip(&row.seats) {
                if !findings.wants(self.state.tables.inboxes.user_at(seat.user)) {
                    continue;
                }
                findings.tally.seats += 1;
                let span = SeatSpan::of(seat, row.tail.seq);
                if !span.is_empty() {
                    let (before, within) = Default::default();
                    open.push(UnreadSpan { seat: number, span, user: seat.user, before, within });
                } else if seat.unread > 0 {
                    self.break_count(findings, &row, seat, 0);
                }
            }
            if !open.is_empty() {
                self.recount_row(at, &row, open, findings);
            }
            advance(1);
        }
    }

    fn recount_row(
        &self,
        at: ConversationIndex,
        row: &ConversationFields,
        mut open: Vec<UnreadSpan>,
        findings: &mut Findings,
    ) {
        let mut walk = ConversationWalk::new(self.view(), row);
        if let Err(why) = count(&self.state, &mut walk, &mut open) {
            return self.break_walk(findings, row, why);
        }
        let coming: Vec<_> =
            self.state.groups.fan_out.under_way(at).filter(|(message, _)| message.fact.is_none()).collect();
        for UnreadSpan { seat: number, span, user, within, .. } in open {
            let seat = &row.seats[number as usize];
            let is_coming = |(message, next): &&(&crate::model::Message, u32)| {
                let is_own = message.author == *self.state.tables.inboxes.user_at(user);
                number >= *next && !is_own && span.holds(message.conversation_seq)
            };
            let counted = within.messages - within.own - coming.iter().filter(is_coming).count() as u64;
            let mut missing = span.through - span.from + 1 - within.places;
            if self.is_whole() {
                // Only places that the log records as missing may be missing.
                let conversation_key = self.state.identity.fingerprints.of_conversation(&row.conversation);
                missing = missing.min(self.missing_between(conversation_key, span.from, span.through));
            }
            findings.tally.bounded_seats += u64::from(missing > 0);
            if !(counted..=counted + missing).contains(&u64::from(seat.unread)) {
                self.break_count(findings, row, seat, counted);
            }
        }
    }

    fn break_count(&self, findings: &mut Findings, row: &ConversationFields, seat: &Membership, counted: u64) {
        let user = self.state.tables.inboxes.user_at(seat.user);
        let name = row.conversation.default_name();
        let (unread, read) = (seat.unread, seat.read);
        findings.add(Violation {
            promise: Promise::Unread,
            shard: self.me,
            position: row.tail.last,
            user: Some(user.clone()),
            conversation: Some(row.conversation.clone()),
            seq: seat.last.0,
            why: format!("{unread} unread messages in {name} are stored, but {counted} follow place {read}"),
        });
    }

    pub(in crate::shard) fn break_walk(&self, findings: &mut Findings, row: &ConversationFields, why: Unread) {
        let position = match why {
            Unread::Damaged(damage) => damage.position,
            Unread::Cold(position) => position,
        };
        let why = format!("its thread ends early: {why}");
        self.break_order(findings, row, OrderBreach { promise: Promise::Link, seq: Seq(0), position, why });
    }

    pub(in crate::shard) fn break_order(
        &self,
        findings: &mut Findings,
        row: &ConversationFields,
        OrderBreach { promise, seq, position, why }: OrderBreach,
    ) {
        let conversation = Some(row.conversation.clone());
        findings.add(Violation { promise, shard: self.me, position, user: None, conversation, seq: seq.0, why });
    }
}

/// A fault in a conversation's thread of one log, and its place.
pub(in crate::shard) struct OrderBreach {
    pub promise: Promise,
    pub seq: Seq,
    pub position: Position,
    pub why: String,
}

/// Walks back through all spans, and notes the counts at the edges of each.
fn count<S: Segments>(
    state: &State,
    walk: &mut ConversationWalk<'_, S>,
    open: &mut [UnreadSpan],
) -> Result<(), Unread> {
    let mut edges: Vec<(u64, Edge, usize)> = Vec::with_capacity(2 * open.len());
    for (at, UnreadSpan { span, .. }) in open.iter().enumerate() {
        edges.push((span.through, Edge::Enters, at));
        edges.push((span.from - 1, Edge::Leaves, at));
    }
    edges.sort_unstable();
    let mut passed = PassedCounts::default();
    let mut own: HashMap<UserIndex, u64, FixedState> = HashMap::with_hasher(FixedState::with_seed(0));
    while !edges.is_empty() {
        let entry = walk.next()?;
        let reached = entry.as_ref().map_or(0, |entry| entry.seq.0);
        while let Some((_, edge, at)) = edges.pop_if(|(bound, ..)| *bound >= reached) {
            let span = &mut open[at];
            let here = PassedCounts { own: own.get(&span.user).copied().unwrap_or_default(), ..passed };
            match edge {
                Edge::Enters => span.before = here,
                Edge::Leaves => span.within = here.since(span.before),
            }
        }
        let Some(entry) = entry else { return Ok(()) };
        passed.places += 1;
        if entry.message.fact.is_none() {
            passed.messages += 1;
            if let Some(author) = state.tables.inboxes.find(&entry.message.author) {
                *own.entry(author).or_default() += 1;
            }
        }
    }
    Ok(())
}

impl PassedCounts {
    fn since(self, before: Self) -> Self {
        Self {
            places: self.places - before.places,
            messages: self.messages - before.messages,
            own: self.own - before.own,
        }
    }
}
