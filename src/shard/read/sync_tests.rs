//! Sync: pages of an inbox in which some entries are not shown any more.

use crate::model::{Annotations, Command, Reply, Seq, Sync, SyncDirection};
use crate::shard::testing::duo::*;
use crate::shard::*;

fn expiring(id: &str) -> Command {
    noted(id, ALICE, Annotations { expire_s: 1, ..Annotations::default() })
}

/// The seqs of a page of one, and whether more is there.
fn page(duo: &mut Duo, direction: SyncDirection) -> (Vec<u64>, bool) {
    match duo.ask(2, ALICE, Command::Sync(Sync { direction, limit: 1 })) {
        Reply::Synced { entries, has_more, .. } => (entries.iter().map(|entry| entry.seq.0).collect(), has_more),
        other => panic!("a sync is answered by a page, not {other:?}"),
    }
}

/// With few hidden entries, and with more than one turn can pass over.
#[test]
fn what_has_vanished_ends_no_page() {
    for vanished in [3, 2_500] {
        let mut duo = Duo::with(|settings| {
            (settings.limits.sends_per_second, settings.limits.sends_burst) = (10_000, 10_000);
            (settings.limits.queries_per_second, settings.limits.queries_burst) = (10_000, 10_000);
        });
        duo.connect(1, BOB, "desk", CatchUp::Sync);
        duo.connect(2, ALICE, "desk", CatchUp::Sync);
        duo.ask(1, BOB, message("first", ALICE));
        for n in 0..vanished {
            duo.request(1, BOB, expiring(&n.to_string()));
            if n % 16 == 15 {
                duo.settle();
            }
        }
        duo.settle();
        duo.ask(1, BOB, message("last", ALICE));
        duo.ask(1, BOB, expiring("end"));
        duo.now = duo.now.plus(1_000);
        let last = vanished + 2;
        // What follows has vanished: nothing more can be asked for.
        assert_eq!(page(&mut duo, SyncDirection::After(Seq(1))), (vec![last], false));
        assert_eq!(page(&mut duo, SyncDirection::After(Seq(last))), (vec![], false));
        assert_eq!(page(&mut duo, SyncDirection::Before(Seq(last))), (vec![1], false));
        assert_eq!(page(&mut duo, SyncDirection::Before(Seq(0))), (vec![last], true));
    }
}
