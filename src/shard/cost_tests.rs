//! What inputs cost a shard: that it is counted, and that no single one costs more than its budget.

use super::fixtures::{Cluster, in_group, to_group};
use super::*;
use crate::model::{History, HistoryDirection};

fn member(number: usize) -> String {
    format!("member-{number}")
}

/// A group of so many, all of them users of the only shard.
fn group_of(members: usize) -> Cluster {
    let mut cluster = Cluster::new(1, Windows::default());
    let names: Vec<String> = (0..members).map(member).collect();
    for (number, part) in names.chunks(5_000).enumerate() {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        let order = match number {
            0 => fixtures::create("crowd", part[0], &part),
            _ => fixtures::change("crowd", &part, &[]),
        };
        cluster.order(order);
    }
    cluster
}

#[test]
fn an_input_costs_the_records_and_rows_that_it_looks_at() {
    let mut cluster = group_of(100);
    cluster.open(1, "member-0");
    cluster.settle();
    cluster.request(1, "member-0", to_group("one", "crowd", "hello"));
    let sent = cluster.shards[0].cost();
    assert_eq!(sent.records, 3, "the message, and links for 64 and for 35 members: {sent:?}");
    assert!((99..200).contains(&sent.rows) && sent.bytes > 1_000, "{sent:?}");
    cluster.settle();
    let history = History {
        conversation: in_group("crowd"),
        direction: HistoryDirection::Before(crate::model::ConversationSeq(u64::MAX)),
        limit: 10,
        topic: None,
    };
    cluster.request(1, "member-0", Command::History(history));
    let read = cluster.shards[0].cost();
    assert!((2..=8).contains(&read.records) && read.effects == 1, "two entries: {read:?}");
    cluster.input(0, Input::Ticked);
    assert_eq!(cluster.shards[0].cost().effects, 0, "each input begins anew");
    let dearest = cluster.shards[0].stats().dearest;
    assert_eq!(dearest.max(sent), dearest, "the dearest is remembered");
}
