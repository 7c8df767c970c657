//! What the oracle holds against the server, and what it does not.

use super::*;
use crate::client::speech::Row;
use std::panic::{AssertUnwindSafe, catch_unwind};

const PAIR: &str = "single_ann_ben";

fn said(place: u64) -> Shown {
    let (author, kind) = ("ann".into(), Kind::Body("hello".into()));
    let (conversation, seq) = (PAIR.into(), Some(place));
    let client_id = format!("said-{place}");
    Shown {
        seq,
        conversation,
        conversation_seq: seq,
        message: 100 + place,
        time: None,
        client_id,
        author,
        kind,
        chunk: None,
    }
}

/// Both have three messages in their inboxes, and these places in what they see of the history.
fn judge(ledger: &mut Ledger, places: &[u64]) -> Result<(), Box<dyn std::any::Any + Send>> {
    let inbox: Vec<Shown> = (1..=3).map(said).collect();
    let history: Vec<Shown> = places.iter().map(|place| said(*place)).collect();
    let mut ends = Vec::new();
    for user in ["ann", "ben"] {
        ledger.newest.insert(user.into(), 3);
        let unread = if user == "ben" { 3 } else { 0 };
        let conversation = PAIR.to_owned();
        let row = Row { conversation, last: Some(said(3)), last_seq: 3, unread, read_through: 0, newest_seq: 3 };
        let has = |histories| {
            let mut collection = Collection::default();
            (collection.inbox, collection.rows, collection.histories) = (inbox.clone(), vec![row.clone()], histories);
            collection
        };
        let (json, binary) = (has(BTreeMap::new()), has([(PAIR.to_owned(), history.clone())].into()));
        ends.push(End { user: user.into(), json, binary });
    }
    let (operator, logs) = (Operator::default(), Remains::default());
    catch_unwind(AssertUnwindSafe(|| Oracle::new(ledger, &operator, &logs, &ends).check()))
}

#[test]
fn a_history_may_lack_what_was_dropped_while_it_was_collected_and_nothing_else() {
    let mut ledger = Ledger::default();
    ledger.may_drop = true;
    assert!(judge(&mut ledger, &[1, 2, 3]).is_ok());
    assert!(judge(&mut ledger, &[1, 3]).is_err(), "nothing was dropped");
    ledger.dropped_meanwhile = true;
    assert!(judge(&mut ledger, &[1, 3]).is_ok(), "the first page was read before that");
}
