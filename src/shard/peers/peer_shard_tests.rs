//! The deliveries from one shard to another: unconfirmed, sent again, given up.

use super::*;

fn peer_with_unconfirmed(numbers: impl IntoIterator<Item = u64>) -> PeerShard {
    let mut peer = PeerShard::default();
    numbers.into_iter().for_each(|number| peer.track(number, record(number), 10));
    peer
}

fn record(number: u64) -> Position {
    Position::new(1, 64 * number as u32)
}

fn delivery(number: u64) -> Resent {
    Resent::Delivery(Unconfirmed { number, record: record(number), bytes: 10 })
}

#[test]
fn only_what_is_durable_and_unconfirmed_is_sent_again() {
    let mut peer = peer_with_unconfirmed(1..=4);
    assert!((1..=3).all(|number| peer.release(number)));
    peer.rewind(0);
    assert_eq!(peer.resend(9, 99), [1, 2, 3].map(delivery), "4 could still be lost");
    assert_eq!(peer.confirmed(2), Some(record(1)));
    assert_eq!(peer.confirmed(2), None, "no news");
    peer.rewind(2);
    assert_eq!(peer.resend(9, 99), [delivery(3)]);
}

#[test]
fn more_than_a_window_is_sent_again_as_it_is_confirmed_and_nothing_overtakes_it() {
    let mut peer = peer_with_unconfirmed(1..=5);
    peer.begin_replay(0);
    assert_eq!(peer.resend(2, 99), [1, 2].map(delivery));
    peer.track(6, record(6), 10);
    assert!(!peer.release(6), "3 to 5 come first");
    assert_eq!(peer.resend(2, 99), [], "the window is full");
    assert!(!peer.has_been_replayed());
    assert_eq!(peer.confirmed(2), Some(record(1)));
    assert_eq!(peer.resend(2, 99), [3, 4].map(delivery));
    assert_eq!(peer.confirmed(4), Some(record(3)));
    assert_eq!(peer.resend(2, 99), [5, 6].map(delivery));
    assert!(peer.has_been_replayed() && !peer.has_been_replayed(), "told once");
    peer.track(7, record(7), 10);
    assert!(peer.release(7));
}

#[test]
fn what_is_gone_for_good_is_said_to_be_where_its_number_would_come() {
    let mut peer = peer_with_unconfirmed([3, 4, 7]);
    peer.use_up(9);
    peer.begin_replay(1);
    let expected = [Resent::Forgone(2), delivery(3), delivery(4), Resent::Forgone(6), delivery(7), Resent::Forgone(9)];
    assert_eq!(peer.resend(99, 99), expected);
    peer.rewind(4);
    assert_eq!(peer.resend(99, 99), expected[3..]);
}

#[test]
fn what_a_peer_has_lost_is_sent_again_before_all_else() {
    let mut peer = peer_with_unconfirmed(1..=6);
    peer.confirmed(4);
    assert_eq!(peer.lost_by_it(4), None);
    assert_eq!(peer.lost_by_it(1), Some((2, 4)));
    peer.track_again((3..=4).map(|number| Unconfirmed { number, record: record(number), bytes: 10 }));
    peer.begin_replay(1);
    let expected = [Resent::Forgone(2), delivery(3), delivery(4), delivery(5), delivery(6)];
    assert_eq!(peer.resend(99, 99), expected);
    peer.confirmed(6);
    assert_eq!(peer.lost_by_it(0), Some((1, 6)), "nothing is unconfirmed");
}

#[test]
fn a_peer_that_knows_more_than_our_log_has_used_those_numbers_up() {
    let mut peer = peer_with_unconfirmed([1]);
    assert!(peer.use_up(5) && !peer.use_up(5));
    assert_eq!(peer.next_number(), 6);
}

#[test]
fn a_delivery_is_next_or_repeated_or_past_a_hole() {
    let mut peer = PeerShard::default();
    peer.take(1);
    assert_eq!(
        [1, 2, 3].map(|number| peer.classify(number)),
        [DeliveryOrder::Repeated, DeliveryOrder::Next, DeliveryOrder::PastHole]
    );
}

#[test]
fn a_miss_is_asked_for_once_and_only_when_there_is_room() {
    let mut peer = PeerShard::default();
    assert!(peer.miss(1, 100), "news");
    assert!(!peer.miss(1, 100), "told once");
    assert!(!peer.ask_again(|bytes| bytes < 100));
    assert!(peer.ask_again(|bytes| bytes == 100));
    assert!(!peer.ask_again(|_| true));
}
