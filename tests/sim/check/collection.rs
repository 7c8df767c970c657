//! What a fresh device collects at the end of a run: the whole inbox, the list of conversations, and their histories.

use crate::chance::Chance;
use crate::check::hidden::When;
use crate::client::frames::Protocol;
use crate::client::speech::{Ask, Channel, Edge, Row, Shown};
use crate::client::{Client, Expectation};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Collection {
    pub inbox: Vec<Shown>,
    has_whole_inbox: bool,
    pub rows: Vec<Row>,
    has_all_rows: bool,
    /// By conversation; only a protocol that tells every place is asked for them.
    pub histories: BTreeMap<String, Vec<Shown>>,
    /// By conversation: how far that is.
    reached: BTreeMap<String, u64>,
    whole_histories: BTreeSet<String>,
}

impl Collection {
    fn last_synced(&self) -> u64 {
        self.inbox.last().and_then(|entry| entry.seq).unwrap_or(0)
    }

    /// For a failure's message.
    pub fn so_far(&self) -> String {
        let Self { inbox, has_whole_inbox, rows, has_all_rows, histories, whole_histories, .. } = self;
        let (inbox, rows, histories) = (inbox.len(), rows.len(), histories.keys());
        format!("{inbox} {has_whole_inbox}, {rows} {has_all_rows}, {histories:?} of {whole_histories:?}")
    }

    pub fn take_page(&mut self, after: u64, entries: &[Shown], has_more: bool, may_drop: bool) {
        if after == self.last_synced() {
            // What was dropped meanwhile takes with it what stands below.
            if may_drop && entries.first().is_some_and(|first| first.seq > Some(after + 1)) {
                self.inbox.clear();
            }
            self.inbox.extend_from_slice(entries);
            self.has_whole_inbox = !has_more;
        }
    }

    pub fn take_rows(&mut self, rows: Vec<Row>, has_more: bool) {
        self.rows.extend(rows);
        self.has_all_rows = !has_more;
    }

    pub fn take_history(&mut self, conversation: &str, messages: &[Shown], reached: u64, has_more: bool) {
        self.reached.insert(conversation.to_owned(), reached);
        self.histories.entry(conversation.to_owned()).or_default().extend_from_slice(messages);
        if !has_more {
            self.whole_histories.insert(conversation.to_owned());
        }
    }
}

impl Client {
    pub fn has_collected(&self) -> bool {
        let Collection { has_whole_inbox, has_all_rows, rows, whole_histories, .. } = &self.collection;
        let has_histories = self.protocol != Protocol::Binary || rows.len() == whole_histories.len();
        *has_whole_inbox && *has_all_rows && has_histories
    }

    /// Asks for what is still missing; `None` when nothing is.
    pub fn collect(&mut self, now: When, chance: &mut Chance) -> Option<Vec<u8>> {
        self.moment = now;
        let collection = &self.collection;
        if !collection.has_whole_inbox {
            let after = collection.last_synced();
            // Now and then so few that all of them may have vanished.
            let limit = *chance.pick(&[1, 3, 50]);
            return Some(self.ask(&Ask::Sync { after, limit }, Expectation::Page { after }, chance));
        }
        if !collection.has_all_rows {
            let before = collection.rows.last().map_or(0, |row| row.last_seq);
            return Some(self.ask(&Ask::Conversations { before, limit: 3 }, Expectation::List, chance));
        }
        if self.protocol != Protocol::Binary {
            return None;
        }
        let mut rows = collection.rows.iter();
        let next = rows.find(|row| !collection.whole_histories.contains(&row.conversation))?;
        let from = Edge::After(collection.reached.get(&next.conversation).copied().unwrap_or(0));
        let of = Channel::of(&self.user, &next.conversation);
        let ask = Ask::History { of: of.clone(), from, limit: *chance.pick(&[1, 5, 40]) };
        Some(self.ask(&ask, Expectation::History { of, from }, chance))
    }
}
