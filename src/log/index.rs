//! Finds an inbox's entries through the log itself: RAM per user is one `Tail`, whatever its history.

use super::{Damage, Journal, Link, Side, Storage};
use crate::model::{Entry, Position, Seq, UserId};

/// The newest end of one inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    pub seq: Seq,
    pub last: Position,
}

/// Some entries of an inbox, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub entries: Vec<Entry>,
    pub has_more: bool,
}

impl Tail {
    /// The link that the next entry is to carry.
    pub fn next_link(&self, _side: Side) -> Link {
        todo!()
    }

    /// The entry that carries `link` stands at `position`.
    pub fn advance(&mut self, _link: Link, _position: Position) {
        todo!()
    }

    /// At most `limit` entries above `after`, and at most `bytes_max` of content but at least one entry.
    pub fn page_after<S: Storage>(
        &self,
        _journal: &Journal<S>,
        _user: &UserId,
        _after: Seq,
        _limit: u32,
        _bytes_max: usize,
    ) -> Result<Page, Damage> {
        todo!()
    }

    /// At most `limit` entries just below `before` (`Seq(0)`: from the newest), ascending.
    pub fn page_before<S: Storage>(
        &self,
        _journal: &Journal<S>,
        _user: &UserId,
        _before: Seq,
        _limit: u32,
        _bytes_max: usize,
    ) -> Result<Page, Damage> {
        todo!()
    }
}
