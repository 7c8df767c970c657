//! `mushan log verify`: checks whether every log opens, and how much of it is valid.

use crate::cli::log::selection::{LogSelection, entries, progress};
use crate::log::{Inspection, LogEnd, Record, Segments, Side, inspect};
use crate::model::{Conversation, Seq, ShardId, UserId};
use crate::server::{Archive, ArchivedLog, Watched};
use crate::shard::RewriteError;
use crate::terminal::failure::Failure;
use crate::terminal::print::print;
use crate::terminal::progress::Progress;
use serde::Serialize;
use std::collections::HashMap;

/// Check every record of every log
///
/// A torn tail is the rest of unacknowledged bytes after a crash: the next start cuts it. Damage is acknowledged data
/// whose bytes have changed: the server refuses to start on it, and the exit status is 3. A hole in an inbox has status
/// 3, too. Entries that a repair or a reshard recorded as missing are listed, and are no damage. Logs that disagree
/// about deliveries between shards have status 3: the next start restores what one of them still has. So does a log that
/// holds what the shard had lost when a later run began: the next start refuses it.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: LogSelection,
    /// Print one JSON object per shard
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct VerifyVerdict {
    shard: u16,
    records: u64,
    epoch: u64,
    /// The end of the valid records.
    segment: u32,
    offset: u32,
    tail_bytes: u64,
    /// `None`: the log is sound.
    damage: Option<String>,
    /// The log is of another format version: why this program cannot read it.
    other_version: Option<String>,
    /// Inboxes with a hole in their seqs.
    holes: Vec<Hole>,
    /// Ranges of seqs that the log itself records as missing: a repair lost them, or retention dropped them before the
    /// log was rewritten.
    known_gaps: Vec<Gap>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Gap {
    user: String,
    from: u64,
    through: u64,
}

/// The first hole in an inbox's seqs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Hole {
    user: String,
    expected: u64,
    found: u64,
}

impl VerifyVerdict {
    fn is_sound(&self) -> bool {
        self.damage.is_none() && self.other_version.is_none() && self.holes.is_empty()
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let archive = arguments.place.open()?;
    let (mut unsound, mut of_others) = (0, 0);
    let (mut lanes, mut ends) = (Vec::new(), Vec::new());
    for shard in archive.shards() {
        let (verdict, own) = verdict(&archive, shard, arguments);
        ends.extend(own.end);
        lanes.push(own);
        match verdict.other_version {
            Some(_) => of_others += 1,
            None => unsound += u32::from(!verdict.is_sound()),
        }
        let json = || serde_json::to_string(&verdict).expect("numbers and texts always encode");
        print(&if arguments.json { json() } else { sentence(&verdict) })?;
    }
    let disagreements = if unsound + of_others == 0 { disagreements(&lanes) } else { Vec::new() };
    for found in &disagreements {
        let json = || serde_json::json!({ "disagreement": found }).to_string();
        print(&if arguments.json { json() } else { format!("DISAGREEMENT: {found}") })?;
    }
    // A log that cannot be read has no end to be compared.
    if ends.len() == lanes.len()
        && let Err(error) = archive.expect_history(&ends)
    {
        return Err(Failure::with_status(Failure::DISK, format!("the next start refuses this: {error}")));
    }
    let shards = archive.manifest.shards;
    let what = match (unsound, of_others) {
        (0, 0) if disagreements.is_empty() => return Ok(()),
        (0, 0) => "the logs disagree: the next start restores what one of them still has".to_owned(),
        (0, _) => format!("{of_others} of {shards} logs were written by another version of mushan: use that version"),
        _ => format!("{unsound} of {shards} logs are damaged; see `mushan log repair`"),
    };
    Err(Failure::with_status(Failure::DISK, what))
}

fn verdict(archive: &Archive, shard: ShardId, arguments: &Arguments) -> (VerifyVerdict, Lanes) {
    let damaged = |damage| VerifyVerdict { shard: shard.0, damage: Some(damage), ..VerifyVerdict::default() };
    let log = match archive.log(shard) {
        Ok(log) => log,
        Err(error) => return (damaged(error.to_string()), Lanes::default()),
    };
    let progress = if arguments.json { Progress::none() } else { progress(shard, &log) };
    let (mut verdict, lanes) = judge(shard, &log, &progress);
    drop(progress);
    if verdict.damage.is_none() && verdict.other_version.is_none() {
        match archive.expect_checkpointed(shard, &log) {
            Ok(()) => {}
            Err(RewriteError::Log(error)) if error.is_of_another_version() => {
                verdict.other_version = Some(error.to_string());
            }
            Err(error) => verdict.damage = Some(error.to_string()),
        }
    }
    (verdict, lanes)
}

fn judge(shard: ShardId, log: &ArchivedLog, progress: &Progress) -> (VerifyVerdict, Lanes) {
    let advance = |bytes| progress.advance(bytes);
    let mut inboxes = InboxHoles { goes_back_to_first: log.segments().start == 1, ..InboxHoles::default() };
    let mut lanes = Lanes { goes_back_to_first: inboxes.goes_back_to_first, ..Lanes::default() };
    let inspected = inspect(&Watched::new(log, &advance), shard, |_, record| {
        inboxes.take(&record);
        lanes.take(&record);
    });
    let (holes, known_gaps) = inboxes.into_findings();
    let verdict = VerifyVerdict { shard: shard.0, holes, known_gaps, ..VerifyVerdict::default() };
    let verdict = match inspected {
        Err(error) if error.is_of_another_version() => {
            VerifyVerdict { other_version: Some(error.to_string()), ..verdict }
        }
        Err(error) => VerifyVerdict { damage: Some(error.to_string()), ..verdict },
        Ok(inspection @ Inspection { end, epoch, records, tail_bytes, damage, .. }) => {
            lanes.end = Some(inspection.log_end());
            VerifyVerdict {
                records,
                epoch,
                segment: end.segment(),
                offset: end.offset(),
                tail_bytes,
                damage: damage.map(|damage| damage.to_string()),
                ..verdict
            }
        }
    };
    (verdict, lanes)
}

/// A log's newest delivery numbers, by the other shard.
#[derive(Default)]
struct Lanes {
    /// `None` in a log that cannot be read.
    end: Option<LogEnd>,
    /// Nothing was dropped from the beginning of the log, so a number that it does not contain is 0.
    goes_back_to_first: bool,
    sent: HashMap<ShardId, u64>,
    confirmed: HashMap<ShardId, u64>,
    taken: HashMap<ShardId, u64>,
    /// The newest place of each conversation in this log, and a description of the first one that is not ascending.
    places: HashMap<Conversation, Seq>,
    backward: Option<String>,
}

impl Lanes {
    fn take(&mut self, record: &Record) {
        let reach = |numbers: &mut HashMap<ShardId, u64>, shard, number: u64| {
            let newest = numbers.entry(shard).or_default();
            *newest = number.max(*newest);
        };
        match record {
            Record::Posted { deliveries, .. } => {
                deliveries.iter().for_each(|it| reach(&mut self.sent, it.target, it.number));
            }
            Record::Delivered { source, number, .. } => reach(&mut self.taken, *source, *number),
            Record::Forgone { source, through } => reach(&mut self.taken, *source, *through),
            Record::Confirmed { target, through } => {
                reach(&mut self.sent, *target, *through);
                reach(&mut self.confirmed, *target, *through);
            }
            _ => {}
        }
        if let Some((message, links)) = record.message()
            && let Some(link) = links.iter().find(|link| link.side == Side::Conversation)
        {
            self.take_place(&message.conversation, link.seq);
        }
    }

    fn take_place(&mut self, conversation: &Conversation, seq: Seq) {
        let before = match self.places.get_mut(conversation) {
            Some(newest) => std::mem::replace(newest, seq.max(*newest)),
            None => {
                self.places.insert(conversation.clone(), seq);
                return;
            }
        };
        if seq <= before && self.backward.is_none() {
            let name = conversation.default_name();
            self.backward = Some(format!("{name} has place {seq} after place {before}: a repair is needed"));
        }
    }

    /// The newest number; `None` if retention may have dropped the record that contained it.
    fn number(&self, numbers: &HashMap<ShardId, u64>, shard: ShardId) -> Option<u64> {
        numbers.get(&shard).copied().or(self.goes_back_to_first.then_some(0))
    }
}

/// Deliveries that one log knows of and the other does not: the other has lost its end, by a power cut or an older
/// copy.
fn disagreements(lanes: &[Lanes]) -> Vec<String> {
    let mut found: Vec<String> = lanes.iter().filter_map(|log| log.backward.clone()).collect();
    for (from, sender) in (0..).map(ShardId).zip(lanes) {
        for (to, receiver) in (0..).map(ShardId).zip(lanes).filter(|(to, _)| *to != from) {
            let Some(taken) = receiver.number(&receiver.taken, from) else { continue };
            if let Some(sent) = sender.number(&sender.sent, to).filter(|sent| *sent < taken) {
                found.push(format!("shard {to} has delivery {taken} of shard {from}, whose log ends with {sent}"));
            }
            if let Some(confirmed) = sender.confirmed.get(&to).filter(|confirmed| **confirmed > taken) {
                found.push(format!(
                    "shard {from} has a confirmation of delivery {confirmed} to shard {to}, whose log ends with {taken}"
                ));
            }
        }
    }
    found
}

/// The newest seq of every inbox, and its first hole.
#[derive(Default)]
struct InboxHoles {
    /// Nothing was dropped from the beginning of the log, so seqs begin with 1.
    goes_back_to_first: bool,
    newest: HashMap<UserId, Seq>,
    holes: HashMap<UserId, Hole>,
    known_gaps: Vec<Gap>,
}

impl InboxHoles {
    fn take(&mut self, record: &Record) {
        if let Record::Fanned { links, .. } = record {
            return links.iter().for_each(|member| self.take_entry(&member.user, member.link.seq));
        }
        if let Record::Inbox { user, seq } = record {
            return self.take_gap(user, *seq);
        }
        let (Record::Posted { message, links, .. }
        | Record::Delivered { message, links, .. }
        | Record::Carried { message, links }) = record
        else {
            return;
        };
        for (user, seq) in entries(message, links) {
            self.take_entry(user, seq);
        }
    }

    /// Notes that all seqs up to `seq` are recorded as missing.
    fn take_gap(&mut self, user: &UserId, seq: Seq) {
        let newest = match self.newest.get_mut(user) {
            Some(newest) => Some(std::mem::replace(newest, seq.max(*newest))),
            None => {
                self.newest.insert(user.clone(), seq);
                self.goes_back_to_first.then_some(Seq(0))
            }
        };
        if let Some(newest) = newest.filter(|newest| *newest < seq) {
            self.known_gaps.push(Gap { user: user.as_str().to_owned(), from: newest.0 + 1, through: seq.0 });
        }
    }

    fn take_entry(&mut self, user: &UserId, seq: Seq) {
        let expected = match self.newest.get_mut(user) {
            Some(newest) => std::mem::replace(newest, seq).0.saturating_add(1),
            None => {
                self.newest.insert(user.clone(), seq);
                if self.goes_back_to_first { 1 } else { seq.0 }
            }
        };
        if seq.0 != expected && !self.holes.contains_key(user) {
            let hole = Hole { user: user.as_str().to_owned(), expected, found: seq.0 };
            self.holes.insert(user.clone(), hole);
        }
    }

    fn into_findings(mut self) -> (Vec<Hole>, Vec<Gap>) {
        let mut holes: Vec<Hole> = self.holes.into_values().collect();
        holes.sort();
        self.known_gaps.sort();
        (holes, self.known_gaps)
    }
}

fn sentence(verdict: &VerifyVerdict) -> String {
    let VerifyVerdict { shard, records, epoch, segment, offset, tail_bytes, damage, other_version, holes, known_gaps } =
        verdict;
    if let Some(why) = other_version {
        return format!("shard {shard}: NOT READ: {why}");
    }
    if let Some(damage) = damage {
        return format!("shard {shard}: DAMAGED: {damage}; {records} records are sound{}", told(holes));
    }
    let tail = match tail_bytes {
        0 => String::new(),
        bytes => format!(", then a torn tail of {bytes} unacknowledged bytes"),
    };
    let word = if holes.is_empty() { "sound" } else { "HOLES" };
    let place = format!("to segment {segment} offset {offset}");
    let gap = |it: &Gap| {
        format!(
            "\n  the inbox of {} lacks seqs {} to {}; the log records that, it is no damage",
            it.user, it.from, it.through
        )
    };
    let gaps: String = known_gaps.iter().map(gap).collect();
    format!("shard {shard}: {word}: {records} records, epoch {epoch}, {place}{tail}{}{gaps}", told(holes))
}

fn told(holes: &[Hole]) -> String {
    holes
        .iter()
        .map(|Hole { user, expected, found }| {
            format!("\n  the inbox of {user} has seq {found} where {expected} is expected")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{MemberLink, Side, ThreadLink};
    use crate::model::Position;

    fn holes_of(goes_back_to_first: bool, seqs: &[(&str, u64)]) -> Vec<(String, u64, u64)> {
        let mut inboxes = InboxHoles { goes_back_to_first, ..InboxHoles::default() };
        for (user, seq) in seqs {
            inboxes.take_entry(&UserId::new(user).unwrap(), Seq(*seq));
        }
        let (holes, _) = inboxes.into_findings();
        holes.into_iter().map(|hole| (hole.user, hole.expected, hole.found)).collect()
    }

    #[test]
    fn what_the_log_says_is_missing_is_no_hole() {
        let alice = UserId::new("alice").unwrap();
        for (goes_back_to_first, first_gap) in [(true, Some((1, 4))), (false, None)] {
            let mut inboxes = InboxHoles { goes_back_to_first, ..InboxHoles::default() };
            inboxes.take_gap(&alice, Seq(4));
            (5..8).for_each(|seq| inboxes.take_entry(&alice, Seq(seq)));
            inboxes.take_gap(&alice, Seq(9));
            inboxes.take_gap(&alice, Seq(8));
            inboxes.take_entry(&alice, Seq(10));
            let (holes, gaps) = inboxes.into_findings();
            let expected: Vec<_> = first_gap.into_iter().chain([(8, 9)]).collect();
            assert_eq!(holes, []);
            assert_eq!(gaps.iter().map(|gap| (gap.from, gap.through)).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn the_first_hole_of_each_inbox_is_told() {
        let seqs = [("a", 1), ("b", 1), ("a", 2), ("b", 3), ("a", 3), ("b", 5), ("c", 1), ("c", 1)];
        assert_eq!(holes_of(true, &seqs), [("b".to_owned(), 2, 3), ("c".to_owned(), 2, 1)]);
    }

    #[test]
    fn members_have_their_entries_where_they_are_fanned_out() {
        let (previous, skip) = (Position::NONE, Position::NONE);
        let link = |seq| ThreadLink { side: Side::Peer, seq: Seq(seq), previous, skip, is_away: false };
        let member = |id, seq| MemberLink { user: UserId::new(id).unwrap(), link: link(seq) };
        let mut inboxes = InboxHoles { goes_back_to_first: true, ..InboxHoles::default() };
        let of = Position::new(1, 64);
        inboxes.take(&Record::Fanned { of, links: vec![member("a", 1), member("b", 1)] });
        inboxes.take(&Record::Fanned { of, links: vec![member("a", 2), member("b", 3)] });
        let (holes, _) = inboxes.into_findings();
        assert_eq!(holes, [Hole { user: "b".to_owned(), expected: 2, found: 3 }]);
    }

    #[test]
    fn logs_that_know_more_of_each_other_than_they_say_themselves_do_not_agree() {
        let confirmed = |target, through| Record::Confirmed { target: ShardId(target), through };
        let forgone = |source, through| Record::Forgone { source: ShardId(source), through };
        let log = |goes_back_to_first, records: &[Record]| {
            let mut lanes = Lanes { goes_back_to_first, ..Lanes::default() };
            records.iter().for_each(|record| lanes.take(record));
            lanes
        };
        let count = |logs: &[Lanes]| disagreements(logs).len();
        assert_eq!(count(&[log(true, &[confirmed(1, 3)]), log(true, &[forgone(0, 3)])]), 0);
        assert_eq!(
            count(&[log(true, &[confirmed(1, 3)]), log(true, &[forgone(0, 2)])]),
            1,
            "the receiver lost its end"
        );
        assert_eq!(count(&[log(true, &[confirmed(1, 3)]), log(true, &[forgone(0, 4)])]), 1, "the sender lost its end");
        assert_eq!(count(&[log(true, &[]), log(true, &[forgone(0, 4)])]), 1, "the sender lost all of it");
        assert_eq!(count(&[log(false, &[]), log(true, &[forgone(0, 4)])]), 0, "it may have been dropped");
    }

    #[test]
    fn a_conversation_whose_places_go_back_is_told() {
        let mut lanes = Lanes::default();
        let pair = Conversation::pair(UserId::new("a").unwrap(), UserId::new("b").unwrap());
        (1..=3).for_each(|seq| lanes.take_place(&pair, Seq(seq)));
        assert!(lanes.backward.is_none());
        lanes.take_place(&pair, Seq(3));
        assert!(lanes.backward.is_some());
    }

    #[test]
    fn seqs_begin_with_1_unless_old_segments_were_dropped() {
        assert_eq!(holes_of(true, &[("a", 7)]), [("a".to_owned(), 1, 7)]);
        assert_eq!(holes_of(false, &[("a", 7), ("a", 8)]), []);
    }
}
