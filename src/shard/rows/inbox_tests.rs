//! The rows of users: devices, when they were seen, allowances, and what a checkpoint has of them.

use super::*;
use crate::log::Side;
use crate::model::Position;
use crate::model::testing::user;
use crate::shard::rows::devices::DEVICES_MAX;

fn key(id: &str) -> DeviceKey {
    DeviceKey { flag: 1, id: id.into() }
}

#[test]
fn a_delivered_position_never_goes_back_and_is_logged_once() {
    let (mut inboxes, alice) = (InboxTable::new(1), user("alice"));
    let place = inboxes.find_or_add(&alice);
    inboxes.deliver(place, &key("phone"), Seq(5));
    inboxes.deliver(place, &key("phone"), Seq(3));
    inboxes.deliver(place, &key("web"), Seq(2));
    assert_eq!(inboxes.delivered(&alice, &key("phone")), Some(Seq(5)));
    inboxes.begin_logging();
    let mut dirty: Vec<_> = std::iter::from_fn(|| inboxes.next_dirty()).map(|(_, key, seq)| (key.id, seq)).collect();
    dirty.sort();
    assert_eq!(dirty, [("phone".into(), Seq(5)), ("web".into(), Seq(2))]);
    assert_eq!(inboxes.next_dirty(), None);
}

#[test]
fn the_device_that_moved_longest_ago_is_forgotten() {
    let (mut inboxes, alice) = (InboxTable::new(1), user("alice"));
    (0..=DEVICES_MAX).for_each(|n| inboxes.restore_device(&alice, &key(&n.to_string()), Seq(1)));
    assert_eq!(inboxes.delivered(&alice, &key("0")), None);
    inboxes.restore_device(&alice, &key("1"), Seq(2));
    inboxes.restore_device(&alice, &key("new"), Seq(1));
    assert_eq!(inboxes.delivered(&alice, &key("1")), Some(Seq(2)), "it moved");
    assert_eq!(inboxes.delivered(&alice, &key("2")), None);
}

#[test]
fn when_a_user_was_seen_comes_back_and_is_no_earlier_than_before() {
    assert_eq!(LastSeen::default().last_seen(), None);
    for time in [0, 1, 0xffff, 0x1_0000, 1_700_000_000_000, LastSeen::LAST] {
        assert_eq!(LastSeen::at(Millis(time)).last_seen(), Some(Millis(time)));
    }
    let (mut inboxes, alice) = (InboxTable::new(1), user("alice"));
    let place = inboxes.find_or_add(&alice);
    assert!(!inboxes.is_known(place));
    [Millis(5), Millis(3)].into_iter().for_each(|time| inboxes.see(place, time));
    assert_eq!((inboxes.is_known(place), inboxes.last_seen(place)), (true, Millis(5)));
}

#[test]
fn whose_buckets_are_not_full_has_them_still_whoever_else_comes() {
    let (mut inboxes, alice) = (InboxTable::new(1), user("alice"));
    let limits = crate::model::Limits { sends_per_second: 1, sends_burst: 3, ..Default::default() };
    let (at, now) = (inboxes.find_or_add(&alice), Moment::told(Millis(10_000)));
    let mut taken = 0;
    for round in 0..50 {
        taken += u32::from(inboxes.allowance_at(at, now).sends.take(now.steady, 1, &limits));
        let other = UserId::new(&format!("other-{round}")).expect("well formed");
        let other = inboxes.find_or_add(&other);
        assert!(inboxes.allowance_at(other, now).sends.take(now.steady, 1, &limits));
    }
    assert_eq!(taken, 3);
    let later = now.plus(60_000);
    assert_eq!((0..50).filter(|_| inboxes.allowance_at(at, later).sends.take(later.steady, 1, &limits)).count(), 3);
    for round in 0..100 {
        let other = UserId::new(&format!("one-more-{round}")).expect("well formed");
        let other = inboxes.find_or_add(&other);
        inboxes.allowance_at(other, later.plus(60_000));
    }
    assert_eq!(inboxes.rows.at(at.0).allowance, None, "it is idle");
}

#[test]
fn inboxes_read_back_as_written() {
    let mut inboxes = InboxTable::new(1);
    let users: Vec<UserId> = (0..3_000).map(|n| UserId::new(&format!("user-{n}")).expect("well formed")).collect();
    for (at, user) in (1..).zip(&users) {
        let link = inboxes.tail(user).next_link(Side::Author);
        inboxes.tail_mut(user).advance(link, Position::new(1, at * 8));
        inboxes.restore_device(user, &key("phone"), Seq(u64::from(at % 2)));
    }
    assert_eq!(inboxes.len(), users.len());
    let mut bytes = Vec::new();
    inboxes.put(&LoggedPresence::default(), &mut bytes);
    let mut reader = Reader::new(&bytes);
    let read = InboxTable::read(99, &mut LoggedPresence::default(), &mut reader).expect("as written");
    assert!(reader.is_at_end() && read.len() == users.len());
    for user in &users {
        assert_eq!(read.tail(user), inboxes.tail(user));
        assert_eq!(read.delivered(user, &key("phone")), inboxes.delivered(user, &key("phone")));
    }
    assert!(
        (0..bytes.len()).step_by(97).all(|cut| InboxTable::read(
            1,
            &mut LoggedPresence::default(),
            &mut Reader::new(&bytes[..cut])
        )
        .is_none())
    );
}
