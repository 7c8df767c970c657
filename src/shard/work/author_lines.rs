//! Sends that the operator ordered, while an earlier one of the same author is looked up on the disk: they wait, so that
//! an author's orders keep their order.
//!
//! Invariants: an order waits exactly while one with a smaller ticket is looked up, or waits itself; an author without
//! either has no line. Orders under way are bounded, and so is what waits here.

use crate::model::UserId;
use crate::shard::peers::authored_send::AuthoredSend;
use crate::shard::peers::ticket::Ticket;
use std::collections::{BTreeMap, VecDeque};

#[derive(Default)]
pub(in crate::shard) struct AuthorLines {
    lines: BTreeMap<UserId, AuthorLine>,
    /// Authors whose first waiting order may go on.
    ready: VecDeque<UserId>,
}

#[derive(Default)]
struct AuthorLine {
    /// Orders whose client id is looked up; mostly one.
    looked_up: Vec<Ticket>,
    waiting: BTreeMap<Ticket, AuthoredSend>,
}

impl AuthorLine {
    /// The first that waits, unless an earlier one is looked up.
    fn may_go_on(&self) -> bool {
        let first = self.waiting.keys().next();
        first.is_some_and(|first| self.looked_up.iter().all(|looked_up| looked_up > first))
    }

    fn is_before(&self, ticket: Ticket) -> bool {
        let is_earlier = |other: &Ticket| *other < ticket;
        self.looked_up.iter().any(is_earlier) || self.waiting.keys().next().is_some_and(is_earlier)
    }
}

impl AuthorLines {
    pub fn must_wait(&self, ticket: Ticket, author: &UserId) -> bool {
        !self.lines.is_empty() && self.lines.get(author).is_some_and(|line| line.is_before(ticket))
    }

    pub fn wait(&mut self, ticket: Ticket, ordered: AuthoredSend) {
        self.lines.entry(ordered.author.clone()).or_default().waiting.insert(ticket, ordered);
    }

    /// The client id of this order is looked up on the disk.
    pub fn begin(&mut self, ticket: Ticket, author: &UserId) {
        self.lines.entry(author.clone()).or_default().looked_up.push(ticket);
    }

    /// It has been looked up. The order itself goes on at once, those that wait for it in later turns.
    pub fn end(&mut self, ticket: Ticket, author: &UserId) {
        let Some(line) = self.lines.get_mut(author) else { return };
        line.looked_up.retain(|other| *other != ticket);
        if line.may_go_on() {
            self.ready.push_back(author.clone());
        } else if line.waiting.is_empty() && line.looked_up.is_empty() {
            self.lines.remove(author);
        }
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes an order that has waited; authors take turns.
    pub fn next(&mut self) -> Option<(Ticket, AuthoredSend)> {
        loop {
            let author = self.ready.pop_front()?;
            // Another order of the author may be looked up by now.
            let Some(line) = self.lines.get_mut(&author).filter(|line| line.may_go_on()) else { continue };
            let taken = line.waiting.pop_first();
            if line.may_go_on() {
                self.ready.push_back(author);
            } else if line.waiting.is_empty() && line.looked_up.is_empty() {
                self.lines.remove(&author);
            }
            return taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::user;
    use crate::model::{Authority, Recipient};
    use crate::shard::testing::fixtures::send_to;

    fn ordered(author: &str) -> AuthoredSend {
        let send = send_to("one", Recipient::User(user("peer")), "text");
        AuthoredSend { author: user(author), send, authority: Authority::User }
    }

    fn next(lines: &mut AuthorLines) -> Option<u64> {
        lines.next().map(|(ticket, _)| ticket.0)
    }

    #[test]
    fn orders_of_one_author_wait_for_the_earlier_one_that_is_looked_up_and_no_others_do() {
        let (mut lines, ann, ben) = (AuthorLines::default(), user("ann"), user("ben"));
        lines.begin(Ticket(5), &ann);
        assert!(lines.must_wait(Ticket(6), &ann) && !lines.must_wait(Ticket(4), &ann));
        assert!(!lines.must_wait(Ticket(6), &ben));
        for ticket in [7, 6, 8] {
            lines.wait(Ticket(ticket), ordered("ann"));
        }
        assert!(!lines.has_ready());
        lines.end(Ticket(5), &ann);
        assert!(lines.must_wait(Ticket(9), &ann), "those that wait come first");
        assert_eq!(next(&mut lines), Some(6));
        // This one is looked up itself.
        lines.begin(Ticket(6), &ann);
        assert_eq!(next(&mut lines), None);
        lines.end(Ticket(6), &ann);
        assert_eq!([next(&mut lines), next(&mut lines), next(&mut lines)], [Some(7), Some(8), None]);
        assert!(!lines.must_wait(Ticket(9), &ann) && lines.lines.is_empty());
    }

    #[test]
    fn a_later_order_that_is_looked_up_holds_up_nobody_who_came_before() {
        let (mut lines, ann) = (AuthorLines::default(), user("ann"));
        lines.begin(Ticket(5), &ann);
        lines.begin(Ticket(3), &ann);
        lines.wait(Ticket(4), ordered("ann"));
        lines.end(Ticket(3), &ann);
        assert_eq!((next(&mut lines), lines.must_wait(Ticket(6), &ann)), (Some(4), true));
        lines.end(Ticket(5), &ann);
        assert!(!lines.has_ready() && lines.lines.is_empty());
    }
}
