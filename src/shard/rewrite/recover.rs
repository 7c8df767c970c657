//! Finds the entries that a damaged log has lost and another log still has: the other side of a pair's message, which
//! was delivered to or from that log. Determines whose entries they were, and their seqs.
//!
//! Pure. Invariants: an entry that its log still has is never found again; an entry gets its old seq only if that is
//! certain, so a seq never stands for another message than before; entries that retention has dropped stay dropped.

use crate::log::{Record, Segments, Side};
use crate::model::{Conversation, ConversationSeq, Message, MessageId, Millis, Position, Seq, UserId};
use crate::shard::replay::apply::user_on;
use crate::shard::rewrite::source_log::{Lost, RewriteError, SourceShard, index_of};
use crate::shard::table::fingerprint::{Fingerprint, Fingerprints};
use crate::shard::{Placement, ShardSettings};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use std::collections::{BTreeMap, VecDeque};

/// The log and the position of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) struct RecordLocation {
    pub log: usize,
    pub position: Position,
}

/// An entry that another log still has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::shard) struct Recovered {
    pub user: UserId,
    pub side: Side,
    pub place: RecordLocation,
    /// Its old seq, if that is certain.
    pub seq: Option<Seq>,
    /// Orders entries without a seq.
    time: (Millis, MessageId),
}

/// The entries that are restored from other logs, and those that are lost.
#[derive(Debug, Default)]
pub struct Recovery {
    /// By user, ascending.
    pub(in crate::shard) at_old_seqs: BTreeMap<UserId, VecDeque<Recovered>>,
    /// Ordered by time.
    pub(in crate::shard) at_new_seqs: Vec<Recovered>,
    /// Seqs that no log has.
    pub lost: Vec<Lost>,
}

/// The number of restored entries of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Entries that get their old seqs.
    pub at_old_seqs: u64,
    /// Entries whose old seqs are uncertain; they are appended at new ones.
    pub at_new_seqs: u64,
}

impl Recovery {
    /// Searches all logs for what the damaged ones have lost. Reads nothing if none is damaged.
    ///
    /// # Errors
    ///
    /// A record that was sound cannot be read.
    pub fn find<S: Segments>(
        settings: &ShardSettings,
        sources: &[SourceShard],
        logs: &[S],
    ) -> Result<Self, RewriteError> {
        if !sources.iter().any(SourceShard::is_damaged) {
            return Ok(Self::default());
        }
        let mut search = Search::new(settings, sources);
        for (log, source) in sources.iter().enumerate() {
            let view = source.view(&logs[log]);
            for position in &source.messages {
                search.look_at(RecordLocation { log, position: *position }, &view.read(*position)?);
            }
        }
        let mut recovery = Self::default();
        for (at, found) in search.found.into_iter().enumerate() {
            let chart = Chart::draw(&sources[at], &logs[at], &search.fingerprints, &found)?;
            recovery.sort_in(&sources[at], &chart, found);
        }
        recovery.at_new_seqs.sort_by_key(|it| it.time);
        Ok(recovery)
    }

    /// The restored entries, by user.
    pub fn restored(&self) -> BTreeMap<&UserId, Restored> {
        let mut restored: BTreeMap<&UserId, Restored> = BTreeMap::new();
        for (user, entries) in &self.at_old_seqs {
            restored.entry(user).or_default().at_old_seqs += entries.len() as u64;
        }
        for entry in &self.at_new_seqs {
            restored.entry(&entry.user).or_default().at_new_seqs += 1;
        }
        restored
    }

    fn sort_in(&mut self, source: &SourceShard, chart: &Chart, found: Vec<Candidate>) {
        let mut lost = source.lost.clone();
        let mut by_user: BTreeMap<UserId, Vec<Candidate>> = BTreeMap::new();
        for candidate in found {
            by_user.entry(candidate.entry.user.clone()).or_default().push(candidate);
        }
        for (user, candidates) in by_user {
            let inbox = &chart.inboxes[&user];
            let gaps: Vec<Lost> = lost.iter().filter(|it| it.user == user).cloned().collect();
            let mut by_gap: BTreeMap<usize, Vec<Candidate>> = BTreeMap::new();
            for candidate in inbox.without_dropped(source, chart, (&user, &gaps), candidates) {
                match inbox.gap_of(chart, &gaps, &candidate) {
                    Some(gap) => by_gap.entry(gap).or_default().push(candidate),
                    None => self.at_new_seqs.push(candidate.entry),
                }
            }
            for (gap, candidates) in by_gap {
                self.fill(&gaps[gap], candidates, &mut lost);
            }
        }
        self.lost.append(&mut lost);
    }

    /// Assigns seqs to the candidates of a gap. If there are as many as the gap has seqs, and their order is known,
    /// their seqs are certain.
    fn fill(&mut self, gap: &Lost, mut candidates: Vec<Candidate>, lost: &mut Vec<Lost>) {
        let seqs = gap.through.0 - gap.from.0 + 1;
        if candidates.len() as u64 != seqs || !sort_if_certain(&mut candidates) {
            return self.at_new_seqs.extend(candidates.into_iter().map(|it| it.entry));
        }
        let entries = candidates.into_iter().zip(gap.from.0..).map(|(candidate, seq)| {
            let mut entry = candidate.entry;
            entry.seq = Some(Seq(seq));
            entry
        });
        self.at_old_seqs.entry(gap.user.clone()).or_default().extend(entries);
        lost.retain(|it| it != gap);
    }
}

/// An entry that its user's log lacks.
#[derive(Debug)]
struct Candidate {
    entry: Recovered,
    conversation: (Fingerprint, ConversationSeq),
    /// The number of the delivery between its log and the other one.
    chain_number: Option<(DeliveryChain, u64)>,
}

/// The deliveries from or to another log: both are numbered, and in that order in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DeliveryChain {
    From(usize),
    To(usize),
}

/// Sorts candidates if their order is certain: an inbox has the messages of one conversation in their order, and those
/// of one lane in the order of their numbers.
fn sort_if_certain(candidates: &mut [Candidate]) -> bool {
    let Some(first) = candidates.first() else { return true };
    let (conversation, lane) = (first.conversation.0, first.chain_number.map(|(lane, _)| lane));
    if candidates.iter().all(|it| it.conversation.0 == conversation) {
        candidates.sort_by_key(|it| it.conversation.1);
        return true;
    }
    candidates.sort_by_key(|it| it.chain_number);
    lane.is_some() && candidates.iter().all(|it| it.chain_number.map(|(lane, _)| lane) == lane)
}

struct Search<'a> {
    sources: &'a [SourceShard],
    placement: Placement,
    fingerprints: Fingerprints,
    /// The newest delivery that `target` (the first index) had received from `source`.
    taken: Vec<Vec<u64>>,
    /// Candidates, by the log that lacks them.
    found: Vec<Vec<Candidate>>,
    seen: [HashSet<MessageId, FixedState>; 2],
}

impl<'a> Search<'a> {
    fn new(settings: &ShardSettings, sources: &'a [SourceShard]) -> Self {
        let none = || HashSet::with_hasher(FixedState::with_seed(settings.seed));
        Self {
            sources,
            placement: settings.placement,
            fingerprints: Fingerprints::new(settings.fingerprint_seed),
            taken: sources.iter().map(SourceShard::taken).collect(),
            found: sources.iter().map(|_| Vec::new()).collect(),
            seen: [none(), none()],
        }
    }

    fn look_at(&mut self, place: RecordLocation, record: &Record) {
        let Some((message, _)) = record.message() else { return };
        if !matches!(message.conversation, Conversation::Pair(..)) {
            return;
        }
        for side in [Side::Author, Side::Peer] {
            let Some(user) = user_on(side, message) else { continue };
            if side == Side::Peer && *user == message.author {
                continue;
            }
            let home = usize::from(self.placement.owner_of(user).0);
            let source = &self.sources[home];
            let chain_number = chain_number_of(record, home, place.log);
            // A delivery that was never received is still unconfirmed, and is completed as such.
            let taken = self.taken[home][place.log];
            let is_undelivered =
                chain_number.is_some_and(|(lane, number)| matches!(lane, DeliveryChain::From(_)) && number > taken);
            let is_there = !source.is_damaged() || source.left[index_of(side)].contains(&message.id);
            if is_there || is_undelivered || !self.seen[index_of(side)].insert(message.id) {
                continue;
            }
            let candidate = self.candidate(place, message, side, user, chain_number);
            self.found[home].push(candidate);
        }
    }

    fn candidate(
        &self,
        place: RecordLocation,
        message: &Message,
        side: Side,
        user: &UserId,
        chain_number: Option<(DeliveryChain, u64)>,
    ) -> Candidate {
        let time = (message.server_time, message.id);
        Candidate {
            entry: Recovered { user: user.clone(), side, place, seq: None, time },
            conversation: (self.fingerprints.of_conversation(&message.conversation), message.conversation_seq),
            chain_number,
        }
    }
}

/// The number of the delivery by which the message of a record in log `here` went to log `home`, or came from it.
fn chain_number_of(record: &Record, home: usize, here: usize) -> Option<(DeliveryChain, u64)> {
    match record {
        Record::Posted { deliveries, .. } => {
            let delivery = deliveries.iter().find(|it| usize::from(it.target.0) == home)?;
            Some((DeliveryChain::From(here), delivery.number))
        }
        Record::Delivered { source, number, .. } if usize::from(source.0) == home => {
            Some((DeliveryChain::To(here), *number))
        }
        _ => None,
    }
}

/// What a damaged log still has of incomplete inboxes, and of deliveries from and to other logs.
struct Chart {
    inboxes: HashMap<UserId, Inbox, FixedState>,
    /// The remaining numbers of each lane, with their records.
    chain_numbers: BTreeMap<(DeliveryChain, u64), Position>,
    oldest: Option<Millis>,
}

#[derive(Default)]
struct Inbox {
    /// Ascending.
    entries: Vec<(Position, Seq)>,
    conversations: BTreeMap<(Fingerprint, ConversationSeq), Seq>,
    oldest: Option<Millis>,
}

impl Chart {
    fn draw<S: Segments>(
        source: &SourceShard,
        log: &S,
        fingerprints: &Fingerprints,
        found: &[Candidate],
    ) -> Result<Self, RewriteError> {
        let inboxes = HashMap::with_hasher(FixedState::with_seed(0));
        let mut chart = Self { inboxes, chain_numbers: BTreeMap::new(), oldest: None };
        if found.is_empty() {
            return Ok(chart);
        }
        for candidate in found {
            chart.inboxes.entry(candidate.entry.user.clone()).or_default();
        }
        for position in &source.messages {
            chart.add(*position, &source.view(log).read(*position)?, fingerprints);
        }
        Ok(chart)
    }

    fn add(&mut self, position: Position, record: &Record, fingerprints: &Fingerprints) {
        if let Record::Delivered { source, number, .. } = record {
            self.chain_numbers.insert((DeliveryChain::From(usize::from(source.0)), *number), position);
        }
        if let Record::Posted { deliveries, .. } = record {
            let lanes = deliveries.iter().map(|it| (DeliveryChain::To(usize::from(it.target.0)), it.number));
            self.chain_numbers.extend(lanes.map(|chain_number| (chain_number, position)));
        }
        let Some((message, links)) = record.message() else { return };
        self.oldest = self.oldest.or(Some(message.server_time));
        for link in links {
            let Some(inbox) = user_on(link.side, message).and_then(|user| self.inboxes.get_mut(user)) else { continue };
            inbox.entries.push((position, link.seq));
            let conversation_key = fingerprints.of_conversation(&message.conversation);
            inbox.conversations.insert((conversation_key, message.conversation_seq), link.seq);
            inbox.oldest = inbox.oldest.or(Some(message.server_time));
        }
    }
}

impl Inbox {
    fn first(&self) -> Option<Seq> {
        self.entries.first().map(|(_, seq)| *seq)
    }

    /// Without candidates that retention may have dropped: those older than everything that is left. If nothing shows
    /// the age, the newest candidates are taken as lost, up to the number of lost seqs.
    fn without_dropped(
        &self,
        source: &SourceShard,
        chart: &Chart,
        (user, gaps): (&UserId, &[Lost]),
        mut candidates: Vec<Candidate>,
    ) -> Vec<Candidate> {
        let oldest = match self.first() {
            Some(_) => self.oldest,
            None if !gaps.is_empty() => None,
            None if source.scan_counts.knows(user) => Some(Millis(u64::MAX)),
            None => chart.oldest.filter(|_| !source.is_whole()),
        };
        let (Some(oldest), false) = (oldest, self.reaches_start(gaps)) else { return candidates };
        let before = gaps.iter().find(|gap| Some(gap.through.next()) == self.first());
        let mut room = before.map_or(0, |gap| gap.through.0 - gap.from.0 + 1);
        candidates.sort_by_key(|it| std::cmp::Reverse(it.entry.time));
        candidates.retain(|candidate| {
            let is_older = candidate.entry.time.0 < oldest;
            let is_kept = !is_older || room > 0;
            room -= u64::from(is_older && is_kept);
            is_kept
        });
        candidates
    }

    /// Whether every seq from the first one on is there or known to be lost.
    fn reaches_start(&self, gaps: &[Lost]) -> bool {
        self.first() == Some(Seq(1)) || gaps.iter().any(|gap| gap.from == Seq(1))
    }

    /// The gap to which the entry must have belonged, if there is only one.
    fn gap_of(&self, chart: &Chart, gaps: &[Lost], candidate: &Candidate) -> Option<usize> {
        let (above, below) = self.bounds(chart, candidate);
        let below = below?;
        if above == Seq(0) && !self.reaches_start(gaps) {
            return None;
        }
        let mut fitting = (0..gaps.len()).filter(|at| gaps[*at].from > above && gaps[*at].through < below);
        fitting.next().filter(|_| fitting.next().is_none())
    }

    /// The entries before and after the lost one, by its conversation and by its delivery number.
    fn bounds(&self, chart: &Chart, candidate: &Candidate) -> (Seq, Option<Seq>) {
        let (conversation_key, at) = candidate.conversation;
        let before =
            self.conversations.range((conversation_key, ConversationSeq(0))..(conversation_key, at)).next_back();
        let after =
            self.conversations.range((conversation_key, at)..=(conversation_key, ConversationSeq(u64::MAX))).next();
        let mut above = before.map_or(Seq(0), |(_, seq)| *seq);
        let mut below = after.map(|(_, seq)| *seq);
        if let Some((lane, number)) = candidate.chain_number {
            if let Some((_, position)) = chart.chain_numbers.range((lane, 0)..(lane, number)).next_back() {
                let until = self.entries.partition_point(|(it, _)| it <= position);
                above = above.max(self.entries[..until].last().map_or(Seq(0), |(_, seq)| *seq));
            }
            if let Some((_, position)) = chart.chain_numbers.range((lane, number)..=(lane, u64::MAX)).next() {
                let from = self.entries.partition_point(|(it, _)| it < position);
                below = self.entries.get(from).map(|(_, seq)| *seq).into_iter().chain(below).min();
            }
        }
        (above, below)
    }
}
