//! The lists of conversations that users have in the end.

use crate::check::oracle::{End, Oracle};
use crate::client::speech::{Kind, Row, SYSTEM, Shown};
use std::collections::BTreeSet;

/// In a conversation of so few messages a list looks at all of them, whatever their size.
const LOOKED_AT_SURELY: u64 = 30;

impl Oracle<'_> {
    /// The list has every conversation once, with its newest entry, and counts what was not read.
    pub(super) fn check_rows(&self, end: &End) {
        let rows = &end.json.rows;
        let strip = |row: &Row| Row { last: row.last.as_ref().map(Shown::bare), ..row.clone() };
        let (one, other): (Vec<Row>, Vec<Row>) =
            (rows.iter().map(strip).collect(), end.binary.rows.iter().map(strip).collect());
        assert!(one == other || !self.is_whole, "two protocols, two lists of {}: {one:?}, {other:?}", end.user);
        for row in rows {
            let (through, is_deleted) = self.hidden_from(&end.user, &row.conversation);
            let is_left_out = is_deleted && row.newest_seq <= through;
            assert!(!is_left_out, "{} has deleted what is listed: {row:?}", end.user);
            let of = end.json.inbox.iter().filter(|entry| entry.conversation == row.conversation);
            let entries: Vec<&Shown> = of.collect();
            let newest = entries.iter().filter_map(|entry| entry.seq).max();
            // The newest entry may have vanished; its place stays.
            let is_vanished = newest.is_none_or(|newest| newest < row.last_seq) && !self.lacked_in(end, row).is_empty();
            let is_newest = newest == Some(row.last_seq) || !self.is_whole && newest.is_none() || is_vanished;
            assert!(is_newest, "{} has {row:?}, and {newest:?}", end.user);
            let is_unread = |entry: &&&Shown| {
                let place = entry.conversation_seq.expect("this protocol tells it");
                entry.author != end.user && place > row.read_through
            };
            let messages = entries.iter().filter(|entry| entry.kind.is_message());
            // What is not shown any more is left out, as far back as a list looks for it.
            let vanished = self.lacked_in(end, row);
            let is_unread_place = |(author, place): &&(String, u64)| *author != end.user && *place > row.read_through;
            let vanished = vanished.iter().filter(is_unread_place).count();
            let unread = messages.filter(is_unread).count() as u64;
            let most = if row.newest_seq <= LOOKED_AT_SURELY { unread } else { unread + vanished as u64 };
            let marked = self.ledger.marks.get(&(end.user.clone(), row.conversation.clone()));
            let is_forgotten = marked.is_some_and(|marked| *marked > row.read_through);
            assert!(!is_forgotten, "{} marked {marked:?}: {row:?}", end.user);
            let is_right = row.unread >= unread && (!self.is_whole || row.unread <= most);
            assert!(is_right, "{} has {unread} unread: {row:?}", end.user);
            if self.is_whole && !self.timelines[&row.conversation].is_holed {
                self.check_last(end, row);
            }
        }
        let listed: BTreeSet<&str> = rows.iter().map(|row| row.conversation.as_str()).collect();
        assert_eq!(listed.len(), rows.len(), "a conversation is listed twice");
        for entry in &end.json.inbox {
            let conversation = entry.conversation.as_str();
            // Where the change is lost that let a user in, what it wrote may have come back all the same.
            // Who asks to join a group is not in it, nor need be in whose name the operator writes.
            let is_asking = matches!(entry.kind, Kind::Joining { .. }) || entry.client_id.starts_with(SYSTEM);
            let is_outside = self.timelines[conversation].is_holed && !self.logs.has_joined(&end.user, conversation);
            let may_be_out = is_outside || is_asking || self.hidden_from(&end.user, conversation).1;
            assert!(listed.contains(conversation) || may_be_out, "{} has {entry:?}, not listed", end.user);
        }
    }

    /// Authors and places of what the user has no more in a conversation, since it is in it.
    fn lacked_in(&self, end: &End, row: &Row) -> Vec<(String, u64)> {
        let Some(lacked) = self.lacked.get(&end.user).filter(|lacked| !lacked.is_empty()) else { return Vec::new() };
        let timeline = &self.timelines[&row.conversation];
        let places = self.places_of(&row.conversation).into_iter().filter(|(id, _)| lacked.contains(id));
        places.map(|(id, place)| (timeline.entries[&id].author.clone(), place)).collect()
    }

    fn check_last(&self, end: &End, row: &Row) {
        let vanished = self.lacked_in(end, row).into_iter().map(|(_, place)| place).max();
        let (through, _) = self.hidden_from(&end.user, &row.conversation);
        if vanished == Some(row.newest_seq) || through > 0 && row.newest_seq <= through {
            return assert!(row.last.is_none(), "the last of {row:?} of {} is over", end.user);
        }
        let history = end.binary.histories.get(&row.conversation).map(Vec::as_slice).unwrap_or_default();
        let newest = history.last();
        let (id, place) = (newest.map(|last| last.message), newest.and_then(|last| last.conversation_seq));
        assert_eq!(row.last.as_ref().map(|last| last.message), id, "the last of {row:?} of {}", end.user);
        assert_eq!(row.newest_seq, place.unwrap_or(0), "the newest of {row:?} of {}", end.user);
    }
}
