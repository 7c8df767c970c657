//! Streams as everybody's inboxes have them together: numbered from 1 without a gap, in the conversation's order, and
//! ended once, by the author or in its name.

use crate::check::ledger::Ledger;
use crate::check::timeline::Timeline;
use crate::client::speech::{Channel, Chunk, STREAM_END, group_of};
use crate::world::loss::Remains;
use crate::world::operator::Operator;
use std::collections::BTreeMap;

/// The flag of what begins a stream, and of what ends it; between them all are 1.
const FIRST: u64 = 0;
const LAST: u64 = 2;

/// A whole conversation.
pub fn check((conversation, timeline): (&str, &Timeline), ledger: &Ledger, operator: &Operator, logs: &Remains) {
    let mut streams: BTreeMap<(&str, &str), Vec<&Chunk>> = BTreeMap::new();
    let mut ends: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (id, entry) in &timeline.entries {
        // What all have cleared only the logs still tell.
        if let Some(chunk) = ledger.chunks.get(id).or_else(|| logs.chunk(*id)) {
            streams.entry((&entry.author, &chunk.stream)).or_default().push(chunk);
        }
        if entry.client_id.starts_with(STREAM_END) {
            *ends.entry((&entry.author, &entry.client_id)).or_default() += 1;
        }
    }
    let twice = ends.iter().find(|(_, times)| **times > 1);
    assert!(twice.is_none(), "a stream of {conversation} was ended twice: {twice:?}");
    for ((author, stream), chunks) in streams {
        let to = Channel::of(author, conversation);
        // What was declined leaves a gap. An end that was declined, as its author may not write, is not tried again:
        // the next stream of that name begins anew.
        let is_sure = group_of(conversation).is_none() && ledger.fills == 0 && !ledger.is_closed && ledger.losses == 0;
        let is_sure =
            is_sure && !ledger.is_rated && !matches!(&to, Channel::Person(peer) if operator.may_hide(peer, author));
        check_numbers(&chunks, is_sure, &|| format!("{stream:?} of {author} in {conversation}: {chunks:?}"));
        let has_ended = chunks.last().is_none_or(|last| last.flag == LAST);
        assert!(has_ended || !is_sure, "without an end: {stream:?} of {author} in {conversation}: {chunks:?}");
    }
}

fn check_numbers(chunks: &[&Chunk], is_sure: bool, what: &dyn Fn() -> String) {
    let mut before = 0;
    for chunk in chunks {
        let expected = before + 1;
        let is_next = chunk.number == expected || !is_sure && (chunk.number > expected || chunk.number == 1);
        assert!(is_next, "{} instead of {expected} in {}", chunk.number, what());
        let flag_is_right = chunk.flag == LAST || (chunk.flag == FIRST) == (chunk.number == 1);
        assert!(flag_is_right, "{} marked as {} in {}", chunk.number, chunk.flag, what());
        before = if chunk.flag == LAST { 0 } else { chunk.number };
    }
}
