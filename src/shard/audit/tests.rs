//! Real shards write logs; each kind of violation is planted in them and found, at the place where it was planted.

use super::world::*;
use super::*;
use crate::log::{MemberLink, OpenError, Record, Side, ThreadLinks, inspect};
use crate::model::testing::chance::Chance;
use crate::model::{
    Command, Conversation, ConversationRef, ConversationSeq, Fact, GroupChange, MarkRead, MessageId, Order, Position,
    Receipt, Recipient, Revoke, Seq, ShardId, UserId,
};
use crate::shard::{Input, Placement, Promise};
use std::sync::Arc;

#[test]
fn what_real_shards_write_is_sound_and_counted() {
    let tally = talk().expect_sound();
    // 30 pairs of two entries and 6 users with themselves, three times each.
    assert_eq!((tally.users, tally.entries, tally.client_ids), (6, 3 * 66, 3 * 36));
    assert_eq!((tally.conversations, tally.seats, tally.bounded_seats), (21, 36, 0));
    assert_eq!((tally.under_way, tally.dropped, tally.missing), (0, 0, 0));
    assert!(tally.compared > 0 && tally.deliveries > 0);
}

#[test]
fn positions_that_move_and_messages_taken_back_stay_sound() {
    let mut world = World::new();
    let (a, b) = (one_of(0, 0), one_of(1, 0));
    (0..9).for_each(|_| world.send(&a, &b));
    world.send(&b, &a);
    let conversation = ConversationRef::With(Recipient::User(a.clone()));
    world.request(&b, Command::MarkRead(MarkRead { conversation, through: ConversationSeq(4) }));
    let mut message = MessageId(0);
    inspect(world.shards[0].journal().storage(), ShardId(0), |_, record| {
        message = record.message().filter(|(it, _)| it.author == a).map_or(message, |(it, _)| it.id);
    })
    .expect("a whole log");
    let conversation = ConversationRef::With(Recipient::User(b));
    world.request(&a, Command::Revoke(Revoke { message, conversation }));
    world.settle();
    let logs = world.stop();
    let is_revocation = |record: &Record| {
        record.message().is_some_and(|(it, _)| matches!(it.fact.as_deref(), Some(Fact::Revoked { .. })))
    };
    logs.last(1, is_revocation);
    logs.last(1, |record| matches!(record, Record::Read { unread: 5, .. }));
    assert_eq!(logs.expect_sound().bounded_seats, 0);
}

#[test]
fn a_group_that_changes_is_sound() {
    let mut world = World::new();
    gather(&mut world);
    let tally = world.stop().expect_sound();
    assert_eq!((tally.groups, tally.members, tally.fanning_out), (1, 6, 0));
    assert_eq!(tally.seats, 7, "who has left keeps the seat");
}

#[test]
fn what_is_under_way_is_told_and_no_violation() {
    let mut world = World::new();
    let members: Vec<UserId> = (0..900).map(|n| user(&format!("user-{n:04}"))).collect();
    let group = group();
    let order = Order::CreateGroup { group: group.clone(), owner: members[0].clone(), members: members.clone() };
    world.order(order);
    let tally = world.stop().expect_sound();
    assert!(tally.fanning_out > 0, "more members than a turn tells: {tally:?}");

    let mut world = World::new();
    gather(&mut world);
    world.post(&one_of(1, 0), Recipient::Group(group));
    world.post(&one_of(0, 0), Recipient::User(one_of(1, 0)));
    world.lanes.clear();
    let tally = world.stop().expect_sound();
    assert!(tally.under_way > 0, "{tally:?}");
}

#[test]
fn a_hole_in_an_inbox_is_found_where_it_is() {
    let mut logs = talk();
    let owner = one_of(1, 0);
    let (at, record) = logs.last(1, |record| record.link_of(&owner).is_some());
    let link = record.link_of(&owner).expect("an entry of it");
    let skip_one =
        |links: &mut ThreadLinks| links.iter_mut().filter(|it| it.side == link.side).for_each(|it| it.seq.0 += 1);
    logs.forge(1, at, &with(&record, skip_one, |_| {}));
    let found = logs.the_violation();
    assert_eq!(place(&found), (Promise::Inbox, 1, at, Some(&owner), link.seq.0 + 1));
    assert_eq!(logs.audit_of(Some(owner)).count, 1);
    assert_eq!(logs.audit_of(Some(one_of(0, 0))).count, 0, "somebody else's");
}

#[test]
fn a_gap_that_is_known_is_reported_and_no_violation() {
    let mut logs = talk();
    let alice = one_of(0, 0);
    let newest = logs.next_link(&alice, Side::Author).seq.0 - 1;
    logs.append(0, &Record::Inbox { user: alice, seq: Seq(newest + 5) });
    assert_eq!(logs.expect_sound().missing, 5);
}

#[test]
fn links_that_lead_elsewhere_are_found() {
    let logs = talk();
    let (at, record) = logs.last(2, is_posted);
    let (message, links) = record.message().expect("a message");
    for (number, link) in links.iter().enumerate() {
        for is_skip in [false, true] {
            let mut logs = talk();
            let elsewhere = Position(if is_skip { at.0 - 8 } else { link.previous.0 - 8 });
            let forge = |links: &mut ThreadLinks| match is_skip {
                true => links[number].skip = elsewhere,
                false => links[number].previous = elsewhere,
            };
            logs.forge(2, at, &with(&record, forge, |_| {}));
            let found = logs.violation_of(Promise::Link);
            let owner = crate::shard::replay::apply::user_on(link.side, message);
            assert_eq!(place(&found), (Promise::Link, 2, at, owner, link.seq.0), "{found:?}");
        }
    }
}

#[test]
fn a_client_id_that_stands_for_two_messages_is_found_within_the_window_only() {
    let author = one_of(0, 0);
    let mut logs = talk();
    let record = note_to_oneself(&logs, &author, "id-000001", 1, NOW.wall.plus(HOUR_MS / 2));
    let seq = logs.next_link(&author, Side::Author).seq.0;
    let at = logs.append(0, &record);
    assert_eq!(place(&logs.the_violation()), (Promise::ClientId, 0, at, Some(&author), seq));

    let mut logs = talk();
    let record = note_to_oneself(&logs, &author, "id-000001", 1, NOW.wall.plus(HOUR_MS + 1_000));
    logs.append(0, &record);
    logs.expect_sound();
}

#[test]
fn a_message_that_is_in_an_inbox_twice_is_found() {
    let author = one_of(0, 0);
    let mut logs = talk();
    let first = note_to_oneself(&logs, &author, "once-more", 1, NOW.wall);
    logs.append(0, &first);
    let again = with(&first, |links| *links = ThreadLinks::from_iter([logs.next_link(&author, Side::Author)]), |_| {});
    let at = logs.append(0, &again);
    let found = logs.violation_of(Promise::Entry);
    assert_eq!((found.position, found.user), (at, Some(author)));
}

#[test]
fn a_place_that_is_given_twice_is_found() {
    let author = one_of(0, 0);
    let mut logs = talk();
    let first = note_to_oneself(&logs, &author, "first", 1, NOW.wall);
    logs.append(0, &first);
    let place_taken = first.message().expect("a message").0.conversation_seq.0;
    let second = note_to_oneself(&logs, &author, "second", 1, NOW.wall);
    let twice = |links: &mut ThreadLinks| {
        links.iter_mut().filter(|it| it.side == Side::Conversation).for_each(|it| it.seq.0 -= 1)
    };
    let at = logs.append(0, &with(&second, twice, |message| message.conversation_seq.0 -= 1));
    let found = logs.violation_of(Promise::Order);
    assert_eq!(place(&found), (Promise::Order, 0, at, None, place_taken));
    assert_eq!(found.conversation, Some(Conversation::pair(author.clone(), author)));
}

#[test]
fn a_count_of_unread_messages_that_is_wrong_is_found() {
    let mut logs = talk();
    let (reader, other) = (one_of(0, 0), one_of(1, 0));
    let conversation = Conversation::pair(reader.clone(), other);
    let through = ConversationSeq(2);
    logs.append(0, &Record::Read { user: reader.clone(), conversation: conversation.clone(), through, unread: 7 });
    let found = logs.the_violation();
    assert_eq!((found.promise, found.shard, found.user), (Promise::Unread, ShardId(0), Some(reader)));
    assert_eq!(found.conversation, Some(conversation));
    assert!(found.why.starts_with("7 unread"), "{}", found.why);
}

#[test]
fn another_message_at_the_same_place_is_found() {
    let mut logs = talk();
    let (at, record) = logs.last(1, is_delivered);
    logs.forge(1, at, &with(&record, |_| {}, |message| message.id.0 += 1));
    let (message, _) = record.message().expect("a message");
    let found = logs.the_violation();
    assert_eq!(place(&found), (Promise::Order, 1, at, None, message.conversation_seq.0));
    assert_eq!(found.conversation, Some(message.conversation.clone()));
}

#[test]
fn a_message_that_its_conversation_never_had_is_found() {
    let mut logs = talk();
    let (at, record) = logs.last(1, is_delivered);
    let (message, _) = record.message().expect("a message");
    let far = message.conversation_seq.0 + 9;
    let forged = with(
        &record,
        |links| links.iter_mut().filter(|it| it.side == Side::Conversation).for_each(|it| it.seq = Seq(far)),
        |message| message.conversation_seq.0 = far,
    );
    logs.forge(1, at, &forged);
    let found = logs.violation_of(Promise::Order);
    assert_eq!(place(&found), (Promise::Order, 1, at, None, far));
}

#[test]
fn what_is_not_for_one_of_two_people_is_found() {
    let mut logs = talk();
    let (at, record) =
        logs.last(0, |record| matches!(record, Record::Posted { deliveries, .. } if !deliveries.is_empty()));
    let Record::Posted { message, links, mut deliveries } = record else { panic!("it was posted") };
    let target = deliveries[0].target;
    deliveries[0].target = ShardId(3 - target.0);
    let other = [&message.author, message.peer_of(&message.author).expect("a pair")].map(Clone::clone);
    let other = other.into_iter().find(|user| home(user) == usize::from(target.0)).expect("it is for somebody");
    logs.forge(0, at, &Record::Posted { message: message.clone(), deliveries, links });
    let found = logs.violation_of(Promise::Entry);
    assert_eq!(place(&found), (Promise::Entry, 0, at, Some(&other), message.conversation_seq.0));
}

#[test]
fn an_entry_that_its_record_does_not_have_is_found() {
    let mut logs = talk();
    let author = one_of(0, 0);
    let record = note_to_oneself(&logs, &author, "no-entry", 1, NOW.wall);
    let at = logs.append(0, &with(&record, |links| links.retain(|it| it.side == Side::Conversation), |_| {}));
    let found = logs.the_violation();
    assert_eq!((found.promise, found.position, found.user), (Promise::Entry, at, Some(author)));
}

#[test]
fn a_delivery_that_is_confirmed_and_was_never_taken_is_found() {
    let mut world = World::new();
    let (a, b) = (one_of(0, 0), one_of(1, 0));
    world.send(&a, &b);
    world.send(&b, &a);
    world.post(&a, Recipient::User(b.clone()));
    world.lanes.clear();
    let mut logs = world.stop();
    assert_eq!(logs.expect_sound().under_way, 1);
    let owner = usize::from(Placement::new(SHARDS).owner_of(&a.clone().min(b.clone())).0);
    let (_, under_way) = logs.last(owner, is_posted);
    let Record::Posted { deliveries, .. } = under_way else { panic!("it was posted") };
    let at = logs.append(owner, &Record::Confirmed { target: deliveries[0].target, through: deliveries[0].number });
    assert_eq!(place(&logs.the_violation()), (Promise::Delivery, owner, at, None, deliveries[0].number));
}

#[test]
fn a_delivery_that_nobody_owed_and_one_out_of_turn_are_found() {
    let mut logs = talk();
    let (at, record) = logs.last(1, is_delivered);
    let Record::Delivered { source, number, message, links } = record else { panic!("it was delivered") };
    logs.forge(1, at, &Record::Delivered { source, number: number + 1, message, links });
    let found = logs.audit();
    let told: Vec<_> = found.violations.iter().map(place).collect();
    assert_eq!(told, [(Promise::Delivery, 1, at, None, number + 1); 2], "a hole, and more than was sent");
}

#[test]
fn a_member_without_a_seat_and_a_seat_without_a_member_are_found() {
    let mut world = World::new();
    gather(&mut world);
    let mut logs = world.stop();
    let owner = Placement::new(SHARDS).owner_of_conversation(&Conversation::Group(group()));
    let is_removal = |record: &Record| {
        let fact = record.message().and_then(|(message, _)| message.fact.as_deref());
        matches!(fact, Some(Fact::Group(GroupChange::Removed { .. })))
    };
    let (at, record) = logs.last(usize::from(owner.0), is_removal);
    let stranger = one_of(1, 0);
    let forged = with(
        &record,
        |_| {},
        |message| {
            message.fact = Some(Arc::new(Fact::Group(GroupChange::Removed { members: vec![stranger.clone()] })));
        },
    );
    logs.forge(usize::from(owner.0), at, &forged);
    let found = logs.audit();
    let mut told: Vec<_> = found
        .violations
        .iter()
        .filter(|it| it.promise == Promise::Membership)
        .map(|it| (it.shard.0, it.user.clone()))
        .collect();
    told.sort();
    let mut expected = vec![(1, Some(stranger)), (2, Some(one_of(2, 0)))];
    if owner.0 == 1 || owner.0 == 2 {
        // The owner's own seats follow the forged change.
        expected.retain(|(shard, _)| *shard != owner.0);
    }
    assert_eq!(told, expected, "{found:?}");
}

#[test]
fn what_a_member_is_told_twice_and_what_leads_to_no_message_are_found() {
    let mut world = World::new();
    gather(&mut world);
    let mut logs = world.stop();
    let (_, fanned) = logs.last(1, |record| matches!(record, Record::Fanned { .. }));
    let Record::Fanned { of, links } = fanned else { panic!("it was fanned out") };
    let user = links[0].user.clone();
    let link = logs.next_link(&user, Side::Peer);
    let at = logs.append(1, &Record::Fanned { of, links: vec![MemberLink { user: user.clone(), link }] });
    assert_eq!(place(&logs.violation_of(Promise::FanOut)), (Promise::FanOut, 1, at, Some(&user), link.seq.0));

    let (mark, _) = logs.last(1, |record| matches!(record, Record::Mark { .. }));
    let at = logs.append(1, &Record::Fanned { of: mark, links: vec![MemberLink { user: user.clone(), link }] });
    let found = logs.audit();
    assert!(found.violations.iter().any(|it| it.promise == Promise::FanOut && it.position == at), "{found:?}");
}

/// Months of talk on small segments, most of them dropped.
#[test]
fn what_retention_has_dropped_is_reported_and_no_violation() {
    let mut world = World::of_segments(1 << 13);
    let (a, b) = (one_of(0, 0), one_of(1, 0));
    let mut checkpoints = vec![Vec::new(); usize::from(SHARDS)];
    for round in 0..6 {
        for _ in 0..30 {
            world.send(&a, &b);
            world.send(&b, &a);
        }
        gather_once(&mut world, round);
        world.now = world.now.plus(2 * HOUR_MS);
        for (me, known) in checkpoints.iter_mut().enumerate() {
            let Some(through) = world.shards[me].checkpoint_due() else { continue };
            let log = world.shards[me].journal().storage();
            let made = crate::shard::survey(&settings(me as u16), known, log, through).expect("made");
            known.insert(0, made.bytes);
            world.input(me, Input::Checkpointed { through });
        }
        for me in 0..usize::from(SHARDS) {
            (0..20).for_each(|_| world.input(me, Input::Ticked));
        }
        world.settle();
    }
    let mut logs = world.stop();
    logs.checkpoints = checkpoints;
    assert!(logs.disks[0].segments().start > 2, "segments were dropped");
    let tally = logs.expect_sound();
    assert!(tally.dropped > 100 && tally.bounded_seats > 0, "{tally:?}");

    logs.checkpoints[0].clear();
    let read = Examined::read(&settings(0), &logs.disks[0], NONE, Position(u64::MAX), &mut Findings::default());
    assert!(matches!(read.err(), Some(OpenError::BeginningMissing { .. })));
}

#[test]
fn a_log_is_read_no_further_than_its_cut() {
    let mut logs = talk();
    let cut = logs.append(0, &Record::Issued { message: MessageId(1) });
    logs.append(0, &Record::Inbox { user: one_of(0, 0), seq: Seq(999) });
    let mut findings = Findings::default();
    let examined = Examined::read(&settings(0), &logs.disks[0], NONE, cut, &mut findings).expect("a whole log");
    assert!(findings.tally.missing == 0 && examined.is_whole());
}

/// What anybody may do in a small world, lanes held back now and then.
fn live(world: &mut World, chance: &mut Chance) {
    let users: Vec<UserId> = (0..9).map(|n| one_of(n % 3, n / 3)).collect();
    let one = |chance: &mut Chance| users[chance.below(users.len())].clone();
    let (by, other) = (one(chance), one(chance));
    let recipient = if chance.below(2) == 0 { Recipient::Group(group()) } else { Recipient::User(other.clone()) };
    let conversation = ConversationRef::With(recipient.clone());
    match chance.below(12) {
        0 => {
            let through = ConversationSeq(chance.below(30) as u64);
            world.request(&by, Command::MarkRead(MarkRead { conversation, through }));
        }
        1 if by != other => {
            let (add, remove) = (vec![by], vec![other]);
            world.order(Order::ChangeMembers { group: group(), add, remove });
        }
        2 => {
            let mut known = Vec::new();
            let log = world.shards[home(&by)].journal().storage();
            inspect(log, ShardId(home(&by) as u16), |_, record| {
                known.extend(record.message().map(|(it, _)| it.clone()))
            })
            .expect("a whole log");
            if known.is_empty() {
                return;
            }
            let message = known[chance.below(known.len())].clone();
            let conversation = ConversationRef::With(match &message.conversation {
                Conversation::Group(id) => Recipient::Group(id.clone()),
                Conversation::Pair(..) => Recipient::User(message.peer_of(&by).expect("a pair").clone()),
            });
            let command = match chance.below(2) {
                0 => Command::Revoke(Revoke { message: message.id, conversation }),
                _ => Command::Receipt(Receipt { messages: vec![message.id], conversation }),
            };
            world.request(&by, command);
        }
        3 | 4 => world.settle(),
        5 => world.carry_one(),
        _ => world.post(&by, recipient),
    }
}

#[test]
fn whatever_happens_every_moment_is_sound() {
    for seed in 0..40 {
        let mut chance = Chance::new(seed);
        let mut world = World::new();
        let members: Vec<UserId> = (0..6).map(|n| one_of(n % 3, n / 3)).collect();
        world.order(Order::CreateGroup { group: group(), owner: members[0].clone(), members });
        for _ in 0..chance.below(200) {
            live(&mut world, &mut chance);
        }
        if chance.below(2) == 0 {
            world.settle();
        }
        let findings = world.stop().audit();
        assert_eq!(findings.violations, [], "seed {seed}");
    }
}

/// A recount counts the group's newest message, which has no entry yet; when the entry comes it is counted once more.
#[test]
fn a_position_that_moves_while_a_large_group_is_told_stays_sound() {
    let mut world = World::new();
    let members: Vec<UserId> = (0..1_800).map(|n| user(&format!("user-{n:04}"))).collect();
    let order = Order::CreateGroup { group: group(), owner: members[0].clone(), members: members.clone() };
    world.order(order);
    let finish = |world: &mut World| {
        for me in 0..usize::from(SHARDS) {
            while world.shards[me].has_more() {
                world.input(me, Input::Continued);
            }
        }
        world.settle();
    };
    finish(&mut world);
    for _ in 0..3 {
        world.post(&members[0], Recipient::Group(group()));
        world.settle();
        finish(&mut world);
    }
    world.post(&members[0], Recipient::Group(group()));
    world.settle();
    let last = members.iter().rfind(|user| home(user) == 0).expect("there are many").clone();
    let conversation = ConversationRef::With(Recipient::Group(group()));
    world.request(&last, Command::MarkRead(MarkRead { conversation, through: ConversationSeq(2) }));
    finish(&mut world);
    world.stop().expect_sound();
}
